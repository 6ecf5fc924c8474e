import { ArnFormat, Aws, Stack } from 'aws-cdk-lib';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { type IKey, Key } from 'aws-cdk-lib/aws-kms';
import { Construct } from 'constructs';
import type { RekeyProps } from '../config.ts';
import type { Place } from '../secret-reference.ts';
import { EVENT_BUS, type FunctionSpec, SYNC } from '../wiring.ts';
import { Network } from './network.ts';

/** What every function stands on: the names, the key, Rekey's event bus, and the VPC if there is one. */
export class Foundation extends Construct {
  readonly props: RekeyProps;
  /** Encrypts what Rekey writes: its logs and its messages to people. Secrets keep the keys that they have. */
  readonly key: IKey;
  readonly eventBus: EventBus;
  readonly network: Network | undefined;

  constructor(scope: Construct, props: RekeyProps) {
    super(scope, 'Foundation');
    this.props = props;
    this.key = props.kmsKeyArn === undefined ? this.#ownKey() : Key.fromKeyArn(this, 'Key', props.kmsKeyArn);
    this.eventBus = new EventBus(this, 'Bus', {
      eventBusName: `${EVENT_BUS}-${props.name}`,
      description: 'What Rekey did and what needs a hand',
    });
    this.network = props.network && new Network(this, props.network);
  }

  get place(): Place {
    return Stack.of(this);
  }

  /** `rekey-<environment>-<name>` */
  resourceName(name: string): string {
    return `rekey-${this.props.name}-${name}`;
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

  /** How many may run at a time. */
  concurrencyOf(spec: FunctionSpec): number {
    const { rotations, syncs } = this.props.limits;
    if (spec === SYNC) return syncs ?? spec.concurrency;
    return (spec.name.startsWith('rotation-') ? rotations : undefined) ?? spec.concurrency;
  }

  #ownKey(): Key {
    const key = new Key(this, 'Key', { description: 'Logs and notifications of Rekey', enableKeyRotation: true });
    const { account, partition, region } = Stack.of(this);
    // Log groups are named by CloudFormation, the stack's name first. CloudWatch Logs names the log group in the encryption context (CloudWatch Logs User Guide, "Encrypt log data").
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EncryptRekeysLogs',
        principals: [new ServicePrincipal(`logs.${region}.amazonaws.com`)],
        actions: ['kms:Encrypt*', 'kms:Decrypt*', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:Describe*'],
        resources: ['*'],
        conditions: {
          ArnLike: {
            'kms:EncryptionContext:aws:logs:arn': `arn:${partition}:logs:${region}:${account}:log-group:${Aws.STACK_NAME}-*`,
          },
        },
      }),
    );
    // An encrypted topic takes nothing from a service that may not use its key.
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EncryptNotifications',
        principals: ['events', 'cloudwatch'].map((service) => new ServicePrincipal(`${service}.amazonaws.com`)),
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': account } },
      }),
    );
    return key;
  }
}

/**
 * The role of a function, in the account of Rekey and, for a cluster of another account, in that one. Fixed, so that
 * each side can name the other before it is there. Roles are one for all Regions.
 */
export const roleName = (environment: string, spec: FunctionSpec, region: string): string =>
  `rekey-${environment}-${spec.name}-${region}`;
