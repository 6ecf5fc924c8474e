import { ReceiveMessageCommand, SendMessageCommand, SetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { SWEEP, SYNC, SYNC_QUEUE } from '../../infra/wiring.ts';
import type { ConsumerProof, ConsumerRef, Unproved } from '../../shared/operations/events.ts';
import { type Installation, START_MS } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
import { labelUpdated } from '../unit/functions/sync/messages.ts';
import { Announcements } from './announcements.ts';
import { createApplication, rotate } from './application.ts';
import { type Deployment, describeOnEachApi, startOnSandbox } from './each-api.ts';
import { createPlainSecret, isReady, type PlainSecret, Team } from './team.ts';

/** As long as a delay of SQS is in the tests: a pass looks again after half a second, not after five. */
const QUEUE_SECOND_MS = 100;

const CONVERGED = 'Secret Converged';

function consumersIn(detail: Readonly<Record<string, unknown>>): readonly ConsumerProof[] {
  return detail['consumers'] as readonly ConsumerProof[];
}

function namesOf(refs: unknown): string[] {
  return (refs as readonly ConsumerRef[]).map(({ name }) => name).sort();
}

/** How a test puts messages on the sync queue by hand, and looks at its dead letters. */
function queueOf({ aws, queueUrlOf }: Installation) {
  const sqs = new SQSClient(aws.clientOptions);
  const url = queueUrlOf(SYNC);
  return {
    send: async (body: string) => sqs.send(new SendMessageCommand({ QueueUrl: url, MessageBody: body })),
    /** "Secret Label Updated" as EventBridge delivers it. */
    sendLabelEvent: async (secret: { readonly arn: string; readonly name: string }, versionId: string) =>
      sqs.send(
        new SendMessageCommand({
          QueueUrl: url,
          MessageBody: labelUpdated({ ...secret, stages: new Map([[versionId, ['AWSCURRENT']]]) }),
        }),
      ),
    setVisibility: async (seconds: number) =>
      sqs.send(
        new SetQueueAttributesCommand({
          QueueUrl: url,
          Attributes: { VisibilityTimeout: String(seconds) },
        }),
      ),
    deadLetters: async () => {
      const QueueUrl = `${url}-dead-letters`;
      const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, VisibilityTimeout: 0 }));
      return Messages.map(({ Body }) => Body);
    },
  };
}

describeOnEachApi('sync', (start) => {
  let environment: Deployment;
  let announcements: Announcements;
  let neglected: PlainSecret;
  let neglectedVersion: string;
  beforeAll(async () => {
    environment = await start({ queueSecondMs: QUEUE_SECOND_MS });
    announcements = new Announcements(environment);
    // Its minute passes while the other tests run.
    neglected = await createPlainSecret(environment, 'neglected', { 'rekey:converge-within': '1m' });
    const team = new Team(environment.api, 'neglected').mounts('neglected');
    await team.runs('web', { annotations: { 'rekey.dev/mode': 'off' } }).ready();
    neglectedVersion = await neglected.put();
  }, START_MS);
  afterAll(() => environment.close());
  afterEach(() => {
    environment.proxy.inject(undefined);
    environment.nodes.behave(() => undefined);
    environment.aws.disturbEvents(undefined);
  });

  const finished = (arn: string) =>
    environment.aws.functions
      .logs(environment.nameOf(SYNC))
      .filter((line) => line.includes(arn) && line.includes('sync finished')).length;

  test('after a rotation rolls the canary first, then the others, and proves every pod', async () => {
    const application = await createApplication(environment, 'shop');
    const team = new Team(environment.api, 'shop').mounts(application.secretName);
    team.runs('storefront', { annotations: { 'rekey.dev/wave': '0' } }).runs('orders');
    await team.runs('ledger', { kind: 'StatefulSet' }).ready();

    const versionId = await rotate(environment, application);
    const { detail } = await announcements.first(CONVERGED, application.secretArn, versionId);

    expect(namesOf(detail['consumers'])).toEqual(['ledger', 'orders', 'storefront']);
    for (const { name, pods } of consumersIn(detail)) {
      expect(await team.marker(name)).toBe(versionId);
      expect(pods.map(({ mountedVersion }) => mountedVersion)).toEqual([versionId, versionId]);
    }
    const patched = environment.proxy.calls.filter(({ method, path }) => method === 'PATCH' && path.includes('/shop/'));
    expect(patched[0]?.name).toBe('storefront');
    // Each was restarted once: of both Deployments there is the template before and the one after.
    expect(await team.replicaSets()).toHaveLength(4);
    const heard = await announcements.of(application.secretArn, versionId);
    // In no order: EventBridge promises none, and the rotation may tell of its end when sync has begun.
    expect(heard.map(({ type }) => type).sort()).toEqual(['Rotation Succeeded', CONVERGED, 'Sync Started']);
  });

  test('rolls for a new value of a secret that no database stands behind', async () => {
    const secret = await createPlainSecret(environment, 'tutorial');
    const team = await new Team(environment.api, 'tutorial').mounts(secret.name).runs('nginx').ready();
    const versionId = await secret.put();
    const { detail } = await announcements.first(CONVERGED, secret.arn, versionId);
    expect(consumersIn(detail)).toMatchObject([{ name: 'nginx', mode: 'restart', pods: [{}, {}] }]);
    expect(await team.marker('nginx')).toBe(versionId);
  });

  test('changes nothing in the cluster for an event that comes again, or late, of an older version', async () => {
    const secret = await createPlainSecret(environment, 'again');
    const team = await new Team(environment.api, 'again').mounts(secret.name).runs('web').ready();
    const older = await secret.put();
    await announcements.first(CONVERGED, secret.arn, older);
    const versionId = await secret.put();
    await announcements.first(CONVERGED, secret.arn, versionId);
    // The last that the pass writes.
    const told = async () => Object.entries((await team.workload('web')).metadata.annotations ?? {});
    await eventually('the record that people have heard', async () =>
      (await told()).some(([key, value]) => key.startsWith('converged.rekey.dev/') && value === versionId),
    );
    const [before, passes] = [await team.written(), finished(secret.arn)];

    const queue = queueOf(environment);
    for (const version of [versionId, older, versionId]) await queue.sendLabelEvent(secret, version);
    await eventually('three more passes', () => finished(secret.arn) >= passes + 3);

    expect(await team.written()).toEqual(before);
  });

  test('ends at the newest version when events come twice and in another order', async () => {
    const secret = await createPlainSecret(environment, 'disorder');
    const team = await new Team(environment.api, 'disorder').mounts(secret.name).runs('web').ready();
    let held = 0;
    environment.aws.disturbEvents((event) => {
      if (event.source !== 'aws.secretsmanager') return [0];
      held += 1;
      // That of the older version is held up, and comes by hand.
      return held === 1 ? [] : [0, 0, 50];
    });
    const older = await secret.put();
    const newest = await secret.put();
    for (let times = 0; times < 3; times += 1) await queueOf(environment).sendLabelEvent(secret, older);
    await announcements.first(CONVERGED, secret.arn, newest);
    await environment.aws.idle();

    expect(await team.marker('web')).toBe(newest);
    // Passes side by side may all try; the server lets one of them through.
    expect(await team.replicaSets()).toHaveLength(2);
  });

  test('halts at a canary that fails, leaves the others and its old pods alone, and goes on once it is mended', async () => {
    const secret = await createPlainSecret(environment, 'halting');
    const team = new Team(environment.api, 'halting').mounts(secret.name);
    team.runs('canary', { annotations: { 'rekey.dev/wave': '0' } });
    await team.runs('other').ready();
    const old = new Set((await team.pods('canary')).map(({ metadata }) => metadata.name));
    let broken = true;
    environment.nodes.behave(({ metadata: { name, namespace } }) =>
      broken && namespace === 'halting' && !old.has(name) ? { kind: 'crash' } : undefined,
    );
    const untouched = await team.written('other');

    const versionId = await secret.put();
    const { detail } = await announcements.first('Sync Halted', secret.arn, versionId);
    expect(namesOf(detail['failed'])).toEqual(['canary']);
    expect((detail['failed'] as Unproved[])[0]?.why).toMatch(/CrashLoopBackOff|crashes/);
    expect(await team.written('other')).toEqual(untouched);
    const canaries = await team.pods('canary');
    expect(canaries.filter((pod) => old.has(pod.metadata.name) && isReady(pod))).toHaveLength(2);

    broken = false;
    const converged = await announcements.first(CONVERGED, secret.arn, versionId);
    expect(namesOf(converged.detail['consumers'])).toEqual(['canary', 'other']);
  });

  test('names a use that is pinned to a version, and does not roll it', async () => {
    const secret = await createPlainSecret(environment, 'pinning');
    const first = await secret.put();
    const team = new Team(environment.api, 'pinning').mounts(secret.name);
    team.mounts(secret.name, { name: 'pinned', object: { objectVersion: first } });
    await team.runs('web').runs('archive', { secretProviderClass: 'pinned' }).ready();
    const untouched = await team.written('archive');

    const versionId = await secret.put();
    const { detail } = await announcements.first(CONVERGED, secret.arn, versionId);
    expect(namesOf(detail['consumers'])).toEqual(['web']);
    expect(detail['pinned']).toMatchObject([{ name: 'archive', why: expect.stringContaining(first) }]);
    expect(await team.written('archive')).toEqual(untouched);
  });

  test('is brought back by the sweep when an event was lost', async () => {
    const secret = await createPlainSecret(environment, 'lost');
    const team = await new Team(environment.api, 'lost').mounts(secret.name).runs('web').ready();
    environment.aws.disturbEvents((event) => (event.source === 'aws.secretsmanager' ? [] : [0]));
    const versionId = await secret.put();
    await environment.aws.idle();
    expect(await team.marker('web')).toBeUndefined();

    const { ok } = await environment.aws.functions.invoke(environment.nameOf(SWEEP), {});
    expect(ok).toBe(true);
    await announcements.first(CONVERGED, secret.arn, versionId);
    expect(await team.marker('web')).toBe(versionId);
  });

  test('tells who asks for a plan what it would do, and does and tells nothing', async () => {
    const secret = await createPlainSecret(environment, 'planned');
    const team = new Team(environment.api, 'planned').mounts(secret.name);
    await team
      .runs('worker')
      .runs('web', { annotations: { 'rekey.dev/wave': '0' } })
      .ready();
    environment.aws.disturbEvents((event) => (event.source === 'aws.secretsmanager' ? [] : [0]));
    const versionId = await secret.put();
    await environment.aws.idle();
    const before = await team.written();
    const planFor = (plan: string) => environment.aws.functions.invoke(environment.nameOf(SYNC), { plan });

    const { ok, payload } = await planFor(secret.name);

    expect(ok).toBe(true);
    const due = { kind: 'Deployment', namespace: 'planned', state: 'due', rolled: true, pods: 2, letters: ['B'] };
    expect(payload).toMatchObject({
      secretArn: secret.arn,
      versionId,
      verdict: 'waiting',
      clusters: [{ seen: true }],
      consumers: expect.arrayContaining(['web', 'worker'].map((name) => expect.objectContaining({ ...due, name }))),
      stages: [[{ name: 'web' }], [{ name: 'worker' }]],
    });
    expect(await team.written()).toEqual(before);
    expect(await announcements.of(secret.arn, versionId)).toEqual([]);
    expect(await planFor('planned/unknown')).toMatchObject({
      ok: false,
      payload: { errorMessage: expect.stringContaining('SECRET_NOT_FOUND') },
    });
  });

  test('puts a message that is no event into the dead-letter queue, and touches nothing for it', async () => {
    const queue = queueOf(environment);
    // The pass that told of the last convergence writes down that it did, afterwards.
    await environment.aws.idle();
    // What is overdue meanwhile is told of, and that is written down.
    const patches = () =>
      environment.proxy.calls.filter(({ method, path }) => method === 'PATCH' && !path.includes('/neglected/')).length;
    const before = patches();
    // Minutes in AWS; the number of deliveries is what counts.
    await queue.setVisibility(20);
    try {
      await queue.send('{"this": "is no event"}');
      await eventually('a dead letter', async () => (await queue.deadLetters()).includes('{"this": "is no event"}'));
    } finally {
      await queue.setVisibility(SYNC_QUEUE.visibilityTimeoutSeconds);
    }
    expect(patches()).toBe(before);
  });

  test('and sweep read no secret value, and enter the cluster with the rights that are shipped and no others', async () => {
    const secret = await createPlainSecret(environment, 'rights');
    await new Team(environment.api, 'rights').mounts(secret.name).runs('web').ready();
    await announcements.first(CONVERGED, secret.arn, await secret.put());
    await environment.aws.functions.invoke(environment.nameOf(SWEEP), {});

    const { aws, proxy, callerOf } = environment;
    const lookers = [SYNC, SWEEP].map(({ name }) => name);
    const called = aws.calls
      .filter((call) => lookers.includes(callerOf(call) ?? ''))
      .map(({ service, operation }) => `${service}:${operation}`);
    expect([...new Set(called)].sort()).toEqual([
      'eks:DescribeCluster',
      'events:PutEvents',
      'secretsmanager:DescribeSecret',
      'sqs:SendMessage',
    ]);
    expect(proxy.calls.map(({ resource }) => resource)).not.toContain('secrets');
    expect(proxy.calls.filter(({ code }) => code === 401 || code === 403)).toEqual([]);
  });

  test('100: says after the time allowed what has not converged, and why', async () => {
    const { detail } = await announcements.first('Secret Not Converged', neglected.arn, neglectedVersion, 80_000);
    expect(namesOf(detail['unproved'])).toEqual(['web']);
    expect((detail['unproved'] as Unproved[])[0]?.why).toMatch('rekey.dev/mode is off');
  }, 90_000);

  test('waits for a cluster that cannot be reached, and loses nothing', async () => {
    const secret = await createPlainSecret(environment, 'unreachable');
    const team = await new Team(environment.api, 'unreachable').mounts(secret.name).runs('web').ready();
    environment.proxy.inject(() => ({ kind: 'refuse', code: 503 }));
    const versionId = await secret.put();
    await eventually('a pass that saw no cluster', () =>
      environment.aws.functions
        .logs(environment.nameOf(SYNC))
        .some((line) => line.includes(secret.arn) && line.includes('a cluster could not be looked at')),
    );
    expect(await team.marker('web')).toBeUndefined();

    environment.proxy.inject(undefined);
    // A process leaves a cluster that gave no answer alone for half a minute.
    await announcements.first(CONVERGED, secret.arn, versionId, 80_000);
    expect(await team.marker('web')).toBe(versionId);
  }, 120_000);
});

describe('in an older cluster, whose driver remounts by itself, sync', () => {
  let environment: Deployment;
  let announcements: Announcements;
  beforeAll(async () => {
    environment = await startOnSandbox({
      queueSecondMs: QUEUE_SECOND_MS,
      servedVersions: { 'secrets-store.csi.x-k8s.io': ['v1alpha1'] },
      rotation: { enabled: true, pollMs: 200 },
    });
    announcements = new Announcements(environment);
  }, START_MS);
  afterAll(() => environment.close());

  test('finds uses and proofs where only v1alpha1 is served, over one connection for each process', async () => {
    const secret = await createPlainSecret(environment, 'alpha');
    const team = new Team(environment.api, 'alpha').mounts(secret.name, { version: 'v1alpha1' });
    await team.runs('web').ready();
    const versionId = await secret.put();
    const { detail } = await announcements.first(CONVERGED, secret.arn, versionId);
    expect(consumersIn(detail)).toMatchObject([{ name: 'web', pods: [{}, {}] }]);

    const lines = environment.aws.functions.logs(environment.nameOf(SYNC));
    const processes = lines.filter((line) => line.includes('Init Duration')).length;
    expect(lines.filter((line) => line.includes('sync finished')).length).toBeGreaterThan(1);
    expect(environment.proxy.tlsConnections()).toBeLessThanOrEqual(processes);
  });

  test('marks a workload that reads its files again on the object alone: no pod is replaced, and each is proved', async () => {
    const secret = await createPlainSecret(environment, 'rereading');
    const team = new Team(environment.api, 'rereading').mounts(secret.name, { version: 'v1alpha1' });
    await team.runs('web', { annotations: { 'rekey.dev/mode': 'annotate' } }).ready();
    const pods = async () => (await team.pods()).map(({ metadata }) => metadata.uid);
    const before = await pods();
    const versionId = await secret.put();
    const { detail } = await announcements.first(CONVERGED, secret.arn, versionId);

    expect(consumersIn(detail)).toMatchObject([{ name: 'web', mode: 'annotate', pods: [{}, {}] }]);
    expect(await team.marker('web')).toBeUndefined();
    expect(await pods()).toEqual(before);
  });

  test('does not touch a workload whose mode is off, and proves it once somebody restarts it', async () => {
    const secret = await createPlainSecret(environment, 'left');
    const team = new Team(environment.api, 'left').mounts(secret.name, { version: 'v1alpha1' });
    await team.runs('web', { annotations: { 'rekey.dev/mode': 'off' } }).ready();
    // No driver remounts as soon after the first mount as this one, and times in the API have whole seconds.
    await eventually('containers that are older than any remount', async () =>
      (await team.pods()).every(({ status }) => Date.now() - Date.parse(status?.startTime ?? '') > 2_500),
    );
    const versionId = await secret.put();
    await eventually('a pass that left it alone', () =>
      environment.aws.functions
        .logs(environment.nameOf(SYNC))
        .some((line) => line.includes(versionId) && line.includes('rekey.dev/mode is off')),
    );
    expect([await team.marker('web'), await team.ownMarker('web')]).toEqual([undefined, undefined]);

    const restarted = { 'kubectl.kubernetes.io/restartedAt': '2026-01-01T00:00:00Z' };
    await team.runs('web', { annotations: { 'rekey.dev/mode': 'off' }, templateAnnotations: restarted }).applied();
    const { detail } = await announcements.first(CONVERGED, secret.arn, versionId);
    expect(consumersIn(detail)).toMatchObject([{ name: 'web', mode: 'off', pods: [{}, {}] }]);
  });
});
