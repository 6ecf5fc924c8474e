import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, request as send } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { createAuthority } from '../certificates.ts';
import { type ApiFault, refusal } from './api/server.ts';

/** One request as it came through. */
export interface ProxiedCall {
  readonly method: string;
  /** Path with query. */
  readonly path: string;
  /** Plural, with its subresource. */
  readonly resource: string;
  /** The empty string for a list. */
  readonly name: string;
  /** Of the answer; undefined until there is one. */
  readonly code: number | undefined;
}

export interface ApiProxy {
  readonly endpoint: string;
  /** Of its own authority, as it is the server that clients see. */
  readonly caPem: string;
  /** All that came, answered or not. */
  readonly calls: readonly ProxiedCall[];
  /** TLS connections that clients opened. */
  tlsConnections(): number;
  /** Asked for every request; undefined lets it pass untouched. */
  inject(injector: ((call: ProxiedCall) => ApiFault | undefined) | undefined): void;
  /** Forgets the calls, connections and faults. */
  reset(): void;
  close(): Promise<void>;
}

/** Stands before an API server, simulated or real, so that what goes wrong with a request does so on the wire. */
export async function startApiProxy(upstream: {
  readonly endpoint: string;
  readonly caPem: string;
}): Promise<ApiProxy> {
  const authority = createAuthority('proxy');
  const { certificate: cert, key } = authority.issue(['localhost', '127.0.0.1']);
  const agent = new Agent({ keepAlive: true, ca: upstream.caPem });
  const calls: (ProxiedCall & { code: number | undefined })[] = [];
  let connections = 0;
  let inject: (call: ProxiedCall) => ApiFault | undefined = () => undefined;

  /** @returns the answer, when the server has taken all of the request */
  async function pass(incoming: IncomingMessage): Promise<IncomingMessage> {
    const { method = 'GET', headers, url = '/' } = incoming;
    const outgoing = send(new URL(url, upstream.endpoint), { method, agent, headers });
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>;
    await Promise.all([pipeline(incoming, outgoing), answered]);
    return (await answered)[0];
  }

  async function serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const call = callOf(incoming);
    calls.push(call);
    const fault = inject(call);
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'cut') {
      response.destroy();
      return;
    }
    if (fault?.kind === 'refuse') {
      incoming.resume();
      const { code, body } = refusal(fault);
      const { retryAfterSeconds: seconds } = fault;
      call.code = code;
      response.writeHead(code, {
        'content-type': 'application/json',
        ...(seconds !== undefined && { 'retry-after': `${seconds}` }),
      });
      response.end(`${JSON.stringify(body)}\n`);
      return;
    }
    if (fault?.kind === 'run') await fault.action();
    if (fault?.kind === 'slow') await new Promise((resolve) => setTimeout(resolve, fault.milliseconds));
    const answer = await pass(incoming);
    call.code = answer.statusCode;
    if (fault?.kind === 'lose-answer') {
      answer.resume();
      await once(answer, 'end');
      response.destroy();
      return;
    }
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    await pipeline(answer, response);
  }

  const server = createServer({ cert, key }, (incoming, response) => {
    serve(incoming, response).catch(() => response.destroy());
  });
  server.keepAliveTimeout = 90_000;
  server.on('secureConnection', () => {
    connections += 1;
  });
  // A client that gives up in the middle of a handshake is its own affair.
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `https://127.0.0.1:${port}`,
    caPem: authority.certificate,
    calls,
    tlsConnections: () => connections,
    inject: (injector) => {
      inject = injector ?? (() => undefined);
    },
    reset() {
      calls.length = 0;
      connections = 0;
      inject = () => undefined;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      agent.destroy();
    },
  };
}

function callOf({ method = 'GET', url: path = '/' }: IncomingMessage): ProxiedCall & { code: number | undefined } {
  const [, api, ...rest] = (path.split('?')[0] ?? '').split('/');
  const below = rest.slice(api === 'api' ? 1 : 2);
  const [plural = '', name = '', subresource] = below[0] === 'namespaces' && below.length > 2 ? below.slice(2) : below;
  const resource = subresource === undefined ? plural : `${plural}/${subresource}`;
  return { method, path, resource, name, code: undefined };
}
