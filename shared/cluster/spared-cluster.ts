import type { Clock } from '../operations/clock.ts';
import { asRekeyError, type ErrorCode, type RekeyError } from '../operations/errors.ts';
import type { Cluster } from './port.ts';

/** How long a cluster that gave no answer is not asked again. */
const SPARED_MS = 30_000;

const NO_ANSWER: ReadonlySet<ErrorCode> = new Set(['CLUSTER_UNREACHABLE', 'CLUSTER_BUSY']);

/**
 * Answers for a cluster that is down, or does not answer in time, with the failure of before instead of waiting for it again: the
 * passes over the other clusters would wait as well. After a while it is tried again, alone.
 */
export function sparedCluster(cluster: Cluster, clock: Pick<Clock, 'now'>): Cluster {
  let last: { readonly failure: RekeyError; readonly untilMs: number } | undefined;

  /** @throws RekeyError of the call, or that of an earlier one */
  async function ask<T>(call: () => Promise<T>): Promise<T> {
    if (last !== undefined && clock.now() < last.untilMs) throw last.failure;
    try {
      return await call();
    } catch (thrown) {
      const failure = asRekeyError(thrown);
      if (NO_ANSWER.has(failure.code)) last = { failure, untilMs: clock.now() + SPARED_MS };
      throw thrown;
    }
  }

  // Whether an Event could be written says nothing about the rest.
  const spared: Record<string, unknown> = { ...cluster };
  for (const [member, value] of Object.entries(cluster))
    if (typeof value === 'function' && member !== 'note')
      spared[member] = (...args: unknown[]) => ask(() => value.apply(cluster, args));
  return spared as unknown as Cluster;
}
