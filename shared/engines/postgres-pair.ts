import { RekeyError } from '../operations/errors.ts';
import type { OpenSession } from '../operations/events.ts';
import type { UserPair } from './port.ts';
import { type Snapshot, snapshotSql } from './postgres-catalog.ts';
import { type Connection, quoteIdentifier, quoteLiteral } from './postgres-connection.ts';
import { ServerRefusal } from './postgres-errors.ts';
import { createRole, giveLogin, type PairSnapshot, planRights, type Step } from './postgres-rights.ts';

/* What the administrator does to the two users of an application, each within the caller's transaction. */

/** GRANT … WITH SET FALSE: see postgres-rights.ts. */
const OLDEST_VERSION = 160000;
/** NAMEDATALEN - 1: the server cuts a longer name without a word, and would then change another user. */
const MAX_NAME_BYTES = 63;

/**
 * Keeps rotation and retirement of the same two users apart until the transaction ends.
 * @throws RekeyError DATABASE_UNSUPPORTED
 */
export async function lockPair(connection: Connection, { current, alternate }: UserPair): Promise<void> {
  const key = quoteLiteral(JSON.stringify(['rekey', ...[current, alternate].sort()]));
  const [server] = await connection.query<{ version: number }>(
    `SELECT current_setting('server_version_num')::int AS version
     FROM pg_advisory_xact_lock(hashtextextended(${key}, 0))`,
  );
  if (server === undefined || server.version < OLDEST_VERSION)
    throw new RekeyError('DATABASE_UNSUPPORTED', 'alternating users need PostgreSQL 16 or later');
}

/** @throws RekeyError USERNAME_INVALID before anything was asked of a server */
export function requirePair({ admin, current, alternate }: UserPair): void {
  for (const user of [admin.username, current, alternate]) requireUserName(user);
  if (alternate.startsWith('pg_'))
    throw new RekeyError('USERNAME_INVALID', 'PostgreSQL keeps names with pg_ to itself');
  if (new Set([admin.username, current, alternate]).size < 3)
    throw new RekeyError('USERNAME_INVALID', 'the administrator and the two users must be three different users');
}

/** @throws RekeyError USERNAME_INVALID */
export function requireUserName(user: string): void {
  // A NUL would end the name early in the protocol, and what follows would be read as another parameter.
  if (user === '' || user.includes('\0')) throw new RekeyError('USERNAME_INVALID', 'a user name is empty or has a NUL');
  if (Buffer.byteLength(user) > MAX_NAME_BYTES)
    throw new RekeyError('USERNAME_INVALID', `the user name ${user} is longer than ${MAX_NAME_BYTES} bytes`);
}

export async function observe(connection: Connection, { current, alternate }: UserPair): Promise<Snapshot> {
  const [row] = await connection.query<{ snapshot: Snapshot }>(
    snapshotSql(quoteLiteral(current), quoteLiteral(alternate)),
  );
  if (row === undefined) throw new RekeyError('DATABASE_ERROR', 'the catalogue gave no answer');
  if (row.snapshot.current === null) throw new RekeyError('USERNAME_INVALID', `the user ${current} does not exist`);
  return row.snapshot;
}

/** What the two differ in within this database, one sentence each. */
export function differencesIn(snapshot: Snapshot, { alternate }: UserPair): readonly string[] {
  if (!bothExist(snapshot)) return [`${alternate} does not exist`];
  const { steps, unsettled } = planRights(snapshot);
  return [...new Set([...unsettled, ...steps.map(({ why }) => why)])];
}

function bothExist(snapshot: Snapshot): snapshot is PairSnapshot {
  return snapshot.current !== null && snapshot.alternate !== null;
}

/**
 * Makes the alternate user able to do exactly what the current one can.
 * @returns the statements to run where the administrator may not; empty when it is done
 */
export async function reconcile(connection: Connection, pair: UserPair): Promise<readonly string[]> {
  let snapshot = await observe(connection, pair);
  if (!bothExist(snapshot)) {
    const missing = await carryOut(connection, snapshot, [createRole(snapshot, pair.alternate)]);
    if (missing.length > 0) return missing;
    snapshot = await observe(connection, pair);
    if (!bothExist(snapshot)) throw new RekeyError('DATABASE_ERROR', `${pair.alternate} was created and is not there`);
  }
  return carryOut(connection, snapshot, planRights(snapshot).steps);
}

/** @returns as {@link reconcile} */
export async function enableLogin(
  connection: Connection,
  pair: UserPair,
  verifier: string,
): Promise<readonly string[]> {
  const snapshot = await observe(connection, pair);
  if (!bothExist(snapshot)) return [];
  return carryOut(connection, snapshot, [giveLogin(snapshot, verifier)]);
}

/** insufficient_privilege, invalid_grant_operation, dependent_objects_still_exist: for a person to settle. */
const NOT_PERMITTED = ['42501', '0LP01', '2BP01'];

/** All steps in one round trip; only if that is refused one by one, to learn which. */
async function carryOut(
  connection: Connection,
  snapshot: Snapshot,
  steps: readonly Step[],
): Promise<readonly string[]> {
  if (steps.length === 0) return [];
  const loans = loansFor(snapshot, steps);
  const statements = steps.map((step) => ({ ...step, sql: actAs(step) }));
  const all = [
    ...loans.map(({ borrow }) => borrow),
    ...statements.map(({ sql }) => sql),
    ...loans.map(({ giveBack }) => giveBack),
  ];
  if (await permitted(connection, all)) return [];

  const missing = new Set<string>();
  const borrowed: Loan[] = []; // where one is refused, the steps that need it are too, or do without
  for (const loan of loans) if (await permitted(connection, [loan.borrow])) borrowed.push(loan);
  for (const { sql, remedy } of statements) if (!(await permitted(connection, [sql]))) missing.add(remedy);
  for (const { giveBack } of borrowed) await permitted(connection, [giveBack]);
  return [...missing];
}

async function permitted(connection: Connection, statements: readonly string[]): Promise<boolean> {
  try {
    await connection.query(`SAVEPOINT step;\n${statements.join(';\n')};\nRELEASE step`);
    return true;
  } catch (error) {
    if (!(error instanceof ServerRefusal && NOT_PERMITTED.includes(error.sqlState))) throw error;
    await connection.query('ROLLBACK TO step; RELEASE step');
    return false;
  }
}

const actAs = ({ as, sql }: Step): string =>
  as === undefined ? sql : `SET LOCAL ROLE ${quoteIdentifier(as)};\n${sql};\nSET LOCAL ROLE NONE`;

/**
 * Acting as another role needs a membership in it. With ADMIN OPTION the administrator may grant itself one; it
 * lasts until the transaction ends and nobody else ever sees it.
 */
function loansFor({ admin, adminMemberships }: Snapshot, steps: readonly Step[]): readonly Loan[] {
  if (admin.superuser) return [];
  const roles = [...new Set(steps.flatMap(({ as, owners = [] }) => (as === undefined ? owners : [as, ...owners])))];
  return roles.map((role) => {
    const before = adminMemberships.find((membership) => membership.role === role);
    return {
      borrow: `GRANT ${quoteIdentifier(role)} TO CURRENT_USER WITH INHERIT TRUE, SET TRUE`,
      giveBack:
        before === undefined
          ? `REVOKE ${quoteIdentifier(role)} FROM CURRENT_USER`
          : `GRANT ${quoteIdentifier(role)} TO CURRENT_USER WITH INHERIT ${before.inherit}, SET ${before.set}`,
    };
  });
}

interface Loan {
  readonly borrow: string;
  readonly giveBack: string;
}

/**
 * The alternate user can no longer log in. The change comes before the look at the sessions, so that nothing but the
 * commit follows the look: a login in between is still let in, and is the last. When a session is found, the caller
 * rolls the change back.
 */
export async function disableLogin(connection: Connection, { alternate }: UserPair): Promise<readonly OpenSession[]> {
  const user = quoteIdentifier(alternate);
  const [role] = await connection.query(`SELECT FROM pg_roles WHERE rolname = ${quoteLiteral(alternate)}`);
  if (role === undefined) return [];
  if (!(await permitted(connection, [`ALTER ROLE ${user} NOLOGIN PASSWORD NULL`])))
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `the administrator may not change ${alternate}`,
      `As a superuser run: GRANT ${user} TO the administrator WITH ADMIN OPTION;`,
    );
  const sessions = await sessionsOf(connection, alternate);
  if (sessions.every(({ since }) => since !== null)) return sessions.map(known);
  // Address and start of another user's session are shown to its members only. The membership goes whatever is seen:
  // a session that has ended meanwhile would let the caller commit it.
  await connection.query('SAVEPOINT loan');
  await permitted(connection, [`GRANT ${user} TO CURRENT_USER WITH INHERIT TRUE, SET FALSE`]);
  const detailed = await sessionsOf(connection, alternate);
  await connection.query('ROLLBACK TO loan; RELEASE loan');
  return detailed.map(known);
}

interface SessionRow {
  readonly applicationName: string | null;
  readonly clientAddress: string | null;
  readonly since: string | null;
}

const sessionsOf = (connection: Connection, user: string): Promise<readonly SessionRow[]> =>
  connection.query<SessionRow>(
    `SELECT pg_stat_clear_snapshot();
     SELECT application_name AS "applicationName", host(client_addr) AS "clientAddress",
       to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS since
     FROM pg_stat_activity WHERE usename = ${quoteLiteral(user)} ORDER BY backend_start`,
  );

const known = ({ applicationName, clientAddress, since }: SessionRow): OpenSession => ({
  applicationName: applicationName || 'unnamed',
  clientAddress: clientAddress ?? (since === null ? 'unknown' : 'local'),
  since: since ?? 'unknown',
});
