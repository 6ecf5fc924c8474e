import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { startRealKubernetes } from '../sandbox/control-plane/index.ts';
import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { describeKubernetesOperators } from './kubernetes-operators.ts';

describeKubernetesOperators('the sandbox', async ({ read: readSecret, list: listSecrets }) => {
  const { endpoint, caPem, adminToken, holdExternalSecrets, close } = await startKubernetes({
    clusterName: 'operators',
    readSecret,
    listSecrets,
  });
  return { endpoint, ca: caPem, token: adminToken, holdExternalSecrets, close };
});

onRealKubernetes('the contract of operators', () =>
  describeKubernetesOperators('a real control plane', async ({ read: readSecret, list: listSecrets }) => {
    const { endpoint, caPem, adminToken, holdExternalSecrets, stop } = await startRealKubernetes({
      clusterName: 'operators',
      readSecret,
      listSecrets,
    });
    return { endpoint, ca: caPem, token: adminToken, holdExternalSecrets, close: stop };
  }),
);
