import type { SecretValue } from './secret-value.ts';

/** The staging labels that Secrets Manager itself moves and reads. */
export const CURRENT = 'AWSCURRENT';
export const PENDING = 'AWSPENDING';
export const PREVIOUS = 'AWSPREVIOUS';
/** Rekey's own: the login of the user of a pair that the next rotation will bring into use. */
export const STANDBY = 'REKEYSTANDBY';

/** What DescribeSecret says of a secret, without any value. */
export interface SecretDescription {
  readonly arn: string;
  readonly name: string;
  /** Undefined when rotation was never configured. */
  readonly rotationEnabled: boolean | undefined;
  /** The ARN of the Lambda function that rotates it. */
  readonly rotationFunction: string | undefined;
  /** versionId → its staging labels. A version without labels is not listed. */
  readonly stages: ReadonlyMap<string, readonly string[]>;
  readonly tags: ReadonlyMap<string, string>;
  /** Set when another AWS service (RDS, …) owns the secret and rotates it. */
  readonly owningService: string | undefined;
  /** Epoch milliseconds; set when the secret is scheduled for deletion. */
  readonly deletedAtMs: number | undefined;
  /** Epoch milliseconds of the earliest moment at which the next rotation may begin; absent when none is scheduled. */
  readonly nextRotationMs?: number;
  /**
   * Epoch milliseconds of its last rotation, or of its making where there was none: AWSCURRENT moved then, or later by
   * another hand.
   */
  readonly movedAtMs?: number;
  /** Region → how its replica stands; absent when there is none. Replicas have the name and the versionIds. */
  readonly replicas?: ReadonlyMap<string, ReplicaStatus>;
}

/** Secrets Manager API, ReplicationStatusType. */
export type ReplicaStatus = 'InSync' | 'InProgress' | 'Failed';

/** The value of one version. */
export interface StoredValue {
  readonly value: SecretValue;
  /** Epoch milliseconds of when it was stored. */
  readonly createdAtMs: number;
}

/** The value under a label, with the whole ARN of its secret. */
export interface StagedValue {
  readonly arn: string;
  readonly versionId: string;
  readonly value: SecretValue;
}

/** The versionId that carries a label, if any. */
export function versionWithStage(secret: Pick<SecretDescription, 'stages'>, stage: string): string | undefined {
  for (const [versionId, stages] of secret.stages) if (stages.includes(stage)) return versionId;
  return undefined;
}

/**
 * Where secrets live. Every write restates its precondition, so that a lost answer, a duplicate or a
 * concurrent hand ends in a typed error, never in a wrong label.
 */
export interface SecretStore {
  /** @throws RekeyError SECRET_NOT_FOUND, ACCESS_DENIED, SECRETS_MANAGER_UNAVAILABLE */
  describe(secretId: string): Promise<SecretDescription>;

  /** The value of exactly this version, or undefined while the version has a label but no value yet. */
  read(secretId: string, versionId: string): Promise<StoredValue | undefined>;

  /** The value that carries a label, with its versionId and its secret's full ARN, or undefined when none does. */
  readStage(secretId: string, stage: string): Promise<StagedValue | undefined>;

  /**
   * Stores a value under a version id of the caller's, with one label and never AWSCURRENT. The same value again is a
   * no-op; another value under the same id answers `taken`: a sibling attempt won, read its value.
   */
  writeVersion(request: {
    readonly secretId: string;
    readonly versionId: string;
    readonly stage: typeof PENDING | typeof STANDBY;
    readonly value: SecretValue;
    readonly rotationToken: SecretValue | undefined;
  }): Promise<'stored' | 'taken'>;

  /** Takes a label from this version. Gone already: a no-op. */
  withdrawLabel(secretId: string, stage: typeof PENDING | typeof STANDBY, versionId: string): Promise<void>;

  /** Compare-and-swap of AWSCURRENT. @throws RekeyError CURRENT_MOVED when `from` no longer carries it. */
  moveCurrent(secretId: string, move: { readonly from: string; readonly to: string }): Promise<void>;
}
