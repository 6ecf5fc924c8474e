import { AssumeRoleCommand, GetCallerIdentityCommand, STSClient } from '@aws-sdk/client-sts';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';

let aws: AwsSandbox;
beforeAll(async () => {
  aws = await startAws();
});
afterAll(() => aws.close());

test('GetCallerIdentity names the role session whose credentials signed', async () => {
  const sts = new STSClient({ ...aws.clientOptions, credentials: aws.credentialsFor('rekey-sync') });

  expect(await sts.send(new GetCallerIdentityCommand({}))).toMatchObject({
    Account: '111122223333',
    Arn: 'arn:aws:sts::111122223333:assumed-role/rekey-sync/sandbox',
    UserId: expect.stringMatching(/^AROA[A-Z2-7]{16}:sandbox$/),
  });
});

test('AssumeRole gives credentials that the sandbox knows from then on', async () => {
  const sts = new STSClient(aws.clientOptions);
  const { Credentials, AssumedRoleUser } = await sts.send(
    new AssumeRoleCommand({
      RoleArn: 'arn:aws:iam::111122223333:role/other',
      RoleSessionName: 'me',
      DurationSeconds: 900,
    }),
  );
  const {
    AccessKeyId: accessKeyId = '',
    SecretAccessKey: secretAccessKey = '',
    SessionToken: sessionToken = '',
  } = Credentials ?? {};
  const other = new STSClient({ ...aws.clientOptions, credentials: { accessKeyId, secretAccessKey, sessionToken } });

  expect(AssumedRoleUser?.Arn).toBe('arn:aws:sts::111122223333:assumed-role/other/me');
  expect((await other.send(new GetCallerIdentityCommand({}))).Arn).toBe(AssumedRoleUser?.Arn);
  expect(aws.sessionOf(accessKeyId)?.credentials.secretAccessKey).toBe(secretAccessKey);
  expect((Credentials?.Expiration?.getTime() ?? 0) - Date.now()).toBeLessThanOrEqual(900_000);
});

test('credentials that the sandbox did not give out are refused', async () => {
  const sts = new STSClient({
    ...aws.clientOptions,
    credentials: { accessKeyId: 'AKIAINVENTED', secretAccessKey: 'x' },
  });

  await expect(sts.send(new GetCallerIdentityCommand({}))).rejects.toMatchObject({ name: 'InvalidClientTokenId' });
});

test.each([
  ['an ARN that is no role', { RoleArn: 'arn:aws:iam::111122223333:user/me-and-only-me' }],
  ['a session of less than 15 minutes', { DurationSeconds: 899 }],
])('AssumeRole refuses %s', async (_what, wrong) => {
  const sts = new STSClient(aws.clientOptions);
  const right = { RoleArn: 'arn:aws:iam::111122223333:role/other', RoleSessionName: 'me' };

  await expect(sts.send(new AssumeRoleCommand({ ...right, ...wrong }))).rejects.toMatchObject({
    name: 'ValidationError',
  });
});
