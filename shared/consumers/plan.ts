import { type ExternalSecret, type Marker, type Pod, WORKLOAD_KINDS, type Workload } from '../cluster/port.ts';
import type { Cause, ConsumerProof, ConsumerRef, Unproved } from '../operations/events.ts';
import type { SecretOptions, Window } from '../secrets/tags.ts';
import { asksForEvictions } from './annotations.ts';
import type { Consumer, JudgedPod } from './consumers.ts';
import { againOf, has, rolledOf } from './marker.ts';
import { crashOf, type Failure, failureOf } from './proof.ts';

/** Everything a plan is made from: what was seen of all clusters, what the secret asks for, and the time. */
export interface Situation {
  readonly consumers: readonly Consumer[];
  /** What brings the version to where consumers take it from. Absent: it is there. */
  readonly syncs?: readonly ForceSync[];
  readonly marker: Marker;
  readonly options: Pick<SecretOptions, 'maxParallel' | 'holdUntilMs' | 'window'>;
  /** From then on the window keeps no roll back: the old credential is about to end. Absent: it always does. */
  readonly rollByMs?: number;
  /** Clusters that could not be looked at: nothing is proved about them. */
  readonly unseen: readonly Unproved[];
  /** Cluster → why its Region does not have the version yet. Absent: every Region has it. */
  readonly behind?: ReadonlyMap<string, string>;
  /** Consumers ({@link idOf}) that the passes before this one have marked for the version. */
  readonly rolled?: ReadonlySet<string>;
  readonly nowMs: number;
}

/** A workload to be marked for the version, and where. */
export interface Mark {
  readonly cluster: string;
  readonly workload: Workload;
  readonly where: 'pod-template' | 'object';
  /** It has the marker already: its pods come up once more. */
  readonly again: boolean;
}

/** What is done besides marking. It restarts nothing by itself (force-sync, may-evict), or one pod (evict). */
export type Action = ForceSync | Evict;

/** An ExternalSecret that has to read its sources again. */
export interface ForceSync {
  readonly kind: 'force-sync';
  readonly cluster: string;
  readonly externalSecret: ExternalSecret;
  readonly marker: Marker;
  /** Who waits for it. */
  readonly consumers: readonly ConsumerRef[];
}

/** A pod that is to go, so that its workload makes a new one. */
export interface Evict {
  /** `may-evict` only asks: Argo Rollouts evicts by itself, and tells nobody of a budget that forbids it. */
  readonly kind: 'evict' | 'may-evict';
  readonly cluster: string;
  readonly pod: Pod;
  readonly consumer: ConsumerRef;
}

/**
 * `converged`: all is proved. `halted`: new pods fail, so nothing more is rolled; or old ones stay until a person acts, so
 * no later wave begins. `held`: the secret's hold or window forbids the next roll, and nothing is under way. `waiting`:
 * everything else.
 */
export interface Plan {
  readonly verdict: 'converged' | 'halted' | 'held' | 'waiting';
  /** What to do now, before any mark. */
  readonly actions: readonly Action[];
  /** What to roll now. */
  readonly marks: readonly Mark[];
  /** Who is due next, in order: each may take the place of one whose mark the cluster refuses. */
  readonly substitutes: readonly Mark[];
  readonly proved: readonly ConsumerProof[];
  readonly unproved: readonly Unproved[];
  /** Those of the unproved for which it is halted. */
  readonly failed: readonly Unproved[];
  readonly standings: readonly Standing[];
}

/** Where one consumer stands. */
export type State =
  | { readonly kind: 'proved' }
  | { readonly kind: 'due'; readonly workload: Workload; readonly why: string; readonly again?: boolean }
  /** It carries the marker: its rollout, or the driver's remount, is under way. */
  | { readonly kind: 'marked'; readonly why: string; readonly cause?: Cause }
  | { readonly kind: 'failing'; readonly why: string; readonly cause: Cause }
  /** The version is not yet where its pods take it from: new pods would get the one before it. */
  | { readonly kind: 'awaiting'; readonly why: string }
  /** Its pods change by another hand, or come up for the first time. */
  | { readonly kind: 'busy'; readonly why: string }
  /** Rekey does not touch it, or can do no more about it: it keeps none of the others waiting. */
  | { readonly kind: 'left-alone'; readonly why: string; readonly cause?: Cause };

/** A consumer, and where it stands. */
export interface Standing {
  readonly consumer: Consumer;
  readonly state: State;
}

/**
 * Who is next, from what is to be seen alone: there is no memory. The lowest wave that is not proved goes first; the
 * first workload of all goes alone until its proof shows that the version works; then as many as allowed at a time.
 * One whose new pods fail stops all further ones. One that is stopped says nothing about the version: it stops the later
 * waves, and those of its own go on.
 */
export function planSync(situation: Situation): Plan {
  const { consumers, syncs = [], marker, options, unseen, behind, rolled, nowMs } = situation;
  const standings = consumers.map((consumer) => ({
    consumer,
    state: onceThere(stateOf(consumer, marker, rolled, nowMs), behind?.get(consumer.ref.cluster)),
  }));
  const fails = standings.some(({ state }) => state.kind === 'failing');
  const failed = standings.filter(isHalting).map(unprovedOf);
  const unproved = [...standings.filter(({ state }) => state.kind !== 'proved').map(unprovedOf), ...unseen];
  const next = fails ? NONE : nextOf(standings, options.maxParallel);
  const isDue = next.marks.length > 0 || syncs.length > 0;
  const allowed = mayRoll(situation, nowMs);
  const idle = !standings.some(({ state }) => state.kind === 'marked' || state.kind === 'busy');

  return {
    verdict: verdictOf(unproved.length === 0, failed.length > 0, isDue && !allowed && idle),
    actions: allowed
      ? [
          ...syncs.filter(({ cluster }) => behind?.get(cluster) === undefined),
          ...(fails ? [] : standings.flatMap((one) => evictionOf(one, marker))),
        ]
      : [],
    ...(allowed ? next : NONE),
    proved: standings.filter(({ state }) => state.kind === 'proved').map(({ consumer }) => proofOf(consumer, marker)),
    unproved,
    failed,
    standings,
  };
}

/**
 * In which order a version that nobody has yet would be rolled, if all went well: the workloads of each stage roll at the
 * same time, and the next stage follows when they are proved.
 */
export function stagesOf(consumers: readonly Consumer[], maxParallel: number): readonly (readonly ConsumerRef[])[] {
  let standings = consumers.map((consumer): Standing => {
    const { workload, mode, leftAlone } = consumer;
    const why = 'it is not rolled yet';
    const steered = workload !== undefined && mode !== 'off' && leftAlone === undefined;
    return { consumer, state: steered ? { kind: 'due', workload, why } : { kind: 'left-alone', why } };
  });
  const stages: ConsumerRef[][] = [];
  for (;;) {
    const next = new Set(nextOf(standings, maxParallel).marks.map(idOfMark));
    if (next.size === 0) return stages;
    stages.push(standings.flatMap(({ consumer: { ref } }) => (next.has(idOf(ref)) ? [ref] : [])));
    standings = standings.map((one) =>
      next.has(idOf(one.consumer.ref)) ? { ...one, state: { kind: 'proved' as const } } : one,
    );
  }
}

/** What a consumer is told from others by, in all clusters. */
export function idOf({ cluster, kind, namespace, name }: ConsumerRef): string {
  return `${cluster}/${kind}/${namespace}/${name}`;
}

export function idOfMark({ cluster, workload }: Mark): string {
  return idOf({ ...workload, cluster });
}

function verdictOf(allProved: boolean, halted: boolean, held: boolean): Plan['verdict'] {
  if (allProved) return 'converged';
  if (halted) return 'halted';
  return held ? 'held' : 'waiting';
}

/** Whether somebody has to act before what comes after it may begin. */
function isHalting({ state }: Standing): boolean {
  return state.kind === 'failing' || (state.kind === 'marked' && state.cause !== undefined);
}

type Next = Pick<Plan, 'marks' | 'substitutes'>;

const NONE: Next = { marks: [], substitutes: [] };

function nextOf(standings: readonly Standing[], maxParallel: number): Next {
  const steered = standings.filter(({ state }) => state.kind !== 'proved' && state.kind !== 'left-alone');
  const wave = Math.min(...steered.map(({ consumer }) => consumer.wave));
  const due = steered.flatMap(({ consumer, state }) =>
    state.kind === 'due' && consumer.wave === wave
      ? [{ consumer, workload: state.workload, again: state.again === true }]
      : [],
  );
  // Nothing restarts by this mark, so there is nothing to ration.
  const annotated = due.filter(({ consumer }) => consumer.mode === 'annotate');
  const restarted = due.filter(({ consumer }) => consumer.mode === 'restart').sort(canaryFirst);

  const underWay = steered.filter(isRolling).length;
  const capacity = standings.some(isEvidence) ? maxParallel - underWay : 1 - underWay;
  const remounts = annotated.map((one) => markOf(one, 'object'));
  const rolls = restarted.map((one) => markOf(one, 'pod-template'));
  if (capacity <= 0) return { marks: remounts, substitutes: [] };
  return { marks: [...remounts, ...rolls.slice(0, capacity)], substitutes: rolls.slice(capacity) };
}

/** Whether a consumer shows that the version works: its pods started on it and are ready. */
function isEvidence({ consumer, state }: Standing): boolean {
  return (
    state.kind === 'proved' &&
    consumer.workload !== undefined &&
    consumer.mode !== 'annotate' &&
    consumer.pods.length > 0
  );
}

/** Whether its pods are being replaced for this version, as opposed to waiting for somebody to do it. */
function isRolling({ consumer: { mode, workload }, state }: Standing): boolean {
  if (state.kind !== 'marked' || mode !== 'restart' || workload === undefined) return false;
  return workload.rollout.stopped === undefined || asksForEvictions(workload);
}

function evictedBy(workload: Workload): Evict['kind'] | undefined {
  if (asksForEvictions(workload)) return 'evict';
  return workload.kind === 'Rollout' && workload.rollout.stopped === undefined ? 'may-evict' : undefined;
}

/** One that holds its StatefulSet up; or one pod of before, once all that were replaced are proved and none is missing. */
function evictionOf({ consumer, state }: Standing, marker: Marker): readonly Evict[] {
  const { ref, workload, mode, pods } = consumer;
  if (state.kind !== 'marked' || mode !== 'restart' || workload === undefined) return [];
  const stuck = stuckPodOf(consumer, marker);
  if (stuck !== undefined) return [{ kind: 'evict', cluster: ref.cluster, pod: stuck, consumer: ref }];
  const kind = evictedBy(workload);
  if (kind === undefined || !workload.rollout.observed || !isHealthy(consumer)) return [];
  const isNew = (pod: Pod) => has(pod.annotations, marker);
  if (pods.some(({ pod, verdict }) => pod.terminating || (isNew(pod) && verdict.kind !== 'proved'))) return [];
  const old = pods.find(({ pod, verdict }) => !isNew(pod) && verdict.kind === 'unproved');
  return old === undefined ? [] : [{ kind, cluster: ref.cluster, pod: old.pod, consumer: ref }];
}

/**
 * A pod of before that fails. A StatefulSet waits for it to be ready before it replaces any, though its newest template
 * may mend it: somebody has to delete it (Kubernetes, "StatefulSets", Forced rollback). One that was made since the mark
 * and fails again is left to people.
 */
function stuckPodOf({ workload, pods }: Consumer, marker: Marker): Pod | undefined {
  if (workload?.kind !== 'StatefulSet' || workload.markedAtMs === undefined) return undefined;
  const { markedAtMs, rollout } = workload;
  if (!rollout.observed || rollout.stopped !== undefined) return undefined;
  return pods.find(
    ({ pod }) =>
      !(pod.terminating || has(pod.annotations, marker)) &&
      pod.createdAtMs <= markedAtMs &&
      (failureOf(pod) ?? crashOf(pod)) !== undefined,
  )?.pod;
}

type Due = { readonly consumer: Consumer; readonly workload: Workload; readonly again: boolean };

/** The smallest healthy one that replaces its pods by itself: the least is at stake, and an answer comes. */
function canaryFirst(left: Due, right: Due): number {
  return (
    Number(!isHealthy(left.consumer)) - Number(!isHealthy(right.consumer)) ||
    Number(left.workload.rollout.stopped !== undefined) - Number(right.workload.rollout.stopped !== undefined) ||
    left.workload.replicas - right.workload.replicas ||
    compare(left.consumer.ref.cluster, right.consumer.ref.cluster) ||
    compare(left.workload.namespace, right.workload.namespace) ||
    compare(left.workload.name, right.workload.name) ||
    compare(left.workload.kind, right.workload.kind)
  );
}

/** What was broken before tells nothing about the version. */
function isHealthy({ workload, pods }: Consumer): boolean {
  const staying = pods.filter(({ pod }) => !pod.terminating);
  return staying.length >= (workload?.replicas ?? 0) && staying.every(({ pod }) => pod.ready);
}

function compare(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

function markOf({ consumer: { ref }, workload, again }: Due, where: Mark['where']): Mark {
  return { cluster: ref.cluster, workload, where, again };
}

function stateOf(consumer: Consumer, marker: Marker, rolled: ReadonlySet<string> | undefined, nowMs: number): State {
  const { workload, mode, ref, unprovable, leftAlone, source } = consumer;
  const doubt = source.kind === 'fresh' ? doubtOf(consumer) : source.why;
  if (source.kind === 'stale') return { kind: 'left-alone', why: source.why };
  const why = doubt ?? unprovable;
  if (why === undefined) return { kind: 'proved' };
  if (workload === undefined) return { kind: 'left-alone', why: `${why}; ${untouched(ref.kind)}` };
  if (mode === 'off') return { kind: 'left-alone', why: `${why}; rekey.dev/mode is off` };
  if (leftAlone !== undefined) return { kind: 'left-alone', why: `${why}; ${leftAlone}` };
  // Its pods have what can be proved. To roll it again and again would not bring the rest.
  if (doubt === undefined) return { kind: 'left-alone', why };
  if (source.kind === 'awaited') return { kind: 'awaiting', why: source.why };
  if (mode === 'annotate')
    return workload.annotations.get(marker.annotation) === marker.versionId
      ? { kind: 'marked', why }
      : { kind: 'due', workload, why };

  if (workload.templateAnnotations.get(marker.annotation) === marker.versionId) {
    const failure = failureOfNewPods(consumer, workload, marker);
    if (failure !== undefined) {
      const { cause } = failure;
      return failure.isNew
        ? { kind: 'failing', why: failure.why, cause }
        : { kind: 'left-alone', why: `${failure.why}; so do its pods from before, and the others go on`, cause };
    }
    const { stopped } = workload.rollout;
    if (asksForEvictions(workload)) return { kind: 'marked', why: `${why}; its old pods are evicted one by one` };
    const stuck = stuckPodOf(consumer, marker);
    if (stuck !== undefined)
      return { kind: 'marked', why: `${why}; pod ${stuck.name} is evicted, for its StatefulSet would wait for it` };
    if (stopped !== undefined)
      return { kind: 'marked', why: `${why}; its old pods stay because ${stopped}`, cause: 'stopped' };
    if (!startedOnAnother(consumer, workload, marker, nowMs)) return { kind: 'marked', why };
    return has(workload.templateAnnotations, againOf(marker))
      ? { kind: 'left-alone', why: `${why}; it was rolled twice for this version` }
      : { kind: 'due', workload, why: `${why}; it is rolled once more`, again: true };
  }
  if (rolled?.has(idOf(ref)) && !has(workload.annotations, rolledOf(marker)) && hasStalePods(consumer))
    return {
      kind: 'busy',
      why: `${why}; it was rolled, and nothing of that is to be seen: another hand replaced it whole`,
    };
  if (isReverted(consumer, workload, marker))
    return isUnderWay(workload)
      ? { kind: 'busy', why: `${why}; another hand took the marker from its template, and rolls it` }
      : {
          kind: 'left-alone',
          why: `${why}; it was rolled, and another hand took the marker from its template: have it leave annotations of rekey.dev alone, then restart the workload`,
          cause: 'reverted',
        };
  if (isRolledBySomebodyElse(consumer, workload, marker))
    return { kind: 'busy', why: `${why}; another rollout of it is under way${stuckIn(workload)}` };
  // A workload that is just being deployed, or loses its last old pod, gets the version without Rekey.
  if (!hasStalePods(consumer)) return { kind: 'busy', why };
  return { kind: 'due', workload, why: `${why}; it is not rolled yet` };
}

/** Why nobody restarts pods of which no workload is known to use the secret. */
function untouched(kind: string): string {
  return WORKLOAD_KINDS.some((known) => known === kind)
    ? `the template of its ${kind} shows no use of the secret, so Rekey does not roll that`
    : `Rekey does not restart a ${kind}`;
}

/** Pods that start before their Region has the version would mount the one before it. */
function onceThere(state: State, why: string | undefined): State {
  return state.kind === 'due' && why !== undefined ? { kind: 'busy', why: `${state.why}; ${why}` } : state;
}

/** What time or a roll may cure; undefined when all that is recorded is right. */
function doubtOf({ workload, pods }: Consumer): string | undefined {
  const doubts = pods.flatMap(({ verdict }) =>
    verdict.kind === 'proved' || verdict.kind === 'unprovable' ? [] : [verdict.why],
  );
  const [first] = doubts;
  if (first !== undefined) return doubts.length === 1 ? first : `${first}; and ${doubts.length - 1} more of its pods`;
  // Pods that are missing (a full quota, a template nobody can schedule) would prove nothing by their absence.
  const staying = pods.filter(({ pod }) => !pod.terminating).length;
  const wanted = workload === undefined || workload.deleting ? 0 : workload.replicas;
  return staying < wanted ? `${wanted - staying} of its ${wanted} pods are not there` : undefined;
}

/** A pod this young may be missing from records that were read a moment before. */
const RECORDED_WITHIN_MS = 2 * 60_000;

/**
 * Whether its rollout is over, and yet a pod that was made for this version came up with another one: Secrets Manager
 * and its replicas are eventually consistent, and a first mount may be interrupted. Only a new pod cures that.
 */
function startedOnAnother({ pods }: Consumer, workload: Workload, marker: Marker, nowMs: number): boolean {
  const staying = pods.filter(({ pod }) => !pod.terminating);
  const mayBeOld = ({ pod, verdict }: JudgedPod) =>
    verdict.kind === 'unproved' && verdict.unrecorded === true && nowMs - pod.createdAtMs < RECORDED_WITHIN_MS;
  return (
    !isUnderWay(workload) &&
    staying.every(({ pod }) => has(pod.annotations, marker)) &&
    staying.some((one) => one.verdict.kind === 'unproved' && one.pod.ready && !mayBeOld(one))
  );
}

/** Whether it was rolled to this version, and its template is not marked for it any more. */
function isReverted(consumer: Consumer, { annotations, templateAnnotations }: Workload, marker: Marker): boolean {
  const wasRolled =
    has(annotations, rolledOf(marker)) ||
    (!templateAnnotations.has(marker.annotation) && consumer.pods.some(({ pod }) => has(pod.annotations, marker)));
  return wasRolled && hasStalePods(consumer);
}

/** Whether its pods are being replaced, for whatever reason. */
function isUnderWay({ rollout, replicas }: Workload): boolean {
  const { observed, stopped, updated, outdated } = rollout;
  return !observed || (stopped === undefined && (updated < replicas || outdated > 0));
}

/** A rollout that its controller has given up stays under way until somebody acts. */
function stuckIn({ rollout: { observed, failure } }: Workload): string {
  return observed && failure !== undefined ? `, and its controller reports ${failure}: mend or undo that first` : '';
}

/** Pods that only a restart brings to the version. */
function hasStalePods({ pods }: Consumer): boolean {
  return pods.some(({ pod, verdict }) => verdict.kind === 'unproved' && !pod.terminating);
}

/**
 * New pods are those made from the marked template. What is wrong with them is new unless pods from before it are seen
 * to fail in the same way.
 */
function failureOfNewPods(
  { pods }: Consumer,
  { rollout }: Workload,
  marker: Marker,
): { readonly why: string; readonly isNew: boolean; readonly cause: Cause } | undefined {
  const seen = pods.map(({ pod }) => ({
    pod,
    isNew: pod.annotations.get(marker.annotation) === marker.versionId,
    failure: failureOf(pod) ?? crashOf(pod),
  }));
  const before = seen.filter(({ isNew }) => !isNew);
  const isKnown = (failure: Failure) =>
    before.some(({ failure: old }) => old?.way === failure.way && old.container === failure.container);
  const failing = seen.flatMap(({ pod, isNew, failure }) => (isNew && failure !== undefined ? [{ pod, failure }] : []));
  const shown = failing.find(({ failure }) => !isKnown(failure)) ?? failing[0];
  if (shown !== undefined)
    return {
      why: `pod ${shown.pod.name} ${shown.failure.why}`,
      isNew: !isKnown(shown.failure),
      cause: shown.failure.way,
    };
  // Until the controller has seen the newest template, its conditions are about an older one.
  if (!rollout.observed || rollout.failure === undefined) return undefined;
  const staying = before.filter(({ pod }) => !pod.terminating);
  const wasBroken = staying.length > 0 && staying.every(({ pod }) => !pod.ready);
  return {
    why: `its controller reports ${rollout.failure}`,
    isNew: !wasBroken,
    cause: rollout.failure === 'ProgressDeadlineExceeded' ? 'progress-deadline' : 'pods-refused',
  };
}

/**
 * A rollout that is not for an earlier version of this secret: that one may, and often must, be overtaken. During
 * ours, some live pod carries another marker than the template does.
 */
function isRolledBySomebodyElse({ pods }: Consumer, workload: Workload, marker: Marker): boolean {
  const template = workload.templateAnnotations.get(marker.annotation);
  return isUnderWay(workload) && pods.every(({ pod }) => pod.annotations.get(marker.annotation) === template);
}

function unprovedOf({ consumer: { ref }, state }: Standing): Unproved {
  if (state.kind === 'proved') return { ...ref, why: '' };
  return { ...ref, why: state.why, ...('cause' in state && state.cause && { cause: state.cause }) };
}

function proofOf({ ref, workload, mode, pods }: Consumer, marker: Marker): ConsumerProof {
  const rolledAtMs = workload !== undefined && isMarked(workload, marker) ? workload.markedAtMs : undefined;
  return {
    ...ref,
    mode,
    ...(rolledAtMs === undefined ? {} : { rolledAt: new Date(rolledAtMs).toISOString() }),
    pods: pods.flatMap(({ verdict }) => (verdict.kind === 'proved' ? [verdict.proof] : [])),
  };
}

/** Whether Rekey has marked the workload for this version, in either mode. */
export function isMarked({ templateAnnotations, annotations }: Workload, marker: Marker): boolean {
  return has(templateAnnotations, marker) || has(annotations, marker);
}

/** Whether the secret's tags let a workload be rolled now. */
function mayRoll({ options: { holdUntilMs, window }, rollByMs }: Situation, nowMs: number): boolean {
  if (holdUntilMs !== undefined && nowMs < holdUntilMs) return false;
  return window === undefined || isOpen(window, new Date(nowMs)) || (rollByMs !== undefined && nowMs >= rollByMs);
}

const DAY_MS = 24 * 60 * 60_000;

/** When it opens next. Epoch milliseconds. */
export function opensAt({ days, fromMinute }: Window, nowMs: number): number {
  const today = Math.floor(nowMs / DAY_MS) * DAY_MS;
  for (let day = today; ; day += DAY_MS) {
    const opensMs = day + fromMinute * 60_000;
    if (opensMs > nowMs && days.has(new Date(day).getUTCDay())) return opensMs;
  }
}

function isOpen({ days, fromMinute, toMinute }: Window, now: Date): boolean {
  const minute = now.getUTCHours() * 60 + now.getUTCMinutes();
  const today = now.getUTCDay();
  if (fromMinute < toMinute) return days.has(today) && minute >= fromMinute && minute < toMinute;
  // It crosses midnight, so that its end belongs to the day on which it opened.
  return (days.has(today) && minute >= fromMinute) || (days.has((today + 6) % 7) && minute < toMinute);
}
