import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  CreateEventBusCommand,
  EventBridgeClient,
  PutRuleCommand,
  PutTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import { GetSecretValueCommand, paginateListSecrets, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { CreateTopicCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns';
import { CreateQueueCommand, DeleteMessageCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import {
  EVENT_BUS,
  type EventPattern,
  FUNCTION_RESPONSE_TYPES,
  type FunctionSpec,
  KUBERNETES_GROUPS,
  type QueueSpec,
  RETIRE,
  RETIRE_QUEUE,
  ROTATION,
  SECRET_CONVERGED,
  SECRET_LABEL_UPDATED,
  SWEEP,
  SYNC,
  SYNC_QUEUE,
  VARIABLES,
} from '../../infra/wiring.ts';
import { EVENT_SOURCE } from '../../shared/operations/events.ts';
import { type AwsSandbox, type AwsSandboxOptions, startAws } from './aws/index.ts';
import { createEksTokenVerifier } from './kubernetes/eks-token-verifier.ts';
import { type KubernetesOptions, type KubernetesSandbox, startKubernetes } from './kubernetes/index.ts';
import { type PostgresServer, type PostgresVersion, startPostgres } from './postgres.ts';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
export const RBAC = fileURLToPath(new URL('../../infra/kubernetes/base/rekey.yaml', import.meta.url));

export const CLUSTER = 'demo';

/** People hear of everything here; infra's topic leaves out what needs no hand. */
const EVERY_EVENT: Partial<EventPattern> = { source: [EVENT_SOURCE] };

export interface EnvironmentOptions
  extends Pick<AwsSandboxOptions, 'queueSecondMs' | 'retry'>,
    Pick<KubernetesOptions, 'timing' | 'servedVersions' | 'rotation'> {
  readonly postgres?: PostgresVersion;
  /** False starts each invocation in a new process. */
  readonly reuse?: boolean;
}

/**
 * All of Rekey as it is deployed, on this machine: the built bundles in processes of their own, wired by the data that
 * infra deploys, between a real PostgreSQL and a simulated AWS and Kubernetes.
 */
export interface Environment {
  readonly aws: AwsSandbox;
  readonly kubernetes: KubernetesSandbox;
  readonly postgres: PostgresServer;
  readonly secretsManager: SecretsManagerClient;
  readonly rotationFunctionArn: string;
  /** What people hear: a queue that is subscribed to the topic. Waits up to `seconds` for a first message. */
  hear(seconds: number): Promise<readonly Announcement[]>;
  close(): Promise<void>;
}

export interface Announcement {
  readonly type: string;
  readonly time: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export async function startEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  const started: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const stop of started.reverse().splice(0)) await stop();
  };
  try {
    const postgres = await startPostgres({ version: options.postgres ?? 18 });
    started.push(() => postgres.stop());
    const { queueSecondMs, retry } = options;
    const aws = await startAws({
      ...(queueSecondMs === undefined ? {} : { queueSecondMs }),
      ...(retry && { retry }),
    });
    started.push(() => aws.close());
    const kubernetes = await startCluster(aws, options);
    started.push(() => kubernetes.close());
    const wired = await wire(aws, postgres, options.reuse ?? true);
    return {
      aws,
      kubernetes,
      postgres,
      secretsManager: new SecretsManagerClient(aws.clientOptions),
      rotationFunctionArn: wired.rotationFunctionArn,
      hear: (seconds) => hear(new SQSClient(aws.clientOptions), wired.peopleQueueUrl, seconds),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The cluster, with exactly the rights that infra ships, entered by the tokens that EKS would take. */
async function startCluster(aws: AwsSandbox, options: EnvironmentOptions): Promise<KubernetesSandbox> {
  const kubernetes = await startKubernetes({
    clusterName: CLUSTER,
    readSecret: readSecretAs(aws),
    listSecrets: listSecretsAs(aws),
    authenticate: authenticateAs(aws),
    ...(options.timing && { timing: options.timing }),
    ...(options.servedVersions && { servedVersions: options.servedVersions }),
    ...(options.rotation && { rotation: options.rotation }),
  });
  kubernetes.apply(await readFile(RBAC, 'utf8'));
  describeCluster(aws, kubernetes);
  return kubernetes;
}

/** EKS's way in, with the access entries that infra makes. */
export function authenticateAs(aws: AwsSandbox) {
  const roleOf = ({ name }: FunctionSpec) => `arn:aws:iam::${aws.accountId}:role/${name}-role`;
  return createEksTokenVerifier({
    clusterName: CLUSTER,
    session: aws.sessionOf,
    accessEntries: new Map([
      [roleOf(SYNC), { groups: [KUBERNETES_GROUPS.sync] }],
      [roleOf(SWEEP), { groups: [KUBERNETES_GROUPS.sweep] }],
    ]),
  });
}

/** From now on EKS's DescribeCluster tells of this one. */
export function describeCluster(aws: AwsSandbox, cluster: { readonly endpoint: string; readonly caPem: string }): void {
  aws.setClusters([
    {
      name: CLUSTER,
      status: 'ACTIVE',
      endpoint: cluster.endpoint,
      certificateAuthority: { data: Buffer.from(cluster.caPem).toString('base64') },
    },
  ]);
}

/** What the CSI driver's AWS provider does with the identity of a pod. */
export function readSecretAs(aws: AwsSandbox): KubernetesOptions['readSecret'] {
  const client = new SecretsManagerClient(aws.clientOptions);
  return async ({ secretId, versionId, versionStage }) => {
    const answer = await client.send(
      new GetSecretValueCommand({ SecretId: secretId, VersionId: versionId, VersionStage: versionStage }),
    );
    return { versionId: answer.VersionId ?? '', value: answer.SecretString ?? '' };
  };
}

/** What External Secrets does where it looks for secrets by name or tags. */
export function listSecretsAs(aws: AwsSandbox): NonNullable<KubernetesOptions['listSecrets']> {
  const client = new SecretsManagerClient(aws.clientOptions);
  return async () => {
    const found: { name: string; tags: ReadonlyMap<string, string> }[] = [];
    for await (const { SecretList = [] } of paginateListSecrets({ client }, {}))
      for (const { Name: name = '', Tags = [] } of SecretList)
        found.push({ name, tags: new Map(Tags.map(({ Key = '', Value = '' }) => [Key, Value])) });
    return found;
  };
}

/** Deploys the bundles and wires them as infra does, through the same API calls that CloudFormation makes. */
async function wire(aws: AwsSandbox, postgres: PostgresServer, reuse: boolean) {
  const events = new EventBridgeClient(aws.clientOptions);
  const sqs = new SQSClient(aws.clientOptions);
  const sns = new SNSClient(aws.clientOptions);

  const makeQueue = async ({ name, visibilityTimeoutSeconds, maxReceiveCount }: QueueSpec) => {
    const dead = await queueNamed(`${name}-dead-letters`, {});
    const redrive = JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount });
    return await queueNamed(name, { VisibilityTimeout: `${visibilityTimeoutSeconds}`, RedrivePolicy: redrive });
  };
  const queueNamed = async (name: string, attributes: Record<string, string>) => {
    const { QueueUrl: url = '' } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes: attributes }));
    return { url, arn: `arn:aws:sqs:${aws.region}:${aws.accountId}:${name}` };
  };
  const rule = async (name: string, pattern: Partial<EventPattern>, targetArn: string, bus = 'default') => {
    await events.send(new PutRuleCommand({ Name: name, EventBusName: bus, EventPattern: JSON.stringify(pattern) }));
    await events.send(
      new PutTargetsCommand({ Rule: name, EventBusName: bus, Targets: [{ Id: name, Arn: targetArn }] }),
    );
  };
  const deploy = ({ name, memoryMb, timeoutSeconds }: FunctionSpec, environment: Record<string, string>) =>
    aws.functions.deploy({ name, folder: join(DIST, name), memoryMb, timeoutSeconds, reuse, environment });

  await events.send(new CreateEventBusCommand({ Name: EVENT_BUS }));
  const toSync = await makeQueue(SYNC_QUEUE);
  const toRetire = await makeQueue(RETIRE_QUEUE);
  const toPeople = await queueNamed('people', {});
  const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: 'rekey' }));
  await sns.send(
    new SubscribeCommand({
      TopicArn,
      Protocol: 'sqs',
      Endpoint: toPeople.arn,
      Attributes: { RawMessageDelivery: 'true' },
    }),
  );

  const databases = { [VARIABLES.databaseCaFile]: postgres.caFile, REKEY_ALLOW_LOOPBACK: 'true' };
  const bus = { [VARIABLES.eventBus]: EVENT_BUS };
  const clusters = { [VARIABLES.clusters]: JSON.stringify([{ name: CLUSTER, region: aws.region }]) };
  const rotationFunctionArn = deploy(ROTATION.postgres, { ...bus, ...databases });
  deploy(SYNC, { ...bus, ...clusters, [VARIABLES.queueUrl]: toSync.url });
  deploy(SWEEP, { ...bus, ...clusters, [VARIABLES.queueUrl]: toSync.url });
  deploy(RETIRE, {
    ...bus,
    ...databases,
    [VARIABLES.queueUrl]: toRetire.url,
    [VARIABLES.rotationFunctions]: rotationFunctionArn,
  });
  const map = (queueArn: string, { batchSize }: QueueSpec, { name, concurrency }: FunctionSpec) =>
    aws.mapQueueToFunction(queueArn, name, {
      batchSize,
      maximumConcurrency: concurrency,
      reportBatchItemFailures: FUNCTION_RESPONSE_TYPES.includes('ReportBatchItemFailures'),
    });
  map(toSync.arn, SYNC_QUEUE, SYNC);
  map(toRetire.arn, RETIRE_QUEUE, RETIRE);
  await rule('label-updated', SECRET_LABEL_UPDATED, toSync.arn);
  await rule('converged', SECRET_CONVERGED, toRetire.arn, EVENT_BUS);
  await rule('people', EVERY_EVENT, TopicArn, EVENT_BUS);
  return { rotationFunctionArn, peopleQueueUrl: toPeople.url };
}

async function hear(sqs: SQSClient, queueUrl: string, seconds: number): Promise<readonly Announcement[]> {
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl: queueUrl, WaitTimeSeconds: seconds, MaxNumberOfMessages: 10 }),
  );
  return await Promise.all(
    Messages.map(async ({ Body = '', ReceiptHandle }) => {
      await sqs.send(new DeleteMessageCommand({ QueueUrl: queueUrl, ReceiptHandle }));
      const event = JSON.parse(Body) as { 'detail-type': string; time: string; detail: Announcement['detail'] };
      return { type: event['detail-type'], time: event.time, detail: event.detail };
    }),
  );
}
