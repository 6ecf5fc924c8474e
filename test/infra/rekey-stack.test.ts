import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { rootCertificates } from 'node:tls';
import { describe, expect, test } from '@jest/globals';
import { Match } from 'aws-cdk-lib/assertions';
import type { Environment } from '../../infra/config.ts';
import { checked } from '../../infra/config-check.ts';
import { createApp } from '../../infra/create-app.ts';
import { RekeyStack } from '../../infra/rekey-stack.ts';
import {
  askedToMoveBack,
  FOR_PEOPLE,
  type FunctionSpec,
  RETIRE,
  ROTATION,
  SECRET_CONVERGED,
  SECRET_LABEL_UPDATED,
  SWEEP,
  SYNC,
  WATCH,
} from '../../infra/wiring.ts';
import { example, synthesised } from './synthesised.ts';

const SECRET = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-AbCdEf';
const ADMIN = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-admin-GhIjKl';
const LOOKERS = [SYNC.name, SWEEP.name];

const stack = synthesised();
const { template, resources, functionNamed, statementsOf } = stack;

const rightsOf = (name: string) =>
  Object.fromEntries(
    statementsOf(name)
      .filter(({ effect }) => effect === 'Allow')
      .map(({ sid, actions }) => [sid, actions]),
  );

/** The example rotates PostgreSQL alone. */
const DEPLOYED = [ROTATION.postgres, SYNC, SWEEP, RETIRE, WATCH];

const statement = (name: string, sid: string) => statementsOf(name).find((each) => each.sid === sid);

describe('rotation', () => {
  test('is called by Secrets Manager from this account alone', () => {
    template.hasResourceProperties('AWS::Lambda::Permission', {
      Action: 'lambda:InvokeFunction',
      Principal: 'secretsmanager.amazonaws.com',
      SourceAccount: '111122223333',
    });
  });

  test('is never started by a deployment', () => {
    template.allResourcesProperties('AWS::SecretsManager::RotationSchedule', { RotateImmediatelyOnUpdate: false });
  });

  test('runs when the configuration says, within its window', () => {
    template.hasResourceProperties('AWS::SecretsManager::RotationSchedule', {
      SecretId: SECRET,
      RotationRules: { ScheduleExpression: 'cron(0 3 ? * SUN *)', Duration: '2h' },
    });
  });

  test('is scheduled only after Secrets Manager may call the function and the function may do its work', () => {
    const [schedule] = resources('AWS::SecretsManager::RotationSchedule');
    const waitsFor = schedule?.dependsOn.map((id) => template.toJSON()['Resources'][id].Type);

    expect(waitsFor).toEqual(expect.arrayContaining(['AWS::Lambda::Permission', 'AWS::IAM::Policy', 'AWS::IAM::Role']));
  });

  test('makes no secret and touches no resource policy of one: secrets are yours', () => {
    template.resourceCountIs('AWS::SecretsManager::Secret', 0);
    template.resourceCountIs('AWS::SecretsManager::ResourcePolicy', 0);
  });
});

describe('rights in AWS', () => {
  test.each([
    [
      'rotation-postgres',
      {
        WriteItsLog: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        AnnounceEvents: ['events:PutEvents'],
        AttachToTheVpc: expect.any(Array),
        RotateTheSecrets: [
          'secretsmanager:DescribeSecret',
          'secretsmanager:GetSecretValue',
          'secretsmanager:PutSecretValue',
          'secretsmanager:UpdateSecretVersionStage',
        ],
        ReadTheAdministrators: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
        UseTheirKeys: ['kms:Decrypt', 'kms:GenerateDataKey'],
        WorkOffItsQueue: ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'],
      },
    ],
    [
      'sync',
      {
        WriteItsLog: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        AnnounceEvents: ['events:PutEvents'],
        AttachToTheVpc: expect.any(Array),
        WorkOffItsQueue: ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage', 'sqs:SendMessage'],
        BringBackSooner: ['sqs:ChangeMessageVisibility'],
        FindTheClusters: ['eks:DescribeCluster'],
        SeeLabelsAndTagsOfSecrets: ['secretsmanager:DescribeSecret'],
      },
    ],
    [
      'sweep',
      {
        WriteItsLog: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        AttachToTheVpc: expect.any(Array),
        FindTheClusters: ['eks:DescribeCluster'],
        SeeLabelsAndTagsOfSecrets: ['secretsmanager:DescribeSecret'],
        AskSyncToLookAgain: ['sqs:SendMessage'],
      },
    ],
    [
      'retire',
      {
        WriteItsLog: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        AnnounceEvents: ['events:PutEvents'],
        AttachToTheVpc: expect.any(Array),
        WorkOffItsQueue: ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage', 'sqs:SendMessage'],
        ReadTheSecrets: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
        ReadTheAdministrators: ['secretsmanager:DescribeSecret', 'secretsmanager:GetSecretValue'],
        UseTheirKeys: ['kms:Decrypt'],
      },
    ],
    [
      'watch',
      {
        WriteItsLog: ['logs:CreateLogStream', 'logs:PutLogEvents'],
        AttachToTheVpc: expect.any(Array),
        SeeWhenSecretsRotate: ['secretsmanager:ListSecrets'],
      },
    ],
  ])('of %s are these and no others', (name, rights) => {
    expect(rightsOf(name)).toEqual(rights);
  });

  test.each(LOOKERS)('let %s read no value of a secret', (name) => {
    const actions = statementsOf(name).flatMap((each) => each.actions);

    expect(actions.filter((action) => /^(secretsmanager|kms):/.test(action))).toEqual([
      'secretsmanager:DescribeSecret',
    ]);
  });

  test.each([
    ['rotation-postgres', 'RotateTheSecrets'],
    ['retire', 'ReadTheSecrets'],
  ])('let %s reach only secrets that Rekey rotates', (name, sid) => {
    expect(statement(name, sid)).toMatchObject({
      resources: [SECRET],
      conditions: {
        StringEquals: {
          'secretsmanager:resource/AllowRotationLambdaArn':
            'arn:aws:lambda:eu-west-1:111122223333:function:rekey-example-rotation-postgres',
        },
      },
    });
  });

  test.each(['rotation-postgres', 'retire'])('let %s read the administrators that the configuration names', (name) => {
    expect(statement(name, 'ReadTheAdministrators')?.resources).toEqual([ADMIN]);
  });

  test.each(['rotation-postgres', 'retire'])(
    'let %s ask RDS about the databases that are named, and no other',
    (name) => {
      const arnOf = (kind: string, id: string) => `arn:aws:rds:eu-west-1:111122223333:${kind}:${id}`;
      const databaseArns = [arnOf('db', 'orders-1'), arnOf('cluster', 'orders'), arnOf('db', 'orders-2')];
      const asking = synthesised({ rotated: example.rotated.map((secret) => ({ ...secret, databaseArns })) });

      const rights = asking
        .statementsOf(name)
        .filter(({ actions }) => actions.some((action) => action.startsWith('rds:')));

      expect(rights.map(({ actions, resources: on }) => ({ actions, on }))).toEqual([
        { actions: ['rds:DescribeDBInstances'], on: [arnOf('db', 'orders-1'), arnOf('db', 'orders-2')] },
        { actions: ['rds:DescribeDBClusters'], on: [arnOf('cluster', 'orders')] },
      ]);
    },
  );

  test.each(['rotation-postgres', 'retire'])(
    'let %s use a key only through Secrets Manager and for these secrets',
    (name) => {
      expect(statement(name, 'UseTheirKeys')).toMatchObject({
        resources: example.rotated[0]?.kmsKeyArns,
        conditions: {
          StringEquals: {
            'kms:ViaService': 'secretsmanager.eu-west-1.amazonaws.com',
          },
          StringLike: { 'kms:EncryptionContext:SecretARN': [SECRET, ADMIN] },
        },
      });
    },
  );

  test('name their resources, but where AWS knows none: the network interfaces of a VPC, the list of secrets', () => {
    const unbounded = DEPLOYED.flatMap(({ name }) => statementsOf(name)).filter(
      ({ effect, resources: on }) => effect === 'Allow' && on.includes('*'),
    );

    expect(unbounded.map(({ sid }) => sid)).toEqual([...DEPLOYED.map(() => 'AttachToTheVpc'), 'SeeWhenSecretsRotate']);
  });

  test('have no wildcard in a role’s action', () => {
    const actions = DEPLOYED.flatMap(({ name }) => statementsOf(name).flatMap((each) => each.actions));

    expect(actions.filter((action) => action.includes('*'))).toEqual([]);
  });

  test.each(DEPLOYED)('keep the network interfaces from the code of $name', ({ name }) => {
    const attach = statement(name, 'AttachToTheVpc');

    expect(attach?.actions.every((action) => action.startsWith('ec2:'))).toBe(true);
    expect(statement(name, 'AttachingIsNotForTheCode')).toMatchObject({
      effect: 'Deny',
      actions: attach?.actions,
      resources: ['*'],
      conditions: { ArnEquals: { 'lambda:SourceFunctionArn': expect.anything() } },
    });
  });

  test('come from no managed policy, and each function has a role of its own', () => {
    for (const { properties } of resources('AWS::IAM::Role')) expect(properties['ManagedPolicyArns']).toBeUndefined();
    template.resourceCountIs('AWS::IAM::ManagedPolicy', 0);
    template.resourceCountIs('AWS::IAM::Role', DEPLOYED.length);
  });

  test('let no resource be used by everyone: services are bound to this account or rule', () => {
    const open = stack
      .allStatements()
      .filter(({ effect, principal }) => effect === 'Allow' && principal !== undefined)
      .filter(({ principal, conditions }) => !isThisAccount(principal) && conditions === undefined);

    expect(open).toEqual([]);
  });

  test('let Rekey’s key be used for its own logs and notifications alone', () => {
    template.hasResourceProperties('AWS::KMS::Key', {
      KeyPolicy: {
        Statement: [
          Match.objectLike({ Action: 'kms:*', Principal: Match.anyValue() }),
          Match.objectLike({
            Principal: { Service: 'logs.eu-west-1.amazonaws.com' },
            Condition: {
              ArnLike: {
                'kms:EncryptionContext:aws:logs:arn': {
                  'Fn::Join': ['', ['arn:aws:logs:eu-west-1:111122223333:log-group:', { Ref: 'AWS::StackName' }, '-*']],
                },
              },
            },
          }),
          Match.objectLike({
            Principal: { Service: ['cloudwatch.amazonaws.com', 'events.amazonaws.com'] },
            Condition: { StringEquals: { 'aws:SourceAccount': '111122223333' } },
          }),
        ],
      },
    });
  });

  test('let a function be called by nobody unnamed', () => {
    for (const { properties } of resources('AWS::Lambda::Permission'))
      expect(properties['SourceArn'] ?? properties['SourceAccount']).toBeDefined();
  });
});

const isThisAccount = (principal: unknown) => JSON.stringify(principal).includes(':iam::111122223333:root');

describe('the way to sync', () => {
  test('begins with Secrets Manager’s own event on the default bus', () => {
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: SECRET_LABEL_UPDATED,
      EventBusName: Match.absent(),
      State: 'ENABLED',
      Targets: [
        Match.objectLike({
          Arn: arnOf(queueNamed('sync')),
          DeadLetterConfig: { Arn: arnOf(queueNamed('sync-dead-letters')) },
        }),
      ],
    });
  });

  test('asks for AWSCURRENT alone', () => {
    expect(SECRET_LABEL_UPDATED).toEqual({
      source: ['aws.secretsmanager'],
      'detail-type': ['Secret Label Updated'],
      detail: { labelUpdated: ['AWSCURRENT'] },
    });
  });
});

describe('the way to retire', () => {
  test('begins with Secret Converged on Rekey’s bus', () => {
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: SECRET_CONVERGED,
      EventBusName: Match.objectLike({ Ref: Match.stringLikeRegexp('Bus') }),
      Targets: [Match.objectLike({ Arn: arnOf(queueNamed('retire')) })],
    });
  });
});

describe('the way back', () => {
  test('begins with a halt on Rekey’s bus that names the function', () => {
    const rule = resources('AWS::Events::Rule').find(
      ({ properties }) => properties['Name'] === 'rekey-example-rotation-postgres',
    );
    expect(rule?.properties).toMatchObject({
      EventPattern: { ...askedToMoveBack(''), detail: { moveBack: { rotationFunction: [expect.anything()] } } },
      EventBusName: { Ref: expect.stringMatching(/Bus/) },
      Targets: [{ Arn: arnOf(queueNamed('rotation-postgres')) }],
    });
  });

  test('is one message at a time, so that one which fails brings back no other', () => {
    expect(mappingOf('rotation-postgres').properties['BatchSize']).toBe(1);
  });

  test.each([
    ['rotation-postgres', 2],
    ['sync', SYNC.concurrency],
    ['retire', RETIRE.concurrency],
  ])('%s takes %d at a time: of a rotation function, most places are for rotations', (name, places) => {
    expect(mappingOf(name).properties['ScalingConfig']).toEqual({ MaximumConcurrency: places });
  });
});

describe.each([
  ['sync', SYNC],
  ['retire', RETIRE],
  ['rotation-postgres', ROTATION.postgres],
])('the queue of %s', (name, spec: FunctionSpec) => {
  test('gives a message five chances, then keeps it for two weeks', () => {
    expect(queueNamed(name).properties['RedrivePolicy']).toEqual({
      deadLetterTargetArn: arnOf(queueNamed(`${name}-dead-letters`)),
      maxReceiveCount: 5,
    });
    expect(queueNamed(`${name}-dead-letters`).properties['MessageRetentionPeriod']).toBe(14 * 24 * 3600);
  });

  test('hides a message for at least six time-outs of the function', () => {
    expect(queueNamed(name).properties['VisibilityTimeout']).toBeGreaterThanOrEqual(6 * spec.timeoutSeconds);
  });

  test('takes back only the messages of a batch that failed', () => {
    expect(mappingOf(name).properties['FunctionResponseTypes']).toEqual(['ReportBatchItemFailures']);
  });

  test('is polled by no more than may run', () => {
    const { MaximumConcurrency } = mappingOf(name).properties['ScalingConfig'];
    expect(MaximumConcurrency).toBeLessThanOrEqual(spec.concurrency);
    expect(functionNamed(name).properties['ReservedConcurrentExecutions']).toBe(spec.concurrency);
  });

  test('takes events from its own rule alone', () => {
    const rule = resources('AWS::Events::Rule').find(
      ({ properties }) => properties['Name'] === `rekey-example-${name}`,
    );
    for (const queue of [queueNamed(name), queueNamed(`${name}-dead-letters`)]) {
      const allowed = policyOf(queue).filter((each: { Effect: string }) => each.Effect === 'Allow');
      expect(allowed).toEqual([
        expect.objectContaining({
          Principal: { Service: 'events.amazonaws.com' },
          Condition: { ArnEquals: { 'aws:SourceArn': { 'Fn::GetAtt': [rule?.logicalId, 'Arn'] } } },
        }),
      ]);
    }
  });
});

test('every queue is encrypted and refuses plain HTTP', () => {
  expect(resources('AWS::SQS::Queue')).toHaveLength(7);
  for (const queue of resources('AWS::SQS::Queue')) {
    expect(queue.properties['SqsManagedSseEnabled']).toBe(true);
    expect(policyOf(queue)).toContainEqual(REFUSES_PLAIN_HTTP);
  }
});

describe('notifications', () => {
  test('go from Rekey’s bus to a topic that is encrypted and refuses plain HTTP', () => {
    template.hasResourceProperties('AWS::Events::Rule', {
      EventPattern: FOR_PEOPLE,
      Targets: [{ Arn: { Ref: Match.stringLikeRegexp('Topic') }, Id: Match.anyValue() }],
    });
    template.hasResourceProperties('AWS::SNS::Topic', { KmsMasterKeyId: Match.anyValue() });
    expect(resources('AWS::SNS::TopicPolicy')[0]?.properties['PolicyDocument'].Statement).toContainEqual(
      expect.objectContaining({
        Effect: 'Deny',
        Principal: '*',
        Action: 'sns:Publish',
        Condition: { Bool: { 'aws:SecureTransport': 'false' } },
      }),
    );
  });

  test('are published by their rule alone', () => {
    template.hasResourceProperties('AWS::SNS::TopicPolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({
            Effect: 'Allow',
            Principal: { Service: 'events.amazonaws.com' },
            Condition: { ArnEquals: { 'aws:SourceArn': Match.anyValue() } },
          }),
        ]),
      },
    });
  });

  test('tell people of every failure', () => {
    expect(FOR_PEOPLE['detail-type']).toEqual(
      expect.arrayContaining(['Rotation Failed', 'Sync Halted', 'Secret Not Converged', 'Action Needed']),
    );
  });
});

describe('sweep', () => {
  test('runs every 15 minutes, and the next run is its only retry', () => {
    template.hasResourceProperties('AWS::Events::Rule', { ScheduleExpression: 'rate(15 minutes)' });
    template.hasResourceProperties('AWS::Lambda::EventInvokeConfig', { MaximumRetryAttempts: 0 });
  });
});

describe('every function', () => {
  test.each(DEPLOYED)('80, 84: $name has its own runtime, memory and time-out', (spec) => {
    expect(functionNamed(spec.name).properties).toMatchObject({
      Runtime: `nodejs${readFileSync('.nvmrc', 'utf8').trim()}.x`,
      Architectures: ['arm64'],
      Handler: 'index.handler',
      MemorySize: spec.memoryMb,
      Timeout: spec.timeoutSeconds,
      ReservedConcurrentExecutions: spec.concurrency,
    });
  });

  test('keeps its log for the time that the configuration says, encrypted with a key that rotates', () => {
    template.resourceCountIs('AWS::Logs::LogGroup', DEPLOYED.length);
    template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 90, KmsKeyId: Match.anyValue() });
    template.allResourcesProperties('AWS::KMS::Key', { EnableKeyRotation: true });
  });

  test.each([
    ['rotation-postgres', ['REKEY_DATABASE_CA_FILE', 'REKEY_ALLOWED_HOSTS']],
    ['sync', ['REKEY_CLUSTERS', 'REKEY_QUEUE_URL', 'REKEY_ROTATION_FUNCTIONS']],
    ['sweep', ['REKEY_CLUSTERS', 'REKEY_QUEUE_URL']],
    ['retire', ['REKEY_DATABASE_CA_FILE', 'REKEY_ALLOWED_HOSTS', 'REKEY_QUEUE_URL', 'REKEY_ROTATION_FUNCTIONS']],
    ['watch', ['REKEY_ROTATION_FUNCTIONS']],
  ])('%s is told what it needs and nothing else', (name, own) => {
    const common = ['REKEY_EVENT_BUS', 'POWERTOOLS_SERVICE_NAME', 'POWERTOOLS_LOG_LEVEL'];

    expect(Object.keys(variablesOf(name)).sort()).toEqual([...common, ...own].sort());
  });

  test('is told of the clusters as JSON', () => {
    expect(JSON.parse(variablesOf('sync')['REKEY_CLUSTERS'])).toEqual([{ region: 'eu-west-1', names: 'shop' }]);
  });

  test('is told of its own queue: sync and sweep of sync’s, retire of retire’s', () => {
    const refTo = (name: string) => ({ Ref: queueNamed(name).logicalId });

    expect(variablesOf('sync')['REKEY_QUEUE_URL']).toEqual(refTo('sync'));
    expect(variablesOf('sweep')['REKEY_QUEUE_URL']).toEqual(refTo('sync'));
    expect(variablesOf('retire')['REKEY_QUEUE_URL']).toEqual(refTo('retire'));
  });

  test('is told which rotation a secret must have to be retired: the one whose rights it shares', () => {
    const rotation = variablesOf('retire')['REKEY_ROTATION_FUNCTIONS'];

    expect(statement('retire', 'ReadTheSecrets')?.conditions).toEqual({
      StringEquals: { 'secretsmanager:resource/AllowRotationLambdaArn': rotation },
    });
  });

  test('reserves no concurrency where the account has none to spare', () => {
    const without = synthesised({ limits: { reserveConcurrency: false } });

    without.template.allResourcesProperties('AWS::Lambda::Function', { ReservedConcurrentExecutions: Match.absent() });
  });
});

describe('the network', () => {
  test('lets nobody in, and out only to APIs and to the database', () => {
    for (const { properties } of resources('AWS::EC2::SecurityGroup')) {
      expect(properties['SecurityGroupIngress']).toBeUndefined();
      expect(properties['SecurityGroupEgress']).toEqual([
        expect.objectContaining({ CidrIp: '0.0.0.0/0', FromPort: 443, ToPort: 443 }),
      ]);
    }
    const ways = resources('AWS::EC2::SecurityGroupEgress').map(({ properties }) => [
      properties['DestinationSecurityGroupId'],
      properties['FromPort'],
      properties['ToPort'],
    ]);
    expect(ways.sort()).toEqual([
      ['sg-0123456789abcdef0', 5432, 5432],
      ['sg-0123456789abcdef0', 5432, 5432],
      ['sg-0fedcba9876543210', 443, 443],
      ['sg-0fedcba9876543210', 443, 443],
    ]);
  });

  test('opens the database to rotation and retire alone', () => {
    expect(letInto('sg-0123456789abcdef0')).toEqual([
      { port: 5432, from: expect.stringMatching(/^RekeyRetire/) },
      { port: 5432, from: expect.stringMatching(/^Rekeyrotationpostgres/) },
    ]);
  });

  test('opens a private Kubernetes API to sync and sweep alone', () => {
    expect(letInto('sg-0fedcba9876543210')).toEqual([
      { port: 443, from: expect.stringMatching(/^RekeySweep/) },
      { port: 443, from: expect.stringMatching(/^RekeySync/) },
    ]);
  });

  test('asks for no right on network interfaces where there is no VPC', () => {
    const { network: _, ...outside } = example;
    const clusters = [{ name: 'shop', region: 'eu-west-1', createAccessEntries: true }];
    const rotated = example.rotated.map(({ hostSecurityGroup: _, ...secret }) => secret);
    const without = synthesisedWithout({ ...outside, clusters, rotated });

    expect(without).not.toContain('ec2:');
    expect(without).not.toContain('AWS::EC2::');
  });
});

describe('access to Kubernetes', () => {
  test('is by group, never by one of EKS’s own policies', () => {
    const entries = resources('AWS::EKS::AccessEntry').map(({ properties }) => properties);

    expect(entries.map((each) => each['KubernetesGroups'])).toEqual([['rekey'], ['rekey-sweep']]);
    for (const each of entries) expect(each['AccessPolicies']).toBeUndefined();
  });

  test('is left to a person where the cluster is not ours to open', () => {
    const without = synthesised({ clusters: [{ name: 'far', region: 'us-east-1', createAccessEntries: false }] });

    without.template.resourceCountIs('AWS::EKS::AccessEntry', 0);
    expect(JSON.stringify(without.statementsOf('sync'))).toContain(':eks:us-east-1:111122223333:cluster/far');
  });
});

describe('several kinds of database', () => {
  const [secret] = example.rotated;
  const arnOf = (name: string) => `arn:aws:secretsmanager:eu-west-1:111122223333:secret:${name}-AbCdEf`;
  const mixed = synthesised({
    rotated: [
      { ...secret, arn: arnOf('orders') },
      { ...secret, arn: arnOf('basket'), engine: 'mysql', strategy: 'user-pair' },
    ],
  });

  test('have a function each, and none for what is not rotated', () => {
    expect(mixed.functionNames.filter((name) => name.includes('rotation'))).toEqual([
      'rekey-example-rotation-postgres',
      'rekey-example-rotation-mysql',
    ]);
  });

  test('have a function that reaches the secrets of its kind alone', () => {
    const reached = (name: string) => mixed.statementsOf(name).find(({ sid }) => sid === 'RotateTheSecrets')?.resources;
    expect(['rotation-postgres', 'rotation-mysql'].map(reached)).toEqual([[arnOf('orders')], [arnOf('basket')]]);
  });

  test('let retire store the next login of pairs, and nothing else', () => {
    const writes = mixed
      .statementsOf('retire')
      .filter(({ actions }) => actions.some((each) => /^secretsmanager:(Put|Update)/.test(each)));
    expect(writes.map(({ sid, actions, resources: on }) => ({ sid, actions, on }))).toEqual([
      { sid: 'StoreTheNextLogin', actions: ['secretsmanager:PutSecretValue'], on: [arnOf('basket')] },
    ]);
  });
});

describe('each half alone', () => {
  test('sync without rotation has no function that knows a database', () => {
    expect(synthesised({ rotated: [] }).functionNames).toEqual(['rekey-example-sync', 'rekey-example-sweep']);
  });

  test('rotation without clusters has no sync, nothing to retire, and nobody who asks to move back', () => {
    const alone = synthesised({ clusters: [] });
    expect(alone.functionNames).toEqual(['rekey-example-watch', 'rekey-example-rotation-postgres']);
    expect(alone.statementsOf('rotation-postgres').map(({ sid }) => sid)).not.toContain('WorkOffItsQueue');
  });
});

describe('the roots of the databases', () => {
  test('are those of Lambda’s image where the configuration names no file', () => {
    expect(variablesOf('rotation-postgres')['REKEY_DATABASE_CA_FILE']).toBe('/var/runtime/ca-cert.pem');
  });

  test('lie beside the functions that log in, and beside the watch, where it names them; so do those for rekey:ca', () => {
    const folder = mkdtempSync(join(tmpdir(), 'rekey-ca-'));
    try {
      const file = join(folder, 'own.pem');
      writeFileSync(file, rootCertificates[0] ?? '');
      const databases = { caFile: relative('.', file), namedCaFiles: { corporate: file } };
      const app = createApp({ outdir: join(folder, 'cdk.out'), context: { 'aws:cdk:enable-asset-metadata': true } });
      new RekeyStack(app, checked({ ...example, databases }));
      const { directory, stacks } = app.synth();

      const functions = Object.values<{ Type: string; Properties: never; Metadata: Record<string, string> }>(
        stacks[0]?.template.Resources,
      ).filter((each) => each.Type === 'AWS::Lambda::Function');
      const found = functions.flatMap(({ Properties, Metadata }) => {
        const asset = join(directory, Metadata['aws:asset:path'] ?? '');
        const has = ['database-ca.pem', 'database-ca/corporate.pem'].filter((path) => existsSync(join(asset, path)));
        return has.length === 0 ? [] : [{ name: Properties['FunctionName'], has, told: told(Properties) }];
      });

      expect(found).toEqual(
        ['watch', 'retire', 'rotation-postgres'].map((name) => ({
          name: `rekey-example-${name}`,
          has: ['database-ca.pem', 'database-ca/corporate.pem'],
          told: ['/var/task/database-ca.pem', '/var/task/database-ca'],
        })),
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

const told = ({ Environment: { Variables } }: { Environment: { Variables: Record<string, string> } }) => [
  Variables['REKEY_DATABASE_CA_FILE'],
  Variables['REKEY_DATABASE_CA_FOLDER'],
];

const REFUSES_PLAIN_HTTP = expect.objectContaining({
  Effect: 'Deny',
  Principal: { AWS: '*' },
  Condition: { Bool: { 'aws:SecureTransport': 'false' } },
});

function queueNamed(name: string) {
  const found = resources('AWS::SQS::Queue').find(
    ({ properties }) => properties['QueueName'] === `rekey-example-${name}`,
  );
  if (found === undefined) throw new Error(`no queue ${name}`);
  return found;
}

const arnOf = ({ logicalId }: { logicalId: string }) => ({ 'Fn::GetAtt': [logicalId, 'Arn'] });

const policyOf = ({ logicalId }: { logicalId: string }) =>
  resources('AWS::SQS::QueuePolicy')
    .filter(({ properties }) => properties['Queues'].some((each: { Ref: string }) => each.Ref === logicalId))
    .flatMap(({ properties }) => properties['PolicyDocument'].Statement);

function mappingOf(name: string) {
  const target = { Ref: functionNamed(name).logicalId };
  const found = resources('AWS::Lambda::EventSourceMapping').find(
    ({ properties }) => JSON.stringify(properties['FunctionName']) === JSON.stringify(target),
  );
  if (found === undefined) throw new Error(`no mapping to ${name}`);
  return found;
}

function variablesOf(name: string) {
  return functionNamed(name).properties['Environment'].Variables;
}

/** Who may open a TCP connection into a security group that is there already. */
const letInto = (groupId: string) =>
  resources('AWS::EC2::SecurityGroupIngress')
    .filter(({ properties }) => properties['GroupId'] === groupId && properties['IpProtocol'] === 'tcp')
    .map(({ properties }) => ({
      port: properties['FromPort'] === properties['ToPort'] ? properties['FromPort'] : 'several',
      from: properties['SourceSecurityGroupId']?.['Fn::GetAtt']?.[0] ?? 'anywhere',
    }))
    .sort((a, b) => a.from.localeCompare(b.from));

function synthesisedWithout(config: Environment): string {
  const app = createApp();
  new RekeyStack(app, config);
  return JSON.stringify(app.synth().stacks[0]?.template);
}
