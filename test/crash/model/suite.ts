import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { ESTATES } from './estates.ts';
import { createExploration, type Exploration, scenariosOf } from './explore.ts';
import type { Scenario } from './run.ts';

/** How many cases with as many faults are drawn by lot for each scenario. */
const DRAWN = ALL ? 500 : 100;
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

  const sampleOf = (depth: number) => (exploration: Exploration, scenario: Scenario) =>
    exploration.sample(scenario, depth, DRAWN);

  async function everyPair(): Promise<number> {
    const program = join(import.meta.dirname, 'every-pair.ts');
    const { stdout } = await promisify(execFile)(process.execPath, [program, strategy]);
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
        const runs = ALL ? await everyPair() : (await explore(sampleOf(2)))[2];
        recordCount(`model, ${strategy}, two faults`, runs);
      },
      LIMIT_MS,
    );

    test(
      'whatever three faults strike, of those that were drawn',
      async () => {
        const runs = await explore(sampleOf(3));
        recordCount(`model, ${strategy}, three faults`, runs[3]);
      },
      LIMIT_MS,
    );
  });
}
