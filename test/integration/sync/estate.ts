import { readFile } from 'node:fs/promises';
import { KUBERNETES_GROUPS } from '../../../infra/wiring.ts';
import { createKubernetesCluster } from '../../../shared/cluster/kubernetes.ts';
import type { Cluster, ClusterAccess } from '../../../shared/cluster/port.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { type ControlPlane, startControlPlane } from '../../sandbox/control-plane/control-plane.ts';
import { joinNodes, type Nodes, type NodesOptions } from '../../sandbox/control-plane/index.ts';
import { installRekey } from '../../sandbox/control-plane/install-rekey.ts';
import { startTokenReview } from '../../sandbox/control-plane/token-review.ts';
import { type Answer, KubernetesClient } from '../../sandbox/kubernetes/api-client.ts';
import { versionOf } from '../../sandbox/kubernetes/controllers/external-secrets/refresh.ts';
import { applyObjects, createObjects, pathOf } from '../../sandbox/kubernetes/create-objects.ts';
import { startKubernetes } from '../../sandbox/kubernetes/index.ts';
import { kubeconfig } from '../../sandbox/kubernetes/kubeconfig.ts';
import type { RunningContainer } from '../../sandbox/kubernetes/node/pod-run.ts';
import type { ObjectInput } from '../../sandbox/kubernetes/objects.ts';
import { RBAC } from '../../sandbox/kubernetes/rbac.ts';
import { LABEL } from './manifests.ts';
import { Account } from './moving-secret.ts';

/** Whose each bearer token is, as EKS tells by its access entries. */
const CALLERS: Readonly<Record<string, { readonly username: string; readonly groups: readonly string[] }>> = {
  'of-sync': { username: 'sync', groups: [KUBERNETES_GROUPS.sync, 'system:authenticated'] },
  'of-sweep': { username: 'sweep', groups: [KUBERNETES_GROUPS.sweep, 'system:authenticated'] },
  'of-a-stranger': { username: 'stranger', groups: ['system:authenticated'] },
};

/** A cluster, an account in memory, and Rekey's way in with the rights that are shipped and no others. */
export interface Estate {
  /** As the sync function sees it. */
  readonly cluster: Cluster;
  /** Another way in. Its token is `of-sync`, `of-sweep`, `of-a-stranger`, or nobody's. */
  connect(token: string, over?: Partial<ClusterAccess>): Cluster;
  readonly account: Account;
  readonly controlPlane: ApiServer;
  /** An administrator's. */
  readonly api: KubernetesClient;
  /** Nodes join; those of before leave, which they do on a real control plane alone. */
  join(options?: NodesToJoin): Promise<Nodes>;
  /** Containers that were ever started, in their order, and those that still run. */
  readonly started: readonly RunningContainer[];
  readonly running: ReadonlySet<RunningContainer>;
  create(...objects: readonly ObjectInput[]): Promise<void>;
  /** Creates, or merges into what is there. */
  apply(...objects: readonly ObjectInput[]): Promise<void>;
  get(object: ObjectInput): Promise<Answer['body']>;
  patch(object: ObjectInput, contentType: string, change: object): Promise<void>;
  delete(object: ObjectInput): Promise<void>;
  pathOf(object: ObjectInput): string;
  /** The namespace's workloads have their pods, ready and by their newest template. @param only one of them */
  settled(namespace: string, only?: string): Promise<void>;
  /** What is in the namespace goes within seconds, which nobody waits for, and then the namespace. */
  clear(namespace: string): Promise<void>;
  close(): Promise<void>;
}

type ApiServer = Pick<ControlPlane, 'endpoint' | 'caPem' | 'adminToken' | 'kubeconfig' | 'compact'>;
type NodesToJoin = Omit<NodesOptions, 'readSecret' | 'listSecrets'>;

/** On a real control plane. */
export async function startEstate(): Promise<Estate> {
  const stops: (() => unknown)[] = [];
  const close = async () => {
    for (const stop of stops.reverse().splice(0)) await stop();
  };
  try {
    const tokenReview = await startTokenReview((token) => CALLERS[token]);
    stops.push(() => tokenReview.close());
    const plane = await startControlPlane({ clusterName: 'prod', tokenReview });
    stops.push(() => plane.stop());
    const api = new KubernetesClient({ endpoint: plane.endpoint, ca: plane.caPem, token: plane.adminToken });
    stops.push(() => api.close());
    await installRekey(api, plane.kubeconfig);
    const estate = estateOn(plane, api, new Account(), (options) => joinNodes(plane, options));
    stops.push(() => estate.close());
    return { ...estate, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** On the sandbox's simulated API and controllers, whose nodes are there from the start. */
export async function startSandboxEstate(options: NodesToJoin = {}): Promise<Estate> {
  const account = new Account();
  const kubernetes = await startKubernetes({
    ...options,
    clusterName: 'prod',
    readSecret: account.read,
    listSecrets: account.list,
    authenticate: (token) => CALLERS[token],
  });
  kubernetes.apply(await readFile(RBAC, 'utf8'));
  const { api, endpoint, caPem, adminToken } = kubernetes;
  const plane = {
    endpoint,
    caPem,
    adminToken,
    kubeconfig: kubeconfig('prod', endpoint, caPem, adminToken),
    compact: async () => kubernetes.compact(),
  };
  const estate = estateOn(plane, api, account, async () => ({
    ...kubernetes,
    nodes: kubernetes,
    leave: async () => {},
  }));
  return {
    ...estate,
    async close() {
      await estate.close();
      await kubernetes.close();
    },
  };
}

function estateOn(
  plane: ApiServer,
  api: KubernetesClient,
  account: Account,
  joinCluster: (options: NodesOptions) => Promise<Nodes & { leave(): Promise<void> }>,
): Estate {
  const started: RunningContainer[] = [];
  const running = new Set<RunningContainer>();
  let leave = async () => {};
  const connections: { close(): Promise<void> }[] = [];
  const connect: Estate['connect'] = (token, over = {}) => {
    const access: ClusterAccess = {
      name: 'prod',
      region: 'eu-west-1',
      endpoint: async () => ({ url: plane.endpoint, certificateAuthority: plane.caPem }),
      bearerToken: async () => new SecretValue(token),
      ...over,
    };
    const connection = createKubernetesCluster(access, systemClock);
    connections.push(connection);
    return connection;
  };

  return {
    cluster: connect('of-sync'),
    connect,
    controlPlane: plane,
    account,
    api,
    started,
    running,
    pathOf,
    async join(options = {}) {
      await leave();
      const joined = await joinCluster({ ...options, readSecret: account.read, listSecrets: account.list });
      joined.nodes.onContainerStarted((container) => {
        started.push(container);
        running.add(container);
      });
      joined.nodes.onContainerStopped((container) => running.delete(container));
      leave = joined.leave;
      return joined;
    },
    create: (...objects) => createObjects(api, objects),
    apply: (...objects) => applyObjects(api, objects),
    async get(object) {
      return (await api.get(pathOf(object))).body;
    },
    async patch(object, contentType, change) {
      const { code, body } = await api.patch(pathOf(object), contentType, change);
      if (code !== 200) throw new Error(`changing ${object.kind} ${object.metadata?.name}: ${code} ${body.message}`);
    },
    async delete(object) {
      await api.send('DELETE', pathOf(object), { body: { propagationPolicy: 'Background' } });
    },
    async settled(namespace, only) {
      const until = async (
        path: string,
        byLabel: boolean,
        isSettled: (items: readonly Answer['body'][]) => boolean,
      ) => {
        const selector = byLabel ? `labelSelector=${LABEL}=${only}` : `fieldSelector=metadata.name=${only}`;
        const query = only === undefined ? '' : `?${selector}`;
        const { items } = await api.until(path.replace('NAMESPACE', namespace) + query, ({ items }) =>
          isSettled(items),
        );
        return items as readonly Answer['body'][];
      };
      let pods = 0;
      for (const { path, byLabel = false, isSettled, podsOf = () => 0 } of SETTLED)
        for (const one of await until(path, byLabel, (items) => items.every(isSettled))) pods += podsOf(one);
      // A controller may not have noticed yet that one is missing.
      await until(PODS, true, (items) => items.length >= pods && items.every(isServing));
    },
    async clear(namespace) {
      await api.send('DELETE', `/api/v1/namespaces/${namespace}`);
    },
    async close() {
      await leave();
      for (const connection of connections) await connection.close();
    },
  };
}

const isReady = ({ status }: Answer['body']) =>
  status?.conditions?.some(({ type, status: is }: Answer['body']) => type === 'Ready' && is === 'True') === true;

const isObserved = ({ metadata, status }: Answer['body']) =>
  Number(status?.observedGeneration ?? 0) >= (metadata.generation ?? 0);

/** Before that, its controller has only just begun to replace pods that are all ready. */
const isUpdated = ({ spec }: Answer['body'], updated = 0, wanted: number) =>
  spec.updateStrategy.type === 'OnDelete' || updated >= wanted;

interface Settled {
  readonly path: string;
  /** They are called otherwise than what makes them, and have its label. */
  readonly byLabel?: true;
  readonly isSettled: (object: Answer['body']) => boolean;
  /** How many pods it is to have that no other one of these counts. */
  readonly podsOf?: (object: Answer['body']) => number;
}

const SETTLED: readonly Settled[] = [
  ...['apps/v1/namespaces/NAMESPACE/deployments', 'argoproj.io/v1alpha1/namespaces/NAMESPACE/rollouts'].map(
    (path): Settled => ({
      path: `/apis/${path}`,
      isSettled: (one) =>
        isObserved(one) &&
        (one.status.terminatingReplicas ?? 0) === 0 &&
        ['replicas', 'updatedReplicas', 'availableReplicas'].every(
          (count) => (one.status[count] ?? 0) === one.spec.replicas,
        ),
    }),
  ),
  {
    path: '/apis/apps/v1/namespaces/NAMESPACE/replicasets',
    byLabel: true,
    // Of one that is to have no pods, no workload counts any; and one may be nobody's.
    isSettled: (one) => isObserved(one) && (one.status.availableReplicas ?? 0) === one.spec.replicas,
    podsOf: ({ spec }) => spec.replicas,
  },
  {
    path: '/apis/apps/v1/namespaces/NAMESPACE/statefulsets',
    isSettled: (one) =>
      isObserved(one) &&
      (one.status.availableReplicas ?? 0) === one.spec.replicas &&
      isUpdated(
        one,
        one.status.updatedReplicas,
        one.spec.replicas - (one.spec.updateStrategy.rollingUpdate?.partition ?? 0),
      ),
    podsOf: ({ spec }) => spec.replicas,
  },
  {
    path: '/apis/apps/v1/namespaces/NAMESPACE/daemonsets',
    isSettled: (one) =>
      isObserved(one) &&
      one.status.numberReady === one.status.desiredNumberScheduled &&
      one.status.numberReady > 0 &&
      isUpdated(one, one.status.updatedNumberScheduled, one.status.desiredNumberScheduled),
    podsOf: ({ status }) => status.desiredNumberScheduled,
  },
  {
    path: '/apis/external-secrets.io/v1/namespaces/NAMESPACE/externalsecrets',
    // Whatever was asked of it since.
    isSettled: (one) => isReady(one) && one.status.syncedResourceVersion === versionOf(one),
  },
];

const PODS = '/api/v1/namespaces/NAMESPACE/pods';

/** One that is ending is ready to its end, and no workload counts it. */
const isServing = (pod: Answer['body']) => isReady(pod) && pod.metadata.deletionTimestamp === undefined;
