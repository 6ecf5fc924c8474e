import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { SQSEvent } from 'aws-lambda';
import { syncBatch } from '../../functions/sync/batch.ts';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import type { Look } from '../../shared/consumers/converge.ts';
import { sweep } from '../../shared/consumers/sweep.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import type { RekeyEvent } from '../../shared/operations/events.ts';
import { CURRENT, PREVIOUS, type SecretDescription } from '../../shared/secrets/port.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { eventually } from '../sandbox/eventually.ts';
import { type KubernetesSandbox, startKubernetes } from '../sandbox/kubernetes/index.ts';
import { labelUpdated, versionOf } from '../unit/functions/sync/messages.ts';
import { silentLog } from '../unit/shared/consumers/observations.ts';

/** sync and sweep over the real adapter, against the sandbox's API server, controllers and node agent. */

const ARN = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf';
const MARKER = 'rekey.dev/shop-database-AbCdEf';

let kubernetes: KubernetesSandbox;
let cluster: ReturnType<typeof createKubernetesCluster>;
let secret: SecretDescription;
let events: RekeyEvent[];
/** What the queue holds back. Delays are not waited for. */
let queue: string[];

beforeEach(async () => {
  events = [];
  queue = [];
  secret = secretAt(1);
  kubernetes = await startKubernetes({
    clusterName: 'prod',
    readSecret: async ({ versionId }) => ({ versionId: versionId ?? current(), value: 'mounted' }),
  });
  cluster = createKubernetesCluster(
    {
      name: 'prod',
      region: 'eu-west-1',
      endpoint: async () => ({ url: kubernetes.endpoint, certificateAuthority: kubernetes.caPem }),
      bearerToken: async () => new SecretValue(kubernetes.adminToken),
    },
    clock,
  );
  kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  kubernetes.apply(secretProviderClass('database', 'shop/database'));
});

afterEach(async () => {
  await cluster.close();
  await kubernetes.close();
});

describe('one secret, two Deployments, a StatefulSet and a DaemonSet', () => {
  beforeEach(async () => {
    kubernetes.apply([
      workload('Deployment', 'storefront', { annotations: { 'rekey.dev/wave': '0' } }),
      workload('Deployment', 'orders'),
      workload('StatefulSet', 'ledger'),
      workload('DaemonSet', 'agent'),
      workload('Deployment', 'docs', { secretProviderClass: undefined }),
    ]);
    await kubernetes.idle();
    secret = secretAt(2);
  });

  test('all roll, the canary first, and every pod is proved on the new version', async () => {
    await pass(labelUpdated(secret));
    expect(marked()).toEqual(['storefront']);

    await converged();

    expect(marked()).toEqual(['agent', 'ledger', 'orders', 'storefront']);
    const [{ detail } = { detail: undefined }] = eventsOf('Secret Converged');
    expect(detail?.versionId).toBe(versionOf(2));
    expect(detail?.consumers.map(({ name, pods }) => [name, pods.length]).sort()).toEqual([
      ['agent', 3],
      ['ledger', 2],
      ['orders', 2],
      ['storefront', 2],
    ]);
    for (const consumer of detail?.consumers ?? []) {
      expect(consumer.rolledAt).toMatch(/^\d{4}-/);
      for (const pod of consumer.pods)
        expect(pod).toMatchObject({ mountedVersion: versionOf(2), node: expect.stringMatching(/./) });
    }
    expect(eventsOf('Sync Started')).toHaveLength(1);
    expect(queue).toEqual([]);
  });

  test('86: a second identical event leaves every resourceVersion as it was', async () => {
    await pass(labelUpdated(secret));
    await converged();
    const before = resourceVersions();

    await pass(labelUpdated(secret));

    expect(resourceVersions()).toEqual(before);
    expect(queue).toEqual([]);
  });

  test('86: an event of an older version, however late, restarts nothing and rolls nothing back', async () => {
    await pass(labelUpdated(secret));
    await converged();
    const before = resourceVersions();

    await pass(labelUpdated(secretAt(1)));

    expect(resourceVersions()).toEqual(before);
    expect(eventsOf('Secret Converged')).toHaveLength(1);
  });

  test('86: an event that arrives 24 hours late is acted upon, with the whole time to converge', async () => {
    await pass(labelUpdated(secret, { time: new Date(clock.now() - 86_400_000).toISOString() }));
    expect(marked()).toEqual(['storefront']);

    await converged();

    expect(eventsOf('Secret Not Converged')).toEqual([]);
  });

  test('87: AWSCURRENT moved back rolls back who had the later version', async () => {
    await pass(labelUpdated(secret));
    await converged();
    secret = secretAt(1);

    await pass(labelUpdated(secret));
    await converged(2);

    expect(eventsOf('Secret Converged').at(-1)?.detail.versionId).toBe(versionOf(1));
    for (const name of ['storefront', 'orders']) expect(markerOn('deployments', name)).toBe(versionOf(1));
  });

  test('all passes together open one TLS connection', async () => {
    kubernetes.requests.reset();

    await pass(labelUpdated(secret));
    await converged();

    expect(kubernetes.requests.tlsConnections()).toBe(1);
  });

  test('92: new pods that crash halt everything else, and the old ones keep running', async () => {
    kubernetes.behave((pod) => ({
      kind: pod.metadata.annotations?.[MARKER] === versionOf(2) ? 'crash' : 'normal',
    }));
    await pass(labelUpdated(secret));
    await passUntil('it halts', () => eventsOf('Sync Halted').length > 0);

    expect(eventsOf('Sync Halted')[0]?.detail.failed).toEqual([
      expect.objectContaining({ name: 'storefront', why: expect.stringMatching(/CrashLoopBackOff|crashes/) }),
    ]);
    for (let again = 0; again < 3; again++) await nextPass();
    expect(marked()).toEqual(['storefront']);
    expect(eventsOf('Sync Halted')).toHaveLength(1);
    const deployment = kubernetes.get('deployments', 'shop', 'storefront') as unknown as {
      status: { availableReplicas?: number };
    };
    expect(deployment.status.availableReplicas).toBeGreaterThanOrEqual(1);

    kubernetes.behave(() => ({ kind: 'normal' }));
    await converged();
  });

  test('93: an edit between look and patch goes first, and the next pass marks it', async () => {
    let edited = false;
    kubernetes.inject((call) => {
      if (call.method !== 'PATCH' || edited) return undefined;
      edited = true;
      return {
        kind: 'run',
        action: () => {
          kubernetes.apply(
            workload('Deployment', 'storefront', { annotations: { 'rekey.dev/wave': '0', team: 'web' } }),
          );
        },
      };
    });

    await pass(labelUpdated(secret));
    expect(edited).toBe(true);
    expect(marked()).toEqual([]);

    await nextPass();
    expect(marked()).toEqual(['storefront']);
  });

  test('a lost event is found by the sweep, which patches nothing itself', async () => {
    const before = resourceVersions();

    const looks = await swept();

    expect(looks).toEqual([expect.objectContaining({ secretArn: ARN, versionId: versionOf(2), told: [] })]);
    expect(resourceVersions()).toEqual(before);
  });

  test('the sweep finds nothing to do once all is proved', async () => {
    await pass(labelUpdated(secret));
    await converged();

    expect(await swept()).toEqual([]);
  });
});

test('91: a paused Deployment is marked, named, and proved once somebody resumes it', async () => {
  kubernetes.apply(workload('Deployment', 'orders', { spec: { paused: false } }));
  await kubernetes.idle();
  kubernetes.apply(workload('Deployment', 'orders', { spec: { paused: true } }));
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await nextPass(30 * 60_000);
  expect(eventsOf('Secret Not Converged')[0]?.detail.unproved).toEqual([
    expect.objectContaining({ name: 'orders', why: expect.stringContaining('it is paused') }),
  ]);

  kubernetes.apply(workload('Deployment', 'orders', { spec: { paused: false } }));
  await kubernetes.idle();
  await pass(labelUpdated(secret));
  expect(eventsOf('Secret Converged')).toHaveLength(1);
});

test('91: a StatefulSet with OnDelete is marked, and proved once its pods were deleted', async () => {
  kubernetes.apply(workload('StatefulSet', 'ledger', { spec: { updateStrategy: { type: 'OnDelete' } } }));
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await nextPass(30 * 60_000);

  expect(eventsOf('Secret Not Converged')[0]?.detail.unproved).toEqual([
    expect.objectContaining({ name: 'ledger', why: expect.stringContaining('OnDelete') }),
  ]);
});

test('91: a StatefulSet with OnDelete that asks for it has its pods evicted, until all are proved', async () => {
  const annotations = { 'rekey.dev/on-delete': 'evict' };
  kubernetes.apply(workload('StatefulSet', 'ledger', { annotations, spec: { updateStrategy: { type: 'OnDelete' } } }));
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await converged();

  expect(eventsOf('Secret Converged')[0]?.detail.consumers).toEqual([
    expect.objectContaining({ name: 'ledger', pods: [expect.anything(), expect.anything()] }),
  ]);
});

test('91: a Deployment with no replicas has nothing to prove and is left as it is', async () => {
  kubernetes.apply(workload('Deployment', 'orders', { spec: { replicas: 0 } }));
  await kubernetes.idle();
  secret = secretAt(2);
  const before = resourceVersions();

  await pass(labelUpdated(secret));

  expect(eventsOf('Secret Converged')[0]?.detail.consumers).toEqual([
    expect.objectContaining({ name: 'orders', pods: [] }),
  ]);
  expect(resourceVersions()).toEqual(before);
});

test('91: a bare pod that mounts the secret is named and not touched', async () => {
  kubernetes.apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'shell', namespace: 'shop' },
    spec: podSpec('database'),
  });
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await nextPass(30 * 60_000);

  expect(eventsOf('Secret Not Converged')[0]?.detail.unproved).toEqual([
    expect.objectContaining({
      kind: 'Pod',
      name: 'shell',
      why: expect.stringContaining('Rekey does not restart a Pod'),
    }),
  ]);
  expect(kubernetes.get('pods', 'shop', 'shell')).toBeDefined();
});

test('91: the pods of an Argo Rollout and of a Job are named by what made them, and not touched', async () => {
  kubernetes.apply({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'owner', namespace: 'shop' } });
  // The sandbox serves neither kind: an object that it does serve lends its uid, so that what they own stays.
  const { uid = '' } = kubernetes.get('configmaps', 'shop', 'owner')?.metadata ?? {};
  const ownedBy = (apiVersion: string, kind: string, name: string) => ({
    namespace: 'shop',
    labels: { app: name },
    ownerReferences: [{ apiVersion, kind, name, uid, controller: true }],
  });
  const template = { metadata: { labels: { app: 'web' } }, spec: podSpec('database') };
  kubernetes.apply([
    {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      metadata: { ...ownedBy('argoproj.io/v1alpha1', 'Rollout', 'web'), name: 'web-6d4' },
      spec: { replicas: 1, selector: { matchLabels: { app: 'web' } }, template },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { ...ownedBy('batch/v1', 'Job', 'report-1'), name: 'report-1-x' },
      spec: podSpec('database'),
    },
  ]);
  await kubernetes.idle();
  secret = secretAt(2);
  const before = resourceVersions();

  await pass(labelUpdated(secret));
  await nextPass(30 * 60_000);

  const { unproved } = eventsOf('Secret Not Converged')[0]?.detail ?? { unproved: [] };
  expect(unproved.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(['Job report-1', 'Rollout web']);
  expect(resourceVersions()).toEqual(before);
});

test('90: an environment from a synced Secret is rolled with its mount once, and keeps the secret from converging', async () => {
  const secretRef = { name: 'database-env', optional: true };
  const { volumes, containers } = podSpec('database');
  const env = (mounted: boolean, name: string) => ({
    template: {
      metadata: { labels: { app: name } },
      spec: mounted
        ? { volumes, containers: containers.map((one) => ({ ...one, envFrom: [{ secretRef }] })) }
        : { containers: [{ name: 'app', image: 'app:1', envFrom: [{ secretRef }] }] },
    },
  });
  const spc = secretProviderClass('database', 'shop/database');
  const data = [{ objectName: 'shop_database', key: 'DATABASE' }];
  const secretObjects = [{ secretName: 'database-env', type: 'Opaque', data }];
  kubernetes.apply([
    { ...spc, spec: { ...spc.spec, secretObjects } },
    workload('Deployment', 'mounts-too', { spec: env(true, 'mounts-too') }),
    workload('Deployment', 'only-env', { spec: env(false, 'only-env') }),
  ]);
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  for (let again = 0; again < 3; again++) {
    await kubernetes.idle();
    await nextPass();
  }
  expect(marked()).toEqual(['mounts-too']);
  await nextPass(30 * 60_000);

  expect(eventsOf('Secret Converged')).toEqual([]);
  expect(eventsOf('Secret Not Converged')[0]?.detail.unproved).toEqual(
    ['mounts-too', 'only-env'].map((name) =>
      expect.objectContaining({ name, why: expect.stringContaining('has its environment from Secret database-env') }),
    ),
  );
});

test('88: a secret that no workload uses converges at once, and only a tag wants to hear of it', async () => {
  secret = secretAt(2);
  await pass(labelUpdated(secret));
  expect(events).toEqual([]);

  secret = { ...secret, tags: new Map([['rekey:retire', 'converged']]) };
  await pass(labelUpdated(secret));
  expect(eventsOf('Secret Converged')[0]?.detail.consumers).toEqual([]);
  expect(queue).toEqual([]);
});

test('88: 120 workloads roll at most as many at a time as allowed', async () => {
  kubernetes.apply(
    Array.from({ length: 120 }, (_, index) => workload('Deployment', `app-${index}`, { spec: { replicas: 1 } })),
  );
  await kubernetes.idle();
  secret = { ...secretAt(2), tags: new Map([['rekey:max-parallel', '20']]) };

  await pass(labelUpdated(secret));
  expect(marked()).toHaveLength(1);
  await kubernetes.idle();
  await nextPass();
  expect(marked()).toHaveLength(21);
  await converged();

  expect(eventsOf('Secret Converged')[0]?.detail.consumers).toHaveLength(120);
});

test('a cluster that serves v1alpha1 alone is understood', async () => {
  await kubernetes.close();
  kubernetes = await startKubernetes({
    clusterName: 'prod',
    servedVersions: { 'secrets-store.csi.x-k8s.io': ['v1alpha1'] },
    readSecret: async () => ({ versionId: current(), value: 'mounted' }),
  });
  kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  kubernetes.apply({
    ...secretProviderClass('database', 'shop/database'),
    apiVersion: 'secrets-store.csi.x-k8s.io/v1alpha1',
  });
  kubernetes.apply(workload('Deployment', 'orders'));
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await converged();

  expect(marked()).toEqual(['orders']);
});

test('mode annotate restarts nothing and is proved once the driver has remounted', async () => {
  const ownMarker = () => kubernetes.get('deployments', 'shop', 'orders')?.metadata.annotations?.[MARKER];
  await kubernetes.close();
  kubernetes = await startKubernetes({
    clusterName: 'prod',
    rotation: { enabled: true, pollMs: 100 },
    // As slow as in AWS: it has not remounted before the first pass.
    readSecret: async () => ({ versionId: ownMarker() ?? versionOf(1), value: 'mounted' }),
  });
  kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } });
  kubernetes.apply(secretProviderClass('database', 'shop/database'));
  kubernetes.apply(workload('Deployment', 'orders', { annotations: { 'rekey.dev/mode': 'annotate' } }));
  await kubernetes.idle();
  const pods = kubernetes.list('pods', 'shop').map(({ metadata }) => metadata.uid);
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await converged();

  expect(kubernetes.list('pods', 'shop').map(({ metadata }) => metadata.uid)).toEqual(pods);
  expect(ownMarker()).toBe(versionOf(2));
});

test('96: a workload whose annotations are full is named with the refusal, and keeps no other one waiting', async () => {
  // No room for a marker. A Deployment's controller writes annotations of its own beside, a StatefulSet's none.
  const rest = 256 * 1024 - 'rekey.dev/modeannotate'.length - 'note'.length - 60;
  const annotations = { 'rekey.dev/mode': 'annotate', note: 'x'.repeat(rest) };
  kubernetes.apply([workload('StatefulSet', 'full', { annotations }), workload('Deployment', 'orders')]);
  await kubernetes.idle();
  secret = secretAt(2);

  await pass(labelUpdated(secret));
  await passUntil('the other one is marked', () => marked().includes('orders'));
  await nextPass(31 * 60_000);

  expect(kubernetes.get('statefulsets', 'shop', 'full')?.metadata.annotations).not.toHaveProperty([MARKER]);
  expect(eventsOf('Secret Not Converged')[0]?.detail.unproved).toContainEqual(
    expect.objectContaining({ name: 'full', why: expect.stringContaining('422') }),
  );
});

/** One delivery of one message. */
async function pass(body: string, laterMs = 0): Promise<void> {
  const deps = {
    secrets: { describe: async () => secret },
    clusters: [cluster],
    announcer: { announce: async (event: RekeyEvent) => events.push(event) > 0 },
    rotationFunctions: [],
    queue: { send: async (message: string) => void queue.push(message), bringBack: async () => {} },
    clock: { now: () => clock.now() + laterMs },
    log: silentLog,
  };
  const records = [{ messageId: '1', body }] as SQSEvent['Records'];
  const answer = await syncBatch({ Records: records }, deps, deadlineIn(60_000, clock));
  expect(answer.batchItemFailures).toEqual([]);
}

/** @param laterMs how much later the pass takes place than now */
async function nextPass(laterMs = 0): Promise<void> {
  const message = queue.shift();
  if (message === undefined) throw new Error('no pass asked for another one');
  await pass(message, laterMs);
}

async function passUntil(what: string, done: () => boolean): Promise<void> {
  await eventually(what, async () => {
    if (!done()) await nextPass();
    return done();
  });
}

/** Passes until the event was sent for the n-th time. */
async function converged(times = 1): Promise<void> {
  // A controller may write to a workload at the same moment: then one more pass records what was told.
  await passUntil('the secret converges', () => eventsOf('Secret Converged').length >= times && queue.length === 0);
}

/** The looks that a sweep asks for. */
async function swept(): Promise<Look[]> {
  const looks: Look[] = [];
  const deps = {
    secrets: { describe: async () => secret },
    clusters: [cluster],
    lookAgain: async (look: Look) => void looks.push(look),
    clock,
    random: Math.random,
    log: silentLog,
  };
  await sweep(deps, deadlineIn(60_000, clock));
  return looks;
}

function eventsOf<T extends RekeyEvent['type']>(type: T): Extract<RekeyEvent, { type: T }>[] {
  return events.filter((event): event is Extract<RekeyEvent, { type: T }> => event.type === type);
}

function secretAt(number: number): SecretDescription {
  return {
    arn: ARN,
    name: 'shop/database',
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([
      [versionOf(number), [CURRENT]],
      [versionOf(number === 1 ? 2 : number - 1), [PREVIOUS]],
    ]),
    tags: new Map(),
    owningService: undefined,
    deletedAtMs: undefined,
  };
}

function current(): string {
  return [...secret.stages].find(([, stages]) => stages.includes(CURRENT))?.[0] ?? '';
}

function marked(): string[] {
  return WORKLOADS.flatMap((plural) => kubernetes.list(plural, 'shop'))
    .filter(({ metadata: { name } }) => WORKLOADS.some((plural) => markerOn(plural, name) === current()))
    .map(({ metadata }) => metadata.name)
    .sort();
}

const WORKLOADS = ['deployments', 'statefulsets', 'daemonsets'];

function markerOn(plural: string, name: string): string | undefined {
  const found = kubernetes.get(plural, 'shop', name) as unknown as
    | { spec: { template: { metadata?: { annotations?: Record<string, string> } } } }
    | undefined;
  return found?.spec.template.metadata?.annotations?.[MARKER];
}

function resourceVersions(): string[] {
  return [...WORKLOADS, 'pods', 'replicasets', 'secretproviderclasses', 'secretproviderclasspodstatuses']
    .flatMap((plural) => kubernetes.list(plural))
    .map(({ kind, metadata }) => `${kind}/${metadata.name}@${metadata.resourceVersion}`);
}

function secretProviderClass(name: string, objectName: string) {
  return {
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name, namespace: 'shop' },
    spec: {
      provider: 'aws',
      parameters: { objects: JSON.stringify([{ objectName, objectType: 'secretsmanager' }]) },
    },
  };
}

function workload(
  kind: string,
  name: string,
  options: {
    readonly annotations?: Record<string, string>;
    readonly spec?: Record<string, unknown>;
    readonly secretProviderClass?: string | undefined;
  } = {},
) {
  const { annotations, spec = {}, secretProviderClass = 'database' } = options;
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace: 'shop', ...(annotations ? { annotations } : {}) },
    spec: {
      selector: { matchLabels: { app: name } },
      ...(kind === 'DaemonSet' ? {} : { replicas: 2 }),
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      template: {
        metadata: { labels: { app: name } },
        spec: 'secretProviderClass' in options ? podSpec(undefined) : podSpec(secretProviderClass),
      },
      ...spec,
    },
  };
}

function podSpec(secretProviderClass: string | undefined) {
  if (secretProviderClass === undefined) return { containers: [{ name: 'app', image: 'app:1' }] };
  return {
    volumes: [
      {
        name: 'secret',
        csi: { driver: 'secrets-store.csi.k8s.io', readOnly: true, volumeAttributes: { secretProviderClass } },
      },
    ],
    containers: [{ name: 'app', image: 'app:1', volumeMounts: [{ name: 'secret', mountPath: '/mnt/secret' }] }],
  };
}
