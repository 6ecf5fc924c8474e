import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { describeFault } from '../faults.ts';
import { type PlannedFault, run } from './run.ts';

/** How many cases of each strategy `npm test` draws by lot. */
const DRAWN = 8;
const LIMIT_MS = 10 * 60_000;

export interface Candidate {
  readonly name: string;
  readonly isInstalled: boolean;
  readonly strategies: readonly StrategyName[];
  start(): Promise<RealServer>;
}

/** Every strategy of a real server against each fault at each call. */
export function describeServer({ name, isInstalled, strategies, start }: Candidate): void {
  describeOnServer(isInstalled, `on ${name}, rotation and retirement keep every promise`, () => {
    let server: RealServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());

    test.each(strategies)(
      'with %s, whatever fault strikes at any call',
      async (strategy) => {
        const cases = await run(server, strategy);
        const chosen = ALL ? cases : drawn(cases, `${name}, ${strategy}`);
        const broken: string[] = [];
        for (const planned of chosen)
          await run(server, strategy, planned).catch((error: unknown) => {
            broken.push(`${describeFault(planned.fault)} at call ${planned.at}: ${error}`);
          });
        expect(broken).toEqual([]);
        recordCount(`${name}, ${strategy}`, chosen.length);
      },
      LIMIT_MS,
    );
  });
}

/** The same ones for the same seed. */
function drawn(cases: readonly PlannedFault[], what: string): readonly PlannedFault[] {
  const lot = (each: PlannedFault) =>
    createHash('sha256')
      .update(`${SEED} ${what} ${each.at} ${describeFault(each.fault)}`)
      .digest('hex');
  return cases
    .map((each) => ({ each, lot: lot(each) }))
    .sort((one, two) => (one.lot < two.lot ? -1 : 1))
    .slice(0, DRAWN)
    .map(({ each }) => each);
}
