import { beforeEach, describe, expect, test } from '@jest/globals';
import type { Cluster } from '../../../../shared/cluster/port.ts';
import { converge, delaySeconds, type Look } from '../../../../shared/consumers/converge.ts';
import { sweep } from '../../../../shared/consumers/sweep.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import type { RekeyEvent } from '../../../../shared/operations/events.ts';
import { CURRENT, PENDING, PREVIOUS, type SecretDescription } from '../../../../shared/secrets/port.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import { createFakeCluster, type FakeCluster } from '../cluster/fake-cluster.ts';
import {
  containerOf,
  DATABASE,
  externalSecretOf,
  externalStoreOf,
  markedWith,
  mountOf,
  podOf,
  SECRET,
  silentLog,
  spcOf,
  T0,
  workloadOf,
} from './observations.ts';

const MINUTE = 60_000;
const ROTATION = 'arn:aws:lambda:eu-west-1:111122223333:function:rekey-rotation-postgres';

let prod: FakeCluster;
let dr: FakeCluster;
let secret: SecretDescription | RekeyError;
let events: RekeyEvent[];
let busRefuses: boolean;
let nowMs: number;
const clock = { now: () => nowMs };

beforeEach(() => {
  nowMs = T0;
  events = [];
  secrets.others.clear();
  busRefuses = false;
  prod = createFakeCluster('prod');
  dr = createFakeCluster('dr');
  secret = secretWith();
  putOnVersion(1);
});

describe('a look', () => {
  test('at a secret that somebody deleted ends there', async () => {
    secret = new RekeyError('SECRET_NOT_FOUND', 'gone');
    expect(await look()).toEqual({ kind: 'gone' });
    secret = secretWith({ deletedAtMs: T0 });
    expect(await look()).toEqual({ kind: 'gone' });
    expect(prod.marked).toEqual([]);
  });

  test('86: at a version that is no longer current ends there', async () => {
    secret = currentIs(3, [PREVIOUS]);
    expect(await look()).toEqual({ kind: 'superseded' });
    expect(prod.marked).toEqual([]);
    expect(events).toEqual([]);
  });

  test.each([
    ['pending', [PENDING]],
    ['unknown', undefined],
  ])(
    '86: at a version that is still %s just after the event waits for a description that is not older',
    async (_is, stages) => {
      secret = currentIs(1, stages);
      nowMs = T0 + 2 * MINUTE - 1;
      expect(await look()).toEqual({ kind: 'look-again', look: LOOK, afterSeconds: 5 });
      expect(prod.marked).toEqual([]);

      nowMs = T0 + 2 * MINUTE;
      expect(await look()).toEqual({ kind: 'superseded' });
    },
  );

  test('that finds work tells so once, marks, and asks for the next look', async () => {
    const outcome = await look();

    expect(outcome).toEqual({
      kind: 'look-again',
      look: { ...LOOK, told: ['Sync Started'], rolled: ['prod/Deployment/shop/orders'] },
      afterSeconds: 5,
    });
    expect(prod.marked).toEqual(['shop/orders']);
    expect(types()).toEqual(['Sync Started']);
    expect(await look({ told: ['Sync Started'] })).toMatchObject({ kind: 'look-again' });
    expect(types()).toEqual(['Sync Started']);
  });

  test('that finds all proved tells so, with the proof and what is pinned', async () => {
    putOnVersion(2);
    prod.classes.push(spcOf([{ objectName: 'shop/database', objectVersion: 'v-1' }], { name: 'frozen' }));
    prod.workloads.push(workloadOf({ name: 'archive', secretProviderClasses: ['frozen'] }));

    expect(await look()).toEqual({ kind: 'converged' });

    expect(events).toEqual([
      {
        type: 'Secret Converged',
        detail: {
          secretArn: SECRET.arn,
          secretName: SECRET.name,
          versionId: versionOf(2),
          since: '2026-11-23T10:00:00.000Z',
          consumers: [
            {
              cluster: 'prod',
              kind: 'Deployment',
              namespace: 'shop',
              name: 'orders',
              mode: 'restart',
              pods: [
                {
                  pod: 'orders-1',
                  node: 'node-1',
                  mountedVersion: versionOf(2),
                  startedAt: '2026-11-23T10:00:01.000Z',
                  evidence: [{ kind: 'mount', secretProviderClass: 'database', mountedAt: '2026-11-23T10:00:00Z' }],
                },
              ],
            },
          ],
          clusters: [
            { cluster: 'prod', region: 'eu-west-1', seen: true, proved: 1, pods: 1, unproved: 0 },
            { cluster: 'dr', region: 'eu-west-1', seen: true, proved: 0, pods: 0, unproved: 0 },
          ],
          pinned: [
            {
              cluster: 'prod',
              kind: 'Deployment',
              namespace: 'shop',
              name: 'archive',
              why: 'frozen pins the secret to version v-1',
            },
          ],
        },
      },
    ]);
  });

  describe('at a secret that nobody uses', () => {
    beforeEach(() => {
      prod.workloads = [];
      prod.pods = [];
    });

    test('88: ends without a word', async () => {
      expect(await look()).toEqual({ kind: 'unused' });
      expect(events).toEqual([]);
    });

    test('88: tells so when rekey:retire waits for it', async () => {
      secret = secretWith({ tags: new Map([['rekey:retire', 'converged']]) });
      expect(await look()).toEqual({ kind: 'converged' });
      expect(events).toEqual([
        { type: 'Secret Converged', detail: expect.objectContaining({ consumers: [], pinned: [] }) },
      ]);
    });

    test('but in a version to which it is pinned, tells so', async () => {
      prod.classes = [spcOf([{ objectName: 'shop/database', objectVersion: 'v-1' }], { name: 'frozen' })];
      prod.workloads = [workloadOf({ name: 'archive', secretProviderClasses: ['frozen'] })];
      expect(await look()).toEqual({ kind: 'converged' });
      expect(types()).toEqual(['Secret Converged']);
    });
  });

  test('100: that comes to the end of the time allowed tells what is not proved, and asks for no more', async () => {
    nowMs = T0 + 30 * MINUTE;

    expect(await look({ told: ['Sync Started'] })).toEqual({ kind: 'given-up' });

    expect(events).toEqual([
      {
        type: 'Secret Not Converged',
        detail: expect.objectContaining({
          versionId: versionOf(2),
          unproved: [expect.objectContaining({ name: 'orders', why: expect.stringContaining('mounts version') })],
          action: expect.any(String),
        }),
      },
    ]);
  });

  test('heeds rekey:converge-within', async () => {
    secret = secretWith({ tags: new Map([['rekey:converge-within', '2h']]) });
    nowMs = T0 + 30 * MINUTE;
    expect(await look()).toMatchObject({ kind: 'look-again', afterSeconds: 60 });
  });

  test('during a hold rolls nothing and asks for no more: the sweep comes back when it is over', async () => {
    secret = secretWith({ tags: new Map([['rekey:hold', '2027-01-31']]) });
    expect(await look()).toEqual({ kind: 'held' });
    expect(prod.marked).toEqual([]);
    expect(await swept()).toEqual([]);

    nowMs = Date.parse('2027-01-31T00:00:00Z');
    expect(await swept()).toHaveLength(1);
  });

  test('96: at a tag that is not understood touches nothing and says which', async () => {
    secret = secretWith({ tags: new Map([['rekey:hodl', '2027-01-31']]) });

    expect(await look()).toEqual({ kind: 'refused' });

    expect(prod.marked).toEqual([]);
    expect(events).toEqual([
      {
        type: 'Action Needed',
        detail: expect.objectContaining({ code: 'TAG_INVALID', message: expect.stringContaining('rekey:hodl') }),
      },
    ]);
    expect(await swept()).toEqual([]);
  });

  test('94: with one cluster away goes on in the other, and does not converge', async () => {
    dr.failure = new RekeyError('CLUSTER_UNREACHABLE', 'cluster "dr", listing Deployments: ECONNREFUSED');
    expect(await look()).toMatchObject({ kind: 'look-again' });
    expect(prod.marked).toEqual(['shop/orders']);

    putOnVersion(2);
    nowMs = T0 + 30 * MINUTE;
    expect(await look()).toEqual({ kind: 'given-up' });
    expect(events.at(-1)?.detail).toMatchObject({
      unproved: [{ cluster: 'dr', kind: 'Cluster', why: expect.stringContaining('ECONNREFUSED') }],
      clusters: [
        { cluster: 'prod', seen: true, proved: 1, unproved: 0 },
        { cluster: 'dr', seen: false, proved: 0, unproved: 1 },
      ],
    });
  });

  test('takes no unproved pods of a kind that is called Cluster, as CloudNativePG’s, for a cluster that was not seen', async () => {
    const controller = { kind: 'Cluster', name: 'postgres' };
    prod.workloads = [];
    prod.pods = prod.pods.map((pod) => ({ ...pod, controller }));
    nowMs = T0 + 30 * MINUTE;

    expect(await look()).toEqual({ kind: 'given-up' });

    expect(events.at(-1)?.detail).toMatchObject({
      unproved: [
        { kind: 'Cluster', name: 'postgres', why: expect.stringContaining('Rekey does not restart a Cluster') },
      ],
      clusters: [
        { cluster: 'prod', seen: true, unproved: 1 },
        { cluster: 'dr', seen: true },
      ],
    });
  });

  test('99: that waits for a slow cluster no longer than half of its time marks in the other one', async () => {
    const slow: Cluster = {
      ...dr.cluster,
      workloads: async (deadline) => {
        nowMs += deadline.remainingMs();
        throw new RekeyError('CLUSTER_UNREACHABLE', 'no answer in time');
      },
    };
    expect(await look({}, [slow, prod.cluster])).toMatchObject({ kind: 'look-again' });
    expect(nowMs - T0).toBeLessThanOrEqual(30_000);
    expect(prod.marked).toEqual(['shop/orders']);
  });

  test('54: in a Region whose replica is behind rolls nothing there until it has the version', async () => {
    const far = createFakeCluster('us', 'us-east-1');
    Object.assign(far, { classes: prod.classes, workloads: [workloadOf()], pods: prod.pods, mounts: prod.mounts });
    prod.workloads = [];
    prod.pods = [];
    secret = secretWith({ replicas: new Map([['us-east-1', 'InProgress']]) });
    await look({}, [prod.cluster, far.cluster]);
    expect(far.marked).toEqual([]);

    secret = secretWith({ replicas: new Map([['us-east-1', 'InSync']]) });
    await look({}, [prod.cluster, far.cluster]);
    expect(far.marked).toEqual(['shop/orders']);
  });

  test.each<[string, () => Partial<Pick<FakeCluster, 'classes' | 'externalSecrets' | 'externalStores'>>]>([
    ['a class names', () => ({ classes: [spcOf([{ objectName: 'shop/database' }], {}, { region: 'us-east-1' })] })],
    [
      'a store names, whose records tell no version',
      () => ({
        classes: [],
        externalSecrets: [externalSecretOf()],
        externalStores: [externalStoreOf({}, { region: 'us-east-1' })],
      }),
    ],
  ])(
    '54: in another Region than the cluster’s, which %s, has nothing read before the replica has the version',
    async (_name, reads) => {
      const asked = () => prod.externalSecrets.filter(({ steering }) => steering.annotations.size > 0);
      const touched = () => [...prod.marked, ...asked().map(({ name }) => name)];
      Object.assign(prod, reads());
      prod.workloads = [workloadOf({ secrets: [{ name: 'database-env', as: 'variable' }] })];
      secret = secretWith({ replicas: new Map([['us-east-1', 'InProgress']]) });
      await look({}, [prod.cluster]);
      expect(touched()).toEqual([]);

      secret = secretWith({ replicas: new Map([['us-east-1', 'InSync']]) });
      await look({}, [prod.cluster]);
      expect(touched()).toHaveLength(1);
    },
  );

  test('an error of ours in a cluster is neither convergence nor the end of the pass', async () => {
    putOnVersion(2);
    dr.classes = undefined as never;
    expect(await look()).toMatchObject({ kind: 'look-again' });
    expect(types()).not.toContain('Secret Converged');
  });

  test('94: a workload that may not be patched keeps no other one waiting', async () => {
    prod.workloads.push(workloadOf({ name: 'web' }));
    prod.pods.push(podOf({ name: 'web-1', controller: { kind: 'Deployment', name: 'web' } }));
    const done = podOf({ name: 'done-1', controller: { kind: 'Deployment', name: 'done' } });
    prod.workloads.push(workloadOf({ name: 'done' }));
    prod.pods.push(done);
    prod.mounts.push(mountOf(done, 2));
    const cluster = failingAt('orders', new RekeyError('CLUSTER_ACCESS_DENIED', 'patching: 403 Forbidden'));

    expect(await look({}, [cluster])).toMatchObject({ kind: 'look-again' });

    expect(prod.marked).toEqual(['shop/web']);
  });

  describe('at an Argo Rollout whose restart a budget holds up', () => {
    const refused = ['prod/Rollout/shop/orders'];
    const told = ['Sync Started', 'Sync Halted: prod/Rollout/shop/orders budget'];
    beforeEach(() => {
      prod.workloads = [workloadOf({ kind: 'Rollout', templateAnnotations: markedWith(2) })];
      prod.pods = [podOf({ controller: { kind: 'Rollout', name: 'orders' } })];
      for (const { name } of prod.pods) prod.protectedPods.add(name);
    });

    test('halts at the second refusal, and says that it is a budget', async () => {
      expect(await look()).toMatchObject({ look: { told: [], refused } });
      expect(await look({ refused })).toMatchObject({ look: { told: [told[1]], refused } });
      const failed = [expect.objectContaining({ cause: 'budget', why: expect.stringMatching(/PodDisruptionBudget/) })];
      expect(events).toEqual([{ type: 'Sync Halted', detail: expect.objectContaining({ failed }) }]);
    });

    test('goes on once the budget allows it, and counts the next refusal as a first one', async () => {
      prod.protectedPods.clear();
      const { look: next } = (await look({ refused, told })) as { look: Look };
      expect(next).not.toHaveProperty('refused');
      expect(next.told).toEqual(['Sync Started']);
      expect(events).toEqual([]);
    });
  });

  describe('at a canary that the cluster refuses to have rolled', () => {
    const REFUSAL = new RekeyError('CLUSTER_ACCESS_DENIED', 'patching Deployment shop/orders: 403 Forbidden');
    const run = (name: string) => {
      prod.workloads.push(workloadOf({ name }));
      prod.pods.push(podOf({ name: `${name}-1`, controller: { kind: 'Deployment', name } }));
    };

    test('94: rolls the next one alone in its place', async () => {
      run('web');
      run('zoo');
      const cluster = failingAt('orders', REFUSAL);

      await look({}, [cluster]);
      expect(prod.marked).toEqual(['shop/web']);
      await look({}, [cluster]);
      expect(prod.marked).toEqual(['shop/web']);
    });

    describe('for the second time', () => {
      const refused = ['prod/Deployment/shop/orders'];
      const told = ['Sync Started', 'Sync Halted: prod/Deployment/shop/orders patch-refused'];

      test('halts: says once who is refused and why, and rolls no later wave', async () => {
        run('web');
        prod.workloads[1] = workloadOf({ name: 'web', annotations: new Map([['rekey.dev/wave', '2']]) });
        const cluster = failingAt('orders', REFUSAL);

        expect(await look({}, [cluster])).toMatchObject({ look: { told: [], refused } });
        expect(await look({ refused }, [cluster])).toMatchObject({ look: { told: [told[1]], refused } });
        expect(await look({ refused, told }, [cluster])).toMatchObject({ look: { told, refused } });
        expect(prod.marked).toEqual([]);
        const cause = 'patch-refused';
        const why = expect.stringMatching(/not rolled yet, and may not be: .*403 Forbidden/);
        expect(events).toEqual([
          {
            type: 'Sync Halted',
            detail: expect.objectContaining({ failed: [expect.objectContaining({ name: 'orders', cause, why })] }),
          },
        ]);
        expect(prod.notes).toContainEqual(expect.stringMatching(/^orders: WaitingForSecret: .*403 Forbidden/));
      });

      test('is no news while another one takes its place, and is over once it is rolled', async () => {
        run('web');
        prod.workloads[1] = workloadOf({ name: 'web', templateAnnotations: markedWith(2) });
        expect(await look({ refused, told }, [failingAt('orders', REFUSAL)])).toMatchObject({
          look: { told, refused },
        });
        expect(prod.marked).toEqual([]);

        prod.workloads.pop();
        const { look: next } = (await look({ refused, told })) as { look: Look };
        expect(next.told).toEqual(['Sync Started']);
        expect(next).not.toHaveProperty('refused');
        expect(events).toEqual([]);
      });
    });

    test('says in the end that it is refused, and why', async () => {
      nowMs = T0 + 30 * MINUTE;
      await look({}, [failingAt('orders', REFUSAL)]);
      expect(events.at(-1)).toMatchObject({
        type: 'Secret Not Converged',
        detail: { unproved: [{ name: 'orders', why: expect.stringMatching(/not rolled yet.*403 Forbidden/) }] },
      });
    });

    test('rolls nobody in its place when its mark may be there after all', async () => {
      run('web');
      await look({}, [failingAt('orders', new RekeyError('CLUSTER_UNREACHABLE', 'patching: no answer in time'))]);
      expect(prod.marked).toEqual([]);
    });
  });

  test.each([
    ['Secret Converged', 2, 'converged'],
    ['Secret Not Converged', 1, 'given-up'],
  ])('whose "%s" the bus refuses is made again, until people can have heard of it', async (type, version, kind) => {
    putOnVersion(version);
    nowMs = T0 + 30 * MINUTE;
    busRefuses = true;
    const told = ['Sync Started'] as const;
    expect(await look({ told })).toMatchObject({ kind: 'look-again', look: { ...LOOK, told }, afterSeconds: 60 });

    busRefuses = false;
    expect(await look({ told })).toEqual({ kind });
    expect(types()).toEqual([type]);
  });

  test('remembers whom it has rolled when the bus refuses that it gave up', async () => {
    nowMs = T0 + 30 * MINUTE;
    busRefuses = true;

    expect(await look()).toMatchObject({ kind: 'look-again', look: { rolled: ['prod/Deployment/shop/orders'] } });
  });

  test('goes on when the bus refuses what nothing rests on', async () => {
    busRefuses = true;
    expect(await look()).toMatchObject({ kind: 'look-again', look: { told: [] }, afterSeconds: 5 });
    expect(prod.marked).toEqual(['shop/orders']);
  });

  test('throws when the secret cannot be described: the message comes back', async () => {
    secret = new RekeyError('SECRETS_MANAGER_UNAVAILABLE', 'throttled');
    await expect(look()).rejects.toMatchObject({ code: 'SECRETS_MANAGER_UNAVAILABLE' });
  });
});

describe('a window that does not open before the next rotation may begin', () => {
  const DAY = 24 * 60 * MINUTE;
  const opensOnSunday = new Map([['rekey:window', 'sun 01:00-02:00']]);
  const heldUntilNextYear = new Map([...opensOnSunday, ['rekey:hold', '2027-01-31'] as const]);

  test('is told once, when there is still time, with both moments', async () => {
    secret = secretWith({ tags: opensOnSunday, nextRotationMs: T0 + 2 * DAY });
    expect(await look()).toEqual({ kind: 'held' });
    expect(events).toEqual([
      {
        type: 'Action Needed',
        detail: expect.objectContaining({
          code: 'WINDOW_TOO_LATE',
          message: expect.stringMatching(
            /opens at 2026-11-29T01:00.*may begin at 2026-11-25T10:00.*from 2026-11-25T09:30/,
          ),
        }),
      },
    ]);
    await look({ told: ['WINDOW_TOO_LATE'] });
    expect(events).toHaveLength(1);
  });

  test('keeps the roll back no longer than it may: outside of it rather than with a dead credential', async () => {
    secret = secretWith({ tags: opensOnSunday, nextRotationMs: T0 + 30 * MINUTE });
    await look();
    expect(prod.marked).toEqual(['shop/orders']);
  });

  test.each([
    ['it opens in time', { nextRotationMs: T0 + 30 * DAY }],
    ['no rotation is planned', {}],
    ['rotation is off', { nextRotationMs: T0 + DAY, rotationEnabled: false }],
    ['a hold keeps the rotation back as well', { nextRotationMs: T0 + 2 * DAY, tags: heldUntilNextYear }],
  ])('is no concern where %s', async (_where, over) => {
    secret = secretWith({ tags: opensOnSunday, ...over });
    expect(await look()).toEqual({ kind: 'held' });
    expect(events).toEqual([]);
  });

  test('holds nothing back with a single user, whose old password is refused already; a hold does', async () => {
    const tags = new Map([...opensOnSunday, ['rekey:strategy', 'single-user'] as const]);
    secret = secretWith({ tags: new Map([...tags, ...heldUntilNextYear]) });
    await look();
    expect(prod.marked).toEqual([]);
    expect(events).toEqual([]);
    secret = secretWith({ tags });
    await look();
    expect(prod.marked).toEqual(['shop/orders']);
  });
});

describe('a workload of several secrets', () => {
  const OTHER = { arn: SECRET.arn.replace('shop/database', 'shop/cache'), name: 'shop/cache' };
  const stagesOfOther = (...pending: readonly string[]): SecretDescription['stages'] =>
    new Map<string, string[]>([[versionOf(7), [CURRENT]], ...pending.map((id): [string, string[]] => [id, [PENDING]])]);
  let other: SecretDescription | RekeyError;

  beforeEach(() => {
    other = secretWith({ ...OTHER, stages: stagesOfOther() });
    prod.classes = [spcOf([{ objectName: SECRET.name }, { objectName: OTHER.name }])];
    secrets.others.set(OTHER.name, () => other);
  });

  test('is marked for all of them in one patch: its one restart serves them all', async () => {
    await look();
    expect(prod.marked).toEqual(['shop/orders']);
    expect(Object.fromEntries(prod.workloads[0]?.templateAnnotations ?? [])).toEqual({
      'rekey.dev/shop-database-AbCdEf': versionOf(2),
      'rekey.dev/shop-cache-AbCdEf': versionOf(7),
    });
  });

  test('waits half a minute for one that is being rotated, and no longer', async () => {
    other = secretWith({ ...OTHER, stages: stagesOfOther(versionOf(8)) });
    nowMs = T0 + 29_999;
    expect(await look()).toMatchObject({ kind: 'look-again' });
    expect(prod.marked).toEqual([]);
    nowMs += 1;
    await look();
    expect(prod.marked).toEqual(['shop/orders']);
  });

  test('is marked for this one alone when nothing can be said of the other', async () => {
    other = new RekeyError('SECRETS_MANAGER_UNAVAILABLE', 'throttled');
    await look();
    expect([...(prod.workloads[0]?.templateAnnotations.keys() ?? [])]).toEqual(['rekey.dev/shop-database-AbCdEf']);
  });
});

describe('93: a marker that another hand takes away', () => {
  test('is told once, and not written again by any later look', async () => {
    await look();
    prod.workloads = prod.workloads.map((one) => ({ ...one, templateAnnotations: new Map() }));

    for (const told of [[], ['MARKER_REVERTED']]) await look({ told });
    expect(await swept()).toMatchObject([{ afterSeconds: 900 }]);

    expect(prod.marked).toEqual(['shop/orders']);
    expect(events.filter(({ type }) => type === 'Action Needed')).toEqual([
      { type: 'Action Needed', detail: expect.objectContaining({ code: 'MARKER_REVERTED' }) },
    ]);
  });

  test('with all other annotations is not written again by the looks that follow', async () => {
    const outcome = await look();
    const { rolled } = outcome.kind === 'look-again' ? outcome.look : LOOK;
    prod.workloads = [workloadOf({ resourceVersion: '2000' })];

    expect(await look({ rolled: rolled ?? [] })).toMatchObject({ kind: 'look-again', look: { rolled } });

    expect(prod.marked).toEqual(['shop/orders']);
  });
});

const CRASH = 'Sync Halted: prod/Deployment/shop/orders crash';

test('a halt is told again when it is another one', async () => {
  prod.workloads = [workloadOf({ templateAnnotations: markedWith(2) })];
  const crashing = { kind: 'waiting', reason: 'CrashLoopBackOff' } as const;
  const pod = podOf({ ready: false, annotations: markedWith(2), containers: [containerOf({ state: crashing })] });
  prod.pods = [pod];
  expect(await look()).toMatchObject({ look: { told: [CRASH] } });
  expect(await look({ told: [CRASH] })).toMatchObject({ look: { told: [CRASH] } });
  expect(events).toEqual([
    {
      type: 'Sync Halted',
      detail: expect.objectContaining({ failed: [expect.objectContaining({ name: 'orders', cause: 'crash' })] }),
    },
  ]);

  prod.pods = [podOf({ ready: false, annotations: markedWith(2) })];
  expect(await look({ told: [CRASH] })).toMatchObject({ look: { told: [] } });
});

test('a halt for one more workload is told, with all for whom it is halted', async () => {
  const crashing = [containerOf({ state: { kind: 'waiting', reason: 'CrashLoopBackOff' } })];
  const failing = (name: string) => {
    prod.workloads.push(workloadOf({ name, templateAnnotations: markedWith(2) }));
    const controller = { kind: 'Deployment', name };
    prod.pods.push(podOf({ name, controller, ready: false, annotations: markedWith(2), containers: crashing }));
  };
  prod.workloads = [];
  prod.pods = [];
  failing('orders');
  failing('web');
  const both = [CRASH, CRASH.replace('orders', 'web')];
  expect(await look({ told: [CRASH] })).toMatchObject({ look: { told: both } });
  expect(await look({ told: both })).toMatchObject({ look: { told: both } });
  expect(events).toEqual([
    { type: 'Sync Halted', detail: expect.objectContaining({ failed: [expect.anything(), expect.anything()] }) },
  ]);
});

describe('a halt whose secret has the tag rekey:on-failure = move-back', () => {
  const ASKED = 'Sync Halted, to move back';
  const moveBack = { rotationFunction: ROTATION, previousVersionId: versionOf(1) };
  const tags = new Map([['rekey:on-failure', 'move-back']]);
  const asked = () => events.map(({ detail }) => ('moveBack' in detail ? detail.moveBack : undefined));

  function failing(reason: string, rotationFunction: string | undefined = ROTATION) {
    const stages = new Map([
      [versionOf(2), [CURRENT]],
      [versionOf(1), [PREVIOUS]],
    ]);
    secret = secretWith({ tags, rotationFunction, stages });
    prod.workloads = [workloadOf({ templateAnnotations: markedWith(2) })];
    const containers = [containerOf({ state: { kind: 'waiting', reason } })];
    prod.pods = [podOf({ ready: false, annotations: markedWith(2), containers })];
  }

  test('asks the function that rotates the secret to move AWSCURRENT back, once', async () => {
    failing('CrashLoopBackOff');
    expect(await look()).toMatchObject({ look: { told: [CRASH, ASKED] } });
    await look({ told: [CRASH, ASKED] });
    expect(asked()).toEqual([moveBack]);
  });

  test('asks until the bus has taken it', async () => {
    failing('CrashLoopBackOff');
    busRefuses = true;
    expect(await look()).toMatchObject({ look: { told: [] } });
    busRefuses = false;
    expect(await look()).toMatchObject({ look: { told: [CRASH, ASKED] } });
  });

  test('asks when a cause that the version may be to blame for comes later', async () => {
    const told = [CRASH.replace('crash', 'image')];
    failing('ImagePullBackOff');
    expect(await look()).toMatchObject({ look: { told } });
    failing('CrashLoopBackOff');
    expect(await look({ told })).toMatchObject({ look: { told: [CRASH, ASKED] } });
    expect(asked()).toEqual([undefined, moveBack]);
  });

  test.each([
    ['nothing', undefined],
    ['another function than one of ours', ROTATION.replace('rekey', 'aws')],
  ])('asks nobody when %s rotates the secret, and tells people once how to move it back', async (_by, by) => {
    failing('CrashLoopBackOff', by ?? '');
    if (by === undefined) secret = { ...(secret as SecretDescription), rotationFunction: undefined };
    const told = [CRASH, 'NOT_MOVED_BACK'];
    expect(await look()).toMatchObject({ look: { told } });
    await look({ told });
    expect(asked()).toEqual([undefined, undefined]);
    expect(events).toEqual([
      expect.objectContaining({ type: 'Sync Halted' }),
      {
        type: 'Action Needed',
        detail: expect.objectContaining({
          code: 'NOT_MOVED_BACK',
          message: expect.stringContaining(
            `--secret-id ${SECRET.arn} --version-stage AWSCURRENT --remove-from-version-id ${versionOf(2)} --move-to-version-id ${versionOf(1)}`,
          ),
          stillWorks: expect.stringContaining('The old pods keep running'),
        }),
      },
    ]);
  });

  test('may be asked for again once it went on', async () => {
    failing('CrashLoopBackOff');
    prod.pods = [podOf({ ready: false, annotations: markedWith(2) })];
    expect(await look({ told: [CRASH, ASKED] })).toMatchObject({ look: { told: [] } });
  });
});

test.each([
  [0, 5],
  [49_999, 5],
  [120_000, 12],
  [15 * MINUTE, 60],
  [30 * MINUTE - 4_000, 4],
])('after %d ms the next look is %d s away', (ageMs, seconds) => {
  expect(delaySeconds(ageMs, 30 * MINUTE)).toBe(seconds);
});

describe('the sweep', () => {
  test('asks at once for a look at what was never started, as if nobody had heard of it', async () => {
    expect(await swept()).toEqual([{ look: { ...LOOK, passesLeft: 2 }, afterSeconds: 0 }]);
    expect(prod.marked).toEqual([]);
  });

  test('asks for a look at what only waits when the next sweep is due: people heard of it', async () => {
    prod.workloads = prod.workloads.map((one) => ({ ...one, templateAnnotations: markedWith(2) }));
    expect(await swept()).toEqual([{ look: { ...LOOK, told: ['Sync Started'], passesLeft: 2 }, afterSeconds: 900 }]);
  });

  test("its look that finds nothing to mark tells nobody, and ends after the next sweep's own", async () => {
    prod.workloads = prod.workloads.map((one) => ({ ...one, annotations: new Map([['rekey.dev/mode', 'off']]) }));
    nowMs = T0 + 45 * MINUTE;
    expect(await look({ passesLeft: 2 })).toEqual({
      kind: 'look-again',
      look: { ...LOOK, passesLeft: 1 },
      afterSeconds: 900,
    });
    expect(await look({ passesLeft: 1 })).toEqual({ kind: 'left-to-sweep' });
    expect(events).toEqual([]);
  });

  test('its look that may mark nothing tells nobody that a roll has started', async () => {
    const refusing = failingAt('orders', new RekeyError('CLUSTER_ACCESS_DENIED', '403'));
    expect(await look({ passesLeft: 1 }, [refusing])).toEqual({ kind: 'left-to-sweep' });
    expect(events).toEqual([]);
  });

  test('its look that marks goes on like any other, with the whole time for it', async () => {
    nowMs = T0 + 45 * MINUTE;
    expect(await look({ passesLeft: 1 })).toEqual({
      kind: 'look-again',
      look: { ...LOOK, lookingSinceMs: nowMs, told: ['Sync Started'], rolled: ['prod/Deployment/shop/orders'] },
      afterSeconds: 5,
    });
    expect(types()).toEqual(['Sync Started']);
  });

  test('its look announces that a secret has converged, since somebody put its pods right', async () => {
    putOnVersion(2);
    expect(await look({ passesLeft: 1 })).toEqual({ kind: 'converged' });
    expect(types()).toEqual(['Secret Converged']);
  });

  test('has a convergence told that nobody heard of, and then no more', async () => {
    putOnVersion(2);
    prod.workloads = [workloadOf({ templateAnnotations: markedWith(2) })];
    const asked = await swept();
    expect(asked).toMatchObject([{ afterSeconds: 0 }]);

    expect(await look({ passesLeft: 2 })).toEqual({ kind: 'converged' });
    expect(await look({ passesLeft: 1 })).toEqual({ kind: 'converged' });
    expect(types()).toEqual(['Secret Converged']);
    expect(await swept()).toEqual([]);
    expect(prod.workloads[0]?.templateAnnotations).toEqual(markedWith(2));
  });

  test('asks for nothing when all is proved', async () => {
    putOnVersion(2);
    expect(await swept()).toEqual([]);
  });

  test('asks once for a secret that is named in several ways', async () => {
    prod.classes.push(spcOf([{ objectName: SECRET.arn }, { objectName: SECRET.arn.slice(0, -7) }], { name: 'again' }));
    expect(await swept()).toHaveLength(1);
  });

  test('goes on past a secret that cannot be described and a cluster that is away', async () => {
    prod.classes.push(spcOf([{ objectName: 'shop/unknown' }], { name: 'unknown' }));
    dr.failure = new RekeyError('CLUSTER_UNREACHABLE', 'ECONNREFUSED');
    expect(await swept()).toHaveLength(1);
  });
});

const LOOK: Look = {
  secretArn: SECRET.arn,
  secretName: SECRET.name,
  versionId: versionOf(2),
  sinceMs: T0,
  lookingSinceMs: T0,
  told: [],
};

const secrets = {
  /** Secrets beside the one of the look. */
  others: new Map<string, () => SecretDescription | RekeyError>(),
  async describe(secretId: string) {
    const other = secrets.others.get(secretId)?.();
    if (other instanceof RekeyError) throw other;
    if (other !== undefined) return other;
    if (secret instanceof RekeyError) throw secret;
    if (secretId === 'shop/unknown') throw new RekeyError('SECRET_NOT_FOUND', secretId);
    return secret;
  },
};

function look(over: Partial<Look> = {}, clusters = [prod.cluster, dr.cluster]) {
  const announcer = { announce: async (event: RekeyEvent) => !busRefuses && events.push(event) > 0 };
  return converge(
    { ...LOOK, ...over },
    { secrets, clusters, announcer, rotationFunctions: [ROTATION], clock, log: silentLog },
    deadlineIn(60_000, clock),
  );
}

/** What a sweep asks for. */
async function swept() {
  const asked: { look: Look; afterSeconds: number }[] = [];
  const lookAgain = async (look: Look, afterSeconds: number) => void asked.push({ look, afterSeconds });
  const clusters = [prod.cluster, dr.cluster];
  await sweep({ secrets, clusters, lookAgain, clock, random: Math.random, log: silentLog }, deadlineIn(60_000, clock));
  return asked;
}

/** The cluster prod, where this workload cannot be patched. */
function failingAt(name: string, failure: RekeyError): Cluster {
  const { mark } = prod.cluster;
  return {
    ...prod.cluster,
    mark: async (...request) => {
      if (request[0].name === name) throw failure;
      return await mark(...request);
    },
  };
}

function types() {
  return events.map(({ type }) => type);
}

function secretWith(over: Partial<SecretDescription> = {}): SecretDescription {
  return {
    ...SECRET,
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([[versionOf(2), [CURRENT]]]),
    tags: new Map(),
    owningService: undefined,
    deletedAtMs: undefined,
    ...over,
  };
}

/** Version 2, whose look it is, has these labels; undefined: none is known of it. */
function currentIs(version: number, stagesOf2: readonly string[] | undefined): SecretDescription {
  const of2: [string, readonly string[]][] = stagesOf2 === undefined ? [] : [[versionOf(2), stagesOf2]];
  return secretWith({ stages: new Map([[versionOf(version), [CURRENT]], ...of2]) });
}

/** One Deployment whose one pod mounts that version. */
function putOnVersion(version: number): void {
  const pod = podOf();
  prod.classes = [DATABASE];
  prod.workloads = [workloadOf()];
  prod.pods = [pod];
  prod.mounts = [mountOf(pod, version)];
}
