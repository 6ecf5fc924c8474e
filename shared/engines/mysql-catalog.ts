import { RekeyError } from '../operations/errors.ts';
import { SecretValue } from '../secrets/secret-value.ts';
import { type Connection, quoteLiteral, quoteName } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';

/** Who may do what, as the tables of the `mysql` database say: an administrator of RDS may read them. */
export interface Snapshot {
  readonly readOnly: boolean;
  readonly partialRevokes: boolean;
  /** Of the administrator who asks, and of every role that it may take on. */
  readonly admin: { readonly account: string; readonly holders: readonly Account[] };
  /** All accounts of the users asked about. */
  readonly accounts: readonly Account[];
}

/** A user at a host, or at a pattern of hosts. The same name at another host is another account. */
export interface Account extends Rights {
  readonly user: string;
  readonly host: string;
  /** As statements name it. */
  readonly name: string;
  readonly plugin: string;
  readonly locked: boolean;
  readonly expired: boolean;
  readonly secondFactor: boolean;
  readonly password: SecretValue;
  /** The older one of two, where there are two. */
  readonly secondPassword: SecretValue | undefined;
  readonly settings: Settings;
}

export interface Rights {
  readonly grants: readonly Grant[];
  /** Privileges that a component or plugin registered, each with a grant option of its own. */
  readonly dynamic: readonly Delegable[];
  readonly roles: readonly Delegable[];
  /** Accounts that it may act as. */
  readonly proxies: readonly Delegable[];
  readonly defaultRoles: readonly string[];
  /** What a partial revoke takes from the privileges at `*.*`. */
  readonly restrictions: readonly { readonly database: string; readonly privilege: string }[];
}

/** What may be done at one level. */
export interface Grant {
  /** As statements name the level: `*.*`, `` `db`.* ``, `` `db`.`table` ``, `` PROCEDURE `db`.`routine` ``. */
  readonly on: string;
  /** The name or pattern of the database; undefined for `*.*`. */
  readonly database: string | undefined;
  /** As statements name them: `SELECT`, `` UPDATE (`column`) ``, `GRANT OPTION`. */
  readonly privileges: readonly string[];
  /** The table was dropped. The rights hold again for the next one of that name. */
  readonly gone: boolean;
}

export interface Delegable {
  readonly name: string;
  /** WITH GRANT OPTION, or for a role WITH ADMIN OPTION. */
  readonly delegable: boolean;
}

/** What an account has beside rights; null is the server's default. */
export interface Settings {
  readonly tls: {
    readonly type: '' | 'ANY' | 'X509' | 'SPECIFIED';
    readonly cipher: string;
    readonly issuer: string;
    readonly subject: string;
  };
  readonly limits: {
    readonly queries: number;
    readonly updates: number;
    readonly connections: number;
    readonly sessions: number;
  };
  readonly lifetimeDays: number | null;
  readonly history: number | null;
  readonly reuseDays: number | null;
  readonly requireCurrent: 'Y' | 'N' | null;
  readonly lockout: { readonly failed_login_attempts: number; readonly password_lock_time_days: number } | null;
  readonly attribute: Readonly<Record<string, unknown>> | null;
}

export const accountName = (user: string, host: string): string => `${quoteName(user)}@${quoteName(host)}`;

/** Columns of mysql.db and, of the same names, of mysql.user. */
const DATABASE_PRIVILEGES = {
  Select_priv: 'SELECT',
  Insert_priv: 'INSERT',
  Update_priv: 'UPDATE',
  Delete_priv: 'DELETE',
  Create_priv: 'CREATE',
  Drop_priv: 'DROP',
  Grant_priv: 'GRANT OPTION',
  References_priv: 'REFERENCES',
  Index_priv: 'INDEX',
  Alter_priv: 'ALTER',
  Create_tmp_table_priv: 'CREATE TEMPORARY TABLES',
  Lock_tables_priv: 'LOCK TABLES',
  Create_view_priv: 'CREATE VIEW',
  Show_view_priv: 'SHOW VIEW',
  Create_routine_priv: 'CREATE ROUTINE',
  Alter_routine_priv: 'ALTER ROUTINE',
  Execute_priv: 'EXECUTE',
  Event_priv: 'EVENT',
  Trigger_priv: 'TRIGGER',
} as const;

const GLOBAL_PRIVILEGES = {
  ...DATABASE_PRIVILEGES,
  Reload_priv: 'RELOAD',
  Shutdown_priv: 'SHUTDOWN',
  Process_priv: 'PROCESS',
  File_priv: 'FILE',
  Show_db_priv: 'SHOW DATABASES',
  Super_priv: 'SUPER',
  Repl_slave_priv: 'REPLICATION SLAVE',
  Repl_client_priv: 'REPLICATION CLIENT',
  Create_user_priv: 'CREATE USER',
  Create_tablespace_priv: 'CREATE TABLESPACE',
  Create_role_priv: 'CREATE ROLE',
  Drop_role_priv: 'DROP ROLE',
} as const;

const privilegesIn = (columns: Readonly<Record<string, string>>): string =>
  `CONCAT_WS(',', ${Object.entries(columns)
    .map(([column, privilege]) => `IF(${column} = 'Y', '${privilege}', NULL)`)
    .join(', ')})`;

/** Rows of a table of rights, as one JSON array. `of` is for whom they are. */
const rows = (table: string, fields: Readonly<Record<string, string>>, user = 'User', host = 'Host'): string =>
  `(SELECT JSON_ARRAYAGG(JSON_OBJECT('of', JSON_ARRAY(${user}, ${host}), ${Object.entries(fields)
    .map(([name, expression]) => `'${name}', ${expression}`)
    .join(', ')})) FROM mysql.${table} JOIN holder ON holder.u = ${user} AND holder.h = ${host})`;

/**
 * A right on a column or routine that is gone is no right, and cannot be given to another: MySQL keeps it when the
 * table, or the routine's database, is dropped. Only who may see all that is in the database knows what is gone.
 */
const gone = (table: 'tables' | 'columns', alias: string): string => {
  const column = table === 'columns' ? ` AND found.COLUMN_NAME = ${alias}.Column_name` : '';
  return `(EXISTS (SELECT 1 FROM sees WHERE ${alias}.Db = name OR ${alias}.Db LIKE pattern) AND NOT EXISTS (
    SELECT 1 FROM information_schema.${table} AS found
    WHERE found.TABLE_SCHEMA = ${alias}.Db AND found.TABLE_NAME = ${alias}.Table_name${column}))`;
};

const ROUTINE_GONE = `(
  EXISTS (SELECT 1 FROM sees WHERE routines AND (procs_priv.Db = name OR procs_priv.Db LIKE pattern))
  AND NOT IF(Routine_type IN ('PROCEDURE', 'FUNCTION'),
    EXISTS (SELECT 1 FROM information_schema.routines AS found WHERE found.ROUTINE_SCHEMA = procs_priv.Db
      AND found.ROUTINE_NAME = procs_priv.Routine_name AND found.ROUTINE_TYPE = procs_priv.Routine_type),
    -- A library, whose view in information_schema no server before 9.2 has.
    EXISTS (SELECT 1 FROM information_schema.schemata AS found WHERE found.SCHEMA_NAME = procs_priv.Db)))`;

const TEXT = 'CHAR(255)) COLLATE utf8mb4_bin';

const snapshotSql = (users: readonly string[]): string => `
WITH RECURSIVE admin (u, h) AS (
  SELECT CAST(LEFT(CURRENT_USER(), CHAR_LENGTH(CURRENT_USER()) - LOCATE('@', REVERSE(CURRENT_USER()))) AS ${TEXT},
         CAST(SUBSTRING_INDEX(CURRENT_USER(), '@', -1) AS ${TEXT}
  UNION DISTINCT
  SELECT CAST(FROM_USER AS ${TEXT}, CAST(FROM_HOST AS ${TEXT}
  FROM mysql.role_edges JOIN admin ON admin.u = TO_USER AND admin.h = TO_HOST
), holder (u, h) AS (
  SELECT u, h FROM admin
  UNION DISTINCT
  SELECT CAST(User AS ${TEXT}, CAST(Host AS ${TEXT} FROM mysql.user WHERE User IN (${users.map(quoteLiteral).join(', ')})
), sees (name, pattern, routines) AS (
  SELECT NULL, '%', TRUE FROM mysql.user JOIN admin ON admin.u = User AND admin.h = Host
  WHERE Select_priv = 'Y' AND JSON_SEARCH(JSON_EXTRACT(User_attributes, '$.Restrictions'), 'one', 'SELECT') IS NULL
  UNION ALL
  SELECT Db, IF(@@global.partial_revokes, '', Db), Execute_priv = 'Y'
  FROM mysql.db JOIN admin ON admin.u = User AND admin.h = Host WHERE Select_priv = 'Y'
)
SELECT JSON_OBJECT(
  'readOnly', @@global.read_only OR @@global.innodb_read_only,
  'partialRevokes', @@global.partial_revokes,
  'admin', (SELECT JSON_ARRAYAGG(JSON_ARRAY(u, h)) FROM admin),
  'accounts', ${rows('user', {
    plugin: 'plugin',
    locked: "account_locked = 'Y'",
    expired: "password_expired = 'Y'",
    password: 'authentication_string',
    secondPassword: "User_attributes ->> '$.additional_password'",
    secondFactor: "JSON_EXTRACT(User_attributes, '$.multi_factor_authentication') IS NOT NULL",
    privileges: privilegesIn(GLOBAL_PRIVILEGES),
    restrictions: "JSON_EXTRACT(User_attributes, '$.Restrictions')",
    tls: `JSON_OBJECT('type', ssl_type, 'cipher', CONVERT(ssl_cipher USING utf8mb4),
      'issuer', CONVERT(x509_issuer USING utf8mb4), 'subject', CONVERT(x509_subject USING utf8mb4))`,
    limits: `JSON_OBJECT('queries', max_questions, 'updates', max_updates, 'connections', max_connections,
      'sessions', max_user_connections)`,
    lifetimeDays: 'password_lifetime',
    history: 'Password_reuse_history',
    reuseDays: 'Password_reuse_time',
    requireCurrent: 'Password_require_current',
    lockout: "JSON_EXTRACT(User_attributes, '$.Password_locking')",
    attribute: "JSON_EXTRACT(User_attributes, '$.metadata')",
  })},
  'databases', ${rows('db', { database: 'Db', privileges: privilegesIn(DATABASE_PRIVILEGES) })},
  'tables', ${rows('tables_priv', {
    database: 'Db',
    table: 'Table_name',
    privileges: 'Table_priv',
    gone: gone('tables', 'tables_priv'),
  })},
  'columns', ${rows('columns_priv', {
    database: 'Db',
    table: 'Table_name',
    column: 'Column_name',
    privileges: 'Column_priv',
    gone: gone('columns', 'columns_priv'),
  })},
  'routines', ${rows('procs_priv', {
    database: 'Db',
    routine: 'Routine_name',
    type: 'Routine_type',
    privileges: 'Proc_priv',
    gone: ROUTINE_GONE,
  })},
  'dynamic', ${rows('global_grants', { name: 'PRIV', delegable: "WITH_GRANT_OPTION = 'Y'" }, 'USER', 'HOST')},
  'proxies', ${rows('proxies_priv', {
    user: 'Proxied_user',
    host: 'Proxied_host',
    delegable: 'With_grant',
  })},
  'roles', ${rows('role_edges', { user: 'FROM_USER', host: 'FROM_HOST', delegable: "WITH_ADMIN_OPTION = 'Y'" }, 'TO_USER', 'TO_HOST')},
  'defaultRoles', ${rows('default_roles', { user: 'DEFAULT_ROLE_USER', host: 'DEFAULT_ROLE_HOST' }, 'USER', 'HOST')}
) AS snapshot`;

interface Of {
  readonly of: readonly [string, string];
}
interface PrivilegesRow extends Of {
  readonly privileges: string;
}
interface Perishable extends PrivilegesRow {
  readonly database: string;
  readonly gone: 0 | 1;
}
interface TableRow extends Perishable {
  readonly table: string;
}
interface DelegableRow extends Of {
  readonly user: string;
  readonly host: string;
  readonly delegable: 0 | 1;
}
interface AccountRow extends PrivilegesRow, Settings {
  readonly plugin: string;
  readonly locked: 0 | 1;
  readonly expired: 0 | 1;
  readonly secondFactor: 0 | 1;
  readonly password: string | null;
  readonly secondPassword: string | null;
  readonly restrictions: readonly { readonly Database: string; readonly Privileges: readonly string[] }[] | null;
}
interface SnapshotRow {
  readonly readOnly: 0 | 1;
  readonly partialRevokes: 0 | 1;
  readonly admin: readonly (readonly [string, string])[];
  readonly accounts: readonly AccountRow[] | null;
  readonly databases: readonly (PrivilegesRow & { readonly database: string })[] | null;
  readonly tables: readonly TableRow[] | null;
  readonly columns: readonly (TableRow & { readonly column: string })[] | null;
  readonly routines: readonly (Perishable & { readonly routine: string; readonly type: string })[] | null;
  readonly dynamic: readonly (Of & { readonly name: string; readonly delegable: 0 | 1 })[] | null;
  readonly proxies: readonly DelegableRow[] | null;
  readonly roles: readonly DelegableRow[] | null;
  readonly defaultRoles: readonly (Of & { readonly user: string; readonly host: string })[] | null;
}

/**
 * A question about users in the words of SQL, and how to read the answer: it is asked along with other statements.
 */
export interface Question {
  readonly statements: readonly string[];
  /** @param answers the rows of each */
  read(answers: readonly (readonly unknown[])[]): Snapshot;
}

export function snapshotOf(users: readonly string[]): Question {
  return {
    // What a role may see and do that the administrator has, but not by default.
    statements: ['SET ROLE ALL', snapshotSql(users)],
    read(answers) {
      const [row] = answers.at(-1) ?? [];
      if (row === undefined) throw new RekeyError('DATABASE_ERROR', 'the tables of users gave no answer');
      return snapshotFrom((row as { snapshot: SnapshotRow }).snapshot, users);
    },
  };
}

/** The whole of one round trip. */
export async function observe(connection: Connection, users: readonly string[]): Promise<Snapshot> {
  const { statements, read } = snapshotOf(users);
  return read(await connection.run(statements));
}

/**
 * @param look reads the tables of users
 * @throws RekeyError PRIVILEGE_MISSING
 */
export async function permittedToLook<T>(connection: Connection, look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof ServerRefusal && error.notPermitted)) throw error;
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      'the administrator may not see the rights of users',
      `As a superuser run: GRANT SELECT ON mysql.* TO ${(await ownAccount(connection)).name};`,
    );
  }
}

/** As which account the server knows this session. */
export async function ownAccount(connection: Connection): Promise<Pick<Account, 'user' | 'host' | 'name'>> {
  const [row] = await connection.query<{ account: string }>('SELECT CURRENT_USER() AS account');
  const { account = '' } = row ?? {};
  const at = account.lastIndexOf('@');
  const [user, host] = [account.slice(0, at), account.slice(at + 1)];
  return { user, host, name: accountName(user, host) };
}

function snapshotFrom(row: SnapshotRow, users: readonly string[]): Snapshot {
  const accounts = (row.accounts ?? []).map((account) => accountFrom(account, row));
  const isAdmin = ({ user, host }: Account) => row.admin.some(([u, h]) => u === user && h === host);
  const [[user, host] = ['', '']] = row.admin;
  return {
    readOnly: Boolean(row.readOnly),
    partialRevokes: Boolean(row.partialRevokes),
    admin: { account: accountName(user, host), holders: accounts.filter(isAdmin) },
    accounts: accounts.filter((account) => users.includes(account.user)),
  };
}

function accountFrom(row: AccountRow, all: SnapshotRow): Account {
  const [user, host] = row.of;
  const own = <Row extends Of>(found: readonly Row[] | null): readonly Row[] =>
    (found ?? []).filter(({ of }) => of[0] === user && of[1] === host);
  const delegable = (found: readonly DelegableRow[] | null): readonly Delegable[] =>
    own(found).map((other) => ({ name: accountName(other.user, other.host), delegable: Boolean(other.delegable) }));

  const grants = new Map<string, { database: string | undefined; privileges: string[]; gone: boolean }>();
  const add = (on: string, database: string | undefined, privileges: readonly string[], gone = false) => {
    const grant = grants.get(on) ?? { database, privileges: [], gone };
    grant.privileges.push(...privileges);
    if (privileges.length > 0) grants.set(on, grant);
  };
  add('*.*', undefined, list(row.privileges));
  for (const { database, privileges } of own(all.databases))
    add(`${quoteName(database)}.*`, database, list(privileges));
  for (const { database, table, privileges, gone } of own(all.tables))
    add(`${quoteName(database)}.${quoteName(table)}`, database, list(privileges), Boolean(gone));
  for (const { database, table, column, privileges, gone } of own(all.columns))
    if (!gone)
      add(
        `${quoteName(database)}.${quoteName(table)}`,
        database,
        list(privileges).map((privilege) => `${privilege} (${quoteName(column)})`),
      );
  for (const { database, routine, type, privileges, gone } of own(all.routines))
    if (!gone) add(`${type} ${quoteName(database)}.${quoteName(routine)}`, database, list(privileges));

  return {
    user,
    host,
    name: accountName(user, host),
    plugin: row.plugin,
    locked: Boolean(row.locked),
    expired: Boolean(row.expired),
    secondFactor: Boolean(row.secondFactor),
    password: new SecretValue(row.password ?? ''),
    secondPassword: row.secondPassword === null ? undefined : new SecretValue(row.secondPassword),
    settings: {
      tls: row.tls,
      limits: row.limits,
      lifetimeDays: row.lifetimeDays,
      history: row.history,
      reuseDays: row.reuseDays,
      requireCurrent: row.requireCurrent,
      lockout: row.lockout,
      attribute: row.attribute,
    },
    grants: [...grants].map(([on, grant]) => ({ on, ...grant })),
    dynamic: own(all.dynamic).map(({ name, delegable: may }) => ({ name, delegable: Boolean(may) })),
    roles: delegable(all.roles),
    proxies: delegable(all.proxies),
    defaultRoles: own(all.defaultRoles).map((role) => accountName(role.user, role.host)),
    restrictions: (row.restrictions ?? []).flatMap(({ Database: database, Privileges }) =>
      Privileges.map((privilege) => ({ database, privilege })),
    ),
  };
}

/** Names of a SET, or of one made like it, in the words of GRANT. */
const list = (privileges: string): readonly string[] =>
  privileges
    .split(',')
    .filter(Boolean)
    .map((name) => name.toUpperCase())
    .map((name) => (name === 'GRANT' ? 'GRANT OPTION' : name));
