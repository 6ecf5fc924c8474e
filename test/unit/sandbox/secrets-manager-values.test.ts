import {
  BatchGetSecretValueCommand,
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  ListSecretVersionIdsCommand,
  PutSecretValueCommand,
  UpdateSecretCommand,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  ACCOUNT,
  type Bench,
  DAY_MS,
  newToken,
  REGION,
  readValue,
  stagesOf,
  startBench,
} from './secrets-manager-bench.ts';

/** In brackets: the statement of the API reference ("API") that a test rests on. */

let bench: Bench;
beforeEach(async () => {
  bench = await startBench();
});
afterEach(() => bench.close());

const first = newToken();
const second = newToken();
const third = newToken();

async function create(value = 'one', name = 'app/db'): Promise<string> {
  const command = new CreateSecretCommand({ Name: name, ClientRequestToken: first, SecretString: value });
  return (await bench.client.send(command)).ARN ?? '';
}

function put(token: string, value: string, stages?: string[], id = 'app/db') {
  return bench.client.send(
    new PutSecretValueCommand({
      SecretId: id,
      ClientRequestToken: token,
      SecretString: value,
      ...(stages && { VersionStages: stages }),
    }),
  );
}

function move(stage: string, versions: { from?: string; to?: string }) {
  return bench.client.send(
    new UpdateSecretVersionStageCommand({
      SecretId: 'app/db',
      VersionStage: stage,
      RemoveFromVersionId: versions.from,
      MoveToVersionId: versions.to,
    }),
  );
}

describe('CreateSecret', () => {
  test('adds a hyphen and six random letters or digits to the name in the ARN [API CreateSecret, Name]', async () => {
    expect(await create()).toMatch(
      new RegExp(`^arn:aws:secretsmanager:${REGION}:${ACCOUNT}:secret:app/db-[A-Za-z0-9]{6}$`),
    );
  });

  test('labels the first version AWSCURRENT [API CreateSecret, Description]', async () => {
    await create();
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'] });
  });

  test('without a value makes no version [API CreateSecret, Description]', async () => {
    const answer = await bench.client.send(new CreateSecretCommand({ Name: 'empty' }));
    expect(answer.VersionId).toBeUndefined();
    await expect(readValue(bench.client, 'empty')).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  test('with the same token and value again answers the same version [API CreateSecret, ClientRequestToken]', async () => {
    const arn = await create();
    expect(await create()).toBe(arn);
  });

  test('with the same token and another value is refused [API CreateSecret, ClientRequestToken]', async () => {
    await create();
    await expect(create('other')).rejects.toMatchObject({ name: 'ResourceExistsException' });
  });

  test('of a name that exists is refused [API CreateSecret, ResourceExistsException]', async () => {
    await create();
    const again = new CreateSecretCommand({ Name: 'app/db', SecretString: 'one' });
    await expect(bench.client.send(again)).rejects.toMatchObject({ name: 'ResourceExistsException' });
  });

  test.each(['app db', 'app:db', 'äpp', 'app*', 'a\nb'])(
    'refuses the name %j [API CreateSecret, Name]',
    async (name) => {
      await expect(create('one', name)).rejects.toMatchObject({ name: 'ValidationException' });
    },
  );

  test.each(['', 'a'.repeat(513)])('refuses a name of a wrong length [API CreateSecret, Name]', async (name) => {
    await expect(create('one', name)).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });
});

describe('SecretId', () => {
  test('may be the name, the ARN, or the ARN without its suffix [user guide, Finding a secret from a partial ARN]', async () => {
    const arn = await create();
    for (const id of ['app/db', arn, arn.slice(0, -7)]) expect(await readValue(bench.client, id)).toBe('one');
  });

  test('does not match a part of a name [user guide, Finding a secret from a partial ARN]', async () => {
    const arn = await create();
    for (const id of ['app', 'app/d', arn.slice(0, -8), `${arn.slice(0, -6)}aaaaaa`, 'APP/DB'])
      await expect(readValue(bench.client, id)).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });

  test('of another region or account is not found [API, SecretId]', async () => {
    const arn = await create();
    for (const id of [arn.replace(REGION, 'us-east-1'), arn.replace(ACCOUNT, '999999999999')])
      await expect(readValue(bench.client, id)).rejects.toMatchObject({ name: 'ResourceNotFoundException' });
  });
});

describe('PutSecretValue', () => {
  test('without VersionStages moves AWSCURRENT, and AWSPREVIOUS after it [API PutSecretValue, VersionStages]', async () => {
    await create();
    await put(second, 'two');
    await put(third, 'three');
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [second]: ['AWSPREVIOUS'], [third]: ['AWSCURRENT'] });
  });

  test('with AWSPENDING leaves AWSCURRENT alone [API PutSecretValue, VersionStages]', async () => {
    await create();
    await put(second, 'two', ['AWSPENDING']);
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'], [second]: ['AWSPENDING'] });
  });

  test('takes a label away from the version that had it [API PutSecretValue, VersionStages]', async () => {
    await create();
    await put(second, 'two', ['canary']);
    await put(third, 'three', ['canary']);
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'], [third]: ['canary'] });
  });

  test('labels the first version AWSCURRENT whatever it names [API PutSecretValue, Description]', async () => {
    await bench.client.send(new CreateSecretCommand({ Name: 'app/db' }));
    await put(first, 'one', ['custom']);
    expect((await stagesOf(bench.client, 'app/db'))[first]?.toSorted()).toEqual(['AWSCURRENT', 'custom']);
  });

  test('of the same token and value changes nothing [API PutSecretValue, Description: idempotent]', async () => {
    await create();
    await put(second, 'two', ['AWSPENDING']);
    const before = bench.service.inspect('app/db');
    const answer = await put(second, 'two', ['AWSCURRENT']);
    expect(answer).toMatchObject({ VersionId: second, VersionStages: ['AWSPENDING'] });
    expect(bench.service.inspect('app/db')).toBe(before);
  });

  test('of the same token and another value is refused [API PutSecretValue, Description]', async () => {
    await create();
    await put(second, 'two', ['AWSPENDING']);
    const before = bench.service.inspect('app/db');
    await expect(put(second, 'other', ['AWSPENDING'])).rejects.toMatchObject({ name: 'ResourceExistsException' });
    expect(bench.service.inspect('app/db')).toBe(before);
  });

  test('keeps text and binary values apart [API PutSecretValue, SecretBinary]', async () => {
    await create();
    const bytes = Uint8Array.from([0, 1, 254, 255]);
    await bench.client.send(new PutSecretValueCommand({ SecretId: 'app/db', SecretBinary: bytes }));
    const answer = await bench.client.send(new GetSecretValueCommand({ SecretId: 'app/db' }));
    expect(answer.SecretString).toBeUndefined();
    expect(answer.SecretBinary).toEqual(bytes);
  });

  test('needs a value, and only one [API PutSecretValue, SecretString]', async () => {
    await create();
    await expect(bench.client.send(new PutSecretValueCommand({ SecretId: 'app/db' }))).rejects.toMatchObject({
      name: 'InvalidRequestException',
    });
    await expect(
      bench.client.send(
        new PutSecretValueCommand({ SecretId: 'app/db', SecretString: 'x', SecretBinary: Uint8Array.of(1) }),
      ),
    ).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test.each([31, 65])('refuses a token of %i characters [API PutSecretValue, ClientRequestToken]', async (length) => {
    await create();
    await expect(put('x'.repeat(length), 'two')).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test.each([32, 64])('takes a token of %i characters [API PutSecretValue, ClientRequestToken]', async (length) => {
    await create();
    expect(await put('x'.repeat(length), 'two')).toMatchObject({ VersionId: 'x'.repeat(length) });
  });

  test('takes 65536 bytes and refuses one more, counted in UTF-8 [API PutSecretValue, SecretString]', async () => {
    await create();
    const largest = 'é'.repeat(32_768);
    await put(second, largest);
    expect(await readValue(bench.client, 'app/db')).toBe(largest);
    await expect(put(third, `${largest}x`)).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test('refuses an empty value [API PutSecretValue, SecretString: at least 1]', async () => {
    await create();
    await expect(put(second, '')).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test('refuses more than 20 labels [API PutSecretValue, VersionStages]', async () => {
    await create();
    const labels = (count: number) => Array.from({ length: count }, (_, index) => `label-${index}`);
    await expect(put(second, 'two', labels(21))).rejects.toMatchObject({ name: 'InvalidParameterException' });
    await put(second, 'two', labels(20));
    await expect(move('one-more', { to: second })).rejects.toMatchObject({ name: 'LimitExceededException' });
  });

  test('refuses a malformed RotationToken [API PutSecretValue, RotationToken]', async () => {
    await create();
    const command = new PutSecretValueCommand({ SecretId: 'app/db', SecretString: 'x', RotationToken: 'too-short' });
    await expect(bench.client.send(command)).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });
});

describe('the limit of 100 versions', () => {
  test('refuses the 101st version of 24 hours [API PutSecretValue, Description]', async () => {
    await create();
    for (let count = 2; count <= 100; count += 1) await put(newToken(), `value ${count}`);
    await expect(put(newToken(), 'one too many')).rejects.toMatchObject({ name: 'LimitExceededException' });
  });

  test('drops the oldest version without labels once it is a day old [API PutSecretValue, Description]', async () => {
    await create();
    for (let count = 2; count <= 100; count += 1) await put(newToken(), `value ${count}`);
    bench.clock.nowMs += DAY_MS;
    await put(newToken(), 'the 101st');
    expect(bench.service.inspect('app/db').versions).toHaveLength(100);
    await expect(readValue(bench.client, 'app/db', { VersionId: first })).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
  });

  test('never drops a version with a label [API UpdateSecretVersionStage, Description: deprecated]', async () => {
    await create();
    await move('keep', { to: first });
    for (let count = 2; count <= 100; count += 1) await put(newToken(), `value ${count}`);
    bench.clock.nowMs += DAY_MS;
    await put(newToken(), 'the 101st');
    expect(await readValue(bench.client, 'app/db', { VersionStage: 'keep' })).toBe('one');
  });
});

describe('GetSecretValue', () => {
  test('answers AWSCURRENT when nothing else is asked for [API GetSecretValue, VersionStage]', async () => {
    const arn = await create();
    await put(second, 'two', ['AWSPENDING']);
    const answer = await bench.client.send(new GetSecretValueCommand({ SecretId: arn }));
    expect(answer).toMatchObject({ ARN: arn, Name: 'app/db', SecretString: 'one', VersionStages: ['AWSCURRENT'] });
    expect(answer.CreatedDate).toEqual(new Date(bench.clock.nowMs));
  });

  test('answers by version and by label [API GetSecretValue, VersionId and VersionStage]', async () => {
    await create();
    await put(second, 'two', ['AWSPENDING']);
    expect(await readValue(bench.client, 'app/db', { VersionId: second })).toBe('two');
    expect(await readValue(bench.client, 'app/db', { VersionStage: 'AWSPENDING' })).toBe('two');
  });

  test('refuses a version and a label that disagree [API GetSecretValue, VersionId]', async () => {
    await create();
    await put(second, 'two', ['AWSPENDING']);
    await expect(
      readValue(bench.client, 'app/db', { VersionId: second, VersionStage: 'AWSCURRENT' }),
    ).rejects.toMatchObject({ name: 'InvalidRequestException' });
  });

  test('still answers a version without labels [API UpdateSecretVersionStage, Description: deprecated]', async () => {
    await create();
    await put(second, 'two');
    await put(third, 'three');
    expect(await readValue(bench.client, 'app/db', { VersionId: first })).toBe('one');
  });

  test('of a label that no version has is not found [API GetSecretValue, ResourceNotFoundException]', async () => {
    await create();
    await expect(readValue(bench.client, 'app/db', { VersionStage: 'AWSPENDING' })).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: "Secrets Manager can't find the specified secret value for staging label: AWSPENDING",
    });
  });

  test('sets LastAccessedDate to the day [API DescribeSecret, LastAccessedDate]', async () => {
    await create();
    const describe = new DescribeSecretCommand({ SecretId: 'app/db' });
    expect((await bench.client.send(describe)).LastAccessedDate).toBeUndefined();
    await readValue(bench.client, 'app/db');
    expect((await bench.client.send(describe)).LastAccessedDate).toEqual(new Date(Date.UTC(2026, 0, 15)));
  });
});

describe('BatchGetSecretValue', () => {
  test('answers values, and an error for each that fails [API BatchGetSecretValue, Description]', async () => {
    await create();
    const answer = await bench.client.send(new BatchGetSecretValueCommand({ SecretIdList: ['app/db', 'missing'] }));
    expect(answer.SecretValues).toMatchObject([{ Name: 'app/db', SecretString: 'one' }]);
    expect(answer.Errors).toMatchObject([{ SecretId: 'missing', ErrorCode: 'ResourceNotFoundException' }]);
  });

  test('takes a list or filters, not both [API BatchGetSecretValue, Filters]', async () => {
    const both = { SecretIdList: ['app/db'], Filters: [{ Key: 'name' as const, Values: ['app'] }] };
    for (const input of [both, {}])
      await expect(bench.client.send(new BatchGetSecretValueCommand(input))).rejects.toMatchObject({
        name: 'InvalidParameterException',
      });
  });
});

describe('UpdateSecret', () => {
  test('with a value makes it AWSCURRENT [API UpdateSecret, Description]', async () => {
    await create();
    await bench.client.send(
      new UpdateSecretCommand({ SecretId: 'app/db', ClientRequestToken: second, SecretString: 'two' }),
    );
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSPREVIOUS'], [second]: ['AWSCURRENT'] });
  });

  test('refuses a token in use even for the same value [API UpdateSecret, Description]', async () => {
    await create();
    const command = new UpdateSecretCommand({ SecretId: 'app/db', ClientRequestToken: first, SecretString: 'one' });
    await expect(bench.client.send(command)).rejects.toMatchObject({ name: 'ResourceExistsException' });
  });

  test('without a value changes the description alone [API UpdateSecret, Description]', async () => {
    await create();
    const answer = await bench.client.send(new UpdateSecretCommand({ SecretId: 'app/db', Description: 'new' }));
    expect(answer.VersionId).toBeUndefined();
    expect((await bench.client.send(new DescribeSecretCommand({ SecretId: 'app/db' }))).Description).toBe('new');
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'] });
  });
});

describe('UpdateSecretVersionStage', () => {
  beforeEach(async () => {
    await create();
    await put(second, 'two', ['AWSPENDING']);
  });

  test('moves AWSCURRENT, and AWSPREVIOUS to where it came from [API UpdateSecretVersionStage, Description]', async () => {
    await move('AWSCURRENT', { from: first, to: second });
    expect(await stagesOf(bench.client, 'app/db')).toEqual({
      [first]: ['AWSPREVIOUS'],
      [second]: ['AWSPENDING', 'AWSCURRENT'],
    });
  });

  test('swaps AWSCURRENT and AWSPREVIOUS when moved back [API UpdateSecretVersionStage, Description]', async () => {
    await move('AWSCURRENT', { from: first, to: second });
    await move('AWSCURRENT', { from: second, to: first });
    expect(await stagesOf(bench.client, 'app/db')).toEqual({
      [first]: ['AWSCURRENT'],
      [second]: ['AWSPENDING', 'AWSPREVIOUS'],
    });
  });

  test('fails when the label is on another version and none is named [API …, RemoveFromVersionId]', async () => {
    await expect(move('AWSCURRENT', { to: second })).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test('fails when the named version does not hold the label [API …, RemoveFromVersionId]', async () => {
    const before = bench.service.inspect('app/db');
    await expect(move('AWSCURRENT', { from: second, to: second })).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
    expect(bench.service.inspect('app/db')).toBe(before);
  });

  test('sent twice fails the second time: the precondition no longer holds [API …, RemoveFromVersionId]', async () => {
    await move('AWSCURRENT', { from: first, to: second });
    await expect(move('AWSCURRENT', { from: first, to: second })).rejects.toMatchObject({
      name: 'InvalidParameterException',
    });
  });

  test('attaches a label that no version has [API …, MoveToVersionId]', async () => {
    await move('canary', { to: second });
    expect((await stagesOf(bench.client, 'app/db'))[second]).toEqual(['AWSPENDING', 'canary']);
  });

  test('without MoveToVersionId strips the label [API …, MoveToVersionId]', async () => {
    await move('AWSPENDING', { from: second });
    expect(await stagesOf(bench.client, 'app/db')).toEqual({ [first]: ['AWSCURRENT'] });
  });

  test('never strips AWSCURRENT [user guide, Staging labels: a secret always has a current version]', async () => {
    await expect(move('AWSCURRENT', { from: first })).rejects.toMatchObject({ name: 'InvalidParameterException' });
  });

  test('to a version that does not exist is not found [API …, ResourceNotFoundException]', async () => {
    await expect(move('AWSCURRENT', { from: first, to: third })).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
    });
  });
});

describe('versions without labels', () => {
  test('are listed only with IncludeDeprecated [API ListSecretVersionIds, IncludeDeprecated]', async () => {
    await create();
    await put(second, 'two');
    await put(third, 'three');
    const list = (IncludeDeprecated: boolean) =>
      bench.client.send(new ListSecretVersionIdsCommand({ SecretId: 'app/db', IncludeDeprecated }));
    expect((await list(false)).Versions?.map(({ VersionId }) => VersionId)).toEqual([second, third]);
    expect((await list(true)).Versions?.map(({ VersionId }) => VersionId)).toEqual([first, second, third]);
  });

  test('are not in DescribeSecret [API DescribeSecret, VersionIdsToStages]', async () => {
    await create();
    await put(second, 'two');
    await put(third, 'three');
    expect(Object.keys(await stagesOf(bench.client, 'app/db'))).toEqual([second, third]);
  });

  test('are paged [API ListSecretVersionIds, NextToken]', async () => {
    await create();
    await put(second, 'two');
    const page = (NextToken?: string) =>
      bench.client.send(new ListSecretVersionIdsCommand({ SecretId: 'app/db', MaxResults: 1, NextToken }));
    const one = await page();
    const two = await page(one.NextToken);
    expect([one, two].map(({ Versions }) => Versions?.[0]?.VersionId)).toEqual([first, second]);
    expect(two.NextToken).toBeUndefined();
    await expect(page('not a token')).rejects.toMatchObject({ name: 'InvalidNextTokenException' });
  });
});
