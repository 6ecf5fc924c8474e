import { startEksCluster } from '../control-plane/eks-cluster.ts';
import { FOLDER } from '../control-plane/programs.ts';
import type { StartDemoCluster } from './cluster.ts';

/** Kubernetes' own control plane, as `npm run cluster` builds it. */
export const startRealCluster: StartDemoCluster = async (installation, timing) => {
  const { api, kubeconfig, nodes, stop } = await startEksCluster(installation, timing);
  const version = (await api.get('/version')).body.gitVersion;
  return {
    api,
    kubeconfig,
    kubectlFolder: FOLDER,
    nodes,
    real: [`Kubernetes ${version}: etcd, API server, controllers, scheduler; RBAC and the policy of admission`],
    simulated: 'the nodes and the CSI driver',
    close: stop,
  };
};
