import { describe, expect, test } from '@jest/globals';
import { STRATEGIES } from '../../../shared/rotation/strategy.ts';
import { ALL, recordCount } from '../counts.ts';
import { ESTATES, type Estate } from '../model/estates.ts';
import { everySchedule } from './schedules.ts';
import { playSituation, type Situation, situationsOfRotations, situationsOfSteps } from './situations.ts';

/** Of two steps every order is tried; of longer work, those in which this often somebody is held up for another. */
const SWITCHES = { steps: ALL ? Number.POSITIVE_INFINITY : 1, rotations: ALL ? 3 : 1 };
const LIMIT_MS = 10 * 60_000;

describe.each(STRATEGIES)('%s, in memory, keeps every promise, and the next rotation succeeds', (strategy) => {
  async function tryAll(situationsOf: (estate: Estate) => readonly Situation[], switches: number): Promise<number> {
    const broken: string[] = [];
    let runs = 0;
    for (const estate of ESTATES.filter((each) => each.strategy === strategy))
      for (const situation of situationsOf(estate))
        runs += await everySchedule(
          (play) => playSituation(estate, situation, play),
          switches,
          (schedule, error) => broken.push(`${estate.name}: ${situation.name}, in the order ${schedule}: ${error}`),
        );
    expect(broken.slice(0, 10)).toEqual([]);
    return runs;
  }

  test(
    'when two steps, or a retirement and a step, run at once',
    async () => {
      recordCount(`interleavings, ${strategy}, steps`, await tryAll(situationsOfSteps, SWITCHES.steps));
    },
    LIMIT_MS,
  );

  test(
    'when two rotations, or a retirement and a rotation, run at once',
    async () => {
      recordCount(`interleavings, ${strategy}, rotations`, await tryAll(situationsOfRotations, SWITCHES.rotations));
    },
    LIMIT_MS,
  );
});
