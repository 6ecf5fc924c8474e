import type { Environment } from '../config.ts';

const HOSTS = { id: 'sg-00000000000000db1' };

/** Private throughout: no way out of the VPC but to its endpoints, the databases and the clusters. */
export const environment: Environment = {
  name: 'production',
  account: '444455556666',
  region: 'eu-west-1',
  rotated: [
    {
      name: 'production/orders',
      engine: 'postgres',
      strategy: 'alternating-users',
      admin: { name: 'production/orders-admin' },
      kmsKeyArns: ['arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab'],
      hostSecurityGroup: HOSTS,
      schedule: 'cron(0 2 ? * TUE *)',
      window: '3h',
    },
    {
      name: 'production/billing',
      engine: 'postgres',
      strategy: 'user-pair',
      kmsKeyArns: ['arn:aws:kms:eu-west-1:444455556666:key/1234abcd-12ab-34cd-56ef-1234567890ab'],
      hostSecurityGroup: HOSTS,
      schedule: 'cron(0 2 ? * WED *)',
      window: '3h',
    },
    {
      name: 'production/catalogue',
      engine: 'mysql',
      strategy: 'dual-password',
      hostSecurityGroup: { id: 'sg-00000000000000db2' },
      schedule: 'cron(0 2 ? * THU *)',
      window: '3h',
    },
  ],
  clusters: [
    { name: 'blue', region: 'eu-west-1', createAccessEntries: true, securityGroupId: 'sg-0000000000000ec51' },
    { name: 'green', region: 'eu-west-1', createAccessEntries: true, securityGroupId: 'sg-0000000000000ec52' },
  ],
  told: {
    emails: ['platform@example.com'],
    topicArns: ['arn:aws:sns:eu-west-1:444455556666:pager'],
  },
  alarms: { longestWithoutRotationDays: 15 },
  network: {
    vpcId: 'vpc-0000000000000000a',
    availabilityZones: ['eu-west-1a', 'eu-west-1b', 'eu-west-1c'],
    subnetIds: ['subnet-0000000000000000a', 'subnet-0000000000000000b', 'subnet-0000000000000000c'],
    endpoints: { services: ['secretsmanager', 'events', 'sqs', 'eks', 'rds'], vpcCidr: '10.20.0.0/16' },
  },
  databases: { hosts: ['.eu-west-1.rds.amazonaws.com'] },
  logLevel: 'INFO',
  logRetentionDays: 731,
  limits: { reserveConcurrency: true },
  tracing: true,
};
