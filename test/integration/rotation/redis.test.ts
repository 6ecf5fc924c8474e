import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { createApplication } from './real-database.ts';
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

    test.each(['single-user', 'dual-password'] as const)(
      '34: %s of a user that may not choose its database changes nothing, whoever could change it',
      async (strategy) => {
        const application = await createApplication(server, strategy, 'app', { masterarn: true });
        const { rig, arn } = application;
        const login = await application.login(CURRENT);
        rig.secrets.put(arn, JSON.stringify({ ...login, dbname: '3' }));

        await expect(application.rotate()).rejects.toMatchObject({
          code: 'DATABASE_MISSING',
          action: expect.stringContaining('+select'),
        });

        expect(await application.works(CURRENT)).toBe(true);
      },
    );
  });
