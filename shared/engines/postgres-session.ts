import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { withReason } from './login-refused.ts';
import type { Credentials, Witness } from './port.ts';
import { type Connection, START_OF_SESSION, withConnection } from './postgres-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './postgres-errors.ts';
import { requireNames } from './postgres-names.ts';
import type { Trust } from './tls.ts';
import type { ReasonOf } from './witness.ts';

/** How long a change may wait for someone else's lock: the application queues behind it all that time. */
const LOCK_TIMEOUT = '3s';
const ATTEMPTS = 5;

/** Sessions in which someone acts: there a refused login is a failure, not an answer. */
export interface Sessions {
  /** @throws LoginRefused */
  as<T>(
    credentials: Credentials,
    deadline: Deadline,
    work: (connection: Connection) => Promise<T>,
    witness?: Witness,
  ): Promise<T>;

  /**
   * In one transaction, rolled back unless the work commits it. Repeated when another change of the same role (M10), a
   * deadlock or a serialization failure undid it: a transaction that failed has left nothing behind.
   * @throws LoginRefused
   */
  change<T>(credentials: Credentials, deadline: Deadline, work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

export interface Transaction extends Connection {
  /** Runs the last statements, if any, and commits, in one round trip. */
  commit(sql?: string): Promise<void>;
}

export function createSessions(trust: Trust, clock: Clock, reasonOf: ReasonOf<ServerRefusal>): Sessions {
  async function as<T>(
    credentials: Credentials,
    deadline: Deadline,
    work: (connection: Connection) => Promise<T>,
    witness?: Witness,
  ): Promise<T> {
    requireNames(credentials);
    try {
      return await withConnection(credentials, trust, deadline, work);
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      const { host, username } = credentials;
      const failure = refusalAsRekeyError(error, `the database at ${host}, asked by ${username},`);
      throw await withReason(failure, username, () => reasonOf(error, username, deadline, witness));
    }
  }

  return {
    as,

    change: (credentials, deadline, work) =>
      as(credentials, deadline, async (connection) => {
        for (let attempt = 1; ; attempt += 1) {
          try {
            return await inTransaction(connection, work);
          } catch (error) {
            const pause = 50 * 2 ** attempt;
            const mayRepeat = error instanceof ServerRefusal && error.transient && attempt < ATTEMPTS;
            if (!mayRepeat || deadline.remainingMs() < pause) throw error;
            await clock.sleep(pause);
          }
        }
      }),
  };
}

async function inTransaction<T>(connection: Connection, work: (transaction: Transaction) => Promise<T>): Promise<T> {
  const state = { begun: false, committed: false };

  /** @param run with what begins the transaction, to be sent before everything else */
  async function inBegun<Result>(run: (beginning: string) => Promise<Result>): Promise<Result> {
    if (state.begun) return run('');
    state.begun = true;
    try {
      return await run(`${beginningOn(connection)};\n`);
    } catch (error) {
      // A replica answers READ WRITE with feature_not_supported, and only a change with read_only_sql_transaction.
      if (error instanceof ServerRefusal && error.sqlState === '0A000') throw new ServerRefusal('25006');
      throw error;
    }
  }

  try {
    return await work({
      version: connection.version,
      certificate: connection.certificate,
      query: (sql) => inBegun((beginning) => connection.query(beginning + sql)),
      queryEach: ([first = '', ...others]) =>
        inBegun((beginning) => connection.queryEach([beginning + first, ...others])),
      async commit(sql = '') {
        // A statement is logged before it runs: what keeps it out of the log has to be there before it comes.
        if (!state.begun) await inBegun((beginning) => connection.query(beginning));
        await connection.query(`${sql};\nCOMMIT`);
        state.committed = true;
      },
    });
  } finally {
    if (state.begun && !state.committed)
      // The connection may be what failed.
      await connection.query(`ROLLBACK;\n${START_OF_SESSION}`).catch(() => {});
  }
}

/** READ WRITE, because a role may have default_transaction_read_only set. */
function beginningOn({ version }: Connection): string {
  const start = `BEGIN READ WRITE;\nSET LOCAL lock_timeout = '${LOCK_TIMEOUT}'`;
  // Verifiers stay out of the server's log where the user may decide that.
  return version < 15
    ? start
    : `${start};\nSELECT set_config('log_statement', 'none', true) WHERE has_parameter_privilege('log_statement', 'SET')`;
}
