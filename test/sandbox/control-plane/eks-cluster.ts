import {
  authenticateAs,
  CLUSTER,
  describeClusters,
  type Installation,
  listSecretsAs,
  readSecretAs,
} from '../environment.ts';
import { KubernetesClient } from '../kubernetes/api-client.ts';
import { type NodesOptions, type RealKubernetes, startRealKubernetes } from './index.ts';
import { installRekey } from './install-rekey.ts';
import { startTokenReview } from './token-review.ts';

/**
 * A real control plane as the account's cluster: found by DescribeCluster, entered by the tokens that EKS would take,
 * with exactly the rights and the policy of admission that infra ships. `api` is an administrator's.
 */
export async function startEksCluster(
  { aws }: Pick<Installation, 'aws'>,
  timing: NodesOptions['timing'] = {},
): Promise<RealKubernetes & { readonly api: KubernetesClient }> {
  const tokenReview = await startTokenReview(authenticateAs(aws));
  let stop = () => tokenReview.close();
  try {
    const cluster = await startRealKubernetes({
      clusterName: CLUSTER,
      readSecret: readSecretAs(aws),
      listSecrets: listSecretsAs(aws),
      tokenReview,
      timing,
    });
    const api = new KubernetesClient({ endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken });
    stop = async () => {
      api.close();
      await cluster.stop();
      await tokenReview.close();
    };
    await installRekey(api, cluster.kubeconfig);
    describeClusters(aws, [cluster]);
    return { ...cluster, api, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
