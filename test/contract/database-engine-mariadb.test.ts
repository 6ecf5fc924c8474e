import { createMariadbEngine } from '../../shared/engines/mariadb.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { describeEachServer } from '../sandbox/describe-server.ts';
import { eventually } from '../sandbox/eventually.ts';
import { MARIADB_VERSIONS, type MariadbVersion, mariadbIsInstalled, startMariadb } from '../sandbox/mariadb.ts';
import { type DatabaseUnderTest, describeDatabaseEngine } from './database-engine.ts';

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('MariaDB %s', (version) =>
  describeDatabaseEngine(`MariaDB ${version}`, () => mariadbUnderTest(version), ['alternatingUsers', 'userPair']),
);

/** ER_TABLEACCESS_DENIED_ERROR */
const NOT_PERMITTED = 1142;

/** The administrator is what RDS makes, as everywhere in these tests. */
async function mariadbUnderTest(version: MariadbVersion): Promise<DatabaseUnderTest> {
  const server = await startMariadb({
    version,
    // Both as on RDS: clients by their address, and names that they give themselves.
    settings: { 'skip-name-resolve': 'ON', 'performance-schema': 'ON' },
  });
  const asAdmin = async (sql: string) => {
    const connection = await server.connect(server.admin, server.database);
    await connection.query(sql).finally(() => connection.end());
  };
  await asAdmin('CREATE TABLE ledger (id int)');
  return {
    engine: createMariadbEngine({ ca: server.ca, allowLoopback: true, clock: systemClock }),
    version: `MariaDB ${version}.`,
    admin: {
      host: server.host,
      port: server.port,
      database: '',
      username: server.admin.username,
      password: new SecretValue(server.admin.password),
    },
    addUser: (name, password) => asAdmin(`CREATE USER ${name} IDENTIFIED BY '${password}'`),
    grant: (user) => asAdmin(`GRANT SELECT ON ledger TO ${user}`),
    revoke: (user) => asAdmin(`REVOKE SELECT ON ledger FROM ${user}`),
    async mayUse(username, password) {
      const connection = await server.connect({ username, password });
      try {
        await connection.query('SELECT * FROM app.ledger');
        return true;
      } catch (error) {
        if (error instanceof Error && 'errno' in error && error.errno === NOT_PERMITTED) return false;
        throw error;
      } finally {
        await connection.end();
      }
    },
    expire: (user) => asAdmin(`ALTER USER ${user} PASSWORD EXPIRE`),
    lock: (user) => asAdmin(`ALTER USER ${user} ACCOUNT LOCK`),
    async openSession(username, password, applicationName) {
      const connection = await server.connect({ username, password }, undefined, applicationName);
      const { threadId } = connection;
      return async () => {
        await connection.end();
        const watcher = await server.connect(server.admin);
        await eventually('the end of the session', async () => {
          const [rows] = await watcher.query('SELECT 1 FROM information_schema.PROCESSLIST WHERE ID = ?', [threadId]);
          return Array.isArray(rows) && rows.length === 0;
        }).finally(() => watcher.end());
      };
    },
    stop: () => server.stop(),
  };
}
