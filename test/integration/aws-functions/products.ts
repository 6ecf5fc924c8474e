import { createMariadbEngine } from '../../../shared/engines/mariadb.ts';
import { createMysqlEngine } from '../../../shared/engines/mysql.ts';
import { createPostgresEngine } from '../../../shared/engines/postgres.ts';
import { systemClock as clock } from '../../../shared/operations/clock.ts';
import type { Database } from '../../../shared/rotation/strategy.ts';
import { MARIADB, MYSQL, POSTGRES } from '../../../shared/secrets/engine-rules.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled, startMariadb } from '../../sandbox/mariadb.ts';
import { mysqlIsInstalled, startMysql } from '../../sandbox/mysql.ts';
import type { MysqlFamilyServer } from '../../sandbox/mysql-family.ts';
import { postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';
import type { Account } from '../../sandbox/server-process.ts';

/** A kind of database that AWS has rotation functions for. */
export interface Product {
  readonly title: string;
  readonly installed: boolean;
  /** Of AWS's functions: SecretsManagerRDS…Rotation…. */
  readonly awsName: string;
  /** What AWS's functions are told of the server's version, where they do not know the true one. */
  readonly shownVersion?: string;
  start(): Promise<ProductServer>;
}

export interface ProductServer {
  readonly host: string;
  readonly port: number;
  readonly caFile: string;
  readonly admin: Account;
  /** Keys of the secret's JSON beside host, port and login. */
  readonly secretKeys: Readonly<Record<string, string>>;
  readonly rekey: Database;
  /** A user that may read `orders`. */
  createUser(account: Account): Promise<void>;
  /** Rows of the last statement, over a connection of its own. @throws the driver's error */
  query(account: Account, ...statements: readonly string[]): Promise<readonly unknown[]>;
  /**
   * What AWS's function with alternating users runs as the administrator, in its own order.
   * @param ask runs a statement as the administrator
   */
  makeAlternate(
    pair: { readonly current: string; readonly alternate: string; readonly password: string },
    ask: (statement: string) => Promise<readonly unknown[]>,
  ): Promise<void>;
  /** And as the user itself, where there is one user. */
  changeOwn(username: string, password: string): string;
  stop(): Promise<void>;
}

export const PRODUCTS: readonly Product[] = [
  {
    title: 'PostgreSQL 16',
    awsName: 'PostgreSQL',
    installed: postgresIsInstalled(16),
    start: () => startPostgresAs(16),
  },
  {
    title: 'PostgreSQL 18',
    awsName: 'PostgreSQL',
    installed: postgresIsInstalled(18),
    start: () => startPostgresAs(18),
  },
  // They take 9 for a version before 8, and call a function that is no more: PASSWORD().
  {
    title: 'MySQL 9.7',
    awsName: 'MySQL',
    shownVersion: '8.4.0',
    installed: mysqlIsInstalled('9.7'),
    start: startMysqlAs,
  },
  ...MARIADB_VERSIONS.map((version) => ({
    title: `MariaDB ${version}`,
    awsName: 'MariaDB',
    installed: mariadbIsInstalled(version),
    start: async () => asMariadb(await startMariadb({ version })),
  })),
];

async function startPostgresAs(version: 16 | 18): Promise<ProductServer> {
  const server = await startPostgres({ version });
  await server.run(`CREATE TABLE orders (id int); ALTER TABLE orders OWNER TO ${server.admin.username}`);
  const query: ProductServer['query'] = async (account, ...statements) => {
    const client = await server.connect(account);
    try {
      let rows: readonly unknown[] = [];
      for (const statement of statements) ({ rows } = await client.query(statement));
      return rows;
    } finally {
      await client.end();
    }
  };
  return {
    host: server.host,
    port: server.port,
    caFile: server.caFile,
    admin: server.admin,
    secretKeys: { engine: 'postgres', dbname: 'postgres' },
    rekey: { engine: createPostgresEngine({ clock, ca: server.ca, allowLoopback: true }), rules: POSTGRES },
    createUser: async ({ username, password }) => {
      await query(
        server.admin,
        `CREATE ROLE ${username} LOGIN PASSWORD '${password}'`,
        `GRANT SELECT ON orders TO ${username}`,
      );
    },
    query,
    async makeAlternate({ current, alternate, password }, ask) {
      const found = await ask(`SELECT 1 FROM pg_roles WHERE rolname = '${alternate}'`);
      if (found.length === 0) {
        await ask(`CREATE ROLE ${alternate} WITH LOGIN PASSWORD '${password}'`);
        await ask(`GRANT ${current} TO ${alternate}`);
      } else await ask(`ALTER USER ${alternate} WITH PASSWORD '${password}'`);
    },
    changeOwn: (username, password) => `ALTER USER ${username} WITH PASSWORD '${password}'`,
    stop: server.stop,
  };
}

async function startMysqlAs(): Promise<ProductServer> {
  const server = await startMysql({ version: '9.7' });
  return {
    ...(await asFamily(server)),
    secretKeys: { engine: 'mysql', dbname: server.database },
    rekey: { engine: createMysqlEngine({ clock, ca: server.ca, allowLoopback: true }), rules: MYSQL },
    async makeAlternate({ current, alternate, password }, ask) {
      const found = await ask(`SELECT User FROM mysql.user WHERE User = '${alternate}'`);
      if (found.length === 0) await ask(`CREATE USER '${alternate}' IDENTIFIED BY '${password}'`);
      for (const grant of await grantsOf(current, ask)) await ask(`${grant} TO '${alternate}'`);
      await ask(`ALTER USER '${alternate}'@'%' REQUIRE NONE`);
      await ask(`SET PASSWORD FOR '${alternate}' = '${password}'`);
    },
    changeOwn: (_username, password) => `SET PASSWORD = '${password}'`,
  };
}

async function asMariadb(server: MysqlFamilyServer): Promise<ProductServer> {
  return {
    ...(await asFamily(server)),
    secretKeys: { engine: 'mariadb', dbname: server.database },
    rekey: { engine: createMariadbEngine({ clock, ca: server.ca, allowLoopback: true }), rules: MARIADB },
    // The first of these grants makes the user, each sets the password.
    async makeAlternate({ current, alternate, password }, ask) {
      for (const grant of await grantsOf(current, ask))
        await ask(`${grant} TO '${alternate}' IDENTIFIED BY '${password}'`);
      await ask(`ALTER USER '${alternate}'@'%' REQUIRE NONE`);
    },
    changeOwn: (_username, password) => `SET PASSWORD = PASSWORD('${password}')`,
  };
}

/** As AWS's functions read them: all before the first ` TO `. */
async function grantsOf(username: string, ask: (statement: string) => Promise<readonly unknown[]>): Promise<string[]> {
  const rows = await ask(`SHOW GRANTS FOR '${username}'`);
  return rows.map((row) => String(Object.values(row as object)[0]).split(' TO ')[0] ?? '');
}

/** What the two kinds have in common. */
async function asFamily(
  server: MysqlFamilyServer,
): Promise<Pick<ProductServer, 'host' | 'port' | 'caFile' | 'admin' | 'createUser' | 'query' | 'stop'>> {
  await server.run('CREATE TABLE orders (id int)', server.database);
  return {
    host: server.host,
    port: server.port,
    caFile: server.caFile,
    admin: server.admin,
    createUser: ({ username, password }) =>
      server.run(
        `CREATE USER ${username} IDENTIFIED BY '${password}'; GRANT SELECT ON ${server.database}.orders TO ${username}`,
      ),
    async query(account, ...statements) {
      const connection = await server.connect(account, server.database);
      try {
        let rows: unknown = [];
        for (const statement of statements) [rows] = await connection.query(statement);
        return Array.isArray(rows) ? rows : [];
      } finally {
        await connection.end();
      }
    },
    stop: server.stop,
  };
}
