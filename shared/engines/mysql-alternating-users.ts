import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { type Account, observe, permittedToLook, type Snapshot, snapshotOf } from './mysql-catalog.ts';
import type { Connection } from './mysql-connection.ts';
import { requireDroppable } from './mysql-definers.ts';
import { ServerRefusal } from './mysql-errors.ts';
import { requireAdministered, requirePair } from './mysql-names.ts';
import { sessionsOf } from './mysql-open-sessions.ts';
import { isInUse, passwordRefused, requirePassword, requireWritable } from './mysql-password.ts';
import { authorityOf, createAccount, enableAccounts, openAccounts, type Plan, planRights } from './mysql-rights.ts';
import { lockUsers, requireEncrypted, type Session } from './mysql-session.ts';
import type { AdministeredPair, AlternatingUsersEngine, UserPair } from './port.ts';
import { unequalRights } from './unequal-rights.ts';

/** A statement may undo what another one did: see the rounds below. */
const ROUNDS = 3;

/** How the two users are kept equal: mysql-rights.ts. */
export function alternatingUsers(session: Session): AlternatingUsersEngine {
  /** As the administrator, while nobody else changes the same pair. */
  const administering = async <T>(
    pair: AdministeredPair,
    deadline: Deadline,
    work: (connection: Connection, snapshot: Snapshot) => Promise<T>,
  ): Promise<T> => {
    requireAdministered(pair);
    return session({ ...pair.admin, database: '' }, deadline, async (connection) => {
      const users = [pair.current, pair.alternate];
      const { statements, read } = snapshotOf(users);
      return work(connection, read(await permittedToLook(connection, () => lockUsers(connection, users, statements))));
    });
  };

  return {
    observer: 'administrator',

    async prepareAlternate(pair, password, stillWanted, deadline) {
      requirePassword(password);
      requireEncrypted(pair.admin);
      return administering(pair, deadline, async (connection, first) => {
        if (!(await stillWanted())) return 'notWanted';
        requireWritable(first);
        const models = requireCurrent(first, pair);
        const snapshot = await reconcile(connection, first, pair, password);
        const present = snapshot.accounts.filter(({ user }) => user === pair.alternate);
        await enable(connection, present, models, pair.alternate, password).catch((error: unknown) => {
          refuseMissing(error, pair, authorityOf(snapshot).alter().remedy);
          throw passwordRefused(error, pair.alternate);
        });
        return 'prepared';
      });
    },

    async differences(pair, observer, deadline) {
      requirePair(pair);
      return session({ ...observer, database: '' }, deadline, async (connection) => {
        const look = () => observe(connection, [pair.current, pair.alternate]);
        return differencesIn(await permittedToLook(connection, look), pair);
      });
    },

    async missingForAlternate(pair, deadline) {
      requireAdministered(pair);
      return session({ ...pair.admin, database: '' }, deadline, async (connection) => {
        const look = () => observe(connection, [pair.current, pair.alternate]);
        const snapshot = await permittedToLook(connection, look);
        requireCurrent(snapshot, pair);
        const { create, steps, unsettled } = planRights(snapshot, pair.current, pair.alternate);
        refuseUnsettled(unsettled, pair);
        await requireDroppable(connection, pair, steps);
        const needed = [...create, ...steps, authorityOf(snapshot).alter()];
        return [...new Set(needed.filter(({ allowed }) => !allowed).map(({ remedy }) => remedy))];
      });
    },

    async disableAlternate(pair, stillWanted, deadline) {
      return administering(pair, deadline, async (connection, snapshot) => {
        if (!(await stillWanted())) return { kind: 'notWanted' };
        requireWritable(snapshot);
        const { alter, process } = authorityOf(snapshot);
        // Without that right the list of sessions has one's own alone, and looks empty.
        if (!process().allowed) throw missingError(pair, [process().remedy]);
        const open = openAccounts(snapshot, pair.alternate).map(({ name }) => name);
        const look = async () => (await sessionsOf(connection, [pair.alternate])).map(({ user: _, ...found }) => found);

        const before = await look();
        if (before.length > 0) return { kind: 'sessionsOpen', sessions: before };
        if (open.length === 0) return { kind: 'disabled' };
        // The older of two passwords goes as well, or the next prepareAlternate would bring it back.
        const accounts = snapshot.accounts
          .filter(({ user }) => user === pair.alternate)
          .map(({ name, secondPassword }) => (secondPassword ? `${name} DISCARD OLD PASSWORD` : name));
        try {
          await connection.query(`ALTER USER ${accounts.join(', ')} ACCOUNT LOCK`);
        } catch (error) {
          refuseMissing(error, pair, alter().remedy);
          throw error;
        }
        // Someone may have come in between the look and the lock, and stays in.
        const after = await look();
        if (after.length === 0) return { kind: 'disabled' };
        await connection.query(`ALTER USER ${open.join(', ')} ACCOUNT UNLOCK`);
        return { kind: 'sessionsOpen', sessions: after };
      });
    },
  };
}

/**
 * All statements in one round trip; one that is refused is noted, and the rest go on. Repeated until nothing is left
 * to do: to revoke a grant option at `*.*` also takes those of registered privileges, for one.
 * @returns what is there at the end
 * @throws RekeyError PRIVILEGE_MISSING, RIGHTS_DIFFER, PASSWORD_REJECTED
 */
async function reconcile(
  connection: Connection,
  first: Snapshot,
  pair: AdministeredPair,
  password: SecretValue,
): Promise<Snapshot> {
  let snapshot = first;
  for (let round = 1; ; round += 1) {
    const plan = planRights(snapshot, pair.current, pair.alternate);
    refuseUnsettled(plan.unsettled, pair);
    const steps = [
      // The pending password, for a policy to refuse it before anything is changed.
      ...plan.create.map((step) => ({ ...step, sql: createAccount(step, password.expose()) })),
      ...plan.steps,
    ];
    if (steps.length === 0) return snapshot;
    if (round > ROUNDS)
      throw unequalRights(
        pair,
        [...plan.create, ...plan.steps].map(({ why }) => why),
      );
    await requireDroppable(connection, pair, plan.steps);
    const missing = await carryOut(connection, steps).catch((error: unknown) => {
      throw passwordRefused(error, pair.alternate);
    });
    if (missing.length > 0) throw missingError(pair, missing);
    snapshot = await observe(connection, [pair.current, pair.alternate]);
  }
}

/** @returns what to run where the administrator may not */
async function carryOut(
  connection: Connection,
  steps: readonly { readonly sql: string; readonly remedy: string }[],
): Promise<readonly string[]> {
  const missing = new Set<string>();
  for (let next = 0; next < steps.length; next += 1) {
    const rest = steps.slice(next);
    try {
      await connection.run(rest.map(({ sql }) => sql));
      break;
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      const follows = missing.size > 0 && error.mayFollow;
      if (!follows && !error.notPermitted) throw error;
      next += error.completed;
      if (!follows) missing.add(steps[next]?.remedy ?? '');
    }
  }
  return [...missing];
}

async function enable(
  connection: Connection,
  present: readonly Account[],
  models: readonly Account[],
  alternate: string,
  password: SecretValue,
): Promise<void> {
  // What sets a new password leaves the older one of two alone.
  const discard = present
    .filter(({ secondPassword }) => secondPassword !== undefined)
    .map(({ name }) => `ALTER USER ${name} DISCARD OLD PASSWORD`);
  try {
    await connection.run([...discard, enableAccounts(models, alternate, password.expose())]);
  } catch (error) {
    const wanted = present.filter(({ host }) => models.some((model) => model.host === host));
    // As of an account that was just made.
    if (!isInUse(error, wanted, password)) throw error;
    await connection.query(`ALTER USER ${wanted.map(({ name }) => name).join(', ')} ACCOUNT UNLOCK`);
  }
}

/** What the two differ in, one sentence each. */
function differencesIn(snapshot: Snapshot, pair: UserPair): readonly string[] {
  requireCurrent(snapshot, pair);
  if (!snapshot.accounts.some(({ user }) => user === pair.alternate)) return [`${pair.alternate} does not exist`];
  const { create, steps, last, unsettled } = planRights(snapshot, pair.current, pair.alternate);
  return [...new Set([...unsettled, ...create.map(whyOf), ...steps.map(whyOf), ...last])];
}

const whyOf = ({ why }: Plan['steps'][number]) => why;

/** @throws RekeyError USERNAME_INVALID */
function requireCurrent(snapshot: Snapshot, { current }: UserPair): readonly Account[] {
  if (!snapshot.accounts.some(({ user }) => user === current))
    throw new RekeyError('USERNAME_INVALID', `the user ${current} does not exist`);
  const open = openAccounts(snapshot, current);
  if (open.length === 0) throw new RekeyError('USERNAME_INVALID', `the user ${current} is locked`);
  return open;
}

function refuseUnsettled(unsettled: readonly string[], pair: UserPair): void {
  if (unsettled.length > 0) throw unequalRights(pair, unsettled);
}

/** @throws RekeyError PRIVILEGE_MISSING */
function refuseMissing(error: unknown, pair: AdministeredPair, remedy: string): void {
  if (error instanceof ServerRefusal && error.notPermitted) throw missingError(pair, [remedy]);
}

const missingError = ({ admin, current, alternate }: AdministeredPair, missing: readonly string[]) =>
  new RekeyError(
    'PRIVILEGE_MISSING',
    `${admin.username} may not do for ${alternate} what ${current} needs`,
    `As a superuser run: ${missing.join(' ')}`,
  );
