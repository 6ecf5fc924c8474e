import type { Environment, RotatedSecretProps } from '../../../infra/config.ts';

/** The one account and Region of the sandbox. */
export const ACCOUNT = '111122223333';
export const REGION = 'eu-west-1';
/** The name that the configuration of Rekey and the sandbox's EKS know the cluster by. */
export const CLUSTER = 'demo';

/** A secret that Rekey rotates, by name, with its administrator's. */
export interface Rotated extends Pick<RotatedSecretProps, 'kmsKeyArns' | 'databaseArns' | 'strategy'> {
  readonly name: string;
  readonly adminName: string;
}

/** The environment's configuration as a team would write it. */
export function configurationOf(rotated: readonly Rotated[]): Environment {
  return {
    name: 'sandbox',
    account: ACCOUNT,
    region: REGION,
    rotated: rotated.map(({ adminName, ...secret }) => ({
      ...secret,
      admin: { name: adminName },
      engine: 'postgres',
      hostSecurityGroup: { id: 'sg-0123456789abcdef0' },
      schedule: 'cron(0 3 ? * SUN *)',
      window: '2h',
    })),
    clusters: [{ name: CLUSTER, region: REGION, createAccessEntries: true }],
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
