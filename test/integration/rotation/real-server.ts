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

/** A real server that logs all that it can, as the rotation of a secret sees it, and what an application does there. */
export interface RealServer {
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly admin: Account;
  readonly rekey: Database;
  /** Keys of a secret's JSON beside host, port and login. */
  readonly secretKeys: Readonly<Record<string, string>>;
  /** Of a secret with this strategy, where a person has to accept something. */
  tagsFor(strategy: StrategyName): Readonly<Record<string, string>>;
  /** A user that may read what the application reads, and has what the strategy needs. Its password is in no log. */
  createUser(account: Account, strategy: StrategyName): Promise<void>;
  /** Whether the server lets it in, to read. @throws what is not the server's refusal of the login */
  canRead(account: Account): Promise<boolean>;
  /** Behind Rekey's back: this is the user's one password from now on. */
  give(account: Account): Promise<unknown>;
  /** Whom the server refused so far, by its own log: each refused login is the user's name once more. */
  refusals(): Promise<readonly string[]>;
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
  return {
    ...server,
    open,
    rekey: { engine: createPostgresEngine({ ...LOCAL, ca: server.ca }), rules: POSTGRES },
    secretKeys: { engine: 'postgres' },
    // Its alternating users can become each other: it takes a person's word.
    tagsFor: (strategy): Record<string, string> =>
      version < 16 && strategy === 'alternating-users' ? { 'rekey:accept': 'take-over' } : {},
    async createUser({ username, password }) {
      const quoted = `"${username.replaceAll('"', '""')}"`;
      const byAdmin = await server.connect(server.admin);
      await byAdmin.query(`CREATE ROLE ${quoted} LOGIN`).finally(() => byAdmin.end());
      const superuser = await server.connect(server.superuser);
      try {
        await superuser.query(`SET log_statement = 'none'`);
        await superuser.query('SET log_min_duration_statement = -1');
        await superuser.query(`ALTER ROLE ${quoted} PASSWORD '${password}'`);
        await superuser.query('CREATE TABLE IF NOT EXISTS public.orders (id int)');
        await superuser.query(`ALTER TABLE public.orders OWNER TO ${server.admin.username}`);
        await superuser.query(`GRANT SELECT ON public.orders TO ${quoted}`);
      } finally {
        await superuser.end();
      }
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
  return {
    ...server,
    open,
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
      const superuser = await server.connect(server.superuser, server.database);
      try {
        // MySQL leaves a password out of its general log by itself, MariaDB does not.
        await superuser.query('SET SESSION sql_log_off = ON');
        await superuser.query(`CREATE USER ${name} IDENTIFIED BY '${password}'; ${rights.join('; ')}`);
      } finally {
        await superuser.end();
      }
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
  return {
    ...server,
    open,
    rekey: { engine: createRedisEngine({ ...LOCAL, ca: server.ca }), rules: REDIS },
    secretKeys: { engine: id.kind },
    tagsFor: () => ({}),
    async createUser({ username, password }) {
      await server.run('ACL', 'SETUSER', username, 'on', `>${password}`, '~orders', '+get', ...ACL_RIGHTS);
    },
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

const refusedIn = (log: string, refusal: RegExp): string[] =>
  [...log.matchAll(refusal)].map(([, username = '']) => username);
