import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { type Account, observe, ownAccount, permittedToLook } from './mysql-catalog.ts';
import { type Connection, quoteLiteral } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';
import { requireUserName } from './mysql-names.ts';
import {
  INCORRECT_CURRENT_PASSWORD,
  lockedAccounts,
  mayNotHaveTwo,
  passwordRefused,
  REUSED,
  requireAccounts,
  requirePassword,
  requireWritable,
  TOO_ALIKE,
} from './mysql-password.ts';
import { authorityOf } from './mysql-rights.ts';
import { lockUsers, requireEncrypted, type Session } from './mysql-session.ts';
import { isStored } from './mysql-verifier.ts';
import type { Credentials, DualPasswordEngine, Login } from './port.ts';

/*
 * An account has a primary password and may have a secondary one, which is older (MySQL 8.0.14).
 * `IDENTIFIED BY … RETAIN CURRENT PASSWORD` makes the primary one secondary, and whatever was secondary is gone: given
 * twice it would end the password that is in use. `IDENTIFIED BY …` alone replaces the primary one and leaves the
 * secondary one. So what to do depends on which of the two the present password is. It may be the secondary one after
 * a rotation that was abandoned half-way.
 */

/** The new password is empty: checked after the current one was found right. */
const EMPTY_CANNOT_RETAIN = 3895;

/** @param logIn tells whether a password is in use where nothing else can */
export function dualPassword(
  session: Session,
  logIn: (credentials: Credentials, deadline: Deadline) => Promise<Login>,
): DualPasswordEngine {
  const mayKeepOld: DualPasswordEngine['mayKeepOld'] = (user, deadline) =>
    session({ ...user, database: '' }, deadline, async (connection) => {
      const [version, , grants] = await connection.run(['SELECT VERSION() AS version', 'SET ROLE ALL', 'SHOW GRANTS']);
      return hasSecondPasswords(version) && mayRetain(grants ?? []);
    });

  return {
    mayKeepOld,

    async rehearse({ acting, username }, deadline) {
      requireUserName(username);
      requireEncrypted(acting);
      if (acting.username !== username)
        return session({ ...acting, database: '' }, deadline, (connection) =>
          rehearseAsAdministrator(connection, acting, username),
        );
      if (await mayKeepOld(acting, deadline)) return;
      const { name } = await session({ ...acting, database: '' }, deadline, ownAccount);
      throw new RekeyError(
        'PRIVILEGE_MISSING',
        `"${username}" may not have a second password`,
        `On MySQL 8.0.14 or later run as a superuser: GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${name}; or use single-user.`,
      );
    },

    async addPassword({ acting, username, password, present }, stillWanted, deadline) {
      requireUserName(username);
      requirePassword(password);
      requireEncrypted(acting);
      const database = acting.username === username ? acting.database : '';
      return session({ ...acting, database }, deadline, async (connection) => {
        try {
          if (acting.username !== username)
            return await addAsAdministrator(connection, { username, password }, present, stillWanted);
          await lockUsers(connection, [username], ['SET ROLE ALL']);
          if (!(await stillWanted())) return 'notWanted';
          return await addOwn(connection, password, present.password, () => logIn({ ...acting, password }, deadline));
        } catch (error) {
          throw await mayNotHaveTwo(passwordRefused(error, username), connection, username);
        }
      });
    },

    async discardOld({ acting, kept }, stillWanted, deadline) {
      const { username } = kept;
      requireUserName(username);
      return session({ ...acting, database: '' }, deadline, async (connection) => {
        try {
          if (acting.username !== username) return await discardAsAdministrator(connection, kept, stillWanted);
          await lockUsers(connection, [username], ['SET ROLE ALL']);
          return await discardOwn(connection, kept, stillWanted);
        } catch (error) {
          throw await mayNotHaveTwo(passwordRefused(error, username), connection, username);
        }
      });
    },
  };
}

async function addOwn(
  connection: Connection,
  password: SecretValue,
  present: SecretValue,
  logIn: () => Promise<Login>,
): Promise<'added' | 'alreadyAdded'> {
  const [next, current] = [password, present].map((value) => quoteLiteral(value.expose())) as [string, string];
  try {
    // REPLACE makes it a compare-and-swap: done only if the present password is the primary one.
    await connection.query(`ALTER USER USER() IDENTIFIED BY ${next} REPLACE ${current} RETAIN CURRENT PASSWORD`);
    return 'added';
  } catch (error) {
    if (!(error instanceof ServerRefusal)) throw error;
    if (error.errno === REUSED) {
      // password_history looks before REPLACE does. In use already, or refused for good?
      if ((await logIn()).kind === 'accepted') return 'alreadyAdded';
      throw error;
    }
    if (error.errno !== INCORRECT_CURRENT_PASSWORD) throw error;
  }
  // The present password, with which this session began, is the secondary one.
  if (await isReplaced(connection, `ALTER USER USER() IDENTIFIED BY ${next} REPLACE ${next}`)) return 'alreadyAdded';
  await connection.query(`ALTER USER USER() IDENTIFIED BY ${next}`);
  return 'added';
}

async function discardOwn(connection: Connection, kept: Credentials, stillWanted: () => Promise<boolean>) {
  const isPrimary = await ownPrimaryIs(connection, kept.password);
  if (isPrimary === undefined)
    throw new RekeyError(
      'DATABASE_UNSUPPORTED',
      `a password policy hides which of the two passwords of ${kept.username} is the older one`,
      'Name an administrator in masterarn, who can see it.',
    );
  if (!(await stillWanted())) return 'notWanted';
  if (!isPrimary) {
    requireEncrypted(kept);
    await connection.query(`ALTER USER USER() IDENTIFIED BY ${quoteLiteral(kept.password.expose())}`);
  }
  await connection.query('ALTER USER USER() DISCARD OLD PASSWORD');
  return 'discarded';
}

/**
 * Whether the session's own account has this primary password; undefined where policies hide it. No login, and so no
 * failed one: a statement that cannot succeed tells it by how it fails.
 */
async function ownPrimaryIs(connection: Connection, password: SecretValue): Promise<boolean | undefined> {
  const text = quoteLiteral(password.expose());
  try {
    await connection.query(`ALTER USER USER() IDENTIFIED BY '' REPLACE ${text} RETAIN CURRENT PASSWORD`);
  } catch (error) {
    if (!(error instanceof ServerRefusal)) throw error;
    if (error.errno === EMPTY_CANNOT_RETAIN || error.errno === TOO_ALIKE) return true;
    if (error.errno === INCORRECT_CURRENT_PASSWORD) return false;
    if (!isPolicy(error)) throw error;
  }
  try {
    return await isReplaced(connection, `ALTER USER USER() IDENTIFIED BY ${text} REPLACE ${text}`);
  } catch (error) {
    if (error instanceof ServerRefusal && isPolicy(error)) return undefined;
    throw error;
  }
}

const isPolicy = ({ errno }: ServerRefusal): boolean => errno === 1819 || errno === REUSED;

async function isReplaced(connection: Connection, sql: string): Promise<boolean> {
  try {
    await connection.query(sql);
    return true;
  } catch (error) {
    if (error instanceof ServerRefusal && error.errno === INCORRECT_CURRENT_PASSWORD) return false;
    if (error instanceof ServerRefusal && error.errno === TOO_ALIKE) return true;
    throw error;
  }
}

/** Without the lock that a change takes: a rotation may run meanwhile. */
async function rehearseAsAdministrator(connection: Connection, acting: Credentials, username: string): Promise<void> {
  const version = await connection.query('SELECT VERSION() AS version');
  if (!hasSecondPasswords(version))
    throw new RekeyError('DATABASE_UNSUPPORTED', 'the server knows no second password, which MySQL has since 8.0.14');
  const snapshot = await permittedToLook(connection, () => observe(connection, [username]));
  requireAccounts(snapshot, username);
  requireWritable(snapshot);
  const { allowed, remedy } = authorityOf(snapshot).alter();
  if (!allowed)
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `${acting.username} may not give ${username} a second password`,
      `As a superuser run: ${remedy}`,
    );
}

async function addAsAdministrator(
  connection: Connection,
  { username, password }: { readonly username: string; readonly password: SecretValue },
  present: Credentials,
  stillWanted: () => Promise<boolean>,
): Promise<'added' | 'alreadyAdded' | 'notWanted'> {
  const { accounts } = await lockedAccounts(connection, username);
  const states = accounts.map((account) => ({
    account,
    added: holds(account, password) !== undefined,
    present: holds(account, present.password),
  }));
  if (states.every(({ added }) => added)) return 'alreadyAdded';
  const open = states.filter(({ added }) => !added);
  requireAllToHold(
    open.map((state) => ({ account: state.account, held: state.present })),
    present,
  );
  if (!(await stillWanted())) return 'notWanted';
  const text = quoteLiteral(password.expose());
  const changes = open.map(
    (state) =>
      `${state.account.name} IDENTIFIED BY ${text}${state.present === 'primary' ? ' RETAIN CURRENT PASSWORD' : ''}`,
  );
  await connection.query(`ALTER USER ${changes.join(', ')}`);
  return 'added';
}

async function discardAsAdministrator(
  connection: Connection,
  kept: Credentials,
  stillWanted: () => Promise<boolean>,
): Promise<'discarded' | 'notWanted'> {
  const { accounts } = await lockedAccounts(connection, kept.username);
  const states = accounts.map((account) => ({ account, held: holds(account, kept.password) }));
  requireAllToHold(states, kept);
  if (!(await stillWanted())) return 'notWanted';
  const older = states.filter(({ held }) => held === 'secondary');
  if (older.length > 0) requireEncrypted(kept);
  const text = quoteLiteral(kept.password.expose());
  const promote = older.map(({ account }) => `${account.name} IDENTIFIED BY ${text}`);
  const discard = accounts.map(({ name }) => `${name} DISCARD OLD PASSWORD`);
  await connection.run(
    [...(promote.length > 0 ? [promote] : []), discard].map((list) => `ALTER USER ${list.join(', ')}`),
  );
  return 'discarded';
}

/** @throws RekeyError DATABASE_UNSUPPORTED */
function holds({ name, plugin, ...account }: Account, password: SecretValue): 'primary' | 'secondary' | undefined {
  const primary = isStored(password, plugin, account.password);
  if (primary === undefined)
    throw new RekeyError(
      'DATABASE_UNSUPPORTED',
      `${name} authenticates with ${plugin}, which knows no second password`,
    );
  if (primary) return 'primary';
  const { secondPassword } = account;
  return secondPassword && isStored(password, plugin, secondPassword) ? 'secondary' : undefined;
}

/** Not LOGIN_REFUSED, which would be about the administrator. @throws RekeyError USERNAME_INVALID */
function requireAllToHold(
  states: readonly { readonly account: Account; readonly held: ReturnType<typeof holds> }[],
  { username }: Credentials,
): void {
  const others = states.filter(({ held }) => held === undefined).map(({ account }) => account.name);
  if (others.length === 0) return;
  throw new RekeyError(
    'USERNAME_INVALID',
    `the user ${username} has another password than the secret as ${others.join(', ')}`,
    'Give all accounts of that user the password of AWSCURRENT, or drop those that nobody needs, then rotate again.',
  );
}

function hasSecondPasswords(rows: readonly unknown[] | undefined): boolean {
  const [row] = (rows ?? []) as readonly { readonly version: string }[];
  const version = row?.version ?? '';
  if (version.includes('MariaDB')) return false;
  const [major = 0, minor = 0, patch = 0] = version.split(/\D/).map(Number);
  return major > 8 || (major === 8 && (minor > 0 || patch >= 14));
}

/** A row of SHOW GRANTS that is for all databases. */
const GLOBAL = /^GRANT (.*) ON \*\.\* TO /s;

function mayRetain(grants: readonly unknown[]): boolean {
  return grants.some((row) => {
    const [, privileges = ''] = GLOBAL.exec(String(Object.values(row as object)[0])) ?? [];
    return privileges
      .split(/, ?/)
      .some((privilege) => ['APPLICATION_PASSWORD_ADMIN', 'CREATE USER', 'ALL PRIVILEGES'].includes(privilege));
  });
}
