import { createMysqlEngine } from '../../shared/engines/mysql.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { describeEachServer } from '../sandbox/describe-server.ts';
import { eventually } from '../sandbox/eventually.ts';
import { MYSQL_VERSIONS, type MysqlVersion, mysqlIsInstalled, startMysql } from '../sandbox/mysql.ts';
import { type DatabaseUnderTest, describeDatabaseEngine } from './database-engine.ts';

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('MySQL %s', (version) =>
  describeDatabaseEngine(`MySQL ${version}`, () => mysqlUnderTest(version), [
    'alternatingUsers',
    'userPair',
    'dualPassword',
  ]),
);

/** The administrator has what the master user of RDS has, by way of a role. */
async function mysqlUnderTest(version: MysqlVersion): Promise<DatabaseUnderTest> {
  // Clients by their address, as without a name service.
  const server = await startMysql({ version, settings: { 'skip-name-resolve': 'ON' } });
  await server.run('CREATE TABLE ledger (id INT)', server.database);
  const { run } = server;
  return {
    engine: createMysqlEngine({ ca: server.ca, allowLoopback: true, clock: systemClock }),
    version: `MySQL ${version}.`,
    admin: {
      host: server.host,
      port: server.port,
      database: server.database,
      username: server.admin.username,
      password: new SecretValue(server.admin.password),
    },
    // A right on the database, so that it may be named at the login.
    addUser: (name, password) =>
      run(`CREATE USER ${name} IDENTIFIED BY '${password}'; GRANT CREATE TEMPORARY TABLES ON app.* TO ${name}`),
    grant: (user) => run(`GRANT SELECT ON app.ledger TO ${user}`),
    revoke: (user) => run(`REVOKE SELECT ON app.ledger FROM ${user}`),
    async mayUse(username, password) {
      const connection = await server.connect({ username, password });
      try {
        await connection.query('SELECT * FROM app.ledger');
        return true;
      } catch (error) {
        if (error instanceof Error && 'errno' in error && error.errno === 1142) return false;
        throw error;
      } finally {
        await connection.end();
      }
    },
    expire: (user) => run(`ALTER USER ${user} PASSWORD EXPIRE`),
    lock: (user) => run(`ALTER USER ${user} ACCOUNT LOCK`),
    letKeepOld: (user) => run(`GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ${user}`),
    async openSession(username, password, applicationName) {
      const connection = await server.connect({ username, password }, undefined, applicationName);
      const { threadId } = connection;
      return async () => {
        await connection.end();
        const watcher = await server.connect(server.superuser);
        await eventually('the end of the session', async () => {
          const [rows] = await watcher.query('SELECT 1 FROM information_schema.processlist WHERE id = ?', [threadId]);
          return Array.isArray(rows) && rows.length === 0;
        }).finally(() => watcher.end());
      };
    },
    stop: () => server.stop(),
  };
}
