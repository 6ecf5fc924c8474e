import * as z from 'zod/mini';
import { RekeyError } from '../../shared/operations/errors.ts';
import { EVENT_SOURCE, type Unproved } from '../../shared/operations/events.ts';
import type { MoveBackRequest } from '../../shared/rotation/move-back.ts';

const versionId = z.string().check(z.regex(/^[\x21-\x7e]{32,64}$/));

/** `Sync Halted` as EventBridge puts it on the queue, where it asks for AWSCURRENT to move back. */
const message = z.looseObject({
  source: z.literal(EVENT_SOURCE),
  'detail-type': z.literal('Sync Halted'),
  detail: z.looseObject({
    secretArn: z.string(),
    secretName: z.string().check(z.minLength(1)),
    versionId,
    failed: z.array(
      z.looseObject({
        cluster: z.string(),
        kind: z.string(),
        namespace: z.string(),
        name: z.string(),
        why: z.string(),
      }),
    ),
    moveBack: z.looseObject({ previousVersionId: versionId }),
  }),
});

/** @throws RekeyError EVENT_INVALID, naming the field and never the body */
export function parseHalted(body: string): MoveBackRequest {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    throw new RekeyError('EVENT_INVALID', 'the message is not JSON');
  }
  const parsed = message.safeParse(json);
  if (!parsed.success) {
    const field = parsed.error.issues[0]?.path.join('.');
    throw new RekeyError(
      'EVENT_INVALID',
      `this is not a "Sync Halted" event that asks to move back: see "${field || 'the whole message'}"`,
    );
  }
  const { secretArn, secretName, moveBack, failed, ...detail } = parsed.data.detail;
  return {
    secretArn,
    secretName,
    versionId: detail.versionId,
    previousVersionId: moveBack.previousVersionId,
    // What is told further is what sync wrote, causes and all.
    failed: failed as readonly Unproved[],
  };
}
