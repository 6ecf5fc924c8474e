import type { Cause, MoveBack } from '../operations/events.ts';
import { PREVIOUS, type SecretDescription, versionWithStage } from '../secrets/port.ts';
import type { SecretOptions } from '../secrets/tags.ts';
import type { Plan } from './plan.ts';

/** Why new pods may fail that the version brings: another one would have its image and its quota no sooner. */
const OF_THE_VERSION: readonly (Cause | undefined)[] = ['crash', 'container', 'progress-deadline'];

/**
 * Who is to move AWSCURRENT back, and to which version; undefined where nobody is: the tag does not ask, the version is
 * not to blame, or it was proved on all workloads once, so that the credential before it may be retired by now.
 * @param isTold whether people have heard that it converged
 */
export function moveBackOf(
  { verdict, failed }: Pick<Plan, 'verdict' | 'failed'>,
  secret: Pick<SecretDescription, 'rotationFunction' | 'stages'>,
  { onFailure, holdUntilMs }: Pick<SecretOptions, 'onFailure' | 'holdUntilMs'>,
  isTold: boolean,
  nowMs: number,
): MoveBack | undefined {
  const { rotationFunction } = secret;
  const previousVersionId = versionWithStage(secret, PREVIOUS);
  if (onFailure !== 'move-back' || verdict !== 'halted' || isTold) return undefined;
  if (!failed.some(({ cause }) => OF_THE_VERSION.includes(cause))) return undefined;
  if (holdUntilMs !== undefined && holdUntilMs > nowMs) return undefined;
  if (rotationFunction === undefined || previousVersionId === undefined) return undefined;
  return { rotationFunction, previousVersionId };
}
