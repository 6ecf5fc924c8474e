import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Certificate } from '../../certificates.ts';
import { ADMIN, ANONYMOUS, type User } from './authorization.ts';
import type { ApiHandler, ApiResponse } from './handler.ts';
import type { RequestTarget, Verb } from './request.ts';
import { StatusError, unauthorized } from './status-error.ts';

/**
 * Something that goes wrong with one request, on purpose: `refuse` answers a failure before it takes effect,
 * `lose-answer` lets it take effect and cuts the connection, `cut` cuts it before, `hang` never answers,
 * `slow` answers late, `run` calls back first.
 */
export type ApiFault =
  | {
      readonly kind: 'refuse';
      readonly code: number;
      readonly reason?: string;
      readonly message?: string;
      readonly retryAfterSeconds?: number;
    }
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'cut' }
  | { readonly kind: 'hang' }
  | { readonly kind: 'slow'; readonly milliseconds: number }
  | { readonly kind: 'run'; readonly action: () => void | Promise<void> };

/** One request as it was received. */
export interface ApiCall {
  /** Counts all requests since the start, from 1. */
  readonly sequence: number;
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  readonly verb: Verb | string;
  /** Plural, with its subresource; undefined for discovery and the like. */
  readonly resource: string | undefined;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly username: string;
  readonly userAgent: string;
}

export interface AnsweredCall extends ApiCall {
  readonly code: number;
  readonly requestBytes: number;
  /** Of the body, as far as it was sent. */
  responseBytes: number;
}

/** Asked for every request; undefined lets it pass untouched. */
export type ApiFaultInjector = (call: ApiCall) => ApiFault | undefined;

export interface RequestLog {
  readonly calls: readonly AnsweredCall[];
  /** How many of a verb, and of a resource if given. */
  count(verb: Verb, resource?: string): number;
  /** TLS connections that clients opened. */
  tlsConnections(): number;
  reset(): void;
}

export interface ApiServerOptions {
  readonly handler: ApiHandler;
  readonly certificate: Certificate;
  readonly adminToken: string;
  /** Undefined: the token is refused with 401. */
  authenticate(token: string): Promise<User | undefined> | User | undefined;
}

/** As large as etcd lets an object be, with room: the real server's limit for a request body. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;
const BOOKMARK_MS = 60_000;
const DEFAULT_WATCH_SECONDS = 45 * 60;

/** HTTPS on loopback: reads requests, knows who sends them, writes answers and watch streams, and counts. */
export class ApiServer {
  readonly #server: Server;
  readonly #options: ApiServerOptions;
  readonly #calls: AnsweredCall[] = [];
  #connections = 0;
  #sequence = 0;
  #inject: ApiFaultInjector = () => undefined;

  constructor(options: ApiServerOptions) {
    this.#options = options;
    const { certificate, key } = options.certificate;
    this.#server = createServer({ cert: certificate, key }, (request, response) => {
      this.#serve(request, response).catch(() => response.destroy());
    });
    // Go's server keeps idle connections for 90 s; Node's default of 5 s would cut a client's between two passes.
    this.#server.keepAliveTimeout = 90_000;
    this.#server.on('secureConnection', () => {
      this.#connections += 1;
    });
    // A client that gives up in the middle of a handshake is its own affair.
    this.#server.on('tlsClientError', () => {});
  }

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get endpoint(): string {
    const { port } = this.#server.address() as AddressInfo;
    return `https://127.0.0.1:${port}`;
  }

  get requests(): RequestLog {
    const calls = this.#calls;
    return {
      calls,
      count: (verb, resource) =>
        calls.filter((call) => call.verb === verb && (resource === undefined || call.resource === resource)).length,
      tlsConnections: () => this.#connections,
      reset: () => {
        calls.length = 0;
        this.#connections = 0;
      },
    };
  }

  inject(injector: ApiFaultInjector | undefined): void {
    this.#inject = injector ?? (() => undefined);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.endpoint);
    const method = request.method ?? 'GET';
    const body = await readBody(request);
    const user = await this.#authenticate(request.headers.authorization);
    const target = this.#options.handler.target(method, url);
    const call: ApiCall = {
      sequence: ++this.#sequence,
      method,
      path: `${url.pathname}${url.search}`,
      ...described(target),
      username: user instanceof StatusError ? '' : user.username,
      userAgent: request.headers['user-agent'] ?? '',
    };

    const fault = this.#inject(call);
    if (fault?.kind === 'run') await fault.action();
    if (fault?.kind === 'slow') await new Promise((resolve) => setTimeout(resolve, fault.milliseconds));
    const answer =
      fault?.kind === 'refuse'
        ? refusal(fault)
        : fault?.kind === 'hang' || fault?.kind === 'cut'
          ? undefined
          : this.#answer(method, url, request, body, user);
    const record: AnsweredCall = {
      ...call,
      code: answer === undefined ? 0 : answer.kind === 'watch' ? 200 : answer.code,
      requestBytes: body?.length ?? 0,
      responseBytes: 0,
    };
    this.#calls.push(record);
    if (fault?.kind === 'hang') return;
    if (answer === undefined || fault?.kind === 'lose-answer') {
      response.destroy();
      return;
    }
    if (answer.kind === 'watch') stream(answer, response, record);
    else send(answer, response, record);
  }

  #answer(
    method: string,
    url: URL,
    request: IncomingMessage,
    body: Buffer | undefined,
    user: User | StatusError,
  ): ApiResponse {
    try {
      if (user instanceof StatusError) throw user;
      if (body === undefined) throw new StatusError(413, 'RequestEntityTooLarge', 'request body too large');
      const {
        accept = '',
        'content-type': contentType = 'application/json',
        'user-agent': userAgent = '',
      } = request.headers;
      return this.#options.handler.handle({
        method,
        url,
        accept,
        contentType: contentType.split(';')[0]?.trim() ?? '',
        userAgent,
        body,
        user,
        impersonate: impersonated(request),
      });
    } catch (thrown) {
      const error =
        thrown instanceof StatusError
          ? thrown
          : new StatusError(
              500,
              'InternalError',
              `Internal error occurred: ${thrown instanceof Error ? thrown.stack : thrown}`,
            );
      return { kind: 'answer', code: error.status.code, body: error.status };
    }
  }

  async #authenticate(header: string | undefined): Promise<User | StatusError> {
    if (header === undefined) return ANONYMOUS;
    const token = /^Bearer (.+)$/i.exec(header)?.[1];
    if (token === undefined) return unauthorized();
    if (token === this.#options.adminToken) return ADMIN;
    const user = await this.#options.authenticate(token);
    if (user === undefined) return unauthorized();
    return { ...user, groups: [...new Set([...user.groups, 'system:authenticated'])] };
  }
}

function described(target: RequestTarget): Pick<ApiCall, 'verb' | 'resource' | 'namespace' | 'name'> {
  if (target.kind === 'other') {
    return { verb: target.verb, resource: undefined, namespace: undefined, name: undefined };
  }
  const { verb, resource, subresource, namespace, name } = target;
  return { verb, resource: subresource ? `${resource.plural}/${subresource}` : resource.plural, namespace, name };
}

/** `Impersonate-User` and any number of `Impersonate-Group`, as `kubectl --as` sends them. */
function impersonated(request: IncomingMessage): User | undefined {
  const { 'impersonate-user': [username] = [], 'impersonate-group': groups = [] } = request.headersDistinct;
  return username === undefined ? undefined : { username, groups };
}

/** @returns undefined when it is larger than the server takes */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    bytes += chunk.length;
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return bytes > MAX_BODY_BYTES ? undefined : Buffer.concat(chunks);
}

export function refusal(fault: ApiFault & { kind: 'refuse' }): ApiResponse & { kind: 'answer' } {
  const { code, retryAfterSeconds } = fault;
  const reason = fault.reason ?? REASONS[code] ?? 'InternalError';
  const details = retryAfterSeconds === undefined ? undefined : { retryAfterSeconds };
  return { kind: 'answer', code, body: new StatusError(code, reason, fault.message ?? reason, details).status };
}

const REASONS: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Expired',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

function send(answer: ApiResponse & { kind: 'answer' }, response: ServerResponse, record: AnsweredCall): void {
  const { code, body } = answer;
  const text = typeof body === 'string' ? body : `${JSON.stringify(body)}\n`;
  const details: unknown = Reflect.get(Object(body), 'details');
  const seconds: unknown =
    code === 200 || typeof details !== 'object' ? undefined : Reflect.get(Object(details), 'retryAfterSeconds');
  record.responseBytes = Buffer.byteLength(text);
  response.writeHead(code, {
    'content-type': typeof body === 'string' ? 'text/plain; charset=utf-8' : 'application/json',
    'content-length': record.responseBytes,
    'cache-control': 'no-cache, private',
    ...(seconds === undefined ? {} : { 'retry-after': `${seconds}` }),
  });
  response.end(text);
}

function stream(answer: ApiResponse & { kind: 'watch' }, response: ServerResponse, record: AnsweredCall): void {
  response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache, private' });
  response.flushHeaders();
  const watch = answer.start(
    (event) => {
      const line = `${JSON.stringify(event)}\n`;
      record.responseBytes += Buffer.byteLength(line);
      response.write(line);
    },
    () => response.end(),
  );
  const bookmarks = setInterval(() => watch.bookmark(), BOOKMARK_MS);
  const timeout = setTimeout(
    () => {
      watch.bookmark();
      response.end();
    },
    (answer.timeoutSeconds ?? DEFAULT_WATCH_SECONDS) * 1000,
  );
  response.on('close', () => {
    clearInterval(bookmarks);
    clearTimeout(timeout);
    watch.stop();
  });
}
