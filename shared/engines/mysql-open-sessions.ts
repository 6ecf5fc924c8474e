import type { OpenSession } from '../operations/events.ts';
import { type Connection, quoteLiteral } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';

type SessionsOf = (
  connection: Connection,
  users: readonly string[],
) => Promise<readonly (OpenSession & { readonly user: string })[]>;

/**
 * Sessions of these users besides the one that asks, as far as it may see them: without PROCESS those of its own user.
 *
 * The server keeps no record of when a session began. What is told is when it last began to work or to rest, which is
 * not before that. Clients name themselves by the connection attribute `program_name`, if at all.
 */
export const sessionsOf = sessionsBy({
  user: 'CONVERT(p.USER USING utf8mb4) COLLATE utf8mb4_bin',
  sinceMs: '(UNIX_TIMESTAMP() - GREATEST(COALESCE(p.TIME, 0), 0)) * 1000',
});

/** @param of a session `p`, in the server's SQL: its user, compared to the letter, and since when, in epoch milliseconds */
export function sessionsBy(of: { readonly user: string; readonly sinceMs: string }): SessionsOf {
  return async (connection, users) => {
    if (users.length === 0) return [];
    const sessions = async (attributes: string) => {
      const rows = await connection.query<{ user: string; host: string; name: string | null; sinceMs: string }>(
        `SELECT p.USER AS user, p.HOST AS host, a.ATTR_VALUE AS name, CAST(${of.sinceMs} AS UNSIGNED) AS sinceMs
         FROM information_schema.PROCESSLIST AS p LEFT JOIN performance_schema.${attributes} AS a
           ON a.PROCESSLIST_ID = p.ID AND a.ATTR_NAME = 'program_name'
         WHERE p.ID <> CONNECTION_ID() AND ${of.user} IN (${users.map(quoteLiteral).join(', ')})
         ORDER BY p.ID`,
      );
      return rows.map(({ user, host, name, sinceMs }) => ({
        user,
        applicationName: name || 'unnamed',
        clientAddress: host.replace(/:\d+$/, '') || 'unknown',
        since: new Date(Number(sinceMs)).toISOString(),
      }));
    };
    try {
      return await sessions('session_connect_attrs');
    } catch (error) {
      if (!(error instanceof ServerRefusal && error.notPermitted)) throw error;
      return sessions('session_account_connect_attrs'); // everybody may read this one
    }
  };
}
