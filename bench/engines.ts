import { randomBytes } from 'node:crypto';
import { FUNCTIONS, type FunctionSpec } from '../infra/wiring.ts';
import type { StrategyName } from '../shared/rotation/strategy.ts';
import { startMariadb } from '../test/sandbox/mariadb.ts';
import { startMysql } from '../test/sandbox/mysql.ts';
import type { MysqlFamilyServer } from '../test/sandbox/mysql-family.ts';
import { startPostgres } from '../test/sandbox/postgres.ts';
import { startRedis } from '../test/sandbox/redis.ts';
import type { Acting, RightsSeenBy } from './floor/scripts.ts';

export interface Account {
  readonly username: string;
  readonly password: string;
}

/** A real server, as the benchmarks need it. */
export interface BenchServer {
  /** Product and version. */
  readonly title: string;
  readonly port: number;
  readonly caFile: string;
  readonly admin: Account;
  /** Keys of the secret's JSON beside host, port and login. */
  readonly secretKeys: Readonly<Record<string, string>>;
  /** A user that may do a little, and change its own password as far as a strategy needs that. */
  createUser(account: Account): Promise<void>;
  /** Opens a session, asks one question and leaves. @throws the driver's error when it is refused */
  logIn(account: Account): Promise<void>;
  stop(): Promise<void>;
}

/** How one strategy is run on one kind of database. */
export interface Course {
  /** Who runs the statement that changes the password. */
  readonly acting: Acting;
  /** The folder of AWS's function that does the same, where there is one. */
  readonly aws?: string;
}

export interface BenchEngine {
  /** As in the name of its rotation function. */
  readonly name: string;
  start(): Promise<BenchServer>;
  readonly strategies: Partial<Readonly<Record<StrategyName, Course>>>;
  /** The module below floor/ that speaks to it. */
  readonly floor: string;
  readonly rightsSeenBy: RightsSeenBy;
}

const singleUser = (product: string): Course => ({
  acting: 'current',
  aws: `SecretsManagerRDS${product}RotationSingleUser`,
});
const alternatingUsers = (product: string): Course => ({
  acting: 'admin',
  aws: `SecretsManagerRDS${product}RotationMultiUser`,
});
const userPair: Course = { acting: 'standby' };

async function startBenchPostgres(): Promise<BenchServer> {
  const version = 18;
  const server = await startPostgres({ version });
  const admin = async (sql: string) => {
    const client = await server.connect(server.admin);
    await client.query(sql).finally(() => client.end());
  };
  await server.run(`CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO ${server.admin.username}`);
  return {
    title: `PostgreSQL ${version}`,
    port: server.port,
    caFile: server.caFile,
    admin: server.admin,
    secretKeys: { engine: 'postgres', dbname: 'postgres' },
    createUser: ({ username, password }) =>
      admin(`CREATE ROLE ${username} LOGIN PASSWORD '${password}'; GRANT SELECT ON orders TO ${username}`),
    async logIn(account) {
      const client = await server.connect(account);
      await client.query('SELECT 1').finally(() => client.end());
    },
    stop: server.stop,
  };
}

const mysqlFamily = (server: MysqlFamilyServer, engine: string, title: string, ownRights = ''): BenchServer => ({
  title,
  port: server.port,
  caFile: server.caFile,
  admin: server.admin,
  secretKeys: { engine, dbname: server.database },
  createUser: ({ username, password }) =>
    server.run(
      `CREATE USER ${username} IDENTIFIED BY '${password}'; GRANT SELECT, INSERT ON ${server.database}.* TO ${username}; ${ownRights.replace('USER', username)}`,
    ),
  async logIn(account) {
    const connection = await server.connect(account, server.database);
    await connection.query('SELECT 1').finally(() => connection.end());
  },
  stop: server.stop,
});

export const ENGINES: readonly BenchEngine[] = [
  {
    name: 'postgres',
    start: startBenchPostgres,
    strategies: {
      'single-user': singleUser('PostgreSQL'),
      'alternating-users': alternatingUsers('PostgreSQL'),
      'user-pair': userPair,
    },
    floor: 'postgres',
    rightsSeenBy: 'anybody',
  },
  {
    name: 'mysql',
    start: async () =>
      mysqlFamily(
        await startMysql({ version: '9.7' }),
        'mysql',
        'MySQL 9.7',
        'GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO USER',
      ),
    strategies: {
      'single-user': singleUser('MySQL'),
      'alternating-users': alternatingUsers('MySQL'),
      'user-pair': userPair,
      'dual-password': { acting: 'current' },
    },
    floor: 'mysql',
    rightsSeenBy: 'themselves',
  },
  {
    name: 'mariadb',
    start: async () => mysqlFamily(await startMariadb({ version: '11.8' }), 'mariadb', 'MariaDB 11.8'),
    strategies: {
      'single-user': singleUser('MariaDB'),
      'alternating-users': alternatingUsers('MariaDB'),
      'user-pair': userPair,
    },
    floor: 'mariadb',
    rightsSeenBy: 'themselves',
  },
  {
    name: 'redis',
    async start() {
      const server = await startRedis({ kind: 'valkey', version: 9 });
      const admin = { username: 'rotator', password: randomBytes(12).toString('hex') };
      const rights = '+multi +exec +info +acl|whoami +acl|getuser +acl|setuser +acl|save'.split(' ');
      await server.run('ACL', 'SETUSER', admin.username, 'on', `>${admin.password}`, ...rights);
      return {
        title: 'Valkey 9',
        port: server.port,
        caFile: server.caFile,
        admin,
        secretKeys: { engine: 'valkey' },
        async createUser({ username, password }) {
          await server.run('ACL', 'SETUSER', username, 'on', `>${password}`, '~*', '+@read', '+ping', '+acl|whoami');
        },
        async logIn(account) {
          const client = await server.connect(account);
          await client.ping().finally(() => client.close());
        },
        stop: server.stop,
      };
    },
    // A user of Redis may not change itself.
    strategies: { 'single-user': { acting: 'admin' }, 'dual-password': { acting: 'admin' } },
    floor: 'redis',
    rightsSeenBy: 'themselves',
  },
];

/** @throws Error when nothing rotates this kind of database */
export function functionOf({ name: engine }: BenchEngine): FunctionSpec {
  const spec = FUNCTIONS.find(({ name }) => name === `rotation-${engine}`);
  if (!spec) throw new Error(`there is no function rotation-${engine}`);
  return spec;
}
