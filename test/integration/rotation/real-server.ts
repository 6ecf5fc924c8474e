import { createMariadbEngine } from '../../../shared/engines/mariadb.ts';
import { createMysqlEngine } from '../../../shared/engines/mysql.ts';
import { createPostgresEngine } from '../../../shared/engines/postgres.ts';
import { createRedisEngine } from '../../../shared/engines/redis.ts';
import { systemClock as clock } from '../../../shared/operations/clock.ts';
import type { Database, StrategyName } from '../../../shared/rotation/strategy.ts';
import { MARIADB, MYSQL, POSTGRES, REDIS } from '../../../shared/secrets/engine-rules.ts';
import { type MariadbOptions, type MariadbServer, startMariadb } from '../../sandbox/mariadb.ts';
import { type MysqlOptions, type MysqlServer, startMysql } from '../../sandbox/mysql.ts';
import type { MysqlFamilyServer } from '../../sandbox/mysql-family.ts';
import {
  type PostgresOptions,
  type PostgresServer,
  type PostgresVersion,
  startPostgres,
} from '../../sandbox/postgres.ts';
import { type RedisServer, type RedisServerId, startRedis } from '../../sandbox/redis.ts';
import type { Account } from '../../sandbox/server-process.ts';

/** A user as the superuser sees it. */
export interface UserState {
  /** All that it may do, whichever way it came to that, in the server's words; the same for two users that are equal. */
  readonly rights: readonly string[];
  /** Whether any password lets it in. */
  readonly open: boolean;
}

/** A real server that logs all that it can, as the rotation of a secret sees it, and what an application does there. */
export interface RealServer {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  /** Of the authority that a client is to trust. */
  readonly caFile: string;
  readonly admin: Account;
  readonly rekey: Database;
  /** Keys of a secret's JSON beside host, port and login. */
  readonly secretKeys: Readonly<Record<string, string>>;
  /** Of a secret with this strategy, where a person has to accept something. */
  tagsFor(strategy: StrategyName): Readonly<Record<string, string>>;
  /** A user that may read what the application reads, and has what the strategy needs. Its password is in no log. */
  createUser(account: Account, strategy: StrategyName): Promise<void>;
  /** Takes away the user, and those that a strategy named after it: the more a server has, the longer it looks for one. */
  dropUsers(name: string): Promise<void>;
  /** Whether the server lets it in, to read. @throws what is not the server's refusal of the login */
  canRead(account: Account): Promise<boolean>;
  /** Behind Rekey's back: this is the user's one password from now on. */
  give(account: Account): Promise<unknown>;
  /** Whom the server refused so far, by its own log: each refused login is the user's name once more. */
  refusals(): Promise<readonly string[]>;
  /** Undefined when there is no such user. */
  user(name: string): Promise<UserState | undefined>;
  /** Where that takes a right of its own: the user may see who is connected from now on. */
  letSeeSessions?(name: string): Promise<unknown>;
  /** A session, to be ended by the caller. */
  open(account: Account): Promise<() => Promise<unknown>>;
  log(): string;
  /** After a test ended its process. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

const LOCAL = { clock, allowLoopback: true };

export async function startRealPostgres(
  version: PostgresVersion,
  options: Omit<PostgresOptions, 'version'> = {},
): Promise<PostgresServer & RealServer> {
  const server = await startPostgres({
    version,
    ...options,
    settings: { log_statement: 'all', log_min_duration_statement: '0', ...options.settings },
  });
  const open = async (account: Account) => {
    const client = await server.connect(account);
    return () => client.end();
  };
  const admin = keep(() => server.connect(server.admin));
  const superuser = keep(async () => {
    const client = await server.connect(server.superuser);
    await client.query(`SET log_statement = 'none'; SET log_min_duration_statement = -1`);
    return client;
  });
  return {
    ...server,
    open,
    async user(name) {
      const { rows } = await (await superuser()).query(POSTGRES_USER, [name]);
      return rows[0];
    },
    rekey: { engine: createPostgresEngine({ ...LOCAL, ca: server.ca }), rules: POSTGRES },
    secretKeys: { engine: 'postgres' },
    // Its alternating users can become each other: it takes a person's word.
    tagsFor: (strategy): Record<string, string> =>
      version < 16 && strategy === 'alternating-users' ? { 'rekey:accept': 'take-over' } : {},
    async createUser({ username, password }) {
      const quoted = `"${username.replaceAll('"', '""')}"`;
      await (await admin()).query(`CREATE ROLE ${quoted} LOGIN`);
      await (await superuser()).query(
        `ALTER ROLE ${quoted} PASSWORD '${password}';
         CREATE TABLE IF NOT EXISTS public.orders (id int);
         ALTER TABLE public.orders OWNER TO ${server.admin.username};
         GRANT SELECT ON public.orders TO ${quoted}`,
      );
    },
    async dropUsers(name) {
      const client = await superuser();
      const { rows } = await client.query<{ role: string }>(
        'SELECT quote_ident(rolname) AS role FROM pg_roles WHERE rolname = ANY ($1)',
        [namedAfter(name)],
      );
      const roles = rows.map(({ role }) => role);
      // One by one: PostgreSQL 18 stumbles over default privileges that two of them gave each other.
      const owned = roles.map((role) => `DROP OWNED BY ${role};`);
      if (roles.length > 0) await client.query(`${owned.join(' ')} DROP ROLE ${roles.join(', ')}`);
    },
    give: ({ username, password }) =>
      server.run(`ALTER ROLE "${username.replaceAll('"', '""')}" PASSWORD '${password}'`),
    refusals: async () => refusedIn(server.log(), /password authentication failed for user "([^"]+)"/g),
    async canRead(account) {
      let client: Awaited<ReturnType<PostgresServer['connect']>>;
      try {
        client = await server.connect(account);
      } catch (error) {
        if (/^28/.test(String((error as { code?: unknown }).code))) return false;
        throw error;
      }
      await client.query('SELECT count(*) FROM public.orders').finally(() => client.end());
      return true;
    },
  };
}

/**
 * Attributes, and effective rights: those that come with memberships included. That the second user of a pair is a member
 * of the first is how it may use what the first one makes.
 */
const POSTGRES_USER = `
  SELECT rolcanlogin AND rolpassword IS NOT NULL AS open,
    ARRAY[rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls, rolinherit]::text[]
    || ARRAY[rolconnlimit, rolvaliduntil]::text[]
    || ARRAY(SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = u.oid ORDER BY 1)
    || ARRAY(SELECT 'member of ' || r.rolname FROM pg_roles r
             WHERE pg_has_role(u.oid, r.oid, 'MEMBER') AND r.oid <> u.oid
               AND regexp_replace(r.rolname, '_clone$', '') <> regexp_replace(u.rolname, '_clone$', '') ORDER BY 1)
    || ARRAY(SELECT p || g || ' on ' || c.oid::regclass FROM pg_class c,
               unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p, unnest(ARRAY['', ' WITH GRANT OPTION']) g
             WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND has_table_privilege(u.oid, c.oid, p || g)
             ORDER BY 1)
    || ARRAY(SELECT p || ' in public' FROM unnest('{USAGE,CREATE}'::text[]) p
             WHERE has_schema_privilege(u.oid, 'public', p) ORDER BY 1)
    || ARRAY(SELECT p || ' in the database' FROM unnest('{CONNECT,CREATE,TEMPORARY}'::text[]) p
             WHERE has_database_privilege(u.oid, current_database(), p) ORDER BY 1) AS rights
  FROM pg_authid u WHERE rolname = $1`;

/** A session of the test's own, opened when it is needed, and again once the server has ended it. */
function keep<Client extends { once(event: 'end', listener: () => void): unknown }>(
  open: () => Promise<Client>,
): () => Promise<Client> {
  let kept: Promise<Client> | undefined;
  return () => {
    kept ??= open().then(
      (client) => {
        client.once('end', () => {
          kept = undefined;
        });
        return client;
      },
      (error: unknown) => {
        kept = undefined;
        throw error;
      },
    );
    return kept;
  };
}

export async function startRealMysql(options: MysqlOptions): Promise<MysqlServer & RealServer> {
  const server = await startMysql(options);
  const rekey = { engine: createMysqlEngine({ ...LOCAL, ca: server.ca }), rules: MYSQL };
  return asRealServer(server, rekey, 'mysql');
}

export async function startRealMariadb(options: MariadbOptions): Promise<MariadbServer & RealServer> {
  const server = await startMariadb(options);
  const rekey = { engine: createMariadbEngine({ ...LOCAL, ca: server.ca }), rules: MARIADB };
  return asRealServer(server, rekey, 'mariadb');
}

const ACCESS_DENIED = 1045;
/** How a user proves itself, in SHOW CREATE USER and MariaDB's SHOW GRANTS. */
const AUTHENTICATION = / IDENTIFIED .*?(?= REQUIRE | WITH |$)/s;
const ACCOUNT_LOCKED = [3118, 4151]; // MySQL, MariaDB

function asRealServer<Server extends MysqlFamilyServer>(
  server: Server,
  rekey: Database,
  engine: string,
): Server & RealServer {
  const open = async (account: Account) => {
    const connection = await server.connect(account, server.database, 'test');
    return () => connection.end();
  };
  const superuser = keep(async () => {
    const connection = await server.connect(server.superuser, server.database);
    // MySQL leaves a password out of its general log by itself, MariaDB does not.
    await connection.query('SET SESSION sql_log_off = ON');
    return connection;
  });
  return {
    ...server,
    open,
    async user(name) {
      const connection = await superuser();
      const quoted = `\`${name.replaceAll('`', '``')}\``;
      const [accounts] = await connection.query(
        `SELECT Host AS host FROM mysql.user WHERE User = '${name}' ORDER BY 1`,
      );
      const hosts = (accounts as { readonly host: string }[]).map(({ host }) => `'${host}'`);
      if (hosts.length === 0) return undefined;
      const shown: string[] = [];
      for (const host of hosts)
        for (const statement of [`SHOW CREATE USER ${quoted}@${host}`, `SHOW GRANTS FOR ${quoted}@${host}`]) {
          const [rows] = await connection.query(statement);
          shown.push(...(rows as object[]).map((row) => String(Object.values(row)[0]).replaceAll(quoted, 'the user')));
        }
      return {
        // Their order is that of the granting.
        rights: shown.map((line) => line.replace(AUTHENTICATION, '').replace(/ ACCOUNT (UN)?LOCK/, '')).sort(),
        open: !shown.some((line) => / ACCOUNT LOCK/.test(line)),
      };
    },
    rekey,
    secretKeys: { engine, dbname: server.database },
    tagsFor: () => ({}),
    async createUser({ username, password }, strategy) {
      const name = `\`${username.replaceAll('`', '``')}\``;
      const rights = [
        'CREATE TABLE IF NOT EXISTS orders (id int)',
        `GRANT SELECT ON orders TO ${name}`,
        ...(strategy === 'dual-password' ? [`GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${name}`] : []),
      ];
      await (await superuser()).query(`CREATE USER ${name} IDENTIFIED BY '${password}'; ${rights.join('; ')}`);
    },
    async dropUsers(name) {
      const names = namedAfter(name).map((each) => `\`${each.replaceAll('`', '``')}\``);
      await (await superuser()).query(`DROP USER IF EXISTS ${names.join(', ')}`);
    },
    give: ({ username, password }) =>
      server.run(
        `ALTER USER ${username} IDENTIFIED BY '${password}'${engine === 'mysql' ? `; ALTER USER ${username} DISCARD OLD PASSWORD` : ''}`,
      ),
    refusals: async () => refusedIn(server.log(), /Connect\s+Access denied for user '([^']+)'@/g),
    async canRead(account) {
      try {
        const connection = await server.connect(account, server.database);
        await connection.query('SELECT count(*) FROM orders').finally(() => connection.end());
        return true;
      } catch (error) {
        if ([ACCESS_DENIED, ...ACCOUNT_LOCKED].includes(Number((error as { errno?: unknown }).errno))) return false;
        throw error;
      }
    },
  };
}

/** What a user needs to change its own passwords. */
const ACL_RIGHTS = '+multi +exec +info +acl|whoami +acl|getuser +acl|setuser +acl|save'.split(' ');

export async function startRealRedis(id: RedisServerId): Promise<RedisServer & RealServer> {
  const server = await startRedis({ ...id, settings: { loglevel: 'debug' } });
  const open = async (account: Account) => {
    const client = await server.connect(account);
    return async () => client.destroy();
  };
  const superuser = keep(() => server.connect(server.superuser));
  return {
    ...server,
    open,
    async user(name) {
      const found = await (await superuser()).aclGetUser(name).catch(() => null);
      if (found === null) return undefined;
      const { passwords, flags, ...rights } = found;
      return { rights: Object.values(rights).map(String), open: flags.includes('on') && passwords.length > 0 };
    },
    rekey: { engine: createRedisEngine({ ...LOCAL, ca: server.ca }), rules: REDIS },
    secretKeys: { engine: id.kind },
    tagsFor: () => ({}),
    async createUser({ username, password }) {
      const rules = ['on', `>${password}`, '~orders', '+get', ...ACL_RIGHTS];
      await (await superuser()).sendCommand(['ACL', 'SETUSER', username, ...rules]);
    },
    async dropUsers(name) {
      await (await superuser()).sendCommand(['ACL', 'DELUSER', name]);
    },
    letSeeSessions: (name) => server.run('ACL', 'SETUSER', name, '+client|list'),
    give: ({ username, password }) => server.run('ACL', 'SETUSER', username, 'resetpass', `>${password}`),
    async refusals() {
      const entries = (await server.run('ACL', 'LOG', '1000')) as { reason: string; username: string; count: number }[];
      return entries.flatMap(({ reason, username, count }) =>
        reason === 'auth' ? Array<string>(count).fill(username) : [],
      );
    },
    async canRead(account) {
      try {
        const client = await server.connect(account);
        await client.get('orders').finally(() => client.destroy());
        return true;
      } catch (error) {
        if (error instanceof Error && error.message.startsWith('WRONGPASS')) return false;
        throw error;
      }
    },
  };
}

const namedAfter = (user: string): string[] => [user, `${user}_clone`, `${user}_owner`];

const refusedIn = (log: string, refusal: RegExp): string[] =>
  [...log.matchAll(refusal)].map(([, username = '']) => username);
