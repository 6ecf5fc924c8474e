import { randomBytes, randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { BackgroundWork } from './background-work.ts';
import { handleWith, operation } from './operation.ts';
import { AwsError, type AwsService } from './service.ts';
import type { MessageAttributes } from './sqs/message.ts';

export interface Sns extends AwsService {
  /** What another service publishes. @throws AwsError NotFound */
  publish(topicArn: string, message: string): void;
  /** The customer key that encrypts the topic. @throws AwsError NotFound */
  keyOf(topicArn: string): string | undefined;
}

interface Topic {
  readonly arn: string;
  readonly attributes: Map<string, string>;
  readonly subscriptions: Map<string, Subscription>;
}

interface Subscription {
  readonly arn: string;
  readonly topicArn: string;
  readonly protocol: 'sqs' | 'lambda' | 'http' | 'email';
  readonly endpoint: string;
  readonly rawMessageDelivery: boolean;
  readonly deadLetterArn: string | undefined;
  /** An HTTP endpoint must prove with it that it wants the messages. */
  readonly token: string;
  confirmed: boolean;
}

interface Notification {
  readonly id: string;
  readonly subject: string | undefined;
  readonly message: string;
  readonly attributes: MessageAttributes;
  readonly timestamp: string;
}

/** Publish API: "Messages must be UTF-8 encoded strings and at most 256 KB in size". */
const MAX_MESSAGE_BYTES = 262_144;
const PENDING_CONFIRMATION = 'PendingConfirmation';
const INVALID = 'InvalidParameter';

/** In the query protocol a map is a list of entries. */
const mapSchema = <Value extends z.ZodType>(value: Value, keyName: string, valueName: string) =>
  z
    .object({ entry: z.array(z.record(z.string(), z.unknown())) })
    .default({ entry: [] })
    .transform(({ entry }) =>
      Object.fromEntries(entry.map((each) => [String(each[keyName]), value.parse(each[valueName])])),
    );
const attributesSchema = mapSchema(z.string(), 'key', 'value');
const messageAttributesSchema = mapSchema(
  z.object({ DataType: z.string(), StringValue: z.string().optional(), BinaryValue: z.string().optional() }),
  'Name',
  'Value',
);

/**
 * Simulated SNS: standard topics. Signatures of messages, filter policies and retries of HTTP endpoints are not
 * simulated; an address can be subscribed, and gets no mail; HTTP endpoints must be on the loopback interface.
 */
export function createSns(options: {
  readonly accountId: string;
  readonly region: string;
  readonly now: () => number;
  readonly work: BackgroundWork;
  readonly endpoint: () => string;
  /** Hands over to a queue or a function. @throws AwsError when there is none */
  readonly toQueue: (queueArn: string, body: string, attributes: MessageAttributes) => void;
  readonly toFunction: (functionArn: string, event: object) => void;
}): Sns {
  const { accountId, region, now, work } = options;
  const topics = new Map<string, Topic>();

  function find(arn: string): Topic {
    const topic = topics.get(arn);
    if (!topic) throw new AwsError('NotFound', 'Topic does not exist', 404);
    return topic;
  }

  function publish(topicArn: string, message: string, subject?: string, attributes: MessageAttributes = {}): string {
    const topic = find(topicArn);
    if (message === '') throw new AwsError(INVALID, 'Invalid parameter: Empty message');
    if (Buffer.byteLength(message) > MAX_MESSAGE_BYTES)
      throw new AwsError(INVALID, 'Invalid parameter: Message too long');
    const notification = {
      id: randomUUID(),
      subject,
      message,
      attributes,
      timestamp: new Date(now()).toISOString(),
    };
    for (const subscription of topic.subscriptions.values())
      if (subscription.confirmed) work.run(() => deliver(subscription, notification));
    return notification.id;
  }

  async function deliver(subscription: Subscription, notification: Notification): Promise<void> {
    try {
      switch (subscription.protocol) {
        case 'sqs':
          if (subscription.rawMessageDelivery)
            options.toQueue(subscription.endpoint, notification.message, notification.attributes);
          else options.toQueue(subscription.endpoint, JSON.stringify(envelope(subscription, notification)), {});
          return;
        case 'lambda':
          options.toFunction(subscription.endpoint, lambdaEvent(subscription, notification));
          return;
        case 'email':
          return;
        case 'http':
          await post(
            subscription,
            'Notification',
            notification.id,
            subscription.rawMessageDelivery
              ? notification.message
              : JSON.stringify(envelope(subscription, notification)),
          );
          return;
      }
    } catch (thrown) {
      if (!(thrown instanceof AwsError)) throw thrown;
      deadLetter(subscription, notification);
    }
  }

  /** An endpoint that is gone loses its messages where there is no such queue, or where it takes nothing from SNS. */
  function deadLetter({ deadLetterArn }: Subscription, { message, attributes }: Notification): void {
    if (deadLetterArn === undefined) return;
    try {
      options.toQueue(deadLetterArn, message, attributes);
    } catch (thrown) {
      if (!(thrown instanceof AwsError)) throw thrown;
    }
  }

  function envelope(subscription: Subscription, notification: Notification) {
    const attributes = Object.entries(notification.attributes).map(([name, { DataType, StringValue, BinaryValue }]) => [
      name,
      { Type: DataType, Value: StringValue ?? BinaryValue },
    ]);
    return {
      Type: 'Notification',
      MessageId: notification.id,
      TopicArn: subscription.topicArn,
      ...(notification.subject === undefined ? {} : { Subject: notification.subject }),
      Message: notification.message,
      Timestamp: notification.timestamp,
      SignatureVersion: '1',
      Signature: 'not signed by the sandbox',
      SigningCertURL: `${options.endpoint()}/SimpleNotificationService.pem`,
      UnsubscribeURL: `${options.endpoint()}/?Action=Unsubscribe&SubscriptionArn=${subscription.arn}`,
      ...(attributes.length > 0 ? { MessageAttributes: Object.fromEntries(attributes) } : {}),
    };
  }

  /** Lambda Developer Guide, "Using AWS Lambda with Amazon SNS": other spellings than in the envelope. */
  function lambdaEvent(subscription: Subscription, notification: Notification): object {
    const { SigningCertURL, UnsubscribeURL, ...rest } = envelope(subscription, notification);
    return {
      Records: [
        {
          EventVersion: '1.0',
          EventSubscriptionArn: subscription.arn,
          EventSource: 'aws:sns',
          Sns: {
            Subject: null,
            MessageAttributes: {},
            ...rest,
            SigningCertUrl: SigningCertURL,
            UnsubscribeUrl: UnsubscribeURL,
          },
        },
      ],
    };
  }

  async function post(
    subscription: Subscription,
    type: 'Notification' | 'SubscriptionConfirmation',
    messageId: string,
    body: string,
  ): Promise<void> {
    // One attempt: an endpoint that does not answer has missed the message.
    await fetch(subscription.endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'text/plain; charset=UTF-8',
        'x-amz-sns-message-type': type,
        'x-amz-sns-message-id': messageId,
        'x-amz-sns-topic-arn': subscription.topicArn,
        ...(type === 'Notification' ? { 'x-amz-sns-subscription-arn': subscription.arn } : {}),
        ...(subscription.rawMessageDelivery ? { 'x-amz-sns-rawdelivery': 'true' } : {}),
      },
      body,
      signal: AbortSignal.timeout(15_000),
    }).catch(() => undefined);
  }

  function askToConfirm(subscription: Subscription): Promise<void> {
    const id = randomUUID();
    const message = {
      Type: 'SubscriptionConfirmation',
      MessageId: id,
      Token: subscription.token,
      TopicArn: subscription.topicArn,
      Message: `You have chosen to subscribe to the topic ${subscription.topicArn}. Confirm with the token.`,
      SubscribeURL: `${options.endpoint()}/?Action=ConfirmSubscription&TopicArn=${subscription.topicArn}&Token=${subscription.token}`,
      Timestamp: new Date(now()).toISOString(),
      SignatureVersion: '1',
      Signature: 'not signed by the sandbox',
      SigningCertURL: `${options.endpoint()}/SimpleNotificationService.pem`,
    };
    return post(subscription, 'SubscriptionConfirmation', id, JSON.stringify(message));
  }

  const subscriptions = () => [...topics.values()].flatMap((topic) => [...topic.subscriptions.values()]);
  const paged = z.object({ NextToken: z.coerce.number().int().default(0) });

  const operations = {
    CreateTopic: operation(
      z.object({ Name: z.string(), Attributes: attributesSchema }),
      ({ Name, Attributes }) => {
        if (!/^[A-Za-z0-9_-]{1,256}$/.test(Name)) throw new AwsError(INVALID, 'Invalid parameter: Topic Name');
        const arn = `arn:aws:sns:${region}:${accountId}:${Name}`;
        // CreateTopic API: "if the requester already owns a topic with the specified name, that topic's ARN is returned".
        if (!topics.has(arn))
          topics.set(arn, { arn, attributes: new Map(Object.entries(Attributes)), subscriptions: new Map() });
        return { TopicArn: arn };
      },
      INVALID,
    ),
    DeleteTopic: operation(z.object({ TopicArn: z.string() }), ({ TopicArn }) => {
      topics.delete(TopicArn);
      return {};
    }),
    ListTopics: operation(paged, ({ NextToken }) => {
      const { items, next } = page([...topics.values()], NextToken);
      return { Topics: { member: items.map(({ arn }) => ({ TopicArn: arn })) }, ...next };
    }),
    Subscribe: operation(
      z.object({
        TopicArn: z.string(),
        Protocol: z.string(),
        Endpoint: z.string(),
        Attributes: attributesSchema,
        ReturnSubscriptionArn: z.string().default('false'),
      }),
      (input) => {
        const topic = find(input.TopicArn);
        const existing = [...topic.subscriptions.values()].find(
          ({ protocol, endpoint }) => protocol === input.Protocol && endpoint === input.Endpoint,
        );
        const subscription = existing ?? newSubscription(topic.arn, input);
        topic.subscriptions.set(subscription.arn, subscription);
        if (subscription.protocol === 'http' && !subscription.confirmed) work.run(() => askToConfirm(subscription));
        const isKnown = subscription.confirmed || input.ReturnSubscriptionArn === 'true';
        return { SubscriptionArn: isKnown ? subscription.arn : 'pending confirmation' };
      },
      INVALID,
    ),
    ConfirmSubscription: operation(z.object({ TopicArn: z.string(), Token: z.string() }), ({ TopicArn, Token }) => {
      const subscription = [...find(TopicArn).subscriptions.values()].find(({ token }) => token === Token);
      if (!subscription) throw new AwsError(INVALID, 'Invalid parameter: Token');
      subscription.confirmed = true;
      return { SubscriptionArn: subscription.arn };
    }),
    Unsubscribe: operation(z.object({ SubscriptionArn: z.string() }), ({ SubscriptionArn }) => {
      for (const topic of topics.values()) topic.subscriptions.delete(SubscriptionArn);
      return {};
    }),
    ListSubscriptions: operation(paged, ({ NextToken }) => subscriptionPage(subscriptions(), NextToken)),
    ListSubscriptionsByTopic: operation(paged.extend({ TopicArn: z.string() }), ({ TopicArn, NextToken }) =>
      subscriptionPage([...find(TopicArn).subscriptions.values()], NextToken),
    ),
    Publish: operation(
      z.object({
        TopicArn: z.string().optional(),
        TargetArn: z.string().optional(),
        Message: z.string(),
        Subject: z.string().max(100).optional(),
        MessageAttributes: messageAttributesSchema,
      }),
      ({ TopicArn, TargetArn, Message, Subject, MessageAttributes }) => ({
        MessageId: publish(TopicArn ?? TargetArn ?? '', Message, Subject, MessageAttributes),
      }),
      INVALID,
    ),
  };

  function subscriptionPage(all: readonly Subscription[], start: number): object {
    const { items, next } = page(all, start);
    const member = items.map(({ arn, topicArn, protocol, endpoint, confirmed }) => ({
      SubscriptionArn: confirmed ? arn : PENDING_CONFIRMATION,
      Owner: accountId,
      Protocol: protocol,
      Endpoint: endpoint,
      TopicArn: topicArn,
    }));
    return { Subscriptions: { member }, ...next };
  }

  return {
    name: 'sns',
    protocols: [{ kind: 'query', xmlNamespace: 'http://sns.amazonaws.com/doc/2010-03-31/' }],
    handle: handleWith(operations),
    keyOf: (topicArn) => find(topicArn).attributes.get('KmsMasterKeyId'),
    denial: { code: 'AuthorizationError', status: 403 },
    needs(name, input) {
      const { TopicArn, TargetArn } = (input ?? {}) as { readonly TopicArn?: string; readonly TargetArn?: string };
      return [{ action: `sns:${name}`, resource: TopicArn ?? TargetArn ?? '*' }];
    },
    publish,
  };
}

const redriveSchema = z.object({ deadLetterTargetArn: z.string().optional() });

function newSubscription(
  topicArn: string,
  input: {
    readonly Protocol: string;
    readonly Endpoint: string;
    readonly Attributes: Readonly<Record<string, string>>;
  },
): Subscription {
  const protocol = input.Protocol;
  if (protocol !== 'sqs' && protocol !== 'lambda' && protocol !== 'http' && protocol !== 'email')
    throw new AwsError(INVALID, `Invalid parameter: ${protocol} is not simulated here`);
  const isRight = {
    email: /^[^\s@]+@[^\s@]+$/.test(input.Endpoint),
    http: isLoopback(input.Endpoint),
    lambda: input.Endpoint.startsWith('arn:aws:lambda:'),
    sqs: input.Endpoint.startsWith('arn:aws:sqs:'),
  }[protocol];
  if (!isRight) throw new AwsError(INVALID, `Invalid parameter: ${protocol} endpoint`);
  const { RawMessageDelivery = 'false', RedrivePolicy = '{}', ...others } = input.Attributes;
  const [other] = Object.keys(others);
  if (other) throw new AwsError(INVALID, `Invalid parameter: Attributes Reason: ${other} is not simulated here`);
  return {
    arn: `${topicArn}:${randomUUID()}`,
    topicArn,
    protocol,
    endpoint: input.Endpoint,
    rawMessageDelivery: RawMessageDelivery === 'true',
    deadLetterArn: redriveSchema.parse(JSON.parse(RedrivePolicy)).deadLetterTargetArn,
    token: randomBytes(32).toString('hex'),
    confirmed: protocol !== 'http' && protocol !== 'email',
  };
}

function isLoopback(endpoint: string): boolean {
  return URL.canParse(endpoint) && ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(endpoint).hostname);
}

/** ListTopics API: a hundred at a time; the token is where the next page begins. */
function page<Item>(all: readonly Item[], start: number) {
  const end = start + 100;
  return { items: all.slice(start, end), next: end < all.length ? { NextToken: String(end) } : {} };
}
