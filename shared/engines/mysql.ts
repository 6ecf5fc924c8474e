import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { alternatingUsers } from './mysql-alternating-users.ts';
import { ownAccount } from './mysql-catalog.ts';
import { type Connection, quoteLiteral, withConnection } from './mysql-connection.ts';
import { dualPassword } from './mysql-dual-password.ts';
import { refusalAsRekeyError, ServerRefusal } from './mysql-errors.ts';
import { inspectServer } from './mysql-facts.ts';
import { requireNames, requireUserName } from './mysql-names.ts';
import { requirePassword, setAnyPassword, setOwnPassword } from './mysql-password.ts';
import { createSession, requireEncrypted, type Session } from './mysql-session.ts';
import { userPair } from './mysql-user-pair.ts';
import type { Credentials, DatabaseEngine, Login, PasswordChange, RefusalReason, Witness } from './port.ts';
import type { Trust } from './tls.ts';
import { reasonSeenBy } from './witness.ts';

export interface MysqlOptions extends Trust {
  readonly clock: Clock;
}

export type MysqlEngine = DatabaseEngine &
  Required<Pick<DatabaseEngine, 'alternatingUsers' | 'userPair' | 'dualPassword'>>;

/** MySQL from 8.0.14 on. */
export function createMysqlEngine({ clock, ...trust }: MysqlOptions): MysqlEngine {
  const open: Session = async (credentials, deadline, work) => {
    requireNames(credentials);
    return withConnection(credentials, trust, deadline, work);
  };
  const session = createSession(open, clock, reasonOf);
  const alternating = alternatingUsers(session);
  return {
    name: 'mysql',
    login,

    async setPassword(change, deadline) {
      requireUserName(change.username);
      requirePassword(change.password);
      requireEncrypted(change.acting);
      const { acting, username } = change;
      // A user whose database is not there, or not its own, could not be proved afterwards: then nothing is changed.
      if (acting.username === username)
        await session(acting, deadline, (connection) => changeOwn(connection, change, deadline));
      else await session({ ...acting, database: '' }, deadline, (connection) => setAnyPassword(connection, change));
    },

    inspect: (observer, users, deadline) =>
      session({ ...observer, database: '' }, deadline, (connection) => inspectServer(connection, users)),

    alternatingUsers: alternating,
    userPair: userPair(session, alternating, changeOwn),
    dualPassword: dualPassword(session, login),
  };

  function changeOwn(connection: Connection, change: PasswordChange, deadline: Deadline): Promise<void> {
    return setOwnPassword(connection, change, () => login(change.acting, deadline));
  }

  async function login(credentials: Credentials, deadline: Deadline, witness?: Witness): Promise<Login> {
    const where = `the database at ${credentials.host}`;
    try {
      return await open(credentials, deadline, async (connection) => {
        // Anonymous accounts, proxy users, poolers and a server without grant tables all know a session by another name.
        const account = await ownAccount(connection);
        if (account.user === credentials.username) return { kind: 'accepted' };
        throw new RekeyError('AUTHENTICATION_UNSAFE', `${where} opened the session of another user`);
      });
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      const reason = await reasonOf(error, credentials.username, deadline, witness);
      if (reason === undefined) throw refusalAsRekeyError(error, where);
      return { kind: 'refused', reason };
    }
  }

  async function reasonOf({ errno }: ServerRefusal, username: string, deadline: Deadline, witness?: Witness) {
    const told = REASON[errno];
    if (told !== 'password') return told;
    return await reasonSeenBy(witness, told, (as) => reasonInAccounts(username, as, deadline));
  }

  /** MySQL answers with one and the same error to a wrong password, an unknown user and one from the wrong host. */
  async function reasonInAccounts(username: string, witness: Credentials, deadline: Deadline): Promise<RefusalReason> {
    return await session({ ...witness, database: '' }, deadline, async (connection) => {
      const accounts = await connection.query<{ locked: 0 | 1; admits: 0 | 1 }>(
        // The server sees us as it sees the witness: by name where it looks names up, else by address.
        `SELECT account_locked = 'Y' AS locked, ssl_type NOT IN ('X509', 'SPECIFIED') AND (
             client LIKE Host OR LOCATE('/', Host) > 0 OR (Host REGEXP '^[0-9]' AND NOT IS_IPV4(client))) AS admits
           FROM mysql.user, (SELECT SUBSTRING_INDEX(USER(), '@', -1) AS client) AS me
           WHERE User = ${quoteLiteral(username)}`,
      );
      if (accounts.length === 0) return 'no-such-user';
      const admitting = accounts.filter(({ admits }) => admits);
      if (admitting.length === 0) return 'not-permitted';
      return admitting.every(({ locked }) => locked) ? 'locked' : 'password';
    });
  }
}

const REASON: Readonly<Record<number, RefusalReason>> = {
  1044: 'not-permitted', // no right on the database
  1045: 'password',
  1130: 'not-permitted',
  1698: 'not-permitted', // a plugin without passwords
  1820: 'expired',
  1862: 'expired',
  3118: 'locked',
  3955: 'locked', // FAILED_LOGIN_ATTEMPTS
};
