import { Duration } from 'aws-cdk-lib';
import { type EventBus, Rule } from 'aws-cdk-lib/aws-events';
import { SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import { EventSourceMapping } from 'aws-cdk-lib/aws-lambda';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { EventPattern, FunctionSpec, QueueSpec } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import type { ServiceFunction } from './service-function.ts';

interface WorkQueueProps {
  readonly foundation: Foundation;
  readonly spec: QueueSpec;
  /** What falls into the queue, and from which bus. @default the account's default bus, where AWS's own events are */
  readonly pattern: EventPattern;
  readonly bus?: EventBus;
}

/** A rule that puts events into a queue, the queue, and what becomes of messages that fail again and again. */
export class WorkQueue extends Construct {
  readonly queue: Queue;
  readonly #spec: QueueSpec;

  constructor(scope: Construct, { foundation, spec, pattern, bus }: WorkQueueProps) {
    super(scope, 'Work');
    this.#spec = spec;

    // A message holds a secret's name and version, never its value: SQS's own key is enough.
    const deadLetters = new Queue(this, 'DeadLetters', {
      queueName: foundation.resourceName(`${spec.name}-dead-letters`),
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      retentionPeriod: Duration.days(14),
    });
    this.queue = new Queue(this, 'Queue', {
      queueName: foundation.resourceName(spec.name),
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      visibilityTimeout: Duration.seconds(spec.visibilityTimeoutSeconds),
      deadLetterQueue: { queue: deadLetters, maxReceiveCount: spec.maxReceiveCount },
    });

    new Rule(this, 'Rule', {
      ruleName: foundation.resourceName(spec.name),
      ...(bus && { eventBus: bus }),
      eventPattern: {
        source: [...pattern.source],
        detailType: [...pattern['detail-type']],
        ...(pattern.detail && { detail: pattern.detail }),
      },
      // An event that EventBridge could not deliver within a day waits beside the messages that failed.
      targets: [new SqsQueue(this.queue, { deadLetterQueue: deadLetters })],
    });
  }

  /** Has the function called with what is in the queue, and lets it put messages back for later. */
  handledBy(handler: ServiceFunction, spec: FunctionSpec): void {
    handler.allow(
      'WorkOffItsQueue',
      [
        'sqs:ReceiveMessage',
        'sqs:DeleteMessage',
        'sqs:ChangeMessageVisibility',
        'sqs:GetQueueAttributes',
        'sqs:SendMessage',
      ],
      [this.queue.queueArn],
    );
    const mapping = new EventSourceMapping(this, 'Mapping', {
      target: handler.lambda,
      eventSourceArn: this.queue.queueArn,
      batchSize: this.#spec.batchSize,
      // As many pollers as may run: more would be throttled, and a throttled delivery counts towards the dead letters.
      maxConcurrency: spec.concurrency,
      reportBatchItemFailures: true,
    });
    mapping.node.addDependency(handler.role);
  }
}
