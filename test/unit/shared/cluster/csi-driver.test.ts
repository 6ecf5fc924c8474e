import { expect, test } from '@jest/globals';
import { fromDaemonSet } from '../../../../shared/cluster/kubernetes-workloads.ts';

function driverOf(image: string, args: readonly string[]) {
  const containers = [{ name: 'secrets-store', image, args: [...args] }];
  return fromDaemonSet({ spec: { template: { spec: { containers } } } }).csiDriver;
}

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
  const driver = driverOf(image, ['--enable-secret-rotation=false']);
  expect(driver?.version).toEqual(expected);
});

test.each([
  [['--enable-secret-rotation=true', '--rotation-poll-interval=90s'], { everyMs: 90_000 }],
  [['-enable-secret-rotation', '-rotation-poll-interval', '1h0m0s'], { everyMs: 3_600_000 }],
  [['--enable-secret-rotation=T'], { everyMs: 120_000 }],
  [['--enable-secret-rotation=true', '--enable-secret-rotation=0'], undefined],
  [['--enable-secret-rotation=False', '--rotation-poll-interval=2m'], undefined],
  [['--metrics-addr=:8095'], undefined],
])('the arguments %j switch the rotation of the CSI driver on or off as its flags are read: %j', (args, expected) => {
  expect(driverOf('driver:v1.6.0', args)?.rotation).toEqual(expected);
});
