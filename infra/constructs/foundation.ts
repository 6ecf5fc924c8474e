import { ArnFormat, Stack } from 'aws-cdk-lib';
import { type IVpc, Vpc } from 'aws-cdk-lib/aws-ec2';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import type { Environment } from '../config.ts';
import { EVENT_BUS, type FunctionSpec } from '../wiring.ts';
import { acknowledge } from './acknowledge.ts';

/** What every function stands on: the environment's names, Rekey's own key and event bus, and the VPC if there is one. */
export class Foundation extends Construct {
  readonly config: Environment;
  /** Encrypts what Rekey writes: its logs and its messages to people. Secrets keep the keys that they have. */
  readonly key: Key;
  readonly eventBus: EventBus;
  readonly vpc: IVpc | undefined;

  constructor(scope: Construct, config: Environment) {
    super(scope, 'Foundation');
    this.config = config;

    this.key = new Key(this, 'Key', { description: 'Logs and notifications of Rekey', enableKeyRotation: true });
    const { account, partition, region, stackName } = Stack.of(this);
    // CloudWatch Logs names the log group in the encryption context (CloudWatch Logs User Guide, "Encrypt log data").
    this.key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EncryptRekeysLogs',
        principals: [new ServicePrincipal(`logs.${region}.amazonaws.com`)],
        actions: ['kms:Encrypt*', 'kms:Decrypt*', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
        resources: ['*'],
        conditions: {
          ArnLike: {
            'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${account}:log-group:${stackName}-*`,
          },
        },
      }),
    );

    this.eventBus = new EventBus(this, 'Bus', {
      eventBusName: `${EVENT_BUS}-${config.name}`,
      description: 'What Rekey did and what needs a hand',
    });

    if (config.network !== undefined) {
      this.vpc = Vpc.fromVpcAttributes(this, 'Vpc', {
        vpcId: config.network.vpcId,
        availabilityZones: [...config.network.availabilityZones],
        privateSubnetIds: [...config.network.subnetIds],
      });
      acknowledge(this, 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId', 'Nothing here asks for a route table.');
    }
  }

  /** `rekey-<environment>-<name>` */
  resourceName(name: string): string {
    return `rekey-${this.config.name}-${name}`;
  }

  /**
   * The ARN that a function will have. Made from its name, because a role that refers to the function itself, which
   * refers to its role, could not be deployed.
   */
  functionArn(spec: FunctionSpec): string {
    return Stack.of(this).formatArn({
      service: 'lambda',
      resource: 'function',
      resourceName: this.resourceName(spec.name),
      arnFormat: ArnFormat.COLON_RESOURCE_NAME,
    });
  }
}
