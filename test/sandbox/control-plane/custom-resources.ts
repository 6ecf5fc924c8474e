/** What the Secrets Store CSI driver brings to a cluster, by the field names that it publishes; no status subresource. */
const SECRET_PROVIDER_CLASS = {
  spec: {
    type: 'object',
    properties: {
      provider: { type: 'string' },
      parameters: { type: 'object', additionalProperties: { type: 'string' } },
      secretObjects: {
        type: 'array',
        items: {
          type: 'object',
          properties: {
            secretName: { type: 'string' },
            type: { type: 'string' },
            labels: { type: 'object', additionalProperties: { type: 'string' } },
            annotations: { type: 'object', additionalProperties: { type: 'string' } },
            data: {
              type: 'array',
              items: { type: 'object', properties: { key: { type: 'string' }, objectName: { type: 'string' } } },
            },
          },
        },
      },
    },
  },
};

const SECRET_PROVIDER_CLASS_POD_STATUS = {
  status: {
    type: 'object',
    properties: {
      mounted: { type: 'boolean' },
      podName: { type: 'string' },
      secretProviderClassName: { type: 'string' },
      targetPath: { type: 'string' },
      objects: {
        type: 'array',
        items: { type: 'object', properties: { id: { type: 'string' }, version: { type: 'string' } } },
      },
    },
  },
};

export const CUSTOM_RESOURCES = [
  definition('SecretProviderClass', 'secretproviderclasses', SECRET_PROVIDER_CLASS),
  definition('SecretProviderClassPodStatus', 'secretproviderclasspodstatuses', SECRET_PROVIDER_CLASS_POD_STATUS),
];

function definition(kind: string, plural: string, properties: object) {
  const group = 'secrets-store.csi.x-k8s.io';
  const schema = {
    openAPIV3Schema: {
      type: 'object',
      properties: {
        apiVersion: { type: 'string' },
        kind: { type: 'string' },
        metadata: { type: 'object' },
        ...properties,
      },
    },
  };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [
        { name: 'v1', served: true, storage: true, schema },
        { name: 'v1alpha1', served: true, storage: false, deprecated: true, schema },
      ],
    },
  };
}
