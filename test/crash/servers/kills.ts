import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { AwsError } from '../../sandbox/aws/service.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { type Course, sharing } from './course.ts';
import type { DeployedApplication, Functions } from './functions.ts';
import { type Watch, watch } from './watch.ts';

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

/** What there was to be killed at, and whether a process died. */
export interface Killed {
  readonly touches: Touches;
  readonly killed: boolean;
}

/**
 * A rotation and the retirement after it, each time of a new user, by the built bundles on a real server, whose process is
 * killed with SIGKILL at one point, or at none; Secrets Manager and the queue then deliver again.
 */
export function killedRotations(
  server: RealServer,
  functions: Functions,
  strategy: StrategyName,
): Course<PlannedKill, Killed> {
  return {
    async run(planned) {
      const application = await functions.createApplication(strategy);
      const { staged, version } = application;
      const promises = await watch(server, application);
      const first = version(CURRENT);
      const before = { administrator: application.administrator(), versions: application.versions() };
      const killer = aim(functions, promises, planned);
      try {
        const versionId = await application.rotate();
        await killer.judge('the rotation');
        if (version(CURRENT) !== versionId) throw new Error('I4: all steps came twice, and AWSCURRENT did not move');
        if (version(PREVIOUS) !== first) throw new Error('AWSPREVIOUS is not the version that was current');
        const previous = staged(PREVIOUS);
        if (previous === undefined) throw new Error('AWSPREVIOUS has no login');
        if ((await server.canRead(previous)) !== (strategy !== 'single-user'))
          throw new Error(`AWSPREVIOUS ${strategy === 'single-user' ? 'still logs in' : 'was cut off too early'}`);
        if (strategy !== 'single-user') {
          await retirePrevious(server, application, killer.settled);
          await killer.judge('the retirement');
        }
        if (application.administrator() !== before.administrator)
          throw new Error("I9: the administrator's secret was written");
        const made = application.versions() - before.versions;
        if (made !== (strategy === 'user-pair' ? 2 : 1)) throw new Error(`I10: ${made} versions were stored`);
        return killer.outcome();
      } finally {
        killer.rest();
        await server.dropUsers(application.username);
      }
    },
    async close() {},
  };
}

/**
 * The move back after a rotation whose new pods fail, likewise. What failed is then retired, and the next rotation finds
 * nothing in its way: nobody is killed in either, and that one is the next that is moved back from.
 */
export function killedMovesBack(
  server: RealServer,
  functions: Functions,
  strategy: StrategyName,
): Course<PlannedKill, Killed> {
  async function rotate(application: DeployedApplication, promises: Watch): Promise<void> {
    const versionId = await application.rotate();
    if (application.version(CURRENT) !== versionId) throw new Error('I4: the rotation did not move AWSCURRENT');
    await promises.check('the rotation');
  }
  return sharing({
    async begin() {
      const application = await functions.createApplication(strategy, { 'rekey:on-failure': 'move-back' });
      const promises = await watch(server, application);
      await rotate(application, promises);
      return { application, promises };
    },
    async run({ application, promises }, planned: PlannedKill | undefined) {
      const { staged, version } = application;
      const [failed, first] = [version(CURRENT) ?? '', version(PREVIOUS)];
      const before = { administrator: application.administrator(), versions: application.versions() };
      const killer = aim(functions, promises, planned);
      try {
        await eventually('the move back', async () => {
          const ended = await application.moveBack(failed, first);
          await killer.settled();
          return ended;
        });
        await killer.judge('the move back');
        if (version(CURRENT) !== first || version(PREVIOUS) !== failed)
          throw new Error('the message was done with, and AWSCURRENT was not moved back');
        const previous = staged(PREVIOUS);
        if (!previous || !(await server.canRead(previous))) throw new Error('AWSPREVIOUS was cut off too early');
        if (application.administrator() !== before.administrator)
          throw new Error("I9: the administrator's secret was written");
        if (application.versions() !== before.versions) throw new Error('I10: a version was stored');
      } finally {
        killer.rest();
      }
      await retirePrevious(server, application);
      await promises.check('the retirement');
      await rotate(application, promises);
      return killer.outcome();
    },
    drop: ({ application }) => server.dropUsers(application.username),
  });
}

/** The message comes again until then: the server may see a session of a dead process for a moment. */
async function retirePrevious(
  server: RealServer,
  application: DeployedApplication,
  settled = async () => {},
): Promise<void> {
  const [versionId, previousVersionId] = [application.version(CURRENT) ?? '', application.version(PREVIOUS)];
  const previous = application.staged(PREVIOUS);
  await eventually('the retirement', async () => {
    const ended = await application.retire(versionId, previousVersionId);
    await settled();
    return ended && previous !== undefined && !(await server.canRead(previous));
  });
}

/** Counts what the functions do, and kills the one that comes to the point that was planned. */
function aim({ aws, proxy, made, kill }: Functions, promises: Watch, planned: PlannedKill | undefined) {
  const touches: Record<Point, number> = {
    'before a call to AWS': 0,
    'after a call to AWS took effect': 0,
    'at an answer of the database': 0,
  };
  let killed = false;
  let broken: unknown;
  const check = (after: string) =>
    promises.check(after).catch((error: unknown) => {
      broken ??= error;
    });
  const isDue = (point: Point) => {
    touches[point] += 1;
    return planned?.point === point && planned.at === touches[point];
  };
  const strike = async (where: string) => {
    killed = kill();
    await check(`the kill at ${where}`);
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
    return { kind: 'run', when: 'after', action: () => check('a label moved') };
  });
  /** Whoever is killed at a later part of an answer leaves what it leaves at the first: it asked for nothing between. */
  const asked = new Set<number>();
  let struck = Promise.resolve();
  proxy.onChunk(({ connection, from }) => {
    if (from === 'client') asked.add(connection);
    else if (asked.delete(connection) && isDue('at an answer of the database')) {
      struck = strike('an answer of the database');
      return 'drop';
    }
    return 'pass';
  });

  return {
    /** Whoever was killed is dead, and what it left was judged. */
    settled: () => struck,
    /** @throws what broke a promise so far */
    async judge(after: string): Promise<void> {
      await struck;
      await check(after);
      if (broken) throw broken;
    },
    outcome: (): Killed => ({ touches, killed }),
    rest(): void {
      aws.inject(undefined);
      proxy.onChunk(undefined);
    },
  };
}
