import type { Cluster, Marker, Note, Workload } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import { atMost, type Deadline } from '../operations/deadline.ts';
import type { Log } from '../operations/log.ts';
import { type Refusals, refusalIn } from './carry-out.ts';
import type { Consumers } from './consumers.ts';
import { idOf, idOfMark, isMarked, type Plan, type Standing } from './plan.ts';

/** What is to be read of one workload in `kubectl describe`. */
export interface WorkloadNote {
  readonly cluster: string;
  readonly workload: Workload;
  readonly note: Note;
}

/** What a pass has come to besides its plan. `marked`: {@link idOfMark} of those that it has marked. */
export interface Doings {
  readonly marked: readonly string[];
  readonly refusals: Refusals;
}

export const NOTHING_DONE: Doings = { marked: [], refusals: new Map() };

/** Of one pass: an estate where everything waits would be written to all of the time. */
const MAX_NOTES = 50;

/** For all of a pass: an API server that does not answer keeps no other work waiting for them. */
const WRITE_MS = 10_000;

/**
 * What a pass has done about a secret's workloads, and what they wait for. Who is only waiting for its turn is not told:
 * there may be thousands.
 */
export function notesOf(
  plan: Plan,
  { consumers, faults }: Pick<Consumers, 'consumers' | 'faults'>,
  { marked, refusals }: Doings,
  { secretName, marker }: { readonly secretName: string; readonly marker: Marker },
): readonly WorkloadNote[] {
  const what = `secret ${secretName}, version ${marker.versionId}`;
  const done = [...plan.marks, ...plan.substitutes]
    .filter((mark) => marked.includes(idOfMark(mark)))
    .map(({ cluster, workload, where, again }) => {
      if (where === 'object')
        return { cluster, workload, note: normal('SecretRemount', `Waiting for the remount of ${what}`) };
      const message = again
        ? `Restarted once more for ${what}: a pod had started on another one`
        : `Restarted for ${what}`;
      return { cluster, workload, note: normal('SecretRollout', message) };
    });
  const stand = plan.standings.flatMap((standing) => {
    const { ref, workload } = standing.consumer;
    const note = noteOn(standing, plan, marker, what, refusals.get(idOf(ref))?.why);
    return workload === undefined || note === undefined ? [] : [{ cluster: ref.cluster, workload, note }];
  });
  const misread = faults.flatMap(({ why, consumer }) => {
    const found = consumer && consumers.find(({ ref }) => idOf(ref) === idOf(consumer));
    if (found?.workload === undefined) return [];
    return [{ cluster: found.ref.cluster, workload: found.workload, note: warning('RekeyAnnotationInvalid', why) }];
  });
  return [...misread, ...done, ...stand].slice(0, MAX_NOTES);
}

function noteOn(
  { consumer, state }: Standing,
  plan: Plan,
  marker: Marker,
  what: string,
  refusal: string | undefined,
): Note | undefined {
  if (refusal !== undefined && state.kind !== 'proved')
    return warning('WaitingForSecret', `Waiting for ${what}: ${state.why}${refusal}`);
  switch (state.kind) {
    case 'failing':
      return warning('SecretRolloutHalted', `Halted the rollout of ${what}: ${state.why}`);
    case 'busy':
    case 'awaiting':
      return normal('WaitingForSecret', `Waiting for ${what}: ${state.why}`);
    case 'left-alone':
      return warning('SecretNotProved', `Not proved to run on ${what}: ${state.why}`);
    case 'marked':
      return state.cause === undefined ? undefined : warning('WaitingForSecret', `Waiting for ${what}: ${state.why}`);
    case 'proved': {
      const { workload, pods } = consumer;
      const rolled = plan.verdict === 'converged' && workload !== undefined && isMarked(workload, marker);
      return rolled ? normal('SecretProved', `Proved to run on ${what} (pods: ${pods.length})`) : undefined;
    }
    case 'due':
      return undefined;
  }
}

const normal = (reason: string, message: string): Note => ({ type: 'Normal', reason, message });
const warning = (reason: string, message: string): Note => ({ type: 'Warning', reason, message });

/** Writes them down, while there is time. Never throws: they are for people, and no work rests on them. */
export async function writeNotes(
  notes: readonly WorkloadNote[],
  deps: { readonly clusters: readonly Cluster[]; readonly clock: Pick<Clock, 'now'>; readonly log: Log },
  deadline: Deadline,
): Promise<void> {
  const share = atMost(Math.min(WRITE_MS, deadline.remainingMs() / 4), deadline, deps.clock);
  const write = async (cluster: Cluster): Promise<void> => {
    const refusing = new Set<string>();
    for (const { workload, note } of notes.filter((one) => one.cluster === cluster.name)) {
      if (refusing.has(workload.namespace)) continue;
      try {
        await cluster.note(workload, note, share);
      } catch (thrown) {
        deps.log.warn('could not write an Event', { cluster: cluster.name, error: thrown });
        if (refusalIn(thrown) === undefined) return;
        // Where one is refused, the others are: a namespace that is being deleted, or whose quota is full.
        refusing.add(workload.namespace);
      }
    }
  };
  await Promise.all(deps.clusters.map(write));
}
