import {
  type Marker,
  type Pod,
  type References,
  WORKLOAD_KINDS,
  type Workload,
  type WorkloadKind,
} from '../cluster/port.ts';
import type { ConsumerRef, Unproved } from '../operations/events.ts';
import { DEFAULT_WAVE, isNamed, type Mode, steeringOf } from './annotations.ts';
import { syncOf } from './external-secrets.ts';
import { findUses } from './manifests.ts';
import { has } from './marker.ts';
import type { Snapshot } from './observe.ts';
import type { ForceSync } from './plan.ts';
import {
  type ClusterView,
  choicesOf,
  claimOf,
  isFollowed,
  isUsed,
  mountsBySubPath,
  syncedClaims,
  type Times,
  type Used,
  untoldBy,
  usedBy,
} from './pod-uses.ts';
import { judgePod, type Verdict } from './proof.ts';
import type { SecretIdentity } from './references.ts';
import { type Choice, choiceFor, type Steering } from './uses.ts';

/** Something whose pods use the secret. */
export interface Consumer {
  readonly ref: ConsumerRef;
  /** Undefined for what Rekey never touches: a bare pod, a Job's pods, pods whose workload has dropped the secret. */
  readonly workload: Workload | undefined;
  readonly mode: Mode;
  readonly wave: number;
  /** The letters of its uses in docs/uses.md. */
  readonly letters: readonly Choice['use'][];
  /** Whether the version is where its pods take it from. */
  readonly source: Source;
  /** Its live pods that use the secret, and what they prove. */
  readonly pods: readonly JudgedPod[];
  /** Why it stays unproved when every record is right: part of what it has of the secret, no record tells about. */
  readonly unprovable: string | undefined;
  /** Why Rekey does not steer a workload that its owner left to Rekey. */
  readonly leftAlone: string | undefined;
}

/**
 * `awaited`: it will be there, by Rekey's doing or another's. `stale`: it will not, so that a restart would bring
 * nothing. `why` is a sentence for a person.
 */
export type Source =
  | { readonly kind: 'fresh' }
  | { readonly kind: 'awaited'; readonly why: string }
  | { readonly kind: 'stale'; readonly why: string };

/** A live pod, and what it proves. */
export interface JudgedPod {
  readonly pod: Pod;
  readonly verdict: Verdict;
}

/** An object or an annotation that cannot be read. */
export interface Fault {
  /** The object, for a log. */
  readonly where: string;
  readonly why: string;
  /** Whose annotation it is. */
  readonly consumer?: ConsumerRef;
}

/** All that was found out about one secret, in one cluster or in all. */
export interface Consumers {
  readonly consumers: readonly Consumer[];
  /** What has to be read again for the version to be where consumers take it from. */
  readonly syncs: readonly ForceSync[];
  /** Uses that never move. */
  readonly pinned: readonly Unproved[];
  /** Classes and annotations that cannot be read. */
  readonly faults: readonly Fault[];
}

/**
 * Who uses the secret in one cluster, and what each of their live pods proves about the marker's version.
 * @param times absent: whatever has to pass has passed
 */
export function consumersOf(
  secret: SecretIdentity,
  marker: Marker,
  snapshot: Snapshot,
  times: Times = { nowMs: Number.POSITIVE_INFINITY },
): Consumers {
  const { cluster, workloads, cronJobs } = snapshot;
  const found = findUses(secret, snapshot);
  const mounts = Map.groupBy(snapshot.mounts, ({ namespace, pod }) => `${namespace}/${pod}`);
  const live = snapshot.pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed');
  const podsByController = Map.groupBy(live, ownerOf);
  const view: ClusterView = {
    marker,
    found,
    times,
    driver: workloads.find(({ csiDriver }) => csiDriver !== undefined)?.csiDriver,
    mountsOf: (pod) =>
      (mounts.get(`${pod.namespace}/${pod.name}`) ?? []).filter((one) => (one.podUid ?? pod.uid) === pod.uid),
    podsIn: (namespace) => live.filter((pod) => pod.namespace === namespace),
  };

  const consumers: Consumer[] = [];
  const pinned: Unproved[] = [];
  const faults: Fault[] = [...found.faults];
  const syncs = new Map<string, ForceSync>();

  const addPins = (ref: ConsumerRef, { pins }: Used) => {
    for (const [by, to] of pins) pinned.push({ ...ref, why: `${by} pins the secret to ${to}` });
  };
  const add = (
    ref: ConsumerRef,
    workload: Workload | undefined,
    { mode, wave }: Pick<Consumer, 'mode' | 'wave'>,
    steering: Steering,
    /** By what new pods are made from; where only pods tell, by all of them. */
    used: Used,
    pods: readonly Pod[],
  ) => {
    const { namespace } = ref;
    const judged = pods.flatMap((pod): JudgedPod[] => {
      const claim = claimOf(usedBy(pod, namespace, used.named, view), namespace, steering, mode, pod, view);
      return claim === undefined ? [] : [{ pod, verdict: judgePod(pod, view.mountsOf(pod), claim) }];
    });
    const source = sourceOf(used, namespace, steering, judged, view);
    // What nobody waits for is not asked for: a workload that is switched off, a pod that will not be replaced.
    if (steering !== 'left') askFor(used, ref, syncs, view);
    consumers.push({
      ref,
      workload,
      mode,
      wave,
      letters: lettersOf(used, steering, judged, view),
      source,
      pods: judged,
      unprovable: unprovableOf(judged) ?? untoldBy(used, steering, view).map((why) => `it ${why}`)[0],
      leftAlone: workload === undefined ? undefined : leftAloneOf(workload, used, steering, judged, view),
    });
  };

  for (const workload of workloads) {
    const { kind, namespace, name } = workload;
    const ref = { cluster: cluster.name, kind, namespace, name };
    const used = usedBy(workload, namespace, isNamed(secret, workload, cluster.region), view);
    addPins(ref, used);
    if (!isUsed(used)) continue;

    const steering = steeringOf(workload);
    for (const why of steering.faults)
      faults.push({ where: `${cluster.name}: ${kind} ${namespace}/${name}`, why, consumer: ref });
    const id = ownerId(kind, namespace, name);
    const pods = (podsByController.get(id) ?? []).map((pod) => restartedPod(pod, workload));
    podsByController.delete(id);
    add(ref, workload, steering, steering.mode === 'off' ? 'left' : steering.mode, used, pods);
  }

  const pinning = new Set<string>();
  for (const job of cronJobs) {
    const { namespace, name } = job;
    const id = ownerId('CronJob', namespace, name);
    const ref = { cluster: cluster.name, kind: 'CronJob', namespace, name };
    const used = usedBy(job, namespace, isNamed(secret, job, cluster.region), view);
    addPins(ref, used);
    if (used.pins.length > 0) pinning.add(id);
    // Runs from before it dropped the secret go on with it, as pods of any other do.
    if (!isUsed(used)) continue;
    const pods = podsByController.get(id) ?? [];
    podsByController.delete(id);
    add(ref, undefined, UNTOUCHED, 'run', used, pods);
  }

  for (const [id, pods] of podsByController) {
    const [{ namespace, name, controller } = { namespace: '', name: '', controller: undefined }] = pods;
    const ref = { cluster: cluster.name, kind: controller?.kind ?? 'Pod', namespace, name: controller?.name ?? name };
    const used = usedBy(joined(pods), namespace, false, view);
    if (!WORKLOAD_KINDS.includes(ref.kind as WorkloadKind) && !pinning.has(id)) addPins(ref, used);
    if (isUsed(used)) add(ref, undefined, UNTOUCHED, 'left', used, pods);
  }
  return { consumers, syncs: [...syncs.values()], pinned, faults };
}

const UNTOUCHED = { mode: 'off', wave: DEFAULT_WAVE } as const;

/** Whether the version is where new pods take it from. */
function sourceOf(
  used: Used,
  namespace: string,
  steering: Steering,
  judged: readonly JudgedPod[],
  view: ClusterView,
): Source {
  const states = [...used.external.values()].map((one) => syncOf(one, view.marker));
  const never = states.find(({ kind }) => kind === 'never');
  if (never !== undefined && never.kind !== 'synced') return { kind: 'stale', why: never.why };
  const open = states.find(({ kind }) => kind !== 'synced');
  if (open !== undefined && open.kind !== 'synced') return { kind: 'awaited', why: open.why };
  const choice = choicesOf(used, steering, view).get('csi-environment');
  if (choice === undefined || choice.refused !== undefined) return { kind: 'fresh' };
  if (judged.every(({ verdict }) => verdict.kind === 'proved')) return { kind: 'fresh' };
  // The first of two restarts brings every mount to the version; only the second has to wait for that.
  const isFirst = choice.restarts === 2 && judged.some(({ pod }) => !has(pod.annotations, view.marker));
  if (isFirst) return { kind: 'fresh' };
  for (const [name, claim] of syncedClaims(used.synced, namespace, choice, view)) {
    const why = claim.kind === 'synced' ? (claim.behind ?? claim.early) : undefined;
    if (why !== undefined)
      return { kind: 'awaited', why: `Secret ${name} does not have the version for certain: ${why}` };
  }
  return { kind: 'fresh' };
}

function askFor(used: Used, ref: ConsumerRef, syncs: Map<string, ForceSync>, { marker }: ClusterView): void {
  for (const external of used.external.values()) {
    if (syncOf(external, marker).kind !== 'due') continue;
    const { kind, name } = external.steering;
    const id = kind === 'ExternalSecret' ? `${external.namespace}/${name}` : name;
    const asked = syncs.get(`${kind} ${id}`);
    syncs.set(`${kind} ${id}`, {
      kind: 'force-sync',
      cluster: ref.cluster,
      externalSecret: asked?.externalSecret ?? external,
      marker,
      consumers: [...(asked?.consumers ?? []), ref],
    });
  }
}

function unprovableOf(pods: readonly JudgedPod[]): string | undefined {
  return pods.flatMap(({ verdict }) => (verdict.kind === 'unprovable' ? [verdict.why] : []))[0];
}

function leftAloneOf(
  { deleting }: Workload,
  used: Used,
  steering: Steering,
  judged: readonly JudgedPod[],
  view: ClusterView,
): string | undefined {
  if (deleting) return 'it is being deleted, so that nothing replaces its pods';
  const synced = choicesOf(used, steering, view).get('csi-environment');
  const renewed = synced !== undefined && synced.refused === undefined;
  if (!isFollowed(used) && !renewed) return 'it mounts no readable class with the secret, so Rekey does not roll it';
  // No new pod comes to carry the marker, and no record tells: it would wait for what cannot come.
  if (steering !== 'annotate') return undefined;
  return choicesShown(used, steering, judged, view).find(({ refused }) => refused !== undefined)?.refused;
}

function lettersOf(
  used: Used,
  steering: Steering,
  judged: readonly JudgedPod[],
  view: ClusterView,
): Consumer['letters'] {
  return [...new Set(choicesShown(used, steering, judged, view).map(({ use }) => use))].sort();
}

/** What follows from every use, with the one that only its pods show: that a class is mounted by `subPath`. */
function choicesShown(
  used: Used,
  steering: Steering,
  judged: readonly JudgedPod[],
  view: ClusterView,
): readonly Choice[] {
  const choices = [...choicesOf(used, steering, view).values()];
  if (judged.some(({ pod }) => mountsBySubPath(pod, used)))
    choices.push(choiceFor('csi-sub-path', steering, view.driver));
  return choices;
}

/** What a Rollout's pods have from its last restart, which changes no template. */
function restartedPod(pod: Pod, { kind, restartedAtMs, templateAnnotations }: Workload): Pod {
  if (kind !== 'Rollout' || restartedAtMs === undefined || pod.createdAtMs < restartedAtMs) return pod;
  return { ...pod, annotations: new Map([...pod.annotations, ...templateAnnotations]) };
}

function joined(pods: readonly Pod[]): References {
  return {
    secretProviderClasses: [...new Set(pods.flatMap((pod) => pod.secretProviderClasses))],
    secrets: pods.flatMap(({ secrets }) => secrets),
  };
}

/** What made the pod, or the pod itself when nothing did, as {@link ownerId} writes it. */
export function ownerOf({ namespace, name, controller }: Pod): string {
  return ownerId(controller?.kind ?? 'Pod', namespace, controller?.name ?? name);
}

/** What a pod's controller is told from others by, within a cluster. */
export function ownerId(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}
