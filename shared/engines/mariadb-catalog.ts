import { RekeyError } from '../operations/errors.ts';
import { SecretValue } from '../secrets/secret-value.ts';
import type { LoginMethod } from './mariadb-password.ts';
import { type Connection, quoteLiteral, quoteName } from './mysql-connection.ts';

/**
 * What MariaDB's system tables say of two users, each of which may have several accounts, one for each host that its
 * clients come from: everything that mariadb-rights.ts needs to decide, in one round trip.
 */
export interface Snapshot {
  /** E.g. `10.11.18` */
  readonly version: string;
  readonly readOnly: boolean;
  /** The server judges passwords, and refuses one that it cannot read (strict_password_validation). */
  readonly judgesPasswords: boolean;
  readonly admin: Administrator;
  readonly current: readonly Account[];
  readonly alternate: readonly Account[];
}

export interface Administrator {
  /** Quoted, ready for a statement. */
  readonly name: string;
  /** Of its account and of the roles that are enabled in this session. */
  readonly rights: readonly Rights[];
  /** Those that it may grant to others. */
  readonly roles: ReadonlySet<string>;
}

export interface Account {
  readonly user: string;
  readonly host: string;
  readonly methods: readonly LoginMethod[];
  /** What CREATE USER says of the account beside that, in parts that ALTER USER takes as they are. */
  readonly options: Options;
  readonly locked: boolean;
  /** A login may do nothing but change the password. */
  readonly expired: boolean;
  readonly defaultRole: string | null;
  /** By {@link targetSql}. */
  readonly rights: ReadonlyMap<string, Rights>;
  /** Role → whether the account may grant it to others. */
  readonly roles: ReadonlyMap<string, boolean>;
}

export interface Options {
  /** E.g. `REQUIRE SSL` */
  readonly require: string;
  /** E.g. `MAX_USER_CONNECTIONS 5`, all five of them. */
  readonly limits: string;
  /** E.g. `PASSWORD EXPIRE NEVER` */
  readonly expiry: string;
}

export type Target =
  | { readonly level: 'server' }
  /** The name may be a pattern. */
  | { readonly level: 'database'; readonly database: string }
  | { readonly level: 'table'; readonly database: string; readonly name: string }
  | { readonly level: 'column'; readonly database: string; readonly name: string; readonly column: string }
  | { readonly level: 'routine'; readonly database: string; readonly name: string; readonly kind: string }
  /** To act as that account. */
  | { readonly level: 'proxy'; readonly user: string; readonly host: string };

/** All that one account may do with one thing. */
export interface Rights {
  readonly target: Target;
  /** As GRANT names them; `GRANT OPTION` is one of them. */
  readonly privileges: ReadonlySet<string>;
  /** False for a routine that was dropped with its database: the right is kept, and none can be granted. */
  readonly exists: boolean;
}

export const accountName = ({ user, host }: Pick<Account, 'user' | 'host'>): string =>
  `${quoteName(user)}@${quoteName(host)}`;

/** As GRANT … ON names it. A column has the name of its table there; here it has both. */
export function targetSql(target: Target): string {
  switch (target.level) {
    case 'server':
      return '*.*';
    case 'database':
      return `${quoteName(target.database)}.*`;
    case 'table':
      return `${quoteName(target.database)}.${quoteName(target.name)}`;
    case 'column':
      return `${quoteName(target.database)}.${quoteName(target.name)} (${quoteName(target.column)})`;
    case 'routine':
      return `${target.kind} ${quoteName(target.database)}.${quoteName(target.name)}`;
    case 'proxy':
      return accountName(target);
  }
}

/** As whoever may read the system tables. */
export async function observe(connection: Connection, current: string, alternate: string): Promise<Snapshot> {
  // A list that is longer would be cut, and the JSON with it.
  const list = 'SET SESSION group_concat_max_len = 1073741824';
  const [, rows = []] = await connection.run([list, snapshotSql(current, alternate)]);
  const [row] = rows as readonly { readonly snapshot: string }[];
  if (row === undefined) throw new RekeyError('DATABASE_ERROR', 'the system tables gave no answer');
  return snapshotFrom(JSON.parse(row.snapshot) as RawSnapshot, current, alternate);
}

/**
 * The option to grant belongs to a table, and where there are rights on columns alone, only they tell of it.
 * Names are compared as bytes: those of users differ by their case. Booleans and the whole go over as text, as
 * MariaDB makes broken JSON of the one and the driver would read the other by itself.
 */
const snapshotSql = (current: string, alternate: string): string => `
WITH
  pair AS (
    SELECT User, Host, Priv FROM mysql.global_priv
    WHERE BINARY User IN (${quoteLiteral(current)}, ${quoteLiteral(alternate)}) AND Host <> ''),
  acting AS (
    SELECT SUBSTRING_INDEX(CURRENT_USER(), '@', CHAR_LENGTH(CURRENT_USER()) - CHAR_LENGTH(REPLACE(CURRENT_USER(), '@', '')))
      AS User, SUBSTRING_INDEX(CURRENT_USER(), '@', -1) AS Host
    UNION SELECT ROLE_NAME, '' FROM information_schema.ENABLED_ROLES WHERE ROLE_NAME IS NOT NULL),
  grantee AS (
    SELECT User, Host, CONCAT('''', User, '''@''', Host, '''') AS name
    FROM (SELECT User, Host FROM pair UNION SELECT User, Host FROM acting) AS either),
  granted AS (
    SELECT GRANTEE, 'server' AS level, NULL AS db, NULL AS name, NULL AS col, PRIVILEGE_TYPE, IS_GRANTABLE
      FROM information_schema.USER_PRIVILEGES
    UNION ALL SELECT GRANTEE, 'database', TABLE_SCHEMA, NULL, NULL, PRIVILEGE_TYPE, IS_GRANTABLE
      FROM information_schema.SCHEMA_PRIVILEGES
    UNION ALL SELECT GRANTEE, 'table', TABLE_SCHEMA, TABLE_NAME, NULL, PRIVILEGE_TYPE, IS_GRANTABLE
      FROM information_schema.TABLE_PRIVILEGES
    UNION ALL SELECT GRANTEE, 'column', TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, PRIVILEGE_TYPE, 'NO'
      FROM information_schema.COLUMN_PRIVILEGES
    UNION ALL SELECT DISTINCT GRANTEE, 'table', TABLE_SCHEMA, TABLE_NAME, NULL, 'USAGE', IS_GRANTABLE
      FROM information_schema.COLUMN_PRIVILEGES WHERE IS_GRANTABLE = 'YES')
SELECT CAST(JSON_OBJECT(
  'version', VERSION(),
  'readOnly', CONCAT(@@global.read_only),
  'strict', CONCAT(@@global.strict_password_validation),
  'policies', (SELECT COUNT(*) FROM information_schema.PLUGINS
    WHERE PLUGIN_TYPE = 'PASSWORD VALIDATION' AND PLUGIN_STATUS = 'ACTIVE'),
  'acting', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', User, 'host', Host)) FROM acting),
  'accounts', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', User, 'host', Host, 'priv', JSON_COMPACT(Priv))) FROM pair),
  'granted', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', User, 'host', Host, 'level', level, 'database', db, 'name', g.name,
      'column', col, 'privileges', PRIVILEGE_TYPE, 'grantable', IS_GRANTABLE))
    FROM granted g JOIN grantee ON BINARY GRANTEE = grantee.name),
  'routines', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', p.User, 'host', p.Host, 'database', p.Db, 'name', Routine_name,
      'kind', Routine_type, 'privileges', Proc_priv, 'exists', (
        SELECT COUNT(*) FROM mysql.proc WHERE proc.db = p.Db AND proc.name = Routine_name AND proc.type = Routine_type)))
    FROM mysql.procs_priv p JOIN grantee ON BINARY p.User = grantee.User AND p.Host = grantee.Host),
  'proxies', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', p.User, 'host', p.Host, 'proxiedUser', Proxied_user,
      'proxiedHost', Proxied_host, 'grantable', With_grant))
    FROM mysql.proxies_priv p JOIN grantee ON BINARY p.User = grantee.User AND p.Host = grantee.Host),
  'roles', (SELECT JSON_ARRAYAGG(JSON_OBJECT('user', r.User, 'host', r.Host, 'role', Role, 'admin', Admin_option))
    FROM mysql.roles_mapping r JOIN grantee ON BINARY r.User = grantee.User AND r.Host = grantee.Host)
) AS CHAR) AS snapshot`;

interface OfAccount {
  readonly user: string;
  readonly host: string;
}

/** As {@link snapshotSql} gives it; a list without a row is null. */
interface RawSnapshot {
  readonly version: string;
  readonly readOnly: string;
  readonly strict: string;
  readonly policies: number;
  readonly acting: readonly OfAccount[];
  readonly accounts: readonly (OfAccount & { readonly priv: RawAccount })[] | null;
  readonly granted:
    | readonly (OfAccount & {
        readonly level: 'server' | 'database' | 'table' | 'column';
        readonly database: string;
        readonly name: string;
        readonly column: string;
        readonly privileges: string;
        readonly grantable: 'YES' | 'NO';
      })[]
    | null;
  readonly routines:
    | readonly (OfAccount & {
        readonly database: string;
        readonly name: string;
        readonly kind: string;
        readonly privileges: string;
        readonly exists: number;
      })[]
    | null;
  readonly proxies:
    | readonly (OfAccount & {
        readonly proxiedUser: string;
        readonly proxiedHost: string;
        readonly grantable: number;
      })[]
    | null;
  readonly roles: readonly (OfAccount & { readonly role: string; readonly admin: 'Y' | 'N' })[] | null;
}

/** mysql.global_priv.Priv; what has its default is left out. */
interface RawAccount {
  readonly plugin?: string;
  readonly authentication_string?: string;
  /** In the order of CREATE USER; `{}` stands for the two above. */
  readonly auth_or?: readonly { readonly plugin?: string; readonly authentication_string?: string }[];
  /** 1 SSL, 2 X509, 3 what follows */
  readonly ssl_type?: number;
  readonly ssl_cipher?: string;
  readonly x509_issuer?: string;
  readonly x509_subject?: string;
  readonly max_questions?: number;
  readonly max_updates?: number;
  readonly max_connections?: number;
  readonly max_user_connections?: number;
  readonly max_statement_time?: number;
  /** Days; 0 never, -1 the server's default */
  readonly password_lifetime?: number;
  /** Seconds since 1970; 0 after PASSWORD EXPIRE */
  readonly password_last_changed?: number;
  readonly account_locked?: boolean;
  readonly default_role?: string;
}

function snapshotFrom(raw: RawSnapshot, current: string, alternate: string): Snapshot {
  const me = raw.acting.find(({ host }) => host !== ''); // the others are roles
  const accountsOf = (user: string) =>
    (raw.accounts ?? []).filter((account) => account.user === user).map((account) => accountFrom(raw, account));
  return {
    version: raw.version.split('-')[0] ?? '',
    readOnly: !['0', 'OFF'].includes(raw.readOnly),
    judgesPasswords: !['0', 'OFF'].includes(raw.strict) && raw.policies > 0,
    admin: {
      name: me === undefined ? 'CURRENT_USER' : accountName(me),
      rights: raw.acting.flatMap((grantee) => [...rightsOf(raw, grantee).values()]),
      roles: new Set(
        raw.acting.flatMap((grantee) => [...rolesOf(raw, grantee)].flatMap(([role, admin]) => (admin ? [role] : []))),
      ),
    },
    current: accountsOf(current),
    alternate: accountsOf(alternate),
  };
}

function accountFrom(raw: RawSnapshot, { user, host, priv }: OfAccount & { readonly priv: RawAccount }): Account {
  const roles = rolesOf(raw, { user, host });
  const methods = (priv.auth_or ?? [priv]).map((alternative) => {
    const { plugin = '', authentication_string = '' } = alternative.plugin === undefined ? priv : alternative;
    return { plugin, kept: new SecretValue(authentication_string) };
  });
  return {
    user,
    host,
    methods,
    options: optionsOf(priv),
    locked: priv.account_locked ?? false,
    expired: priv.password_last_changed === 0,
    // What is left of a role that was taken away enables nothing.
    defaultRole: priv.default_role !== undefined && roles.has(priv.default_role) ? priv.default_role : null,
    rights: rightsOf(raw, { user, host }),
    roles,
  };
}

function optionsOf(priv: RawAccount): Options {
  const asked = [
    ['ISSUER', priv.x509_issuer],
    ['SUBJECT', priv.x509_subject],
    ['CIPHER', priv.ssl_cipher],
  ].flatMap(([word, text]) => (text ? [`${word} ${quoteLiteral(text)}`] : []));
  const required = ['NONE', 'SSL', 'X509', asked.join(' AND ')][priv.ssl_type ?? 0] || 'X509';
  const limits = [
    ['MAX_QUERIES_PER_HOUR', priv.max_questions],
    ['MAX_UPDATES_PER_HOUR', priv.max_updates],
    ['MAX_CONNECTIONS_PER_HOUR', priv.max_connections],
    ['MAX_USER_CONNECTIONS', priv.max_user_connections],
    ['MAX_STATEMENT_TIME', priv.max_statement_time],
  ].map(([word, limit = 0]) => `${word} ${limit}`);
  const lifetime = priv.password_lifetime ?? -1;
  const expiry = lifetime < 0 ? 'DEFAULT' : lifetime === 0 ? 'NEVER' : `INTERVAL ${lifetime} DAY`;
  return { require: `REQUIRE ${required}`, limits: limits.join(' '), expiry: `PASSWORD EXPIRE ${expiry}` };
}

function rightsOf(raw: RawSnapshot, grantee: OfAccount): ReadonlyMap<string, Rights> {
  const found = new Map<string, { target: Target; privileges: Set<string>; exists: boolean }>();
  const note = (target: Target, privileges: readonly string[], grantable: boolean, exists = true) => {
    const key = targetSql(target);
    const rights = found.get(key) ?? { target, privileges: new Set<string>(), exists };
    found.set(key, rights);
    for (const privilege of privileges) if (privilege !== 'USAGE') rights.privileges.add(privilege);
    if (grantable) rights.privileges.add('GRANT OPTION');
  };
  // The level decides which of the names are there.
  for (const { level, database, name, column, privileges, grantable } of of(raw.granted, grantee))
    note({ level, database, name, column }, [privileges], grantable === 'YES');
  for (const { database, name, kind, privileges, exists } of of(raw.routines, grantee)) {
    const names = privileges.toUpperCase().split(',');
    note(
      { level: 'routine', database, name, kind },
      names.filter((privilege) => privilege !== 'GRANT' && privilege !== ''),
      names.includes('GRANT'),
      exists === 1,
    );
  }
  for (const { proxiedUser, proxiedHost, grantable } of of(raw.proxies, grantee))
    note({ level: 'proxy', user: proxiedUser, host: proxiedHost }, ['PROXY'], grantable === 1);
  // An account that may do nothing has a row too, for the whole server.
  return new Map([...found].filter(([, { privileges }]) => privileges.size > 0));
}

const rolesOf = (raw: RawSnapshot, grantee: OfAccount): ReadonlyMap<string, boolean> =>
  new Map(of(raw.roles, grantee).map(({ role, admin }) => [role, admin === 'Y']));

const of = <Row extends OfAccount>(rows: readonly Row[] | null, { user, host }: OfAccount): readonly Row[] =>
  (rows ?? []).filter((row) => row.user === user && row.host === host);
