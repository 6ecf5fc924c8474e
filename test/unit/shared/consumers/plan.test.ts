import { describe, expect, test } from '@jest/globals';
import type { Container, Pod, Rollout, Workload } from '../../../../shared/cluster/port.ts';
import { consumersOf } from '../../../../shared/consumers/consumers.ts';
import { opensAt, planSync, type Situation, stagesOf } from '../../../../shared/consumers/plan.ts';
import { DEFAULT_OPTIONS } from '../../../../shared/secrets/tags.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import {
  containerOf,
  FILE,
  MARKER,
  markedWith,
  mountOf,
  podOf,
  SECRET,
  snapshotOf,
  spcOf,
  T0,
  workloadOf,
} from './observations.ts';

const AT_2 = { annotation: MARKER, versionId: versionOf(2) };
const CRASHING = [containerOf({ state: { kind: 'waiting', reason: 'CrashLoopBackOff' } })];

interface Seen {
  readonly workload?: Partial<Workload>;
  readonly rollout?: Partial<Rollout>;
  /** The version that each pod mounts, and what else is to be said of it. */
  readonly pods?: readonly (readonly [version: number, over?: Partial<Pod>])[];
  /** The marker on the template, and so on new pods. */
  readonly marked?: number;
}

/** Nothing done yet: one pod on version 1. */
const OLD: Seen = { pods: [[1]] };
/** Marked, its new pod not there yet. */
const ROLLING: Seen = { marked: 2, rollout: { updated: 0 }, pods: [[1]] };
/** Marked, and its pod proved. */
const DONE: Seen = { marked: 2, pods: [[2, { annotations: markedWith(2) }]] };
/** Marked, and its new pod crashes beside the old one. */
const FAILING: Seen = {
  marked: 2,
  pods: [[1], [2, { annotations: markedWith(2), containers: CRASHING, ready: false }]],
};

function failingWith(reason: string): Partial<Pod> {
  const containers = [containerOf({ state: { kind: 'waiting', reason } })];
  return { annotations: markedWith(2), ready: false, containers };
}

const inWave = (wave: number, seen: Seen): Seen => annotated(seen, { 'rekey.dev/wave': String(wave) });
const inMode = (mode: string, seen: Seen): Seen => annotated(seen, { 'rekey.dev/mode': mode });

function annotated(seen: Seen, annotations: Record<string, string>): Seen {
  const before = seen.workload?.annotations ?? new Map<string, string>();
  return { ...seen, workload: { ...seen.workload, annotations: new Map([...before, ...Object.entries(annotations)]) } };
}

/** `env` is a Kubernetes Secret that the driver syncs. */
const classes = [spcOf([{ objectName: SECRET.name }], { syncedSecrets: [{ name: 'env', files: [FILE] }] })];

function consumersIn(fleet: Readonly<Record<string, Seen>>) {
  const workloads: Workload[] = [];
  const pods: Pod[] = [];
  const mounts = [];
  for (const [name, { workload = {}, rollout = {}, marked, pods: seen = [] }] of Object.entries(fleet)) {
    const base = workloadOf({
      name,
      templateAnnotations: marked === undefined ? new Map() : markedWith(marked),
      ...workload,
    });
    workloads.push({ ...base, rollout: { ...base.rollout, ...rollout } });
    for (const [index, [version, overPod]] of seen.entries()) {
      const pod = podOf({ name: `${name}-${index}`, controller: { kind: base.kind, name }, ...overPod });
      pods.push(pod);
      mounts.push(mountOf(pod, version));
    }
  }
  return consumersOf(SECRET, AT_2, snapshotOf({ classes, workloads, pods, mounts })).consumers;
}

function plan(fleet: Readonly<Record<string, Seen>>, over: Partial<Situation> = {}) {
  const consumers = consumersIn(fleet);
  const made = planSync({ consumers, marker: AT_2, options: DEFAULT_OPTIONS, unseen: [], nowMs: T0, ...over });
  return {
    verdict: made.verdict,
    marks: made.marks.map(({ workload: { name }, where, again }) =>
      where === 'object' ? `${name} (object)` : again ? `${name} (again)` : name,
    ),
    proved: made.proved.map(({ name }) => name),
    unproved: Object.fromEntries(made.unproved.map(({ name, why }) => [name, why])),
    failed: made.failed.map(({ name }) => name),
    evicted: made.actions.flatMap((action) => (action.kind === 'evict' ? [action.pod.name] : [])),
    askedFor: made.actions.flatMap((action) => (action.kind === 'may-evict' ? [action.pod.name] : [])),
    causes: Object.fromEntries(made.unproved.flatMap(({ name, cause }) => (cause ? [[name, cause]] : []))),
  };
}

const withMaxParallel = (maxParallel: number): Partial<Situation> => ({ options: { ...DEFAULT_OPTIONS, maxParallel } });

describe('the canary', () => {
  test('goes alone: the lowest wave first, then the fewest replicas, then the name', () => {
    const large = { workload: { replicas: 3 }, pods: [[1], [1], [1]] } satisfies Seen;
    expect(plan({ a: large, c: OLD, b: OLD }).marks).toEqual(['b']);
    expect(plan({ a: inWave(0, large), b: OLD }).marks).toEqual(['a']);
  });

  test('is waited for', () => {
    expect(plan({ a: ROLLING, b: OLD })).toMatchObject({ verdict: 'waiting', marks: [] });
  });

  test('is rather a healthy one: what was broken before tells nothing about the version', () => {
    const broken: Seen = { pods: [[1, { containers: CRASHING, ready: false }]] };
    const short: Seen = { workload: { replicas: 2 }, pods: [[1]] };
    const large: Seen = { workload: { replicas: 3 }, pods: [[1], [1], [1]] };
    expect(plan({ a: broken, b: short, c: large }).marks).toEqual(['c']);
    expect(plan({ a: inWave(0, broken), c: large }).marks).toEqual(['a']);
  });

  test('once proved lets the others go, as many as allowed', () => {
    const others = { b: OLD, c: OLD, d: OLD };
    expect(plan({ a: DONE, ...others }).marks).toEqual(['b', 'c', 'd']);
    expect(plan({ a: DONE, ...others }, withMaxParallel(2)).marks).toEqual(['b', 'c']);
    expect(plan({ a: DONE, ...others, b: ROLLING }, withMaxParallel(2)).marks).toEqual(['c']);
    expect(plan({ a: DONE, ...others, b: ROLLING, c: ROLLING }, withMaxParallel(2)).marks).toEqual([]);
  });

  test('is rather one that replaces its pods by itself', () => {
    const paused: Seen = { ...OLD, rollout: { stopped: 'it is paused' } };
    expect(plan({ a: paused, b: OLD }).marks).toEqual(['b']);
    expect(plan({ a: paused }).marks).toEqual(['a']);
  });

  test('is not needed where somebody restarted a workload before: that one shows that the version works', () => {
    expect(plan({ a: { pods: [[2]] }, b: OLD, c: OLD })).toMatchObject({ marks: ['b', 'c'], proved: ['a'] });
  });

  test('is not replaced by a workload without pods, or by one whose files alone are new', () => {
    const empty: Seen = { workload: { replicas: 0 } };
    const remounted = inMode('annotate', { pods: [[2]] });
    expect(plan({ a: empty, b: remounted, c: OLD, d: OLD })).toMatchObject({ marks: ['c'], proved: ['a', 'b'] });
  });
});

describe('waves', () => {
  test('the next one starts when the one before is proved as a whole', () => {
    const fleet = { a: inWave(0, DONE), b: inWave(0, ROLLING), c: inWave(1, OLD) };
    expect(plan(fleet).marks).toEqual([]);
    expect(plan({ ...fleet, b: inWave(0, DONE) }).marks).toEqual(['c']);
  });

  test('what Rekey does not touch holds up no wave, but convergence', () => {
    const fleet = { a: inWave(0, inMode('off', OLD)), b: OLD };
    expect(plan(fleet)).toMatchObject({
      marks: ['b'],
      unproved: { a: expect.stringContaining('rekey.dev/mode is off') },
    });
    expect(plan({ ...fleet, b: DONE })).toMatchObject({ verdict: 'waiting', marks: [] });
  });
});

describe('a second look', () => {
  test('plans nothing for what carries the marker', () => {
    expect(plan({ a: ROLLING }).marks).toEqual([]);
    expect(plan({ a: DONE })).toMatchObject({ verdict: 'converged', marks: [], unproved: {} });
  });

  test('plans nothing for what has the version without it', () => {
    expect(plan({ a: { pods: [[2]] } })).toMatchObject({ verdict: 'converged', marks: [] });
  });

  test('an older marker is overtaken, while its own rollout is under way too', () => {
    const rollingTo1: Seen = { marked: 1, rollout: { updated: 0 }, pods: [[1], [1, { annotations: markedWith(1) }]] };
    expect(plan({ a: rollingTo1 }).marks).toEqual(['a']);
  });
});

describe('failing', () => {
  test.each([
    'CrashLoopBackOff',
    'ImagePullBackOff',
    'ErrImagePull',
    'InvalidImageName',
    'CreateContainerConfigError',
    'CreateContainerError',
    'RunContainerError',
  ])('92: %s of a new pod halts everything, and names it', (reason) => {
    const containers = [containerOf({ state: { kind: 'waiting', reason } })];
    const failing: Seen = { ...FAILING, pods: [[1], [2, { annotations: markedWith(2), containers, ready: false }]] };
    expect(plan({ a: DONE, b: failing, c: OLD })).toMatchObject({
      verdict: 'halted',
      marks: [],
      failed: ['b'],
      unproved: { b: `pod b-1 cannot start: ${reason} in container app`, c: expect.anything() },
    });
  });

  const between: readonly (readonly [string, Partial<Container>])[] = [
    ['just ended with an error', { state: { kind: 'waiting', reason: 'Error' }, exitCode: 1 }],
    ['running again', { restarts: 1, exitCode: 1 }],
    ['running again after it ended without one', { restarts: 3, exitCode: 0 }],
  ];

  test.each(between)('92: a new pod met between two crashes halts everything: %s', (_name, container) => {
    const pod = { annotations: markedWith(2), containers: [containerOf(container)] };
    const crashing: Seen = { ...FAILING, pods: [[1], [2, { ...pod, ready: false }]] };
    expect(plan({ a: DONE, b: crashing, c: OLD })).toMatchObject({
      verdict: 'halted',
      marks: [],
      failed: ['b'],
      unproved: { b: expect.stringMatching(/^pod b-1 crashes: container app ended with exit code/) },
    });
    // Ready again, or on its way out, it keeps nobody waiting.
    expect(plan({ a: DONE, b: { ...DONE, pods: [[2, pod]] }, c: OLD }).marks).toEqual(['c']);
    const leaving: Seen = {
      ...DONE,
      pods: [
        [2, { annotations: markedWith(2) }],
        [2, { ...pod, ready: false, terminating: true }],
      ],
    };
    expect(plan({ a: DONE, b: leaving, c: OLD }).marks).toEqual(['c']);
  });

  test('92: a controller that gave up halts everything', () => {
    expect(plan({ a: { ...ROLLING, rollout: { updated: 1, failure: 'ProgressDeadlineExceeded' } } })).toMatchObject({
      verdict: 'halted',
      unproved: { a: 'its controller reports ProgressDeadlineExceeded' },
    });
  });

  test('what the controller says of an older template does not count', () => {
    const stale = { observed: false, failure: 'ProgressDeadlineExceeded' };
    expect(plan({ a: { ...ROLLING, rollout: stale } }).verdict).toBe('waiting');
  });

  test('an old pod that crashes is not the fault of the version', () => {
    const crashing: Seen = { ...ROLLING, pods: [[1, { containers: CRASHING, ready: false }]] };
    expect(plan({ a: crashing }).verdict).toBe('waiting');
  });

  describe('92: of a workload whose pods from before the roll fail in the same way', () => {
    const between = [containerOf({ restarts: 4, exitCode: 1 })];
    const failing = (old: Partial<Pod>, now: Partial<Pod>, rollout: Partial<Rollout> = {}): Seen => ({
      marked: 2,
      rollout: { updated: 1, ...rollout },
      pods: [
        [1, { ready: false, ...old }],
        [2, { ready: false, annotations: markedWith(2), ...now }],
      ],
    });
    const gaveUp = { failure: 'ProgressDeadlineExceeded' };

    test.each<[string, Seen]>([
      ['crash', failing({ containers: CRASHING }, { containers: CRASHING })],
      ['crash, met at different moments', failing({ containers: between }, { containers: CRASHING })],
      ['crash, and the controller gives up', failing({ containers: CRASHING }, { containers: CRASHING }, gaveUp)],
      ['are not ready either when the controller gives up', failing({}, {}, gaveUp)],
    ])('is named, and halts nobody: they %s', (_name, seen) => {
      expect(plan({ a: DONE, b: seen, c: OLD })).toMatchObject({
        verdict: 'waiting',
        marks: ['c'],
        failed: [],
        unproved: { b: expect.stringContaining('so do its pods from before') },
      });
    });

    const elsewhere = [containerOf({ name: 'proxy', state: { kind: 'waiting', reason: 'CrashLoopBackOff' } })];
    const noImage = [containerOf({ state: { kind: 'waiting', reason: 'ErrImagePull' } })];

    test.each<[string, Seen]>([
      ['another container', failing({ containers: elsewhere }, { containers: CRASHING })],
      ['another reason', failing({ containers: noImage }, { containers: CRASHING })],
      ['old pods that are ready', failing({ ready: true }, {}, gaveUp)],
    ])('but %s halts', (_name, seen) => {
      expect(plan({ a: DONE, b: seen, c: OLD })).toMatchObject({ verdict: 'halted', failed: ['b'] });
    });
  });

  test('goes on by itself once the pods are healthy', () => {
    expect(plan({ a: DONE, b: DONE, c: OLD })).toMatchObject({ verdict: 'waiting', marks: ['c'] });
  });

  test('87: moved back while a canary fails on the later version: the canary goes back at once', () => {
    const crashing: Seen = {
      marked: 3,
      rollout: { updated: 1 },
      pods: [[2], [3, { annotations: markedWith(3), containers: CRASHING, ready: false }]],
    };
    expect(plan({ a: crashing, b: DONE })).toMatchObject({ verdict: 'waiting', marks: ['a'] });
  });
});

describe('a StatefulSet, which waits for a pod that fails before it replaces any,', () => {
  const stuck = (over: Partial<Pod> = {}, workload: Partial<Workload> = {}, rollout: Partial<Rollout> = {}): Seen => ({
    marked: 2,
    workload: { kind: 'StatefulSet', replicas: 2, markedAtMs: T0 + 60_000, ...workload },
    rollout: { updated: 0, ...rollout },
    pods: [[1], [3, { annotations: markedWith(3), containers: CRASHING, ready: false, ...over }]],
  });

  test('has that pod of before evicted, and no other one', () => {
    expect(plan({ a: stuck() })).toMatchObject({
      verdict: 'waiting',
      evicted: ['a-1'],
      unproved: { a: expect.stringContaining('pod a-1 is evicted, for its StatefulSet would wait for it') },
    });
  });

  test.each<[string, Seen]>([
    ['that fails again after it was made anew', stuck({ createdAtMs: T0 + 61_000 })],
    ['that takes its time', stuck({ containers: [containerOf()] })],
    ['that is on its way out', stuck({ terminating: true })],
    ['of the version, which halts', stuck({ annotations: markedWith(2) })],
    ['of a Deployment, which replaces it by itself', stuck({}, { kind: 'Deployment' })],
    ['that stays because of a partition', stuck({}, {}, { stopped: 'its partition is 1' })],
    ['before its controller has seen the new template', stuck({}, {}, { observed: false })],
  ])('but none %s', (_which, seen) => {
    expect(plan({ a: seen }).evicted).toEqual([]);
  });
});

describe('a pod that was made for the version and came up with another one', () => {
  const stale = (...templates: Map<string, string>[]): Seen => ({
    workload: { templateAnnotations: new Map(templates.flatMap((one) => [...one])) },
    pods: [[1, { annotations: markedWith(2) }]],
  });
  const again = new Map([[`again.${MARKER}`, versionOf(2)]]);

  test('97: is replaced once more, in its turn, and then left to a person', () => {
    expect(plan({ a: stale(markedWith(2)) })).toMatchObject({ verdict: 'waiting', marks: ['a (again)'] });
    expect(plan({ a: DONE, b: stale(markedWith(2)), c: ROLLING }, withMaxParallel(1)).marks).toEqual([]);
    expect(plan({ a: stale(markedWith(2), again) })).toMatchObject({
      marks: [],
      unproved: { a: expect.stringMatching(/mounts version .*; it was rolled twice for this version$/) },
    });
  });

  test.each<[string, Seen]>([
    ['a rollout that is not over', { ...stale(markedWith(2)), rollout: { updated: 0 } }],
    ['a pod that is not ready', { ...stale(markedWith(2)), pods: [[1, { annotations: markedWith(2), ready: false }]] }],
    ['a pod of before that stays', { ...stale(markedWith(2)), pods: [[1, { annotations: markedWith(2) }], [1]] }],
    [
      'an older second roll',
      { ...stale(markedWith(2), new Map([[`again.${MARKER}`, versionOf(1)]])), rollout: { observed: false } },
    ],
  ])('97: is not, during %s', (_name, seen) => {
    expect(plan({ a: seen }).marks).toEqual([]);
  });
});

test('a pod that no record tells of yet is replaced once more only when the driver has had its time', () => {
  const workload = workloadOf({ templateAnnotations: markedWith(2) });
  const { consumers } = consumersOf(
    SECRET,
    AT_2,
    snapshotOf({ workloads: [workload], pods: [podOf({ annotations: markedWith(2) })] }),
  );
  const marksAt = (nowMs: number) =>
    planSync({ consumers, marker: AT_2, options: DEFAULT_OPTIONS, unseen: [], nowMs }).marks.length;

  expect(marksAt(T0 + 2 * 60_000 - 1)).toBe(0);
  expect(marksAt(T0 + 2 * 60_000)).toBe(1);
});

describe('93: a template from which another hand took the marker', () => {
  const rolled = new Map([[`rolled.${MARKER}`, versionOf(2)]]);
  const left = expect.stringContaining('another hand took the marker');

  test.each<[string, Seen]>([
    ['the object remembers', { workload: { annotations: rolled }, pods: [[1]] }],
    ['a new pod shows', { pods: [[1], [2, { annotations: markedWith(2), terminating: true }]] }],
  ])('is not marked again, keeps no other one waiting, and is named: %s', (_how, seen) => {
    const fleet = { a: seen, b: OLD };
    expect(plan(fleet)).toMatchObject({ marks: ['b'], unproved: { a: left }, causes: { a: 'reverted' } });
  });

  test('is waited for while its pods are replaced, and proved by what they mount then', () => {
    const seen: Seen = { workload: { annotations: rolled }, rollout: { updated: 0 }, pods: [[1]] };
    expect(plan({ a: seen, b: OLD })).toMatchObject({ marks: ['b'], unproved: { a: left }, causes: {} });
    expect(plan({ a: { ...seen, rollout: {}, pods: [[2]] } }).verdict).toBe('converged');
  });

  test('is no such thing after AWSCURRENT moved on and back: pods of then still carry the marker', () => {
    const back: Seen = {
      marked: 3,
      pods: [
        [3, { annotations: markedWith(3) }],
        [2, { annotations: markedWith(2) }],
      ],
    };
    expect(plan({ a: back }).marks).toEqual(['a']);
  });

  test('and all else of it is not marked again either by the passes that follow', () => {
    expect(plan({ a: OLD, b: OLD }, { rolled: new Set(['prod/Deployment/shop/a']) }).marks).toEqual(['b']);
  });
});

test.each<[string, Seen, string]>([
  ['image', { ...FAILING, pods: [[1], [2, failingWith('ErrImagePull')]] }, 'image'],
  ['crash loop', FAILING, 'crash'],
  ['container', { ...FAILING, pods: [[1], [2, failingWith('CreateContainerConfigError')]] }, 'container'],
  [
    'progress deadline',
    { ...ROLLING, rollout: { updated: 1, failure: 'ProgressDeadlineExceeded' } },
    'progress-deadline',
  ],
  ['quota, or admission of pods', { ...ROLLING, rollout: { updated: 0, failure: 'FailedCreate' } }, 'pods-refused'],
  ['paused', { ...ROLLING, rollout: { updated: 0, stopped: 'it is paused' } }, 'stopped'],
])('92: the cause is told in a word: %s', (_name, seen, cause) => {
  expect(plan({ a: seen }).causes).toEqual({ a: cause });
});

describe('the order in which a next version would be rolled', () => {
  const stages = (fleet: Readonly<Record<string, Seen>>, maxParallel = 2) =>
    stagesOf(consumersIn(fleet), maxParallel).map((stage) => stage.map(({ name }) => name));

  test('is the canary, then as many as may at a time, wave by wave', () => {
    const fleet = { a: DONE, b: DONE, c: DONE, d: inWave(0, DONE), e: inWave(2, DONE) };
    expect(stages(fleet)).toEqual([['d'], ['a', 'b'], ['c'], ['e']]);
    expect(stages(fleet, 5)).toEqual([['d'], ['a', 'b', 'c'], ['e']]);
  });

  test('leaves out what Rekey does not roll, and marks remounts all at once', () => {
    const fleet = {
      a: inMode('off', DONE),
      b: inMode('annotate', DONE),
      c: inMode('annotate', DONE),
      d: DONE,
      e: DONE,
    };
    expect(stages(fleet)).toEqual([['b', 'c', 'd'], ['e']]);
  });

  test('comes to an end where no workload has pods', () => {
    expect(stages({ a: { workload: { replicas: 0 } }, b: { workload: { replicas: 0 } } })).toEqual([['a'], ['b']]);
  });
});

test.each([
  ['later today', '10:30', '2026-11-23T10:30'],
  ['tomorrow, when it opened at this very minute', '10:00', '2026-11-24T10:00'],
])('a window opens next %s', (_when, from, opens) => {
  const [hour = 0, minute = 0] = from.split(':').map(Number);
  const days = new Set([0, 1, 2, 3, 4, 5, 6]);
  const window = { days, fromMinute: hour * 60 + minute, toMinute: 1_440 };
  expect(new Date(opensAt(window, T0)).toISOString()).toContain(opens);
});

describe('mode annotate', () => {
  test('marks the object, all of a wave at once: nothing restarts', () => {
    expect(plan({ a: inMode('annotate', OLD), b: inMode('annotate', OLD) }, withMaxParallel(1)).marks).toEqual([
      'a (object)',
      'b (object)',
    ]);
  });

  test('waits for the driver, and takes no place of those that roll', () => {
    const waiting = annotated({ pods: [[1]] }, { 'rekey.dev/mode': 'annotate', [MARKER]: versionOf(2) });
    expect(plan({ a: waiting, b: OLD }, withMaxParallel(1))).toMatchObject({
      marks: ['b'],
      unproved: { a: expect.anything() },
    });
  });
});

describe('mode annotate where no record tells about the use', () => {
  const named: Seen = annotated(
    { workload: { secretProviderClasses: [] }, pods: [[1, { secretProviderClasses: [] }]] },
    { 'rekey.dev/secrets': SECRET.name, 'rekey.dev/mode': 'annotate' },
  );

  test('is said at once, marked never, and keeps nobody waiting', () => {
    expect(plan({ a: inWave(0, named), b: OLD })).toMatchObject({
      marks: ['b'],
      unproved: {
        a: expect.stringMatching(/was not made from the marked template; rekey.dev\/mode is annotate, where/),
      },
    });
  });

  test('is proved by pods that were made from the marked template', () => {
    const pods: Seen['pods'] = [[1, { secretProviderClasses: [], annotations: markedWith(2) }]];
    expect(plan({ a: { ...named, pods } })).toMatchObject({ verdict: 'converged' });
  });
});

test('the replicas change during the roll: those that are to come are waited for, those that go prove nothing', () => {
  const made = [2, { annotations: markedWith(2) }] as const;
  const grown: Seen = { marked: 2, workload: { replicas: 3 }, rollout: { updated: 1 }, pods: [made, [1]] };
  expect(plan({ a: grown, b: OLD })).toMatchObject({ verdict: 'waiting', marks: [] });
  expect(plan({ a: { ...grown, rollout: { updated: 2 }, pods: [made, made] }, b: OLD })).toMatchObject({
    marks: [],
    unproved: { a: '1 of its 3 pods are not there' },
  });
  expect(plan({ a: { ...grown, rollout: { updated: 3 }, pods: [made, made, made] }, b: OLD }).marks).toEqual(['b']);

  const shrunk: Seen = { marked: 2, workload: { replicas: 1 }, pods: [made, [1, { terminating: true }]] };
  expect(plan({ a: shrunk, b: OLD })).toMatchObject({
    marks: [],
    unproved: { a: expect.stringContaining('a-1 mounts') },
  });
  expect(plan({ a: { ...shrunk, pods: [made] }, b: OLD }).marks).toEqual(['b']);
});

test.each([
  ['Job', 'Rekey does not restart a Job'],
  ['CronJob', 'Rekey does not restart a CronJob'],
  ['ReplicaSet', 'Rekey does not restart a ReplicaSet'],
  // One that has dropped it, or borrows its template from what is no Deployment.
  ['Rollout', 'the template of its Rollout shows no use of the secret, so Rekey does not roll that'],
])('91: the pods of a %s of which no workload is known are named, and left alone', (kind, why) => {
  const theirs = podOf({ name: 'theirs-1', controller: { kind, name: 'theirs' } });
  const { consumers } = consumersOf(SECRET, AT_2, snapshotOf({ pods: [theirs], mounts: [mountOf(theirs, 1)] }));

  expect(planSync({ consumers, marker: AT_2, options: DEFAULT_OPTIONS, unseen: [], nowMs: T0 })).toMatchObject({
    verdict: 'waiting',
    marks: [],
    unproved: [{ kind, namespace: 'shop', name: 'theirs', why: expect.stringContaining(why) }],
  });
});

describe('90: with its environment from a synced Secret', () => {
  const secrets = [{ name: 'env', as: 'variable' as const }];
  const sentence = expect.stringContaining('from Secret env');

  test('a workload that mounts the class too is rolled once, and not proved by that', () => {
    expect(plan({ a: { workload: { secrets }, pods: [[1, { secrets }]] } }).marks).toEqual(['a']);
    const rolled: Seen = { marked: 2, workload: { secrets }, pods: [[2, { secrets, annotations: markedWith(2) }]] };
    expect(plan({ a: rolled })).toMatchObject({ verdict: 'waiting', marks: [], proved: [], unproved: { a: sentence } });
  });

  test('one that mounts no class is named, never rolled and never proved, whatever becomes of it', () => {
    const alone = { secrets, secretProviderClasses: [], containers: [containerOf({ mounts: [] })] };
    const seen: Seen = { workload: { secrets, secretProviderClasses: [] }, pods: [[1, alone]] };
    expect(plan({ a: seen })).toMatchObject({ verdict: 'waiting', marks: [], unproved: { a: sentence } });
    const crashing: Seen = { ...seen, pods: [[1, { ...alone, containers: CRASHING, ready: false }]] };
    expect(plan({ a: crashing })).toMatchObject({ verdict: 'waiting', marks: [], proved: [] });
    const empty: Seen = { workload: { ...seen.workload, replicas: 0 } };
    expect(plan({ a: empty })).toMatchObject({ verdict: 'waiting', unproved: { a: sentence } });
  });

  test('holds up no other one', () => {
    const rolled: Seen = { marked: 2, workload: { secrets }, pods: [[2, { secrets, annotations: markedWith(2) }]] };
    expect(plan({ a: inWave(0, rolled), b: OLD })).toMatchObject({ marks: ['b'] });
  });
});

describe('unusual workloads', () => {
  test('91: no replicas: nothing to prove, nothing to mark', () => {
    expect(plan({ a: { workload: { replicas: 0 } } })).toMatchObject({
      verdict: 'converged',
      marks: [],
      proved: ['a'],
    });
  });

  test.each(['it is paused', 'its update strategy is OnDelete: delete them yourself', 'its partition is 1'])(
    '91: marked, and halts the later waves with the reason why old pods stay, but nobody of its own wave: %s',
    (stopped) => {
      const rollout = { stopped, updated: 0 };
      expect(plan({ a: { ...OLD, rollout } }).marks).toEqual(['a']);
      const stays = { ...ROLLING, rollout };
      const halted = {
        verdict: 'halted',
        failed: ['a'],
        causes: { a: 'stopped' },
        unproved: { a: expect.stringContaining(stopped) },
      };
      expect(plan({ a: stays })).toMatchObject({ ...halted, marks: [] });
      expect(plan({ a: stays, b: inWave(2, OLD) })).toMatchObject({ ...halted, marks: [] });
      expect(plan({ a: stays, b: OLD, c: inWave(2, OLD) })).toMatchObject({ ...halted, marks: ['b'] });
    },
  );

  describe('with OnDelete that asks for evictions', () => {
    const asking = (pods: Seen['pods'], rollout: Partial<Rollout> = {}): Seen =>
      annotated(
        {
          marked: 2,
          workload: { kind: 'StatefulSet', replicas: 2 },
          rollout: { updated: 0, onDelete: true, stopped: 'its update strategy is OnDelete', ...rollout },
          ...(pods && { pods }),
        },
        { 'rekey.dev/on-delete': 'evict' },
      );
    const renewed = { annotations: markedWith(2) };

    test('has one pod evicted, and the next one when that is proved', () => {
      expect(plan({ a: asking([[1], [1]]) })).toMatchObject({ evicted: ['a-0'], marks: [], causes: {} });
      expect(plan({ a: asking([[2, renewed], [1]]) }).evicted).toEqual(['a-1']);
      expect(
        plan({
          a: asking(
            [
              [2, renewed],
              [2, renewed],
            ],
            { updated: 2 },
          ),
        }),
      ).toMatchObject({
        verdict: 'converged',
        evicted: [],
      });
    });

    test.each<[string, Seen]>([
      ['one pod is missing', asking([[1]])],
      ['one pod is on its way out', asking([[1, { terminating: true }], [1], [1]])],
      ['one pod is not ready', asking([[1, { ready: false }], [1]])],
      ['the new pod is not proved', asking([[1, renewed], [1]])],
      ['its controller has not seen the template', asking([[1], [1]], { observed: false })],
      ['a new pod fails', asking([[2, { ...renewed, containers: CRASHING, ready: false }], [1]])],
      ['its pods are replaced by their controller', asking([[1], [1]], { onDelete: false })],
      ['it does not ask', annotated(asking([[1], [1]]), { 'rekey.dev/on-delete': 'wait' })],
      ['it is not marked yet', (({ marked: _not, ...rest }) => rest)(asking([[1], [1]]))],
    ])('has none evicted while %s', (_why, seen) => {
      expect(plan({ a: seen }).evicted).toEqual([]);
    });

    test('has none evicted outside of the window, and keeps the next workload waiting', () => {
      const held = { options: { ...DEFAULT_OPTIONS, holdUntilMs: T0 + 60_000 } };
      expect(plan({ a: asking([[1], [1]]) }, held).evicted).toEqual([]);
      expect(plan({ a: asking([[1], [1]]), b: OLD }).marks).toEqual([]);
    });
  });

  describe('of Argo Rollouts', () => {
    const restarted = (pods: Seen['pods'], rollout: Partial<Rollout> = {}): Seen => ({
      marked: 2,
      workload: { kind: 'Rollout', replicas: 2 },
      rollout: { updated: 2, ...rollout },
      ...(pods && { pods }),
    });
    const renewed = { annotations: markedWith(2) };

    test('is asked about the next pod that its controller will evict, which it evicts itself', () => {
      expect(plan({ a: restarted([[1], [1]]) })).toMatchObject({ askedFor: ['a-0'], evicted: [] });
      expect(plan({ a: restarted([[2, renewed], [1]]) }).askedFor).toEqual(['a-1']);
    });

    test.each<[string, Seen]>([
      ['its pods are being replaced', restarted([[1, { terminating: true }], [1]])],
      ['it is paused', restarted([[1], [1]], { stopped: 'it is paused' })],
      ['it is not restarted yet', (({ marked: _not, ...rest }) => rest)(restarted([[1], [1]]))],
    ])('is not asked about any while %s', (_why, seen) => {
      expect(plan({ a: seen }).askedFor).toEqual([]);
    });
  });

  test('92: pods that a full quota keeps away prove nothing by their absence', () => {
    const short: Seen = { ...DONE, workload: { replicas: 3 }, rollout: { updated: 1 } };
    expect(plan({ a: short })).toMatchObject({ verdict: 'waiting', unproved: { a: '2 of its 3 pods are not there' } });
  });

  test.each<[string, Partial<Rollout>, string]>([
    ['that its controller has not begun', { observed: false }, ''],
    ['of which pods are missing', { updated: 0 }, ''],
    ['whose one new pod stands beside the old one', { outdated: 1 }, ''],
    [
      'that its controller has given up',
      { outdated: 1, failure: 'ProgressDeadlineExceeded' },
      ', and its controller reports ProgressDeadlineExceeded: mend or undo that first',
    ],
  ])('93: a rollout by somebody else is waited for: one %s', (_which, rollout, more) => {
    const why = expect.stringMatching(new RegExp(`; another rollout of it is under way${more}$`));
    expect(plan({ a: { rollout, pods: [[1]] }, b: OLD })).toMatchObject({ marks: ['b'], unproved: { a: why } });
  });

  test('a workload that is being deleted is left alone, keeps no other one waiting, and proves what its pods do', () => {
    const deleted = (seen: Seen): Seen => ({ ...seen, workload: { deleting: true } });
    const why = expect.stringContaining('it is being deleted');
    expect(plan({ a: deleted(OLD), b: OLD })).toMatchObject({ marks: ['b'], unproved: { a: why } });
    expect(plan({ a: deleted({ pods: [] }), b: DONE })).toMatchObject({ verdict: 'converged', proved: ['a', 'b'] });
  });

  test('93: a marker that GitOps took away is written again, unless the pods have the version', () => {
    expect(plan({ a: { pods: [[1, { annotations: markedWith(1) }]] } }).marks).toEqual(['a']);
    expect(plan({ a: { pods: [[2, { annotations: markedWith(2) }]] } })).toMatchObject({
      verdict: 'converged',
      marks: [],
    });
  });

  test('a terminating pod on the old version keeps the secret from converging until it is gone', () => {
    const leaving: Seen = {
      marked: 2,
      pods: [
        [2, { annotations: markedWith(2) }],
        [1, { terminating: true }],
      ],
    };
    expect(plan({ a: leaving })).toMatchObject({
      verdict: 'waiting',
      unproved: { a: expect.stringContaining('a-1 mounts version') },
    });
  });

  test('a Deployment that only just comes up is not rolled a second time', () => {
    const young: Seen = { pods: [[2, { ready: false }]] };
    expect(plan({ a: young })).toMatchObject({ verdict: 'waiting', marks: [] });
  });
});

describe('hold and window', () => {
  // T0 is a Monday, 10:00 UTC.
  const days = new Set([1]);
  const at = (option: Partial<typeof DEFAULT_OPTIONS>): Partial<Situation> => ({
    options: { ...DEFAULT_OPTIONS, ...option },
  });

  test.each<[string, Partial<typeof DEFAULT_OPTIONS>, string[]]>([
    ['a hold that is over', { holdUntilMs: T0 }, ['a']],
    ['a hold', { holdUntilMs: T0 + 1 }, []],
    ['an open window', { window: { days, fromMinute: 600, toMinute: 601 } }, ['a']],
    ['a window that closes now', { window: { days, fromMinute: 540, toMinute: 600 } }, []],
    ['a window of another day', { window: { days: new Set([2]), fromMinute: 0, toMinute: 1440 } }, []],
    [
      'a window that opened the day before and crosses midnight',
      { window: { days: new Set([0]), fromMinute: 1320, toMinute: 601 } },
      ['a'],
    ],
    ['a window that crosses midnight and opens tonight', { window: { days, fromMinute: 1320, toMinute: 601 } }, []],
  ])('%s', (_name, option, marks) => {
    expect(plan({ a: OLD }, at(option))).toMatchObject({ marks, verdict: marks.length > 0 ? 'waiting' : 'held' });
  });

  test('what is under way goes on being watched', () => {
    expect(plan({ a: DONE, b: ROLLING, c: OLD }, at({ holdUntilMs: T0 + 1 }))).toMatchObject({
      verdict: 'waiting',
      marks: [],
    });
    expect(plan({ a: FAILING, c: OLD }, at({ holdUntilMs: T0 + 1 }))).toMatchObject({ verdict: 'halted' });
    expect(plan({ a: DONE }, at({ holdUntilMs: T0 + 1 }))).toMatchObject({ verdict: 'converged' });
  });
});

test('a cluster that could not be looked at keeps the secret from converging, and the others go on', () => {
  const unseen = [{ cluster: 'dr', kind: 'Cluster', namespace: '', name: 'dr', why: 'CLUSTER_UNREACHABLE: …' }];
  expect(plan({ a: OLD }, { unseen })).toMatchObject({ marks: ['a'] });
  expect(plan({ a: DONE }, { unseen })).toMatchObject({ verdict: 'waiting', unproved: { dr: expect.anything() } });
});

test('54: a Region whose replica does not have the version yet is waited for, and held up is only what is due there', () => {
  const behind = new Map([['prod', 'the replica in us-east-1 is InProgress']]);
  expect(plan({ a: OLD }, { behind })).toMatchObject({
    verdict: 'waiting',
    marks: [],
    unproved: { a: expect.stringMatching(/mounts version .*; the replica in us-east-1 is InProgress$/) },
  });
  expect(plan({ a: DONE }, { behind }).verdict).toBe('converged');
});

test('88: no consumer at all has converged', () => {
  expect(plan({})).toEqual({
    verdict: 'converged',
    marks: [],
    proved: [],
    unproved: {},
    failed: [],
    causes: {},
    evicted: [],
    askedFor: [],
  });
});
