import { z } from 'zod';
import type { BackgroundWork } from '../aws/background-work.ts';
import { AwsError } from '../aws/service.ts';
import { systemAttributes } from '../aws/sqs/index.ts';
import { type Message, md5, md5OfAttributes } from '../aws/sqs/message.ts';
import type { Queue } from '../aws/sqs/queue.ts';
import type { Functions } from './functions.ts';

/** Lambda Developer Guide, "Polling and batching streams" for SQS: five concurrent batches to begin with. */
const CONCURRENT_BATCHES = 5;
const POLL_SECONDS = 20;

export interface MappingOptions {
  /** 1 to 10. @default 10 */
  readonly batchSize?: number;
  /** `FunctionResponseTypes: ['ReportBatchItemFailures']`. @default false */
  readonly reportBatchItemFailures?: boolean;
  /** `ScalingConfig.MaximumConcurrency`. @default 5 */
  readonly maximumConcurrency?: number;
}

/** Lambda's poller between one queue and one function. */
export interface EventSourceMapping {
  /** A batch is with the function, or a message is there that it may take. */
  readonly busy: boolean;
  /** Takes no more messages; a batch under way ends by itself. */
  close(): void;
}

const reportSchema = z.object({
  batchItemFailures: z.array(z.object({ itemIdentifier: z.string().min(1) })).nullish(),
});

/**
 * Polls until closed. Batching windows are not simulated: a batch is what is visible at once.
 * @throws AwsError ResourceNotFoundException, InvalidParameterValueException
 */
export function startEventSourceMapping(
  source: {
    readonly queue: Queue;
    readonly functions: Functions;
    readonly functionName: string;
    readonly region: string;
    /** Whether the function's role may do this to the queue: Lambda polls in its name. */
    readonly allows: (action: `sqs:${string}`) => boolean;
    /** Called when that may have changed. */
    readonly onChange: (listener: () => void) => void;
  },
  work: BackgroundWork,
  options: MappingOptions = {},
): EventSourceMapping {
  const { queue, functions, functionName, region, allows } = source;
  const { batchSize = 10, reportBatchItemFailures = false, maximumConcurrency = CONCURRENT_BATCHES } = options;
  const { timeoutSeconds } = functions.find(functionName);
  // CreateEventSourceMapping refuses it, because a message would come back while the function still works on it.
  if (queue.settings.VisibilityTimeout < timeoutSeconds)
    throw new AwsError(
      'InvalidParameterValueException',
      `Queue visibility timeout: ${queue.settings.VisibilityTimeout} seconds is less than Function timeout: ${timeoutSeconds} seconds`,
    );
  const closing = new AbortController();
  let change = new AbortController();
  source.onChange(() => {
    change.abort();
    change = new AbortController();
  });
  let batches = 0;
  let mayPoll = true;

  async function poll(): Promise<void> {
    while (!closing.signal.aborted && !queue.closed) {
      const signal = AbortSignal.any([closing.signal, change.signal]);
      // Lambda Developer Guide, "Using Lambda with Amazon SQS": what the execution role needs to poll.
      mayPoll = POLLING.every(allows);
      if (!mayPoll) {
        await aborted(signal);
        continue;
      }
      const messages = await queue.receive({
        max: batchSize,
        waitSeconds: POLL_SECONDS,
        visibilitySeconds: undefined,
        signal,
      });
      if (messages.length === 0) continue;
      batches += 1;
      const letGo = queue.hold(messages);
      // A failed batch is left alone: its messages come back when their visibility time-out ends.
      const handled = handleBatch(messages).finally(() => {
        batches -= 1;
        letGo();
      });
      work.run(() => handled);
      await handled.catch(() => undefined);
    }
  }

  async function handleBatch(messages: readonly Message[]): Promise<void> {
    const event = { Records: messages.map((message) => toRecord(message, queue.arn, region)) };
    const result = await functions.invoke(functionName, event);
    if (!result.ok) return;
    const failed = reportBatchItemFailures ? failedItems(result.payload, messages) : new Set<string>();
    const done = messages.filter(({ id }) => !failed.has(id));
    // Without the right to delete, what was handled comes back.
    if (done.length > 0 && !allows('sqs:DeleteMessage')) return;
    for (const { receiptHandle } of done) if (receiptHandle) queue.delete(receiptHandle);
  }

  for (let poller = 0; poller < maximumConcurrency; poller += 1) void poll();

  return {
    get busy() {
      return batches > 0 || (mayPoll && queue.count().visible > 0);
    },
    close: () => closing.abort(),
  };
}

const POLLING = ['sqs:ReceiveMessage', 'sqs:GetQueueAttributes'] as const;

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/**
 * Lambda Developer Guide, "Implementing partial batch responses": an empty or null list is a success; a malformed
 * answer, an empty identifier or one that is not of this batch is a failure of all.
 */
function failedItems(payload: unknown, messages: readonly Message[]): ReadonlySet<string> {
  const all = new Set(messages.map(({ id }) => id));
  const report = reportSchema.safeParse(payload ?? {});
  if (!report.success) return all;
  const failed = new Set((report.data.batchItemFailures ?? []).map(({ itemIdentifier }) => itemIdentifier));
  return [...failed].every((id) => all.has(id)) ? failed : all;
}

/** Lambda Developer Guide, "Using Lambda with Amazon SQS": the record of a standard queue. */
function toRecord(message: Message, eventSourceARN: string, awsRegion: string): object {
  const ofAttributes = md5OfAttributes(message.attributes);
  return {
    messageId: message.id,
    receiptHandle: message.receiptHandle,
    body: message.body,
    attributes: systemAttributes(message),
    messageAttributes: Object.fromEntries(
      Object.entries(message.attributes).map(([name, { DataType, StringValue, BinaryValue }]) => [
        name,
        {
          ...(StringValue === undefined ? {} : { stringValue: StringValue }),
          ...(BinaryValue === undefined ? {} : { binaryValue: BinaryValue }),
          stringListValues: [],
          binaryListValues: [],
          dataType: DataType,
        },
      ]),
    ),
    md5OfBody: md5(message.body),
    ...(ofAttributes ? { md5OfMessageAttributes: ofAttributes } : {}),
    eventSource: 'aws:sqs',
    eventSourceARN,
    awsRegion,
  };
}
