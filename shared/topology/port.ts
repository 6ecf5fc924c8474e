import type { Deadline } from '../operations/deadline.ts';

/** A DNS name or IP address, and a port. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** DNS names are the same in any letters. */
export const sameAddress = (a: Address, b: Address): boolean =>
  a.host.toLowerCase() === b.host.toLowerCase() && a.port === b.port;

/** One instance or cluster of a managed database service. */
export interface DatabaseResource {
  readonly kind: 'instance' | 'cluster';
  /** Its identifier or its ARN. */
  readonly id: string;
}

/** What the service says of an instance or cluster. */
export interface DatabaseDescription {
  readonly arn: string;
  /** As in the JSON of a secret: `postgres`, `aurora-postgresql`, … */
  readonly engine: string;
  /** The one that takes writes comes first, unless this is part of something else. Empty while it is being made. */
  readonly endpoints: readonly Address[];
  /** The cluster that it is a member of, or what it is a read replica of. */
  readonly partOf: DatabaseResource | undefined;
}

/** Who knows which addresses lead to the same database server. */
export interface DatabaseTopology {
  /**
   * @returns undefined when there is no such instance or cluster in this account and Region
   * @throws RekeyError RDS_UNAVAILABLE, RDS_ACCESS_DENIED, RDS_REJECTED, DEADLINE_TOO_CLOSE
   */
  describe(resource: DatabaseResource, deadline: Deadline): Promise<DatabaseDescription | undefined>;
}
