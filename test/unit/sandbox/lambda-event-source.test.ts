import { EventBridgeClient, PutRuleCommand, PutTargetsCommand } from '@aws-sdk/client-eventbridge';
import {
  CreateSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  RotateSecretCommand,
  SecretsManagerClient,
} from '@aws-sdk/client-secrets-manager';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  type Message,
  type QueueAttributeName,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { functionFolder } from './function-folder.ts';

const QUEUE_ARN = 'arn:aws:sqs:eu-west-1:111122223333:work';
const DEAD_ARN = 'arn:aws:sqs:eu-west-1:111122223333:dead';

let aws: AwsSandbox;
let sqs: SQSClient;
beforeEach(async () => {
  aws = await startAws({ queueSecondMs: 50, retry: { attempts: 0, delayMs: 0 } });
  sqs = new SQSClient(aws.clientOptions);
});
afterEach(() => aws.close());

async function create(QueueName: string, Attributes: Partial<Record<QueueAttributeName, string>> = {}) {
  return (await sqs.send(new CreateQueueCommand({ QueueName, Attributes }))).QueueUrl ?? '';
}
const send = (QueueUrl: string, MessageBody: string) => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
async function left(QueueUrl: string): Promise<string> {
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  return `${Attributes?.ApproximateNumberOfMessages} visible, ${Attributes?.ApproximateNumberOfMessagesNotVisible} in flight`;
}
/** What the function logged as JSON, one line each. */
const logged = (name: string) =>
  aws.functions
    .logs(name)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));

describe('a function that is mapped to a queue', () => {
  test('gets the event that Lambda makes of messages, and they are deleted afterwards', async () => {
    const queue = await create('work');
    aws.functions.deploy({ name: 'f', folder: functionFolder('console.log(JSON.stringify(event));') });
    aws.mapQueueToFunction(QUEUE_ARN, 'f');
    const { MessageId, MD5OfMessageAttributes } = await sqs.send(
      new SendMessageCommand({
        QueueUrl: queue,
        MessageBody: 'hello',
        MessageAttributes: { kind: { DataType: 'String', StringValue: 'test' } },
      }),
    );
    await aws.idle();

    const digits = expect.stringMatching(/^\d{13}$/);
    expect(logged('f')).toEqual([
      {
        Records: [
          {
            messageId: MessageId,
            receiptHandle: expect.any(String),
            body: 'hello',
            attributes: {
              ApproximateReceiveCount: '1',
              SentTimestamp: digits,
              SenderId: '111122223333',
              ApproximateFirstReceiveTimestamp: digits,
            },
            messageAttributes: {
              kind: { stringValue: 'test', stringListValues: [], binaryListValues: [], dataType: 'String' },
            },
            md5OfBody: '5d41402abc4b2a76b9719d911017c592',
            md5OfMessageAttributes: MD5OfMessageAttributes,
            eventSource: 'aws:sqs',
            eventSourceARN: QUEUE_ARN,
            awsRegion: 'eu-west-1',
          },
        ],
      },
    ]);
    expect(await left(queue)).toBe('0 visible, 0 in flight');
  });

  test('gets at most a batch at a time', async () => {
    const queue = await create('work');
    const folder = functionFolder('console.log(JSON.stringify({ size: event.Records.length }));');
    aws.functions.deploy({ name: 'f', folder });
    for (let at = 0; at < 5; at += 1) await send(queue, String(at));
    aws.mapQueueToFunction(QUEUE_ARN, 'f', { batchSize: 2, maximumConcurrency: 1 });
    await aws.idle();

    expect(logged('f')).toEqual([{ size: 2 }, { size: 2 }, { size: 1 }]);
  });

  test('has its messages to itself for as long as it works, even where the seconds of the queue are shorter', async () => {
    const queue = await create('work', { VisibilityTimeout: '3' });
    const folder = functionFolder('console.log("{}"); await new Promise((done) => setTimeout(done, 500));');
    aws.functions.deploy({ name: 'f', folder });
    aws.mapQueueToFunction(QUEUE_ARN, 'f');
    await send(queue, 'x');
    await aws.idle();

    expect(logged('f')).toHaveLength(1);
    expect(await left(queue)).toBe('0 visible, 0 in flight');
  });

  test('gets the messages again after the visibility time-out when it failed', async () => {
    const queue = await create('work');
    const folder = functionFolder(
      'const { attributes } = event.Records[0]; console.log(JSON.stringify(attributes)); if (attributes.ApproximateReceiveCount === "1") throw new Error("x");',
    );
    aws.functions.deploy({ name: 'f', folder });
    aws.mapQueueToFunction(QUEUE_ARN, 'f');
    await send(queue, 'x');
    await eventually('invocation 2', () => logged('f').length === 2);
    await aws.idle();

    expect(logged('f').map(({ ApproximateReceiveCount }) => ApproximateReceiveCount)).toEqual(['1', '2']);
    expect(await left(queue)).toBe('0 visible, 0 in flight');
  });

  test('that fails each time leaves the message to the dead-letter queue', async () => {
    const dead = await create('dead');
    const queue = await create('work', {
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: DEAD_ARN, maxReceiveCount: 2 }),
    });
    aws.functions.deploy({ name: 'f', folder: functionFolder('console.log("{}"); throw new Error("x");') });
    aws.mapQueueToFunction(QUEUE_ARN, 'f', { maximumConcurrency: 1 });
    await send(queue, 'poison');

    let Messages: Message[] | undefined;
    await eventually('the dead letter', async () => {
      ({ Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl: dead, WaitTimeSeconds: 20 })));
      return Messages !== undefined;
    });
    expect(Messages).toMatchObject([{ Body: 'poison' }]);
    expect(logged('f')).toHaveLength(2);
  });

  const partial = (answer: string) =>
    functionFolder(
      `console.log(JSON.stringify({ bodies: event.Records.map(({ body }) => body) })); const idOf = (wanted) => event.Records.find(({ body }) => body === wanted)?.messageId; return ${answer};`,
    );

  test('that reports items as failed gets only these again', async () => {
    const queue = await create('work');
    await send(queue, 'good');
    await send(queue, 'bad');
    const folder = partial(
      'event.Records[0].attributes.ApproximateReceiveCount === "1" ? { batchItemFailures: [{ itemIdentifier: idOf("bad") }] } : undefined',
    );
    aws.functions.deploy({ name: 'f', folder });
    aws.mapQueueToFunction(QUEUE_ARN, 'f', { reportBatchItemFailures: true, maximumConcurrency: 1 });
    await eventually('invocation 2', () => logged('f').length === 2);
    await aws.idle();

    expect(logged('f')).toEqual([{ bodies: ['good', 'bad'] }, { bodies: ['bad'] }]);
    expect(await left(queue)).toBe('0 visible, 0 in flight');
  });

  test.each([
    ['null', 'null', 0],
    ['an empty object', '({})', 0],
    ['an empty list', '{ batchItemFailures: [] }', 0],
    ['a null list', '{ batchItemFailures: null }', 0],
    ['one identifier', '{ batchItemFailures: [{ itemIdentifier: idOf("b") }] }', 1],
    ['an empty identifier', '{ batchItemFailures: [{ itemIdentifier: "" }] }', 2],
    ['a null identifier', '{ batchItemFailures: [{ itemIdentifier: null }] }', 2],
    ['a misspelt key', '{ batchItemFailures: [{ id: idOf("b") }] }', 2],
    ['an identifier that is not of the batch', '{ batchItemFailures: [{ itemIdentifier: "other" }] }', 2],
    ['a text', '"done"', 2],
  ])('that answers %s has so many failed of two: %s → %d', async (_what, answer, failed) => {
    const queue = await create('work', { VisibilityTimeout: '1000' });
    await send(queue, 'a');
    await send(queue, 'b');
    aws.functions.deploy({ name: 'f', folder: partial(answer) });
    aws.mapQueueToFunction(QUEUE_ARN, 'f', { reportBatchItemFailures: true });
    await aws.idle();

    expect(await left(queue)).toBe(`0 visible, ${failed} in flight`);
  });

  test('has its answer ignored when the mapping does not ask for items', async () => {
    const queue = await create('work', { VisibilityTimeout: '1000' });
    await send(queue, 'a');
    aws.functions.deploy({ name: 'f', folder: partial('{ batchItemFailures: [{ itemIdentifier: idOf("a") }] }') });
    aws.mapQueueToFunction(QUEUE_ARN, 'f');
    await aws.idle();

    expect(await left(queue)).toBe('0 visible, 0 in flight');
  });

  test('that is killed leaves the messages to the next receive', async () => {
    const queue = await create('work');
    const folder = functionFolder(
      'console.log("{}"); if (event.Records[0].attributes.ApproximateReceiveCount === "1") await new Promise(() => setInterval(() => 0, 50));',
    );
    aws.functions.deploy({ name: 'f', folder, timeoutSeconds: 30 });
    aws.mapQueueToFunction(QUEUE_ARN, 'f', { maximumConcurrency: 1 });
    await send(queue, 'x');
    await eventually('invocation 1', () => logged('f').length === 1);
    aws.functions.kill('f');
    await eventually('invocation 2', () => logged('f').length === 2);
    await aws.idle();

    expect(await left(queue)).toBe('0 visible, 0 in flight');
  });

  test('outlives its queue', async () => {
    const queue = await create('work');
    aws.functions.deploy({ name: 'f', folder: functionFolder('return 1;') });
    aws.mapQueueToFunction(QUEUE_ARN, 'f');
    await sqs.send(new DeleteQueueCommand({ QueueUrl: queue }));
    await aws.idle();

    expect(await aws.functions.invoke('f', {})).toMatchObject({ ok: true });
  });

  test('must not run longer than the queue hides its messages', async () => {
    await create('work', { VisibilityTimeout: '5' });
    aws.functions.deploy({ name: 'f', folder: functionFolder(''), timeoutSeconds: 6 });

    expect(() => aws.mapQueueToFunction(QUEUE_ARN, 'f')).toThrow(
      expect.objectContaining({ code: 'InvalidParameterValueException' }),
    );
  });

  test.each([
    ['queue', 'arn:aws:sqs:eu-west-1:111122223333:none', 'f', 'QueueDoesNotExist'],
    ['function', QUEUE_ARN, 'none', 'ResourceNotFoundException'],
  ])('must have a %s', async (_what, queueArn, name, code) => {
    await create('work');
    aws.functions.deploy({ name: 'f', folder: functionFolder('') });

    expect(() => aws.mapQueueToFunction(queueArn, name)).toThrow(expect.objectContaining({ code }));
  });
});

describe('the account as a whole', () => {
  test('a value that is put reaches the mapped function as Secret Label Updated', async () => {
    const secrets = new SecretsManagerClient(aws.clientOptions);
    const events = new EventBridgeClient(aws.clientOptions);
    await create('work');
    const pattern = {
      source: ['aws.secretsmanager'],
      'detail-type': ['Secret Label Updated'],
      detail: { labelUpdated: ['AWSCURRENT'] },
    };
    await events.send(new PutRuleCommand({ Name: 'labels', EventPattern: JSON.stringify(pattern) }));
    await events.send(new PutTargetsCommand({ Rule: 'labels', Targets: [{ Id: 'work', Arn: QUEUE_ARN }] }));
    const { ARN } = await secrets.send(new CreateSecretCommand({ Name: 'MySecret', SecretString: 'one' }));
    await aws.idle();
    aws.functions.deploy({
      name: 'sync',
      folder: functionFolder('for (const { body } of event.Records) console.log(body);'),
    });
    aws.mapQueueToFunction(QUEUE_ARN, 'sync');
    await aws.idle();
    const before = logged('sync').length;

    const { VersionId } = await secrets.send(new PutSecretValueCommand({ SecretId: 'MySecret', SecretString: 'two' }));
    await aws.idle();

    expect(logged('sync').slice(before)).toEqual([
      {
        version: '0',
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        'detail-type': 'Secret Label Updated',
        source: 'aws.secretsmanager',
        account: '111122223333',
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
        region: 'eu-west-1',
        resources: [ARN],
        detail: { name: 'MySecret', labelUpdated: 'AWSCURRENT', versionId: VersionId },
      },
    ]);
  });

  /** A rotation function with no SDK in it: it signs nothing, and the sandbox does not check. */
  const ROTATION = `
    const call = async (operation, input) => {
      const response = await fetch(process.env.AWS_ENDPOINT_URL, { method: "POST", body: JSON.stringify(input), headers: {
        "content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager." + operation,
        authorization: "AWS4-HMAC-SHA256 Credential=" + process.env.AWS_ACCESS_KEY_ID + "/20260101/eu-west-1/secretsmanager/aws4_request" } });
      if (!response.ok) throw new Error(await response.text());
      return response.json();
    };`;
  const STEPS = `
    const { Step, SecretId, ClientRequestToken, RotationToken } = event;
    console.log(JSON.stringify({ Step }));
    if (Step === "createSecret")
      await call("PutSecretValue", { SecretId, ClientRequestToken, RotationToken, SecretString: "new", VersionStages: ["AWSPENDING"] });
    if (Step === process.env.FAIL) throw new Error("on purpose");
    if (Step === "finishSecret") {
      const { VersionIdsToStages } = await call("DescribeSecret", { SecretId });
      const [RemoveFromVersionId] = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes("AWSCURRENT"));
      await call("UpdateSecretVersionStage", { SecretId, VersionStage: "AWSCURRENT", MoveToVersionId: ClientRequestToken, RemoveFromVersionId });
    }`;

  async function rotate(environment: Record<string, string>): Promise<SecretsManagerClient> {
    const RotationLambdaARN = aws.functions.deploy({
      name: 'rotation',
      folder: functionFolder(STEPS, ROTATION),
      environment,
    });
    const secrets = new SecretsManagerClient(aws.clientOptions);
    await secrets.send(new CreateSecretCommand({ Name: 'db', SecretString: 'old' }));
    await secrets.send(
      new RotateSecretCommand({ SecretId: 'db', RotationLambdaARN, RotationRules: { AutomaticallyAfterDays: 30 } }),
    );
    await aws.idle();
    return secrets;
  }

  test('a rotation runs its four steps in the deployed function', async () => {
    const secrets = await rotate({});

    expect(logged('rotation').map(({ Step }) => Step)).toEqual([
      'createSecret',
      'setSecret',
      'testSecret',
      'finishSecret',
    ]);
    expect((await secrets.send(new GetSecretValueCommand({ SecretId: 'db' }))).SecretString).toBe('new');
  });

  test('a rotation stops at the step in which the function fails', async () => {
    const secrets = await rotate({ FAIL: 'setSecret' });

    expect(logged('rotation').map(({ Step }) => Step)).toEqual(['createSecret', 'setSecret']);
    expect((await secrets.send(new GetSecretValueCommand({ SecretId: 'db' }))).SecretString).toBe('old');
    const { VersionIdsToStages = {} } = await secrets.send(new DescribeSecretCommand({ SecretId: 'db' }));
    expect(Object.values(VersionIdsToStages).flat().sort()).toEqual(['AWSCURRENT', 'AWSPENDING']);
  });

  test('several sandboxes run side by side and share nothing', async () => {
    const others = await Promise.all([startAws(), startAws({ region: 'us-east-1', accountId: '444455556666' })]);
    try {
      await create('work');
      const [first, second] = others.map(({ clientOptions }) => new SQSClient(clientOptions));
      const { QueueUrl } = (await second?.send(new CreateQueueCommand({ QueueName: 'work' }))) ?? {};

      expect(QueueUrl).toBe(`${others[1]?.endpoint}/444455556666/work`);
      await expect(first?.send(new SendMessageCommand({ QueueUrl, MessageBody: 'x' }))).rejects.toMatchObject({
        name: 'QueueDoesNotExist',
      });
    } finally {
      await Promise.all(others.map((other) => other.close()));
    }
  });
});
