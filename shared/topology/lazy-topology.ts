import type { DatabaseTopology } from './port.ts';

/**
 * A topology that is loaded at its first question. Most secrets name their host and are never asked about, and the
 * client of RDS would be a tenth of every cold start.
 */
export function lazyTopology(load: () => Promise<DatabaseTopology>): DatabaseTopology {
  let loaded: Promise<DatabaseTopology> | undefined;
  return {
    async describe(resource, deadline) {
      loaded ??= load();
      return (await loaded).describe(resource, deadline);
    },
  };
}
