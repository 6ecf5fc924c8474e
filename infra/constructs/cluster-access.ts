import { Stack } from 'aws-cdk-lib';
import { CfnAccessEntry } from 'aws-cdk-lib/aws-eks';
import type { Construct } from 'constructs';
import type { EksCluster } from '../config.ts';
import { isElsewhere, isForeign } from '../config-check.ts';
import type { FunctionSpec } from '../wiring.ts';
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
  const roles = clusters.flatMap((cluster) =>
    cluster.account !== undefined && isForeign(cluster, foundation.place)
      ? foreignRoleArn(cluster.account, cluster.region, to.spec, foundation)
      : [],
  );
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

/** The value of REKEY_CLUSTERS for one of the functions. By Region, since all variables of a function share 4 KB. */
export function clustersVariable({ spec }: Pick<ServiceFunction, 'spec'>, foundation: Foundation): string {
  const { clusters } = foundation.props;
  const groups = Map.groupBy(clusters, (each) => `${each.region} ${isForeign(each, foundation.place)}`);
  return Stack.of(foundation).toJsonString(
    [...groups].map(([group, each]) => {
      const [region = '', foreign] = group.split(' ');
      const names = each.map(({ account, name, eksName }) => {
        const both = eksName === undefined ? name : `${name}=${eksName}`;
        return foreign === 'true' ? `${account}/${both}` : both;
      });
      const role = foreign === 'true' && { role: { roleArn: foreignRoleArn('*', region, spec, foundation) } };
      return { region, ...role, names: names.join(' ') };
    }),
  );
}

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
const foreignRoleArn = (account: string, region: string, spec: FunctionSpec, { place, props }: Foundation): string =>
  `arn:${place.partition}:iam::${account}:role/${roleName(props.name, spec, region)}`;
