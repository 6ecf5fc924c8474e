import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { ESTATES } from './estates.ts';
import { createExploration, type Exploration, scenariosOf } from './explore.ts';
import type { Scenario } from './run.ts';

/** How many cases with as many faults `npm test` draws by lot for each scenario. */
const DRAWN = 100;
const LIMIT_MS = 30 * 60_000;

/** Every estate of a strategy in memory, against faults at its calls. */
export function describeModel(strategy: StrategyName): void {
  const scenarios = ESTATES.filter((estate) => estate.strategy === strategy).flatMap(scenariosOf);

  async function explore(work: (exploration: Exploration, scenario: Scenario) => Promise<void>) {
    const exploration = createExploration(SEED);
    for (const scenario of scenarios) await work(exploration, scenario);
    expect(exploration.broken.slice(0, 10)).toEqual([]);
    return exploration.runs;
  }

  async function several(depth: 2 | 3): Promise<number | undefined> {
    if (!ALL) return (await explore((exploration, scenario) => exploration.sample(scenario, depth, DRAWN)))[depth];
    const program = join(import.meta.dirname, 'without-jest.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [program, strategy, String(depth)]);
    const { runs, broken } = JSON.parse(stdout);
    expect(broken).toEqual([]);
    return runs;
  }

  describe(`${strategy}, in memory, keeps every promise and converges`, () => {
    test(
      'whatever fault strikes at any call',
      async () => {
        const runs = await explore((exploration, scenario) => exploration.all(scenario, 1));
        recordCount(`model, ${strategy}, one fault`, runs[1]);
      },
      LIMIT_MS,
    );

    test(
      'whatever two faults strike at any two calls',
      async () => {
        recordCount(`model, ${strategy}, two faults`, await several(2));
      },
      LIMIT_MS,
    );

    test(
      'whatever three faults strike, of those that were drawn',
      async () => {
        recordCount(`model, ${strategy}, three faults`, await several(3));
      },
      LIMIT_MS,
    );
  });
}
