import { EVENT_METRICS, METRICS_DIMENSION, METRICS_NAMESPACE } from '../../shared/operations/metrics.ts';

/** One stack's CloudFormation, in CloudFormation's own words. */
export interface Template {
  readonly Resources: Record<string, Resource>;
}

interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: CloudFormation's own shapes, read and broken by name
  readonly Properties: Record<string, any>;
  DependsOn?: string[];
}

// biome-ignore lint/suspicious/noExplicitAny: as above
type Properties = Record<string, any>;

/** What every deployed stack keeps to, in one sentence; how to see that one does not; and how to break it. */
export interface Promise {
  readonly says: string;
  /** What breaks it, by name; nothing where it is kept. */
  readonly offenders: (template: Template) => readonly string[];
  /** Makes the template break it by one line. */
  readonly breakIt: (template: Template) => void;
}

const all = ({ Resources }: Template, type: string): readonly [id: string, properties: Properties][] =>
  Object.entries(Resources).flatMap(([id, { Type, Properties: own = {} }]) => (Type === type ? [[id, own]] : []));

/** The first whose id matches. */
function one(template: Template, type: string, id = /./): Properties {
  const found = all(template, type).find(([name]) => id.test(name));
  if (found === undefined) throw new Error(`no ${type} ${id} to break`);
  return found[1];
}

/** Ids of the resources of a type of which something is not so. */
const unless =
  (type: string, isSo: (properties: Properties, template: Template, id: string) => boolean) => (template: Template) =>
    all(template, type).flatMap(([id, properties]) => (isSo(properties, template, id) ? [] : [id]));

const list = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as T];

const text = (value: unknown) => JSON.stringify(value) ?? '';

interface Statement {
  Sid: string;
  Effect: 'Allow' | 'Deny';
  Action: string | string[];
  Resource: unknown;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  Condition?: any;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  Principal?: any;
}

/** Of a role's policies. @param id of the policy, which begins with the place of its function */
const statements = (template: Template, id = /./): readonly (Statement & { of: string })[] =>
  all(template, 'AWS::IAM::Policy')
    .filter(([name]) => id.test(name))
    .flatMap(([of, { PolicyDocument }]) =>
      PolicyDocument.Statement.map((each: Statement) => Object.assign(each, { of })),
    )
    .map((each) => Object.defineProperty(each, 'of', { enumerable: false }));

function statement(template: Template, sid: string, id = /./): Statement {
  const found = statements(template, id).find(({ Sid }) => Sid === sid);
  if (found === undefined) throw new Error(`no statement ${sid} of ${id} to break`);
  return found;
}

const names = (found: readonly (Statement & { of: string })[]) => found.map(({ of, Sid }) => `${of} ${Sid}`);

const allowing = (template: Template, action: RegExp, id = /./) =>
  statements(template, id).filter(
    ({ Effect, Action }) => Effect === 'Allow' && list(Action).some((each) => action.test(each)),
  );

const isOnAll = ({ Resource }: Statement) => list(Resource).includes('*');

/** AWS knows no resource for these (Service Authorization Reference); docs/permissions.md says who has them. */
const ON_ALL = /^(ec2:\w*(NetworkInterfaces?|Subnets|PrivateIpAddresses)|xray:Put\w+|secretsmanager:ListSecrets)$/;

const LOOKERS = /^Rekey(Sync|Sweep|Watch)/;
const ROTATION = /^Rekeyrotation/;
const RETIRE = /^RekeyRetire/;

const placeOf = (id: string) =>
  /^Rekey(rotation(?:postgres|mysql|mariadb|redis)|Sync|Sweep|Retire|Watch)/.exec(id)?.[1] ?? '';
const functions = (template: Template) => all(template, 'AWS::Lambda::Function');
const alarms = (template: Template) => all(template, 'AWS::CloudWatch::Alarm');
const hasAlarm = (template: Template, suffix: string) =>
  alarms(template).some(([, { AlarmName }]) => AlarmName.endsWith(suffix));
const areAlarmsOn = (template: Template) => alarms(template).length > 0;
const isTimer = ({ ScheduleExpression }: Properties) => ScheduleExpression !== undefined;
const isAway = (template: Template) => functions(template).length === 0;
const exists = (template: Template, type: string, isSo: (properties: Properties) => boolean, what: string) =>
  isAway(template) || all(template, type).some(([, properties]) => isSo(properties)) ? [] : [what];

const queuePolicies = (template: Template) =>
  all(template, 'AWS::SQS::QueuePolicy').map(([id, { Queues, PolicyDocument }]) => ({
    id,
    queue: text(Queues),
    statements: PolicyDocument.Statement as Statement[],
  }));
const isTlsOnly = (found: readonly Statement[]) =>
  found.some(({ Effect, Condition }) => Effect === 'Deny' && Condition?.Bool?.['aws:SecureTransport'] === 'false');
const isBound = ({ Condition }: Statement) =>
  /aws:Source(Arn|Account)|EncryptionContext|PrincipalA/.test(text(Condition));

const IAM: readonly Promise[] = [
  {
    says: 'a role has no wildcard in an action',
    offenders: (t) => names(statements(t).filter(({ Action }) => list(Action).some((each) => each.includes('*')))),
    breakIt: (t) => {
      statement(t, 'RotateTheSecrets').Action = 'secretsmanager:*';
    },
  },
  {
    says: 'a role has all resources only where AWS knows none',
    offenders: (t) =>
      names(statements(t).filter((each) => isOnAll(each) && !list(each.Action).every((action) => ON_ALL.test(action)))),
    breakIt: (t) => {
      statement(t, 'FindTheClusters').Resource = '*';
    },
  },
  {
    says: 'a role has none of AWS’s managed policies',
    offenders: unless('AWS::IAM::Role', ({ ManagedPolicyArns }) => ManagedPolicyArns === undefined),
    breakIt: (t) => {
      one(t, 'AWS::IAM::Role')['ManagedPolicyArns'] = [
        'arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole',
      ];
    },
  },
  {
    says: 'a function shares its role with no other',
    offenders: (t) => {
      const roles = functions(t).map(([, { Role }]) => text(Role));
      return roles.filter((role, index) => roles.indexOf(role) < index);
    },
    breakIt: (t) => {
      one(t, 'AWS::Lambda::Function', RETIRE)['Role'] = one(t, 'AWS::Lambda::Function', ROTATION)['Role'];
    },
  },
  {
    says: 'a role is assumed by Lambda or EventBridge, or by one role of one account',
    offenders: unless('AWS::IAM::Role', ({ AssumeRolePolicyDocument }) =>
      AssumeRolePolicyDocument.Statement.every(
        ({ Principal, Condition }: Statement) =>
          ['lambda.amazonaws.com', 'events.amazonaws.com'].includes(Principal.Service) ||
          Condition?.ArnEquals?.['aws:PrincipalArn'] !== undefined,
      ),
    ),
    breakIt: (t) => {
      one(t, 'AWS::IAM::Role')['AssumeRolePolicyDocument'].Statement[0].Principal = { AWS: '*' };
    },
  },
  {
    says: 'code in a function cannot touch network interfaces',
    offenders: (t) =>
      names(
        allowing(t, /^ec2:/).filter(
          ({ of, Action }) =>
            !statements(t).some(
              (deny) =>
                deny.of === of &&
                deny.Effect === 'Deny' &&
                text(deny.Action) === text(Action) &&
                deny.Condition?.ArnEquals?.['lambda:SourceFunctionArn'] !== undefined,
            ),
        ),
      ),
    breakIt: (t) => {
      statement(t, 'AttachingIsNotForTheCode').Effect = 'Allow';
    },
  },
  {
    says: 'sync, sweep and watch can read no secret, and use no key',
    offenders: (t) => names(allowing(t, /GetSecretValue|^kms:/, LOOKERS)),
    breakIt: (t) => {
      statement(t, 'SeeLabelsAndTagsOfSecrets', /^RekeySync/).Action = 'secretsmanager:GetSecretValue';
    },
  },
  {
    says: 'nobody but rotation moves a label',
    offenders: (t) => names(allowing(t, /UpdateSecretVersionStage/).filter(({ of }) => !ROTATION.test(of))),
    breakIt: (t) => {
      statement(t, 'ReadTheSecrets').Action = [
        'secretsmanager:GetSecretValue',
        'secretsmanager:UpdateSecretVersionStage',
      ];
    },
  },
  {
    says: 'a secret is written, and read but for an administrator’s, only while Rekey rotates it',
    offenders: (t) =>
      names(
        allowing(t, /^secretsmanager:(Get|Put|Update)/).filter(
          ({ Sid, Condition }) =>
            Sid !== 'ReadTheAdministrators' &&
            Condition?.StringEquals?.['secretsmanager:resource/AllowRotationLambdaArn'] === undefined,
        ),
      ),
    breakIt: (t) => {
      delete statement(t, 'RotateTheSecrets').Condition;
    },
  },
  {
    says: 'a rotation function reaches only secrets that it rotates itself',
    offenders: (t) =>
      names(
        allowing(t, /^secretsmanager:Put/, ROTATION).filter(({ of, Condition }) => {
          const arn = text(Condition?.StringEquals?.['secretsmanager:resource/AllowRotationLambdaArn']);
          return !arn.includes(placeOf(of).replace('rotation', '-rotation-'));
        }),
      ),
    breakIt: (t) => {
      statement(t, 'RotateTheSecrets', /^Rekeyrotationpostgres/).Condition = statement(
        t,
        'RotateTheSecrets',
        /^Rekeyrotation(redis|mysql)/,
      ).Condition;
    },
  },
  {
    says: 'an administrator’s secret is never written',
    offenders: (t) =>
      names(
        statements(t).filter(({ Sid, Action }) => Sid === 'ReadTheAdministrators' && /Put|Update/.test(text(Action))),
      ),
    breakIt: (t) => {
      statement(t, 'ReadTheAdministrators').Action = ['secretsmanager:GetSecretValue', 'secretsmanager:PutSecretValue'];
    },
  },
  {
    says: 'a secret is named by its ARN, by its name and the six characters, or by a tag',
    offenders: (t) =>
      names(
        allowing(t, /^secretsmanager:(Get|Put|Update)/).filter(
          ({ Resource, Condition }) => text(Resource).includes('*') && !/aws:ResourceTag/.test(text(Condition)),
        ),
      ),
    breakIt: (t) => {
      statement(t, 'RotateTheSecrets', /redis/).Resource =
        'arn:aws:secretsmanager:eu-west-1:111122223333:secret:basket/*';
    },
  },
  {
    says: 'retire writes nothing but the next login of a pair',
    offenders: (t) =>
      names(
        allowing(t, /^secretsmanager:(Put|Update)/, RETIRE).filter(({ Sid }) => !Sid.startsWith('StoreTheNextLogin')),
      ),
    breakIt: (t) => {
      statement(t, 'ReadTheSecrets').Action = ['secretsmanager:GetSecretValue', 'secretsmanager:PutSecretValue'];
    },
  },
  {
    says: 'a customer key is used through Secrets Manager alone',
    offenders: (t) =>
      names(
        allowing(t, /^kms:/).filter(
          ({ Condition }) => !/^secretsmanager\./.test(Condition?.StringEquals?.['kms:ViaService']),
        ),
      ),
    breakIt: (t) => {
      delete statement(t, 'UseTheirKeys').Condition.StringEquals['kms:ViaService'];
    },
  },
  {
    says: 'a customer key opens the named secrets alone',
    offenders: (t) =>
      names(
        allowing(t, /^kms:/).filter(
          ({ Condition }) => !/:secret:[^*]+$/.test(text(Condition?.StringLike?.['kms:EncryptionContext:SecretARN'])),
        ),
      ),
    breakIt: (t) => {
      delete statement(t, 'UseTheirKeys').Condition.StringLike;
    },
  },
  {
    says: 'a customer key is named by its ARN',
    offenders: (t) =>
      names(
        allowing(t, /^kms:/).filter(({ Resource }) => !list(Resource).every((key) => /:key\/[\w-]+$/.test(`${key}`))),
      ),
    breakIt: (t) => {
      statement(t, 'UseTheirKeys').Resource = 'arn:aws:kms:eu-west-1:111122223333:key/*';
    },
  },
  {
    says: 'another account is entered by the named roles alone',
    offenders: (t) =>
      names(
        allowing(t, /^sts:/).filter(
          ({ Resource }) => !/:role\/rekey-[a-z0-9-]+"?\]*$/.test(text(Resource).replace(/\]*\}$/, '')),
        ),
      ),
    breakIt: (t) => {
      statement(t, 'EnterOtherAccounts').Resource = 'arn:aws:iam::444455556666:role/*';
    },
  },
  {
    says: 'a cluster is found by its name',
    offenders: (t) => names(allowing(t, /^eks:/).filter(({ Resource }) => /cluster\/\*|"\*"/.test(text(Resource)))),
    breakIt: (t) => {
      statement(t, 'FindTheClusters').Resource = 'arn:aws:eks:eu-west-1:111122223333:cluster/*';
    },
  },
  {
    says: 'rotation, sync and retire work off their own queue, and sweep may only send to sync’s',
    offenders: (t) =>
      names(
        allowing(t, /^sqs:/).filter(({ of, Sid, Resource }) =>
          Sid === 'AskSyncToLookAgain'
            ? !/"RekeySyncWorkQueue/.test(text(Resource))
            : !text(Resource).includes(`"Rekey${placeOf(of)}WorkQueue`),
        ),
      ),
    breakIt: (t) => {
      statement(t, 'WorkOffItsQueue', RETIRE).Resource = statement(t, 'WorkOffItsQueue', /Sync/).Resource;
    },
  },
  {
    says: 'events are put on Rekey’s bus alone, or handed to the bus that the configuration names',
    offenders: (t) =>
      names(
        allowing(t, /^events:/).filter(
          ({ of, Resource }) => !/FoundationBus/.test(text(Resource)) && !/Forwarder/.test(of),
        ),
      ),
    breakIt: (t) => {
      statement(t, 'AnnounceEvents').Resource = 'arn:aws:events:eu-west-1:111122223333:event-bus/default';
    },
  },
  {
    says: 'a function writes its own log alone',
    offenders: (t) =>
      names(
        allowing(t, /^logs:/).filter(
          ({ of, Resource }) => !text(Resource).includes(`"Rekey${placeOf(of)}FunctionLogs`),
        ),
      ),
    breakIt: (t) => {
      statement(t, 'WriteItsLog', RETIRE).Resource = statement(t, 'WriteItsLog', /Sync/).Resource;
    },
  },
  {
    says: 'RDS is asked about named databases alone',
    offenders: (t) => names(allowing(t, /^rds:/).filter(({ Resource }) => text(Resource).includes('*'))),
    breakIt: (t) => {
      const { PolicyDocument } = one(t, 'AWS::IAM::Policy', ROTATION);
      PolicyDocument.Statement.push({
        Sid: 'FindAny',
        Effect: 'Allow',
        Action: 'rds:DescribeDBInstances',
        Resource: '*',
      });
    },
  },
];

const PERMISSIONS: readonly Promise[] = [
  {
    says: 'Secrets Manager calls a rotation function for this account alone',
    offenders: unless(
      'AWS::Lambda::Permission',
      ({ Principal, SourceAccount }) => Principal !== 'secretsmanager.amazonaws.com' || /^\d{12}$/.test(SourceAccount),
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::Permission', /CalledBySecretsManager/)['SourceAccount'];
    },
  },
  {
    says: 'EventBridge calls a function for one rule alone',
    offenders: unless(
      'AWS::Lambda::Permission',
      ({ Principal, SourceArn }) => Principal !== 'events.amazonaws.com' || SourceArn !== undefined,
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::Permission', /Timer/)['SourceArn'];
    },
  },
  {
    says: 'nobody else may call a function',
    offenders: unless('AWS::Lambda::Permission', ({ Principal }) =>
      /^(secretsmanager|events)\.amazonaws\.com$/.test(Principal),
    ),
    breakIt: (t) => {
      one(t, 'AWS::Lambda::Permission', /Timer/)['Principal'] = '*';
    },
  },
  {
    says: 'a queue takes messages from its own rules and topic alone',
    offenders: (t) =>
      queuePolicies(t).flatMap(({ id, statements: found }) =>
        found.every((each) => each.Effect === 'Deny' || isBound(each)) ? [] : [id],
      ),
    breakIt: (t) => {
      delete one(t, 'AWS::SQS::QueuePolicy', /SyncWorkQueue/)['PolicyDocument'].Statement.find(
        ({ Effect }: Statement) => Effect === 'Allow',
      ).Condition;
    },
  },
  {
    says: 'a queue refuses plain HTTP',
    offenders: (t) =>
      all(t, 'AWS::SQS::Queue').flatMap(([id]) =>
        queuePolicies(t).some(({ queue, statements: found }) => queue.includes(`"${id}"`) && isTlsOnly(found))
          ? []
          : [id],
      ),
    breakIt: (t) => {
      const document = one(t, 'AWS::SQS::QueuePolicy', /SyncWorkQueue/)['PolicyDocument'];
      document.Statement = document.Statement.filter(({ Effect }: Statement) => Effect !== 'Deny');
    },
  },
  {
    says: 'the topic refuses plain HTTP',
    offenders: (t) =>
      isAway(t) || all(t, 'AWS::SNS::TopicPolicy').some(([, each]) => isTlsOnly(each['PolicyDocument'].Statement))
        ? []
        : ['topic'],
    breakIt: (t) => {
      const document = one(t, 'AWS::SNS::TopicPolicy')['PolicyDocument'];
      document.Statement = document.Statement.filter(({ Effect }: Statement) => Effect !== 'Deny');
    },
  },
  {
    says: 'the topic is published to by Rekey’s rules and alarms alone',
    offenders: unless('AWS::SNS::TopicPolicy', ({ PolicyDocument }) =>
      PolicyDocument.Statement.every((each: Statement) => each.Effect === 'Deny' || isBound(each)),
    ),
    breakIt: (t) => {
      for (const each of one(t, 'AWS::SNS::TopicPolicy')['PolicyDocument'].Statement)
        if (each.Sid === 'PublishedByAlarms') delete each.Condition;
    },
  },
  {
    says: 'Rekey’s key is used by services for its own logs and notifications alone',
    offenders: unless('AWS::KMS::Key', ({ KeyPolicy }) =>
      KeyPolicy.Statement.every((each: Statement) => each.Principal?.Service === undefined || isBound(each)),
    ),
    breakIt: (t) => {
      for (const each of one(t, 'AWS::KMS::Key')['KeyPolicy'].Statement)
        if (each.Sid === 'EncryptRekeysLogs') delete each.Condition;
    },
  },
  {
    says: 'a VPC endpoint lets this account’s principals through alone',
    offenders: unless('AWS::EC2::VPCEndpoint', ({ PolicyDocument }) =>
      PolicyDocument.Statement.every(
        ({ Condition }: Statement) => Condition?.StringEquals?.['aws:PrincipalAccount'] !== undefined,
      ),
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::EC2::VPCEndpoint')['PolicyDocument'].Statement[0].Condition;
    },
  },
];

const ENCRYPTION: readonly Promise[] = [
  {
    says: 'a queue is encrypted',
    offenders: unless('AWS::SQS::Queue', ({ SqsManagedSseEnabled }) => SqsManagedSseEnabled === true),
    breakIt: (t) => {
      delete one(t, 'AWS::SQS::Queue')['SqsManagedSseEnabled'];
    },
  },
  {
    says: 'the topic is encrypted',
    offenders: unless('AWS::SNS::Topic', ({ KmsMasterKeyId }) => KmsMasterKeyId !== undefined),
    breakIt: (t) => {
      delete one(t, 'AWS::SNS::Topic')['KmsMasterKeyId'];
    },
  },
  {
    says: 'a log is encrypted with Rekey’s key',
    offenders: unless('AWS::Logs::LogGroup', ({ KmsKeyId }) => KmsKeyId !== undefined),
    breakIt: (t) => {
      delete one(t, 'AWS::Logs::LogGroup')['KmsKeyId'];
    },
  },
  {
    says: 'Rekey’s key rotates',
    offenders: unless('AWS::KMS::Key', ({ EnableKeyRotation }) => EnableKeyRotation === true),
    breakIt: (t) => {
      one(t, 'AWS::KMS::Key')['EnableKeyRotation'] = false;
    },
  },
  {
    says: 'a log is kept for a month at least, and not for ever',
    offenders: unless('AWS::Logs::LogGroup', ({ RetentionInDays }) => RetentionInDays >= 30),
    breakIt: (t) => {
      delete one(t, 'AWS::Logs::LogGroup')['RetentionInDays'];
    },
  },
  {
    says: 'a function has a log of its own that is deployed with it',
    offenders: unless('AWS::Lambda::Function', ({ LoggingConfig }, _template, id) =>
      text(LoggingConfig?.LogGroup).includes(`"Rekey${placeOf(id)}FunctionLogs`),
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::Function')['LoggingConfig'];
    },
  },
];

const ruleOf = (place: RegExp) => (t: Template) => one(t, 'AWS::Events::Rule', place);
const hasRule = (isSo: (properties: Properties) => boolean, what: string) => (t: Template) =>
  exists(t, 'AWS::Events::Rule', isSo, what);

const WIRING: readonly Promise[] = [
  {
    says: 'sync begins with Secrets Manager’s own event about AWSCURRENT, on the default bus',
    offenders: hasRule(
      ({ EventPattern, EventBusName, Targets }) =>
        text(EventPattern) ===
          '{"source":["aws.secretsmanager"],"detail-type":["Secret Label Updated"],"detail":{"labelUpdated":["AWSCURRENT"]}}' &&
        EventBusName === undefined &&
        /"RekeySyncWorkQueue/.test(text(Targets)),
      'no rule to sync',
    ),
    breakIt: (t) => {
      ruleOf(/SyncWorkRule/)(t)['EventPattern'].detail.labelUpdated = ['AWSPENDING'];
    },
  },
  {
    says: 'retire begins with a secret that has converged, on Rekey’s bus, wherever it is deployed',
    offenders: (t) =>
      functions(t).some(([id]) => RETIRE.test(id))
        ? hasRule(
            ({ EventPattern, EventBusName, Targets }) =>
              text(EventPattern) === '{"source":["rekey"],"detail-type":["Secret Converged"]}' &&
              /FoundationBus/.test(text(EventBusName)) &&
              /"RekeyRetireWorkQueue/.test(text(Targets)),
            'no rule to retire',
          )(t)
        : [],
    breakIt: (t) => {
      delete ruleOf(/RetireWorkRule/)(t)['EventBusName'];
    },
  },
  {
    says: 'rotation moves back what sync asks this function for, on Rekey’s bus, wherever both are deployed',
    offenders: (t) =>
      functions(t).some(([id]) => RETIRE.test(id))
        ? functions(t).flatMap(([id, { FunctionName }]) =>
            ROTATION.test(id)
              ? hasRule(
                  ({ EventPattern, EventBusName, Targets }) =>
                    text(EventPattern?.['detail-type']) === '["Sync Halted"]' &&
                    text(EventPattern.detail?.moveBack?.rotationFunction).includes(`function:${FunctionName}"`) &&
                    /FoundationBus/.test(text(EventBusName)) &&
                    text(Targets).includes(`"Rekey${placeOf(id)}WorkQueue`),
                  `no rule to ${FunctionName}`,
                )(t)
              : [],
          )
        : [],
    breakIt: (t) => {
      delete ruleOf(/rotationpostgresWorkRule/)(t)['EventPattern'].detail;
    },
  },
  {
    says: 'people hear of whatever failed or waits for a hand',
    offenders: hasRule(
      ({ EventPattern, Targets }) =>
        ['Rotation Failed', 'Sync Halted', 'Secret Moved Back', 'Secret Not Converged', 'Action Needed'].every((type) =>
          EventPattern?.['detail-type']?.includes(type),
        ) && /NotificationsTopic/.test(text(Targets)),
      'no rule to people',
    ),
    breakIt: (t) => {
      ruleOf(/Notificationsnotifications/)(t)['EventPattern']['detail-type'] = ['Secret Converged'];
    },
  },
  {
    says: 'people hear through CloudTrail of rotations that failed before Rekey could say so',
    offenders: hasRule(
      ({ EventPattern, Targets }) =>
        text(EventPattern?.detail?.eventName) === '["RotationFailed","RotationAbandoned"]' &&
        /NotificationsTopic/.test(text(Targets)),
      'no rule on CloudTrail',
    ),
    breakIt: (t) => {
      ruleOf(/failedrotations/)(t)['EventPattern'].detail.eventName = ['RotationFailed'];
    },
  },
  {
    says: 'a rule is on',
    offenders: unless('AWS::Events::Rule', ({ State }) => State === 'ENABLED'),
    breakIt: (t) => {
      ruleOf(/SyncWorkRule/)(t)['State'] = 'DISABLED';
    },
  },
  {
    says: 'an event that cannot be handed on waits in a dead-letter queue, but for a timer’s',
    offenders: unless(
      'AWS::Events::Rule',
      (rule) =>
        isTimer(rule) || rule['Targets'].every(({ DeadLetterConfig }: Properties) => DeadLetterConfig !== undefined),
    ),
    breakIt: (t) => {
      delete ruleOf(/SyncWorkRule/)(t)['Targets'][0].DeadLetterConfig;
    },
  },
  {
    says: 'sweep runs every 15 minutes',
    offenders: hasRule(
      ({ ScheduleExpression, Targets }) => ScheduleExpression === 'rate(15 minutes)' && /Sweep/.test(text(Targets)),
      'no timer',
    ),
    breakIt: (t) => {
      ruleOf(/SweepFunctionTimer/)(t)['ScheduleExpression'] = 'rate(1 day)';
    },
  },
  {
    says: 'watch runs every hour',
    offenders: hasRule(
      ({ ScheduleExpression, Targets }) => ScheduleExpression === 'rate(1 hour)' && /Watch/.test(text(Targets)),
      'no timer',
    ),
    breakIt: (t) => {
      ruleOf(/WatchFunctionTimer/)(t)['ScheduleExpression'] = 'rate(1 day)';
    },
  },
  {
    says: 'a message gets five chances, then waits for a person for two weeks',
    offenders: unless('AWS::SQS::Queue', ({ RedrivePolicy, MessageRetentionPeriod }, _template, id) =>
      /DeadLetters/.test(id) ? MessageRetentionPeriod === 14 * 24 * 3600 : RedrivePolicy?.maxReceiveCount === 5,
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::SQS::Queue', /SyncWorkQueue/)['RedrivePolicy'];
    },
  },
  {
    says: 'only the failed messages of a batch come back',
    offenders: unless('AWS::Lambda::EventSourceMapping', ({ FunctionResponseTypes }) =>
      (FunctionResponseTypes ?? []).includes('ReportBatchItemFailures'),
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::EventSourceMapping')['FunctionResponseTypes'];
    },
  },
  {
    says: 'a message stays hidden for six time-outs of its function',
    offenders: unless('AWS::SQS::Queue', ({ VisibilityTimeout }, t, id) =>
      functions(t).every(
        ([own, { Timeout }]) =>
          !/WorkQueue/.test(id) || placeOf(own) !== placeOf(id) || VisibilityTimeout >= 6 * Timeout,
      ),
    ),
    breakIt: (t) => {
      one(t, 'AWS::SQS::Queue', /SyncWorkQueue/)['VisibilityTimeout'] = 120;
    },
  },
  {
    says: 'a queue is polled by no more than may run',
    offenders: unless('AWS::Lambda::EventSourceMapping', ({ ScalingConfig }, t, id) =>
      functions(t).every(
        ([own, { ReservedConcurrentExecutions: reserved = Number.POSITIVE_INFINITY }]) =>
          placeOf(own) !== placeOf(id) || ScalingConfig?.MaximumConcurrency <= reserved,
      ),
    ),
    breakIt: (t) => {
      one(t, 'AWS::Lambda::EventSourceMapping')['ScalingConfig'].MaximumConcurrency = 100;
    },
  },
];

const FUNCTIONS: readonly Promise[] = [
  {
    says: 'no deployment rotates anything',
    offenders: unless(
      'AWS::SecretsManager::RotationSchedule',
      ({ RotateImmediatelyOnUpdate }) => RotateImmediatelyOnUpdate === false,
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::SecretsManager::RotationSchedule')['RotateImmediatelyOnUpdate'];
    },
  },
  {
    says: 'a rotation has a time and a window',
    offenders: unless(
      'AWS::SecretsManager::RotationSchedule',
      ({ RotationRules }) =>
        /^cron\(0 /.test(RotationRules.ScheduleExpression) && /^\d+h$/.test(RotationRules.Duration),
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::SecretsManager::RotationSchedule')['RotationRules'].Duration;
    },
  },
  {
    says: 'a rotation is scheduled after its function may be called and may do its work',
    offenders: (t) =>
      Object.entries(t.Resources).flatMap(([id, { Type, DependsOn = [] }]) => {
        const waitsFor = DependsOn.map((each) => t.Resources[each]?.Type);
        return Type !== 'AWS::SecretsManager::RotationSchedule' ||
          (waitsFor.includes('AWS::Lambda::Permission') && waitsFor.includes('AWS::IAM::Policy'))
          ? []
          : [id];
      }),
    breakIt: (t) => {
      for (const each of Object.values(t.Resources))
        if (each.Type === 'AWS::SecretsManager::RotationSchedule') each.DependsOn = [];
    },
  },
  {
    says: 'secrets are yours: none is made, and no policy of one is touched',
    offenders: (t) =>
      [...all(t, 'AWS::SecretsManager::Secret'), ...all(t, 'AWS::SecretsManager::ResourcePolicy')].map(([id]) => id),
    breakIt: (t) => {
      t.Resources['Own'] = { Type: 'AWS::SecretsManager::Secret', Properties: {} };
    },
  },
  {
    says: 'a function runs on arm64 with Node 24',
    offenders: unless(
      'AWS::Lambda::Function',
      ({ Runtime, Architectures }) => Runtime === 'nodejs24.x' && text(Architectures) === '["arm64"]',
    ),
    breakIt: (t) => {
      one(t, 'AWS::Lambda::Function')['Runtime'] = 'nodejs22.x';
    },
  },
  {
    says: 'either every function has its own share of the concurrency, or none',
    offenders: (t) => {
      const without = functions(t).filter(
        ([, { ReservedConcurrentExecutions }]) => ReservedConcurrentExecutions === undefined,
      );
      return without.length === functions(t).length ? [] : without.map(([id]) => id);
    },
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::Function')['ReservedConcurrentExecutions'];
    },
  },
  {
    says: 'two sweeps never run at once, where concurrency is set apart',
    offenders: unless(
      'AWS::Lambda::Function',
      ({ ReservedConcurrentExecutions = 1 }, _template, id) => !/Sweep/.test(id) || ReservedConcurrentExecutions === 1,
    ),
    breakIt: (t) => {
      one(t, 'AWS::Lambda::Function', /Sweep/)['ReservedConcurrentExecutions'] = 5;
    },
  },
  {
    says: 'either all functions are traced, or none',
    offenders: (t) => {
      const traced = functions(t).filter(([, { TracingConfig }]) => TracingConfig?.Mode === 'Active');
      return traced.length === 0 || traced.length === functions(t).length ? [] : [`${traced.length} are traced`];
    },
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::Function')['TracingConfig'];
    },
  },
  {
    says: 'a function is told no password: a variable holds a name, a URL, an ARN or a path',
    offenders: unless('AWS::Lambda::Function', ({ Environment }) =>
      Object.keys(Environment.Variables).every(
        (name) => /^(REKEY|POWERTOOLS)_/.test(name) && !/PASSWORD|TOKEN|KEY_ID/.test(name),
      ),
    ),
    breakIt: (t) => {
      one(t, 'AWS::Lambda::Function')['Environment'].Variables.DB_PASSWORD = 'x';
    },
  },
];

const NETWORK: readonly Promise[] = [
  {
    says: 'nothing may connect to a function',
    offenders: unless(
      'AWS::EC2::SecurityGroup',
      ({ SecurityGroupIngress }, _template, id) => /Endpoints/.test(id) || SecurityGroupIngress === undefined,
    ),
    breakIt: (t) => {
      one(t, 'AWS::EC2::SecurityGroup', ROTATION)['SecurityGroupIngress'] = [
        { CidrIp: '0.0.0.0/0', IpProtocol: 'tcp', FromPort: 443, ToPort: 443 },
      ];
    },
  },
  {
    says: 'a function connects to the world on port 443 alone',
    offenders: unless('AWS::EC2::SecurityGroup', ({ SecurityGroupEgress = [] }) =>
      SecurityGroupEgress.every(
        ({ CidrIp, FromPort, ToPort }: Properties) =>
          CidrIp === '255.255.255.255/32' || (FromPort === 443 && ToPort === 443),
      ),
    ),
    breakIt: (t) => {
      one(t, 'AWS::EC2::SecurityGroup', /Sync/)['SecurityGroupEgress'] = [{ CidrIp: '0.0.0.0/0', IpProtocol: '-1' }];
    },
  },
  {
    says: 'a function that logs in to databases has no way to the world where there are endpoints',
    offenders: (t) =>
      all(t, 'AWS::EC2::VPCEndpoint').length === 0
        ? []
        : all(t, 'AWS::EC2::SecurityGroup').flatMap(([id, { SecurityGroupEgress = [] }]) =>
            (ROTATION.test(id) || RETIRE.test(id)) &&
            SecurityGroupEgress.some(({ CidrIp }: Properties) => CidrIp === '0.0.0.0/0')
              ? [id]
              : [],
          ),
    breakIt: (t) => {
      one(t, 'AWS::EC2::SecurityGroup', RETIRE)['SecurityGroupEgress'] = [
        { CidrIp: '0.0.0.0/0', IpProtocol: 'tcp', FromPort: 443, ToPort: 443 },
      ];
    },
  },
  {
    says: 'a database lets in rotation and retire alone, each on one port',
    offenders: unless(
      'AWS::EC2::SecurityGroupIngress',
      ({ FromPort, ToPort, SourceSecurityGroupId }) =>
        FromPort === ToPort &&
        (FromPort === 443 ? /Rekey(Sync|Sweep)/ : /Rekey(rotation|Retire)/).test(text(SourceSecurityGroupId)),
    ),
    breakIt: (t) => {
      one(t, 'AWS::EC2::SecurityGroupIngress')['FromPort'] = 0;
    },
  },
  {
    says: 'either all functions are in the VPC, or none',
    offenders: (t) => {
      const inside = functions(t).filter(([, { VpcConfig }]) => VpcConfig !== undefined);
      return inside.length === 0 || inside.length === functions(t).length ? [] : [`${inside.length} are inside`];
    },
    breakIt: (t) => {
      delete one(t, 'AWS::Lambda::Function')['VpcConfig'];
    },
  },
  {
    says: 'Rekey enters Kubernetes by its own groups alone: sync by one that marks, sweep by one that looks',
    offenders: unless(
      'AWS::EKS::AccessEntry',
      ({ KubernetesGroups, AccessPolicies, Type }, _template, id) =>
        AccessPolicies === undefined &&
        Type === 'STANDARD' &&
        text(KubernetesGroups) === (/sweep/i.test(id) ? '["rekey-sweep"]' : '["rekey"]'),
    ),
    breakIt: (t) => {
      one(t, 'AWS::EKS::AccessEntry', /Sweep/)['KubernetesGroups'] = ['system:masters'];
    },
  },
];

/** The metrics of its own that each function writes; `metrics.test.ts` runs watch and sees. */
const WRITTEN = {
  events: [...Object.values(EVENT_METRICS), 'EventsNotSent', 'SecondsToConverge'],
  watch: [
    'SecretsRotated',
    'DaysWithoutRotation',
    'HoursOverdue',
    'HoursPending',
    'RuntimeDaysLeft',
    'AuthorityDaysLeft',
  ],
} as const;

const own = (t: Template) => alarms(t).filter(([, { Namespace }]) => Namespace === METRICS_NAMESPACE);
const alarmFor = (t: Template, suffix: string, wanted = areAlarmsOn(t)) =>
  !wanted || hasAlarm(t, suffix) ? [] : [suffix];
const namesOf = (t: Template) => functions(t).map(([, { FunctionName }]) => FunctionName.replace(/^rekey-[a-z]+-/, ''));
const drop = (suffix: string) => (t: Template) => {
  for (const [id, { Properties: { AlarmName } = {} }] of Object.entries(t.Resources))
    if (AlarmName?.endsWith(suffix)) delete t.Resources[id];
};

const OPERATIONS: readonly Promise[] = [
  {
    says: 'an alarm is told to people, and so is its end',
    offenders: unless(
      'AWS::CloudWatch::Alarm',
      ({ AlarmActions = [], OKActions = [] }) => AlarmActions.length > 0 && OKActions.length > 0,
    ),
    breakIt: (t) => {
      delete one(t, 'AWS::CloudWatch::Alarm')['AlarmActions'];
    },
  },
  {
    says: 'an alarm says what happened and what to do',
    offenders: unless('AWS::CloudWatch::Alarm', ({ AlarmDescription }) => (AlarmDescription ?? '').length > 60),
    breakIt: (t) => {
      delete one(t, 'AWS::CloudWatch::Alarm')['AlarmDescription'];
    },
  },
  {
    says: 'an alarm on a metric of Rekey’s own stands on one that its function writes',
    offenders: (t) =>
      own(t).flatMap(([id, { MetricName, Dimensions }]) => {
        const [{ Name, Value }] = Dimensions;
        const writes: readonly string[] = /WatchFunction/.test(text(Value)) ? WRITTEN.watch : WRITTEN.events;
        return Name === METRICS_DIMENSION && writes.includes(MetricName) ? [] : [id];
      }),
    breakIt: (t) => {
      const [first] = own(t);
      if (first !== undefined) first[1]['MetricName'] = 'RotationsForgotten';
    },
  },
  ...['errors', 'throttles', 'slow'].map((kind) => ({
    says: `every function has an alarm: ${kind}`,
    offenders: (t: Template) => namesOf(t).flatMap((name) => alarmFor(t, `-${name}-${kind}`)),
    breakIt: drop(`-sync-${kind}`),
  })),
  {
    says: 'a function is slow from four fifths of its time-out on',
    offenders: (t) =>
      functions(t).flatMap(([id, { Timeout }]) =>
        alarms(t).every(
          ([, { AlarmName, Dimensions, Threshold }]) =>
            !AlarmName.endsWith('-slow') || !text(Dimensions).includes(`"${id}"`) || Threshold === 800 * Timeout,
        )
          ? []
          : [id],
      ),
    breakIt: (t) => {
      one(t, 'AWS::CloudWatch::Alarm', /slow/)['Threshold'] = 1;
    },
  },
  {
    says: 'every dead-letter queue has an alarm from its first message on',
    offenders: (t) =>
      all(t, 'AWS::SQS::Queue').flatMap(([id, { QueueName }]) => {
        const found = alarms(t).find(([, { AlarmName }]) => AlarmName === QueueName);
        return !/DeadLetters/.test(id) || !areAlarmsOn(t) || found?.[1]['Threshold'] === 1 ? [] : [id];
      }),
    breakIt: (t) => {
      one(t, 'AWS::CloudWatch::Alarm', /syncdeadletters/)['Threshold'] = 100;
    },
  },
  {
    says: 'every rule that hands on events has an alarm',
    offenders: (t) =>
      all(t, 'AWS::Events::Rule').flatMap(([, rule]) =>
        isTimer(rule) ? [] : alarmFor(t, `${rule['Name'].replace(/^rekey-[a-z]+/, '')}-undelivered`),
      ),
    breakIt: drop('-sync-undelivered'),
  },
  {
    says: 'an alarm on a rule of Rekey’s bus names the bus, as the metric does',
    offenders: (t) =>
      alarms(t).flatMap(([id, { AlarmName, Dimensions }]) => {
        const name = AlarmName.replace('-undelivered', '');
        const rule = all(t, 'AWS::Events::Rule').find(([, each]) => each['Name'] === name)?.[1];
        const namesBus = (Dimensions ?? []).some((each: Properties) => each['Name'] === 'EventBusName');
        return rule === undefined ||
          !AlarmName.endsWith('-undelivered') ||
          namesBus === (rule['EventBusName'] !== undefined)
          ? []
          : [id];
      }),
    breakIt: (t) => {
      const alarm = one(t, 'AWS::CloudWatch::Alarm', /retireundelivered/);
      alarm['Dimensions'] = alarm['Dimensions'].filter(({ Name }: Properties) => Name !== 'EventBusName');
    },
  },
  ...['rotations-failed', 'actions-needed'].map((kind) => ({
    says: `every rotation function has an alarm: ${kind}`,
    offenders: (t: Template) =>
      namesOf(t).flatMap((name) => (name.startsWith('rotation-') ? alarmFor(t, `-${name}-${kind}`) : [])),
    breakIt: drop(`-rotation-postgres-${kind}`),
  })),
  ...['syncs-halted', 'secrets-not-converged', 'behind'].map((kind) => ({
    says: `sync has an alarm: ${kind}`,
    offenders: (t: Template) => (namesOf(t).includes('sync') ? alarmFor(t, `-sync-${kind}`) : []),
    breakIt: drop(`-sync-${kind}`),
  })),
  {
    says: 'a function that tells has an alarm for what the bus did not take',
    offenders: (t) =>
      namesOf(t).flatMap((name) => (['sweep', 'watch'].includes(name) ? [] : alarmFor(t, `-${name}-events-not-sent`))),
    breakIt: drop('-retire-events-not-sent'),
  },
  ...['rotation-overdue', 'rotation-stuck', 'runtime-ends'].map((kind) => ({
    says: `where Rekey rotates there is an alarm: ${kind}`,
    offenders: (t: Template) => (namesOf(t).includes('watch') ? alarmFor(t, `-${kind}`) : []),
    breakIt: drop(`-${kind}`),
  })),
  {
    says: 'silence about overdue rotations is a fault',
    offenders: unless(
      'AWS::CloudWatch::Alarm',
      ({ AlarmName, TreatMissingData }) =>
        !/rotation-(overdue|too-old)$/.test(AlarmName) || TreatMissingData === 'breaching',
    ),
    breakIt: (t) => {
      one(t, 'AWS::CloudWatch::Alarm', /rotationoverdue/)['TreatMissingData'] = 'notBreaching';
    },
  },
  {
    says: 'the dashboard shows every alarm',
    offenders: (t) => {
      const body = text(all(t, 'AWS::CloudWatch::Dashboard').map(([, { DashboardBody }]) => DashboardBody));
      return alarms(t).flatMap(([id]) => (body.includes(`"${id}"`) ? [] : [id]));
    },
    breakIt: (t) => {
      t.Resources['Hidden'] = { Type: 'AWS::CloudWatch::Alarm', Properties: { ...one(t, 'AWS::CloudWatch::Alarm') } };
    },
  },
];

export const PROMISES: Readonly<Record<string, readonly Promise[]>> = {
  'rights in AWS': IAM,
  'who may reach Rekey': PERMISSIONS,
  encryption: ENCRYPTION,
  'the way of events': WIRING,
  'functions and rotations': FUNCTIONS,
  'the network and Kubernetes': NETWORK,
  'alarms and the dashboard': OPERATIONS,
};
