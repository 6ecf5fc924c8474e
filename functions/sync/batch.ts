import type { SQSBatchItemFailure, SQSBatchResponse, SQSEvent, SQSRecord } from 'aws-lambda';
import { type ConvergeDeps, converge, type Look } from '../../shared/consumers/converge.ts';
import { atMost, type Deadline } from '../../shared/operations/deadline.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import type { Logger } from '../../shared/operations/logger.ts';
import type { DelayedQueue } from '../../shared/operations/queue.ts';
import { lookAgainEvent, parseLabelEvent } from '../label-event.ts';

export type SyncDeps = ConvergeDeps & { readonly queue: DelayedQueue; readonly log: Logger };

/** After the first failed delivery; twice as long after each further one. */
const RETRY_SECONDS = 15;

/**
 * One pass for each message. A secret that has not converged yet is no failure: a fresh message, later, makes the next
 * pass. Only a fault hands the message back, and in the end to the dead-letter queue. Never throws.
 */
export async function syncBatch(event: SQSEvent, deps: SyncDeps, deadline: Deadline): Promise<SQSBatchResponse> {
  const batchItemFailures: SQSBatchItemFailure[] = [];
  for (const [index, record] of event.Records.entries()) {
    const { messageId, body } = record;
    // A pass that waits for a slow cluster leaves the ones behind it their time.
    const share = deadline.remainingMs() / (event.Records.length - index);
    try {
      const look = parseLabelEvent(body, deps.clock.now());
      if (look !== undefined) await pass(look, deps, atMost(share, deadline, deps.clock));
    } catch (error) {
      deps.log.error('sync failed', { messageId, error });
      batchItemFailures.push({ itemIdentifier: messageId });
      if (asRekeyError(error).retryable) await bringBackSoon(record, deps);
    }
  }
  return { batchItemFailures };
}

/**
 * What passes by itself, such as a throttled call, must not cost the minutes of the queue's visibility time-out: after
 * a single-user rotation, old pods cannot log in anew.
 */
async function bringBackSoon({ messageId, receiptHandle, attributes }: SQSRecord, { queue, log }: SyncDeps) {
  const delivery = Number(attributes.ApproximateReceiveCount);
  try {
    await queue.bringBack(receiptHandle, RETRY_SECONDS * 2 ** (delivery - 1));
  } catch (error) {
    log.warn('the message comes back when its visibility time-out ends', { messageId, error });
  }
}

async function pass(look: Look, deps: SyncDeps, deadline: Deadline): Promise<void> {
  const { secretArn, versionId } = look;
  const log = deps.log.with({ secretArn, versionId });
  const startedAtMs = deps.clock.now();
  const outcome = await converge(look, { ...deps, log }, deadline);
  if (outcome.kind === 'look-again') await deps.queue.send(lookAgainEvent(outcome.look), outcome.afterSeconds);
  log.info('sync finished', {
    outcome: outcome.kind,
    ...(outcome.kind === 'look-again' ? { afterSeconds: outcome.afterSeconds } : {}),
    ms: deps.clock.now() - startedAtMs,
  });
}
