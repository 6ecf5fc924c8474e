import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals';
import { ACCOUNT, type Bench, FUNCTION_ARN, REGION, startBench } from '../unit/sandbox/secrets-manager-bench.ts';
import { type AwsCli, awsCli, describeWithAwsCli } from './aws-cli.ts';

/** The real AWS CLI drives the simulated Secrets Manager as a person would. One process each, about a second. */
await describeWithAwsCli('the simulated Secrets Manager', () => {
  let bench: Bench;
  let aws: AwsCli;
  let name: string;

  beforeAll(async () => {
    bench = await startBench();
    aws = awsCli({ endpoint: bench.server.endpoint, region: REGION });
  });
  afterAll(() => bench.close());

  beforeEach(async () => {
    name = `app/${randomUUID()}`;
  });

  const create = (value = 'one') => aws('secretsmanager', 'create-secret', '--name', name, '--secret-string', value);
  const read = (...options: string[]) => aws('secretsmanager', 'get-secret-value', '--secret-id', name, ...options);
  const describeSecret = () => aws('secretsmanager', 'describe-secret', '--secret-id', name);

  test('creates a secret and reads it back', async () => {
    const created = await create('{"username":"memeuser","password":"p\'\\"ä"}');
    expect(created).toMatchObject({
      Name: name,
      ARN: expect.stringContaining(`${REGION}:${ACCOUNT}:secret:${name}-`),
    });
    expect(await read()).toMatchObject({
      SecretString: '{"username":"memeuser","password":"p\'\\"ä"}',
      VersionId: created['VersionId'],
      VersionStages: ['AWSCURRENT'],
    });
  });

  test('puts a value and reads both by their labels', async () => {
    await create();
    await aws('secretsmanager', 'put-secret-value', '--secret-id', name, '--secret-string', 'two');
    expect(await read('--version-stage', 'AWSCURRENT')).toMatchObject({ SecretString: 'two' });
    expect(await read('--version-stage', 'AWSPREVIOUS')).toMatchObject({ SecretString: 'one' });
  });

  test('tags a secret, finds it by its tag, and describes it', async () => {
    const { VersionId } = await create();
    const tag = { Key: `rekey:${name.replace('/', '-')}`, Value: 'auto' };
    await aws('secretsmanager', 'tag-resource', '--secret-id', name, '--tags', JSON.stringify([tag]));
    const listed = await aws('secretsmanager', 'list-secrets', '--filters', `Key=tag-key,Values=${tag.Key}`);
    expect(listed).toMatchObject({ SecretList: [{ Name: name, Tags: [tag] }] });
    expect(await describeSecret()).toMatchObject({
      Tags: [tag],
      VersionIdsToStages: { [String(VersionId)]: ['AWSCURRENT'] },
    });
  });

  test('rotates a secret and moves it back', async () => {
    const { VersionId: before } = await create();
    const { VersionId: after } = await aws(
      ...['secretsmanager', 'rotate-secret', '--secret-id', name, '--rotation-lambda-arn', FUNCTION_ARN],
      ...['--rotation-rules', 'ScheduleExpression=rate(30 days)'],
    );
    await bench.service.idle();
    expect(await describeSecret()).toMatchObject({
      RotationEnabled: true,
      RotationRules: { ScheduleExpression: 'rate(30 days)' },
      VersionIdsToStages: { [String(before)]: ['AWSPREVIOUS'], [String(after)]: ['AWSCURRENT'] },
    });
    await aws(
      ...['secretsmanager', 'update-secret-version-stage', '--secret-id', name, '--version-stage', 'AWSCURRENT'],
      ...['--move-to-version-id', String(before), '--remove-from-version-id', String(after)],
    );
    expect(await read()).toMatchObject({ SecretString: 'one' });
  });

  test('cancels rotation', async () => {
    await create();
    const rotate = ['rotate-secret', '--secret-id', name, '--rotation-lambda-arn', FUNCTION_ARN];
    await aws('secretsmanager', ...rotate, '--no-rotate-immediately');
    await bench.service.idle();
    await aws('secretsmanager', 'cancel-rotate-secret', '--secret-id', name);
    expect(await describeSecret()).toMatchObject({ RotationEnabled: false });
  });

  test('deletes a secret and restores it', async () => {
    await create();
    await aws('secretsmanager', 'delete-secret', '--secret-id', name, '--recovery-window-in-days', '7');
    await expect(read()).rejects.toThrow('InvalidRequestException');
    await aws('secretsmanager', 'restore-secret', '--secret-id', name);
    expect(await read()).toMatchObject({ SecretString: 'one' });
  });

  test('reports what is wrong in the words of the service', async () => {
    await expect(read()).rejects.toThrow(
      /\(ResourceNotFoundException\).*Secrets Manager can't find the specified secret/,
    );
  });
});
