import { createHash } from 'node:crypto';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { withReason } from './login-refused.ts';
import { type Connection, quoteLiteral } from './mysql-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './mysql-errors.ts';
import type { Credentials, Witness } from './port.ts';
import type { ReasonOf } from './witness.ts';

const ATTEMPTS = 5;
/** How long one rotation or retirement waits for another one of the same users. */
const LOCK_SECONDS = 5;

/** Opens a session, does the work in it, and closes it. */
export type Session = <T>(
  credentials: Credentials,
  deadline: Deadline,
  work: (connection: Connection) => Promise<T>,
  witness?: Witness,
) => Promise<T>;

/** A session in which someone acts: there a refused login is a failure, not an answer. It throws a LoginRefused. */
export function createSession(open: Session, clock: Clock, reasonOf: ReasonOf<ServerRefusal>): Session {
  return async (credentials, deadline, work, witness) => {
    try {
      return await open(credentials, deadline, (connection) => repeated(() => work(connection), clock, deadline));
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      const { host, username } = credentials;
      const failure = refusalAsRekeyError(error, `the database at ${host}, asked by ${username},`);
      throw await withReason(failure, username, () => reasonOf(error, username, deadline, witness));
    }
  };
}

/** The work is done again when a deadlock or a lock of someone else undid a statement of it: so it looks before it acts. */
async function repeated<T>(work: () => Promise<T>, clock: Clock, deadline: Deadline): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const pause = 50 * 2 ** attempt;
      const mayRepeat = error instanceof ServerRefusal && error.transient && attempt < ATTEMPTS;
      if (!mayRepeat || deadline.remainingMs() < pause) throw error;
      await clock.sleep(pause);
    }
  }
}

/**
 * Keeps rotation and retirement of the same users apart until the session ends: a statement about users cannot be part
 * of a transaction. The lock is one of this server alone, as are the statements under it.
 * @param reads run in the same round trip, and after the lock is held
 * @returns the rows of each
 * @throws RekeyError DATABASE_BUSY
 */
export async function lockUsers(connection: Connection, users: readonly string[], reads: readonly string[] = []) {
  const digest = createHash('sha256')
    .update(JSON.stringify([...users].sort()))
    .digest('hex');
  const name = quoteLiteral(`rekey ${digest.slice(0, 56)}`); // 64 characters at most
  const [[lock] = [], ...rest] = await connection.run([`SELECT GET_LOCK(${name}, ${LOCK_SECONDS}) AS held`, ...reads]);
  if ((lock as { held: number | null } | undefined)?.held !== 1)
    throw new RekeyError('DATABASE_BUSY', `another rotation or retirement of ${users.join(' and ')} is under way`);
  return rest;
}

/**
 * MySQL's server wants to see a new password as it is, and would see it in a network without encryption too.
 * @throws RekeyError AUTHENTICATION_UNSAFE
 */
export function requireEncrypted({ host, transport }: Credentials): void {
  if (transport?.kind === 'plaintext')
    throw new RekeyError(
      'AUTHENTICATION_UNSAFE',
      `a new password would go to ${host} in clear, over a connection without TLS`,
      'Switch TLS on at the server, and take the tag away that asks for plaintext.',
    );
}
