import { z } from 'zod';
import type { AwsSandbox } from '../index.ts';

/** Where a resource is made, and what it is called there. */
export interface Site {
  readonly aws: AwsSandbox;
  /** Of the stack. */
  readonly accountId: string;
  readonly stackName: string;
  readonly logicalId: string;
  /** `<stack>-<logical id>-<twelve characters>`, as CloudFormation names what the template does not. */
  readonly generatedName: string;
  /** The folder that holds what was uploaded under this key, e.g. a built bundle. @throws Error */
  folderOf(objectKey: string): string;
  /** Where a file of Lambda's own image lies on this machine; the path itself where it is not one. */
  fileOf(pathInImage: string): string;
  /** False starts each invocation in a process of its own. */
  readonly reuse: boolean;
  /** Variables that every function gets besides its own. */
  readonly variables: Readonly<Record<string, string>>;
}

/** What Ref and Fn::GetAtt of a resource say. */
export interface Made {
  readonly ref: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

type Make = (properties: unknown, site: Site) => Made | Promise<Made>;

/** Properties are taken strictly: one without an effect here would pass for one that works. */
function type<Shape extends z.ZodRawShape>(
  shape: Shape,
  make: (properties: z.output<z.ZodObject<Shape>>, site: Site) => Made | Promise<Made>,
): Make {
  const schema = z.strictObject(shape);
  return (properties, site) => {
    const { Tags: _tags, Description: _description, ...own } = properties as Record<string, unknown>;
    const parsed = schema.safeParse(own);
    if (!parsed.success) throw new Error(z.prettifyError(parsed.error));
    return make(parsed.data as z.output<z.ZodObject<Shape>>, site);
  };
}

const text = z.string();
const number = z.coerce.number();
const optional = z.unknown().optional();
const policy = z.record(text, z.unknown());
const arn = ({ aws: { region }, accountId }: Site, service: string, resource: string) =>
  `arn:aws:${service}:${region}:${accountId}:${resource}`;
const nameIn = (arnOrName: string) => arnOrName.split(/[:/]/).at(-1) ?? '';

const MAKERS: Readonly<Record<string, Make>> = {
  'AWS::IAM::Role': type(
    { AssumeRolePolicyDocument: policy, RoleName: text.optional(), Policies: z.array(z.never()).optional() },
    ({ AssumeRolePolicyDocument, RoleName }, site) => {
      const name = RoleName ?? site.generatedName;
      return {
        ref: name,
        attributes: { Arn: site.aws.iam.createRole(name, AssumeRolePolicyDocument, site.accountId) },
      };
    },
  ),
  'AWS::IAM::Policy': type(
    { PolicyDocument: policy, PolicyName: text, Roles: z.array(text) },
    ({ PolicyDocument, PolicyName, Roles }, { aws, accountId }) => {
      for (const role of Roles) aws.iam.putRolePolicy(role, PolicyName, PolicyDocument, accountId);
      return { ref: PolicyName };
    },
  ),
  // Where a role's statements are too long for its inline policy, the CDK puts the rest into one of these.
  'AWS::IAM::ManagedPolicy': type(
    { PolicyDocument: policy, Roles: z.array(text), Path: z.literal('/').optional() },
    ({ PolicyDocument, Roles }, { aws, accountId, generatedName }) => {
      for (const role of Roles) aws.iam.putRolePolicy(role, generatedName, PolicyDocument, accountId);
      return { ref: `arn:aws:iam::${accountId}:policy/${generatedName}` };
    },
  ),
  'AWS::KMS::Key': type(
    { KeyPolicy: policy, EnableKeyRotation: optional, PendingWindowInDays: optional },
    ({ KeyPolicy }, { aws }) => {
      const keyArn = aws.createKey(KeyPolicy);
      return { ref: nameIn(keyArn), attributes: { Arn: keyArn, KeyId: nameIn(keyArn) } };
    },
  ),
  'AWS::Logs::LogGroup': type(
    { LogGroupName: text.optional(), RetentionInDays: optional, KmsKeyId: text.optional(), LogGroupClass: optional },
    ({ LogGroupName, KmsKeyId }, site) => {
      const ref = LogGroupName ?? site.generatedName;
      const logGroupArn = arn(site, 'logs', `log-group:${ref}`);
      // CloudWatch Logs User Guide, "Encrypt log data": Logs itself uses the key, and says so when it may not.
      for (const action of KmsKeyId ? ['Encrypt', 'Decrypt', 'ReEncryptTo', 'GenerateDataKey', 'DescribeKey'] : [])
        site.aws.iam.authorize(
          { kind: 'service', name: `logs.${site.aws.region}.amazonaws.com` },
          {
            action: `kms:${action}`,
            resource: KmsKeyId ?? '',
            context: { 'kms:EncryptionContext:aws:logs:arn': logGroupArn },
          },
        );
      return { ref, attributes: { Arn: `${logGroupArn}:*` } };
    },
  ),
  'AWS::Lambda::Function': type(
    {
      FunctionName: text.optional(),
      Code: z.strictObject({ S3Bucket: text, S3Key: text }),
      Environment: z.strictObject({ Variables: z.record(text, text) }).default({ Variables: {} }),
      Handler: z.literal('index.handler'),
      Runtime: z.literal('nodejs24.x'),
      Role: text,
      MemorySize: number.optional(),
      Timeout: number.optional(),
      LoggingConfig: z
        .strictObject({ LogGroup: text.optional(), LogFormat: optional, ...levels() })
        .default({ LogGroup: undefined }),
      VpcConfig: z.unknown().optional(),
      /** Machines of either kind run the same bundle; nothing throttles or traces here. */
      Architectures: optional,
      ReservedConcurrentExecutions: optional,
      TracingConfig: optional,
    },
    (properties, site) => {
      const { aws } = site;
      const roleName = nameIn(properties.Role);
      // CreateFunction API: "The role defined for the function cannot be assumed by Lambda."
      aws.iam.authorize(
        { kind: 'service', name: 'lambda.amazonaws.com' },
        { action: 'sts:AssumeRole', resource: properties.Role },
      );
      if (properties.VpcConfig !== undefined) attachToVpc(site, properties.Role);
      const variables = Object.entries(properties.Environment.Variables);
      const ref = properties.FunctionName ?? site.generatedName;
      const functionArn = aws.functions.deploy({
        name: ref,
        folder: site.folderOf(properties.Code.S3Key),
        environment: {
          ...Object.fromEntries(variables.map(([name, value]) => [name, site.fileOf(value)])),
          ...site.variables,
        },
        ...(properties.MemorySize === undefined ? {} : { memoryMb: properties.MemorySize }),
        ...(properties.Timeout === undefined ? {} : { timeoutSeconds: properties.Timeout }),
        ...(properties.LoggingConfig.LogGroup ? { logGroup: properties.LoggingConfig.LogGroup } : {}),
        reuse: site.reuse,
        roleName,
      });
      return { ref, attributes: { Arn: functionArn } };
    },
  ),
  'AWS::Lambda::Permission': type(
    {
      Action: text,
      FunctionName: text,
      Principal: text,
      SourceAccount: text.optional(),
      SourceArn: text.optional(),
    },
    ({ Action, FunctionName, Principal, SourceAccount, SourceArn }, { aws, logicalId }) => {
      // AddPermission API: a source becomes a condition of the statement.
      aws.iam.putResourceStatement(aws.functions.arnOf(FunctionName), logicalId, {
        Effect: 'Allow',
        Principal: /^\d{12}$|^arn:/.test(Principal) ? { AWS: Principal } : { Service: Principal },
        Action,
        Resource: aws.functions.arnOf(FunctionName),
        Condition: {
          ...(SourceAccount ? { StringEquals: { 'aws:SourceAccount': SourceAccount } } : {}),
          ...(SourceArn ? { ArnLike: { 'aws:SourceArn': SourceArn } } : {}),
        },
      });
      return { ref: logicalId };
    },
  ),
  'AWS::Lambda::EventInvokeConfig': type(
    {
      FunctionName: text,
      Qualifier: z.literal('$LATEST'),
      MaximumRetryAttempts: number.optional(),
      MaximumEventAgeInSeconds: optional,
    },
    ({ FunctionName, MaximumRetryAttempts: retryAttempts }, { aws, logicalId }) => {
      if (retryAttempts !== undefined) aws.functions.configureAsync(FunctionName, { retryAttempts });
      return { ref: logicalId };
    },
  ),
  'AWS::Lambda::EventSourceMapping': type(
    {
      EventSourceArn: text,
      FunctionName: text,
      BatchSize: number.optional(),
      FunctionResponseTypes: z.array(z.literal('ReportBatchItemFailures')).default([]),
      ScalingConfig: z.strictObject({ MaximumConcurrency: number }).optional(),
    },
    ({ EventSourceArn, FunctionName, BatchSize, FunctionResponseTypes, ScalingConfig }, { aws, logicalId }) => {
      aws.mapQueueToFunction(EventSourceArn, FunctionName, {
        ...(BatchSize === undefined ? {} : { batchSize: BatchSize }),
        ...(ScalingConfig === undefined ? {} : { maximumConcurrency: ScalingConfig.MaximumConcurrency }),
        reportBatchItemFailures: FunctionResponseTypes.length > 0,
      });
      return { ref: logicalId };
    },
  ),
  'AWS::SQS::Queue': type(
    {
      QueueName: text.optional(),
      DelaySeconds: number.optional(),
      MaximumMessageSize: number.optional(),
      MessageRetentionPeriod: number.optional(),
      ReceiveMessageWaitTimeSeconds: number.optional(),
      VisibilityTimeout: number.optional(),
      RedrivePolicy: z.unknown().optional(),
      RedriveAllowPolicy: z.unknown().optional(),
      SqsManagedSseEnabled: z.boolean().optional(),
    },
    async ({ QueueName, ...settings }, site) => {
      const name = QueueName ?? site.generatedName;
      const Attributes = Object.fromEntries(
        Object.entries(settings)
          .filter(([, value]) => value !== undefined)
          .map(([key, value]) => [key, typeof value === 'object' ? JSON.stringify(value) : String(value)]),
      );
      const { QueueUrl } = await site.aws.act('sqs', 'CreateQueue', { QueueName: name, Attributes });
      return { ref: String(QueueUrl), attributes: { Arn: arn(site, 'sqs', name), QueueName: name } };
    },
  ),
  'AWS::SQS::QueuePolicy': type({ PolicyDocument: policy, Queues: z.array(text) }, (properties, site) => {
    for (const url of properties.Queues)
      site.aws.iam.putResourcePolicy(arn(site, 'sqs', nameIn(url)), properties.PolicyDocument);
    return { ref: site.logicalId };
  }),
  'AWS::SNS::Topic': type(
    { TopicName: text.optional(), DisplayName: text.optional(), KmsMasterKeyId: text.optional() },
    async ({ TopicName, DisplayName, KmsMasterKeyId }, { aws, generatedName }) => {
      const given = Object.entries({ DisplayName, KmsMasterKeyId }).filter(([, value]) => value !== undefined);
      const { TopicArn } = await aws.act('sns', 'CreateTopic', {
        Name: TopicName ?? generatedName,
        Attributes: { entry: given.map(([key, value]) => ({ key, value })) },
      });
      return { ref: String(TopicArn), attributes: { TopicArn: String(TopicArn), TopicName: nameIn(String(TopicArn)) } };
    },
  ),
  'AWS::SNS::TopicPolicy': type({ PolicyDocument: policy, Topics: z.array(text) }, (properties, site) => {
    for (const topic of properties.Topics) site.aws.iam.putResourcePolicy(topic, properties.PolicyDocument);
    return { ref: site.logicalId };
  }),
  'AWS::SNS::Subscription': type(
    {
      TopicArn: text,
      Protocol: text,
      Endpoint: text,
      RawMessageDelivery: z.boolean().default(false),
      RedrivePolicy: z.strictObject({ deadLetterTargetArn: text }).optional(),
    },
    async ({ TopicArn, Protocol, Endpoint, RawMessageDelivery, RedrivePolicy }, { aws }) => {
      const { SubscriptionArn } = await aws.act('sns', 'Subscribe', {
        TopicArn,
        Protocol,
        Endpoint,
        ReturnSubscriptionArn: 'true',
        Attributes: {
          entry: [
            { key: 'RawMessageDelivery', value: String(RawMessageDelivery) },
            ...(RedrivePolicy ? [{ key: 'RedrivePolicy', value: JSON.stringify(RedrivePolicy) }] : []),
          ],
        },
      });
      return { ref: String(SubscriptionArn) };
    },
  ),
  'AWS::Events::EventBus': type({ Name: text, Policy: policy.optional() }, async ({ Name, Policy }, { aws }) => {
    const { EventBusArn } = await aws.act('events', 'CreateEventBus', { Name });
    if (Policy) aws.iam.putResourcePolicy(String(EventBusArn), Policy);
    return { ref: Name, attributes: { Arn: String(EventBusArn), Name } };
  }),
  'AWS::Events::Rule': type(
    {
      Name: text.optional(),
      EventBusName: text.optional(),
      EventPattern: z.record(text, z.unknown()).optional(),
      ScheduleExpression: text.optional(),
      State: text.optional(),
      Targets: z.array(z.record(text, z.unknown())).default([]),
    },
    async ({ Name = '', EventBusName, EventPattern, ScheduleExpression, State, Targets }, { aws, generatedName }) => {
      const name = Name || generatedName;
      const { RuleArn } = await aws.act('events', 'PutRule', {
        Name: name,
        EventBusName,
        ScheduleExpression,
        State,
        ...(EventPattern && { EventPattern: JSON.stringify(EventPattern) }),
      });
      if (Targets.length > 0) await aws.act('events', 'PutTargets', { Rule: name, EventBusName, Targets });
      return { ref: name, attributes: { Arn: String(RuleArn) } };
    },
  ),
  'AWS::SecretsManager::RotationSchedule': type(
    {
      SecretId: text,
      RotationLambdaARN: text,
      RotationRules: z.record(text, z.unknown()),
      RotateImmediatelyOnUpdate: z.boolean().default(true),
    },
    async ({ SecretId, RotationLambdaARN, RotationRules, RotateImmediatelyOnUpdate }, { aws }) => {
      const isThere = await aws.act('secretsmanager', 'DescribeSecret', { SecretId }).then(
        () => true,
        () => false,
      );
      // CloudFormation would fail. The tests make most secrets after the stack, and rotate them by hand.
      if (isThere)
        await aws.act('secretsmanager', 'RotateSecret', {
          SecretId,
          RotationLambdaARN,
          RotationRules,
          RotateImmediately: RotateImmediatelyOnUpdate,
          ClientRequestToken: crypto.randomUUID(),
        });
      return { ref: SecretId };
    },
  ),
  'AWS::EKS::AccessEntry': type(
    { ClusterName: text, PrincipalArn: text, KubernetesGroups: z.array(text).default([]), Type: z.literal('STANDARD') },
    ({ ClusterName, PrincipalArn, KubernetesGroups }, site) => {
      site.aws.addAccessEntry({ clusterName: ClusterName, principalArn: PrincipalArn, groups: KubernetesGroups });
      return { ref: `${ClusterName}|${PrincipalArn}` };
    },
  ),
};

/** Made by name only: nothing here is watched, drawn or kept apart by a network. */
const WITHOUT_EFFECT = [
  'AWS::CloudWatch::Alarm',
  'AWS::CloudWatch::CompositeAlarm',
  'AWS::CloudWatch::Dashboard',
  'AWS::EC2::SecurityGroup',
  'AWS::EC2::SecurityGroupEgress',
  'AWS::EC2::SecurityGroupIngress',
  'AWS::EC2::VPCEndpoint',
  'AWS::KMS::Alias',
  'AWS::Logs::MetricFilter',
  'AWS::Logs::QueryDefinition',
];

/** @throws Error for a type that the sandbox does not know */
export function makerOf(typeName: string): Make {
  const make = MAKERS[typeName];
  if (make) return make;
  if (!WITHOUT_EFFECT.includes(typeName)) throw new Error(`the sandbox does not know the resource type ${typeName}`);
  return (_properties, site) => ({
    ref: site.generatedName,
    attributes: { GroupId: `sg-${site.generatedName}`, Arn: arn(site, 'simulated', site.generatedName) },
  });
}

/** Resources with a policy among their properties: type → property. */
export const OWN_POLICIES: Readonly<Record<string, string>> = {
  'AWS::IAM::Role': 'AssumeRolePolicyDocument',
  'AWS::KMS::Key': 'KeyPolicy',
};

/** Resources that are nothing but who may do what: they can be put again while everything runs. */
export const POLICY_TYPES: readonly string[] = [
  'AWS::IAM::ManagedPolicy',
  'AWS::IAM::Policy',
  'AWS::Lambda::Permission',
  'AWS::SNS::TopicPolicy',
  'AWS::SQS::QueuePolicy',
];

/**
 * Lambda looks, before it makes a function with a VpcConfig, whether the role lets it manage network interfaces
 * (Lambda Developer Guide, "Giving Lambda functions access to resources in an Amazon VPC").
 */
function attachToVpc({ aws, logicalId }: Site, roleArn: string): void {
  const sessionArn = `${roleArn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/${logicalId}`;
  const requester = { kind: 'role', accountId: aws.accountId, roleArn, sessionArn } as const;
  for (const operation of [
    'CreateNetworkInterface',
    'DescribeNetworkInterfaces',
    'DescribeSubnets',
    'DeleteNetworkInterface',
    'AssignPrivateIpAddresses',
    'UnassignPrivateIpAddresses',
  ])
    aws.iam.authorize(requester, { action: `ec2:${operation}`, resource: '*' });
}

function levels() {
  return { ApplicationLogLevel: optional, SystemLogLevel: optional };
}
