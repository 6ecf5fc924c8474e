import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createFakeDatabase, type FakeUser } from '../sandbox/fakes/database-engine.ts';
import { type DatabaseUnderTest, describeDatabaseEngine } from './database-engine.ts';

describeDatabaseEngine('the database in memory', async () => underTest(), [
  'alternatingUsers',
  'userPair',
  'dualPassword',
]);

const RIGHT = 'SELECT on ledger';

function underTest(): DatabaseUnderTest {
  const { engine, users, addUser } = createFakeDatabase();
  function userNamed(name: string): FakeUser {
    const user = users.get(name);
    if (user === undefined) throw new Error(`${name} does not exist`);
    return user;
  }
  addUser('rekey_admin', { password: 'admin', administers: true });
  return {
    engine,
    admin: {
      host: 'localhost',
      port: 5432,
      database: 'app',
      username: 'rekey_admin',
      password: new SecretValue('admin'),
    },
    version: 'Fake',
    async addUser(name, password) {
      addUser(name, { password });
    },
    async grant(user) {
      userNamed(user).rights.add(RIGHT);
    },
    async revoke(user) {
      userNamed(user).rights.delete(RIGHT);
    },
    async mayUse(user, password) {
      const { passwords, mayLogIn, rights } = userNamed(user);
      return mayLogIn && passwords.includes(password) && rights.has(RIGHT);
    },
    async expire(user) {
      userNamed(user).expired = true;
    },
    async lock(user) {
      userNamed(user).mayLogIn = false;
    },
    async openSession(user, _password, applicationName) {
      const { sessions } = userNamed(user);
      sessions.push({ applicationName, clientAddress: '127.0.0.1', since: '2026-11-23T10:00:00.000Z' });
      return async () => {
        sessions.pop();
      };
    },
    async stop() {},
  };
}
