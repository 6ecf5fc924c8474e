import { createRedisEngine } from '../../shared/engines/redis.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { describeOnServer } from '../sandbox/describe-server.ts';
import { REDIS_SERVERS, type RedisServerId, redisIsInstalled, redisName, startRedis } from '../sandbox/redis.ts';
import { type DatabaseUnderTest, describeDatabaseEngine } from './database-engine.ts';

for (const id of REDIS_SERVERS)
  describeOnServer(redisIsInstalled(id), redisName(id), () =>
    describeDatabaseEngine(redisName(id), () => redisUnderTest(id), ['dualPassword']),
  );

/** What whoever changes passwords has to be allowed, and no more: the administrator of these tests has just this. */
const RIGHTS = '+multi +exec +info +acl|whoami +acl|getuser +acl|setuser +acl|save'.split(' ');

async function redisUnderTest(id: RedisServerId): Promise<DatabaseUnderTest> {
  const server = await startRedis(id);
  const admin = { username: 'rotator', password: 'rotator-1' };
  const setUser = async (name: string, ...rules: string[]) => {
    await server.run('ACL', 'SETUSER', name, ...rules);
  };
  await setUser(admin.username, 'on', `>${admin.password}`, ...RIGHTS, '+client|list', '+config|get');
  return {
    engine: createRedisEngine({ ca: server.ca, allowLoopback: true, clock: systemClock }),
    version: `${redisName(id)}.`,
    admin: {
      host: server.host,
      port: server.port,
      database: '0',
      username: admin.username,
      password: new SecretValue(admin.password),
    },
    addUser: (name, password) => setUser(name, 'on', `>${password}`, '~ledger', '+client|setname'),
    grant: (user) => setUser(user, '+get'),
    revoke: (user) => setUser(user, '-get'),
    async mayUse(username, password) {
      const client = await server.connect({ username, password });
      try {
        await client.sendCommand(['GET', 'ledger']);
        return true;
      } catch (error) {
        if (error instanceof Error && error.message.startsWith('NOPERM')) return false;
        throw error;
      } finally {
        client.destroy();
      }
    },
    lock: (user) => setUser(user, 'off'),
    letChangeItself: (user) => setUser(user, ...RIGHTS),
    async openSession(username, password, applicationName) {
      const client = await server.connect({ username, password });
      await client.sendCommand(['CLIENT', 'SETNAME', applicationName]);
      return async () => client.destroy();
    },
    stop: () => server.stop(),
  };
}
