import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { eventually } from '../sandbox/eventually.ts';
import { type KubernetesSandbox, startKubernetes } from '../sandbox/kubernetes/index.ts';

const present = spawnSync('kubectl', ['version', '--client']).status === 0;

if (present) describeKubectl();
else if (process.env['CI'] === 'true') {
  test('kubectl is installed', () => {
    throw new Error('CI must drive the sandbox with a real kubectl, and there is none');
  });
} else {
  console.warn('SKIPPED: kubectl is not installed, so nothing drives the sandbox with it');
  test('kubectl is looked for', () => {
    expect(present).toBe(false);
  });
}

/** A real kubectl against the sandbox: what a person does there. */
function describeKubectl(): void {
  describe('kubectl', () => {
    let folder: string;
    let cluster: KubernetesSandbox;

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'rekey-kubectl-'));
    });

    afterAll(async () => {
      await rm(folder, { recursive: true });
    });

    beforeEach(async () => {
      cluster = await startKubernetes({
        clusterName: 'kubectl',
        readSecret: async () => ({ versionId: 'v1', value: '{}' }),
        authenticate: (token) => (token === 'of-a-viewer' ? { username: 'viewer', groups: ['viewers'] } : undefined),
      });
      await cluster.writeKubeconfig(join(folder, 'config'));
      await writeFile(join(folder, 'shop.yaml'), MANIFESTS);
    });

    afterEach(async () => {
      await cluster.close();
    });

    /** @returns what it printed @throws Error with what it printed as an error */
    async function kubectl(...args: string[]): Promise<string> {
      // Discovery is cached by server address: every cluster here needs a cache of its own.
      const cache = join(folder, `cache-${new URL(cluster.endpoint).port}`);
      const command = ['--kubeconfig', join(folder, 'config'), '--cache-dir', cache, ...args];
      const { stdout } = await promisify(execFile)('kubectl', command, { env: { PATH: process.env['PATH'] } });
      return stdout;
    }

    async function applied(): Promise<void> {
      await kubectl('apply', '-f', join(folder, 'shop.yaml'));
      await cluster.idle();
    }

    const lines = (text: string) => text.trim().split('\n');

    test('apply creates, and says the second time that nothing changed', async () => {
      expect(lines(await kubectl('apply', '-f', join(folder, 'shop.yaml')))).toEqual([
        'namespace/shop created',
        'secretproviderclass.secrets-store.csi.x-k8s.io/database created',
        'deployment.apps/orders created',
        'statefulset.apps/ledger created',
        'daemonset.apps/agent created',
      ]);
      expect(lines(await kubectl('apply', '-f', join(folder, 'shop.yaml')))).toEqual([
        'namespace/shop unchanged',
        'secretproviderclass.secrets-store.csi.x-k8s.io/database unchanged',
        'deployment.apps/orders unchanged',
        'statefulset.apps/ledger unchanged',
        'daemonset.apps/agent unchanged',
      ]);
    });

    test('apply merges a changed manifest into what others wrote', async () => {
      await applied();
      await kubectl('annotate', '-n', 'shop', 'deployment/orders', 'kept=yes');
      await writeFile(join(folder, 'shop.yaml'), MANIFESTS.replace('shop/orders:1', 'shop/orders:2'));

      expect(await kubectl('apply', '-f', join(folder, 'shop.yaml'))).toContain('deployment.apps/orders configured');

      const deployment = JSON.parse(await kubectl('get', '-n', 'shop', 'deployment', 'orders', '-o', 'json'));
      expect(deployment.metadata.annotations.kept).toBe('yes');
      expect(deployment.spec.template.spec.containers[0].image).toBe('shop/orders:2');
    });

    test('apply --server-side works, and conflicts as it should', async () => {
      await kubectl('apply', '--server-side', '-f', join(folder, 'shop.yaml'));
      await kubectl('apply', '--server-side', '-f', join(folder, 'shop.yaml'));
      const other = ['apply', '--server-side', '--field-manager=other', '-f', join(folder, 'shop.yaml')];
      await writeFile(join(folder, 'shop.yaml'), MANIFESTS.replace('shop/orders:1', 'shop/orders:2'));

      await expect(kubectl(...other)).rejects.toThrow(/conflict with "kubectl".*image/s);
      expect(await kubectl(...other, '--force-conflicts')).toContain('deployment.apps/orders serverside-applied');
    });

    test('get shows deployments, pods and what the pods have mounted', async () => {
      await applied();

      const shown = await kubectl('get', '-n', 'shop', 'deploy,pods,secretproviderclasspodstatuses');

      expect(shown).toMatch(/^NAME +READY +UP-TO-DATE +AVAILABLE +AGE$/m);
      expect(shown).toMatch(/^deployment.apps\/orders +2\/2 +2 +2 +\d+s$/m);
      expect(shown).toMatch(/^NAME +READY +STATUS +RESTARTS +AGE$/m);
      expect(shown).toMatch(/^pod\/orders-[a-z0-9]+-[a-z0-9]{5} +1\/1 +Running +0 +\d+s$/m);
      expect(shown).toMatch(/^secretproviderclasspodstatus.secrets-store.csi.x-k8s.io\/ledger-0-shop-database +\d+s$/m);
    });

    test('get -o wide, -A, -l, -o jsonpath and --field-selector work', async () => {
      await applied();

      expect(await kubectl('get', 'ds', '-A', '-o', 'wide')).toMatch(
        /^shop +agent +3 +3 +3 +3 +3 +<none> +\d+s +app +shop\/agent:1 +app=agent$/m,
      );
      expect(lines(await kubectl('get', 'pods', '-n', 'shop', '-l', 'app=ledger', '-o', 'name'))).toEqual([
        'pod/ledger-0',
      ]);
      expect(await kubectl('get', 'sts', '-n', 'shop', 'ledger', '-o', 'jsonpath={.status.readyReplicas}')).toBe('1');
      expect(
        lines(await kubectl('get', 'pods', '-A', '--field-selector=metadata.name=ledger-0', '-o', 'name')),
      ).toEqual(['pod/ledger-0']);
    });

    test.each([
      ['deployment/orders', 'deployment "orders" successfully rolled out'],
      ['statefulset/ledger', 'partitioned roll out complete: 1 new pods have been updated...'],
      ['daemonset/agent', 'daemon set "agent" successfully rolled out'],
    ])('rollout restart rolls %s and rollout status waits for it', async (workload, done) => {
      await applied();
      const before = cluster.list('pods', 'shop').map((pod) => pod.metadata.uid);

      expect(await kubectl('rollout', 'restart', '-n', 'shop', workload)).toContain('restarted');
      const status = await kubectl('rollout', 'status', '-n', 'shop', workload, '--timeout=20s');
      await cluster.idle();

      expect(lines(status).at(-1)).toBe(done);
      const app = workload.split('/')[1];
      const pods = cluster.list('pods', 'shop').filter((pod) => pod.metadata.labels?.['app'] === app);
      expect(pods.length).toBeGreaterThan(0);
      expect(pods.some((pod) => before.includes(pod.metadata.uid))).toBe(false);
    });

    test('rollout status fails when the deadline of a rollout is over', async () => {
      await applied();
      cluster.behave((pod) => (pod.metadata.annotations?.['release'] === 'bad' ? { kind: 'crash' } : undefined));
      const patch = {
        spec: { progressDeadlineSeconds: 1, template: { metadata: { annotations: { release: 'bad' } } } },
      };

      await kubectl('patch', '-n', 'shop', 'deployment/orders', '-p', JSON.stringify(patch));

      await expect(kubectl('rollout', 'status', '-n', 'shop', 'deployment/orders', '--timeout=20s')).rejects.toThrow(
        'deployment "orders" exceeded its progress deadline',
      );
      // Between two waits the container runs for a moment.
      await eventually('a pod that waits before its next start', async () =>
        /CrashLoopBackOff +[1-9]/.test(await kubectl('get', '-n', 'shop', 'pods')),
      );
      expect(await kubectl('get', '-n', 'shop', 'deployment', 'orders')).toMatch(/orders +2\/2 +1 +2/);
    });

    test('rollout undo and history go by the revisions', async () => {
      await applied();
      const image = async () =>
        await kubectl(
          'get',
          '-n',
          'shop',
          'deploy',
          'orders',
          '-o',
          'jsonpath={.spec.template.spec.containers[0].image}',
        );
      await kubectl('set', 'image', '-n', 'shop', 'deployment/orders', 'app=shop/orders:2');
      await cluster.idle();
      expect(await image()).toBe('shop/orders:2');

      await kubectl('rollout', 'undo', '-n', 'shop', 'deployment/orders');
      await cluster.idle();

      expect(await image()).toBe('shop/orders:1');
      expect(cluster.list('replicasets', 'shop')).toHaveLength(2);
      expect(await kubectl('rollout', 'history', '-n', 'shop', 'deployment/orders')).toMatch(/^3 /m);
    });

    test('annotate and label change an object once', async () => {
      await applied();
      const version = async () =>
        await kubectl('get', '-n', 'shop', 'deploy', 'orders', '-o', 'jsonpath={.metadata.resourceVersion}');

      await kubectl('annotate', '-n', 'shop', 'deployment/orders', 'rekey.dev/mode=off');
      await cluster.idle();
      const first = await version();
      await kubectl('annotate', '-n', 'shop', '--overwrite', 'deployment/orders', 'rekey.dev/mode=off');
      await cluster.idle();

      expect(await version()).toBe(first);
      expect(await kubectl('label', '-n', 'shop', 'deployment/orders', 'a=b')).toContain('labeled');
    });

    test('describe tells the life of a pod', async () => {
      await applied();

      const shown = await kubectl('describe', '-n', 'shop', 'pod', 'ledger-0');

      expect(shown).toMatch(/^Status: +Running$/m);
      expect(shown).toMatch(/^Controlled By: +StatefulSet\/ledger$/m);
      expect(shown).toMatch(/VolumeAttributes: +secretProviderClass=database/);
      expect(shown).toMatch(/Normal +Started .* Started container app/);
    });

    test('wait and get --watch follow what happens', async () => {
      await applied();

      expect(await kubectl('wait', '-n', 'shop', 'pod/ledger-0', '--for=condition=Ready', '--timeout=10s')).toContain(
        'pod/ledger-0 condition met',
      );
      await kubectl('delete', '-n', 'shop', 'deployment/orders');
      await kubectl('wait', '-n', 'shop', 'pod', '-l', 'app=orders', '--for=delete', '--timeout=10s');
      expect(await kubectl('get', '-n', 'shop', 'rs,pods', '-l', 'app=orders')).toBe('');
    });

    test('delete namespace waits until all in it is gone', async () => {
      await applied();

      await kubectl('delete', 'namespace', 'shop', '--timeout=20s');

      expect(cluster.list('pods')).toEqual([]);
      expect(cluster.get('namespaces', undefined, 'shop')).toBeUndefined();
      await expect(kubectl('get', 'ns', 'shop')).rejects.toThrow('namespaces "shop" not found');
    });

    test('auth can-i answers from the roles that are stored', async () => {
      await applied();
      await writeFile(join(folder, 'viewer.yaml'), VIEWER);
      await kubectl('apply', '-f', join(folder, 'viewer.yaml'));
      const asViewer = ['--token=of-a-viewer', '-n', 'shop'];

      expect(await kubectl('auth', 'can-i', 'delete', 'pods')).toBe('yes\n');
      expect(await kubectl('auth', 'can-i', 'list', 'deployments', ...asViewer)).toBe('yes\n');
      await expect(kubectl('auth', 'can-i', 'list', 'secrets', ...asViewer)).rejects.toMatchObject({ stdout: 'no\n' });
      expect(await kubectl('auth', 'whoami', ...asViewer)).toMatch(/Username +viewer/);
      expect(await kubectl('get', 'deployments', ...asViewer)).toContain('orders');
      await expect(kubectl('get', 'secrets', ...asViewer)).rejects.toThrow(
        'secrets is forbidden: User "viewer" cannot list resource "secrets" in API group "" in the namespace "shop"',
      );
      await expect(kubectl('get', 'pods', '--token=nobodys')).rejects.toThrow('You must be logged in to the server');
    });

    test('api-resources lists what is served', async () => {
      const shown = await kubectl('api-resources');

      expect(shown).toMatch(/^deployments +deploy +apps\/v1 +true +Deployment$/m);
      expect(shown).toMatch(/^secretproviderclasses +secrets-store.csi.x-k8s.io\/v1 +true +SecretProviderClass$/m);
    });
  });
}

const VIEWER = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: { name: viewer }
rules: [{ apiGroups: [apps], resources: [deployments], verbs: [get, list] }]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: { name: viewer }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: viewer }
subjects: [{ apiGroup: rbac.authorization.k8s.io, kind: Group, name: viewers }]
`;

const MANIFESTS = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: secrets-store.csi.x-k8s.io/v1
kind: SecretProviderClass
metadata: { name: database, namespace: shop }
spec:
  provider: aws
  parameters:
    objects: |
      - objectName: shop/database
        objectType: secretsmanager
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: orders, namespace: shop }
spec:
  replicas: 2
  selector: { matchLabels: { app: orders } }
  template:
    metadata: { labels: { app: orders } }
    spec:
      containers: [{ name: app, image: "shop/orders:1" }]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: { name: ledger, namespace: shop }
spec:
  serviceName: ledger
  selector: { matchLabels: { app: ledger } }
  template:
    metadata: { labels: { app: ledger } }
    spec:
      containers:
        - name: app
          image: shop/ledger:1
          volumeMounts: [{ name: secrets, mountPath: /mnt/secrets }]
      volumes:
        - name: secrets
          csi: { driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: { secretProviderClass: database } }
---
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: agent, namespace: shop }
spec:
  selector: { matchLabels: { app: agent } }
  template:
    metadata: { labels: { app: agent } }
    spec:
      containers: [{ name: app, image: "shop/agent:1" }]
`;
