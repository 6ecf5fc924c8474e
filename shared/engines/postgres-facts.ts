import type { ServerFacts } from './port.ts';
import type { Connection } from './postgres-connection.ts';
import { sessionsOf } from './postgres-open-sessions.ts';

interface Row {
  readonly version: string;
  readonly readOnly: boolean;
  /** Those that this user may see, and that say something of passwords. */
  readonly settings: Readonly<Record<string, string>> | null;
}

export async function inspect(connection: Connection, users: readonly string[]): Promise<ServerFacts> {
  const [row] = await connection.query<Row>(
    `SELECT split_part(current_setting('server_version'), ' ', 1) AS version, pg_is_in_recovery() AS "readOnly",
       (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name ~ '${PASSWORD_SETTINGS}') AS settings`,
  );
  return {
    version: `PostgreSQL ${row?.version}`,
    certificate: connection.certificate,
    readOnly: row?.readOnly ?? false,
    sessions: await sessionsOf(connection, users),
    passwordPolicy: [...policyIn(row?.settings ?? {})],
  };
}

const PASSWORD_SETTINGS =
  '^(shared_preload_libraries|password_encryption|passwordcheck[.].*|credcheck[.].*|rds[.]restrict_password_commands)$';

/** What a server asks of a password cannot be asked for; which modules would have a say can. */
function* policyIn(settings: Readonly<Record<string, string>>): Iterable<string> {
  const libraries = settings['shared_preload_libraries'] ?? '';
  if (/\bpasswordcheck\b/.test(libraries))
    yield 'passwordcheck is loaded: it cannot look into a SCRAM verifier, and so asks nothing of a password that Rekey sets';
  if (/\bcredcheck\b/.test(libraries) || Object.keys(settings).some((name) => name.startsWith('credcheck.')))
    yield settings['credcheck.encrypted_password_allowed'] === 'on'
      ? 'credcheck is loaded and takes verifiers'
      : 'credcheck is loaded: it takes the verifier that Rekey sends only with credcheck.encrypted_password_allowed = on';
  if (settings['password_encryption'] === 'md5')
    yield 'password_encryption is md5: for passwords that others set; Rekey stores a SCRAM verifier';
  if (settings['rds.restrict_password_commands'] === 'on')
    yield 'rds.restrict_password_commands is on: only members of rds_password change passwords, their own too';
}
