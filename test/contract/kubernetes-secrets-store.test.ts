import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { startRealKubernetes } from '../sandbox/control-plane/index.ts';
import { startKubernetes } from '../sandbox/kubernetes/index.ts';
import { describeSecretsStoreDriver } from './kubernetes-secrets-store.ts';

describeSecretsStoreDriver('the sandbox', async ({ version, rotation, readSecret }) => {
  const { endpoint, caPem, adminToken, driver, onContainerStarted, close } = await startKubernetes({
    clusterName: 'driver',
    readSecret,
    rotation,
    ...(version && { driverVersion: version }),
  });
  return { endpoint, ca: caPem, token: adminToken, driver, onContainerStarted, close };
});

onRealKubernetes('the contract of the CSI driver', () =>
  describeSecretsStoreDriver('a real control plane', async ({ version, rotation, readSecret }) => {
    const { endpoint, caPem, adminToken, driver, nodes, stop } = await startRealKubernetes({
      clusterName: 'driver',
      readSecret,
      rotation,
      ...(version && { driverVersion: version }),
    });
    const onContainerStarted = nodes.onContainerStarted.bind(nodes);
    return { endpoint, ca: caPem, token: adminToken, driver, onContainerStarted, close: stop };
  }),
);
