// Removes the cloud assemblies that a test left in the temporary folder.
import 'aws-cdk-lib/testhelpers/jest-autoclean';
import { Template } from 'aws-cdk-lib/assertions';
import type { Environment } from '../../infra/config.ts';
import { checked } from '../../infra/config-check.ts';
import { createApp } from '../../infra/create-app.ts';
import { RekeyStack } from '../../infra/rekey-stack.ts';

/** One of each: a secret with an administrator and a key, a cluster with a private API, a VPC. */
export const example = {
  name: 'example',
  account: '111122223333',
  region: 'eu-west-1',
  rotated: [
    {
      arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-AbCdEf',
      engine: 'postgres',
      schedule: 'cron(0 3 ? * SUN *)',
      window: '2h',
      admin: { arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-admin-GhIjKl' },
      kmsKeyArns: ['arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'],
      hostSecurityGroup: { id: 'sg-0123456789abcdef0' },
    },
  ],
  clusters: [{ name: 'shop', region: 'eu-west-1', createAccessEntries: true, securityGroupId: 'sg-0fedcba9876543210' }],
  network: {
    vpcId: 'vpc-0123456789abcdef0',
    availabilityZones: ['eu-west-1a', 'eu-west-1b'],
    subnetIds: ['subnet-0123456789abcdef0', 'subnet-0123456789abcdef1'],
  },
  databases: { hosts: ['.eu-west-1.rds.amazonaws.com'] },
  told: { emails: ['on-call@example.com'] },
  alarms: {},
  logLevel: 'INFO',
  logRetentionDays: 90,
  limits: { reserveConcurrency: true },
} as const satisfies Environment;

/** The CloudFormation of that environment, with what a test wants different. */
export function synthesised(difference: Partial<Environment> = {}) {
  const template = Template.fromStack(new RekeyStack(createApp(), checked({ ...example, ...difference })));

  const resources = (type: string): readonly Resource[] =>
    Object.entries(template.findResources(type)).map(([logicalId, { Properties, DependsOn }]) => ({
      logicalId,
      properties: Properties ?? {},
      dependsOn: DependsOn ?? [],
    }));

  const functionNamed = (name: string): Resource => {
    const found = resources('AWS::Lambda::Function').find(
      (each) => each.properties['FunctionName'] === `rekey-example-${name}`,
    );
    if (found === undefined) throw new Error(`no function ${name} in the template`);
    return found;
  };

  return {
    template,
    resources,
    functionNamed,
    functionNames: resources('AWS::Lambda::Function').map(({ properties }) => properties['FunctionName']),
    /** What the role of a function may do. */
    statementsOf(name: string): readonly Statement[] {
      const role = functionNamed(name).properties['Role']['Fn::GetAtt'][0];
      return resources('AWS::IAM::Policy')
        .filter(({ properties }) => properties['Roles'].some((each: { Ref: string }) => each.Ref === role))
        .flatMap(({ properties }) => statements(properties['PolicyDocument']));
    },
    /** Of every policy, of roles and of resources. */
    allStatements(): readonly Statement[] {
      return [
        ...resources('AWS::IAM::Policy').map(({ properties }) => properties['PolicyDocument']),
        ...resources('AWS::SQS::QueuePolicy').map(({ properties }) => properties['PolicyDocument']),
        ...resources('AWS::SNS::TopicPolicy').map(({ properties }) => properties['PolicyDocument']),
        ...resources('AWS::KMS::Key').map(({ properties }) => properties['KeyPolicy']),
      ].flatMap(statements);
    },
  };
}

interface Resource {
  readonly logicalId: string;
  // biome-ignore lint/suspicious/noExplicitAny: CloudFormation's own shapes, read by the tests that assert them
  readonly properties: Record<string, any>;
  readonly dependsOn: readonly string[];
}

export interface Statement {
  readonly sid: string | undefined;
  readonly effect: 'Allow' | 'Deny';
  readonly actions: readonly string[];
  /** As in the template: a string, or an intrinsic function as JSON. */
  readonly resources: readonly string[];
  readonly conditions: unknown;
  readonly principal: unknown;
}

// biome-ignore lint/suspicious/noExplicitAny: as above
function statements(document: any): readonly Statement[] {
  const list = <T>(value: T | readonly T[]): readonly T[] => (Array.isArray(value) ? value : [value as T]);
  // biome-ignore lint/suspicious/noExplicitAny: as above
  return document.Statement.map((each: any) => ({
    sid: each.Sid,
    effect: each.Effect,
    actions: list<string>(each.Action),
    resources: list<unknown>(each.Resource ?? []).map((one) => (typeof one === 'string' ? one : JSON.stringify(one))),
    conditions: each.Condition,
    principal: each.Principal,
  }));
}
