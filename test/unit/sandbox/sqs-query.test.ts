import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';

/** The query protocol as older clients (Debian's awscli 2.9) speak it: no SDK of today does any more. */

let aws: AwsSandbox;
let queue: string;
beforeEach(async () => {
  aws = await startAws();
  const { xml } = await call({
    Action: 'CreateQueue',
    QueueName: 'q',
    'Attribute.1.Name': 'VisibilityTimeout',
    'Attribute.1.Value': '0',
  });
  queue = texts(xml, 'QueueUrl')[0] ?? '';
});
afterEach(() => aws.close());

async function call(fields: Record<string, string>, url = aws.endpoint): Promise<{ status: number; xml: string }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      authorization:
        'AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20260101/eu-west-1/sqs/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: new URLSearchParams({ Version: '2012-11-05', ...fields }),
  });
  return { status: response.status, xml: await response.text() };
}
/** Of every element of this name without children. */
const texts = (xml: string, element: string) =>
  [...xml.matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))].map(([, text = '']) => text);

describe("SQS's query protocol", () => {
  test('creates a queue with attributes and lists it', async () => {
    expect(queue).toBe(`${aws.endpoint}/111122223333/q`);
    const { xml } = await call({
      Action: 'GetQueueAttributes',
      'AttributeName.1': 'VisibilityTimeout',
      QueueUrl: queue,
    });

    expect(xml).toContain(
      '<GetQueueAttributesResult><Attribute><Name>VisibilityTimeout</Name><Value>0</Value></Attribute>',
    );
    expect(texts((await call({ Action: 'ListQueues' })).xml, 'QueueUrl')).toEqual([queue]);
  });

  test('sends to the URL of the queue and receives with attributes', async () => {
    const sent = await call(
      {
        Action: 'SendMessage',
        QueueUrl: queue,
        MessageBody: 'a <b> & c',
        'MessageAttribute.1.Name': 'kind',
        'MessageAttribute.1.Value.DataType': 'String',
        'MessageAttribute.1.Value.StringValue': 'test',
      },
      queue,
    );
    const { xml } = await call(
      {
        Action: 'ReceiveMessage',
        QueueUrl: queue,
        MaxNumberOfMessages: '10',
        WaitTimeSeconds: '0',
        'AttributeName.1': 'ApproximateReceiveCount',
        'MessageAttributeName.1': 'All',
      },
      queue,
    );

    expect(texts(xml, 'MessageId')).toEqual(texts(sent.xml, 'MessageId'));
    expect(texts(xml, 'MD5OfBody')).toEqual(texts(sent.xml, 'MD5OfMessageBody'));
    expect(texts(xml, 'MD5OfMessageAttributes')).toEqual(texts(sent.xml, 'MD5OfMessageAttributes'));
    expect(texts(xml, 'Body')).toEqual(['a &#60;b&#62; &#38; c']);
    expect(xml).toContain('<Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute>');
    expect(xml).toContain(
      '<MessageAttribute><Name>kind</Name><Value><DataType>String</DataType><StringValue>test</StringValue></Value></MessageAttribute>',
    );
  });

  test('sends and deletes in batches', async () => {
    const sent = await call({
      Action: 'SendMessageBatch',
      QueueUrl: queue,
      'SendMessageBatchRequestEntry.1.Id': 'one',
      'SendMessageBatchRequestEntry.1.MessageBody': 'x',
      'SendMessageBatchRequestEntry.2.Id': 'two',
      'SendMessageBatchRequestEntry.2.MessageBody': 'y',
      'SendMessageBatchRequestEntry.2.DelaySeconds': '901',
    });
    expect(sent.xml).toMatch(/<SendMessageBatchResultEntry><Id>one<\/Id>/);
    expect(sent.xml).toMatch(/<BatchResultErrorEntry><Id>two<\/Id><SenderFault>true<\/SenderFault>/);

    const received = await call({ Action: 'ReceiveMessage', QueueUrl: queue });
    const deleted = await call({
      Action: 'DeleteMessageBatch',
      QueueUrl: queue,
      'DeleteMessageBatchRequestEntry.1.Id': 'one',
      'DeleteMessageBatchRequestEntry.1.ReceiptHandle': texts(received.xml, 'ReceiptHandle')[0] ?? '',
    });
    expect(deleted.xml).toContain('<DeleteMessageBatchResultEntry><Id>one</Id></DeleteMessageBatchResultEntry>');
    expect((await call({ Action: 'ReceiveMessage', QueueUrl: queue })).xml).not.toContain('<Message>');
  });

  test('answers errors in XML under their old codes', async () => {
    const { status, xml } = await call({ Action: 'GetQueueUrl', QueueName: 'none' });

    expect(status).toBe(400);
    expect(xml).toContain('<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>');
  });
});
