import { afterAll, beforeAll } from '@jest/globals';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { type RealServer, startRealRedis } from './real-server.ts';
import { describeRotations } from './rotations.ts';

for (const id of REDIS_SERVERS)
  describeOnServer(redisIsInstalled(id), `rotation on ${redisName(id)}`, () => {
    let server: RealServer;
    beforeAll(async () => {
      server = await startRealRedis(id);
    });
    afterAll(() => server?.stop());

    describeRotations(() => server, ['single-user', 'dual-password'], {
      names: ['app', `a"b'c`, 'Grüße;--'],
      statement: 'Accepted',
    });
  });
