import { createPostgresEngine } from '../../shared/engines/postgres.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createFakeDatabase } from '../sandbox/fakes/database-engine.ts';
import { POSTGRES_VERSIONS, type PostgresVersion, startPostgres } from '../sandbox/postgres.ts';
import { type DatabaseUnderTest, describeDatabaseEngine } from './database-engine.ts';

describeDatabaseEngine('the database in memory', async () => fakeUnderTest());
for (const version of POSTGRES_VERSIONS)
  describeDatabaseEngine(`PostgreSQL ${version}`, () => postgresUnderTest(version));

const RIGHT = 'SELECT on ledger';

function fakeUnderTest(): DatabaseUnderTest {
  const { engine, users, addUser } = createFakeDatabase();
  const rightsOf = (user: string) => users.get(user)?.rights ?? new Set<string>();
  addUser('rekey_admin', { password: 'admin' });
  return {
    engine,
    admin: {
      host: 'localhost',
      port: 5432,
      database: 'app',
      username: 'rekey_admin',
      password: new SecretValue('admin'),
    },
    async addUser(name, password) {
      addUser(name, { password });
    },
    async grant(user) {
      rightsOf(user).add(RIGHT);
    },
    async revoke(user) {
      rightsOf(user).delete(RIGHT);
    },
    async mayUse(user, password) {
      return users.get(user)?.password === password && rightsOf(user).has(RIGHT);
    },
    async expire(user) {
      const found = users.get(user);
      if (found !== undefined) found.expired = true;
    },
    async openSession(user, _password, applicationName) {
      const sessions = users.get(user)?.sessions ?? [];
      sessions.push({ applicationName, clientAddress: '127.0.0.1', since: '2026-11-23T10:00:00.000Z' });
      return async () => {
        sessions.pop();
      };
    },
    async stop() {},
  };
}

/** The administrator created the users, as on RDS, and the table belongs to someone else. */
async function postgresUnderTest(version: PostgresVersion): Promise<DatabaseUnderTest> {
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
    async openSession(user, password, applicationName) {
      const client = await server.connect({ username: user, password });
      await client.query(`SET application_name TO '${applicationName}'`);
      return () => client.end();
    },
    stop: () => server.stop(),
  };
}
