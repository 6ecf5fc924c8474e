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

type Client = Pick<RDSClient, 'send'>;

/** @param connect called at the first question: most secrets ask none */
export function createRdsTopology(connect: () => Client = () => new RDSClient(AWS_CLIENT)): DatabaseTopology {
  let client: Client | undefined;
  return {
    async describe(resource, deadline) {
      const what = `${resource.kind} ${resource.id}`;
      deadline.require(1_000, `asking RDS for ${what}`);
      try {
        client ??= connect();
        return await (resource.kind === 'instance' ? instance : cluster)(client, resource.id, within(deadline));
      } catch (error) {
        const { name, kind, said, action } = awsFailure(error);
        if (NOT_FOUND.has(name)) return undefined;
        // Our own time-out aborts without the SDK's marks.
        const unanswered = kind === 'unavailable' || name === 'AbortError' || name === 'TimeoutError';
        if (unanswered) throw new RekeyError('RDS_UNAVAILABLE', `asked for ${what}: ${said}`, action);
        if (kind === 'denied') throw accessDenied(resource, said, action);
        throw new RekeyError(kind === 'rejected' ? 'RDS_REJECTED' : 'UNEXPECTED', `asked for ${what}: ${said}`);
      }
    },
  };
}

/** By identifier or ARN, never by filter: a filtered list would need the right to see every instance. */
async function instance(client: Client, id: string, abortSignal: AbortSignal) {
  const { DBInstances } = await client.send(new DescribeDBInstancesCommand({ DBInstanceIdentifier: id }), {
    abortSignal,
  });
  return DBInstances?.[0] && describeInstance(DBInstances[0]);
}

async function cluster(client: Client, id: string, abortSignal: AbortSignal) {
  const { DBClusters } = await client.send(new DescribeDBClustersCommand({ DBClusterIdentifier: id }), {
    abortSignal,
  });
  return DBClusters?.[0] && describeCluster(DBClusters[0]);
}

const NOT_FOUND = new Set(['DBInstanceNotFoundFault', 'DBInstanceNotFound', 'DBClusterNotFoundFault']);

function within(deadline: Deadline): AbortSignal {
  return AbortSignal.timeout(Math.min(CALL_MS, deadline.remainingMs()));
}

function accessDenied({ kind, id }: DatabaseResource, said: string, action?: string): RekeyError {
  const right = kind === 'instance' ? 'rds:DescribeDBInstances' : 'rds:DescribeDBClusters';
  return new RekeyError(
    'RDS_ACCESS_DENIED',
    `asked for ${kind} ${id}: ${said}`,
    action ??
      `Give the function's role ${right} on ${kind} ${id}: add its ARN to databaseArns of the secret and deploy.`,
  );
}

function describeInstance(of: DBInstance): DatabaseDescription | undefined {
  const { DBInstanceArn: arn, Engine: engine } = of;
  // Two of them without an ARN would pass for one and the same.
  if (!arn || !engine) return undefined;
  return {
    arn,
    engine,
    endpoints: addresses([of.Endpoint?.Address], of.Endpoint?.Port),
    partOf:
      resource('cluster', of.DBClusterIdentifier) ??
      resource('instance', of.ReadReplicaSourceDBInstanceIdentifier) ??
      resource('cluster', of.ReadReplicaSourceDBClusterIdentifier),
  };
}

function describeCluster(of: DBCluster): DatabaseDescription | undefined {
  const { DBClusterArn: arn, Engine: engine } = of;
  if (!arn || !engine) return undefined;
  return {
    arn,
    engine,
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
