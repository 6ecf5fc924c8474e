import type { EngineName, StrategyName } from './wiring.ts';

/**
 * What differs between one deployment of Rekey and another: one file per environment under `environments/`, chosen by
 * `-c env=<name>`. `config-check.ts` reads it as a whole at synth, so that a slip shows before anything is deployed.
 */
export interface Environment extends RekeyProps {
  /** Twelve digits. */
  readonly account: string;
  readonly region: string;
  /** The secrets whose credentials Rekey rotates. None: Rekey only syncs. */
  readonly rotated: readonly RotatedSecretProps[];
}

/** What one Rekey is made with, in an environment of this project or in a stack of your own. */
export interface RekeyProps {
  /** Part of every deployed name: `rekey-<name>-sync`. Lower-case letters, digits and hyphens. */
  readonly name: string;
  /** The EKS clusters whose workloads Rekey rolls. None: Rekey only rotates. */
  readonly clusters: readonly EksCluster[];
  readonly told: Told;
  /** `off` where nobody is to be woken: a sandbox, a test. */
  readonly alarms: Alarms | 'off';
  /** Where the functions run, when databases or Kubernetes APIs are private. @default outside any VPC */
  readonly network?: Network;
  /**
   * ARN of a key of yours for Rekey's logs and notifications. Its policy must let in the services that docs/permissions.md
   * names. @default the stack makes one
   */
  readonly kmsKeyArn?: string;
  readonly databases?: Databases;
  readonly logLevel: 'DEBUG' | 'INFO' | 'WARN' | 'ERROR';
  readonly logRetentionDays: LogRetentionDays;
  readonly limits: Limits;
  /** X-Ray. @default false */
  readonly tracing?: boolean;
}

/** Who hears of failures, of what was done and of what needs a hand. One of these at least. */
export interface Told {
  /** Each confirms the subscription once. */
  readonly emails?: readonly string[];
  /** SNS topics of yours, in this account and Region: their policy must let EventBridge and CloudWatch publish. */
  readonly topicArns?: readonly string[];
  /** An event bus of yours, in any account: it gets every event of Rekey, as docs/events.md lists them. */
  readonly busArn?: string;
}

/** When people are told that something has not happened. What did happen and failed is always told. */
export interface Alarms {
  /** The longest that any secret of this Rekey may go without a rotation. @default its own schedule, and a day */
  readonly longestWithoutRotationDays?: number;
}

/** What may run at a time. */
export interface Limits {
  /**
   * Set each function's own share of the account's concurrency apart. An account with the lowest quota (10 at a time)
   * cannot: false there.
   */
  readonly reserveConcurrency: boolean;
  /** Rotations of one kind of database. @default 5 */
  readonly rotations?: number;
  /** Secrets that sync looks at, in batches of five; 2 at least. @default 5 */
  readonly syncs?: number;
}

/** What is true of every database that Rekey logs in to. */
export interface Databases {
  /** PEM file with their roots, from the project's root. @default the RDS roots in Lambda's image */
  readonly caFile?: string;
  /** Bundles that the tag `rekey:ca` of a secret may name: name → PEM file, from the project's root. @default none */
  readonly namedCaFiles?: Readonly<Record<string, string>>;
  /** Rekey logs in only to hosts whose name ends so, e.g. `.eu-west-1.rds.amazonaws.com`. @default any host */
  readonly hosts?: readonly string[];
}

/** One secret: by its complete ARN, with the six characters at the end, or by its name. */
export type SecretReference =
  | { readonly arn: string; readonly name?: never; readonly tag?: never }
  | { readonly name: string; readonly arn?: never; readonly tag?: never };

/** Every secret that carries this tag, now or later. */
export interface TaggedSecrets {
  readonly tag: { readonly key: string; readonly value: string };
  readonly arn?: never;
  readonly name?: never;
}

/** When Secrets Manager rotates a secret. */
export interface RotationSchedule {
  /** `cron(0 H D M W *)`, UTC. */
  readonly schedule: string;
  /** Length of the window that opens then: `1h` … `24h`, over before midnight UTC. */
  readonly window: string;
}

/**
 * CloudFormation sets a schedule on a secret that it can name. Those under a tag get theirs by
 * `aws secretsmanager rotate-secret --rotation-lambda-arn …`, and Rekey's rights hold for them from then on.
 */
export type RotatedSecretProps = RotationProps &
  ((SecretReference & RotationSchedule) | (TaggedSecrets & { readonly schedule?: never; readonly window?: never }));

export interface RotationProps {
  readonly engine: EngineName;
  /** What the secret's tag `rekey:strategy` says (docs/strategies.md): it decides which rights are given. @default auto */
  readonly strategy?: StrategyName;
  /** The administrator's secret, the one that `masterarn` names. @default the user changes its own password */
  readonly admin?: SecretReference;
  /**
   * RDS instances and clusters that Rekey may ask RDS about, by complete ARN. Needed where RDS made the administrator's
   * secret, or where the two secrets name different endpoints of one server: the cluster, or the instance with its
   * source, and the member or replica that this secret names. @default RDS is not asked
   */
  readonly databaseArns?: readonly string[];
  /** Customer keys that encrypt this secret and the administrator's. @default aws/secretsmanager, which needs no right */
  readonly kmsKeyArns?: readonly string[];
  /** The database's security group: it gets a rule that lets Rekey in. Needed where there is a `network`. */
  readonly hostSecurityGroup?: {
    readonly id: string;
    /** @default the engine's own */
    readonly port?: number;
  };
}

export interface EksCluster {
  /** What events and proofs call it. */
  readonly name: string;
  /** What EKS calls it, where two clusters have one name. @default name */
  readonly eksName?: string;
  readonly region: string;
  /** Twelve digits. Sync and sweep assume a role each there, which `cdk deploy` makes. @default the account of the stack */
  readonly account?: string;
  /** Create the access entries that let Rekey in, in the cluster's own account and Region. Else: docs/permissions.md. */
  readonly createAccessEntries: boolean;
  /**
   * The cluster's security group, when its API is private: it gets a rule that lets sync and sweep in on port 443.
   * Needs `network`, and a cluster of this account and Region. @default the API is reached by its public endpoint, or
   * the rule is there already
   */
  readonly securityGroupId?: string;
}

export interface Network {
  readonly vpcId: string;
  readonly availabilityZones: readonly string[];
  /** Private subnets, one per zone in the same order, with a way to AWS's APIs: NAT, or VPC endpoints. */
  readonly subnetIds: readonly string[];
  /**
   * VPC endpoints to create. Each takes over the service's name for the whole VPC, so it lets in the whole VPC; leave
   * out what the VPC has already. @default none
   */
  readonly endpoints?: {
    readonly services: readonly EndpointService[];
    /** Of the VPC, e.g. `10.0.0.0/16`. */
    readonly vpcCidr: string;
  };
}

/** The APIs that the functions call. Logs and traces go by Lambda's own way. */
export const ENDPOINT_SERVICES = ['secretsmanager', 'events', 'sqs', 'eks', 'rds', 'sts'] as const;
export type EndpointService = (typeof ENDPOINT_SERVICES)[number];

/** The periods that CloudWatch Logs accepts, from a month on. */
export const LOG_RETENTION_DAYS = [
  30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
] as const;
export type LogRetentionDays = (typeof LOG_RETENTION_DAYS)[number];
