import type { ExternalSecret, SecretProviderClass } from '../cluster/port.ts';
import { isNamed, namesIn } from './annotations.ts';
import { mayUse, objectsOf, type Use, useOf } from './class-objects.ts';
import { readsOf, type Stores, secretsRead, storesByKey } from './external-secrets.ts';
import type { Outline } from './observe.ts';
import type { SecretIdentity } from './references.ts';
import type { WrittenSecret } from './synced-secrets.ts';

/** What a cluster's manifests have to do with the secret. Keys are namespace and name. */
export interface Found {
  readonly uses: ReadonlyMap<string, { readonly spc: SecretProviderClass; readonly uses: readonly Use[] }>;
  /** Classes that may use the secret, and why nobody can say. */
  readonly unreadable: ReadonlyMap<string, { readonly namespace: string; readonly why: string }>;
  /** Kubernetes Secrets that the driver writes what follows the secret into. */
  readonly synced: ReadonlyMap<string, WrittenSecret>;
  /** Kubernetes Secrets that an ExternalSecret writes what follows the secret into. */
  readonly external: ReadonlyMap<string, ExternalSecret>;
  /** Kubernetes Secrets that an ExternalSecret writes a pinned version into. */
  readonly pinnedExternal: ReadonlyMap<string, { readonly name: string; readonly to: string }>;
  readonly faults: readonly { readonly where: string; readonly why: string }[];
}

/** What names the secret, or may: its classes, and the Kubernetes Secrets that are written from it. */
export function findUses(
  secret: SecretIdentity,
  { cluster, classes, externalSecrets, externalStores }: Outline,
): Found {
  const uses = new Map<string, { readonly spc: SecretProviderClass; readonly uses: readonly Use[] }>();
  const unreadable = new Map<string, { readonly namespace: string; readonly why: string }>();
  const synced = new Map<string, WrittenSecret>();
  const faults: { where: string; why: string }[] = [];
  const writes = (spc: SecretProviderClass, name: string, ids: readonly string[]) => {
    const key = `${spc.namespace}/${name}`;
    synced.set(key, { writers: [...(synced.get(key)?.writers ?? []), { spc, ids }] });
  };
  for (const spc of classes) {
    const parsed = objectsOf(spc, cluster.region);
    const key = `${spc.namespace}/${spc.name}`;
    if (parsed.kind === 'malformed') {
      faults.push({ where: `SecretProviderClass ${key}`, why: parsed.why });
      if (!mayUse(spc, secret)) continue;
      unreadable.set(key, { namespace: spc.namespace, why: parsed.why });
      for (const { name } of spc.syncedSecrets) writes(spc, name, []);
      continue;
    }
    const found: Use[] = [];
    const files = new Set<string>();
    for (const object of parsed.objects) {
      const use = useOf(object, secret);
      if (use === undefined) continue;
      found.push(use);
      if (use.kind !== 'pinned') for (const id of object.ids) files.add(id);
    }
    if (found.length > 0) uses.set(key, { spc, uses: found });
    const recorded = found.flatMap((use) => (use.kind === 'follows' ? use.ids : []));
    for (const one of spc.syncedSecrets) if (one.files.some((file) => files.has(file))) writes(spc, one.name, recorded);
  }

  const external = new Map<string, ExternalSecret>();
  const pinnedExternal = new Map<string, { readonly name: string; readonly to: string }>();
  const stores: Stores = storesByKey(externalStores);
  for (const one of externalSecrets) {
    if (one.target === undefined) continue;
    const key = `${one.namespace}/${one.target}`;
    for (const { use } of readsOf(one, stores, secret, cluster.region)) {
      if (use.kind === 'unrecorded') external.set(key, one);
      else pinnedExternal.set(key, { name: one.name, to: use.to });
    }
  }
  return { uses, unreadable, synced, external, pinnedExternal, faults };
}

/** The namespaces whose pods have to be looked at. */
export function namespacesUsing(secret: SecretIdentity, outline: Outline): ReadonlySet<string> {
  const { cluster, workloads, cronJobs } = outline;
  const { uses, unreadable, external } = findUses(secret, outline);
  const found = [...[...uses.values()].map(({ spc }) => spc), ...unreadable.values(), ...external.values()];
  const named = [...workloads, ...cronJobs].filter((one) => isNamed(secret, one, cluster.region));
  return new Set([...found, ...named].map(({ namespace }) => namespace));
}

/** The Regions from which the cluster's pods get the secret: its own, and those that a class or a store names instead. */
export function regionsReadBy(secret: SecretIdentity, outline: Outline): ReadonlySet<string> {
  const { cluster, classes, externalSecrets, externalStores } = outline;
  const stores = storesByKey(externalStores);
  return new Set([
    cluster.region,
    ...classes.flatMap((spc) => {
      const parsed = objectsOf(spc, cluster.region);
      const objects = parsed.kind === 'malformed' ? [] : parsed.objects;
      return objects.flatMap((object) => (useOf(object, secret) === undefined ? [] : object.region));
    }),
    ...externalSecrets.flatMap((one) => readsOf(one, stores, secret, cluster.region).map(({ region }) => region)),
  ]);
}

/** Every reference to a secret that a cluster's manifests hold by name or ARN. */
export function secretsNamed(outline: Outline): ReadonlySet<string> {
  const { cluster, classes, workloads, cronJobs, externalSecrets, externalStores } = outline;
  const names = new Set<string>();
  for (const spc of classes) for (const name of secretsMounted(spc, cluster.region) ?? []) names.add(name);
  const stores = storesByKey(externalStores);
  for (const external of externalSecrets) for (const name of secretsRead(external, stores)) names.add(name);
  for (const one of [...workloads, ...cronJobs]) for (const name of namesIn(one)) names.add(name);
  return names;
}

/** The names and ARNs that a class has mounted; undefined when it cannot be read. */
export function secretsMounted(spc: SecretProviderClass, region: string): readonly string[] | undefined {
  const parsed = objectsOf(spc, region);
  if (parsed.kind === 'malformed') return undefined;
  return parsed.objects.flatMap(({ objectName, failover }) =>
    failover === undefined ? [objectName] : [objectName, failover.objectName],
  );
}
