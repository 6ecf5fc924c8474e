import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import {
  EventBridgeClient,
  ListEventBusesCommand,
  PutRuleCommand,
  PutTargetsCommand,
} from '@aws-sdk/client-eventbridge';
import { GetSecretValueCommand, paginateListSecrets, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { CreateQueueCommand, DeleteMessageCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { type FunctionSpec, LAMBDA_CA_FILE, ROTATION } from '../../infra/wiring.ts';
import { EVENT_SOURCE } from '../../shared/operations/events.ts';
import { deploy, type Stack } from './aws/cloud-formation/deploy.ts';
import { type AwsSandbox, type AwsSandboxOptions, startAws } from './aws/index.ts';
import type { RdsData } from './aws/rds.ts';
import type { Call } from './aws/service.ts';
import { CLUSTER, configurationOf, FOREIGN_CLUSTER, REGION, type Rotated } from './deployment/configuration.ts';
import { ROOT, type Synthesised, synthesise } from './deployment/synthesise.ts';
import { createEksTokenVerifier } from './kubernetes/eks-token-verifier.ts';
import { type KubernetesOptions, type KubernetesSandbox, startKubernetes } from './kubernetes/index.ts';
import { RBAC } from './kubernetes/rbac.ts';
import { type PostgresServer, type PostgresVersion, startPostgres } from './postgres.ts';

export { CLUSTER };

/** How long a test waits for an environment: the infrastructure may have to be synthesised first, on a busy machine. */
export const START_MS = 300_000;

export interface InstallationOptions extends Pick<AwsSandboxOptions, 'queueSecondMs' | 'retry'> {
  readonly postgres?: PostgresVersion;
  /** The secrets in the configuration: Rekey's rights on secrets' values are for these alone. @default those of `shop` */
  readonly rotated?: readonly Rotated[];
  /** False starts each invocation in a new process. */
  readonly reuse?: boolean;
  /** The configuration has a second cluster, of another account. @default false */
  readonly foreignCluster?: boolean;
  /** What RDS says of the server. @default that it is none of RDS's */
  readonly rds?: (server: PostgresServer) => RdsData;
}

type ClusterOptions = Pick<KubernetesOptions, 'timing' | 'servedVersions' | 'rotation'>;

export interface EnvironmentOptions extends InstallationOptions, ClusterOptions {}

/** What an application's secrets are called: its own, and its administrator's. */
export function secretsOf(application: string): Rotated {
  return { name: `${application}/database`, adminName: `${application}/admin` };
}

/**
 * All of Rekey as it is deployed, on this machine: the templates that infra synthesises, the built bundles in processes
 * of their own, between a real PostgreSQL and a simulated AWS, whose EKS knows no cluster yet.
 */
export interface Installation {
  readonly aws: AwsSandbox;
  readonly postgres: PostgresServer;
  readonly secretsManager: SecretsManagerClient;
  readonly rotationFunctionArn: string;
  readonly synthesised: Synthesised;
  readonly stacks: readonly Stack[];
  /** Deploys the same templates, or others of the same names, into an account of which nothing else is known. */
  deployTo(aws: AwsSandbox, stacks?: Synthesised['stacks']): Promise<readonly Stack[]>;
  /** What the function is called that was deployed from this bundle. */
  nameOf(spec: Pick<FunctionSpec, 'name'>): string;
  /** The bundle whose code made the call; undefined when it was none. */
  callerOf(call: Call): string | undefined;
  /** Where the queue is that the function works off. */
  queueUrlOf(spec: Pick<FunctionSpec, 'name'>): string;
  /** Every event on Rekey's bus. People's own topic leaves out what needs no hand. Waits up to `seconds` for a first one. */
  hear(seconds: number): Promise<readonly Announcement[]>;
  close(): Promise<void>;
}

/** Rekey as it is deployed, and a simulated Kubernetes. */
export interface Environment extends Installation {
  readonly kubernetes: KubernetesSandbox;
  /** Of the other account, if there is one. */
  readonly foreignKubernetes: KubernetesSandbox | undefined;
}

export interface Announcement {
  readonly type: string;
  readonly time: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export async function startEnvironment(options: EnvironmentOptions = {}): Promise<Environment> {
  const installation = await startInstallation(options);
  const { aws } = installation;
  const started = [installation.close];
  const close = () => closeAll(started);
  try {
    const kubernetes = await startCluster(aws, CLUSTER, options);
    started.push(() => kubernetes.close());
    const foreignKubernetes = options.foreignCluster && (await startCluster(aws, FOREIGN_CLUSTER.name, options));
    if (foreignKubernetes) started.push(() => foreignKubernetes.close());
    describeClusters(aws, [kubernetes, ...(foreignKubernetes ? [foreignKubernetes] : [])]);
    return { ...installation, kubernetes, foreignKubernetes: foreignKubernetes || undefined, close };
  } catch (error) {
    await close();
    throw error;
  }
}

export async function startInstallation(options: InstallationOptions = {}): Promise<Installation> {
  const started: (() => Promise<void>)[] = [];
  const close = () => closeAll(started);
  try {
    const postgres = await startPostgres({ version: options.postgres ?? 18 });
    started.push(() => postgres.stop());
    const { queueSecondMs, retry } = options;
    const aws = await startAws({
      access: 'enforced',
      ...(queueSecondMs === undefined ? {} : { queueSecondMs }),
      ...(retry && { retry }),
      ...(options.rds && { rds: options.rds(postgres) }),
    });
    started.push(() => aws.close());
    const elsewhere = options.foreignCluster ? [{ ...FOREIGN_CLUSTER, region: REGION, createAccessEntries: true }] : [];
    const synthesised = await synthesise(configurationOf(options.rotated ?? [secretsOf('shop')], elsewhere));
    const deployTo: Installation['deployTo'] = (to, stacks = synthesised.stacks) =>
      deployAll(to, { ...synthesised, stacks }, postgres, options.reuse ?? true);
    const stacks = await deployTo(aws);
    const nameOf: Installation['nameOf'] = ({ name }) => {
      const deployed = aws.functions.list().find(({ folder }) => basename(folder) === name);
      if (deployed === undefined) throw new Error(`no function was deployed from ${name}`);
      return deployed.name;
    };
    const listening = await listenToTheBus(aws);
    return {
      aws,
      postgres,
      synthesised,
      stacks,
      deployTo,
      secretsManager: new SecretsManagerClient(aws.clientOptions),
      rotationFunctionArn: aws.functions.arnOf(nameOf(ROTATION.postgres)),
      nameOf,
      callerOf({ caller }) {
        const arn = aws.sessionOf(caller.accessKeyId)?.functionArn;
        const deployed = aws.functions.list().find((each) => each.arn === arn);
        return deployed && basename(deployed.folder);
      },
      queueUrlOf(spec) {
        const { queueArn } = aws.eventSources.find(({ functionName }) => functionName === nameOf(spec)) ?? {};
        if (queueArn === undefined) throw new Error(`${spec.name} works off no queue`);
        return `${aws.endpoint}/${aws.accountId}/${queueArn.split(':').at(-1)}`;
      },
      hear: (seconds) => hear(new SQSClient(aws.clientOptions), listening, seconds),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The last first. */
async function closeAll(started: (() => Promise<void>)[]): Promise<void> {
  for (const stop of started.reverse().splice(0)) await stop();
}

/** A simulated cluster, with exactly the rights that infra ships, entered by the tokens that EKS would take. */
export async function startCluster(
  aws: AwsSandbox,
  clusterName: string,
  options: ClusterOptions,
): Promise<KubernetesSandbox> {
  const kubernetes = await startKubernetes({
    clusterName,
    readSecret: readSecretAs(aws),
    listSecrets: listSecretsAs(aws),
    authenticate: authenticateAs(aws, clusterName),
    ...(options.timing && { timing: options.timing }),
    ...(options.servedVersions && { servedVersions: options.servedVersions }),
    ...(options.rotation && { rotation: options.rotation }),
  });
  kubernetes.apply(await readFile(RBAC, 'utf8'));
  return kubernetes;
}

/** EKS's way in, with the access entries that were deployed. */
export function authenticateAs(aws: AwsSandbox, clusterName = CLUSTER) {
  const entries = aws.accessEntries.filter((entry) => entry.clusterName === clusterName);
  return createEksTokenVerifier({
    clusterName,
    session: aws.sessionOf,
    accessEntries: new Map(entries.map(({ principalArn, groups }) => [principalArn, { groups }])),
  });
}

/** From now on EKS's DescribeCluster tells of these, in the order of the configuration, and of no others. */
export function describeClusters(
  aws: AwsSandbox,
  clusters: readonly { readonly endpoint: string; readonly caPem: string }[],
): void {
  aws.setClusters(
    clusters.map(({ endpoint, caPem }, at) => ({
      name: [CLUSTER, FOREIGN_CLUSTER.name][at] ?? '',
      status: 'ACTIVE',
      endpoint,
      certificateAuthority: { data: Buffer.from(caPem).toString('base64') },
    })),
  );
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

/** Deploys the stacks one after the other, as `cdk deploy --all`. @param server whose authority is trusted */
export async function deployAll(
  aws: AwsSandbox,
  { stacks, folders }: Synthesised,
  { caFile }: Pick<PostgresServer, 'caFile'>,
  reuse: boolean,
): Promise<readonly Stack[]> {
  const deployed: Stack[] = [];
  for (const { name: stackName, account: accountId, template } of stacks)
    deployed.push(
      await deploy(aws, template, {
        stackName,
        accountId,
        imports: new Map(deployed.flatMap(({ exports }) => [...exports])),
        folderOf(objectKey) {
          const folder = folders[objectKey];
          if (folder === undefined) throw new Error(`nothing was uploaded as ${objectKey}`);
          return join(ROOT, folder);
        },
        // The authority of the tests' database stands where the roots of RDS are.
        fileOf: (path) => (path === LAMBDA_CA_FILE ? caFile : path),
        variables: { REKEY_ALLOW_LOOPBACK: 'true' },
        reuse,
      }),
    );
  return deployed;
}

/** A rule and a queue of the tests' own, beside what is deployed. @returns the queue's URL */
async function listenToTheBus(aws: AwsSandbox): Promise<string> {
  const events = new EventBridgeClient(aws.clientOptions);
  const sqs = new SQSClient(aws.clientOptions);
  const { EventBuses = [] } = await events.send(new ListEventBusesCommand());
  const bus = EventBuses.find(({ Name }) => Name !== 'default')?.Name;
  const name = 'heard-by-the-tests';
  const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: name }));
  const queueArn = `arn:aws:sqs:${aws.region}:${aws.accountId}:${name}`;
  aws.iam.putResourcePolicy(queueArn, {
    Statement: {
      Effect: 'Allow',
      Principal: { Service: 'events.amazonaws.com' },
      Action: 'sqs:SendMessage',
      Resource: queueArn,
    },
  });
  const EventPattern = JSON.stringify({ source: [EVENT_SOURCE] });
  await events.send(new PutRuleCommand({ Name: name, EventBusName: bus, EventPattern }));
  await events.send(new PutTargetsCommand({ Rule: name, EventBusName: bus, Targets: [{ Id: name, Arn: queueArn }] }));
  return QueueUrl;
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
