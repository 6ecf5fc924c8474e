import { Duration } from 'aws-cdk-lib';
import { type EventBus, Rule } from 'aws-cdk-lib/aws-events';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { EventSourceMapping } from 'aws-cdk-lib/aws-lambda';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import type { EventPattern, QueueSpec } from '../wiring.ts';
import { acknowledge } from './acknowledge.ts';
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
  readonly deadLetters: Queue;
  readonly rule: Rule;
  /** Of the bus that the rule is on; undefined: the default bus. */
  readonly busName: string | undefined;
  readonly #spec: QueueSpec;

  constructor(scope: Construct, { foundation, spec, pattern, bus }: WorkQueueProps) {
    super(scope, 'Work');
    this.#spec = spec;
    this.busName = bus?.eventBusName;

    // A message holds a secret's name and version, never its value: SQS's own key is enough.
    this.deadLetters = deadLetterQueue(this, foundation.resourceName(`${spec.name}-dead-letters`));
    this.queue = new Queue(this, 'Queue', {
      queueName: foundation.resourceName(spec.name),
      encryption: QueueEncryption.SQS_MANAGED,
      enforceSSL: true,
      visibilityTimeout: Duration.seconds(spec.visibilityTimeoutSeconds),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: spec.maxReceiveCount },
    });

    this.rule = new Rule(this, 'Rule', {
      ruleName: foundation.resourceName(spec.name),
      ...(bus && { eventBus: bus }),
      eventPattern: asCdk(pattern),
      targets: [
        {
          bind: () => ({
            arn: this.queue.queueArn,
            targetResource: this.queue,
            // An event that EventBridge could not deliver within a day waits beside the messages that failed.
            deadLetterConfig: { arn: this.deadLetters.queueArn },
          }),
        },
      ],
    });
    this.#lettingIn('PutByItsRule', this.queue);
    this.#lettingIn('PutWhenUndelivered', this.deadLetters);
  }

  /** CDK's own target of SQS would let the rule read the queue's settings as well. */
  #lettingIn(sid: string, queue: Queue): void {
    queue.addToResourcePolicy(
      new PolicyStatement({
        sid,
        principals: [new ServicePrincipal('events.amazonaws.com')],
        actions: ['sqs:SendMessage'],
        resources: [queue.queueArn],
        conditions: { ArnEquals: { 'aws:SourceArn': this.rule.ruleArn } },
      }),
    );
  }

  /**
   * Has the function called with what is in the queue.
   * @param putsBack whether it may put messages back for later
   */
  handledBy(handler: ServiceFunction, concurrency: number, putsBack: boolean): void {
    const take = ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:GetQueueAttributes'];
    handler.allow('WorkOffItsQueue', putsBack ? [...take, 'sqs:SendMessage'] : take, [this.queue.queueArn]);
    const mapping = new EventSourceMapping(this, 'Mapping', {
      target: handler.lambda,
      eventSourceArn: this.queue.queueArn,
      batchSize: this.#spec.batchSize,
      // As many pollers as may run: more would be throttled, and a throttled delivery counts towards the dead letters.
      maxConcurrency: concurrency,
      reportBatchItemFailures: true,
    });
    mapping.node.addDependency(handler.role);
    acknowledge(
      mapping,
      'LambdaEventSourceMappingDestination',
      'Lambda knows no destination for a mapping from SQS: the queue itself hands failed messages to its dead-letter queue.',
    );
  }
}

/** Where what failed waits for a person, as long as SQS keeps anything. */
export function deadLetterQueue(scope: Construct, queueName: string): Queue {
  const queue = new Queue(scope, 'DeadLetters', {
    queueName,
    encryption: QueueEncryption.SQS_MANAGED,
    enforceSSL: true,
    retentionPeriod: Duration.days(14),
  });
  for (const rule of ['SQS3', 'SQSRedrivePolicy'])
    acknowledge(
      queue,
      rule,
      'It is the dead-letter queue of others: what it holds waits for a person, and an alarm says so.',
    );
  return queue;
}

/** A pattern of the wiring, in the CDK's spelling. */
export const asCdk = ({ source, 'detail-type': detailType, detail }: EventPattern) => ({
  source: [...source],
  ...(detailType && { detailType: [...detailType] }),
  ...(detail && { detail }),
});
