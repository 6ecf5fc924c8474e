import { CreateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { RETIRE, ROTATION, SYNC } from '../../../infra/wiring.ts';
import { ACCOUNT, REGION } from '../../sandbox/deployment/configuration.ts';
import { type Environment, startEnvironment } from '../../sandbox/environment.ts';
import { Announcements } from '../announcements.ts';

const arnOf = (service: string, resource: string) => `arn:aws:${service}:${REGION}:${ACCOUNT}:${resource}`;

const KEY_ID = '11111111-2222-3333-4444-555555555555';
export const KEY_ARN = arnOf('kms', `key/${KEY_ID}`);
const INSTANCE_ARN = arnOf('rds', 'db:orders');
const CLUSTER_ARN = arnOf('rds', 'cluster:fleet');
const ADMIN = 'fleet/admin';

/** The tag that a secret is rotated by. */
export const ALTERNATING = { team: 'alternating' };
export const PAIRED = { team: 'paired' };

/**
 * A configuration in which every kind of right is given: a customer key, an administrator whose secret RDS made for a
 * member of a cluster, a pair of users, a VPC, a cluster of another account.
 */
const ROTATED = [
  {
    tag: { key: 'team', value: ALTERNATING.team },
    adminName: ADMIN,
    kmsKeyArns: [KEY_ARN],
    databaseArns: [INSTANCE_ARN, CLUSTER_ARN],
  },
  { tag: { key: 'team', value: PAIRED.team }, adminName: ADMIN, strategy: 'user-pair', kmsKeyArns: [KEY_ARN] },
] as const;

/** The environment, with what its scenarios share. */
export interface World extends Environment {
  readonly announcements: Announcements;
  /** ARN of the administrator's secret. */
  readonly administrator: string;
  /** A name that nothing had before: letters and digits. */
  fresh(): string;
  /** How many messages the functions' queues hold, hidden and delayed ones too. */
  waiting(): Promise<number>;
  /** What people have got about this secret from the topic. */
  toldOf(secretArn: string): Promise<readonly string[]>;
  /** Nothing is left of what happened before, in these functions or in all. */
  clear(functions?: readonly string[]): Promise<void>;
}

export async function startWorld(): Promise<World> {
  const environment = await startEnvironment({
    rotated: ROTATED,
    queueSecondMs: 10,
    retry: { attempts: 0, delayMs: 0 },
    foreignCluster: true,
    timing: { containerStartMs: 20, readyMs: 20, terminationMs: 20 },
    rds: ({ port }) => ({
      instances: [
        {
          DBInstanceIdentifier: 'orders',
          DBInstanceArn: INSTANCE_ARN,
          DBClusterIdentifier: 'fleet',
          Engine: 'aurora-postgresql',
          Endpoint: { Address: 'localhost', Port: port },
        },
      ],
      clusters: [
        {
          DBClusterIdentifier: 'fleet',
          DBClusterArn: CLUSTER_ARN,
          Engine: 'aurora-postgresql',
          Endpoint: 'localhost',
          Port: port,
        },
      ],
    }),
  });
  const { aws, postgres, secretsManager, queueUrlOf } = environment;
  aws.createKey(undefined, KEY_ID);
  const queueUrls = [SYNC, RETIRE, ROTATION.postgres].map(queueUrlOf);
  const { username, password } = postgres.admin;
  const { ARN: administrator = '' } = await secretsManager.send(
    new CreateSecretCommand({ Name: ADMIN, KmsKeyId: KEY_ARN, SecretString: JSON.stringify({ username, password }) }),
  );
  aws.secretsManager.setOwningService(administrator, 'rds');
  aws.secretsManager.setSystemTag(administrator, 'aws:rds:primaryDBInstanceArn', INSTANCE_ARN);

  const people = await subscribe(environment);
  const told: string[] = [];
  let names = 0;
  return {
    ...environment,
    announcements: new Announcements(environment),
    administrator,
    fresh() {
      names += 1;
      return `app${names}`;
    },
    async waiting() {
      let waiting = 0;
      for (const QueueUrl of queueUrls) {
        const AttributeNames = ['', 'NotVisible', 'Delayed'].map((state) => `ApproximateNumberOfMessages${state}`);
        const answer = await aws.act('sqs', 'GetQueueAttributes', { QueueUrl, AttributeNames });
        for (const n of Object.values(answer['Attributes'] as Record<string, string>)) waiting += Number(n);
      }
      return waiting;
    },
    async toldOf(secretArn) {
      const answer = await aws.act('sqs', 'ReceiveMessage', { QueueUrl: people, MaxNumberOfMessages: 10 });
      for (const { Body } of (answer['Messages'] ?? []) as { Body: string }[]) told.push(Body);
      return told.filter((message) => message.includes(secretArn));
    },
    async clear(functions) {
      aws.inject(undefined);
      aws.disturbEvents(undefined);
      await aws.idle();
      for (const QueueUrl of queueUrls) await aws.act('sqs', 'PurgeQueue', { QueueUrl });
      aws.functions.recycle(functions);
    },
  };
}

/** A queue that is subscribed to the topic, as a person's mailbox is. @returns its URL */
async function subscribe({ aws }: Environment): Promise<string> {
  const { QueueUrl } = await aws.act('sqs', 'CreateQueue', { QueueName: 'people' });
  const queueArn = arnOf('sqs', 'people');
  aws.iam.putResourcePolicy(queueArn, {
    Statement: {
      Effect: 'Allow',
      Principal: { Service: 'sns.amazonaws.com' },
      Action: 'sqs:SendMessage',
      Resource: queueArn,
    },
  });
  const TopicArn = arnOf('sns', 'rekey-sandbox-notifications');
  await aws.act('sns', 'Subscribe', { TopicArn, Protocol: 'sqs', Endpoint: queueArn });
  return String(QueueUrl);
}
