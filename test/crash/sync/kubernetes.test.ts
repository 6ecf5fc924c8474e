import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Estate as Kubernetes, startEstate } from '../../integration/sync/estate.ts';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import type { Nodes } from '../../sandbox/control-plane/index.ts';
import { ALL, recordCount, SEED } from '../counts.ts';
import { describeFault } from '../faults.ts';
import { createKubernetesEstate, RESTARTS, WORKLOADS } from './kubernetes-estate.ts';
import { type PlannedFault, run } from './run.ts';

const LIMIT_MS = 20 * 60_000;
/** `npm test` tries one of so many. */
const SAMPLE = 40;

/** What the first workload shows of all calls, the others show of those that they alone make. */
const OWN_CALLS = ['cluster.mark', 'cluster.forceSync', 'cluster.evict'];

onRealKubernetes('sync with faults on a real control plane', () =>
  describe('on a real control plane, whatever fault strikes at any call, it converges with one restart:', () => {
    let kubernetes: Kubernetes;
    let nodes: Nodes['nodes'];
    let made = 0;
    beforeAll(async () => {
      kubernetes = await startEstate();
      const timing = { containerStartMs: 0, readyMs: 0, terminationMs: 0 };
      ({ nodes } = await kubernetes.join({ nodes: 1, timing }));
    });
    afterAll(() => kubernetes?.close());

    test.each(Object.entries(WORKLOADS))(
      '%s',
      async (name, objects) => {
        const open = () => {
          made += 1;
          return createKubernetesEstate(kubernetes, nodes, `crash-${made}`, objects);
        };
        let estate = await open();
        const attempt = (planned: readonly PlannedFault[]) => {
          estate.rotate();
          return run(estate, RESTARTS, planned);
        };
        const cases = (await attempt([])).filter(({ call }) => made === 1 || OWN_CALLS.includes(call));
        const chosen = cases.filter((_, n) => ALL || n % SAMPLE === SEED % SAMPLE);
        const broken: string[] = [];
        for (const planned of chosen) {
          try {
            await attempt([planned]);
          } catch (error) {
            broken.push(`${describePlanned(planned)}: ${error}`);
            await estate.end();
            estate = await open();
          }
        }
        await estate.end();
        expect(broken).toEqual([]);
        recordCount(`sync, on Kubernetes 1.36, ${name}`, chosen.length);
      },
      LIMIT_MS,
    );
  }),
);

const describePlanned = ({ at, call, fault }: PlannedFault) => `${describeFault(fault)} at call ${at}, ${call}`;
