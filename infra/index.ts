/** For a CDK app of your own: `import { Rekey, RotatedSecret } from 'rekey/infra'`. */
export { ClusterStack, clusterStacks, type RekeyAtHome } from './cluster-stack.ts';
export type { Alarms, Databases, EksCluster, Limits, Network, RekeyProps, Told } from './config.ts';
export { Rekey } from './constructs/rekey.ts';
export { RotatedSecret, type RotatedSecretProps } from './constructs/rotated-secret.ts';
