import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { AwsError, type Fault } from '../../sandbox/aws/service.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { type Bench, newToken, REGION, readValue, stagesOf, startBench } from './secrets-manager-bench.ts';

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
  await bench.client.send(new CreateSecretCommand({ Name: 'app/db', ClientRequestToken: first, SecretString: 'one' }));
});
afterEach(() => bench.close());

const first = newToken();
const second = newToken();

function put(token = second, client = bench.client, options: { readonly abortSignal?: AbortSignal } = {}) {
  const change = new PutSecretValueCommand({ SecretId: 'app/db', ClientRequestToken: token, SecretString: 'two' });
  return client.send(change, options);
}

/** The fault on the next call of the operation, and on none after it. */
function injectOnce(operation: string, fault: Fault): void {
  let isSpent = false;
  bench.server.inject((call) => {
    if (isSpent || call.operation !== operation) return undefined;
    isSpent = true;
    return fault;
  });
}

describe('a fault', () => {
  test('refuse answers the error, and nothing changes', async () => {
    const before = bench.service.inspect('app/db');
    injectOnce('PutSecretValue', { kind: 'refuse', error: new AwsError('AccessDeniedException', 'no', 400) });
    await expect(put()).rejects.toMatchObject({ name: 'AccessDeniedException', message: 'no' });
    expect(bench.service.inspect('app/db')).toBe(before);
  });

  test('refuse with ThrottlingException is one that the SDK tries again', async () => {
    const patient = new SecretsManagerClient({
      region: REGION,
      endpoint: bench.server.endpoint,
      credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' },
      maxAttempts: 3,
    });
    injectOnce('PutSecretValue', { kind: 'refuse', error: new AwsError('ThrottlingException', 'Rate exceeded', 400) });
    const answer = await put(second, patient);
    expect(answer.$metadata.attempts).toBe(2);
    patient.destroy();
  });

  test('cut ends the connection, and nothing changes', async () => {
    const before = bench.service.inspect('app/db');
    injectOnce('PutSecretValue', { kind: 'cut' });
    await expect(put()).rejects.toThrow('socket hang up');
    expect(bench.service.inspect('app/db')).toBe(before);
  });

  test('lose-answer ends the connection after the change', async () => {
    injectOnce('PutSecretValue', { kind: 'lose-answer' });
    await expect(put()).rejects.toThrow('socket hang up');
    expect(await readValue(bench.client, 'app/db')).toBe('two');
  });

  test('lose-answer is healed by sending the same token again', async () => {
    injectOnce('PutSecretValue', { kind: 'lose-answer' });
    await put().catch(() => undefined);
    expect(await put()).toMatchObject({ VersionId: second, VersionStages: ['AWSCURRENT'] });
    expect(bench.service.inspect('app/db').versions).toHaveLength(2);
  });

  test('stale answers a read from before the last write, once', async () => {
    await put();
    injectOnce('DescribeSecret', { kind: 'stale' });
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'] });
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSPREVIOUS'], [second]: ['AWSCURRENT'] });
  });

  test('stale does not find what was just created', async () => {
    injectOnce('GetSecretValue', { kind: 'stale' });
    await expect(readValue(bench.client, 'app/db')).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  test('stale is about each secret by itself', async () => {
    await put();
    await bench.client.send(new CreateSecretCommand({ Name: 'other', SecretString: 'x' }));
    injectOnce('GetSecretValue', { kind: 'stale' });
    expect(await readValue(bench.client, 'app/db')).toBe('one');
  });

  test('stale lets a write take effect on the present state', async () => {
    await put();
    injectOnce('PutSecretValue', { kind: 'stale' });
    await put(newToken());
    expect(bench.service.inspect('app/db').versions).toHaveLength(3);
  });

  test('slow answers later than a client waits, after the change', async () => {
    injectOnce('PutSecretValue', { kind: 'slow', milliseconds: 60_000 });
    const patience = new AbortController();
    const answer = expect(put(second, bench.client, { abortSignal: patience.signal })).rejects.toMatchObject({
      name: 'AbortError',
    });
    await eventually('the change', () => bench.service.inspect('app/db').versions.length > 1);
    patience.abort();

    await answer;
    expect(await readValue(bench.client, 'app/db')).toBe('two');
  });

  test('run calls back before or after the change', async () => {
    const seen: (number | undefined)[] = [];
    const action = () => {
      seen.push(bench.service.inspect('app/db').versions.length);
    };
    injectOnce('PutSecretValue', { kind: 'run', when: 'before', action });
    await put();
    injectOnce('PutSecretValue', { kind: 'run', when: 'after', action });
    await put(newToken());
    expect(seen).toEqual([1, 3]);
  });

  test('ends when the injector is taken away', async () => {
    bench.server.inject(() => ({ kind: 'cut' }));
    await expect(readValue(bench.client, 'app/db')).rejects.toBeDefined();
    bench.server.inject(undefined);
    expect(await readValue(bench.client, 'app/db')).toBe('one');
  });
});

describe('the record of calls', () => {
  test('has every call in order, also those that a fault kept from taking effect', async () => {
    injectOnce('GetSecretValue', { kind: 'cut' });
    await bench.client.send(new GetSecretValueCommand({ SecretId: 'app/db' })).catch(() => undefined);
    await bench.client.send(new DescribeSecretCommand({ SecretId: 'app/db' }));
    expect(bench.server.calls.map(({ operation, sequence }) => [operation, sequence])).toEqual([
      ['CreateSecret', 1],
      ['GetSecretValue', 2],
      ['DescribeSecret', 3],
    ]);
    expect(bench.server.calls[2]).toMatchObject({
      service: 'secretsmanager',
      input: { SecretId: 'app/db' },
      caller: { accessKeyId: 'AKIDEXAMPLE', region: REGION },
    });
  });
});
