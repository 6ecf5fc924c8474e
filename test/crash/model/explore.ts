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
  /** As many cases with `depth` faults, drawn by lot, and each of those with fewer that lead to them. */
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

  async function draw(scenario: Scenario, depth: number, root: Branch): Promise<void> {
    let branch = root;
    for (;;) {
      const { play, faults } = branch;
      if (faults.length === depth) {
        await visit(play, { ...scenario, faults }, false);
        return;
      }
      // The same few lead to most of what is drawn; two faults are seldom the same again.
      const next = branch.next ?? branchesOf(await visit(play, { ...scenario, faults }, true), faults);
      if (faults.length < REMEMBERED) branch.next = next;
      const drawn = next[Math.floor(random() * next.length)];
      if (!drawn) return;
      branch = drawn;
    }
  }

  return {
    runs,
    broken,
    all: (scenario, depth) => all(scenario, depth, createPlay(scenario)),
    async sample(scenario, depth, times) {
      const root: Branch = { play: createPlay(scenario), faults: [], next: undefined };
      for (let time = 0; time < times; time += 1) await draw(scenario, depth, root);
    },
  };
}

/** A case that may be drawn, and once it was played, those with one fault more. */
interface Branch {
  readonly play: Play;
  readonly faults: readonly PlannedFault[];
  next: readonly Branch[] | undefined;
}

/** Of cases with fewer faults than that it is kept where they lead. */
const REMEMBERED = 2;

const branchesOf = (points: readonly Point[], faults: readonly PlannedFault[]): readonly Branch[] =>
  points.flatMap(({ at, faults: possible, play }) =>
    possible.map((fault) => ({ play, faults: [...faults, { at, fault }], next: undefined })),
  );

/** A linear congruential generator: numbers in [0, 1) that follow from the seed. */
function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
