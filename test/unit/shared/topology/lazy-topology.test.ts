import { expect, test } from '@jest/globals';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { lazyTopology } from '../../../../shared/topology/lazy-topology.ts';
import { createMemoryTopology } from '../../../contract/fakes/topology.ts';

const deadline = deadlineIn(60_000, systemClock);
const orders = { kind: 'instance', id: 'orders' } as const;
const description = { arn: 'arn', engine: 'postgres', endpoints: [], partOf: undefined };

test('a topology that nobody asks is never loaded, and one that is asked twice is loaded once', async () => {
  const topology = createMemoryTopology();
  topology.add(orders, description);
  let loads = 0;
  const lazy = lazyTopology(async () => {
    loads += 1;
    return topology;
  });
  expect(loads).toBe(0);

  const answers = await Promise.all([lazy.describe(orders, deadline), lazy.describe(orders, deadline)]);

  expect(answers).toEqual([description, description]);
  expect(loads).toBe(1);
});
