import { join } from 'node:path';
import { KUBERNETES_GROUPS } from '../../../infra/wiring.ts';
import { eventually } from '../eventually.ts';
import { type KubernetesClient, MERGE } from '../kubernetes/api-client.ts';
import { openKubectl } from './kubectl.ts';

const KUBERNETES = join(import.meta.dirname, '../../../infra/kubernetes');

/**
 * Gives Rekey's groups the rights that are shipped, as docs/permissions.md says, and waits until the policy of admission
 * is in force: the API server learns of it a moment after it was stored.
 * @param overlay the folder below infra/kubernetes
 * @param namespace where the groups have their rights, if not everywhere
 */
export async function installRekey(
  admin: KubernetesClient,
  kubeconfig: string,
  overlay: 'base' | 'namespaced' = 'base',
  namespace = 'default',
): Promise<void> {
  const kubectl = await openKubectl(kubeconfig);
  try {
    await kubectl.run('apply', '-k', join(KUBERNETES, overlay));
  } finally {
    await kubectl.close();
  }
  const deployments = `/apis/apps/v1/namespaces/${namespace}/deployments`;
  const labels = { app: 'policy-probe' };
  await admin.create(deployments, {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'policy-probe' },
    spec: {
      replicas: 0,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [{ name: 'app', image: 'app:1' }] } },
    },
  });
  await eventually('the policy of admission is in force', async () => {
    const { code, body } = await admin.send('PATCH', `${deployments}/policy-probe?dryRun=All`, {
      headers: { 'impersonate-user': 'somebody', 'impersonate-group': KUBERNETES_GROUPS.sync },
      contentType: MERGE,
      body: { spec: { replicas: 9 } },
    });
    return code === 422 && body.message.includes("ValidatingAdmissionPolicy 'rekey'");
  });
  await admin.send('DELETE', `${deployments}/policy-probe`);
}
