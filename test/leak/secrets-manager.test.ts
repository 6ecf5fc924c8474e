import { inspect } from 'node:util';
import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { type AwsServer, startAwsServer } from '../sandbox/aws/server.ts';
import { AwsError } from '../sandbox/aws/service.ts';
import { shownAs } from './shown-as.ts';

/** A server that quotes the whole request in its refusal, as an unlucky proxy or a validation message would. */

const PASSWORD = 'hunter2-λ';
const TOKEN = 'hunter2-token-'.repeat(4);
const ARN = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-AbCdEf';
const VERSION = 'b5b8bd4e-9a3f-4d8e-8b0b-111111111111';

let server: AwsServer;
let answer: (input: unknown) => object;
const clients: SecretsManagerClient[] = [];

beforeAll(async () => {
  server = await startAwsServer({
    accountId: '123456789012',
    region: 'eu-central-1',
    services: [
      {
        name: 'secretsmanager',
        protocols: [{ kind: 'json', version: '1.1', targetPrefix: 'secretsmanager' }],
        handle: async (_, input) => answer(input),
      },
    ],
  });
});
afterAll(async () => {
  for (const client of clients) client.destroy();
  await server.close();
});

const storeAt = (endpoint: string) => {
  const client = new SecretsManagerClient({
    endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  });
  clients.push(client);
  return createSecretsManagerStore(client);
};
const write = (endpoint: string) =>
  storeAt(endpoint).writeVersion({
    stage: 'AWSPENDING',
    secretId: ARN,
    versionId: VERSION,
    value: new SecretValue(JSON.stringify({ password: PASSWORD })),
    rotationToken: new SecretValue(TOKEN),
  });

function expectSilence(error: unknown): void {
  expect(error).toMatchObject({ name: 'RekeyError' });
  expect(shownAs(error)).not.toContain('hunter2');
  expect((error as Error).cause).toBeUndefined();
}

describe('the Secrets Manager adapter keeps values to itself', () => {
  test.each([
    'ValidationException',
    'InvalidParameterException',
    'InvalidRequestException',
    'AccessDeniedException',
    'ResourceNotFoundException',
    'InternalServiceError',
    'SomethingNew',
  ])('when %s quotes the request', async (code) => {
    answer = (input) => {
      throw new AwsError(code, `bad request: ${JSON.stringify(input)}`);
    };
    expectSilence(await write(server.endpoint).catch((error) => error));
  });

  test('when nobody listens', async () => {
    expectSilence(await write('http://127.0.0.1:1').catch((error) => error));
  });

  test('when the answer to a read cannot be understood', async () => {
    answer = () => ({ SecretString: { password: PASSWORD }, VersionId: [PASSWORD] });
    const read = await storeAt(server.endpoint)
      .readStage(ARN, 'AWSCURRENT')
      .catch((error) => error);
    expect(inspect(read, { depth: 20 })).not.toContain('hunter2-λ"');
  });

  test('when a value that was read is printed by mistake', async () => {
    answer = () => ({ ARN, VersionId: VERSION, SecretString: PASSWORD });
    const read = await storeAt(server.endpoint).readStage(ARN, 'AWSCURRENT');
    expect(read?.value.expose()).toBe(PASSWORD);
    expect(`${inspect(read, { depth: 20, showHidden: true })}${JSON.stringify(read)}${read?.value}`).not.toContain(
      'hunter2',
    );
  });
});
