import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { EngineName } from '../../../infra/wiring.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { describeFault } from '../faults.ts';
import { startCuts } from './cuts.ts';
import { type Functions, startFunctions } from './functions.ts';
import { POINTS, runKilled } from './kills.ts';
import { run } from './run.ts';

/** How many cases of each kind `npm test` draws by lot. */
const DRAWN = { faults: 8, kills: 3, cuts: 8 };
/** A test takes a few minutes; a machine may be much slower than ours. */
const LIMIT_MS = 30 * 60_000;

export interface Candidate {
  readonly name: string;
  readonly engine: EngineName;
  readonly isInstalled: boolean;
  readonly strategies: readonly StrategyName[];
  /** Whose move back is struck too, of those that promise to keep the old login: one for each adapter. */
  readonly movedBack?: StrategyName;
  start(): Promise<RealServer & { readonly caFile: string }>;
  /** Left out for a server on which the same adapter says the same: one cut after the other takes its time. */
  readonly cuts?: false;
}

/** Every strategy of a real server against whatever can go wrong at any point. */
export function describeServer(candidate: Candidate): void {
  const { name, engine, isInstalled, strategies, movedBack, start, cuts } = candidate;
  const courses = [
    ...strategies.map((strategy) => ({ what: strategy, strategy, course: 'rotate and retire' as const })),
    ...(movedBack === undefined
      ? []
      : [{ what: `${movedBack}, moved back`, strategy: movedBack, course: 'move back' as const }]),
  ];
  describeOnServer(isInstalled, `on ${name}, rotation and retirement keep every promise`, () => {
    let server: Awaited<ReturnType<Candidate['start']>>;
    let functions: Functions;
    beforeAll(async () => {
      server = await start();
      functions = await startFunctions(engine, server);
    });
    afterAll(async () => {
      await functions?.close();
      await server?.stop();
    });

    test.each(courses)(
      '42, 43, 47, 76: with $what, whatever fault strikes at any call',
      async ({ what, strategy, course }) => {
        const cases = await run(server, strategy, course);
        await tryEach(`${name}, ${what}`, cases, DRAWN.faults, {
          describe: ({ at, fault }) => `${describeFault(fault)} at call ${at}`,
          run: (planned) => run(server, strategy, course, planned),
        });
      },
      LIMIT_MS,
    );

    test.each(courses)(
      '77, 78: with $what, wherever the process is killed',
      async ({ what, strategy, course }) => {
        const { touches } = await runKilled(server, functions, strategy, course);
        const kills = POINTS.flatMap((point) =>
          Array.from({ length: touches[point] }, (_, k) => ({ point, at: k + 1 })),
        );
        await tryEach(`${name}, ${what}, killed`, kills, DRAWN.kills, {
          describe: ({ point, at }) => `killed ${point}, the ${at}th`,
          async run(kill) {
            const { killed } = await runKilled(server, functions, strategy, course, kill);
            // How the server's answers are cut into packets is not the same every time.
            if (!killed && kill.point !== 'at an answer of the database')
              throw new Error('nothing was there to be killed');
          },
        });
      },
      LIMIT_MS,
    );

    if (cuts === false) return;
    test(
      '61, 62: whichever byte of the statement that changes the password, or of its answer, is the last',
      async () => {
        const proxied = await startCuts(server);
        try {
          await tryEach(`${name}, cut`, proxied.all, DRAWN.cuts, {
            describe: ({ sent, answered }) =>
              `cut after ${sent} bytes of the client and ${answered ?? 'some'} of the server`,
            run: proxied.run,
          });
        } finally {
          await proxied.close();
        }
      },
      LIMIT_MS,
    );
  });
}

/** All cases, or as many as are drawn by lot. @param what the row of docs/reliability.md that says how many there are */
async function tryEach<Case>(
  what: string,
  all: readonly Case[],
  sample: number,
  { describe, run }: { describe(each: Case): string; run(each: Case): Promise<unknown> },
): Promise<void> {
  const chosen = ALL ? all : drawn(all, sample, (each) => `${what} ${describe(each)}`);
  const broken: string[] = [];
  for (const each of chosen)
    await run(each).catch((error: unknown) => {
      broken.push(`${describe(each)}: ${error}`);
    });
  expect(broken).toEqual([]);
  recordCount(what, chosen.length);
}

/** The same ones for the same seed. */
function drawn<Case>(cases: readonly Case[], sample: number, nameOf: (each: Case) => string): readonly Case[] {
  const lot = (each: Case) =>
    createHash('sha256')
      .update(`${SEED} ${nameOf(each)}`)
      .digest('hex');
  return cases
    .map((each) => ({ each, lot: lot(each) }))
    .sort((one, two) => (one.lot < two.lot ? -1 : 1))
    .slice(0, sample)
    .map(({ each }) => each);
}
