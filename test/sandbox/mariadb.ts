import { type MysqlFamilyOptions, type MysqlFamilyServer, startMysqlFamily } from './mysql-family.ts';
import { rootIsInstalled, type ServerRoot } from './server-root.ts';

export const MARIADB_VERSIONS = ['10.11', '11.8'] as const;
export type MariadbVersion = (typeof MARIADB_VERSIONS)[number];

const ROOTS: Record<MariadbVersion, ServerRoot> = { '10.11': 'bookworm', '11.8': 'sid-mariadb' };

export interface MariadbOptions extends MysqlFamilyOptions {
  readonly version: MariadbVersion;
}

export interface MariadbServer extends MysqlFamilyServer {
  readonly version: MariadbVersion;
}

/** What RDS for MariaDB grants its master user WITH GRANT OPTION (RDS User Guide, "Master user account privileges"). */
const RDS_MARIADB_MASTER = [
  'SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES',
  'CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW, CREATE ROUTINE',
  'ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, REPLICATION SLAVE',
].join(', ');

/** Whether `npm run servers` brought this version, and it can be started here. */
export function mariadbIsInstalled(version: MariadbVersion): boolean {
  return rootIsInstalled(ROOTS[version]);
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startMariadb({ version, ...options }: MariadbOptions): Promise<MariadbServer> {
  // "Starting with RDS for MariaDB version 11.4, the master user also gets the SHOW CREATE ROUTINE privilege."
  const rights = version === '11.8' ? `${RDS_MARIADB_MASTER}, SHOW CREATE ROUTINE` : RDS_MARIADB_MASTER;
  const server = await startMysqlFamily(
    {
      name: `MariaDB ${version}`,
      root: ROOTS[version],
      command: ['mariadbd'],
      withoutTls: '--skip-ssl',
      readOnly: 'SET GLOBAL read_only = ON',
      strays: "'root'@'127.0.0.1', 'root'@'::1'", // without a password
      accounts: (admin) => [
        `CREATE USER ${admin.username} IDENTIFIED BY '${admin.password}'`,
        `GRANT ${rights} ON *.* TO ${admin.username} WITH GRANT OPTION`,
      ],
    },
    options,
  );
  return { version, ...server };
}
