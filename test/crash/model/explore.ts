import type { Estate } from './estates.ts';
import type { Act, Case, PlannedFault, Point } from './run.ts';
import { describeCase, run } from './run.ts';

export interface Scenario {
  readonly estate: Estate;
  readonly before: readonly Act[];
  readonly acts: readonly Act[];
}

/** What happens to an estate: its first rotation; and once it has rotated, what comes next. */
export function scenariosOf(estate: Estate): readonly Scenario[] {
  const next: readonly Act[] = estate.strategy === 'single-user' ? ['rotate'] : ['retire', 'rotate'];
  return [
    { estate, before: [], acts: ['rotate'] },
    { estate, before: ['rotate'], acts: next },
  ];
}

/** Runs of the model, counted, and the cases that broke a promise. */
export interface Exploration {
  readonly runs: { readonly [depth: number]: number };
  readonly broken: readonly string[];
  /** Every case with up to `depth` faults, each at every later call of the run that the faults before it lead to. */
  all(scenario: Scenario, depth: number): Promise<void>;
  /** As many cases with `depth` faults, drawn by lot, and those with fewer that lead to them. */
  sample(scenario: Scenario, depth: number, times: number): Promise<void>;
}

export function createExploration(seed: number): Exploration {
  const runs: Record<number, number> = {};
  const broken: string[] = [];
  const random = createRandom(seed);

  /** @returns where the next fault may strike */
  async function visit(each: Case, collect: boolean): Promise<readonly Point[]> {
    const { length } = each.faults;
    runs[length] = (runs[length] ?? 0) + 1;
    try {
      return await run(each, collect);
    } catch (error) {
      broken.push(`${describeCase(each)}: ${error instanceof Error ? error.message : error}`);
      return [];
    }
  }

  async function all(scenario: Scenario, depth: number, faults: readonly PlannedFault[] = []): Promise<void> {
    const more = faults.length < depth;
    const points = await visit({ ...scenario, faults }, more);
    for (const { at, faults: possible } of points)
      for (const fault of possible) await all(scenario, depth, [...faults, { at, fault }]);
  }

  async function draw(scenario: Scenario, depth: number): Promise<void> {
    let faults: readonly PlannedFault[] = [];
    while (true) {
      const points = await visit({ ...scenario, faults }, faults.length < depth);
      const possible = points.flatMap((point) => point.faults.map((fault) => ({ at: point.at, fault })));
      const next = possible[Math.floor(random() * possible.length)];
      if (faults.length === depth || !next) return;
      faults = [...faults, next];
    }
  }

  return {
    runs,
    broken,
    all: (scenario, depth) => all(scenario, depth),
    async sample(scenario, depth, times) {
      for (let time = 0; time < times; time += 1) await draw(scenario, depth);
    },
  };
}

/** A linear congruential generator: numbers in [0, 1) that follow from the seed. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
