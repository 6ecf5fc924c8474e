import type { Cluster } from '@aws-sdk/client-eks';
import {
  type EventSourceMapping,
  type MappingOptions,
  startEventSourceMapping,
} from '../lambda/event-source-mapping.ts';
import { createFunctions, type Functions } from '../lambda/functions.ts';
import { createBackgroundWork } from './background-work.ts';
import { createEks } from './eks.ts';
import { createEventBridge, type EventBridge } from './event-bridge/index.ts';
import { createLambda } from './lambda.ts';
import { createRds, type RdsData } from './rds.ts';
import { createSecretsManager, type RotationRetry, type SecretsManager } from './secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from './server.ts';
import { AwsError } from './service.ts';
import { createSns } from './sns.ts';
import { createSqs } from './sqs/index.ts';
import { type Credentials, createSts, type RoleSession } from './sts.ts';

export interface AwsSandboxOptions {
  /** @default eu-west-1 */
  readonly region?: string;
  /** @default 111122223333 */
  readonly accountId?: string;
  /** @default any free one */
  readonly port?: number;
  readonly rds?: RdsData;
  readonly eks?: readonly Cluster[];
  /** How often Secrets Manager repeats a failed rotation, and when. */
  readonly retry?: RotationRetry;
  /** How long one second of an SQS delay, time-out or wait lasts. @default 1000 */
  readonly queueSecondMs?: number;
}

/** A simulated AWS account in one region, reached over HTTP by any SDK, and by built bundles that run as functions. */
export interface AwsSandbox extends Pick<AwsServer, 'endpoint' | 'calls' | 'inject'> {
  readonly region: string;
  readonly accountId: string;
  /** For an SDK client of a test, as a role of its own. */
  readonly clientOptions: {
    readonly endpoint: string;
    readonly region: string;
    readonly credentials: Credentials;
  };
  readonly functions: Pick<Functions, 'deploy' | 'invoke' | 'kill' | 'logs'>;
  /** An event-source mapping: polls until the sandbox closes. @throws AwsError when they do not fit */
  mapQueueToFunction(queueArn: string, functionName: string, options?: MappingOptions): void;
  /** New credentials of a session of this role. */
  credentialsFor(roleName: string): Credentials;
  /** Whose credentials these are, with the secret key that a signature is checked with. */
  sessionOf(accessKeyId: string): RoleSession | undefined;
  setClusters(clusters: readonly Cluster[]): void;
  /** Makes EventBridge deliver twice, late, in another order or never. */
  readonly disturbEvents: EventBridge['disturb'];
  /** What no API of Secrets Manager shows or does. */
  readonly secretsManager: Pick<SecretsManager, 'inspect' | 'setOwningService' | 'setSystemTag'>;
  /**
   * Resolves when nothing more happens by itself: no rotation, delivery, retry or batch is under way. Messages that are
   * delayed, or hidden after a failure, are not waited for.
   */
  idle(): Promise<void>;
  /** Ends all functions and connections. @throws when background work of the sandbox had a defect */
  close(): Promise<void>;
}

export async function startAws(options: AwsSandboxOptions = {}): Promise<AwsSandbox> {
  const { region = 'eu-west-1', accountId = '111122223333' } = options;
  const now = Date.now;
  const work = createBackgroundWork();
  const endpoint = () => server.endpoint;
  const account = { accountId, region, now, work };

  const sts = createSts(account);
  const functions = createFunctions({
    ...account,
    endpoint,
    credentialsFor: (roleName, sessionName) => sts.assume(roleName, sessionName).credentials,
  });
  const sqs = createSqs({
    ...account,
    endpoint,
    ...(options.queueSecondMs === undefined ? {} : { secondMs: options.queueSecondMs }),
  });
  const sns = createSns({ ...account, endpoint, toQueue: sqs.send, toFunction: functions.invokeLater });
  const events = createEventBridge({ ...account, deliver });
  const secretsManager = createSecretsManager({
    ...account,
    background: work,
    publish: events.publish,
    async invokeRotation(functionArn, request) {
      const { ok, payload } = await functions.invoke(functionArn, request);
      if (!ok) throw new Error(`the rotation function failed: ${JSON.stringify(payload)}`);
    },
    ...(options.retry ? { retry: options.retry } : {}),
  });
  const eks = createEks(options.eks);
  const mappings: EventSourceMapping[] = [];

  /** What EventBridge can send to here. */
  async function deliver(arn: string, text: string): Promise<void> {
    const service = arn.split(':')[2];
    switch (service) {
      case 'sqs':
        return sqs.send(arn, text);
      case 'sns':
        return sns.publish(arn, text);
      case 'lambda':
        return functions.invokeLater(arn, JSON.parse(text));
      default:
        throw new AwsError('ValidationException', `targets of ${service} are not simulated here`);
    }
  }

  const server = await startAwsServer({
    services: [secretsManager, events, sqs, sns, sts, eks, createRds(options.rds), createLambda(functions)],
    accountId,
    region,
    ...(options.port === undefined ? {} : { port: options.port }),
  });

  const credentialsFor = (roleName: string) => sts.assume(roleName, 'sandbox').credentials;

  return {
    endpoint: server.endpoint,
    region,
    accountId,
    calls: server.calls,
    inject: server.inject,
    clientOptions: { endpoint: server.endpoint, region, credentials: credentialsFor('sandbox') },
    functions,
    mapQueueToFunction(queueArn, functionName, mappingOptions) {
      mappings.push(
        startEventSourceMapping({ queue: sqs.queue(queueArn), functions, functionName, region }, work, mappingOptions),
      );
    },
    credentialsFor,
    sessionOf: sts.session,
    setClusters: eks.setClusters,
    disturbEvents: events.disturb,
    secretsManager,
    async idle() {
      do await work.settled();
      while (mappings.some((mapping) => mapping.busy));
    },
    async close() {
      secretsManager.close();
      for (const mapping of mappings) mapping.close();
      sqs.close();
      await functions.close();
      await server.close();
      await work.settled();
    },
  };
}
