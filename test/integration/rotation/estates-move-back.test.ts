import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { STEPS } from '../../../shared/rotation/plan.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { ONE_OF_EACH } from './one-of-each.ts';
import { createApplication } from './real-database.ts';
import type { RealServer } from './real-server.ts';

const DONE = ['created', 'set', 'tested', 'promoted'];

for (const { name, isInstalled, strategies, start } of ONE_OF_EACH)
  describeOnServer(isInstalled, `AWSCURRENT moved back on ${name}`, () => {
    let server: RealServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());

    describe.each(strategies.filter((strategy) => strategy !== 'single-user'))('with %s', (strategy) => {
      test('works at once, and at every step of the rotation that follows', async () => {
        const application = await createApplication(server, strategy);
        expect(await application.rotate()).toEqual(DONE);
        const failed = await application.login(CURRENT);
        expect(await application.moveBack()).toEqual({ kind: 'movedBack', user: application.username });
        expect(await application.login(PREVIOUS)).toEqual(failed);
        expect(await application.works(CURRENT)).toBe(true);

        const token = application.beginRotation();
        for (const step of STEPS) {
          await application.run(step, token);
          expect(await application.works(CURRENT)).toBe(true);
        }
        expect(await application.works(PREVIOUS)).toBe(true);
      });

      test('stays when the credential that failed is retired, through rotations, a second time too', async () => {
        const application = await createApplication(server, strategy);
        for (let time = 0; time < 2; time += 1) {
          expect(await application.rotate()).toEqual(DONE);
          expect(await application.moveBack()).toMatchObject({ kind: 'movedBack' });
          expect(await application.retire()).toMatchObject({ kind: 'retired' });
          expect([await application.works(CURRENT), await application.works(PREVIOUS)]).toEqual([true, false]);
        }
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
      });

      test('is refused once the previous credential is retired, and AWSCURRENT works on', async () => {
        const application = await createApplication(server, strategy);
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.retire()).toMatchObject({ kind: 'retired' });
        expect(await application.moveBack()).toMatchObject({ kind: 'refused', error: { code: 'NOT_MOVED_BACK' } });
        expect(await application.works(CURRENT)).toBe(true);
      });
    });
  });
