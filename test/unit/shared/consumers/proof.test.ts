import { describe, expect, test } from '@jest/globals';
import type { Container, Mount, Pod } from '../../../../shared/cluster/port.ts';
import { type Claim, judgePod } from '../../../../shared/consumers/proof.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import { containerOf, FILE, MARKER, markedWith, mountOf, podOf, T0 } from './observations.ts';

const CLAIM: Claim = {
  marker: { annotation: MARKER, versionId: versionOf(2) },
  ids: new Map([['database', [FILE]]]),
  needsMarker: false,
  rereads: false,
  secrets: new Map(),
  unprovable: [],
  driver: undefined,
};

function judge(pod: Pod, mounts: readonly Mount[] = [mountOf(pod, 2)], claim: Partial<Claim> = {}) {
  return judgePod(pod, mounts, { ...CLAIM, ...claim });
}

const startedAt = (milliseconds: number): Container =>
  containerOf({ state: { kind: 'started', startedAtMs: T0 + milliseconds } });
const waiting = (reason: string): Container => containerOf({ state: { kind: 'waiting', reason } });

describe('a pod is proved', () => {
  test('when it mounted the version, started after it and is ready; the proof says where and since when', () => {
    expect(judge(podOf())).toEqual({
      kind: 'proved',
      proof: {
        pod: 'orders-1',
        node: 'node-1',
        mountedVersion: versionOf(2),
        startedAt: '2026-11-23T10:00:01.000Z',
        evidence: [{ kind: 'mount', secretProviderClass: 'database', mountedAt: '2026-11-23T10:00:00Z' }],
      },
    });
  });

  test('when its container was started again after the driver had mounted the version anew', () => {
    const pod = podOf({ containers: [startedAt(606_000)] });
    expect(judge(pod, [mountOf(pod, 2, { changedAtMs: T0 + 600_000 })]).kind).toBe('proved');
  });

  test('since the first start of a container that has the secret, whatever was started before and after', () => {
    const without = (name: string, startedAtMs: number) =>
      containerOf({ name, mounts: [], state: { kind: 'started', startedAtMs: T0 + startedAtMs } });
    const containers = [without('init', 500), startedAt(60_000), startedAt(2_000), without('proxy', 900_000)];
    expect(judge(podOf({ containers }))).toMatchObject({ proof: { startedAt: '2026-11-23T10:00:02.000Z' } });
    const named = { ids: new Map<string, string[]>() };
    expect(judge(podOf({ containers: [startedAt(60_000), without('proxy', 9_000)] }), [], named)).toMatchObject({
      proof: { startedAt: '2026-11-23T10:00:09.000Z' },
    });
  });

  test("when the node's clock is a little behind the API server's at the first mount", () => {
    expect(judge(podOf({ containers: [startedAt(-2_000)] })).kind).toBe('proved');
  });

  test('when a container that does not mount the secret is older', () => {
    const old = containerOf({ name: 'proxy', mounts: [], state: { kind: 'started', startedAtMs: T0 - 600_000 } });
    expect(judge(podOf({ containers: [startedAt(1_000), old] })).kind).toBe('proved');
  });

  test('when it is on its way out, and so not ready, but has the version', () => {
    expect(judge(podOf({ terminating: true, ready: false })).kind).toBe('proved');
  });

  test('by its mount alone when the application reads its files again', () => {
    const pod = podOf({ containers: [startedAt(-86_400_000)] });
    const mounts = [mountOf(pod, 2, { firstMountedAtMs: T0 - 90_000_000, changedAtMs: T0 })];
    expect(judge(pod, mounts, { rereads: true }).kind).toBe('proved');
    expect(judge(pod, mounts).kind).toBe('unproved');
  });

  test('by the marker where no recorded version tells', () => {
    const claim = { ids: new Map<string, string[]>(), needsMarker: true };
    expect(judge(podOf({ annotations: markedWith(2) }), [], claim).kind).toBe('proved');
    expect(judge(podOf({ annotations: markedWith(1) }), [], claim).kind).toBe('unproved');
  });
});

test('a pod whose records are all right is not proved when part of what it has is not recorded', () => {
  const pod = podOf();
  const claim = { unprovable: ['has its environment from Secret env'] };
  expect(judge(pod, [mountOf(pod, 2)], claim)).toEqual({
    kind: 'unprovable',
    why: 'pod orders-1 has its environment from Secret env',
  });
  expect(judge(pod, [mountOf(pod, 1)], claim).kind).toBe('unproved');
});

describe('a pod is on its way up, which a restart would not speed', () => {
  test.each<[string, Pod, RegExp]>([
    ['while it is Pending', podOf({ phase: 'Pending' }), /is not running yet \(Pending\)/],
    ['while it is not ready', podOf({ ready: false }), /is not ready/],
    ['while its container waits', podOf({ containers: [waiting('ContainerCreating')] }), /ContainerCreating/],
  ])('%s', (_name, pod, why) => {
    expect(judge(pod)).toEqual({ kind: 'starting', why: expect.stringMatching(why) });
  });

  test('while it is Pending and has mounted nothing', () => {
    expect(judge(podOf({ phase: 'Pending' }), []).kind).toBe('starting');
  });

  test('but not when it is not ready on an older version', () => {
    const pod = podOf({ ready: false });
    expect(judge(pod, [mountOf(pod, 1)]).kind).toBe('unproved');
  });
});

describe('a pod is not proved', () => {
  const remounted = { firstMountedAtMs: T0, changedAtMs: T0 + 600_000 };
  const initContainer = containerOf({ name: 'migrate', state: { kind: 'started', startedAtMs: T0 } });
  const noMount: Mount[] = [];

  test.each<[string, Pod, Mount[] | undefined, RegExp]>([
    ['with an older version', podOf(), [mountOf(podOf(), 1)], /mounts version 00000001-/],
    ['with no record (driver #1051)', podOf(), noMount, /has no record of what it mounts from database/],
    ['with a record that says "not mounted"', podOf(), [mountOf(podOf(), 2, { mounted: false })], /has no record/],
    [
      'with the record of its predecessor of the same name',
      podOf(),
      [mountOf(podOf(), 2, { podUid: 'uid-of-the-old-one' })],
      /has no record/,
    ],
    [
      'with the record of another class',
      podOf(),
      [mountOf(podOf(), 2, { secretProviderClass: 'cache' })],
      /has no record/,
    ],
    [
      'with a record that lacks the file',
      podOf(),
      [mountOf(podOf(), 2, { versions: new Map() })],
      /no record of shop_database/,
    ],
    [
      'when its container is older than the version in its files',
      podOf(),
      [mountOf(podOf(), 2, remounted)],
      /started container app at 2026-11-23T10:00:01Z, before/,
    ],
    [
      'when its container started within five seconds of the driver’s mounting anew, for these are two clocks',
      podOf({ containers: [startedAt(605_000)] }),
      [mountOf(podOf(), 2, remounted)],
      /less than 5 seconds after the version was mounted/,
    ],
    [
      'when its init container is, which does not run again',
      podOf({ containers: [startedAt(900_000), initContainer] }),
      [mountOf(podOf(), 2, remounted)],
      /container migrate/,
    ],
    [
      'when the record came long after its start (driver #1051)',
      podOf({ containers: [startedAt(-60_000)] }),
      undefined,
      /before the version was mounted/,
    ],
    [
      'while its container crashes',
      podOf({ containers: [waiting('CrashLoopBackOff')] }),
      undefined,
      /cannot start: CrashLoopBackOff in container app/,
    ],
    ['on its way out with an older version', podOf({ terminating: true }), [mountOf(podOf(), 1)], /mounts version/],
  ])('%s', (_name, pod, mounts, why) => {
    expect(judge(pod, mounts)).toMatchObject({ kind: 'unproved', why: expect.stringMatching(why) });
  });

  test('when only some of its files have the version', () => {
    const pod = podOf();
    const versions = new Map([
      [FILE, versionOf(2)],
      ['password', versionOf(1)],
    ]);
    const verdict = judge(pod, [mountOf(pod, 2, { versions })], { ids: new Map([['database', [FILE, 'password']]]) });
    expect(verdict).toEqual({ kind: 'unproved', why: expect.stringContaining('of password') });
  });

  test('when only one of its two classes has the version', () => {
    const pod = podOf({ secretProviderClasses: ['database', 'second'] });
    const claim = {
      ids: new Map([
        ['database', [FILE]],
        ['second', ['db']],
      ]),
    };
    const second = mountOf(pod, 1, { secretProviderClass: 'second', versions: new Map([['db', versionOf(1)]]) });
    expect(judge(pod, [mountOf(pod, 2), second], claim).kind).toBe('unproved');
  });

  test('98: when a subPath was bound before the driver mounted anew, even where the application reads again', () => {
    const pod = podOf({ containers: [containerOf({ mounts: [{ secretProviderClass: 'database', subPath: true }] })] });
    expect(judge(pod, [mountOf(pod, 2, remounted)], { rereads: true })).toMatchObject({
      why: expect.stringContaining('before'),
    });
  });
});
