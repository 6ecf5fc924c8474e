import { Duration, Stack } from 'aws-cdk-lib';
import { EventBus, type EventPattern, type IRuleTarget, Match, Rule } from 'aws-cdk-lib/aws-events';
import { EventBus as BusTarget } from 'aws-cdk-lib/aws-events-targets';
import { PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { type ITopic, Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import type { Queue } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { EVERY_EVENT, FOR_PEOPLE, ROTATION_FAILED_BY_CLOUDTRAIL } from '../wiring.ts';
import { acknowledgeOwnPolicy } from './acknowledge.ts';
import type { Foundation } from './foundation.ts';
import { asCdk, deadLetterQueue } from './work-queue.ts';

/** EventBridge tries for a day by default; a message about a failure is worth less than an alarm by then. */
const TRY_FOR = Duration.hours(1);

interface NamedRule {
  readonly name: string;
  /** Undefined: the default bus. */
  readonly bus: EventBus | undefined;
  readonly rule: Rule;
}

/** From Rekey's event bus to people: a topic of its own, and what topics and bus the configuration names. */
export class Notifications extends Construct {
  readonly topic: Topic;
  /** Its own, and yours. */
  readonly topics: readonly ITopic[];
  readonly rules: readonly NamedRule[];
  /** What could not be told. */
  readonly deadLetters: Queue;

  constructor(scope: Construct, foundation: Foundation) {
    super(scope, 'Notifications');
    const { eventBus, key } = foundation;
    const { emails = [], topicArns = [], busArn } = foundation.props.told;

    this.topic = new Topic(this, 'Topic', {
      topicName: foundation.resourceName('notifications'),
      displayName: 'Rekey',
      masterKey: key,
      enforceSSL: true,
    });
    this.deadLetters = deadLetterQueue(this, foundation.resourceName('notifications-dead-letters'));
    for (const email of emails)
      this.topic.addSubscription(new EmailSubscription(email, { deadLetterQueue: this.deadLetters }));
    this.topics = [this.topic, ...topicArns.map((arn, index) => Topic.fromTopicArn(this, `Topic${index + 1}`, arn))];

    const rule = (
      name: string,
      pattern: EventPattern,
      bus: EventBus | undefined,
      targets: readonly IRuleTarget[],
    ): NamedRule => ({
      name,
      bus,
      rule: new Rule(this, name, {
        ruleName: foundation.resourceName(name),
        ...(bus && { eventBus: bus }),
        eventPattern: pattern,
        targets: [...targets],
      }),
    });
    const toTopics = this.topics.map((topic) => this.#publishTo(topic));
    const toPeople = [
      rule('notifications', asCdk(FOR_PEOPLE), eventBus, toTopics),
      rule('failed-rotations', asCdk(ROTATION_FAILED_BY_CLOUDTRAIL), undefined, toTopics),
    ];
    this.rules = [
      ...toPeople,
      ...(busArn === undefined ? [] : this.#toBus(busArn, foundation).map((each) => rule(...each))),
    ];

    this.topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'PublishedByItsRules',
        principals: [new ServicePrincipal('events.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: { ArnEquals: { 'aws:SourceArn': toPeople.map(({ rule: { ruleArn } }) => ruleArn) } },
      }),
    );
    this.topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'PublishedByAlarms',
        principals: [new ServicePrincipal('cloudwatch.amazonaws.com')],
        actions: ['sns:Publish'],
        resources: [this.topic.topicArn],
        conditions: {
          StringEquals: { 'aws:SourceAccount': Stack.of(this).account },
          ArnLike: { 'aws:SourceArn': this.#alarmArn(foundation.resourceName('*')) },
        },
      }),
    );
    this.deadLetters.addToResourcePolicy(
      new PolicyStatement({
        sid: 'WhatCouldNotBeTold',
        principals: [new ServicePrincipal('events.amazonaws.com')],
        actions: ['sqs:SendMessage'],
        resources: [this.deadLetters.queueArn],
        conditions: { ArnEquals: { 'aws:SourceArn': this.rules.map(({ rule: { ruleArn } }) => ruleArn) } },
      }),
    );
  }

  /** CDK's own SNS target would let every rule of every account publish. */
  #publishTo(topic: ITopic): IRuleTarget {
    return {
      bind: () => ({
        arn: topic.topicArn,
        targetResource: topic,
        deadLetterConfig: { arn: this.deadLetters.queueArn },
        retryPolicy: { maximumEventAgeInSeconds: TRY_FOR.toSeconds() },
      }),
    };
  }

  /** Everything that Rekey and its alarms say, to a bus of yours. */
  #toBus(busArn: string, foundation: Foundation): [string, EventPattern, EventBus | undefined, IRuleTarget[]][] {
    const role = new Role(this, 'Forwarder', { assumedBy: new ServicePrincipal('events.amazonaws.com') });
    acknowledgeOwnPolicy(role);
    const bus = EventBus.fromEventBusArn(this, 'Bus', busArn);
    const target = new BusTarget(bus, { role, deadLetterQueue: this.deadLetters });
    const alarms = {
      source: ['aws.cloudwatch'],
      detailType: ['CloudWatch Alarm State Change'],
      detail: { alarmName: Match.prefix(foundation.resourceName('')) },
    };
    return [
      ['forwarding', asCdk(EVERY_EVENT), foundation.eventBus, [target]],
      ['alarm-forwarding', alarms, undefined, [target]],
      ['failed-rotation-forwarding', asCdk(ROTATION_FAILED_BY_CLOUDTRAIL), undefined, [target]],
    ];
  }

  #alarmArn(name: string): string {
    const { partition, region, account } = Stack.of(this);
    return `arn:${partition}:cloudwatch:${region}:${account}:alarm:${name}`;
  }
}
