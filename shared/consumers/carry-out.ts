import type { Cluster, Marker, Marks } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError } from '../operations/errors.ts';
import type { Cause, ConsumerRef } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import { syncRequest } from './external-secrets.ts';
import { againOf, rolledOf } from './marker.ts';
import { type Action, idOfMark, type Mark, type Plan } from './plan.ts';
import type { Siblings } from './siblings.ts';

/** What came of a plan's actions. */
export interface CarriedOut {
  /** How many actions changed something. */
  readonly done: number;
  /** Whose pod was evicted, or may be. */
  readonly unhindered: readonly ConsumerRef[];
  /** What the cluster refused, with who waits for it. */
  readonly refused: readonly { readonly consumer: ConsumerRef; readonly refusal: Refusal }[];
}

/** Why something is not done for a consumer. `why` are words that follow what it waits for. */
export interface Refusal {
  readonly cause: Extract<Cause, 'patch-refused' | 'budget'>;
  readonly why: string;
}

/** What a pass was not let do, by consumer ({@link idOfMark}). */
export type Refusals = ReadonlyMap<string, Refusal>;

/** @param message the cluster's */
export function patchRefused(message: string): Refusal {
  return { cause: 'patch-refused', why: `, and may not be: ${message}` };
}

/** The words of a cluster that will not have something done; undefined for a failure that says nothing of it. */
export function refusalIn(thrown: unknown): string | undefined {
  const { code, message } = asRekeyError(thrown);
  return code === 'CLUSTER_ACCESS_DENIED' || code === 'CLUSTER_REJECTED' ? message : undefined;
}

export interface CarryOutDeps {
  readonly clusters: readonly Cluster[];
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** Carries out what a plan asks for besides marks. One that fails does not keep the others from it. Never throws. */
export async function carryOut(
  actions: readonly Action[],
  deps: CarryOutDeps,
  deadline: Deadline,
): Promise<CarriedOut> {
  let done = 0;
  const unhindered: ConsumerRef[] = [];
  const refused: CarriedOut['refused'][number][] = [];
  for (const action of actions) {
    const cluster = deps.clusters.find(({ name }) => name === action.cluster);
    if (cluster === undefined) continue;
    const fields = { action: action.kind, cluster: action.cluster, ...namesOf(action) };
    try {
      const result = await carryOutOne(action, cluster, deps.clock.now(), deadline);
      deps.log.info(result, fields);
      if (result === 'forced' || result === 'evicted') done += 1;
      if (action.kind === 'force-sync') continue;
      if (result === 'evicted' || result === 'allowed') unhindered.push(action.consumer);
      if (result === 'refused')
        refused.push({
          consumer: action.consumer,
          refusal: {
            cause: 'budget',
            why: `; a PodDisruptionBudget does not allow to evict pod ${action.pod.name} now`,
          },
        });
    } catch (thrown) {
      deps.log.warn('could not be carried out', { ...fields, error: thrown });
      const refusal = refusalIn(thrown);
      if (refusal === undefined) continue;
      for (const consumer of waitingFor(action)) refused.push({ consumer, refusal: patchRefused(refusal) });
    }
  }
  return { done, unhindered, refused };
}

async function carryOutOne(action: Action, cluster: Cluster, nowMs: number, deadline: Deadline) {
  switch (action.kind) {
    case 'force-sync': {
      const { externalSecret, marker } = action;
      return await cluster.forceSync(externalSecret, syncRequest(externalSecret, marker, nowMs), deadline);
    }
    case 'evict':
      return await cluster.evict(action.pod, deadline);
    case 'may-evict':
      return await cluster.mayEvict(action.pod, deadline);
  }
}

function namesOf(action: Action): { readonly namespace: string; readonly name: string } {
  const { namespace, name } = action.kind === 'force-sync' ? action.externalSecret : action.pod;
  return { namespace, name };
}

function waitingFor(action: Action): readonly ConsumerRef[] {
  return action.kind === 'force-sync' ? action.consumers : [action.consumer];
}

/**
 * A workload that the cluster refuses to have marked stays unproved and comes again, but gives its place to the next
 * one that is due. Whatever else goes wrong keeps the place: the mark may be there, by us or by a pass beside this one. Never throws.
 * @returns consumers ({@link idOfMark}) that are marked, and those that may not be
 */
export async function markAll(
  { marks, substitutes }: Pick<Plan, 'marks' | 'substitutes'>,
  marker: Marker,
  siblingsOf: (mark: Mark) => Promise<Siblings>,
  deps: Pick<CarryOutDeps, 'clusters' | 'log'>,
  deadline: Deadline,
): Promise<{ readonly marked: readonly string[]; readonly unmarked: Refusals }> {
  const unmarked = new Map<string, Refusal>();
  const waiting = [...substitutes];
  const queue = [...marks];
  const marked: string[] = [];
  for (const mark of queue) {
    const result = await markOne(mark, marker, await siblingsOf(mark), deps, deadline);
    if (result === 'marked') marked.push(idOfMark(mark));
    if (typeof result === 'string') continue;
    unmarked.set(idOfMark(mark), patchRefused(result.refusal));
    const next = mark.where === 'pod-template' ? waiting.shift() : undefined;
    if (next !== undefined) queue.push(next);
  }
  return { marked, unmarked };
}

/** @returns `unclear`: it was seen to change, or nobody knows; `refusal`: why the cluster will not have it marked */
async function markOne(
  { cluster, workload, where, again }: Mark,
  marker: Marker,
  siblings: Siblings,
  deps: Pick<CarryOutDeps, 'clusters' | 'log'>,
  deadline: Deadline,
): Promise<'marked' | 'unclear' | { readonly refusal: string }> {
  const { kind, namespace, name } = workload;
  const fields = { cluster, kind, namespace, name, marker: marker.annotation };
  if (siblings.rotating !== undefined) {
    deps.log.info('waits for another secret of it that is being rotated', { ...fields, secret: siblings.rotating });
    return 'unclear';
  }
  try {
    const markers = [marker, ...siblings.markers];
    const marks: Marks =
      where === 'object'
        ? { onTemplate: [], onObject: [marker] }
        : { onTemplate: [...markers, ...(again ? [againOf(marker)] : [])], onObject: markers.map(rolledOf) };
    const result = await deps.clusters.find((one) => one.name === cluster)?.mark(workload, marks, deadline);
    deps.log.info(result === 'moved' ? 'changed meanwhile: looking again' : 'marked', fields);
    return result === 'marked' ? 'marked' : 'unclear';
  } catch (thrown) {
    deps.log.warn('could not mark', { ...fields, error: thrown });
    const refusal = refusalIn(thrown);
    return refusal === undefined ? 'unclear' : { refusal };
  }
}
