import type { Clock } from './clock.ts';
import { RekeyError } from './errors.ts';

/** Kept back from Lambda's remaining time, so that the answer and the log still get out. */
const RESERVE_MS = 1_500;

/** What is left of one invocation. Every outside call asks it for its time-out. */
export interface Deadline {
  remainingMs(): number;
  /** @throws RekeyError DEADLINE_TOO_CLOSE when less than `milliseconds` are left for `what` */
  require(milliseconds: number, what: string): void;
}

/** @param remainingMs Lambda's getRemainingTimeInMillis() at the start of the invocation */
export function deadlineIn(remainingMs: number, clock: Pick<Clock, 'now'>): Deadline {
  const endsAtMs = clock.now() + remainingMs - RESERVE_MS;
  const left = () => Math.max(0, endsAtMs - clock.now());
  return { remainingMs: left, require: requireOf(left) };
}

/** The same end, or `milliseconds` from now, whichever comes first: one part's share of what is left. */
export function atMost(milliseconds: number, deadline: Deadline, clock: Pick<Clock, 'now'>): Deadline {
  const endsAtMs = clock.now() + milliseconds;
  const left = () => Math.max(0, Math.min(endsAtMs - clock.now(), deadline.remainingMs()));
  return { remainingMs: left, require: requireOf(left) };
}

function requireOf(left: () => number): Deadline['require'] {
  return (milliseconds, what) => {
    if (left() < milliseconds)
      throw new RekeyError('DEADLINE_TOO_CLOSE', `${what} needs ${milliseconds} ms, ${left()} ms are left`);
  };
}
