import { RekeyError } from '../operations/errors.ts';
import { requireNames } from './mariadb-names.ts';
import { CLIENT_METHODS } from './mariadb-password.ts';
import { type Connection, withConnection } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';
import type { Session } from './mysql-session.ts';
import type { Trust } from './tls.ts';

/** As `withConnection`, with what MariaDB does in its own way. */
export function sessionsBy(trust: Trust): Session {
  return async (credentials, deadline, work) => {
    requireNames(credentials);
    return withConnection(credentials, { ...trust, methods: CLIENT_METHODS }, deadline, (connection) => {
      const run: Connection['run'] = (statements) =>
        connection.run(statements).catch(async (error: unknown) => {
          throw await causeOf(error, connection);
        });
      return work({
        ...connection,
        run,
        async query<Row>(sql: string) {
          const [rows = []] = await run([sql]);
          return rows as readonly Row[];
        },
      });
    });
  };
}

/** "Operation CREATE USER failed": why it did is told as a warning. */
const OPERATION_FAILED = 1396;

async function causeOf(error: unknown, connection: Connection): Promise<unknown> {
  if (!(error instanceof ServerRefusal && error.errno === OPERATION_FAILED)) return error;
  const warnings = await connection.query<{ Code: number }>('SHOW WARNINGS');
  const cause = warnings.find(({ Code }) => Code !== OPERATION_FAILED);
  return cause === undefined ? error : new ServerRefusal(cause.Code, error.during, error.completed);
}

/** @throws RekeyError DATABASE_UNSUPPORTED on MySQL, and on MariaDB before 10.4, which kept users in other tables */
export async function permittedToLook<T>(admin: string, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof ServerRefusal)) throw error;
    if (error.notPermitted)
      throw new RekeyError(
        'PRIVILEGE_MISSING',
        `${admin} may not read what rights there are`,
        `As a superuser run: GRANT SELECT ON mysql.* TO ${admin};`,
      );
    if (NOT_MARIADB.includes(error.errno))
      throw new RekeyError('DATABASE_UNSUPPORTED', 'the server is not MariaDB 10.4 or later', NAME_THE_ENGINE);
    throw error;
  }
}

export const NAME_THE_ENGINE =
  'If the server is MySQL, let "engine" in the JSON of the secret be "mysql" and the rotation function the one for it; else upgrade the server.';

/** Syntax, unknown variable, unknown table, unknown column. */
const NOT_MARIADB = [1064, 1193, 1146, 1109, 1054];
