import { RekeyError } from '../operations/errors.ts';
import type { Cause, MoveBack } from '../operations/events.ts';
import { PREVIOUS, type SecretDescription, versionWithStage } from '../secrets/port.ts';
import type { SecretOptions } from '../secrets/tags.ts';
import type { Plan } from './plan.ts';

/** Why new pods may fail that the version brings: another one would have its image and its quota no sooner. */
const OF_THE_VERSION: readonly (Cause | undefined)[] = ['crash', 'container', 'progress-deadline'];

/** What becomes of a wish to move back. */
export type MovingBack =
  | { readonly kind: 'asked'; readonly moveBack: MoveBack }
  /** None of Rekey's functions rotates the secret, so none may read it and try the login of the version before. */
  | { readonly kind: 'by-hand'; readonly previousVersionId: string };

/**
 * Who is to move AWSCURRENT back, and to which version; undefined where nobody is: the tag does not ask, the version is
 * not to blame, or it was proved on all workloads once, so that the credential before it may be retired by now.
 * @param isTold whether people have heard that it converged
 * @param rotationFunctions ARNs of Rekey's
 */
export function moveBackOf(
  { verdict, failed }: Pick<Plan, 'verdict' | 'failed'>,
  secret: Pick<SecretDescription, 'rotationFunction' | 'stages'>,
  { onFailure, holdUntilMs }: Pick<SecretOptions, 'onFailure' | 'holdUntilMs'>,
  isTold: boolean,
  rotationFunctions: readonly string[],
  nowMs: number,
): MovingBack | undefined {
  const { rotationFunction } = secret;
  const previousVersionId = versionWithStage(secret, PREVIOUS);
  if (onFailure !== 'move-back' || verdict !== 'halted' || isTold) return undefined;
  if (!failed.some(({ cause }) => OF_THE_VERSION.includes(cause))) return undefined;
  if (holdUntilMs !== undefined && holdUntilMs > nowMs) return undefined;
  if (previousVersionId === undefined) return undefined;
  if (rotationFunction === undefined || !rotationFunctions.includes(rotationFunction))
    return { kind: 'by-hand', previousVersionId };
  return { kind: 'asked', moveBack: { rotationFunction, previousVersionId } };
}

/** What people hear where nobody moves AWSCURRENT but them. */
export function movedByHand({ arn }: Pick<SecretDescription, 'arn'>, from: string, to: string): RekeyError {
  return new RekeyError(
    'NOT_MOVED_BACK',
    `new pods fail with version ${from} of ${arn}, and rekey:on-failure is move-back, but none of Rekey's functions rotates this secret: nobody moves it back by itself. If the credential of version ${to} still works, move it back by: aws secretsmanager update-secret-version-stage --secret-id ${arn} --version-stage AWSCURRENT --remove-from-version-id ${from} --move-to-version-id ${to}`,
  );
}
