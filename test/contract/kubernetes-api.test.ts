import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { startRealKubernetes } from '../sandbox/control-plane/index.ts';
import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { describeKubernetesApi } from './kubernetes-api.ts';

describeKubernetesApi('the sandbox', async () => {
  const cluster = await startKubernetes({
    clusterName: 'contract',
    readSecret: async () => ({ versionId: 'v1', value: '' }),
  });
  return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: () => cluster.close() };
});

onRealKubernetes('the contract of the Kubernetes API', () =>
  describeKubernetesApi('a real control plane', async () => {
    const cluster = await startRealKubernetes({
      clusterName: 'contract',
      readSecret: async () => ({ versionId: 'v1', value: '' }),
    });
    return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: cluster.stop };
  }),
);
