import { afterEach, describe, expect, test } from '@jest/globals';
import { AppsV1Api, KubeConfig, PatchStrategy, setHeaderOptions } from '@kubernetes/client-node';
import { KubernetesClient, MERGE } from '../../sandbox/kubernetes/api-client.ts';
import { type KubernetesOptions, type KubernetesSandbox, startKubernetes } from '../../sandbox/kubernetes/index.ts';
import type { RunningContainer } from '../../sandbox/kubernetes/node/pod-run.ts';
import type { Pod } from '../../sandbox/kubernetes/objects.ts';

const closing: (() => Promise<void> | void)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A cluster with one secret, whose version and value a test may move. */
async function start(options: Partial<KubernetesOptions> = {}) {
  const secret = { versionId: 'v1', value: '{"password":"one"}' };
  const cluster = await startKubernetes({ clusterName: 'test', readSecret: async () => ({ ...secret }), ...options });
  const client = new KubernetesClient({ endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken });
  closing.push(
    () => cluster.close(),
    () => client.close(),
  );
  return { cluster, client, secret };
}

function pod(cluster: KubernetesSandbox, app = 'web'): Pod {
  const found = cluster.list('pods').find((one) => one.metadata.labels?.['app'] === app);
  if (found === undefined) throw new Error(`no pod of ${app}`);
  return found as Pod;
}

function mountedVersion(cluster: KubernetesSandbox): unknown {
  const [status] = cluster.list('secretproviderclasspodstatuses');
  return (status?.['status'] as { objects: { version: string }[] } | undefined)?.objects[0]?.version;
}

/** Looks again until it holds. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('the condition did not come to hold');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('the sandbox', () => {
  test('runs several clusters in one process that know nothing of each other', async () => {
    const [one, other] = await Promise.all([start(), start()]);

    one.cluster.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'mine' } });

    expect((await one.client.get('/api/v1/namespaces/mine')).code).toBe(200);
    expect((await other.client.get('/api/v1/namespaces/mine')).code).toBe(404);
    const stranger = { token: one.cluster.adminToken };
    expect((await other.client.send('GET', '/api/v1/namespaces', stranger)).code).toBe(401);
  });

  test('is trusted through its own CA alone', async () => {
    const { cluster } = await start();
    const { cluster: other } = await start();
    const client = new KubernetesClient({ endpoint: cluster.endpoint, ca: other.caPem, token: cluster.adminToken });
    closing.push(() => client.close());

    await expect(client.get('/version')).rejects.toThrow(/certificate|signature/);
  });

  test('serves only the versions that it is told to', async () => {
    const group = 'secrets-store.csi.x-k8s.io';
    const { cluster, client } = await start({ servedVersions: { [group]: ['v1alpha1'] } });
    cluster.apply(WEB.replaceAll(`${group}/v1`, `${group}/v1alpha1`));
    await cluster.idle();

    expect((await client.get(`/apis/${group}/v1/secretproviderclasses`)).code).toBe(404);
    const { body } = await client.get(`/apis/${group}/v1alpha1/secretproviderclasspodstatuses`);
    expect(body.items[0]).toMatchObject({ apiVersion: `${group}/v1alpha1`, kind: 'SecretProviderClassPodStatus' });
    expect((await client.get(`/apis/${group}`)).body.preferredVersion.version).toBe('v1alpha1');
  });

  test('answers an object in the version that is asked for', async () => {
    const { cluster, client } = await start();
    cluster.apply(WEB);

    const at = async (version: string) =>
      (
        await client.get(
          `/apis/secrets-store.csi.x-k8s.io/${version}/namespaces/default/secretproviderclasses/database`,
        )
      ).body;

    expect(await at('v1alpha1')).toEqual({ ...(await at('v1')), apiVersion: 'secrets-store.csi.x-k8s.io/v1alpha1' });
  });

  test('has no secrets store where the driver is not installed', async () => {
    const { client } = await start({ servedVersions: { 'secrets-store.csi.x-k8s.io': [] } });

    expect((await client.get('/apis/secrets-store.csi.x-k8s.io')).code).toBe(404);
  });

  test('stores and serves a further kind by one row', async () => {
    const widgets = {
      group: 'example.com',
      versions: ['v1'],
      kind: 'Widget',
      plural: 'widgets',
      singular: 'widget',
      namespaced: true,
      custom: true,
    } as const;
    const { client } = await start({ resources: [widgets] });
    const path = '/apis/example.com/v1/namespaces/default/widgets';
    const widget = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'a' }, spec: { b: 1 } };

    expect((await client.create(path, widget)).code).toBe(201);
    expect((await client.patch(`${path}/a`, MERGE, { spec: { b: 2 } })).body.spec).toEqual({ b: 2 });
  });

  test('asks its caller whom a token belongs to', async () => {
    const { cluster, client } = await start({
      authenticate: async (token) => (token === 'good' ? { username: 'me', groups: ['team'] } : undefined),
    });
    cluster.apply(TEAM_MAY_LIST_PODS);

    expect((await client.send('GET', '/api/v1/pods', { token: 'good' })).code).toBe(200);
    expect((await client.send('GET', '/api/v1/secrets', { token: 'good' })).code).toBe(403);
    expect((await client.send('GET', '/api/v1/pods', { token: 'bad' })).code).toBe(401);
  });

  test('works with the client library that Rekey uses', async () => {
    const { cluster } = await start();
    cluster.apply(WEB);
    const config = new KubeConfig();
    config.loadFromClusterAndUser(
      {
        name: 'c',
        server: cluster.endpoint,
        caData: Buffer.from(cluster.caPem).toString('base64'),
        skipTLSVerify: false,
      },
      { name: 'u', token: cluster.adminToken },
    );
    const apps = config.makeApiClient(AppsV1Api);

    await apps.patchNamespacedDeployment(
      { namespace: 'default', name: 'web', fieldManager: 'rekey', body: { metadata: { annotations: { a: 'b' } } } },
      setHeaderOptions('Content-Type', PatchStrategy.StrategicMergePatch),
    );
    const { items } = await apps.listDeploymentForAllNamespaces({ limit: 1 });

    expect(items[0]?.metadata?.annotations?.['a']).toBe('b');
    expect(items[0]?.metadata?.managedFields?.map((entry) => entry.manager)).toContain('rekey');
  });
});

describe('the history', () => {
  test('that is gone ends a watch with an error of status 410', async () => {
    const { cluster, client } = await start();
    const from = (await client.get('/api/v1/secrets')).body.metadata.resourceVersion;
    cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } });
    cluster.compact();

    const events = await client.watch(`/api/v1/secrets?watch=true&resourceVersion=${from}`, (seen) => seen.length > 0);

    expect(events).toEqual([
      {
        type: 'ERROR',
        object: expect.objectContaining({ kind: 'Status', code: 410, reason: 'Expired', message: expect.any(String) }),
      },
    ]);
    expect(events[0]?.object.message).toMatch(/^too old resource version: \d+ \(\d+\)$/);
  });

  test('that is gone ends a list in pages with 410 and a token for the rest', async () => {
    const { cluster, client } = await start();
    for (const name of ['a', 'b', 'c']) cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name } });
    const first = (await client.get('/api/v1/secrets?limit=1')).body;
    cluster.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'bb' } });
    cluster.compact();

    const gone = await client.get(`/api/v1/secrets?limit=1&continue=${first.metadata.continue}`);
    const rest = await client.get(`/api/v1/secrets?continue=${gone.body.metadata.continue}`);

    expect(gone).toMatchObject({ code: 410, body: { reason: 'Expired' } });
    expect(rest.body.items.map((item: Pod) => item.metadata.name)).toEqual(['b', 'bb', 'c']);
  });

  test('ahead of the present is answered with a time-out', async () => {
    const { client } = await start();

    expect(await client.get('/api/v1/secrets?resourceVersion=99999999')).toMatchObject({
      code: 504,
      body: {
        reason: 'Timeout',
        message: expect.stringMatching(/^Too large resource version: 99999999, current: \d+$/),
      },
    });
  });
});

describe('the request log', () => {
  test('counts requests, bytes and TLS connections', async () => {
    const { cluster, client } = await start();

    await client.get('/api/v1/namespaces/default/pods?limit=5');
    await client.get('/api/v1/namespaces/default/pods/none');
    await client.get('/apis');

    const { requests } = cluster;
    expect(requests.tlsConnections()).toBe(1);
    expect(requests.count('list', 'pods')).toBe(1);
    expect(requests.count('get')).toBe(2);
    expect(
      requests.calls.map(({ verb, resource, namespace, name, code }) => ({ verb, resource, namespace, name, code })),
    ).toEqual([
      { verb: 'list', resource: 'pods', namespace: 'default', name: undefined, code: 200 },
      { verb: 'get', resource: 'pods', namespace: 'default', name: 'none', code: 404 },
      { verb: 'get', resource: undefined, namespace: undefined, name: undefined, code: 200 },
    ]);
    expect(requests.calls[0]).toMatchObject({ username: 'kubernetes-admin', userAgent: 'contract/1.0 (test)' });
    expect(requests.calls[0]?.responseBytes).toBeGreaterThan(50);
    requests.reset();
    expect(requests.calls).toEqual([]);
  });
});

describe('faults', () => {
  test('refuse a request before it takes effect', async () => {
    const { cluster, client } = await start();
    cluster.inject(({ verb }) =>
      verb === 'create' ? { kind: 'refuse', code: 429, retryAfterSeconds: 3, message: 'too many' } : undefined,
    );

    const answer = await client.create('/api/v1/namespaces/default/secrets', SECRET);

    expect(answer).toMatchObject({
      code: 429,
      body: { kind: 'Status', reason: 'TooManyRequests', message: 'too many', details: { retryAfterSeconds: 3 } },
    });
    expect(cluster.get('secrets', 'default', 's')).toBeUndefined();
  });

  test('cut the connection before a request takes effect', async () => {
    const { cluster, client } = await start();
    cluster.inject(({ sequence }) => (sequence === 1 ? { kind: 'cut' } : undefined));

    await expect(client.create('/api/v1/namespaces/default/secrets', SECRET)).rejects.toThrow(
      /socket hang up|ECONNRESET/,
    );
    expect(cluster.get('secrets', 'default', 's')).toBeUndefined();
  });

  test('lose the answer to a request that took effect', async () => {
    const { cluster, client } = await start();
    cluster.inject(() => ({ kind: 'lose-answer' }));

    await expect(client.create('/api/v1/namespaces/default/secrets', SECRET)).rejects.toThrow(
      /socket hang up|ECONNRESET/,
    );
    expect(cluster.get('secrets', 'default', 's')).toBeDefined();
  });

  test('leave a request without an answer', async () => {
    const { cluster, client } = await start();
    cluster.inject(({ resource }) => (resource === 'pods' ? { kind: 'hang' } : undefined));
    let answered = false;

    const hanging = client.get('/api/v1/pods').then(
      () => {
        answered = true;
      },
      () => {},
    );
    await until(() => cluster.requests.calls.length === 1);
    await client.get('/api/v1/namespaces');

    expect(answered).toBe(false);
    client.close();
    await hanging;
  });

  test('run something first', async () => {
    const { cluster, client } = await start();
    cluster.inject(({ verb }) =>
      verb === 'get'
        ? { kind: 'run', action: () => void cluster.apply({ ...SECRET, metadata: { name: 's' } }) }
        : undefined,
    );

    expect((await client.get('/api/v1/namespaces/default/secrets/s')).code).toBe(200);
  });
});

describe('the node agent', () => {
  test('shows a container what is mounted in it', async () => {
    const { cluster } = await start();
    const started: RunningContainer[] = [];
    cluster.onContainerStarted((container) => void started.push(container));

    cluster.apply(WEB);
    await cluster.idle();

    expect(started).toHaveLength(1);
    const [container] = started;
    expect(container?.pod).toMatchObject({ namespace: 'default', name: pod(cluster).metadata.name });
    expect([...(container?.files ?? [])]).toEqual([['/mnt/secrets/shop_database', '{"password":"one"}']]);
    expect(container?.readFile('/mnt/secrets/shop_database')).toBe('{"password":"one"}');
    expect(() => container?.readFile('/mnt/secrets/none')).toThrow(/ENOENT/);
  });

  test('tells when a container ends', async () => {
    const { cluster } = await start();
    const events: string[] = [];
    cluster.onContainerStarted(({ pod: { name } }) => void events.push(`started ${name}`));
    cluster.onContainerStopped(({ pod: { name } }) => events.push(`stopped ${name}`));
    cluster.apply(WEB);
    await cluster.idle();
    const before = pod(cluster).metadata.name;

    cluster.apply(WEB.replace('labels: { app: web } }', 'labels: { app: web }, annotations: { a: b } }'));
    await cluster.idle();

    const after = pod(cluster).metadata.name;
    expect(events).toEqual([`started ${before}`, `started ${after}`, `stopped ${before}`]);
  });

  test('calls a container ready when whoever runs in it is', async () => {
    const { cluster } = await start();
    let logIn = () => {};
    const loggedIn = new Promise<void>((resolve) => {
      logIn = resolve;
    });
    cluster.onContainerStarted(() => loggedIn);
    const isReady = () => pod(cluster).status.containerStatuses?.[0]?.ready;

    cluster.apply(WEB);
    await until(() => cluster.list('pods').length > 0 && isRunning(pod(cluster)));
    const before = isReady();
    logIn();
    await until(() => isReady() === true);

    expect(before).toBe(false);
  });

  test('restarts a container whose program fails', async () => {
    const { cluster } = await start({ timing: { crashBackoffMs: 5 } });
    let runs = 0;
    cluster.onContainerStarted(async () => {
      runs += 1;
      if (runs < 3) throw new Error('password authentication failed');
    });

    cluster.apply(WEB);
    await until(() => cluster.list('pods').length > 0 && pod(cluster).status.containerStatuses?.[0]?.ready === true);

    expect(pod(cluster).status.containerStatuses?.[0]).toMatchObject({
      restartCount: 2,
      lastState: { terminated: { exitCode: 1, reason: 'Error' } },
    });
  });

  test('leaves what is mounted alone when the driver does not rotate', async () => {
    const { cluster, secret } = await start();
    cluster.apply(WEB);
    await cluster.idle();

    Object.assign(secret, { versionId: 'v2', value: '{"password":"two"}' });
    await cluster.idle();

    expect(mountedVersion(cluster)).toBe('v1');
  });

  test('remounts in place, and reports it, when the driver rotates; a subPath stays', async () => {
    const { cluster, secret } = await start({ rotation: { enabled: true, pollMs: 10 } });
    const started: RunningContainer[] = [];
    cluster.onContainerStarted((container) => void started.push(container));
    cluster.apply(
      WEB.replace('volumeMounts: [', 'volumeMounts: [{ name: v, mountPath: /one, subPath: shop_database }, '),
    );
    await cluster.idle();

    Object.assign(secret, { versionId: 'v2', value: '{"password":"two"}' });
    await until(() => mountedVersion(cluster) === 'v2');

    expect(started).toHaveLength(1);
    expect(started[0]?.readFile('/mnt/secrets/shop_database')).toBe('{"password":"two"}');
    expect(started[0]?.readFile('/one')).toBe('{"password":"one"}');
    expect(pod(cluster).status.containerStatuses?.[0]?.restartCount).toBe(0);
  });

  test('writes the report only when a version moved', async () => {
    let reads = 0;
    const readSecret = async () => {
      reads += 1;
      return { versionId: 'v1', value: '{}' };
    };
    const { cluster } = await start({ readSecret, rotation: { enabled: true, pollMs: 5 } });
    cluster.apply(WEB);
    await cluster.idle();
    const [before] = cluster.list('secretproviderclasspodstatuses');

    await until(() => reads > 5);

    expect(cluster.list('secretproviderclasspodstatuses')[0]).toBe(before);
  });

  test('keeps an old mount when the secret can no longer be read', async () => {
    const { cluster, secret } = await start({ rotation: { enabled: true, pollMs: 5 } });
    let reads = 0;
    Object.defineProperty(secret, 'versionId', {
      enumerable: true,
      get() {
        reads += 1;
        if (reads > 1) throw new Error('denied');
        return 'v1';
      },
    });
    cluster.apply(WEB);

    await until(() => reads > 4);

    expect(mountedVersion(cluster)).toBe('v1');
  });

  test.each([
    ['image', 'ImagePullBackOff'],
    ['crash', 'CrashLoopBackOff'],
    ['mount', 'ContainerCreating'],
  ])('fails as an annotation says: %s', async (fail, reason) => {
    const { cluster } = await start({ timing: { retryMs: 5 } });

    cluster.apply(
      WEB.replace('labels: { app: web } }', `labels: { app: web }, annotations: { rekey-sandbox.dev/fail: ${fail} } }`),
    );
    await until(
      () =>
        cluster.list('pods').length > 0 && pod(cluster).status.containerStatuses?.[0]?.state.waiting?.reason === reason,
    );
    await cluster.idle();

    expect(pod(cluster).status.containerStatuses?.[0]?.ready).toBe(false);
  });

  test('mends when the cause of a failure goes away', async () => {
    const { cluster } = await start({ timing: { retryMs: 5, crashBackoffMs: 5 } });
    let fails: 'unready' | 'crash' | 'normal' = 'crash';
    cluster.behave(() => ({ kind: fails }));
    cluster.apply(WEB);
    await until(() => cluster.list('pods').length > 0 && restarts(pod(cluster)) > 0);

    fails = 'unready';
    await until(() => isRunning(pod(cluster)));
    fails = 'normal';
    await until(() => pod(cluster).status.containerStatuses?.[0]?.ready === true);

    expect(pod(cluster).status.phase).toBe('Running');
  });

  test('runs init containers one after the other before the others, and sidecars next to them', async () => {
    const { cluster } = await start();
    const started: string[] = [];
    cluster.onContainerStarted(({ name }) => void started.push(name));

    cluster.apply(
      WEB.replace(
        'containers:',
        'initContainers: [{ name: first, image: i }, { name: side, image: s, restartPolicy: Always }]\n      containers:',
      ),
    );
    await cluster.idle();

    const { initContainerStatuses, containerStatuses } = pod(cluster).status;
    expect(initContainerStatuses?.[0]?.state.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(initContainerStatuses?.[1]?.state.running).toBeDefined();
    expect(containerStatuses?.[0]?.ready).toBe(true);
    expect(started).toEqual(expect.arrayContaining(['side', 'app']));
  });

  test('ends nothing after the cluster is closed', async () => {
    const { cluster } = await start();
    let stopped = 0;
    cluster.onContainerStopped(() => {
      stopped += 1;
    });
    cluster.apply(WEB);
    await cluster.idle();

    await cluster.close();
    closing.splice(0, 1);

    expect(stopped).toBe(1);
  });
});

function isRunning(one: Pod): boolean {
  return one.status.containerStatuses?.[0]?.state.running !== undefined;
}

function restarts(one: Pod): number {
  return one.status.containerStatuses?.[0]?.restartCount ?? 0;
}

const SECRET = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' } };

const TEAM_MAY_LIST_PODS = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: pods }
rules: [{ apiGroups: [""], resources: [pods], verbs: [list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: pods }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pods }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: team }]
`;

const WEB = `
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: { name: database }
spec:
  provider: aws
  parameters:
    objects: |
      - objectName: shop/database
        objectType: secretsmanager
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: app
          image: shop/web:1
          volumeMounts: [{ name: v, mountPath: /mnt/secrets }]
      volumes:
        - name: v
          csi: { driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: { secretProviderClass: database } }
`;
