import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { realKubernetes } from './kubernetes-client.ts';
import { describeKubernetesWorkloads } from './kubernetes-workloads.ts';

describeKubernetesWorkloads('the sandbox', async () => {
  const cluster = await startKubernetes({
    clusterName: 'workloads',
    readSecret: async () => ({ versionId: 'v1', value: '{"username":"u"}' }),
  });
  return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: () => cluster.close() };
});

const real = realKubernetes();
if (real) describeKubernetesWorkloads('a real control plane', async () => real);
