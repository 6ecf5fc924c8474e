import { type Connection, quoteLiteral } from './mysql-connection.ts';
import type { UserPair } from './port.ts';
import { unequalRights } from './unequal-rights.ts';

/**
 * @param steps of which some drop an account of the alternate user
 * @throws RekeyError RIGHTS_DIFFER: with its DEFINER gone, an object no longer works
 */
export async function requireDroppable(
  connection: Connection,
  pair: Pick<UserPair, 'current' | 'alternate'>,
  steps: readonly { readonly drops?: { readonly user: string; readonly host: string } }[],
): Promise<void> {
  for (const { drops } of steps) {
    if (drops === undefined) continue;
    const definer = `${drops.user}@${drops.host}`;
    const objects = await objectsDefinedBy(connection, definer);
    if (objects.length > 0)
      throw unequalRights(pair, [
        `${definer} has to go, as ${pair.current} has no account for that host, and is the DEFINER of ${objects.join(', ')}`,
      ]);
  }
}

/**
 * What works with the rights of this account, and would no longer without it, as MySQL and MariaDB tell it.
 * @param definer as the server writes it, e.g. `app@10.%`
 * @returns e.g. `view app.totals`; ten at most
 */
async function objectsDefinedBy(connection: Connection, definer: string): Promise<readonly string[]> {
  const defined = (kind: string, schema: string, name: string, table: string) =>
    `SELECT CONCAT('${kind} ', ${schema}, '.', ${name}) AS what FROM information_schema.${table}
     WHERE CAST(DEFINER AS BINARY) = CAST(${quoteLiteral(definer)} AS BINARY)`;
  const objects = await connection.query<{ what: string }>(
    `${[
      defined('view', 'TABLE_SCHEMA', 'TABLE_NAME', 'VIEWS'),
      defined('routine', 'ROUTINE_SCHEMA', 'ROUTINE_NAME', 'ROUTINES'),
      defined('trigger', 'TRIGGER_SCHEMA', 'TRIGGER_NAME', 'TRIGGERS'),
      defined('event', 'EVENT_SCHEMA', 'EVENT_NAME', 'EVENTS'),
    ].join(' UNION ALL ')} LIMIT 10`,
  );
  return objects.map(({ what }) => what);
}
