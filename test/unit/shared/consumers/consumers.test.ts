import { describe, expect, test } from '@jest/globals';
import type { SecretProviderClass } from '../../../../shared/cluster/port.ts';
import { consumersOf } from '../../../../shared/consumers/consumers.ts';
import { namespacesUsing } from '../../../../shared/consumers/manifests.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import {
  containerOf,
  DATABASE,
  FILE,
  MARKER,
  mountOf,
  podOf,
  SECRET,
  snapshotOf,
  spcOf,
  workloadOf,
} from './observations.ts';

const AT_2 = { annotation: MARKER, versionId: versionOf(2) };

function found(over: Parameters<typeof snapshotOf>[0]) {
  return consumersOf(SECRET, AT_2, snapshotOf(over));
}

describe('who uses a secret', () => {
  test.each(['Deployment', 'StatefulSet', 'DaemonSet'] as const)(
    'a %s that mounts a class which names it, with its pods',
    (kind) => {
      const pod = podOf({ controller: { kind, name: 'orders' } });

      const { consumers } = found({ workloads: [workloadOf({ kind })], pods: [pod], mounts: [mountOf(pod, 2)] });

      expect(consumers).toEqual([
        {
          ref: { cluster: 'prod', kind, namespace: 'shop', name: 'orders' },
          workload: expect.objectContaining({ name: 'orders' }),
          letters: ['B'],
          mode: 'restart',
          wave: 1,
          source: { kind: 'fresh' },
          pods: [{ pod, verdict: expect.objectContaining({ kind: 'proved' }) }],
        },
      ]);
    },
  );

  test('90: a class of the same name in another namespace is another class', () => {
    const workloads = [workloadOf(), workloadOf({ namespace: 'bank', name: 'ledger' })];
    const classes = [DATABASE, spcOf([{ objectName: 'bank/database' }], { namespace: 'bank' })];

    expect(found({ classes, workloads }).consumers.map(({ ref }) => ref.name)).toEqual(['orders']);
  });

  test('90: a second class of the same pod is looked at too', () => {
    const other = spcOf([{ objectName: 'shop/mail' }], { name: 'mail' });
    const workload = workloadOf({ secretProviderClasses: ['mail', 'database'] });

    expect(found({ classes: [other, DATABASE], workloads: [workload] }).consumers).toHaveLength(1);
  });

  test('88: none, when no class names it', () => {
    expect(found({ classes: [], workloads: [workloadOf()] })).toEqual({
      consumers: [],
      syncs: [],
      pinned: [],
      faults: [],
    });
  });

  test('91: a bare pod is one that Rekey does not touch', () => {
    const pod = podOf({ name: 'shell', controller: undefined });

    expect(found({ pods: [pod] }).consumers).toEqual([
      expect.objectContaining({
        ref: { cluster: 'prod', kind: 'Pod', namespace: 'shop', name: 'shell' },
        workload: undefined,
        mode: 'off',
      }),
    ]);
  });

  test('91: the running pods of a Job count, those that ended do not', () => {
    const controller = { kind: 'Job', name: 'report-1' };
    const pods = [
      podOf({ name: 'a', controller }),
      podOf({ name: 'b', controller, phase: 'Succeeded' }),
      podOf({ name: 'c', controller, phase: 'Failed' }),
    ];

    const [job] = found({ pods }).consumers;

    expect(job?.ref).toMatchObject({ kind: 'Job', name: 'report-1' });
    expect(job?.pods.map(({ pod }) => pod.name)).toEqual(['a']);
  });

  test('pods that still mount it count after their workload has dropped it', () => {
    const { consumers } = found({ workloads: [workloadOf({ secretProviderClasses: [] })], pods: [podOf()] });

    expect(consumers).toEqual([
      expect.objectContaining({ ref: expect.objectContaining({ name: 'orders' }), workload: undefined }),
    ]);
  });

  test('a run that still mounts it counts after its CronJob has dropped it', () => {
    const dropped = {
      namespace: 'shop',
      name: 'report',
      annotations: new Map(),
      secretProviderClasses: [],
      secrets: [],
    };
    const pod = podOf({ name: 'report-1', controller: { kind: 'CronJob', name: 'report' } });

    const { consumers } = found({ cronJobs: [dropped], pods: [pod], mounts: [mountOf(pod, 1)] });

    expect(consumers).toMatchObject([
      { ref: { kind: 'CronJob', name: 'report' }, pods: [{ verdict: { kind: 'unproved' } }] },
    ]);
  });

  test('pods from before their workload used it have nothing to prove', () => {
    const { consumers } = found({ workloads: [workloadOf()], pods: [podOf({ secretProviderClasses: [] })] });

    expect(consumers[0]?.pods).toEqual([]);
  });

  test('a workload that says so in rekey.dev/secrets, by name or ARN, and then each of its pods', () => {
    const annotations = new Map([['rekey.dev/secrets', `other, ${SECRET.arn}\nmore`]]);
    const workload = workloadOf({ secretProviderClasses: [], annotations });
    const pods = [
      podOf({ secretProviderClasses: [], annotations: new Map([[MARKER, versionOf(2)]]) }),
      podOf({ name: 'orders-2', secretProviderClasses: [] }),
    ];

    const { consumers } = found({ classes: [], workloads: [workload], pods });

    expect(consumers[0]?.pods.map(({ verdict }) => verdict.kind)).toEqual(['proved', 'unproved']);
  });

  test('a secret that is pinned is named as pinned, not rolled and not asked for proof', () => {
    const classes = [spcOf([{ objectName: 'shop/database', objectVersionLabel: 'AWSPREVIOUS' }])];
    const pod = podOf();

    expect(found({ classes, workloads: [workloadOf()], pods: [pod], mounts: [mountOf(pod, 1)] })).toEqual({
      consumers: [],
      syncs: [],
      pinned: [
        {
          cluster: 'prod',
          kind: 'Deployment',
          namespace: 'shop',
          name: 'orders',
          why: 'database pins the secret to label AWSPREVIOUS',
        },
      ],
      faults: [],
    });
  });

  test('where the driver records the version of a secret that stands by, the marker is the proof', () => {
    const object = { objectName: 'shop/database', objectAlias: 'db', failoverObject: { objectName: 'shop/spare' } };
    const classes = [spcOf([object], {}, { failoverRegion: 'eu-central-1' })];
    const unmarked = podOf();
    const marked = podOf({ name: 'orders-2', annotations: new Map([[MARKER, versionOf(2)]]) });

    // The record is of the other secret's version.
    const mounts = [mountOf(unmarked, 7), mountOf(marked, 7)];

    const { consumers } = found({ classes, workloads: [workloadOf()], pods: [unmarked, marked], mounts });

    expect(consumers[0]?.pods.map(({ verdict }) => verdict.kind)).toEqual(['unproved', 'proved']);
  });
});

describe('90: a Kubernetes Secret that the driver keeps in step with the secret', () => {
  const synced = (files: readonly string[], objects: unknown = [{ objectName: 'shop/database' }]) =>
    spcOf(objects, { syncedSecrets: [{ name: 'database-env', files }] });
  const SYNCED = synced([FILE]);
  const inEnvironment = { secretProviderClasses: [], secrets: [{ name: 'database-env', as: 'variable' as const }] };

  test('makes a consumer of who refers to it without a class: named, left alone, proved by nothing', () => {
    const pods = [podOf({ ...inEnvironment, containers: [containerOf({ mounts: [] })] })];

    const { consumers } = found({ classes: [SYNCED], workloads: [workloadOf(inEnvironment)], pods });

    expect(consumers).toEqual([
      expect.objectContaining({
        ref: expect.objectContaining({ name: 'orders' }),
        leftAlone: expect.stringContaining('does not roll it'),
        unprovable: expect.stringMatching(
          /^pod orders-1 has its environment from Secret database-env.* no DaemonSet is recognised/,
        ),
      }),
    ]);
    expect(consumers[0]?.pods[0]?.verdict.kind).toBe('unprovable');
  });

  test('keeps who mounts the class too from being proved by the mount', () => {
    const pod = podOf({ secrets: [{ name: 'database-env', as: 'variable' as const }] });
    const workload = workloadOf({ secrets: [{ name: 'database-env', as: 'variable' as const }] });

    const { consumers } = found({ classes: [SYNCED], workloads: [workload], pods: [pod], mounts: [mountOf(pod, 2)] });

    expect(consumers).toEqual([expect.objectContaining({ leftAlone: undefined })]);
    expect(consumers[0]?.pods[0]?.verdict.kind).toBe('unprovable');
  });

  test('counts for pods of a Job too', () => {
    const pods = [podOf({ ...inEnvironment, controller: { kind: 'Job', name: 'report-1' } })];

    expect(found({ classes: [SYNCED], pods }).consumers).toEqual([
      expect.objectContaining({
        ref: expect.objectContaining({ kind: 'Job', name: 'report-1' }),
        unprovable: expect.stringContaining('Secret database-env'),
      }),
    ]);
  });

  test.each<[string, SecretProviderClass]>([
    ['a file of another secret', synced(['mail'], [{ objectName: 'shop/database' }, { objectName: 'mail' }])],
    ['a pinned version', synced([FILE], [{ objectName: 'shop/database', objectVersion: 'v-1' }])],
    ['the same name in another namespace', { ...SYNCED, namespace: 'bank' }],
  ])('is not one that holds %s', (_name, spc) => {
    expect(found({ classes: [spc], workloads: [workloadOf(inEnvironment)] }).consumers).toEqual([]);
  });

  test.each<[string, object]>([
    ['an alias', { objectName: 'shop/database', objectAlias: 'db' }],
    ['a field', { objectName: 'shop/database', jmesPath: [{ path: 'password', objectAlias: 'db' }] }],
  ])('is known by %s of the secret', (_name, object) => {
    const { consumers } = found({ classes: [synced(['db'], [object])], workloads: [workloadOf(inEnvironment)] });
    expect(consumers).toHaveLength(1);
  });

  test('is known where the record is that of another secret, which stands by', () => {
    const object = { objectName: 'shop/database', objectAlias: 'db', failoverObject: { objectName: 'shop/spare' } };
    const spc = spcOf([object], { syncedSecrets: [{ name: 'database-env', files: ['db'] }] }, { failoverRegion: 'x' });
    expect(found({ classes: [spc], workloads: [workloadOf(inEnvironment)] }).consumers).toHaveLength(1);
  });
});

test('mode annotate where the record is that of another secret, which stands by, is left alone with the reason', () => {
  const object = { objectName: 'shop/database', objectAlias: 'db', failoverObject: { objectName: 'shop/spare' } };
  const classes = [spcOf([object], {}, { failoverRegion: 'eu-central-1' })];
  const leftAlone = (mode: string) => {
    const workloads = [workloadOf({ annotations: new Map([['rekey.dev/mode', mode]]) })];
    return found({ classes, workloads }).consumers[0]?.leftAlone;
  };

  expect(leftAlone('annotate')).toMatch(/mode is annotate.*use restart/);
  expect(leftAlone('restart')).toBeUndefined();
});

describe('how people steer it', () => {
  const steered = (annotations: Record<string, string>) =>
    found({ workloads: [workloadOf({ annotations: new Map(Object.entries(annotations)) })] });

  test.each(['restart', 'annotate', 'off'] as const)('rekey.dev/mode %s', (mode) => {
    expect(steered({ 'rekey.dev/mode': mode }).consumers[0]).toMatchObject({ mode });
  });

  test('96: a mode that is not understood leaves the workload alone, and is reported', () => {
    const { consumers, faults } = steered({ 'rekey.dev/mode': 'of' });

    expect(consumers[0]).toMatchObject({ mode: 'off' });
    expect(faults).toEqual([
      {
        where: 'prod: Deployment shop/orders',
        why: expect.stringContaining('rekey.dev/mode'),
        consumer: { cluster: 'prod', kind: 'Deployment', namespace: 'shop', name: 'orders' },
      },
    ]);
  });

  test('rekey.dev/wave', () => {
    expect(steered({ 'rekey.dev/wave': '0' }).consumers[0]).toMatchObject({ wave: 0 });
  });

  test('another word than evict for OnDelete is reported: nothing is evicted', () => {
    const { faults } = steered({ 'rekey.dev/on-delete': 'yes' });
    expect(faults.map(({ why }) => why)).toEqual(['rekey.dev/on-delete is not evict: nothing is evicted']);
  });

  test.each(['-1', 'first', '1.5', ''])('96: the wave "%s" is reported and taken as 1', (wave) => {
    const { consumers, faults } = steered({ 'rekey.dev/wave': wave });

    expect(consumers[0]).toMatchObject({ wave: 1 });
    expect(faults).toHaveLength(1);
  });
});

test('a class that cannot be read is reported by its name, and the others go on', () => {
  const classes = [spcOf('{', { name: 'broken' }), DATABASE];

  const { consumers, faults } = found({ classes, workloads: [workloadOf()] });

  expect(consumers).toHaveLength(1);
  expect(faults).toEqual([{ where: 'SecretProviderClass shop/broken', why: expect.any(String) }]);
});

describe('a class that cannot be read and names the secret', () => {
  const broken = (objects: string) => [spcOf(objects)];
  const BROKEN = '- objectName: "shop/database';

  test.each<[string, string]>([
    ['by its name', BROKEN],
    ['by its ARN', `- objectName: "${SECRET.arn}`],
    ['by its ARN without suffix', `objectName: ${SECRET.arn.slice(0, -7)}`],
  ])('%s: who mounts it is named with the reason, not rolled and not proved', (_name, objects) => {
    const pod = podOf();

    const { consumers } = found({ classes: broken(objects), workloads: [workloadOf()], pods: [pod] });

    expect(consumers).toEqual([
      expect.objectContaining({
        leftAlone: expect.stringContaining('does not roll it'),
        unprovable: expect.stringMatching(
          /^pod orders-1 mounts database, which names the secret and cannot be read: its/,
        ),
      }),
    ]);
    expect(consumers[0]?.pods[0]?.verdict.kind).toBe('unprovable');
  });

  test('beside one that can: the other one is rolled, and proves not the whole', () => {
    const classes = [DATABASE, spcOf(BROKEN, { name: 'broken' })];
    const both = { secretProviderClasses: ['database', 'broken'] };
    const pod = podOf(both);

    const { consumers } = found({ classes, workloads: [workloadOf(both)], pods: [pod], mounts: [mountOf(pod, 2)] });

    expect(consumers).toEqual([expect.objectContaining({ leftAlone: undefined })]);
    expect(consumers[0]?.pods[0]?.verdict.kind).toBe('unprovable');
  });

  test('its namespace is looked at', () => {
    expect([...namespacesUsing(SECRET, snapshotOf({ classes: broken(BROKEN) }))]).toEqual(['shop']);
  });

  test('a Secret that the driver writes from it counts as one that holds the secret', () => {
    const classes = [spcOf(BROKEN, { syncedSecrets: [{ name: 'database-env', files: ['x'] }] })];
    const workload = workloadOf({
      secretProviderClasses: [],
      secrets: [{ name: 'database-env', as: 'variable' as const }],
    });

    expect(found({ classes, workloads: [workload] }).consumers).toEqual([
      expect.objectContaining({ unprovable: expect.stringContaining('Secret database-env') }),
    ]);
  });

  test('mounted by nobody keeps nobody', () => {
    expect(found({ classes: broken(BROKEN) }).consumers).toEqual([]);
  });

  test('is one whose text holds its name: another keeps nobody', () => {
    const { consumers, faults } = found({ classes: broken('- objectName: "mail'), workloads: [workloadOf()] });
    expect(consumers).toEqual([]);
    expect(faults).toHaveLength(1);
  });
});
