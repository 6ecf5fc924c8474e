import type { CronJob, Pod, References, Workload } from '../cluster/port.ts';
import { namesIn } from './annotations.ts';
import { ownerId, ownerOf } from './consumers.ts';
import { secretsRead, storeKey, storesByKey } from './external-secrets.ts';
import { findUses, secretsMounted } from './manifests.ts';
import type { Snapshot } from './observe.ts';
import { referencesTo, type SecretIdentity } from './references.ts';

/** Key of what may have to do with any secret. No reference is empty. */
const ANY = '';

/**
 * For whoever looks at many secrets: with the part that this picks for one of them, `consumersOf` says the same as with the
 * whole, which it would go through for each.
 */
export function narrowing(snapshot: Snapshot): (secret: SecretIdentity) => Snapshot {
  const { region } = snapshot.cluster;
  const stores = storesByKey(snapshot.externalStores);
  // A class that cannot be read names nobody knows what; a search finds nobody knows what.
  const classes = indexed(snapshot.classes, (spc) => secretsMounted(spc, region) ?? [ANY]);
  const externalSecrets = indexed(snapshot.externalSecrets, (one) =>
    one.sources.some(({ kind }) => kind === 'find') ? [ANY] : secretsRead(one, stores),
  );
  const externalStores = indexed(snapshot.externalStores, ({ kind, namespace, name }) => [
    storeKey(kind, namespace, name),
  ]);
  // The CSI driver tells about whatever it mounts.
  const workloads = indexed(snapshot.workloads, (one) => [
    ...usersKeys(one),
    ...(one.csiDriver === undefined ? [] : [ANY]),
  ]);
  const cronJobs = indexed(snapshot.cronJobs, usersKeys);
  const pods = indexed(snapshot.pods, (pod) => [ownerOf(pod), ...referenceKeys(pod)]);
  const mounts = indexed(snapshot.mounts, ({ namespace, pod }) => [podKey(namespace, pod)]);

  return (secret) => {
    const references = referencesTo(secret);
    const external = externalSecrets([...references, ANY]);
    const outline = {
      ...snapshot,
      classes: classes([...references, ANY]),
      externalSecrets: external,
      externalStores: externalStores(
        external.flatMap(({ namespace, sources }) =>
          sources.map(({ store: { kind, name } }) => storeKey(kind, namespace, name)),
        ),
      ),
    };
    const found = findUses(secret, outline);
    const keys = [
      ...[found.uses, found.unreadable].flatMap((all) => [...all.keys()].map(classKey)),
      ...[found.synced, found.external, found.pinnedExternal].flatMap((all) => [...all.keys()].map(secretKey)),
    ];
    const users = [...keys, ...references];
    const itsCronJobs = cronJobs(users);
    // What one pod has of the secret, its siblings are asked for too.
    const itsPods = pods([
      ...workloads(users).map(({ kind, namespace, name }) => ownerId(kind, namespace, name)),
      ...itsCronJobs.map(({ namespace, name }) => ownerId('CronJob', namespace, name)),
      ...pods(keys).map(ownerOf),
    ]);
    return {
      ...outline,
      workloads: workloads([...users, ANY]),
      cronJobs: itsCronJobs,
      pods: itsPods,
      mounts: mounts(itsPods.map(({ namespace, name }) => podKey(namespace, name))),
    };
  };
}

/** By what it refers to, and by the names that its annotation gives. */
function usersKeys(one: Workload | CronJob): readonly string[] {
  return [...referenceKeys(one), ...namesIn(one)];
}

function referenceKeys({
  namespace,
  secretProviderClasses,
  secrets,
}: References & Pick<Pod, 'namespace'>): readonly string[] {
  return [
    ...secretProviderClasses.map((name) => classKey(`${namespace}/${name}`)),
    ...secrets.map(({ name }) => secretKey(`${namespace}/${name}`)),
  ];
}

// With a blank, which no name of a secret has.
const classKey = (id: string) => `class ${id}`;
const secretKey = (id: string) => `secret ${id}`;
const podKey = (namespace: string, name: string) => `${namespace}/${name}`;

/** Those that have one of the keys, each once and in the order of the list. */
function indexed<T>(
  all: readonly T[],
  keysOf: (one: T) => readonly string[],
): (keys: readonly string[]) => readonly T[] {
  const places = new Map<string, number[]>();
  for (const [place, one] of all.entries())
    for (const key of keysOf(one)) {
      const known = places.get(key);
      if (known === undefined) places.set(key, [place]);
      else known.push(place);
    }
  return (keys) => {
    const picked = new Set(keys.flatMap((key) => places.get(key) ?? []));
    return [...picked].sort((one, other) => one - other).map((place) => all[place] as T);
  };
}
