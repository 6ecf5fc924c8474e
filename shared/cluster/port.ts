import type { Deadline } from '../operations/deadline.ts';
import type { SecretValue } from '../secrets/secret-value.ts';

/** The kinds of workload that Rekey may roll. */
export const WORKLOAD_KINDS = ['Deployment', 'StatefulSet', 'DaemonSet', 'Rollout'] as const;
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

/** An ExternalSecret of the External Secrets Operator: what it writes into which Kubernetes Secret, and how far it came. */
export interface ExternalSecret {
  readonly namespace: string;
  readonly name: string;
  /** Name of the Kubernetes Secret that it writes; undefined when it writes none. */
  readonly target: string | undefined;
  readonly sources: readonly ExternalSource[];
  readonly refresh: ExternalRefresh;
  /** The target may not change once it is there. */
  readonly immutable: boolean;
  /** What an annotation has to be put on, for the operator to read its sources again. */
  readonly steering: {
    readonly kind: 'ExternalSecret' | 'ClusterExternalSecret';
    readonly name: string;
    readonly resourceVersion: string;
    readonly annotations: ReadonlyMap<string, string>;
  };
  /** The condition `Ready`; undefined until the operator has looked at it. */
  readonly ready: { readonly is: boolean; readonly reason: string } | undefined;
  /** Epoch milliseconds, whole seconds, by the operator's clock, of the last sync that was carried out; 0 before it. */
  readonly refreshedAtMs: number;
  /** The generation, labels and annotations with which that sync was carried out, as the operator writes it. */
  readonly syncedResourceVersion: string;
}

export type ExternalRefresh =
  /** `everyMs` 0: once, then only when the ExternalSecret itself changes. */
  | { readonly kind: 'periodic'; readonly everyMs: number }
  | { readonly kind: 'on-change' }
  | { readonly kind: 'created-once' };

/** Something that an ExternalSecret reads. A generator reads no secret and is left out. */
export type ExternalSource =
  | {
      readonly kind: 'key';
      readonly store: StoreRef;
      readonly key: string;
      /** The empty string: whatever is current. */
      readonly version: string;
    }
  | {
      readonly kind: 'find';
      readonly store: StoreRef;
      readonly path: string;
      /** Undefined when it looks by tags. */
      readonly name: NamePattern | undefined;
      readonly tags: ReadonlyMap<string, string>;
    };

/** A regular expression over names of secrets. */
export interface NamePattern {
  /** As written. */
  readonly text: string;
  matches(name: string): boolean;
}

/** A store of secrets; a SecretStore is in the namespace of whoever names it. */
export interface StoreRef {
  readonly kind: 'SecretStore' | 'ClusterSecretStore';
  readonly name: string;
}

/** Where ExternalSecrets read. */
export interface ExternalStore extends StoreRef {
  /** The empty string for a ClusterSecretStore. */
  readonly namespace: string;
  /** Undefined when it reads from something that is not AWS. */
  readonly aws:
    | {
        /** As written, e.g. SecretsManager or ParameterStore. */
        readonly service: string;
        readonly region: string;
        /** The ARN of the role that it takes on last; the empty string for none. */
        readonly role: string;
        /** Put before every key. */
        readonly prefix: string;
      }
    | undefined;
}

/** A Kubernetes Secret that a pod refers to, and how its containers get what is in it. */
export interface SecretReference {
  readonly name: string;
  /** A variable and a subPath are bound when the container starts; a file follows the Secret after a while. */
  readonly as: 'variable' | 'file' | 'subPath';
}

/** What a pod, or a template of pods, refers to in its own namespace. */
export interface References {
  /** Names of the classes that are mounted. */
  readonly secretProviderClasses: readonly string[];
  /** Each Secret once for each way; Rekey reads none. */
  readonly secrets: readonly SecretReference[];
}

/** It makes a new pod at every run, so there is nothing to restart. */
export interface CronJob extends References {
  readonly namespace: string;
  readonly name: string;
  readonly annotations: ReadonlyMap<string, string>;
}

/** A workload that Rekey may roll, as it was when it was listed. */
export interface Workload extends References {
  readonly kind: WorkloadKind;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Of this very state: a patch that names it changes nothing else. */
  readonly resourceVersion: string;
  readonly annotations: ReadonlyMap<string, string>;
  /**
   * Those of the pod template, which every new pod gets. Of a Rollout, which Rekey restarts without a new template,
   * those too that its last restart was for: its pods made since `restartedAtMs` count as having them.
   */
  readonly templateAnnotations: ReadonlyMap<string, string>;
  /** How many pods it should have. */
  readonly replicas: number;
  readonly rollout: Rollout;
  /** Somebody deleted it, and a finalizer keeps it: its controller replaces no pod any more. */
  readonly deleting: boolean;
  /** Epoch milliseconds of a Rollout's `restartAt`: pods made before it are replaced. */
  readonly restartedAtMs: number | undefined;
  /** Set for the DaemonSet that is the Secrets Store CSI driver itself. */
  readonly csiDriver: CsiDriver | undefined;
  /** Epoch milliseconds of Rekey's last patch of it, as the API server recorded it. */
  readonly markedAtMs: number | undefined;
}

/** The Secrets Store CSI driver, as its DaemonSet tells of it. */
export interface CsiDriver {
  /** Of its image's tag; undefined when that says none. */
  readonly version: { readonly major: number; readonly minor: number } | undefined;
  /** Whether it mounts again what has changed in Secrets Manager, and how often it looks at most. */
  readonly rotation: { readonly everyMs: number } | undefined;
  /** How many nodes should have it, and how many have it ready. */
  readonly nodes: { readonly wanted: number; readonly ready: number };
}

/** How far a workload's controller has brought its newest template. */
export interface Rollout {
  /** Whether the controller has seen the newest specification: what it reports is about an older one until then. */
  readonly observed: boolean;
  /** Pods made from the newest template. */
  readonly updated: number;
  /** Pods of older templates that a Deployment's controller has not taken down yet; of other kinds 0. */
  readonly outdated: number;
  /** Why pods of an older template stay until somebody acts, e.g. "it is paused"; undefined when all are replaced. */
  readonly stopped: string | undefined;
  /** Its pods are replaced only when somebody deletes them. */
  readonly onDelete: boolean;
  /** The controller's own word for having given up, e.g. ProgressDeadlineExceeded. */
  readonly failure: string | undefined;
}

/** A pod, as it was when it was listed. */
export interface Pod extends References {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The empty string until it is scheduled. */
  readonly node: string;
  /** It runs on AWS Fargate, where no DaemonSet does, and so no CSI driver. */
  readonly fargate: boolean;
  /** Epoch milliseconds, whole seconds, by the API server's clock. */
  readonly createdAtMs: number;
  /** What made it, seen through a ReplicaSet or Job to what made that; undefined for a bare pod. */
  readonly controller: { readonly kind: string; readonly name: string } | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  readonly phase: string;
  readonly ready: boolean;
  /** It was told to stop and may run for as long as its grace period. */
  readonly terminating: boolean;
  /** Init containers and sidecars too. */
  readonly containers: readonly Container[];
}

/** A container of a pod, and what it has of the pod's volumes and of Kubernetes Secrets. */
export interface Container {
  readonly name: string;
  readonly mounts: readonly ContainerMount[];
  readonly secrets: readonly SecretReference[];
  readonly state: ContainerState;
  /** How often it was started again. */
  readonly restarts: number;
  /** Of the last time that it ended; undefined when it never did. */
  readonly exitCode: number | undefined;
}

/** A class of the CSI driver that a container has mounted. */
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

/** An annotation whose value is a versionId: what was done for that version of a secret. */
export interface Marker {
  readonly annotation: string;
  readonly versionId: string;
}

/** What people read of a workload with `kubectl describe`. */
export interface Note {
  readonly type: 'Normal' | 'Warning';
  /** One word in CamelCase, for programs. */
  readonly reason: string;
  /** A sentence of at most 1,024 characters; it holds no secret value. */
  readonly message: string;
}

/** What one patch writes on a workload. */
export interface Marks {
  /** One that is new there rolls the workload. */
  readonly onTemplate: readonly Marker[];
  /** Restarts nothing. */
  readonly onObject: readonly Marker[];
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
  /** Of all namespaces; a Rollout of Argo only where its kind is installed. */
  workloads(deadline: Deadline): Promise<readonly Workload[]>;
  /** Of all namespaces. */
  cronJobs(deadline: Deadline): Promise<readonly CronJob[]>;
  /** Of all namespaces; none where the operator is not installed. */
  externalSecrets(deadline: Deadline): Promise<readonly ExternalSecret[]>;
  /** Of all namespaces; none where the operator is not installed. */
  externalStores(deadline: Deadline): Promise<readonly ExternalStore[]>;
  pods(namespaces: ReadonlySet<string>, deadline: Deadline): Promise<readonly Pod[]>;
  mounts(namespaces: ReadonlySet<string>, deadline: Deadline): Promise<readonly Mount[]>;
  /**
   * Writes markers, all in one patch.
   * @returns `moved` when the workload is not as it was seen any more (or gone): look again
   */
  mark(workload: Workload, marks: Marks, deadline: Deadline): Promise<'marked' | 'moved'>;
  /**
   * Has the operator read an ExternalSecret's sources again, by annotations on what steers it.
   * @returns `moved` when that is not as it was seen any more (or gone): look again
   */
  forceSync(
    externalSecret: ExternalSecret,
    annotations: ReadonlyMap<string, string>,
    deadline: Deadline,
  ): Promise<'forced' | 'moved'>;
  /**
   * Evicts a pod, within what its PodDisruptionBudgets allow.
   * @returns `refused` when a budget does not allow it now; `moved` when the pod is gone, or is another one by now
   */
  evict(pod: Pod, deadline: Deadline): Promise<'evicted' | 'refused' | 'moved'>;
  /** Whether {@link Cluster.evict} would evict it now. Nothing is changed. */
  mayEvict(pod: Pod, deadline: Deadline): Promise<'allowed' | 'refused' | 'moved'>;
  /** Writes it beside the workload. The same words again become a count. */
  note(workload: Workload, note: Note, deadline: Deadline): Promise<void>;
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
