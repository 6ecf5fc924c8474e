import { type DBCluster, type DBInstance, RDSClient } from '@aws-sdk/client-rds';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import type { DatabaseDescription, DatabaseResource, DatabaseTopology } from '../../shared/topology/port.ts';
import { createRdsTopology } from '../../shared/topology/rds.ts';
import { createRds, type RdsData } from '../sandbox/aws/rds.ts';
import { type AwsServer, startAwsServer } from '../sandbox/aws/server.ts';
import { AwsError, type Fault } from '../sandbox/aws/service.ts';
import { topologyContract } from './topology.ts';

const PLACE = { accountId: '111122223333', region: 'eu-west-1' };
const CREDENTIALS = { accessKeyId: 'test', secretAccessKey: 'test' };

async function startRds(data: RdsData) {
  const server = await startAwsServer({ ...PLACE, services: [createRds(data)] });
  const clients: RDSClient[] = [];
  const connect = (endpoint = server.endpoint) => {
    const client = new RDSClient({ endpoint, region: PLACE.region, credentials: CREDENTIALS, maxAttempts: 1 });
    clients.push(client);
    return client;
  };
  const close = async () => {
    for (const client of clients) client.destroy();
    await server.close();
  };
  return { server, connect, close };
}

/** As RDS spells it. */
function asInstance({ id }: DatabaseResource, { arn, engine, endpoints, partOf }: DatabaseDescription): DBInstance {
  const [endpoint] = endpoints;
  return {
    DBInstanceIdentifier: id,
    DBInstanceArn: arn,
    Engine: engine,
    ...(endpoint && { Endpoint: { Address: endpoint.host, Port: endpoint.port } }),
    ...(partOf?.kind === 'instance' && { ReadReplicaSourceDBInstanceIdentifier: partOf.id }),
    ...(partOf?.kind === 'cluster' && { ReadReplicaSourceDBClusterIdentifier: partOf.id }),
  };
}

function asCluster({ id }: DatabaseResource, { arn, engine, endpoints }: DatabaseDescription): DBCluster {
  const [writer, reader, ...custom] = endpoints;
  return {
    DBClusterIdentifier: id,
    DBClusterArn: arn,
    Engine: engine,
    Port: 5432,
    ...(writer && { Endpoint: writer.host }),
    ...(reader && { ReaderEndpoint: reader.host }),
    CustomEndpoints: custom.map(({ host }) => host),
  };
}

topologyContract('RDS (simulated, over the wire)', async (known) => {
  const ofKind = (kind: DatabaseResource['kind']) => known.filter(([resource]) => resource.kind === kind);
  const { connect, close } = await startRds({
    instances: ofKind('instance').map((each) => asInstance(...each)),
    clusters: ofKind('cluster').map((each) => asCluster(...each)),
  });
  return { topology: createRdsTopology(connect), close };
});

describe('RDS', () => {
  const MEMBER = {
    DBInstanceIdentifier: 'member',
    DBInstanceArn: 'arn:aws:rds:eu-west-1:111122223333:db:member',
    Engine: 'aurora-postgresql',
    Endpoint: { Address: 'member.abc.eu-west-1.rds.amazonaws.com', Port: 5432 },
    DBClusterIdentifier: 'fleet',
  };
  const member: DatabaseResource = { kind: 'instance', id: 'member' };
  let rds: Awaited<ReturnType<typeof startRds>>;
  let server: AwsServer;
  let topology: DatabaseTopology;

  beforeAll(async () => {
    const nameless = { Engine: 'postgres', Port: 5432 };
    rds = await startRds({
      instances: [MEMBER, { DBInstanceIdentifier: 'nameless', ...nameless }],
      clusters: [{ DBClusterIdentifier: 'nameless', ...nameless }],
    });
    server = rds.server;
    topology = createRdsTopology(rds.connect);
  });
  afterEach(() => server.inject(undefined));
  afterAll(() => rds.close());
  const ask = (of = topology, resource = member) => of.describe(resource, deadlineIn(30_000, systemClock));

  test('says of which cluster an instance is a member', async () => {
    expect(await ask()).toMatchObject({ partOf: { kind: 'cluster', id: 'fleet' } });
  });

  test.each(['instance', 'cluster'] as const)('vouches for no %s that it gives no ARN', async (kind) => {
    expect(await ask(topology, { kind, id: 'nameless' })).toBeUndefined();
  });

  test('is not connected to before the first question', async () => {
    let connections = 0;
    const lazy = createRdsTopology(() => {
      connections += 1;
      return rds.connect();
    });
    expect(connections).toBe(0);
    await ask(lazy);
    await ask(lazy);
    expect(connections).toBe(1);
  });

  test.each<[what: string, fault: Fault, code: string, retryable: boolean]>([
    ['a throttled call', refuse('Throttling', 400), 'RDS_UNAVAILABLE', true],
    ['a failure of the service', refuse('InternalFailure', 500), 'RDS_UNAVAILABLE', true],
    ['a connection that is cut', { kind: 'cut' }, 'RDS_UNAVAILABLE', true],
    ['a denied call', refuse('AccessDenied', 403), 'RDS_ACCESS_DENIED', false],
    ['56: a token that has expired', refuse('ExpiredTokenException', 403), 'RDS_UNAVAILABLE', true],
    ['56: the same, as Query APIs call it', refuse('ExpiredToken', 403), 'RDS_UNAVAILABLE', true],
    ['55: a request of a wrong clock', refuse('RequestExpired', 400), 'RDS_UNAVAILABLE', true],
    ['credentials that it does not know', refuse('InvalidClientTokenId', 403), 'RDS_ACCESS_DENIED', false],
    ['a request that it does not take', refuse('InvalidParameterValue', 400), 'RDS_REJECTED', false],
  ])('answers %s with a typed error that names what was asked for', async (_what, fault, code, retryable) => {
    server.inject(() => fault);
    await expect(ask()).rejects.toMatchObject({
      code,
      retryable,
      message: expect.stringContaining('instance member'),
    });
  });

  test.each([
    ['instance', 'rds:DescribeDBInstances on instance fleet'],
    ['cluster', 'rds:DescribeDBClusters on cluster fleet'],
  ] as const)('says which right is missing for a %s', async (kind, right) => {
    server.inject(() => refuse('AccessDenied', 403));
    await expect(ask(topology, { kind, id: 'fleet' })).rejects.toMatchObject({
      action: expect.stringContaining(right),
    });
  });

  test('that nobody reaches is unavailable', async () => {
    await expect(ask(createRdsTopology(() => rds.connect('http://127.0.0.1:1')))).rejects.toMatchObject({
      code: 'RDS_UNAVAILABLE',
    });
  });

  test('that does not answer is given up when the invocation has to end', async () => {
    const silent = createRdsTopology(
      () =>
        ({
          send: (_command: unknown, { abortSignal }: { abortSignal: AbortSignal }) =>
            new Promise<never>((_, reject) => {
              abortSignal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
            }),
        }) as never,
    );
    await expect(silent.describe(member, deadlineIn(2_600, systemClock))).rejects.toMatchObject({
      code: 'RDS_UNAVAILABLE',
    });
  });

  test('is not asked when no time is left', async () => {
    const calls = server.calls.length;
    await expect(topology.describe(member, deadlineIn(2_000, systemClock))).rejects.toMatchObject({
      code: 'DEADLINE_TOO_CLOSE',
    });
    expect(server.calls.length).toBe(calls);
  });
});

function refuse(code: string, status: number): Fault {
  return { kind: 'refuse', error: new AwsError(code, 'no', status) };
}
