import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import type { DatabaseDescription, DatabaseResource, DatabaseTopology } from '../../shared/topology/port.ts';

type Known = readonly (readonly [DatabaseResource, DatabaseDescription])[];

export interface TopologyUnderTest {
  readonly topology: DatabaseTopology;
  close(): Promise<void>;
}

const port = 5432;
const at = (name: string) => ({ host: `${name}.eu-west-1.rds.amazonaws.com`, port });
const arnOf = (kind: string, id: string) => `arn:aws:rds:eu-west-1:111122223333:${kind}:${id}`;
const instance = (id: string) => ({ kind: 'instance', id }) as const;
const cluster = (id: string) => ({ kind: 'cluster', id }) as const;

const ORDERS: DatabaseDescription = {
  arn: arnOf('db', 'orders'),
  engine: 'postgres',
  endpoints: [at('orders.abc')],
  partOf: undefined,
};
const FLEET: DatabaseDescription = {
  arn: arnOf('cluster', 'fleet'),
  engine: 'aurora-postgresql',
  endpoints: [at('fleet.cluster-abc'), at('fleet.cluster-ro-abc'), at('reports.cluster-custom-abc')],
  partOf: undefined,
};
const KNOWN: Known = [
  [instance('orders'), ORDERS],
  [
    instance('orders-replica'),
    {
      ...ORDERS,
      arn: arnOf('db', 'orders-replica'),
      endpoints: [at('orders-replica.abc')],
      partOf: instance('orders'),
    },
  ],
  [
    instance('fleet-replica'),
    { ...ORDERS, arn: arnOf('db', 'fleet-replica'), endpoints: [at('fleet-replica.abc')], partOf: cluster('fleet') },
  ],
  [instance('unborn'), { ...ORDERS, arn: arnOf('db', 'unborn'), endpoints: [] }],
  [cluster('fleet'), FLEET],
  [cluster('unborn'), { ...FLEET, arn: arnOf('cluster', 'unborn'), endpoints: [] }],
];

/** What holds for every topology, real or in memory. */
export function topologyContract(name: string, start: (known: Known) => Promise<TopologyUnderTest>): void {
  describe(`the topology contract, ${name}`, () => {
    let under: TopologyUnderTest;
    beforeEach(async () => {
      under = await start(KNOWN);
    });
    afterEach(() => under.close());
    const ask = (resource: DatabaseResource) => under.topology.describe(resource, deadlineIn(30_000, systemClock));

    test.each(
      KNOWN.map(([resource, description]) => [`${resource.kind} ${resource.id}`, resource, description] as const),
    )('describes %s', async (_name, resource, description) => {
      expect(await ask(resource)).toEqual(description);
    });

    test('finds by ARN what it finds by identifier', async () => {
      expect(await ask(instance(ORDERS.arn))).toEqual(ORDERS);
      expect(await ask(cluster(FLEET.arn))).toEqual(FLEET);
    });

    test('finds an identifier in whatever case it is written', async () => {
      expect(await ask(instance('ORDERS'))).toEqual(ORDERS);
    });

    test('knows nothing of what is not there, nor of a cluster by the name of an instance', async () => {
      expect(await ask(instance('nowhere'))).toBeUndefined();
      expect(await ask(cluster('nowhere'))).toBeUndefined();
      expect(await ask(cluster('orders'))).toBeUndefined();
      expect(await ask(instance('fleet'))).toBeUndefined();
    });
  });
}
