import { beforeEach, describe, expect, test } from '@jest/globals';
import { type Explanation, explain } from '../../../../shared/consumers/explain.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { CURRENT, type SecretDescription } from '../../../../shared/secrets/port.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import { createFakeCluster, type FakeCluster } from '../cluster/fake-cluster.ts';
import { containerOf, DATABASE, mountOf, podOf, SECRET, silentLog, spcOf, T0, workloadOf } from './observations.ts';

let prod: FakeCluster;
let dr: FakeCluster;
let secret: SecretDescription;
const clock = { now: () => T0 };

beforeEach(() => {
  prod = createFakeCluster('prod');
  dr = createFakeCluster('dr', 'us-east-1');
  prod.classes = [DATABASE];
  secret = {
    ...SECRET,
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([[versionOf(2), [CURRENT]]]),
    tags: new Map(),
    owningService: undefined,
    deletedAtMs: undefined,
  };
});

/** A Deployment of one pod on the current version, or another one. */
function runs(name: string, annotations: Record<string, string> = {}, version = 2) {
  const pod = podOf({ name: `${name}-1`, controller: { kind: 'Deployment', name } });
  prod.workloads.push(workloadOf({ name, annotations: new Map(Object.entries(annotations)) }));
  prod.pods.push(pod);
  prod.mounts.push(mountOf(pod, version));
}

const secrets = {
  async describe(secretId: string) {
    if (secretId !== SECRET.name && secretId !== SECRET.arn) throw new RekeyError('SECRET_NOT_FOUND', secretId);
    return secret;
  },
};

function explained(secretId = SECRET.name): Promise<Explanation> {
  const deps = { secrets, clusters: [prod.cluster, dr.cluster], clock, log: silentLog };
  return explain(secretId, deps, deadlineIn(60_000, clock));
}

describe('a plan', () => {
  test('says who uses the secret, how, where each stands, and in which order a next version would be rolled', async () => {
    runs('orders');
    runs('web', { 'rekey.dev/wave': '0' });
    runs('batch', { 'rekey.dev/mode': 'off' }, 1);

    const plan = await explained();

    expect(plan).toMatchObject({
      secretArn: SECRET.arn,
      versionId: versionOf(2),
      verdict: 'waiting',
      clusters: [
        { cluster: 'prod', region: 'eu-west-1', seen: true },
        { cluster: 'dr', region: 'us-east-1', seen: true },
      ],
    });
    expect(plan.consumers).toEqual([
      expect.objectContaining({
        name: 'orders',
        uses: ['mounts SecretProviderClass database'],
        letters: ['B'],
        wave: 1,
        pods: 1,
        state: 'proved',
        rolled: true,
      }),
      expect.objectContaining({ name: 'web', wave: 0, state: 'proved', rolled: true }),
      expect.objectContaining({
        name: 'batch',
        mode: 'off',
        state: 'left-alone',
        rolled: false,
        why: expect.stringContaining('mounts version'),
        fix: expect.stringContaining('Restart it when the secret has moved'),
      }),
    ]);
    expect(plan.stages.map((stage) => stage.map(({ name }) => name))).toEqual([['web'], ['orders']]);
  });

  test.each([
    ['a file that is read again', { 'rekey.dev/mode': 'annotate' }, 'A'],
    ['a file', {}, 'B'],
  ])('has the letter of %s', async (_what, annotations, letter) => {
    runs('orders', annotations);
    expect((await explained()).consumers).toMatchObject([{ letters: [letter] }]);
  });

  test('has the letter of a subPath, which a pod shows', async () => {
    runs('orders');
    const containers = [containerOf({ mounts: [{ secretProviderClass: 'database', subPath: true }] })];
    prod.pods = prod.pods.map((pod) => ({ ...pod, containers }));
    expect((await explained()).consumers).toMatchObject([{ letters: ['B', 'C'] }]);
  });

  test('changes nothing, whatever is due', async () => {
    runs('orders', {}, 1);
    expect(await explained(SECRET.arn)).toMatchObject({ consumers: [{ name: 'orders', state: 'due' }] });
    expect([...prod.marked, ...dr.marked]).toEqual([]);
  });

  test('says what never moves, what cannot be read, and which cluster was not seen', async () => {
    prod.classes = [
      spcOf([{ objectName: SECRET.name, objectVersion: 'v-1' }]),
      spcOf('not: a list', { name: 'broken' }),
    ];
    runs('archive');
    dr.failure = new RekeyError('CLUSTER_UNREACHABLE', 'cluster "dr": ECONNREFUSED');

    const plan = await explained();

    expect(plan.pinned).toMatchObject([{ name: 'archive', why: 'database pins the secret to version v-1' }]);
    expect(plan.faults).toMatchObject([{ where: expect.stringContaining('shop/broken') }]);
    expect(plan.clusters[1]).toMatchObject({ seen: false, why: expect.stringContaining('ECONNREFUSED') });
  });

  test('says until when a hold or a window keeps rolls back, and from when on it does not', async () => {
    secret = {
      ...secret,
      nextRotationMs: Date.parse('2026-12-01T00:00:00Z'),
      tags: new Map([
        ['rekey:hold', '2026-11-25'],
        ['rekey:window', 'sun 01:00-02:00'],
      ]),
    };
    expect((await explained()).timing).toEqual({
      holdUntil: '2026-11-25T00:00:00.000Z',
      windowOpens: '2026-11-29T01:00:00.000Z',
      rollBy: '2026-11-30T23:30:00.000Z',
    });
  });

  test('of a secret that does not exist, or has a tag that is not understood, is a typed error', async () => {
    await expect(explained('shop/unknown')).rejects.toMatchObject({ code: 'SECRET_NOT_FOUND' });
    secret = { ...secret, tags: new Map([['rekey:hodl', 'x']]) };
    await expect(explained()).rejects.toMatchObject({ code: 'TAG_INVALID' });
    secret = { ...secret, tags: new Map(), stages: new Map() };
    await expect(explained()).rejects.toMatchObject({ code: 'SECRET_NOT_FOUND' });
  });
});
