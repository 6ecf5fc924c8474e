import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Marker } from '../../shared/cluster/port.ts';
import { againOf, rolledOf, toldOf } from '../../shared/consumers/marker.ts';
import { type ControlPlane, startControlPlane } from '../sandbox/control-plane/control-plane.ts';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { installRekey } from '../sandbox/control-plane/install-rekey.ts';
import { eventually } from '../sandbox/eventually.ts';
import { type Answer, KubernetesClient, MERGE, STRATEGIC } from '../sandbox/kubernetes/api-client.ts';

const KINDS = { deployments: 'Deployment', statefulsets: 'StatefulSet', daemonsets: 'DaemonSet' };
const MARKER = { 'rekey.dev/app-db-AbCdEf': 'v2' };
const DEPLOYMENT = '/apis/apps/v1/namespaces/shop/deployments/orders';
const POD = '/api/v1/namespaces/shop/pods/bare';

/** Answers of RBAC and of the policy: each says who refused. */
const byPolicy = { code: 422, message: expect.stringContaining("ValidatingAdmissionPolicy 'rekey'") };
const byRights = { code: 403, message: expect.stringMatching(/User "\w+" cannot/) };

onRealKubernetes('the policy on what Rekey may change', () =>
  describe('on a real API server, Rekey’s identity, bound in one namespace,', () => {
    let plane: ControlPlane;
    let admin: KubernetesClient;

    beforeAll(async () => {
      plane = await startControlPlane({ clusterName: 'rights' });
      admin = new KubernetesClient({ endpoint: plane.endpoint, ca: plane.caPem, token: plane.adminToken });
      for (const name of ['shop', 'bank'])
        await admin.create('/api/v1/namespaces', { apiVersion: 'v1', kind: 'Namespace', metadata: { name } });
      await installRekey(admin, plane.kubeconfig, 'namespaced', 'shop');
      await admin.create('/api/v1/namespaces/shop/pods', bare());
      await admin.create('/api/v1/namespaces/bank/serviceaccounts', {
        apiVersion: 'v1',
        kind: 'ServiceAccount',
        metadata: { name: 'default' },
      });
      await admin.create('/apis/apps/v1/namespaces/bank/deployments', workload('Deployment', 'orders'));
      await admin.create('/api/v1/namespaces/shop/secrets', {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { name: 'db' },
      });
    });

    afterAll(async () => {
      admin?.close();
      await plane?.stop();
    });

    beforeEach(async () => {
      for (const [plural, kind] of Object.entries(KINDS)) {
        const collection = `/apis/apps/v1/namespaces/shop/${plural}`;
        await admin.send('DELETE', `${collection}/orders`, { body: { propagationPolicy: 'Background' } });
        expect((await admin.create(collection, workload(kind, 'orders'))).code).toBe(201);
      }
    });

    function asRekey(method: string, path: string, body?: unknown, group = 'rekey', user = 'sync'): Promise<Answer> {
      const headers = { 'impersonate-user': user, 'impersonate-group': [group, 'system:authenticated'] };
      const isCustom = path.includes('argoproj.io') || path.includes('external-secrets.io');
      const contentType = method === 'PATCH' ? (isCustom ? MERGE : STRATEGIC) : 'application/json';
      return admin.send(method, path, { headers, contentType, ...(body === undefined ? {} : { body }) });
    }

    async function refusal(method: string, path: string, body?: unknown, group?: string, user?: string) {
      const { code, body: status } = await asRekey(method, path, body, group, user);
      return { code, message: status.message };
    }

    describe.each(Object.keys(KINDS))('of %s', (plural) => {
      const path = `/apis/apps/v1/namespaces/shop/${plural}/orders`;

      test('writes its marker into the pod template', async () => {
        const { code, body } = await asRekey('PATCH', path, template({ metadata: { annotations: MARKER } }));

        expect({ code, annotations: body.spec.template.metadata.annotations }).toEqual({
          code: 200,
          annotations: { team: 'shop', ...MARKER },
        });
      });

      test('writes its marker onto the object', async () => {
        expect((await asRekey('PATCH', path, { metadata: { annotations: MARKER } })).code).toBe(200);
      });

      test('writes what it remembers beside the marker, by the names of its own', async () => {
        const [[annotation, versionId] = ['', '']] = Object.entries(MARKER);
        const of = (...markers: readonly Marker[]) =>
          Object.fromEntries(markers.map((marker) => [marker.annotation, marker.versionId]));
        const marker = { annotation, versionId };
        const patch = {
          metadata: { annotations: of(rolledOf(marker), toldOf(marker)) },
          ...template({ metadata: { annotations: of(marker, againOf(marker)) } }),
        };
        expect((await asRekey('PATCH', path, patch)).code).toBe(200);
      });

      test.each<[string, object]>([
        ['an annotation of another prefix', { metadata: { annotations: { 'evil.rekey.dev/app-db-AbCdEf': 'v2' } } }],
        ['an image', containers({ image: 'evil:1' })],
        ['a command', containers({ command: ['sh'] })],
        ['an environment variable', containers({ env: [{ name: 'A', value: 'b' }] })],
        ['a container', template({ spec: { containers: [{ name: 'second', image: 'evil:1' }] } })],
        ['a volume', template({ spec: { volumes: [{ name: 'v', secret: { secretName: 'db' } }] } })],
        ['the service account', template({ spec: { serviceAccountName: 'other' } })],
        ['a label of the pods', template({ metadata: { labels: { more: 'yes' } } })],
        ['an annotation of the pods that is not its own', template({ metadata: { annotations: { team: 'evil' } } })],
        ['an annotation of the pods away', template({ metadata: { annotations: { team: null } } })],
        ['how often the pods must be ready', { spec: { minReadySeconds: 5 } }],
        ['a label', { metadata: { labels: { more: 'yes' } } }],
        ['an annotation that is not its own', { metadata: { annotations: { other: 'x' } } }],
        ['an annotation that people steer it by', { metadata: { annotations: { 'rekey.dev/mode': 'off' } } }],
        ['an annotation that only looks like its own', { metadata: { annotations: { 'rekey.dev.evil.io/x': 'x' } } }],
        ['an annotation for another kind', { metadata: { annotations: { 'external-secrets.io/force-sync': 'x' } } }],
        ['a finalizer', { metadata: { finalizers: ['example.com/stay'] } }],
        ['the marker and something else at once', { metadata: { annotations: MARKER, labels: { more: 'yes' } } }],
      ])('cannot change %s', async (_what, patch) => {
        expect(await refusal('PATCH', path, patch)).toEqual(byPolicy);
      });

      test('cannot delete any', async () => {
        expect(await refusal('DELETE', path)).toEqual(byRights);
      });
    });

    test('asks the External Secrets Operator to read again, and changes nothing else there', async () => {
      const own = '/apis/external-secrets.io/v1/namespaces/shop/externalsecrets';
      const cluster = '/apis/external-secrets.io/v1/clusterexternalsecrets';
      const spec = { secretStoreRef: { name: 'aws' }, data: [] };
      await admin.create(own, externalSecret('ExternalSecret', spec));
      await admin.create(cluster, externalSecret('ClusterExternalSecret', { externalSecretSpec: spec }));
      const force = { ...MARKER, 'external-secrets.io/force-sync': 'v2' };

      expect(await asRekey('PATCH', `${own}/db`, { metadata: { annotations: MARKER } })).toMatchObject({ code: 200 });
      // A cluster's own kinds are bound for the whole cluster alone.
      expect(await refusal('PATCH', `${cluster}/db`, { metadata: { annotations: force } })).toEqual(byRights);
      expect(await refusal('PATCH', `${own}/db`, { metadata: { annotations: force } })).toEqual(byPolicy);
      expect(await refusal('PATCH', `${own}/db`, { spec: { refreshInterval: '1s' } })).toEqual(byPolicy);
    });

    describe('where it is bound for the whole cluster, of a ClusterExternalSecret', () => {
      const path = '/apis/external-secrets.io/v1/clusterexternalsecrets/everywhere';
      const force = { ...MARKER, 'external-secrets.io/force-sync': 'v2' };
      const annotated = (annotations: object) => ({ metadata: { annotations } });
      const spec = { secretStoreRef: { name: 'aws' }, data: [] };
      const data = [{ secretKey: 'stolen', remoteRef: { key: 'bank/root' } }];

      beforeAll(async () => {
        await admin.create('/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name: 'everywhere' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'rekey-mark' },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: 'everywhere' }],
        });
        const external = externalSecret('ClusterExternalSecret', { externalSecretSpec: spec }, 'everywhere');
        await admin.create('/apis/external-secrets.io/v1/clusterexternalsecrets', external);
        await eventually('the binding is in force', async () => {
          const { code } = await asRekey('PATCH', `${path}?dryRun=All`, annotated(MARKER), 'rekey', 'everywhere');
          return code !== byRights.code;
        });
      });

      test('asks for a sync, which its operator hands on', async () => {
        const { code, body } = await asRekey('PATCH', path, annotated(force), 'rekey', 'everywhere');

        expect({ code, annotations: body.metadata.annotations }).toEqual({ code: 200, annotations: force });
      });

      test.each<[string, object]>([
        ['what it selects', { spec: { namespaceSelectors: [{ matchLabels: { team: 'evil' } }] } }],
        ['what its children read', { spec: { externalSecretSpec: { ...spec, data } } }],
        ['how its children are called', { spec: { externalSecretName: 'evil' } }],
        ['an annotation that is not its own', annotated({ other: 'x' })],
        ['a label', { metadata: { labels: { more: 'yes' } } }],
        ['the request and something else at once', { ...annotated(force), spec: { refreshTime: '1s' } }],
      ])('cannot change %s', async (_what, patch) => {
        expect(await refusal('PATCH', path, patch, 'rekey', 'everywhere')).toEqual(byPolicy);
      });

      test('cannot delete any', async () => {
        expect(await refusal('DELETE', path, undefined, 'rekey', 'everywhere')).toEqual(byRights);
      });
    });

    describe('of an Argo Rollout', () => {
      const path = '/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts/web';
      const restart = { 'restart.rekey.dev/app-db-AbCdEf': 'v2' };
      const restartAt = '2026-01-01T00:00:00Z';

      beforeAll(async () => {
        const rollout = workload('Rollout', 'web');
        await admin.create('/apis/argoproj.io/v1alpha1/namespaces/shop/rollouts', {
          ...rollout,
          apiVersion: 'argoproj.io/v1alpha1',
          spec: { ...rollout.spec, strategy: { canary: { steps: [{ setWeight: 20 }] } } },
        });
      });

      test('asks for a restart, and remembers what for', async () => {
        const { code, body } = await asRekey('PATCH', path, {
          metadata: { annotations: restart },
          spec: { restartAt },
        });

        expect({ code, at: body.spec?.restartAt }).toEqual({ code: 200, at: restartAt });
        expect(body.metadata.annotations).toMatchObject(restart);
      });

      test.each<[string, object]>([
        ['its template, marker or not', template({ metadata: { annotations: MARKER } })],
        ['an image', template({ spec: { containers: [{ name: 'app', image: 'evil:1' }] } })],
        ['its steps', { spec: { strategy: { canary: { steps: [] } } } }],
        ['how many pods it has', { spec: { replicas: 9 } }],
        ['whether it is paused', { spec: { paused: true } }],
        ['an annotation that is not its own', { metadata: { annotations: { other: 'x' } } }],
        ['the restart and something else at once', { spec: { restartAt: '2026-01-02T00:00:00Z', replicas: 9 } }],
      ])('cannot change %s', async (_what, patch) => {
        expect(await refusal('PATCH', path, patch)).toEqual(byPolicy);
      });

      test.each([
        ['PATCH', `${path}/status`, { status: { abort: true } }],
        ['DELETE', path, undefined],
      ])('has no right to %s %s', async (method, at, body) => {
        expect(await refusal(method, at, body)).toEqual(byRights);
      });
    });

    test('cannot scale a workload', async () => {
      expect(await refusal('PATCH', DEPLOYMENT, { spec: { replicas: 3 } })).toEqual(byPolicy);
      expect(await refusal('PATCH', `${DEPLOYMENT}/scale`, { spec: { replicas: 3 } })).toEqual(byRights);
    });

    test('cannot pause a rollout', async () => {
      expect(await refusal('PATCH', DEPLOYMENT, { spec: { paused: true } })).toEqual(byPolicy);
    });

    test('cannot move a StatefulSet’s partition', async () => {
      const patch = { spec: { updateStrategy: { rollingUpdate: { partition: 1 } } } };

      expect(await refusal('PATCH', '/apis/apps/v1/namespaces/shop/statefulsets/orders', patch)).toEqual(byPolicy);
    });

    test('cannot create a workload', async () => {
      expect(
        await refusal('POST', '/apis/apps/v1/namespaces/shop/deployments', workload('Deployment', 'mine')),
      ).toEqual(byRights);
    });

    test.each([
      ['GET', '/api/v1/namespaces/shop/secrets/db'],
      ['GET', '/api/v1/secrets'],
      ['GET', '/api/v1/namespaces/shop/secrets?watch=true'],
    ])('cannot read a Secret: %s %s', async (method, path) => {
      expect(await refusal(method, path)).toEqual(byRights);
    });

    test.each(['exec', 'attach', 'portforward'])('cannot %s into a pod', async (way) => {
      expect(await refusal('POST', `${POD}/${way}`)).toEqual(byRights);
    });

    test('cannot read a pod’s log', async () => {
      expect(await refusal('GET', `${POD}/log`)).toEqual(byRights);
    });

    test('cannot mark in a namespace where it is not bound', async () => {
      const path = '/apis/apps/v1/namespaces/bank/deployments/orders';

      expect(await refusal('PATCH', path, template({ metadata: { annotations: MARKER } }))).toEqual(byRights);
      expect((await asRekey('GET', path)).code).toBe(200);
    });

    test('cannot mark when it only sweeps', async () => {
      const patch = template({ metadata: { annotations: MARKER } });

      expect(await refusal('PATCH', DEPLOYMENT, patch, 'rekey-sweep')).toEqual(byRights);
    });

    test('is refused by the policy even what somebody grants it by mistake', async () => {
      await admin.create('/apis/rbac.authorization.k8s.io/v1/namespaces/shop/rolebindings', {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'mistake' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'admin' },
        subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'rekey-sweep' }],
      });

      // The API server learns of a binding, too, a moment after it was stored.
      const deletion = await eventually('the grant is in force', async () => {
        const answer = await refusal('DELETE', DEPLOYMENT, undefined, 'rekey-sweep');
        return answer.code === byRights.code ? undefined : answer;
      });
      expect(deletion).toEqual(byPolicy);
      expect(await refusal('PATCH', `${DEPLOYMENT}/scale`, { spec: { replicas: 0 } }, 'rekey-sweep')).toEqual(byPolicy);
    });

    test('is alone in being asked: others change what they may', async () => {
      const { code } = await admin.patch(DEPLOYMENT, STRATEGIC, containers({ image: 'orders:2' }));

      expect(code).toBe(200);
    });

    test('meets a policy that the API server finds no fault with', async () => {
      const path = '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/rekey';
      const { status } = await admin.until(
        path,
        (body) => body.status?.observedGeneration === body.metadata.generation,
      );

      expect(status.typeChecking?.expressionWarnings ?? []).toEqual([]);
    });
  }),
);

function externalSecret(kind: string, spec: object, name = 'db') {
  return { apiVersion: 'external-secrets.io/v1', kind, metadata: { name }, spec };
}

function template(change: object) {
  return { spec: { template: change } };
}

function containers(change: object) {
  return template({ spec: { containers: [{ name: 'app', ...change }] } });
}

function bare() {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'bare' },
    spec: { containers: [{ name: 'app', image: 'a:1' }] },
  };
}

function workload(kind: string, name: string) {
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, annotations: { 'rekey.dev/wave': '0' } },
    spec: {
      ...(kind === 'DaemonSet' ? {} : { replicas: 0 }),
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations: { team: 'shop' } },
        spec: { containers: [{ name: 'app', image: 'app:1' }] },
      },
    },
  };
}
