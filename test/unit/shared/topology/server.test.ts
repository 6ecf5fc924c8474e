import { beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import type { DatabaseResource } from '../../../../shared/topology/port.ts';
import { serverAt, serverOf, serverOfBoth } from '../../../../shared/topology/server.ts';
import { createMemoryTopology, type MemoryTopology } from '../../../contract/fakes/topology.ts';

const at = (name: string, port = 5432) => ({ host: `${name}.eu-west-1.rds.amazonaws.com`, port });
const arnOf = (kind: string, id: string) => `arn:aws:rds:eu-west-1:111122223333:${kind}:${id}`;
const instance = (id: string) => ({ kind: 'instance', id }) as const;
const cluster = (id: string) => ({ kind: 'cluster', id }) as const;

const WRITER = at('fleet.cluster-abc');
const READER = at('fleet.cluster-ro-abc');
const CUSTOM = at('reports.cluster-custom-abc');
const MEMBER = at('member.abc');

let topology: MemoryTopology;
const deadline = deadlineIn(60_000, systemClock);

function addInstance(id: string, partOf?: DatabaseResource) {
  topology.add(instance(id), { arn: arnOf('db', id), engine: 'postgres', endpoints: [at(`${id}.abc`)], partOf });
}

beforeEach(() => {
  topology = createMemoryTopology();
  topology.add(cluster('fleet'), {
    arn: arnOf('cluster', 'fleet'),
    engine: 'aurora-postgresql',
    endpoints: [WRITER, READER, CUSTOM],
    partOf: undefined,
  });
  addInstance('member', cluster('fleet'));
  addInstance('second', cluster('fleet'));
  addInstance('orders');
  addInstance('sibling', instance('orders'));
  addInstance('replica', instance('orders'));
  addInstance('cascaded', instance('replica'));
});

describe('the server behind an instance or cluster', () => {
  test.each([
    ['a cluster', cluster('fleet'), WRITER, arnOf('cluster', 'fleet')],
    ['a member of a cluster', instance('member'), WRITER, arnOf('cluster', 'fleet')],
    ['an instance alone', instance('orders'), at('orders.abc'), arnOf('db', 'orders')],
    ['a replica', instance('replica'), at('orders.abc'), arnOf('db', 'orders')],
    ['a replica of a replica', instance('cascaded'), at('orders.abc'), arnOf('db', 'orders')],
  ])('of %s takes writes where the topology says', async (_what, resource, writer, arn) => {
    expect(await serverOf(resource, topology, deadline)).toMatchObject({ writer, arn });
  });

  test('is unknown when the topology knows no such thing, or not its source', async () => {
    addInstance('orphan', instance('gone'));
    expect(await serverOf(instance('gone'), topology, deadline)).toBeUndefined();
    expect(await serverOf(instance('orphan'), topology, deadline)).toBeUndefined();
  });

  test('is not looked for in another Region', async () => {
    addInstance('far', instance('arn:aws:rds:us-east-1:111122223333:db:orders'));
    expect(await serverOf(instance('far'), topology, deadline)).toBeUndefined();
    expect(topology.asked).toEqual(['instance far']);
  });

  test('is unknown when replicas follow each other in a circle', async () => {
    addInstance('a', instance('b'));
    addInstance('b', instance('a'));
    expect(await serverOf(instance('a'), topology, deadline)).toBeUndefined();
  });

  test('is unavailable while it has no endpoint', async () => {
    topology.add(instance('unborn'), {
      arn: arnOf('db', 'unborn'),
      engine: 'postgres',
      endpoints: [],
      partOf: undefined,
    });
    await expect(serverOf(instance('unborn'), topology, deadline)).rejects.toMatchObject({ code: 'RDS_UNAVAILABLE' });
  });
});

describe('the server at an address', () => {
  test.each([WRITER, READER, MEMBER])('is found by the name %j', async (address) => {
    expect(await serverAt(address, topology, deadline)).toMatchObject({ arn: arnOf('cluster', 'fleet') });
  });

  test('is found whatever the case of the name', async () => {
    const address = { ...MEMBER, host: MEMBER.host.toUpperCase() };
    expect(await serverAt(address, topology, deadline)).toMatchObject({ arn: arnOf('cluster', 'fleet') });
  });

  test.each([
    ['a name that only begins like one', at('orders.xyz')],
    ['another Region', { host: 'orders.abc.us-east-1.rds.amazonaws.com', port: 5432 }],
    ['another port', at('orders.abc', 5433)],
    ['a domain of somebody else', { host: 'orders.abc.eu-west-1.rds.amazonaws.com.evil.example', port: 5432 }],
  ])('is not vouched for at %s', async (_what, address) => {
    expect(await serverAt(address, topology, deadline)).toBeUndefined();
  });

  test.each([
    'db.example',
    'localhost',
    'orders.example.com',
    'proxy.proxy-abc.eu-west-1.rds.amazonaws.com',
    'reports.cluster-custom-abc.eu-west-1.rds.amazonaws.com',
    'rds.amazonaws.com',
    '-.abc.eu-west-1.rds.amazonaws.com',
    '',
  ])('is not asked about for %j, whose name says nothing', async (host) => {
    expect(await serverAt({ host, port: 5432 }, topology, deadline)).toBeUndefined();
    expect(topology.asked).toEqual([]);
  });

  test('is found in China, where the names have another order', async () => {
    const host = 'cn.abc.rds.cn-north-1.amazonaws.com.cn';
    topology.add(instance('cn'), {
      arn: 'arn:aws-cn:rds:cn-north-1:111122223333:db:cn',
      engine: 'postgres',
      endpoints: [{ host, port: 5432 }],
      partOf: undefined,
    });
    expect(await serverAt({ host, port: 5432 }, topology, deadline)).toMatchObject({ writer: { host } });
  });
});

describe('two addresses', () => {
  const fleet = arnOf('cluster', 'fleet');
  const orders = arnOf('db', 'orders');

  test.each([
    ['writer and reader', WRITER, READER, fleet],
    ['writer and custom endpoint', WRITER, CUSTOM, fleet],
    ['writer and member', WRITER, MEMBER, fleet],
    ['two members', MEMBER, at('second.abc'), fleet],
    ['two replicas', at('replica.abc'), at('sibling.abc'), orders],
    ['member and custom endpoint', MEMBER, CUSTOM, fleet],
    ['source and replica', at('orders.abc'), at('replica.abc'), orders],
    ['source and replica of a replica', at('orders.abc'), at('cascaded.abc'), orders],
  ])('%s belong to one server, in either order', async (_what, one, other, arn) => {
    expect(await serverOfBoth(one, other, topology, deadline)).toMatchObject({ arn });
    expect(await serverOfBoth(other, one, topology, deadline)).toMatchObject({ arn });
  });

  test.each([
    ['of two servers', WRITER, at('orders.abc')],
    ['of which one is unknown', WRITER, at('nowhere.abc')],
    ['of which one is no name of RDS', WRITER, { host: 'db.example', port: 5432 }],
    ['of which both are unknown', at('nowhere.abc'), at('elsewhere.abc')],
    ['of one name and two ports', WRITER, { ...READER, port: 5433 }],
  ])('%s do not', async (_what, one, other) => {
    expect(await serverOfBoth(one, other, topology, deadline)).toBeUndefined();
    expect(await serverOfBoth(other, one, topology, deadline)).toBeUndefined();
  });
});
