import type { Deadline } from '../operations/deadline.ts';
import { hasCode, RekeyError } from '../operations/errors.ts';
import {
  type Announcer,
  actionNeeded,
  HALTED_STILL_WORKS,
  type RekeyEvent,
  type Unproved,
} from '../operations/events.ts';
import { CURRENT, PENDING, PREVIOUS, type SecretDescription, versionWithStage } from '../secrets/port.ts';
import { parseTags } from '../secrets/tags.ts';
import { rotationOf } from './rotation.ts';
import { witnessOf } from './single-user.ts';
import type { Database, Rotation, Surroundings } from './strategy.ts';
import { strategyFor } from './strategy-choice.ts';

/** What sync asks for when new pods fail and the secret's tag wants AWSCURRENT back. */
export interface MoveBackRequest {
  readonly secretArn: string;
  readonly secretName: string;
  /** With which new pods fail. AWSCURRENT is moved from it, and from no other version. */
  readonly versionId: string;
  /** Under AWSPREVIOUS when they failed: where AWSCURRENT is moved to. */
  readonly previousVersionId: string;
  /** Whose new pods failed, for people. */
  readonly failed: readonly Unproved[];
}

export type MoveBackOutcome =
  | { readonly kind: 'movedBack'; readonly user: string }
  /** The labels have moved on, or a rotation has begun: what failed is not what is current. */
  | { readonly kind: 'superseded' }
  | { readonly kind: 'leftAlone'; readonly why: string }
  /** People were told why. */
  | { readonly kind: 'refused'; readonly error: RekeyError };

/** The least time that reading the secret and one login take. */
const MOVE_BACK_MS = 3_000;

/**
 * Makes the previous version current again, once its login has been let in. The version that is moved back from is
 * AWSPREVIOUS then: nothing promotes it any more, and its login is retired like any other once all consumers are proved
 * on the restored version. May be repeated after a crash at any point.
 * @throws RekeyError where a later try may succeed; of whatever else is in the way, people are told
 */
export async function moveBack(
  request: MoveBackRequest,
  deps: Surroundings & Database,
  deadline: Deadline,
): Promise<MoveBackOutcome> {
  deadline.require(MOVE_BACK_MS, 'moveBack');
  try {
    return await moveOnceProved(request, deps, deadline);
  } catch (error) {
    if (!(error instanceof RekeyError) || error.retryable) throw error;
    await tell(actionNeeded(request, error, HALTED_STILL_WORKS), deps.announcer);
    return { kind: 'refused', error };
  }
}

async function moveOnceProved(
  request: MoveBackRequest,
  deps: Surroundings & Database,
  deadline: Deadline,
): Promise<MoveBackOutcome> {
  const { store, clock, announcer, engine } = deps;
  const { secretArn, versionId: from, previousVersionId: to } = request;
  const secret = await store.describe(secretArn);
  let standing = judge(request, secret, clock.now());
  if (standing.kind !== 'failing' && standing.kind !== 'movedBack') return standing;

  const stored = await store.read(secretArn, to);
  if (!stored) throw notMovedBack(`version ${to} of ${secretArn} has no value any more`);
  // As if it were current already: the version that fails may hold anything, if a person wrote it.
  const rotation = await rotationOf(secret, { versionId: to, stored }, deps, deadline);
  if (standing.kind === 'failing') {
    // Else two versions, neither of which is to blame, would take turns for ever.
    const failing = await store.read(secretArn, from);
    if (failing && stored.createdAtMs > failing.createdAtMs)
      throw notMovedBack(`${PREVIOUS} of ${secretArn} is the newer version: it has failed before`);
    await requireStillValid(rotation);
    const now = await store.describe(secretArn);
    standing = judge(request, now, clock.now());
    if (standing.kind === 'failing') standing = await move(request, now, deps);
    if (standing.kind === 'failing') throw new RekeyError('CURRENT_MOVED', `${CURRENT} of ${secretArn} did not move`);
    if (standing.kind !== 'movedBack') return standing;
  }
  const { username: user } = rotation.current;
  await tell(movedBackEvent(request, { user, engine: engine.name }), announcer);
  return { kind: 'movedBack', user };
}

/** `movedBack`: an earlier try has done it, and died before people heard of it. */
type Standing =
  | Exclude<MoveBackOutcome, { kind: 'movedBack' | 'refused' }>
  | { readonly kind: 'failing' }
  | { readonly kind: 'movedBack' };

/** What the labels and tags say. */
function judge(
  { secretArn, versionId, previousVersionId }: MoveBackRequest,
  secret: SecretDescription,
  nowMs: number,
): Standing {
  const leftAlone = (why: string): Standing => ({ kind: 'leftAlone', why });
  if (secret.arn !== secretArn) throw new RekeyError('EVENT_INVALID', 'secretArn is not the whole ARN');
  if (secret.deletedAtMs !== undefined) return leftAlone('the secret is scheduled for deletion');
  const current = versionWithStage(secret, CURRENT);
  const previous = versionWithStage(secret, PREVIOUS);
  if (current === previousVersionId) {
    if (previous === versionId) return { kind: 'movedBack' };
    // Secrets Manager is eventually consistent: sync has seen it current.
    if (secret.stages.get(versionId)?.includes(PENDING))
      throw new RekeyError(
        'SECRETS_MANAGER_UNAVAILABLE',
        `version ${versionId} of ${secretArn} is not seen as ${CURRENT} yet`,
      );
  }
  const pending = versionWithStage(secret, PENDING);
  const isRotating = pending !== undefined && pending !== versionId;
  if (current !== versionId || previous !== previousVersionId || isRotating) return { kind: 'superseded' };
  if (secret.rotationEnabled === false) return leftAlone('its rotation is switched off');
  const { onFailure, holdUntilMs } = parseTags(secret.tags);
  if (onFailure !== 'move-back') return leftAlone('the tag rekey:on-failure does not say move-back any more');
  if (holdUntilMs !== undefined && holdUntilMs > nowMs) return leftAlone('the tag rekey:hold holds it');
  return { kind: 'failing' };
}

/** @throws RekeyError NOT_MOVED_BACK unless the server lets the restored login in, now */
async function requireStillValid(rotation: Rotation): Promise<void> {
  const { current: login, engine, deadline } = rotation;
  const { name } = await strategyFor(rotation, undefined);
  // A try would only bring a lock-out closer.
  if (name === 'single-user') throw notMovedBack('with single-user the rotation has replaced the previous password');
  const answer = await engine.login(login, deadline, witnessOf(rotation));
  if (answer.kind === 'refused')
    throw notMovedBack(`the database refuses the previous login "${login.username}": ${answer.reason}`);
}

async function move(
  request: MoveBackRequest,
  { stages }: SecretDescription,
  { store, clock }: Surroundings,
): Promise<Standing> {
  const { secretArn, versionId: from, previousVersionId: to } = request;
  // First: with AWSPENDING beside it and not current, Secrets Manager would take its rotation up again and promote it.
  if (stages.get(from)?.includes(PENDING)) await store.withdrawLabel(secretArn, PENDING, from);
  try {
    await store.moveCurrent(secretArn, { from, to });
  } catch (error) {
    if (!hasCode(error, 'CURRENT_MOVED')) throw error;
    // By an earlier try whose answer was lost, or by someone else?
    const standing = judge(request, await store.describe(secretArn), clock.now());
    if (standing.kind !== 'failing') return standing;
    throw error;
  }
  return { kind: 'movedBack' };
}

const notMovedBack = (why: string) => new RekeyError('NOT_MOVED_BACK', why);

/** It may be asked for again, so that people hear of it. @throws RekeyError EVENT_NOT_SENT */
async function tell(event: RekeyEvent, announcer: Announcer): Promise<void> {
  if (!(await announcer.announce(event))) throw new RekeyError('EVENT_NOT_SENT', `the bus refused "${event.type}"`);
}

function movedBackEvent(
  { secretArn, secretName, versionId, previousVersionId, failed }: MoveBackRequest,
  { user, engine }: { readonly user: string; readonly engine: string },
): RekeyEvent {
  return {
    type: 'Secret Moved Back',
    detail: {
      secretArn,
      secretName,
      versionId,
      restoredVersionId: previousVersionId,
      user,
      engine,
      failed,
      action:
        'Workloads are rolled back to the restored version by themselves. Find out why the new pods failed, then rotate: that makes another version.',
    },
  };
}
