import { RekeyError } from '../operations/errors.ts';
import { countedNeeds, type PasswordNeeds } from '../secrets/password.ts';
import { sessionsOf } from './mariadb-open-sessions.ts';
import { NAME_THE_ENGINE } from './mariadb-session.ts';
import type { Connection } from './mysql-connection.ts';
import type { ServerFacts } from './port.ts';

/** What the server says of itself to anybody who logs in. */
export async function inspectServer(connection: Connection, users: readonly string[]): Promise<ServerFacts> {
  const [server = [], plugins = [], variables = []] = await connection.run([
    'SELECT VERSION() AS version, CONCAT(@@global.read_only) AS readOnly',
    "SELECT PLUGIN_NAME AS name FROM information_schema.PLUGINS WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE' ORDER BY 1",
    "SHOW GLOBAL VARIABLES WHERE Variable_name REGEXP '_password_check_|^password_reuse_|^strict_password_validation$'",
  ]);
  const [{ version, readOnly } = { version: 'unknown', readOnly: 'OFF' }] = server as {
    version: string;
    readOnly: string;
  }[];
  if (!/mariadb/i.test(version))
    throw new RekeyError('DATABASE_UNSUPPORTED', `the server is not MariaDB: ${version}`, NAME_THE_ENGINE);
  const passwordNeeds = needsIn(variables as Variable[]);
  return {
    version: `MariaDB ${version.split('-')[0]}`,
    certificate: connection.certificate,
    readOnly: !['0', 'OFF'].includes(readOnly),
    sessions: await sessionsOf(connection, users),
    passwordPolicy: [...policyIn(plugins as { name: string }[], variables as Variable[])],
    ...(passwordNeeds && { passwordNeeds }),
  };
}

/** Where nobody insists on reading passwords, Rekey sends a hash, and nothing can be counted in that. */
function needsIn(variables: readonly Variable[]): PasswordNeeds | undefined {
  const setting = (name: string) => variables.find(({ Variable_name }) => Variable_name === name)?.Value;
  const length = setting('simple_password_check_minimal_length');
  if (length === undefined || setting('strict_password_validation') !== 'ON') return undefined;
  const count = (name: string) => Number(setting(`simple_password_check_${name}`));
  return countedNeeds({
    length: Number(length),
    eachCase: count('letters_same_case'),
    digits: count('digits'),
    others: count('other_characters'),
  });
}

interface Variable {
  readonly Variable_name: string;
  readonly Value: string;
}

/** https://mariadb.com/kb/en/password-validation-plugins/: each active one has to be content with a password. */
function* policyIn(plugins: readonly { readonly name: string }[], variables: readonly Variable[]): Iterable<string> {
  // Without a plugin that judges them, the variables mean nothing.
  if (plugins.length === 0) return yield 'no plugin judges passwords: any is taken';
  for (const { name } of plugins) yield JUDGEMENTS[name] ?? `${name} judges each password`;
  for (const { Variable_name: name, Value: value } of variables)
    if (value !== '' && value !== '0') yield `${name} is ${value}`;
}

const JUDGEMENTS: Readonly<Record<string, string>> = {
  simple_password_check: 'simple_password_check counts digits, letters and other characters',
  cracklib_password_check: 'cracklib_password_check refuses what it finds in its dictionary, or can guess from it',
  password_reuse_check:
    'password_reuse_check refuses what the user had before, for password_reuse_check_interval days, or for ever where that is 0',
};
