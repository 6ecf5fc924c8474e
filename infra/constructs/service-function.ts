import { cpSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { AssetHashType, DockerImage, Duration, Stack } from 'aws-cdk-lib';
import { Port, SecurityGroup } from 'aws-cdk-lib/aws-ec2';
import { Effect, ManagedPolicy, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import {
  Architecture,
  type CfnFunction,
  Code,
  Function as LambdaFunction,
  Runtime,
  Tracing,
} from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import type { Databases, EndpointService, RekeyProps } from '../config.ts';
import { DIST } from '../dist.ts';
import { type FunctionSpec, HANDLER, LAMBDA_CA_FILE, VARIABLES } from '../wiring.ts';
import { acknowledge, acknowledgeOwnPolicy } from './acknowledge.ts';
import { type Foundation, roleName } from './foundation.ts';
import type { Network } from './network.ts';

interface ServiceFunctionProps {
  readonly spec: FunctionSpec;
  readonly foundation: Foundation;
  readonly environment?: Readonly<Record<string, string>>;
  /** The APIs that it calls; `events` where it tells of what it did. */
  readonly apis: readonly EndpointService[];
  /**
   * The authorities of databases that it has beside it: `all` for one that logs in to them, `deployed` for those of the
   * configuration alone. @default none
   */
  readonly certificates?: 'all' | 'deployed';
}

/**
 * One Lambda function with a role, a log group and, inside a VPC, a security group of its own. The role can do no
 * more than write that log: each construct adds what its function needs, by resource.
 */
export class ServiceFunction extends Construct {
  readonly spec: FunctionSpec;
  readonly lambda: LambdaFunction;
  readonly role: Role;
  readonly logGroup: LogGroup;
  readonly #whyOnAll: string[] = [];
  readonly #network: Network | undefined;
  readonly #group: SecurityGroup | undefined;

  constructor(scope: Construct, props: ServiceFunctionProps) {
    const { spec, foundation, environment, apis, certificates } = props;
    super(scope, 'Function');
    const { eventBus, key, network } = foundation;
    const { name, databases = {}, limits, logLevel, logRetentionDays, tracing = false } = foundation.props;
    this.spec = spec;

    // None of AWS's managed policies: they reach every log group, and grow without our doing.
    this.role = new Role(this, 'Role', {
      roleName: roleName(name, spec, Stack.of(this).region),
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    });
    this.logGroup = new LogGroup(this, 'Logs', {
      retention: logRetentionDays,
      encryptionKey: key,
    });
    this.allow('WriteItsLog', ['logs:CreateLogStream', 'logs:PutLogEvents'], [this.logGroup.logGroupArn]);
    if (apis.includes('events')) this.allow('AnnounceEvents', ['events:PutEvents'], [eventBus.eventBusArn]);

    this.#network = network;
    this.#group = network && new SecurityGroup(this, 'SecurityGroup', { vpc: network.vpc, allowAllOutbound: false });
    if (network) this.#allowAttaching(foundation.functionArn(spec));
    for (const api of apis) this.reachApi(api);
    if (tracing)
      this.allowOnAll(
        'SendTraces',
        ['xray:PutTraceSegments', 'xray:PutTelemetryRecords'],
        'X-Ray knows no resource for SendTraces (Service Authorization Reference, AWS X-Ray), and a trace holds no value.',
      );

    this.lambda = new LambdaFunction(this, 'Lambda', {
      functionName: foundation.resourceName(spec.name),
      description: spec.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      handler: HANDLER,
      code: codeOf(spec, certificates ? databases : {}),
      memorySize: spec.memoryMb,
      timeout: Duration.seconds(spec.timeoutSeconds),
      ...(limits.reserveConcurrency && { reservedConcurrentExecutions: foundation.concurrencyOf(spec) }),
      role: this.role,
      logGroup: this.logGroup,
      ...(tracing && { tracing: Tracing.ACTIVE }),
      ...(network && this.#group && { vpc: network.vpc, vpcSubnets: network.subnets, securityGroups: [this.#group] }),
      environment: {
        [VARIABLES.serviceName]: foundation.resourceName(spec.name),
        [VARIABLES.logLevel]: logLevel,
        [VARIABLES.eventBus]: eventBus.eventBusName,
        ...(certificates && certificateVariables(databases)),
        ...(certificates === 'all' && databaseVariables(databases)),
        ...environment,
      },
    });
    this.#explainFindings(foundation.props);
    this.node.addValidation({ validate: () => [...this.#faultsOfSize()] });
  }

  /** What Lambda and IAM would refuse in the middle of a deployment. */
  *#faultsOfSize(): Iterable<string> {
    const { environment } = this.lambda.node.defaultChild as CfnFunction;
    const { variables } = Stack.of(this).resolve(environment);
    const bytes = variablesBytes(variables);
    if (bytes > MAX_VARIABLES_BYTES)
      yield `clusters, databases.hosts: the variables of ${this.spec.name} would take ${bytes} bytes of the ${MAX_VARIABLES_BYTES} that Lambda has for them; name fewer, or divide them among several Rekeys (docs/scale.md)`;
    // The CDK moves whole statements out of the role's own policy where it gets too long.
    const overflow = this.role.node.children.filter((child) => child instanceof ManagedPolicy);
    const longest = Math.max(
      0,
      ...overflow.map(({ document }) => JSON.stringify(Stack.of(this).resolve(document)).length),
    );
    if (longest > MAX_POLICY_CHARACTERS)
      yield `rotated, clusters: one right of ${this.spec.name} would take ${longest} characters of the ${MAX_POLICY_CHARACTERS} that IAM has for a policy; name secrets by a tag, or divide them among several Rekeys (docs/scale.md)`;
  }

  #explainFindings({ network, limits, tracing = false }: RekeyProps): void {
    acknowledgeOwnPolicy(this.role);
    const explain = (rule: string, reason: string) => acknowledge(this.lambda, rule, reason);
    explain(
      'LambdaDLQ',
      'Whoever calls it tries again: Secrets Manager its step, SQS until its own dead-letter queue, a timer with the next run.',
    );
    if (network === undefined)
      explain('LambdaInsideVPC', 'The configuration names no network: what it reaches is public, over verified TLS.');
    if (!limits.reserveConcurrency)
      explain('LambdaConcurrency', 'The configuration says that the account has no concurrency to set apart.');
    if (!tracing)
      explain('LambdaTracing', 'The configuration leaves tracing off; logs and metrics say how long each step took.');
  }

  /** @param conditions in IAM's own form: operator → key → value */
  allow(sid: string, actions: readonly string[], resources: readonly string[], conditions?: object): PolicyStatement {
    const statement = new PolicyStatement({
      sid,
      actions: [...actions],
      resources: [...resources],
      ...(conditions && { conditions }),
    });
    this.role.addToPolicy(statement);
    return statement;
  }

  /** For actions that know no resource. @param why it is so, and what it cannot do */
  allowOnAll(sid: string, actions: readonly string[], why: string): void {
    this.allow(sid, actions, ['*']);
    this.#whyOnAll.push(why);
    acknowledge(this.role, 'IAM5[Resource::*]', this.#whyOnAll.join(' '));
  }

  /** Opens the way to an API of AWS, out of the VPC or to its endpoint there. */
  reachApi(service: EndpointService): void {
    if (this.#network && this.#group) this.#network.allowApi(this.#group, service);
  }

  /** Opens the way to a public API that is not AWS's. */
  reachAnywhere(): void {
    if (this.#network && this.#group) this.#network.allowAnywhere(this.#group);
  }

  /** Opens the way to whatever has this security group, on both sides. Outside a VPC there is nothing to open. */
  reach(securityGroupId: string, port: number, what: string): void {
    if (this.#network && this.#group)
      this.#group.connections.allowTo(this.#network.existing(securityGroupId), Port.tcp(port), what);
  }

  #allowAttaching(functionArn: string): void {
    this.allowOnAll(
      'AttachToTheVpc',
      NETWORK_INTERFACE_ACTIONS,
      'Lambda asks for AttachToTheVpc on all resources, and the next statement keeps it from the code.',
    );
    // Lambda itself calls these with the role; the function's code never needs to (Lambda Developer Guide, "Giving
    // Lambda functions access to resources in an Amazon VPC").
    this.role.addToPolicy(
      new PolicyStatement({
        sid: 'AttachingIsNotForTheCode',
        effect: Effect.DENY,
        actions: [...NETWORK_INTERFACE_ACTIONS],
        resources: ['*'],
        conditions: { ArnEquals: { 'lambda:SourceFunctionArn': functionArn } },
      }),
    );
  }
}

/** Lambda Developer Guide, "Lambda quotas". */
const MAX_VARIABLES_BYTES = 4_096;

/** Of a managed policy; IAM does not count blanks (IAM User Guide, "IAM and AWS STS quotas"). */
const MAX_POLICY_CHARACTERS = 6_144;

/** As Lambda counts: the whole map as JSON, in which a quotation mark takes two. What CloudFormation fills in is guessed. */
const variablesBytes = (variables: Readonly<Record<string, unknown>>): number =>
  Buffer.byteLength(
    JSON.stringify(
      Object.fromEntries(
        Object.entries(variables).map(([name, value]) => [name, typeof value === 'string' ? value : 'x'.repeat(100)]),
      ),
    ),
  );

const NETWORK_INTERFACE_ACTIONS = [
  'ec2:CreateNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:DeleteNetworkInterface',
  'ec2:AssignPrivateIpAddresses',
  'ec2:UnassignPrivateIpAddresses',
];

/** Where certificates of the configuration lie beside the bundle. */
const CA_FILE = 'database-ca.pem';
const CA_FOLDER = 'database-ca';

const certificateVariables = ({ caFile, namedCaFiles }: Databases) => ({
  ...(caFile !== undefined && { [VARIABLES.databaseCaFile]: `/var/task/${CA_FILE}` }),
  ...(namedCaFiles && { [VARIABLES.databaseCaFolder]: `/var/task/${CA_FOLDER}` }),
});

const databaseVariables = ({ caFile, hosts }: Databases) => ({
  ...(caFile === undefined && { [VARIABLES.databaseCaFile]: LAMBDA_CA_FILE }),
  ...(hosts && { [VARIABLES.allowedHosts]: hosts.join(' ') }),
});

function codeOf(spec: FunctionSpec, { caFile, namedCaFiles }: Databases): Code {
  const folder = join(DIST, spec.name);
  if (caFile === undefined && namedCaFiles === undefined) return Code.fromAsset(folder);
  return Code.fromAsset(folder, {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      // Never pulled: the copies below are all there is to do.
      image: DockerImage.fromRegistry('scratch'),
      local: {
        tryBundle(output) {
          cpSync(folder, output, { recursive: true });
          if (caFile !== undefined) cpSync(resolve(caFile), join(output, CA_FILE));
          if (namedCaFiles !== undefined) mkdirSync(join(output, CA_FOLDER));
          for (const [name, file] of Object.entries(namedCaFiles ?? {}))
            cpSync(resolve(file), join(output, CA_FOLDER, `${name}.pem`));
          return true;
        },
      },
    },
  });
}
