import {
  type DBCluster,
  type DBInstance,
  DescribeDBClustersCommand,
  DescribeDBInstancesCommand,
  RDSClient,
} from '@aws-sdk/client-rds';
import { AWS_CLIENT } from '../operations/aws-client.ts';
import { awsFailure } from '../operations/aws-failure.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { Address, DatabaseDescription, DatabaseResource, DatabaseTopology } from './port.ts';

/** Of one call with its retries: a missing VPC endpoint is to be reported before Lambda ends the invocation. */
const CALL_MS = 10_000;

/** @param connect called at the first question: most secrets ask none */
export function createRdsTopology(
  connect: () => Pick<RDSClient, 'send'> = () => new RDSClient(AWS_CLIENT),
): DatabaseTopology {
  let client: Pick<RDSClient, 'send'> | undefined;

  async function instance(id: string, abortSignal: AbortSignal): Promise<DatabaseDescription | undefined> {
    client ??= connect();
    // By identifier, never by filter: a filtered list would need the right to see every instance.
    const { DBInstances = [] } = await client.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: id }), {
      abortSignal,
    });
    return DBInstances[0] && describeInstance(DBInstances[0]);
  }

  async function cluster(id: string, abortSignal: AbortSignal): Promise<DatabaseDescription | undefined> {
    client ??= connect();
    const { DBClusters = [] } = await client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: id }), {
      abortSignal,
    });
    return DBClusters[0] && describeCluster(DBClusters[0]);
  }

  return {
    async describe(resource, deadline) {
      const what = `${resource.kind} ${resource.id}`;
      deadline.require(1_000, `asking RDS for ${what}`);
      try {
        return await (resource.kind === 'instance' ? instance : cluster)(resource.id, within(deadline));
      } catch (error) {
        const { name, kind, said } = awsFailure(error);
        if (NOT_FOUND.has(name)) return undefined;
        // Our own time-out aborts without the SDK's marks.
        const unanswered = kind === 'unavailable' || name === 'AbortError' || name === 'TimeoutError';
        if (unanswered) throw new RekeyError('RDS_UNAVAILABLE', `asked for ${what}: ${said}`);
        if (kind === 'denied') throw accessDenied(resource, said);
        throw new RekeyError(kind === 'rejected' ? 'RDS_REJECTED' : 'UNEXPECTED', `asked for ${what}: ${said}`);
      }
    },
  };
}

const NOT_FOUND = new Set(['DBInstanceNotFoundFault', 'DBInstanceNotFound', 'DBClusterNotFoundFault']);

function within(deadline: Deadline): AbortSignal {
  return AbortSignal.timeout(Math.min(CALL_MS, deadline.remainingMs()));
}

function accessDenied({ kind, id }: DatabaseResource, said: string): RekeyError {
  const action = kind === 'instance' ? 'rds:DescribeDBInstances' : 'rds:DescribeDBClusters';
  return new RekeyError(
    'RDS_ACCESS_DENIED',
    `asked for ${kind} ${id}: ${said}`,
    `Give the function's role ${action} on ${kind} ${id}: add its ARN to databaseArns of the secret and deploy.`,
  );
}

function describeInstance(of: DBInstance): DatabaseDescription {
  return {
    arn: of.DBInstanceArn ?? '',
    engine: of.Engine ?? '',
    endpoints: addresses([of.Endpoint?.Address], of.Endpoint?.Port),
    partOf:
      resource('cluster', of.DBClusterIdentifier) ??
      resource('instance', of.ReadReplicaSourceDBInstanceIdentifier) ??
      resource('cluster', of.ReadReplicaSourceDBClusterIdentifier),
  };
}

function describeCluster(of: DBCluster): DatabaseDescription {
  return {
    arn: of.DBClusterArn ?? '',
    engine: of.Engine ?? '',
    // Without the writer's endpoint, the first in the list would be taken for it.
    endpoints: of.Endpoint ? addresses([of.Endpoint, of.ReaderEndpoint, ...(of.CustomEndpoints ?? [])], of.Port) : [],
    partOf: undefined,
  };
}

function resource(kind: DatabaseResource['kind'], id: string | undefined): DatabaseResource | undefined {
  return id ? { kind, id } : undefined;
}

function addresses(hosts: readonly (string | undefined)[], port: number | undefined): Address[] {
  return hosts.flatMap((host) => (host && port ? { host, port } : []));
}
