import { Stack } from 'aws-cdk-lib';
import { Rule } from 'aws-cdk-lib/aws-events';
import { PolicyStatement, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { EmailSubscription } from 'aws-cdk-lib/aws-sns-subscriptions';
import { Construct } from 'constructs';
import { FOR_PEOPLE } from '../wiring.ts';
import type { Foundation } from './foundation.ts';

/** From Rekey's event bus to people. */
export class Notifications extends Construct {
  constructor(scope: Construct, foundation: Foundation) {
    super(scope, 'Notifications');
    const { config, eventBus, key } = foundation;
    const eventBridge = new ServicePrincipal('events.amazonaws.com');

    const topic = new Topic(this, 'Topic', {
      topicName: foundation.resourceName('notifications'),
      displayName: 'Rekey',
      masterKey: key,
      enforceSSL: true,
    });
    for (const email of config.emails) topic.addSubscription(new EmailSubscription(email));

    const rule = new Rule(this, 'Rule', {
      ruleName: foundation.resourceName('notifications'),
      eventBus,
      eventPattern: { source: [...FOR_PEOPLE.source], detailType: [...FOR_PEOPLE['detail-type']] },
      // CDK's own SNS target would let every rule of every account publish.
      targets: [{ bind: () => ({ arn: topic.topicArn, targetResource: topic }) }],
    });
    topic.addToResourcePolicy(
      new PolicyStatement({
        sid: 'PublishedByItsRule',
        principals: [eventBridge],
        actions: ['sns:Publish'],
        resources: [topic.topicArn],
        conditions: { ArnEquals: { 'aws:SourceArn': rule.ruleArn } },
      }),
    );
    // An encrypted topic takes nothing from a service that may not use its key.
    key.addToResourcePolicy(
      new PolicyStatement({
        sid: 'EncryptNotifications',
        principals: [eventBridge],
        actions: ['kms:Decrypt', 'kms:GenerateDataKey*'],
        resources: ['*'],
        conditions: { StringEquals: { 'aws:SourceAccount': Stack.of(this).account } },
      }),
    );
  }
}
