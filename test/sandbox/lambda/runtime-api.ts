import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface Invocation {
  readonly requestId: string;
  readonly functionArn: string;
  /** JSON text. */
  readonly payload: string;
}

/** What the runtime reports; `body` is JSON text. */
export type Report = { readonly kind: 'response' | 'error' | 'init-error'; readonly body: string };

/** The side of Lambda's Runtime API (2018-06-01) that one execution environment talks to. */
export interface RuntimeApi {
  /** `127.0.0.1:PORT`, for AWS_LAMBDA_RUNTIME_API. */
  readonly address: string;
  /** Resolves when the runtime asks for its first event, or reports that it could not start. */
  readonly started: Promise<'ready' | Report>;
  /** Hands over one invocation and waits for its report. One at a time. */
  run(invocation: Invocation, deadlineMs: number): Promise<Report>;
  close(): Promise<void>;
}

export async function startRuntimeApi(): Promise<RuntimeApi> {
  const started = Promise.withResolvers<'ready' | Report>();
  let asking = Promise.withResolvers<ServerResponse>();
  let report = Promise.withResolvers<Report>();

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url?.replace('/2018-06-01/runtime', '') ?? '';
    if (request.method === 'GET' && path === '/invocation/next') {
      asking.resolve(response);
      started.resolve('ready');
      return;
    }
    const body = await text(request);
    const kind = /^\/invocation\/[^/]+\/(response|error)$/.exec(path)?.[1] as 'response' | 'error' | undefined;
    if (kind) report.resolve({ kind, body });
    else if (path === '/init/error') started.resolve({ kind: 'init-error', body });
    response.writeHead(kind || path === '/init/error' ? 202 : 404).end();
  }

  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    started: started.promise,
    async run({ requestId, functionArn, payload }, deadlineMs) {
      const response = await asking.promise;
      asking = Promise.withResolvers();
      report = Promise.withResolvers();
      response
        .writeHead(200, {
          'content-type': 'application/json',
          'Lambda-Runtime-Aws-Request-Id': requestId,
          'Lambda-Runtime-Deadline-Ms': String(deadlineMs),
          'Lambda-Runtime-Invoked-Function-Arn': functionArn,
          'Lambda-Runtime-Trace-Id': `Root=1-${requestId.slice(0, 8)}-${requestId.replaceAll('-', '').slice(8)};Sampled=0`,
        })
        .end(payload);
      return report.promise;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}
