import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type AwsServer, startAwsServer } from '../sandbox/aws/server.ts';
import { createSqs, type Sqs } from '../sandbox/aws/sqs/index.ts';
import { type AwsCli, awsCli, describeWithAwsCli } from './aws-cli.ts';

/** Older AWS CLIs, such as Debian's 2.9, speak the query protocol to SQS, newer ones JSON: both must get the same. */
await describeWithAwsCli('the simulated SQS', () => {
  const account = { accountId: '111122223333', region: 'eu-central-1' };
  let server: AwsServer;
  let sqs: Sqs;
  let aws: AwsCli;

  beforeAll(async () => {
    sqs = createSqs({ ...account, now: Date.now, endpoint: () => server.endpoint });
    server = await startAwsServer({ services: [sqs], ...account });
    aws = awsCli({ endpoint: server.endpoint, region: account.region });
  });
  afterAll(async () => {
    sqs.close();
    await server.close();
  });

  test('keeps a message until it is received and deleted', async () => {
    const { QueueUrl } = await aws('sqs', 'create-queue', '--queue-name', 'jobs');
    const queue = ['--queue-url', String(QueueUrl)];
    await aws('sqs', 'send-message', ...queue, '--message-body', '{"a":"<&>"}');
    const received = await aws('sqs', 'receive-message', ...queue);
    expect(received).toMatchObject({ Messages: [{ Body: '{"a":"<&>"}' }] });
    const [message] = received['Messages'] as { ReceiptHandle: string }[];
    await aws('sqs', 'delete-message', ...queue, '--receipt-handle', message?.ReceiptHandle ?? '');
    const attributes = await aws('sqs', 'get-queue-attributes', ...queue, '--attribute-names', 'All');
    expect(attributes).toMatchObject({
      Attributes: { ApproximateNumberOfMessages: '0', ApproximateNumberOfMessagesNotVisible: '0' },
    });
  });

  test('reports a queue that does not exist', async () => {
    await expect(aws('sqs', 'get-queue-url', '--queue-name', 'missing')).rejects.toThrow('NonExistentQueue');
  });
});
