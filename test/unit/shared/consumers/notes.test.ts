import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Pod, Workload } from '../../../../shared/cluster/port.ts';
import { patchRefused, type Refusal } from '../../../../shared/consumers/carry-out.ts';
import { consumersOf } from '../../../../shared/consumers/consumers.ts';
import { notesOf, writeNotes } from '../../../../shared/consumers/notes.ts';
import { idOfMark, planSync } from '../../../../shared/consumers/plan.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import { createFakeCluster } from '../cluster/fake-cluster.ts';
import { MARKER, markedWith, mountOf, podOf, SECRET, silentLog, snapshotOf, T0, workloadOf } from './observations.ts';

const marker = { annotation: MARKER, versionId: versionOf(2) };
const WHAT = `secret shop/database, version ${versionOf(2)}`;

let workloads: Workload[];
let pods: Pod[];
let versions: number[];

beforeEach(() => {
  workloads = [workloadOf()];
  pods = [podOf()];
  versions = [1];
});

describe('what people read of a workload', () => {
  test('is that it was restarted, and for which secret', () => {
    expect(notes({ carriedOut: true })).toEqual([`orders: Normal SecretRollout: Restarted for ${WHAT}`]);
  });

  test('is nothing while it waits for its turn', () => {
    expect(notes()).toEqual([]);
  });

  test('is that it may not be touched, and why', () => {
    const refusals = new Map([['prod/Deployment/shop/orders', patchRefused('403 Forbidden')]]);
    expect(notes({ refusals })).toEqual([
      `orders: Warning WaitingForSecret: Waiting for ${WHAT}: pod orders-1 mounts version ${versionOf(1)} of shop_database; it is not rolled yet, and may not be: 403 Forbidden`,
    ]);
  });

  test('is that it was marked for a remount, where nothing restarts', () => {
    workloads = [workloadOf({ annotations: new Map([['rekey.dev/mode', 'annotate']]) })];
    expect(notes({ carriedOut: true })).toEqual([`orders: Normal SecretRemount: Waiting for the remount of ${WHAT}`]);
  });

  test('is that its rollout was halted, and why', () => {
    workloads = [marked()];
    const crash = { kind: 'waiting', reason: 'CrashLoopBackOff' } as const;
    const container = { ...podOf().containers[0], state: crash } as Pod['containers'][number];
    pods = [podOf(), podOf({ name: 'orders-2', annotations: markedWith(2), ready: false, containers: [container] })];
    versions = [1, 2];
    expect(notes()).toEqual([
      `orders: Warning SecretRolloutHalted: Halted the rollout of ${WHAT}: pod orders-2 cannot start: CrashLoopBackOff in container app`,
    ]);
  });

  test('is what it waits for, where a person has to act', () => {
    workloads = [marked({ rollout: { ...workloadOf().rollout, updated: 0, stopped: 'it is paused' } })];
    expect(notes()).toEqual([
      `orders: Warning WaitingForSecret: Waiting for ${WHAT}: pod orders-1 mounts version ${versionOf(1)} of shop_database; its old pods stay because it is paused`,
    ]);
  });

  test('is that it is left alone, and why', () => {
    workloads = [workloadOf({ annotations: new Map([['rekey.dev/mode', 'off']]) })];
    expect(notes()).toEqual([expect.stringMatching(/^orders: Warning SecretNotProved: .*rekey.dev\/mode is off$/)]);
  });

  test('is that it is proved, once all are and Rekey rolled it', () => {
    workloads = [marked()];
    pods = [podOf({ annotations: markedWith(2) })];
    versions = [2];
    expect(notes()).toEqual([`orders: Normal SecretProved: Proved to run on ${WHAT} (pods: 1)`]);

    workloads = [workloadOf()];
    expect(notes()).toEqual([]);
  });

  test('is which of its annotations cannot be read', () => {
    workloads = [workloadOf({ annotations: new Map([['rekey.dev/wave', 'first']]) })];
    expect(notes()).toEqual([
      'orders: Warning RekeyAnnotationInvalid: rekey.dev/wave is not a whole number from 0 to 9999: taken as 1',
    ]);
  });

  test('is told of no more than fifty in a pass', () => {
    const off = new Map([['rekey.dev/mode', 'off']]);
    workloads = Array.from({ length: 60 }, (_, n) => workloadOf({ name: `orders-${n}`, annotations: off }));
    pods = workloads.map(({ name }) => podOf({ name, controller: { kind: 'Deployment', name } }));
    versions = pods.map(() => 1);
    expect(notes()).toHaveLength(50);
  });
});

describe('a cluster', () => {
  const note = { type: 'Normal', reason: 'SecretProved', message: 'proved' } as const;
  const clock = { now: () => T0 };
  const ALL = ['prod/shop', 'prod/shop', 'prod/bank', 'dr/shop'];

  /** @returns which were asked for an Event, in this order */
  async function written(refused: string, error: RekeyError): Promise<readonly string[]> {
    const asked: string[] = [];
    const clusters = ['prod', 'dr'].map((name) => ({
      ...createFakeCluster(name).cluster,
      note: async ({ namespace }: Workload) => {
        asked.push(`${name}/${namespace}`);
        if (asked.at(-1) === refused) throw error;
      },
    }));
    const all = ALL.map((one) => {
      const [cluster = '', namespace = ''] = one.split('/');
      return { cluster, workload: workloadOf({ namespace }), note };
    });
    await writeNotes(all, { clusters, clock, log: silentLog }, deadlineIn(60_000, clock));
    return asked.sort();
  }

  test('that does not answer is not asked for the others, and the other clusters get theirs', async () => {
    const error = new RekeyError('CLUSTER_UNREACHABLE', 'ECONNREFUSED');
    expect(await written('prod/shop', error)).toEqual(['dr/shop', 'prod/shop']);
  });

  test('that refuses one is not asked for others of its namespace: that may be about to be deleted', async () => {
    const error = new RekeyError('CLUSTER_ACCESS_DENIED', '403 Forbidden');
    expect(await written('prod/shop', error)).toEqual(['dr/shop', 'prod/bank', 'prod/shop']);
  });
});

function notes({ carriedOut = false, refusals = new Map<string, Refusal>() } = {}): readonly string[] {
  const mounts = pods.map((pod, n) => mountOf(pod, versions[n] ?? 1));
  const found = consumersOf(SECRET, marker, snapshotOf({ workloads, pods, mounts }));
  const plan = planSync({
    consumers: found.consumers,
    marker,
    options: { maxParallel: 5, holdUntilMs: undefined, window: undefined },
    unseen: [],
    nowMs: T0,
  });
  const done = { marked: carriedOut ? plan.marks.map(idOfMark) : [], refusals };
  return notesOf(plan, found, done, { secretName: SECRET.name, marker }).map(
    ({ workload, note: { type, reason, message } }) => `${workload.name}: ${type} ${reason}: ${message}`,
  );
}

function marked(over: Partial<Workload> = {}): Workload {
  return workloadOf({
    templateAnnotations: markedWith(2),
    annotations: new Map([[`rolled.${MARKER}`, versionOf(2)]]),
    ...over,
  });
}
