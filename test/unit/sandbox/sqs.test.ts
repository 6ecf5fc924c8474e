import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteMessageCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  type Message,
  PurgeQueueCommand,
  type QueueAttributeName,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  type SendMessageCommandInput,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { startAws } from '../../sandbox/aws/index.ts';
import { type AwsServer, startAwsServer } from '../../sandbox/aws/server.ts';
import { createSqs } from '../../sandbox/aws/sqs/index.ts';

let server: AwsServer;
let sqs: SQSClient;
let passedMs: number;
beforeEach(async () => {
  const account = { accountId: '111122223333', region: 'eu-west-1' };
  passedMs = 0;
  const service = createSqs({ ...account, now: () => Date.now() + passedMs, endpoint: () => server.endpoint });
  server = await startAwsServer({ ...account, services: [service] });
  const credentials = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'example' };
  sqs = new SQSClient({ endpoint: server.endpoint, region: account.region, credentials });
});
afterEach(() => server.close());
/** So much time has passed, for the queues. */
const pass = (seconds: number) => {
  passedMs += seconds * 1_000;
};

async function create(
  Attributes: Partial<Record<QueueAttributeName, string>> = {},
  QueueName = 'work',
): Promise<string> {
  const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
  return QueueUrl;
}
const send = (QueueUrl: string, MessageBody: string, more: Partial<SendMessageCommandInput> = {}) =>
  sqs.send(new SendMessageCommand({ QueueUrl, MessageBody, ...more }));
async function receive(QueueUrl: string, WaitTimeSeconds = 0, VisibilityTimeout?: number): Promise<Message[]> {
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds,
      VisibilityTimeout,
      MessageSystemAttributeNames: ['All'],
      MessageAttributeNames: ['All'],
    }),
  );
  return Messages;
}
async function counts(QueueUrl: string): Promise<string> {
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  const { ApproximateNumberOfMessages, ApproximateNumberOfMessagesNotVisible, ApproximateNumberOfMessagesDelayed } =
    Attributes ?? {};
  return `${ApproximateNumberOfMessages} visible, ${ApproximateNumberOfMessagesNotVisible} in flight, ${ApproximateNumberOfMessagesDelayed} delayed`;
}

describe('a message', () => {
  test('is received with its body, its attributes and what SQS adds', async () => {
    const queue = await create();
    const before = Date.now();
    const { MessageId } = await send(queue, 'grüße', {
      MessageAttributes: {
        text: { DataType: 'String', StringValue: 'a' },
        number: { DataType: 'Number.int', StringValue: '5' },
        bytes: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
      },
    });

    const [message] = await receive(queue);
    expect(message).toMatchObject({
      MessageId,
      Body: 'grüße',
      MessageAttributes: {
        text: { DataType: 'String', StringValue: 'a' },
        number: { DataType: 'Number.int', StringValue: '5' },
        bytes: { DataType: 'Binary', BinaryValue: new Uint8Array([0, 255]) },
      },
      Attributes: { ApproximateReceiveCount: '1', SenderId: '111122223333' },
    });
    expect(Number(message?.Attributes?.SentTimestamp)).toBeGreaterThanOrEqual(before);
  });

  // SQS Developer Guide, "Calculating the MD5 message digest for message attributes": the literal was computed apart.
  test('carries the MD5 of its body and of its attributes', async () => {
    const queue = await create();
    const answer = await send(queue, 'hello', {
      MessageAttributes: {
        z: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) },
        a: { DataType: 'String', StringValue: 'b' },
      },
    });

    expect(answer.MD5OfMessageBody).toBe('5d41402abc4b2a76b9719d911017c592');
    expect(answer.MD5OfMessageAttributes).toBe('a19f3240b7509b28c143cb4cadaa48e0');
  });

  test('is hidden while its receiver works on it', async () => {
    const queue = await create();
    await send(queue, 'x');
    await receive(queue);

    expect(await receive(queue)).toEqual([]);
    expect(await counts(queue)).toBe('0 visible, 1 in flight, 0 delayed');
  });

  test('comes back when its visibility time-out ends, with a higher receive count and another handle', async () => {
    const queue = await create({ VisibilityTimeout: '30' });
    await send(queue, 'x');
    const [first] = await receive(queue);
    pass(30);
    const [second] = await receive(queue);

    expect(second).toMatchObject({ MessageId: first?.MessageId, Attributes: { ApproximateReceiveCount: '2' } });
    expect(second?.ReceiptHandle).not.toBe(first?.ReceiptHandle);
    expect(second?.Attributes?.ApproximateFirstReceiveTimestamp).toBe(
      first?.Attributes?.ApproximateFirstReceiveTimestamp,
    );
  });

  test('does not come back once it was deleted', async () => {
    const queue = await create({ VisibilityTimeout: '0' });
    await send(queue, 'x');
    const [message] = await receive(queue);
    await sqs.send(new DeleteMessageCommand({ QueueUrl: queue, ReceiptHandle: message?.ReceiptHandle }));

    expect(await receive(queue)).toEqual([]);
  });

  test('is not deleted by the handle of an earlier receive', async () => {
    const queue = await create({ VisibilityTimeout: '0' });
    await send(queue, 'x');
    const [first] = await receive(queue);
    await receive(queue);
    await sqs.send(new DeleteMessageCommand({ QueueUrl: queue, ReceiptHandle: first?.ReceiptHandle }));

    expect(await receive(queue)).toHaveLength(1);
  });

  test('is delayed by its own DelaySeconds', async () => {
    const queue = await create();
    await send(queue, 'x', { DelaySeconds: 900 });

    expect(await receive(queue)).toEqual([]);
    expect(await counts(queue)).toBe('0 visible, 0 in flight, 1 delayed');
    pass(900);
    expect(await receive(queue)).toHaveLength(1);
  });

  test("is delayed by its queue's DelaySeconds, unless it says otherwise", async () => {
    const queue = await create({ DelaySeconds: '900' });
    await send(queue, 'late');
    await send(queue, 'now', { DelaySeconds: 0 });

    expect((await receive(queue)).map(({ Body }) => Body)).toEqual(['now']);
  });

  test('is forgotten when its retention period ends', async () => {
    const queue = await create({ MessageRetentionPeriod: '60' });
    await send(queue, 'x');
    expect(await counts(queue)).toBe('1 visible, 0 in flight, 0 delayed');
    pass(60);

    expect(await receive(queue)).toEqual([]);
    expect(await counts(queue)).toBe('0 visible, 0 in flight, 0 delayed');
  });
});

describe('a long poll', () => {
  test('ends at once when a message arrives', async () => {
    const queue = await create();
    const waiting = receive(queue, 20);
    await send(queue, 'x');

    expect(await waiting).toHaveLength(1);
  });

  test('ends when a message comes back', async () => {
    const queue = await create({ VisibilityTimeout: '1' });
    await send(queue, 'x');
    await receive(queue);

    expect(await receive(queue, 20)).toHaveLength(1);
  });

  test('ends with nothing when its time is over', async () => {
    const queue = await create({ ReceiveMessageWaitTimeSeconds: '1' });
    const beganAt = Date.now();
    const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl: queue }));

    expect(Messages).toBeUndefined();
    expect(Date.now() - beganAt).toBeGreaterThanOrEqual(1_000 - 5);
  });

  test('does not keep the sandbox from closing', async () => {
    const other = await startAws();
    const client = new SQSClient({ ...other.clientOptions, maxAttempts: 1 });
    const { QueueUrl } = await client.send(new CreateQueueCommand({ QueueName: 'q' }));
    const waiting = client.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 })).catch(() => 'cut');
    await other.close();

    expect(['cut', expect.objectContaining({ $metadata: expect.anything() })]).toContainEqual(await waiting);
  });
});

describe('ChangeMessageVisibility', () => {
  test('with 0 gives the message back at once', async () => {
    const queue = await create();
    await send(queue, 'x');
    const [message] = await receive(queue);
    await sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: queue,
        ReceiptHandle: message?.ReceiptHandle,
        VisibilityTimeout: 0,
      }),
    );

    expect(await receive(queue)).toHaveLength(1);
  });

  test('hides a message longer', async () => {
    const queue = await create({ VisibilityTimeout: '30' });
    await send(queue, 'x');
    const [message] = await receive(queue);
    await sqs.send(
      new ChangeMessageVisibilityCommand({
        QueueUrl: queue,
        ReceiptHandle: message?.ReceiptHandle,
        VisibilityTimeout: 1_000,
      }),
    );

    pass(30);
    expect(await receive(queue)).toEqual([]);
  });

  test('is refused for a message that is not in flight', async () => {
    const queue = await create({ VisibilityTimeout: '0' });
    await send(queue, 'x');
    const [message] = await receive(queue);

    await expect(
      sqs.send(
        new ChangeMessageVisibilityCommand({
          QueueUrl: queue,
          ReceiptHandle: message?.ReceiptHandle,
          VisibilityTimeout: 5,
        }),
      ),
    ).rejects.toMatchObject({ name: 'MessageNotInflight' });
  });
});

describe('a dead-letter queue', () => {
  const DEAD_ARN = 'arn:aws:sqs:eu-west-1:111122223333:dead';
  const redrive = (maxReceiveCount: number) => JSON.stringify({ deadLetterTargetArn: DEAD_ARN, maxReceiveCount });

  test('gets a message that was received maxReceiveCount times and not deleted', async () => {
    const dead = await create({}, 'dead');
    const queue = await create({ VisibilityTimeout: '0', RedrivePolicy: redrive(2) });
    const { MessageId } = await send(queue, 'poison');
    await receive(queue);
    await receive(queue);

    expect(await receive(queue)).toEqual([]);
    expect(await receive(dead)).toMatchObject([
      {
        MessageId,
        Body: 'poison',
        Attributes: { DeadLetterQueueSourceArn: 'arn:aws:sqs:eu-west-1:111122223333:work' },
      },
    ]);
  });

  test('must exist before a policy names it', async () => {
    await expect(create({ RedrivePolicy: redrive(2) })).rejects.toMatchObject({
      name: 'InvalidParameterValue',
      message: expect.stringContaining('Dead letter target does not exist'),
    });
  });
});

describe('a batch', () => {
  test('sends, hides and deletes each entry by itself', async () => {
    const queue = await create();
    const sent = await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: queue,
        Entries: [
          { Id: 'good', MessageBody: 'a' },
          { Id: 'bad', MessageBody: 'b', DelaySeconds: 901 },
        ],
      }),
    );
    expect(sent.Successful?.map(({ Id }) => Id)).toEqual(['good']);
    expect(sent.Failed).toMatchObject([{ Id: 'bad', SenderFault: true, Code: 'InvalidParameterValue' }]);

    const [message] = await receive(queue);
    const Entries = [
      { Id: '1', ReceiptHandle: message?.ReceiptHandle, VisibilityTimeout: 0 },
      { Id: '2', ReceiptHandle: 'invented', VisibilityTimeout: 0 },
    ];
    const changed = await sqs.send(new ChangeMessageVisibilityBatchCommand({ QueueUrl: queue, Entries }));
    expect(changed.Successful).toEqual([{ Id: '1' }]);
    expect(changed.Failed).toMatchObject([{ Id: '2', Code: 'ReceiptHandleIsInvalid' }]);
    const deleted = await sqs.send(
      new DeleteMessageBatchCommand({
        QueueUrl: queue,
        Entries: Entries.map(({ Id, ReceiptHandle }) => ({ Id, ReceiptHandle })),
      }),
    );
    expect(deleted.Successful).toEqual([{ Id: '1' }]);
    expect(await counts(queue)).toBe('0 visible, 0 in flight, 0 delayed');
  });

  test.each([
    ['EmptyBatchRequest', []],
    ['TooManyEntriesInBatchRequest', Array.from({ length: 11 }, (_, at) => ({ Id: `m${at}`, MessageBody: 'x' }))],
    ['BatchEntryIdsNotDistinct', [1, 2].map(() => ({ Id: 'same', MessageBody: 'x' }))],
    ['InvalidBatchEntryId', [{ Id: 'a b', MessageBody: 'x' }]],
  ])('is refused whole with %s', async (name, Entries) => {
    const queue = await create();

    await expect(sqs.send(new SendMessageBatchCommand({ QueueUrl: queue, Entries }))).rejects.toMatchObject({ name });
    expect(await counts(queue)).toBe('0 visible, 0 in flight, 0 delayed');
  });
});

describe('a queue', () => {
  test('has the attributes that AWS gives it', async () => {
    const queue = await create({ VisibilityTimeout: '360' });
    const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl: queue, AttributeNames: ['All'] }));

    expect(Attributes).toMatchObject({
      QueueArn: 'arn:aws:sqs:eu-west-1:111122223333:work',
      VisibilityTimeout: '360',
      DelaySeconds: '0',
      MessageRetentionPeriod: '345600',
      ReceiveMessageWaitTimeSeconds: '0',
      MaximumMessageSize: '1048576',
      SqsManagedSseEnabled: 'true',
    });
  });

  test('takes new attributes for what happens from then on', async () => {
    const queue = await create();
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: queue, Attributes: { VisibilityTimeout: '0' } }));
    await send(queue, 'x');
    await receive(queue);

    expect(await receive(queue)).toHaveLength(1);
  });

  test('is found by name, and listed by prefix page by page', async () => {
    const urls = [await create({}, 'a1'), await create({}, 'a2'), await create({}, 'b')];

    expect((await sqs.send(new GetQueueUrlCommand({ QueueName: 'a2' }))).QueueUrl).toBe(urls[1]);
    const first = await sqs.send(new ListQueuesCommand({ QueueNamePrefix: 'a', MaxResults: 1 }));
    const second = await sqs.send(
      new ListQueuesCommand({ QueueNamePrefix: 'a', MaxResults: 1, NextToken: first.NextToken }),
    );
    expect([...(first.QueueUrls ?? []), ...(second.QueueUrls ?? [])]).toEqual(urls.slice(0, 2));
  });

  test('that is created again with the same attributes is the same queue, with others an error', async () => {
    const queue = await create({ DelaySeconds: '5' });

    expect(await create({ DelaySeconds: '5' })).toBe(queue);
    await expect(create({ DelaySeconds: '6' })).rejects.toMatchObject({ name: 'QueueNameExists' });
  });

  test('that is purged or deleted has no messages any more', async () => {
    const queue = await create();
    await send(queue, 'x');
    await sqs.send(new PurgeQueueCommand({ QueueUrl: queue }));
    expect(await receive(queue)).toEqual([]);

    await sqs.send(new DeleteQueueCommand({ QueueUrl: queue }));
    await expect(send(queue, 'x')).rejects.toMatchObject({ name: 'QueueDoesNotExist' });
  });
});

describe('bad input is refused:', () => {
  test.each<[string, string, (queue: string) => Promise<unknown>]>([
    ['a queue that does not exist', 'QueueDoesNotExist', (queue) => send(`${queue}-other`, 'x')],
    [
      'the URL of a queue that does not exist',
      'QueueDoesNotExist',
      () => sqs.send(new GetQueueUrlCommand({ QueueName: 'none' })),
    ],
    ['an empty message', 'MissingParameter', (queue) => send(queue, '')],
    ['a control character', 'InvalidMessageContents', (queue) => send(queue, '\u0001')],
    ['a delay of more than 15 minutes', 'InvalidParameterValue', (queue) => send(queue, 'x', { DelaySeconds: 901 })],
    [
      'a message attribute without a value',
      'InvalidParameterValue',
      (queue) => send(queue, 'x', { MessageAttributes: { a: { DataType: 'String' } } }),
    ],
    [
      'an unknown attribute',
      'InvalidAttributeName',
      (queue) => sqs.send(new SetQueueAttributesCommand({ QueueUrl: queue, Attributes: { Colour: 'red' } as object })),
    ],
    [
      'a visibility time-out of more than 12 hours',
      'InvalidAttributeValue',
      () => create({ VisibilityTimeout: '43201' }, 'other'),
    ],
    [
      'an invented receipt handle',
      'ReceiptHandleIsInvalid',
      (queue) => sqs.send(new DeleteMessageCommand({ QueueUrl: queue, ReceiptHandle: 'x' })),
    ],
    [
      'more than ten messages at once',
      'InvalidParameterValue',
      (queue) => sqs.send(new ReceiveMessageCommand({ QueueUrl: queue, MaxNumberOfMessages: 11 })),
    ],
    ['a wait of more than 20 seconds', 'InvalidParameterValue', (queue) => receive(queue, 21)],
    ['a FIFO queue, which is not simulated', 'UnsupportedOperation', () => create({}, 'a.fifo')],
    ['a name with a space', 'InvalidParameterValue', () => create({}, 'a b')],
  ])('%s', async (_what, name, attempt) => {
    const queue = await create();
    await expect(attempt(queue)).rejects.toMatchObject({ name });
    expect(await counts(queue)).toBe('0 visible, 0 in flight, 0 delayed');
  });

  test('a message larger than the queue takes', async () => {
    const queue = await create({ MaximumMessageSize: '1024' });

    await send(queue, 'x'.repeat(1_024));
    await expect(send(queue, 'x'.repeat(1_025))).rejects.toMatchObject({ name: 'InvalidParameterValue' });
  });
});
