import { CreateQueueCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { DelayedQueue } from '../../../../shared/operations/queue.ts';
import { createSqsQueue } from '../../../../shared/operations/sqs.ts';
import { type AwsSandbox, startAws } from '../../../sandbox/aws/index.ts';

let aws: AwsSandbox;
let sqs: SQSClient;
let queueUrl: string;
let queue: DelayedQueue;

const SECOND_MS = 50;

beforeAll(async () => {
  aws = await startAws({ queueSecondMs: SECOND_MS });
  sqs = new SQSClient(aws.clientOptions);
  const made = await sqs.send(
    new CreateQueueCommand({ QueueName: 'sync', Attributes: { VisibilityTimeout: String(12 * 60 * 60) } }),
  );
  queueUrl = made.QueueUrl ?? '';
  queue = createSqsQueue(queueUrl, sqs);
});

afterAll(() => aws.close());

async function received(waitSeconds: number) {
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({
      QueueUrl: queueUrl,
      WaitTimeSeconds: waitSeconds,
      MessageSystemAttributeNames: ['All'],
    }),
  );
  return Messages;
}

test('a message is handed out after its delay, and again as soon as it is brought back', async () => {
  await queue.send('look', 15);

  const [first] = await received(20);
  const { SentTimestamp, ApproximateFirstReceiveTimestamp } = first?.Attributes ?? {};
  expect(first?.Body).toBe('look');
  expect(Number(ApproximateFirstReceiveTimestamp) - Number(SentTimestamp)).toBeGreaterThanOrEqual(15 * SECOND_MS);
  expect(await received(1)).toEqual([]);

  await queue.bringBack(first?.ReceiptHandle ?? '', 2);
  expect(await received(20)).toMatchObject([{ Body: 'look', MessageId: first?.MessageId }]);
});

test('a queue that does not answer as it should is unavailable, by the name of the failure alone', async () => {
  const gone = createSqsQueue(`${queueUrl}-gone`, sqs);

  await expect(gone.send('hunter2', 0)).rejects.toMatchObject({
    code: 'QUEUE_UNAVAILABLE',
    message: 'QUEUE_UNAVAILABLE: QueueDoesNotExist',
  });
  await expect(queue.bringBack('hunter2', 0)).rejects.toMatchObject({
    code: 'QUEUE_UNAVAILABLE',
    message: expect.not.stringContaining('hunter2'),
  });
});
