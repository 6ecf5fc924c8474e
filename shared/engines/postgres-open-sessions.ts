import type { OpenSession } from '../operations/events.ts';
import { permitted } from './postgres-carry-out.ts';
import { type Connection, quoteIdentifier, quoteLiteral } from './postgres-connection.ts';

interface SessionRow {
  readonly user: string;
  readonly applicationName: string | null;
  readonly clientAddress: string | null;
  /** Shown, like the address, to those with the rights of the user alone. */
  readonly since: string | null;
}

/** The sessions of these users but the one that asks, the oldest first. */
export async function sessionsOf(
  connection: Connection,
  users: readonly string[],
): Promise<readonly (OpenSession & { readonly user: string })[]> {
  return (await rowsOf(connection, users)).map(asOpenSession);
}

/** The same for one user, told in full to an administrator who may lend itself its rights: within a transaction. */
export async function sessionsInFull(connection: Connection, user: string): Promise<readonly OpenSession[]> {
  const rows = await rowsOf(connection, [user]);
  if (rows.every(({ since }) => since !== null)) return rows.map(withoutUser);
  // The membership goes whatever is seen: a session that has ended meanwhile would let the caller commit it.
  await connection.query('SAVEPOINT loan');
  const options = connection.version < 16 ? '' : ' WITH INHERIT TRUE, SET FALSE';
  await permitted(connection, [`GRANT ${quoteIdentifier(user)} TO CURRENT_USER${options}`]);
  const detailed = await rowsOf(connection, [user]);
  await connection.query('ROLLBACK TO loan; RELEASE loan');
  return detailed.map(withoutUser);
}

async function rowsOf(connection: Connection, users: readonly string[]): Promise<readonly SessionRow[]> {
  if (users.length === 0) return [];
  return connection.query<SessionRow>(
    `SELECT pg_stat_clear_snapshot();
     SELECT usename AS "user", application_name AS "applicationName", host(client_addr) AS "clientAddress",
       to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS since
     FROM pg_stat_activity WHERE usename IN (${users.map(quoteLiteral).join(', ')}) AND pid <> pg_backend_pid()
     ORDER BY backend_start, pid`,
  );
}

const asOpenSession = ({ user, applicationName, clientAddress, since }: SessionRow) => ({
  user,
  applicationName: applicationName || 'unnamed',
  clientAddress: clientAddress ?? (since === null ? 'unknown' : 'local'),
  since: since ?? 'unknown',
});

function withoutUser(row: SessionRow): OpenSession {
  const { applicationName, clientAddress, since } = asOpenSession(row);
  return { applicationName, clientAddress, since };
}
