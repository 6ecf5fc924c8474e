import type { OpenSession } from '../operations/events.ts';
import { type Connection, quoteLiteral } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';

export type SessionOfUser = OpenSession & { readonly user: string };

/**
 * Sessions of these users besides the one that asks, as far as it may see them: without PROCESS those of its own user.
 *
 * The server keeps no record of when a session began. What is told is when it last began to work or to rest, which is
 * not before that. Clients name themselves by the connection attribute `program_name`, if at all.
 */
export async function sessionsOf(connection: Connection, users: readonly string[]): Promise<readonly SessionOfUser[]> {
  if (users.length === 0) return [];
  try {
    return await sessions(connection, users, 'session_connect_attrs');
  } catch (error) {
    if (!(error instanceof ServerRefusal && error.notPermitted)) throw error;
    return sessions(connection, users, 'session_account_connect_attrs'); // everybody may read this one
  }
}

async function sessions(connection: Connection, users: readonly string[], attributes: string) {
  const rows = await connection.query<{ user: string; host: string; name: string | null; since: string }>(
    `SELECT p.USER AS user, p.HOST AS host, a.ATTR_VALUE AS name,
       DATE_FORMAT(UTC_TIMESTAMP() - INTERVAL GREATEST(COALESCE(p.TIME, 0), 0) SECOND, '%Y-%m-%dT%H:%i:%s.000Z') AS since
     FROM information_schema.processlist AS p LEFT JOIN performance_schema.${attributes} AS a
       ON a.PROCESSLIST_ID = p.ID AND a.ATTR_NAME = 'program_name'
     WHERE p.ID <> CONNECTION_ID() AND CONVERT(p.USER USING utf8mb4) COLLATE utf8mb4_bin IN (${users.map(quoteLiteral).join(', ')})
     ORDER BY p.ID`,
  );
  return rows.map(({ user, host, name, since }) => ({
    user,
    applicationName: name || 'unnamed',
    clientAddress: host.replace(/:\d+$/, '') || 'unknown',
    since,
  }));
}
