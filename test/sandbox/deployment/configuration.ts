import type { EksCluster, Environment, RotatedSecretProps } from '../../../infra/config.ts';

/** The account and Region of the sandbox. */
export const ACCOUNT = '111122223333';
export const REGION = 'eu-west-1';
/** The name that the configuration of Rekey and the sandbox's EKS know the cluster by. */
export const CLUSTER = 'demo';
/** One that belongs to another account, for tests that want it. */
export const FOREIGN_CLUSTER = { name: 'branch', account: '444455556666' } as const;

/** A secret that Rekey rotates, by name, or those with a tag; and their administrator's, by name. */
export type Rotated = Pick<RotatedSecretProps, 'kmsKeyArns' | 'databaseArns' | 'strategy'> & {
  readonly adminName: string;
} & (
    | { readonly name: string; readonly tag?: never }
    | { readonly name?: never; readonly tag: { readonly key: string; readonly value: string } }
  );

/** The environment's configuration as a team would write it. */
export function configurationOf(rotated: readonly Rotated[], clusters: readonly EksCluster[] = []): Environment {
  return {
    name: 'sandbox',
    account: ACCOUNT,
    region: REGION,
    rotated: rotated.map(({ adminName, name, tag, ...secret }) => ({
      ...secret,
      ...(name === undefined ? { tag } : { name, schedule: 'cron(0 3 ? * SUN *)', window: '2h' }),
      admin: { name: adminName },
      engine: 'postgres',
      hostSecurityGroup: { id: 'sg-0123456789abcdef0' },
    })),
    clusters: [{ name: CLUSTER, region: REGION, createAccessEntries: true }, ...clusters],
    network: {
      vpcId: 'vpc-0123456789abcdef0',
      availabilityZones: [`${REGION}a`],
      subnetIds: ['subnet-0123456789abcdef0'],
    },
    told: { emails: ['on-call@example.com'] },
    alarms: {},
    logLevel: 'INFO',
    logRetentionDays: 90,
    limits: { reserveConcurrency: true },
  };
}
