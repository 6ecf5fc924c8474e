import { RDSClient } from '@aws-sdk/client-rds';
import {
  CreateSecretCommand,
  GetSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock as clock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { asRekeyError } from '../../../shared/operations/errors.ts';
import { retire } from '../../../shared/rotation/retire.ts';
import { runStep, type StepOutcome } from '../../../shared/rotation/steps.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { createSecretsManagerStore } from '../../../shared/secrets/secrets-manager.ts';
import { createRdsTopology } from '../../../shared/topology/rds.ts';
import { createRds } from '../../sandbox/aws/rds.ts';
import { createSecretsManager, type SecretsManager } from '../../sandbox/aws/secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from '../../sandbox/aws/server.ts';
import { createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';
import { stepIn } from './step-in.ts';

/**
 * A real PostgreSQL that goes by two names of this machine, which the simulated RDS vouches for: `localhost` is the
 * instance's endpoint and the cluster's writer, 127.0.0.1 its reader.
 */

const PLACE = { accountId: '111122223333', region: 'eu-west-1' };
const FUNCTION_ARN = 'arn:aws:lambda:eu-west-1:111122223333:function:rotation';
const arnOf = (kind: string, id: string) => `arn:aws:rds:eu-west-1:111122223333:${kind}:${id}`;
const INSTANCE = { 'aws:rds:primaryDBInstanceArn': arnOf('db', 'orders') };
const CLUSTER = { 'aws:rds:primaryDBClusterArn': arnOf('cluster', 'fleet') };
const [WRITER, READER] = ['localhost', '127.0.0.1'];

let postgres: RealServer;
let secretsManager: SecretsManager;
let aws: AwsServer;
let person: SecretsManagerClient;
let rds: RDSClient;
let outcomes: StepOutcome['kind'][];
let failures: string[];
let secrets = 0;

const hosts = { allowLoopback: true, allowedSuffixes: [], authorities: new Map() };
const deps = () => ({
  store: createSecretsManagerStore(person),
  ...postgres.rekey,
  topology: createRdsTopology(() => rds),
  hosts,
  announcer: { announce: async () => true },
  clock,
  log: { info: () => {}, warn: () => {} },
  changedAt: new Map<string, number>(),
});

beforeAll(async () => {
  postgres = await startRealPostgres(18);
  secretsManager = createSecretsManager({
    ...PLACE,
    now: Date.now,
    publish: () => {},
    retry: { attempts: 0, delayMs: 0 },
    invokeRotation: async (functionArn, event) => {
      try {
        outcomes.push((await runStep(stepIn(event, functionArn), deps(), deadlineIn(30_000, clock))).kind);
      } catch (error) {
        failures.push(asRekeyError(error).code);
        throw error;
      }
    },
  });
  const { port } = postgres;
  const cluster = { Engine: 'aurora-postgresql', Endpoint: WRITER, ReaderEndpoint: READER, Port: port };
  const instance = { Engine: 'postgres', Endpoint: { Address: WRITER, Port: port } };
  aws = await startAwsServer({
    ...PLACE,
    services: [
      secretsManager,
      createRds({
        instances: [{ DBInstanceIdentifier: 'orders', DBInstanceArn: arnOf('db', 'orders'), ...instance }],
        clusters: [{ DBClusterIdentifier: 'fleet', DBClusterArn: arnOf('cluster', 'fleet'), ...cluster }],
      }),
    ],
  });
  const at = {
    endpoint: aws.endpoint,
    region: PLACE.region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  };
  person = new SecretsManagerClient(at);
  rds = new RDSClient(at);
});

afterAll(async () => {
  secretsManager.close();
  await secretsManager.idle();
  person.destroy();
  rds.destroy();
  await aws.close();
  await postgres.stop();
});

beforeEach(() => {
  outcomes = [];
  failures = [];
});

async function create(value: object, tags: Record<string, string> = {}): Promise<string> {
  secrets += 1;
  const { ARN = '' } = await person.send(
    new CreateSecretCommand({
      Name: `estate/secret-${secrets}`,
      SecretString: JSON.stringify(value),
      Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    }),
  );
  return ARN;
}

/** The secret that RDS makes for the master user of what the tags name. */
async function createManaged(tags: Record<string, string>): Promise<string> {
  const arn = await create(postgres.admin);
  secretsManager.setOwningService(arn, 'rds');
  for (const [key, value] of Object.entries(tags)) secretsManager.setSystemTag(arn, key, value);
  return arn;
}

/** An application with a user and a table, and its secret with the given administrator. */
async function createApp(host: string, masterarn: string): Promise<{ arn: string; username: string }> {
  const application = await createApplication(postgres, 'single-user');
  const account = await application.login(CURRENT);
  if (!account) throw new Error('the application has no login');
  const { username, password } = account;
  const arn = await create({ engine: 'postgres', host, port: postgres.port, username, password, masterarn });
  return { arn, username };
}

async function rotate(arn: string): Promise<void> {
  await person.send(
    new RotateSecretCommand({
      SecretId: arn,
      RotationLambdaARN: FUNCTION_ARN,
      RotationRules: { AutomaticallyAfterDays: 30 },
    }),
  );
  await secretsManager.idle();
}

async function login(arn: string, stage: string) {
  const { SecretString = '', VersionId = '' } = await person.send(
    new GetSecretValueCommand({ SecretId: arn, VersionStage: stage }),
  );
  return { versionId: VersionId, ...(JSON.parse(SecretString) as { username: string; password: string }) };
}

async function retireOf(arn: string) {
  const { versionId } = await login(arn, CURRENT);
  const previousVersionId = (await login(arn, PREVIOUS)).versionId;
  const request = {
    secretArn: arn,
    versionId,
    previousVersionId,
    consumersProved: true,
    pinnedUses: false,
    convergedAtMs: 0,
  };
  return await retire(
    request,
    { ...deps(), databases: [deps()], rotationFunctions: [FUNCTION_ARN] },
    deadlineIn(30_000, clock),
  );
}

const askedOfRds = () => aws.calls.filter(({ service }) => service === 'rds');

describe('an administrator whose secret RDS made', () => {
  test.each([
    ['an instance', WRITER, INSTANCE],
    ['a cluster, the application at its writer', WRITER, CLUSTER],
    ['a cluster, the application at its reader', READER, CLUSTER],
  ])('rotates on %s, and back again', async (_what, host, tags) => {
    const { arn, username } = await createApp(host, await createManaged(tags));
    for (const expected of [`${username}_clone`, username]) {
      outcomes = [];
      await rotate(arn);
      expect(failures).toEqual([]);
      expect(outcomes).toEqual(['created', 'set', 'tested', 'promoted']);
      const current = await login(arn, CURRENT);
      expect(current).toMatchObject({ username: expected, host });
      expect(await postgres.canRead(current)).toBe(true);
      expect(await postgres.canRead(await login(arn, PREVIOUS))).toBe(true);
    }
  });

  test('retires the previous user', async () => {
    const { arn, username } = await createApp(WRITER, await createManaged(INSTANCE));
    await rotate(arn);
    expect(await retireOf(arn)).toEqual({ kind: 'retired', user: username, engine: 'postgres' });
    expect(await postgres.canRead(await login(arn, PREVIOUS))).toBe(false);
    expect(await postgres.canRead(await login(arn, CURRENT))).toBe(true);
  });

  test('leaves the previous user alone whose sessions would be at a reader', async () => {
    const { arn } = await createApp(READER, await createManaged(CLUSTER));
    await rotate(arn);
    expect(await retireOf(arn)).toEqual({ kind: 'leftAlone', why: expect.stringContaining('sessions') });
    expect(await postgres.canRead(await login(arn, PREVIOUS))).toBe(true);
  });

  test('of an instance does not work for a host that RDS does not give it', async () => {
    const { arn, username } = await createApp(READER, await createManaged(INSTANCE));
    await rotate(arn);
    expect(failures).toEqual(['ADMIN_SECRET_INVALID']);
    expect((await login(arn, CURRENT)).username).toBe(username);
  });

  test('of an instance that is gone changes nothing', async () => {
    const managed = await createManaged({ 'aws:rds:primaryDBInstanceArn': arnOf('db', 'gone') });
    const { arn, username } = await createApp(WRITER, managed);
    await rotate(arn);
    expect(failures).toEqual(['RDS_DATABASE_NOT_FOUND']);
    expect((await login(arn, CURRENT)).username).toBe(username);
  });
});

test('an administrator at the host of the application is no reason to ask RDS', async () => {
  const before = askedOfRds().length;
  const at = { engine: 'postgres', host: WRITER, port: postgres.port };
  const { arn, username } = await createApp(
    WRITER,
    await create({ ...at, ...postgres.admin }, { 'rekey:admin-for': 'estate/' }),
  );
  await rotate(arn);
  expect((await login(arn, CURRENT)).username).toBe(`${username}_clone`);
  expect(askedOfRds().length).toBe(before);
});
