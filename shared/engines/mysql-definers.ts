import { type Connection, quoteLiteral } from './mysql-connection.ts';

/**
 * What works with the rights of this account, and would no longer without it, as MySQL and MariaDB tell it.
 * @param definer as the server writes it, e.g. `app@10.%`
 * @returns e.g. `view app.totals`; ten at most
 */
export async function objectsDefinedBy(connection: Connection, definer: string): Promise<readonly string[]> {
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
