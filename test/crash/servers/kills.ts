import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { AwsError } from '../../sandbox/aws/service.ts';
import { eventually } from '../../sandbox/eventually.ts';
import type { Functions } from './functions.ts';
import type { Course } from './run.ts';
import { watch } from './watch.ts';

/**
 * Where a process touches the outside. An answer of the database is lost together with the process that waits for it,
 * so that what the server did until then stays: that covers every point of a dialogue in which only the server remembers.
 */
export const POINTS = [
  'before a call to AWS',
  'after a call to AWS took effect',
  'at an answer of the database',
] as const;
export type Point = (typeof POINTS)[number];

/** They take no effect: whoever dies behind one of them leaves what it leaves before it asks for anything else. */
const READS = /^(Describe|Get|List)/;

export interface PlannedKill {
  readonly point: Point;
  /** Counted from 1 over what is struck. */
  readonly at: number;
}

/** How many points there were of each kind. */
export type Touches = Readonly<Record<Point, number>>;

/**
 * A rotation of a new user and what comes after it, by the built bundles on a real server, whose process is killed
 * with SIGKILL at one point, or at none; Secrets Manager and the queue then deliver again.
 * @returns what there was to be killed at, and whether a process died
 * @throws Error when a promise of docs/reliability.md is broken
 */
export async function runKilled(
  server: RealServer,
  functions: Functions,
  strategy: StrategyName,
  course: Course,
  planned?: PlannedKill,
): Promise<{ readonly touches: Touches; readonly killed: boolean }> {
  const { aws, proxy, made } = functions;
  const application = await functions.createApplication(
    strategy,
    course === 'move back' ? { 'rekey:on-failure': 'move-back' } : {},
  );
  const { staged, version } = application;
  const promises = await watch(server, application);
  const first = version(CURRENT);
  const before = { administrator: application.administrator(), versions: application.versions() };
  const touches: Record<Point, number> = {
    'before a call to AWS': 0,
    'after a call to AWS took effect': 0,
    'at an answer of the database': 0,
  };
  let counts = course === 'rotate and retire';
  let killed = false;
  let broken: unknown;
  const judge = (after: string) =>
    promises.check(after).catch((error: unknown) => {
      broken ??= error;
    });
  const isDue = (point: Point) => {
    if (!counts) return false;
    touches[point] += 1;
    return planned?.point === point && planned.at === touches[point];
  };
  const strike = async (where: string) => {
    killed = functions.kill();
    await judge(`the kill at ${where}`);
  };

  aws.inject((call) => {
    if (!made(call)) return undefined;
    const { operation } = call;
    const beforeIt = isDue('before a call to AWS');
    const afterIt = !READS.test(operation) && isDue('after a call to AWS took effect');
    if (beforeIt) {
      const action = async () => {
        await strike(`the beginning of ${operation}`);
        throw new AwsError('Unheard', 'the caller died before it could ask');
      };
      return { kind: 'run', when: 'before', action };
    }
    if (afterIt) return { kind: 'run', when: 'after', action: () => strike(`the end of ${operation}`) };
    if (operation !== 'UpdateSecretVersionStage') return undefined;
    // I2
    return { kind: 'run', when: 'after', action: () => judge('a label moved') };
  });
  let struck = Promise.resolve();
  proxy.onChunk(({ from }) => {
    if (from !== 'server' || !isDue('at an answer of the database')) return 'pass';
    struck = strike('an answer of the database');
    return 'drop';
  });

  try {
    const versionId = await application.rotate();
    await struck;
    await judge('the rotation');
    if (broken) throw broken;
    if (version(CURRENT) !== versionId) throw new Error('I4: all steps came twice, and AWSCURRENT did not move');
    if (version(PREVIOUS) !== first) throw new Error('AWSPREVIOUS is not the version that was current');
    const previous = staged(PREVIOUS);
    if (previous === undefined) throw new Error('AWSPREVIOUS has no login');
    if ((await server.canRead(previous)) !== (strategy !== 'single-user'))
      throw new Error(`AWSPREVIOUS ${strategy === 'single-user' ? 'still logs in' : 'was cut off too early'}`);
    if (course === 'move back') {
      counts = true;
      await eventually('the move back', async () => {
        const ended = await application.moveBack(versionId, first);
        await struck;
        return ended && version(CURRENT) === first;
      });
      await judge('the move back');
    } else if (strategy !== 'single-user') {
      // The message comes again until then: the server may see a session of a dead process for a moment.
      await eventually('the retirement', async () => {
        const ended = await application.retire(versionId, first);
        await struck;
        return ended && !(await server.canRead(previous));
      });
      await judge('the retirement');
    }
    if (broken) throw broken;
    if (application.administrator() !== before.administrator)
      throw new Error("I9: the administrator's secret was written");
    const made = application.versions() - before.versions;
    if (made !== (strategy === 'user-pair' && course === 'rotate and retire' ? 2 : 1))
      throw new Error(`I10: ${made} versions were stored`);
    return { touches, killed };
  } finally {
    aws.inject(undefined);
    proxy.onChunk(undefined);
    await server.dropUsers(application.username);
  }
}
