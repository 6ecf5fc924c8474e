import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { startRealKubernetes } from '../sandbox/control-plane/index.ts';
import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { describeKubernetesWorkloads } from './kubernetes-workloads.ts';

describeKubernetesWorkloads('the sandbox', async () => {
  const cluster = await startKubernetes({
    clusterName: 'workloads',
    readSecret: async () => ({ versionId: 'v1', value: '{"username":"u"}' }),
  });
  return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: () => cluster.close() };
});

onRealKubernetes('the contract of workloads', () =>
  describeKubernetesWorkloads('a real control plane', async () => {
    const cluster = await startRealKubernetes({
      clusterName: 'workloads',
      readSecret: async () => ({ versionId: 'v1', value: '{"username":"u"}' }),
    });
    return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: cluster.stop };
  }),
);
