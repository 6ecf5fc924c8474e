import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { describeKubernetesApi } from './kubernetes-api.ts';
import { realKubernetes } from './kubernetes-client.ts';

describeKubernetesApi('the sandbox', async () => {
  const cluster = await startKubernetes({
    clusterName: 'contract',
    readSecret: async () => ({ versionId: 'v1', value: '' }),
  });
  return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: () => cluster.close() };
});

const real = realKubernetes();
if (real) describeKubernetesApi('a real server', async () => real);
