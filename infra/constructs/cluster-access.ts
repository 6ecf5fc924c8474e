import { Stack } from 'aws-cdk-lib';
import { CfnAccessEntry } from 'aws-cdk-lib/aws-eks';
import type { Construct } from 'constructs';
import type { EksCluster } from '../config.ts';
import { isElsewhere, isForeign } from '../config-check.ts';
import { acknowledge } from './acknowledge.ts';
import { type Foundation, roleName } from './foundation.ts';
import type { ServiceFunction } from './service-function.ts';

/** Lets sync or sweep see secrets and clusters, and into those clusters that are in this account and Region. */
export function allowClusters(to: ServiceFunction, foundation: Foundation, group: string): void {
  const { clusters } = foundation.props;
  const { account, partition, region } = foundation.place;
  const ours = clusters.filter((cluster) => !isForeign(cluster, foundation.place));
  if (ours.length > 0)
    to.allow(
      'FindTheClusters',
      ['eks:DescribeCluster'],
      ours.map((cluster) => `arn:${partition}:eks:${cluster.region}:${account}:cluster/${eksNameOf(cluster)}`),
    );
  const roles = clusters.flatMap((cluster) => foreignRole(cluster, to, foundation) ?? []);
  if (roles.length > 0) {
    to.allow('EnterOtherAccounts', ['sts:AssumeRole'], [...new Set(roles)]);
    to.reachApi('sts');
  }

  const anySecret = `arn:${partition}:secretsmanager:${region}:${account}:secret:*`;
  to.allow('SeeLabelsAndTagsOfSecrets', ['secretsmanager:DescribeSecret'], [anySecret]);
  acknowledge(
    to.role,
    `IAM5[Resource::${anySecret}]`,
    'Sync serves every secret of this account and Region, whoever rotates it. DescribeSecret shows labels and tags, never a value.',
  );

  for (const cluster of clusters) {
    if (cluster.createAccessEntries && !isElsewhere(cluster, foundation.place))
      accessEntry(to, cluster, to.role.roleArn, group);
    if (cluster.securityGroupId === undefined) to.reachAnywhere();
    else to.reach(cluster.securityGroupId, 443, 'Rekey to the Kubernetes API');
  }
}

/** The value of REKEY_CLUSTERS for one of the functions. */
export const clustersVariable = (to: Pick<ServiceFunction, 'spec'>, foundation: Foundation): string =>
  Stack.of(foundation).toJsonString(
    foundation.props.clusters.map((cluster) => {
      const roleArn = foreignRole(cluster, to, foundation);
      return {
        name: cluster.name,
        region: cluster.region,
        ...(cluster.eksName !== undefined && { eksName: cluster.eksName }),
        ...(roleArn !== undefined && { role: { roleArn } }),
      };
    }),
  );

/**
 * A member of `group` and nothing else: EKS's own access policies know no custom resources, and the wider ones can
 * read every Kubernetes Secret.
 */
export function accessEntry(scope: Construct, cluster: EksCluster, principalArn: string, group: string, of = ''): void {
  new CfnAccessEntry(scope, `Access to ${cluster.name}${of}`, {
    clusterName: eksNameOf(cluster),
    principalArn,
    type: 'STANDARD',
    kubernetesGroups: [group],
  });
}

export const eksNameOf = ({ name, eksName = name }: EksCluster): string => eksName;

/** The role that the function assumes to look at a cluster of another account; `cluster-stack.ts` makes it there. */
function foreignRole(cluster: EksCluster, { spec }: Pick<ServiceFunction, 'spec'>, { place, props }: Foundation) {
  if (!isForeign(cluster, place)) return undefined;
  return `arn:${place.partition}:iam::${cluster.account}:role/${roleName(props.name, spec, cluster.region)}`;
}
