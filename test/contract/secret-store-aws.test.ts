import {
  CreateSecretCommand,
  DeleteSecretCommand,
  PutSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { createSecretsManager } from '../sandbox/aws/secrets-manager/index.ts';
import { startAwsServer } from '../sandbox/aws/server.ts';
import { secretStoreContract } from './secret-store.ts';

const PLACE = { accountId: '123456789012', region: 'eu-central-1' };
const FUNCTION_ARN = 'arn:aws:lambda:eu-central-1:123456789012:function:rotation';

secretStoreContract('Secrets Manager (simulated, over the wire)', async () => {
  // The function of a rotation never answers: what stays is a version with its label and without a value.
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const service = createSecretsManager({
    ...PLACE,
    now: Date.now,
    publish: () => {},
    invokeRotation: () => released,
    retry: { attempts: 0, delayMs: 0 },
  });
  const server = await startAwsServer({ ...PLACE, services: [service] });
  const client = new SecretsManagerClient({
    endpoint: server.endpoint,
    region: PLACE.region,
    credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
  });
  return {
    store: createSecretsManagerStore(client),
    async create(value, tags = {}) {
      const Tags = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
      const { ARN = '' } = await client.send(new CreateSecretCommand({ Name: 'app/db', SecretString: value, Tags }));
      return ARN;
    },
    async beginRotation(arn) {
      const { VersionId = '' } = await client.send(
        new RotateSecretCommand({
          SecretId: arn,
          RotationLambdaARN: FUNCTION_ARN,
          RotationRules: { AutomaticallyAfterDays: 30 },
        }),
      );
      return VersionId;
    },
    async put(arn, value) {
      const { VersionId = '' } = await client.send(new PutSecretValueCommand({ SecretId: arn, SecretString: value }));
      return VersionId;
    },
    async scheduleDeletion(arn) {
      await client.send(new DeleteSecretCommand({ SecretId: arn }));
    },
    async close() {
      service.close();
      release();
      await service.idle();
      client.destroy();
      await server.close();
    },
  };
});
