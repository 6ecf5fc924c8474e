import { CLUSTER, describeClusters, startCluster } from '../environment.ts';
import { KubernetesClient } from '../kubernetes/api-client.ts';
import { kubeconfig } from '../kubernetes/kubeconfig.ts';
import type { StartDemoCluster } from './cluster.ts';

/** The simulated Kubernetes. */
export const startSandboxCluster: StartDemoCluster = async ({ aws }, timing) => {
  const kubernetes = await startCluster(aws, CLUSTER, { timing });
  describeClusters(aws, [kubernetes]);
  const { endpoint, caPem, adminToken } = kubernetes;
  const api = new KubernetesClient({ endpoint, ca: caPem, token: adminToken });
  return {
    api,
    kubeconfig: kubeconfig(CLUSTER, endpoint, caPem, adminToken),
    kubectlFolder: undefined,
    nodes: kubernetes,
    real: [],
    simulated: 'the Kubernetes API, its controllers, the nodes and the CSI driver',
    async close() {
      api.close();
      await kubernetes.close();
    },
  };
};
