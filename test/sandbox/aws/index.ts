import { randomUUID } from 'node:crypto';
import type { Cluster } from '@aws-sdk/client-eks';
import {
  type EventSourceMapping,
  type MappingOptions,
  startEventSourceMapping,
} from '../lambda/event-source-mapping.ts';
import { createFunctions, type DeployedFunction, type Functions } from '../lambda/functions.ts';
import { createBackgroundWork } from './background-work.ts';
import { createEks } from './eks.ts';
import { createEventBridge, type EventBridge } from './event-bridge/index.ts';
import { AccessDenied, createIam, type Iam, OPEN, type Requester } from './iam/index.ts';
import { createLambda } from './lambda.ts';
import { createRds, type RdsData } from './rds.ts';
import { createSecretsManager, type RotationRetry, type SecretsManager } from './secrets-manager/index.ts';
import { type AwsServer, startAwsServer } from './server.ts';
import { AwsError, type AwsService, type Call, type Denial, type Need } from './service.ts';
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
  /**
   * `enforced`: every call, and everything that one service does to another, is decided by the policies of roles and
   * resources. `open`: whoever signs may do anything, as the tests of a single service want it. @default open
   */
  readonly access?: 'enforced' | 'open';
}

export interface AccessEntry {
  readonly clusterName: string;
  readonly principalArn: string;
  readonly groups: readonly string[];
}

/** A simulated AWS account in one region, reached over HTTP by any SDK, and by built bundles that run as functions. */
export interface AwsSandbox extends Pick<AwsServer, 'endpoint' | 'calls' | 'inject'> {
  readonly region: string;
  readonly accountId: string;
  /** For an SDK client of a test, as an administrator. */
  readonly clientOptions: {
    readonly endpoint: string;
    readonly region: string;
    readonly credentials: Credentials;
  };
  readonly functions: Pick<
    Functions,
    'arnOf' | 'configureAsync' | 'deploy' | 'invoke' | 'kill' | 'list' | 'logs' | 'recycle'
  >;
  /** Roles, policies, and which of them were used. */
  readonly iam: Iam;
  /** As an administrator and past the wire: no fault meets it, and it is no call of anybody. @throws AwsError */
  act(service: string, operation: string, input: object): Promise<Readonly<Record<string, unknown>>>;
  /**
   * A customer key.
   * @param policy the account's own policies decide when absent, as with a key made by hand
   * @param id @default a new one
   * @returns its ARN
   */
  createKey(policy?: unknown, id?: string): string;
  /** An event-source mapping: polls until the sandbox closes. @throws AwsError when they do not fit */
  mapQueueToFunction(queueArn: string, functionName: string, options?: MappingOptions): void;
  /** Lets the schedule of this rule of the default bus come due. */
  readonly fireSchedule: EventBridge['fire'];
  /** New credentials of a session of this role. */
  credentialsFor(roleName: string): Credentials;
  /** Whose credentials these are, with the secret key that a signature is checked with. */
  sessionOf(accessKeyId: string): RoleSession | undefined;
  setClusters(clusters: readonly Cluster[]): void;
  /** EKS's CreateAccessEntry: the role is let into the cluster as a member of these groups. */
  addAccessEntry(entry: AccessEntry): void;
  readonly accessEntries: readonly AccessEntry[];
  /** Which function is handed the messages of which queue. */
  readonly eventSources: readonly { readonly queueArn: string; readonly functionName: string }[];
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

  const iam = createIam(account);
  const access = options.access === 'enforced' ? iam : OPEN;
  const sts = createSts(account);
  const functions = createFunctions({
    ...account,
    endpoint,
    credentialsFor: ({ roleArn, name, arn }) => sts.assume(roleArn, name, arn).credentials,
    allows: allowsAs,
  });
  const sqs = createSqs({
    ...account,
    endpoint,
    ...(options.queueSecondMs === undefined ? {} : { secondMs: options.queueSecondMs }),
  });
  const sns = createSns({
    ...account,
    endpoint,
    toQueue(queueArn, body, attributes) {
      serve('sns.amazonaws.com', { action: 'sqs:SendMessage', resource: queueArn });
      sqs.send(queueArn, body, attributes);
    },
    toFunction(functionArn, event) {
      serve('sns.amazonaws.com', { action: 'lambda:InvokeFunction', resource: functionArn });
      functions.invokeLater(functionArn, event);
    },
  });
  const events = createEventBridge({ ...account, deliver });
  const secretsManager = createSecretsManager({
    ...account,
    background: work,
    publish: events.publish,
    async invokeRotation(functionArn, request) {
      serve('secretsmanager.amazonaws.com', invocationOf(functionArn), request.SecretId);
      const { ok, payload } = await functions.invoke(functionArn, request);
      if (!ok) throw new Error(`the rotation function failed: ${JSON.stringify(payload)}`);
    },
    ...(options.retry ? { retry: options.retry } : {}),
  });
  const eks = createEks(options.eks ?? [], account);
  const mappings: EventSourceMapping[] = [];
  const eventSources: { queueArn: string; functionName: string }[] = [];
  const accessEntries: AccessEntry[] = [];

  /** What EventBridge can send to here, in the name of one rule. */
  async function deliver(arn: string, text: string, ruleArn: string): Promise<void> {
    const asRule = (need: Need) => serve('events.amazonaws.com', need, ruleArn);
    const service = arn.split(':')[2];
    switch (service) {
      case 'sqs':
        asRule({ action: 'sqs:SendMessage', resource: arn });
        return sqs.send(arn, text);
      case 'sns': {
        asRule({ action: 'sns:Publish', resource: arn });
        // An encrypted topic asks who publishes for its key (SNS Developer Guide, "Key management").
        const key = sns.keyOf(arn);
        for (const action of key ? ['kms:GenerateDataKey', 'kms:Decrypt'] : [])
          asRule({ action, resource: key ?? '', context: { 'kms:ViaService': `sns.${region}.amazonaws.com` } });
        return sns.publish(arn, text);
      }
      case 'lambda':
        asRule(invocationOf(arn));
        return functions.invokeLater(arn, JSON.parse(text));
      default:
        throw new AwsError('ValidationException', `targets of ${service} are not simulated here`);
    }
  }

  /** May a service of AWS do this to a resource, on behalf of another? @throws AwsError when its policy says no */
  function serve(name: string, need: Need, sourceArn?: string): void {
    asAws(DENIAL, () =>
      access.authorize({ kind: 'service', name }, need, { 'aws:SourceArn': sourceArn, 'aws:SourceAccount': accountId }),
    );
  }

  /** What Lambda does in the name of a function. */
  function allowsAs({ roleArn, name }: Pick<DeployedFunction, 'roleArn' | 'name'>, need: Need): boolean {
    const sessionArn = `${roleArn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/${name}`;
    return access.isAllowed({ kind: 'role', accountId, roleArn, sessionArn }, need);
  }

  /** @throws AwsError for credentials that nobody gave out, and for what the policies do not allow */
  function authorize(service: AwsService, call: Call): void {
    const session = sts.session(call.caller.accessKeyId);
    if (session === undefined) {
      if (access === OPEN) return;
      throw new AwsError(
        'UnrecognizedClientException',
        'The security token included in the request is invalid.',
        403,
        'InvalidClientTokenId',
      );
    }
    const { roleArn, arn: sessionArn, functionArn } = session;
    const requester: Requester = { kind: 'role', accountId: session.accountId, roleArn, sessionArn };
    asAws(service.denial ?? DENIAL, () => {
      if (!service.needs) throw new Error(`what the operations of ${service.name} need is not known here`);
      for (const need of service.needs(call.operation, call.input, call.caller))
        access.authorize(requester, need, { 'lambda:SourceFunctionArn': functionArn });
    });
  }

  const services = [
    secretsManager,
    events,
    sqs,
    sns,
    sts,
    eks,
    createRds(options.rds ?? {}, account),
    createLambda(functions),
  ];
  const server = await startAwsServer({
    services,
    accountId,
    accountIdOf: (accessKeyId) => sts.session(accessKeyId)?.accountId ?? accountId,
    authorize,
    region,
    ...(options.port === undefined ? {} : { port: options.port }),
  });

  const credentialsFor = (roleName: string) =>
    sts.assume(`arn:aws:iam::${accountId}:role/${roleName}`, 'sandbox').credentials;
  iam.createRole(ADMINISTRATOR, statementOf({ Principal: { AWS: accountId }, Action: 'sts:AssumeRole' }));
  iam.putRolePolicy(ADMINISTRATOR, 'AdministratorAccess', statementOf({ Action: '*', Resource: '*' }));

  return {
    endpoint: server.endpoint,
    region,
    accountId,
    calls: server.calls,
    inject: server.inject,
    clientOptions: { endpoint: server.endpoint, region, credentials: credentialsFor(ADMINISTRATOR) },
    functions,
    iam,
    async act(serviceName, operation, input) {
      const service = services.find(({ name }) => name === serviceName);
      if (!service) throw new AwsError('UnknownOperationException', `no service ${serviceName} is simulated here`, 404);
      const caller = { accountId, region, accessKeyId: 'the sandbox itself' };
      return { ...(await service.handle(operation, input, caller)) };
    },
    createKey(
      policy = statementOf({ Principal: { AWS: accountId }, Action: 'kms:*', Resource: '*' }),
      id = randomUUID(),
    ) {
      const arn = `arn:aws:kms:${region}:${accountId}:key/${id}`;
      iam.putResourcePolicy(arn, policy);
      return arn;
    },
    fireSchedule: events.fire,
    mapQueueToFunction(queueArn, functionName, mappingOptions) {
      const { onChange } = access;
      const allows = (action: string) => allowsAs(functions.find(functionName), { action, resource: queueArn });
      const source = { queue: sqs.queue(queueArn), functions, functionName, region, allows, onChange };
      mappings.push(startEventSourceMapping(source, work, mappingOptions));
      eventSources.push({ queueArn, functionName });
    },
    credentialsFor,
    sessionOf: sts.session,
    setClusters: eks.setClusters,
    addAccessEntry: (entry) => accessEntries.push(entry),
    accessEntries,
    eventSources,
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

/** Whose credentials the tests use: a person who may do everything. */
const ADMINISTRATOR = 'sandbox';

const statementOf = (statement: object) => ({ Version: '2012-10-17', Statement: { Effect: 'Allow', ...statement } });

const invocationOf = (functionArn: string): Need => ({ action: 'lambda:InvokeFunction', resource: functionArn });

const DENIAL: Denial = { code: 'AccessDeniedException', status: 400 };

/** A refusal as the service words it on the wire. @throws AwsError */
function asAws({ code, status }: Denial, ask: () => void): void {
  try {
    ask();
  } catch (thrown) {
    if (!(thrown instanceof AccessDenied)) throw thrown;
    throw new AwsError(code, thrown.message, status);
  }
}
