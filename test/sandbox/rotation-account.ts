import { CreateEventBusCommand, EventBridgeClient } from '@aws-sdk/client-eventbridge';
import {
  CreateSecretCommand,
  PutSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import { createBackgroundWork } from './aws/background-work.ts';
import { createEventBridge } from './aws/event-bridge/index.ts';
import { createRds } from './aws/rds.ts';
import { createSecretsManager, type RotationRequest, type SecretsManager } from './aws/secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from './aws/server.ts';

const ACCOUNT = '111122223333';
const REGION = 'eu-west-1';
const DAY_MS = 24 * 60 * 60 * 1_000;

/** Runs one step. @throws when the function failed */
export type RotationFunction = (request: RotationRequest) => Promise<unknown>;

/**
 * A simulated account with just what rotation needs, where any code can be a secret's rotation function: Rekey's and
 * AWS's own on the same secret.
 */
export interface RotationAccount extends Pick<AwsServer, 'calls' | 'endpoint' | 'inject'> {
  readonly client: SecretsManagerClient;
  readonly inspect: SecretsManager['inspect'];
  /** For an SDK in another process: what Lambda would set. */
  environment(endpoint?: string): Readonly<Record<string, string>>;
  /** @returns the function's ARN, the same for the same name */
  register(name: string, run: RotationFunction): string;
  /** @param values one version each; the last is AWSCURRENT, the one before AWSPREVIOUS @returns the secret's ARN */
  createSecret(name: string, values: readonly object[], tags?: Readonly<Record<string, string>>): Promise<string>;
  /** A whole rotation by this function, begun as a person begins one, a day after the one before. @throws Error that says which step failed, and why */
  rotate(secretArn: string, functionArn: string): Promise<void>;
  close(): Promise<void>;
}

/** @param eventBus made beforehand, for what Rekey announces */
export async function startRotationAccount(eventBus: string): Promise<RotationAccount> {
  const functions = new Map<string, RotationFunction>();
  const failures: string[] = [];
  const work = createBackgroundWork();
  // Secrets Manager keeps a hundred versions a day, and a benchmark makes a thousand: each rotation is on a day of its own.
  let days = 0;
  const now = () => Date.now() + days * DAY_MS;
  const account = { accountId: ACCOUNT, region: REGION, now, work };
  const events = createEventBridge({ ...account, deliver: async () => {} });
  const secretsManager = createSecretsManager({
    ...account,
    background: work,
    publish: events.publish,
    retry: { attempts: 0, delayMs: 0 },
    async invokeRotation(functionArn, request) {
      try {
        await functions.get(functionArn)?.(request);
      } catch (error) {
        failures.push(`${request.Step}: ${error instanceof Error ? error.message : error}`);
        throw error;
      }
    },
  });
  const server = await startAwsServer({ ...account, services: [secretsManager, events, createRds()] });
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' };
  const options = { endpoint: server.endpoint, region: REGION, credentials };
  const client = new SecretsManagerClient(options);
  await new EventBridgeClient(options).send(new CreateEventBusCommand({ Name: eventBus }));

  return {
    calls: server.calls,
    inject: server.inject,
    endpoint: server.endpoint,
    client,
    inspect: secretsManager.inspect,
    environment: (endpoint = server.endpoint) => ({
      AWS_ENDPOINT_URL: endpoint,
      SECRETS_MANAGER_ENDPOINT: endpoint,
      AWS_REGION: REGION,
      AWS_DEFAULT_REGION: REGION,
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    }),
    register(name, run) {
      const arn = `arn:aws:lambda:${REGION}:${ACCOUNT}:function:${name}`;
      functions.set(arn, run);
      return arn;
    },
    async createSecret(name, [first = {}, ...later], tags = {}) {
      const { ARN = '' } = await client.send(
        new CreateSecretCommand({
          Name: name,
          SecretString: JSON.stringify(first),
          Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
        }),
      );
      for (const value of later)
        await client.send(new PutSecretValueCommand({ SecretId: ARN, SecretString: JSON.stringify(value) }));
      return ARN;
    },
    async rotate(secretArn, functionArn) {
      failures.length = 0;
      days += 1;
      const { VersionId } = await client.send(
        new RotateSecretCommand({
          SecretId: secretArn,
          RotationLambdaARN: functionArn,
          RotationRules: { AutomaticallyAfterDays: 30 },
        }),
      );
      await work.settled();
      const current = secretsManager.inspect(secretArn).versions.find(({ stages }) => stages.includes('AWSCURRENT'));
      if (current?.id !== VersionId)
        throw new Error(`${functionArn} did not rotate ${secretArn}: ${failures.join('; ')}`);
    },
    async close() {
      secretsManager.close();
      client.destroy();
      await server.close();
      await work.settled();
    },
  };
}
