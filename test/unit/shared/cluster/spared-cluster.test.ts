import { beforeEach, expect, test } from '@jest/globals';
import { sparedCluster } from '../../../../shared/cluster/spared-cluster.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { type ErrorCode, RekeyError } from '../../../../shared/operations/errors.ts';
import { createFakeCluster, type FakeCluster } from './fake-cluster.ts';

let nowMs: number;
let asked: number;
let prod: FakeCluster;
const clock = { now: () => nowMs };

beforeEach(() => {
  nowMs = 1_000_000;
  asked = 0;
  prod = createFakeCluster();
});

function spared() {
  const { workloads } = prod.cluster;
  const counted = { ...prod.cluster, workloads: async () => workloads(deadlineIn(asked++, clock)) };
  const cluster = sparedCluster(counted, clock);
  return () => cluster.workloads(deadlineIn(60_000, clock)).catch((error: RekeyError) => error.code);
}

test.each<ErrorCode>(['CLUSTER_UNREACHABLE', 'CLUSTER_BUSY'])(
  '99: after %s a cluster is left alone for half a minute, and then tried again',
  async (code) => {
    const workloads = spared();
    prod.failure = new RekeyError(code, 'no answer in time');
    expect([await workloads(), await workloads()]).toEqual([code, code]);
    expect(asked).toBe(1);

    prod.failure = undefined;
    nowMs += 29_999;
    expect(await workloads()).toBe(code);
    nowMs += 1;
    expect(await workloads()).toEqual([]);
    expect(asked).toBe(2);
  },
);

test.each<ErrorCode>(['CLUSTER_ACCESS_DENIED', 'CLUSTER_NOT_FOUND', 'DEADLINE_TOO_CLOSE'])(
  '%s is an answer, or our own haste: it is asked again at once',
  async (code) => {
    const workloads = spared();
    prod.failure = new RekeyError(code, 'no');
    await workloads();
    prod.failure = undefined;
    expect(await workloads()).toEqual([]);
  },
);

test('its name and Region stay what they are', () => {
  expect(sparedCluster(prod.cluster, clock)).toMatchObject({ name: 'prod', region: 'eu-west-1' });
});
