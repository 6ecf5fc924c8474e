import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import type { ClusterAccess } from '../../shared/cluster/port.ts';
import { type Clock, systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createAuthority } from '../sandbox/certificates.ts';
import { type KubernetesSandbox, startKubernetes } from '../sandbox/kubernetes/index.ts';

/** What the Kubernetes adapter makes of an API server that does not answer as it should: entry 94. */

let kubernetes: KubernetesSandbox;
let cluster: ReturnType<typeof createKubernetesCluster>;
let renewed: number;
let pauses: number[];
/** Waits are written down, not waited for. */
const clock: Clock = { now: systemClock.now, sleep: async (milliseconds) => void pauses.push(milliseconds) };
const deadline = () => deadlineIn(30_000, clock);

beforeEach(async () => {
  renewed = 0;
  pauses = [];
  kubernetes = await startKubernetes({ clusterName: 'prod', readSecret: async () => ({ versionId: 'v', value: '' }) });
  cluster = connect();
});

afterEach(async () => {
  await cluster.close();
  await kubernetes.close();
});

function connect(over: Partial<ClusterAccess> = {}) {
  return createKubernetesCluster(
    {
      name: 'prod',
      region: 'eu-west-1',
      endpoint: async () => ({ url: kubernetes.endpoint, certificateAuthority: kubernetes.caPem }),
      async bearerToken(renew) {
        if (renew) renewed++;
        return new SecretValue(kubernetes.adminToken);
      },
      ...over,
    },
    clock,
  );
}

function refuseFirst(times: number, code: number, retryAfterSeconds?: number): void {
  let left = times;
  kubernetes.inject(() =>
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
    kubernetes.inject(({ resource }) => (resource === 'daemonsets' ? { kind: 'refuse', code: 403 } : undefined));

    await expect(cluster.workloads(deadline())).rejects.toMatchObject({
      code: 'CLUSTER_ACCESS_DENIED',
      message: 'CLUSTER_ACCESS_DENIED: cluster "prod", listing DaemonSets: 403 Forbidden',
    });
    expect(pauses).toEqual([]);
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
    kubernetes.inject(({ resource }) => (resource === 'deployments' ? { kind: 'refuse', code: 422 } : undefined));

    await expect(cluster.workloads(deadline())).rejects.toMatchObject({ code: 'CLUSTER_REJECTED', retryable: false });
  });
});

describe('94: an API server that cannot be reached', () => {
  test('a connection that breaks once is made again', async () => {
    let cut = true;
    kubernetes.inject(() => {
      const fault = cut ? ({ kind: 'cut' } as const) : undefined;
      cut = false;
      return fault;
    });

    await cluster.workloads(deadline());

    expect(pauses).toHaveLength(1);
  });

  test('a patch whose answer is lost is repeated, and found to be done or overtaken', async () => {
    kubernetes.apply({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'orders', namespace: 'default' },
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: 'orders' } },
        template: { metadata: { labels: { app: 'orders' } }, spec: { containers: [{ name: 'app', image: 'app:1' }] } },
      },
    });
    await kubernetes.idle();
    const [orders] = await cluster.workloads(deadline());
    let lose = true;
    kubernetes.inject(({ method }) => {
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
    kubernetes.inject(() => ({ kind: 'hang' }));

    await expect(cluster.workloads(deadlineIn(3_000, clock))).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
      message: expect.stringMatching(/no answer in time$/),
    });
  });

  test('nobody listens: unreachable, by the code of the failure', async () => {
    const gone = await startKubernetes({
      clusterName: 'gone',
      readSecret: async () => ({ versionId: 'v', value: '' }),
    });
    const { endpoint: url, caPem: certificateAuthority } = gone;
    await gone.close();
    const nobody = connect({ endpoint: async () => ({ url, certificateAuthority }) });

    await expect(nobody.workloads(deadline())).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
      message: expect.stringMatching(/ECONNREFUSED$/),
    });
    await nobody.close();
  });

  test('another authority: unreachable, and not tried again', async () => {
    const stranger = connect({
      endpoint: async () => ({
        url: kubernetes.endpoint,
        certificateAuthority: createAuthority('kubernetes').certificate,
      }),
    });

    await expect(stranger.workloads(deadline())).rejects.toMatchObject({
      code: 'CLUSTER_UNREACHABLE',
      message: expect.stringContaining('certificate refused'),
    });
    expect(kubernetes.requests.calls).toEqual([]);
    expect(pauses).toEqual([]);
    await stranger.close();
  });
});

describe('lists', () => {
  test('a cluster without the CSI driver has no classes and no records', async () => {
    await kubernetes.close();
    kubernetes = await startKubernetes({
      clusterName: 'prod',
      servedVersions: { 'secrets-store.csi.x-k8s.io': [] },
      readSecret: async () => ({ versionId: 'v', value: '' }),
    });

    expect(await cluster.secretProviderClasses(deadline())).toEqual([]);
    expect(await cluster.mounts(new Set(['default']), deadline())).toEqual([]);
  });

  test('95: are read page by page', async () => {
    applyClasses(203);

    expect(await cluster.secretProviderClasses(deadline())).toHaveLength(203);
    expect(kubernetes.requests.count('list', 'secretproviderclasses')).toBe(3);
  });

  test('95: of which each page is too old (410) are given up is given up', async () => {
    applyClasses(700);
    kubernetes.inject(({ path }) => (path.includes('continue=') ? { kind: 'refuse', code: 410 } : undefined));

    await expect(cluster.secretProviderClasses(deadline())).rejects.toMatchObject({ code: 'CLUSTER_BUSY' });
  });

  test('95: start again when their pages have become too old (410)', async () => {
    applyClasses(700);
    let expired = false;
    kubernetes.inject(({ path }) => {
      if (expired || !path.includes('continue=')) return undefined;
      expired = true;
      return { kind: 'refuse', code: 410 };
    });

    const classes = await cluster.secretProviderClasses(deadline());

    expect(new Set(classes.map(({ name }) => name)).size).toBe(700);
    expect(classes).toHaveLength(700);
    expect(expired).toBe(true);
  });
});

function applyClasses(count: number): void {
  kubernetes.apply(
    Array.from({ length: count }, (_, index) => ({
      apiVersion: 'secrets-store.csi.x-k8s.io/v1',
      kind: 'SecretProviderClass',
      metadata: { name: `class-${index}`, namespace: 'default' },
      spec: { provider: 'aws', parameters: { objects: '[]' } },
    })),
  );
}
