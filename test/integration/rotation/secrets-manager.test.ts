import {
  CreateSecretCommand,
  GetSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { runStep, type StepOutcome } from '../../../shared/rotation/steps.ts';
import { POSTGRES } from '../../../shared/secrets/engine-rules.ts';
import { createSecretsManagerStore } from '../../../shared/secrets/secrets-manager.ts';
import { createMemoryTopology } from '../../contract/fakes/topology.ts';
import { createSecretsManager, type SecretsManager } from '../../sandbox/aws/secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from '../../sandbox/aws/server.ts';
import { AwsError, type Fault } from '../../sandbox/aws/service.ts';
import { createFakeDatabase, type FakeDatabase } from '../../sandbox/fakes/database-engine.ts';
import { stepIn } from './step-in.ts';

/**
 * Secrets Manager (simulated, over the wire) runs the rotation as AWS does: its event, its order, its retries. The
 * database is in memory. Numbers are entries of the catalogue of bad input.
 */

const PLACE = { accountId: '123456789012', region: 'eu-central-1' };
const FUNCTION_ARN = 'arn:aws:lambda:eu-central-1:123456789012:function:rotation';

let service: SecretsManager;
let server: AwsServer;
let person: SecretsManagerClient;
let rekey: SecretsManagerClient;
let database: FakeDatabase;
let outcomes: StepOutcome['kind'][];
let announced: string[];
let arn: string;

async function start(testVersionHolds: 'nothing' | 'current value' = 'nothing') {
  database = createFakeDatabase('postgres');
  database.addUser('admin', { password: 'a', administers: true });
  database.addUser('app', { password: 'old', rights: ['read'] });
  outcomes = [];
  announced = [];
  service = createSecretsManager({
    ...PLACE,
    now: Date.now,
    publish: ({ detail }) => {
      if ('eventName' in detail) announced.push(String(detail['eventName']));
    },
    retry: { attempts: 2, delayMs: 1 },
    testVersionHolds,
    invokeRotation: async (functionArn, event) => {
      const outcome = await runStep(
        stepIn(event, functionArn),
        {
          store: createSecretsManagerStore(rekey),
          engine: database.engine,
          topology: createMemoryTopology(),
          rules: POSTGRES,
          hosts: { allowLoopback: false, allowedSuffixes: [], authorities: new Map() },
          announcer: { announce: async () => true },
          clock: systemClock,
          log: { info: () => {}, warn: () => {} },
          changedAt: new Map(),
        },
        deadlineIn(30_000, systemClock),
      );
      outcomes.push(outcome.kind);
    },
  });
  server = await startAwsServer({ ...PLACE, services: [service] });
  const at = { endpoint: server.endpoint, region: PLACE.region };
  person = new SecretsManagerClient({ ...at, credentials: { accessKeyId: 'person', secretAccessKey: 'x' } });
  // One attempt: the SDK's own retries would hide the faults that Rekey has to live with.
  rekey = new SecretsManagerClient({
    ...at,
    credentials: { accessKeyId: 'rekey', secretAccessKey: 'x' },
    maxAttempts: 1,
  });
  const base = { engine: 'postgres', host: 'db.example' };
  const masterarn = await create(
    'admin',
    { ...base, username: 'admin', password: 'a' },
    { 'rekey:admin-for': 'app/db' },
  );
  arn = await create('app/db', { ...base, username: 'app', password: 'old', masterarn });
}

async function stop() {
  service.close();
  await service.idle();
  person.destroy();
  rekey.destroy();
  await server.close();
}

async function create(name: string, value: object, tags: Record<string, string> = {}): Promise<string> {
  const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
  const { ARN = '' } = await person.send(
    new CreateSecretCommand({ Name: name, SecretString: JSON.stringify(value), Tags }),
  );
  return ARN;
}

async function rotate(immediately = true): Promise<void> {
  await person.send(
    new RotateSecretCommand({
      SecretId: arn,
      RotationLambdaARN: FUNCTION_ARN,
      RotationRules: { AutomaticallyAfterDays: 30 },
      RotateImmediately: immediately,
    }),
  );
  await service.idle();
}

async function current(): Promise<{ username: string; password: string }> {
  const { SecretString = '' } = await person.send(new GetSecretValueCommand({ SecretId: arn }));
  return JSON.parse(SecretString);
}

/** At this very moment, without a call of its own. */
function currentLogsIn(): boolean {
  const value = service.inspect(arn).versions.find(({ stages }) => stages.includes('AWSCURRENT'))?.value;
  const { username, password } = JSON.parse(value && 'SecretString' in value ? value.SecretString : '{}');
  return database.users.get(username)?.passwords.includes(password) ?? false;
}

describe('a rotation that Secrets Manager runs', () => {
  afterEach(stop);

  test('ends with the other user current, and again with the first one', async () => {
    await start();
    for (const username of ['app_clone', 'app']) {
      await rotate();
      expect((await current()).username).toBe(username);
      expect(currentLogsIn()).toBe(true);
    }
    expect(outcomes).toEqual(Array(2).fill(['created', 'set', 'tested', 'promoted']).flat());
    expect(announced).toEqual(['RotationStarted', 'RotationSucceeded', 'RotationStarted', 'RotationSucceeded']);
  });

  test.each(['nothing', 'current value'] as const)(
    '16: with RotateImmediately=false and a test version that holds %s, is a preflight',
    async (holds) => {
      await start(holds);
      await rotate(false);
      expect(outcomes).toEqual(['preflight']);
      expect(announced).toEqual(['TestRotationStarted', 'TestRotationSucceeded']);
      expect([...database.users.keys()]).toEqual(['admin', 'app']);
      expect(await current()).toMatchObject({ username: 'app', password: 'old' });
    },
  );
});

describe('one fault at any call to Secrets Manager', () => {
  beforeEach(() => start());
  afterEach(stop);

  const STALE = '47: stale';
  const faults: Record<string, Fault> = {
    '42: throttled': { kind: 'refuse', error: new AwsError('ThrottlingException', 'Rate exceeded') },
    '43: cut before it took effect': { kind: 'cut' },
    '43: cut after it took effect': { kind: 'lose-answer' },
    [STALE]: { kind: 'stale' },
  };

  test.each(Object.keys(faults))('%s: the rotation ends well, and AWSCURRENT logs in at every call', async (name) => {
    const isRead = (operation: string) => operation === 'DescribeSecret' || operation === 'GetSecretValue';
    for (let k = 1, struck = true; struck; k += 1) {
      struck = false;
      let calls = 0;
      let gaps = 0;
      server.inject(({ caller, operation }) => {
        if (!currentLogsIn()) gaps += 1;
        if (caller.accessKeyId !== 'rekey') return undefined;
        if (name === STALE && !isRead(operation)) return undefined;
        calls += 1;
        if (calls !== k) return undefined;
        struck = true;
        return faults[name];
      });
      const before = await current();
      await rotate();
      server.inject(undefined);
      expect({ k, current: (await current()).username }).not.toEqual({ k, current: before.username });
      expect({ k, logsIn: currentLogsIn(), gaps }).toEqual({ k, logsIn: true, gaps: 0 });
      if (!struck) expect(k).toBeGreaterThan(name === STALE ? 12 : 14);
    }
  });
});
