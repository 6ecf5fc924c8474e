import { once } from 'node:events';
import { connect } from 'node:net';
import { kill } from 'node:process';
import timers from 'node:timers';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { STEPS, type Step } from '../../../shared/rotation/plan.ts';
import { runStep } from '../../../shared/rotation/steps.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import type { PostgresServer } from '../../sandbox/postgres.ts';
import { startTcpProxy, type TcpProxy } from '../../sandbox/tcp-proxy.ts';
import { ONE_OF_EACH } from './one-of-each.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';

/* Numbers are entries of the catalogue of bad input: a server that is paused, hangs or starts again during a rotation. */

/** Those of the drivers, that is; the deadline's clock runs on. */
function passTimeByHand(): void {
  jest.useFakeTimers({ doNotFake: ['Date', 'hrtime', 'nextTick', 'performance', 'queueMicrotask', 'setImmediate'] });
  // mysql2 has its timers from here.
  jest.spyOn(timers, 'setTimeout').mockImplementation(setTimeout);
  jest.spyOn(timers, 'clearTimeout').mockImplementation(clearTimeout);
}

/** What Secrets Manager does after a failure. */
async function redeliver(application: Application, token: string): Promise<string[]> {
  const outcomes: string[] = [];
  for (const step of STEPS) outcomes.push((await application.run(step, token)).kind);
  return outcomes;
}

for (const { name, isInstalled, strategies, endedBy, start } of ONE_OF_EACH)
  describeOnServer(isInstalled, `an outage of ${name}`, () => {
    let server: RealServer;
    let way: TcpProxy;
    beforeAll(async () => {
      server = await start();
      way = await startTcpProxy(server.port);
    });
    afterAll(async () => {
      await way?.close();
      await server?.stop();
    });

    /** Just before this step. */
    async function begun(step: Step, at: RealServer = server): Promise<{ application: Application; token: string }> {
      const application = await createApplication(at, strategies[0] ?? 'single-user');
      const token = application.beginRotation();
      for (const earlier of STEPS.slice(0, STEPS.indexOf(step))) await application.run(earlier, token);
      return { application, token };
    }

    test('64: a paused server that wakes up as Rekey connects is nothing that anybody hears of', async () => {
      const { application, token } = await begun('setSecret', { ...server, port: way.port });
      const before = way.connections();
      kill(server.pid, 'SIGSTOP');
      const setting = application.run('setSecret', token);
      await eventually('Rekey connects', () => way.connections() > before);
      kill(server.pid, 'SIGCONT');

      expect(await setting).toEqual({ kind: 'set' });
      expect((await redeliver(application, token)).slice(2)).toEqual(['tested', 'promoted']);
      expect(await application.works(CURRENT)).toBe(true);
    });

    // Nobody pauses Redis.
    if (!name.startsWith('Redis'))
      test('64: one that takes 15 s to wake up, as Aurora does, is waited for', async () => {
        const { application, token } = await begun('setSecret', { ...server, port: way.port });
        const before = way.connections();
        kill(server.pid, 'SIGSTOP');
        let setting: Promise<unknown>;
        try {
          passTimeByHand();
          setting = application.run('setSecret', token);
          while (way.connections() === before) await new Promise(setImmediate);
          jest.advanceTimersByTime(15_000);
        } finally {
          jest.restoreAllMocks();
          jest.useRealTimers();
          kill(server.pid, 'SIGCONT');
        }

        expect(await setting).toEqual({ kind: 'set' });
        expect((await redeliver(application, token)).slice(2)).toEqual(['tested', 'promoted']);
      });

    test('64: one that hangs is told within the time there is, and once it goes on, all steps again end well', async () => {
      const { application, token } = await begun('setSecret');
      kill(server.pid, 'SIGSTOP');
      const request = {
        step: 'setSecret',
        secretArn: application.arn,
        versionId: token,
        rotationToken: undefined,
      } as const;
      const deps = { ...application.rig.deps, ...server.rekey };
      const failure = await runStep(request, deps, deadlineIn(6_000, systemClock))
        .then(
          () => undefined,
          (error: unknown) => error,
        )
        .finally(() => kill(server.pid, 'SIGCONT'));

      expect(failure).toMatchObject({ code: 'DATABASE_UNREACHABLE', retryable: true });
      expect((await redeliver(application, token)).slice(2)).toEqual(['tested', 'promoted']);
      expect(await application.works(CURRENT)).toBe(true);
    });

    test('72: one that starts again between two steps changes nothing, and while it is down each step says so', async () => {
      const { application, token } = await begun('testSecret');
      kill(server.pid, endedBy);
      await eventually('the server is gone', () => isDown(server.port));

      for (const step of ['setSecret', 'testSecret', 'finishSecret'] as const)
        await expect(application.run(step, token)).rejects.toMatchObject({
          code: 'DATABASE_UNREACHABLE',
          retryable: true,
        });

      await server.startAgain();
      expect(await application.run('testSecret', token)).toEqual({ kind: 'tested' });
      expect(await application.run('finishSecret', token)).toEqual({ kind: 'promoted' });
      expect(await application.works(CURRENT)).toBe(true);
    });
  });

/** Whether nothing listens there. */
async function isDown(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return false;
  } catch {
    return true;
  } finally {
    socket.destroy();
  }
}

describe('72: PostgreSQL that is shutting down, and starts again', () => {
  let server: PostgresServer & RealServer;
  beforeAll(async () => {
    server = await startRealPostgres(18);
  });
  afterAll(() => server?.stop());

  test.each(['single-user', 'alternating-users', 'user-pair'] as const)(
    'with %s: is waited for within the same step',
    async (strategy) => {
      const application = await createApplication(server, strategy);
      const token = application.beginRotation();
      await application.run('createSecret', token);
      // It lets nobody in while a session that is open keeps it from ending.
      const session = await server.connect(server.superuser);
      const postmaster = await postmasterOf(server);
      kill(postmaster, 'SIGTERM');
      await eventually('it lets nobody in', () =>
        server.connect(server.superuser).then(
          (client) => client.end().then(() => false),
          (error) => (error as { code?: unknown }).code === '57P03',
        ),
      );
      const waits: number[] = [];
      const sleep = async (milliseconds: number) => {
        waits.push(milliseconds);
        if (waits.length < 3) return;
        await session.end();
        // Nor does it wait for sessions that the application keeps.
        kill(postmaster, 'SIGINT');
        await server.startAgain();
      };

      expect(await application.run('setSecret', token, { clock: { ...systemClock, sleep } })).toEqual({ kind: 'set' });

      expect(waits).toEqual([500, 1_000, 2_000]);
      await application.run('testSecret', token);
      await application.run('finishSecret', token);
      expect(await application.works(CURRENT)).toBe(true);
    },
  );
});

/** After it was started again it is another one. */
async function postmasterOf(server: PostgresServer): Promise<number> {
  const client = await server.connect(server.superuser);
  const { rows } = await client
    .query(`SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int AS pid`)
    .finally(() => client.end());
  return rows[0].pid;
}
