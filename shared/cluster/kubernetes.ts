import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { goRegexp } from './go-regexp.ts';
import { createEventRecorder } from './kubernetes-events.ts';
import {
  type ExternalSecretObject,
  type ExternalStoreObject,
  externalSecretOf,
  externalStoreOf,
  makerOf,
  patternsOf,
  steeredBy,
} from './kubernetes-external-secrets.ts';
import { createLists, type Kind, type Lists } from './kubernetes-lists.ts';
import { controllerOf, type PodObject, podOf } from './kubernetes-pods.ts';
import { createRequests, type Query, type Requests, statusOf, translated } from './kubernetes-requests.ts';
import {
  mountOf,
  type PodStatusObject,
  type SecretProviderClassObject,
  secretProviderClassOf,
} from './kubernetes-secrets-store.ts';
import {
  type CronJobObject,
  cronJobOf,
  type DaemonSetObject,
  type DeploymentObject,
  fromDaemonSet,
  fromDeployment,
  fromRollout,
  fromStatefulSet,
  RESTART_PREFIX,
  type RolloutObject,
  type StatefulSetObject,
} from './kubernetes-workloads.ts';
import type { Cluster, ClusterAccess, Marker, Marks, Mount, NamePattern, Pod, Workload, WorkloadKind } from './port.ts';

const kind = (name: string, ...paths: Kind['paths']): Kind => ({ name, plural: `${name.toLowerCase()}s`, paths });

const CSI: Kind['paths'] = ['apis/secrets-store.csi.x-k8s.io/v1', 'apis/secrets-store.csi.x-k8s.io/v1alpha1'];
const EXTERNAL_SECRETS: Kind['paths'] = ['apis/external-secrets.io/v1', 'apis/external-secrets.io/v1beta1'];

const KINDS = {
  deployments: kind('Deployment', 'apis/apps/v1'),
  statefulSets: kind('StatefulSet', 'apis/apps/v1'),
  daemonSets: kind('DaemonSet', 'apis/apps/v1'),
  replicaSets: kind('ReplicaSet', 'apis/apps/v1'),
  rollouts: kind('Rollout', 'apis/argoproj.io/v1alpha1'),
  jobs: kind('Job', 'apis/batch/v1'),
  cronJobs: kind('CronJob', 'apis/batch/v1'),
  pods: kind('Pod', 'api/v1'),
  classes: { name: 'SecretProviderClass', plural: 'secretproviderclasses', paths: CSI },
  podStatuses: { name: 'SecretProviderClassPodStatus', plural: 'secretproviderclasspodstatuses', paths: CSI },
  externalSecrets: kind('ExternalSecret', ...EXTERNAL_SECRETS),
  clusterExternalSecrets: kind('ClusterExternalSecret', ...EXTERNAL_SECRETS),
  stores: kind('SecretStore', ...EXTERNAL_SECRETS),
  clusterStores: kind('ClusterSecretStore', ...EXTERNAL_SECRETS),
} as const satisfies Record<string, Kind>;

const WORKLOADS: Readonly<Record<WorkloadKind, Kind>> = {
  Deployment: KINDS.deployments,
  StatefulSet: KINDS.statefulSets,
  DaemonSet: KINDS.daemonSets,
  Rollout: KINDS.rollouts,
};

/**
 * A cluster by its Kubernetes API. Objects are read from the JSON itself: the client turns every one into classes with
 * all their fields, several times the work.
 */
export function createKubernetesCluster(
  access: ClusterAccess,
  clock: Clock,
): Cluster & { /** Closes the connection. */ close(): Promise<void> } {
  const requests = createRequests(access, clock);
  // What the server serves is learned once per invocation, and anew in the next: it may have been upgraded.
  const sessions = new WeakMap<Deadline, Promise<Session>>();
  const record = createEventRecorder(clock);
  const { name, region } = access;

  return {
    name,
    region,

    async secretProviderClasses(deadline) {
      const { list } = await session(deadline);
      return await list(KINDS.classes, (one: SecretProviderClassObject) => secretProviderClassOf(one));
    },

    async workloads(deadline) {
      const { list } = await session(deadline);
      const deployments = await list(KINDS.deployments, (one: DeploymentObject) => fromDeployment(one));
      const statefulSets = await list(KINDS.statefulSets, (one: StatefulSetObject) => fromStatefulSet(one));
      const daemonSets = await list(KINDS.daemonSets, (one: DaemonSetObject) => fromDaemonSet(one));
      const rollouts = await list(KINDS.rollouts, (one: RolloutObject) => fromRollout(one, deployments));
      return [...deployments, ...statefulSets, ...daemonSets, ...rollouts];
    },

    async cronJobs(deadline) {
      const { list } = await session(deadline);
      return await list(KINDS.cronJobs, (one: CronJobObject) => cronJobOf(one));
    },

    async externalSecrets(deadline) {
      const { list } = await session(deadline);
      const patterns = new Map<string, NamePattern>();
      const found = await list(KINDS.externalSecrets, async (one: ExternalSecretObject) => {
        for (const text of patternsOf(one)) patterns.set(text, patterns.get(text) ?? (await goRegexp(text)));
        return { secret: externalSecretOf(one, patterns), maker: makerOf(one) };
      }).then((all) => Promise.all(all));
      if (found.every(({ maker }) => maker === undefined)) return found.map(({ secret }) => secret);
      const makers = new Map(
        await list(KINDS.clusterExternalSecrets, (one) => [one.metadata?.name ?? '', one.metadata] as const),
      );
      return found.map(({ secret, maker = '' }) => steeredBy(secret, makers.get(maker)));
    },

    async externalStores(deadline) {
      const { list } = await session(deadline);
      return [
        ...(await list(KINDS.stores, (one: ExternalStoreObject) => externalStoreOf(one, 'SecretStore'))),
        ...(await list(KINDS.clusterStores, (one: ExternalStoreObject) => externalStoreOf(one, 'ClusterSecretStore'))),
      ];
    },

    async pods(namespaces, deadline) {
      const { list } = await session(deadline);
      const found: Pod[] = [];
      for (const namespace of namespaces) {
        const pods = await list(KINDS.pods, (one: PodObject) => podOf(one), namespace);
        const makers = new Map<string, Pod['controller']>();
        for (const kind of [KINDS.replicaSets, KINDS.jobs]) {
          if (!pods.some(({ controller }) => controller?.kind === kind.name)) continue;
          const made = await list(kind, ({ metadata }) => [metadata?.name, controllerOf(metadata)] as const, namespace);
          for (const [name, maker] of made) makers.set(`${kind.name}/${name}`, maker);
        }
        for (const pod of pods) {
          const { controller } = pod;
          found.push({ ...pod, controller: makers.get(`${controller?.kind}/${controller?.name}`) ?? controller });
        }
      }
      return found;
    },

    async mounts(namespaces, deadline) {
      const { list } = await session(deadline);
      const found: Mount[] = [];
      for (const namespace of namespaces)
        found.push(...(await list(KINDS.podStatuses, (one: PodStatusObject) => mountOf(one), namespace)));
      return found;
    },

    async mark(workload, marks, deadline) {
      const { patch } = await session(deadline);
      const { kind, namespace, name: of, resourceVersion } = workload;
      const { change, strategy } = changeFor(workload, marks, clock.now());
      const { plural, paths } = WORKLOADS[kind];
      const path = `${paths[0]}/namespaces/${namespace}/${plural}/${of}`;
      // The precondition: whoever changed it meanwhile goes first, and we look again.
      const guarded = { ...change, metadata: { ...change.metadata, resourceVersion } };
      return await unlessMoved<'marked'>(`patching ${kind} ${namespace}/${of}`, async () => {
        await patch(path, guarded, strategy);
        return 'marked';
      });
    },

    async forceSync({ namespace, steering }, annotations, deadline) {
      const { patch, pathOf } = await session(deadline);
      const { kind, name: of, resourceVersion } = steering;
      const own = kind === 'ExternalSecret';
      const { plural } = own ? KINDS.externalSecrets : KINDS.clusterExternalSecrets;
      const path = `${pathOf(KINDS.externalSecrets)}/${own ? `namespaces/${namespace}/` : ''}${plural}/${of}`;
      const change = { metadata: { resourceVersion, annotations: Object.fromEntries(annotations) } };
      return await unlessMoved<'forced'>(`patching ${kind} ${own ? `${namespace}/` : ''}${of}`, async () => {
        await patch(path, change, 'merge');
        return 'forced';
      });
    },

    evict: (pod, deadline) => askForEviction(pod, {}, 'evicted', deadline),

    mayEvict: (pod, deadline) => askForEviction(pod, { dryRun: 'All' }, 'allowed', deadline),

    async note(workload, note, deadline) {
      const { post, patch } = await session(deadline);
      const { kind, namespace, name: of } = workload;
      const events = `api/v1/namespaces/${namespace}/events`;
      const unless = (status: number) => (error: unknown) => {
        if (statusOf(error) !== status) throw error;
        return undefined;
      };
      try {
        await record(workload, note, {
          create: (event) => post(events, event).catch(unless(409)),
          patch: (event, change) => patch(`${events}/${event}`, change, 'merge').catch(unless(404)),
        });
      } catch (error) {
        throw translated(name, `writing an Event about ${kind} ${namespace}/${of}`, error);
      }
    },

    close: () => requests.close(),
  };

  async function unlessMoved<T>(what: string, write: () => Promise<T>): Promise<T | 'moved'> {
    try {
      return await write();
    } catch (error) {
      if (statusOf(error) === 409 || statusOf(error) === 404) return 'moved';
      throw translated(name, what, error);
    }
  }

  async function askForEviction<Granted extends string>(
    { namespace, name: pod, uid }: Pod,
    query: Query,
    granted: Granted,
    deadline: Deadline,
  ) {
    const { post } = await session(deadline);
    const eviction = {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { namespace, name: pod },
      deleteOptions: { preconditions: { uid } },
    };
    return await unlessMoved<Granted | 'refused'>(`evicting pod ${namespace}/${pod}`, async () => {
      try {
        await post(`api/v1/namespaces/${namespace}/pods/${pod}/eviction`, eviction, query);
      } catch (error) {
        // A budget, or the server itself: in both cases later (Kubernetes, "API-initiated eviction").
        if (statusOf(error) !== 429) throw error;
        return 'refused';
      }
      return granted;
    });
  }

  function session(deadline: Deadline): Promise<Session> {
    const open = sessions.get(deadline) ?? openSession(deadline);
    sessions.set(deadline, open);
    return open;
  }

  async function openSession(deadline: Deadline): Promise<Session> {
    const { get, post, patch } = await requests.open(deadline);
    return { post, patch, ...createLists(name, get) };
  }
}

/** What one invocation asks the API server. */
type Session = Omit<Requests, 'get'> & Lists;

/** The next whole second: times of pods have no fractions, and one that is made before that must count as older. */
const secondAfter = (epochMs: number) => `${new Date(epochMs + 1_000).toISOString().slice(0, 19)}Z`;

/** What marks a workload: on its template, or with a Rollout's own restart, or on the object alone. */
function changeFor({ kind }: Workload, { onTemplate, onObject }: Marks, nowMs: number) {
  if (kind !== 'Rollout')
    return {
      change: {
        metadata: { annotations: annotationsOf(onObject) },
        ...(onTemplate.length > 0 && { spec: { template: { metadata: { annotations: annotationsOf(onTemplate) } } } }),
      },
      strategy: 'strategic' as const,
    };
  const restarts = onTemplate.map((marker) => ({ ...marker, annotation: RESTART_PREFIX + marker.annotation }));
  return {
    change: {
      metadata: { annotations: annotationsOf([...onObject, ...restarts]) },
      ...(restarts.length > 0 && { spec: { restartAt: secondAfter(nowMs) } }),
    },
    strategy: 'merge' as const,
  };
}

function annotationsOf(markers: readonly Marker[]): Readonly<Record<string, string>> {
  return Object.fromEntries(markers.map(({ annotation, versionId }) => [annotation, versionId]));
}
