import { RekeyError } from '../operations/errors.ts';
import type { AdministeredPair, UserPair } from './port.ts';
import { carryOut } from './postgres-carry-out.ts';
import {
  ask,
  askForBelongings,
  type Belongings,
  belongingsSql,
  NO_BELONGINGS,
  pairQuestions,
  pairSnapshot,
  type Snapshot,
} from './postgres-catalog.ts';
import { type Connection, quoteLiteral } from './postgres-connection.ts';
import { createRole, type PairSnapshot, planRights } from './postgres-rights.ts';

/* What the administrator does to the two users that take turns, each within the caller's transaction. */

/**
 * Looks at the two users, with rotation and retirement of the same two kept apart until the transaction ends.
 * @throws RekeyError DATABASE_UNSUPPORTED, USERNAME_INVALID
 */
export function observeLocked(connection: Connection, pair: AdministeredPair): Promise<Snapshot> {
  if (connection.version < 16 && !pair.acceptTakeOver)
    throw new RekeyError(
      'DATABASE_UNSUPPORTED',
      `on PostgreSQL ${connection.version} whoever holds one of the two users could take the other one over`,
      'Upgrade to PostgreSQL 16, use the strategy user-pair, or accept the risk with the tag rekey:accept = take-over.',
    );
  return observe(connection, pair, lockSql(pair));
}

/** Whoever asks for the same two users waits, whichever of them is current. */
export function lockSql({ current, alternate }: Pick<UserPair, 'current' | 'alternate'>): string {
  const key = quoteLiteral(JSON.stringify(['rekey', ...[current, alternate].sort()]));
  return `SELECT pg_advisory_xact_lock(hashtextextended(${key}, 0))`;
}

/**
 * @param first statements to run before, in the same round trip
 * @throws RekeyError USERNAME_INVALID
 */
export async function observe(connection: Connection, pair: UserPair, ...first: string[]): Promise<Snapshot> {
  const { version } = connection;
  const users = [quoteLiteral(pair.current), quoteLiteral(pair.alternate)] as const;
  const facts = await ask(connection, pairQuestions(version, ...users), ...first);
  const { mayHaveBelongings, ...snapshot } = pairSnapshot(facts, version, pair);
  if (snapshot.current === null) throw new RekeyError('USERNAME_INVALID', `the user ${pair.current} does not exist`);
  if (!mayHaveBelongings) return { ...snapshot, ...NO_BELONGINGS };
  return { ...snapshot, ...(await askForBelongings<Belongings>(connection, belongingsSql(...users))) };
}

/** What keeps the alternate user from being promoted, one sentence each. */
export function differencesIn(snapshot: Snapshot, { current, alternate }: UserPair): readonly string[] {
  if (!bothExist(snapshot)) return [`${alternate} does not exist`];
  const { steps, unsettled } = planRights(snapshot);
  const blocking = steps.filter(({ mayWait }) => !mayWait).map(({ why }) => why);
  const elsewhere = snapshot.elsewhere
    .filter(({ shared }) => !shared)
    .map(({ database }) => `one of ${current} and ${alternate} has something of its own in database ${database}`);
  return [...new Set([...unsettled, ...blocking, ...elsewhere])];
}

function bothExist(snapshot: Snapshot): snapshot is PairSnapshot {
  return snapshot.current !== null && snapshot.alternate !== null;
}

export type Reconciled =
  | { readonly kind: 'done'; readonly snapshot: PairSnapshot }
  /** The statements to run where the administrator may not. */
  | { readonly kind: 'not-permitted'; readonly missing: readonly string[] };

/** Makes the alternate user, in this database, able to do exactly what the current one can. */
export async function reconcile(connection: Connection, pair: UserPair, seen: Snapshot): Promise<Reconciled> {
  let snapshot = seen;
  if (!bothExist(snapshot)) {
    const missing = await carryOut(connection, snapshot, [createRole(snapshot, pair.alternate)]);
    if (missing.length > 0) return { kind: 'not-permitted', missing };
    snapshot = await observe(connection, pair);
    if (!bothExist(snapshot)) throw new RekeyError('DATABASE_ERROR', `${pair.alternate} was created and is not there`);
  }
  const { steps } = planRights(snapshot);
  if (steps.length === 0) return { kind: 'done', snapshot };
  const missing = await carryOut(connection, snapshot, steps);
  if (missing.length > 0) return { kind: 'not-permitted', missing };
  const after = await observe(connection, pair);
  if (!bothExist(after)) throw new RekeyError('DATABASE_ERROR', `${pair.alternate} is gone`);
  return { kind: 'done', snapshot: after };
}
