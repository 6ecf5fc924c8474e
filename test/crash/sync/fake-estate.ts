import type { Pod, Workload } from '../../../shared/cluster/port.ts';
import { markerOf } from '../../../shared/consumers/marker.ts';
import { CURRENT, PREVIOUS, type SecretDescription } from '../../../shared/secrets/port.ts';
import { versionOf } from '../../unit/functions/sync/messages.ts';
import { createFakeCluster, type FakeCluster } from '../../unit/shared/cluster/fake-cluster.ts';
import {
  containerOf,
  DATABASE,
  mountOf,
  podOf,
  SECRET,
  T0,
  workloadOf,
} from '../../unit/shared/consumers/observations.ts';
import type { Estate } from './run.ts';

export interface FakeEstate extends Estate {
  readonly fake: FakeCluster;
  /** AWSCURRENT moves to the next version. */
  rotate(): void;
  /** Workload and version → how often its template was changed for it. */
  readonly changes: ReadonlyMap<string, number>;
  /** The most templates that were ever ahead of their pods at the same time, and that before any had caught up. */
  readonly mostUnderWay: { ever: number; untilProved: number };
}

export const MAX_PARALLEL = 2;

/** How often each workload restarts when a version moves. */
export const RESTARTS: ReadonlyMap<string, number> = new Map([
  ['storefront', 1],
  ['orders', 1],
  ['billing', 1],
  ['ledger', 1],
  ['agent', 1],
  ['reader', 0],
]);

const WORKLOADS: readonly Partial<Workload>[] = [
  { name: 'storefront', replicas: 2, annotations: new Map([['rekey.dev/wave', '0']]) },
  { name: 'orders', replicas: 2 },
  { name: 'billing', replicas: 1 },
  { name: 'ledger', replicas: 2, kind: 'StatefulSet' },
  { name: 'agent', replicas: 2, kind: 'DaemonSet' },
  { name: 'reader', replicas: 1, annotations: new Map([['rekey.dev/mode', 'annotate']]) },
];

/** On the cluster in memory, simulated: its controllers replace one pod of each workload at a time. */
export function createFakeEstate(): FakeEstate {
  const fake = createFakeCluster();
  let nowMs = T0;
  let version = 1;
  let made = 0;
  const describe = (number: number): SecretDescription => ({
    ...SECRET,
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([
      [versionOf(number), [CURRENT]],
      [versionOf(number - 1), [PREVIOUS]],
    ]),
    tags: new Map([['rekey:max-parallel', String(MAX_PARALLEL)]]),
    owningService: undefined,
    deletedAtMs: undefined,
  });
  const changes = new Map<string, number>();
  const mostUnderWay = { ever: 0, untilProved: 0 };

  function makePod({ kind, name, templateAnnotations }: Workload): Pod {
    made += 1;
    const startedAtMs = nowMs + 1_000;
    const pod = podOf({
      name: `${name}-${made}`,
      createdAtMs: nowMs,
      controller: { kind, name },
      annotations: templateAnnotations,
      containers: [containerOf({ state: { kind: 'started', startedAtMs } })],
    });
    fake.mounts.push(mountOf(pod, version, { firstMountedAtMs: nowMs, changedAtMs: nowMs }));
    fake.pods.push(pod);
    return pod;
  }
  const podsOf = ({ name }: Workload) => fake.pods.filter(({ controller }) => controller?.name === name);
  const hasTemplate = ({ templateAnnotations }: Workload, { annotations }: Pod) =>
    JSON.stringify([...annotations]) === JSON.stringify([...templateAnnotations]);

  fake.classes = [DATABASE];
  fake.workloads = WORKLOADS.map((one) => workloadOf(one));
  for (const workload of fake.workloads) for (let n = 0; n < workload.replicas; n += 1) makePod(workload);

  const { mark } = fake.cluster;
  const cluster: FakeEstate['cluster'] = {
    ...fake.cluster,
    async mark(seen, marks, deadline) {
      const find = () => fake.workloads.find(({ name }) => name === seen.name);
      const before = find()?.templateAnnotations;
      const result = await mark(seen, marks, deadline);
      const after = find();
      if (after === undefined || before === after.templateAnnotations) return result;
      const { annotation } = markerOf(SECRET, '');
      const id = `${after.name} ${after.templateAnnotations.get(annotation)}`;
      changes.set(id, (changes.get(id) ?? 0) + 1);
      // The controller has yet to see it.
      const rollout = { ...after.rollout, observed: false, updated: 0 };
      fake.workloads = fake.workloads.map((one) => (one === after ? { ...one, rollout } : one));
      const isMarked = (one: Workload) => one.templateAnnotations.get(annotation) === versionOf(version);
      const marked = fake.workloads.filter(isMarked);
      const done = marked.filter((one) => podsOf(one).every((pod) => hasTemplate(one, pod)));
      mostUnderWay.ever = Math.max(mostUnderWay.ever, marked.length - done.length);
      if (done.length === 0) mostUnderWay.untilProved = Math.max(mostUnderWay.untilProved, marked.length);
      return result;
    },
  };

  return {
    fake,
    cluster,
    clock: { now: () => nowMs },
    advance(milliseconds) {
      nowMs += milliseconds;
    },
    get before() {
      return describe(version - 1);
    },
    get secret() {
      return describe(version);
    },
    rotate() {
      version += 1;
      changes.clear();
    },
    async goOn() {
      for (const workload of fake.workloads) {
        const old = podsOf(workload).find((pod) => !hasTemplate(workload, pod));
        if (old !== undefined) {
          fake.pods = fake.pods.filter((pod) => pod !== old);
          fake.mounts = fake.mounts.filter(({ pod }) => pod !== old.name);
          makePod(workload);
        }
        // The driver reads again for who asks for it.
        if (workload.annotations.get('rekey.dev/mode') === 'annotate')
          fake.mounts = fake.mounts.map((mount) =>
            podsOf(workload).some(({ name }) => name === mount.pod)
              ? { ...mountOf({ ...podOf(), name: mount.pod, uid: mount.podUid ?? '' }, version), changedAtMs: nowMs }
              : mount,
          );
        const updated = podsOf(workload).filter((pod) => hasTemplate(workload, pod)).length;
        if (workload.rollout.observed && workload.rollout.updated === updated) continue;
        const rollout = { ...workload.rollout, observed: true, updated };
        const resourceVersion = `${workload.resourceVersion}+`;
        fake.workloads = fake.workloads.map((one) => (one === workload ? { ...one, rollout, resourceVersion } : one));
      }
    },
    async restarts() {
      return new Map(fake.workloads.map(({ name }) => [name, changes.get(`${name} ${versionOf(version)}`) ?? 0]));
    },
    async notOnVersion() {
      return fake.pods
        .filter(({ name }) =>
          fake.mounts.some(({ pod, versions }) => pod === name && ![...versions.values()].includes(versionOf(version))),
        )
        .map(({ name }) => name);
    },
    changes,
    mostUnderWay,
  };
}
