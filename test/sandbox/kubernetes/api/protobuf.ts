import { badRequest } from './status-error.ts';

export const PROTOBUF = 'application/vnd.kubernetes.protobuf';

/**
 * kubectl's typed clients send their few writes as protobuf. Only the reviews of `kubectl auth` arrive that way,
 * so this reads just them; every other body must be JSON or YAML.
 */
export function decodeReview(body: Buffer): Record<string, unknown> {
  if (body.subarray(0, 4).toString('latin1') !== 'k8s\0')
    throw badRequest('the body does not start as protobuf of Kubernetes does');
  const envelope = message(body.subarray(4));
  const type = message(envelope.get(1));
  const spec = message(message(envelope.get(2)).get(2));
  const kind = text(type.get(2));
  const header = { apiVersion: text(type.get(1)), kind, metadata: {} };
  switch (kind) {
    case 'SelfSubjectReview':
      return header;
    case 'SelfSubjectRulesReview':
      return { ...header, spec: { namespace: text(spec.get(1)) } };
    case 'SelfSubjectAccessReview': {
      const path = message(spec.get(2));
      const resource = message(spec.get(1));
      const attributes = ['namespace', 'verb', 'group', 'version', 'resource', 'subresource', 'name'];
      return {
        ...header,
        spec: spec.has(1)
          ? {
              resourceAttributes: Object.fromEntries(
                attributes.map((name, index) => [name, text(resource.get(index + 1))]),
              ),
            }
          : { nonResourceAttributes: { path: text(path.get(1)), verb: text(path.get(2)) } },
      };
    }
    default:
      throw badRequest(`protobuf of ${kind} is not understood`);
  }
}

/** The length-delimited fields of a message, by number; a repeated one is the last. */
function message(bytes: Buffer | undefined): Map<number, Buffer> {
  const fields = new Map<number, Buffer>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes?.[at++];
      if (byte === undefined || shift > 28) throw badRequest('the protobuf ends in the middle of a field');
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (bytes !== undefined && at < bytes.length) {
    const tag = varint();
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 2: {
        const length = varint();
        fields.set(tag >> 3, bytes.subarray(at, at + length));
        at += length;
        break;
      }
      default:
        throw badRequest(`the protobuf has a field of wire type ${tag & 7}`);
    }
  }
  return fields;
}

function text(bytes: Buffer | undefined): string {
  return bytes?.toString() ?? '';
}
