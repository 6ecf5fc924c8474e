/**
 * A Kubernetes cluster, simulated: an API server over HTTPS that kubectl and client libraries can talk to, the
 * controllers of the built-in workloads, and a node agent that mounts secrets as the Secrets Store CSI driver does.
 * test/contract/kubernetes-*.ts hold it to what a real control plane does. What it does not do:
 * - no container runs, and there is no network, log, exec, autoscaling, quota or admission;
 * - no schema of the built-in kinds is checked: unknown fields are stored; managedFields carry no `.` for maps and lists;
 * - bodies are JSON or YAML; protobuf is read of `kubectl auth` alone, so `kubectl create deployment` is answered 415.
 */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { parseAllDocuments } from 'yaml';
import { type Clock, systemClock } from '../../../shared/operations/clock.ts';
import { createAuthority } from '../certificates.ts';
import { Authorizer, BOOTSTRAP_ROLES, type User } from './api/authorization.ts';
import { VERSION } from './api/discovery.ts';
import { ApiHandler } from './api/handler.ts';
import { Registry } from './api/registry.ts';
import { type Resource, Resources, type ServedVersions } from './api/resources.ts';
import { type ApiFaultInjector, ApiServer, type RequestLog } from './api/server.ts';
import { StatusError } from './api/status-error.ts';
import { Storage } from './api/storage.ts';
import { KubernetesClient } from './api-client.ts';
import { Client } from './controllers/client.ts';
import { startDaemonSetController } from './controllers/daemon-set.ts';
import { startDeploymentController } from './controllers/deployment.ts';
import type { AwsSecrets } from './controllers/external-secrets/provider.ts';
import { startGarbageCollector } from './controllers/garbage-collector.ts';
import { startOperators } from './controllers/operators.ts';
import { Activity } from './controllers/reconciler.ts';
import { startReplicaSetController } from './controllers/replica-set.ts';
import { startStatefulSetController } from './controllers/stateful-set.ts';
import { kubeconfig } from './kubeconfig.ts';
import type { ReadSecret } from './node/aws-provider.ts';
import type { PodBehaviour } from './node/behaviour.ts';
import { NodeAgent } from './node/node-agent.ts';
import { FAST, type RunningContainer, type Timing } from './node/pod-run.ts';
import { startScheduler } from './node/scheduler.ts';
import type { DriverOptions } from './node/secrets-store-driver.ts';
import { isRecord, type KubernetesObject, type ObjectInput, type Pod } from './objects.ts';

export interface KubernetesOptions {
  readonly clusterName: string;
  /** Where the AWS provider of the CSI driver reads secrets. */
  readonly readSecret: ReadSecret;
  /** All secrets of the account, for those who look for them by name or tags. Default: none. */
  readonly listSecrets?: AwsSecrets['list'];
  /** Who a bearer token belongs to; undefined refuses it. Default: only the admin's token is good. */
  readonly authenticate?: (token: string) => Promise<User | undefined> | User | undefined;
  /** API groups → the versions to serve of them; an empty list: not installed. Default: all that the sandbox knows. */
  readonly servedVersions?: ServedVersions;
  /** Further kinds to store and serve. */
  readonly resources?: readonly Resource[];
  /** Of all times in the API. Default: the system's. */
  readonly clock?: Clock;
  /** How long pods take. Default: tens of milliseconds. */
  readonly timing?: Partial<Timing>;
  /** The driver's own rotation in place. Default: off, as the driver's. */
  readonly rotation?: DriverOptions['rotation'];
  /** Of the Secrets Store CSI driver. Default: 1.6. */
  readonly driverVersion?: DriverOptions['version'];
  /** Makes pods fail from the start, see {@link KubernetesSandbox.behave}. */
  readonly behaviour?: (pod: Pod) => PodBehaviour | undefined;
  /** How many nodes. Default: 3. */
  readonly nodes?: number;
  /** How many nodes of AWS Fargate beside them. Default: 0. */
  readonly fargateNodes?: number;
}

export interface KubernetesSandbox {
  readonly clusterName: string;
  readonly endpoint: string;
  readonly caPem: string;
  /** Of a member of system:masters. */
  readonly adminToken: string;
  /** The same administrator's. */
  readonly api: KubernetesClient;
  writeKubeconfig(path: string): Promise<void>;
  /** Creates, or merges into what is there, as `kubectl apply --server-side --force-conflicts`. */
  apply(manifests: string | ObjectInput | readonly ObjectInput[]): readonly KubernetesObject[];
  get(plural: string, namespace: string | undefined, name: string): KubernetesObject | undefined;
  list(plural: string, namespace?: string): readonly KubernetesObject[];
  readonly requests: RequestLog;
  inject(injector: ApiFaultInjector | undefined): void;
  /** Forgets the history: running continue tokens and old resourceVersions answer 410 from now on. */
  compact(): void;
  /** Makes pods fail; undefined leaves it to their annotation `rekey-sandbox.dev/fail`. Asked at every attempt. */
  behave(behaviour: (pod: Pod) => PodBehaviour | undefined): void;
  /**
   * Calls back when a container runs, with what is mounted in it. If that returns a promise, the container is ready
   * when it resolves and has crashed when it rejects. @returns a function that unsubscribes
   */
  onContainerStarted(listener: (container: RunningContainer) => void | Promise<void>): () => void;
  onContainerStopped(listener: (container: RunningContainer) => void): () => void;
  /** What a test decides of the CSI driver: its time, its absence, and when it writes Secrets. */
  readonly driver: Pick<NodeAgent, 'passDriverTime' | 'takeDriverDown' | 'holdSyncedSecrets'>;
  /** The External Secrets Operator does nothing until the returned function is called. */
  holdExternalSecrets(): () => void;
  /** Resolves when nothing more will happen by itself but time-outs: back-offs, deadlines, the driver's polling. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

export async function startKubernetes(options: KubernetesOptions): Promise<KubernetesSandbox> {
  const clock = options.clock ?? systemClock;
  const resources = new Resources(options.servedVersions, options.resources);
  const storage = new Storage();
  const registry = new Registry(resources, storage, clock);
  const authority = createAuthority('kubernetes');
  const adminToken = randomBytes(24).toString('base64url');
  const server = new ApiServer({
    handler: new ApiHandler(registry, new Authorizer(resources, storage), clock, () => server.endpoint),
    certificate: authority.issue(['localhost', '127.0.0.1', 'kubernetes.default.svc']),
    adminToken,
    authenticate: options.authenticate ?? (() => undefined),
  });
  const client = (manager: string) => new Client(registry, clock, manager);
  const controllerManager = client('kube-controller-manager');
  const activity = new Activity();
  const nodeAgent = new NodeAgent({
    client: client('kubelet'),
    driverClient: client('secrets-store-csi'),
    activity,
    readSecret: options.readSecret,
    timing: { ...FAST, ...options.timing },
    driver: {
      rotation: options.rotation ?? { enabled: false, pollMs: 120_000 },
      ...(options.driverVersion && { version: options.driverVersion }),
    },
    nodes: options.nodes ?? 3,
    fargateNodes: options.fargateNodes ?? 0,
    kubeletVersion: VERSION.gitVersion,
  });
  const apply = (manifests: string | ObjectInput | readonly ObjectInput[]) =>
    objectsOf(manifests).map((object) => applyObject(registry, object));

  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
    apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
  }
  apply(BOOTSTRAP_ROLES);
  const operators = startOperators({
    client: client('operators'),
    activity,
    aws: { read: options.readSecret, list: options.listSecrets ?? (async () => []) },
  });
  const reconcilers = [
    ...operators.reconcilers,
    startDeploymentController(controllerManager, activity),
    startReplicaSetController(controllerManager, activity),
    startStatefulSetController(controllerManager, activity),
    startDaemonSetController(controllerManager, activity),
    startGarbageCollector(controllerManager, storage, activity),
    startScheduler(client('kube-scheduler'), activity),
  ];
  if (options.behaviour) nodeAgent.behave(options.behaviour);
  await nodeAgent.start();
  // A watch cannot start before the server did.
  storage.compact();
  await server.listen();
  const api = new KubernetesClient({ endpoint: server.endpoint, ca: authority.certificate, token: adminToken });

  return {
    clusterName: options.clusterName,
    endpoint: server.endpoint,
    caPem: authority.certificate,
    adminToken,
    api,
    writeKubeconfig: (path) =>
      writeFile(path, kubeconfig(options.clusterName, server.endpoint, authority.certificate, adminToken), {
        mode: 0o600,
      }),
    apply,
    get: (plural, namespace, name) => storage.get(resources.named(plural), namespace, name),
    list: (plural, namespace) => storage.list(resources.named(plural), namespace),
    requests: server.requests,
    inject: (injector) => server.inject(injector),
    compact: () => storage.compact(),
    behave: (behaviour) => nodeAgent.behave(behaviour),
    onContainerStarted: (listener) => nodeAgent.onContainerStarted(listener),
    onContainerStopped: (listener) => nodeAgent.onContainerStopped(listener),
    driver: nodeAgent,
    holdExternalSecrets: () => operators.holdExternalSecrets(),
    idle: () => activity.idle(),
    async close() {
      for (const reconciler of reconcilers) reconciler.stop();
      nodeAgent.stop();
      api.close();
      await server.close();
    },
  };
}

function objectsOf(manifests: string | ObjectInput | readonly ObjectInput[]): readonly ObjectInput[] {
  if (typeof manifests !== 'string') return Array.isArray(manifests) ? manifests : [manifests as ObjectInput];
  return parseAllDocuments(manifests)
    .map((document): unknown => document.toJS())
    .filter((value): value is ObjectInput => isRecord(value) && typeof value['kind'] === 'string');
}

/** @throws StatusError, also when the cluster doesn't serve the kind */
function applyObject(registry: Registry, object: ObjectInput): KubernetesObject {
  const resource = registry.resources.byKind(object.apiVersion, object.kind);
  if (resource === undefined) {
    throw new StatusError(404, 'NotFound', `no matches for kind "${object.kind}" in version "${object.apiVersion}"`);
  }
  const namespace = resource.namespaced ? (object.metadata?.namespace ?? 'default') : undefined;
  const options = { manager: 'sandbox', force: true };
  return registry.apply(resource, namespace, object.metadata?.name ?? '', object, options).object;
}
