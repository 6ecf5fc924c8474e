import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Step } from '../../../shared/rotation/plan.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { startTcpProxy, type TcpProxy } from '../../sandbox/tcp-proxy.ts';
import { ONE_OF_EACH } from './one-of-each.ts';
import { type Application, createApplication } from './real-database.ts';
import type { RealServer } from './real-server.ts';

/**
 * 67: how often Rekey is refused, by the server's own log: what locks accounts counts the same. A password is tried once
 * in a step, and nothing more is tried after a failure of the network or of TLS, which may have hidden a refusal.
 */

const TOUCHING = ['setSecret', 'testSecret', 'finishSecret'] as const;

for (const { name, isInstalled, strategies, start } of ONE_OF_EACH)
  describeOnServer(isInstalled, `logins that ${name} refuses`, () => {
    let server: RealServer;
    let way: TcpProxy;
    /** The same server, by that way. */
    let behindWay: RealServer;
    beforeAll(async () => {
      server = await start();
      way = await startTcpProxy(server.port);
      behindWay = { ...server, port: way.port };
    });
    afterAll(async () => {
      await way?.close();
      await server?.stop();
    });

    /** During `work`, by user. */
    async function refusedIn(work: () => Promise<unknown>): Promise<Record<string, number>> {
      const before = countByUser(await server.refusals());
      await work();
      const after = Object.entries(countByUser(await server.refusals()));
      return Object.fromEntries(
        after.map(([user, count]) => [user, count - (before[user] ?? 0)] as const).filter(([, count]) => count > 0),
      );
    }

    /** Up to this step. */
    async function begun(application: Application, step: Step): Promise<string> {
      const token = application.beginRotation();
      for (const earlier of ['createSecret', ...TOUCHING] as const) {
        if (earlier === step) break;
        await application.run(earlier, token);
      }
      return token;
    }

    const passwordsOf = (application: Application, username: string) =>
      new Set(application.logins().flatMap((login) => (login.username === username ? [login.password] : []))).size;

    describe.each(strategies)('%s', (strategy) => {
      test('are none in three rotations and a retirement', async () => {
        const application = await createApplication(server, strategy);
        const refused = await refusedIn(async () => {
          for (let turn = 0; turn < 3; turn += 1) await application.rotate();
          await application.retire();
        });
        expect(refused).toEqual({});
      });

      test('are at most one of each password in a step, where none of them works any more', async () => {
        for (const step of TOUCHING) {
          const application = await createApplication(server, strategy);
          await application.rotate();
          const token = await begun(application, step);
          const users = new Set(application.logins().map(({ username }) => username));
          for (const username of users) await server.give({ username, password: 'nobody-knows-this-1' });

          const refused = await refusedIn(() => application.run(step, token).catch(() => {}));

          expect(Object.keys(refused).length).toBeGreaterThan(0);
          for (const [username, count] of Object.entries(refused))
            expect(count).toBeLessThanOrEqual(passwordsOf(application, username));
        }
      });

      test('are one in a step, where it is the pending one that does not work any more', async () => {
        for (const step of ['testSecret', 'finishSecret'] as const) {
          const application = await createApplication(server, strategy);
          const token = await begun(application, step);
          const username = (await application.login('AWSPENDING'))?.username ?? '';
          await server.give({ username, password: 'nobody-knows-this-1' });

          const refused = await refusedIn(() => application.run(step, token).catch(() => {}));

          expect(refused).toEqual({ [username]: 1 });
        }
      });

      if (strategy === 'alternating-users' || strategy === 'user-pair')
        test('is one in setSecret, where it is the current one that does not work any more', async () => {
          const application = await createApplication(server, strategy);
          await application.rotate();
          const token = await begun(application, 'setSecret');
          const username = (await application.login('AWSCURRENT'))?.username ?? '';
          await server.give({ username, password: 'nobody-knows-this-1' });

          const refused = await refusedIn(() => application.run('setSecret', token).catch(() => {}));

          expect(refused).toEqual({ [username]: 1 });
        });

      test.each([1, 2, 3, 5, 8])(
        'are not risked by another connection, once one was cut at what the server says in place %i',
        async (place) => {
          for (const step of TOUCHING) {
            const application = await createApplication(behindWay, strategy);
            const token = await begun(application, step);
            let chunks = 0;
            let openedAtCut: number | undefined;
            way.onChunk(({ from }) => {
              if (from === 'server') chunks += 1;
              if (from !== 'server' || chunks < place) return 'pass';
              openedAtCut ??= way.connections();
              return chunks === place ? 'drop' : 'pass';
            });
            const failure = await application.run(step, token).then(
              () => undefined,
              (error: unknown) => error,
            );
            way.onChunk(undefined);

            // All was done where the cut met the goodbye, or nothing was said any more in that place.
            if (failure === undefined) continue;
            expect(failure).toMatchObject({ name: 'RekeyError', retryable: true });
            expect(way.connections()).toBe(openedAtCut);
          }
        },
      );

      test('are not risked at a server whose certificate is for another name', async () => {
        const application = await createApplication(behindWay, strategy);
        application.rig.secrets.secret(application.arn).tags.set('rekey:server-name', 'other.example');
        const token = application.beginRotation();
        await application.run('createSecret', token);
        const before = way.connections();

        const refused = await refusedIn(() =>
          expect(application.run('setSecret', token)).rejects.toMatchObject({ code: 'DATABASE_TLS' }),
        );

        expect(refused).toEqual({});
        expect(way.connections() - before).toBe(1);
      });
    });
  });

function countByUser(users: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const user of users) counts[user] = (counts[user] ?? 0) + 1;
  return counts;
}
