import { describe, expect, test } from '@jest/globals';
import { STRATEGIES } from '../../../shared/rotation/strategy.ts';
import { ALL, recordCount } from '../counts.ts';
import { ESTATES, type Estate } from '../model/estates.ts';
import { everySchedule } from './schedules.ts';
import { playSituation, type Situation, situationsOfRotations, situationsOfSteps } from './situations.ts';

const THOROUGHNESS = ALL ? { every: 1_000, switches: 2 } : { every: 0, switches: 1 };
const LIMIT_MS = 30 * 60_000;

describe.each(STRATEGIES)('%s, in memory, keeps every promise, and the next rotation succeeds', (strategy) => {
  async function tryAll(situationsOf: (estate: Estate) => readonly Situation[]): Promise<number> {
    const broken: string[] = [];
    let runs = 0;
    for (const estate of ESTATES.filter((each) => each.strategy === strategy))
      for (const situation of situationsOf(estate))
        runs += await everySchedule(
          (play) => playSituation(estate, situation, play),
          THOROUGHNESS,
          (schedule, error) => broken.push(`${estate.name}: ${situation.name}, in the order ${schedule}: ${error}`),
        );
    expect(broken.slice(0, 10)).toEqual([]);
    return runs;
  }

  test(
    'when two steps, or a retirement and a step, run at once',
    async () => {
      recordCount(`interleavings, ${strategy}, steps`, await tryAll(situationsOfSteps));
    },
    LIMIT_MS,
  );

  test(
    'when two rotations, or a retirement and a rotation, run at once',
    async () => {
      recordCount(`interleavings, ${strategy}, rotations`, await tryAll(situationsOfRotations));
    },
    LIMIT_MS,
  );
});
