import type { Connection } from './mysql-connection.ts';
import { sessionsOf } from './mysql-open-sessions.ts';
import type { ServerFacts } from './port.ts';

/** What the server says of itself to anybody who logs in. */
export async function inspectServer(connection: Connection, users: readonly string[]): Promise<ServerFacts> {
  const [server, policy] = await connection.run([
    'SELECT VERSION() AS version, @@global.read_only OR @@global.innodb_read_only AS readOnly',
    "SHOW GLOBAL VARIABLES WHERE Variable_name REGEXP '^(validate_password[._]|password_)'",
  ]);
  const [{ version, readOnly } = { version: 'unknown', readOnly: 0 }] = server as {
    version: string;
    readOnly: 0 | 1;
  }[];
  const rules = policy as { Variable_name: string; Value: string }[];
  const minimum = rules.find(({ Variable_name: name }) => /^validate_password[._]length$/.test(name));
  return {
    version: `MySQL ${version}`,
    certificate: connection.certificate,
    readOnly: Boolean(readOnly),
    sessions: await sessionsOf(connection, users),
    ...(minimum && { minimumPasswordLength: Number(minimum.Value) }),
    passwordPolicy: rules
      .filter(({ Variable_name: name, Value: value }) => RULE.test(name) && !['', '0', 'OFF'].includes(value))
      .map(({ Variable_name: name, Value: value }) => `${name} is ${value}`),
  };
}

/** Those that say what a password must be like. */
const RULE =
  /(length|_count|policy|check_user_name|changed_characters_percentage|history|reuse_interval|require_current)$/;
