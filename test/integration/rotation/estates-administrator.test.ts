import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { type Clock, systemClock } from '../../../shared/operations/clock.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { ONE_OF_EACH } from './one-of-each.ts';
import { type Application, createApplication } from './real-database.ts';
import type { RealServer } from './real-server.ts';

/** The administrator's own secret is rotated, by Rekey as well, while one that it is for is being rotated. */

/** Those that know an administrator's part. Redis has its users change themselves. */
const KINDS = ONE_OF_EACH.filter(({ strategies }) => strategies.includes('alternating-users'));

for (const { name, isInstalled, strategies, start } of KINDS)
  describeOnServer(isInstalled, `the administrator’s secret on ${name}`, () => {
    const administered = strategies.filter((strategy) => strategy !== 'user-pair' && strategy !== 'single-user');
    let server: RealServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());
    afterEach(() => server.give(server.admin));

    const refusals = async () => (await server.refusals()).filter((user) => user === server.admin.username).length;

    /** Its password is changed in the database, and AWSCURRENT of its secret is not yet the new one. */
    async function midway({ rig, adminArn }: Application) {
      rig.secrets.secret(adminArn).tags.set('rekey:strategy', 'single-user');
      const token = rig.secrets.beginRotation(adminArn);
      for (const step of ['createSecret', 'setSecret'] as const) await rig.run(step, adminArn, token, server.rekey);
      return {
        async end() {
          for (const step of ['testSecret', 'finishSecret'] as const)
            await rig.run(step, adminArn, token, server.rekey);
        },
      };
    }

    test.each(administered)('%s: that is rotated at this moment is waited for', async (strategy) => {
      const application = await createApplication(server, strategy, 'app', { masterarn: true });
      const token = application.beginRotation();
      await application.run('createSecret', token);
      const administrator = await midway(application);
      const before = await refusals();
      const waits: number[] = [];
      const sleep: Clock['sleep'] = async (milliseconds) => {
        waits.push(milliseconds);
        if (waits.length === 3) await administrator.end();
      };

      expect(await application.run('setSecret', token, { clock: { ...systemClock, sleep } })).toEqual({ kind: 'set' });

      expect(waits).toEqual([500, 1_000, 2_000]);
      // Once: a password that was refused is not tried again, whatever the wait.
      expect((await refusals()) - before).toBe(1);
      await application.run('testSecret', token);
      await application.run('finishSecret', token);
      expect(await application.works(CURRENT)).toBe(true);
    });

    test.each(administered)('%s: whose rotation is stuck stops this one, and loses nothing', async (strategy) => {
      const application = await createApplication(server, strategy, 'app', { masterarn: true });
      const token = application.beginRotation();
      await application.run('createSecret', token);
      const administrator = await midway(application);
      const before = await refusals();

      await expect(application.run('setSecret', token)).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        // Whose login it is, and of which secret: not of the one that is rotated.
        message: expect.stringMatching(new RegExp(`${server.admin.username}.* of ${application.adminArn}$`)),
      });

      expect((await refusals()) - before).toBe(1);
      expect(await application.works(CURRENT)).toBe(true);
      await administrator.end();
      for (const step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)
        await application.run(step, token);
      expect(await application.works(CURRENT)).toBe(true);
    });
  });
