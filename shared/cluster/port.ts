import type { Deadline } from '../operations/deadline.ts';
import type { SecretValue } from '../secrets/secret-value.ts';

/** The kinds of workload that Rekey may roll. */
export const WORKLOAD_KINDS = ['Deployment', 'StatefulSet', 'DaemonSet'] as const;
export type WorkloadKind = (typeof WORKLOAD_KINDS)[number];

/** What the Secrets Store CSI driver is told to mount. */
export interface SecretProviderClass {
  readonly namespace: string;
  readonly name: string;
  /** `aws` for the AWS provider; the empty string when none is named. */
  readonly provider: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly syncedSecrets: readonly SyncedSecret[];
}

/** A Kubernetes Secret that the driver writes what it mounted into: an entry of a class's `secretObjects`. */
export interface SyncedSecret {
  readonly name: string;
  /** Names of the mounted files that it holds. */
  readonly files: readonly string[];
}

export interface Workload {
  readonly kind: WorkloadKind;
  readonly namespace: string;
  readonly name: string;
  /** Of this very state: a patch that names it changes nothing else. */
  readonly resourceVersion: string;
  readonly annotations: ReadonlyMap<string, string>;
  /** Those of the pod template, which every new pod gets. */
  readonly templateAnnotations: ReadonlyMap<string, string>;
  /** Names of the classes that the pod template mounts; they are of the workload's own namespace. */
  readonly secretProviderClasses: readonly string[];
  /** Names of the Kubernetes Secrets that the pod template takes variables or files from; Rekey reads none. */
  readonly secrets: readonly string[];
  /** How many pods it should have. */
  readonly replicas: number;
  readonly rollout: Rollout;
  /** Epoch milliseconds of Rekey's last patch of it, as the API server recorded it. */
  readonly markedAtMs: number | undefined;
}

/** How far a workload's controller has brought its newest template. */
export interface Rollout {
  /** Whether the controller has seen the newest specification: what it reports is about an older one until then. */
  readonly observed: boolean;
  /** Pods made from the newest template. */
  readonly updated: number;
  /** Why pods of an older template stay until somebody acts, e.g. "it is paused"; undefined when all are replaced. */
  readonly stopped: string | undefined;
  /** The controller's own word for having given up, e.g. ProgressDeadlineExceeded. */
  readonly failure: string | undefined;
}

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The empty string until it is scheduled. */
  readonly node: string;
  /** What made it, seen through a ReplicaSet to its Deployment; undefined for a bare pod. */
  readonly controller: { readonly kind: string; readonly name: string } | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  readonly phase: string;
  readonly ready: boolean;
  /** It was told to stop and may run for as long as its grace period. */
  readonly terminating: boolean;
  /** Names of the classes that it mounts. */
  readonly secretProviderClasses: readonly string[];
  /** Names of the Kubernetes Secrets that it takes variables or files from. */
  readonly secrets: readonly string[];
  /** Init containers and sidecars too. */
  readonly containers: readonly Container[];
}

export interface Container {
  readonly name: string;
  readonly mounts: readonly ContainerMount[];
  readonly state: ContainerState;
  /** How often it was started again. */
  readonly restarts: number;
  /** Of the last time that it ended; undefined when it never did. */
  readonly exitCode: number | undefined;
}

export interface ContainerMount {
  readonly secretProviderClass: string;
  /** A subPath is bound when the container starts: what the driver writes later never shows in it. */
  readonly subPath: boolean;
}

/** Times are epoch milliseconds, whole seconds, by the node's clock. An init container that is done has `started`. */
export type ContainerState =
  | { readonly kind: 'started'; readonly startedAtMs: number }
  | { readonly kind: 'waiting'; readonly reason: string };

/** What the driver recorded about one class in one pod: a SecretProviderClassPodStatus. */
export interface Mount {
  readonly namespace: string;
  readonly pod: string;
  /** Of the pod that it was recorded for: a StatefulSet gives a new pod the name of the old one. */
  readonly podUid: string | undefined;
  readonly secretProviderClass: string;
  readonly mounted: boolean;
  /** Epoch milliseconds, whole seconds, by the API server's clock. */
  readonly firstMountedAtMs: number;
  /** When the record last changed: the first mount, or a later one that brought another version of any object. */
  readonly changedAtMs: number;
  /** Object id (the file's name) → version. */
  readonly versions: ReadonlyMap<string, string>;
}

export interface Marker {
  readonly annotation: string;
  readonly versionId: string;
}

/**
 * One cluster, as much of it as Rekey may see: no Kubernetes Secret. All methods throw RekeyError
 * CLUSTER_UNREACHABLE, CLUSTER_BUSY, CLUSTER_ACCESS_DENIED, CLUSTER_NOT_FOUND, CLUSTER_REJECTED, DEADLINE_TOO_CLOSE.
 */
export interface Cluster {
  readonly name: string;
  readonly region: string;
  /** Of all namespaces; none where the driver is not installed. */
  secretProviderClasses(deadline: Deadline): Promise<readonly SecretProviderClass[]>;
  /** Of all namespaces. */
  workloads(deadline: Deadline): Promise<readonly Workload[]>;
  pods(namespaces: ReadonlySet<string>, deadline: Deadline): Promise<readonly Pod[]>;
  mounts(namespaces: ReadonlySet<string>, deadline: Deadline): Promise<readonly Mount[]>;
  /**
   * Writes the marker: on the pod template, which rolls the workload, or on the object, which restarts nothing.
   * @returns `moved` when the workload is not as it was seen any more (or gone): look again
   */
  mark(
    workload: Workload,
    marker: Marker,
    where: 'pod-template' | 'object',
    deadline: Deadline,
  ): Promise<'marked' | 'moved'>;
}

/** The way into a cluster. */
export interface ClusterAccess {
  readonly name: string;
  readonly region: string;
  /** The API server's address, and the authority (PEM) that its certificate is verified against. */
  endpoint(deadline: Deadline): Promise<{ readonly url: string; readonly certificateAuthority: string }>;
  /** @param renew true after the API server refused the last one */
  bearerToken(renew: boolean): Promise<SecretValue>;
}
