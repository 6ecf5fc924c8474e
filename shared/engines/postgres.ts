import { randomBytes } from 'node:crypto';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { SecretValue } from '../secrets/secret-value.ts';
import type { Credentials, DatabaseEngine, Login, PasswordChange, RefusalReason, Witness } from './port.ts';
import { alternatingUsers } from './postgres-alternating-users.ts';
import { quoteIdentifier, quoteLiteral, withConnection } from './postgres-connection.ts';
import { passwordRefused, refusalAsRekeyError, ServerRefusal } from './postgres-errors.ts';
import { inspect } from './postgres-facts.ts';
import { requireNames, requireUserName } from './postgres-names.ts';
import { createSessions, type Transaction } from './postgres-session.ts';
import { userPair } from './postgres-user-pair.ts';
import { scramVerifier } from './scram.ts';
import type { Trust } from './tls.ts';
import { reasonSeenBy } from './witness.ts';

export interface PostgresOptions extends Trust {
  readonly clock: Clock;
}

export type PostgresEngine = DatabaseEngine &
  Required<Pick<DatabaseEngine, 'rehearse' | 'alternatingUsers' | 'userPair'>>;

/** PostgreSQL 15 and later. */
export function createPostgresEngine({ clock, ...trust }: PostgresOptions): PostgresEngine {
  const sessions = createSessions(trust, clock, reasonOf);
  return {
    name: 'postgres',

    async login(credentials, deadline, witness): Promise<Login> {
      requireNames(credentials);
      try {
        return await withConnection(credentials, trust, deadline, async (connection) => {
          // Asked, although the server has said who we are: a pooler says so without a server behind it.
          const [session] = await connection.query<{ name: string }>('SELECT session_user AS name');
          if (session?.name === credentials.username) return { kind: 'accepted' };
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
      await sessions.change(change.acting, deadline, passwordChange(change));
    },

    async rehearse({ acting, username }, deadline) {
      requireUserName(username);
      // Only the statement itself shows what RDS and modules for passwords refuse. It is rolled back, whatever it answers.
      const sql = passwordSql(username, new SecretValue(randomBytes(16).toString('hex')));
      await sessions.change(acting, deadline, async (transaction) => {
        await transaction.query('SELECT'); // it begins the transaction, and keeps the statement out of the log
        await transaction.query(sql).catch((error: unknown) => {
          throw changeRefused(error, { acting, username });
        });
      });
    },

    inspect: (observer, users, deadline) => sessions.as(observer, deadline, (connection) => inspect(connection, users)),

    alternatingUsers: alternatingUsers(sessions),
    userPair: userPair(sessions, passwordChange),
  };

  async function reasonOf(refusal: ServerRefusal, username: string, deadline: Deadline, witness?: Witness) {
    const told = reasonTold(refusal);
    if (told === undefined || refusal.roleLocked) return told;
    return await reasonSeenBy(witness, told, (as) => reasonInCatalogue(username, as, deadline));
  }

  async function reasonInCatalogue(
    username: string,
    witness: Credentials,
    deadline: Deadline,
  ): Promise<RefusalReason | undefined> {
    return await withConnection(witness, trust, deadline, async (connection) => {
      const [role] = await connection.query<{ locked: boolean; expired: boolean }>(
        `SELECT NOT rolcanlogin AS locked, coalesce(rolvaliduntil < now(), false) AS expired FROM pg_roles
           WHERE rolname = ${quoteLiteral(username)}`,
      );
      if (role === undefined) return 'no-such-user';
      if (role.locked) return 'locked';
      return role.expired ? 'expired' : undefined;
    });
  }
}

/** As far as the server's own answer tells; undefined when it is not about who logs in. */
function reasonTold({ sqlState, roleLocked }: ServerRefusal): RefusalReason | undefined {
  switch (sqlState) {
    case '28P01':
      return 'password';
    case '28000': // otherwise: no line in pg_hba.conf
      return roleLocked ? 'locked' : 'not-permitted';
    case '42501': // no CONNECT on the database
      return 'not-permitted';
    default:
      return undefined;
  }
}

/** @returns what sets the password and ends the transaction with it */
function passwordChange({ acting, username, password }: PasswordChange): (transaction: Transaction) => Promise<void> {
  const sql = passwordSql(username, password);
  return (transaction) =>
    transaction.commit(sql).catch((error: unknown) => {
      throw changeRefused(error, { acting, username });
    });
}

const passwordSql = (username: string, password: SecretValue): string =>
  `ALTER ROLE ${quoteIdentifier(username)} PASSWORD ${quoteLiteral(scramVerifier(password).expose())}`;

function changeRefused(error: unknown, { acting, username }: Pick<PasswordChange, 'acting' | 'username'>): unknown {
  if (!(error instanceof ServerRefusal)) return error;
  const [user, admin] = [quoteIdentifier(username), quoteIdentifier(acting.username)];
  switch (error.sqlState) {
    case '42704': // undefined_object
      return new RekeyError('USERNAME_INVALID', `the user ${username} does not exist`);
    case '42939': // reserved_name
      return new RekeyError('USERNAME_INVALID', `PostgreSQL keeps the user ${username} to itself`);
    case '42501':
      return acting.username === username
        ? new RekeyError(
            'PRIVILEGE_MISSING',
            `${username} may not change its own password`,
            `On RDS with rds.restrict_password_commands run: GRANT rds_password TO ${user};`,
          )
        : new RekeyError(
            'PRIVILEGE_MISSING',
            `${acting.username} may not change the password of ${username}`,
            `As a superuser run: ALTER ROLE ${admin} CREATEROLE; GRANT ${user} TO ${admin} WITH ADMIN OPTION;`,
          );
    default:
      return passwordRefused(error, username);
  }
}
