import { randomUUID } from 'node:crypto';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import type { EventEnvelope } from '../../sandbox/aws/event-bridge/event.ts';
import {
  createSecretsManager,
  type InvokeRotation,
  type RotationRequest,
  type RotationRetry,
  type SecretsManager,
} from '../../sandbox/aws/secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from '../../sandbox/aws/server.ts';

export const ACCOUNT = '111122223333';
export const REGION = 'eu-central-1';
export const FUNCTION_ARN = `arn:aws:lambda:${REGION}:${ACCOUNT}:function:rotate`;
export const HOUR_MS = 60 * 60 * 1000;
export const DAY_MS = 24 * HOUR_MS;

/** The simulated Secrets Manager behind its HTTP endpoint, an SDK client, and what came out of it. */
export interface Bench {
  readonly client: SecretsManagerClient;
  readonly service: SecretsManager;
  readonly server: AwsServer;
  readonly events: readonly EventEnvelope[];
  /** The invocations of the rotation function. */
  readonly steps: readonly RotationRequest[];
  readonly clock: { nowMs: number };
  /** What the rotation function does from now on. At first it is {@link wellBehaved}. */
  rotateWith(invoke: InvokeRotation): void;
  close(): Promise<void>;
}

export async function startBench(
  options: { readonly retry?: RotationRetry; readonly testVersionHolds?: 'nothing' | 'current value' } = {},
): Promise<Bench> {
  const events: EventEnvelope[] = [];
  const steps: RotationRequest[] = [];
  const clock = { nowMs: Date.UTC(2026, 0, 15, 10, 30) };
  const service = createSecretsManager({
    accountId: ACCOUNT,
    region: REGION,
    now: () => clock.nowMs,
    retry: { attempts: 0, delayMs: 0 },
    ...options,
    publish: (event) => events.push(event),
    invokeRotation: async (functionArn, request) => {
      steps.push(request);
      await rotate(functionArn, request);
    },
  });
  const server = await startAwsServer({ services: [service], accountId: ACCOUNT, region: REGION });
  const client = new SecretsManagerClient({
    region: REGION,
    endpoint: server.endpoint,
    credentials: { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' },
    maxAttempts: 1,
  });
  let rotate: InvokeRotation = wellBehaved(client);
  return {
    client,
    service,
    server,
    events,
    steps,
    clock,
    rotateWith(invoke) {
      rotate = invoke;
    },
    async close() {
      service.close();
      client.destroy();
      await server.close();
    },
  };
}

/** A rotation function that does what the user guide asks of one, without a database. */
export function wellBehaved(client: SecretsManagerClient): InvokeRotation {
  return async (_functionArn, { Step, SecretId, ClientRequestToken }) => {
    if (Step === 'createSecret')
      await client.send(
        new PutSecretValueCommand({
          SecretId,
          ClientRequestToken,
          SecretString: `rotated ${ClientRequestToken}`,
          VersionStages: ['AWSPENDING'],
        }),
      );
    if (Step === 'finishSecret')
      await client.send(
        new UpdateSecretVersionStageCommand({
          SecretId,
          VersionStage: 'AWSCURRENT',
          MoveToVersionId: ClientRequestToken,
          RemoveFromVersionId: await holder(client, SecretId, 'AWSCURRENT'),
        }),
      );
  };
}

export const newToken = (): string => randomUUID();

export async function stagesOf(client: SecretsManagerClient, id: string): Promise<Record<string, string[]>> {
  return (await client.send(new DescribeSecretCommand({ SecretId: id }))).VersionIdsToStages ?? {};
}

export async function holder(client: SecretsManagerClient, id: string, stage: string): Promise<string | undefined> {
  return Object.entries(await stagesOf(client, id)).find(([, stages]) => stages.includes(stage))?.[0];
}

export async function readValue(
  client: SecretsManagerClient,
  id: string,
  wanted: { VersionId?: string; VersionStage?: string } = {},
): Promise<string | undefined> {
  return (await client.send(new GetSecretValueCommand({ SecretId: id, ...wanted }))).SecretString;
}

/** Rotation events by their names, label moves as `label→version`. */
export function namesOf(events: readonly EventEnvelope[]): string[] {
  return events.map(({ detail }) => {
    const { eventName, labelUpdated, versionId } = detail as Record<string, string>;
    return eventName ?? `${labelUpdated}→${versionId}`;
  });
}
