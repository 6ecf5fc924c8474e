import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError, RekeyError } from '../operations/errors.ts';
import { engineOf } from '../secrets/database-secret.ts';
import { CURRENT, PENDING, PREVIOUS, type SecretDescription, versionWithStage } from '../secrets/port.ts';
import { parseTags } from '../secrets/tags.ts';
import { rotationOf } from './rotation.ts';
import { readStaged } from './secret-reader.ts';
import type { Database, Retirement, Surroundings } from './strategy.ts';
import { strategyFor } from './strategy-choice.ts';

export interface RetireRequest {
  readonly secretArn: string;
  /** The version that all consumers were proved to run on. */
  readonly versionId: string;
  /**
   * The version under AWSPREVIOUS at that time, if any. After a rotation and a move back the same version is current
   * again, and what was proved then says nothing of the credential that is previous now.
   */
  readonly previousVersionId: string | undefined;
  /** Whether at least one consumer was. No consumer known is not proof. */
  readonly consumersProved: boolean;
  /** Whether some use names another version or label, and so may still need the previous credential. */
  readonly pinnedUses: boolean;
  /** Epoch milliseconds. */
  readonly convergedAtMs: number;
}

export interface RetireDeps extends Surroundings {
  /** The kinds of database whose credentials can be retired; the secret says which of them it is for. */
  readonly databases: readonly Database[];
  /** ARNs of the rotation functions whose next rotation lets a retired user in again. */
  readonly rotationFunctions: readonly string[];
}

export type RetireOutcome =
  | Exclude<Retirement, { kind: 'retired' }>
  | (Extract<Retirement, { kind: 'retired' }> & { readonly engine: string })
  | { readonly kind: 'tooEarly'; readonly retryInSeconds: number };

/** The least time that the checks and one round with the database take. */
const RETIRE_MS = 3_000;

/**
 * Makes the previous credential useless, once nothing needs it any more. The next rotation brings its user back. May be
 * repeated: what is useless already is made so again.
 * @throws RekeyError
 */
export async function retire(request: RetireRequest, deps: RetireDeps, deadline: Deadline): Promise<RetireOutcome> {
  deadline.require(RETIRE_MS, 'retire');
  const { store, databases } = deps;
  const secret = await describe(request.secretArn, store);
  if (secret === undefined) return { kind: 'nothingToRetire', why: 'no rotation function of Rekey has this secret' };
  const verdict = judge(request, secret, deps);
  if (verdict.kind !== 'proceed') return verdict;

  const stored = await store.read(secret.arn, request.versionId);
  if (!stored) return { kind: 'superseded' };
  const kind = engineOf(stored.value, `${CURRENT} of ${secret.arn}`);
  const database = databases.find(({ rules }) => rules.engines.includes(kind));
  if (!database) return { kind: 'leftAlone', why: `nothing here knows the kind of database "${kind}"` };

  const rotation = await rotationOf(
    secret,
    { versionId: request.versionId, stored },
    { ...deps, ...database },
    deadline,
  );
  const strategy = await strategyFor(rotation, rotation.current);
  const previous = await readStaged(rotation, PREVIOUS);
  const { current } = rotation;
  if (previous && (previous.host !== current.host || previous.port !== current.port))
    return { kind: 'leftAlone', why: `${PREVIOUS} names another server` };
  const stillWanted = async () => judge(request, await store.describe(secret.arn), deps).kind === 'proceed';
  const retirement = await strategy.retire(rotation, previous, stillWanted);
  return retirement.kind === 'retired' ? { ...retirement, engine: database.engine.name } : retirement;
}

/**
 * The right to look at a secret ends where none of Rekey's functions rotates it, and sync tells of every secret.
 * @returns undefined where it may not be looked at
 */
async function describe(secretArn: string, store: RetireDeps['store']): Promise<SecretDescription | undefined> {
  try {
    return await store.describe(secretArn);
  } catch (thrown) {
    if (asRekeyError(thrown).code === 'ACCESS_DENIED') return undefined;
    throw thrown;
  }
}

/** What the labels and tags say. */
function judge(
  request: RetireRequest,
  secret: SecretDescription,
  { clock, rotationFunctions }: RetireDeps,
): RetireOutcome | { readonly kind: 'proceed' } {
  const leftAlone = (why: string): RetireOutcome => ({ kind: 'leftAlone', why });
  if (secret.arn !== request.secretArn) throw new RekeyError('EVENT_INVALID', 'secretArn is not the whole ARN');
  if (secret.deletedAtMs !== undefined) return leftAlone('the secret is scheduled for deletion');
  if (versionWithStage(secret, CURRENT) !== request.versionId) return { kind: 'superseded' };
  if (versionWithStage(secret, PREVIOUS) !== request.previousVersionId) return { kind: 'superseded' };
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
  return { kind: 'proceed' };
}
