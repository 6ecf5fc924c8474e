import type { DatabaseEngine } from '../engines/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { OpenSession } from '../operations/events.ts';
import type { HostPolicy } from '../secrets/database-host.ts';
import { type DatabaseSecret, parseDatabaseSecret } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import {
  CURRENT,
  PENDING,
  PREVIOUS,
  type SecretDescription,
  type SecretStore,
  versionWithStage,
} from '../secrets/port.ts';
import { parseTags, type SecretOptions } from '../secrets/tags.ts';
import type { DatabaseTopology } from '../topology/port.ts';
import { alternateOf, userPair } from './alternating-users.ts';
import { type Rotation, requireCurrentLogin } from './strategy.ts';
import { strategyFor } from './strategy-choice.ts';

export interface RetireRequest {
  readonly secretArn: string;
  /** The version that all consumers were proved to run on. */
  readonly versionId: string;
  /** Whether at least one consumer was. No consumer known is not proof. */
  readonly consumersProved: boolean;
  /** Whether some use names another version or label, and so may still need the previous credential. */
  readonly pinnedUses: boolean;
  /** Epoch milliseconds. */
  readonly convergedAtMs: number;
}

export interface RetireDeps {
  readonly store: SecretStore;
  readonly engine: DatabaseEngine;
  readonly topology: DatabaseTopology;
  readonly rules: EngineRules;
  readonly hosts: HostPolicy;
  readonly clock: Pick<Clock, 'now'>;
  /** ARNs of the rotation functions whose next rotation lets a retired user in again. */
  readonly rotationFunctions: readonly string[];
}

export type RetireOutcome =
  | { readonly kind: 'retired'; readonly user: string }
  | { readonly kind: 'tooEarly'; readonly retryInSeconds: number }
  /** Someone still works as the previous user: the second witness does not agree. */
  | { readonly kind: 'sessionsOpen'; readonly user: string; readonly sessions: readonly OpenSession[] }
  | { readonly kind: 'nothingToRetire'; readonly why: string }
  /** Another version is current or on its way: its own convergence will ask again. */
  | { readonly kind: 'superseded' }
  /** The previous credential lives until the next rotation changes it. */
  | { readonly kind: 'leftAlone'; readonly why: string };

/** The least time that the checks and one round with the database take. */
const RETIRE_MS = 3_000;

/**
 * Ends the previous user's ability to log in, once nothing needs it any more. The next rotation brings the user back.
 * May be repeated: what is disabled already is disabled again.
 * @throws RekeyError
 */
export async function retire(request: RetireRequest, deps: RetireDeps, deadline: Deadline): Promise<RetireOutcome> {
  deadline.require(RETIRE_MS, 'retire');
  const secret = await deps.store.describe(request.secretArn);
  const verdict = judge(request, secret, deps);
  if (verdict.kind !== 'proceed') return verdict;

  const { store, engine, topology, rules, hosts } = deps;
  const read = async (versionId: string, stage: string) => {
    const value = await store.read(secret.arn, versionId);
    return value && parseDatabaseSecret(value, { what: `${stage} of ${secret.arn}`, rules, hosts });
  };
  const current = await read(request.versionId, CURRENT);
  if (!current) return { kind: 'superseded' };
  if (strategyFor(current, verdict.options).name === 'single-user')
    return { kind: 'nothingToRetire', why: 'a single user: the previous password was replaced in setSecret' };

  const previous = verdict.previousVersion === undefined ? undefined : await read(verdict.previousVersion, PREVIOUS);
  if (!previous) return { kind: 'nothingToRetire', why: `no version is labelled ${PREVIOUS}` };
  const stray = strayFrom(current, previous, rules);
  if (stray !== undefined) return stray;

  const rotation: Rotation = { secretArn: secret.arn, current, store, engine, topology, rules, hosts, deadline };
  const pair = await userPair(rotation);
  // A writer lists the sessions of its own server alone: of those at a reader nobody could say that they have ended.
  if (pair.admin.host !== current.host || pair.admin.port !== current.port)
    return {
      kind: 'leftAlone',
      why: `the secret names ${current.host}, whose sessions ${pair.admin.host} does not show`,
    };
  // If the current user were refused, the previous one might be all that still works.
  await requireCurrentLogin(rotation, pair.admin);
  const stillWanted = async () => judge(request, await store.describe(secret.arn), deps).kind === 'proceed';
  const result = await engine.disableAlternate(pair, stillWanted, deadline);
  switch (result.kind) {
    case 'disabled':
      return { kind: 'retired', user: pair.alternate };
    case 'sessions-open':
      return { kind: 'sessionsOpen', user: pair.alternate, sessions: result.sessions };
    case 'not-wanted':
      return { kind: 'superseded' };
  }
}

/** What the labels and tags say. */
function judge(
  request: RetireRequest,
  secret: SecretDescription,
  { clock, rotationFunctions }: RetireDeps,
):
  | RetireOutcome
  | { readonly kind: 'proceed'; readonly options: SecretOptions; readonly previousVersion: string | undefined } {
  const leftAlone = (why: string): RetireOutcome => ({ kind: 'leftAlone', why });
  if (secret.arn !== request.secretArn) throw new RekeyError('EVENT_INVALID', 'secretArn is not the whole ARN');
  if (secret.deletedAtMs !== undefined) return leftAlone('the secret is scheduled for deletion');
  if (versionWithStage(secret, CURRENT) !== request.versionId) return { kind: 'superseded' };
  const pendingVersion = versionWithStage(secret, PENDING);
  if (pendingVersion !== undefined && pendingVersion !== request.versionId) return { kind: 'superseded' };
  // Another rotator would not let the user in again: AWS's own functions set a password, not the right to log in.
  const rotatedByRekey = rotationFunctions.includes(secret.rotationFunction ?? '');
  if (!rotatedByRekey || secret.rotationEnabled === false)
    return { kind: 'nothingToRetire', why: 'Rekey does not rotate this secret' };

  const options = parseTags(secret.tags);
  if (options.retire === 'next-rotation') return leftAlone('the tag rekey:retire says next-rotation');
  const nowMs = clock.now();
  if (request.pinnedUses) return leftAlone('a workload is pinned to another version or label');
  if (!request.consumersProved && options.retire !== 'converged')
    return leftAlone('no consumer is known, and the tag rekey:retire does not say converged');
  // A hold is a wait like the grace: nobody asks again once the message is gone.
  const fromMs = Math.max(request.convergedAtMs + options.retireAfterMs, options.holdUntilMs ?? 0);
  const leftMs = fromMs - nowMs;
  if (leftMs > 0) return { kind: 'tooEarly', retryInSeconds: Math.ceil(leftMs / 1_000) };
  return { kind: 'proceed', options, previousVersion: versionWithStage(secret, PREVIOUS) };
}

/** Only the other one of the two users at this very server may be disabled. */
function strayFrom(current: DatabaseSecret, previous: DatabaseSecret, rules: EngineRules): RetireOutcome | undefined {
  if (previous.host !== current.host || previous.port !== current.port)
    return { kind: 'leftAlone', why: `${PREVIOUS} names another server` };
  if (previous.username === current.username)
    return { kind: 'nothingToRetire', why: `${PREVIOUS} names the same user as ${CURRENT}` };
  if (previous.username !== alternateOf(current, rules))
    return { kind: 'leftAlone', why: `${PREVIOUS} names a user that is not the alternate of the current one` };
  return undefined;
}
