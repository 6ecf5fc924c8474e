import { expect, test } from '@jest/globals';
import { ALL, recordCount, SEED } from '../counts.ts';
import { describeFault } from '../faults.ts';
import { createFakeEstate, MAX_PARALLEL, RESTARTS } from './fake-estate.ts';
import { type PlannedFault, run, type Start } from './run.ts';

const LIMIT_MS = 10 * 60_000;
/** `npm test` tries one of so many. */
const SAMPLE = 5;

test.each<Start>(['event', 'sweep'])(
  'with a version that the %s tells of, whatever fault strikes at any call: it converges, and each workload restarts once',
  async (start) => {
    const cases = await attempt([], start);
    const chosen = cases.filter((_, n) => ALL || n % SAMPLE === SEED % SAMPLE);
    const broken: string[] = [];
    for (const planned of chosen)
      await attempt([planned], start).catch((error: unknown) => void broken.push(`${describe(planned)}: ${error}`));
    expect(broken).toEqual([]);
    recordCount(`sync, in memory, ${start}, one fault`, chosen.length);
  },
  LIMIT_MS,
);

test(
  'with two faults, drawn by lot, likewise',
  async () => {
    const cases = await attempt([], 'event');
    const broken: string[] = [];
    const count = ALL ? 3_000 : 200;
    for (let n = 0; n < count; n += 1) {
      const drawn = [cases[(n * 7_919) % cases.length], cases[(n * 104_729 + 31) % cases.length]] as PlannedFault[];
      await attempt(drawn, 'event').catch(
        (error: unknown) => void broken.push(`${drawn.map(describe).join(', ')}: ${error}`),
      );
    }
    expect(broken).toEqual([]);
    recordCount('sync, in memory, two faults', count);
  },
  LIMIT_MS,
);

const describe = ({ at, fault }: PlannedFault) => `${describeFault(fault)} at call ${at}`;

async function attempt(planned: readonly PlannedFault[], start: Start): Promise<readonly PlannedFault[]> {
  const estate = createFakeEstate();
  estate.rotate();
  const possible = await run(estate, RESTARTS, planned, start);
  const { ever, untilProved } = estate.mostUnderWay;
  // A list of before the last mark may have another one marked. No API server answers with one: its lists are those of
  // etcd at that moment, unless an older one is asked for (Kubernetes, "API Concepts", resource versions).
  if (planned.some(({ fault }) => fault.kind === 'stale')) return possible;
  if (ever > MAX_PARALLEL) throw new Error(`${ever} workloads were under way at the same time`);
  if (untilProved > 1) throw new Error(`${untilProved} workloads were marked before the first one was on the version`);
  return possible;
}
