import type { Cluster, Marker } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import { atMost, type Deadline } from '../operations/deadline.ts';
import { asRekeyError, RekeyError } from '../operations/errors.ts';
import {
  type Announcer,
  actionNeeded,
  type ClusterProof,
  HALTED_STILL_WORKS,
  type RekeyEvent,
  type Unproved,
} from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import {
  CURRENT,
  PENDING,
  PREVIOUS,
  type SecretDescription,
  type SecretStore,
  versionWithStage,
} from '../secrets/port.ts';
import { parseTags, type SecretOptions } from '../secrets/tags.ts';
import { carryOut, markAll, type Refusals } from './carry-out.ts';
import type { Consumers } from './consumers.ts';
import { haltedBy, stillRefused, withRefusal } from './halt.ts';
import { namespacesUsing } from './manifests.ts';
import { has, markerOf, toldOf } from './marker.ts';
import { moveBackOf, movedByHand } from './move-back.ts';
import { NOTHING_DONE, notesOf, writeNotes } from './notes.ts';
import { LOOK_MS, observe, type Snapshot } from './observe.ts';
import { idOf, isMarked, opensAt, type Plan, planSync } from './plan.ts';
import { describeLive, SIBLING_WAIT_MS, siblingsAmong } from './siblings.ts';
import { type SecretSituation, situationOf } from './situation.ts';

/** "Look at this secret": all that one pass hands to the next. */
export interface Look {
  readonly secretArn: string;
  readonly secretName: string;
  readonly versionId: string;
  /** When AWSCURRENT moved, as far as is known. Epoch milliseconds. */
  readonly sinceMs: number;
  /** When somebody first looked: a late event gets its whole time. Epoch milliseconds. */
  readonly lookingSinceMs: number;
  /** What people already heard about this version: types of events, or codes of `Action Needed`. */
  readonly told: readonly string[];
  /** Consumers that these passes have marked; absent: none. */
  readonly rolled?: readonly string[];
  /** Consumers that no pass was let touch; absent: none. */
  readonly refused?: readonly string[];
  /**
   * Set for a look that the sweep asked for: how many passes are left to it, {@link SWEEP_SECONDS} apart. It tells
   * nobody that it waits, for the event's own look did. Once it marks something it is a look like any other.
   */
  readonly passesLeft?: number;
}

/** From one sweep to the next, and the longest time that SQS delays a message. */
export const SWEEP_SECONDS = 900;

/**
 * `superseded`: another version is current, and its own event follows. `gone`: the secret is deleted. `left-to-sweep`:
 * the passes that a sweep asked for are over, and the next sweep has asked for its own. `unused`: no workload uses the
 * secret, and nothing waits to hear so.
 */
export type Outcome =
  | {
      readonly kind: 'converged' | 'unused' | 'superseded' | 'gone' | 'held' | 'refused' | 'given-up' | 'left-to-sweep';
    }
  | { readonly kind: 'look-again'; readonly look: Look; readonly afterSeconds: number };

export interface ConvergeDeps {
  readonly secrets: Pick<SecretStore, 'describe'>;
  readonly clusters: readonly Cluster[];
  readonly announcer: Announcer;
  /** ARNs of Rekey's: no other moves AWSCURRENT back. */
  readonly rotationFunctions: readonly string[];
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/**
 * One pass over one secret: observe, plan, act. It may run twice, late, or beside another one: every pass starts from
 * what is to be seen, and a marker that is there already is not written again.
 * @throws RekeyError of SecretStore.describe but SECRET_NOT_FOUND
 */
export async function converge(look: Look, deps: ConvergeDeps, deadline: Deadline): Promise<Outcome> {
  const secret = await describeLive(look.secretArn, deps.secrets);
  if (secret === undefined) return { kind: 'gone' };
  if (versionWithStage(secret, CURRENT) !== look.versionId)
    return isStillToCome(look, secret, deps.clock.now())
      ? { kind: 'look-again', look, afterSeconds: SETTLE_AGAIN_SECONDS }
      : { kind: 'superseded' };

  const options = optionsOf(secret);
  if (options instanceof RekeyError) return refuse(look, options, deps);

  const marker = markerOf(secret, look.versionId);
  const observation = await observe(
    deps.clusters,
    (outline) => namespacesUsing(secret, outline),
    atMost(Math.min(LOOK_MS, deadline.remainingMs() / 2), deadline, deps.clock),
    deps.log,
  );
  const situation = situationOf({
    secret,
    options,
    marker,
    ...observation,
    rolled: new Set(look.rolled),
    nowMs: deps.clock.now(),
    movedAtMs: look.sinceMs,
  });
  for (const { where, why } of situation.faults) deps.log.warn('left out', { where, why });
  const plan = planSync(situation);
  deps.log.info('looked', {
    verdict: plan.verdict,
    proved: plan.proved.length,
    unproved: plan.unproved,
    marks: plan.marks.map(
      ({ cluster, workload: { kind, namespace, name } }) => `${cluster}: ${kind} ${namespace}/${name}`,
    ),
  });

  const pass: Pass = {
    look,
    secret,
    options,
    snapshots: observation.snapshots,
    situation,
    plan,
    ageMs: deps.clock.now() - look.lookingSinceMs,
    told: new Set(look.told),
  };
  switch (plan.verdict) {
    case 'converged':
      return await announceConverged(pass, deps, deadline);
    case 'held':
      return await hold(pass, deps);
    case 'halted':
    case 'waiting':
      return await roll(pass, deps, deadline);
  }
}

/** What one pass saw, and what it means to do. */
interface Pass {
  readonly look: Look;
  readonly secret: SecretDescription;
  readonly options: SecretOptions;
  readonly snapshots: readonly Snapshot[];
  readonly situation: SecretSituation;
  readonly plan: Plan;
  /** Since somebody first looked. */
  readonly ageMs: number;
  /** What people have heard, before this pass and by it: as {@link Look.told}. */
  readonly told: Set<string>;
}

/** @returns whether people have heard of it, now or before */
async function tell({ told }: Pass, event: RekeyEvent, { announcer }: ConvergeDeps): Promise<boolean> {
  const what = nameOf(event);
  if (!told.has(what) && (await announcer.announce(event))) told.add(what);
  return told.has(what);
}

/** What an outcome rests on (retire, and whoever is to act) must be heard, however late; the rest is best effort. */
function untold({ told, ageMs }: Pass, look: Look): Outcome {
  return {
    kind: 'look-again',
    look: { ...look, told: [...told] },
    afterSeconds: delaySeconds(ageMs, Number.POSITIVE_INFINITY),
  };
}

const namesOf = ({ secretArn, secretName, versionId }: Look) => ({ secretArn, secretName, versionId });

const UNTOUCHED_WORKS = 'No workload was touched by this: all of them keep what they have mounted.';

async function announceConverged(pass: Pass, deps: ConvergeDeps, deadline: Deadline): Promise<Outcome> {
  const { look, secret, options, situation, plan } = pass;
  const { marker, consumers, pinned } = situation;
  // AWSCURRENT moves in every secret of the account; of those that no cluster uses, only such a tag wants to hear.
  const used = consumers.length > 0 || pinned.length > 0;
  if (!used && options.retire !== 'converged') return { kind: 'unused' };
  if (look.passesLeft !== undefined && isTold(situation, marker)) return { kind: 'converged' };
  const previousVersionId = versionWithStage(secret, PREVIOUS);
  const event: RekeyEvent = {
    type: 'Secret Converged',
    detail: {
      ...namesOf(look),
      ...(previousVersionId !== undefined && { previousVersionId }),
      since: iso(look.sinceMs),
      consumers: plan.proved,
      clusters: clustersIn(plan, deps.clusters),
      pinned,
    },
  };
  if (!(await tell(pass, event, deps))) return untold(pass, look);
  // At once: what was seen of the workload is the precondition of writing to it.
  const recorded = await recordTold(situation, marker, deps, deadline);
  await writeNotes(notesOf(plan, situation, NOTHING_DONE, { secretName: look.secretName, marker }), deps, deadline);
  return recorded === 'moved' ? untold(pass, look) : { kind: 'converged' };
}

async function hold(pass: Pass, deps: ConvergeDeps): Promise<Outcome> {
  const late = windowTooLate(pass, deps.clock.now());
  if (late !== undefined) await tell(pass, actionNeeded(pass.look, late, UNTOUCHED_WORKS), deps);
  return { kind: 'held' };
}

async function roll(pass: Pass, deps: ConvergeDeps, deadline: Deadline): Promise<Outcome> {
  const { look, secret, options, snapshots, situation, plan, ageMs, told } = pass;
  const { marker } = situation;
  const reverted = plan.unproved.filter(({ cause }) => cause === 'reverted');
  if (reverted.length > 0) await tell(pass, actionNeeded(look, markerReverted(reverted), UNTOUCHED_WORKS), deps);

  const { done, unhindered, refused } = await carryOut(plan.actions, deps, deadline);
  const mayWait = Math.abs(deps.clock.now() - look.sinceMs) < SIBLING_WAIT_MS;
  const siblings = siblingsAmong({ secret, snapshots }, deps.secrets, mayWait);
  const { marked, unmarked } = await markAll(plan, marker, siblings, deps, deadline);
  const refusals: Refusals = new Map([
    ...refused.map(({ consumer, refusal }) => [idOf(consumer), refusal] as const),
    ...unmarked,
  ]);
  const acted = done + marked.length > 0;
  if (acted) {
    const steered = situation.consumers.filter(
      ({ workload, mode, leftAlone }) => workload !== undefined && mode !== 'off' && leftAlone === undefined,
    );
    const consumers = steered.map(({ ref }) => ref);
    await tell(pass, { type: 'Sync Started', detail: { ...namesOf(look), consumers } }, deps);
  }
  const notes = notesOf(plan, situation, { marked, refusals }, { secretName: look.secretName, marker });
  await writeNotes(notes, deps, deadline);

  const { refused: refusedBefore = [], ...looked } = look;
  const refusedStill = stillRefused(plan, refusals, refusedBefore, [...marked, ...unhindered.map(idOf)]);
  const rolled = new Set([...(look.rolled ?? []), ...marked]);
  const next = (): Look => ({
    ...looked,
    told: [...told],
    ...(rolled.size > 0 && { rolled: [...rolled] }),
    ...(refusedStill.length > 0 && { refused: refusedStill }),
  });
  if (look.passesLeft !== undefined) return afterSweep(next(), look.passesLeft, acted, deps.clock.now());

  await announceHalts(pass, haltedBy(plan, refusals, refusedBefore), refusedStill, deps);
  if (ageMs < options.convergeWithinMs)
    return { kind: 'look-again', look: next(), afterSeconds: delaySeconds(ageMs, options.convergeWithinMs) };
  const event: RekeyEvent = {
    type: 'Secret Not Converged',
    detail: {
      ...namesOf(look),
      since: iso(look.sinceMs),
      unproved: plan.unproved.map((one) => withRefusal(one, refusals)),
      clusters: clustersIn(plan, deps.clusters),
      action:
        'Rekey leaves the old credential alone; with single-user the rotation has ended it. Put right what each entry names (or restart it); Rekey looks again by itself every 15 minutes.',
    },
  };
  return (await tell(pass, event, deps)) ? { kind: 'given-up' } : untold(pass, next());
}

/**
 * Tells of each consumer and cause once, and asks to move back where the secret's tag wants that.
 * @param failed for whom the roll is halted
 * @param refused consumers ({@link idOf}) that no pass was let touch so far
 */
async function announceHalts(
  pass: Pass,
  failed: readonly Unproved[],
  refused: readonly string[],
  deps: ConvergeDeps,
): Promise<void> {
  const { look, secret, options, situation, plan, told } = pass;
  const isConverged = isTold(situation, situation.marker);
  const moving = moveBackOf(plan, secret, options, isConverged, deps.rotationFunctions, deps.clock.now());
  const moveBack = moving?.kind === 'asked' ? moving.moveBack : undefined;
  const halts = [
    ...failed.map((one) => `${HALTED}: ${idOf(one)} ${one.cause}`),
    ...(moveBack === undefined ? [] : [HALTED_TO_MOVE_BACK]),
  ];
  const unheard = halts.filter((what) => !told.has(what));
  // Who goes on and is halted again is told again.
  const lasts = [...halts, ...refused.map((id) => `${HALTED}: ${id} `)];
  for (const what of told) if (what.startsWith(HALTED) && !lasts.some((one) => what.startsWith(one))) told.delete(what);
  if (unheard.length > 0) {
    const asks = unheard.includes(HALTED_TO_MOVE_BACK);
    const detail = { ...namesOf(look), failed, ...(asks && moveBack && { moveBack }) };
    if (await deps.announcer.announce({ type: HALTED, detail })) for (const what of unheard) told.add(what);
  }
  if (moving?.kind === 'by-hand') {
    const error = movedByHand(secret, look.versionId, moving.previousVersionId);
    await tell(pass, actionNeeded(look, error, HALTED_STILL_WORKS), deps);
  }
}

/** Whether it is a cluster that did not answer. Something in one may be of a kind of that name, as CloudNativePG's is. */
const isCluster = ({ kind, namespace }: Unproved) => kind === 'Cluster' && namespace === '';

/** How far each cluster has come. */
function clustersIn({ proved, unproved }: Plan, clusters: readonly Pick<Cluster, 'name' | 'region'>[]): ClusterProof[] {
  return clusters.map(({ name, region }) => {
    const theirs = proved.filter(({ cluster }) => cluster === name);
    const open = unproved.filter(({ cluster }) => cluster === name);
    return {
      cluster: name,
      region,
      seen: !open.some(isCluster),
      proved: theirs.length,
      pods: theirs.reduce((sum, { pods }) => sum + pods.length, 0),
      unproved: open.length,
    };
  });
}

const nameOf = (event: RekeyEvent) => (event.type === 'Action Needed' ? event.detail.code : event.type);

/** People hear of each consumer and cause once; so they are what {@link Look.told} holds. */
const HALTED = 'Sync Halted';
/** Told apart from a halt of which people have heard, and that asked for nothing. */
const HALTED_TO_MOVE_BACK = `${HALTED}, to move back`;

/** Whether some workload remembers that people have heard of this convergence. */
export function isTold({ consumers }: Pick<Consumers, 'consumers'>, marker: Marker): boolean {
  return consumers.some(({ workload }) => workload !== undefined && has(workload.annotations, toldOf(marker)));
}

/**
 * Best effort: without it, a sweep has it told once more. Only a workload that Rekey has marked is written to.
 * @returns `moved` when somebody else changed it at the same time: the next pass writes it
 */
async function recordTold(
  { consumers }: Pick<Consumers, 'consumers'>,
  marker: Marker,
  deps: ConvergeDeps,
  deadline: Deadline,
) {
  const one = consumers.find(({ workload }) => workload !== undefined && isMarked(workload, marker));
  if (one?.workload === undefined || isTold({ consumers }, marker)) return undefined;
  try {
    const cluster = deps.clusters.find(({ name }) => name === one.ref.cluster);
    return await cluster?.mark(one.workload, { onTemplate: [], onObject: [toldOf(marker)] }, deadline);
  } catch (thrown) {
    deps.log.warn('could not record that people have heard', { ...one.ref, error: thrown });
    return undefined;
  }
}

/** Told as soon as it is known, so that there is time to do something about it. */
function windowTooLate({ secret, options, situation }: Pass, nowMs: number): RekeyError | undefined {
  const { window, holdUntilMs = 0 } = options;
  const { rollByMs } = situation;
  // A hold keeps the next rotation back as well, and rolls nothing outside of the window either.
  if (window === undefined || rollByMs === undefined || holdUntilMs > nowMs) return undefined;
  const opensMs = opensAt(window, nowMs);
  if (opensMs < rollByMs) return undefined;
  return new RekeyError(
    'WINDOW_TOO_LATE',
    `the window opens at ${iso(opensMs)}, and the next rotation, which may begin at ${iso(secret.nextRotationMs ?? 0)}, ends the old credential: workloads are rolled outside of it from ${iso(rollByMs)} on`,
  );
}

function markerReverted(reverted: readonly Unproved[]): RekeyError {
  const [{ cluster, kind, namespace, name }] = reverted as [Unproved];
  const others = reverted.length > 1 ? ` and of ${reverted.length - 1} more` : '';
  return new RekeyError(
    'MARKER_REVERTED',
    `another hand took the marker from the template of ${kind} ${namespace}/${name} in ${cluster}${others} before its pods were replaced`,
  );
}

const iso = (epochMs: number) => new Date(epochMs).toISOString();

/**
 * A sweep's look that waits would be one more chain of passes at every sweep. It comes back a few times only, so that a
 * pod which somebody puts right between two sweeps is announced; one that marks has work of its own to follow.
 */
function afterSweep({ passesLeft: _over, ...look }: Look, passesLeft: number, marked: boolean, nowMs: number): Outcome {
  if (marked)
    return {
      kind: 'look-again',
      look: { ...look, lookingSinceMs: nowMs },
      afterSeconds: delaySeconds(0, Number.POSITIVE_INFINITY),
    };
  if (passesLeft <= 1) return { kind: 'left-to-sweep' };
  return { kind: 'look-again', look: { ...look, passesLeft: passesLeft - 1 }, afterSeconds: SWEEP_SECONDS };
}

/** How long DescribeSecret may be behind the event: Secrets Manager is eventually consistent and gives no bound. */
const SETTLES_WITHIN_MS = 120_000;
const SETTLE_AGAIN_SECONDS = 5;

/** Whether a description from before the label moved would look like this: then "another version is current" is old. */
function isStillToCome({ versionId, sinceMs }: Look, { stages }: SecretDescription, nowMs: number): boolean {
  // The clock that stamped the event may be ahead of this one.
  if (Math.abs(nowMs - sinceMs) >= SETTLES_WITHIN_MS) return false;
  return stages.get(versionId)?.includes(PENDING) ?? true;
}

function optionsOf({ tags }: SecretDescription): SecretOptions | RekeyError {
  try {
    return parseTags(tags);
  } catch (thrown) {
    return asRekeyError(thrown);
  }
}

/** A tag that is not understood may have meant "hold": nothing is rolled until it is corrected. */
async function refuse(look: Look, error: RekeyError, deps: ConvergeDeps): Promise<Outcome> {
  if (!look.told.includes(error.code)) await deps.announcer.announce(actionNeeded(look, error, UNTOUCHED_WORKS));
  return { kind: 'refused' };
}

/** Often at first, when a canary takes seconds; then less and less, but not past the end of the time allowed. */
export function delaySeconds(ageMs: number, withinMs: number): number {
  const grown = Math.min(60, Math.max(5, Math.floor(ageMs / 10_000)));
  return Math.max(1, Math.min(grown, Math.ceil((withinMs - ageMs) / 1_000)));
}
