import type {
  Cluster,
  CronJob,
  ExternalSecret,
  ExternalStore,
  Mount,
  Pod,
  SecretProviderClass,
  Workload,
} from '../cluster/port.ts';
import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError } from '../operations/errors.ts';
import type { Unproved } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';

/** What one look at one cluster saw. */
export interface Snapshot {
  readonly cluster: { readonly name: string; readonly region: string };
  readonly classes: readonly SecretProviderClass[];
  readonly workloads: readonly Workload[];
  readonly cronJobs: readonly CronJob[];
  readonly externalSecrets: readonly ExternalSecret[];
  readonly externalStores: readonly ExternalStore[];
  /** Of every namespace of {@link observe}'s `namespacesOf`, at least. */
  readonly pods: readonly Pod[];
  readonly mounts: readonly Mount[];
}

/** What is known before any pod is looked at: enough to say in which namespaces to look. */
export type Outline = Omit<Snapshot, 'pods' | 'mounts'>;

/** The longest that one pass waits for a cluster before it goes on with the others. */
export const LOOK_MS = 30_000;

/** What one look at all clusters saw. */
export interface Observation {
  readonly snapshots: readonly Snapshot[];
  /** Clusters that did not answer, in the words of a consumer that is not proved. */
  readonly unseen: readonly Unproved[];
}

/**
 * Looks at all clusters at once. One that cannot be reached does not keep the others waiting; it is named in the
 * result. Never throws.
 * @param namespacesOf whose pods to look at
 */
export async function observe(
  clusters: readonly Cluster[],
  namespacesOf: (outline: Outline) => ReadonlySet<string>,
  deadline: Deadline,
  log: Log,
): Promise<Observation> {
  const snapshots: Snapshot[] = [];
  const unseen: Unproved[] = [];
  await Promise.all(
    clusters.map(async (cluster) => {
      try {
        snapshots.push(await snapshotOf(cluster, namespacesOf, deadline));
      } catch (thrown) {
        const error = asRekeyError(thrown);
        log.warn('a cluster could not be looked at', { cluster: cluster.name, error: thrown });
        unseen.push({ cluster: cluster.name, kind: 'Cluster', namespace: '', name: cluster.name, why: error.message });
      }
    }),
  );
  return { snapshots, unseen };
}

async function snapshotOf(
  cluster: Cluster,
  namespacesOf: (outline: Outline) => ReadonlySet<string>,
  deadline: Deadline,
): Promise<Snapshot> {
  const classes = await cluster.secretProviderClasses(deadline);
  const workloads = await cluster.workloads(deadline);
  const cronJobs = await cluster.cronJobs(deadline);
  const externalSecrets = await cluster.externalSecrets(deadline);
  const externalStores = externalSecrets.length === 0 ? [] : await cluster.externalStores(deadline);
  const outline: Outline = { cluster, classes, workloads, cronJobs, externalSecrets, externalStores };
  const namespaces = namespacesOf(outline);
  // Records after pods: a record that is missing then is missing, not just younger than the look at it.
  const pods = await cluster.pods(namespaces, deadline);
  const mounts = await cluster.mounts(namespaces, deadline);
  return { ...outline, pods, mounts };
}
