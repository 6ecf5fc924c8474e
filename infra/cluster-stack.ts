import { Stack, Tags } from 'aws-cdk-lib';
import { AccountPrincipal, PolicyStatement, Role } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { EksCluster, RekeyProps } from './config.ts';
import { isElsewhere } from './config-check.ts';
import { acknowledgeOwnPolicy } from './constructs/acknowledge.ts';
import { accessEntry, eksNameOf } from './constructs/cluster-access.ts';
import { roleName } from './constructs/foundation.ts';
import { KUBERNETES_GROUPS, SWEEP, SYNC } from './wiring.ts';

/** A Rekey and where it is. An environment says so; elsewhere it is what `Rekey` is made with, and its stack's place. */
export interface RekeyAtHome extends Pick<RekeyProps, 'name' | 'clusters'> {
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
}

export interface ClusterStackProps {
  readonly environment: RekeyAtHome;
  readonly account: string;
  readonly region: string;
  /** All of this account and Region. */
  readonly clusters: readonly EksCluster[];
}

/**
 * What Rekey needs in another account or Region to reach the clusters there: in another account a role each for sync and
 * sweep, that nobody else may assume and that can find those clusters; and their way into Kubernetes.
 */
export class ClusterStack extends Stack {
  constructor(scope: Construct, { environment, account, region, clusters }: ClusterStackProps) {
    super(scope, `rekey-${environment.name}-clusters-${account}-${region}`, {
      description: `Rekey ${environment.name} of account ${environment.account}: its way into the clusters of this Region`,
      env: { account, region },
    });
    for (const [spec, group] of [
      [SYNC, KUBERNETES_GROUPS.sync],
      [SWEEP, KUBERNETES_GROUPS.sweep],
    ] as const) {
      const home = roleArn(environment.account, roleName(environment.name, spec, environment.region), this.partition);
      const role =
        account === environment.account
          ? undefined
          : this.#foreignRole(spec.name, roleName(environment.name, spec, region), environment.account, home, clusters);
      for (const cluster of clusters)
        if (cluster.createAccessEntries)
          accessEntry(role ?? this, cluster, role?.roleArn ?? home, group, role ? '' : ` of ${spec.name}`);
    }
    Tags.of(this).add('service', 'rekey');
  }

  #foreignRole(id: string, name: string, from: string, visitor: string, clusters: readonly EksCluster[]): Role {
    const role = new Role(this, id, {
      roleName: name,
      description: `Assumed by Rekey's ${id} in account ${from}`,
      // The account as principal and the role as condition: a role that is named as principal must be there already,
      // and is forgotten when it is made anew (IAM User Guide, "AWS JSON policy elements: Principal").
      assumedBy: new AccountPrincipal(from).withConditions({ ArnEquals: { 'aws:PrincipalArn': visitor } }),
    });
    acknowledgeOwnPolicy(role);
    role.addToPolicy(
      new PolicyStatement({
        sid: 'FindTheClusters',
        actions: ['eks:DescribeCluster'],
        resources: clusters.map(
          (cluster) => `arn:${this.partition}:eks:${this.region}:${this.account}:cluster/${eksNameOf(cluster)}`,
        ),
      }),
    );
    return role;
  }
}

/**
 * One stack for each account and Region that has clusters and is not where Rekey itself is. They need the roles of Rekey's
 * stack, so it is deployed before them.
 */
export function clusterStacks(scope: Construct, environment: RekeyAtHome): readonly ClusterStack[] {
  const elsewhere = environment.clusters.filter((cluster) => isElsewhere(cluster, environment));
  const places = Map.groupBy(elsewhere, ({ account = environment.account, region }) => `${account} ${region}`);
  return [...places].flatMap(([place, clusters]) => {
    const [account = '', region = ''] = place.split(' ');
    const nothingToMake = account === environment.account && clusters.every((each) => !each.createAccessEntries);
    return nothingToMake ? [] : [new ClusterStack(scope, { environment, account, region, clusters })];
  });
}

const roleArn = (account: string, name: string, partition: string) => `arn:${partition}:iam::${account}:role/${name}`;
