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
import { killedMovesBack, killedRotations, POINTS } from './kills.ts';
import { movesBack, type PlannedFault, rotations } from './run.ts';

/** How many cases of each kind `npm test` draws by lot. */
const DRAWN = { faults: 8, kills: 3, cuts: 8 };
/** A test takes a few minutes; a machine may be much slower than ours. */
const LIMIT_MS = 30 * 60_000;

export interface Candidate {
  readonly name: string;
  readonly engine: EngineName;
  readonly isInstalled: boolean;
  readonly strategies: readonly StrategyName[];
  start(): Promise<RealServer & { readonly caFile: string }>;
  /** For a server to which the same bundle says the same as to another one: kills and cuts take their time. */
  readonly faultsOnly?: true;
}

/** Every strategy of a real server against whatever can go wrong at any point. */
export function describeServer({ name, engine, isInstalled, strategies, start, faultsOnly }: Candidate): void {
  describeOnServer(isInstalled, `on ${name}, rotation, retirement and the move back keep every promise`, () => {
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

    const courses = strategies.flatMap((strategy) => [
      {
        what: strategy as string,
        struck: () => rotations(server, strategy),
        killed: () => killedRotations(server, functions, strategy),
      },
      // With a single user there is nothing to move back to: its password is replaced.
      ...(strategy === 'single-user'
        ? []
        : [
            {
              what: `${strategy}, moved back`,
              struck: () => movesBack(server, strategy),
              killed: () => killedMovesBack(server, functions, strategy),
            },
          ]),
    ]);

    test.each(courses)(
      '42, 43, 47, 76: with $what, whatever fault strikes at any call',
      async ({ what, struck }) => {
        const course = struck();
        try {
          await tryEach(`${name}, ${what}`, await course.run(), DRAWN.faults, {
            describe: ({ at, fault }: PlannedFault) => `${describeFault(fault)} at call ${at}`,
            run: course.run,
          });
        } finally {
          await course.close();
        }
      },
      LIMIT_MS,
    );

    if (faultsOnly) return;
    test.each(courses)(
      '77, 78: with $what, wherever the process is killed',
      async ({ what, killed }) => {
        const course = killed();
        try {
          const { touches } = await course.run();
          const kills = POINTS.flatMap((point) =>
            Array.from({ length: touches[point] }, (_, k) => ({ point, at: k + 1 })),
          );
          await tryEach(`${name}, ${what}, killed`, kills, DRAWN.kills, {
            describe: ({ point, at }) => `killed ${point}, the ${at}th`,
            async run(kill) {
              const { killed } = await course.run(kill);
              // How often the server answers is not the same every time.
              if (!killed && kill.point !== 'at an answer of the database')
                throw new Error('nothing was there to be killed');
            },
          });
        } finally {
          await course.close();
        }
      },
      LIMIT_MS,
    );

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
