import { describe, expect, test } from '@jest/globals';
import { checked, type Environment } from '../../infra/config.ts';
import { environment as example } from '../../infra/environments/example.ts';

const [secret] = example.rotated;
const [cluster] = example.clusters;
if (secret === undefined || cluster === undefined || example.network === undefined)
  throw new Error('the example is bare');
const { network } = example;
const { adminArn: _, ...alone } = secret;

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
          adminArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1a2b3c-AbCdEf',
          databaseArns: ['arn:aws:rds:eu-west-1:111122223333:cluster:orders'],
        },
      ],
    };
    expect(checked(managed)).toBe(managed);
  });

  test.each<[what: string, difference: Partial<Environment>, fault: string]>([
    ['a name with capitals', { name: 'Prod' }, 'name: "Prod" must be'],
    ['a name that is a path', { name: '../prod' }, 'name: "../prod" must be'],
    ['an account of eleven digits', { account: '11112222333' }, 'account: "11112222333" is not twelve digits'],
    ['a zone for a Region', { region: 'eu-west-1a' }, 'region: "eu-west-1a" is not a Region'],
    ['nothing to do', { rotated: [], clusters: [] }, 'both are empty'],
    [
      'a secret by name',
      { rotated: [{ ...secret, arn: 'orders/db' }] },
      'rotated[0].arn: "orders/db" is not the complete ARN',
    ],
    [
      'a secret without the six characters',
      { rotated: [{ ...secret, arn: secret.arn.slice(0, -7) }] },
      'is not the complete ARN',
    ],
    [
      'a secret with a wildcard',
      { rotated: [{ ...secret, arn: secret.arn.replace('orders/db', 'orders/*') }] },
      'is not the complete ARN',
    ],
    [
      'a secret of another account',
      { rotated: [{ ...secret, arn: secret.arn.replace('111122223333', '444455556666') }] },
      'is not in account 111122223333 and Region eu-west-1',
    ],
    [
      'an administrator in another Region',
      { rotated: [{ ...secret, adminArn: secret.arn.replace('eu-west-1', 'us-east-1') }] },
      'rotated[0].adminArn',
    ],
    [
      'a secret that is its own administrator',
      { rotated: [{ ...secret, adminArn: secret.arn }] },
      'its own administrator',
    ],
    [
      'a database by name',
      { rotated: [{ ...secret, databaseArns: ['orders'] }] },
      'rotated[0].databaseArns: "orders" is not the complete ARN',
    ],
    [
      'every database',
      { rotated: [{ ...secret, databaseArns: ['arn:aws:rds:eu-west-1:111122223333:db:*'] }] },
      'rotated[0].databaseArns',
    ],
    [
      'a database of another account',
      { rotated: [{ ...secret, databaseArns: ['arn:aws:rds:eu-west-1:444455556666:cluster:orders'] }] },
      'is not in account 111122223333 and Region eu-west-1',
    ],
    [
      'a database without an administrator',
      { rotated: [{ ...alone, databaseArns: ['arn:aws:rds:eu-west-1:111122223333:db:orders'] }] },
      'rotated[0].databaseArns: RDS is asked only about an administrator',
    ],
    ['a key by alias', { rotated: [{ ...secret, kmsKeyArns: ['alias/orders'] }] }, 'rotated[0].kmsKeyArns'],
    ['the same secret twice', { rotated: [secret, secret] }, 'is there twice'],
    ['a schedule by rate', { rotated: [{ ...secret, schedule: 'rate(30 days)' }] }, 'must read cron(0 hour'],
    ['a schedule off the hour', { rotated: [{ ...secret, schedule: 'cron(5 3 ? * SUN *)' }] }, 'must read cron(0 hour'],
    ['a schedule with a year', { rotated: [{ ...secret, schedule: 'cron(0 3 1 1 ? 2030)' }] }, 'must read cron(0 hour'],
    ['a window of no hours', { rotated: [{ ...secret, window: '0h' }] }, 'must read 1h to 24h'],
    ['a window in minutes', { rotated: [{ ...secret, window: '90m' }] }, 'must read 1h to 24h'],
    ['a cluster by ARN', { clusters: [{ ...cluster, name: 'arn:aws:eks:x' }] }, 'is not the name of an EKS cluster'],
    ['the same cluster twice', { clusters: [cluster, cluster] }, 'clusters: shop is there twice'],
    [
      'clusters of one name in two Regions',
      { clusters: [cluster, { ...cluster, region: 'us-east-1', createAccessEntries: false }] },
      'clusters: shop is there twice; clusters of one name in two Regions need an environment each',
    ],
    [
      'access entries in another Region',
      { clusters: [{ ...cluster, region: 'us-east-1' }] },
      'clusters[0].createAccessEntries: the cluster is in us-east-1, this stack in eu-west-1',
    ],
    [
      "a cluster's security group by name",
      { clusters: [{ ...cluster, securityGroupId: 'eks' }] },
      'clusters[0].securityGroupId: "eks"',
    ],
    ['a host for a suffix', { databaseHosts: ['db.example.com'] }, 'databaseHosts: "db.example.com" is not the end'],
    ['an address without a host', { emails: ['on-call'] }, 'emails: "on-call" is not an address'],
    ['a VPC by name', { network: { ...network, vpcId: 'main' } }, 'network.vpcId'],
    ['no subnet', { network: { ...network, subnetIds: [], availabilityZones: [] } }, 'network.subnetIds: at least one'],
    ['more zones than subnets', { network: { ...network, subnetIds: network.subnetIds.slice(1) } }, 'one per zone'],
    ['a subnet by name', { network: { ...network, subnetIds: ['a', 'b'] } }, 'network.subnetIds: "a" is not'],
    ['a database nobody can reach', { network: { ...network, databases: [] } }, 'cannot reach a database'],
    [
      'a security group by name',
      { network: { ...network, databases: [{ securityGroupId: 'db', port: 5432 }] } },
      '"db" is not a security group',
    ],
    [
      'a kind of database that there is no function for',
      { rotated: [{ ...secret, engine: 'oracle' as 'redis' }] },
      'rotated[0].engine: "oracle" must be one of postgres, mysql, mariadb, redis',
    ],
    [
      'port 0',
      { network: { ...network, databases: [{ securityGroupId: 'sg-0a', port: 0 }] } },
      'network.databases[0].port: 0 is not a port',
    ],
  ])('is refused with %s', (_what, difference, fault) => {
    expect(() => checked({ ...example, ...difference })).toThrow(fault);
  });

  test('is refused with a private Kubernetes API where the functions are in no VPC', () => {
    const { network: _, ...outside } = example;

    expect(() => checked(outside)).toThrow('clusters[0].securityGroupId: only a function in a VPC');
  });

  test('is refused with all its faults at once', () => {
    const wrong = () => checked({ ...example, account: '1', region: 'x', emails: ['y'] });

    expect(wrong).toThrow(/account: "1".*region: "x".*emails: "y"/s);
  });
});
