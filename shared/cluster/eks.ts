import { type Cluster, DescribeClusterCommand, EKSClient, ResourceNotFoundException } from '@aws-sdk/client-eks';
import { AWS_CLIENT } from '../operations/aws-client.ts';
import { awsFailure } from '../operations/aws-failure.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { assumedRole, type ForeignRole } from './assumed-role.ts';
import { eksTokens } from './eks-token.ts';
import type { ClusterAccess } from './port.ts';

/** How long an endpoint and its authority are taken for granted. EKS changes them when a cluster is made anew. */
const ENDPOINT_FOR_MS = 10 * 60_000;

/** Of one call: DescribeCluster answers in well under a second. */
const CALL_MS = 5_000;

type Endpoint = Awaited<ReturnType<ClusterAccess['endpoint']>>;

/** An EKS cluster, in any account and Region. */
export interface EksCluster {
  /** What Rekey calls it in events and errors; no two have the same. */
  readonly name: string;
  readonly region: string;
  /** Its name in EKS, where that is another one: clusters of two accounts may be called alike. */
  readonly eksName?: string | undefined;
  /** Set for a cluster of another account. */
  readonly role?: ForeignRole | undefined;
}

/** The way into an EKS cluster: DescribeCluster says where it is, a token signed by our role says who we are. */
export function createEksAccess(
  { name, region, eksName = name, role }: EksCluster,
  clock: Pick<Clock, 'now'>,
  client: Pick<EKSClient, 'send' | 'config'> = new EKSClient({
    ...AWS_CLIENT,
    region,
    ...(role && { credentials: assumedRole(name, role) }),
  }),
): ClusterAccess {
  let known: { readonly endpoint: Endpoint; readonly untilMs: number } | undefined;
  const tokens = eksTokens({ name: eksName, region }, (options) => client.config.credentials(options), clock);
  return {
    name,
    region,

    async endpoint(deadline) {
      if (known === undefined || clock.now() >= known.untilMs)
        known = { endpoint: endpointOf(name, await describe(deadline)), untilMs: clock.now() + ENDPOINT_FOR_MS };
      return known.endpoint;
    },

    async bearerToken(renew) {
      try {
        return await tokens(renew);
      } catch (error) {
        if (error instanceof RekeyError) throw error;
        throw new RekeyError(
          'CLUSTER_ACCESS_DENIED',
          `cluster "${name}": the function has no credentials to sign with`,
        );
      }
    },
  };

  async function describe(deadline: Deadline): Promise<Cluster | undefined> {
    deadline.require(1_000, `describing cluster "${name}"`);
    const abortSignal = AbortSignal.timeout(Math.min(CALL_MS, deadline.remainingMs()));
    try {
      return (await client.send(new DescribeClusterCommand({ name: eksName }), { abortSignal })).cluster;
    } catch (error) {
      throw translated(name, region, error);
    }
  }
}

function endpointOf(name: string, cluster: Cluster | undefined): Endpoint {
  const { endpoint, certificateAuthority, status } = cluster ?? {};
  // While it is being made, a cluster has neither.
  if (endpoint === undefined || certificateAuthority?.data === undefined)
    throw new RekeyError('CLUSTER_UNREACHABLE', `cluster "${name}" has no endpoint (its status is ${status})`);
  return {
    url: endpoint,
    certificateAuthority: Buffer.from(certificateAuthority.data, 'base64').toString('utf8'),
  };
}

function translated(name: string, region: string, error: unknown): RekeyError {
  // The client asks for the role's session first.
  if (error instanceof RekeyError) return error;
  if (error instanceof ResourceNotFoundException)
    return new RekeyError('CLUSTER_NOT_FOUND', `there is no cluster "${name}" in ${region}`);
  const kind = error instanceof Error ? error.name : 'an unknown error';
  const what = `eks:DescribeCluster on "${name}" failed: ${kind}`;
  return kind === 'AccessDeniedException'
    ? new RekeyError('CLUSTER_ACCESS_DENIED', what, "Give the function's role eks:DescribeCluster on this cluster.")
    : new RekeyError('CLUSTER_UNREACHABLE', what, awsFailure(error).action);
}
