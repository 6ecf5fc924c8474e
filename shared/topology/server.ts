import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { type Address, type DatabaseResource, type DatabaseTopology, sameAddress } from './port.ts';

/** What replicates from one writer: an instance or cluster, with the members and replicas that were come across. */
export interface DatabaseServer {
  /** Of the instance or cluster that takes the writes. */
  readonly arn: string;
  readonly engine: string;
  readonly writer: Address;
  readonly endpoints: readonly Address[];
}

/** RDS chains at most three replicas behind a source (RDS User Guide, "cascading read replicas"), one more for a member. */
const MAX_STEPS = 5;

/**
 * Follows an instance or cluster to what takes its writes: a member to its cluster, a replica to its source.
 * @returns undefined where the topology does not know it
 * @throws RekeyError as {@link DatabaseTopology.describe}; RDS_UNAVAILABLE while the writer has no endpoint yet
 */
export async function serverOf(
  resource: DatabaseResource,
  topology: DatabaseTopology,
  deadline: Deadline,
): Promise<DatabaseServer | undefined> {
  const endpoints: Address[] = [];
  let next = resource;
  for (let step = 1; step <= MAX_STEPS; step += 1) {
    const found = await topology.describe(next, deadline);
    if (!found) return undefined;
    endpoints.push(...found.endpoints);
    if (found.partOf === undefined) {
      const [writer] = found.endpoints;
      if (!writer) throw new RekeyError('RDS_UNAVAILABLE', `${found.arn} has no endpoint yet`);
      return { arn: found.arn, engine: found.engine, writer, endpoints };
    }
    // The source of a replica is given as an ARN when it is in another Region, where nobody here can be asked.
    if (found.partOf.id.startsWith('arn:')) return undefined;
    next = found.partOf;
  }
  return undefined;
}

/** The server that answers at an address, as far as the topology vouches for it. Other hosts are not asked about. */
export async function serverAt(
  address: Address,
  topology: DatabaseTopology,
  deadline: Deadline,
): Promise<DatabaseServer | undefined> {
  const resource = resourceNamedIn(address.host);
  const server = resource && (await serverOf(resource, topology, deadline));
  return server && leadsTo(server, address) ? server : undefined;
}

/** The server that both addresses lead to, if the topology vouches for that. */
export async function serverOfBoth(
  one: Address,
  other: Address,
  topology: DatabaseTopology,
  deadline: Deadline,
): Promise<DatabaseServer | undefined> {
  const first = await serverAt(one, topology, deadline);
  if (first && leadsTo(first, other)) return first;
  // A custom endpoint does not carry its cluster's name: it is found from the other side alone.
  const second = await serverAt(other, topology, deadline);
  return second && (leadsTo(second, one) || second.arn === first?.arn) ? second : undefined;
}

export function leadsTo(server: DatabaseServer, address: Address): boolean {
  return server.endpoints.some((known) => sameAddress(known, address));
}

/**
 * What to ask about, going by how RDS makes names: `orders.<id>.<Region>.rds.amazonaws.com` for an instance,
 * `orders.cluster-<id>.…` and `orders.cluster-ro-<id>.…` for a cluster (Aurora User Guide, "Amazon Aurora endpoint
 * connections"). It is a guess: only an answer with this very address makes it true.
 */
function resourceNamedIn(host: string): DatabaseResource | undefined {
  const [id = '', place = '', ...rest] = host.toLowerCase().split('.');
  const kind = /^(cluster-(?:ro-)?)?[a-z0-9]+$/.exec(place);
  if (!kind || !rest.includes('rds') || !/^[a-z][a-z0-9-]{0,62}$/.test(id)) return undefined;
  return { kind: kind[1] === undefined ? 'instance' : 'cluster', id };
}

/**
 * `orders.cluster-custom-<id>.…` leads to whichever members its maker chose, readers among them, and carries no name
 * of its cluster (Aurora User Guide, "Custom endpoints").
 */
export const isCustomEndpoint = (host: string): boolean => /^[^.]+\.cluster-custom-[^.]+\..*\brds\b/i.test(host);
