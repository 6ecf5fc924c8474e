import { createHash } from 'node:crypto';
import { matchesSelector } from '../../api/selectors.ts';
import type { ComponentClient } from '../../component-client.ts';
import {
  type ClusterExternalSecret,
  controllerOf,
  controllerReference,
  type ExternalSecret,
  type ExternalSecretSpec,
  type KubernetesObject,
  type SecretObject,
  type SecretStoreObject,
  sameJson,
} from '../../objects.ts';
import { type Activity, type Again, Reconciler } from '../reconciler.ts';
import { type AwsSecrets, FetchFailed, fetchMap, fetchValue, findAll } from './provider.ts';
import { isDue, nextRefreshMs, versionOf } from './refresh.ts';
import { render } from './template.ts';

const MANAGED = 'reconcile.external-secrets.io/managed';
const DATA_HASH = 'reconcile.external-secrets.io/data-hash';
const FORCE_SYNC = 'external-secrets.io/force-sync';

/** Before a fetch that failed is tried again. The operator's own waits grow from a second. */
const RETRY_MS = 500;

export interface ExternalSecretsOptions {
  readonly client: ComponentClient;
  readonly activity: Activity;
  readonly aws: AwsSecrets;
}

/**
 * The External Secrets Operator, simulated by what its fields mean: writes Kubernetes Secrets from Secrets Manager (or
 * from Parameter Store, as far as that reads secrets), and says in the status what it did. No other provider, no
 * generators, no rewrite by merge; of templates, `{{ .name }}` with nothing around it.
 */
export function startExternalSecrets(options: ExternalSecretsOptions): Reconciler[] {
  const { client, activity } = options;
  const secrets = new Reconciler(activity, async (namespace, name) => {
    const found = client.get('externalsecrets', namespace, name);
    return found && found.metadata.deletionTimestamp === undefined ? await sync(options, found) : undefined;
  });
  secrets.source(
    client.watch('externalsecrets', ({ object }) => {
      if (object) secrets.enqueue(object.metadata.namespace ?? '', object.metadata.name);
    }),
  );
  // A target that somebody changed or deleted is made again.
  secrets.source(
    client.watch('secrets', ({ object, previous }) => {
      const owner = controllerOf(object ?? previous ?? NOBODY);
      if (owner?.kind === 'ExternalSecret') secrets.enqueue((object ?? previous)?.metadata.namespace ?? '', owner.name);
    }),
  );
  const lookAtAll = () => {
    for (const { metadata } of client.list('externalsecrets')) secrets.enqueue(metadata.namespace ?? '', metadata.name);
  };
  for (const store of ['secretstores', 'clustersecretstores'] as const) secrets.source(client.watch(store, lookAtAll));

  const ofCluster = new Reconciler(activity, async (_namespace, name) => {
    const found = client.get('clusterexternalsecrets', undefined, name);
    if (found) await provision(client, found);
    return undefined;
  });
  const lookAtOfCluster = () => {
    for (const { metadata } of client.list('clusterexternalsecrets')) ofCluster.enqueue('', metadata.name);
  };
  ofCluster.source(client.watch('clusterexternalsecrets', lookAtOfCluster));
  ofCluster.source(client.watch('namespaces', lookAtOfCluster));
  return [secrets, ofCluster];
}

const NOBODY: KubernetesObject = {
  apiVersion: '',
  kind: '',
  metadata: { name: '', uid: '', resourceVersion: '', creationTimestamp: '' },
};

async function sync(options: ExternalSecretsOptions, external: ExternalSecret): Promise<Again> {
  const { client } = options;
  const { namespace = '', name } = external.metadata;
  const { target = {} } = external.spec;
  const existing = await client.read('secrets', namespace, target.name ?? name);
  const nowMs = client.clock.now();
  if (!isDue(external, nowMs) && isValid(existing, external)) return after(nextRefreshMs(external, nowMs));
  try {
    const values = await fetchAll(options, external);
    await write(client, external, existing, render(target.template, values));
  } catch (thrown) {
    if (!(thrown instanceof FetchFailed)) throw thrown;
    client.recordEvent(external, 'Warning', 'UpdateFailed', thrown.message);
    await setReady(client, external, 'False', 'SecretSyncedError', thrown.message);
    return { afterMs: RETRY_MS, expected: false };
  }
  await setReady(client, external, 'True', 'SecretSynced', 'secret synced', {
    refreshTime: client.now(),
    syncedResourceVersion: versionOf(external),
    binding: { name: target.name ?? name },
  });
  return after(nextRefreshMs({ ...external, status: { refreshTime: client.now() } }, nowMs));
}

function after(milliseconds: number | undefined): Again {
  return milliseconds === undefined ? undefined : { afterMs: milliseconds, expected: false };
}

/** There, and with the contents that were written into it. */
function isValid(secret: SecretObject | undefined, { spec }: ExternalSecret): boolean {
  if (spec.target?.creationPolicy === 'None') return true;
  const { labels, annotations } = secret?.metadata ?? {};
  return labels?.[MANAGED] === 'true' && annotations?.[DATA_HASH] === hashOf(secret?.data ?? {});
}

/** @throws FetchFailed */
async function fetchAll({ client, aws }: ExternalSecretsOptions, { metadata, spec }: ExternalSecret) {
  const values = new Map<string, string>();
  const storeOf = (ref: ExternalSecretSpec['secretStoreRef'] = spec.secretStoreRef): SecretStoreObject => {
    const { kind = 'SecretStore', name = '' } = ref ?? {};
    const store =
      kind === 'ClusterSecretStore'
        ? client.get('clustersecretstores', undefined, name)
        : client.get('secretstores', metadata.namespace, name);
    if (store === undefined) throw new FetchFailed(`could not get ${kind} "${name}"`);
    if (store.spec.provider.aws === undefined) throw new FetchFailed(`the provider of ${kind} "${name}" is not aws`);
    return store;
  };
  for (const { extract, find, rewrite = [], sourceRef } of spec.dataFrom ?? []) {
    const store = storeOf(sourceRef?.storeRef);
    const found = extract ? await fetchMap(store, extract, aws) : await findAll(store, find ?? {}, aws);
    for (const [key, value] of found) {
      const name = rewrite.reduce(
        (from, { regexp }) => (regexp ? from.replaceAll(new RegExp(regexp.source, 'g'), regexp.target) : from),
        key,
      );
      values.set(name, value);
    }
  }
  for (const { secretKey, remoteRef, sourceRef } of spec.data ?? [])
    values.set(secretKey, await fetchValue(storeOf(sourceRef?.storeRef), remoteRef, aws));
  return values;
}

/** @throws FetchFailed */
async function write(
  client: ComponentClient,
  external: ExternalSecret,
  existing: SecretObject | undefined,
  contents: ReadonlyMap<string, string>,
): Promise<void> {
  const { namespace = '', name } = external.metadata;
  const { target = {} } = external.spec;
  const { creationPolicy = 'Owner', template } = target;
  if (creationPolicy === 'None') return;
  const written = Object.fromEntries([...contents].map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
  const merges = creationPolicy === 'Merge' || creationPolicy === 'CreateOrMerge';
  const data = merges ? { ...existing?.data, ...written } : written;
  const labels = { ...template?.metadata?.labels, [MANAGED]: 'true' };
  const annotations = { ...template?.metadata?.annotations, [DATA_HASH]: hashOf(data) };
  if (existing === undefined) {
    if (creationPolicy === 'Merge') throw new FetchFailed(`the desired secret ${target.name ?? name} was not found`);
    await client.create('secrets', namespace, {
      ...client.typeOf('secrets'),
      metadata: {
        name: target.name ?? name,
        labels,
        annotations,
        ...(creationPolicy === 'Owner' ? { ownerReferences: [controllerReference(external)] } : {}),
      },
      type: template?.type ?? 'Opaque',
      ...(target.immutable ? { immutable: true } : {}),
      data,
    });
    return;
  }
  if (existing.immutable === true && !sameJson(existing.data ?? {}, data))
    throw new FetchFailed(`secret ${existing.metadata.name} is immutable`);
  await client.edit(existing, (draft) => {
    draft.metadata.labels = { ...draft.metadata.labels, ...labels };
    draft.metadata.annotations = { ...draft.metadata.annotations, ...annotations };
    draft.data = data;
  });
}

async function setReady(
  client: ComponentClient,
  external: ExternalSecret,
  status: 'True' | 'False',
  reason: string,
  message: string,
  noted: Partial<NonNullable<ExternalSecret['status']>> = {},
): Promise<void> {
  await client.editStatus(external, (draft) => {
    const old = draft.status?.conditions?.find(({ type }) => type === 'Ready');
    const lastTransitionTime = old?.status === status ? (old.lastTransitionTime ?? client.now()) : client.now();
    draft.status = {
      ...draft.status,
      ...noted,
      conditions: [{ type: 'Ready', status, reason, message, lastTransitionTime }],
    };
  });
}

/** The ExternalSecrets of a ClusterExternalSecret: one in each namespace that it chooses. */
async function provision(client: ComponentClient, parent: ClusterExternalSecret): Promise<void> {
  const { spec, metadata } = parent;
  const name = spec.externalSecretName ?? metadata.name;
  const selectors = [...(spec.namespaceSelectors ?? []), ...(spec.namespaceSelector ? [spec.namespaceSelector] : [])];
  const chosen = client
    .list('namespaces')
    .filter(
      ({ metadata: { name: namespace, labels } }) =>
        spec.namespaces?.includes(namespace) || selectors.some((selector) => matchesSelector(selector, labels)),
    )
    .map((namespace) => namespace.metadata.name);
  const failed: { namespace: string; reason: string }[] = [];
  const force = metadata.annotations?.[FORCE_SYNC];
  const annotations = {
    ...spec.externalSecretMetadata?.annotations,
    ...(force === undefined ? {} : { [FORCE_SYNC]: force }),
  };
  for (const namespace of chosen) {
    const present = await client.read('externalsecrets', namespace, name);
    if (present === undefined) {
      await client.create('externalsecrets', namespace, {
        ...client.typeOf('externalsecrets'),
        metadata: {
          name,
          labels: { ...spec.externalSecretMetadata?.labels },
          annotations,
          ownerReferences: [controllerReference(parent)],
        },
        spec: spec.externalSecretSpec,
      });
    } else if (controllerOf(present)?.uid !== metadata.uid) {
      failed.push({ namespace, reason: 'external secret already exists in namespace' });
    } else {
      await client.edit(present, (draft) => {
        draft.spec = structuredClone(spec.externalSecretSpec);
        draft.metadata.annotations = { ...draft.metadata.annotations, ...annotations };
        draft.metadata.labels = { ...draft.metadata.labels, ...spec.externalSecretMetadata?.labels };
      });
    }
  }
  for (const child of client.list('externalsecrets'))
    if (controllerOf(child)?.uid === metadata.uid && !chosen.includes(child.metadata.namespace ?? ''))
      await client.delete(child);
  await client.editStatus(parent, (draft) => {
    draft['status'] = {
      externalSecretName: name,
      provisionedNamespaces: chosen.filter((one) => !failed.some(({ namespace }) => namespace === one)).sort(),
      ...(failed.length > 0 ? { failedNamespaces: failed } : {}),
      conditions: [{ type: 'Ready', status: failed.length === 0 ? 'True' : 'False' }],
    };
  });
}

function hashOf(data: Readonly<Record<string, string>>): string {
  const sorted = Object.entries(data).sort(([left], [right]) => (left < right ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex');
}
