import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { DatabaseEngine } from './port.ts';

/** 15 s in all: a restart, a fail-over of Aurora, a burst of connections are mostly over by then. */
const DELAYS_MS = [500, 1_000, 2_000, 4_000, 8_000];
/** What one more try may take: to connect, and to do the work. */
const TRY_MS = 6_000;

/**
 * An engine that waits for a server which takes nobody at the moment. What is repeated is safe twice over: every method
 * of the port may be, and these failures are no answer to a password, so that no try brings a lock-out closer. After
 * a network or TLS failure nothing is tried again: it may have hidden a refusal.
 */
export function patientEngine(engine: DatabaseEngine, deadline: Deadline, clock: Clock): DatabaseEngine {
  async function patiently<T>(work: () => Promise<T>): Promise<T> {
    for (const delayMs of DELAYS_MS) {
      try {
        return await work();
      } catch (error) {
        if (!waitingHelps(error) || deadline.remainingMs() < delayMs + TRY_MS) throw error;
        await clock.sleep(delayMs);
      }
    }
    return work();
  }

  const patient = <Part extends object>(part: Part): Part =>
    Object.fromEntries(
      Object.entries(part).map(([key, value]) => {
        if (typeof value === 'function') return [key, (...args: unknown[]) => patiently(() => value.apply(part, args))];
        return [key, typeof value === 'object' && value !== null ? patient(value) : value];
      }),
    ) as Part;
  return patient(engine);
}

function waitingHelps(error: unknown): boolean {
  if (!(error instanceof RekeyError)) return false;
  // Busy or read-only is what a server says of itself, whoever asks.
  return error.code === 'DATABASE_BUSY' || error.code === 'DATABASE_READ_ONLY';
}
