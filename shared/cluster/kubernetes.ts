import {
  ApiException,
  CustomObjectsApi,
  createConfiguration,
  IsomorphicFetchHttpLibrary,
  type KubernetesListObject,
  type KubernetesObject,
  KubernetesObjectApi,
  PatchStrategy,
  type RequestContext,
  ResponseContext,
  ServerConfiguration,
  type V1Container,
  type V1ContainerStatus,
  type V1DaemonSet,
  type V1Deployment,
  type V1ObjectMeta,
  type V1Pod,
  type V1PodTemplateSpec,
  type V1ReplicaSet,
  type V1StatefulSet,
  wrapHttpLibrary,
} from '@kubernetes/client-node';
import { Agent } from 'undici';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type {
  Cluster,
  ClusterAccess,
  Container,
  ContainerMount,
  ContainerState,
  Mount,
  Pod,
  Rollout,
  SecretProviderClass,
  Workload,
} from './port.ts';

/** Not one that starts with "kubectl": Flux takes those fields away (flux2#2526). */
const FIELD_MANAGER = 'rekey';

const CSI_DRIVER = 'secrets-store.csi.k8s.io';
const CSI_GROUP = 'secrets-store.csi.x-k8s.io';
/** Newest first; older drivers serve the second alone. */
const CSI_VERSIONS = ['v1', 'v1alpha1'];

/** Objects per page of a list. */
const PAGE = 500;
/** How often a list starts again because its pages have become too old (410). */
const LISTS = 3;

const ATTEMPTS = 4;
const REQUEST_MS = 15_000;
const CONNECT_MS = 5_000;
/** Longer than the pause between two passes, so that the next one finds the connection open. */
const KEEP_ALIVE_MS = 70_000;

/**
 * A cluster by its Kubernetes API, over one connection that stays open: by itself the client opens one per request
 * (kubernetes-client/javascript#2893).
 */
export function createKubernetesCluster(
  access: ClusterAccess,
  clock: Clock,
): Cluster & { /** Closes the connection. */ close(): Promise<void> } {
  let connection: { readonly url: string; readonly certificateAuthority: string; readonly agent: Agent } | undefined;
  // What the server serves is learned once per invocation, and anew in the next: it may have been upgraded.
  const sessions = new WeakMap<Deadline, Promise<Session>>();
  const { name, region } = access;

  return {
    name,
    region,

    async secretProviderClasses(deadline) {
      const { customObjects } = await session(deadline);
      return (await customObjects('secretproviderclasses')).map(secretProviderClassOf);
    },

    async workloads(deadline) {
      const { list } = await session(deadline);
      const deployments = await list<V1Deployment>('apps/v1', 'Deployment');
      const statefulSets = await list<V1StatefulSet>('apps/v1', 'StatefulSet');
      const daemonSets = await list<V1DaemonSet>('apps/v1', 'DaemonSet');
      return [
        ...deployments.map(fromDeployment),
        ...statefulSets.map(fromStatefulSet),
        ...daemonSets.map(fromDaemonSet),
      ];
    },

    async pods(namespaces, deadline) {
      const { list } = await session(deadline);
      const found: Pod[] = [];
      for (const namespace of namespaces) {
        const pods = await list<V1Pod>('v1', 'Pod', namespace);
        const replicaSets = pods.length === 0 ? [] : await list<V1ReplicaSet>('apps/v1', 'ReplicaSet', namespace);
        const owners = new Map(replicaSets.map((one) => [one.metadata?.uid, controllerOf(one.metadata)]));
        for (const pod of pods) found.push(podOf(pod, owners));
      }
      return found;
    },

    async mounts(namespaces, deadline) {
      const { customObjects } = await session(deadline);
      const found: Mount[] = [];
      for (const namespace of namespaces)
        found.push(...(await customObjects('secretproviderclasspodstatuses', namespace)).map(mountOf));
      return found;
    },

    async mark(workload, { annotation, versionId }, where, deadline) {
      const { objects } = await session(deadline);
      const annotations = { [annotation]: versionId };
      const onObject = where === 'object';
      const patch = {
        apiVersion: 'apps/v1',
        kind: workload.kind,
        metadata: {
          namespace: workload.namespace,
          name: workload.name,
          // The precondition: whoever changed it meanwhile goes first, and we look again.
          resourceVersion: workload.resourceVersion,
          ...(onObject ? { annotations } : {}),
        },
        ...(onObject ? {} : { spec: { template: { metadata: { annotations } } } }),
      };
      const strategy = PatchStrategy.StrategicMergePatch;
      try {
        await objects.patch(patch, undefined, undefined, FIELD_MANAGER, undefined, strategy);
        return 'marked';
      } catch (error) {
        if (statusOf(error) === 409 || statusOf(error) === 404) return 'moved';
        throw translated(name, `patching ${workload.kind} ${workload.namespace}/${workload.name}`, error);
      }
    },

    async close() {
      await connection?.agent.close();
      connection = undefined;
    },
  };

  function session(deadline: Deadline): Promise<Session> {
    const open = sessions.get(deadline) ?? openSession(deadline);
    sessions.set(deadline, open);
    return open;
  }

  async function openSession(deadline: Deadline): Promise<Session> {
    const endpoint = await access.endpoint(deadline);
    const { agent } = await connect(endpoint);
    const transport = createTransport(access, agent, deadline, clock);
    const configuration = createConfiguration({
      baseServer: new ServerConfiguration(endpoint.url, {}),
      httpApi: wrapHttpLibrary(transport),
    });
    return createSession(name, new KubernetesObjectApi(configuration), new CustomObjectsApi(configuration));
  }

  async function connect({ url, certificateAuthority }: Awaited<ReturnType<ClusterAccess['endpoint']>>) {
    if (connection?.url === url && connection.certificateAuthority === certificateAuthority) return connection;
    await connection?.agent.close();
    const agent = new Agent({
      connections: 1,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      connect: { ca: certificateAuthority, timeout: CONNECT_MS },
    });
    connection = { url, certificateAuthority, agent };
    return connection;
  }
}

/** What one invocation asks the API server. */
interface Session {
  readonly objects: KubernetesObjectApi;
  list<T extends KubernetesObject>(apiVersion: string, kind: string, namespace?: string): Promise<readonly T[]>;
  /** Objects of the CSI driver; none where it is not installed. */
  customObjects(plural: string, namespace?: string): Promise<readonly CustomObject[]>;
}

function createSession(cluster: string, objects: KubernetesObjectApi, custom: CustomObjectsApi): Session {
  let csiVersion: string | undefined;
  return {
    objects,

    list<T extends KubernetesObject>(apiVersion: string, kind: string, namespace?: string) {
      const where = namespace === undefined ? '' : ` in ${namespace}`;
      return allPages<T>(cluster, `listing ${kind}s${where}`, (token) =>
        objects.list<T>(apiVersion, kind, namespace, ...NOT_GIVEN, PAGE, token),
      );
    },

    async customObjects(plural, namespace) {
      csiVersion ??= await servedVersion(cluster, custom);
      const version = csiVersion;
      if (version === '') return [];
      const where = namespace === undefined ? '' : ` in ${namespace}`;
      return await allPages<CustomObject>(cluster, `listing ${plural}${where}`, (token) => {
        const request = {
          group: CSI_GROUP,
          version,
          plural,
          limit: PAGE,
          ...(token === undefined ? {} : { _continue: token }),
        };
        return namespace === undefined
          ? custom.listClusterCustomObject(request)
          : custom.listNamespacedCustomObject({ ...request, namespace });
      });
    },
  };
}

/** pretty, exact, exportt, fieldSelector, labelSelector */
const NOT_GIVEN = [undefined, undefined, undefined, undefined, undefined] as const;

/** The version of the driver's kinds that the server serves; the empty string when it serves none. */
async function servedVersion(cluster: string, custom: CustomObjectsApi): Promise<string> {
  for (const version of CSI_VERSIONS) {
    try {
      await custom.getAPIResources({ group: CSI_GROUP, version });
      return version;
    } catch (error) {
      if (statusOf(error) !== 404) throw translated(cluster, `asking for ${CSI_GROUP}/${version}`, error);
    }
  }
  return '';
}

/** @param what for an error message */
async function allPages<T extends KubernetesObject>(
  cluster: string,
  what: string,
  page: (token: string | undefined) => Promise<KubernetesListObject<T>>,
): Promise<readonly T[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      const items: T[] = [];
      let token: string | undefined;
      do {
        const answer = await page(token);
        items.push(...answer.items);
        token = answer.metadata?._continue ?? rawContinue(answer);
      } while (token);
      return items;
    } catch (error) {
      if (statusOf(error) === 410 && attempt < LISTS) continue;
      throw translated(cluster, what, error);
    }
  }
}

/** Custom objects come as the JSON that was sent, where the generated types rename `continue`. */
function rawContinue(list: { readonly metadata?: object }): string | undefined {
  const { continue: token } = (list.metadata ?? {}) as { readonly continue?: string };
  return token;
}

/** A failure of the connection, by the only word of it that may be told. */
class ConnectionFailure extends Error {
  readonly reason: string;

  constructor(reason: string) {
    super(reason);
    this.reason = reason;
  }
}

/**
 * Sends over the one connection. What is worth another attempt (429, 5xx, a broken connection) gets it while time is
 * left: reads change nothing, and a patch that was carried out unnoticed fails on its resourceVersion.
 */
function createTransport(access: ClusterAccess, agent: Agent, deadline: Deadline, clock: Clock) {
  const http = new IsomorphicFetchHttpLibrary();

  async function once(request: RequestContext, renew: boolean): Promise<ResponseContext | ConnectionFailure> {
    deadline.require(1_000, `a request to cluster "${access.name}"`);
    const token = await access.bearerToken(renew);
    request.setHeaderParam('Authorization', `Bearer ${token.expose()}`);
    request.setDispatcher(agent);
    request.setSignal(AbortSignal.timeout(Math.min(REQUEST_MS, deadline.remainingMs())));
    try {
      const response = await http.send(request).toPromise();
      // Read here, so that a connection that breaks in the middle of the body counts as well.
      const text = await response.body.text();
      const body = { text: async () => text, binary: async () => Buffer.from(text), stream: () => null };
      return new ResponseContext(response.httpStatusCode, response.headers, body);
    } catch (error) {
      return new ConnectionFailure(reasonOf(error));
    }
  }

  return {
    async send(request: RequestContext): Promise<ResponseContext> {
      let renewed = false;
      for (let attempt = 1; ; attempt++) {
        let answer = await once(request, false);
        if (!(answer instanceof ConnectionFailure) && answer.httpStatusCode === 401 && !renewed) {
          renewed = true;
          answer = await once(request, true);
        }
        const pauseMs = pauseBefore(answer, attempt);
        const worthWaiting = pauseMs !== undefined && attempt < ATTEMPTS && pauseMs + 1_000 < deadline.remainingMs();
        if (!worthWaiting) {
          if (answer instanceof ConnectionFailure) throw answer;
          return answer;
        }
        await clock.sleep(pauseMs);
      }
    },
  };
}

/** How long to wait before the same request again; undefined when another attempt would end the same. */
function pauseBefore(answer: ResponseContext | ConnectionFailure, attempt: number): number | undefined {
  const growingMs = 200 * 2 ** (attempt - 1);
  if (answer instanceof ConnectionFailure) return answer.reason.startsWith('certificate') ? undefined : growingMs;
  if (answer.httpStatusCode !== 429 && answer.httpStatusCode < 500) return undefined;
  const retryAfter = Number(answer.headers['retry-after']);
  return retryAfter > 0 ? retryAfter * 1_000 : growingMs;
}

/** What may be said of a failed connection: its code, never its message, which may quote what was sent. */
function reasonOf(error: unknown): string {
  const { name, cause, code } = fieldsOf(error);
  if (name === 'TimeoutError') return 'no answer in time';
  const { code: causeCode = code } = fieldsOf(cause);
  if (typeof causeCode !== 'string' || !/^[A-Z][A-Z0-9_]{1,60}$/.test(causeCode)) return 'the connection failed';
  return /CERT|SIGNATURE|ALTNAME|ISSUER/.test(causeCode) ? `certificate refused (${causeCode})` : causeCode;
}

function fieldsOf(error: unknown): { readonly name?: unknown; readonly cause?: unknown; readonly code?: unknown } {
  return typeof error === 'object' && error !== null ? error : {};
}

function statusOf(error: unknown): number | undefined {
  return error instanceof ApiException ? error.code : undefined;
}

/** By status and reason alone: the client's own error holds the body and the headers in its message. */
function translated(cluster: string, what: string, error: unknown): RekeyError {
  if (error instanceof RekeyError) return error;
  if (error instanceof ConnectionFailure)
    return new RekeyError('CLUSTER_UNREACHABLE', `cluster "${cluster}", ${what}: ${error.reason}`);
  const status = statusOf(error);
  if (!(error instanceof ApiException) || status === undefined)
    return new RekeyError('CLUSTER_REJECTED', `cluster "${cluster}", ${what}: the answer was not understood`);
  const message = `cluster "${cluster}", ${what}: ${status} ${reasonIn(error.body)}`.trim();
  if (status === 401 || status === 403) return new RekeyError('CLUSTER_ACCESS_DENIED', message);
  if (status === 410 || status === 429 || status >= 500) return new RekeyError('CLUSTER_BUSY', message);
  return new RekeyError('CLUSTER_REJECTED', message);
}

/** The machine-readable word of a Kubernetes Status, such as Forbidden. */
function reasonIn(body: unknown): string {
  const [, reason = ''] = /"reason":\s*"([A-Za-z]{1,40})"/.exec(typeof body === 'string' ? body : '') ?? [];
  return reason;
}

/** An object of a kind that the client has no types for, as the JSON says. */
interface CustomObject extends KubernetesObject {
  readonly metadata?: V1ObjectMeta;
  readonly spec?: {
    readonly provider?: string;
    readonly parameters?: Readonly<Record<string, string>>;
    readonly secretObjects?: readonly {
      readonly secretName?: string;
      readonly data?: readonly { readonly objectName?: string }[];
    }[];
  };
  readonly status?: {
    readonly podName?: string;
    readonly secretProviderClassName?: string;
    readonly mounted?: boolean;
    readonly objects?: readonly { readonly id?: string; readonly version?: string }[];
  };
}

function secretProviderClassOf({ metadata, spec }: CustomObject): SecretProviderClass {
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    provider: spec?.provider ?? '',
    parameters: new Map(Object.entries(spec?.parameters ?? {})),
    syncedSecrets: (spec?.secretObjects ?? []).map(({ secretName = '', data = [] }) => ({
      name: secretName.trim(),
      files: data.map(({ objectName = '' }) => objectName.trim()),
    })),
  };
}

function mountOf({ metadata, status }: CustomObject): Mount {
  const firstMountedAtMs = msOf(metadata?.creationTimestamp);
  const changes = (metadata?.managedFields ?? []).map(({ time }) => msOf(time));
  return {
    namespace: metadata?.namespace ?? '',
    pod: status?.podName ?? '',
    podUid: metadata?.ownerReferences?.find(({ kind }) => kind === 'Pod')?.uid,
    secretProviderClass: status?.secretProviderClassName ?? '',
    mounted: status?.mounted === true,
    firstMountedAtMs,
    changedAtMs: Math.max(firstMountedAtMs, ...changes),
    versions: new Map((status?.objects ?? []).map(({ id = '', version = '' }) => [id, version])),
  };
}

function fromDeployment({ metadata, spec, status }: V1Deployment): Workload {
  const progressing = status?.conditions?.find(({ type }) => type === 'Progressing');
  const failing = status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
  const failure = failing?.status === 'True' ? failing : progressing?.status === 'False' ? progressing : undefined;
  return workloadOf('Deployment', metadata, spec?.template, spec?.replicas ?? 1, {
    observed: isObserved(metadata, status),
    updated: status?.updatedReplicas ?? 0,
    stopped: spec?.paused === true ? 'it is paused' : undefined,
    // A paused Deployment says Progressing=Unknown; any False is given up.
    failure: failure && (failure.reason ?? failure.type),
  });
}

function fromStatefulSet({ metadata, spec, status }: V1StatefulSet): Workload {
  const partition = spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const onDelete = spec?.updateStrategy?.type === 'OnDelete';
  return workloadOf('StatefulSet', metadata, spec?.template, spec?.replicas ?? 1, {
    observed: isObserved(metadata, status),
    updated: status?.updatedReplicas ?? 0,
    stopped: onDelete ? ON_DELETE : partition > 0 ? `its partition is ${partition}` : undefined,
    failure: undefined,
  });
}

function fromDaemonSet({ metadata, spec, status }: V1DaemonSet): Workload {
  return workloadOf('DaemonSet', metadata, spec?.template, status?.desiredNumberScheduled ?? 0, {
    observed: isObserved(metadata, status),
    updated: status?.updatedNumberScheduled ?? 0,
    stopped: spec?.updateStrategy?.type === 'OnDelete' ? ON_DELETE : undefined,
    failure: undefined,
  });
}

const ON_DELETE = 'its update strategy is OnDelete: delete them yourself';

function workloadOf(
  kind: Workload['kind'],
  metadata: V1ObjectMeta | undefined,
  template: V1PodTemplateSpec | undefined,
  replicas: number,
  rollout: Rollout,
): Workload {
  const ours = metadata?.managedFields?.filter(({ manager, time }) => manager === FIELD_MANAGER && time) ?? [];
  return {
    kind,
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    resourceVersion: metadata?.resourceVersion ?? '',
    annotations: new Map(Object.entries(metadata?.annotations ?? {})),
    templateAnnotations: new Map(Object.entries(template?.metadata?.annotations ?? {})),
    secretProviderClasses: [...classesByVolume(template?.spec).values()],
    secrets: secretsOf(template?.spec),
    replicas,
    rollout,
    markedAtMs: ours.length === 0 ? undefined : Math.max(...ours.map(({ time }) => msOf(time))),
  };
}

function isObserved(metadata: V1ObjectMeta | undefined, status: { observedGeneration?: number } | undefined): boolean {
  return (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0);
}

function podOf({ metadata, spec, status }: V1Pod, owners: ReadonlyMap<string | undefined, Pod['controller']>): Pod {
  const classes = classesByVolume(spec);
  const statuses = new Map(
    [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].map((one) => [one.name, one]),
  );
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    node: spec?.nodeName ?? '',
    controller: owners.get(owner?.uid) ?? controllerOf(metadata),
    annotations: new Map(Object.entries(metadata?.annotations ?? {})),
    phase: status?.phase ?? 'Unknown',
    ready: status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ?? false,
    terminating: metadata?.deletionTimestamp !== undefined,
    secretProviderClasses: [...new Set(classes.values())],
    secrets: secretsOf(spec),
    containers: [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].map((container) =>
      containerOf(container, classes, statuses.get(container.name)),
    ),
  };
}

function controllerOf(metadata: V1ObjectMeta | undefined): Pod['controller'] {
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  return owner && { kind: owner.kind, name: owner.name };
}

/** Volume → the class that the CSI driver mounts into it. */
function classesByVolume(spec: V1Pod['spec']): ReadonlyMap<string, string> {
  const classes = new Map<string, string>();
  for (const { name, csi } of spec?.volumes ?? []) {
    const spc = csi?.driver === CSI_DRIVER ? csi.volumeAttributes?.['secretProviderClass'] : undefined;
    if (spc !== undefined) classes.set(name, spc);
  }
  return classes;
}

/** The Secrets that a pod refers to for variables (env, envFrom) and files (volumes), by name. */
function secretsOf(spec: V1Pod['spec']): readonly string[] {
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const names = [
    ...containers.flatMap(({ env }) => (env ?? []).map(({ valueFrom }) => valueFrom?.secretKeyRef?.name)),
    ...containers.flatMap(({ envFrom }) => (envFrom ?? []).map(({ secretRef }) => secretRef?.name)),
    ...(spec?.volumes ?? []).flatMap(({ secret, projected }) => [
      secret?.secretName,
      ...(projected?.sources ?? []).map((source) => source.secret?.name),
    ]),
  ];
  return [...new Set(names.filter((name) => name !== undefined))];
}

function containerOf(
  { name, volumeMounts }: V1Container,
  classes: ReadonlyMap<string, string>,
  status: V1ContainerStatus | undefined,
): Container {
  const mounts = (volumeMounts ?? []).flatMap((mount): ContainerMount[] => {
    const secretProviderClass = classes.get(mount.name);
    const subPath = Boolean(mount.subPath || mount.subPathExpr);
    return secretProviderClass === undefined ? [] : [{ secretProviderClass, subPath }];
  });
  const ended = status?.state?.terminated ?? status?.lastState?.terminated;
  return { name, mounts, state: stateOf(status), restarts: status?.restartCount ?? 0, exitCode: ended?.exitCode };
}

function stateOf(status: V1ContainerStatus | undefined): ContainerState {
  const { running, terminated, waiting } = status?.state ?? {};
  if (running?.startedAt) return { kind: 'started', startedAtMs: msOf(running.startedAt) };
  // An init container that is done, or one that is about to be started again.
  if (terminated?.startedAt && terminated.exitCode === 0)
    return { kind: 'started', startedAtMs: msOf(terminated.startedAt) };
  return { kind: 'waiting', reason: waiting?.reason ?? terminated?.reason ?? 'not started yet' };
}

/** The generated types hold dates, custom objects the text that was sent. */
function msOf(time: Date | string | undefined): number {
  return time === undefined ? 0 : new Date(time).getTime();
}
