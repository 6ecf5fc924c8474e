import { createHash } from 'node:crypto';
import type { Clock } from '../operations/clock.ts';
import { FIELD_MANAGER } from './kubernetes-workloads.ts';
import type { Note, Workload } from './port.ts';

/** How the recorder writes: both answer with the object as it is then. */
export interface EventWriter {
  /** @returns undefined when there is one of that name already */
  create(event: object): Promise<unknown>;
  /** @returns undefined when there is none of that name (any more) */
  patch(name: string, change: object): Promise<unknown>;
}

/** The same words about the same workload are not written again for this long. */
const QUIET_MS = 5 * 60_000;

/** Kubernetes' own limit for a message, in characters of ASCII. */
const MAX_MESSAGE = 1_024;

/** Kinds of words that are remembered; the oldest are forgotten first. */
const MAX_REMEMBERED = 1_000;

/**
 * Writes what `kubectl describe` shows. Words that come again become a count and a last time, as with Kubernetes' own
 * recorder (client-go, tools/record): the Event's name is made from them, so that another process finds it too.
 */
export function createEventRecorder(clock: Pick<Clock, 'now'>) {
  const remembered = new Map<string, { readonly count: number; readonly atMs: number }>();

  return async function record(about: Workload, note: Note, write: EventWriter): Promise<void> {
    const message = note.message.replace(/[^\x20-\x7e]/g, '?').slice(0, MAX_MESSAGE);
    const words = createHash('sha256').update(`${about.uid} ${note.reason} ${message}`).digest('hex').slice(0, 16);
    const name = `${about.name.slice(0, 200).replace(/[^a-z0-9]+$/, '')}.${words}`;
    const before = remembered.get(name);
    const nowMs = clock.now();
    if (before !== undefined && nowMs - before.atMs < QUIET_MS) return;

    const lastTimestamp = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
    const count = (before?.count ?? 0) + 1;
    const event = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace: about.namespace },
      involvedObject: {
        apiVersion: about.kind === 'Rollout' ? 'argoproj.io/v1alpha1' : 'apps/v1',
        kind: about.kind,
        namespace: about.namespace,
        name: about.name,
        uid: about.uid,
      },
      type: note.type,
      reason: note.reason,
      message,
      source: { component: FIELD_MANAGER },
      reportingComponent: FIELD_MANAGER,
      firstTimestamp: lastTimestamp,
      lastTimestamp,
      count,
    };
    const known = before === undefined ? undefined : await write.patch(name, { count, lastTimestamp });
    const stored =
      known ??
      (await write.create(event)) ??
      (await write.patch(name, { lastTimestamp })) ??
      (await write.create(event));

    remembered.delete(name);
    remembered.set(name, { count: countOf(stored) ?? count, atMs: nowMs });
    for (const oldest of remembered.keys()) {
      if (remembered.size <= MAX_REMEMBERED) break;
      remembered.delete(oldest);
    }
  };
}

function countOf(stored: unknown): number | undefined {
  const { count } = (stored ?? {}) as { readonly count?: unknown };
  return typeof count === 'number' ? count : undefined;
}
