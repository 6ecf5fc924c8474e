import { CreateSecretCommand, RotateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { RekeyError } from '../../shared/operations/errors.ts';
import { createSecretsManagerRotations } from '../../shared/secrets/secrets-manager.ts';
import { createSecretsManager } from '../sandbox/aws/secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from '../sandbox/aws/server.ts';

const PLACE = { accountId: '123456789012', region: 'eu-central-1' };
const functionArn = (name: string) => `arn:aws:lambda:eu-central-1:123456789012:function:${name}`;

let server: AwsServer;
let close = () => {};
let client: SecretsManagerClient;

beforeAll(async () => {
  const service = createSecretsManager({
    ...PLACE,
    now: Date.now,
    publish: () => {},
    // Never answers: the rotation stays pending.
    invokeRotation: () => new Promise(() => {}),
    retry: { attempts: 0, delayMs: 0 },
  });
  close = () => service.close();
  server = await startAwsServer({ ...PLACE, services: [service] });
  client = new SecretsManagerClient({
    endpoint: server.endpoint,
    region: PLACE.region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  const Tags = [{ Key: 'rekey:hold', Value: '2027-01-31' }];
  // More than ListSecrets gives at a time.
  for (let index = 0; index < 101; index++)
    await client.send(new CreateSecretCommand({ Name: `other/${index}`, SecretString: '{}' }));
  for (const [name, by] of [
    ['ours', 'rekey-a-rotation-postgres'],
    ['theirs', 'their-rotation'],
  ] as const) {
    await client.send(new CreateSecretCommand({ Name: name, SecretString: '{}', Tags }));
    await client.send(
      new RotateSecretCommand({
        SecretId: name,
        RotationLambdaARN: functionArn(by),
        RotationRules: { AutomaticallyAfterDays: 30 },
      }),
    );
  }
});

afterAll(async () => {
  client.destroy();
  close();
  await server.close();
});

test('the rotations of a function are found among all secrets, with labels, tags and dates and no value', async () => {
  const found = await createSecretsManagerRotations(client).rotatedBy([functionArn('rekey-a-rotation-postgres')]);

  expect(found).toEqual([
    {
      arn: expect.stringContaining(':secret:ours-'),
      createdAtMs: expect.any(Number),
      changedAtMs: expect.any(Number),
      rotatedAtMs: undefined,
      dueAtMs: expect.any(Number),
      stages: expect.any(Map),
      tags: new Map([['rekey:hold', '2027-01-31']]),
    },
  ]);
  expect([...(found[0]?.stages.values() ?? [])].flat().sort()).toEqual(['AWSCURRENT', 'AWSPENDING']);
});

test('a list that is denied is told by its operation', async () => {
  const denied = {
    send: async () => Promise.reject(Object.assign(new Error('no'), { name: 'AccessDeniedException' })),
  };

  await expect(createSecretsManagerRotations(denied as never).rotatedBy([])).rejects.toThrow(
    /^ACCESS_DENIED: ListSecrets of this account/,
  );
  await expect(createSecretsManagerRotations(denied as never).rotatedBy([])).rejects.toThrow(RekeyError);
});
