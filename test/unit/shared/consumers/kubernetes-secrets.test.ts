import { describe, expect, test } from '@jest/globals';
import type { ExternalSecret, Pod, SecretProviderClass, SecretReference } from '../../../../shared/cluster/port.ts';
import { consumersOf } from '../../../../shared/consumers/consumers.ts';
import { syncRequest } from '../../../../shared/consumers/external-secrets.ts';
import type { Snapshot } from '../../../../shared/consumers/observe.ts';
import { planSync } from '../../../../shared/consumers/plan.ts';
import type { Times } from '../../../../shared/consumers/pod-uses.ts';
import { DEFAULT_OPTIONS } from '../../../../shared/secrets/tags.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import {
  containerOf,
  DATABASE,
  driverOf,
  externalSecretOf,
  externalStoreOf,
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

/** Uses by a Kubernetes Secret, which Rekey never reads. */

const AT_2 = { annotation: MARKER, versionId: versionOf(2) };
const MINUTE_MS = 60_000;
const AGAIN = `again.${MARKER}`;

function look(over: Partial<Snapshot>, times: Times = { nowMs: T0 + 10 * MINUTE_MS, movedAtMs: T0 }) {
  const found = consumersOf(SECRET, AT_2, snapshotOf({ externalStores: [externalStoreOf()], ...over }), times);
  const plan = planSync({
    ...found,
    marker: AT_2,
    options: DEFAULT_OPTIONS,
    unseen: [],
    nowMs: times.nowMs,
  });
  return {
    found,
    plan,
    verdict: plan.verdict,
    actions: plan.actions.map(({ kind }) => kind),
    marks: plan.marks.map(({ workload: { name }, again }) => (again ? `${name} (again)` : name)),
    unproved: plan.unproved.map(({ why }) => why).join(),
    evidence: plan.proved.flatMap(({ pods }) => pods.flatMap(({ evidence }) => evidence)),
  };
}

const REFERENCE: SecretReference = { name: 'database-env', as: 'variable' };

/** A pod that takes its variables from the Secret, and started so long after T0. */
function podAt(startedMs: number, over: Partial<Pod> = {}, as: SecretReference['as'] = 'variable'): Pod {
  const secrets = [{ ...REFERENCE, as }];
  const state = { kind: 'started', startedAtMs: T0 + startedMs } as const;
  return podOf({
    secretProviderClasses: [],
    secrets,
    containers: [containerOf({ mounts: [], secrets, state })],
    ...over,
  });
}

const TAKES = { secretProviderClasses: [], secrets: [REFERENCE] };

/** As the operator leaves it, asked at T0 + 1 min and read a second later. */
function synced(over: Partial<ExternalSecret> = {}): ExternalSecret {
  const external = externalSecretOf();
  const annotations = syncRequest(external, AT_2, T0 + MINUTE_MS);
  return {
    ...external,
    steering: { ...external.steering, annotations },
    refreshedAtMs: T0 + MINUTE_MS + 1_000,
    syncedResourceVersion: '1-after',
    ...over,
  };
}

describe('a workload with a Secret of an ExternalSecret', () => {
  const stale = { classes: [], workloads: [workloadOf(TAKES)], pods: [podAt(-MINUTE_MS)] };

  test('waits until that was asked to read again: nothing restarts before', () => {
    const seen = look({ ...stale, externalSecrets: [externalSecretOf()] });

    expect(seen).toMatchObject({ verdict: 'waiting', actions: ['force-sync'], marks: [] });
    expect(seen.found.syncs).toEqual([
      expect.objectContaining({
        externalSecret: expect.objectContaining({ name: 'database' }),
        consumers: [expect.objectContaining({ name: 'orders' })],
      }),
    ]);
  });

  test('waits while that was asked and has not read: it is not asked twice', () => {
    const waiting = synced({ syncedResourceVersion: '1-before' });

    expect(look({ ...stale, externalSecrets: [waiting] })).toMatchObject({
      verdict: 'waiting',
      actions: [],
      marks: [],
      unproved: expect.stringContaining('ExternalSecret shop/database was asked to read again, and has not yet'),
    });
  });

  test('is restarted once that has read', () => {
    expect(look({ ...stale, externalSecrets: [synced()] })).toMatchObject({ actions: [], marks: ['orders'] });
  });

  test.each(['variable', 'file', 'subPath'] as const)('is proved by pods of the marked template: %s', (as) => {
    const secrets = [{ ...REFERENCE, as }];
    const workload = workloadOf({ ...TAKES, secrets, templateAnnotations: markedWith(2) });
    const pod = podAt(2 * MINUTE_MS, { annotations: markedWith(2) }, as);
    // The operator goes on reading every hour.
    const later = synced({ refreshedAtMs: T0 + 60 * MINUTE_MS });

    const seen = look({ classes: [], workloads: [workload], pods: [pod], externalSecrets: [later] });

    expect(seen).toMatchObject({ verdict: 'converged', marks: [] });
    expect(seen.evidence).toEqual([
      {
        kind: 'external-secret',
        name: 'database',
        refreshedAt: '2026-11-23T11:00:00Z',
        syncedResourceVersion: '1-after',
      },
      { kind: 'template' },
    ]);
  });

  test('is proved without a restart by pods that started after it was read', () => {
    const pods = [podAt(2 * MINUTE_MS)];
    expect(look({ ...stale, pods, externalSecrets: [synced()] })).toMatchObject({ verdict: 'converged', marks: [] });
  });

  test('is restarted when its pods started within five seconds of its being read: these are two clocks', () => {
    const pods = [podAt(MINUTE_MS + 6_000)];
    expect(look({ ...stale, pods, externalSecrets: [synced()] }).marks).toEqual(['orders']);
  });

  test('is rolled once more when the reference came into a template that was marked before', () => {
    const workload = workloadOf({ ...TAKES, templateAnnotations: markedWith(2) });
    const pods = [podAt(30_000, { annotations: markedWith(2) })];
    expect(look({ classes: [], workloads: [workload], pods, externalSecrets: [synced()] }).marks).toEqual([
      'orders (again)',
    ]);
  });

  test('is not restarted for a secret that never moved since its pods started: nobody can tell, and it says so', () => {
    const seen = look({ ...stale, externalSecrets: [synced()] }, { nowMs: T0 + 10 * MINUTE_MS });
    expect(seen).toMatchObject({ marks: [], unproved: expect.stringContaining('restart it to be sure') });
    const longAgo = { nowMs: T0 + 10 * MINUTE_MS, movedAtMs: T0 - 48 * 60 * MINUTE_MS };
    expect(look({ ...stale, externalSecrets: [synced()] }, longAgo).marks).toEqual([]);
  });

  test.each<[string, Partial<ExternalSecret>]>([
    ['CreatedOnce', { refresh: { kind: 'created-once' } }],
    ['refreshInterval 0', { refresh: { kind: 'periodic', everyMs: 0 } }],
    ['immutable', { immutable: true }],
  ])('is left alone where that never reads again, and told why: %s', (word, over) => {
    const seen = look({ ...stale, externalSecrets: [externalSecretOf(over)] });
    expect(seen).toMatchObject({ verdict: 'waiting', actions: [], marks: [], unproved: expect.stringContaining(word) });
  });

  test('holds up no other when that never reads again', () => {
    const other = workloadOf({ name: 'web' });
    const pod = podOf({ name: 'web-1', controller: { kind: 'Deployment', name: 'web' } });
    const seen = look({
      workloads: [workloadOf({ ...TAKES, annotations: new Map([['rekey.dev/wave', '0']]) }), other],
      pods: [podAt(-MINUTE_MS), pod],
      mounts: [mountOf(pod, 1)],
      externalSecrets: [externalSecretOf({ immutable: true })],
    });
    expect(seen.marks).toEqual(['web']);
  });

  test('is asked for once, however many workloads, namespaces and ExternalSecrets of one maker there are', () => {
    const steering = {
      kind: 'ClusterExternalSecret',
      name: 'all',
      resourceVersion: '7',
      annotations: new Map(),
    } as const;
    const namespaces = ['shop', 'bank'];
    const seen = look({
      classes: [],
      workloads: namespaces.map((namespace) => workloadOf({ ...TAKES, namespace })),
      pods: namespaces.map((namespace) => podAt(-MINUTE_MS, { namespace })),
      externalSecrets: namespaces.map((namespace) => externalSecretOf({ namespace, steering })),
      externalStores: namespaces.map((namespace) => externalStoreOf({ namespace })),
    });
    expect(seen.found.syncs.map(({ consumers }) => consumers.map(({ namespace }) => namespace))).toEqual([namespaces]);
  });

  test('that is switched off has nothing asked for it', () => {
    const workloads = [workloadOf({ ...TAKES, annotations: new Map([['rekey.dev/mode', 'off']]) })];
    expect(look({ ...stale, workloads, externalSecrets: [externalSecretOf()] }).actions).toEqual([]);
  });

  test('in mode annotate has it read again, is not restarted, and is told that this proves nothing', () => {
    const workloads = [workloadOf({ ...TAKES, annotations: new Map([['rekey.dev/mode', 'annotate']]) })];
    expect(look({ ...stale, workloads, externalSecrets: [externalSecretOf()] }).actions).toEqual(['force-sync']);
    expect(look({ ...stale, workloads, externalSecrets: [synced()] })).toMatchObject({
      marks: [],
      unproved: expect.stringContaining('use restart'),
    });
  });

  test('is none where the Secret is of another namespace, or pinned', () => {
    const elsewhere = externalSecretOf({ namespace: 'bank' });
    expect(look({ ...stale, externalSecrets: [elsewhere] }).found.consumers).toEqual([]);
    const store = { kind: 'SecretStore', name: 'aws' } as const;
    const pinned = externalSecretOf({ sources: [{ kind: 'key', store, key: SECRET.name, version: 'AWSPREVIOUS' }] });
    expect(look({ ...stale, externalSecrets: [pinned] }).found).toMatchObject({
      consumers: [],
      pinned: [{ name: 'orders', why: 'ExternalSecret database pins the secret to label AWSPREVIOUS' }],
    });
  });
});

describe('a workload with a Secret that the CSI driver writes', () => {
  const SYNCED = { ...DATABASE, syncedSecrets: [{ name: 'database-env', files: [FILE] }] };
  const MOUNTS = { secretProviderClasses: ['database'], secrets: [REFERENCE] };
  const csiPod = (startedMs: number, over: Partial<Pod> = {}) => {
    const state = { kind: 'started', startedAtMs: T0 + startedMs } as const;
    return podOf({ secrets: [REFERENCE], containers: [containerOf({ secrets: [REFERENCE], state })], ...over });
  };
  const justMounted = { firstMountedAtMs: T0 + 9.5 * MINUTE_MS, changedAtMs: T0 + 9.5 * MINUTE_MS };
  const NO_ROTATION = { rotation: undefined };
  const SIXTEEN = { version: { major: 1, minor: 6 }, ...NO_ROTATION };

  function seen(
    driver: Parameters<typeof driverOf>[0],
    pod: Pod,
    mount: ReturnType<typeof mountOf>,
    marked?: Map<string, string>,
  ) {
    const workload = workloadOf({ ...MOUNTS, templateAnnotations: marked ?? new Map() });
    return look({ classes: [SYNCED], workloads: [driverOf(driver), workload], pods: [pod], mounts: [mount] });
  }

  test('waits, with rotation on, until the driver has mounted the version in every pod', () => {
    const pod = csiPod(-MINUTE_MS);
    expect(seen({}, pod, mountOf(pod, 1))).toMatchObject({
      marks: [],
      unproved: expect.stringContaining('pod orders-1 has not mounted it'),
    });
  });

  test('waits a moment more for the Secret, and is then restarted', () => {
    const pod = csiPod(-MINUTE_MS);
    const justNow = mountOf(pod, 2, { firstMountedAtMs: T0 - MINUTE_MS, changedAtMs: T0 + 9.5 * MINUTE_MS });
    expect(seen({}, pod, justNow)).toMatchObject({ marks: [], unproved: expect.stringContaining('about to write it') });
    const before = mountOf(pod, 2, { firstMountedAtMs: T0 - MINUTE_MS, changedAtMs: T0 + 5 * MINUTE_MS });
    expect(seen({}, pod, before).marks).toEqual(['orders']);
  });

  test.each<[string, SecretProviderClass]>([
    [
      'of a parameter that points at the secret',
      spcOf([
        { objectName: '/aws/reference/secretsmanager/shop/database', objectType: 'ssmparameter', objectAlias: 'db' },
      ]),
    ],
    [
      'of another secret, which stands by',
      spcOf(
        [{ objectName: 'shop/database', objectAlias: 'db', failoverObject: { objectName: 'shop/spare' } }],
        {},
        { failoverRegion: 'eu-central-1' },
      ),
    ],
    ['of nobody knows what, as it cannot be read', spcOf('- objectName: "shop/database')],
  ])('is never proved by pods of the marked template where the record is that %s, and says so', (_name, spc) => {
    const annotations = new Map([...markedWith(2), [AGAIN, versionOf(2)]]);
    const workload = workloadOf({ ...TAKES, templateAnnotations: annotations });
    const keeper = podOf({ name: 'keeper', controller: undefined });
    const seen = (driver: Parameters<typeof driverOf>[0]) =>
      look({
        classes: [{ ...spc, syncedSecrets: [{ name: 'database-env', files: ['db'] }] }],
        workloads: [driverOf(driver), workload],
        pods: [podAt(9 * MINUTE_MS, { annotations }), keeper],
        mounts: [mountOf(keeper, 2, { versions: new Map([['db', '1']]) })],
      });

    for (const driver of [{}, SIXTEEN])
      expect(seen(driver)).toMatchObject({
        marks: [],
        unproved: expect.stringMatching(/has its environment from Secret database-env.*no record tells with which/),
      });
  });

  test('is proved by pods of the marked template', () => {
    const pod = csiPod(9 * MINUTE_MS, { annotations: markedWith(2) });
    const mount = mountOf(pod, 2, { firstMountedAtMs: T0 + 9 * MINUTE_MS, changedAtMs: T0 + 9 * MINUTE_MS });
    const result = seen({}, pod, mount, markedWith(2));
    expect(result).toMatchObject({ verdict: 'converged' });
    expect(result.evidence.map(({ kind }) => kind)).toEqual(['mount', 'synced-secret', 'template']);
  });

  test('98: is rolled twice with 1.6 and rotation off: the first restart brings the mounts, the second the variables', () => {
    const old = csiPod(-MINUTE_MS);
    expect(seen(SIXTEEN, old, mountOf(old, 1)).marks).toEqual(['orders']);

    const once = csiPod(MINUTE_MS, { annotations: markedWith(2) });
    const fresh = mountOf(once, 2, { firstMountedAtMs: T0 + MINUTE_MS, changedAtMs: T0 + MINUTE_MS });
    expect(seen(SIXTEEN, once, fresh, markedWith(2)).marks).toEqual(['orders (again)']);

    const marked = new Map([...markedWith(2), [AGAIN, versionOf(2)]]);
    const twice = csiPod(MINUTE_MS, { annotations: marked });
    expect(seen(SIXTEEN, twice, fresh, marked)).toMatchObject({ verdict: 'converged', marks: [] });
  });

  test('is rolled the second time a moment after the mounts of the first, which the driver writes the Secret from', () => {
    const once = csiPod(9.5 * MINUTE_MS, { annotations: markedWith(2) });
    expect(seen(SIXTEEN, once, mountOf(once, 2, justMounted), markedWith(2))).toMatchObject({
      marks: [],
      unproved: expect.stringContaining('about to write it'),
    });
  });

  test('fails in its second restart at once: nothing is waited for any more', () => {
    const marked = new Map([...markedWith(2), [AGAIN, versionOf(2)]]);
    const state = { kind: 'waiting', reason: 'CrashLoopBackOff' } as const;
    const containers = [containerOf({ secrets: [REFERENCE], state, restarts: 1, exitCode: 1 })];
    const twice = csiPod(9.5 * MINUTE_MS, { annotations: marked, containers });
    expect(seen(SIXTEEN, twice, mountOf(twice, 2, justMounted), marked)).toMatchObject({
      verdict: 'halted',
      unproved: expect.stringContaining('CrashLoopBackOff'),
    });
  });

  test('is rolled the second time only when every pod that the Secret is written from has the version', () => {
    const once = csiPod(MINUTE_MS, { annotations: markedWith(2) });
    const other = podOf({ name: 'web-1', controller: { kind: 'Deployment', name: 'web' } });
    const result = look({
      classes: [SYNCED],
      workloads: [
        driverOf(SIXTEEN),
        workloadOf({ ...MOUNTS, templateAnnotations: markedWith(2) }),
        workloadOf({ name: 'web', annotations: new Map([['rekey.dev/mode', 'off']]) }),
      ],
      pods: [once, other],
      mounts: [mountOf(once, 2), mountOf(other, 1)],
    });
    expect(result).toMatchObject({ marks: [], unproved: expect.stringContaining('pod web-1 has not mounted it') });
  });

  test('98: is rolled for its files with 1.5 and rotation off, and never proved: it says what to switch on', () => {
    const old = csiPod(-MINUTE_MS);
    expect(seen(NO_ROTATION, old, mountOf(old, 1)).marks).toEqual(['orders']);
    const rolled = csiPod(MINUTE_MS, { annotations: markedWith(2) });
    expect(seen(NO_ROTATION, rolled, mountOf(rolled, 2), markedWith(2))).toMatchObject({
      verdict: 'waiting',
      marks: [],
      unproved: expect.stringContaining('switch it on (enableSecretRotation)'),
    });
  });
});

describe('what makes new pods by itself', () => {
  const JOB = { namespace: 'shop', name: 'report', annotations: new Map<string, string>() };
  const controller = { kind: 'CronJob', name: 'report' };

  test('a CronJob that mounts files needs nothing: its next run mounts them anew', () => {
    const cronJobs = [{ ...JOB, secretProviderClasses: ['database'], secrets: [] }];
    expect(look({ cronJobs })).toMatchObject({ verdict: 'converged', plan: { proved: [{ kind: 'CronJob' }] } });
  });

  test('a CronJob with a run that has the version from before is told and left alone', () => {
    const cronJobs = [{ ...JOB, secretProviderClasses: ['database'], secrets: [] }];
    const pod = podOf({ name: 'report-1', controller });
    expect(look({ cronJobs, pods: [pod], mounts: [mountOf(pod, 1)] })).toMatchObject({
      marks: [],
      unproved: expect.stringMatching(/report-1 mounts version .*; Rekey does not restart a CronJob/),
    });
  });

  test('a CronJob with variables of an ExternalSecret has that read again, so that its next run has the version', () => {
    const cronJobs = [{ ...JOB, secretProviderClasses: [], secrets: [REFERENCE] }];
    expect(look({ cronJobs, externalSecrets: [externalSecretOf()] })).toMatchObject({
      verdict: 'waiting',
      actions: ['force-sync'],
    });
    expect(look({ cronJobs, externalSecrets: [synced()] })).toMatchObject({ verdict: 'converged', actions: [] });
  });
});

describe('a Rollout of Argo', () => {
  const restarted = { kind: 'Rollout', restartedAtMs: T0 + MINUTE_MS } as const;
  const controller = { kind: 'Rollout', name: 'orders' };

  test('is proved by pods made since its restart, as others are by those of the marked template', () => {
    const workload = workloadOf({ ...TAKES, ...restarted, templateAnnotations: markedWith(2) });
    const before = podAt(-MINUTE_MS, { controller, createdAtMs: T0 - MINUTE_MS });
    const after = podAt(2 * MINUTE_MS, { controller, createdAtMs: T0 + 2 * MINUTE_MS });
    const of = (pod: Pod) => look({ classes: [], workloads: [workload], pods: [pod], externalSecrets: [synced()] });

    expect(of(before).verdict).toBe('waiting');
    expect(of(after).verdict).toBe('converged');
  });
});

describe('98: a pod that the CSI driver cannot serve', () => {
  test('on Fargate is told to take an ExternalSecret, and is not restarted', () => {
    const pod = podOf({ fargate: true, phase: 'Pending', ready: false, containers: [] });
    expect(look({ workloads: [workloadOf()], pods: [pod] })).toMatchObject({
      marks: [],
      unproved: expect.stringContaining('is on Fargate, where the CSI driver cannot run'),
    });
  });

  test('on a node where the driver is down is told so', () => {
    const pod = podOf({ phase: 'Pending', ready: false, containers: [] });
    const driver = driverOf({ nodes: { wanted: 3, ready: 2 } });
    expect(look({ workloads: [driver, workloadOf()], pods: [pod] }).unproved).toContain(
      'has no record of what it mounts from database (the CSI driver is ready on 2 of 3 nodes)',
    );
  });

  test('in mode annotate is told that the rotation of the driver is off, and waited for no longer', () => {
    const pod = podOf();
    const workload = workloadOf({ annotations: new Map([['rekey.dev/mode', 'annotate']]) });
    const seen = look({
      workloads: [driverOf({ rotation: undefined }), workload],
      pods: [pod],
      mounts: [mountOf(pod, 1)],
    });
    expect(seen).toMatchObject({
      marks: [],
      unproved: expect.stringContaining('the rotation of the CSI driver is off'),
    });
  });
});
