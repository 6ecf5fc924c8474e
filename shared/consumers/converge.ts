import type { Cluster, Marker } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import { atMost, type Deadline } from '../operations/deadline.ts';
import { asRekeyError, RekeyError } from '../operations/errors.ts';
import type { Announcer, ClusterProof, ConsumerRef, RekeyEvent, Unproved } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import { CURRENT, PENDING, type SecretDescription, type SecretStore, versionWithStage } from '../secrets/port.ts';
import { parseTags, type SecretOptions } from '../secrets/tags.ts';
import { carryOut } from './carry-out.ts';
import { type Consumers, consumersOf, namespacesUsing, type Snapshot } from './consumers.ts';
import { markerOf } from './marker.ts';
import { observe } from './observe.ts';
import { type Mark, type Plan, planSync } from './plan.ts';

/** "Look at this secret": all that one pass hands to the next. */
export interface Look {
  readonly secretArn: string;
  readonly secretName: string;
  readonly versionId: string;
  /** When AWSCURRENT moved, as far as is known. Epoch milliseconds. */
  readonly sinceMs: number;
  /** When somebody first looked: a late event gets its whole time. Epoch milliseconds. */
  readonly lookingSinceMs: number;
  /** What people already heard about this version. */
  readonly told: readonly RekeyEvent['type'][];
  /**
   * Set for a look that the sweep asked for: how many passes are left to it, {@link SWEEP_SECONDS} apart. It tells
   * nobody that it waits, for the event's own look did. Once it marks something it is a look like any other.
   */
  readonly passesLeft?: number;
}

/** From one sweep to the next, and the longest time that SQS delays a message. */
export const SWEEP_SECONDS = 900;

/** The longest that one pass waits for a cluster before it goes on with the others. */
const LOOK_MS = 30_000;

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
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/**
 * One pass over one secret: observe, plan, act. It may run twice, late, or beside another one: every pass starts from
 * what is to be seen, and a marker that is there already is not written again.
 * @throws RekeyError of SecretStore.describe but SECRET_NOT_FOUND
 */
export async function converge(look: Look, deps: ConvergeDeps, deadline: Deadline): Promise<Outcome> {
  const secret = await describe(look.secretArn, deps.secrets);
  if (secret === undefined) return { kind: 'gone' };
  if (versionWithStage(secret, CURRENT) !== look.versionId)
    return isStillToCome(look, secret, deps.clock.now())
      ? { kind: 'look-again', look, afterSeconds: SETTLE_AGAIN_SECONDS }
      : { kind: 'superseded' };

  const options = optionsOf(secret);
  if (options instanceof RekeyError) return refuse(look, options, deps);

  const marker = markerOf(secret, look.versionId);
  const { snapshots, unseen } = await observe(
    deps.clusters,
    (outline) => namespacesUsing(secret, outline),
    atMost(Math.min(LOOK_MS, deadline.remainingMs() / 2), deadline, deps.clock),
    deps.log,
  );
  const found = allConsumers(secret, marker, snapshots);
  for (const { where, why } of found.faults) deps.log.warn('left out', { where, why });
  const plan = planSync({
    consumers: found.consumers,
    syncs: found.syncs,
    marker,
    options,
    unseen,
    behind: regionsBehind(secret, deps.clusters),
    nowMs: deps.clock.now(),
  });
  deps.log.info('looked', {
    verdict: plan.verdict,
    proved: plan.proved.length,
    unproved: plan.unproved,
    marks: plan.marks.map(
      ({ cluster, workload: { kind, namespace, name } }) => `${cluster}: ${kind} ${namespace}/${name}`,
    ),
  });
  return act(look, plan, { found, marker, options }, deps, deadline);
}

/** Clusters whose Region has a replica that does not have the current version yet. */
export function regionsBehind(
  { replicas }: SecretDescription,
  clusters: readonly Pick<Cluster, 'name' | 'region'>[],
): ReadonlyMap<string, string> {
  return new Map(
    clusters.flatMap(({ name, region }): (readonly [string, string])[] => {
      const status = replicas?.get(region);
      if (status === undefined || status === 'InSync') return [];
      const action = status === 'Failed' ? ': look at its status in Secrets Manager' : '';
      return [[name, `the replica in ${region} is ${status}${action}`]];
    }),
  );
}

/** How far each cluster has come. */
function clustersIn({ proved, unproved }: Plan, clusters: readonly Pick<Cluster, 'name' | 'region'>[]): ClusterProof[] {
  return clusters.map(({ name, region }) => {
    const theirs = proved.filter(({ cluster }) => cluster === name);
    const open = unproved.filter(({ cluster }) => cluster === name);
    return {
      cluster: name,
      region,
      seen: open.every(({ kind }) => kind !== 'Cluster'),
      proved: theirs.length,
      pods: theirs.reduce((sum, { pods }) => sum + pods.length, 0),
      unproved: open.length,
    };
  });
}

/** The consumers of all clusters. */
export function allConsumers(secret: SecretDescription, marker: Marker, snapshots: readonly Snapshot[]): Consumers {
  const each = snapshots.map((snapshot) => consumersOf(secret, marker, snapshot));
  return {
    consumers: each.flatMap(({ consumers }) => consumers),
    syncs: each.flatMap(({ syncs }) => syncs),
    pinned: each.flatMap(({ pinned }) => pinned),
    faults: each.flatMap(({ faults }) => faults),
  };
}

interface Findings {
  readonly found: Consumers;
  readonly marker: Marker;
  readonly options: SecretOptions;
}

async function act(
  look: Look,
  plan: Plan,
  { found, marker, options }: Findings,
  deps: ConvergeDeps,
  deadline: Deadline,
): Promise<Outcome> {
  const told = new Set(look.told);
  /** @returns whether people have heard of it, now or before */
  const tell = async (event: RekeyEvent): Promise<boolean> => {
    if (!told.has(event.type) && (await deps.announcer.announce(event))) told.add(event.type);
    return told.has(event.type);
  };
  const ofSecret = { secretArn: look.secretArn, secretName: look.secretName, versionId: look.versionId };
  const since = new Date(look.sinceMs).toISOString();

  const ageMs = deps.clock.now() - look.lookingSinceMs;
  // What an outcome rests on (retire, and whoever is to act) must be heard, however late; the rest is best effort.
  const untold = (): Outcome => ({
    kind: 'look-again',
    look: { ...look, told: [...told] },
    afterSeconds: delaySeconds(ageMs, Number.POSITIVE_INFINITY),
  });

  if (plan.verdict === 'converged') {
    // AWSCURRENT moves in every secret of the account; of those that no cluster uses, only such a tag wants to hear.
    const used = found.consumers.length > 0 || found.pinned.length > 0;
    if (!used && options.retire !== 'converged') return { kind: 'unused' };
    const heard = await tell({
      type: 'Secret Converged',
      detail: {
        ...ofSecret,
        since,
        consumers: plan.proved,
        clusters: clustersIn(plan, deps.clusters),
        pinned: found.pinned,
      },
    });
    return heard ? { kind: 'converged' } : untold();
  }
  if (plan.verdict === 'held') return { kind: 'held' };
  const { done, refused } = await carryOut(plan.actions, deps, deadline);
  const { marked, refusals } = await markAll(plan, marker, deps, deadline);
  const acted = done + marked > 0;
  if (acted) {
    const consumers = found.consumers.filter(
      ({ workload, mode, leftAlone }) => workload !== undefined && mode !== 'off' && leftAlone === undefined,
    );
    await tell({ type: 'Sync Started', detail: { ...ofSecret, consumers: consumers.map(({ ref }) => ref) } });
  }
  if (look.passesLeft !== undefined) return afterSweep(look, look.passesLeft, acted, [...told], deps.clock.now());
  if (plan.verdict === 'halted') await tell({ type: 'Sync Halted', detail: { ...ofSecret, failed: plan.failed } });

  if (ageMs >= options.convergeWithinMs) {
    const heard = await tell({
      type: 'Secret Not Converged',
      detail: {
        ...ofSecret,
        since,
        unproved: plan.unproved.map((one) =>
          withRefusal(
            one,
            new Map([...refused.map(({ consumer, why }) => [idOf(consumer), why] as const), ...refusals]),
          ),
        ),
        clusters: clustersIn(plan, deps.clusters),
        action:
          'The old credential is left alive. Put right what each entry names (or restart it); Rekey looks again by itself every few minutes.',
      },
    });
    return heard ? { kind: 'given-up' } : untold();
  }
  return {
    kind: 'look-again',
    look: { ...look, told: [...told] },
    afterSeconds: delaySeconds(ageMs, options.convergeWithinMs),
  };
}

/**
 * A sweep's look that waits would be one more chain of passes at every sweep. It comes back a few times only, so that a
 * pod which somebody puts right between two sweeps is announced; one that marks has work of its own to follow.
 */
function afterSweep(
  { passesLeft: _over, ...look }: Look,
  passesLeft: number,
  marked: boolean,
  told: Look['told'],
  nowMs: number,
): Outcome {
  if (marked)
    return {
      kind: 'look-again',
      look: { ...look, lookingSinceMs: nowMs, told },
      afterSeconds: delaySeconds(0, Number.POSITIVE_INFINITY),
    };
  if (passesLeft <= 1) return { kind: 'left-to-sweep' };
  return { kind: 'look-again', look: { ...look, told, passesLeft: passesLeft - 1 }, afterSeconds: SWEEP_SECONDS };
}

/** Consumer → what the cluster said when it refused the mark. */
type Refusals = ReadonlyMap<string, string>;

/**
 * A workload that the cluster refuses to have marked stays unproved and comes again, but gives its place to the next
 * one that is due. Whatever else goes wrong keeps the place: the mark may be there, by us or by a pass beside this one.
 */
async function markAll(
  { marks, substitutes }: Plan,
  marker: Marker,
  deps: ConvergeDeps,
  deadline: Deadline,
): Promise<{ readonly marked: number; readonly refusals: Refusals }> {
  const refusals = new Map<string, string>();
  const waiting = [...substitutes];
  const queue = [...marks];
  let marked = 0;
  for (const mark of queue) {
    const result = await markOne(mark, marker, deps, deadline);
    if (result === 'marked') marked += 1;
    if (typeof result === 'string') continue;
    refusals.set(idOf({ ...mark.workload, cluster: mark.cluster }), result.refusal);
    const next = mark.where === 'pod-template' ? waiting.shift() : undefined;
    if (next !== undefined) queue.push(next);
  }
  return { marked, refusals };
}

/** @returns `unclear`: it was seen to change, or nobody knows; `refusal`: why the cluster will not have it marked */
async function markOne(
  { cluster, workload, where }: Mark,
  marker: Marker,
  deps: ConvergeDeps,
  deadline: Deadline,
): Promise<'marked' | 'unclear' | { readonly refusal: string }> {
  const { kind, namespace, name } = workload;
  const fields = { cluster, kind, namespace, name, marker: marker.annotation };
  try {
    const result = await deps.clusters.find((one) => one.name === cluster)?.mark(workload, marker, where, deadline);
    deps.log.info(result === 'moved' ? 'changed meanwhile: looking again' : 'marked', fields);
    return result === 'marked' ? 'marked' : 'unclear';
  } catch (thrown) {
    deps.log.warn('could not mark', { ...fields, error: thrown });
    const { code, message } = asRekeyError(thrown);
    return code === 'CLUSTER_ACCESS_DENIED' || code === 'CLUSTER_REJECTED' ? { refusal: message } : 'unclear';
  }
}

function withRefusal(unproved: Unproved, refusals: Refusals): Unproved {
  const refusal = refusals.get(idOf(unproved));
  return refusal === undefined ? unproved : { ...unproved, why: `${unproved.why}, and may not be: ${refusal}` };
}

function idOf({ cluster, kind, namespace, name }: ConsumerRef): string {
  return `${cluster}/${kind}/${namespace}/${name}`;
}

async function describe(arn: string, secrets: ConvergeDeps['secrets']): Promise<SecretDescription | undefined> {
  try {
    const secret = await secrets.describe(arn);
    return secret.deletedAtMs === undefined ? secret : undefined;
  } catch (thrown) {
    if (thrown instanceof RekeyError && thrown.code === 'SECRET_NOT_FOUND') return undefined;
    throw thrown;
  }
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
async function refuse(
  look: Look,
  { code, message, retryable, action }: RekeyError,
  deps: ConvergeDeps,
): Promise<Outcome> {
  if (!look.told.includes('Action Needed'))
    await deps.announcer.announce({
      type: 'Action Needed',
      detail: {
        secretArn: look.secretArn,
        secretName: look.secretName,
        versionId: look.versionId,
        code,
        message,
        retryable,
        stillWorks: 'No workload was touched: all of them keep what they have mounted.',
        action,
      },
    });
  return { kind: 'refused' };
}

/** Often at first, when a canary takes seconds; then less and less, but not past the end of the time allowed. */
export function delaySeconds(ageMs: number, withinMs: number): number {
  const grown = Math.min(60, Math.max(5, Math.floor(ageMs / 10_000)));
  return Math.max(1, Math.min(grown, Math.ceil((withinMs - ageMs) / 1_000)));
}
