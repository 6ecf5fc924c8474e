import { z } from 'zod';
import { handleWith, operation } from '../operation.ts';
import { AwsError, type AwsService } from '../service.ts';
import { attributesOf, defaultSettings, withAttributes } from './attributes.ts';
import {
  checkMessage,
  type Message,
  type MessageAttributes,
  md5,
  md5OfAttributes,
  messageAttributeSchema,
  sizeOf,
} from './message.ts';
import { fromQuery, toQuery } from './query-names.ts';
import { createQueue, type Queue } from './queue.ts';

const MAX_BATCH = 10;
const MAX_VISIBILITY_SECONDS = 43_200;

export interface Sqs extends AwsService {
  /** What another service puts into a queue. @throws AwsError QueueDoesNotExist */
  send(queueArn: string, body: string, attributes?: MessageAttributes): void;
  /** @throws AwsError QueueDoesNotExist */
  queue(arn: string): Queue;
  /** Answers every waiting receive. */
  close(): void;
}

const queueUrl = z.string().min(1);
/** Numbers come as text in the query protocol. */
const integer = z.coerce.number().int();
const sendSchema = z.object({
  MessageBody: z.string(),
  DelaySeconds: integer.optional(),
  MessageAttributes: z.record(z.string(), messageAttributeSchema).default({}),
});
type SendRequest = z.infer<typeof sendSchema>;
const entry = { Id: z.string() };
const visibility = { ReceiptHandle: z.string(), VisibilityTimeout: integer };

/**
 * Simulated SQS: standard queues. FIFO queues, encryption and queue policies are not simulated.
 * @param endpoint where queue URLs point to; known only when the server listens
 * @param secondMs how long one second of SQS lasts, see {@link createQueue}
 */
export function createSqs(options: {
  readonly accountId: string;
  readonly region: string;
  readonly now: () => number;
  readonly endpoint: () => string;
  readonly secondMs?: number;
}): Sqs {
  const { accountId, region, now } = options;
  const queues = new Map<string, { readonly queue: Queue; readonly createdAtMs: number }>();
  const arnOf = (name: string) => `arn:aws:sqs:${region}:${accountId}:${name}`;
  const urlOf = (name: string) => `${options.endpoint()}/${accountId}/${name}`;

  const findQueue = (arn: string | undefined) => queues.get(arn?.split(':').at(-1) ?? '')?.queue;
  const exists = (arn: string) => findQueue(arn)?.arn === arn;

  function named(name: string) {
    const found = queues.get(name);
    if (!found)
      throw new AwsError(
        'QueueDoesNotExist',
        'The specified queue does not exist.',
        400,
        'AWS.SimpleQueueService.NonExistentQueue',
      );
    return found;
  }
  const queueOf = (arn: string) => named(exists(arn) ? (arn.split(':').at(-1) ?? '') : '').queue;
  const at = (url: string) => named(url.split('/').at(-1) ?? '');

  function create(name: string, attributes: Readonly<Record<string, string>>): Queue {
    if (name.endsWith('.fifo')) throw new AwsError('UnsupportedOperation', 'FIFO queues are not simulated here.');
    const existing = queues.get(name);
    if (existing) {
      const has = attributesOf(existing.queue, existing.createdAtMs, ['All']);
      // CreateQueue API: the same attributes again answer the queue; others are an error.
      const differs = Object.keys(attributes).find((attribute) => has[attribute] !== attributes[attribute]);
      if (differs === undefined) return existing.queue;
      throw new AwsError(
        'QueueNameExists',
        `A queue already exists with the same name and a different value for attribute ${differs}`,
        400,
        'QueueAlreadyExists',
      );
    }
    const settings = withAttributes(defaultSettings(), attributes, exists);
    const queue = createQueue({
      name,
      arn: arnOf(name),
      settings,
      now,
      secondMs: options.secondMs ?? 1_000,
      findQueue,
    });
    queues.set(name, { queue, createdAtMs: now() });
    return queue;
  }

  function send(queue: Queue, request: SendRequest): object {
    const { MessageBody: body, MessageAttributes: attributes, DelaySeconds: delaySeconds } = request;
    checkMessage(body, attributes);
    if (sizeOf(body, attributes) > queue.settings.MaximumMessageSize)
      throw new AwsError(
        'InvalidParameterValue',
        `One or more parameters are invalid. Reason: Message must be shorter than ${queue.settings.MaximumMessageSize} bytes.`,
      );
    if (delaySeconds !== undefined) inRange('DelaySeconds', delaySeconds, 0, 900);
    const message = queue.send({ body, attributes, senderId: accountId, delaySeconds });
    return { MessageId: message.id, ...digests('MD5OfMessageBody', message) };
  }

  function changeVisibility(queue: Queue, receiptHandle: string, seconds: number): void {
    inRange('VisibilityTimeout', seconds, 0, MAX_VISIBILITY_SECONDS);
    queue.changeVisibility(receiptHandle, seconds);
  }

  const operations = {
    CreateQueue: operation(
      z.object({
        QueueName: z.string().regex(/^[A-Za-z0-9_-]{1,80}(\.fifo)?$/),
        Attributes: z.record(z.string(), z.string()).default({}),
      }),
      ({ QueueName, Attributes }) => ({ QueueUrl: urlOf(create(QueueName, Attributes).name) }),
      'InvalidParameterValue',
    ),
    DeleteQueue: operation(z.object({ QueueUrl: queueUrl }), ({ QueueUrl }) => {
      const { queue } = at(QueueUrl);
      queue.close();
      queues.delete(queue.name);
      return {};
    }),
    GetQueueUrl: operation(z.object({ QueueName: z.string() }), ({ QueueName }) => ({
      QueueUrl: urlOf(named(QueueName).queue.name),
    })),
    ListQueues: operation(
      z.object({
        QueueNamePrefix: z.string().default(''),
        MaxResults: integer.min(1).max(1_000).default(1_000),
        NextToken: z.string().default(''),
      }),
      ({ QueueNamePrefix, MaxResults, NextToken }) => {
        const rest = [...queues.keys()].filter((name) => name.startsWith(QueueNamePrefix) && name > NextToken).sort();
        const names = rest.slice(0, MaxResults);
        return { QueueUrls: names.map(urlOf), ...(rest.length > names.length ? { NextToken: names.at(-1) } : {}) };
      },
    ),
    GetQueueAttributes: operation(
      z.object({ QueueUrl: queueUrl, AttributeNames: z.array(z.string()).default([]) }),
      ({ QueueUrl, AttributeNames }) => {
        const { queue, createdAtMs } = at(QueueUrl);
        return { Attributes: attributesOf(queue, createdAtMs, AttributeNames) };
      },
    ),
    SetQueueAttributes: operation(
      z.object({ QueueUrl: queueUrl, Attributes: z.record(z.string(), z.string()) }),
      ({ QueueUrl, Attributes }) => {
        const { queue } = at(QueueUrl);
        queue.settings = withAttributes(queue.settings, Attributes, exists);
        return {};
      },
    ),
    PurgeQueue: operation(z.object({ QueueUrl: queueUrl }), ({ QueueUrl }) => {
      at(QueueUrl).queue.purge();
      return {};
    }),

    SendMessage: operation(sendSchema.extend({ QueueUrl: queueUrl }), (input) => send(at(input.QueueUrl).queue, input)),
    SendMessageBatch: operation(
      z.object({ QueueUrl: queueUrl, Entries: z.array(sendSchema.extend(entry)).default([]) }),
      ({ QueueUrl, Entries }) => {
        const { queue } = at(QueueUrl);
        // The limit for a whole batch is the endpoint's own limit for a request.
        return batch(Entries, (each) => send(queue, each));
      },
    ),
    ReceiveMessage: operation(
      z.object({
        QueueUrl: queueUrl,
        MaxNumberOfMessages: integer.default(1),
        WaitTimeSeconds: integer.optional(),
        VisibilityTimeout: integer.optional(),
        AttributeNames: z.array(z.string()).default([]),
        MessageSystemAttributeNames: z.array(z.string()).default([]),
        MessageAttributeNames: z.array(z.string()).default([]),
      }),
      async (input) => {
        const { queue } = at(input.QueueUrl);
        const waitSeconds = input.WaitTimeSeconds ?? queue.settings.ReceiveMessageWaitTimeSeconds;
        inRange('MaxNumberOfMessages', input.MaxNumberOfMessages, 1, 10);
        inRange('WaitTimeSeconds', waitSeconds, 0, 20);
        if (input.VisibilityTimeout !== undefined)
          inRange('VisibilityTimeout', input.VisibilityTimeout, 0, MAX_VISIBILITY_SECONDS);
        const messages = await queue.receive({
          max: input.MaxNumberOfMessages,
          waitSeconds,
          visibilitySeconds: input.VisibilityTimeout,
        });
        const systemNames = [...input.AttributeNames, ...input.MessageSystemAttributeNames];
        if (messages.length === 0) return {};
        return { Messages: messages.map((message) => received(message, systemNames, input.MessageAttributeNames)) };
      },
    ),
    DeleteMessage: operation(z.object({ QueueUrl: queueUrl, ReceiptHandle: z.string() }), (input) => {
      at(input.QueueUrl).queue.delete(input.ReceiptHandle);
      return {};
    }),
    DeleteMessageBatch: operation(
      z.object({ QueueUrl: queueUrl, Entries: z.array(z.object({ ...entry, ReceiptHandle: z.string() })).default([]) }),
      ({ QueueUrl, Entries }) => {
        const { queue } = at(QueueUrl);
        return batch(Entries, ({ ReceiptHandle }) => {
          queue.delete(ReceiptHandle);
          return {};
        });
      },
    ),
    ChangeMessageVisibility: operation(z.object({ QueueUrl: queueUrl, ...visibility }), (input) => {
      changeVisibility(at(input.QueueUrl).queue, input.ReceiptHandle, input.VisibilityTimeout);
      return {};
    }),
    ChangeMessageVisibilityBatch: operation(
      z.object({ QueueUrl: queueUrl, Entries: z.array(z.object({ ...entry, ...visibility })).default([]) }),
      ({ QueueUrl, Entries }) => {
        const { queue } = at(QueueUrl);
        return batch(Entries, (each) => {
          changeVisibility(queue, each.ReceiptHandle, each.VisibilityTimeout);
          return {};
        });
      },
    ),
  };

  return {
    name: 'sqs',
    protocols: [
      { kind: 'json', version: '1.0', targetPrefix: 'AmazonSQS' },
      {
        kind: 'query',
        xmlNamespace: 'http://queue.amazonaws.com/doc/2012-11-05/',
        input: fromQuery,
        output: toQuery,
      },
    ],
    handle: handleWith(operations),
    denial: { code: 'AccessDenied', status: 403 },
    needs(operationName, input) {
      const { QueueUrl, QueueName } = (input ?? {}) as { readonly QueueUrl?: string; readonly QueueName?: string };
      const queueName = QueueUrl?.split('/').at(-1) ?? QueueName;
      // A batch needs the right to what it is a batch of.
      const action = `sqs:${operationName.replace(/Batch$/, '')}`;
      return [{ action, resource: queueName === undefined ? '*' : arnOf(queueName) }];
    },
    send(queueArn, body, attributes = {}) {
      send(queueOf(queueArn), { MessageBody: body, MessageAttributes: attributes });
    },
    queue: queueOf,
    close() {
      for (const { queue } of queues.values()) queue.close();
    },
  };
}

/** Entries succeed or fail one by one: SendMessageBatch API. @throws AwsError when the batch itself is malformed */
function batch<Entry extends { readonly Id: string }>(
  entries: readonly Entry[],
  act: (entry: Entry) => object,
): object {
  if (entries.length === 0) throw batchError('EmptyBatchRequest', 'There should be at least one entry in the request.');
  if (entries.length > MAX_BATCH)
    throw batchError(
      'TooManyEntriesInBatchRequest',
      `Maximum number of entries per request are ${MAX_BATCH}. You have sent ${entries.length}.`,
    );
  if (new Set(entries.map(({ Id }) => Id)).size < entries.length)
    throw batchError('BatchEntryIdsNotDistinct', 'Two or more batch entries in the request have the same Id.');
  if (entries.some(({ Id }) => !/^[A-Za-z0-9_-]{1,80}$/.test(Id)))
    throw batchError(
      'InvalidBatchEntryId',
      'A batch entry id can only contain alphanumeric characters, hyphens and underscores.',
    );
  const Successful: object[] = [];
  const Failed: object[] = [];
  for (const each of entries)
    try {
      Successful.push({ Id: each.Id, ...act(each) });
    } catch (thrown) {
      if (!(thrown instanceof AwsError)) throw thrown;
      Failed.push({ Id: each.Id, SenderFault: true, Code: thrown.queryCode, Message: thrown.message });
    }
  return { ...(Successful.length > 0 ? { Successful } : {}), ...(Failed.length > 0 ? { Failed } : {}) };
}

function received(message: Message, systemNames: readonly string[], attributeNames: readonly string[]): object {
  const system = Object.entries(systemAttributes(message)).filter(
    ([name]) => systemNames.includes('All') || systemNames.includes(name),
  );
  const wanted = Object.entries(message.attributes).filter(([name]) =>
    attributeNames.some(
      (pattern) =>
        pattern === 'All' || pattern === name || (pattern.endsWith('.*') && name.startsWith(pattern.slice(0, -2))),
    ),
  );
  const attributes = Object.fromEntries(wanted);
  return {
    MessageId: message.id,
    ReceiptHandle: message.receiptHandle,
    Body: message.body,
    ...digests('MD5OfBody', { body: message.body, attributes }),
    ...(system.length > 0 ? { Attributes: Object.fromEntries(system) } : {}),
    ...(wanted.length > 0 ? { MessageAttributes: attributes } : {}),
  };
}

/** Also what Lambda puts into its event. */
export function systemAttributes(message: Message): Record<string, string> {
  return {
    ApproximateReceiveCount: String(message.receiveCount),
    SentTimestamp: String(message.sentAtMs),
    SenderId: message.senderId,
    ApproximateFirstReceiveTimestamp: String(message.firstReceivedAtMs ?? message.sentAtMs),
    ...(message.deadLetterSourceArn ? { DeadLetterQueueSourceArn: message.deadLetterSourceArn } : {}),
  };
}

function digests(bodyMember: string, message: Pick<Message, 'body' | 'attributes'>): object {
  const ofAttributes = md5OfAttributes(message.attributes);
  return {
    [bodyMember]: md5(message.body),
    ...(ofAttributes ? { MD5OfMessageAttributes: ofAttributes } : {}),
  };
}

function inRange(name: string, value: number, least: number, greatest: number): void {
  if (value < least || value > greatest)
    throw new AwsError(
      'InvalidParameterValue',
      `Value ${value} for parameter ${name} is invalid. Reason: Must be between ${least} and ${greatest}, if provided.`,
    );
}

function batchError(code: string, message: string): AwsError {
  return new AwsError(code, message, 400, `AWS.SimpleQueueService.${code}`);
}
