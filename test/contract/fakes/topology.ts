import type { RekeyError } from '../../../shared/operations/errors.ts';
import type { DatabaseDescription, DatabaseResource, DatabaseTopology } from '../../../shared/topology/port.ts';

/** A topology in memory; empty, as for databases that are not on RDS, until something is added. */
export interface MemoryTopology extends DatabaseTopology {
  /** @param resource by its identifier; it is found by the ARN of its description too */
  add(resource: DatabaseResource, description: DatabaseDescription): void;
  /** Everything that was asked about, in order. */
  readonly asked: readonly string[];
  /** Thrown at every question while set. */
  failure: RekeyError | undefined;
}

export function createMemoryTopology(): MemoryTopology {
  const known: { readonly resource: DatabaseResource; readonly description: DatabaseDescription }[] = [];
  const asked: string[] = [];
  const topology: MemoryTopology = {
    asked,
    failure: undefined,
    add: (resource, description) => void known.push({ resource, description }),
    async describe({ kind, id }) {
      asked.push(`${kind} ${id}`);
      if (topology.failure !== undefined) throw topology.failure;
      return known.find(
        ({ resource, description }) =>
          resource.kind === kind && (resource.id.toLowerCase() === id.toLowerCase() || description.arn === id),
      )?.description;
    },
  };
  return topology;
}
