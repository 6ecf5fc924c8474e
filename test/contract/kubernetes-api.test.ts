import { readFileSync } from 'node:fs';
import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { describeKubernetesApi } from './kubernetes-api.ts';

describeKubernetesApi('the sandbox', async () => {
  const cluster = await startKubernetes({
    clusterName: 'contract',
    readSecret: async () => ({ versionId: 'v1', value: '' }),
  });
  return { endpoint: cluster.endpoint, ca: cluster.caPem, token: cluster.adminToken, close: () => cluster.close() };
});

// A real control plane, where somebody has started one: the same contract holds.
const { REKEY_KUBERNETES_ENDPOINT, REKEY_KUBERNETES_CA_FILE, REKEY_KUBERNETES_TOKEN } = process.env;
if (REKEY_KUBERNETES_ENDPOINT && REKEY_KUBERNETES_CA_FILE && REKEY_KUBERNETES_TOKEN) {
  describeKubernetesApi('a real server', async () => ({
    endpoint: REKEY_KUBERNETES_ENDPOINT,
    ca: readFileSync(REKEY_KUBERNETES_CA_FILE, 'utf8'),
    token: REKEY_KUBERNETES_TOKEN,
  }));
}
