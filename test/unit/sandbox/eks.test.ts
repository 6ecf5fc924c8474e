import { DescribeClusterCommand, EKSClient, ListClustersCommand } from '@aws-sdk/client-eks';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';

const PROD = {
  name: 'prod',
  arn: 'arn:aws:eks:eu-west-1:111122223333:cluster/prod',
  endpoint: 'https://127.0.0.1:6443',
  certificateAuthority: { data: 'Q0E=' },
  version: '1.36',
  status: 'ACTIVE' as const,
  createdAt: new Date('2026-01-02T03:04:05Z'),
};

let aws: AwsSandbox;
let eks: EKSClient;
beforeEach(async () => {
  aws = await startAws({ eks: [PROD] });
  eks = new EKSClient(aws.clientOptions);
});
afterEach(() => aws.close());

test('DescribeCluster describes a cluster as it was given', async () => {
  expect((await eks.send(new DescribeClusterCommand({ name: 'prod' }))).cluster).toEqual(PROD);
});

test('DescribeCluster says that a cluster does not exist', async () => {
  await expect(eks.send(new DescribeClusterCommand({ name: 'none' }))).rejects.toMatchObject({
    name: 'ResourceNotFoundException',
    message: 'No cluster found for name: none.',
    $metadata: { httpStatusCode: 404 },
  });
});

test('ListClusters lists the names page by page', async () => {
  aws.setClusters(['c', 'a', 'b'].map((name) => ({ name })));
  const first = await eks.send(new ListClustersCommand({ maxResults: 2 }));
  const second = await eks.send(new ListClustersCommand({ maxResults: 2, nextToken: first.nextToken }));

  expect([first.clusters, second.clusters]).toEqual([['a', 'b'], ['c']]);
  expect(second.nextToken).toBeUndefined();
});

test('clusters that are set replace those from before', async () => {
  aws.setClusters([{ ...PROD, endpoint: 'https://127.0.0.1:7443' }]);

  const { cluster } = await eks.send(new DescribeClusterCommand({ name: 'prod' }));
  expect(cluster?.endpoint).toBe('https://127.0.0.1:7443');
});
