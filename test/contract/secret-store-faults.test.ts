import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { type AwsServer, startAwsServer } from '../sandbox/aws/server.ts';
import { AwsError, type Fault } from '../sandbox/aws/service.ts';

/** How the Secrets Manager adapter tells what went wrong: each answer goes over the wire and through the real SDK. */

const ARN = 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-AbCdEf';
const CURRENT_VERSION = 'b5b8bd4e-9a3f-4d8e-8b0b-000000000000';
const VERSION = 'b5b8bd4e-9a3f-4d8e-8b0b-111111111111';

let server: AwsServer;
let client: SecretsManagerClient;
/** Waits less long than an answer takes that comes too late. */
let hasty: SecretsManagerClient;

beforeAll(async () => {
  server = await startAwsServer({
    accountId: '123456789012',
    region: 'eu-central-1',
    services: [
      {
        name: 'secretsmanager',
        protocols: [{ kind: 'json', version: '1.1', targetPrefix: 'secretsmanager' }],
        handle: async () => ({ ARN, VersionId: VERSION, SecretString: 'value', VersionStages: [] }),
      },
    ],
  });
  const options = {
    endpoint: server.endpoint,
    region: 'eu-central-1',
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    maxAttempts: 1,
  };
  client = new SecretsManagerClient(options);
  hasty = new SecretsManagerClient({
    ...options,
    requestHandler: { requestTimeout: 500, throwOnRequestTimeout: true },
  });
});
afterAll(async () => {
  client.destroy();
  hasty.destroy();
  await server.close();
});

const calls = (over = client): Record<string, () => Promise<unknown>> => {
  const store = createSecretsManagerStore(over);
  const value = new SecretValue('value');
  return {
    DescribeSecret: () => store.describe(ARN),
    GetSecretValue: () => store.read(ARN, VERSION),
    PutSecretValue: () =>
      store.writeVersion({
        stage: 'AWSPENDING',
        secretId: ARN,
        versionId: VERSION,
        value,
        rotationToken: new SecretValue('t'.repeat(36)),
      }),
    UpdateSecretVersionStage: () => store.moveCurrent(ARN, { from: CURRENT_VERSION, to: VERSION }),
  };
};
const OPERATIONS = Object.keys(calls());
const answering = async (fault: Fault, work: () => Promise<unknown>): Promise<unknown> => {
  server.inject(() => fault);
  try {
    return await work().catch((error) => error);
  } finally {
    server.inject(undefined);
  }
};
const refuse = (code: string, message: string, status = 400): Fault => ({
  kind: 'refuse',
  error: new AwsError(code, message, status),
});

const ENDPOINT = 'User … is not authorized …, because no VPC endpoint policy allows the action';
const KEY = 'arn:aws:kms:eu-central-1:123456789012:key/0f3c1d6e-8a51-4f0e-9d55-3b1f6f0a2c77';
const MAY_NOT_DECRYPT = 'User … is not authorized to perform: kms:Decrypt on this resource';
const KEY_TO_BE_DELETED = `${KEY} is pending deletion.`;
const KEY_ELSEWHERE = `Secrets Manager can't find the specified KMS key ${KEY}.`;
const DELETED = 'You can’t perform this operation on the secret because it was marked for deletion.';

const BEHIND = 'Signature expired: 20261127T070000Z is now earlier than 20261127T070500Z (20261127T071000Z - 5 min.)';
const AHEAD =
  'Signature not yet current: 20261127T071000Z is still later than 20261127T070500Z (20261127T070000Z + 5 min.)';

describe.each(OPERATIONS)('%s', (operation) => {
  test.each<[string, Fault, string, boolean]>([
    ['42: throttled', refuse('ThrottlingException', 'Rate exceeded'), 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['43: failed inside', refuse('InternalServiceError', 'An error', 500), 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['43: unavailable', refuse('ServiceUnavailable', 'Later', 503), 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['43: cut off', { kind: 'cut' }, 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['43: answered too late', { kind: 'slow', milliseconds: 1_500 }, 'SECRETS_MANAGER_UNAVAILABLE', true],
    [
      'without the secret',
      refuse('ResourceNotFoundException', "Secrets Manager can't find the specified secret."),
      'SECRET_NOT_FOUND',
      false,
    ],
    ['44: denied', refuse('AccessDeniedException', 'User … is not authorized to perform …'), 'ACCESS_DENIED', false],
    ['81: denied by the policy of an endpoint', refuse('AccessDeniedException', ENDPOINT), 'ACCESS_DENIED', false],
    ['45: denied by the key', refuse('AccessDeniedException', 'Access to KMS is not allowed'), 'KEY_UNUSABLE', false],
    ['45: denied the use of the key', refuse('AccessDeniedException', MAY_NOT_DECRYPT), 'KEY_UNUSABLE', false],
    ['45: with a disabled key', refuse('DecryptionFailure', 'cannot decrypt'), 'KEY_UNUSABLE', false],
    ['45: with a key that cannot encrypt', refuse('EncryptionFailure', 'cannot encrypt'), 'KEY_UNUSABLE', false],
    ['45: with a key to be deleted', refuse('InvalidRequestException', KEY_TO_BE_DELETED), 'KEY_UNUSABLE', false],
    ['45: with a key of another Region', refuse('ResourceNotFoundException', KEY_ELSEWHERE), 'KEY_UNUSABLE', false],
    ['56: with expired credentials', refuse('ExpiredTokenException', 'expired'), 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['55: with a clock behind', refuse('InvalidSignatureException', BEHIND, 403), 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['55: with a clock ahead', refuse('InvalidSignatureException', AHEAD, 403), 'SECRETS_MANAGER_UNAVAILABLE', true],
    ['with a wrong key', refuse('InvalidSignatureException', 'does not match', 403), 'ACCESS_DENIED', false],
    ['46: for a deleted secret', refuse('InvalidRequestException', DELETED), 'SECRET_DELETED', false],
    ['48: at its limit of versions', refuse('LimitExceededException', 'too many'), 'SECRETS_MANAGER_REJECTED', false],
    ['with an error that is new', refuse('BrandNewException', 'new'), 'SECRETS_MANAGER_REJECTED', false],
  ])('%s', async (_, fault, code, retryable) => {
    const made = calls(fault.kind === 'slow' ? hasty : client);
    const error = await answering(fault, made[operation] ?? (async () => undefined));
    expect(error).toMatchObject({ name: 'RekeyError', code, retryable, message: expect.stringContaining(operation) });
  });
});

test.each([
  ['55: a wrong clock', refuse('InvalidSignatureException', BEHIND, 403), 'clock'],
  ['48: the limit of versions', refuse('LimitExceededException', 'too many'), 'take labels from old versions'],
  ['credentials that AWS does not know', refuse('UnrecognizedClientException', 'invalid', 403), 'credentials'],
])('of %s people are told what to do about it', async (_, fault, says) => {
  const refused = await answering(fault, calls()['PutSecretValue'] ?? (async () => undefined));
  expect(refused).toMatchObject({ action: expect.stringContaining(says) });
});

describe('answers that are no failure', () => {
  test.each(['staging label: AWSPENDING', `VersionId: ${VERSION}`])(
    'no value for %s reads as undefined',
    async (of) => {
      const text = `Secrets Manager can't find the specified secret value for ${of}`;
      const read = await answering(refuse('ResourceNotFoundException', text), () =>
        createSecretsManagerStore(client).read(ARN, VERSION),
      );
      expect(read).toBeUndefined();
    },
  );

  test('another value under the same token is taken', async () => {
    const fault = refuse('ResourceExistsException', `You can't modify version ${VERSION} that already exists.`);
    expect(await answering(fault, calls()['PutSecretValue'] ?? (async () => undefined))).toBe('taken');
  });

  test.each(['InvalidParameterException', 'InvalidRequestException'])(
    'AWSCURRENT on another version, told as %s, is CURRENT_MOVED',
    async (name) => {
      const text = `The parameter RemoveFromVersionId can't be ${CURRENT_VERSION}. Staging label AWSCURRENT is currently attached to version ${VERSION}, so you must explicitly reference that version in RemoveFromVersionId.`;
      const moved = await answering(refuse(name, text), calls()['UpdateSecretVersionStage'] ?? (async () => undefined));
      expect(moved).toMatchObject({ code: 'CURRENT_MOVED' });
    },
  );

  test('21: binary data is refused as a value that is not JSON', async () => {
    const binary = { send: async () => ({ SecretBinary: new Uint8Array([1]), $metadata: {} }) };
    const store = createSecretsManagerStore(binary as unknown as SecretsManagerClient);
    await expect(store.read(ARN, VERSION)).rejects.toMatchObject({ code: 'SECRET_VALUE_INVALID' });
  });
});

describe('what is sent', () => {
  const sent = async (work: () => Promise<unknown>) => {
    const before = server.calls.length;
    await work();
    return server.calls[before];
  };

  test('the RotationToken goes along with the pending value, which moves no other label', async () => {
    expect(await sent(calls()['PutSecretValue'] ?? (async () => undefined))).toMatchObject({
      operation: 'PutSecretValue',
      input: {
        SecretId: ARN,
        ClientRequestToken: VERSION,
        SecretString: 'value',
        VersionStages: ['AWSPENDING'],
        RotationToken: 't'.repeat(36),
      },
    });
  });

  test('AWSCURRENT moves only from the version that was read', async () => {
    expect(await sent(calls()['UpdateSecretVersionStage'] ?? (async () => undefined))).toMatchObject({
      input: { VersionStage: 'AWSCURRENT', RemoveFromVersionId: CURRENT_VERSION, MoveToVersionId: VERSION },
    });
  });
});
