import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  JSON_PATCH,
  type KubernetesApi,
  KubernetesClient,
  MERGE,
  STRATEGIC,
} from '../sandbox/kubernetes/api-client.ts';

/**
 * How workloads roll, and how pods come to have what they mount: the controllers' and the node agent's behaviour.
 * Depends on timing where the API alone does not. Pods must become ready by themselves within a second or two,
 * fail as their annotation `rekey-sandbox.dev/fail` says, and find the secret `shop/database` at version `v1`.
 */
export function describeKubernetesWorkloads(
  name: string,
  start: () => Promise<KubernetesApi & { close?: () => Promise<void> }>,
): void {
  describe(`workloads on ${name}`, () => {
    let api: KubernetesClient;
    let close: (() => Promise<void>) | undefined;

    beforeAll(async () => {
      const started = await start();
      api = new KubernetesClient(started);
      close = started.close;
    });

    afterAll(async () => {
      await api.deleteNamespaces();
      api.close();
      await close?.();
    });

    const namespace = () => api.createNamespace('workloads');

    /** Creates a workload in a namespace of its own and waits until it has rolled out. */
    async function workload(kind: Kind, spec: object, template: object = {}): Promise<Workload> {
      const ns = await namespace();
      const path = `/apis/apps/v1/namespaces/${ns}/${kind.toLowerCase()}s`;
      const { code, body } = await api.create(path, {
        apiVersion: 'apps/v1',
        kind,
        metadata: { name: 'web' },
        spec: { selector: { matchLabels: { app: 'web' } }, template: { ...TEMPLATE, ...template }, ...spec },
      });
      expect({ code, body }).toMatchObject({ code: 201 });
      const created = { kind, ns, path: `${path}/web`, pods: `/api/v1/namespaces/${ns}/pods` };
      await rolledOut(created);
      return created;
    }

    async function rolledOut({ kind, path }: Workload): Promise<Body> {
      return await api.until(path, (body) => isRolledOut(kind, body));
    }

    /** Another pod template: what `kubectl rollout restart` does, and Rekey. */
    async function mark({ path }: Workload, annotations: Record<string, string>): Promise<Body> {
      const patch = { spec: { template: { metadata: { annotations } } } };
      return (await api.patch(path, STRATEGIC, patch)).body;
    }

    async function pods({ pods: path }: Workload): Promise<Body[]> {
      const { body } = await api.get(path);
      return body.items.sort((left: Body, right: Body) => (left.metadata.name < right.metadata.name ? -1 : 1));
    }

    const nodeCount = async () => (await api.get('/api/v1/nodes')).body.items.length;

    describe('a Deployment', () => {
      test('runs its pods through a ReplicaSet named after the hash of the template', async () => {
        const web = await workload('Deployment', { replicas: 2 });

        const sets = await api.get(`/apis/apps/v1/namespaces/${web.ns}/replicasets`);
        const [set] = sets.body.items;
        const hash = set.metadata.labels['pod-template-hash'];
        expect(set.metadata.name).toBe(`web-${hash}`);
        expect(set.metadata.annotations['deployment.kubernetes.io/revision']).toBe('1');
        const running = await pods(web);
        expect(running).toHaveLength(2);
        for (const pod of running) {
          expect(pod.metadata.name).toMatch(new RegExp(`^web-${hash}-[a-z0-9]{5}$`));
          expect(pod.metadata.labels).toEqual({ app: 'web', 'pod-template-hash': hash });
          expect(pod.metadata.ownerReferences).toEqual([
            expect.objectContaining({ kind: 'ReplicaSet', name: set.metadata.name, controller: true }),
          ]);
          expect(pod.status.phase).toBe('Running');
          expect(pod.status.containerStatuses[0]).toMatchObject({
            name: 'app',
            ready: true,
            restartCount: 0,
            state: { running: { startedAt: expect.any(String) } },
          });
        }
      });

      test('counts its pods and says that it has progressed', async () => {
        const web = await workload('Deployment', { replicas: 2 });

        const { body } = await api.get(web.path);

        expect(body.status).toMatchObject({
          observedGeneration: body.metadata.generation,
          replicas: 2,
          updatedReplicas: 2,
          readyReplicas: 2,
          availableReplicas: 2,
        });
        expect(body.status.unavailableReplicas).toBeUndefined();
        expect(reason(body, 'Progressing')).toBe('True NewReplicaSetAvailable');
        expect(reason(body, 'Available')).toBe('True MinimumReplicasAvailable');
      });

      test('replaces all pods when its template changes, within maxSurge and maxUnavailable', async () => {
        const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
        const web = await workload('Deployment', { replicas: 3, strategy });
        const before = (await api.get(web.pods)).body;
        const setsBefore = (await api.get(replicaSets(web))).body;

        await mark(web, { 'rekey.dev/x': 'v2' });
        await rolledOut(web);

        const after = await pods(web);
        const live = after.filter((pod) => pod.metadata.deletionTimestamp === undefined);
        expect(live).toHaveLength(3);
        expect(live.every((pod) => pod.metadata.annotations['rekey.dev/x'] === 'v2')).toBe(true);
        expect(uids(live).some((uid) => uids(before.items).includes(uid))).toBe(false);
        const { fewestReady } = await replay(web, before);
        expect(fewestReady).toBeGreaterThanOrEqual(3);
        expect(await mostWanted(web, setsBefore)).toBe(4);
      });

      test('lets old pods run when new ones fail', async () => {
        const strategy = { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } };
        const web = await workload('Deployment', { replicas: 2, strategy });
        const before = uids(await pods(web));

        await mark(web, { 'rekey-sandbox.dev/fail': 'crash' });
        await api.until(web.pods, (body) => body.items.some((pod: Body) => waiting(pod) === 'CrashLoopBackOff'));

        const old = (await pods(web)).filter((pod) => before.includes(pod.metadata.uid));
        expect(old.map((pod) => [isReady(pod), pod.metadata.deletionTimestamp])).toEqual([
          [true, undefined],
          [true, undefined],
        ]);
        const { status } = await api.until(web.path, (body) => body.status.updatedReplicas === 1);
        expect(status).toMatchObject({ availableReplicas: 2, unavailableReplicas: 1 });
      });

      test('gives up after its progress deadline', async () => {
        const web = await workload('Deployment', { replicas: 1, progressDeadlineSeconds: 2 });

        await mark(web, { 'rekey-sandbox.dev/fail': 'image' });

        const body = await api.until(
          web.path,
          (one) => reason(one, 'Progressing') === 'False ProgressDeadlineExceeded',
        );
        expect(body.status.availableReplicas).toBe(1);
        const isWaiting = (pod: Body) => ['ErrImagePull', 'ImagePullBackOff'].includes(waiting(pod) ?? '');
        await api.until(web.pods, ({ items }) => items.some(isWaiting));
      });

      test('goes back to the ReplicaSet of a template that it had before', async () => {
        const web = await workload('Deployment', { replicas: 1 });
        const first = (await pods(web))[0].metadata.labels['pod-template-hash'];
        await mark(web, { a: 'b' });
        await rolledOut(web);

        await api.patch(web.path, JSON_PATCH, [{ op: 'remove', path: '/spec/template/metadata/annotations' }]);
        const body = await rolledOut(web);

        const live = (await pods(web)).filter((pod) => pod.metadata.deletionTimestamp === undefined);
        expect(live.map((pod) => pod.metadata.labels['pod-template-hash'])).toEqual([first]);
        expect(body.metadata.annotations['deployment.kubernetes.io/revision']).toBe('3');
      });

      test('does not roll while it is paused', async () => {
        const web = await workload('Deployment', { replicas: 1 });
        const before = uids(await pods(web));
        await api.patch(web.path, MERGE, { spec: { paused: true } });

        await mark(web, { a: 'b' });
        await api.until(web.path, (body) => body.status.observedGeneration === body.metadata.generation);
        const whilePaused = uids(await pods(web));
        await api.patch(web.path, MERGE, { spec: { paused: false } });
        await rolledOut(web);

        expect(whilePaused).toEqual(before);
        const live = (await pods(web)).filter((pod) => pod.metadata.deletionTimestamp === undefined);
        expect(uids(live).some((uid) => before.includes(uid))).toBe(false);
      });

      test('follows its number of replicas without rolling', async () => {
        const web = await workload('Deployment', { replicas: 1 });
        const before = uids(await pods(web));

        await api.patch(web.path, MERGE, { spec: { replicas: 3 } });
        await rolledOut(web);
        const more = uids(await pods(web));
        await api.patch(web.path, MERGE, { spec: { replicas: 0 } });
        await api.until(web.pods, (body) => body.items.length === 0);

        expect(more).toHaveLength(3);
        expect(more).toEqual(expect.arrayContaining(before));
      });

      test('has no pod of two templates at once when it recreates', async () => {
        const web = await workload('Deployment', { replicas: 2, strategy: { type: 'Recreate' } });
        const before = (await api.get(web.pods)).body;

        await mark(web, { a: 'b' });
        await rolledOut(web);

        const { mostTemplates } = await replay(web, before);
        expect(mostTemplates).toBe(1);
      });

      test('takes what it owns with it', async () => {
        const web = await workload('Deployment', { replicas: 1 });

        await api.send('DELETE', web.path, { body: { propagationPolicy: 'Background' } });

        await api.until(web.pods, (body) => body.items.length === 0);
        await api.until(`/apis/apps/v1/namespaces/${web.ns}/replicasets`, (body) => body.items.length === 0);
      });

      test('leaves its pods alone when it is deleted with its dependents orphaned', async () => {
        const web = await workload('Deployment', { replicas: 1 });

        await api.send('DELETE', web.path, { body: { propagationPolicy: 'Orphan' } });

        await api.until(web.path, (body) => body.code === 404);
        const sets = await api.get(`/apis/apps/v1/namespaces/${web.ns}/replicasets`);
        expect(sets.body.items).toHaveLength(1);
        expect(sets.body.items[0].metadata.ownerReferences).toBeUndefined();
        expect(await pods(web)).toHaveLength(1);
      });
    });

    describe('a StatefulSet', () => {
      const spec = (replicas: number, change: object = {}) => ({ serviceName: 'web', replicas, ...change });

      test('names its pods by ordinals and labels them with their revision', async () => {
        const web = await workload('StatefulSet', spec(2));

        const { body } = await api.get(web.path);
        const running = await pods(web);
        expect(running.map((pod) => pod.metadata.name)).toEqual(['web-0', 'web-1']);
        expect(running[0].metadata.labels).toEqual({
          app: 'web',
          'controller-revision-hash': body.status.updateRevision,
          'statefulset.kubernetes.io/pod-name': 'web-0',
          'apps.kubernetes.io/pod-index': '0',
        });
        expect(body.status).toMatchObject({
          replicas: 2,
          readyReplicas: 2,
          availableReplicas: 2,
          currentReplicas: 2,
          updatedReplicas: 2,
          currentRevision: body.status.updateRevision,
        });
      });

      test('replaces its pods from the highest ordinal, each after the one before is ready', async () => {
        const web = await workload('StatefulSet', spec(3));
        const before = (await api.get(web.pods)).body;

        await mark(web, { a: 'b' });
        await rolledOut(web);

        const { readyOrder, fewestReady } = await replay(web, before);
        expect(readyOrder).toEqual(['web-2', 'web-1', 'web-0']);
        expect(fewestReady).toBeGreaterThanOrEqual(2);
      });

      test('leaves pods below the partition as they are', async () => {
        const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 1 } };
        const web = await workload('StatefulSet', spec(2, { updateStrategy }));
        const before = uids(await pods(web));

        await mark(web, { a: 'b' });
        await api.until(web.path, (body) => body.status.updatedReplicas === 1 && body.status.readyReplicas === 2);

        const after = await pods(web);
        expect(after.map((pod) => pod.metadata.annotations?.['a'])).toEqual([undefined, 'b']);
        expect(after[0].metadata.uid).toBe(before[0]);
        const { status } = (await api.get(web.path)).body;
        expect(status.currentRevision).not.toBe(status.updateRevision);
      });

      test('brings a pod below the partition back as it was', async () => {
        const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { partition: 1 } };
        const web = await workload('StatefulSet', spec(2, { updateStrategy }));
        await mark(web, { a: 'b' });
        await api.until(web.path, (body) => body.status.updatedReplicas === 1 && body.status.readyReplicas === 2);
        const [first] = await pods(web);

        await api.send('DELETE', `${web.pods}/web-0`);

        const again = await api.until(
          `${web.pods}/web-0`,
          (body) => body.code !== 404 && body.metadata.uid !== first.metadata.uid && isReady(body),
        );
        expect(again.metadata.annotations?.['a']).toBeUndefined();
      });

      test('stands still at a pod that does not become ready', async () => {
        const web = await workload('StatefulSet', spec(3));
        const before = await pods(web);

        await mark(web, { 'rekey-sandbox.dev/fail': 'unready' });
        await api.until(`${web.pods}/web-2`, (body) => body.code !== 404 && isStarted(body) && !isReady(body));
        const { status } = await api.until(web.path, (body) => body.status.updatedReplicas === 1);
        await stays(`${web.pods}/web-1`, (body) => body.metadata.uid === before[1].metadata.uid);

        expect(status.readyReplicas).toBe(2);
        expect(status.currentRevision).not.toBe(status.updateRevision);
      });

      test('replaces nothing by itself when that is to be done by deletion', async () => {
        const web = await workload('StatefulSet', spec(1, { updateStrategy: { type: 'OnDelete' } }));
        const [before] = await pods(web);

        await mark(web, { a: 'b' });
        await api.until(web.path, (body) => body.status.observedGeneration === body.metadata.generation);
        await stays(`${web.pods}/web-0`, (body) => body.metadata.uid === before.metadata.uid);
        await api.send('DELETE', `${web.pods}/web-0`);

        const after = await api.until(
          `${web.pods}/web-0`,
          (body) => body.code !== 404 && body.metadata.uid !== before.metadata.uid,
        );
        expect(after.metadata.annotations).toMatchObject({ a: 'b' });
      });
    });

    describe('a DaemonSet', () => {
      test('runs one pod on every node', async () => {
        const web = await workload('DaemonSet', {});

        const nodes = (await pods(web)).map((pod) => pod.spec.nodeName);
        expect(new Set(nodes).size).toBe(await nodeCount());
        expect(nodes).toHaveLength(await nodeCount());
      });

      test('replaces its pods one node after the other', async () => {
        const web = await workload('DaemonSet', {});
        const count = await nodeCount();
        const before = (await api.get(web.pods)).body;

        await mark(web, { a: 'b' });
        const body = await rolledOut(web);

        expect(body.status).toMatchObject({
          desiredNumberScheduled: count,
          currentNumberScheduled: count,
          updatedNumberScheduled: count,
          numberAvailable: count,
          numberReady: count,
        });
        const { fewestReady } = await replay(web, before);
        expect(fewestReady).toBeGreaterThanOrEqual(count - 1);
      });

      test('lets the old pods run when new ones fail', async () => {
        const web = await workload('DaemonSet', {});

        await mark(web, { 'rekey-sandbox.dev/fail': 'crash' });
        await api.until(web.pods, (body) => body.items.some((pod: Body) => waiting(pod) === 'CrashLoopBackOff'));

        const count = await nodeCount();
        await api.until(web.path, ({ status }) => status.updatedNumberScheduled === 1);
        const isOneDown = ({ status }: Body) => status.numberAvailable === count - 1 && status.numberUnavailable === 1;
        await stays(web.path, isOneDown);
      });

      test('replaces nothing by itself when that is to be done by deletion', async () => {
        const web = await workload('DaemonSet', { updateStrategy: { type: 'OnDelete' } });
        const before = uids(await pods(web));

        await mark(web, { a: 'b' });
        await api.until(web.path, (body) => body.status.observedGeneration === body.metadata.generation);

        await stays(web.pods, (body) => uids(body.items).every((uid) => before.includes(uid)));
      });
    });

    describe('a mounted secret', () => {
      const mounting = {
        spec: {
          containers: [
            { name: 'app', image: 'shop/web:1', volumeMounts: [{ name: 'secrets', mountPath: '/mnt/secrets' }] },
          ],
          volumes: [
            {
              name: 'secrets',
              csi: {
                driver: 'secrets-store.csi.k8s.io',
                readOnly: true,
                volumeAttributes: { secretProviderClass: 'database' },
              },
            },
          ],
        },
      };
      const STATUSES = 'secretproviderclasspodstatuses';
      const secretsStore = (ns: string) => `/apis/secrets-store.csi.x-k8s.io/v1/namespaces/${ns}`;

      /** A Deployment of one that mounts the class `database`, which may come later. */
      async function mountingDeployment(withClass: boolean): Promise<{ ns: string; pods: string }> {
        const ns = await namespace();
        if (withClass) await createClass(ns);
        await api.create(`/apis/apps/v1/namespaces/${ns}/deployments`, {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'web' },
          spec: { selector: { matchLabels: { app: 'web' } }, template: { ...TEMPLATE, ...mounting } },
        });
        return { ns, pods: `/api/v1/namespaces/${ns}/pods` };
      }

      async function createClass(ns: string): Promise<void> {
        await api.create(`${secretsStore(ns)}/secretproviderclasses`, {
          apiVersion: 'secrets-store.csi.x-k8s.io/v1',
          kind: 'SecretProviderClass',
          metadata: { name: 'database' },
          spec: {
            provider: 'aws',
            parameters: { objects: '- objectName: shop/database\n  objectType: secretsmanager\n' },
          },
        });
      }

      test('is reported for each pod, with its version, before the container starts', async () => {
        const { ns, pods: path } = await mountingDeployment(true);

        const { items } = await api.until(path, (body) => body.items.length === 1 && isReady(body.items[0]));
        const [pod] = items;
        const { body } = await api.get(`${secretsStore(ns)}/${STATUSES}/${pod.metadata.name}-${ns}-database`);

        expect(body.metadata.ownerReferences).toEqual([
          { apiVersion: 'v1', kind: 'Pod', name: pod.metadata.name, uid: pod.metadata.uid },
        ]);
        expect(body.metadata.labels).toEqual({ 'internal.secrets-store.csi.k8s.io/node-name': pod.spec.nodeName });
        expect(body.status).toMatchObject({
          mounted: true,
          podName: pod.metadata.name,
          secretProviderClassName: 'database',
          objects: [{ id: 'shop_database', version: 'v1' }],
        });
        const { startedAt } = pod.status.containerStatuses[0].state.running;
        expect(Date.parse(body.metadata.creationTimestamp)).toBeLessThanOrEqual(Date.parse(startedAt));
      });

      test('that is not there holds the pod up, until it is', async () => {
        const { ns, pods: path } = await mountingDeployment(false);
        await api.until(`/api/v1/namespaces/${ns}/events`, (body) =>
          body.items.some((event: Body) => event.reason === 'FailedMount'),
        );
        // What is told of a pod may be there before what it says of itself.
        const { items } = await api.until(path, (body) => waiting(body.items[0]) === 'ContainerCreating');

        await createClass(ns);
        await api.until(path, (body) => isReady(body.items[0]));

        expect(items[0].status.phase).toBe('Pending');
      });

      test('is no longer reported when the pod is gone', async () => {
        const { ns, pods: path } = await mountingDeployment(true);
        await api.until(path, (body) => body.items.length === 1 && isReady(body.items[0]));

        await api.send('DELETE', `/apis/apps/v1/namespaces/${ns}/deployments/web`, {
          body: { propagationPolicy: 'Background' },
        });

        await api.until(`${secretsStore(ns)}/${STATUSES}`, (body) => body.items.length === 0);
      });
    });

    /** Holds for a while: nothing that was going to happen has happened. */
    async function stays(path: string, condition: (body: Body) => boolean): Promise<void> {
      const until = Date.now() + 500;
      while (Date.now() < until) {
        const { body } = await api.get(path);
        if (!condition(body)) throw new Error(`${path} changed to ${JSON.stringify(body.status ?? body)}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }

    /** What became of the pods since they were listed, read from the events in order. */
    async function replay(web: Workload, before: Body): Promise<Replay> {
      const from = before.metadata.resourceVersion;
      const events = await api.watch(`${web.pods}?watch=true&resourceVersion=${from}&timeoutSeconds=1`, () => false);
      const present = new Map<string, Body>(before.items.map((pod: Body) => [pod.metadata.uid, pod]));
      const live = () => [...present.values()].filter((pod) => pod.metadata.deletionTimestamp === undefined);
      const readyOrder: string[] = [];
      let [fewestReady, mostTemplates] = [live().length, 1];
      for (const { type, object } of events) {
        const { uid, name } = object.metadata;
        if (isReady(object) && !isReady(present.get(uid) ?? {})) readyOrder.push(name);
        if (type === 'DELETED') present.delete(uid);
        else present.set(uid, object);
        fewestReady = Math.min(fewestReady, live().filter(isReady).length);
        const templates = new Set([...present.values()].map((pod) => pod.metadata.labels['pod-template-hash']));
        mostTemplates = Math.max(mostTemplates, templates.size);
      }
      return { fewestReady, mostTemplates, readyOrder };
    }

    const replicaSets = ({ ns }: Workload) => `/apis/apps/v1/namespaces/${ns}/replicasets`;

    /**
     * Pods that all ReplicaSets together were to have at most. Of live pods there may be one more for a moment: two
     * ReplicaSets are scaled one after the other, and each acts on it when it comes to it.
     */
    async function mostWanted(web: Workload, before: Body): Promise<number> {
      const from = before.metadata.resourceVersion;
      const path = `${replicaSets(web)}?watch=true&resourceVersion=${from}&timeoutSeconds=1`;
      const wanted = new Map<string, number>();
      const sums = [...before.items, ...(await api.watch(path, () => false)).map(({ object }) => object)].map((set) => {
        wanted.set(set.metadata.uid, set.spec.replicas);
        return [...wanted.values()].reduce((sum, replicas) => sum + replicas, 0);
      });
      return Math.max(...sums);
    }
  });
}

// biome-ignore lint/suspicious/noExplicitAny: bodies are compared field by field, whatever their type
type Body = any;

type Kind = 'Deployment' | 'StatefulSet' | 'DaemonSet';

interface Workload {
  readonly kind: Kind;
  readonly ns: string;
  readonly path: string;
  readonly pods: string;
}

interface Replay {
  /** Pods that were ready and not ending, at the worst moment. */
  readonly fewestReady: number;
  /** Templates that pods were there of at once, ending ones included. */
  readonly mostTemplates: number;
  /** Pods in the order in which they became ready. */
  readonly readyOrder: readonly string[];
}

const TEMPLATE = {
  metadata: { labels: { app: 'web' } },
  spec: { containers: [{ name: 'app', image: 'shop/web:1' }] },
};

/** As `kubectl rollout status` decides it. */
function isRolledOut(kind: Kind, { metadata, spec, status }: Body): boolean {
  if (status.observedGeneration !== metadata.generation) return false;
  switch (kind) {
    case 'Deployment':
      return (
        (status.updatedReplicas ?? 0) === spec.replicas &&
        (status.replicas ?? 0) === spec.replicas &&
        (status.availableReplicas ?? 0) === spec.replicas
      );
    case 'StatefulSet':
      return (
        (status.readyReplicas ?? 0) === spec.replicas &&
        (spec.updateStrategy.type === 'OnDelete' || status.currentRevision === status.updateRevision)
      );
    case 'DaemonSet':
      return (
        status.desiredNumberScheduled > 0 &&
        status.updatedNumberScheduled === status.desiredNumberScheduled &&
        status.numberAvailable === status.desiredNumberScheduled
      );
  }
}

function isReady(pod: Body): boolean {
  return reason(pod, 'Ready').startsWith('True');
}

function isStarted(pod: Body): boolean {
  return pod.status.containerStatuses?.[0]?.state.running !== undefined;
}

function waiting(pod: Body): string | undefined {
  return pod.status.containerStatuses?.[0]?.state.waiting?.reason;
}

/** `True NewReplicaSetAvailable`: status and reason of a condition. */
function reason(object: Body, type: string): string {
  const found = object.status?.conditions?.find((one: { type: string }) => one.type === type);
  return `${found?.status} ${found?.reason ?? ''}`;
}

function uids(list: readonly Body[]): string[] {
  return list.map((pod) => pod.metadata.uid);
}
