import {
  anything,
  count,
  defineCustomResource,
  flag,
  labelSelector,
  listOf,
  object,
  oneOf,
  type Schema,
  text,
  textMap,
  texts,
  time,
  withDefault,
} from './definition.ts';

const GROUP = {
  group: 'external-secrets.io',
  versions: ['v1'],
  categories: ['external-secrets'],
  statusSubresource: true,
} as const;

const storeRef = object({ name: text, kind: oneOf('SecretStore', 'ClusterSecretStore') });

const remoteRef: Schema = object(
  {
    key: text,
    property: text,
    version: text,
    metadataPolicy: withDefault(oneOf('None', 'Fetch'), 'None'),
    conversionStrategy: withDefault(oneOf('Default', 'Unicode'), 'Default'),
    decodingStrategy: withDefault(oneOf('Auto', 'Base64', 'Base64URL', 'None'), 'None'),
  },
  ['key'],
);

const find = object({
  path: text,
  name: object({ regexp: text }),
  tags: textMap,
  conversionStrategy: withDefault(oneOf('Default', 'Unicode'), 'Default'),
  decodingStrategy: withDefault(oneOf('Auto', 'Base64', 'Base64URL', 'None'), 'None'),
});

const rewrite: Schema = {
  ...object({
    regexp: object({ source: text, target: text }, ['source', 'target']),
    transform: object({ template: text }, ['template']),
    merge: object({ into: text, priority: texts, conflictPolicy: text, strategy: text }),
  }),
  minProperties: 1,
  maxProperties: 1,
};

const template = object({
  type: text,
  engineVersion: withDefault(oneOf('v2'), 'v2'),
  mergePolicy: withDefault(oneOf('Replace', 'Merge'), 'Replace'),
  metadata: object({ annotations: textMap, labels: textMap, finalizers: texts }),
  data: textMap,
  templateFrom: listOf(anything),
});

const externalSecretSpec = object({
  secretStoreRef: storeRef,
  target: withDefault(
    object({
      name: text,
      creationPolicy: withDefault(oneOf('Owner', 'Orphan', 'Merge', 'None', 'CreateOrMerge'), 'Owner'),
      deletionPolicy: withDefault(oneOf('Delete', 'Merge', 'Retain'), 'Retain'),
      template,
      manifest: object({ apiVersion: text, kind: text }, ['apiVersion', 'kind']),
      immutable: flag,
    }),
    { creationPolicy: 'Owner', deletionPolicy: 'Retain' },
  ),
  refreshPolicy: oneOf('CreatedOnce', 'Periodic', 'OnChange'),
  refreshInterval: withDefault(text, '1h0m0s'),
  syncWindows: object({ kind: oneOf('allow', 'deny'), windows: listOf(object({ schedule: text, duration: text })) }),
  data: listOf(
    object(
      {
        secretKey: text,
        remoteRef,
        sourceRef: object({ storeRef, generatorRef: anything }),
      },
      ['remoteRef', 'secretKey'],
    ),
  ),
  dataFrom: listOf(
    object({
      extract: remoteRef,
      find,
      rewrite: listOf(rewrite),
      sourceRef: object({ storeRef, generatorRef: anything }),
    }),
  ),
});

const condition = (required: readonly string[]) =>
  object({ type: text, status: text, reason: text, message: text, lastTransitionTime: time }, required);
const conditions = listOf(condition(['status', 'type']));

const secretReference = object({ name: text, key: text, namespace: text });

const storeSpec = object(
  {
    controller: text,
    conditions: listOf(object({ namespaceSelector: labelSelector, namespaces: texts, namespaceRegexes: texts })),
    provider: {
      // Of the other providers, only that there is one.
      ...anything,
      properties: {
        aws: object(
          {
            service: oneOf('SecretsManager', 'ParameterStore', 'CertificateManager'),
            region: text,
            role: text,
            additionalRoles: texts,
            externalID: text,
            prefix: text,
            sessionTags: listOf(object({ key: text, value: text }, ['key', 'value'])),
            transitiveTagKeys: texts,
            auth: object({
              jwt: object({ serviceAccountRef: object({ name: text, namespace: text, audiences: texts }, ['name']) }),
              secretRef: object({
                accessKeyIDSecretRef: secretReference,
                secretAccessKeySecretRef: secretReference,
                sessionTokenSecretRef: secretReference,
              }),
            }),
            secretsManager: object({
              forceDeleteWithoutRecovery: flag,
              recoveryWindowInDays: { type: 'integer', format: 'int64' },
            }),
          },
          ['region', 'service'],
        ),
      },
      minProperties: 1,
      maxProperties: 1,
    },
    refreshInterval: { type: 'integer' },
    retrySettings: object({ maxRetries: count, retryInterval: text }),
  },
  ['provider'],
);

const store = (kind: string, plural: string, shortName: string, scope: 'Namespaced' | 'Cluster') =>
  defineCustomResource({
    ...GROUP,
    kind,
    plural,
    scope,
    shortNames: [shortName],
    properties: { spec: storeSpec, status: object({ capabilities: text, conditions }) },
  });

/** What the External Secrets Operator brings to a cluster, by the field names that it publishes (apis/externalsecrets/v1). */
export const EXTERNAL_SECRETS = [
  defineCustomResource({
    ...GROUP,
    kind: 'ExternalSecret',
    plural: 'externalsecrets',
    scope: 'Namespaced',
    shortNames: ['es'],
    properties: {
      spec: externalSecretSpec,
      status: object({
        refreshTime: time,
        syncedResourceVersion: text,
        conditions,
        binding: object({ name: withDefault(text, '') }),
      }),
    },
  }),
  defineCustomResource({
    ...GROUP,
    kind: 'ClusterExternalSecret',
    plural: 'clusterexternalsecrets',
    scope: 'Cluster',
    shortNames: ['ces'],
    properties: {
      spec: object(
        {
          externalSecretSpec,
          externalSecretName: text,
          externalSecretMetadata: object({ annotations: textMap, labels: textMap }),
          namespaceSelector: labelSelector,
          namespaceSelectors: listOf(labelSelector),
          namespaces: texts,
          refreshTime: text,
        },
        ['externalSecretSpec'],
      ),
      status: object({
        externalSecretName: text,
        provisionedNamespaces: texts,
        failedNamespaces: listOf(object({ namespace: text, reason: text }, ['namespace'])),
        conditions: listOf(object({ type: text, status: text, message: text }, ['status', 'type'])),
      }),
    },
  }),
  store('SecretStore', 'secretstores', 'ss', 'Namespaced'),
  store('ClusterSecretStore', 'clustersecretstores', 'css', 'Cluster'),
];
