import type {
  Cluster,
  CronJob,
  ExternalSecret,
  ExternalStore,
  Marker,
  Mount,
  Pod,
  SecretProviderClass,
  Workload,
} from '../../../../shared/cluster/port.ts';
import type { RekeyError } from '../../../../shared/operations/errors.ts';

/** A cluster in memory, simulated: it holds what it is given and keeps the contract of the real ones. */
export interface FakeCluster {
  readonly cluster: Cluster;
  classes: SecretProviderClass[];
  workloads: Workload[];
  cronJobs: CronJob[];
  externalSecrets: ExternalSecret[];
  externalStores: ExternalStore[];
  pods: Pod[];
  mounts: Mount[];
  /** Pods that a budget protects, by name. */
  readonly protectedPods: Set<string>;
  /** Thrown by every method while set. */
  failure: RekeyError | undefined;
  /** Namespace and name, in the order they were marked. */
  readonly marked: string[];
  /** `name: reason: message`, in the order they were written. */
  readonly notes: string[];
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
    cronJobs: [],
    externalSecrets: [],
    externalStores: [],
    pods: [],
    mounts: [],
    protectedPods: new Set(),
    failure: undefined,
    marked: [],
    notes: [],
    cluster: {
      name,
      region,
      secretProviderClasses: async () => answer([...fake.classes]),
      workloads: async () => answer([...fake.workloads]),
      cronJobs: async () => answer([...fake.cronJobs]),
      externalSecrets: async () => answer([...fake.externalSecrets]),
      externalStores: async () => answer([...fake.externalStores]),
      pods: async (namespaces) => answer(fake.pods.filter(({ namespace }) => namespaces.has(namespace))),
      mounts: async (namespaces) => answer(fake.mounts.filter(({ namespace }) => namespaces.has(namespace))),

      async mark(seen, { onTemplate, onObject }) {
        const index = answer(fake.workloads).findIndex(
          ({ kind, namespace, name }) => kind === seen.kind && namespace === seen.namespace && name === seen.name,
        );
        const stored = fake.workloads[index];
        if (stored === undefined || stored.resourceVersion !== seen.resourceVersion) return 'moved';
        const annotations = withMarkers(stored.annotations, onObject);
        const templateAnnotations = withMarkers(stored.templateAnnotations, onTemplate);
        if (annotations === stored.annotations && templateAnnotations === stored.templateAnnotations) return 'marked';
        fake.marked.push(`${seen.namespace}/${seen.name}`);
        fake.workloads[index] = { ...stored, annotations, templateAnnotations, resourceVersion: String(++revision) };
        return 'marked';
      },

      async forceSync({ namespace, name, steering: seen }, annotations) {
        const isSteered = (one: ExternalSecret) =>
          one.steering.kind === seen.kind &&
          one.steering.name === seen.name &&
          (seen.kind === 'ClusterExternalSecret' || (one.namespace === namespace && one.name === name));
        const stored = answer(fake.externalSecrets).find(isSteered)?.steering;
        if (stored?.resourceVersion !== seen.resourceVersion) return 'moved';
        const steering = {
          ...stored,
          resourceVersion: String(++revision),
          annotations: new Map([...stored.annotations, ...annotations]),
        };
        fake.externalSecrets = fake.externalSecrets.map((one) => (isSteered(one) ? { ...one, steering } : one));
        return 'forced';
      },

      async note({ name }, { reason, message }) {
        answer(fake.notes).push(`${name}: ${reason}: ${message}`);
      },

      async evict({ namespace, name, uid }) {
        const index = answer(fake.pods).findIndex((one) => one.namespace === namespace && one.name === name);
        if (fake.pods[index]?.uid !== uid) return 'moved';
        if (fake.protectedPods.has(name)) return 'refused';
        fake.pods.splice(index, 1);
        return 'evicted';
      },

      async mayEvict({ namespace, name, uid }) {
        const there = answer(fake.pods).find((one) => one.namespace === namespace && one.name === name);
        if (there?.uid !== uid) return 'moved';
        return fake.protectedPods.has(name) ? 'refused' : 'allowed';
      },
    },
  };
  return fake;
}

function withMarkers(
  annotations: ReadonlyMap<string, string>,
  markers: readonly Marker[],
): ReadonlyMap<string, string> {
  if (markers.every(({ annotation, versionId }) => annotations.get(annotation) === versionId)) return annotations;
  return new Map([...annotations, ...markers.map(({ annotation, versionId }) => [annotation, versionId] as const)]);
}
