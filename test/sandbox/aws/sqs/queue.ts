import { randomBytes, randomUUID } from 'node:crypto';
import { AwsError } from '../service.ts';
import type { Message, MessageAttributes } from './message.ts';

/** The attributes that the owner of a queue sets, with AWS's defaults; durations in seconds (SetQueueAttributes API). */
export interface QueueSettings {
  DelaySeconds: number;
  MaximumMessageSize: number;
  MessageRetentionPeriod: number;
  ReceiveMessageWaitTimeSeconds: number;
  VisibilityTimeout: number;
  redrive: { readonly deadLetterTargetArn: string; readonly maxReceiveCount: number } | undefined;
  /** Attributes that are given back as they were set. */
  readonly kept: Map<string, string>;
}

export interface Queue {
  readonly name: string;
  readonly arn: string;
  settings: QueueSettings;
  /** @param delaySeconds the queue's own when undefined */
  send(message: {
    readonly body: string;
    readonly attributes: MessageAttributes;
    readonly senderId: string;
    readonly delaySeconds: number | undefined;
  }): Message;
  /** Takes a message that another queue gave up, with its age and history. */
  adopt(message: Message, sourceArn: string): void;
  /** Up to `max` messages; waits for the first one up to `waitSeconds`, or until the signal or `close`. */
  receive(request: {
    readonly max: number;
    readonly waitSeconds: number;
    readonly visibilitySeconds: number | undefined;
    readonly signal?: AbortSignal;
  }): Promise<Message[]>;
  /**
   * Hides messages that were received until they are let go, however long that takes. AWS sees to it that a queue hides
   * its messages for longer than its function may run: here its seconds may be shorter than those of the function.
   * @returns lets them go
   */
  hold(messages: readonly Message[]): () => void;
  /** A handle of an earlier receive is accepted and does nothing, as on AWS. @throws AwsError ReceiptHandleIsInvalid */
  delete(receiptHandle: string): void;
  /** @throws AwsError ReceiptHandleIsInvalid, MessageNotInflight */
  changeVisibility(receiptHandle: string, seconds: number): void;
  purge(): void;
  count(): { readonly visible: number; readonly inFlight: number; readonly delayed: number };
  /** Answers every waiting receive with nothing, now and later. */
  close(): void;
  readonly closed: boolean;
}

/**
 * A standard queue.
 * @param secondMs how long one second of a delay or a visibility time-out lasts: less than 1000 makes tests faster
 * @param findQueue the dead-letter queue that a redrive policy names
 */
export function createQueue(options: {
  readonly name: string;
  readonly arn: string;
  readonly settings: QueueSettings;
  readonly now: () => number;
  readonly secondMs: number;
  readonly findQueue: (arn: string | undefined) => Queue | undefined;
}): Queue {
  const { name, arn, now, secondMs } = options;
  let messages: Message[] = [];
  const held = new Set<Message>();
  const waiting = new Set<() => void>();
  let closed = false;

  const isHidden = (message: Message, atMs: number) => held.has(message) || message.visibleAtMs > atMs;

  const wake = () => {
    for (const resume of [...waiting]) resume();
  };

  /** Prefix of every receipt handle, so that one of another queue or an invented one is told apart. */
  const handlePrefix = Buffer.from(arn).toString('base64url');

  function messageOf(receiptHandle: string): Message | undefined {
    if (!receiptHandle.startsWith(`${handlePrefix}.`))
      throw new AwsError('ReceiptHandleIsInvalid', `The input receipt handle "${receiptHandle}" is not valid.`, 404);
    return messages.find((message) => message.receiptHandle === receiptHandle);
  }

  function takeVisible(max: number, visibilitySeconds: number): Message[] {
    const at = now();
    messages = messages.filter((message) => message.sentAtMs + queue.settings.MessageRetentionPeriod * secondMs > at);
    const taken: Message[] = [];
    for (const message of [...messages]) {
      if (taken.length === max) break;
      if (isHidden(message, at)) continue;
      // SQS Developer Guide, "Dead-letter queues": moved once it was received more often than maxReceiveCount.
      const deadLetters = isReceivedTooOften(message)
        ? options.findQueue(queue.settings.redrive?.deadLetterTargetArn)
        : undefined;
      if (deadLetters) {
        messages = messages.filter((other) => other !== message);
        deadLetters.adopt(message, arn);
        continue;
      }
      message.receiveCount += 1;
      message.firstReceivedAtMs ??= at;
      message.receiptHandle = `${handlePrefix}.${randomBytes(24).toString('base64url')}`;
      message.visibleAtMs = at + visibilitySeconds * secondMs;
      taken.push(message);
    }
    return taken;
  }

  function isReceivedTooOften(message: Message): boolean {
    const { redrive } = queue.settings;
    return redrive !== undefined && message.receiveCount >= redrive.maxReceiveCount;
  }

  /** Until something may have become visible, or `deadlineMs`. */
  function change(deadlineMs: number, signal: AbortSignal | undefined): Promise<void> {
    const hidden = messages.filter((message) => !held.has(message));
    const next = Math.min(deadlineMs, ...hidden.map(({ visibleAtMs }) => visibleAtMs));
    return new Promise((resolve) => {
      const timer = setTimeout(resume, Math.max(1, next - now()));
      function resume(): void {
        clearTimeout(timer);
        waiting.delete(resume);
        signal?.removeEventListener('abort', resume);
        resolve();
      }
      waiting.add(resume);
      signal?.addEventListener('abort', resume);
    });
  }

  const queue: Queue = {
    name,
    arn,
    settings: options.settings,
    send({ body, attributes, senderId, delaySeconds }) {
      const sentAtMs = now();
      const message: Message = {
        id: randomUUID(),
        body,
        attributes,
        sentAtMs,
        senderId,
        visibleAtMs: sentAtMs + (delaySeconds ?? queue.settings.DelaySeconds) * secondMs,
        receiveCount: 0,
        firstReceivedAtMs: undefined,
        receiptHandle: undefined,
        deadLetterSourceArn: undefined,
      };
      messages.push(message);
      wake();
      return message;
    },
    adopt(message, sourceArn) {
      messages.push({ ...message, visibleAtMs: now(), receiptHandle: undefined, deadLetterSourceArn: sourceArn });
      wake();
    },
    async receive({ max, waitSeconds, visibilitySeconds, signal }) {
      const deadlineMs = now() + waitSeconds * secondMs;
      for (;;) {
        if (closed || signal?.aborted) return [];
        const taken = takeVisible(max, visibilitySeconds ?? queue.settings.VisibilityTimeout);
        if (taken.length > 0 || now() >= deadlineMs) return taken;
        await change(deadlineMs, signal);
      }
    },
    hold(taken) {
      for (const message of taken) held.add(message);
      return () => {
        for (const message of taken) held.delete(message);
        wake();
      };
    },
    delete(receiptHandle) {
      const message = messageOf(receiptHandle);
      if (message) messages = messages.filter((other) => other !== message);
    },
    changeVisibility(receiptHandle, seconds) {
      const message = messageOf(receiptHandle);
      if (!message || !isHidden(message, now()))
        throw new AwsError(
          'MessageNotInflight',
          'The message referred to is not in flight.',
          400,
          'AWS.SimpleQueueService.MessageNotInflight',
        );
      message.visibleAtMs = now() + seconds * secondMs;
      wake();
    },
    purge() {
      messages = [];
    },
    count() {
      const at = now();
      const hidden = messages.filter((message) => isHidden(message, at));
      const inFlight = hidden.filter((message) => message.receiptHandle !== undefined).length;
      return { visible: messages.length - hidden.length, inFlight, delayed: hidden.length - inFlight };
    },
    close() {
      closed = true;
      wake();
    },
    get closed() {
      return closed;
    },
  };
  return queue;
}
