import type { OpenSession } from '../operations/events.ts';
import { type Connection, quoteLiteral } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';

/**
 * Sessions of these users besides the one that asks, as far as it may see them: without PROCESS those of its own user.
 *
 * The server keeps no record of when a session began. What is told is when it last began to work or to rest, which is
 * not before that. Clients name themselves by the connection attribute `program_name`, which is seen where the server
 * has performance_schema switched on.
 */
export async function sessionsOf(
  connection: Connection,
  users: readonly string[],
): Promise<readonly (OpenSession & { readonly user: string })[]> {
  if (users.length === 0) return [];
  try {
    return await sessions(connection, users, 'session_connect_attrs');
  } catch (error) {
    if (!(error instanceof ServerRefusal && error.notPermitted)) throw error;
    return sessions(connection, users, 'session_account_connect_attrs'); // everybody may read this one
  }
}

async function sessions(connection: Connection, users: readonly string[], attributes: string) {
  const rows = await connection.query<{ user: string; host: string; name: string | null; sinceMs: string }>(
    `SELECT p.USER AS user, p.HOST AS host, a.ATTR_VALUE AS name,
       CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 - GREATEST(p.TIME_MS, 0) AS UNSIGNED) AS sinceMs
     FROM information_schema.PROCESSLIST AS p LEFT JOIN performance_schema.${attributes} AS a
       ON a.PROCESSLIST_ID = p.ID AND a.ATTR_NAME = 'program_name'
     WHERE p.ID <> CONNECTION_ID() AND BINARY p.USER IN (${users.map(quoteLiteral).join(', ')})
     ORDER BY p.ID`,
  );
  return rows.map(({ user, host, name, sinceMs }) => ({
    user,
    applicationName: name || 'unnamed',
    clientAddress: host.replace(/:\d+$/, '') || 'unknown',
    since: new Date(Number(sinceMs)).toISOString(),
  }));
}
