import { DescribeDBClustersCommand, DescribeDBInstancesCommand, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';

const arnOf = (kind: string, name: string) => `arn:aws:rds:eu-west-1:111122223333:${kind}:${name}`;
const APP = {
  DBInstanceIdentifier: 'app',
  DBInstanceArn: arnOf('db', 'app'),
  Engine: 'postgres',
  EngineVersion: '18.1',
  DBInstanceStatus: 'available',
  Endpoint: { Address: '127.0.0.1', Port: 5432, HostedZoneId: 'Z1' },
  MultiAZ: false,
  InstanceCreateTime: new Date('2026-01-02T03:04:05Z'),
  MasterUserSecret: { SecretArn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!db-1-AbCdEf' },
  ReadReplicaDBInstanceIdentifiers: ['app-replica'],
  VpcSecurityGroups: [{ VpcSecurityGroupId: 'sg-1', Status: 'active' }],
  TagList: [{ Key: 'a', Value: 'b & c' }],
};
const MEMBERS = Array.from({ length: 25 }, (_, at) => ({
  DBInstanceIdentifier: `member-${at}`,
  DBInstanceArn: arnOf('db', `member-${at}`),
  Engine: 'aurora-postgresql',
  DBClusterIdentifier: 'fleet',
}));
const FLEET = {
  DBClusterIdentifier: 'fleet',
  DBClusterArn: arnOf('cluster', 'fleet'),
  Engine: 'aurora-postgresql',
  Endpoint: 'fleet.cluster',
  ReaderEndpoint: 'fleet.cluster-ro',
  Port: 5432,
  DBClusterMembers: [{ DBInstanceIdentifier: 'member-0', IsClusterWriter: true }],
};

let aws: AwsSandbox;
let rds: RDSClient;
beforeAll(async () => {
  aws = await startAws({ rds: { instances: [APP, ...MEMBERS], clusters: [FLEET] } });
  rds = new RDSClient(aws.clientOptions);
});
afterAll(() => aws.close());

describe('DescribeDBInstances', () => {
  test.each([
    ['its name', 'app'],
    ['its name in capitals', 'APP'],
    ['its ARN', APP.DBInstanceArn],
  ])('describes an instance by %s as it was given', async (_how, DBInstanceIdentifier) => {
    const { DBInstances } = await rds.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier }));

    expect(DBInstances).toEqual([APP]);
  });

  test('finds instances by filter', async () => {
    const { DBInstances } = await rds.send(
      new DescribeDBInstancesCommand({
        Filters: [
          { Name: 'db-cluster-id', Values: ['fleet'] },
          { Name: 'db-instance-id', Values: ['member-3', 'app'] },
        ],
      }),
    );

    expect(DBInstances?.map(({ DBInstanceIdentifier }) => DBInstanceIdentifier)).toEqual(['member-3']);
  });

  test('answers page by page', async () => {
    const first = await rds.send(new DescribeDBInstancesCommand({ MaxRecords: 20 }));
    const second = await rds.send(new DescribeDBInstancesCommand({ MaxRecords: 20, Marker: first.Marker }));

    expect([first.DBInstances?.length, second.DBInstances?.length]).toEqual([20, 6]);
    expect(second.Marker).toBeUndefined();
  });

  test.each([
    ['an instance that does not exist', { DBInstanceIdentifier: 'none' }, 'DBInstanceNotFoundFault'],
    ['fewer than 20 records', { MaxRecords: 19 }, 'InvalidParameterValue'],
    ['an unknown filter', { Filters: [{ Name: 'colour', Values: ['red'] }] }, 'InvalidParameterValue'],
  ])('refuses %s', async (_what, input, name) => {
    await expect(rds.send(new DescribeDBInstancesCommand(input))).rejects.toMatchObject({ name });
  });
});

describe('DescribeDBClusters', () => {
  test('describes a cluster as it was given', async () => {
    const { DBClusters } = await rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier: 'fleet' }));

    expect(DBClusters).toEqual([FLEET]);
  });

  test('says that a cluster does not exist', async () => {
    await expect(rds.send(new DescribeDBClustersCommand({ DBClusterIdentifier: 'none' }))).rejects.toMatchObject({
      name: 'DBClusterNotFoundFault',
      $metadata: { httpStatusCode: 404 },
    });
  });
});
