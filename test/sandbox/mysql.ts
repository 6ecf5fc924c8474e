import { type MysqlFamilyOptions, type MysqlFamilyServer, startMysqlFamily } from './mysql-family.ts';
import { rootIsInstalled } from './server-root.ts';

export const MYSQL_VERSIONS = ['9.7'] as const;
export type MysqlVersion = (typeof MYSQL_VERSIONS)[number];

export interface MysqlOptions extends MysqlFamilyOptions {
  readonly version: MysqlVersion;
}

export interface MysqlServer extends MysqlFamilyServer {
  readonly version: MysqlVersion;
}

/**
 * What RDS for MySQL gives its master user, all by way of a default role, rds_superuser_role, WITH GRANT OPTION
 * (RDS User Guide, "Master user account privileges" and "Role-based privilege model for RDS for MySQL"). MySQL 8.4
 * replaced SET_USER_ID of that list by SET_ANY_DEFINER and ALLOW_NONEXISTENT_DEFINER.
 */
const RDS_SUPERUSER_ROLE = [
  'SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, RELOAD, PROCESS, REFERENCES, INDEX, ALTER, SHOW DATABASES',
  'CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, REPLICATION SLAVE, REPLICATION CLIENT, CREATE VIEW, SHOW VIEW',
  'CREATE ROUTINE, ALTER ROUTINE, CREATE USER, EVENT, TRIGGER, CREATE ROLE, DROP ROLE',
  'APPLICATION_PASSWORD_ADMIN, ROLE_ADMIN, SET_ANY_DEFINER, ALLOW_NONEXISTENT_DEFINER, XA_RECOVER_ADMIN',
].join(', ');

/** Whether `npm run servers` brought this version, and it can be started here. */
export function mysqlIsInstalled(_version: MysqlVersion): boolean {
  return rootIsInstalled('sid');
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startMysql({ version, ...options }: MysqlOptions): Promise<MysqlServer> {
  const server = await startMysqlFamily(
    {
      name: `MySQL ${version}`,
      root: 'sid',
      command: ['mysqld', '--secure-file-priv=NULL', '--mysqlx=OFF', '--skip-log-bin', '--innodb-redo-log-capacity=8M'],
      withoutTls: '--tls-version=',
      readOnly: 'SET GLOBAL super_read_only = ON',
      accounts: (admin) => [
        'CREATE ROLE rds_superuser_role',
        `GRANT ${RDS_SUPERUSER_ROLE} ON *.* TO rds_superuser_role WITH GRANT OPTION`,
        `CREATE USER ${admin.username} IDENTIFIED BY '${admin.password}' DEFAULT ROLE rds_superuser_role`,
        `GRANT rds_superuser_role TO ${admin.username} WITH ADMIN OPTION`,
      ],
    },
    options,
  );
  return { version, ...server };
}
