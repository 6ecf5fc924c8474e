import type { RekeyError } from './errors.ts';

/** What Rekey tells the world, on the EventBridge bus. Consumers may rely on these shapes: see docs/events.md. */

export const EVENT_SOURCE = 'rekey';
/** Raised when a field changes its meaning or goes away; new fields do not raise it. */
export const EVENT_SCHEMA_VERSION = 1;

/** What still works while a roll is halted and AWSCURRENT was not moved back. */
export const HALTED_STILL_WORKS = 'The old pods keep running; nothing further is rolled, and no label was moved.';

interface OfSecret {
  readonly secretArn: string;
  readonly secretName: string;
  readonly versionId: string;
}

/** Something with pods that use a secret; `cluster` is the name that the configuration gives it. */
export interface ConsumerRef {
  readonly cluster: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
}

/** Why one pod counts as running on the version. */
export interface PodProof {
  readonly pod: string;
  readonly node: string;
  /** The version that it runs on. */
  readonly mountedVersion: string;
  /** ISO 8601: the first start of a container that has the secret; the others that have it started later. */
  readonly startedAt: string;
  /** What shows it, one for each way in which the pod gets the secret. */
  readonly evidence: readonly Evidence[];
}

/**
 * `mount`: the CSI driver recorded the version for this class. `external-secret`: its operator had read the secret again
 * before the containers started. `synced-secret`: every mount that the driver writes this Kubernetes Secret from had the
 * version before. `template`: the pod was made from the template that was marked for the version.
 */
export type Evidence =
  | { readonly kind: 'mount'; readonly secretProviderClass: string; readonly mountedAt: string }
  | {
      readonly kind: 'external-secret';
      readonly name: string;
      readonly refreshedAt: string;
      readonly syncedResourceVersion: string;
    }
  | { readonly kind: 'synced-secret'; readonly name: string }
  | { readonly kind: 'template' };

/** That every pod of a consumer runs on the version, and why. */
export interface ConsumerProof extends ConsumerRef {
  readonly mode: 'restart' | 'annotate' | 'off';
  /** ISO 8601 of the marker patch; absent when the pods had the version without Rekey's doing. */
  readonly rolledAt?: string;
  readonly pods: readonly PodProof[];
}

/** How far one cluster has come. */
export interface ClusterProof {
  readonly cluster: string;
  readonly region: string;
  /** Whether it could be looked at. */
  readonly seen: boolean;
  /** How many of its workloads are proved, and with how many pods. */
  readonly proved: number;
  readonly pods: number;
  readonly unproved: number;
}

/**
 * What keeps a consumer from being proved, for programs: its new pods `crash`, have no `image`, or their `container`
 * cannot be made; its controller's `progress-deadline` is over, or it may not make pods (`pods-refused`: a quota, an
 * admission webhook); the API server refused the patch (`patch-refused`); a PodDisruptionBudget forbids to evict an old
 * pod (`budget`); old pods stay because it is `stopped` (paused, OnDelete, a partition); the marker was `reverted` by
 * another hand.
 */
export type Cause =
  | 'crash'
  | 'image'
  | 'container'
  | 'progress-deadline'
  | 'pods-refused'
  | 'patch-refused'
  | 'budget'
  | 'stopped'
  | 'reverted';

/** A consumer that is not proved to run on the version, or a cluster that did not answer. */
export interface Unproved extends ConsumerRef {
  readonly cause?: Cause;
  /** One sentence for a person, e.g. "pod web-1 mounts version … of 2026-…, started before it". */
  readonly why: string;
}

/** AWSCURRENT is to move back to the version before, by the function that rotates the secret. */
export interface MoveBack {
  /** ARN. */
  readonly rotationFunction: string;
  readonly previousVersionId: string;
}

/** A session of the previous user that is still open. */
export interface OpenSession {
  readonly applicationName: string;
  readonly clientAddress: string;
  /** ISO 8601 */
  readonly since: string;
}

interface FailureDetail {
  readonly code: string;
  readonly message: string;
  readonly retryable: boolean;
  readonly stillWorks: string;
  readonly action: string;
}

export type RekeyEvent =
  | {
      readonly type: 'Rotation Succeeded';
      readonly detail: OfSecret & {
        readonly engine: string;
        readonly strategy: string;
        /** How long clients with the old password were refused; absent where the old one went on working. */
        readonly gap?: {
          readonly milliseconds: number;
          /** `at-most`: since the new value was stored, because another process changed the password. */
          readonly measured: 'exactly' | 'at-most';
        };
      };
    }
  | { readonly type: 'Rotation Failed'; readonly detail: OfSecret & FailureDetail & { readonly step: string } }
  | { readonly type: 'Sync Started'; readonly detail: OfSecret & { readonly consumers: readonly ConsumerRef[] } }
  | {
      readonly type: 'Sync Halted';
      readonly detail: OfSecret & {
        readonly failed: readonly Unproved[];
        /** Where the tag asks for it and the version may be the cause: what is to be done by whom. */
        readonly moveBack?: MoveBack;
      };
    }
  | {
      readonly type: 'Secret Moved Back';
      /** `versionId` is the one that AWSCURRENT was moved from. */
      readonly detail: OfSecret & {
        /** The one that is current again. */
        readonly restoredVersionId: string;
        /** Whom it names. */
        readonly user: string;
        readonly engine: string;
        /** Why: whose new pods failed. */
        readonly failed: readonly Unproved[];
        readonly action: string;
      };
    }
  | {
      readonly type: 'Secret Converged';
      readonly detail: OfSecret & {
        /** Under AWSPREVIOUS: whose login may be retired. Absent: there is none. */
        readonly previousVersionId?: string;
        /** When AWSCURRENT moved, as far as the triggering event says. ISO 8601. */
        readonly since: string;
        readonly consumers: readonly ConsumerProof[];
        readonly clusters: readonly ClusterProof[];
        /** Uses that are pinned to another version or label and so never move. They keep retire from acting. */
        readonly pinned: readonly Unproved[];
      };
    }
  | {
      readonly type: 'Secret Not Converged';
      readonly detail: OfSecret & {
        readonly since: string;
        readonly unproved: readonly Unproved[];
        readonly clusters: readonly ClusterProof[];
        readonly action: string;
      };
    }
  | { readonly type: 'Secret Retired'; readonly detail: OfSecret & { readonly user: string; readonly engine: string } }
  | {
      readonly type: 'Action Needed';
      readonly detail: OfSecret & FailureDetail & { readonly sessions?: readonly OpenSession[] };
    };

/** @param stillWorks what goes on as before, for the person who is woken by it */
export function failureDetail({ code, message, retryable, action }: RekeyError, stillWorks: string): FailureDetail {
  return { code, message, retryable, stillWorks, action };
}

/** That a failure waits for a person. @param stillWorks as of {@link failureDetail} */
export function actionNeeded(
  { secretArn, secretName, versionId }: OfSecret,
  error: RekeyError,
  stillWorks: string,
): RekeyEvent {
  const detail = { secretArn, secretName, versionId, ...failureDetail(error, stillWorks) };
  return { type: 'Action Needed', detail };
}

/** Announcing never fails the work that it reports: an adapter logs its own failure and never throws. */
export interface Announcer {
  /** @returns whether the bus took the event; false: it was logged, and nobody heard of it */
  announce(event: RekeyEvent): Promise<boolean>;
}
