import { EVENT_SOURCE, type RekeyEvent } from '../shared/operations/events.ts';
import { type EngineRules, MARIADB, MYSQL, POSTGRES, REDIS } from '../shared/secrets/engine-rules.ts';
import type { SecretOptions } from '../shared/secrets/tags.ts';

/**
 * What is deployed and how the parts find each other, as plain data for the constructs.
 */

/** One Lambda function. */
export interface FunctionSpec {
  /** The folder under `dist/`, and the end of the deployed function's name. */
  readonly name: string;
  /** Source file of the bundle, from the project's root. */
  readonly entry: string;
  readonly description: string;
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  /** Never more than this many run at a time. For a queue's function, also how many poll it. */
  readonly concurrency: number;
}

/** One function per kind of database, so that a bundle carries one driver. */
export const ROTATION = {
  postgres: rotationOf('postgres', 'PostgreSQL'),
  mysql: rotationOf('mysql', 'MySQL'),
  mariadb: rotationOf('mariadb', 'MariaDB'),
  redis: rotationOf('redis', 'Redis and Valkey'),
} as const;

export type EngineName = keyof typeof ROTATION;

/** What the tag `rekey:strategy` may say. */
export type StrategyName = SecretOptions['strategy'];

/** What each kind of database can do, of the strategies in docs/strategies.md. */
export const STRATEGIES: Readonly<Record<EngineName, readonly StrategyName[]>> = {
  postgres: ['auto', 'single-user', 'alternating-users', 'user-pair'],
  mysql: ['auto', 'single-user', 'alternating-users', 'user-pair', 'dual-password'],
  mariadb: ['auto', 'single-user', 'alternating-users', 'user-pair'],
  redis: ['auto', 'single-user', 'dual-password'],
};

export const ENGINE_RULES: Readonly<Record<EngineName, EngineRules>> = {
  postgres: POSTGRES,
  mysql: MYSQL,
  mariadb: MARIADB,
  redis: REDIS,
};

function rotationOf(engine: string, product: string): FunctionSpec {
  return {
    name: `rotation-${engine}`,
    entry: `functions/rotation/${engine}.ts`,
    description: `Rotates ${product} credentials: the four steps that Secrets Manager calls`,
    memoryMb: 256,
    timeoutSeconds: 60,
    // Secrets Manager runs one step of one secret at a time; more would only help many secrets in one window.
    concurrency: 5,
  };
}

export const SYNC: FunctionSpec = {
  name: 'sync',
  entry: 'functions/sync/handler.ts',
  description: 'Rolls the Kubernetes workloads that use a secret to its current version, and proves it',
  memoryMb: 512,
  timeoutSeconds: 120,
  concurrency: 5,
};

export const SWEEP: FunctionSpec = {
  name: 'sweep',
  entry: 'functions/sweep/handler.ts',
  description: 'Finds what a lost event left behind, and asks sync to look again',
  memoryMb: 512,
  timeoutSeconds: 300,
  // Two sweeps at once would only ask for the same things twice.
  concurrency: 1,
};

export const RETIRE: FunctionSpec = {
  name: 'retire',
  entry: 'functions/retire/handler.ts',
  description: 'Makes the previous credential useless once every consumer is proved to run on the current one',
  memoryMb: 256,
  timeoutSeconds: 60,
  // Two is the least that Lambda accepts as the number of pollers of a queue.
  concurrency: 2,
};

export const WATCH: FunctionSpec = {
  name: 'watch',
  entry: 'functions/watch/handler.ts',
  description:
    'Measures what no event tells: rotations that did not happen or did not end, and what is about to expire',
  memoryMb: 256,
  timeoutSeconds: 60,
  concurrency: 1,
};

export const FUNCTIONS: readonly FunctionSpec[] = [...Object.values(ROTATION), SYNC, SWEEP, RETIRE, WATCH];

/** `file.export`, the same in every bundle. */
export const HANDLER = 'index.handler';

/** The environment variables that the functions read. */
export const VARIABLES = {
  eventBus: 'REKEY_EVENT_BUS',
  queueUrl: 'REKEY_QUEUE_URL',
  /** JSON: `[{"region", "names", "role"?: {"roleArn", "externalId"?}}]` (functions/sync-config.ts) */
  clusters: 'REKEY_CLUSTERS',
  /** Path of a PEM file. */
  databaseCaFile: 'REKEY_DATABASE_CA_FILE',
  /** Path of a folder with PEM files; not set: the tag `rekey:ca` can name none. */
  databaseCaFolder: 'REKEY_DATABASE_CA_FOLDER',
  /** Suffixes, separated by blanks; not set: any host. */
  allowedHosts: 'REKEY_ALLOWED_HOSTS',
  /** ARNs, separated by blanks. */
  rotationFunctions: 'REKEY_ROTATION_FUNCTIONS',
  serviceName: 'POWERTOOLS_SERVICE_NAME',
  logLevel: 'POWERTOOLS_LOG_LEVEL',
} as const;

/** The Amazon RDS roots that Lambda's own image carries: the CA file where the configuration names no other. */
export const LAMBDA_CA_FILE = '/var/runtime/ca-cert.pem';

/** Where Rekey's own events go. The deployed bus carries the environment's name behind it. */
export const EVENT_BUS = 'rekey';

/** How a queue hands its messages to its function. */
export interface QueueSpec {
  readonly name: string;
  readonly batchSize: number;
  /** SQS asks for six times the function's time-out, so that a throttled batch is not handed out twice. */
  readonly visibilityTimeoutSeconds: number;
  /** Deliveries before a message goes to the dead-letter queue. */
  readonly maxReceiveCount: number;
}

export const SYNC_QUEUE: QueueSpec = {
  name: 'sync',
  batchSize: 5,
  visibilityTimeoutSeconds: 6 * SYNC.timeoutSeconds,
  maxReceiveCount: 5,
};

export const RETIRE_QUEUE: QueueSpec = {
  name: 'retire',
  batchSize: 5,
  visibilityTimeoutSeconds: 6 * RETIRE.timeoutSeconds,
  maxReceiveCount: 5,
};

/** What a rotation function is asked to move back: one secret a message, so that one which fails brings back no other. */
export const moveBackQueueOf = ({ name, timeoutSeconds }: FunctionSpec): QueueSpec => ({
  name,
  batchSize: 1,
  visibilityTimeoutSeconds: 6 * timeoutSeconds,
  maxReceiveCount: 5,
});

/** The least that Lambda accepts. The others of a rotation function's places are for rotations. */
export const MOVES_BACK_AT_ONCE = 2;

/** An EventBridge event pattern of exact values, in AWS's own spelling. */
export interface EventPattern {
  readonly source: readonly string[];
  readonly 'detail-type'?: readonly string[];
  readonly detail?: Readonly<Record<string, readonly string[] | Readonly<Record<string, readonly string[]>>>>;
}

/**
 * On the default bus, to the sync queue. Secrets Manager's own event, which needs no CloudTrail trail
 * (Secrets Manager User Guide, "Secret Label Updated").
 */
export const SECRET_LABEL_UPDATED: EventPattern = {
  source: ['aws.secretsmanager'],
  'detail-type': ['Secret Label Updated'],
  detail: { labelUpdated: ['AWSCURRENT'] },
};

const ofRekey = (...types: readonly RekeyEvent['type'][]): EventPattern => ({
  source: [EVENT_SOURCE],
  'detail-type': types,
});

/** On Rekey's bus, to the retire queue. */
export const SECRET_CONVERGED = ofRekey('Secret Converged');

/** On Rekey's bus, to the queue of the rotation function that sync names. */
export const askedToMoveBack = (functionArn: string): EventPattern => ({
  ...ofRekey('Sync Halted'),
  detail: { moveBack: { rotationFunction: [functionArn] } },
});

/** On Rekey's bus, to people: how a rotation ended, and whatever waits for a hand. */
export const FOR_PEOPLE = ofRekey(
  'Rotation Failed',
  'Sync Halted',
  'Secret Moved Back',
  'Secret Converged',
  'Secret Not Converged',
  'Secret Retired',
  'Action Needed',
);

/** On Rekey's bus, to a bus of the team's own. */
export const EVERY_EVENT: EventPattern = { source: [EVENT_SOURCE] };

/**
 * On the default bus, to people: a rotation that Rekey could not tell of, because it never began or its function died.
 * These come through CloudTrail, where there is a trail, and best effort (Secrets Manager User Guide, "Monitor with
 * EventBridge").
 */
export const ROTATION_FAILED_BY_CLOUDTRAIL: EventPattern = {
  source: ['aws.secretsmanager'],
  'detail-type': ['AWS Service Event via CloudTrail'],
  detail: { eventName: ['RotationFailed', 'RotationAbandoned'] },
};

export const SWEEP_EVERY_MINUTES = 15;

export const WATCH_EVERY_MINUTES = 60;

/** The groups that infra/kubernetes/base/rekey.yaml gives rights to: one that rolls workloads, one that only looks. */
export const KUBERNETES_GROUPS = { sync: 'rekey', sweep: 'rekey-sweep' } as const;
