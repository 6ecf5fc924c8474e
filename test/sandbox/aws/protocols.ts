import { AwsError, type Protocol, type RestAnswer, unknownOperation } from './service.ts';

/**
 * AWS's wire protocols, as the Smithy specification describes them (awsJson1_0, awsJson1_1, awsQuery, restJson1):
 * from an HTTP request to an operation with its input, and from its output or error to an HTTP answer.
 */

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export type Shape = Protocol['kind'];

/** Which protocol a request speaks, by what only that one has. */
export function shapeOf(request: HttpRequest): Shape {
  if (request.headers['x-amz-target'] !== undefined) return 'json';
  const isForm = header(request, 'content-type')?.startsWith('application/x-www-form-urlencoded');
  return isForm || request.url.searchParams.has('Action') ? 'query' : 'rest-json';
}

/** @throws AwsError UnknownOperationException, SerializationException */
export function decode(request: HttpRequest, protocol: Protocol): { operation: string; input: unknown } {
  switch (protocol.kind) {
    case 'json': {
      const [prefix, operation] = (header(request, 'x-amz-target') ?? '').split('.');
      if (prefix !== protocol.targetPrefix || !operation) throw unknownOperation(header(request, 'x-amz-target') ?? '');
      const input = parseJson(request.body) ?? {};
      if (typeof input !== 'object' || Array.isArray(input))
        throw new AwsError('SerializationException', 'Start of structure or map found where not expected');
      return { operation, input };
    }
    case 'query': {
      const fields = new URLSearchParams([
        ...request.url.searchParams,
        ...new URLSearchParams(request.body.toString('utf8')),
      ]);
      const operation = fields.get('Action');
      if (!operation)
        throw new AwsError('MissingAction', 'The request must contain the parameter Action', 400, 'MissingAction');
      const input = nest(fields);
      return { operation, input: protocol.input?.(operation, input) ?? input };
    }
    case 'rest-json': {
      const { method, url, headers } = request;
      const routed = protocol.route(method, url.pathname, url.searchParams, parseJson(request.body), headers);
      if (!routed) throw unknownOperation(`${method} ${url.pathname}`);
      return routed;
    }
  }
}

export function encode(operation: string, output: object, protocol: Protocol, requestId: string): HttpAnswer {
  switch (protocol.kind) {
    case 'json':
      return {
        status: 200,
        headers: { 'content-type': `application/x-amz-json-${protocol.version}` },
        body: toJson(output),
      };
    case 'query': {
      const result = xml({ [`${operation}Result`]: protocol.output?.(operation, output) ?? output });
      const metadata = xml({ ResponseMetadata: { RequestId: requestId } });
      return xmlAnswer(200, `${operation}Response`, protocol.xmlNamespace, result + metadata);
    }
    case 'rest-json': {
      const answer: RestAnswer = protocol.answer?.(operation, output) ?? { status: 200, body: output };
      return {
        status: answer.status,
        headers: { 'content-type': 'application/json', ...answer.headers },
        body: answer.body === undefined ? '' : toJson(answer.body),
      };
    }
  }
}

/**
 * @param protocols of the service that was called; none when it is unknown. One that speaks the query protocol too
 *   names the old error code in a header, because clients of that time match on it.
 */
export function encodeError(
  error: AwsError,
  shape: Shape,
  protocols: readonly Protocol[],
  requestId: string,
): HttpAnswer {
  const query = protocols.find((protocol) => protocol.kind === 'query');
  const fault = error.status < 500 ? 'Sender' : 'Receiver';
  if (shape === 'query') {
    const body =
      xml({ Error: { Type: fault, Code: error.queryCode, Message: error.message } }) + xml({ RequestId: requestId });
    return xmlAnswer(error.status, 'ErrorResponse', query?.xmlNamespace ?? '', body);
  }
  const json = protocols.find((protocol) => protocol.kind === 'json');
  return {
    status: error.status,
    headers: {
      'content-type': shape === 'json' ? `application/x-amz-json-${json?.version ?? '1.1'}` : 'application/json',
      'x-amzn-errortype': error.code,
      ...(shape === 'json' && query ? { 'x-amzn-query-error': `${error.queryCode};${fault}` } : {}),
    },
    body: toJson({ __type: error.code, message: error.message }),
  };
}

function header(request: HttpRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) return undefined;
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new AwsError('SerializationException', 'The request body is not valid JSON');
  }
}

/** Instants are epoch seconds in AWS's JSON. */
function toJson(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key, member) {
    const original = this[key];
    return original instanceof Date ? original.getTime() / 1000 : member;
  });
}

type Node = Map<string, Node | string>;

/** `A.member.1.B=x` and the flattened `A.1.B=x` as `{ A: [{ B: 'x' }] }`. */
function nest(fields: URLSearchParams): object {
  const root: Node = new Map();
  for (const [path, value] of fields) {
    const steps = path.split('.');
    const last = steps.pop() ?? '';
    let node = root;
    for (const step of steps) {
      const next = node.get(step);
      if (next instanceof Map) node = next;
      else {
        const child: Node = new Map();
        node.set(step, child);
        node = child;
      }
    }
    node.set(last, value);
  }
  return Object.fromEntries([...root].map(([key, child]) => [key, plain(child)]));
}

function plain(node: Node | string): unknown {
  if (typeof node === 'string') return node;
  const keys = [...node.keys()];
  const only = node.get('member');
  if (keys.length === 1 && only !== undefined) return plain(only);
  if (keys.every((key) => /^\d+$/.test(key)))
    return keys.sort((left, right) => Number(left) - Number(right)).map((key) => plain(node.get(key) ?? ''));
  return Object.fromEntries([...node].map(([key, child]) => [key, plain(child)]));
}

function xmlAnswer(status: number, root: string, namespace: string, body: string): HttpAnswer {
  return {
    status,
    headers: { 'content-type': 'text/xml' },
    body: `<?xml version="1.0"?>\n<${root} xmlns="${escapeXml(namespace)}">${body}</${root}>`,
  };
}

function xml(value: unknown): string {
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'object' || value === null) return escapeXml(String(value));
  return Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .flatMap(([name, member]) => [member].flat().map((each) => `<${name}>${xml(each)}</${name}>`))
    .join('');
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}
