import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { alternatingUsers, requireWritable } from './mariadb-alternating-users.ts';
import { accountName, observe } from './mariadb-catalog.ts';
import { inspectServer } from './mariadb-facts.ts';
import { requireUserName } from './mariadb-names.ts';
import {
  holdsPassword,
  identifiedBy,
  passwordLiteral,
  passwordRefused,
  pluginsIn,
  requirePasswordMethods,
  takesPassword,
} from './mariadb-password.ts';
import { permittedToLook, sessionsBy } from './mariadb-session.ts';
import { userPair } from './mariadb-user-pair.ts';
import { type Connection, quoteLiteral, quoteName } from './mysql-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './mysql-errors.ts';
import { requirePassword } from './mysql-password.ts';
import { createSession, requireEncrypted } from './mysql-session.ts';
import type { Credentials, DatabaseEngine, PasswordChange, RefusalReason, Witness } from './port.ts';
import type { Trust } from './tls.ts';
import { reasonSeenBy } from './witness.ts';

export interface MariadbOptions extends Trust {
  readonly clock: Clock;
}

export type MariadbEngine = DatabaseEngine & Required<Pick<DatabaseEngine, 'alternatingUsers' | 'userPair'>>;

/** MariaDB 10.4 and later, which knows no second password. How two users are kept equal: mariadb-rights.ts. */
export function createMariadbEngine({ clock, ...trust }: MariadbOptions): MariadbEngine {
  const open = sessionsBy(trust);
  const session = createSession(open, clock, reasonOf);
  const alternating = alternatingUsers(session);
  return {
    name: 'mariadb',

    async login(credentials, deadline, witness) {
      try {
        return await open(credentials, deadline, async (connection) => {
          const [who] = await connection.query<{ user: string; account: string }>(
            'SELECT USER() AS user, CURRENT_USER() AS account',
          );
          // An anonymous account may take the place of a user, and a proxy may log in as whom it likes.
          const names = [who?.user ?? '', who?.account ?? ''].map((text) => text.slice(0, text.lastIndexOf('@')));
          if (names.every((name) => name === credentials.username)) return { kind: 'accepted' } as const;
          throw new RekeyError('AUTHENTICATION_UNSAFE', `${credentials.host} opened the session of another user`);
        });
      } catch (error) {
        if (!(error instanceof ServerRefusal)) throw error;
        const reason = await reasonOf(error, credentials.username, deadline, witness);
        if (reason === undefined) throw refusalAsRekeyError(error, `the database at ${credentials.host}`);
        return { kind: 'refused', reason };
      }
    },

    async setPassword(change, deadline) {
      requireUserName(change.username);
      requirePassword(change.password);
      const { acting, username } = change;
      const work = acting.username === username ? changeOwn : changeAsAdministrator;
      // An administrator need not have a right in the database of the user.
      const credentials = acting.username === username ? acting : { ...acting, database: '' };
      await session(credentials, deadline, (connection) => work(connection, change));
    },

    inspect: (observer, users, deadline) =>
      session(observer, deadline, (connection) => inspectServer(connection, users)),

    alternatingUsers: alternating,
    userPair: userPair(session, alternating, changeOwn),
  };

  async function reasonOf({ errno }: ServerRefusal, username: string, deadline: Deadline, witness?: Witness) {
    const told = REASONS.get(errno);
    if (told !== 'password') return told;
    return await reasonSeenBy(witness, told, (as) => reasonInAccounts(username, as, deadline));
  }

  /** That a password has expired the server says by itself, to whoever has it. */
  async function reasonInAccounts(
    username: string,
    witness: Credentials,
    deadline: Deadline,
  ): Promise<RefusalReason | undefined> {
    return await open({ ...witness, database: '' }, deadline, async (connection) => {
      const accounts = await connection.query<SeenAccount>(
        `SELECT IFNULL(JSON_VALUE(Priv, '$.account_locked'), 0) IN (1, 'true') AS locked,
             IFNULL(JSON_VALUE(Priv, '$.ssl_type'), 0) > 1 AS wantsCertificate
           FROM mysql.global_priv WHERE BINARY User = ${quoteLiteral(username)} AND Host <> ''`,
      );
      if (accounts.length === 0) return 'no-such-user';
      if (accounts.every(({ locked }) => locked)) return 'locked';
      // Rekey has no certificate of its own to show.
      return accounts.every(({ wantsCertificate }) => wantsCertificate) ? 'not-permitted' : undefined;
    });
  }
}

interface SeenAccount {
  readonly locked: 0 | 1;
  readonly wantsCertificate: 0 | 1;
}

/** What the server's answer to a login alone tells. */
const REASONS: ReadonlyMap<number, RefusalReason> = new Map([
  [1045, 'password'],
  [1044, 'not-permitted'], // no right in the database
  [1130, 'not-permitted'], // no account for this host
  [1698, 'not-permitted'], // no password at all: unix_socket
  [1820, 'expired'],
  [1862, 'expired'],
  [4150, 'locked'], // max_password_errors
  [4151, 'locked'],
]);

const READ_ONLY_OR_STRICT = 1290;

/**
 * A user may give itself a password for one plugin alone, the first of its account. A second one would go on letting
 * the old password in.
 */
async function changeOwn(connection: Connection, { acting, username, password }: PasswordChange): Promise<void> {
  const [account] = await connection.query<Record<string, string>>('SHOW CREATE USER');
  const plugins = pluginsIn(Object.values(account ?? {})[0] ?? '');
  requirePasswordMethods(quoteName(username), plugins);
  const [first = ''] = plugins;
  if (!takesPassword(first) || plugins.filter(takesPassword).length > 1)
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `${username} logs in by ${plugins.join(' or ')}, and cannot change all of that by itself`,
      'Name an administrator (masterarn), or let the user have one plugin with a password, and that the first.',
    );
  const set = (inClear: boolean) => connection.query(`SET PASSWORD = ${passwordLiteral(first, password, inClear)}`);
  try {
    await set(false).catch(async (error: unknown) => {
      if (!(error instanceof ServerRefusal && error.errno === READ_ONLY_OR_STRICT)) throw error;
      const [server] = await connection.query<{ readOnly: string }>('SELECT CONCAT(@@global.read_only) AS readOnly');
      if (!['0', 'OFF'].includes(server?.readOnly ?? '')) throw error;
      // strict_password_validation: a policy refuses what it cannot read.
      requireEncrypted(acting);
      await set(true);
    });
  } catch (error) {
    throw passwordRefused(error, username);
  }
}

/** Of all accounts of that name. One that has the password is left alone: a policy would refuse it as used before. */
async function changeAsAdministrator(connection: Connection, change: PasswordChange): Promise<void> {
  const { acting, username, password } = change;
  const admin = quoteName(acting.username);
  const snapshot = await permittedToLook(admin, () => observe(connection, username, username));
  if (snapshot.current.length === 0) throw new RekeyError('USERNAME_INVALID', `the user ${username} does not exist`);
  requireWritable(snapshot);
  if (snapshot.judgesPasswords) requireEncrypted(acting);
  for (const { methods, ...account } of snapshot.current)
    requirePasswordMethods(
      accountName(account),
      methods.map(({ plugin }) => plugin),
    );
  const accounts = snapshot.current.filter(({ expired, methods }) => expired || !holdsPassword(methods, password));
  if (accounts.length === 0) return;
  const changes = accounts.map(
    (account) => `${accountName(account)} ${identifiedBy(account.methods, password, snapshot.judgesPasswords)}`,
  );
  try {
    await connection.query(`ALTER USER ${changes.join(', ')}`);
  } catch (error) {
    if (error instanceof ServerRefusal && error.notPermitted)
      throw new RekeyError(
        'PRIVILEGE_MISSING',
        `${acting.username} may not change ${username}`,
        `As a superuser run: GRANT CREATE USER ON *.* TO ${admin};`,
      );
    throw passwordRefused(error, username);
  }
}
