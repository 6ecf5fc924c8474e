import type { Estate } from './estates.ts';
import type { Act, Case, PlannedFault, Point } from './run.ts';
import { describeCase, run } from './run.ts';

export interface Scenario {
  readonly estate: Estate;
  readonly before: readonly Act[];
  readonly acts: readonly Act[];
}

export interface Found {
  readonly what: string;
  readonly failure: string;
}

/** Counts of one exploration. */
export interface Explored {
  readonly runs: { readonly [depth: number]: number };
  readonly broken: readonly Found[];
}

/** Every case with up to `depth` faults, each at every later call of the run that the faults before it lead to. */
export async function explore(scenario: Scenario, depth: number): Promise<Explored> {
  const runs: Record<number, number> = {};
  const broken: Found[] = [];
  async function visit(faults: readonly PlannedFault[]): Promise<void> {
    const each: Case = { ...scenario, faults };
    const more = faults.length < depth;
    runs[faults.length] = (runs[faults.length] ?? 0) + 1;
    let points: readonly Point[];
    try {
      points = await run(each, more);
    } catch (error) {
      broken.push({ what: describeCase(each), failure: String(error instanceof Error ? error.message : error) });
      return;
    }
    if (more)
      for (const { at, faults: possible } of points)
        for (const fault of possible) await visit([...faults, { at, fault }]);
  }
  await visit([]);
  return { runs, broken };
}
