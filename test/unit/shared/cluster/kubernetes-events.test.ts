import { beforeEach, describe, expect, test } from '@jest/globals';
import { createEventRecorder, type EventWriter } from '../../../../shared/cluster/kubernetes-events.ts';
import type { Note } from '../../../../shared/cluster/port.ts';
import { T0, workloadOf } from '../consumers/observations.ts';

const MINUTE = 60_000;
const NOTE: Note = { type: 'Normal', reason: 'SecretRollout', message: 'Restarted for secret shop/database' };

type Stored = { count: number; lastTimestamp: string; [field: string]: unknown };

/** What the API server has, by name. */
const stored = new Map<string, Stored>();
const server: EventWriter = {
  async create(event) {
    const { metadata } = event as { metadata: { name: string } };
    if (stored.has(metadata.name)) return undefined;
    stored.set(metadata.name, event as Stored);
    return event;
  },
  async patch(name, change) {
    const before = stored.get(name);
    if (before === undefined) return undefined;
    const after = { ...before, ...change };
    stored.set(name, after);
    return after;
  },
};
let nowMs: number;
let record: ReturnType<typeof createEventRecorder>;
const only = () => {
  expect(stored.size).toBe(1);
  return [...stored.values()][0];
};

beforeEach(() => {
  stored.clear();
  nowMs = T0;
  record = createEventRecorder({ now: () => nowMs });
});

describe('an Event about a workload', () => {
  test('names it as kubectl describe looks for it', async () => {
    await record(workloadOf(), NOTE, server);

    expect(only()).toMatchObject({
      metadata: { namespace: 'shop' },
      involvedObject: {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        namespace: 'shop',
        name: 'orders',
        uid: 'uid-of-orders',
      },
      type: 'Normal',
      reason: 'SecretRollout',
      message: NOTE.message,
      source: { component: 'rekey' },
      count: 1,
      firstTimestamp: '2026-11-23T10:00:00Z',
    });
  });

  test('that comes again at once is not written again, and later counts up', async () => {
    await record(workloadOf(), NOTE, server);
    nowMs += 5 * MINUTE - 1;
    await record(workloadOf(), NOTE, server);
    expect(only()).toMatchObject({ count: 1, lastTimestamp: '2026-11-23T10:00:00Z' });

    nowMs += 1;
    await record(workloadOf(), NOTE, server);

    expect(only()).toMatchObject({
      count: 2,
      firstTimestamp: '2026-11-23T10:00:00Z',
      lastTimestamp: '2026-11-23T10:05:00Z',
    });
  });

  test('that another process wrote before is found again, and counted on', async () => {
    await record(workloadOf(), NOTE, server);
    const other = createEventRecorder({ now: () => nowMs });
    nowMs += MINUTE;
    await other(workloadOf(), NOTE, server);
    nowMs += 5 * MINUTE;
    await other(workloadOf(), NOTE, server);

    expect(only()).toMatchObject({ count: 2, lastTimestamp: '2026-11-23T10:06:00Z' });
  });

  test('that the server has forgotten by then is written anew', async () => {
    await record(workloadOf(), NOTE, server);
    stored.clear();
    nowMs += 60 * MINUTE;
    await record(workloadOf(), NOTE, server);

    expect(only()).toMatchObject({ count: 2, reason: 'SecretRollout' });
  });

  test('of other words, or about another workload of the same name, is another one', async () => {
    await record(workloadOf(), NOTE, server);
    await record(workloadOf(), { ...NOTE, message: 'Waiting' }, server);
    await record(workloadOf({ uid: 'made anew' }), NOTE, server);

    expect(stored.size).toBe(3);
  });

  test('keeps to the limits of Kubernetes: the length of a name and of a message', async () => {
    const name = `${'a'.repeat(199)}.${'b'.repeat(53)}`;
    await record(workloadOf({ name }), { ...NOTE, message: `é${'x'.repeat(2_000)}` }, server);

    const [[written = '', event] = []] = stored;
    expect(written).toMatch(/^a{199}\.[0-9a-f]{16}$/);
    expect(event?.['message']).toBe(`?${'x'.repeat(1_023)}`);
  });
});
