import { durationMs } from './go-duration.ts';
import {
  type Condition,
  type KubernetesObject,
  mapOf,
  msOf,
  type ObjectMeta,
  type PodTemplate,
} from './kubernetes-objects.ts';
import { containersOf, referencesOf } from './kubernetes-pods.ts';
import type { CronJob, CsiDriver, Rollout, Workload } from './port.ts';

/** Not one that starts with "kubectl": Flux takes those fields away (flux2#2526). */
export const FIELD_MANAGER = 'rekey';

/**
 * Where a Rollout keeps what its last restart was for: on the object, because a marker on its template would take it
 * through all of its canary steps.
 */
export const RESTART_PREFIX = 'restart.';

interface WorkloadStatus {
  readonly observedGeneration?: number | string;
  readonly replicas?: number;
  readonly updatedReplicas?: number;
  readonly conditions?: readonly Condition[];
}

export interface DeploymentObject extends KubernetesObject {
  readonly spec?: { readonly replicas?: number; readonly paused?: boolean; readonly template?: PodTemplate };
  readonly status?: WorkloadStatus;
}

export interface StatefulSetObject extends KubernetesObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly template?: PodTemplate;
    readonly updateStrategy?: { readonly type?: string; readonly rollingUpdate?: { readonly partition?: number } };
  };
  readonly status?: WorkloadStatus;
}

export interface DaemonSetObject extends KubernetesObject {
  readonly spec?: { readonly template?: PodTemplate; readonly updateStrategy?: { readonly type?: string } };
  readonly status?: {
    readonly observedGeneration?: number;
    readonly desiredNumberScheduled?: number;
    readonly updatedNumberScheduled?: number;
    readonly numberReady?: number;
  };
}

/** Of Argo Rollouts, argoproj.io/v1alpha1. */
export interface RolloutObject extends KubernetesObject {
  readonly spec?: {
    readonly replicas?: number;
    readonly paused?: boolean;
    readonly restartAt?: string;
    readonly template?: PodTemplate;
    /** Its template is another object's. */
    readonly workloadRef?: { readonly kind?: string; readonly name?: string };
  };
  readonly status?: WorkloadStatus;
}

export interface CronJobObject extends KubernetesObject {
  readonly spec?: { readonly jobTemplate?: { readonly spec?: { readonly template?: PodTemplate } } };
}

export function fromDeployment({ metadata, spec, status }: DeploymentObject): Workload {
  const failing = status?.conditions?.find(({ type }) => type === 'ReplicaFailure');
  return {
    ...workloadOf('Deployment', metadata, spec?.template),
    replicas: spec?.replicas ?? 1,
    rollout: {
      observed: isObserved(metadata, status),
      updated: status?.updatedReplicas ?? 0,
      outdated: Math.max(0, (status?.replicas ?? 0) - (status?.updatedReplicas ?? 0)),
      stopped: spec?.paused === true ? 'it is paused' : undefined,
      onDelete: false,
      failure: failing?.status === 'True' ? (failing.reason ?? failing.type) : givenUp(status),
    },
  };
}

export function fromStatefulSet({ metadata, spec, status }: StatefulSetObject): Workload {
  const partition = spec?.updateStrategy?.rollingUpdate?.partition ?? 0;
  const onDelete = spec?.updateStrategy?.type === 'OnDelete';
  return {
    ...workloadOf('StatefulSet', metadata, spec?.template),
    replicas: spec?.replicas ?? 1,
    rollout: {
      observed: isObserved(metadata, status),
      updated: status?.updatedReplicas ?? 0,
      outdated: 0,
      stopped: onDelete ? ON_DELETE : partition > 0 ? `its partition is ${partition}` : undefined,
      onDelete,
      failure: undefined,
    },
  };
}

export function fromDaemonSet({ metadata, spec, status }: DaemonSetObject): Workload {
  const onDelete = spec?.updateStrategy?.type === 'OnDelete';
  return {
    ...workloadOf('DaemonSet', metadata, spec?.template),
    replicas: status?.desiredNumberScheduled ?? 0,
    rollout: {
      observed: isObserved(metadata, status),
      updated: status?.updatedNumberScheduled ?? 0,
      outdated: 0,
      stopped: onDelete ? ON_DELETE : undefined,
      onDelete,
      failure: undefined,
    },
    csiDriver: csiDriverOf(spec?.template, status),
  };
}

/** @param deployments whose templates Rollouts may borrow */
export function fromRollout({ metadata, spec, status }: RolloutObject, deployments: readonly Workload[]): Workload {
  const own = workloadOf('Rollout', metadata, spec?.template);
  const { workloadRef } = spec ?? {};
  const lender = deployments.find(
    ({ namespace, name }) =>
      workloadRef?.kind === 'Deployment' && namespace === own.namespace && name === workloadRef.name,
  );
  const marks = [...own.annotations].flatMap(([key, value]): (readonly [string, string])[] =>
    key.startsWith(RESTART_PREFIX) ? [[key.slice(RESTART_PREFIX.length), value]] : [],
  );
  return {
    ...own,
    ...(lender && { secretProviderClasses: lender.secretProviderClasses, secrets: lender.secrets }),
    templateAnnotations: new Map([...(lender ?? own).templateAnnotations, ...marks]),
    replicas: spec?.replicas ?? 1,
    rollout: {
      observed: isObserved(metadata, status),
      updated: status?.updatedReplicas ?? 0,
      outdated: 0,
      stopped: spec?.paused === true ? 'it is paused' : undefined,
      onDelete: false,
      failure: givenUp(status),
    },
    restartedAtMs: spec?.restartAt === undefined ? undefined : msOf(spec.restartAt),
  };
}

export function cronJobOf({ metadata, spec }: CronJobObject): CronJob {
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    annotations: mapOf(metadata?.annotations),
    ...referencesOf(spec?.jobTemplate?.spec?.template?.spec),
  };
}

const ON_DELETE = 'its update strategy is OnDelete: delete them yourself';

function workloadOf(
  kind: Workload['kind'],
  metadata: ObjectMeta | undefined,
  template: PodTemplate | undefined,
): Omit<Workload, 'replicas' | 'rollout'> {
  const ours = metadata?.managedFields?.filter(({ manager, time }) => manager === FIELD_MANAGER && time) ?? [];
  return {
    kind,
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    resourceVersion: metadata?.resourceVersion ?? '',
    annotations: mapOf(metadata?.annotations),
    templateAnnotations: mapOf(template?.metadata?.annotations),
    ...referencesOf(template?.spec),
    deleting: metadata?.deletionTimestamp !== undefined,
    restartedAtMs: undefined,
    csiDriver: undefined,
    markedAtMs: ours.length === 0 ? undefined : Math.max(...ours.map(({ time }) => msOf(time))),
  };
}

function isObserved(metadata: ObjectMeta | undefined, status: Pick<WorkloadStatus, 'observedGeneration'> | undefined) {
  return Number(status?.observedGeneration ?? 0) >= (metadata?.generation ?? 0);
}

/** A paused workload says Progressing=Unknown; any False is given up. */
function givenUp(status: WorkloadStatus | undefined): Rollout['failure'] {
  const progressing = status?.conditions?.find(({ type }) => type === 'Progressing');
  return progressing?.status === 'False' ? (progressing.reason ?? progressing.type) : undefined;
}

/** The name that the driver's manifests and its chart give the container. */
const DRIVER_CONTAINER = 'secrets-store';

function csiDriverOf(template: PodTemplate | undefined, status: DaemonSetObject['status']): CsiDriver | undefined {
  const container = containersOf(template?.spec).find(({ name }) => name === DRIVER_CONTAINER);
  if (container === undefined) return undefined;
  // A digest may follow the tag: `driver:v1.6.0@sha256:…`.
  const [, major = '', minor = ''] = /:v?(\d{1,4})\.(\d{1,4})[^:/@]*(?:@[^/]*)?$/.exec(container.image ?? '') ?? [];
  const { args = [] } = container;
  const everyMs = durationMs(flagIn(args, 'rotation-poll-interval', 'value') ?? '2m') ?? 0;
  return {
    version: major === '' ? undefined : { major: Number(major), minor: Number(minor) },
    rotation: TRUE.test(flagIn(args, 'enable-secret-rotation', 'boolean') ?? '') ? { everyMs } : undefined,
    nodes: { wanted: status?.desiredNumberScheduled ?? 0, ready: status?.numberReady ?? 0 },
  };
}

/** As strconv.ParseBool reads it. */
const TRUE = /^(1|t|T|TRUE|true|True)$/;

/** As Go's flag package reads it: a boolean may stand without a value, any other flag's value as the next argument. */
function flagIn(args: readonly string[], flag: string, type: 'boolean' | 'value'): string | undefined {
  let found: string | undefined;
  for (const [at, arg] of args.entries()) {
    const [, name, value] = /^--?([^=]+)(?:=(.*))?$/s.exec(arg) ?? [];
    if (name === flag) found = value ?? (type === 'boolean' ? 'true' : args[at + 1]);
  }
  return found;
}
