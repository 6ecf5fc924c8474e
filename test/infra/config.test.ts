import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, describe, expect, test } from '@jest/globals';
import type { Environment, RotatedSecretProps } from '../../infra/config.ts';
import { checked } from '../../infra/config-check.ts';
import { environmentNamed, environmentNames } from '../../infra/environment.ts';
import { example as bare } from './synthesised.ts';

const example: Environment = bare;
const [secret] = bare.rotated;
const [cluster] = bare.clusters;
const { network } = bare;
const { admin: _, ...alone } = secret;
const { arn, ...unnamed } = secret;

const folder = mkdtempSync(join(tmpdir(), 'rekey-config-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A file in the folder. */
function fileWith(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** What a person who does not look at types may write. */
const wrong = (difference: object): Partial<Environment> => difference as Partial<Environment>;
const rotating = (difference: object): Partial<Environment> => ({
  rotated: [{ ...secret, ...difference } as RotatedSecretProps],
});

describe('the configuration of an environment', () => {
  test('is taken as it is when it is right', () => {
    expect(checked(example)).toBe(example);
  });

  test('is taken with an administrator whose secret RDS made', () => {
    const managed = {
      ...example,
      rotated: [
        {
          ...secret,
          admin: { arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1a2b3c-AbCdEf' },
          databaseArns: ['arn:aws:rds:eu-west-1:111122223333:cluster:orders'],
        },
      ],
    };
    expect(checked(managed)).toBe(managed);
  });

  test.each<[what: string, difference: Partial<Environment>, fault: string]>([
    ['a name with capitals', { name: 'Prod' }, 'name: "Prod" must be 1 to 20 lower-case letters'],
    ['a name that is a path', { name: '../prod' }, 'name: "../prod" must be'],
    ['an account of eleven digits', { account: '11112222333' }, 'account: "11112222333" is not twelve digits'],
    ['a zone for a Region', { region: 'eu-west-1a' }, 'region: "eu-west-1a" is not a Region that the CDK knows'],
    [
      'a misspelt Region',
      { region: 'eu-wset-1' },
      'region: "eu-wset-1" is not a Region that the CDK knows, such as eu-',
    ],
    ['nothing to do', { rotated: [], clusters: [] }, 'both are empty, so there is nothing to do; name a secret'],

    ['a secret without the six characters', rotating({ arn: arn.slice(0, -7) }), 'is not the complete ARN'],
    ['a secret with a wildcard', rotating({ arn: arn.replace('orders/db', 'orders/*') }), 'is not the complete ARN'],
    [
      'a secret of another account',
      rotating({ arn: arn.replace('111122223333', '444455556666') }),
      'rotated[0].arn: "arn:aws:secretsmanager:eu-west-1:444455556666:secret:orders/db-AbCdEf" is not in account 111122223333 and Region eu-west-1',
    ],
    ['a secret of another Region', rotating({ arn: arn.replace('eu-west-1', 'us-east-1') }), 'is not in account'],
    [
      'a name with a wildcard',
      { rotated: [{ ...unnamed, name: 'orders/*' }] },
      'rotated[0].name: "orders/*" is not the name of a secret',
    ],
    ['the same secret twice', { rotated: [secret, secret] }, 'rotated: orders/db is there twice, by name, ARN or tag'],
    [
      'a secret by name that is there by ARN',
      { rotated: [secret, { ...unnamed, name: 'orders/db' }] },
      'rotated: orders/db is there twice, by name, ARN or tag; keep one of them',
    ],
    [
      'one tag for two kinds of database',
      {
        rotated: (['postgres', 'mysql'] as const).map((engine) => ({
          tag: { key: 'team', value: 'orders' },
          engine,
          hostSecurityGroup: { id: 'sg-0a' },
        })),
      },
      'rotated: the tag team = orders is there twice',
    ],
    [
      'a schedule for a tag',
      wrong({ rotated: [{ ...unnamed, tag: { key: 'team', value: 'orders' } }] }),
      'rotated[0].schedule: CloudFormation cannot set one for every secret with a tag; leave out schedule and window',
    ],
    [
      'a tag of AWS’s own',
      { rotated: [{ tag: { key: 'aws:team', value: 'x' }, engine: 'postgres', hostSecurityGroup: { id: 'sg-0a' } }] },
      'rotated[0].tag: "aws:team" = "x" is not a tag of yours',
    ],

    [
      'an administrator in another Region',
      rotating({ admin: { arn: arn.replace('eu-west-1', 'us-east-1') } }),
      'rotated[0].admin.arn',
    ],
    ['a secret that is its own administrator', rotating({ admin: { arn } }), 'its own administrator'],
    [
      'a secret that is its own administrator by name',
      rotating({ admin: { name: 'orders/db' } }),
      'its own administrator',
    ],
    [
      'alternating users without an administrator',
      { rotated: [{ ...alone, strategy: 'alternating-users' }] },
      'rotated[0].admin: alternating-users needs an administrator; name the secret that masterarn names',
    ],
    [
      'a database by name',
      rotating({ databaseArns: ['orders'] }),
      'rotated[0].databaseArns: "orders" is not the complete ARN',
    ],
    [
      'every database',
      rotating({ databaseArns: ['arn:aws:rds:eu-west-1:111122223333:db:*'] }),
      'rotated[0].databaseArns',
    ],
    [
      'a database of another account',
      rotating({ databaseArns: ['arn:aws:rds:eu-west-1:444455556666:cluster:orders'] }),
      'is not in account 111122223333 and Region eu-west-1',
    ],
    [
      'a database without an administrator',
      { rotated: [{ ...alone, databaseArns: ['arn:aws:rds:eu-west-1:111122223333:db:orders'] }] },
      'rotated[0].databaseArns: RDS is asked only about an administrator; name one (admin)',
    ],
    ['a key by alias', rotating({ kmsKeyArns: ['alias/orders'] }), 'rotated[0].kmsKeyArns'],
    [
      'a kind of database that there is no function for',
      rotating({ engine: 'oracle' }),
      'rotated[0].engine: "oracle" must be one of postgres, mysql, mariadb, redis',
    ],
    ['a kind of database named like a part of every object', rotating({ engine: 'constructor' }), 'rotated[0].engine'],
    [
      'two passwords on PostgreSQL',
      rotating({ strategy: 'dual-password' }),
      'rotated[0].strategy: "dual-password" is not for postgres; right are auto, single-user, alternating-users, user-pair',
    ],
    [
      'alternating users on Redis',
      rotating({ engine: 'redis', strategy: 'alternating-users' }),
      'right are auto, single-user, dual-password',
    ],
    ['a user pair on Redis', rotating({ engine: 'redis', strategy: 'user-pair' }), '"user-pair" is not for redis'],
    [
      'two passwords on MariaDB',
      rotating({ engine: 'mariadb', strategy: 'dual-password' }),
      '"dual-password" is not for mariadb',
    ],
    ['a strategy that nobody knows', rotating({ strategy: 'both' }), 'rotated[0].strategy: "both" is not for postgres'],
    [
      'a database that a function in the VPC cannot reach',
      wrong({ rotated: [{ ...secret, hostSecurityGroup: undefined }] }),
      'rotated[0].hostSecurityGroup: without one, rotation in the VPC cannot reach the database',
    ],
    ['a security group by name', rotating({ hostSecurityGroup: { id: 'db' } }), '"db" is not a security group'],
    [
      'port 0',
      rotating({ hostSecurityGroup: { id: 'sg-0a', port: 0 } }),
      'rotated[0].hostSecurityGroup.port: 0 is not a port',
    ],

    [
      'a schedule by rate',
      rotating({ schedule: 'rate(30 days)' }),
      'rotated[0].schedule: "rate(30 days)" must read cron(0 hour',
    ],
    ['a schedule of five fields', rotating({ schedule: 'cron(0 3 ? * SUN)' }), 'must read cron(0 hour'],
    [
      'a schedule off the hour',
      rotating({ schedule: 'cron(5 3 ? * SUN *)' }),
      'has the minute "5"; Secrets Manager takes 0 alone',
    ],
    [
      'a schedule with a year',
      rotating({ schedule: 'cron(0 3 1 1 ? 2030)' }),
      'has the year "2030"; Secrets Manager takes * alone',
    ],
    ['hour 24', rotating({ schedule: 'cron(0 24 ? * SUN *)' }), 'has the hour "24"; right are 0 to 23'],
    ['an hour from late to early', rotating({ schedule: 'cron(0 5-3 ? * SUN *)' }), 'has the hour "5-3"'],
    ['day 32', rotating({ schedule: 'cron(0 3 32 * ? *)' }), 'has the day "32"; right are 1 to 31'],
    ['month 13', rotating({ schedule: 'cron(0 3 1 13 ? *)' }), 'has the month "13"; right are 1 to 12'],
    [
      'a weekday in another language',
      rotating({ schedule: 'cron(0 3 ? * SON *)' }),
      'has the weekday "SON"; right are 1 to 7',
    ],
    [
      'both a day and a weekday',
      rotating({ schedule: 'cron(0 3 1 * SUN *)' }),
      'must have ? for one of day and weekday',
    ],
    [
      'neither a day nor a weekday',
      rotating({ schedule: 'cron(0 3 ? * ? *)' }),
      'must have ? for one of day and weekday',
    ],
    ['a window of no hours', rotating({ window: '0h' }), 'rotated[0].window: "0h" must read 1h to 24h'],
    ['a window in minutes', rotating({ window: '90m' }), 'must read 1h to 24h'],
    [
      'a window that crosses midnight',
      rotating({ schedule: 'cron(0 23 ? * SUN *)' }),
      'rotated[0].window: "2h" from 23:00 crosses midnight UTC; at most 1h, or an earlier hour',
    ],
    [
      'a window of a day that begins at one',
      rotating({ schedule: 'cron(0 1 ? * SUN *)', window: '24h' }),
      'crosses midnight UTC; at most 23h',
    ],
    [
      'a window that runs into the next one',
      rotating({ schedule: 'cron(0 0/4 * * ? *)', window: '5h' }),
      'crosses midnight UTC; at most 4h',
    ],
    [
      'windows on one day that overlap',
      rotating({ schedule: 'cron(0 1,3 * * ? *)', window: '3h' }),
      'rotated[0].window: "3h" runs into the next one, 2 h later; at most 2h',
    ],

    ['a cluster by ARN', { clusters: [{ ...cluster, name: 'arn:aws:eks:x' }] }, 'is not the name of an EKS cluster'],
    ['the same cluster twice', { clusters: [cluster, cluster] }, 'clusters: shop is there twice'],
    [
      'the same cluster under two names',
      { clusters: [cluster, { ...cluster, name: 'shop-2', eksName: 'shop' }] },
      'clusters: shop is there twice, in one account and Region; keep one of them',
    ],
    [
      'clusters of one name in two Regions',
      { clusters: [cluster, { name: 'shop', region: 'us-east-1', createAccessEntries: false }] },
      'clusters: shop is there twice; give one of them another name, and its own as eksName',
    ],
    [
      'a cluster in no Region',
      { clusters: [{ ...cluster, region: 'europe' }] },
      'clusters[0].region: "europe" is not a Region',
    ],
    [
      'a cluster of an account by name',
      { clusters: [{ ...cluster, account: 'main' }] },
      'clusters[0].account: "main" is not twelve digits',
    ],
    [
      'a security group of another account',
      { clusters: [{ ...cluster, account: '444455556666' }] },
      'clusters[0].securityGroupId: the cluster is in 444455556666 eu-west-1, this stack in 111122223333 eu-west-1',
    ],
    [
      "a cluster's security group by name",
      { clusters: [{ ...cluster, securityGroupId: 'eks' }] },
      'clusters[0].securityGroupId: "eks"',
    ],

    ['nobody who is told', { told: {} }, 'told: nobody would hear of a failure; name emails, topicArns or a busArn'],
    ['an address without a host', { told: { emails: ['on-call'] } }, 'told.emails: "on-call" is not an address'],
    ['an address twice', { told: { emails: ['a@b', 'a@b'] } }, 'told.emails: a@b is there twice'],
    ['a topic by name', { told: { topicArns: ['pager'] } }, 'told.topicArns: "pager" is not the complete ARN'],
    [
      'a topic in another Region',
      { told: { topicArns: ['arn:aws:sns:us-east-1:111122223333:pager'] } },
      'is not in account 111122223333 and Region eu-west-1',
    ],
    [
      'more topics than a rule has targets',
      { told: { topicArns: ['a', 'b', 'c', 'd', 'e'].map((name) => `arn:aws:sns:eu-west-1:111122223333:${name}`) } },
      'told.topicArns: there are 5, and a rule of EventBridge has five targets, one of them Rekey’s own topic; at most 4',
    ],
    ['a bus by name', { told: { busArn: 'platform' } }, 'told.busArn: "platform" is not the ARN of an event bus'],
    ['a retention of 45 days', wrong({ logRetentionDays: 45 }), 'logRetentionDays: 45 must be one of 30, 60, 90'],
    [
      'an alarm after no days',
      { alarms: { longestWithoutRotationDays: 0 } },
      'alarms.longestWithoutRotationDays: 0 must be',
    ],
    [
      'one sync at a time',
      { limits: { reserveConcurrency: true, syncs: 1 } },
      'limits.syncs: 1 must be a whole number from 2',
    ],
    [
      'half a rotation',
      { limits: { reserveConcurrency: true, rotations: 0.5 } },
      'limits.rotations: 0.5 must be a whole number',
    ],
    [
      'a key by alias for what Rekey writes',
      { kmsKeyArn: 'alias/rekey' },
      'kmsKeyArn: "alias/rekey" is not the complete ARN',
    ],

    [
      'a host for a suffix',
      { databases: { hosts: ['db.example.com'] } },
      'databases.hosts: "db.example.com" is not the end',
    ],
    [
      'a CA file that is not there',
      { databases: { caFile: 'nowhere.pem' } },
      'databases.caFile: "nowhere.pem" cannot be read',
    ],
    [
      'a CA file without a certificate',
      { databases: { caFile: fileWith('empty.pem', 'nothing') } },
      'databases.caFile: there is no certificate in',
    ],
    [
      'a named CA file that is no certificate',
      {
        databases: {
          namedCaFiles: { own: fileWith('odd.pem', (rootCertificates[0] ?? '').replace(/\n[^\n]{30}/, '\n')) },
        },
      },
      'databases.namedCaFiles["own"]: a certificate in',
    ],
    [
      'a name of a CA file that no tag can say',
      { databases: { namedCaFiles: { 'my own': fileWith('right.pem', rootCertificates[0] ?? '') } } },
      'databases.namedCaFiles: "my own" must be 1 to 64 letters',
    ],

    ['a VPC by name', { network: { ...network, vpcId: 'main' } }, 'network.vpcId: "main" is not a VPC'],
    ['no subnet', { network: { ...network, subnetIds: [], availabilityZones: [] } }, 'network.subnetIds: at least one'],
    ['more zones than subnets', { network: { ...network, subnetIds: network.subnetIds.slice(1) } }, 'one per zone'],
    ['a subnet by name', { network: { ...network, subnetIds: ['a', 'b'] } }, 'network.subnetIds: "a" is not'],
    [
      'an endpoint that nothing calls',
      wrong({ network: { ...network, endpoints: { services: ['s3'], vpcCidr: '10.0.0.0/16' } } }),
      'network.endpoints.services: "s3" must be one of secretsmanager, events',
    ],
    [
      'an endpoint without the range of the VPC',
      { network: { ...network, endpoints: { services: ['sqs'], vpcCidr: '10.0.0.0' } } },
      'network.endpoints.vpcCidr: "10.0.0.0" is not a VPC',
    ],
  ])('is refused with %s', (_what, difference, fault) => {
    expect(() => checked({ ...example, ...difference })).toThrow(fault);
  });

  test.each([
    'cron(0 3 ? * SUN *)',
    'cron(0 3 ? * MON-FRI *)',
    'cron(0 3 1 * ? *)',
    'cron(0 3 L * ? *)',
    'cron(0 3 1,15 JAN,JUL ? *)',
    'cron(0 3 ? * 2#1 *)',
    'cron(0 3 ? 1/3 SUN *)',
    'cron(0 0/6 * * ? *)',
    'cron(0 22 ? * SUN *)',
  ])('takes the schedule %s', (schedule) => {
    expect(() => checked({ ...example, ...rotating({ schedule }) })).not.toThrow();
  });

  test('takes a secret by name, and secrets by tag without a schedule', () => {
    const tagged = {
      tag: { key: 'team', value: 'orders' },
      engine: 'mysql',
      hostSecurityGroup: { id: 'sg-0a' },
    } as const;

    expect(() => checked({ ...example, rotated: [{ ...unnamed, name: 'orders/db' }, tagged] })).not.toThrow();
  });

  test('takes two secrets of which one begins the other’s name', () => {
    const longer = { ...unnamed, name: 'orders/db-replica' };

    expect(() => checked({ ...example, rotated: [{ ...unnamed, name: 'orders/db' }, longer] })).not.toThrow();
  });

  test('takes sync without rotation, and rotation without clusters', () => {
    expect(() => checked({ ...example, rotated: [] })).not.toThrow();
    expect(() => checked({ ...example, clusters: [] })).not.toThrow();
  });

  test('is refused with security groups where the functions are in no VPC', () => {
    const { network: _, ...outside } = example;

    expect(() => checked(outside)).toThrow('clusters[0].securityGroupId: only a function in a VPC');
    expect(() => checked(outside)).toThrow('rotated[0].hostSecurityGroup: only a function in a VPC');
  });

  test('is refused with all its faults at once', () => {
    const wrong = () => checked({ ...example, account: '1', region: 'x', told: { emails: ['y'] } });

    expect(wrong).toThrow(/account: "1".*region: "x".*told.emails: "y"/s);
  });
});

describe('-c env', () => {
  test('names one of the files, each of which is right', async () => {
    expect(environmentNames()).toEqual(['example', 'production', 'staging']);
    for (const name of environmentNames()) expect((await environmentNamed(name)).name).toBe(name);
  });

  test.each([
    [undefined, 'which environment? Say -c env=<name>, with one of: example, production, staging'],
    ['prod', '-c env=prod: there is no such file under infra/environments; there are example, production, staging'],
    ['../config', '-c env=../config: there is no such file'],
    [true, '-c env=true: there is no such file'],
  ])('is refused as %s', async (name, fault) => {
    await expect(environmentNamed(name)).rejects.toThrow(fault);
  });
});
