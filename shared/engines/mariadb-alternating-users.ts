import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { accountName, observe, type Snapshot } from './mariadb-catalog.ts';
import { requireAdministered, requirePair } from './mariadb-names.ts';
import { sessionsOf } from './mariadb-open-sessions.ts';
import { identifiedBy, passwordRefused } from './mariadb-password.ts';
import {
  CREATE_USER,
  differencesIn,
  giveLogin,
  isMet,
  loginDifferences,
  type Need,
  planRights,
  remedyFor,
  type Step,
  type StepForHost,
} from './mariadb-rights.ts';
import { permittedToLook } from './mariadb-session.ts';
import { type Connection, quoteName } from './mysql-connection.ts';
import { requireDroppable } from './mysql-definers.ts';
import { ServerRefusal } from './mysql-errors.ts';
import { requirePassword } from './mysql-password.ts';
import { lockUsers, requireEncrypted, type Session } from './mysql-session.ts';
import type { AdministeredPair, AlternatingUsersEngine, Credentials, UserPair } from './port.ts';
import { unequalRights } from './unequal-rights.ts';

/** One revocation may take more with it than it names: then what is left is seen in the next round. */
const ROUNDS = 3;

const SEE_SESSIONS: Need = { kind: 'right', privilege: 'PROCESS', target: { level: 'server' } };

/** How the two users are kept equal: mariadb-rights.ts. */
export function alternatingUsers(session: Session): AlternatingUsersEngine {
  /** As the administrator, while nobody else changes the same pair. */
  const administering = async <T>(
    pair: AdministeredPair,
    deadline: Deadline,
    work: (connection: Connection, snapshot: Snapshot) => Promise<T>,
  ): Promise<T> => {
    requireAdministered(pair);
    return asLooker(pair.admin, deadline, async (connection, look) => {
      await lockUsers(connection, [pair.current, pair.alternate]);
      return work(connection, await look(pair));
    });
  };

  /** The administrator need not have a right in the database of the pair to look at the rights. */
  const asLooker = <T>(
    looker: Credentials,
    deadline: Deadline,
    work: (connection: Connection, look: (pair: Names) => Promise<Snapshot>) => Promise<T>,
  ): Promise<T> =>
    session({ ...looker, database: '' }, deadline, (connection) =>
      work(connection, ({ current, alternate }) =>
        permittedToLook(quoteName(looker.username), () => observe(connection, current, alternate)),
      ),
    );

  return {
    observer: 'administrator',

    async prepareAlternate(pair, password, stillWanted, deadline) {
      requirePassword(password);
      return administering(pair, deadline, async (connection, first) => {
        if (!(await stillWanted())) return 'notWanted';
        requireCurrent(first, pair);
        requireWritable(first);
        if (first.judgesPasswords) requireEncrypted(pair.admin);
        const snapshot = await reconcile(connection, first, pair, password);
        const steps = giveLogin(snapshot, password, ({ methods }) =>
          identifiedBy(methods, password, first.judgesPasswords),
        );
        refuseMissing(pair, await carryOut(connection, snapshot, pair.alternate, steps));
        return 'prepared';
      });
    },

    async differences(pair, observer, deadline) {
      requirePair(pair);
      return asLooker(observer, deadline, async (connection, look) => {
        const snapshot = await look(pair);
        requireCurrent(snapshot, pair);
        if (snapshot.alternate.length === 0) return [`${pair.alternate} does not exist`];
        const steps = await effective(
          connection,
          planRights(snapshot, pair.alternate, () => ''),
        );
        return [...differencesIn(steps), ...loginDifferences(snapshot)];
      });
    },

    async missingForAlternate(pair, deadline) {
      requireAdministered(pair);
      return asLooker(pair.admin, deadline, async (connection, look) => {
        const snapshot = await look(pair);
        requireCurrent(snapshot, pair);
        const steps = await effective(
          connection,
          planRights(snapshot, pair.alternate, () => ''),
        );
        const needs = [...steps.map((step) => step.needs), SEE_SESSIONS];
        await requireDroppable(connection, pair, steps);
        return [
          ...new Set(
            needs.filter((need) => !isMet(snapshot.admin, need)).map((need) => remedyFor(snapshot.admin, need)),
          ),
        ];
      });
    },

    disableAlternate(pair, stillWanted, deadline) {
      return administering(pair, deadline, async (connection, snapshot) => {
        if (!(await stillWanted())) return { kind: 'notWanted' };
        requireWritable(snapshot);
        // Without that right the list of sessions has one's own alone, and looks empty.
        if (!isMet(snapshot.admin, SEE_SESSIONS)) refuseMissing(pair, [remedyFor(snapshot.admin, SEE_SESSIONS)]);
        const look = async () => (await sessionsOf(connection, [pair.alternate])).map(({ user: _, ...open }) => open);
        const before = await look();
        if (before.length > 0) return { kind: 'sessionsOpen', sessions: before };
        const open = snapshot.alternate.filter(({ locked }) => !locked).map(accountName);
        if (open.length === 0) return { kind: 'disabled' };

        await alterUsers(connection, snapshot, pair, `${open.join(', ')} ACCOUNT LOCK`);
        // Someone may have come in between the look and the lock, and stays in.
        const after = await look();
        if (after.length === 0) return { kind: 'disabled' };
        await alterUsers(connection, snapshot, pair, `${open.join(', ')} ACCOUNT UNLOCK`);
        return { kind: 'sessionsOpen', sessions: after };
      });
    },
  };
}

type Names = Pick<UserPair, 'current' | 'alternate'>;

/** @returns what is there once the alternate user can do what the current one can */
async function reconcile(
  connection: Connection,
  first: Snapshot,
  pair: AdministeredPair,
  password: SecretValue,
): Promise<Snapshot> {
  let snapshot = first;
  for (let round = 1; ; round += 1) {
    // A new account gets the pending password, for a policy to refuse it before anything is changed.
    const plan = planRights(snapshot, pair.alternate, ({ methods }) =>
      identifiedBy(methods, password, first.judgesPasswords),
    );
    const steps = await effective(connection, plan);
    if (steps.length === 0) return snapshot;
    if (round > ROUNDS) throw unequalRights(pair, differencesIn(steps));
    await requireDroppable(connection, pair, steps);
    refuseMissing(pair, await carryOut(connection, snapshot, pair.alternate, steps));
    snapshot = await observe(connection, pair.current, pair.alternate);
  }
}

/** Without those that ask for a column of a table that is gone: the right is kept, and none can be granted. */
async function effective(connection: Connection, steps: readonly StepForHost[]): Promise<readonly StepForHost[]> {
  const found: StepForHost[] = [];
  for (const step of steps) {
    const { column } = step;
    if (column === undefined || (await mayExist(connection, column))) found.push(step);
  }
  return found;
}

async function mayExist(
  connection: Connection,
  { database, name, column }: NonNullable<Step['column']>,
): Promise<boolean> {
  try {
    await connection.query(`SELECT ${quoteName(column)} FROM ${quoteName(database)}.${quoteName(name)} LIMIT 0`);
  } catch (error) {
    if (!(error instanceof ServerRefusal) || error.transient) throw error;
    return ![UNKNOWN_DATABASE, UNKNOWN_COLUMN, UNKNOWN_TABLE].includes(error.errno); // it may be there and not ours to see
  }
  return true;
}

const UNKNOWN_DATABASE = 1049;
const UNKNOWN_COLUMN = 1054;
const UNKNOWN_TABLE = 1146;

/**
 * All statements in one round trip; one that is refused is noted, and the rest go on.
 * @returns what to run where the administrator may not
 * @throws RekeyError PASSWORD_REJECTED
 */
async function carryOut(
  connection: Connection,
  { admin }: Snapshot,
  user: string,
  steps: readonly Step[],
): Promise<readonly string[]> {
  const missing = new Set<string>();
  let left = steps.flatMap((step) => step.statements.map((sql) => ({ sql, step })));
  while (left.length > 0) {
    try {
      await connection.run(left.map(({ sql }) => sql));
      break;
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      const [refused, ...rest] = left.slice(error.completed);
      if (refused === undefined) throw error;
      const { ofMissingTable, needs } = refused.step;
      left = rest;
      if (missing.size > 0 && error.mayFollow) continue;
      if (error.notPermitted) missing.add(remedyFor(admin, needs));
      else if (error.errno === UNKNOWN_TABLE && ofMissingTable !== undefined)
        left = [
          ...ofMissingTable.map((sql) => ({ sql, step: { ...refused.step, ofMissingTable: undefined } })),
          ...rest,
        ];
      else throw passwordRefused(error, user);
    }
  }
  return [...missing];
}

async function alterUsers(
  connection: Connection,
  { admin }: Snapshot,
  pair: AdministeredPair,
  change: string,
): Promise<void> {
  try {
    await connection.query(`ALTER USER ${change}`);
  } catch (error) {
    if (error instanceof ServerRefusal && error.notPermitted) refuseMissing(pair, [remedyFor(admin, CREATE_USER)]);
    throw error;
  }
}

/** @throws RekeyError USERNAME_INVALID */
function requireCurrent({ current }: Snapshot, pair: Names): void {
  if (current.length === 0) throw new RekeyError('USERNAME_INVALID', `the user ${pair.current} does not exist`);
  if (current.every(({ locked }) => locked))
    throw new RekeyError('USERNAME_INVALID', `the user ${pair.current} is locked`);
}

/** @throws RekeyError DATABASE_READ_ONLY: the right to write nevertheless would part a replica from its source */
export function requireWritable({ readOnly }: Snapshot): void {
  if (readOnly)
    throw new RekeyError('DATABASE_READ_ONLY', 'the server is read-only: a replica, or a writer that is failing over');
}

/** @throws RekeyError PRIVILEGE_MISSING */
function refuseMissing({ admin, current, alternate }: AdministeredPair, missing: readonly string[]): void {
  if (missing.length > 0)
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `${admin.username} may not do for ${alternate} what ${current} needs`,
      `As a superuser run: ${missing.join(' ')}`,
    );
}
