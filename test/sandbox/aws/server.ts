import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { decode, encode, encodeError, type HttpAnswer, type HttpRequest, shapeOf } from './protocols.ts';
import { AwsError, type AwsService, type Call, type Caller, type FaultInjector } from './service.ts';

/** More than any request that the simulated services accept. */
const BODY_LIMIT_BYTES = 1024 * 1024;
/** Longer than clients keep an idle socket, so that they never write to one that is just being closed. */
const KEEP_ALIVE_MS = 120_000;

export interface AwsServer {
  /** `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL`, an SDK's `endpoint` or the AWS CLI's `--endpoint-url`. */
  readonly endpoint: string;
  /** Every call that reached a service, the oldest first, with its input: secret values included. */
  readonly calls: readonly Call[];
  /** Replaces the injector; undefined ends all faults. */
  inject(injector: FaultInjector | undefined): void;
  /** Cuts every connection. */
  close(): Promise<void>;
}

/**
 * Simulated AWS: one HTTP endpoint for all services, told apart by the credential scope of the signature, as a
 * request to AWS carries it. Any SDK and the AWS CLI can use it.
 */
export async function startAwsServer(options: {
  readonly services: readonly AwsService[];
  readonly accountId: string;
  /** The account of whoever signs with this access key. @default the one of the sandbox */
  readonly accountIdOf?: (accessKeyId: string) => string;
  /** Asked before a call takes effect. @throws AwsError for a caller who is not known or may not @default anybody may */
  readonly authorize?: (service: AwsService, call: Call, request: HttpRequest) => void;
  readonly region: string;
  /** A free one when absent. */
  readonly port?: number;
}): Promise<AwsServer> {
  const services = new Map(options.services.map((service) => [service.name, service]));
  if (services.size !== options.services.length) throw new Error('two services have the same name');
  const calls: Call[] = [];
  const closing = new AbortController();
  let injector: FaultInjector | undefined;

  async function answer(request: HttpRequest): Promise<HttpAnswer | 'cut'> {
    const requestId = randomUUID();
    const shape = shapeOf(request);
    let service: AwsService | undefined;
    try {
      const scope = credentialScope(request);
      service = services.get(scope.service);
      if (!service)
        throw new AwsError('UnknownOperationException', `no service ${scope.service} is simulated here`, 404);
      if (scope.region !== options.region)
        throw new AwsError('InvalidSignatureException', 'Credential should be scoped to a valid region.', 403);
      const protocol = service.protocols.find(({ kind }) => kind === shape);
      if (!protocol) throw new AwsError('UnknownOperationException', `${service.name} does not speak ${shape}`, 404);
      const { operation, input } = decode(request, protocol);
      const { accessKeyId } = scope;
      const accountId = options.accountIdOf?.(accessKeyId) ?? options.accountId;
      const caller = { accountId, region: options.region, accessKeyId };
      const output = await perform(service, operation, input, caller, request);
      return output === 'cut' ? 'cut' : withRequestId(encode(operation, output, protocol, requestId), requestId);
    } catch (thrown) {
      const error = thrown instanceof AwsError ? thrown : defect(thrown);
      return withRequestId(encodeError(error, shape, service?.protocols ?? [], requestId), requestId);
    }
  }

  /** The call, with the fault that the injector wants around it. */
  async function perform(
    service: AwsService,
    operation: string,
    input: unknown,
    caller: Caller,
    request: HttpRequest,
  ): Promise<object | 'cut'> {
    const call: Call = { service: service.name, operation, input, caller, sequence: calls.length + 1 };
    calls.push(call);
    const fault = injector?.(call);
    const effect = async () => {
      options.authorize?.(service, call, request);
      return await service.handle(operation, input, caller);
    };
    switch (fault?.kind) {
      case undefined:
        return effect();
      case 'refuse':
        throw fault.error;
      case 'cut':
        return 'cut';
      case 'lose-answer':
        // An error is an answer too, and is lost like any other.
        await effect().catch(() => undefined);
        return 'cut';
      case 'stale':
        if (!service.handleStale) throw new Error(`${service.name} cannot answer from an earlier state`);
        return service.handleStale(operation, input, caller);
      case 'slow': {
        const outcome = await Promise.allSettled([effect()]);
        await delay(fault.milliseconds, undefined, { signal: closing.signal });
        if (outcome[0].status === 'rejected') throw outcome[0].reason;
        return outcome[0].value;
      }
      case 'run': {
        if (fault.when === 'before') await fault.action();
        const output = await effect();
        if (fault.when === 'after') await fault.action();
        return output;
      }
    }
  }

  async function serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(message);
    if (body === 'too large') {
      response.writeHead(413, { connection: 'close', 'x-amzn-errortype': 'RequestEntityTooLargeException' }).end();
      return;
    }
    const url = new URL(message.url ?? '/', 'http://localhost');
    const result = await answer({ method: message.method ?? 'GET', url, headers: message.headers, body });
    if (result === 'cut') response.destroy();
    else response.writeHead(result.status, result.headers).end(result.body);
  }

  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (message, response) => {
    // A client that goes away while it sends, or while it waits, has nobody left to answer.
    serve(message, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });

  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    calls,
    inject(next) {
      injector = next;
    },
    async close() {
      closing.abort();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** From the Authorization header or, in a presigned URL, from the query. @throws AwsError when not signed */
function credentialScope(request: HttpRequest): { accessKeyId: string; region: string; service: string } {
  const authorization = /^AWS4-HMAC-SHA256 .*Credential=([^,\s]+)/.exec(
    request.headers['authorization']?.toString() ?? '',
  );
  const credential = authorization?.[1] ?? request.url.searchParams.get('X-Amz-Credential');
  if (!credential)
    throw new AwsError(
      'MissingAuthenticationTokenException',
      'Missing Authentication Token',
      403,
      'MissingAuthenticationToken',
    );
  const [accessKeyId, , region, service, terminator] = credential.split('/');
  if (!accessKeyId || !region || !service || terminator !== 'aws4_request')
    throw new AwsError(
      'IncompleteSignatureException',
      'The credential scope is incomplete',
      403,
      'IncompleteSignature',
    );
  return { accessKeyId, region, service };
}

/** A mistake in the sandbox itself: answered as AWS answers its own, with the reason where a person will see it. */
function defect(thrown: unknown): AwsError {
  const reason = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return new AwsError('InternalFailure', `defect in the sandbox: ${reason}`, 500);
}

function withRequestId(answer: HttpAnswer, requestId: string): HttpAnswer {
  return { ...answer, headers: { ...answer.headers, 'x-amzn-requestid': requestId } };
}

async function readBody(message: IncomingMessage): Promise<Buffer | 'too large'> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Read to the end all the same: a client that is still writing would miss the answer.
    if (size <= BODY_LIMIT_BYTES) chunks.push(chunk);
  }
  return size > BODY_LIMIT_BYTES ? 'too large' : Buffer.concat(chunks);
}
