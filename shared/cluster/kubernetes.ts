import { setImmediate as nextTurn } from 'node:timers/promises';
import { ApiException, HttpMethod, PatchStrategy, RequestContext } from '@kubernetes/client-node';
import { Agent, request as httpRequest } from 'undici';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
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
import type { KubernetesObject } from './kubernetes-objects.ts';
import { controllerOf, type PodObject, podOf } from './kubernetes-pods.ts';
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
  FIELD_MANAGER,
  fromDaemonSet,
  fromDeployment,
  fromRollout,
  fromStatefulSet,
  RESTART_PREFIX,
  type RolloutObject,
  type StatefulSetObject,
} from './kubernetes-workloads.ts';
import type { Cluster, ClusterAccess, Marker, Marks, Mount, NamePattern, Pod, Workload, WorkloadKind } from './port.ts';

/** Objects per page of a list. Little is kept of them: the pages are what takes memory. */
const PAGE = 100;
/** How often a list starts again because its pages have become too old (410). */
const LISTS = 3;

const ATTEMPTS = 4;
const REQUEST_MS = 15_000;
const CONNECT_MS = 5_000;
/** Longer than the pause between two passes, so that the next one finds the connection open. */
const KEEP_ALIVE_MS = 70_000;

/** A kind of object to list. */
interface Kind {
  readonly name: string;
  readonly plural: string;
  /** The group and version that the server may serve it by, newest first: the first one that it serves is asked. */
  readonly paths: readonly [string, ...string[]];
}

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
 * A cluster by its Kubernetes API, over one connection that stays open: by itself the client opens one per request
 * (kubernetes-client/javascript#2893), and turns every object into classes with all their fields, several times the
 * work of the JSON itself.
 */
export function createKubernetesCluster(
  access: ClusterAccess,
  clock: Clock,
): Cluster & { /** Closes the connection. */ close(): Promise<void> } {
  let connection: { readonly url: string; readonly certificateAuthority: string; readonly agent: Agent } | undefined;
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
        await patch(path, change, PatchStrategy.MergePatch);
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
          patch: (event, change) => patch(`${events}/${event}`, change, PatchStrategy.MergePatch).catch(unless(404)),
        });
      } catch (error) {
        throw translated(name, `writing an Event about ${kind} ${namespace}/${of}`, error);
      }
    },

    async close() {
      await connection?.agent.close();
      connection = undefined;
    },
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
    const endpoint = await access.endpoint(deadline);
    const { agent } = await connect(endpoint);
    const transport = createTransport(access, agent, deadline, clock);
    const ask = async (method: HttpMethod, path: string, query: Query, contentType?: string, object?: object) => {
      const request = new RequestContext(`${endpoint.url}/${path}`, method);
      for (const [key, value] of Object.entries(query)) request.setQueryParam(key, value);
      if (contentType !== undefined) request.setHeaderParam('Content-Type', contentType);
      if (object !== undefined) request.setBody(JSON.stringify(object));
      return await transport.send(request);
    };
    const fieldManager = FIELD_MANAGER;
    return {
      post: async (path, object, query = {}) =>
        JSON.parse(await ask(HttpMethod.POST, path, query, 'application/json', object)),
      patch: async (path, change, strategy) =>
        JSON.parse(await ask(HttpMethod.PATCH, path, { fieldManager }, strategy, change)),
      ...createLists(name, (path, query) => ask(HttpMethod.GET, path, query)),
    };
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
  /** Both answer with the object as it is then. */
  post(path: string, object: object, query?: Query): Promise<unknown>;
  patch(path: string, change: object, strategy: string): Promise<unknown>;
  readonly list: List;
  /** By which the server serves a kind; that of the newest version that Rekey knows until the kind was listed. */
  pathOf(kind: Kind): string;
}

type Query = Readonly<Record<string, string>>;

/**
 * All objects of a kind, each read as its page arrives, so that no more than a page of them is held; none where the
 * kind is not installed.
 * @throws RekeyError
 */
type List = <O extends KubernetesObject, T>(
  kind: Kind,
  read: (object: O) => T,
  namespace?: string,
) => Promise<readonly T[]>;

interface Page<O> {
  readonly metadata?: { readonly continue?: string };
  readonly items?: readonly O[];
}

/** @param get answers with the JSON of a path, as text */
function createLists(
  cluster: string,
  get: (path: string, query: Query) => Promise<string>,
): Pick<Session, 'list' | 'pathOf'> {
  /** Kind → the path that the server serves it by; undefined where it serves none. */
  const served = new Map<Kind, string | undefined>();

  /** While one page is parsed, the server is at work on the next. */
  async function pages<O, T>(path: string, read: (object: O) => T): Promise<readonly T[]> {
    const found: T[] = [];
    const ask = (token?: string) => get(path, { limit: String(PAGE), ...(token && { continue: token }) });
    let text = await ask();
    for (;;) {
      const expected = continueIn(text);
      const ahead = expected === undefined ? undefined : await sent(ask(expected));
      const page: Page<O> = JSON.parse(text);
      for (const object of page.items ?? []) found.push(read(object));
      const token = page.metadata?.continue;
      if (!token) return found;
      text = await (ahead !== undefined && token === expected ? ahead.answer : ask(token));
    }
  }

  const list: List = async (kind, read, namespace) => {
    const where = namespace === undefined ? '' : `namespaces/${namespace}/`;
    for (const path of served.has(kind) ? [served.get(kind)] : kind.paths) {
      if (path === undefined) return [];
      for (let attempt = 1; ; attempt++) {
        try {
          const found = await pages(`${path}/${where}${kind.plural}`, read);
          served.set(kind, path);
          return found;
        } catch (error) {
          if (statusOf(error) === 404 && isCustom(path)) break;
          if (statusOf(error) === 404) throw noApiServer(cluster, kind);
          if (statusOf(error) === 410 && attempt < LISTS) continue;
          throw translated(cluster, `listing ${kind.name}s${namespace === undefined ? '' : ` in ${namespace}`}`, error);
        }
      }
    }
    served.set(kind, undefined);
    return [];
  };
  return { list, pathOf: (kind) => served.get(kind) ?? kind.paths[0] };
}

/** Groups of custom resources are domains. */
const isCustom = (path: string): boolean => path.includes('.');

/** Taken for an empty cluster, it would leave a secret without consumers. */
const noApiServer = (cluster: string, { name }: Kind): RekeyError =>
  new RekeyError(
    'CLUSTER_UNREACHABLE',
    `cluster "${cluster}", listing ${name}s: 404, but every API server has these: something else answers there`,
  );

/**
 * Where the list goes on, read before the page is parsed: its `metadata` is the first thing in it, or the last where the
 * kind is a custom resource. An expectation only: what counts is what the page says when it is parsed.
 */
function continueIn(page: string): string | undefined {
  return /"metadata":\{(?:"resourceVersion":"\d+",)?"continue":"([\w-]+)"/.exec(page)?.[1];
}

/** undici waits so many turns of the event loop before it writes to a connection that was used before. */
const TURNS_TO_SEND = 3;

/** @returns once the request is on the wire, with its answer to come; nobody has to wait for that */
async function sent<T>(answer: Promise<T>): Promise<{ readonly answer: Promise<T> }> {
  answer.catch(() => undefined);
  for (let turn = 0; turn < TURNS_TO_SEND; turn++) await nextTurn();
  return { answer };
}

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
      strategy: PatchStrategy.StrategicMergePatch,
    };
  const restarts = onTemplate.map((marker) => ({ ...marker, annotation: RESTART_PREFIX + marker.annotation }));
  return {
    change: {
      metadata: { annotations: annotationsOf([...onObject, ...restarts]) },
      ...(restarts.length > 0 && { spec: { restartAt: secondAfter(nowMs) } }),
    },
    strategy: PatchStrategy.MergePatch,
  };
}

function annotationsOf(markers: readonly Marker[]): Readonly<Record<string, string>> {
  return Object.fromEntries(markers.map(({ annotation, versionId }) => [annotation, versionId]));
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
 * Sends over the one connection. Answers are not compressed: in the network of the cluster that takes longer, on both
 * sides, than what it saves (kubernetes/kubernetes#112296). What is worth another attempt (429, 5xx, a broken
 * connection) gets it while time is left: reads change nothing, and a patch that was carried out unnoticed fails on its
 * resourceVersion.
 */
function createTransport(access: ClusterAccess, agent: Agent, deadline: Deadline, clock: Clock) {
  async function once(request: RequestContext, renew: boolean): Promise<Answer | ConnectionFailure> {
    deadline.require(1_000, `a request to cluster "${access.name}"`);
    const token = await access.bearerToken(renew);
    request.setHeaderParam('Authorization', `Bearer ${token.expose()}`);
    const body = request.getBody();
    try {
      const response = await httpRequest(request.getUrl(), {
        dispatcher: agent,
        method: request.getHttpMethod(),
        headers: request.getHeaders(),
        body: typeof body === 'string' ? body : null,
        signal: AbortSignal.timeout(Math.min(REQUEST_MS, deadline.remainingMs())),
      });
      // Read here, so that a connection that breaks in the middle of the body counts as well.
      const text = await response.body.text();
      return { status: response.statusCode, retryAfter: Number(response.headers['retry-after']), text };
    } catch (error) {
      return new ConnectionFailure(reasonOf(error));
    }
  }

  return {
    /** @throws ApiException, ConnectionFailure, RekeyError DEADLINE_TOO_CLOSE */
    async send(request: RequestContext): Promise<string> {
      let renewed = false;
      for (let attempt = 1; ; attempt++) {
        let answer = await once(request, false);
        if (!(answer instanceof ConnectionFailure) && answer.status === 401 && !renewed) {
          renewed = true;
          answer = await once(request, true);
        }
        const pauseMs = pauseBefore(answer, attempt);
        const worthWaiting = pauseMs !== undefined && attempt < ATTEMPTS && pauseMs + 1_000 < deadline.remainingMs();
        if (!worthWaiting) {
          if (answer instanceof ConnectionFailure) throw answer;
          if (answer.status >= 300) throw new ApiException(answer.status, '', answer.text, {});
          return answer.text;
        }
        await clock.sleep(pauseMs);
      }
    },
  };
}

interface Answer {
  readonly status: number;
  /** Seconds; NaN where the server does not say. */
  readonly retryAfter: number;
  readonly text: string;
}

/** How long to wait before the same request again; undefined when another attempt would end the same. */
function pauseBefore(answer: Answer | ConnectionFailure, attempt: number): number | undefined {
  const growingMs = 200 * 2 ** (attempt - 1);
  if (answer instanceof ConnectionFailure) return answer.reason.startsWith('certificate') ? undefined : growingMs;
  if (answer.status !== 429 && answer.status < 500) return undefined;
  if (forbiddenBy(answer.text) !== undefined) return undefined;
  return answer.retryAfter > 0 ? answer.retryAfter * 1_000 : growingMs;
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

/** Of the API server itself: a webhook that denies may choose any code, such as that of a conflict. */
function statusOf(error: unknown): number | undefined {
  return error instanceof ApiException && forbiddenBy(error.body) === undefined ? error.code : undefined;
}

/** By status and reason alone: the client's own error holds the body and the headers in its message. */
function translated(cluster: string, what: string, error: unknown): RekeyError {
  if (error instanceof RekeyError) return error;
  if (error instanceof ConnectionFailure)
    return new RekeyError('CLUSTER_UNREACHABLE', `cluster "${cluster}", ${what}: ${error.reason}`);
  if (!(error instanceof ApiException))
    return new RekeyError('CLUSTER_REJECTED', `cluster "${cluster}", ${what}: the answer was not understood`);
  const { code: status, body } = error;
  const message = `cluster "${cluster}", ${what}: ${status} ${reasonIn(body)}`.trim();
  const forbidden = forbiddenBy(body);
  if (forbidden !== undefined) return new RekeyError('CLUSTER_REJECTED', `${message}: ${forbidden}`);
  if (status === 401 || status === 403) return new RekeyError('CLUSTER_ACCESS_DENIED', message);
  if (status === 410 || status === 429 || status >= 500) return new RekeyError('CLUSTER_BUSY', message);
  return new RekeyError('CLUSTER_REJECTED', message);
}

/** The machine-readable word of a Kubernetes Status, such as Forbidden. */
function reasonIn(body: unknown): string {
  const [, reason = ''] = /"reason":\s*"([A-Za-z]{1,40})"/.exec(typeof body === 'string' ? body : '') ?? [];
  return reason;
}

/**
 * What in the cluster forbids a request, where neither the load of the API server nor our rights do, though the code may
 * say so; undefined where nothing does. Of a webhook its name alone is told: it may quote what was sent.
 */
function forbiddenBy(body: unknown): string | undefined {
  const text = typeof body === 'string' ? body : '';
  const [, denying] = /admission webhook \\"([\w.-]{1,253})\\" denied/.exec(text) ?? [];
  if (denying !== undefined) return `admission webhook ${denying} denies it`;
  const [, silent] = /failed calling webhook \\"([\w.-]{1,253})\\"/.exec(text) ?? [];
  if (silent !== undefined) return `admission webhook ${silent} cannot be asked`;
  return text.includes('more than one PodDisruptionBudget')
    ? 'more than one PodDisruptionBudget selects it, which Kubernetes evicts no pod under'
    : undefined;
}
