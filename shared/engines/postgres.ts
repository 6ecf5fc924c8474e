import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { SecretValue } from '../secrets/secret-value.ts';
import type { Credentials, DatabaseEngine, Login, UserPair } from './port.ts';
import { type Connection, quoteIdentifier, quoteLiteral, type Trust, withConnection } from './postgres-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './postgres-errors.ts';
import {
  differencesIn,
  disableLogin,
  enableLogin,
  lockPair,
  observe,
  reconcile,
  requirePair,
  requireUserName,
} from './postgres-pair.ts';
import { scramVerifier } from './scram.ts';

export interface PostgresOptions extends Trust {
  readonly clock: Clock;
}

/** How long a change may wait for someone else's lock: the application queues behind it all that time. */
const LOCK_TIMEOUT = '3s';
const ATTEMPTS = 5;

/** PostgreSQL; the methods that take a pair need version 16. How the two users are kept equal: postgres-rights.ts. */
export function createPostgresEngine({ clock, ...trust }: PostgresOptions): DatabaseEngine {
  return {
    name: 'postgres',

    async login(credentials, deadline, witness): Promise<Login> {
      requireNames(credentials);
      try {
        return await withConnection(credentials, trust, deadline, async (connection) => {
          const [session] = await connection.query<{ name: string }>('SELECT session_user AS name');
          if (session?.name === credentials.username) return { kind: 'accepted' };
          // A pooler in between may log in as whom it likes.
          throw new RekeyError('AUTHENTICATION_UNSAFE', `${credentials.host} opened the session of another user`);
        });
      } catch (error) {
        if (!(error instanceof ServerRefusal)) throw error;
        // 42501: no CONNECT on the database. 28000: NOLOGIN, or no line in pg_hba.conf.
        if (['28000', '42501'].includes(error.sqlState)) return { kind: 'refused', reason: 'not-permitted' };
        if (error.sqlState !== '28P01') throw refusalAsRekeyError(error, `the database at ${credentials.host}`);
        const reason = witness === undefined ? 'password' : await whyRefused(credentials, witness, deadline);
        return { kind: 'refused', reason };
      }
    },

    async setOwnPassword(present, password, deadline) {
      requireNames(present);
      const user = quoteIdentifier(present.username);
      const verifier = scramVerifier(password);
      await acting(present, deadline, async (connection) => {
        const change = () => connection.query(`ALTER ROLE ${user} PASSWORD ${quoteLiteral(verifier.expose())}`);
        try {
          await transaction(connection, deadline, change, () => true);
        } catch (error) {
          if (error instanceof ServerRefusal && error.sqlState === '42501')
            throw new RekeyError(
              'PRIVILEGE_MISSING',
              `${present.username} may not change its own password`,
              `On RDS with rds.restrict_password_commands run: GRANT rds_password TO ${user};`,
            );
          throw passwordRefused(error, present.username);
        }
      });
    },

    async prepareAlternate(pair, password, deadline) {
      requirePair(pair);
      const verifier = scramVerifier(password);
      await asAdmin(pair, deadline, 'keep', async (connection) => {
        // Other databases of the server first, each in a transaction of its own: they may be done twice, like all here.
        for (const database of (await observe(connection, pair)).elsewhere)
          await asAdmin({ ...pair, database }, deadline, 'keep', (other) => reconcileOrRefuse(other, pair));
        await reconcileOrRefuse(connection, pair);
        const missing = await enableLogin(connection, pair, verifier.expose()).catch((error: unknown) => {
          throw passwordRefused(error, pair.alternate);
        });
        refuseMissing(pair, missing);
      });
    },

    async differences(pair, deadline) {
      return asAdmin(pair, deadline, 'undo', async (connection) => {
        const snapshot = await observe(connection, pair);
        const elsewhere = snapshot.elsewhere.map(
          (database) => `one of ${pair.current} and ${pair.alternate} has something of its own in database ${database}`,
        );
        return [...differencesIn(snapshot, pair), ...elsewhere];
      });
    },

    async missingForAlternate(pair, deadline) {
      // The truest preflight is the thing itself, undone: a managed server may permit more, or less, than the rules say.
      return asAdmin(pair, deadline, 'undo', async (connection) => {
        const missing = await reconcile(connection, pair);
        if (missing.length > 0) return missing;
        return enableLogin(connection, pair, scramVerifier(new SecretValue('undone')).expose());
      });
    },

    async disableAlternate(pair, stillWanted, deadline) {
      type Outcome = Awaited<ReturnType<DatabaseEngine['disableAlternate']>>;
      return asAdmin(
        pair,
        deadline,
        (outcome: Outcome) => outcome.kind === 'disabled',
        async (connection) => {
          if (!(await stillWanted())) return { kind: 'not-wanted' };
          const sessions = await disableLogin(connection, pair);
          return sessions.length === 0 ? { kind: 'disabled' } : { kind: 'sessions-open', sessions };
        },
      );
    },
  };

  /** As the administrator, in one transaction that no other one for the same pair overlaps. */
  async function asAdmin<T>(
    pair: UserPair,
    deadline: Deadline,
    keeps: 'keep' | 'undo' | ((result: T) => boolean),
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    requirePair(pair);
    const locked = (connection: Connection) => async () => {
      await lockPair(connection, pair);
      return work(connection);
    };
    const decide = typeof keeps === 'function' ? keeps : () => keeps === 'keep';
    return acting({ ...pair.admin, database: pair.database }, deadline, (connection) =>
      transaction(connection, deadline, locked(connection), decide),
    );
  }

  /** Opens a session as the one who acts: there a refused login is a failure, not an answer. */
  async function acting<T>(
    credentials: Credentials,
    deadline: Deadline,
    work: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    requireNames(credentials);
    try {
      return await withConnection(credentials, trust, deadline, work);
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      throw refusalAsRekeyError(error, `the database at ${credentials.host}, asked by ${credentials.username},`);
    }
  }

  /**
   * Repeated when another change of the same role (M10), a deadlock or a serialization failure undid it: a transaction
   * that failed has left nothing behind.
   */
  async function transaction<T>(
    connection: Connection,
    deadline: Deadline,
    work: () => Promise<T>,
    keeps: (result: T) => boolean,
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await begin(connection);
        const result = await work();
        await connection.query(keeps(result) ? 'COMMIT' : 'ROLLBACK');
        return result;
      } catch (error) {
        await connection.query('ROLLBACK').catch(() => {}); // the connection may be what failed
        const pause = 50 * 2 ** attempt;
        const mayRepeat = error instanceof ServerRefusal && error.transient && attempt < ATTEMPTS;
        if (!mayRepeat || deadline.remainingMs() < pause) throw error;
        await clock.sleep(pause);
      }
    }
  }

  async function whyRefused(credentials: Credentials, witness: Credentials, deadline: Deadline) {
    try {
      return await withConnection(witness, trust, deadline, async (connection) => {
        const [role] = await connection.query<{ expired: boolean }>(
          `SELECT coalesce(rolvaliduntil < now(), false) AS expired FROM pg_roles
           WHERE rolname = ${quoteLiteral(credentials.username)}`,
        );
        if (role === undefined) return 'no-such-user';
        return role.expired ? 'expired' : 'password';
      });
    } catch {
      return 'password'; // the witness could not say; that the login was refused stands
    }
  }
}

async function begin(connection: Connection): Promise<void> {
  try {
    // READ WRITE: a role may have default_transaction_read_only set.
    await connection.query(`BEGIN READ WRITE; SET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`);
  } catch (error) {
    // A replica answers this with feature_not_supported, and only a statement that writes with read_only_sql_transaction.
    if (error instanceof ServerRefusal && error.sqlState === '0A000') throw new ServerRefusal('25006', false);
    throw error;
  }
}

async function reconcileOrRefuse(connection: Connection, pair: UserPair): Promise<void> {
  refuseMissing(pair, await reconcile(connection, pair));
  const left = differencesIn(await observe(connection, pair), pair);
  if (left.length > 0)
    throw new RekeyError('RIGHTS_DIFFER', `${pair.alternate} cannot do what ${pair.current} can: ${left.join('; ')}`);
}

function refuseMissing({ admin, current, alternate }: UserPair, missing: readonly string[]): void {
  if (missing.length > 0)
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `${admin.username} may not make ${alternate} equal to ${current}`,
      `As a superuser or the owner run: ${missing.join(' ')}`,
    );
}

/** The passwordcheck module and its like answer with invalid_parameter_value. */
function passwordRefused(error: unknown, user: string): unknown {
  if (!(error instanceof ServerRefusal && error.sqlState === '22023')) return error;
  return new RekeyError('PASSWORD_REJECTED', `a policy of the server refused the new password of ${user}`);
}

/** @throws RekeyError USERNAME_INVALID, DATABASE_MISSING */
function requireNames({ username, database }: Credentials): void {
  requireUserName(username);
  // A NUL would end the name early in the protocol, and what follows would be read as another parameter.
  if (database === '' || database.includes('\0'))
    throw new RekeyError('DATABASE_MISSING', 'the database name is empty or has a NUL');
}
