import { beforeEach, describe, expect, test } from '@jest/globals';
import { type SecretStore, versionWithStage } from '../../../../shared/secrets/port.ts';
import { rememberVersions } from '../../../../shared/secrets/remembered-versions.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';
import { createMemorySecrets, type MemorySecrets } from '../../../contract/fakes/secret-store.ts';

const MINUTE = 60_000;

let nowMs: number;
let secrets: MemorySecrets;
let reads: string[];
let store: SecretStore;
let arn: string;
let version: string;

beforeEach(async () => {
  nowMs = 0;
  reads = [];
  secrets = createMemorySecrets(() => nowMs);
  const counted: SecretStore = {
    ...secrets.store,
    read(secretId, versionId) {
      reads.push(versionId);
      return secrets.store.read(secretId, versionId);
    },
  };
  store = rememberVersions(counted, { now: () => nowMs, sleep: async () => {} });
  arn = secrets.create('app/orders', 'first');
  version = versionWithStage(await store.describe(arn), 'AWSCURRENT') ?? '';
});

const textOf = async (versionId: string) => (await store.read(arn, versionId))?.value.expose();

describe('the value of a version', () => {
  test('is asked for once, however often it is read', async () => {
    expect([await textOf(version), await textOf(version)]).toEqual(['first', 'first']);
    expect(reads).toEqual([version]);
  });

  test('is asked for again while there is none', async () => {
    const pending = secrets.beginRotation(arn);
    expect(await textOf(pending)).toBeUndefined();

    await store.writeVersion({
      secretId: arn,
      versionId: pending,
      stage: 'AWSPENDING',
      value: new SecretValue('second'),
      rotationToken: undefined,
    });

    expect(await textOf(pending)).toBe('second');
    expect(reads).toEqual([pending, pending]);
  });

  test('is asked for again after a minute', async () => {
    await textOf(version);
    nowMs += MINUTE;
    await textOf(version);

    expect(reads).toEqual([version, version]);
  });

  test('is forgotten when another secret is read', async () => {
    const other = secrets.create('app/billing', 'theirs');
    const theirs = versionWithStage(await store.describe(other), 'AWSCURRENT') ?? '';
    await textOf(version);
    await store.read(other, theirs);
    await textOf(version);

    expect(reads).toEqual([version, theirs, version]);
  });

  test('is forgotten when AWSCURRENT moves, done or refused', async () => {
    await textOf(version);
    await expect(store.moveCurrent(arn, { from: 'another-version', to: version })).rejects.toMatchObject({
      code: 'CURRENT_MOVED',
    });
    await textOf(version);

    expect(reads).toEqual([version, version]);
  });
});

test('labels are asked for each time', async () => {
  const before = await store.describe(arn);
  const next = secrets.put(arn, 'by hand');
  const after = await store.describe(arn);

  expect(versionWithStage(before, 'AWSCURRENT')).toBe(version);
  expect(versionWithStage(after, 'AWSCURRENT')).toBe(next);
});
