import {
  CreateEventBusCommand,
  DeleteRuleCommand,
  DescribeEventBusCommand,
  EventBridgeClient,
  ListEventBusesCommand,
  ListRulesCommand,
  ListTargetsByRuleCommand,
  PutEventsCommand,
  type PutEventsRequestEntry,
  PutRuleCommand,
  PutTargetsCommand,
  RemoveTargetsCommand,
  type Target,
  TestEventPatternCommand,
} from '@aws-sdk/client-eventbridge';
import { CreateTopicCommand, SNSClient, SubscribeCommand } from '@aws-sdk/client-sns';
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';
import { functionFolder } from './function-folder.ts';

let aws: AwsSandbox;
let events: EventBridgeClient;
let sqs: SQSClient;
beforeEach(async () => {
  aws = await startAws();
  events = new EventBridgeClient(aws.clientOptions);
  sqs = new SQSClient(aws.clientOptions);
});
afterEach(() => aws.close());

const entry = (more: Partial<PutEventsRequestEntry> = {}): PutEventsRequestEntry => ({
  Source: 'rekey',
  DetailType: 'Secret Converged',
  Detail: '{"n":1}',
  ...more,
});

/** A queue that gets what a rule for the source `rekey` sends to it. */
async function queueBehindRule(target: Partial<Target> = {}, bus?: string) {
  const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'inbox' }));
  await route({ Id: 'inbox', Arn: arnOf('sqs', 'inbox'), ...target }, bus);
  return QueueUrl;
}

async function route(target: Target, bus?: string) {
  const rule = { Name: `to-${target.Id}`, EventBusName: bus };
  await events.send(new PutRuleCommand({ ...rule, EventPattern: '{"source":["rekey"]}' }));
  await events.send(new PutTargetsCommand({ Rule: rule.Name, EventBusName: bus, Targets: [target] }));
}

const arnOf = (service: string, name: string) => `arn:aws:${service}:eu-west-1:111122223333:${name}`;

async function bodies(QueueUrl: string): Promise<string[]> {
  await aws.idle();
  const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
  return Messages.map(({ Body = '' }) => Body);
}

describe('PutEvents', () => {
  test('hands an event to the target of a matching rule in the envelope of EventBridge', async () => {
    const queue = await queueBehindRule();
    const { Entries, FailedEntryCount } = await events.send(
      new PutEventsCommand({
        Entries: [entry({ Resources: ['arn:x'], Time: new Date('2026-01-02T03:04:05.678Z') })],
      }),
    );

    expect(FailedEntryCount).toBe(0);
    expect((await bodies(queue)).map((body) => JSON.parse(body))).toEqual([
      {
        version: '0',
        id: Entries?.[0]?.EventId,
        'detail-type': 'Secret Converged',
        source: 'rekey',
        account: '111122223333',
        time: '2026-01-02T03:04:05Z',
        region: 'eu-west-1',
        resources: ['arn:x'],
        detail: { n: 1 },
      },
    ]);
  });

  test('hands nothing to the target of a rule that does not match', async () => {
    const queue = await queueBehindRule();
    await events.send(new PutEventsCommand({ Entries: [entry({ Source: 'other' })] }));

    expect(await bodies(queue)).toEqual([]);
  });

  test('hands nothing to the target of a disabled rule', async () => {
    const queue = await queueBehindRule();
    await events.send(
      new PutRuleCommand({ Name: 'to-inbox', EventPattern: '{"source":["rekey"]}', State: 'DISABLED' }),
    );
    await events.send(new PutEventsCommand({ Entries: [entry()] }));

    expect(await bodies(queue)).toEqual([]);
  });

  test.each([
    ['InvalidArgument', { Source: undefined }],
    ['InvalidArgument', { DetailType: '' }],
    ['InvalidArgument', { Detail: undefined }],
    ['MalformedDetail', { Detail: '{' }],
    ['MalformedDetail', { Detail: '[1]' }],
    ['NotAuthorizedForSourceException', { Source: 'aws.secretsmanager' }],
  ])('reports %s for one entry and takes the others: %j', async (ErrorCode, wrong) => {
    const queue = await queueBehindRule();
    const answer = await events.send(new PutEventsCommand({ Entries: [entry(wrong), entry()] }));

    expect(answer).toMatchObject({ FailedEntryCount: 1, Entries: [{ ErrorCode }, { EventId: expect.any(String) }] });
    expect(await bodies(queue)).toHaveLength(1);
  });

  test('refuses more than ten entries and takes none', async () => {
    const queue = await queueBehindRule();
    const request = events.send(new PutEventsCommand({ Entries: Array.from({ length: 11 }, () => entry()) }));

    await expect(request).rejects.toMatchObject({ name: 'ValidationException' });
    expect(await bodies(queue)).toEqual([]);
  });

  test.each([
    ['takes', 256 * 1024],
    ['refuses', 256 * 1024 + 1],
  ])('%s entries of %d bytes', async (verdict, bytes) => {
    const rest = 'rekey'.length + 'Secret Converged'.length + '{"x":""}'.length;
    const request = events.send(
      new PutEventsCommand({ Entries: [entry({ Detail: `{"x":"${'x'.repeat(bytes - rest)}"}` })] }),
    );

    if (verdict === 'takes') expect((await request).FailedEntryCount).toBe(0);
    else await expect(request).rejects.toMatchObject({ message: expect.stringContaining('over the limit') });
  });

  test('accepts an event for a bus that does not exist, which goes nowhere', async () => {
    const queue = await queueBehindRule();
    const answer = await events.send(new PutEventsCommand({ Entries: [entry({ EventBusName: 'none' })] }));

    expect(answer.FailedEntryCount).toBe(0);
    expect(await bodies(queue)).toEqual([]);
  });
});

describe('a target', () => {
  test('that is a function is invoked with the event', async () => {
    const Arn = aws.functions.deploy({
      name: 'f',
      folder: functionFolder('console.log(event.source, event.detail.n);'),
    });
    await route({ Id: 'f', Arn });
    await events.send(new PutEventsCommand({ Entries: [entry()] }));
    await aws.idle();

    expect(aws.functions.logs('f')).toContain('rekey 1');
  });

  test('that is a topic gets the event as its message', async () => {
    const sns = new SNSClient(aws.clientOptions);
    const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'people' }));
    const { TopicArn = '' } = await sns.send(new CreateTopicCommand({ Name: 'news' }));
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: arnOf('sqs', 'people') }));
    await route({ Id: 'topic', Arn: TopicArn });
    await events.send(new PutEventsCommand({ Entries: [entry()] }));

    const [body = ''] = await bodies(QueueUrl);
    expect(JSON.parse(JSON.parse(body).Message)).toMatchObject({ source: 'rekey', detail: { n: 1 } });
  });

  test('that is another bus passes the same event on to the rules there', async () => {
    const { EventBusArn = '' } = await events.send(new CreateEventBusCommand({ Name: 'central' }));
    const queue = await queueBehindRule({}, 'central');
    await route({ Id: 'bus', Arn: EventBusArn });
    const { Entries } = await events.send(new PutEventsCommand({ Entries: [entry()] }));

    expect((await bodies(queue)).map((body) => JSON.parse(body).id)).toEqual([Entries?.[0]?.EventId]);
  });

  test('that does not exist loses the event to its dead-letter queue', async () => {
    const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: 'dead' }));
    await route({ Id: 'gone', Arn: arnOf('sqs', 'gone'), DeadLetterConfig: { Arn: arnOf('sqs', 'dead') } });
    await events.send(new PutEventsCommand({ Entries: [entry()] }));

    expect((await bodies(QueueUrl)).map((body) => JSON.parse(body).source)).toEqual(['rekey']);
  });

  test.each<[string, Partial<Target>, string]>([
    ['Input', { Input: '{"fixed":true}' }, '{"fixed":true}'],
    ['InputPath', { InputPath: '$.detail' }, '{"n":1}'],
    [
      'InputTransformer with an object',
      {
        InputTransformer: {
          InputPathsMap: { n: '$.detail.n', s: '$.source' },
          InputTemplate: '{"number":<n>,"from":<s>}',
        },
      },
      '{"number":1,"from":"rekey"}',
    ],
    [
      'InputTransformer with a text',
      {
        InputTransformer: {
          InputPathsMap: { d: '$.detail', s: '$.source' },
          InputTemplate: '"<s> by <aws.events.rule-name>: <d>, <unknown>"',
        },
      },
      '"rekey by to-inbox: {\\"n\\":1}, <unknown>"',
    ],
  ])('gets what its %s says', async (_what, target, wanted) => {
    const queue = await queueBehindRule(target);
    await events.send(new PutEventsCommand({ Entries: [entry()] }));

    expect(await bodies(queue)).toEqual([wanted]);
  });
});

describe('a disturbed delivery', () => {
  const numbers = async (queue: string) => (await bodies(queue)).map((body) => JSON.parse(body).detail.n);
  const put = (...all: number[]) =>
    events.send(new PutEventsCommand({ Entries: all.map((n) => entry({ Detail: JSON.stringify({ n }) })) }));

  test('hands the same event over twice', async () => {
    const queue = await queueBehindRule();
    aws.disturbEvents(() => [0, 0]);
    await put(7);

    expect(await numbers(queue)).toEqual([7, 7]);
  });

  test('hands events over in another order', async () => {
    const queue = await queueBehindRule();
    aws.disturbEvents((event) => [(event.detail as { n: number }).n === 1 ? 50 : 0]);
    await put(1, 2);

    expect(await numbers(queue)).toEqual([2, 1]);
  });

  test('loses an event, and none once it is ended', async () => {
    const queue = await queueBehindRule();
    aws.disturbEvents(() => []);
    await put(1);
    aws.disturbEvents(undefined);
    await put(2);

    expect(await numbers(queue)).toEqual([2]);
  });
});

describe('rules and buses', () => {
  test('the default bus is there, and others can be made once', async () => {
    expect(await events.send(new DescribeEventBusCommand({}))).toMatchObject({
      Name: 'default',
      Arn: arnOf('events', 'event-bus/default'),
    });
    await events.send(new CreateEventBusCommand({ Name: 'rekey' }));

    await expect(events.send(new CreateEventBusCommand({ Name: 'rekey' }))).rejects.toMatchObject({
      name: 'ResourceAlreadyExistsException',
    });
    const { EventBuses } = await events.send(new ListEventBusesCommand({}));
    expect(EventBuses?.map(({ Name }) => Name)).toEqual(['default', 'rekey']);
  });

  test('a rule is told apart by its bus in name and ARN', async () => {
    await events.send(new CreateEventBusCommand({ Name: 'rekey' }));
    const pattern = { EventPattern: '{"source":["x"]}' };
    const onDefault = await events.send(new PutRuleCommand({ Name: 'r', ...pattern }));
    const onOther = await events.send(new PutRuleCommand({ Name: 'r', EventBusName: 'rekey', ...pattern }));

    expect(onDefault.RuleArn).toBe(arnOf('events', 'rule/r'));
    expect(onOther.RuleArn).toBe(arnOf('events', 'rule/rekey/r'));
  });

  test('a rule that is put again keeps its targets', async () => {
    await queueBehindRule();
    await events.send(new PutRuleCommand({ Name: 'to-inbox', EventPattern: '{"source":["other"]}' }));

    const { Targets } = await events.send(new ListTargetsByRuleCommand({ Rule: 'to-inbox' }));
    expect(Targets).toEqual([{ Id: 'inbox', Arn: arnOf('sqs', 'inbox') }]);
    const { Rules } = await events.send(new ListRulesCommand({ NamePrefix: 'to-' }));
    expect(Rules).toMatchObject([{ Name: 'to-inbox', EventPattern: '{"source":["other"]}', State: 'ENABLED' }]);
  });

  test('rules are listed page by page', async () => {
    for (const Name of ['c', 'a', 'b'])
      await events.send(new PutRuleCommand({ Name, EventPattern: '{"source":["x"]}' }));

    const first = await events.send(new ListRulesCommand({ Limit: 2 }));
    const second = await events.send(new ListRulesCommand({ Limit: 2, NextToken: first.NextToken }));
    expect([first, second].map(({ Rules = [] }) => Rules.map(({ Name }) => Name))).toEqual([['a', 'b'], ['c']]);
    expect(second.NextToken).toBeUndefined();
  });

  test('a rule with targets cannot be deleted before they are removed', async () => {
    await queueBehindRule();
    await expect(events.send(new DeleteRuleCommand({ Name: 'to-inbox' }))).rejects.toMatchObject({
      name: 'ValidationException',
      message: "Rule can't be deleted since it has targets.",
    });

    await events.send(new RemoveTargetsCommand({ Rule: 'to-inbox', Ids: ['inbox'] }));
    await events.send(new DeleteRuleCommand({ Name: 'to-inbox' }));
    expect((await events.send(new ListRulesCommand({}))).Rules).toEqual([]);
  });

  test('a rule takes five targets and refuses a sixth without taking any of the request', async () => {
    await events.send(new PutRuleCommand({ Name: 'r', EventPattern: '{"source":["x"]}' }));
    const targets = (from: number, to: number) =>
      Array.from({ length: to - from }, (_, at) => ({ Id: `t${from + at}`, Arn: arnOf('sqs', 'q') }));
    await events.send(new PutTargetsCommand({ Rule: 'r', Targets: targets(0, 4) }));

    await expect(events.send(new PutTargetsCommand({ Rule: 'r', Targets: targets(4, 6) }))).rejects.toMatchObject({
      name: 'LimitExceededException',
    });
    expect((await events.send(new ListTargetsByRuleCommand({ Rule: 'r' }))).Targets).toHaveLength(4);
  });

  test.each([
    ['an invalid pattern', { EventPattern: '{"source":"x"}' }, 'InvalidEventPatternException'],
    ['neither pattern nor schedule', {}, 'ValidationException'],
    ['a schedule of no known form', { ScheduleExpression: 'every day' }, 'ValidationException'],
    [
      'a bus that does not exist',
      { EventPattern: '{"source":["x"]}', EventBusName: 'none' },
      'ResourceNotFoundException',
    ],
  ])('PutRule refuses %s', async (_what, input, name) => {
    await expect(events.send(new PutRuleCommand({ Name: 'r', ...input }))).rejects.toMatchObject({ name });
  });

  test('PutTargets refuses a rule that does not exist', async () => {
    await expect(
      events.send(new PutTargetsCommand({ Rule: 'none', Targets: [{ Id: 'a', Arn: arnOf('sqs', 'q') }] })),
    ).rejects.toMatchObject({
      name: 'ResourceNotFoundException',
      message: 'Rule none does not exist on EventBus default.',
    });
  });

  test('RemoveTargets reports targets that are not there', async () => {
    await queueBehindRule();

    expect(await events.send(new RemoveTargetsCommand({ Rule: 'to-inbox', Ids: ['inbox', 'other'] }))).toMatchObject({
      FailedEntryCount: 1,
      FailedEntries: [{ TargetId: 'other' }],
    });
  });

  test('TestEventPattern says whether an event matches', async () => {
    const Event = JSON.stringify({
      id: '1',
      account: '1',
      source: 'rekey',
      time: '2026-01-02T03:04:05Z',
      region: 'r',
      resources: [],
      'detail-type': 't',
    });
    const ask = async (EventPattern: string, event = Event) =>
      (await events.send(new TestEventPatternCommand({ EventPattern, Event: event }))).Result;

    expect(await ask('{"source":["rekey"]}')).toBe(true);
    expect(await ask('{"source":["other"]}')).toBe(false);
    await expect(ask('{"source":["rekey"]}', '{"source":"rekey"}')).rejects.toMatchObject({
      name: 'ValidationException',
    });
  });
});
