import { createPostgresEngine } from '../../shared/engines/postgres.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { describeOnServer } from '../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, type PostgresVersion, postgresIsInstalled, startPostgres } from '../sandbox/postgres.ts';
import { type DatabaseUnderTest, describeDatabaseEngine } from './database-engine.ts';

for (const version of POSTGRES_VERSIONS)
  describeOnServer(postgresIsInstalled(version), `PostgreSQL ${version}`, () =>
    describeDatabaseEngine(`PostgreSQL ${version}`, () => underTest(version), ['alternatingUsers', 'userPair']),
  );

/** The administrator created the users, as on RDS, and the table belongs to someone else. */
async function underTest(version: PostgresVersion): Promise<DatabaseUnderTest> {
  const server = await startPostgres({ version });
  const asAdmin = async (sql: string) => {
    const client = await server.connect(server.admin);
    await client.query(sql).finally(() => client.end());
  };
  await server.run('CREATE TABLE ledger (id int); GRANT SELECT ON ledger TO rekey_admin WITH GRANT OPTION');
  return {
    engine: createPostgresEngine({ ca: server.ca, allowLoopback: true, clock: systemClock }),
    admin: {
      host: server.host,
      port: server.port,
      database: 'postgres',
      username: server.admin.username,
      password: new SecretValue(server.admin.password),
    },
    version: `PostgreSQL ${version}.`,
    acceptTakeOver: version < 16,
    addUser: (name, password) => asAdmin(`CREATE ROLE ${name} LOGIN PASSWORD '${password}'`),
    grant: (user) => asAdmin(`GRANT SELECT ON ledger TO ${user}`),
    revoke: (user) => asAdmin(`REVOKE SELECT ON ledger FROM ${user}`),
    async mayUse(user, password) {
      const client = await server.connect({ username: user, password });
      try {
        await client.query('SELECT FROM ledger');
        return true;
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === '42501') return false;
        throw error;
      } finally {
        await client.end();
      }
    },
    expire: (user) => asAdmin(`ALTER ROLE ${user} VALID UNTIL '2001-01-01'`),
    lock: (user) => asAdmin(`ALTER ROLE ${user} NOLOGIN`),
    async openSession(user, password, applicationName) {
      const client = await server.connect({ username: user, password });
      await client.query(`SET application_name TO '${applicationName}'`);
      return () => client.end();
    },
    stop: () => server.stop(),
  };
}
