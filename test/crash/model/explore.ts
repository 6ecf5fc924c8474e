import type { Estate } from './estates.ts';
import {
  type Act,
  type Case,
  createPlay,
  describeCase,
  type PlannedFault,
  type Play,
  type Point,
  type Scenario,
} from './run.ts';

/** What failed is retired, and the restored version goes on from there. */
const BACK: readonly Act[] = ['move back', 'retire', 'rotate'];

/** What happens to an estate: its first rotation; and once it has rotated, what comes next. */
export function scenariosOf(estate: Estate): readonly Scenario[] {
  const next: readonly Act[] = estate.strategy === 'single-user' ? ['rotate'] : ['retire', 'rotate'];
  return [
    { estate, before: [], acts: ['rotate'] },
    { estate, before: ['rotate'], acts: next },
    ...(estate.strategy === 'single-user' ? [] : [{ estate, before: ['rotate'] as const, acts: BACK }]),
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
  async function visit(play: Play, each: Case, collect: boolean): Promise<readonly Point[]> {
    const { length } = each.faults;
    runs[length] = (runs[length] ?? 0) + 1;
    try {
      return await play(each.faults, { collect });
    } catch (error) {
      broken.push(`${describeCase(each)}: ${error instanceof Error ? error.message : error}`);
      return [];
    }
  }

  async function all(
    scenario: Scenario,
    depth: number,
    play: Play,
    faults: readonly PlannedFault[] = [],
  ): Promise<void> {
    const points = await visit(play, { ...scenario, faults }, faults.length < depth);
    for (const { at, faults: possible, play: later } of points)
      for (const fault of possible) await all(scenario, depth, later, [...faults, { at, fault }]);
  }

  async function draw(scenario: Scenario, depth: number, fromStart: Play): Promise<void> {
    let faults: readonly PlannedFault[] = [];
    let play = fromStart;
    while (true) {
      const points = await visit(play, { ...scenario, faults }, faults.length < depth);
      const possible = points.flatMap((point) => point.faults.map((fault) => ({ ...point, fault })));
      const next = possible[Math.floor(random() * possible.length)];
      if (faults.length === depth || !next) return;
      faults = [...faults, { at: next.at, fault: next.fault }];
      play = next.play;
    }
  }

  return {
    runs,
    broken,
    all: (scenario, depth) => all(scenario, depth, createPlay(scenario)),
    async sample(scenario, depth, times) {
      const play = createPlay(scenario);
      for (let time = 0; time < times; time += 1) await draw(scenario, depth, play);
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
