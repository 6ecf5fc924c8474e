/** The parts of Kubernetes objects that the sandbox itself reads or writes; everything else is carried along. */

export type Json = null | boolean | number | string | readonly Json[] | { readonly [field: string]: Json };

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

export interface ManagedFieldsEntry {
  manager: string;
  operation: 'Apply' | 'Update';
  apiVersion: string;
  time: string;
  fieldsType: 'FieldsV1';
  fieldsV1: FieldSet;
  subresource?: string;
}

/** Field ownership as `fieldsV1` writes it: `f:name` for a field, `k:{…}` for an entry of a keyed list, `.` for itself. */
export interface FieldSet {
  [segment: string]: FieldSet;
}

export interface ObjectMeta {
  name: string;
  generateName?: string;
  namespace?: string;
  uid: string;
  resourceVersion: string;
  generation?: number;
  /** RFC 3339 with seconds, as all times of the API but event times. */
  creationTimestamp: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: OwnerReference[];
  finalizers?: string[];
  managedFields?: ManagedFieldsEntry[];
}

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

/** What a client sends: the server fills in the rest. */
export interface ObjectInput {
  apiVersion: string;
  kind: string;
  metadata?: Partial<ObjectMeta>;
  [field: string]: unknown;
}

export interface LabelSelector {
  matchLabels?: Record<string, string>;
  matchExpressions?: { key: string; operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'; values?: string[] }[];
}

export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  lastUpdateTime?: string;
  [field: string]: unknown;
}

export interface Container {
  name: string;
  image?: string;
  restartPolicy?: string;
  env?: {
    name: string;
    value?: string;
    valueFrom?: { secretKeyRef?: { name: string; key: string; optional?: boolean }; [source: string]: unknown };
  }[];
  envFrom?: { prefix?: string; secretRef?: { name: string; optional?: boolean } }[];
  volumeMounts?: { name: string; mountPath: string; subPath?: string }[];
  [field: string]: unknown;
}

export interface Volume {
  name: string;
  csi?: { driver: string; readOnly?: boolean; volumeAttributes?: Record<string, string> };
  [field: string]: unknown;
}

export interface PodSpec {
  nodeName?: string;
  schedulerName?: string;
  nodeSelector?: Record<string, string>;
  affinity?: {
    nodeAffinity?: {
      requiredDuringSchedulingIgnoredDuringExecution?: {
        nodeSelectorTerms: { matchFields?: { key: string; operator: string; values: string[] }[] }[];
      };
    };
  };
  containers: Container[];
  initContainers?: Container[];
  volumes?: Volume[];
  tolerations?: { key?: string; operator?: string; value?: string; effect?: string }[];
  restartPolicy?: string;
  terminationGracePeriodSeconds?: number;
  [field: string]: unknown;
}

export interface PodTemplate {
  metadata?: { labels?: Record<string, string>; annotations?: Record<string, string> };
  spec: PodSpec;
}

export interface ContainerStatus {
  name: string;
  image: string;
  imageID: string;
  containerID?: string;
  ready: boolean;
  started?: boolean;
  restartCount: number;
  state: {
    waiting?: { reason: string; message?: string };
    running?: { startedAt: string };
    terminated?: ContainerTermination;
  };
  lastState: { terminated?: ContainerTermination };
}

export interface ContainerTermination {
  exitCode: number;
  reason: string;
  startedAt: string;
  finishedAt: string;
}

export interface Pod extends KubernetesObject {
  spec: PodSpec;
  status: {
    phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
    conditions?: Condition[];
    containerStatuses?: ContainerStatus[];
    initContainerStatuses?: ContainerStatus[];
    hostIP?: string;
    podIP?: string;
    startTime?: string;
    reason?: string;
    [field: string]: unknown;
  };
}

/** A number of pods, or a percentage of the desired ones. */
export type IntOrPercent = number | string;

export interface Deployment extends KubernetesObject {
  spec: {
    replicas: number;
    selector: LabelSelector;
    template: PodTemplate;
    strategy: { type: string; rollingUpdate?: { maxSurge: IntOrPercent; maxUnavailable: IntOrPercent } };
    minReadySeconds?: number;
    revisionHistoryLimit?: number;
    progressDeadlineSeconds?: number;
    paused?: boolean;
  };
  status: { conditions?: Condition[]; [field: string]: unknown };
}

export interface ReplicaSet extends KubernetesObject {
  spec: { replicas: number; selector: LabelSelector; template: PodTemplate; minReadySeconds?: number };
  status: {
    replicas: number;
    readyReplicas?: number;
    availableReplicas?: number;
    terminatingReplicas?: number;
    observedGeneration?: number;
  };
}

export interface StatefulSet extends KubernetesObject {
  spec: {
    replicas: number;
    selector: LabelSelector;
    template: PodTemplate;
    serviceName?: string;
    podManagementPolicy: 'OrderedReady' | 'Parallel';
    updateStrategy: { type: 'RollingUpdate' | 'OnDelete'; rollingUpdate?: { partition?: number } };
    minReadySeconds?: number;
    revisionHistoryLimit?: number;
  };
  status: {
    replicas: number;
    currentRevision?: string;
    updateRevision?: string;
    [field: string]: unknown;
  };
}

export interface DaemonSet extends KubernetesObject {
  spec: {
    selector: LabelSelector;
    template: PodTemplate;
    updateStrategy: {
      type: 'RollingUpdate' | 'OnDelete';
      rollingUpdate?: { maxUnavailable?: IntOrPercent; maxSurge?: IntOrPercent };
    };
    minReadySeconds?: number;
    revisionHistoryLimit?: number;
  };
  status: { [field: string]: unknown };
}

export interface ControllerRevision extends KubernetesObject {
  revision: number;
  data: { spec: { template: PodTemplate } };
}

export interface SecretProviderClass extends KubernetesObject {
  spec: {
    provider?: string;
    parameters?: Record<string, string>;
    secretObjects?: {
      secretName?: string;
      type?: string;
      labels?: Record<string, string>;
      annotations?: Record<string, string>;
      data?: { objectName?: string; key?: string }[];
    }[];
  };
}

/** A Kubernetes Secret. */
export interface SecretObject extends KubernetesObject {
  type?: string;
  immutable?: boolean;
  /** Key → base64. */
  data?: Record<string, string>;
}

interface StoreRef {
  readonly name?: string;
  readonly kind?: 'SecretStore' | 'ClusterSecretStore';
}

interface RemoteRef {
  readonly key: string;
  readonly property?: string;
  readonly version?: string;
}

export interface ExternalSecretTemplate {
  readonly type?: string;
  readonly mergePolicy?: 'Replace' | 'Merge';
  readonly metadata?: { readonly annotations?: Record<string, string>; readonly labels?: Record<string, string> };
  readonly data?: Record<string, string>;
}

export interface ExternalSecretSpec {
  readonly secretStoreRef?: StoreRef;
  readonly target?: {
    readonly name?: string;
    readonly creationPolicy?: 'Owner' | 'Orphan' | 'Merge' | 'None' | 'CreateOrMerge';
    readonly template?: ExternalSecretTemplate;
    readonly immutable?: boolean;
  };
  readonly refreshPolicy?: 'CreatedOnce' | 'Periodic' | 'OnChange';
  readonly refreshInterval?: string;
  readonly data?: readonly {
    readonly secretKey: string;
    readonly remoteRef: RemoteRef;
    readonly sourceRef?: { readonly storeRef?: StoreRef };
  }[];
  readonly dataFrom?: readonly {
    readonly extract?: RemoteRef;
    readonly find?: {
      readonly path?: string;
      readonly name?: { readonly regexp?: string };
      readonly tags?: Record<string, string>;
    };
    readonly rewrite?: readonly { readonly regexp?: { readonly source: string; readonly target: string } }[];
    readonly sourceRef?: { readonly storeRef?: StoreRef };
  }[];
}

export interface ExternalSecret extends KubernetesObject {
  spec: ExternalSecretSpec;
  status?: {
    refreshTime?: string;
    syncedResourceVersion?: string;
    conditions?: Condition[];
    binding?: { name: string };
  };
}

export interface ClusterExternalSecret extends KubernetesObject {
  spec: {
    readonly externalSecretSpec: ExternalSecretSpec;
    readonly externalSecretName?: string;
    readonly externalSecretMetadata?: {
      readonly annotations?: Record<string, string>;
      readonly labels?: Record<string, string>;
    };
    readonly namespaceSelector?: LabelSelector;
    readonly namespaceSelectors?: readonly LabelSelector[];
    readonly namespaces?: readonly string[];
  };
}

/** A SecretStore, or a ClusterSecretStore. */
export interface SecretStoreObject extends KubernetesObject {
  spec: { readonly provider: { readonly aws?: { readonly service: string; readonly prefix?: string } } };
}

/** Of Argo Rollouts. */
export interface Rollout extends KubernetesObject {
  spec: {
    replicas?: number;
    selector: LabelSelector;
    template: PodTemplate;
    minReadySeconds?: number;
    restartAt?: string;
    strategy?: { canary?: { maxUnavailable?: IntOrPercent } };
  };
  status?: { restartedAt?: string; [field: string]: unknown };
}

export interface Node extends KubernetesObject {
  spec: {
    unschedulable?: boolean;
    taints?: { key: string; value?: string; effect: string }[];
    [field: string]: unknown;
  };
}

/** A time of the API: RFC 3339, whole seconds. */
export function timestamp(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

export function controllerOf(object: KubernetesObject): OwnerReference | undefined {
  return object.metadata.ownerReferences?.find((reference) => reference.controller === true);
}

export function controllerReference(owner: KubernetesObject): OwnerReference {
  return {
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

export function condition(object: { status?: { conditions?: Condition[] } }, type: string): Condition | undefined {
  return object.status?.conditions?.find((one) => one.type === type);
}

/** Whether two values hold the same JSON, whatever the order of their fields. */
export function sameJson(left: unknown, right: unknown): boolean {
  if (left === right) return true;
  if (typeof left !== 'object' || typeof right !== 'object' || left === null || right === null) return false;
  if (Array.isArray(left) || Array.isArray(right)) {
    return (
      Array.isArray(left) &&
      Array.isArray(right) &&
      left.length === right.length &&
      left.every((item, index) => sameJson(item, right[index]))
    );
  }
  const leftFields = definedFields(left);
  const rightFields = definedFields(right);
  return (
    leftFields.length === rightFields.length &&
    leftFields.every(([name, value]) => Object.hasOwn(right, name) && sameJson(value, Reflect.get(right, name)))
  );
}

/** JSON knows no undefined: such a field does not exist. */
function definedFields(object: object): [string, unknown][] {
  return Object.entries(object).filter(([, value]) => value !== undefined);
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
