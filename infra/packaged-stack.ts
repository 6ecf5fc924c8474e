import {
  CfnCondition,
  CfnOutput,
  CfnParameter,
  DefaultStackSynthesizer,
  Fn,
  type IStackSynthesizer,
  Stack,
  Tags,
} from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { EksCluster, Network, RekeyProps } from './config.ts';
import { Rekey } from './constructs/rekey.ts';
import { RotatedSecret } from './constructs/rotated-secret.ts';
import { type EngineName, STRATEGIES } from './wiring.ts';

/** What a template cannot leave open, because CloudFormation neither counts nor repeats. The rest are parameters. */
export interface Shape {
  readonly engines: readonly EngineName[];
  /** How many, of the account and Region of the stack. 0: it only rotates. */
  readonly clusters: number;
  readonly inVpc: boolean;
}

/** Of the secrets that a packaged Rekey rotates: `rotated-by` = `rekey-postgres`; a pair of users, `rekey-postgres-pair`. */
export const ROTATED_BY = 'rotated-by';

/**
 * The same Rekey for any account, Region and environment: what an environment's file says are parameters here. It is
 * deployed from a bucket with whatever speaks to CloudFormation. Secrets are found by their tag, and are given their
 * schedule by whoever owns them; access entries likewise are made outside.
 */
export class PackagedStack extends Stack {
  /** @param folder of the package in its bucket */
  constructor(scope: Construct, { engines, clusters, inVpc }: Shape, folder: string) {
    super(scope, 'rekey', {
      description: 'Rekey: rotates database credentials, rolls and proves the workloads that use them',
      synthesizer: new DefaultStackSynthesizer({
        generateBootstrapVersionRule: false,
        // CloudFormation reads this as a reference to the parameter.
        fileAssetsBucketName: `\${${BUCKET}}`,
        bucketPrefix: `${folder}/`,
        // The class is right; only its optional members are declared more loosely than the interface's.
      }) as IStackSynthesizer,
    });
    const text = (id: string, description: string, rest: object = {}) =>
      new CfnParameter(this, id, { description, ...rest }).valueAsString;

    text(BUCKET, `Bucket of this Region with the folder ${folder} of the package`);
    const props: RekeyProps = {
      name: text('Name', 'Part of every deployed name: rekey-<name>-sync', {
        allowedPattern: '^[a-z][a-z0-9-]{0,19}$',
        constraintDescription: '1 to 20 lower-case letters, digits and hyphens, a letter first',
      }),
      clusters: Array.from({ length: clusters }, (_, index) => cluster(index + 1)),
      told: { emails: [text('Email', 'Who hears of failures; confirms the subscription once')] },
      alarms: {},
      databases: {
        hosts: [text('AllowedHosts', 'Ends of host names, separated by blanks; empty: any host', { default: '' })],
      },
      logLevel: text('LogLevel', 'Of the functions', {
        default: 'INFO',
        allowedValues: ['DEBUG', 'INFO', 'WARN', 'ERROR'],
      }) as RekeyProps['logLevel'],
      logRetentionDays: 365,
      limits: { reserveConcurrency: true },
      ...(inVpc && { network: network() }),
    };
    const rekey = new Rekey(this, 'Rekey', props);

    const keyArn = engines.length > 0 ? this.#keyOrNone(text) : '';
    const databases = inVpc && text('DatabaseSecurityGroup', 'The databases’ security group', GROUP);
    for (const engine of engines) {
      const admin = STRATEGIES[engine].includes('alternating-users') && {
        name: text(`${titled(engine)}Administrator`, 'Name of the administrator’s secret, for alternating users', {
          default: `rekey/administrator/${engine}`,
        }),
      };
      for (const strategy of ['auto', 'user-pair'] as const)
        if (STRATEGIES[engine].includes(strategy))
          new RotatedSecret(this, `Rotated ${engine} ${strategy}`, {
            rekey,
            engine,
            strategy,
            tag: { key: ROTATED_BY, value: `rekey-${engine}${strategy === 'auto' ? '' : '-pair'}` },
            kmsKeyArns: [keyArn],
            ...(admin && { admin }),
            ...(databases && { hostSecurityGroup: { id: databases } }),
          });
      const { functionArn } = rekey.rotationOf(engine).function.lambda;
      new CfnOutput(this, `Rotation${titled(engine)}`, { value: functionArn, description: `Rotates ${engine}` });
    }

    for (const [id, part] of [
      ['Sync', rekey.sync],
      ['Sweep', rekey.sweep],
    ] as const)
      if (part)
        new CfnOutput(this, `${id}Role`, { value: part.function.role.roleArn, description: 'For access entries' });
    new CfnOutput(this, 'EventBus', { value: rekey.foundation.eventBus.eventBusName });
    new CfnOutput(this, 'Topic', { value: rekey.notifications.topic.topicArn });
    Tags.of(this).add('service', 'rekey');

    function cluster(number: number): EksCluster {
      const name = text(`Cluster${number}`, 'Name of an EKS cluster of this account and Region');
      const securityGroupId = inVpc && text(`Cluster${number}SecurityGroup`, 'Of its API', GROUP);
      return {
        name,
        region: Fn.ref('AWS::Region'),
        createAccessEntries: false,
        ...(securityGroupId && { securityGroupId }),
      };
    }

    function network(): Network {
      return {
        vpcId: text('Vpc', 'Where the functions run', { type: 'AWS::EC2::VPC::Id' }),
        // Subnets know their zones; nothing here asks for them.
        availabilityZones: [0, 1].map((index) => Fn.select(index, Fn.getAzs())),
        subnetIds: [1, 2].map((number) =>
          text(`Subnet${number}`, 'Private, with a way to AWS’s APIs', { type: 'AWS::EC2::Subnet::Id' }),
        ),
      };
    }
  }

  /** A statement needs a key, so where there is none it names one that cannot be. */
  #keyOrNone(text: (id: string, description: string, rest: object) => string): string {
    const arn = text('KmsKeyArn', 'Customer key of the secrets; empty: aws/secretsmanager', { default: '' });
    const given = new CfnCondition(this, 'KmsKeyIsGiven', { expression: Fn.conditionNot(Fn.conditionEquals(arn, '')) });
    const none = `arn:${this.partition}:kms:${this.region}:${this.account}:key/none`;
    return Fn.conditionIf(given.logicalId, arn, none).toString();
  }
}

const BUCKET = 'ArtefactBucket';

const GROUP = { type: 'AWS::EC2::SecurityGroup::Id' };

const titled = (engine: string): string => `${engine.charAt(0).toUpperCase()}${engine.slice(1)}`;
