import { ChangeMessageVisibilityCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { AWS_CLIENT } from './aws-client.ts';
import { RekeyError } from './errors.ts';
import type { DelayedQueue } from './queue.ts';

/** Its methods throw RekeyError QUEUE_UNAVAILABLE. */
export function createSqsQueue(queueUrl: string, client: SQSClient = new SQSClient(AWS_CLIENT)): DelayedQueue {
  return {
    async send(body, delaySeconds) {
      await translated(
        client.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body, DelaySeconds: delaySeconds })),
      );
    },

    async bringBack(receiptHandle, delaySeconds) {
      await translated(
        client.send(
          new ChangeMessageVisibilityCommand({
            QueueUrl: queueUrl,
            ReceiptHandle: receiptHandle,
            VisibilityTimeout: delaySeconds,
          }),
        ),
      );
    },
  };
}

async function translated(call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    throw new RekeyError('QUEUE_UNAVAILABLE', error instanceof Error ? error.name : 'the call failed');
  }
}
