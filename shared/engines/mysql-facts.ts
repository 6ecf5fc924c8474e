import { countedNeeds, type PasswordNeeds } from '../secrets/password.ts';
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
  const rules = policy as Variable[];
  const passwordNeeds = needsIn(rules);
  return {
    version: `MySQL ${version}`,
    certificate: connection.certificate,
    readOnly: Boolean(readOnly),
    sessions: await sessionsOf(connection, users),
    ...(passwordNeeds && { passwordNeeds }),
    passwordPolicy: rules
      .filter(({ Variable_name: name, Value: value }) => RULE.test(name) && !['', '0', 'OFF'].includes(value))
      .map(({ Variable_name: name, Value: value }) => `${name} is ${value}`),
  };
}

interface Variable {
  readonly Variable_name: string;
  readonly Value: string;
}

/** https://dev.mysql.com/doc/refman/8.4/en/validate-password-options-variables.html */
function needsIn(rules: readonly Variable[]): PasswordNeeds | undefined {
  // The component has a dot in its names, the plugin before it an underscore.
  const setting = (name: string) =>
    rules.find(({ Variable_name }) => Variable_name.replace('.', '_') === `validate_password_${name}`)?.Value;
  const length = setting('length');
  if (length === undefined) return undefined;
  if (setting('policy') === 'LOW') return { length: Number(length), types: {} };
  const count = (name: string) => Number(setting(`${name}_count`));
  return countedNeeds({
    length: Number(length),
    eachCase: count('mixed_case'),
    digits: count('number'),
    others: count('special_char'),
  });
}

/** Those that say what a password must be like. */
const RULE =
  /(length|_count|policy|check_user_name|changed_characters_percentage|history|reuse_interval|require_current)$/;
