import type { Environment } from '../config.ts';

/** Copy this file, named after your environment, and deploy with `cdk deploy -c env=<name>`. */
export const environment: Environment = {
  name: 'example',
  account: '111122223333',
  region: 'eu-west-1',
  rotated: [
    {
      arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-AbCdEf',
      engine: 'postgres',
      // Sundays at 03:00 UTC, within two hours.
      schedule: 'cron(0 3 ? * SUN *)',
      window: '2h',
      adminArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-admin-GhIjKl',
      kmsKeyArns: ['arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'],
    },
  ],
  clusters: [{ name: 'shop', region: 'eu-west-1', createAccessEntries: true, securityGroupId: 'sg-0fedcba9876543210' }],
  network: {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-west-1a', 'eu-west-1b'],
    subnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    databases: [{ securityGroupId: 'sg-0123456789abcdef0', port: 5432 }],
  },
  databaseHosts: ['.eu-west-1.rds.amazonaws.com'],
  emails: ['on-call@example.com'],
  logLevel: 'INFO',
  logRetentionDays: 90,
  reserveConcurrency: true,
};
