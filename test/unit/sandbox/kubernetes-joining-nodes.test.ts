import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../sandbox/control-plane/control-plane.ts';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import { joinNodes } from '../../sandbox/control-plane/index.ts';
import { type Answer, KubernetesClient } from '../../sandbox/kubernetes/api-client.ts';
import { type ApiProxy, startApiProxy } from '../../sandbox/kubernetes/api-proxy.ts';

onRealKubernetes('nodes that join a control plane', () =>
  describe('nodes that join a control plane', () => {
    const pods = '/api/v1/namespaces/default/pods';
    let plane: ControlPlane;
    let api: KubernetesClient;
    let proxy: ApiProxy;
    let leave = async () => {};
    const join = async (endpoint: Pick<ControlPlane, 'endpoint' | 'caPem'>) => {
      const readSecret = async () => ({ versionId: 'v1', value: '' });
      ({ leave } = await joinNodes({ ...plane, ...endpoint }, { readSecret, nodes: 1 }));
    };
    const create = async (name: string) =>
      expect(
        await api.create(pods, {
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name },
          spec: { nodeName: 'node-1', containers: [{ name: 'app', image: 'app:1' }] },
        }),
      ).toMatchObject({ code: 201 });
    const isRunning = ({ status }: Answer['body']) => status.phase === 'Running';
    beforeAll(async () => {
      plane = await startControlPlane({ clusterName: 'joined', controllers: false });
      api = new KubernetesClient({ endpoint: plane.endpoint, ca: plane.caPem, token: plane.adminToken });
      proxy = await startApiProxy(plane);
    });
    afterEach(() => leave());
    afterAll(async () => {
      api?.close();
      await proxy?.close();
      await plane?.stop();
    });

    test('start the pods that wait for them, and end those that were deleted before', async () => {
      for (const name of ['waiting', 'ending']) await create(name);
      expect((await api.send('DELETE', `${pods}/ending`)).body.metadata.deletionTimestamp).toEqual(expect.any(String));

      await join(plane);

      await api.until(`${pods}/ending`, ({ code }) => code === 404);
      await api.until(`${pods}/waiting`, isRunning);
    });

    test('ask again what a busy server would not answer at first', async () => {
      const asked = new Set<string>();
      proxy.inject(({ method, path }) => {
        const what = `${method} ${path.replace(/=\d+$/, '')}`;
        if (asked.has(what)) return undefined;
        asked.add(what);
        return { kind: 'refuse', code: 429 };
      });
      await join(proxy);
      await create('later');

      await api.until(`${pods}/later`, isRunning);
      await api.send('DELETE', `${pods}/later`);
      await api.until(`${pods}/later`, ({ code }) => code === 404);
    });
  }),
);
