import { CLUSTER, describeClusters, startCluster } from '../environment.ts';
import { kubeconfig } from '../kubernetes/kubeconfig.ts';
import type { StartDemoCluster } from './cluster.ts';

/** The simulated Kubernetes. */
export const startSandboxCluster: StartDemoCluster = async ({ aws }, timing) => {
  const kubernetes = await startCluster(aws, CLUSTER, { timing });
  describeClusters(aws, [kubernetes]);
  const { api, endpoint, caPem, adminToken } = kubernetes;
  return {
    api,
    kubeconfig: kubeconfig(CLUSTER, endpoint, caPem, adminToken),
    kubectlFolder: undefined,
    nodes: kubernetes,
    real: [],
    simulated: 'the Kubernetes API, its controllers, the nodes and the CSI driver',
    close: () => kubernetes.close(),
  };
};
