import type { Container, Marker, Mount, Pod } from '../cluster/port.ts';
import type { Evidence, PodProof } from '../operations/events.ts';
import { againOf, has } from './marker.ts';

/** What one pod has to show. */
export interface Claim {
  readonly marker: Marker;
  /** Class → the ids under which the driver records the version of this secret. */
  readonly ids: ReadonlyMap<string, readonly string[]>;
  /** No recorded version tells about it: the pod must have been made from the marked template. */
  readonly needsMarker: boolean;
  /** The application reads its files again when they change, so that a mounted version is enough. */
  readonly rereads: boolean;
  /** Kubernetes Secret → what it takes for a container that has it to be proved. */
  readonly secrets: ReadonlyMap<string, SecretClaim>;
  /** What the pod has of the secret that no record tells about, in words that follow its name. */
  readonly unprovable: readonly string[];
  /** What is known to be wrong with the CSI driver, in words that follow a missing record. */
  readonly driver: string | undefined;
}

/** When a Kubernetes Secret, which Rekey does not read, had the version. Times are epoch milliseconds. */
export type SecretClaim =
  | {
      readonly kind: 'external';
      /** Of the ExternalSecret that writes it. */
      readonly name: string;
      /** Its last sync; it has been synced since it was asked. Undefined: it has not. */
      readonly synced: { readonly askedAtMs: number; readonly refreshedAtMs: number } | undefined;
      readonly syncedResourceVersion: string;
      /** Up to then a container may have started with the version before; undefined: nobody knows. */
      readonly doubtfulUntilMs: number | undefined;
    }
  | {
      readonly kind: 'synced';
      /** Why it does not have the version yet; undefined: it is written with it from now on. */
      readonly behind: string | undefined;
      /** Why it may not have been written since; undefined: it has. */
      readonly early: string | undefined;
      /** Since when it has it, as far as records tell. */
      readonly sinceMs: number | undefined;
      /** A pod that brings it starts before the driver has written it: only a second restart is sure. */
      readonly twice: boolean;
    };

export type Verdict =
  | { readonly kind: 'proved'; readonly proof: PodProof }
  /** It is on its way up, and what it mounted or will mount is right: to replace it would gain nothing. */
  | { readonly kind: 'starting'; readonly why: string }
  /** All that is recorded is right, but not all is recorded: neither time nor another roll proves more. */
  | { readonly kind: 'unprovable'; readonly why: string }
  /**
   * In all, `why` is a sentence for a person that starts with the pod.
   * `unrecorded`: the driver says nothing of it, as in a look at its records that is older than the pod.
   */
  | { readonly kind: 'unproved'; readonly why: string; readonly unrecorded?: boolean };

/**
 * How far the node's clock (containers) may be from those that stamp records: the API server's and the operator's. At
 * a pod's first mount this is allowed for, as Kubernetes starts containers only after it, and a later mount comes a
 * minute after at the earliest; whatever came later has to be so much older than the container.
 */
const SKEW_MS = 5_000;

/** Times of containers are cut to whole seconds. */
const SECONDS_MS = 1_000;

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
  if (doubt !== undefined) return { ...doubt, why: `pod ${pod.name} ${doubt.why}` };
  if (claim.unprovable.length > 0)
    return { kind: 'unprovable', why: `pod ${pod.name} ${claim.unprovable.join(', and ')}` };
  return {
    kind: 'proved',
    proof: {
      pod: pod.name,
      node: pod.node,
      mountedVersion: claim.marker.versionId,
      startedAt: new Date(startOf(pod, claim)).toISOString(),
      evidence: evidenceOf(pod, mounts, claim),
    },
  };
}

/** The first start of a container that has the secret; of any, where nothing tells which of them do. */
function startOf({ containers }: Pod, claim: Claim): number {
  const having = containers.filter(
    ({ mounts, secrets }) =>
      mounts.some((one) => claim.ids.has(one.secretProviderClass)) ||
      secrets.some(({ name }) => claim.secrets.has(name)),
  );
  const starts = (having.length > 0 ? having : containers).flatMap(({ state }) =>
    state.kind === 'started' ? state.startedAtMs : [],
  );
  return starts.length > 0 ? Math.min(...starts) : 0;
}

function evidenceOf(pod: Pod, mounts: readonly Mount[], claim: Claim): readonly Evidence[] {
  const secrets = new Set(pod.containers.flatMap(({ secrets }) => secrets.map(({ name }) => name)));
  return [
    ...[...claim.ids.keys()].flatMap((spc): Evidence[] => {
      const mount = mountOf(pod, spc, mounts);
      return mount === undefined
        ? []
        : [{ kind: 'mount', secretProviderClass: spc, mountedAt: iso(mount.changedAtMs) }];
    }),
    ...[...claim.secrets].flatMap(([secret, needed]): Evidence[] => {
      if (!secrets.has(secret)) return [];
      if (needed.kind === 'synced') return [{ kind: 'synced-secret', name: secret }];
      const { name, synced, syncedResourceVersion } = needed;
      return [{ kind: 'external-secret', name, refreshedAt: iso(synced?.refreshedAtMs ?? 0), syncedResourceVersion }];
    }),
    ...(has(pod.annotations, claim.marker) ? [{ kind: 'template' as const }] : []),
  ];
}

type Doubt = Exclude<Verdict, { kind: 'proved' }>;

const unproved = (why: string): Doubt => ({ kind: 'unproved', why });
const starting = (why: string): Doubt => ({ kind: 'starting', why });
const unprovable = (why: string): Doubt => ({ kind: 'unprovable', why });

/** What speaks against the pod; what only a new pod can cure comes before what time will cure. */
function doubtOf(pod: Pod, mounts: readonly Mount[], claim: Claim): Doubt | undefined {
  const failure = failureOf(pod);
  if (failure !== undefined) return unproved(failure.why);
  if (pod.fargate && pod.secretProviderClasses.some((spc) => claim.ids.has(spc)))
    return unprovable('is on Fargate, where the CSI driver cannot run: let it have the secret from an ExternalSecret');
  const doubts = [...claim.ids]
    .filter(([spc]) => pod.secretProviderClasses.includes(spc))
    .map(([spc, ids]) => doubtOfMount(pod, spc, ids, mounts, claim));
  doubts.push(...pod.containers.flatMap((container) => doubtsOfSecrets(pod, container, claim)));
  if (claim.needsMarker && pod.annotations.get(claim.marker.annotation) !== claim.marker.versionId)
    doubts.push(unproved('was not made from the marked template'));
  if (pod.phase !== 'Running') doubts.push(starting(`is not running yet (${pod.phase})`));
  // A pod that is on its way out is taken out of service first; what it still holds open is what counts.
  if (!pod.ready && !pod.terminating && !claim.rereads) doubts.push(starting('is not ready'));
  const found = doubts.filter((doubt) => doubt !== undefined);
  return found.find(({ kind }) => kind === 'unproved') ?? found.find(({ kind }) => kind === 'starting') ?? found[0];
}

/** What speaks against the variables and files that a container has from Kubernetes Secrets. */
function doubtsOfSecrets(pod: Pod, { name, secrets, state }: Container, claim: Claim): readonly Doubt[] {
  return [...new Set(secrets.map((one) => one.name))].flatMap((secret) => {
    const needed = claim.secrets.get(secret);
    if (needed === undefined) return [];
    if (state.kind === 'waiting') return starting(`has not started container ${name} (${state.reason})`);
    const since = `started container ${name} at ${iso(state.startedAtMs)}`;
    return (
      (needed.kind === 'external'
        ? doubtOfExternal(pod, state.startedAtMs, since, needed, claim.marker)
        : doubtOfSynced(pod, state.startedAtMs, `${since}, and Secret ${secret}`, needed, claim.marker)) ?? []
    );
  });
}

/**
 * The marker is written to a template only when the ExternalSecret has been synced, so a pod that was made from it has
 * the version, unless the reference came into the template later.
 */
function doubtOfExternal(
  pod: Pod,
  startedAtMs: number,
  since: string,
  { name, synced, doubtfulUntilMs }: Extract<SecretClaim, { kind: 'external' }>,
  marker: Marker,
): Doubt | undefined {
  if (synced === undefined) return unproved(`${since}, before ExternalSecret ${name} was read again`);
  const fromTemplate = has(pod.annotations, marker) && startedAtMs >= synced.askedAtMs - SECONDS_MS;
  if (fromTemplate || startedAtMs > synced.refreshedAtMs + SKEW_MS) return undefined;
  if (doubtfulUntilMs !== undefined && startedAtMs < doubtfulUntilMs)
    return unproved(
      `${since}, ${orderOf(startedAtMs, synced.refreshedAtMs)} ExternalSecret ${name} was read again at ${iso(synced.refreshedAtMs)}`,
    );
  return unprovable(`${since}, and nothing tells what ExternalSecret ${name} had read by then: restart it to be sure`);
}

function doubtOfSynced(
  pod: Pod,
  startedAtMs: number,
  since: string,
  { behind, early, sinceMs, twice }: Extract<SecretClaim, { kind: 'synced' }>,
  marker: Marker,
): Doubt | undefined {
  if (behind !== undefined) return unproved(`${since} does not have the version: ${behind}`);
  if (sinceMs !== undefined && startedAtMs >= sinceMs) return undefined;
  // A template is marked only once the Secret has been written; the second time, where that takes two restarts.
  if (has(pod.annotations, twice ? againOf(marker) : marker)) return undefined;
  if (early !== undefined) return unproved(`${since} may not have the version yet: ${early}`);
  return unproved(`${since} may not have had the version by then`);
}

function mountOf(pod: Pod, spc: string, mounts: readonly Mount[]): Mount | undefined {
  return mounts.find((one) => one.secretProviderClass === spc && (one.podUid ?? pod.uid) === pod.uid);
}

function doubtOfMount(
  pod: Pod,
  spc: string,
  ids: readonly string[],
  mounts: readonly Mount[],
  claim: Claim,
): Doubt | undefined {
  const mount = mountOf(pod, spc, mounts);
  if (mount === undefined || !mount.mounted) {
    const why = `has no record of what it mounts from ${spc}${claim.driver ?? ''}`;
    return pod.phase === 'Pending' ? starting(why) : { kind: 'unproved', why, unrecorded: true };
  }
  for (const id of ids) {
    const version = mount.versions.get(id);
    if (version === undefined) return unproved(`has no record of ${id} from ${spc}`);
    if (version !== claim.marker.versionId)
      return unproved(`mounts version ${version} of ${id}${claim.rereads ? (claim.driver ?? '') : ''}`);
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
  const isLater = remounted
    ? state.startedAtMs > mount.changedAtMs + SKEW_MS
    : state.startedAtMs >= mount.firstMountedAtMs - SKEW_MS;
  if (isLater) return undefined;
  return unproved(
    `started container ${name} at ${iso(state.startedAtMs)}, ${orderOf(state.startedAtMs, mount.changedAtMs)} the version was mounted at ${iso(mount.changedAtMs)}`,
  );
}

/** Of what is not later for certain. */
const orderOf = (startedAtMs: number, recordedAtMs: number) =>
  startedAtMs > recordedAtMs ? `less than ${SKEW_MS / 1_000} seconds after` : 'before';

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
