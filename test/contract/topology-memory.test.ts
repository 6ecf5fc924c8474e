import { createMemoryTopology } from './fakes/topology.ts';
import { topologyContract } from './topology.ts';

topologyContract('memory', async (known) => {
  const topology = createMemoryTopology();
  for (const [resource, description] of known) topology.add(resource, description);
  return { topology, close: async () => {} };
});
