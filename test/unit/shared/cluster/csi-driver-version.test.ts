import { expect, test } from '@jest/globals';
import { fromDaemonSet } from '../../../../shared/cluster/kubernetes-workloads.ts';

const DIGEST = `sha256:${'1f'.repeat(32)}`;

test.each([
  ['registry.k8s.io/csi-secrets-store/driver:v1.5.6', { major: 1, minor: 5 }],
  ['mirror.example:5000/driver:1.6.0-eksbuild.1', { major: 1, minor: 6 }],
  [`mirror.example:5000/driver:v1.6.0@${DIGEST}`, { major: 1, minor: 6 }],
  [`registry.k8s.io/csi-secrets-store/driver@${DIGEST}`, undefined],
  ['mirror.example:5000/driver', undefined],
  ['10.0.0.1:50.1/driver', undefined],
  ['driver:latest', undefined],
])('the image %s is of version %j of the CSI driver', (image, expected) => {
  const containers = [{ name: 'secrets-store', image, args: ['--enable-secret-rotation=false'] }];
  const driver = fromDaemonSet({ spec: { template: { spec: { containers } } } }).csiDriver;
  expect(driver?.version).toEqual(expected);
});
