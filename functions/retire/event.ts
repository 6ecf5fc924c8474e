import * as z from 'zod/mini';
import { RekeyError } from '../../shared/operations/errors.ts';
import { EVENT_SOURCE } from '../../shared/operations/events.ts';

/**
 * `Secret Converged` as EventBridge puts it on the queue. `told` is ours: what people already heard about this
 * version, carried in the message because nothing else remembers.
 */
const message = z.looseObject({
  source: z.literal(EVENT_SOURCE),
  'detail-type': z.literal('Secret Converged'),
  time: z.iso.datetime({ offset: true }),
  detail: z.looseObject({
    secretArn: z.string().check(z.startsWith('arn:')),
    secretName: z.string().check(z.minLength(1)),
    versionId: z.string().check(z.minLength(1)),
    previousVersionId: z.optional(z.string()),
    consumers: z.array(z.looseObject({ pods: z.array(z.unknown()) })),
    pinned: z.array(z.unknown()),
    told: z.optional(z.array(z.string())),
  }),
});

export type ConvergedMessage = z.infer<typeof message>;

/** @throws RekeyError EVENT_INVALID, naming the field and never the body */
export function parseConvergedMessage(body: string): ConvergedMessage {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new RekeyError('EVENT_INVALID', 'the message is not JSON');
  }
  const parsed = message.safeParse(json);
  if (parsed.success) return parsed.data;
  const field = parsed.error.issues[0]?.path.join('.');
  throw new RekeyError(
    'EVENT_INVALID',
    `this is not a "Secret Converged" event: see "${field || 'the whole message'}"`,
  );
}

/** The same message once more, which then remembers that people heard of `event`. */
export function withTold(converged: ConvergedMessage, event: string): string {
  const told = [...(converged.detail.told ?? []), event];
  return JSON.stringify({ ...converged, detail: { ...converged.detail, told } });
}
