import type { Container, Marker, Mount, Pod } from '../cluster/port.ts';
import type { PodProof } from '../operations/events.ts';

/** What one pod has to show. */
export interface Claim {
  readonly marker: Marker;
  /** Class → the ids under which the driver records the version of this secret. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
  /** No recorded version tells about it: the pod must have been made from the marked template. */
  readonly needsMarker: boolean;
  /** The application reads its files again when they change, so that a mounted version is enough. */
  readonly rereads: boolean;
  /** What the pod has of the secret that no record tells about, in words that follow its name. */
  readonly unprovable: readonly string[];
}

export type Verdict =
  | { readonly kind: 'proved'; readonly proof: PodProof }
  /** It is on its way up, and what it mounted or will mount is right: to replace it would gain nothing. */
  | { readonly kind: 'starting'; readonly why: string }
  /** All that is recorded is right, but not all is recorded: neither time nor another roll proves more. */
  | { readonly kind: 'unprovable'; readonly why: string }
  /** In all, `why` is a sentence for a person that starts with the pod. */
  | { readonly kind: 'unproved'; readonly why: string };

/**
 * How far the node's clock (containers) may be behind the API server's (records) at a pod's first mount. Kubernetes
 * starts containers only after it, so this cannot hide a later mount, which comes a minute after at the earliest.
 */
const FIRST_MOUNT_SKEW_MS = 5_000;

/** A record that changes within its first second is still the first mount: times are cut to whole seconds. */
const SAME_WRITE_MS = 1_000;

/**
 * Whether a live pod is proved to run on the marker's version: the driver recorded that version for every file of the
 * secret, and every container that mounts one started after it. No record is no proof: an interrupted first mount
 * leaves a pod with an empty directory (secrets-store-csi-driver#1051).
 * @param mounts of this pod
 */
export function judgePod(pod: Pod, mounts: readonly Mount[], claim: Claim): Verdict {
  const doubt = doubtOf(pod, mounts, claim);
  if (doubt !== undefined) return { kind: doubt.kind, why: `pod ${pod.name} ${doubt.why}` };
  if (claim.unprovable.length > 0)
    return { kind: 'unprovable', why: `pod ${pod.name} ${claim.unprovable.join(', and ')}` };
  const startedAtMs = Math.max(
    0,
    ...pod.containers.map(({ state }) => (state.kind === 'started' ? state.startedAtMs : 0)),
  );
  return {
    kind: 'proved',
    proof: {
      pod: pod.name,
      node: pod.node,
      mountedVersion: claim.marker.versionId,
      startedAt: new Date(startedAtMs).toISOString(),
    },
  };
}

type Doubt = Extract<Verdict, { kind: 'unproved' | 'starting' }>;

const unproved = (why: string): Doubt => ({ kind: 'unproved', why });
const starting = (why: string): Doubt => ({ kind: 'starting', why });

/** What speaks against the pod; what only a new pod can cure comes before what time will cure. */
function doubtOf(pod: Pod, mounts: readonly Mount[], claim: Claim): Doubt | undefined {
  const failure = failureOf(pod);
  if (failure !== undefined) return unproved(failure.why);
  const doubts = [...claim.ids]
    .filter(([spc]) => pod.secretProviderClasses.includes(spc))
    .map(([spc, ids]) => doubtOfMount(pod, spc, ids, mounts, claim));
  if (claim.needsMarker && pod.annotations.get(claim.marker.annotation) !== claim.marker.versionId)
    doubts.push(unproved('was not made from the marked template'));
  if (pod.phase !== 'Running') doubts.push(starting(`is not running yet (${pod.phase})`));
  // A pod that is on its way out is taken out of service first; what it still holds open is what counts.
  if (!pod.ready && !pod.terminating && !claim.rereads) doubts.push(starting('is not ready'));
  const found = doubts.filter((doubt) => doubt !== undefined);
  return found.find(({ kind }) => kind === 'unproved') ?? found[0];
}

function doubtOfMount(
  pod: Pod,
  spc: string,
  ids: readonly string[],
  mounts: readonly Mount[],
  claim: Claim,
): Doubt | undefined {
  const mount = mounts.find((one) => one.secretProviderClass === spc && (one.podUid ?? pod.uid) === pod.uid);
  if (mount === undefined || !mount.mounted) {
    const why = `has no record of what it mounts from ${spc}`;
    return pod.phase === 'Pending' ? starting(why) : unproved(why);
  }
  for (const id of ids) {
    const version = mount.versions.get(id);
    if (version === undefined) return unproved(`has no record of ${id} from ${spc}`);
    if (version !== claim.marker.versionId) return unproved(`mounts version ${version} of ${id}`);
  }
  const doubts = pod.containers.map((container) => doubtOfContainer(container, spc, mount, claim));
  return doubts.find((doubt) => doubt?.kind === 'unproved') ?? doubts.find((doubt) => doubt !== undefined);
}

/** Init containers count: what they hand over is what they read, and they do not run again. */
function doubtOfContainer(
  { name, mounts, state }: Container,
  spc: string,
  mount: Mount,
  claim: Claim,
): Doubt | undefined {
  const reads = mounts.some((one) => one.secretProviderClass === spc && (one.subPath || !claim.rereads));
  if (!reads) return undefined;
  if (state.kind === 'waiting') return starting(`has not started container ${name} (${state.reason})`);
  const remounted = mount.changedAtMs - mount.firstMountedAtMs > SAME_WRITE_MS;
  const sinceMs = remounted ? mount.changedAtMs : mount.firstMountedAtMs - FIRST_MOUNT_SKEW_MS;
  if (state.startedAtMs >= sinceMs) return undefined;
  return unproved(
    `started container ${name} at ${iso(state.startedAtMs)}, before the version was mounted at ${iso(mount.changedAtMs)}`,
  );
}

/** That a pod fails rather than just takes its time. */
export interface Failure {
  readonly way: 'crash' | 'image' | 'container';
  readonly container: string;
  /** In words that follow the pod's name. */
  readonly why: string;
}

/** Reasons for which the kubelet keeps a container from running until something is changed. */
const FAILURES: ReadonlyMap<string, Failure['way']> = new Map([
  ['CrashLoopBackOff', 'crash'],
  ['ImagePullBackOff', 'image'],
  ['ErrImagePull', 'image'],
  ['ErrImageNeverPull', 'image'],
  ['InvalidImageName', 'image'],
  ['CreateContainerConfigError', 'container'],
  ['CreateContainerError', 'container'],
  ['RunContainerError', 'container'],
]);

/** Why a pod's containers are kept from running. */
export function failureOf(pod: Pod): Failure | undefined {
  for (const { name, state } of pod.containers) {
    const way = state.kind === 'waiting' ? FAILURES.get(state.reason) : undefined;
    if (state.kind === 'waiting' && way !== undefined)
      return { way, container: name, why: `cannot start: ${state.reason} in container ${name}` };
  }
  return undefined;
}

/** A pod that crashes has its container running again most of the time: it counts as failing until it is ready. */
export function crashOf(pod: Pod): Failure | undefined {
  if (pod.ready || pod.terminating) return undefined;
  for (const { name, restarts, exitCode } of pod.containers) {
    if (restarts === 0 && (exitCode ?? 0) === 0) continue;
    const end = exitCode === undefined ? 'ended' : `ended with exit code ${exitCode}`;
    return { way: 'crash', container: name, why: `crashes: container ${name} ${end}, restarts: ${restarts}` };
  }
  return undefined;
}

function iso(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}
