import { Stack } from 'aws-cdk-lib';
import { Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { CfnAccessEntry } from 'aws-cdk-lib/aws-eks';
import type { EksCluster } from '../config.ts';
import { acknowledge } from './acknowledge.ts';
import type { ServiceFunction } from './service-function.ts';

/** The value of REKEY_CLUSTERS. */
export const clustersVariable = (clusters: readonly EksCluster[]): string =>
  JSON.stringify(clusters.map(({ name, region }) => ({ name, region })));

/** The rights in AWS of a function that looks at clusters: never the value of a secret. */
export function allowObserving(to: ServiceFunction, clusters: readonly EksCluster[]): void {
  const { account, partition, region } = Stack.of(to);
  to.allow(
    'FindTheClusters',
    ['eks:DescribeCluster'],
    clusters.map((cluster) => `arn:${partition}:eks:${cluster.region}:${account}:cluster/${cluster.name}`),
  );

  const anySecret = `arn:${partition}:secretsmanager:${region}:${account}:secret:*`;
  to.allow('SeeLabelsAndTagsOfSecrets', ['secretsmanager:DescribeSecret'], [anySecret]);
  acknowledge(
    to.role,
    `AwsSolutions::AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:secretsmanager:${region}:${account}:secret:*]`,
    'Sync serves every secret of this account and Region, whoever rotates it. DescribeSecret shows labels and tags, never a value.',
  );
}

/**
 * Lets the function into the clusters that the configuration says so for, as a member of `group` and nothing else:
 * EKS's own access policies know no custom resources, and the wider ones can read every Kubernetes Secret.
 */
export function letInto(clusters: readonly EksCluster[], visitor: ServiceFunction, group: string): void {
  for (const { name, createAccessEntries, securityGroupId } of clusters) {
    if (createAccessEntries)
      new CfnAccessEntry(visitor, `Access to ${name}`, {
        clusterName: name,
        principalArn: visitor.role.roleArn,
        type: 'STANDARD',
        kubernetesGroups: [group],
      });
    if (securityGroupId !== undefined)
      for (const own of visitor.lambda.connections.securityGroups)
        SecurityGroup.fromSecurityGroupId(visitor, `API of ${name}`, securityGroupId).addIngressRule(
          own,
          Port.HTTPS,
          'Rekey to the Kubernetes API',
        );
  }
}
