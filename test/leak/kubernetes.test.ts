import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { type KubernetesSandbox, startKubernetes } from '../sandbox/kubernetes/index.ts';
import { externalSecretOf, podOf, workloadOf } from '../unit/shared/consumers/observations.ts';
import { shownAs } from './shown-as.ts';

/** The client's own errors hold the body and the headers of the answer, and a request holds the bearer token. */

const BODY = 'hunter2-λ';

let kubernetes: KubernetesSandbox;
let cluster: ReturnType<typeof createKubernetesCluster>;
const clock = { now: systemClock.now, sleep: async () => {} };

beforeEach(async () => {
  kubernetes = await startKubernetes({ clusterName: 'prod', readSecret: async () => ({ versionId: 'v', value: '' }) });
  cluster = createKubernetesCluster(
    {
      name: 'prod',
      region: 'eu-west-1',
      endpoint: async () => ({ url: kubernetes.endpoint, certificateAuthority: kubernetes.caPem }),
      bearerToken: async () => new SecretValue(kubernetes.adminToken),
    },
    clock,
  );
});

afterEach(async () => {
  await cluster.close();
  await kubernetes.close();
});

const WORKLOAD = workloadOf({ namespace: 'default' });
const EXTERNAL_SECRET = externalSecretOf({ namespace: 'default' });

const CALLS = {
  classes: () => cluster.secretProviderClasses(deadlineIn(20_000, clock)),
  workloads: () => cluster.workloads(deadlineIn(20_000, clock)),
  pods: () => cluster.pods(new Set(['default']), deadlineIn(20_000, clock)),
  mounts: () => cluster.mounts(new Set(['default']), deadlineIn(20_000, clock)),
  cronJobs: () => cluster.cronJobs(deadlineIn(20_000, clock)),
  externalSecrets: () => cluster.externalSecrets(deadlineIn(20_000, clock)),
  externalStores: () => cluster.externalStores(deadlineIn(20_000, clock)),
  forceSync: () => cluster.forceSync(EXTERNAL_SECRET, new Map([['rekey.dev/x', 'v']]), deadlineIn(20_000, clock)),
  evict: () => cluster.evict(podOf({ namespace: 'default' }), deadlineIn(20_000, clock)),
  mayEvict: () => cluster.mayEvict(podOf({ namespace: 'default' }), deadlineIn(20_000, clock)),
  mark: () =>
    cluster.mark(
      WORKLOAD,
      { onTemplate: [], onObject: [{ annotation: 'rekey.dev/x', versionId: 'v' }] },
      deadlineIn(20_000, clock),
    ),
};

const FAULTS = [400, 401, 403, 418, 422, 429, 500, 503, 'cut'] as const;

/** To an eviction, 429 is an answer rather than a failure. */
const CASES = Object.entries(CALLS)
  .flatMap(([name, call]) => FAULTS.map((fault) => [name, fault, call] as const))
  .filter(([name, fault]) => !['evict', 'mayEvict'].includes(name) || fault !== 429);

test.each(CASES)(
  '%s answered with %s: the error holds neither the token nor the body nor a cause',
  async (_name, fault, call) => {
    kubernetes.inject(() => (fault === 'cut' ? { kind: 'cut' } : { kind: 'refuse', code: fault, message: BODY }));

    const error: unknown = await call().then(
      () => 'it did not fail',
      (thrown: unknown) => thrown,
    );

    expect(error).toMatchObject({ name: 'RekeyError', code: expect.stringMatching(/^CLUSTER_/) });
    const shown = shownAs(error);
    expect(shown).not.toContain('hunter2');
    expect(shown).not.toContain(kubernetes.adminToken);
    expect(Object.hasOwn(error as object, 'cause')).toBe(false);
  },
);
