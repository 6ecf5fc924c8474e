import {
  type Condition,
  type ContainerObject,
  type KubernetesObject,
  mapOf,
  msOf,
  type ObjectMeta,
  type PodSpec,
} from './kubernetes-objects.ts';
import type { Container, ContainerMount, ContainerState, Pod, References, SecretReference } from './port.ts';

const CSI_DRIVER = 'secrets-store.csi.k8s.io';
/** Of every pod that AWS schedules on Fargate (EKS, "Fargate profiles"). */
const FARGATE_PROFILE = 'eks.amazonaws.com/fargate-profile';

export interface PodObject extends KubernetesObject {
  readonly spec?: PodSpec;
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly Condition[];
    readonly containerStatuses?: readonly ContainerStatusObject[];
    readonly initContainerStatuses?: readonly ContainerStatusObject[];
  };
}

interface ContainerStatusObject {
  readonly name?: string;
  readonly restartCount?: number;
  readonly state?: ContainerStateObject;
  readonly lastState?: ContainerStateObject;
}

interface ContainerStateObject {
  readonly running?: { readonly startedAt?: string };
  readonly waiting?: { readonly reason?: string };
  readonly terminated?: { readonly startedAt?: string; readonly reason?: string; readonly exitCode?: number };
}

/** Its controller is what made it itself, such as a ReplicaSet. */
export function podOf({ metadata, spec, status }: PodObject): Pod {
  const classes = classesByVolume(spec);
  const statuses = new Map(
    [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].map((one) => [one.name, one]),
  );
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    node: spec?.nodeName ?? '',
    fargate: metadata?.labels?.[FARGATE_PROFILE] !== undefined,
    createdAtMs: msOf(metadata?.creationTimestamp),
    controller: controllerOf(metadata),
    annotations: mapOf(metadata?.annotations),
    phase: status?.phase ?? 'Unknown',
    ready: status?.conditions?.some((one) => one.type === 'Ready' && one.status === 'True') ?? false,
    terminating: metadata?.deletionTimestamp !== undefined,
    ...referencesOf(spec),
    containers: containersOf(spec).map((container) =>
      containerOf(container, spec, classes, statuses.get(container.name)),
    ),
  };
}

export function controllerOf(metadata: ObjectMeta | undefined): Pod['controller'] {
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  return owner && { kind: owner.kind ?? '', name: owner.name ?? '' };
}

/** What a pod's specification, or a template's, refers to. */
export function referencesOf(spec: PodSpec | undefined): References {
  const mounted = containersOf(spec).flatMap((container) => secretsOf(container, spec));
  // A volume that no container mounts still has to be there for the pod to start.
  const volumes = [...secretVolumes(spec).values()].flat().map((name): SecretReference => ({ name, as: 'file' }));
  return {
    secretProviderClasses: [...new Set(classesByVolume(spec).values())],
    secrets: distinct([...mounted, ...volumes]),
  };
}

/** Init containers and sidecars too. */
export function containersOf(spec: PodSpec | undefined): readonly ContainerObject[] {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
}

/** Volume → the class that the CSI driver mounts into it. */
function classesByVolume(spec: PodSpec | undefined): ReadonlyMap<string, string> {
  const classes = new Map<string, string>();
  for (const { name = '', csi } of spec?.volumes ?? []) {
    const spc = csi?.driver === CSI_DRIVER ? csi.volumeAttributes?.['secretProviderClass'] : undefined;
    if (spc !== undefined) classes.set(name, spc);
  }
  return classes;
}

/** Volume → the Secrets whose keys are its files. */
function secretVolumes(spec: PodSpec | undefined): ReadonlyMap<string, readonly string[]> {
  return new Map(
    (spec?.volumes ?? []).map(({ name = '', secret, projected }) => [
      name,
      [secret?.secretName, ...(projected?.sources ?? []).map((source) => source.secret?.name)].filter(isName),
    ]),
  );
}

/** The Secrets that one container gets. */
function secretsOf({ env, envFrom, volumeMounts }: ContainerObject, spec: PodSpec | undefined) {
  const volumes = secretVolumes(spec);
  const variables = [
    ...(env ?? []).map(({ valueFrom }) => valueFrom?.secretKeyRef?.name),
    ...(envFrom ?? []).map(({ secretRef }) => secretRef?.name),
  ].filter(isName);
  return distinct([
    ...variables.map((name): SecretReference => ({ name, as: 'variable' })),
    ...(volumeMounts ?? []).flatMap((mount) =>
      (volumes.get(mount.name ?? '') ?? []).map(
        (name): SecretReference => ({ name, as: isSubPath(mount) ? 'subPath' : 'file' }),
      ),
    ),
  ]);
}

function distinct(references: readonly SecretReference[]): readonly SecretReference[] {
  return [...new Map(references.map((one) => [`${one.as} ${one.name}`, one])).values()];
}

function isName(name: string | undefined): name is string {
  return name !== undefined && name !== '';
}

function isSubPath({ subPath, subPathExpr }: { readonly subPath?: string; readonly subPathExpr?: string }): boolean {
  return Boolean(subPath || subPathExpr);
}

function containerOf(
  container: ContainerObject,
  spec: PodSpec | undefined,
  classes: ReadonlyMap<string, string>,
  status: ContainerStatusObject | undefined,
): Container {
  const mounts = (container.volumeMounts ?? []).flatMap((mount): ContainerMount[] => {
    const secretProviderClass = classes.get(mount.name ?? '');
    return secretProviderClass === undefined ? [] : [{ secretProviderClass, subPath: isSubPath(mount) }];
  });
  const ended = status?.state?.terminated ?? status?.lastState?.terminated;
  return {
    name: container.name ?? '',
    mounts,
    secrets: secretsOf(container, spec),
    state: stateOf(status),
    restarts: status?.restartCount ?? 0,
    exitCode: ended?.exitCode,
  };
}

function stateOf(status: ContainerStatusObject | undefined): ContainerState {
  const { running, terminated, waiting } = status?.state ?? {};
  if (running?.startedAt) return { kind: 'started', startedAtMs: msOf(running.startedAt) };
  // An init container that is done, or one that is about to be started again.
  if (terminated?.startedAt && terminated.exitCode === 0)
    return { kind: 'started', startedAtMs: msOf(terminated.startedAt) };
  return { kind: 'waiting', reason: waiting?.reason ?? terminated?.reason ?? 'not started yet' };
}
