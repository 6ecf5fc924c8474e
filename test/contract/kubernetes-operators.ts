import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { type KubernetesApi, KubernetesClient, MERGE } from '../sandbox/kubernetes/api-client.ts';
import type { AwsSecrets } from '../sandbox/kubernetes/controllers/external-secrets/provider.ts';

export interface OperatedCluster extends KubernetesApi {
  /** The External Secrets Operator does nothing until the returned function is called. */
  readonly holdExternalSecrets: () => () => void;
  readonly close: () => Promise<void>;
}

/** An account as the operator sees it: a secret's versions, the last one current. */
class Account implements AwsSecrets {
  readonly secrets = new Map<string, { readonly value: string; readonly tags?: Readonly<Record<string, string>> }[]>();

  readonly read: AwsSecrets['read'] = async ({ secretId, versionId, versionStage }) => {
    const versions = this.secrets.get(secretId);
    const current = versions?.length ?? 0;
    const at =
      versionId === undefined ? (versionStage === 'AWSPREVIOUS' ? current - 1 : current) : Number(versionId.slice(1));
    const found = versions?.[at - 1];
    if (found === undefined) throw Object.assign(new Error('no such secret'), { name: 'ResourceNotFoundException' });
    return { versionId: `v${at}`, value: found.value };
  };

  readonly list: AwsSecrets['list'] = async () =>
    [...this.secrets].map(([name, versions]) => ({ name, tags: new Map(Object.entries(versions.at(-1)?.tags ?? {})) }));

  put(name: string, value: object | string, tags: Readonly<Record<string, string>> = {}): void {
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    this.secrets.set(name, [...(this.secrets.get(name) ?? []), { value: text, tags }]);
  }
}

/**
 * What people install beside Kubernetes and Rekey has to do with: External Secrets and Argo Rollouts, by what their fields
 * mean, and evictions, which both Rekey and Argo Rollouts ask for.
 */
export function describeKubernetesOperators(name: string, start: (aws: AwsSecrets) => Promise<OperatedCluster>): void {
  describe(`operators on ${name}`, () => {
    const account = new Account();
    let cluster: OperatedCluster;
    let api: KubernetesClient;
    let ns: string;

    beforeAll(async () => {
      cluster = await start(account);
      api = new KubernetesClient(cluster);
    });
    beforeEach(async () => {
      account.secrets.clear();
      ns = await api.createNamespace('operators');
    });
    afterAll(async () => {
      await api.deleteNamespaces();
      api.close();
      await cluster.close();
    });

    const eso = (plural: string) => `/apis/external-secrets.io/v1/namespaces/${ns}/${plural}`;
    const create = async (path: string, body: object) => {
      const answer = await api.create(path, body);
      expect(answer).toMatchObject({ code: 201 });
      return answer.body;
    };
    const store = (store: object = {}, storeName = 'aws') =>
      create(eso('secretstores'), {
        apiVersion: 'external-secrets.io/v1',
        kind: 'SecretStore',
        metadata: { name: storeName },
        spec: { provider: { aws: { service: 'SecretsManager', region: 'eu-west-1', ...store } } },
      });
    const external = async (spec: object, externalName = 'app') => {
      await create(eso('externalsecrets'), {
        apiVersion: 'external-secrets.io/v1',
        kind: 'ExternalSecret',
        metadata: { name: externalName },
        spec: { secretStoreRef: { name: 'aws' }, ...spec },
      });
      return `${eso('externalsecrets')}/${externalName}`;
    };
    const force = (path: string, value: string) =>
      api.patch(path, MERGE, { metadata: { annotations: { 'force-sync': value } } });
    const synced = (path: string) => api.until(path, (body) => ready(body) === 'True SecretSynced');
    const target = async (secret = 'app'): Promise<Record<string, string>> => {
      const { body } = await api.get(`/api/v1/namespaces/${ns}/secrets/${secret}`);
      const data = Object.entries(body.data ?? {}) as [string, string][];
      return Object.fromEntries(data.map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
    };

    describe('an ExternalSecret', () => {
      test.each<[string, object, Record<string, string>]>([
        [
          'a whole value',
          { data: [{ secretKey: 'all', remoteRef: { key: 'shop/db' } }] },
          { all: '{"user":"b","port":2}' },
        ],
        ['a property', { data: [{ secretKey: 'u', remoteRef: { key: 'shop/db', property: 'user' } }] }, { u: 'b' }],
        ['every field by extract', { dataFrom: [{ extract: { key: 'shop/db' } }] }, { user: 'b', port: '2' }],
        [
          'a version by its id',
          { data: [{ secretKey: 'u', remoteRef: { key: 'shop/db', property: 'user', version: 'uuid/v1' } }] },
          { u: 'a' },
        ],
        [
          'a version by its label',
          { data: [{ secretKey: 'u', remoteRef: { key: 'shop/db', property: 'user', version: 'AWSPREVIOUS' } }] },
          { u: 'a' },
        ],
        [
          'all whose name matches',
          { dataFrom: [{ find: { name: { regexp: '^find/' } } }] },
          { find_a: '1', find_b: '2' },
        ],
        ['all with a tag', { dataFrom: [{ find: { tags: { team: 'web' } } }] }, { find_b: '2' }],
        [
          'keys that a template makes',
          {
            target: { template: { data: { url: 'db://{{ .user }}@host' } } },
            dataFrom: [{ extract: { key: 'shop/db' } }],
          },
          { url: 'db://b@host' },
        ],
        [
          'keys that a rewrite makes',
          { dataFrom: [{ extract: { key: 'shop/db' }, rewrite: [{ regexp: { source: '^', target: 'DB_' } }] }] },
          { DB_user: 'b', DB_port: '2' },
        ],
      ])('writes %s', async (_what, spec, expected) => {
        account.put('shop/db', { user: 'a', port: 1 });
        account.put('shop/db', { user: 'b', port: 2 });
        account.put('find/a', '1');
        account.put('find/b', '2', { team: 'web' });
        await store();

        await synced(await external(spec));

        expect(await target()).toEqual(expected);
      });

      test('reads by the prefix of its store, from a store of its own for one entry, and from Parameter Store', async () => {
        account.put('prod/db', { user: 'prefixed' });
        account.put('db', { user: 'plain' });
        await store({ prefix: 'prod/' });
        await store({ service: 'ParameterStore' }, 'parameters');
        const parameters = { storeRef: { name: 'parameters' } };

        const key = '/aws/reference/secretsmanager/db';
        await synced(
          await external({
            data: [
              { secretKey: 'a', remoteRef: { key: 'db', property: 'user' } },
              { secretKey: 'b', remoteRef: { key, property: 'user' }, sourceRef: parameters },
            ],
          }),
        );

        expect(await target()).toEqual({ a: 'prefixed', b: 'plain' });
      });

      test('is fetched again when an annotation changes, and tells so by version, time and condition', async () => {
        account.put('db', { user: 'a' });
        await store();
        const path = await external({ dataFrom: [{ extract: { key: 'db' } }] });
        const before = await synced(path);
        account.put('db', { user: 'b' });
        expect(await target()).toEqual({ user: 'a' });

        await force(path, 'v2');
        const after = await api.until(
          path,
          ({ status }) => status.syncedResourceVersion !== before.status.syncedResourceVersion,
        );

        expect(after.status.syncedResourceVersion).toMatch(new RegExp(`^${after.metadata.generation}-[0-9a-f]+$`));
        expect(Date.parse(after.status.refreshTime)).toBeGreaterThanOrEqual(Date.parse(before.status.refreshTime));
        expect(after.status).toMatchObject({
          binding: { name: 'app' },
          conditions: [{ type: 'Ready', status: 'True' }],
        });
        expect(await target()).toEqual({ user: 'b' });
      });

      test('that cannot be fetched says so, notes nothing, and leaves its Secret as it was', async () => {
        account.put('db', { user: 'a' });
        await store();
        const path = await external({ dataFrom: [{ extract: { key: 'db' } }] });
        const { status } = await synced(path);
        account.secrets.clear();

        await force(path, 'v2');
        const failed = await api.until(path, (body) => ready(body) === 'False SecretSyncedError');

        expect(failed.status.syncedResourceVersion).toBe(status.syncedResourceVersion);
        expect(failed.status.refreshTime).toBe(status.refreshTime);
        expect(await target()).toEqual({ user: 'a' });
        account.put('db', { user: 'b' });
        await synced(path);
      });

      test.each<[string, object]>([
        ['whose policy is CreatedOnce', { refreshPolicy: 'CreatedOnce' }],
        ['whose interval is zero', { refreshInterval: '0s' }],
      ])('%s is not fetched again, whatever is annotated', async (_what, spec) => {
        account.put('db', { user: 'a' });
        account.put('other', { user: 'c' });
        await store();
        const path = await external({ ...spec, dataFrom: [{ extract: { key: 'db' } }] });
        const { status } = await synced(path);
        account.put('db', { user: 'b' });

        await force(path, 'v2');
        // Whoever comes after it in the operator's queue is done: so is it.
        await synced(await external({ dataFrom: [{ extract: { key: 'other' } }] }, 'other'));

        expect((await api.get(path)).body.status).toEqual(status);
        expect(await target()).toEqual({ user: 'a' });
      });

      test('whose target is immutable fails when the value changes', async () => {
        account.put('db', { user: 'a' });
        await store();
        const path = await external({ target: { immutable: true }, dataFrom: [{ extract: { key: 'db' } }] });
        await synced(path);
        account.put('db', { user: 'b' });

        await force(path, 'v2');
        await api.until(path, (body) => ready(body) === 'False SecretSyncedError');

        expect(await target()).toEqual({ user: 'a' });
      });

      test('whose target is deleted makes it again', async () => {
        account.put('db', { user: 'a' });
        await store();
        await synced(await external({ dataFrom: [{ extract: { key: 'db' } }] }));
        const path = `/api/v1/namespaces/${ns}/secrets/app`;
        const { uid } = (await api.get(path)).body.metadata;

        await api.send('DELETE', path);

        await api.until(path, ({ metadata }) => metadata.uid !== undefined && metadata.uid !== uid);
        expect(await target()).toEqual({ user: 'a' });
      });

      test('waits while its operator does nothing', async () => {
        account.put('db', { user: 'a' });
        await store();
        const path = await external({ dataFrom: [{ extract: { key: 'db' } }] });
        await synced(path);
        account.put('db', { user: 'b' });

        const release = cluster.holdExternalSecrets();
        await force(path, 'v2');
        expect(await target()).toEqual({ user: 'a' });
        release();

        await api.until(`/api/v1/namespaces/${ns}/secrets/app`, ({ data }) => data.user === btoa('b'));
      });
    });

    test('a ClusterExternalSecret has a child in each namespace that it chooses, and hands force-sync on', async () => {
      account.put('db', { user: 'a' });
      await store();
      const clusterPath = '/apis/external-secrets.io/v1/clusterexternalsecrets';
      await create(clusterPath, {
        apiVersion: 'external-secrets.io/v1',
        kind: 'ClusterExternalSecret',
        metadata: { name: ns },
        spec: {
          externalSecretName: 'app',
          namespaceSelectors: [{ matchLabels: { 'kubernetes.io/metadata.name': ns } }],
          externalSecretSpec: { secretStoreRef: { name: 'aws' }, dataFrom: [{ extract: { key: 'db' } }] },
        },
      });
      const child = `${eso('externalsecrets')}/app`;
      await synced(child);
      const isProvisioned = ({ status }: Body) => status?.provisionedNamespaces?.includes(ns);
      const parent = await api.until(`${clusterPath}/${ns}`, isProvisioned);
      expect(parent.status).toMatchObject({ externalSecretName: 'app', provisionedNamespaces: [ns] });
      account.put('db', { user: 'b' });

      const annotations = { 'external-secrets.io/force-sync': 'v2' };
      await api.patch(`${clusterPath}/${ns}`, MERGE, { metadata: { annotations } });

      await api.until(child, ({ metadata }) => metadata.annotations?.['external-secrets.io/force-sync'] === 'v2');
      await api.until(`/api/v1/namespaces/${ns}/secrets/app`, ({ data }) => data.user === btoa('b'));
      await api.send('DELETE', `${clusterPath}/${ns}`);
    });

    const pods = async () => (await api.get(`/api/v1/namespaces/${ns}/pods`)).body.items;
    const budget = (spec: object) =>
      create(`/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets`, {
        apiVersion: 'policy/v1',
        kind: 'PodDisruptionBudget',
        metadata: { name: 'web' },
        spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
      });
    const evict = async (pod: string) =>
      api.create(`/api/v1/namespaces/${ns}/pods/${pod}/eviction`, {
        apiVersion: 'policy/v1',
        kind: 'Eviction',
        metadata: { name: pod, namespace: ns },
      });

    describe('an eviction', () => {
      async function deployment(replicas: number): Promise<string[]> {
        const path = `/apis/apps/v1/namespaces/${ns}/deployments`;
        const selector = { matchLabels: { app: 'web' } };
        const deployed = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' } };
        await create(path, { ...deployed, spec: { replicas, selector, template: TEMPLATE } });
        await api.until(`${path}/web`, ({ status }) => status?.availableReplicas === replicas);
        return (await pods()).map(({ metadata }: Body) => metadata.name);
      }
      /** Once the budget has been counted: a real server allows none before. */
      const evicted = async (pod: string) => {
        for (;;) {
          const answer = await evict(pod);
          if (answer.code !== 429) return answer;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };

      test('that no budget forbids deletes the pod', async () => {
        const [pod = ''] = await deployment(1);

        expect((await evict(pod)).code).toBe(201);

        await api.until(`/api/v1/namespaces/${ns}/pods`, ({ items }) =>
          items.every(({ metadata }: Body) => metadata.name !== pod),
        );
      });

      test('that a budget forbids is answered 429, and changes nothing', async () => {
        const [pod = ''] = await deployment(1);
        await budget({ minAvailable: 1 });

        const { code, body } = await evict(pod);

        expect(code).toBe(429);
        expect(body.details.causes).toEqual([expect.objectContaining({ reason: 'DisruptionBudget' })]);
        expect((await pods())[0].metadata.deletionTimestamp).toBeUndefined();
      });

      test('is allowed as long as the budget is kept', async () => {
        // Of nobody: none takes the place of one that goes.
        const path = `/api/v1/namespaces/${ns}/pods`;
        for (const name of ['first', 'second'])
          await create(path, {
            apiVersion: 'v1',
            kind: 'Pod',
            metadata: { ...TEMPLATE.metadata, name },
            spec: TEMPLATE.spec,
          });
        await api.until(path, ({ items }) => items.every((pod: Body) => ready(pod).startsWith('True')));
        await budget({ minAvailable: 1 });

        expect((await evicted('first')).code).toBe(201);

        expect((await evict('second')).code).toBe(429);
      });

      test('of a pod that is not there is answered 404', async () => {
        expect((await evict('nobody')).code).toBe(404);
      });
    });

    describe('an Argo Rollout', () => {
      const rollouts = () => `/apis/argoproj.io/v1alpha1/namespaces/${ns}/rollouts`;
      async function rollout(replicas: number, name = 'web'): Promise<string> {
        const matchLabels = { app: name };
        await create(rollouts(), {
          apiVersion: 'argoproj.io/v1alpha1',
          kind: 'Rollout',
          metadata: { name },
          spec: {
            replicas,
            selector: { matchLabels },
            template: { ...TEMPLATE, metadata: { labels: matchLabels } },
            strategy: { canary: {} },
          },
        });
        await api.until(`${rollouts()}/${name}`, ({ status }) => status?.phase === 'Healthy');
        return `${rollouts()}/${name}`;
      }
      const uids = async () =>
        (await pods())
          .filter(({ metadata }: Body) => metadata.labels.app === 'web')
          .map(({ metadata }: Body) => metadata.uid)
          .sort();
      /** Later than the creation of every pod that is there: times have whole seconds. */
      const soon = () => new Date(Math.ceil(Date.now() / 1_000) * 1_000 + 1_000).toISOString().replace('.000', '');

      test('runs its pods through a ReplicaSet of its own', async () => {
        await rollout(2);

        const { items } = (await api.get(`/apis/apps/v1/namespaces/${ns}/replicasets`)).body;
        expect(items).toHaveLength(1);
        expect(items[0].metadata.ownerReferences).toEqual([
          expect.objectContaining({ kind: 'Rollout', name: 'web', controller: true }),
        ]);
        expect((await pods()).every((pod: Body) => pod.metadata.labels['rollouts-pod-template-hash'])).toBe(true);
      });

      test('replaces the pods that are older than restartAt, and no template', async () => {
        const path = await rollout(2);
        const before = await uids();
        const restartAt = soon();

        await api.patch(path, MERGE, { spec: { restartAt } });
        await api.until(path, ({ status }) => status.restartedAt === restartAt && status.phase === 'Healthy');

        // None is older than that, which is before the last one has come.
        const { items } = await api.until(`/api/v1/namespaces/${ns}/pods`, ({ items }) => items.length === 2);
        expect(items.filter(({ metadata }: Body) => before.includes(metadata.uid))).toEqual([]);
        expect((await api.get(`/apis/apps/v1/namespaces/${ns}/replicasets`)).body.items).toHaveLength(1);
      });

      test('leaves pods alone that are younger than restartAt', async () => {
        const path = await rollout(1);
        const before = await uids();
        const restartAt = '2026-01-01T00:00:00Z';

        await api.patch(path, MERGE, { spec: { restartAt } });
        await api.until(path, ({ status }) => status.restartedAt === restartAt);

        expect(await uids()).toEqual(before);
      });

      test('does not restart what a budget forbids, until it is gone', async () => {
        const path = await rollout(1);
        const other = await rollout(1, 'other');
        await budget({ minAvailable: 1 });
        const before = await uids();
        const restartAt = soon();

        await api.patch(path, MERGE, { spec: { restartAt } });
        await api.patch(other, MERGE, { spec: { restartAt } });
        await api.until(other, ({ status }) => status.restartedAt === restartAt);
        expect(await uids()).toEqual(before);
        await api.send('DELETE', `/apis/policy/v1/namespaces/${ns}/poddisruptionbudgets/web`);

        await api.until(path, ({ status }) => status.restartedAt === restartAt);
        expect(await uids()).not.toEqual(before);
      });
    });
  });
}

// biome-ignore lint/suspicious/noExplicitAny: bodies are compared field by field, whatever their type
type Body = any;

const TEMPLATE = { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'app', image: 'shop/web:1' }] } };

/** `True SecretSynced`: status and reason of the condition. */
function ready({ status }: Body): string {
  const found = status?.conditions?.find(({ type }: { type: string }) => type === 'Ready');
  return `${found?.status} ${found?.reason}`;
}
