import { describe, test } from '@jest/globals';
import fc from 'fast-check';
import { STRATEGIES } from '../../../shared/rotation/strategy.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { ESTATES } from '../model/estates.ts';
import { playSituation, situationsOfRotations, situationsOfSteps } from './situations.ts';

const DRAWN = ALL ? 2_000 : 100;
const LIMIT_MS = 30 * 60_000;

/** Beside schedules.ts, which leaves out the orders in which somebody is held up more than twice. A failure names its seed. */
describe.each(STRATEGIES)('%s, in memory, keeps every promise, and the next rotation succeeds', (strategy) => {
  test(
    'in whatever order fast-check lets the calls come',
    async () => {
      const cases = ESTATES.filter((estate) => estate.strategy === strategy).flatMap((estate) =>
        [...situationsOfSteps(estate), ...situationsOfRotations(estate)].map((situation) => ({
          estate,
          situation,
          [fc.toStringMethod]: () => `${estate.name}: ${situation.name}`,
        })),
      );
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(fc.constantFrom(...cases), fc.scheduler(), async ({ estate, situation }, scheduler) => {
          runs += 1;
          await playSituation(estate, situation, async (begin) => {
            const turn = (actor: number) => scheduler.schedule(Promise.resolve(), `actor ${actor}`);
            await scheduler.waitFor(Promise.all(await begin({ turn })));
          });
        }),
        { seed: SEED, numRuns: DRAWN },
      );
      recordCount(`interleavings, ${strategy}, drawn`, runs);
    },
    LIMIT_MS,
  );
});
