import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';

/** An API server and a token of somebody who may do everything. */
export interface KubernetesApi {
  readonly endpoint: string;
  /** PEM */
  readonly ca: string;
  readonly token: string;
}

export interface Answer {
  readonly code: number;
  // biome-ignore lint/suspicious/noExplicitAny: an answer is compared field by field, whatever its type
  readonly body: any;
}

export interface WatchedEvent {
  readonly type: string;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  readonly object: any;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
  readonly headers?: Readonly<Record<string, string | string[]>>;
  /** Default: the administrator's; null sends none. */
  readonly token?: string | null;
}

/** An answer that is not what was asked for. */
export class Refused extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export const MERGE = 'application/merge-patch+json';
export const STRATEGIC = 'application/strategic-merge-patch+json';
export const JSON_PATCH = 'application/json-patch+json';
export const APPLY = 'application/apply-patch+yaml';

/** The bare wire, so that a contract speaks of statuses and bodies and not of what a library makes of them. */
export class KubernetesClient {
  readonly #api: KubernetesApi;
  readonly #agent: Agent;
  readonly #namespaces: string[] = [];

  constructor(api: KubernetesApi) {
    this.#api = api;
    this.#agent = new Agent({ keepAlive: true, ca: api.ca });
  }

  async send(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const response = await this.#open(method, path, options);
    let text = '';
    for await (const chunk of response) text += chunk;
    const isJson = response.headers['content-type']?.includes('json') ?? false;
    return { code: response.statusCode ?? 0, body: isJson ? JSON.parse(text) : text };
  }

  async get(path: string): Promise<Answer> {
    return await this.send('GET', path);
  }

  async create(path: string, body: unknown): Promise<Answer> {
    return await this.send('POST', path, { body });
  }

  async patch(path: string, contentType: string, body: unknown): Promise<Answer> {
    return await this.send('PATCH', path, { body, contentType });
  }

  /** A fresh namespace, which goes with {@link deleteNamespaces}. @returns its name */
  async createNamespace(prefix: string): Promise<string> {
    const name = `${prefix}-${process.pid}-${this.#namespaces.length + 1}`;
    this.#namespaces.push(name);
    await this.create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
    return name;
  }

  async deleteNamespaces(): Promise<void> {
    for (const name of this.#namespaces) await this.send('DELETE', `/api/v1/namespaces/${name}`);
  }

  /** Reads events until enough of them have come; then the watch is ended. */
  async watch(
    path: string,
    enough: (events: readonly WatchedEvent[]) => boolean,
    whileWatching: () => Promise<unknown> = async () => {},
  ): Promise<WatchedEvent[]> {
    const response = await this.#open('GET', path, {});
    const acting = whileWatching();
    const events: WatchedEvent[] = [];
    for await (const event of eventsIn(response)) {
      events.push(event);
      if (enough(events)) break;
    }
    await acting;
    return events;
  }

  /** Events as they come, until the server ends the watch or this is closed. @throws Refused */
  async *events(path: string): AsyncIterable<WatchedEvent> {
    const response = await this.#open('GET', path, {});
    if (response.statusCode !== 200) {
      response.resume();
      throw new Refused(response.statusCode ?? 0, `watching ${path}: ${response.statusCode}`);
    }
    yield* eventsIn(response);
  }

  /** Looks again until a condition holds. @throws Error with the last state after a minute, before a test is given up */
  async until(path: string, condition: (body: Answer['body']) => boolean): Promise<Answer['body']> {
    const deadline = Date.now() + 60_000;
    for (;;) {
      const { body } = await this.get(path);
      if (condition(body)) return body;
      if (Date.now() > deadline) throw new Error(`not reached: ${path} is ${JSON.stringify(body.status ?? body)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  #open(method: string, path: string, options: RequestOptions): Promise<IncomingMessage> {
    const { body, contentType = 'application/json', accept = 'application/json', headers, token } = options;
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, this.#api.endpoint),
        {
          method,
          agent: this.#agent,
          headers: {
            accept,
            'user-agent': 'contract/1.0 (test)',
            ...(token === null ? {} : { authorization: `Bearer ${token ?? this.#api.token}` }),
            ...(text === undefined ? {} : { 'content-type': contentType, 'content-length': Buffer.byteLength(text) }),
            ...headers,
          },
        },
        resolve,
      );
      sent.on('error', reject);
      sent.end(text);
    });
  }
}

async function* eventsIn(response: IncomingMessage): AsyncIterable<WatchedEvent> {
  let rest = '';
  for await (const chunk of response.setEncoding('utf8')) {
    const lines = `${rest}${chunk}`.split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield JSON.parse(line);
  }
}
