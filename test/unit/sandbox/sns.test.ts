import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import {
  ConfirmSubscriptionCommand,
  CreateTopicCommand,
  ListSubscriptionsByTopicCommand,
  ListSubscriptionsCommand,
  ListTopicsCommand,
  PublishCommand,
  SNSClient,
  SubscribeCommand,
  UnsubscribeCommand,
} from '@aws-sdk/client-sns';
import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';
import { functionFolder } from './function-folder.ts';

const QUEUE_ARN = 'arn:aws:sqs:eu-west-1:111122223333:inbox';

let aws: AwsSandbox;
let sns: SNSClient;
let sqs: SQSClient;
let TopicArn: string;
let QueueUrl: string;
beforeEach(async () => {
  aws = await startAws();
  sns = new SNSClient(aws.clientOptions);
  sqs = new SQSClient(aws.clientOptions);
  TopicArn = (await sns.send(new CreateTopicCommand({ Name: 'news' }))).TopicArn ?? '';
  QueueUrl = (await sqs.send(new CreateQueueCommand({ QueueName: 'inbox' }))).QueueUrl ?? '';
});
afterEach(() => aws.close());

async function received() {
  await aws.idle();
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ['All'] }),
  );
  return Messages;
}

describe('a subscribed queue', () => {
  test("gets the message in SNS's envelope", async () => {
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: QUEUE_ARN }));
    const { MessageId } = await sns.send(
      new PublishCommand({
        TopicArn,
        Message: 'hello',
        Subject: 'greeting',
        MessageAttributes: { kind: { DataType: 'String', StringValue: 'test' } },
      }),
    );

    const [message] = await received();
    expect(JSON.parse(message?.Body ?? '')).toMatchObject({
      Type: 'Notification',
      MessageId,
      TopicArn,
      Subject: 'greeting',
      Message: 'hello',
      Timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      SignatureVersion: '1',
      MessageAttributes: { kind: { Type: 'String', Value: 'test' } },
    });
  });

  test('with raw delivery gets the message alone, its attributes as those of SQS', async () => {
    await sns.send(
      new SubscribeCommand({
        TopicArn,
        Protocol: 'sqs',
        Endpoint: QUEUE_ARN,
        Attributes: { RawMessageDelivery: 'true' },
      }),
    );
    await sns.send(
      new PublishCommand({
        TopicArn,
        Message: 'hello',
        MessageAttributes: { kind: { DataType: 'String', StringValue: 'test' } },
      }),
    );

    expect(await received()).toMatchObject([
      { Body: 'hello', MessageAttributes: { kind: { DataType: 'String', StringValue: 'test' } } },
    ]);
  });

  test('gets nothing once it is unsubscribed', async () => {
    const { SubscriptionArn } = await sns.send(
      new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: QUEUE_ARN }),
    );
    await sns.send(new UnsubscribeCommand({ SubscriptionArn }));
    await sns.send(new PublishCommand({ TopicArn, Message: 'hello' }));

    expect(await received()).toEqual([]);
  });
});

test('a subscribed function is invoked with the record of SNS', async () => {
  const folder = functionFolder('console.log(event.Records[0].EventSource, event.Records[0].Sns.Message);');
  const Endpoint = aws.functions.deploy({ name: 'f', folder });
  await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'lambda', Endpoint }));
  await sns.send(new PublishCommand({ TopicArn, Message: 'hello' }));
  await aws.idle();

  expect(aws.functions.logs('f')).toContain('aws:sns hello');
});

describe('a subscribed web server', () => {
  let server: Server;
  let got: { type: unknown; body: string }[];
  let Endpoint: string;
  beforeEach(async () => {
    got = [];
    server = createServer(async (request, response) => {
      got.push({ type: request.headers['x-amz-sns-message-type'], body: await text(request) });
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    Endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test('gets messages only after it confirmed with its token', async () => {
    const { SubscriptionArn } = await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint }));
    expect(SubscriptionArn).toBe('pending confirmation');
    await sns.send(new PublishCommand({ TopicArn, Message: 'too early' }));
    await aws.idle();
    expect(got.map(({ type }) => type)).toEqual(['SubscriptionConfirmation']);

    const { Token } = JSON.parse(got[0]?.body ?? '');
    await sns.send(new ConfirmSubscriptionCommand({ TopicArn, Token }));
    await sns.send(new PublishCommand({ TopicArn, Message: 'hello' }));
    await aws.idle();
    expect(got.slice(1)).toEqual([{ type: 'Notification', body: expect.stringContaining('"Message":"hello"') }]);
  });

  test('that does not answer misses the message, and nobody else does', async () => {
    const { SubscriptionArn } = await sns.send(
      new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint, ReturnSubscriptionArn: true }),
    );
    expect(SubscriptionArn).toContain(TopicArn);
    await aws.idle();
    await sns.send(new ConfirmSubscriptionCommand({ TopicArn, Token: JSON.parse(got[0]?.body ?? '').Token }));
    await sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: QUEUE_ARN }));
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await sns.send(new PublishCommand({ TopicArn, Message: 'hello' }));

    expect(await received()).toHaveLength(1);
  });
});

test('a topic that is created again is the same topic', async () => {
  expect((await sns.send(new CreateTopicCommand({ Name: 'news' }))).TopicArn).toBe(TopicArn);
  expect((await sns.send(new ListTopicsCommand({}))).Topics).toEqual([{ TopicArn }]);
});

test('subscriptions are listed, the same endpoint once', async () => {
  const subscribe = () => sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sqs', Endpoint: QUEUE_ARN }));
  const { SubscriptionArn } = await subscribe();
  await subscribe();

  const wanted = [{ SubscriptionArn, TopicArn, Protocol: 'sqs', Endpoint: QUEUE_ARN, Owner: '111122223333' }];
  expect((await sns.send(new ListSubscriptionsCommand({}))).Subscriptions).toEqual(wanted);
  expect((await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }))).Subscriptions).toEqual(wanted);
});

describe('bad input is refused:', () => {
  test.each<[string, string, () => Promise<unknown>]>([
    [
      'a topic that does not exist',
      'NotFoundException',
      () => sns.send(new PublishCommand({ TopicArn: `${TopicArn}-other`, Message: 'x' })),
    ],
    ['an empty message', 'InvalidParameterException', () => sns.send(new PublishCommand({ TopicArn, Message: '' }))],
    [
      'a message of more than 256 KB',
      'InvalidParameterException',
      () => sns.send(new PublishCommand({ TopicArn, Message: 'x'.repeat(262_145) })),
    ],
    ['a name with a space', 'InvalidParameterException', () => sns.send(new CreateTopicCommand({ Name: 'a b' }))],
    [
      'a web server that is not on this machine',
      'InvalidParameterException',
      () => sns.send(new SubscribeCommand({ TopicArn, Protocol: 'http', Endpoint: 'http://example.com/' })),
    ],
    [
      'a protocol that is not simulated',
      'InvalidParameterException',
      () => sns.send(new SubscribeCommand({ TopicArn, Protocol: 'sms', Endpoint: '+441234567890' })),
    ],
    [
      'an invented token',
      'InvalidParameterException',
      () => sns.send(new ConfirmSubscriptionCommand({ TopicArn, Token: 'x' })),
    ],
  ])('%s', async (_what, name, attempt) => {
    await expect(attempt()).rejects.toMatchObject({ name });
  });
});
