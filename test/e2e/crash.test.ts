import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ROTATION } from '../../infra/wiring.ts';
import { AwsError, type Call } from '../sandbox/aws/service.ts';
import { type Environment, startEnvironment } from '../sandbox/environment.ts';
import { startTcpProxy, type TcpProxy } from '../sandbox/tcp-proxy.ts';
import { type Application, createApplication, rotate } from './application.ts';

/**
 * Each answer of the database is lost together with the process that waits for it, so what the server did until then
 * stays: that covers every point of a dialogue in which only the server remembers.
 */
const POINTS = ['before a call to AWS', 'after a call to AWS took effect', 'at an answer of the database'] as const;
type Point = (typeof POINTS)[number];

/**
 * The process of the rotation function is killed with SIGKILL at every point at which it touches the outside; Secrets
 * Manager then runs all four steps once more. Each point is tried on an application whose second user is yet to be
 * made: the longest way that a rotation can go.
 */
describe.each(['alternating-users', 'single-user'] as const)(
  'a rotation with %s whose process is killed',
  (strategy) => {
    let environment: Environment;
    let proxy: TcpProxy;
    beforeAll(async () => {
      environment = await startEnvironment({ retry: { attempts: 1, delayMs: 0 } });
      // Nobody syncs here.
      environment.aws.disturbEvents(() => []);
      proxy = await startTcpProxy(environment.postgres.port);
    });
    afterAll(async () => {
      await proxy.close();
      await environment.close();
    });
    afterEach(() => {
      environment.aws.inject(undefined);
      proxy.onChunk(undefined);
    });

    const kill = () => environment.aws.functions.kill(ROTATION.postgres.name);
    const isOfFunction = ({ caller }: Call) =>
      environment.aws.sessionOf(caller.accessKeyId)?.roleName === `${ROTATION.postgres.name}-role`;

    /** True at every instant: with two users AWSCURRENT logs in, with one at least AWSPENDING, which is stored first. */
    async function isLockedOut(application: Application): Promise<boolean> {
      if ((await application.refusal(application.login('AWSCURRENT'))) === undefined) return false;
      if (strategy === 'alternating-users') return true;
      return (await application.refusal(application.login('AWSPENDING'))) !== undefined;
    }

    async function expectAGoodEnd(application: Application, versionId: string, first: string): Promise<void> {
      expect(application.labels()).toEqual({
        [versionId]: expect.arrayContaining(['AWSCURRENT']),
        [first]: ['AWSPREVIOUS'],
      });
      expect(await application.refusal(application.login('AWSCURRENT'))).toBeUndefined();
      if (strategy === 'alternating-users')
        expect(await application.refusal(application.login('AWSPREVIOUS'))).toBeUndefined();
    }

    let applications = 0;

    /** One rotation whose process dies at its k-th touch. @returns whether it came that far, and whether a process died */
    async function rotateKilledAt(point: Point, k: number): Promise<{ reached: boolean; killed: boolean }> {
      applications += 1;
      const application = await createApplication(environment, `app${applications}`, { strategy, port: proxy.port });
      const first = application.version('AWSCURRENT') ?? '';
      const lockedOutAt: string[] = [];
      const probe = async (when: string) => {
        if (await isLockedOut(application)) lockedOutAt.push(when);
      };
      let touches = 0;
      let killed = false;
      const isDue = () => {
        touches += 1;
        return touches === k;
      };
      const strike = (where: string) => {
        killed = kill() > 0;
        return probe(`the kill at ${where}`);
      };

      environment.aws.inject((call) => {
        if (!isOfFunction(call)) return undefined;
        if (point === 'at an answer of the database' || !isDue())
          return { kind: 'run', when: 'before', action: () => probe(`before ${call.operation}`) };
        if (point === 'after a call to AWS took effect')
          return { kind: 'run', when: 'after', action: () => strike(call.operation) };
        const action = async () => {
          await strike(call.operation);
          throw new AwsError('Unheard', 'the caller died before it could ask');
        };
        return { kind: 'run', when: 'before', action };
      });
      let struck = Promise.resolve();
      proxy.onChunk((from) => {
        if (point !== 'at an answer of the database' || from !== 'server' || !isDue()) return 'pass';
        struck = strike('an answer of the database');
        return 'drop';
      });

      const versionId = await rotate(environment, application);
      await environment.aws.idle();
      await struck;

      await expectAGoodEnd(application, versionId, first);
      expect(lockedOutAt).toEqual([]);
      return { reached: touches >= k, killed };
    }

    test.each(POINTS)(
      '%s ends well when all steps come again, and there is a way in at every instant',
      async (point) => {
        let kills = 0;
        let k = 1;
        for (; ; k += 1) {
          const { reached, killed } = await rotateKilledAt(point, k);
          if (!reached) break;
          if (killed) kills += 1;
        }
        console.info(`${strategy}, ${point}: ${kills} rotations killed, each at another point`);
        // Each of the four steps describes the secret and reads or writes a version of it.
        expect(kills).toBeGreaterThanOrEqual(4 * 2);
      },
      180_000,
    );
  },
);
