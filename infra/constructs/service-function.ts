import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { AssetHashType, DockerImage, Duration } from 'aws-cdk-lib';
import { type IVpc, Peer, Port, SecurityGroup, SubnetFilter } from 'aws-cdk-lib/aws-ec2';
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Architecture, Code, Function as LambdaFunction, Runtime } from 'aws-cdk-lib/aws-lambda';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Construct } from 'constructs';
import { DIST } from '../bundling.ts';
import type { Environment, Network } from '../config.ts';
import { type FunctionSpec, HANDLER, LAMBDA_CA_FILE, VARIABLES } from '../wiring.ts';
import { acknowledge } from './acknowledge.ts';
import type { Foundation } from './foundation.ts';

interface ServiceFunctionProps {
  readonly spec: FunctionSpec;
  readonly foundation: Foundation;
  readonly environment?: Readonly<Record<string, string>>;
  /** Whether it puts events on Rekey's bus. */
  readonly announces: boolean;
  /** Whether it logs in to databases, and so needs their roots and the way to them. @default false */
  readonly reachesDatabases?: boolean;
}

/**
 * One Lambda function with a role, a log group and, inside a VPC, a security group of its own. The role can do no
 * more than write that log: each construct adds what its function needs, by resource.
 */
export class ServiceFunction extends Construct {
  readonly lambda: LambdaFunction;
  readonly role: Role;

  constructor(scope: Construct, props: ServiceFunctionProps) {
    const { spec, foundation, environment, announces, reachesDatabases = false } = props;
    super(scope, 'Function');
    const { config, eventBus, key, vpc } = foundation;

    // None of AWS's managed policies: they reach every log group, and grow without our doing.
    this.role = new Role(this, 'Role', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
    const logGroup = new LogGroup(this, 'Logs', { retention: config.logRetentionDays, encryptionKey: key });
    this.allow('WriteItsLog', ['logs:CreateLogStream', 'logs:PutLogEvents'], [logGroup.logGroupArn]);
    if (announces) this.allow('AnnounceEvents', ['events:PutEvents'], [eventBus.eventBusArn]);

    this.lambda = new LambdaFunction(this, 'Lambda', {
      functionName: foundation.resourceName(spec.name),
      description: spec.description,
      runtime: Runtime.NODEJS_24_X,
      architecture: Architecture.ARM_64,
      handler: HANDLER,
      code: codeOf(spec, reachesDatabases ? config.databaseCaFile : undefined),
      memorySize: spec.memoryMb,
      timeout: Duration.seconds(spec.timeoutSeconds),
      ...(config.reserveConcurrency && { reservedConcurrentExecutions: spec.concurrency }),
      role: this.role,
      logGroup,
      ...(vpc && config.network && this.#placeIn(vpc, config.network, foundation.functionArn(spec), reachesDatabases)),
      environment: {
        [VARIABLES.serviceName]: foundation.resourceName(spec.name),
        [VARIABLES.logLevel]: config.logLevel,
        [VARIABLES.eventBus]: eventBus.eventBusName,
        ...(reachesDatabases && databaseVariables(config)),
        ...environment,
      },
    });
  }

  /** @param conditions in IAM's own form: operator → key → value */
  allow(sid: string, actions: readonly string[], resources: readonly string[], conditions?: object): void {
    this.role.addToPolicy(
      new PolicyStatement({ sid, actions: [...actions], resources: [...resources], ...(conditions && { conditions }) }),
    );
  }

  #placeIn(vpc: IVpc, network: Network, functionArn: string, reachesDatabases: boolean) {
    const group = new SecurityGroup(this, 'SecurityGroup', { vpc, allowAllOutbound: false });
    group.addEgressRule(Peer.anyIpv4(), Port.HTTPS, 'APIs of AWS and of Kubernetes');
    for (const [index, { securityGroupId, port }] of reachesDatabases ? network.databases.entries() : [])
      group.connections.allowTo(
        SecurityGroup.fromSecurityGroupId(this, `Database${index}`, securityGroupId),
        Port.tcp(port),
        'Rekey to the database',
      );

    this.allow('AttachToTheVpc', NETWORK_INTERFACE_ACTIONS, ['*']);
    acknowledge(
      this.role,
      'AwsSolutions::AwsSolutions-IAM5[Resource::*]',
      'Lambda asks for these actions on all resources to attach a function to a VPC, and the next statement keeps them from the code.',
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
    return {
      vpc,
      vpcSubnets: { subnetFilters: [SubnetFilter.byIds([...network.subnetIds])] },
      securityGroups: [group],
    };
  }
}

const NETWORK_INTERFACE_ACTIONS = [
  'ec2:CreateNetworkInterface',
  'ec2:DescribeNetworkInterfaces',
  'ec2:DescribeSubnets',
  'ec2:DeleteNetworkInterface',
  'ec2:AssignPrivateIpAddresses',
  'ec2:UnassignPrivateIpAddresses',
];

const databaseVariables = ({ databaseCaFile, databaseHosts }: Environment) => ({
  [VARIABLES.databaseCaFile]: databaseCaFile === undefined ? LAMBDA_CA_FILE : `/var/task/${CA_FILE}`,
  ...(databaseHosts && { [VARIABLES.allowedHosts]: databaseHosts.join(' ') }),
});

/** Where a CA file of the configuration lies beside the bundle. */
const CA_FILE = 'database-ca.pem';

function codeOf(spec: FunctionSpec, caFile: string | undefined): Code {
  const folder = join(DIST, spec.name);
  if (caFile === undefined) return Code.fromAsset(folder);
  return Code.fromAsset(folder, {
    assetHashType: AssetHashType.OUTPUT,
    bundling: {
      // Never pulled: the copy below is all there is to do.
      image: DockerImage.fromRegistry('scratch'),
      local: {
        tryBundle(output) {
          cpSync(folder, output, { recursive: true });
          cpSync(join(DIST, '..', caFile), join(output, CA_FILE));
          return true;
        },
      },
    },
  });
}
