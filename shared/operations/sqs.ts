import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { RekeyError } from './errors.ts';
import type { DelayedQueue } from './queue.ts';

export function createSqsQueue(
  queueUrl: string,
  client: Pick<SQSClient, 'send'> = new SQSClient({ maxAttempts: 3 }),
): DelayedQueue {
  return {
    async send(body, delaySeconds) {
      try {
        await client.send(
          new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body, DelaySeconds: delaySeconds }),
        );
      } catch (error) {
        throw new RekeyError('QUEUE_UNAVAILABLE', error instanceof Error ? error.name : 'the call failed');
      }
    },
  };
}
