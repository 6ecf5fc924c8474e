import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  APPLY,
  JSON_PATCH,
  type KubernetesApi,
  KubernetesClient,
  MERGE,
  STRATEGIC,
  type WatchedEvent,
} from '../sandbox/kubernetes/api-client.ts';

/**
 * What Rekey, kubectl and the tests rely on of an API server, whoever it is. The server must serve the CSI driver's
 * two custom resources. Every test works in a namespace of its own.
 * @param start the server; it is not stopped here, only what `close` says
 */
export function describeKubernetesApi(
  name: string,
  start: () => Promise<KubernetesApi & { close?: () => Promise<void> }>,
): void {
  describe(`the Kubernetes API of ${name}`, () => {
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

    const namespace = () => api.createNamespace('contract');

    /** A fresh namespace with one paused Deployment, which no controller changes but for its status. */
    async function deployment(change: object = {}): Promise<{ namespace: string; path: string; body: Body }> {
      const ns = await namespace();
      const path = `/apis/apps/v1/namespaces/${ns}/deployments`;
      const { code, body } = await api.create(path, { ...DEPLOYMENT, ...change });
      expect(code).toBe(201);
      return { namespace: ns, path: `${path}/web`, body };
    }

    describe('discovery', () => {
      test('names its version', async () => {
        const { code, body } = await api.get('/version');

        expect(code).toBe(200);
        expect(body).toMatchObject({ major: '1', gitVersion: expect.stringMatching(/^v1\.\d+\.\d+/) });
      });

      test('lists the groups, with the preferred version of each', async () => {
        const { body } = await api.get('/apis');

        expect(body.kind).toBe('APIGroupList');
        expect(body.groups).toContainEqual(
          expect.objectContaining({ name: 'apps', preferredVersion: { groupVersion: 'apps/v1', version: 'v1' } }),
        );
        expect(body.groups).toContainEqual(expect.objectContaining({ name: 'secrets-store.csi.x-k8s.io' }));
      });

      test('lists the resources of a version with their verbs and subresources', async () => {
        const { body } = await api.get('/apis/apps/v1');

        expect(body).toMatchObject({ kind: 'APIResourceList', groupVersion: 'apps/v1' });
        expect(body.resources).toContainEqual(
          expect.objectContaining({
            name: 'deployments',
            kind: 'Deployment',
            singularName: 'deployment',
            namespaced: true,
            shortNames: ['deploy'],
            verbs: expect.arrayContaining(['get', 'list', 'watch', 'create', 'update', 'patch', 'delete']),
          }),
        );
        expect(body.resources).toContainEqual(expect.objectContaining({ name: 'deployments/status' }));
      });

      test('answers 404 for a group that is not installed', async () => {
        expect((await api.get('/apis/nothing.example.com')).code).toBe(404);
        expect((await api.get('/apis/nothing.example.com/v1')).code).toBe(404);
        expect((await api.get('/nothing')).code).toBe(404);
      });

      test('tells whether it is healthy', async () => {
        expect(await api.get('/readyz')).toEqual({ code: 200, body: 'ok' });
      });
    });

    describe('create', () => {
      test('fills in identity, generation and defaults', async () => {
        const { body, namespace: ns } = await deployment();

        expect(body).toMatchObject({
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: {
            name: 'web',
            namespace: ns,
            uid: expect.stringMatching(/^[0-9a-f-]{36}$/),
            resourceVersion: expect.stringMatching(/^\d+$/),
            creationTimestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
            generation: 1,
          },
          spec: {
            replicas: 1,
            revisionHistoryLimit: 10,
            progressDeadlineSeconds: 600,
            strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
            template: {
              spec: {
                restartPolicy: 'Always',
                dnsPolicy: 'ClusterFirst',
                schedulerName: 'default-scheduler',
                terminationGracePeriodSeconds: 30,
                securityContext: {},
              },
            },
          },
        });
        expect(body.spec.template.spec.containers[0]).toEqual({
          name: 'app',
          image: 'shop/web:1',
          imagePullPolicy: 'IfNotPresent',
          resources: {},
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          env: [
            { name: 'A', value: '1' },
            { name: 'B', value: '2' },
          ],
        });
      });

      test('fills in the defaults of a StatefulSet and a DaemonSet', async () => {
        const ns = await namespace();
        const { selector, template } = DEPLOYMENT.spec;
        const path = `/apis/apps/v1/namespaces/${ns}`;

        const set = await api.create(`${path}/statefulsets`, {
          apiVersion: 'apps/v1',
          kind: 'StatefulSet',
          metadata: { name: 'set' },
          spec: { replicas: 0, serviceName: 'set', selector, template },
        });
        const daemon = await api.create(`${path}/daemonsets`, {
          apiVersion: 'apps/v1',
          kind: 'DaemonSet',
          metadata: { name: 'daemon' },
          spec: { selector, template: { ...template, spec: { ...template.spec, nodeSelector: { no: 'where' } } } },
        });

        expect(set.body.spec).toMatchObject({
          podManagementPolicy: 'OrderedReady',
          revisionHistoryLimit: 10,
          updateStrategy: { type: 'RollingUpdate', rollingUpdate: { partition: 0 } },
        });
        expect(daemon.body.spec).toMatchObject({
          revisionHistoryLimit: 10,
          updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 0, maxUnavailable: 1 } },
        });
      });

      test('makes a name from generateName', async () => {
        const ns = await namespace();

        const { body } = await api.create(`/api/v1/namespaces/${ns}/configmaps`, configMap({ generateName: 'made-' }));

        expect(body.metadata.name).toMatch(/^made-[bcdfghjklmnpqrstvwxz2456789]{5}$/);
      });

      test('stores stringData of a Secret as base64', async () => {
        const ns = await namespace();

        const { body } = await api.create(`/api/v1/namespaces/${ns}/secrets`, {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: { name: 's' },
          stringData: { a: 'b' },
        });

        expect(body).toMatchObject({ type: 'Opaque', data: { a: 'Yg==' } });
        expect(body.stringData).toBeUndefined();
      });

      test('refuses a name that is taken', async () => {
        const { path } = await deployment();

        const answer = await api.create(path.replace(/\/web$/, ''), DEPLOYMENT);

        expect(answer).toMatchObject({
          code: 409,
          body: {
            kind: 'Status',
            apiVersion: 'v1',
            status: 'Failure',
            reason: 'AlreadyExists',
            message: 'deployments.apps "web" already exists',
            details: { name: 'web', group: 'apps', kind: 'deployments' },
            code: 409,
          },
        });
      });

      test('refuses a namespace that does not exist', async () => {
        const answer = await api.create('/api/v1/namespaces/nowhere/configmaps', configMap({ name: 'a' }));

        expect(answer).toMatchObject({
          code: 404,
          body: { reason: 'NotFound', message: 'namespaces "nowhere" not found' },
        });
      });

      test.each([
        ['an invalid name', { metadata: { name: 'Not_Valid' } }, 'metadata.name'],
        ['no name', { metadata: {} }, 'metadata.name'],
        ['a label value with a space', { metadata: { name: 'a', labels: { a: 'b c' } } }, 'metadata.labels'],
        ['an annotation key with two slashes', annotated({ 'a/b/c': '' }), 'metadata.annotations'],
        ['an annotation key that is too long', annotated({ [`a/${'b'.repeat(64)}`]: '' }), 'metadata.annotations'],
        ['annotations over 256 KiB', annotated({ a: 'x'.repeat(256 * 1024) }), 'metadata.annotations'],
        ['a template that the selector misses', withTemplateLabels({ app: 'other' }), 'spec.template.metadata.labels'],
        ['no container', withContainers([]), 'spec.template.spec.containers'],
        ['a mount without its volume', withMount('nothing'), 'spec.template.spec.containers[0].volumeMounts[0].name'],
      ])('refuses %s', async (_what, change, field) => {
        const ns = await namespace();

        const { code, body } = await api.create(`/apis/apps/v1/namespaces/${ns}/deployments`, {
          ...DEPLOYMENT,
          ...change,
        });

        expect({ code, reason: body.reason }).toEqual({ code: 422, reason: 'Invalid' });
        expect(body.details).toMatchObject({ group: 'apps', kind: 'Deployment' });
        expect(body.details.causes.map((cause: { field: string }) => cause.field)).toContain(field);
      });

      test.each([
        ['a body of another namespace', { metadata: { name: 'a', namespace: 'default' } }],
        ['a body of another version', { apiVersion: 'apps/v1' }],
      ])('refuses %s', async (_what, change) => {
        const ns = await namespace();

        const { code, body } = await api.create(`/api/v1/namespaces/${ns}/configmaps`, {
          ...configMap({ name: 'a' }),
          ...change,
        });

        expect({ code, reason: body.reason }).toEqual({ code: 400, reason: 'BadRequest' });
      });

      test('refuses a body that is not JSON', async () => {
        const ns = await namespace();

        const { code } = await api.create(`/api/v1/namespaces/${ns}/configmaps`, '{');

        expect(code).toBe(400);
      });

      test('refuses to create in a collection of all namespaces', async () => {
        expect(await api.create('/api/v1/configmaps', configMap({ name: 'a' }))).toMatchObject({
          code: 405,
          body: { reason: 'MethodNotAllowed' },
        });
      });

      test('stores nothing in a dry run', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;

        const dry = await api.create(`${path}?dryRun=All`, configMap({ name: 'a' }));

        expect(dry.code).toBe(201);
        expect((await api.get(`${path}/a`)).code).toBe(404);
      });
    });

    describe('get', () => {
      test('answers 404 in words that name the resource', async () => {
        const ns = await namespace();

        expect(await api.get(`/apis/apps/v1/namespaces/${ns}/deployments/none`)).toMatchObject({
          code: 404,
          body: {
            kind: 'Status',
            reason: 'NotFound',
            message: 'deployments.apps "none" not found',
            details: { name: 'none', group: 'apps', kind: 'deployments' },
          },
        });
      });

      test('answers 404 for a kind that is not served', async () => {
        expect(await api.get('/apis/apps/v1/namespaces/default/nothings')).toMatchObject({ code: 404 });
      });
    });

    describe('update', () => {
      test('refuses a resourceVersion that is not the present one', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        const { body } = await api.create(path, configMap({ name: 'a' }));
        await api.send('PUT', `${path}/a`, { body: { ...body, data: { a: '2' } } });

        const late = await api.send('PUT', `${path}/a`, { body: { ...body, data: { a: '3' } } });

        expect(late).toMatchObject({
          code: 409,
          body: {
            reason: 'Conflict',
            message:
              'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
          },
        });
        expect((await api.get(`${path}/a`)).body.data).toEqual({ a: '2' });
      });

      test('changes nothing when nothing is different', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        const { body } = await api.create(path, configMap({ name: 'a' }));

        const again = await api.send('PUT', `${path}/a`, { body });

        expect(again).toEqual({ code: 200, body });
      });

      test('needs the resourceVersion of a custom resource', async () => {
        const ns = await namespace();
        const path = `${SECRETS_STORE}/namespaces/${ns}/secretproviderclasses`;
        const { body } = await api.create(path, secretProviderClass('a'));
        const { resourceVersion: _rv, ...metadata } = body.metadata;

        const answer = await api.send('PUT', `${path}/a`, { body: { ...body, metadata } });

        expect(answer).toMatchObject({ code: 422, body: { reason: 'Invalid' } });
        expect(answer.body.details.causes[0].field).toBe('metadata.resourceVersion');
      });

      test('refuses to change a selector', async () => {
        const { path } = await deployment();
        const { body } = await api.get(path);
        // A controller may write the status in between.
        delete body.metadata.resourceVersion;
        body.spec.selector.matchLabels = { app: 'other' };
        body.spec.template.metadata.labels = { app: 'other' };

        const answer = await api.send('PUT', path, { body });

        expect(answer).toMatchObject({ code: 422, body: { reason: 'Invalid' } });
        expect(answer.body.details.causes[0]).toMatchObject({ field: 'spec.selector' });
        expect(answer.body.details.causes[0].message).toMatch(/field is immutable/);
      });
    });

    describe('patch', () => {
      test('merges fields and removes those that are null', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        await api.create(path, { ...configMap({ name: 'a' }), data: { a: '1', b: '2' } });

        const { body } = await api.patch(`${path}/a`, MERGE, { data: { a: null, c: '3' } });

        expect(body.data).toEqual({ b: '2', c: '3' });
      });

      test.each([
        ['merge', MERGE, { metadata: { annotations: { a: 'b' } } }],
        ['strategic merge', STRATEGIC, { metadata: { annotations: { a: 'b' } } }],
        ['JSON', JSON_PATCH, [{ op: 'replace', path: '/metadata/annotations/a', value: 'b' }]],
      ])('leaves the resourceVersion when a %s patch changes nothing', async (_kind, type, patch) => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        const { body } = await api.create(path, configMap({ name: 'a', annotations: { a: 'b' } }));

        const again = await api.patch(`${path}/a`, type, patch);

        expect(again).toEqual({ code: 200, body });
      });

      test('leaves the resourceVersion of a workload that carries the annotation already', async () => {
        const { path } = await deployment();
        const patch = { spec: { template: { metadata: { annotations: { 'rekey.dev/x': 'v1' } } } } };
        await api.patch(`${path}?fieldManager=rekey`, STRATEGIC, patch);
        // The last that a controller says of it.
        const settled = await api.until(
          path,
          ({ metadata, status }) => status.observedGeneration === metadata.generation,
        );

        const again = await api.patch(`${path}?fieldManager=rekey`, STRATEGIC, patch);

        expect(again.body).toEqual(settled);
      });

      test('counts a generation for a change of the spec', async () => {
        const { path } = await deployment();

        const { body } = await api.patch(path, STRATEGIC, {
          spec: { template: { metadata: { annotations: { a: 'b' } } } },
        });

        expect(body.metadata.generation).toBe(2);
      });

      test('counts a generation of a Deployment also for its annotations, but not for its labels', async () => {
        const { path } = await deployment();

        const labelled = await api.patch(path, MERGE, { metadata: { labels: { a: 'b' } } });
        const annotatedOne = await api.patch(path, MERGE, { metadata: { annotations: { a: 'b' } } });

        expect(labelled.body.metadata.generation).toBe(1);
        expect(annotatedOne.body.metadata.generation).toBe(2);
      });

      test('merges containers and their variables by name', async () => {
        const { path } = await deployment();

        const { body } = await api.patch(path, STRATEGIC, {
          spec: {
            template: {
              spec: {
                containers: [
                  { name: 'app', env: [{ name: 'B', value: '3' }] },
                  { name: 'more', image: 'more:1' },
                ],
              },
            },
          },
        });

        const { containers } = body.spec.template.spec;
        expect(containers.map((one: { name: string }) => one.name)).toEqual(expect.arrayContaining(['app', 'more']));
        expect(containers).toHaveLength(2);
        const app = containers.find((one: { name: string }) => one.name === 'app');
        expect(app.image).toBe('shop/web:1');
        expect(app.env).toEqual([
          { name: 'A', value: '1' },
          { name: 'B', value: '3' },
        ]);
      });

      test('follows the directives of a strategic merge patch', async () => {
        const { path } = await deployment();
        const ofApp = (change: object) => ({
          spec: { template: { spec: { containers: [{ name: 'app', ...change }] } } },
        });
        const envOf = (body: Body) => body.spec.template.spec.containers[0].env;

        const ordered = await api.patch(
          path,
          STRATEGIC,
          ofApp({
            '$setElementOrder/env': [{ name: 'C' }, { name: 'B' }, { name: 'A' }],
            env: [{ name: 'C', value: '9' }],
          }),
        );
        expect(envOf(ordered.body).map((one: { name: string }) => one.name)).toEqual(['C', 'B', 'A']);

        const fewer = await api.patch(path, STRATEGIC, ofApp({ env: [{ name: 'B', $patch: 'delete' }] }));
        expect(envOf(fewer.body).map((one: { name: string }) => one.name)).toEqual(['C', 'A']);

        const replaced = await api.patch(
          path,
          STRATEGIC,
          ofApp({ env: [{ $patch: 'replace' }, { name: 'Z', value: '0' }] }),
        );
        expect(envOf(replaced.body)).toEqual([{ name: 'Z', value: '0' }]);

        const recreate = await api.patch(path, STRATEGIC, {
          spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } },
        });
        expect(recreate.body.spec.strategy).toEqual({ type: 'Recreate' });
      });

      test('applies the operations of a JSON patch, all or none', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        await api.create(path, { ...configMap({ name: 'a' }), data: { a: '1' } });

        const good = await api.patch(`${path}/a`, JSON_PATCH, [
          { op: 'test', path: '/data/a', value: '1' },
          { op: 'add', path: '/data/b', value: '2' },
          { op: 'remove', path: '/data/a' },
        ]);
        const bad = await api.patch(`${path}/a`, JSON_PATCH, [
          { op: 'add', path: '/data/c', value: '3' },
          { op: 'test', path: '/data/b', value: 'other' },
        ]);

        expect(good.body.data).toEqual({ b: '2' });
        expect(bad).toMatchObject({ code: 422, body: { reason: 'Invalid' } });
        expect((await api.get(`${path}/a`)).body.data).toEqual({ b: '2' });
      });

      test('refuses a JSON patch that is no list', async () => {
        const { path } = await deployment();

        expect(await api.patch(path, JSON_PATCH, { a: 'b' })).toMatchObject({
          code: 400,
          body: { reason: 'BadRequest' },
        });
      });

      test('refuses a strategic merge patch of a custom resource', async () => {
        const ns = await namespace();
        const path = `${SECRETS_STORE}/namespaces/${ns}/secretproviderclasses`;
        await api.create(path, secretProviderClass('a'));

        expect(await api.patch(`${path}/a`, STRATEGIC, {})).toMatchObject({
          code: 415,
          body: { reason: 'UnsupportedMediaType' },
        });
        expect((await api.patch(`${path}/a`, MERGE, { metadata: { labels: { a: 'b' } } })).code).toBe(200);
      });

      test('refuses to rename an object or to give it another identity', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        await api.create(path, configMap({ name: 'a' }));

        expect(await api.patch(`${path}/a`, MERGE, { metadata: { name: 'b' } })).toMatchObject({
          code: 400,
          body: { message: 'the name of the object (b) does not match the name on the URL (a)' },
        });
        expect(await api.patch(`${path}/a`, MERGE, { metadata: { uid: 'b' } })).toMatchObject({
          code: 422,
          body: { reason: 'Invalid' },
        });
      });

      test('answers 500 for a strategic merge patch that it cannot read', async () => {
        const { path } = await deployment();
        const containers = [{ image: 'without a name' }];

        const { code, body } = await api.patch(path, STRATEGIC, { spec: { template: { spec: { containers } } } });

        expect(code).toBe(500);
        expect(body.message).toContain('does not contain declared merge key: name');
      });

      test('refuses an unknown kind of patch', async () => {
        const { path } = await deployment();

        expect(await api.patch(path, 'application/json', {})).toMatchObject({ code: 415 });
      });

      test('refuses a patch that names an old resourceVersion', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        const { body } = await api.create(path, configMap({ name: 'a' }));
        const { resourceVersion } = body.metadata;
        await api.patch(`${path}/a`, MERGE, { data: { a: '2' } });

        const late = await api.patch(`${path}/a`, MERGE, { metadata: { resourceVersion }, data: { a: '3' } });

        expect(late).toMatchObject({ code: 409, body: { reason: 'Conflict' } });
      });

      test('refuses what would be invalid, and changes nothing', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        const { body } = await api.create(path, configMap({ name: 'a' }));

        const tooMuch = await api.patch(`${path}/a`, MERGE, annotated({ a: 'x'.repeat(256 * 1024) }));

        expect(tooMuch).toMatchObject({ code: 422, body: { reason: 'Invalid' } });
        expect((await api.get(`${path}/a`)).body).toEqual(body);
      });

      test('answers 404 for what is not there', async () => {
        const ns = await namespace();

        expect(await api.patch(`/apis/apps/v1/namespaces/${ns}/deployments/none`, MERGE, {})).toMatchObject({
          code: 404,
        });
      });
    });

    describe('the status subresource', () => {
      test('changes the status alone', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/pods`;
        await api.create(path, POD);

        const { body } = await api.patch(`${path}/pod/status`, STRATEGIC, {
          metadata: { labels: { a: 'b' } },
          spec: { containers: [{ name: 'app', image: 'other' }] },
          status: { message: 'hello' },
        });

        expect(body.status.message).toBe('hello');
        expect(body.spec.containers[0].image).toBe('shop/web:1');
      });

      test('is not touched by a write to the object', async () => {
        const { path } = await deployment();

        const { body } = await api.patch(path, MERGE, { status: { replicas: 42 } });

        expect(body.status.replicas ?? 0).toBe(0);
      });

      test('does not exist for the custom resources of the CSI driver', async () => {
        const ns = await namespace();
        const path = `${SECRETS_STORE}/namespaces/${ns}/secretproviderclasspodstatuses`;

        const { body } = await api.create(path, {
          apiVersion: 'secrets-store.csi.x-k8s.io/v1',
          kind: 'SecretProviderClassPodStatus',
          metadata: { name: 'a' },
          status: { mounted: true, podName: 'a' },
        });

        expect(body.status).toEqual({ mounted: true, podName: 'a' });
        expect(await api.patch(`${path}/a/status`, MERGE, {})).toMatchObject({ code: 404 });
      });
    });

    describe('a custom resource', () => {
      const path = (ns: string, group: string, plural: string) => `/apis/${group}/namespaces/${ns}/${plural}`;
      const externalSecret = (spec: object) => ({
        apiVersion: 'external-secrets.io/v1',
        kind: 'ExternalSecret',
        metadata: { name: 'a' },
        spec: { secretStoreRef: { name: 'aws' }, ...spec },
      });

      test.each(['externalsecrets', 'secretstores'])('of External Secrets is served: %s', async (plural) => {
        expect((await api.get(path(await namespace(), 'external-secrets.io/v1', plural))).code).toBe(200);
      });

      test('that belongs to no namespace is served: clusterexternalsecrets, clustersecretstores', async () => {
        for (const plural of ['clusterexternalsecrets', 'clustersecretstores'])
          expect((await api.get(`/apis/external-secrets.io/v1/${plural}`)).body.items).toEqual([]);
      });

      test('is refused where a field is of another type, and the field is named', async () => {
        const parameters = { objects: [{ objectName: 'a' }] };

        const { code, body } = await api.create(
          path(await namespace(), 'secrets-store.csi.x-k8s.io/v1', 'secretproviderclasses'),
          { ...secretProviderClass('a'), spec: { provider: 'aws', parameters } },
        );

        expect(code).toBe(422);
        expect(body.details.causes).toEqual([
          expect.objectContaining({ reason: 'FieldValueTypeInvalid', field: 'spec.parameters.objects' }),
        ]);
      });

      test('is refused where a word is not one of those allowed', async () => {
        const at = path(await namespace(), 'external-secrets.io/v1', 'externalsecrets');

        const { code, body } = await api.create(at, externalSecret({ refreshPolicy: 'Sometimes' }));

        expect(code).toBe(422);
        expect(body.details.causes).toEqual([
          expect.objectContaining({ reason: 'FieldValueNotSupported', field: 'spec.refreshPolicy' }),
        ]);
      });

      test('loses fields that its definition does not know, and gets the defaults that it gives', async () => {
        const at = path(await namespace(), 'external-secrets.io/v1', 'externalsecrets');

        const { body } = await api.create(at, externalSecret({ unheardOf: true, target: { name: 'b' } }));

        expect(body.spec).toEqual({
          secretStoreRef: { name: 'aws' },
          refreshInterval: '1h0m0s',
          target: { name: 'b', creationPolicy: 'Owner', deletionPolicy: 'Retain' },
        });
      });

      test('with a status subresource has a generation that the status does not move', async () => {
        const at = path(await namespace(), 'external-secrets.io/v1', 'secretstores');
        const aws = (region: string) => ({ provider: { aws: { service: 'SecretsManager', region } } });
        const store = { apiVersion: 'external-secrets.io/v1', kind: 'SecretStore', metadata: { name: 'a' } };
        const created = await api.create(at, {
          ...store,
          spec: aws('eu-west-1'),
          status: { capabilities: 'ReadOnly' },
        });
        expect(created.body.status).toBeUndefined();

        const both = { status: { capabilities: 'ReadWrite' }, spec: aws('eu-west-2') };
        const status = await api.patch(`${at}/a/status`, MERGE, both);
        expect(status.body).toMatchObject({ spec: aws('eu-west-1'), status: { capabilities: 'ReadWrite' } });
        expect(status.body.metadata.generation).toBe(1);

        const changed = await api.patch(`${at}/a`, MERGE, { ...both, status: { capabilities: 'WriteOnly' } });
        expect(changed.body.metadata.generation).toBe(2);
        expect(changed.body.status).toEqual({ capabilities: 'ReadWrite' });
      });

      test('is refused where a time is none', async () => {
        const at = path(await namespace(), 'argoproj.io/v1alpha1', 'rollouts');
        const rollout = { apiVersion: 'argoproj.io/v1alpha1', kind: 'Rollout', metadata: { name: 'a' } };

        const { code, body } = await api.create(at, { ...rollout, spec: { restartAt: 'soon' } });

        expect(code).toBe(422);
        expect(body.details.causes).toEqual([expect.objectContaining({ field: 'spec.restartAt' })]);
      });
    });

    describe('field managers', () => {
      test('are recorded with the fields that they wrote', async () => {
        const { path } = await deployment();

        const { body } = await api.patch(`${path}?fieldManager=rekey`, STRATEGIC, {
          spec: { template: { metadata: { annotations: { 'rekey.dev/x': 'v1' } } } },
        });

        const entry = managed(body, 'rekey');
        expect(entry).toMatchObject({
          manager: 'rekey',
          operation: 'Update',
          apiVersion: 'apps/v1',
          fieldsType: 'FieldsV1',
          time: expect.any(String),
        });
        expect(entry?.fieldsV1['f:spec']['f:template']['f:metadata']['f:annotations']).toHaveProperty([
          'f:rekey.dev/x',
        ]);
        expect(Object.keys(entry?.fieldsV1 ?? {})).toEqual(['f:spec']);
      });

      test('are named after the user agent when the client says nothing', async () => {
        const { body } = await deployment();

        expect(managed(body, 'contract')?.operation).toBe('Update');
      });
    });

    describe('server-side apply', () => {
      const configuration = (data: object) => ({ ...configMap({ name: 'a' }), data });
      const at = async () => `/api/v1/namespaces/${await namespace()}/configmaps/a`;

      test('creates what is missing and changes nothing the second time', async () => {
        const path = `${await at()}?fieldManager=one`;

        const created = await api.patch(path, APPLY, configuration({ a: '1' }));
        const again = await api.patch(path, APPLY, configuration({ a: '1' }));

        expect(created.code).toBe(201);
        expect(again).toEqual({ code: 200, body: created.body });
        expect(managed(created.body, 'one')).toMatchObject({
          operation: 'Apply',
          fieldsV1: { 'f:data': { 'f:a': {} } },
        });
      });

      test('removes what the manager applied before and leaves out now', async () => {
        const path = await at();
        await api.patch(`${path}?fieldManager=one`, APPLY, configuration({ a: '1', b: '2' }));
        await api.patch(`${path}?fieldManager=two`, APPLY, configuration({ c: '3' }));

        const { body } = await api.patch(`${path}?fieldManager=one`, APPLY, configuration({ a: '1' }));

        expect(body.data).toEqual({ a: '1', c: '3' });
      });

      test('refuses to change what another manager owns, unless forced', async () => {
        const path = await at();
        await api.patch(`${path}?fieldManager=one`, APPLY, configuration({ a: '1' }));

        const refused = await api.patch(`${path}?fieldManager=two`, APPLY, configuration({ a: '2' }));
        const forced = await api.patch(`${path}?fieldManager=two&force=true`, APPLY, configuration({ a: '2' }));

        expect(refused).toMatchObject({ code: 409, body: { reason: 'Conflict' } });
        expect(refused.body.message).toContain('Apply failed with 1 conflict: conflict with "one"');
        expect(refused.body.details.causes[0]).toMatchObject({ reason: 'FieldManagerConflict', field: '.data.a' });
        expect(forced.body.data).toEqual({ a: '2' });
        expect(managed(forced.body, 'one')).toBeUndefined();
      });

      test('merges containers by name', async () => {
        const { path } = await deployment();
        const containers = [{ name: 'side', image: 'side:1' }];

        const { body } = await api.patch(`${path}?fieldManager=other`, APPLY, {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'web' },
          spec: { template: { spec: { containers } } },
        });

        expect(body.spec.template.spec.containers.map((one: { name: string }) => one.name)).toEqual(['app', 'side']);
      });

      test('wants to know the manager', async () => {
        expect(await api.patch(await at(), APPLY, configuration({}))).toMatchObject({ code: 422 });
      });
    });

    describe('list', () => {
      test('is typed as a list, with a resourceVersion to watch from', async () => {
        const { path } = await deployment();

        const { body } = await api.get(path.replace(/\/web$/, ''));

        expect(body).toMatchObject({
          kind: 'DeploymentList',
          apiVersion: 'apps/v1',
          metadata: { resourceVersion: expect.stringMatching(/^\d+$/) },
        });
        expect(body.items).toHaveLength(1);
      });

      test.each([
        ['app=a', ['a']],
        ['app!=a', ['b', 'none']],
        ['app in (a, b)', ['a', 'b']],
        ['app notin (a)', ['b', 'none']],
        ['app', ['a', 'b']],
        ['!app', ['none']],
        ['app=a,tier=x', ['a']],
        ['app=a,tier=y', []],
      ])('selects by labels: %s', async (selector, names) => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        await api.create(path, configMap({ name: 'a', labels: { app: 'a', tier: 'x' } }));
        await api.create(path, configMap({ name: 'b', labels: { app: 'b' } }));
        await api.create(path, configMap({ name: 'none' }));

        const { body } = await api.get(`${path}?labelSelector=${encodeURIComponent(selector)}`);

        expect(namesOf(body).filter((one) => one !== 'kube-root-ca.crt')).toEqual(names);
      });

      test('selects by fields', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/pods`;
        await api.create(path, POD);

        expect(namesOf((await api.get(`${path}?fieldSelector=metadata.name%3Dpod`)).body)).toEqual(['pod']);
        expect(namesOf((await api.get(`${path}?fieldSelector=metadata.name%3Dother`)).body)).toEqual([]);
        expect(namesOf((await api.get(`${path}?fieldSelector=spec.nodeName%3Dnowhere`)).body)).toEqual([]);
        expect(namesOf((await api.get(`${path}?fieldSelector=status.phase!%3DFailed`)).body)).toEqual(['pod']);
        expect(await api.get(`${path}?fieldSelector=spec.nothing%3Da`)).toMatchObject({
          code: 400,
          body: { reason: 'BadRequest' },
        });
      });

      test('comes in pages that show the state of the first one', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/secrets`;
        for (const name of ['a', 'b', 'c', 'd', 'e']) {
          await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name } });
        }

        const first = (await api.get(`${path}?limit=2`)).body;
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'bb' } });
        await api.send('DELETE', `${path}/d`);
        const second = (await api.get(`${path}?limit=2&continue=${first.metadata.continue}`)).body;
        const third = (await api.get(`${path}?limit=2&continue=${second.metadata.continue}`)).body;

        expect([first, second, third].map(namesOf)).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
        expect(first.metadata.remainingItemCount).toBe(3);
        expect(third.metadata.continue ?? '').toBe('');
        expect(new Set([first, second, third].map((page) => page.metadata.resourceVersion)).size).toBe(1);
      });

      test('refuses a continue token that is none', async () => {
        expect(await api.get('/api/v1/secrets?limit=1&continue=nonsense')).toMatchObject({
          code: 400,
          body: { reason: 'BadRequest' },
        });
      });

      test('answers 404 for the objects of a kind in no served version', async () => {
        expect(await api.get('/apis/secrets-store.csi.x-k8s.io/v9/secretproviderclasses')).toMatchObject({ code: 404 });
      });
    });

    describe('watch', () => {
      test('tells what happened after a resourceVersion, in order', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/secrets`;
        const from = (await api.get(path)).body.metadata.resourceVersion;
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } });
        await api.patch(`${path}/a`, MERGE, { metadata: { labels: { b: 'c' } } });
        await api.send('DELETE', `${path}/a`);

        const events = await api.watch(`${path}?watch=true&resourceVersion=${from}`, (seen) => seen.length === 3);

        expect(events.map((event) => event.type)).toEqual(['ADDED', 'MODIFIED', 'DELETED']);
        expect(events[0]?.object).toMatchObject({ kind: 'Secret', metadata: { name: 'a' } });
        const versions = events.map((event) => Number(event.object.metadata.resourceVersion));
        expect(versions).toEqual([...versions].sort((left, right) => left - right));
      });

      test('begins with the present state when it has nowhere to start from', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/secrets`;
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } });

        const events = await api.watch(
          `${path}?watch=1`,
          (seen) => seen.length === 2,
          () => api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'b' } }),
        );

        expect(events.map(named)).toEqual(['ADDED a', 'ADDED b']);
      });

      test('adds what comes to match a selector and deletes what ceases to', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/secrets`;
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } });
        const from = (await api.get(path)).body.metadata.resourceVersion;

        const events = await api.watch(
          `${path}?watch=true&labelSelector=on&resourceVersion=${from}`,
          (seen) => seen.length === 2,
          async () => {
            await api.patch(`${path}/a`, MERGE, { metadata: { labels: { on: '' } } });
            await api.patch(`${path}/a`, MERGE, { metadata: { labels: { on: null } } });
          },
        );

        expect(events.map(named)).toEqual(['ADDED a', 'DELETED a']);
      });

      test('streams a list and marks its end with a bookmark', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/secrets`;
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a' } });

        const events = await api.watch(
          `${path}?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true`,
          (seen) => seen.length === 2,
        );

        expect(events.map((event) => event.type)).toEqual(['ADDED', 'BOOKMARK']);
        expect(events[1]?.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
      });

      test('ends after the time that the client gives it', async () => {
        const events = await api.watch('/api/v1/namespaces/default/secrets?watch=true&timeoutSeconds=1', () => false);

        expect(Array.isArray(events)).toBe(true);
      });
    });

    describe('delete', () => {
      test('answers with a success and the identity of what is gone', async () => {
        const ns = await namespace();
        const path = `${SECRETS_STORE}/namespaces/${ns}/secretproviderclasses`;
        const created = await api.create(path, secretProviderClass('a'));

        const answer = await api.send('DELETE', `${path}/a`);

        expect(answer).toMatchObject({
          code: 200,
          body: {
            kind: 'Status',
            status: 'Success',
            details: {
              name: 'a',
              group: 'secrets-store.csi.x-k8s.io',
              kind: 'secretproviderclasses',
              uid: created.body.metadata.uid,
            },
          },
        });
        expect((await api.get(`${path}/a`)).code).toBe(404);
        expect((await api.send('DELETE', `${path}/a`)).code).toBe(404);
      });

      test('deletes only the object whose uid was named', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        const { body } = await api.create(path, configMap({ name: 'a' }));
        const preconditions = (uid: string) => ({ body: { preconditions: { uid } } });

        const other = await api.send('DELETE', `${path}/a`, preconditions('11111111-1111-1111-1111-111111111111'));
        const right = await api.send('DELETE', `${path}/a`, preconditions(body.metadata.uid));

        expect(other).toMatchObject({ code: 409, body: { reason: 'Conflict' } });
        expect(right.code).toBe(200);
      });

      test('waits for finalizers', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        await api.create(path, configMap({ name: 'a', finalizers: ['example.com/hold'] }));

        await api.send('DELETE', `${path}/a`);
        const held = await api.get(`${path}/a`);
        await api.patch(`${path}/a`, MERGE, { metadata: { finalizers: null } });

        expect(held.body.metadata.deletionTimestamp).toEqual(expect.any(String));
        expect((await api.get(`${path}/a`)).code).toBe(404);
      });

      test('gives a pod on a node its grace', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/pods`;
        await api.create(path, {
          ...POD,
          spec: { ...POD.spec, nodeName: 'nowhere', terminationGracePeriodSeconds: 7 },
        });

        const { body } = await api.send('DELETE', `${path}/pod`);

        expect(body).toMatchObject({
          kind: 'Pod',
          metadata: { deletionTimestamp: expect.any(String), deletionGracePeriodSeconds: 7 },
        });
      });

      test('refuses new objects in a namespace that is going', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/configmaps`;
        await api.create(path, configMap({ name: 'a', finalizers: ['example.com/hold'] }));
        await api.send('DELETE', `/api/v1/namespaces/${ns}`);

        const late = await api.create(path, configMap({ name: 'late' }));
        await api.patch(`${path}/a`, MERGE, { metadata: { finalizers: null } });

        expect(late).toMatchObject({ code: 403, body: { reason: 'Forbidden' } });
        expect(late.body.details.causes[0].reason).toBe('NamespaceTerminating');
      });

      test('takes a collection by selector', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/secrets`;
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'a', labels: { x: 'y' } } });
        await api.create(path, { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'b' } });

        const { code } = await api.send('DELETE', `${path}?labelSelector=x%3Dy`);

        expect(code).toBe(200);
        expect(namesOf((await api.get(path)).body)).toEqual(['b']);
      });
    });

    describe('pods', () => {
      test('refuse a change of their volumes', async () => {
        const ns = await namespace();
        const path = `/api/v1/namespaces/${ns}/pods`;
        await api.create(path, POD);

        const answer = await api.patch(`${path}/pod`, STRATEGIC, { spec: { volumes: [{ name: 'v', emptyDir: {} }] } });

        expect(answer).toMatchObject({ code: 422, body: { reason: 'Invalid' } });
        expect(answer.body.message).toContain('pod updates may not change fields other than');
      });
    });

    describe('other representations', () => {
      const TABLE = 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json';

      test.each([
        ['/api/v1/pods', ['Name', 'Ready', 'Status', 'Restarts', 'Age']],
        ['/apis/apps/v1/deployments', ['Name', 'Ready', 'Up-to-date', 'Available', 'Age']],
        ['/apis/apps/v1/replicasets', ['Name', 'Desired', 'Current', 'Ready', 'Age']],
        ['/apis/apps/v1/statefulsets', ['Name', 'Ready', 'Age']],
        [
          '/apis/apps/v1/daemonsets',
          ['Name', 'Desired', 'Current', 'Ready', 'Up-to-date', 'Available', 'Node Selector', 'Age'],
        ],
        ['/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses', ['Name', 'Age']],
        ['/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasspodstatuses', ['Name', 'Age']],
      ])('has the table that kubectl shows for %s', async (path, columns) => {
        const { body } = await api.send('GET', path, { accept: TABLE });

        expect(body).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
        const shown = body.columnDefinitions.filter((column: { priority: number }) => column.priority === 0);
        expect(shown.map((column: { name: string }) => column.name)).toEqual(columns);
      });

      test('has rows with the metadata of their objects', async () => {
        const { path } = await deployment();

        const { body } = await api.send('GET', path, { accept: TABLE });

        expect(body.rows).toHaveLength(1);
        expect(body.rows[0].cells.slice(0, 2)).toEqual(['web', '0/1']);
        expect(body.rows[0].object).toMatchObject({ kind: 'PartialObjectMetadata', metadata: { name: 'web' } });
      });

      test('has the metadata alone', async () => {
        const { path } = await deployment();

        const { body } = await api.send('GET', path.replace(/\/web$/, ''), {
          accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io',
        });

        expect(body.kind).toBe('PartialObjectMetadataList');
        expect(body.items[0]).toMatchObject({ metadata: { name: 'web' } });
        expect(body.items[0].spec).toBeUndefined();
      });

      test('has nothing but JSON for a client that takes nothing else', async () => {
        expect(await api.send('GET', '/api/v1/pods', { accept: 'text/html' })).toMatchObject({ code: 406 });
      });
    });

    describe('access', () => {
      const as = (user: string, ...groups: string[]) => ({
        headers: { 'impersonate-user': user, ...(groups.length > 0 ? { 'impersonate-group': groups } : {}) },
      });

      test('is refused to an unknown token', async () => {
        expect(await api.send('GET', '/api/v1/pods', { token: 'nobody' })).toMatchObject({
          code: 401,
          body: { kind: 'Status', reason: 'Unauthorized', message: 'Unauthorized', code: 401 },
        });
      });

      test('without a token is that of system:anonymous', async () => {
        expect(await api.send('GET', '/api/v1/pods', { token: null })).toMatchObject({
          code: 403,
          body: {
            message:
              'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope',
          },
        });
      });

      test('without a role is discovery alone', async () => {
        expect((await api.send('GET', '/apis', as('somebody'))).code).toBe(200);
        expect(await api.send('GET', '/metrics', as('somebody'))).toMatchObject({
          code: 403,
          body: { message: 'forbidden: User "somebody" cannot get path "/metrics"' },
        });
        expect(await api.send('GET', '/apis/apps/v1/namespaces/default/deployments/web', as('somebody'))).toMatchObject(
          {
            code: 403,
            body: {
              kind: 'Status',
              reason: 'Forbidden',
              message:
                'deployments.apps "web" is forbidden: User "somebody" cannot get resource "deployments" in API group "apps" in the namespace "default"',
              details: { name: 'web', group: 'apps', kind: 'deployments' },
            },
          },
        );
      });

      test('is what a role binding gives a group, in its namespace', async () => {
        const ns = await namespace();
        const other = await namespace();
        const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${ns}`;
        await api.create(`${rbac}/roles`, {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'Role',
          metadata: { name: 'r' },
          rules: [
            { apiGroups: [''], resources: ['secrets'], verbs: ['list'] },
            { apiGroups: [''], resources: ['configmaps'], resourceNames: ['mine'], verbs: ['get'] },
          ],
        });
        await api.create(`${rbac}/rolebindings`, {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'RoleBinding',
          metadata: { name: 'b' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'r' },
          subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: 'team' }],
        });
        const code = async (method: string, path: string) => (await api.send(method, path, as('member', 'team'))).code;
        // The authorizer of a real server sees a new binding a moment later.
        await until(async () => (await code('GET', `/api/v1/namespaces/${ns}/secrets`)) === 200);

        expect(await code('GET', `/api/v1/namespaces/${ns}/secrets`)).toBe(200);
        expect(await code('GET', `/api/v1/namespaces/${ns}/secrets/a`)).toBe(403);
        expect(await code('GET', `/api/v1/namespaces/${ns}/secrets?watch=true`)).toBe(403);
        expect(await code('DELETE', `/api/v1/namespaces/${ns}/secrets`)).toBe(403);
        expect(await code('GET', `/api/v1/namespaces/${other}/secrets`)).toBe(403);
        expect(await code('GET', `/api/v1/namespaces/${ns}/configmaps/mine`)).toBe(404);
        expect(await code('GET', `/api/v1/namespaces/${ns}/configmaps/yours`)).toBe(403);
      });

      test('can be asked for', async () => {
        const review = async (user: object) => {
          const { body } = await api.send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {
            ...user,
            body: {
              apiVersion: 'authorization.k8s.io/v1',
              kind: 'SelfSubjectAccessReview',
              spec: { resourceAttributes: { verb: 'list', group: 'apps', resource: 'deployments' } },
            },
          });
          return body.status.allowed;
        };

        expect(await review({})).toBe(true);
        expect(await review(as('somebody'))).toBe(false);
      });
    });
  });
}

// biome-ignore lint/suspicious/noExplicitAny: bodies are compared field by field, whatever their type
type Body = any;

const SECRETS_STORE = '/apis/secrets-store.csi.x-k8s.io/v1';

const DEPLOYMENT = {
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'web' },
  spec: {
    paused: true,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' } },
      spec: {
        containers: [
          {
            name: 'app',
            image: 'shop/web:1',
            env: [
              { name: 'A', value: '1' },
              { name: 'B', value: '2' },
            ],
          },
        ],
      },
    },
  },
};

/** Nothing schedules it: it names a scheduler that doesn't exist. */
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'pod' },
  spec: { schedulerName: 'nobody', containers: [{ name: 'app', image: 'shop/web:1' }] },
};

function configMap(metadata: object): object {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata };
}

function secretProviderClass(name: string): object {
  return {
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name },
    spec: { provider: 'aws', parameters: { objects: '- objectName: a\n  objectType: secretsmanager\n' } },
  };
}

function annotated(annotations: Record<string, string>): object {
  return { metadata: { name: 'a', annotations } };
}

function withTemplateLabels(labels: Record<string, string>): object {
  return { spec: { ...DEPLOYMENT.spec, template: { ...DEPLOYMENT.spec.template, metadata: { labels } } } };
}

function withContainers(containers: readonly object[]): object {
  return { spec: { ...DEPLOYMENT.spec, template: { ...DEPLOYMENT.spec.template, spec: { containers } } } };
}

function withMount(name: string): object {
  return withContainers([{ name: 'app', image: 'a', volumeMounts: [{ name, mountPath: '/a' }] }]);
}

function managed(body: Body, manager: string): Body {
  return body.metadata.managedFields.find((entry: { manager: string }) => entry.manager === manager);
}

function namesOf(list: Body): string[] {
  return list.items.map((item: Body) => item.metadata.name);
}

function named(event: WatchedEvent): string {
  return `${event.type} ${event.object.metadata.name}`;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come to hold');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
