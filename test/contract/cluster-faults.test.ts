import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import type { Cluster, ClusterAccess } from '../../shared/cluster/port.ts';
import { type Clock, systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { externalSecret, secretStore } from '../integration/sync/manifests.ts';
import { createAuthority } from '../sandbox/certificates.ts';
import { startControlPlane } from '../sandbox/control-plane/control-plane.ts';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { KubernetesClient } from '../sandbox/kubernetes/api-client.ts';
import { type ApiProxy, startApiProxy } from '../sandbox/kubernetes/api-proxy.ts';
import { type KubernetesSandbox, startKubernetes } from '../sandbox/kubernetes/index.ts';
import type { ObjectInput } from '../sandbox/kubernetes/objects.ts';
import { podOf, workloadOf } from '../unit/shared/consumers/observations.ts';

/**
 * What the Kubernetes adapter makes of an API server that does not answer as it should: entry 94. The faults are on the
 * wire, made by a proxy before the API server.
 */

const readSecret = async () => ({ versionId: 'v', value: '' });

describeFaults('the sandbox', async () => {
  const { close, ...kubernetes } = await startKubernetes({ clusterName: 'prod', readSecret });
  return { ...kubernetes, stop: close };
});
onRealKubernetes('what goes wrong with a real API server', () =>
  describeFaults('a real control plane', () => startControlPlane({ clusterName: 'prod', controllers: false })),
);

interface ApiServer {
  readonly endpoint: string;
  readonly caPem: string;
  readonly adminToken: string;
  stop(): Promise<void>;
}

function describeFaults(name: string, start: () => Promise<ApiServer>): void {
  describe(name, () => {
    let server: ApiServer;
    let api: KubernetesClient;
    let proxy: ApiProxy;
    let cluster: ReturnType<typeof createKubernetesCluster>;
    let renewed: number;
    let pauses: number[];
    /** Waits are written down, not waited for. */
    const clock: Clock = { now: systemClock.now, sleep: async (milliseconds) => void pauses.push(milliseconds) };
    const deadline = () => deadlineIn(30_000, clock);

    beforeAll(async () => {
      server = await start();
      api = new KubernetesClient({ endpoint: server.endpoint, ca: server.caPem, token: server.adminToken });
      proxy = await startApiProxy(server);
    });
    afterAll(async () => {
      await proxy.close();
      api.close();
      await server.stop();
    });
    beforeEach(() => {
      renewed = 0;
      pauses = [];
      proxy.reset();
      cluster = connect();
    });
    afterEach(() => cluster.close());

    function connect(over: Partial<ClusterAccess> = {}) {
      return createKubernetesCluster(
        {
          name: 'prod',
          region: 'eu-west-1',
          endpoint: async () => ({ url: proxy.endpoint, certificateAuthority: proxy.caPem }),
          async bearerToken(renew) {
            if (renew) renewed++;
            return new SecretValue(server.adminToken);
          },
          ...over,
        },
        clock,
      );
    }

    async function create(collection: string, object: ObjectInput): Promise<void> {
      expect(await api.create(collection, object)).toMatchObject({ code: 201 });
    }

    function refuseFirst(times: number, code: number, retryAfterSeconds?: number): void {
      let left = times;
      proxy.inject(() =>
        left-- > 0
          ? { kind: 'refuse', code, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) }
          : undefined,
      );
    }

    describe('94: an API server that refuses', () => {
      test('401: a fresh token is made once, and the request goes on', async () => {
        refuseFirst(1, 401);

        await cluster.workloads(deadline());

        expect(renewed).toBe(1);
      });

      test('401 for good: access denied, after one fresh token', async () => {
        refuseFirst(Number.POSITIVE_INFINITY, 401);

        await expect(cluster.workloads(deadline())).rejects.toMatchObject({ code: 'CLUSTER_ACCESS_DENIED' });

        expect(renewed).toBe(1);
      });

      test('403: access denied, by kind and reason, at the first answer', async () => {
        proxy.inject(({ resource }) => (resource === 'daemonsets' ? { kind: 'refuse', code: 403 } : undefined));

        await expect(cluster.workloads(deadline())).rejects.toMatchObject({
          code: 'CLUSTER_ACCESS_DENIED',
          message: 'CLUSTER_ACCESS_DENIED: cluster "prod", listing DaemonSets: 403 Forbidden',
        });
        expect(pauses).toEqual([]);
      });

      test('404 for what every API server has: something else answers, and not a cluster without workloads', async () => {
        refuseFirst(Number.POSITIVE_INFINITY, 404);

        await expect(cluster.workloads(deadline())).rejects.toMatchObject({
          code: 'CLUSTER_UNREACHABLE',
          message: expect.stringContaining('listing Deployments: 404'),
        });
        expect(pauses).toEqual([]);
      });

      test('404 for a custom resource: it is not installed, and there are none', async () => {
        proxy.inject(({ resource }) =>
          resource === 'secretproviderclasses' ? { kind: 'refuse', code: 404 } : undefined,
        );

        expect(await cluster.secretProviderClasses(deadline())).toEqual([]);
      });

      test('429: the same request again, after the time that the server asks for', async () => {
        refuseFirst(2, 429, 3);

        await cluster.workloads(deadline());

        expect(pauses).toEqual([3_000, 3_000]);
      });

      test('429 with a time that is not left: busy, at once', async () => {
        refuseFirst(1, 429, 120);

        await expect(cluster.workloads(deadline())).rejects.toMatchObject({ code: 'CLUSTER_BUSY', retryable: true });

        expect(pauses).toEqual([]);
      });

      test('503: the same request again, less and less often, then busy', async () => {
        refuseFirst(Number.POSITIVE_INFINITY, 503);

        await expect(cluster.workloads(deadline())).rejects.toMatchObject({ code: 'CLUSTER_BUSY' });

        expect(pauses).toEqual([200, 400, 800]);
      });

      test('422: rejected for good', async () => {
        proxy.inject(({ resource }) => (resource === 'deployments' ? { kind: 'refuse', code: 422 } : undefined));

        await expect(cluster.workloads(deadline())).rejects.toMatchObject({
          code: 'CLUSTER_REJECTED',
          retryable: false,
        });
      });
    });

    describe('what the cluster forbids, by whatever code, is rejected for good, and of a webhook its name alone is told:', () => {
      const denial = 'admission webhook "markers.example.com" denied the request: hunter2';
      const silence = 'Internal error occurred: failed calling webhook "markers.example.com": failed to call: hunter2';
      const budgets =
        'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.';

      test.each<[number, string, RegExp]>([
        [403, denial, /403 Forbidden: admission webhook markers.example.com denies it$/],
        [409, denial, /409 Conflict: admission webhook markers.example.com denies it$/],
        [429, denial, /429 TooManyRequests: admission webhook markers.example.com denies it$/],
        [500, silence, /500 InternalError: admission webhook markers.example.com cannot be asked$/],
        [500, budgets, /500 InternalError: more than one PodDisruptionBudget selects it/],
      ])('%d %s', async (code, message, told) => {
        proxy.inject(({ method }) => (method === 'GET' ? undefined : { kind: 'refuse', code, message }));
        const rejected = expect.objectContaining({
          code: 'CLUSTER_REJECTED',
          message: expect.stringMatching(told),
        });

        await expect(cluster.mark(workloadOf(), { onTemplate: [], onObject: [] }, deadline())).rejects.toEqual(
          rejected,
        );
        await expect(cluster.evict(podOf(), deadline())).rejects.toEqual(rejected);

        expect(pauses).toEqual([]);
      });
    });

    describe('94: an API server that cannot be reached', () => {
      test('a connection that breaks once is made again', async () => {
        let cut = true;
        proxy.inject(() => {
          const fault = cut ? ({ kind: 'cut' } as const) : undefined;
          cut = false;
          return fault;
        });

        await cluster.workloads(deadline());

        expect(pauses).toHaveLength(1);
      });

      test('a patch whose answer is lost is repeated, and found to be done or overtaken', async () => {
        await create('/apis/apps/v1/namespaces/default/deployments', {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'orders', namespace: 'default' },
          spec: {
            replicas: 0,
            selector: { matchLabels: { app: 'orders' } },
            template: {
              metadata: { labels: { app: 'orders' } },
              spec: { containers: [{ name: 'app', image: 'app:1' }] },
            },
          },
        });
        const [orders] = await cluster.workloads(deadline());
        let lose = true;
        proxy.inject(({ method }) => {
          if (method !== 'PATCH' || !lose) return undefined;
          lose = false;
          return { kind: 'lose-answer' };
        });

        const marker = { annotation: 'rekey.dev/x-AbCdEf', versionId: 'v2' };
        if (orders === undefined) throw new Error('there is no workload');
        expect(await cluster.mark(orders, { onTemplate: [marker], onObject: [] }, deadline())).toBe('moved');

        const [after] = await cluster.workloads(deadline());
        expect(after?.templateAnnotations.get(marker.annotation)).toBe('v2');
      });

      test('no answer: unreachable, when the time of the invocation is over', async () => {
        proxy.inject(() => ({ kind: 'hang' }));

        await expect(cluster.workloads(deadlineIn(3_000, clock))).rejects.toMatchObject({
          code: 'CLUSTER_UNREACHABLE',
          message: expect.stringMatching(/no answer in time$/),
        });
      });

      test('nobody listens: unreachable, by the code of the failure', async () => {
        const certificateAuthority = proxy.caPem;
        const nobody = connect({ endpoint: async () => ({ url: 'https://127.0.0.1:1', certificateAuthority }) });

        await expect(nobody.workloads(deadline())).rejects.toMatchObject({
          code: 'CLUSTER_UNREACHABLE',
          message: expect.stringMatching(/ECONNREFUSED$/),
        });
        await nobody.close();
      });

      test('another authority: unreachable, and not tried again', async () => {
        const stranger = connect({
          endpoint: async () => ({
            url: proxy.endpoint,
            certificateAuthority: createAuthority('kubernetes').certificate,
          }),
        });

        await expect(stranger.workloads(deadline())).rejects.toMatchObject({
          code: 'CLUSTER_UNREACHABLE',
          message: expect.stringContaining('certificate refused'),
        });
        expect(proxy.calls).toEqual([]);
        expect(pauses).toEqual([]);
        await stranger.close();
      });
    });

    describe('95: lists of several pages', () => {
      const CLASSES = '/apis/secrets-store.csi.x-k8s.io/v1/namespaces/default/secretproviderclasses';
      beforeAll(async () => {
        const names = Array.from({ length: 203 }, (_, index) => `class-${index}`);
        await Promise.all(
          names.map((name) =>
            create(CLASSES, {
              apiVersion: 'secrets-store.csi.x-k8s.io/v1',
              kind: 'SecretProviderClass',
              metadata: { name, namespace: 'default' },
              spec: { provider: 'aws', parameters: { objects: '[]' } },
            }),
          ),
        );
      });

      test('are read page by page', async () => {
        expect(await cluster.secretProviderClasses(deadline())).toHaveLength(203);
        expect(proxy.calls.filter(({ resource }) => resource === 'secretproviderclasses')).toHaveLength(3);
      });

      test('of which each page is too old (410) are given up', async () => {
        proxy.inject(({ path }) => (path.includes('continue=') ? { kind: 'refuse', code: 410 } : undefined));

        await expect(cluster.secretProviderClasses(deadline())).rejects.toMatchObject({ code: 'CLUSTER_BUSY' });
      });

      test('start again when their pages have become too old (410)', async () => {
        let expired = false;
        proxy.inject(({ path }) => {
          if (expired || !path.includes('continue=')) return undefined;
          expired = true;
          return { kind: 'refuse', code: 410 };
        });

        const classes = await cluster.secretProviderClasses(deadline());

        expect(new Set(classes.map(({ name }) => name)).size).toBe(203);
        expect(classes).toHaveLength(203);
        expect(expired).toBe(true);
      });
    });
  });
}

describe('of custom resources, a cluster', () => {
  /** One of the sandbox's, whose groups serve these versions. */
  async function served(
    servedVersions: Readonly<Record<string, readonly string[]>>,
    work: (cluster: Cluster, kubernetes: KubernetesSandbox) => Promise<void>,
  ): Promise<void> {
    const kubernetes = await startKubernetes({ clusterName: 'prod', servedVersions, readSecret });
    const { endpoint: url, caPem: certificateAuthority, adminToken } = kubernetes;
    const cluster = createKubernetesCluster(
      {
        name: 'prod',
        region: 'eu-west-1',
        endpoint: async () => ({ url, certificateAuthority }),
        bearerToken: async () => new SecretValue(adminToken),
      },
      systemClock,
    );
    try {
      await work(cluster, kubernetes);
    } finally {
      await cluster.close();
      await kubernetes.close();
    }
  }
  const deadline = () => deadlineIn(30_000, systemClock);

  test('without the CSI driver has no classes and no records', () =>
    served({ 'secrets-store.csi.x-k8s.io': [] }, async (cluster) => {
      expect(await cluster.secretProviderClasses(deadline())).toEqual([]);
      expect(await cluster.mounts(new Set(['default']), deadline())).toEqual([]);
    }));

  test('whose External Secrets serves v1beta1 alone is read, and asked to read again, by that version', () =>
    served({ 'external-secrets.io': ['v1beta1'] }, async (cluster, kubernetes) => {
      const older = { apiVersion: 'external-secrets.io/v1beta1' };
      const spec = { data: [{ secretKey: 'LOGIN', remoteRef: { key: 'shop/database' } }] };
      kubernetes.apply([
        { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop' } },
        { ...secretStore('shop'), ...older },
        { ...externalSecret('shop', 'login', spec), ...older },
      ]);
      const whole = deadline();

      const [found] = await cluster.externalSecrets(whole);
      expect(found).toMatchObject({ namespace: 'shop', name: 'login' });
      expect(await cluster.externalStores(whole)).toMatchObject([{ kind: 'SecretStore', name: 'aws' }]);
      if (found === undefined) throw new Error('none was found');
      expect(await cluster.forceSync(found, new Map([['rekey.dev/asked', 'v']]), whole)).toBe('forced');
      expect(kubernetes.get('externalsecrets', 'shop', 'login')?.metadata.annotations).toMatchObject({
        'rekey.dev/asked': 'v',
      });
    }));
});
