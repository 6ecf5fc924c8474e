import type { Environment } from '../config.ts';

/**
 * Copy this file, named after your environment, and deploy with `npx cdk deploy --all -c env=<name>`. It shows every
 * field; those that say "default" may be left out. `infra/config.ts` explains each.
 */
export const environment: Environment = {
  // Part of every name that is deployed: rekey-example-sync.
  name: 'example',
  account: '111122223333',
  region: 'eu-west-1',

  // The secrets to rotate. [] where Rekey shall only sync.
  rotated: [
    {
      // By its complete ARN, with the six characters at the end: exactly this secret.
      arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-AbCdEf',
      engine: 'postgres',
      // What its tag rekey:strategy says. Default: auto, which reads the JSON as AWS's own functions do.
      strategy: 'alternating-users',
      // Sundays at 03:00 UTC, within two hours. The minute is 0, the year *; the window ends before midnight.
      schedule: 'cron(0 3 ? * SUN *)',
      window: '2h',
      // The secret that its masterarn names. Default: none, the user changes its own password.
      admin: { arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-admin-GhIjKl' },
      // The customer key that encrypts them. Default: aws/secretsmanager.
      kmsKeyArns: ['arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'],
      // The database's security group, which gets a rule that lets Rekey in. The port defaults to the engine's.
      hostSecurityGroup: { id: 'sg-0123456789abcdef0' },
    },
    {
      // By name: this one, and the one that is made under its name after it was deleted.
      name: 'basket/cache',
      engine: 'redis',
      strategy: 'dual-password',
      // The first of every month, at 04:00 UTC.
      schedule: 'cron(0 4 1 * ? *)',
      window: '3h',
      hostSecurityGroup: { id: 'sg-0123456789abcdef1', port: 6379 },
    },
    {
      // Every secret with this tag, now or later. CloudFormation sets no schedule for those: it is set for each by
      // aws secretsmanager rotate-secret --rotation-lambda-arn … --rotation-rules …
      tag: { key: 'rotated-by', value: 'rekey-reports' },
      engine: 'mysql',
      strategy: 'dual-password',
      hostSecurityGroup: { id: 'sg-0123456789abcdef2' },
    },
  ],

  // The clusters to sync. [] where Rekey shall only rotate.
  clusters: [
    // In this account and Region, with a private API: its security group gets a rule that lets Rekey in.
    { name: 'shop', region: 'eu-west-1', createAccessEntries: true, securityGroupId: 'sg-0fedcba9876543210' },
    // In another account and Region: cdk deploy --all makes the roles there that sync and sweep assume.
    { name: 'shop-dr', eksName: 'shop', region: 'eu-central-1', account: '444455556666', createAccessEntries: true },
  ],

  // Who hears of failures and of what was done. One of these at least.
  told: {
    emails: ['on-call@example.com'],
    // Of yours: their policy must let events.amazonaws.com and cloudwatch.amazonaws.com publish. At most four.
    topicArns: ['arn:aws:sns:eu-west-1:111122223333:pager'],
    // Gets every event of docs/events.md.
    busArn: 'arn:aws:events:eu-west-1:777788889999:event-bus/platform',
  },

  // 'off' where nobody is to be woken.
  alarms: {
    // Default: each secret's own schedule, and a day.
    longestWithoutRotationDays: 35,
  },

  // Default: outside any VPC, where the functions reach only what is public.
  network: {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-west-1a', 'eu-west-1b'],
    // One per zone, private, with a way to AWS's APIs.
    subnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
    // Default: none, the VPC has NAT or has its endpoints already.
    endpoints: { services: ['secretsmanager', 'events', 'sqs', 'eks', 'rds', 'sts'], vpcCidr: '10.0.0.0/16' },
  },

  // Of the databases. Default: the RDS roots in Lambda's image, and any host.
  databases: {
    hosts: ['.eu-west-1.rds.amazonaws.com', '.euw1.cache.amazonaws.com'],
    // caFile: 'certificates/own-root.pem', and namedCaFiles: { corporate: 'certificates/corporate.pem' } for the tag rekey:ca
  },

  // For logs and notifications. Default: a key of the stack's own.
  // kmsKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/…',

  logLevel: 'INFO',
  logRetentionDays: 365,
  limits: {
    // false where the account may run ten functions at a time.
    reserveConcurrency: true,
    // Defaults: 5 and 5.
    rotations: 5,
    syncs: 5,
  },
  // X-Ray. Default: false.
  tracing: true,
};
