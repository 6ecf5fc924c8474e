// biome-ignore-all lint/suspicious/noTemplateCurlyInString: Fn::Sub is written so
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { deploy } from '../../sandbox/aws/cloud-formation/deploy.ts';
import { referencesIn, resolve, type Scope } from '../../sandbox/aws/cloud-formation/intrinsics.ts';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';
import { functionFolder } from './function-folder.ts';

describe('CloudFormation Template Reference, "Intrinsic functions":', () => {
  const scope: Scope = {
    ref: (name) => (name === 'AWS::NoValue' ? undefined : `ref of ${name}`),
    attribute: (logicalId, attribute) => `${attribute} of ${logicalId}`,
    importValue: (name) => `import of ${name}`,
  };

  test.each<[value: unknown, resolved: unknown]>([
    ['plain', 'plain'],
    [{ a: [1, true, null] }, { a: [1, true, null] }],
    [{ Ref: 'Queue' }, 'ref of Queue'],
    [{ 'Fn::GetAtt': ['Queue', 'Arn'] }, 'Arn of Queue'],
    [{ 'Fn::GetAtt': 'Queue.Arn' }, 'Arn of Queue'],
    [{ 'Fn::Join': ['-', ['a', { Ref: 'B' }]] }, 'a-ref of B'],
    [{ 'Fn::Sub': '${A}/${B.Arn}/${!C}' }, 'ref of A/Arn of B/${C}'],
    [{ 'Fn::Sub': ['${A}', { A: { Ref: 'B' } }] }, 'ref of B'],
    [{ 'Fn::Select': [1, { 'Fn::Split': ['|', 'a|b'] }] }, 'b'],
    [{ 'Fn::ImportValue': { 'Fn::Join': ['', ['x', 'y']] } }, 'import of xy'],
    [{ kept: 1, gone: { Ref: 'AWS::NoValue' } }, { kept: 1 }],
    [[1, { Ref: 'AWS::NoValue' }], [1]],
    // One key that only looks so.
    [{ Reference: 'x' }, { Reference: 'x' }],
  ])('%j is %j', (value, resolved) => {
    expect(resolve(value, scope)).toEqual(resolved);
  });

  test('one that is not known is an error', () => {
    expect(() => resolve({ a: [{ 'Fn::Base64': 'x' }] }, scope)).toThrow('Fn::Base64');
  });

  test('what a value refers to is found in every one of them', () => {
    const value = [{ Ref: 'A' }, { 'Fn::GetAtt': 'B.Arn' }, { 'Fn::Sub': ['${C.Arn} ${!D}', { E: { Ref: 'F' } }] }];
    expect(referencesIn({ value })).toEqual(['A', 'B', 'C', 'F']);
  });
});

describe('a template', () => {
  let aws: AwsSandbox;
  let folder: string;
  beforeEach(async () => {
    aws = await startAws({ access: 'enforced', queueSecondMs: 20 });
    folder = functionFolder('console.log("got", JSON.stringify(event)); return { batchItemFailures: [] };');
  });
  afterEach(() => aws.close());

  const stack = (Resources: object, imports?: ReadonlyMap<string, string>) =>
    deploy(
      aws,
      { Resources },
      {
        stackName: 'stack',
        folderOf: () => folder,
        fileOf: (path) => (path === '/image/ca.pem' ? '/here/ca.pem' : path),
        variables: { EXTRA: 'x' },
        reuse: true,
        ...(imports && { imports }),
      },
    );

  const role = (...statements: object[]) => ({
    Role: { Type: 'AWS::IAM::Role', Properties: { AssumeRolePolicyDocument: trust } },
    Policy: {
      Type: 'AWS::IAM::Policy',
      Properties: {
        PolicyName: 'own',
        PolicyDocument: { Version: '2012-10-17', Statement: statements },
        Roles: [{ Ref: 'Role' }],
      },
    },
  });
  const trust = {
    Version: '2012-10-17',
    Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }],
  };
  const handler = {
    Type: 'AWS::Lambda::Function',
    Properties: {
      FunctionName: 'worker',
      Code: { S3Bucket: 'assets', S3Key: 'key.zip' },
      Environment: { Variables: { QUEUE: { Ref: 'Queue' }, CA: '/image/ca.pem' } },
      Handler: 'index.handler',
      Runtime: 'nodejs24.x',
      Role: { 'Fn::GetAtt': ['Role', 'Arn'] },
      MemorySize: 256,
      Timeout: 7,
    },
    DependsOn: ['Policy'],
  };
  const queue = { Type: 'AWS::SQS::Queue', Properties: { QueueName: 'work', VisibilityTimeout: 42 } };
  const mapping = {
    Type: 'AWS::Lambda::EventSourceMapping',
    Properties: { EventSourceArn: { 'Fn::GetAtt': ['Queue', 'Arn'] }, FunctionName: { Ref: 'Function' }, BatchSize: 3 },
  };
  const logging = { Effect: 'Allow', Action: ['logs:CreateLogStream', 'logs:PutLogEvents'], Resource: '*' };
  const polling = {
    Effect: 'Allow',
    Action: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'],
    Resource: '*',
  };

  test('becomes functions, queues and mappings that work as it says, whatever its order', async () => {
    await stack({ Mapping: mapping, Function: handler, Queue: queue, ...role(logging, polling) });
    const [deployed] = aws.functions.list();
    expect(deployed).toMatchObject({ name: 'worker', memoryMb: 256, timeoutSeconds: 7, folder });
    expect(deployed?.environment).toEqual({
      QUEUE: `${aws.endpoint}/${aws.accountId}/work`,
      CA: '/here/ca.pem',
      EXTRA: 'x',
    });
    const answer = await aws.act('sqs', 'GetQueueAttributes', {
      QueueUrl: `${aws.endpoint}/${aws.accountId}/work`,
      AttributeNames: ['VisibilityTimeout'],
    });
    expect(answer).toEqual({ Attributes: { VisibilityTimeout: '42' } });

    await aws.act('sqs', 'SendMessage', { QueueUrl: 'work', MessageBody: 'hello' });
    await aws.idle();
    expect(aws.functions.logs('worker').join('\n')).toContain('hello');
  });

  test.each(['sqs:ReceiveMessage', 'sqs:GetQueueAttributes'])(
    'whose role lacks %s hands nothing to the function, until it has it',
    async (action) => {
      const without = { ...polling, Action: polling.Action.filter((each) => each !== action) };
      const resources = { Mapping: mapping, Function: handler, Queue: queue, ...role(logging, without) };
      const { updatePolicies } = await stack(resources);
      await aws.act('sqs', 'SendMessage', { QueueUrl: 'work', MessageBody: 'hello' });
      await new Promise((resolve) => setImmediate(resolve));
      expect(aws.functions.logs('worker')).toEqual([]);

      await updatePolicies({ Resources: { ...resources, ...role(logging, polling) } });
      await aws.idle();
      expect(aws.functions.logs('worker').join('\n')).toContain('hello');
    },
  );

  test('takes values that another stack exports', async () => {
    const name = { 'Fn::ImportValue': 'shared-name' };
    await stack({ Queue: { ...queue, Properties: { QueueName: name } } }, new Map([['shared-name', 'theirs']]));
    expect(await aws.act('sqs', 'ListQueues', {})).toEqual({ QueueUrls: [`${aws.endpoint}/${aws.accountId}/theirs`] });
  });

  test.each<[what: string, resources: object, message: string]>([
    ['a type', { A: { Type: 'AWS::S3::Bucket' } }, 'AWS::S3::Bucket'],
    ['a property', { A: { ...queue, Properties: { KmsMasterKeyId: 'x' } } }, 'KmsMasterKeyId'],
    ['an attribute of a resource', { A: { ...queue, CreationPolicy: {} } }, 'CreationPolicy'],
    ['an intrinsic function', { A: { ...queue, Properties: { QueueName: { 'Fn::Base64': 'x' } } } }, 'Fn::Base64'],
    ['a reference', { A: { ...queue, Properties: { QueueName: { Ref: 'B' } } } }, 'B'],
    ['an import', { A: { ...queue, Properties: { QueueName: { 'Fn::ImportValue': 'b' } } } }, 'no stack exports b'],
    ['a condition operator', role({ ...logging, Condition: { DateLike: { 'aws:SourceArn': 'x' } } }), 'DateLike'],
  ])('with %s that is not known here is an error that names it', async (_what, resources, message) => {
    await expect(stack(resources)).rejects.toThrow(message);
  });

  test('whose references go round in a circle is an error', async () => {
    const refersTo = (other: string) => ({ ...queue, Properties: { QueueName: { Ref: other } } });
    await expect(stack({ A: refersTo('B'), B: refersTo('A') })).rejects.toThrow('A → B → A');
  });

  test('a function in a VPC is not made unless its role may manage network interfaces', async () => {
    const inVpc = { ...handler, Properties: { ...handler.Properties, VpcConfig: { SubnetIds: ['subnet-1'] } } };
    const resources = { Function: inVpc, Queue: queue };
    await expect(stack({ ...resources, ...role(logging) })).rejects.toThrow('ec2:CreateNetworkInterface');
  });

  test('a log group is not made with a key that CloudWatch Logs may not use', async () => {
    const key = (statements: object[]) => ({
      Key: { Type: 'AWS::KMS::Key', Properties: { KeyPolicy: { Version: '2012-10-17', Statement: statements } } },
      Group: {
        Type: 'AWS::Logs::LogGroup',
        Properties: { LogGroupName: 'group', KmsKeyId: { 'Fn::GetAtt': ['Key', 'Arn'] } },
      },
    });
    const forLogs = (logGroup: string) => ({
      Effect: 'Allow',
      Principal: { Service: 'logs.eu-west-1.amazonaws.com' },
      Action: ['kms:Encrypt', 'kms:Decrypt', 'kms:ReEncrypt*', 'kms:GenerateDataKey*', 'kms:DescribeKey'],
      Resource: '*',
      Condition: {
        ArnEquals: {
          'kms:EncryptionContext:aws:logs:arn': `arn:aws:logs:eu-west-1:111122223333:log-group:${logGroup}`,
        },
      },
    });
    await expect(stack(key([forLogs('other')]))).rejects.toThrow('kms:Encrypt');
    await expect(stack(key([forLogs('group')]))).resolves.toBeDefined();
  });
});
