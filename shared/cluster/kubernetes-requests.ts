import { ApiException, HttpMethod, PatchStrategy, RequestContext } from '@kubernetes/client-node';
import { Agent, request as httpRequest } from 'undici';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { FIELD_MANAGER } from './kubernetes-workloads.ts';
import type { ClusterAccess } from './port.ts';

const ATTEMPTS = 4;
const REQUEST_MS = 15_000;
const CONNECT_MS = 5_000;
/** Longer than the pause between two passes, so that the next one finds the connection open. */
const KEEP_ALIVE_MS = 70_000;

export type Query = Readonly<Record<string, string>>;

const PATCHES = { merge: PatchStrategy.MergePatch, strategic: PatchStrategy.StrategicMergePatch };

/**
 * Requests of one invocation to the API server, each with its attempts. They fail with what {@link statusOf} and
 * {@link translated} understand.
 */
export interface Requests {
  /** @returns the JSON, as text */
  get(path: string, query: Query): Promise<string>;
  /** Both answer with the object as it is then. */
  post(path: string, object: object, query?: Query): Promise<unknown>;
  patch(path: string, change: object, how: keyof typeof PATCHES): Promise<unknown>;
}

/**
 * The way to the API server, over one connection that stays open: by itself the client opens one per request
 * (kubernetes-client/javascript#2893).
 */
export function createRequests(
  access: ClusterAccess,
  clock: Clock,
): { open(deadline: Deadline): Promise<Requests>; close(): Promise<void> } {
  let connection: { readonly url: string; readonly certificateAuthority: string; readonly agent: Agent } | undefined;

  return {
    async open(deadline) {
      const { url, agent } = await connect(await access.endpoint(deadline));
      const transport = createTransport(access, agent, deadline, clock);
      const ask = async (method: HttpMethod, path: string, query: Query, contentType?: string, object?: object) => {
        const request = new RequestContext(`${url}/${path}`, method);
        for (const [key, value] of Object.entries(query)) request.setQueryParam(key, value);
        if (contentType !== undefined) request.setHeaderParam('Content-Type', contentType);
        if (object !== undefined) request.setBody(JSON.stringify(object));
        return await transport.send(request);
      };
      const fieldManager = FIELD_MANAGER;
      return {
        get: (path, query) => ask(HttpMethod.GET, path, query),
        post: async (path, object, query = {}) =>
          JSON.parse(await ask(HttpMethod.POST, path, query, 'application/json', object)),
        patch: async (path, change, how) =>
          JSON.parse(await ask(HttpMethod.PATCH, path, { fieldManager }, PATCHES[how], change)),
      };
    },

    async close() {
      await connection?.agent.close();
      connection = undefined;
    },
  };

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

/** Of the API server itself; undefined for any other failure: a webhook that denies may choose any code, such as that of a conflict. */
export function statusOf(error: unknown): number | undefined {
  return error instanceof ApiException && forbiddenBy(error.body) === undefined ? error.code : undefined;
}

/**
 * A failed request by status and reason alone: the client's own error holds the body and the headers in its message.
 * @param what was asked for, such as "listing Pods"
 */
export function translated(cluster: string, what: string, error: unknown): RekeyError {
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
