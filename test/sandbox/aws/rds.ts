import type { DBCluster, DBInstance } from '@aws-sdk/client-rds';
import { z } from 'zod';
import { handleWith, operation } from './operation.ts';
import { AwsError, type AwsService } from './service.ts';

/** What the simulated RDS describes, in the shapes that an SDK client returns. */
export interface RdsData {
  readonly instances?: readonly DBInstance[];
  readonly clusters?: readonly DBCluster[];
}

/** RDS's XML names the element of each list; this is the part of its model that descriptions of databases need. */
const LIST_ELEMENTS: Readonly<Record<string, string>> = {
  AssociatedRoles: 'DBClusterRole',
  AvailabilityZones: 'AvailabilityZone',
  CustomEndpoints: 'member',
  DBClusterMembers: 'DBClusterMember',
  DBParameterGroups: 'DBParameterGroup',
  OptionGroupMemberships: 'OptionGroupMembership',
  ReadReplicaDBClusterIdentifiers: 'ReadReplicaDBClusterIdentifier',
  ReadReplicaDBInstanceIdentifiers: 'ReadReplicaDBInstanceIdentifier',
  ReadReplicaIdentifiers: 'ReadReplicaIdentifier',
  TagList: 'Tag',
  VpcSecurityGroups: 'VpcSecurityGroupMembership',
};

const describeSchema = z.object({
  DBInstanceIdentifier: z.string().optional(),
  DBClusterIdentifier: z.string().optional(),
  Filters: z
    .object({
      Filter: z.array(z.object({ Name: z.string(), Values: z.object({ Value: z.array(z.string()) }) })),
    })
    .optional(),
  MaxRecords: z.coerce.number().int().min(20).max(100).default(100),
  Marker: z.coerce.number().int().optional(),
});
type DescribeRequest = z.infer<typeof describeSchema>;

/** What the filters of one operation compare with: the attributes of a record by filter name. */
type Filterable<Item> = Readonly<Record<string, (item: Item) => readonly (string | undefined)[]>>;

const INSTANCE_FILTERS: Filterable<DBInstance> = {
  'db-instance-id': (instance) => [instance.DBInstanceIdentifier, instance.DBInstanceArn],
  'db-cluster-id': (instance) => [instance.DBClusterIdentifier],
  'dbi-resource-id': (instance) => [instance.DbiResourceId],
  engine: (instance) => [instance.Engine],
};
const CLUSTER_FILTERS: Filterable<DBCluster> = {
  'db-cluster-id': (cluster) => [cluster.DBClusterIdentifier, cluster.DBClusterArn],
  'db-cluster-resource-id': (cluster) => [cluster.DbClusterResourceId],
  engine: (cluster) => [cluster.Engine],
};

const HERE = { accountId: '111122223333', region: 'eu-west-1' };

/** Simulated RDS: describes the databases it is given and changes none. */
export function createRds(
  data: RdsData = {},
  { accountId, region }: { readonly accountId: string; readonly region: string } = HERE,
): AwsService {
  const { instances = [], clusters = [] } = data;
  const arnOf = (kind: 'db' | 'cluster', wanted = '*') =>
    wanted.startsWith('arn:') ? wanted : `arn:aws:rds:${region}:${accountId}:${kind}:${wanted}`;

  const operations = {
    DescribeDBInstances: operation(
      describeSchema,
      (input) => {
        const wanted = input.DBInstanceIdentifier;
        const named = (instance: DBInstance) => isNamed(wanted, instance.DBInstanceIdentifier, instance.DBInstanceArn);
        if (wanted !== undefined && !instances.some(named))
          throw new AwsError('DBInstanceNotFound', `DBInstance ${wanted} not found.`, 404);
        const { page, marker } = select(instances.filter(named), input, INSTANCE_FILTERS);
        return { DBInstances: { DBInstance: page.map(toXmlShape) }, ...marker };
      },
      'InvalidParameterValue',
    ),
    DescribeDBClusters: operation(
      describeSchema,
      (input) => {
        const wanted = input.DBClusterIdentifier;
        const named = (cluster: DBCluster) => isNamed(wanted, cluster.DBClusterIdentifier, cluster.DBClusterArn);
        if (wanted !== undefined && !clusters.some(named))
          throw new AwsError('DBClusterNotFoundFault', `DBCluster ${wanted} not found.`, 404);
        const { page, marker } = select(clusters.filter(named), input, CLUSTER_FILTERS);
        return { DBClusters: { DBCluster: page.map(toXmlShape) }, ...marker };
      },
      'InvalidParameterValue',
    ),
  };

  return {
    name: 'rds',
    protocols: [{ kind: 'query', xmlNamespace: 'http://rds.amazonaws.com/doc/2014-10-31/' }],
    handle: handleWith(operations),
    denial: { code: 'AccessDenied', status: 403 },
    needs(name, input) {
      const { DBInstanceIdentifier: instance, DBClusterIdentifier: cluster } = (input ??
        {}) as Partial<DescribeRequest>;
      const resource = name === 'DescribeDBInstances' ? arnOf('db', instance) : arnOf('cluster', cluster);
      return [{ action: `rds:${name}`, resource }];
    },
  };
}

/** By identifier, whatever its case, or by ARN; everything when nothing was asked for. */
function isNamed(wanted: string | undefined, identifier: string | undefined, arn: string | undefined): boolean {
  return wanted === undefined || identifier?.toLowerCase() === wanted.toLowerCase() || arn === wanted;
}

function select<Item>(items: readonly Item[], request: DescribeRequest, filterable: Filterable<Item>) {
  const filters = (request.Filters?.Filter ?? []).map(({ Name, Values }) => {
    const attribute = filterable[Name];
    if (!attribute) throw new AwsError('InvalidParameterValue', `Unrecognized filter name: ${Name}`);
    return (item: Item) => attribute(item).some((value) => value !== undefined && Values.Value.includes(value));
  });
  const matching = items.filter((item) => filters.every((accepts) => accepts(item)));
  const start = request.Marker ?? 0;
  const end = start + request.MaxRecords;
  return { page: matching.slice(start, end), marker: end < matching.length ? { Marker: String(end) } : {} };
}

function toXmlShape(value: unknown): object {
  return Object.fromEntries(
    Object.entries(value as object).map(([name, member]) => {
      if (Array.isArray(member)) {
        const element = LIST_ELEMENTS[name];
        if (!element) throw new Error(`the simulated RDS has no list ${name}`);
        return [name, { [element]: member.map((each) => (typeof each === 'object' ? toXmlShape(each) : each)) }];
      }
      const isStructure = typeof member === 'object' && member !== null && !(member instanceof Date);
      return [name, isStructure ? toXmlShape(member) : member];
    }),
  );
}
