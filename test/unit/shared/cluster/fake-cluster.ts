import type { Cluster, Mount, Pod, SecretProviderClass, Workload } from '../../../../shared/cluster/port.ts';
import type { RekeyError } from '../../../../shared/operations/errors.ts';

/** A cluster in memory, simulated: it holds what it is given and keeps the contract of the real ones. */
export interface FakeCluster {
  readonly cluster: Cluster;
  classes: SecretProviderClass[];
  workloads: Workload[];
  pods: Pod[];
  mounts: Mount[];
  /** Thrown by every method while set. */
  failure: RekeyError | undefined;
  /** Namespace and name, in the order they were marked. */
  readonly marked: string[];
}

export function createFakeCluster(name = 'prod', region = 'eu-west-1'): FakeCluster {
  let revision = 1_000;
  const answer = <T>(value: T): T => {
    if (fake.failure !== undefined) throw fake.failure;
    return value;
  };
  const fake: FakeCluster = {
    classes: [],
    workloads: [],
    pods: [],
    mounts: [],
    failure: undefined,
    marked: [],
    cluster: {
      name,
      region,
      secretProviderClasses: async () => answer([...fake.classes]),
      workloads: async () => answer([...fake.workloads]),
      pods: async (namespaces) => answer(fake.pods.filter(({ namespace }) => namespaces.has(namespace))),
      mounts: async (namespaces) => answer(fake.mounts.filter(({ namespace }) => namespaces.has(namespace))),

      async mark(seen, { annotation, versionId }, where) {
        const index = answer(fake.workloads).findIndex(
          ({ kind, namespace, name }) => kind === seen.kind && namespace === seen.namespace && name === seen.name,
        );
        const stored = fake.workloads[index];
        if (stored === undefined || stored.resourceVersion !== seen.resourceVersion) return 'moved';
        const field = where === 'object' ? 'annotations' : 'templateAnnotations';
        if (stored[field].get(annotation) === versionId) return 'marked';
        fake.marked.push(`${seen.namespace}/${seen.name}`);
        fake.workloads[index] = {
          ...stored,
          [field]: new Map([...stored[field], [annotation, versionId]]),
          resourceVersion: String(++revision),
        };
        return 'marked';
      },
    },
  };
  return fake;
}
