import {
  CreateSecretCommand,
  DeleteResourcePolicyCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  type Filter,
  GetRandomPasswordCommand,
  type GetRandomPasswordCommandInput,
  GetResourcePolicyCommand,
  ListSecretsCommand,
  PutResourcePolicyCommand,
  PutSecretValueCommand,
  RestoreSecretCommand,
  RotateSecretCommand,
  TagResourceCommand,
  UntagResourceCommand,
  UpdateSecretCommand,
  UpdateSecretVersionStageCommand,
  ValidateResourcePolicyCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { ACCOUNT, type Bench, DAY_MS, FUNCTION_ARN, newToken, readValue, startBench } from './secrets-manager-bench.ts';

/** In brackets: the statement of the API reference ("API") or reference study that a test rests on. */

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.close());

const first = newToken();

async function create(Name = 'app/db', extra: object = {}): Promise<string> {
  const command = new CreateSecretCommand({ Name, ClientRequestToken: first, SecretString: 'one', ...extra });
  return (await bench.client.send(command)).ARN ?? '';
}

const describeSecret = (SecretId = 'app/db') => bench.client.send(new DescribeSecretCommand({ SecretId }));

describe('DeleteSecret', () => {
  test('without a window schedules the deletion for 30 days later [API DeleteSecret, RecoveryWindowInDays]', async () => {
    await create();
    const answer = await bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db' }));
    const expected = new Date(bench.clock.nowMs + 30 * DAY_MS);
    expect(answer.DeletionDate).toEqual(expected);
    expect((await describeSecret()).DeletedDate).toEqual(expected);
  });

  test.each([6, 31])('refuses a window of %i days [API DeleteSecret, RecoveryWindowInDays]', async (days) => {
    await create();
    const command = new DeleteSecretCommand({ SecretId: 'app/db', RecoveryWindowInDays: days });
    await expect(bench.client.send(command)).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test('refuses a window together with force [API DeleteSecret, ForceDeleteWithoutRecovery]', async () => {
    await create();
    const both = { RecoveryWindowInDays: 7, ForceDeleteWithoutRecovery: true };
    await expect(bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db', ...both }))).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
  });

  test('makes every use an InvalidRequestException [API, InvalidRequestException: scheduled for deletion]', async () => {
    await create();
    await bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db' }));
    const SecretId = 'app/db';
    const uses = [
      () => readValue(bench.client, SecretId),
      () => bench.client.send(new PutSecretValueCommand({ SecretId, SecretString: 'two' })),
      () => bench.client.send(new UpdateSecretCommand({ SecretId, Description: 'x' })),
      () => bench.client.send(new RotateSecretCommand({ SecretId, RotationLambdaARN: FUNCTION_ARN })),
      () =>
        bench.client.send(new UpdateSecretVersionStageCommand({ SecretId, VersionStage: 'x', MoveToVersionId: first })),
      () => bench.client.send(new TagResourceCommand({ SecretId, Tags: [{ Key: 'a', Value: 'b' }] })),
      () => bench.client.send(new DeleteSecretCommand({ SecretId })),
    ];
    for (const use of uses) await expect(use()).rejects.toMatchObject({ name: 'InvalidRequestException' });
  });

  test('keeps the name taken until the end of the window [API CreateSecret, InvalidRequestException]', async () => {
    await create();
    await bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db', RecoveryWindowInDays: 7 }));
    await expect(create()).rejects.toMatchObject({ name: 'InvalidRequestException' });
    bench.clock.nowMs += 7 * DAY_MS;
    await expect(describeSecret()).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
    await create();
  });

  test('by force frees the name at once, and gives it another ARN [API DeleteSecret, ForceDelete…]', async () => {
    const before = await create();
    await bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db', ForceDeleteWithoutRecovery: true }));
    expect(await create()).not.toBe(before);
    await expect(describeSecret(before)).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  test('by force succeeds when there is no such secret [API DeleteSecret, ForceDeleteWithoutRecovery]', async () => {
    const command = new DeleteSecretCommand({ SecretId: 'missing', ForceDeleteWithoutRecovery: true });
    expect(await bench.client.send(command)).toMatchObject({ Name: 'missing' });
  });
});

describe('RestoreSecret', () => {
  test('makes the secret usable again [API RestoreSecret, Description]', async () => {
    await create();
    await bench.client.send(new DeleteSecretCommand({ SecretId: 'app/db' }));
    await bench.client.send(new RestoreSecretCommand({ SecretId: 'app/db' }));
    expect(await readValue(bench.client, 'app/db')).toBe('one');
    expect((await describeSecret()).DeletedDate).toBeUndefined();
  });
});

describe('tags', () => {
  const tag = (Tags: { Key: string; Value: string }[]) =>
    bench.client.send(new TagResourceCommand({ SecretId: 'app/db', Tags }));

  test('are appended, and replaced by key [API TagResource, Description]', async () => {
    await create('app/db', { Tags: [{ Key: 'team', Value: 'a' }] });
    await tag([
      { Key: 'team', Value: 'b' },
      { Key: 'rekey:strategy', Value: 'auto' },
    ]);
    expect((await describeSecret()).Tags).toEqual([
      { Key: 'team', Value: 'b' },
      { Key: 'rekey:strategy', Value: 'auto' },
    ]);
  });

  test('are removed by key, with regard to case [API CreateSecret, Tags: case sensitive]', async () => {
    await create('app/db', { Tags: [{ Key: 'team', Value: 'a' }] });
    await bench.client.send(new UntagResourceCommand({ SecretId: 'app/db', TagKeys: ['Team'] }));
    expect((await describeSecret()).Tags).toHaveLength(1);
    await bench.client.send(new UntagResourceCommand({ SecretId: 'app/db', TagKeys: ['team'] }));
    expect((await describeSecret()).Tags).toBeUndefined();
  });

  test('are 50 at most [Secrets Manager quotas, Tags]', async () => {
    await create();
    const fifty = Array.from({ length: 50 }, (_, index) => ({ Key: `key-${index}`, Value: '' }));
    await tag(fifty);
    await expect(tag([{ Key: 'one-more', Value: '' }])).rejects.toMatchObject({ name: 'InvalidParameterException' });
    await tag([{ Key: 'key-0', Value: 'changed' }]);
  });

  test.each([
    [{ Key: 'aws:created', Value: '' }],
    [{ Key: '', Value: '' }],
    [{ Key: 'k'.repeat(129), Value: '' }],
    [{ Key: 'k', Value: 'v'.repeat(257) }],
  ])('refuses %j [API Tag; Secrets Manager quotas, reserved prefix]', async (wrong) => {
    await create();
    await expect(tag([wrong])).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });
});

describe('ListSecrets', () => {
  const list = async (...Filters: Filter[]) => {
    const answer = await bench.client.send(new ListSecretsCommand({ Filters, SortBy: 'name', SortOrder: 'asc' }));
    return answer.SecretList?.map(({ Name }) => Name);
  };

  beforeEach(async () => {
    await create('app/db', { Tags: [{ Key: 'rekey:strategy', Value: 'single-user' }], Description: 'Orders database' });
    await create('app/db-2', { Tags: [{ Key: 'team', Value: 'orders' }] });
    await create('other');
  });

  test('without filters answers all [API ListSecrets, Description]', async () => {
    expect(await list()).toEqual(['app/db', 'app/db-2', 'other']);
  });

  test.each<[Filter, string[]]>([
    [{ Key: 'name', Values: ['app/db'] }, ['app/db', 'app/db-2']],
    [{ Key: 'name', Values: ['APP'] }, []],
    [{ Key: 'name', Values: ['db'] }, []],
    [{ Key: 'name', Values: ['!app'] }, ['other']],
    [{ Key: 'name', Values: ['other', 'app/db-'] }, ['app/db-2', 'other']],
    [{ Key: 'tag-key', Values: ['rekey:'] }, ['app/db']],
    [{ Key: 'tag-value', Values: ['orders'] }, ['app/db-2']],
    [{ Key: 'description', Values: ['orders'] }, ['app/db']],
    [{ Key: 'all', Values: ['ORDERS'] }, ['app/db', 'app/db-2']],
  ])('filters by %j [API Filter, Key and Values]', async (filter, expected) => {
    expect(await list(filter)).toEqual(expected);
  });

  test('answers what all filters match [API ListSecrets, Filters]', async () => {
    expect(await list({ Key: 'name', Values: ['app'] }, { Key: 'tag-key', Values: ['team'] })).toEqual(['app/db-2']);
  });

  test('leaves out what is scheduled for deletion [API ListSecrets, IncludePlannedDeletion]', async () => {
    await bench.client.send(new DeleteSecretCommand({ SecretId: 'other' }));
    expect(await list()).toEqual(['app/db', 'app/db-2']);
    const all = await bench.client.send(new ListSecretsCommand({ IncludePlannedDeletion: true }));
    expect(all.SecretList).toHaveLength(3);
  });

  test('is paged [API ListSecrets, NextToken]', async () => {
    const names: (string | undefined)[] = [];
    let NextToken: string | undefined;
    do {
      const page = await bench.client.send(new ListSecretsCommand({ MaxResults: 1, NextToken }));
      names.push(...(page.SecretList ?? []).map(({ Name }) => Name));
      NextToken = page.NextToken;
    } while (NextToken !== undefined);
    expect(names.toSorted()).toEqual(['app/db', 'app/db-2', 'other']);
  });

  test('answers labels and tags but no value [API SecretListEntry]', async () => {
    const answer = await bench.client.send(
      new ListSecretsCommand({ Filters: [{ Key: 'tag-key', Values: ['rekey:'] }] }),
    );
    expect(answer.SecretList).toMatchObject([
      {
        Name: 'app/db',
        SecretVersionsToStages: { [first]: ['AWSCURRENT'] },
        Tags: [{ Key: 'rekey:strategy', Value: 'single-user' }],
      },
    ]);
    expect(JSON.stringify(answer)).not.toContain('"one"');
  });
});

describe('GetRandomPassword', () => {
  const password = async (input: GetRandomPasswordCommandInput = {}) =>
    (await bench.client.send(new GetRandomPasswordCommand(input))).RandomPassword ?? '';

  test('has 32 characters with one of each type [API GetRandomPassword, PasswordLength and RequireEach…]', async () => {
    const made = await password();
    expect(made).toHaveLength(32);
    for (const type of [/[a-z]/, /[A-Z]/, /[0-9]/, /[^a-zA-Z0-9 ]/]) expect(made).toMatch(type);
  });

  test('leaves out what is excluded [API GetRandomPassword, ExcludeCharacters]', async () => {
    const made = await password({ PasswordLength: 2000, ExcludeCharacters: '/@"\'\\', ExcludeNumbers: true });
    expect(made).toHaveLength(2000);
    expect(made).not.toMatch(/[/@"'\\0-9]/);
  });

  test('cannot hold each type in three characters [API GetRandomPassword, RequireEachIncludedType]', async () => {
    await expect(password({ PasswordLength: 3 })).rejects.toMatchObject({ name: 'InvalidParameterException' });
    expect(await password({ PasswordLength: 3, RequireEachIncludedType: false })).toHaveLength(3);
  });

  test('needs something to be left [API GetRandomPassword, InvalidParameterException]', async () => {
    const nothing = { ExcludeNumbers: true, ExcludePunctuation: true, ExcludeUppercase: true, ExcludeLowercase: true };
    await expect(password(nothing)).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });
});

describe('a resource policy', () => {
  const policy = (Principal: unknown) =>
    JSON.stringify({
      Version: '2012-10-17',
      Statement: [{ Effect: 'Allow', Principal, Action: 'secretsmanager:*', Resource: '*' }],
    });
  const put = (ResourcePolicy: string, BlockPublicPolicy = true) =>
    bench.client.send(new PutResourcePolicyCommand({ SecretId: 'app/db', ResourcePolicy, BlockPublicPolicy }));
  const read = async () =>
    (await bench.client.send(new GetResourcePolicyCommand({ SecretId: 'app/db' }))).ResourcePolicy;

  test('is kept as it was put, until it is deleted [API Put-, Get- and DeleteResourcePolicy]', async () => {
    await create();
    const ofAccount = policy({ AWS: `arn:aws:iam::${ACCOUNT}:root` });
    await put(ofAccount);
    expect(await read()).toBe(ofAccount);
    await bench.client.send(new DeleteResourcePolicyCommand({ SecretId: 'app/db' }));
    expect(await read()).toBeUndefined();
  });

  test('for everybody is refused on request [API PutResourcePolicy, BlockPublicPolicy]', async () => {
    await create();
    await expect(put(policy('*'))).rejects.toMatchObject({ name: 'PublicPolicyException' });
    await put(policy('*'), false);
    const validate = new ValidateResourcePolicyCommand({ ResourcePolicy: policy({ AWS: '*' }) });
    expect(await bench.client.send(validate)).toMatchObject({ PolicyValidationPassed: false });
  });

  test.each(['not json', '[]', '"text"', '{}'])(
    '%s is malformed [API, MalformedPolicyDocumentException]',
    async (text) => {
      await create();
      await expect(put(text)).rejects.toMatchObject({ name: 'MalformedPolicyDocumentException' });
    },
  );
});

describe('a secret of another service', () => {
  test('says so, can be read, and cannot be changed [API, InvalidRequestException: managed by another]', async () => {
    await create('rds!db-1');
    bench.service.setOwningService('rds!db-1', 'rds');
    expect(await describeSecret('rds!db-1')).toMatchObject({ OwningService: 'rds' });
    expect(await readValue(bench.client, 'rds!db-1')).toBe('one');
    await expect(
      bench.client.send(new PutSecretValueCommand({ SecretId: 'rds!db-1', SecretString: 'two' })),
    ).rejects.toMatchObject({ name: 'InvalidRequestException' });
    for (const ForceDeleteWithoutRecovery of [false, true])
      await expect(
        bench.client.send(new DeleteSecretCommand({ SecretId: 'rds!db-1', ForceDeleteWithoutRecovery })),
      ).rejects.toMatchObject({ name: 'InvalidRequestException' });
  });
});
