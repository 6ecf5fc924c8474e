import { RekeyError } from '../../shared/operations/errors.ts';
import { failureDetail, type RekeyEvent } from '../../shared/operations/events.ts';
import type { RetireOutcome } from '../../shared/rotation/retire.ts';

/** The name by which a message remembers that people were told. */
export const SESSIONS_OPEN = 'SESSIONS_OPEN';

/** Who keeps the previous user alive: every pod is proved, so it is somebody that no manifest shows. */
export function sessionsOpenEvent(
  secret: { readonly secretArn: string; readonly secretName: string; readonly versionId: string },
  { user, sessions }: Extract<RetireOutcome, { kind: 'sessionsOpen' }>,
): RekeyEvent {
  const { secretArn, secretName, versionId } = secret;
  const error = new RekeyError(SESSIONS_OPEN, `${sessions.length} session(s) of the previous user "${user}" are open`);
  const failure = failureDetail(error, 'Everything: the current and the previous credential both log in.');
  return { type: 'Action Needed', detail: { secretArn, secretName, versionId, ...failure, sessions } };
}
