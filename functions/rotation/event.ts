import { RekeyError } from '../../shared/operations/errors.ts';
import type { MoveBackRequest } from '../../shared/rotation/move-back.ts';
import { STEPS } from '../../shared/rotation/plan.ts';
import type { RotationRequest } from '../../shared/rotation/steps.ts';
import { parseSecretArn } from '../../shared/secrets/secret-arn.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { parseHalted } from './halted.ts';

export type RotationEvent =
  | { readonly kind: 'step'; readonly request: RotationRequest }
  /** The one message of a batch of its queue: sync has halted, and the tag asks. */
  | { readonly kind: 'moveBack'; readonly request: MoveBackRequest }
  /** A person's question or order: `{"preflight": "<ARN>"}`, `{"createPeer": "<ARN>"}`. */
  | { readonly kind: (typeof ORDERS)[number]; readonly secretArn: string };

const ORDERS = ['preflight', 'createPeer'] as const;

/**
 * The event that Secrets Manager sends, the function's own queue, or a person. Keys that are not known are ignored: Secrets Manager may add some.
 * @param functionArn of this function: it works only on secrets of its own account and Region
 * @throws RekeyError EVENT_INVALID naming the key that is wrong; RotationToken proves who writes and is never quoted
 */
export function parseRotationEvent(event: unknown, functionArn: string): RotationEvent {
  if (typeof event !== 'object' || event === null || Array.isArray(event)) throw invalid('it is not an object');
  const fields = new Map<string, unknown>(Object.entries(event));
  if (fields.has('Records')) return { kind: 'moveBack', request: parseMoveBack(fields.get('Records'), functionArn) };
  const order = fields.has('Step') ? undefined : ORDERS.find((known) => fields.has(known));
  if (order) return { kind: order, secretArn: ownSecret(fields.get(order), order, functionArn) };
  return { kind: 'step', request: parseStep(fields, functionArn) };
}

function parseMoveBack(records: unknown, functionArn: string): MoveBackRequest {
  const [record, ...others] = Array.isArray(records) ? (records as { readonly body?: unknown }[]) : [];
  // One that fails would bring back the others with it.
  if (typeof record?.body !== 'string' || others.length > 0) throw invalid('Records must hold one message');
  const request = parseHalted(record.body);
  return { ...request, secretArn: ownSecret(request.secretArn, 'secretArn', functionArn) };
}

function parseStep(fields: ReadonlyMap<string, unknown>, functionArn: string): RotationRequest {
  const step = STEPS.find((known) => known === fields.get('Step'));
  if (!step) throw invalid(`Step must be ${STEPS.join(', ')}`);

  const secretArn = ownSecret(fields.get('SecretId'), 'SecretId', functionArn);

  const versionId = fields.get('ClientRequestToken');
  if (typeof versionId !== 'string' || !/^[\x21-\x7e]{32,64}$/.test(versionId))
    throw invalid('ClientRequestToken must be 32 to 64 printable characters');

  const rotationToken = fields.get('RotationToken') ?? undefined;
  if (rotationToken !== undefined && !(typeof rotationToken === 'string' && /^[\w-]{36,256}$/.test(rotationToken)))
    throw invalid('RotationToken must be 36 to 256 letters, digits and hyphens');

  return {
    step,
    secretArn,
    versionId,
    rotationToken: rotationToken === undefined ? undefined : new SecretValue(rotationToken),
  };
}

function ownSecret(value: unknown, key: string, functionArn: string): string {
  const parsed = typeof value === 'string' ? parseSecretArn(value) : undefined;
  if (typeof value !== 'string' || !parsed) throw invalid(`${key} must be the whole ARN of a secret`);
  const [, , , region, accountId] = functionArn.split(':');
  if (parsed.region !== region || parsed.accountId !== accountId)
    throw invalid(`${key} must be of the account and Region of this function`);
  return value;
}

function invalid(fault: string): RekeyError {
  return new RekeyError('EVENT_INVALID', `the rotation event: ${fault}`);
}
