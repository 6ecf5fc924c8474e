import { RekeyError } from '../operations/errors.ts';
import { sessionsOf } from './mariadb-open-sessions.ts';
import type { Connection } from './mysql-connection.ts';
import type { ServerFacts } from './port.ts';

/** What the server says of itself to anybody who logs in. */
export async function inspectServer(connection: Connection, users: readonly string[]): Promise<ServerFacts> {
  const [server = [], plugins = [], variables = []] = await connection.run([
    'SELECT VERSION() AS version, CONCAT(@@global.read_only) AS readOnly',
    "SELECT PLUGIN_NAME AS name FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'",
    "SHOW GLOBAL VARIABLES WHERE Variable_name REGEXP '_password_check_|^password_reuse_|^strict_password_validation$'",
  ]);
  const [{ version, readOnly } = { version: 'unknown', readOnly: 'OFF' }] = server as {
    version: string;
    readOnly: string;
  }[];
  if (!/mariadb/i.test(version)) throw new RekeyError('DATABASE_UNSUPPORTED', `the server is not MariaDB: ${version}`);
  const rules = (variables as { Variable_name: string; Value: string }[]).filter(
    ({ Value }) => Value !== '' && Value !== '0',
  );
  return {
    version: `MariaDB ${version.split('-')[0]}`,
    certificate: connection.certificate,
    readOnly: !['0', 'OFF'].includes(readOnly),
    sessions: await sessionsOf(connection, users),
    // Without a plugin that judges them, the variables mean nothing.
    passwordPolicy: plugins.length === 0 ? [] : rules.map(({ Variable_name, Value }) => `${Variable_name} is ${Value}`),
  };
}
