import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type ControlPlane, startControlPlane } from '../../sandbox/control-plane/control-plane.ts';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import { joinNodes } from '../../sandbox/control-plane/index.ts';
import { KubernetesClient } from '../../sandbox/kubernetes/api-client.ts';

onRealKubernetes('nodes that join a control plane', () =>
  describe('nodes that join a control plane', () => {
    const pods = '/api/v1/namespaces/default/pods';
    let plane: ControlPlane;
    let api: KubernetesClient;
    let leave = async () => {};
    beforeAll(async () => {
      plane = await startControlPlane({ clusterName: 'joined', controllers: false });
      api = new KubernetesClient({ endpoint: plane.endpoint, ca: plane.caPem, token: plane.adminToken });
    });
    afterAll(async () => {
      await leave();
      api?.close();
      await plane?.stop();
    });

    test('start the pods that wait for them, and end those that were deleted before', async () => {
      for (const name of ['waiting', 'ending'])
        expect(
          await api.create(pods, {
            apiVersion: 'v1',
            kind: 'Pod',
            metadata: { name },
            spec: { nodeName: 'node-1', containers: [{ name: 'app', image: 'app:1' }] },
          }),
        ).toMatchObject({ code: 201 });
      expect((await api.send('DELETE', `${pods}/ending`)).body.metadata.deletionTimestamp).toEqual(expect.any(String));

      ({ leave } = await joinNodes(plane, { readSecret: async () => ({ versionId: 'v1', value: '' }), nodes: 1 }));

      await api.until(`${pods}/ending`, ({ code }) => code === 404);
      await api.until(`${pods}/waiting`, ({ status }) => status.phase === 'Running');
    });
  }),
);
