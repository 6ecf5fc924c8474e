import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import type { Cluster, ExternalSecret, Pod, SecretReference, Workload } from '../../shared/cluster/port.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { type RealKubernetes, startRealKubernetes } from '../sandbox/control-plane/index.ts';
import { eventually } from '../sandbox/eventually.ts';
import { type Answer, KubernetesClient, MERGE } from '../sandbox/kubernetes/api-client.ts';
import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import type { ObjectInput } from '../sandbox/kubernetes/objects.ts';
import { createFakeCluster } from '../unit/shared/cluster/fake-cluster.ts';
import {
  containerOf,
  DATABASE,
  externalSecretOf,
  externalStoreOf,
  FILE,
  mountOf,
  podOf,
  workloadOf,
} from '../unit/shared/consumers/observations.ts';

/**
 * A cluster with shop/orders (mounts the class `database`, which is synced into the Secret `database-env`, one pod)
 * and bank/ledger (mounts nothing, takes variables and files from Secrets, one pod). In shop, two ExternalSecrets read
 * from the store `aws`: `own`, and `handed-out`, which a ClusterExternalSecret of that name made.
 */
interface Fixture {
  readonly cluster: Cluster;
  /** A budget forbids to evict the pod of shop/orders. */
  protect(): void | Promise<void>;
  /** Somebody else changes the ExternalSecret. */
  editExternal(name: 'own'): void | Promise<void>;
  /** Somebody else changes the workload. */
  edit(name: 'orders'): void | Promise<void>;
  remove(name: 'orders'): void | Promise<void>;
  close(): Promise<void>;
}

const MARKER = { annotation: 'rekey.dev/shop-database-AbCdEf', versionId: '00000002-0000-4000-8000-000000000000' };

/** By one variable, by all variables, of an init container; as files, one file of many, some files among others. */
const SECRETS: readonly SecretReference[] = [
  { name: 'all', as: 'variable' },
  { name: 'among', as: 'file' },
  { name: 'files', as: 'file' },
  { name: 'files', as: 'subPath' },
  { name: 'init', as: 'variable' },
  { name: 'one', as: 'variable' },
];
const byName = (references: readonly SecretReference[]) =>
  [...references].sort((left, right) => `${left.name} ${left.as}`.localeCompare(`${right.name} ${right.as}`));

describeCluster('the fake', fake);
describeCluster('the Kubernetes adapter on the sandbox', sandboxed);
onRealKubernetes('the contract of a cluster', () =>
  describe('on a real control plane', () => {
    let kubernetes: RealKubernetes;
    beforeAll(async () => {
      kubernetes = await startRealKubernetes({ clusterName: 'prod', readSecret });
    });
    afterAll(() => kubernetes.stop());

    describeCluster('the Kubernetes adapter', () => onReal(kubernetes));
  }),
);

function describeCluster(name: string, start: () => Promise<Fixture>): void {
  describe(`a cluster: ${name}`, () => {
    let fixture: Fixture;
    let cluster: Cluster;
    const deadline = () => deadlineIn(30_000, clock);
    const workload = async (name: string): Promise<Workload> => {
      const found = (await cluster.workloads(deadline())).find((one) => one.name === name);
      if (found === undefined) throw new Error(`there is no ${name}`);
      return found;
    };

    beforeEach(async () => {
      fixture = await start();
      cluster = fixture.cluster;
    });
    afterEach(() => fixture.close());

    test('shows the classes of all namespaces, with their parameters', async () => {
      const classes = await cluster.secretProviderClasses(deadline());

      expect(classes).toEqual([expect.objectContaining({ namespace: 'shop', name: 'database', provider: 'aws' })]);
      expect(classes[0]?.parameters.get('objects')).toContain('shop/database');
    });

    test('shows which Secrets the driver writes from which files of a class', async () => {
      const [spc] = await cluster.secretProviderClasses(deadline());

      expect(spc?.syncedSecrets).toEqual([{ name: 'database-env', files: ['shop_database'] }]);
    });

    test('shows the Secrets that a workload, its pods and their containers refer to, and how', async () => {
      const [pod] = await cluster.pods(new Set(['bank']), deadline());

      expect(byName((await workload('ledger')).secrets)).toEqual(SECRETS);
      expect(byName(pod?.secrets ?? [])).toEqual(SECRETS);
      expect(byName((pod?.containers ?? []).flatMap(({ secrets }) => secrets))).toEqual(
        SECRETS.filter(({ as }) => as !== 'file'),
      );
      expect((await workload('orders')).secrets).toEqual([]);
    });

    test('shows the workloads of all namespaces, with the classes that their pods will mount', async () => {
      const workloads = await cluster.workloads(deadline());

      expect(
        workloads.map(({ namespace, name, secretProviderClasses }) => [namespace, name, secretProviderClasses]).sort(),
      ).toEqual([
        ['bank', 'ledger', []],
        ['shop', 'orders', ['database']],
      ]);
      expect(await workload('orders')).toMatchObject({
        kind: 'Deployment',
        replicas: 1,
        rollout: { observed: true, updated: 1, stopped: undefined, onDelete: false, failure: undefined },
      });
    });

    test('shows pods of the namespaces asked for alone, with the workload behind each', async () => {
      const pods = await cluster.pods(new Set(['shop']), deadline());

      expect(pods).toEqual([
        expect.objectContaining({
          namespace: 'shop',
          controller: { kind: 'Deployment', name: 'orders' },
          phase: 'Running',
          ready: true,
          terminating: false,
          secretProviderClasses: ['database'],
        }),
      ]);
      expect(pods[0]?.containers).toEqual([
        {
          name: 'app',
          mounts: [{ secretProviderClass: 'database', subPath: false }],
          secrets: [],
          state: { kind: 'started', startedAtMs: expect.any(Number) },
          restarts: 0,
          exitCode: undefined,
        },
      ]);
      expect(await cluster.pods(new Set(), deadline())).toEqual([]);
    });

    test('shows what the driver recorded for each pod', async () => {
      const [pod] = await cluster.pods(new Set(['shop']), deadline());
      const mounts = await cluster.mounts(new Set(['shop']), deadline());

      expect(mounts).toEqual([
        expect.objectContaining({ pod: pod?.name, podUid: pod?.uid, secretProviderClass: 'database', mounted: true }),
      ]);
      expect([...(mounts[0]?.versions ?? [])]).toEqual([['shop_database', '00000001-0000-4000-8000-000000000000']]);
      expect(await cluster.mounts(new Set(['bank']), deadline())).toEqual([]);
    });

    test('shows ExternalSecrets, what each is steered by and how far it came, and where they read', async () => {
      const found = await cluster.externalSecrets(deadline());

      expect(found.map(({ namespace, name, steering: { kind } }) => [namespace, name, kind]).sort()).toEqual([
        ['shop', 'handed-out', 'ClusterExternalSecret'],
        ['shop', 'own', 'ExternalSecret'],
      ]);
      expect(found.find(({ name }) => name === 'own')).toMatchObject({
        target: 'own',
        sources: [{ kind: 'key', store: { kind: 'SecretStore', name: 'aws' }, key: 'shop/database', version: '' }],
        refresh: { kind: 'periodic', everyMs: 3_600_000 },
        ready: { is: true },
        syncedResourceVersion: expect.stringMatching(/^1-/),
      });
      expect(await cluster.externalStores(deadline())).toEqual([
        {
          kind: 'SecretStore',
          namespace: 'shop',
          name: 'aws',
          aws: { service: 'SecretsManager', region: 'eu-west-1', role: '', prefix: '' },
        },
      ]);
    });

    describe.each(['own', 'handed-out'])('the ExternalSecret %s', (name) => {
      const external = async (): Promise<ExternalSecret> => {
        const found = (await cluster.externalSecrets(deadline())).find((one) => one.name === name);
        if (found === undefined) throw new Error(`there is no ${name}`);
        return found;
      };
      const ASKED = new Map([[MARKER.annotation, 'asked']]);

      test('is asked to read again on what steers it, and stays as it is otherwise', async () => {
        const before = await external();

        expect(await cluster.forceSync(before, ASKED, deadline())).toBe('forced');

        const after = await external();
        expect(after.steering.annotations.get(MARKER.annotation)).toBe('asked');
        expect(after.steering.resourceVersion).not.toBe(before.steering.resourceVersion);
        expect([after.sources, after.refresh, after.target]).toEqual([before.sources, before.refresh, before.target]);
      });

      test('is not asked once that has changed since it was seen', async () => {
        const seen = await external();
        await cluster.forceSync(seen, ASKED, deadline());

        expect(await cluster.forceSync(seen, new Map([[MARKER.annotation, 'again']]), deadline())).toBe('moved');

        expect((await external()).steering.annotations.get(MARKER.annotation)).toBe('asked');
      });
    });

    test('does not ask an ExternalSecret that somebody else has changed since it was seen', async () => {
      const seen = (await cluster.externalSecrets(deadline())).find(({ name }) => name === 'own');
      if (seen === undefined) throw new Error('there is none');
      await fixture.editExternal('own');

      expect(await cluster.forceSync(seen, new Map([[MARKER.annotation, 'asked']]), deadline())).toBe('moved');
    });

    describe('a pod', () => {
      const orders = async (): Promise<Pod> => {
        const [pod] = await cluster.pods(new Set(['shop']), deadline());
        if (pod === undefined) throw new Error('there is no pod');
        return pod;
      };

      test('is evicted', async () => {
        const pod = await orders();

        expect(await cluster.evict(pod, deadline())).toBe('evicted');

        await eventually('the pod is on its way out', async () => {
          const pods = await cluster.pods(new Set(['shop']), deadline());
          return pods.every(({ uid, terminating }) => uid !== pod.uid || terminating);
        });
      });

      test('that may be evicted is not by that question', async () => {
        const pod = await orders();

        expect(await cluster.mayEvict(pod, deadline())).toBe('allowed');

        expect(await orders()).toMatchObject({ uid: pod.uid, terminating: false });
      });

      test('that a budget protects is not, and says so', async () => {
        await fixture.protect();
        const pod = await orders();

        expect(await cluster.mayEvict(pod, deadline())).toBe('refused');
        expect(await cluster.evict(pod, deadline())).toBe('refused');

        expect(await orders()).toMatchObject({ uid: pod.uid, terminating: false });
      });

      test('is not evicted in the place of another one of its name, or of one that is gone', async () => {
        const pod = await orders();

        expect(await cluster.evict({ ...pod, uid: '00000000-0000-4000-8000-000000000000' }, deadline())).toBe('moved');
        expect(await cluster.evict({ ...pod, name: 'nobody' }, deadline())).toBe('moved');
        expect(await cluster.mayEvict({ ...pod, name: 'nobody' }, deadline())).toBe('moved');

        expect(await orders()).toMatchObject({ uid: pod.uid, terminating: false });
      });
    });

    test('marks the pod template and nothing else', async () => {
      const before = await workload('orders');

      expect(await cluster.mark(before, { onTemplate: [MARKER], onObject: [] }, deadline())).toBe('marked');

      const after = await workload('orders');
      expect(after.templateAnnotations.get(MARKER.annotation)).toBe(MARKER.versionId);
      expect(after.annotations.has(MARKER.annotation)).toBe(false);
      expect(after.resourceVersion).not.toBe(before.resourceVersion);
    });

    test('marks the object and leaves the pod template alone', async () => {
      await cluster.mark(await workload('orders'), { onTemplate: [], onObject: [MARKER] }, deadline());

      const after = await workload('orders');
      expect(after.annotations.get(MARKER.annotation)).toBe(MARKER.versionId);
      expect(after.templateAnnotations.has(MARKER.annotation)).toBe(false);
    });

    test('changes nothing when the marker is there already', async () => {
      await cluster.mark(await workload('orders'), { onTemplate: [], onObject: [MARKER] }, deadline());
      // A controller may write once more after the first mark; what was seen before that has moved.
      const before = await eventually('a second mark', async () => {
        const seen = await workload('orders');
        const outcome = await cluster.mark(seen, { onTemplate: [], onObject: [MARKER] }, deadline());
        return outcome === 'marked' ? seen : undefined;
      });

      expect((await workload('orders')).resourceVersion).toBe(before.resourceVersion);
    });

    test('does not mark a workload that somebody changed since it was seen', async () => {
      const seen = await workload('orders');
      await fixture.edit('orders');

      expect(await cluster.mark(seen, { onTemplate: [MARKER], onObject: [] }, deadline())).toBe('moved');

      expect((await workload('orders')).templateAnnotations.has(MARKER.annotation)).toBe(false);
    });

    test('does not mark a workload that is gone', async () => {
      const seen = await workload('orders');
      await fixture.remove('orders');

      expect(await cluster.mark(seen, { onTemplate: [MARKER], onObject: [] }, deadline())).toBe('moved');
    });
  });
}

async function fake(): Promise<Fixture> {
  const it = createFakeCluster();
  const orders = podOf();
  const ledger = podOf({
    namespace: 'bank',
    name: 'ledger-1',
    controller: { kind: 'Deployment', name: 'ledger' },
    secretProviderClasses: [],
    secrets: SECRETS,
    containers: [containerOf({ mounts: [], secrets: SECRETS.filter(({ as }) => as !== 'file') })],
  });
  it.classes = [{ ...DATABASE, syncedSecrets: [{ name: 'database-env', files: [FILE] }] }];
  it.workloads = [
    workloadOf(),
    workloadOf({ namespace: 'bank', name: 'ledger', secretProviderClasses: [], secrets: SECRETS }),
  ];
  it.externalStores = [externalStoreOf()];
  const steering = { kind: 'ClusterExternalSecret', name: 'handed-out', resourceVersion: '1' } as const;
  it.externalSecrets = [
    externalSecretOf({ name: 'own', target: 'own' }),
    externalSecretOf({ name: 'handed-out', steering: { ...steering, annotations: new Map() } }),
  ];
  it.pods = [orders, ledger];
  it.mounts = [mountOf(orders, 1)];
  return {
    cluster: it.cluster,
    protect: () => void it.protectedPods.add(orders.name),
    editExternal: (name) => {
      it.externalSecrets = it.externalSecrets.map((one) =>
        one.name === name ? { ...one, steering: { ...one.steering, resourceVersion: 'edited' } } : one,
      );
    },
    edit: (name) => {
      it.workloads = it.workloads.map((one) => (one.name === name ? { ...one, resourceVersion: 'edited' } : one));
    },
    remove: (name) => {
      it.workloads = it.workloads.filter((one) => one.name !== name);
    },
    close: async () => {},
  };
}

async function readSecret() {
  return { versionId: '00000001-0000-4000-8000-000000000000', value: 'mounted' };
}

async function sandboxed(): Promise<Fixture> {
  const kubernetes = await startKubernetes({ clusterName: 'prod', readSecret });
  const cluster = connect(kubernetes);
  kubernetes.apply([...namespaces(), ...contents()]);
  await kubernetes.idle();
  return {
    cluster,
    protect: () => void kubernetes.apply(BUDGET),
    editExternal: (name) => {
      const metadata = { name, namespace: 'shop', labels: { team: 'web' } };
      kubernetes.apply({ apiVersion: 'external-secrets.io/v1', kind: 'ExternalSecret', metadata });
    },
    edit: (name) => void kubernetes.apply(deployment('shop', name, 'database', { team: 'web' })),
    remove: () => {
      kubernetes.inject(({ method }) => (method === 'PATCH' ? { kind: 'refuse', code: 404 } : undefined));
    },
    async close() {
      await cluster.close();
      await kubernetes.close();
    },
  };
}

/** One control plane for all tests: what a test made goes with it, but for the namespaces. */
async function onReal(kubernetes: RealKubernetes): Promise<Fixture> {
  const { endpoint, caPem: ca, adminToken: token } = kubernetes;
  const api = new KubernetesClient({ endpoint, ca, token });
  const cluster = connect(kubernetes);
  for (const namespace of namespaces()) await api.create('/api/v1/namespaces', namespace);
  for (const object of contents()) expect(await api.create(pathOf(object), object)).toMatchObject({ code: 201 });
  for (const [namespace, name] of [
    ['shop', 'orders'],
    ['bank', 'ledger'],
  ])
    await api.until(
      `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`,
      // The last that the Deployment's controller writes by itself.
      ({ status }) =>
        status?.availableReplicas === 1 &&
        status.conditions.some(({ reason }: { readonly reason?: string }) => reason === 'NewReplicaSetAvailable'),
    );
  await api.until(`${EXTERNAL}/namespaces/shop/externalsecrets`, ({ items }) => {
    const isReady = ({ status }: Answer['body']) => status?.conditions?.[0]?.status === 'True';
    return items.length === 2 && items.every(isReady);
  });
  // What its operator notes on the parent comes after the child.
  await api.until(`${EXTERNAL}/clusterexternalsecrets/handed-out`, ({ status }) =>
    status?.provisionedNamespaces?.includes('shop'),
  );
  const orders = pathOf(deployment('shop', 'orders', 'database'));
  return {
    cluster,
    async protect() {
      await api.create(pathOf(BUDGET), BUDGET);
      await api.until(`${pathOf(BUDGET)}/orders`, ({ status }) => status?.currentHealthy === 1);
    },
    async editExternal(name) {
      const labels = { team: 'web' };
      await api.patch(`${EXTERNAL}/namespaces/shop/externalsecrets/${name}`, MERGE, { metadata: { labels } });
    },
    async edit(name) {
      await api.patch(`${orders}/${name}`, MERGE, { metadata: { annotations: { team: 'web' } } });
    },
    async remove(name) {
      await api.send('DELETE', `${orders}/${name}`);
    },
    async close() {
      await cluster.close();
      for (const workload of contents().filter(({ kind }) => kind === 'Deployment'))
        await api.send('DELETE', `${pathOf(workload)}/${workload.metadata?.name}`);
      for (const path of ['/apis/apps/v1/deployments', '/api/v1/pods'])
        await api.until(path, ({ items }) => items.length === 0);
      await api.send('DELETE', `${EXTERNAL}/clusterexternalsecrets/handed-out`);
      for (const plural of ['externalsecrets', 'secretstores'])
        await api.send('DELETE', `${EXTERNAL}/namespaces/shop/${plural}`);
      await api.send('DELETE', pathOf(BUDGET));
      // Custom resources wait long for a garbage collector that has just begun.
      for (const plural of ['secretproviderclasspodstatuses', 'secretproviderclasses'])
        await api.send('DELETE', `/apis/secrets-store.csi.x-k8s.io/v1/namespaces/shop/${plural}`);
      api.close();
    },
  };
}

function connect({ endpoint, caPem, adminToken }: Pick<RealKubernetes, 'endpoint' | 'caPem' | 'adminToken'>) {
  return createKubernetesCluster(
    {
      name: 'prod',
      region: 'eu-west-1',
      endpoint: async () => ({ url: endpoint, certificateAuthority: caPem }),
      bearerToken: async () => new SecretValue(adminToken),
    },
    clock,
  );
}

function pathOf({ apiVersion, kind, metadata }: ObjectInput): string {
  const plural = kind === 'SecretProviderClass' ? 'secretproviderclasses' : `${kind.toLowerCase()}s`;
  const where = kind === 'ClusterExternalSecret' ? '' : `/namespaces/${metadata?.namespace}`;
  return `/apis/${apiVersion}${where}/${plural}`;
}

function namespaces(): ObjectInput[] {
  return ['shop', 'bank'].map((name) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }));
}

const EXTERNAL = '/apis/external-secrets.io/v1';

const BUDGET: ObjectInput = {
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { namespace: 'shop', name: 'orders' },
  spec: { minAvailable: 1, selector: { matchLabels: { app: 'orders' } } },
};

function externals(): ObjectInput[] {
  const apiVersion = 'external-secrets.io/v1';
  const spec = {
    secretStoreRef: { name: 'aws' },
    data: [{ secretKey: 'all', remoteRef: { key: 'shop/database' } }],
  };
  const shop = { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } };
  return [
    {
      apiVersion,
      kind: 'SecretStore',
      metadata: { namespace: 'shop', name: 'aws' },
      spec: { provider: { aws: { service: 'SecretsManager', region: 'eu-west-1' } } },
    },
    { apiVersion, kind: 'ExternalSecret', metadata: { namespace: 'shop', name: 'own' }, spec },
    {
      apiVersion,
      kind: 'ClusterExternalSecret',
      metadata: { name: 'handed-out' },
      spec: { namespaceSelectors: [shop], externalSecretSpec: spec },
    },
  ];
}

function contents(): ObjectInput[] {
  return [
    ...externals(),
    {
      apiVersion: 'secrets-store.csi.x-k8s.io/v1',
      kind: 'SecretProviderClass',
      metadata: { namespace: 'shop', name: 'database' },
      spec: {
        provider: 'aws',
        parameters: Object.fromEntries(DATABASE.parameters),
        secretObjects: [
          { secretName: 'database-env', type: 'Opaque', data: [{ objectName: 'shop_database', key: 'DATABASE' }] },
        ],
      },
    },
    deployment('shop', 'orders', 'database'),
    deployment('bank', 'ledger', undefined),
  ];
}

function deployment(namespace: string, name: string, spc: string | undefined, annotations = {}) {
  const volumeAttributes = { secretProviderClass: spc ?? '' };
  const csi = { driver: 'secrets-store.csi.k8s.io', readOnly: true, volumeAttributes };
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { namespace, name, annotations },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          volumes: spc === undefined ? SECRET_VOLUMES : [{ name: 'secret', csi }],
          containers: [
            {
              name: 'app',
              image: 'app:1',
              ...(spc === undefined
                ? SECRET_VARIABLES
                : { volumeMounts: [{ name: 'secret', mountPath: '/mnt/secret' }] }),
            },
          ],
          ...(spc === undefined ? { initContainers: [MIGRATE] } : {}),
        },
      },
    },
  };
}

const SECRET_VOLUMES = [
  { name: 'files', secret: { secretName: 'files', optional: true } },
  {
    name: 'among',
    projected: { sources: [{ secret: { name: 'among', optional: true } }, { configMap: { name: 'x' } }] },
  },
];
const SECRET_VARIABLES = {
  env: [
    { name: 'PLAIN', value: 'plain' },
    { name: 'ONE', valueFrom: { secretKeyRef: { name: 'one', key: 'password', optional: true } } },
  ],
  envFrom: [{ secretRef: { name: 'all', optional: true } }],
  volumeMounts: [{ name: 'files', mountPath: '/etc/password', subPath: 'password' }],
};
const MIGRATE = { name: 'migrate', image: 'app:1', envFrom: [{ secretRef: { name: 'init', optional: true } }] };
