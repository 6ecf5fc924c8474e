import type { SQSBatchItemFailure, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { type ConvergeDeps, converge, type Look } from '../../shared/consumers/converge.ts';
import type { Deadline } from '../../shared/operations/deadline.ts';
import type { Logger } from '../../shared/operations/logger.ts';
import type { DelayedQueue } from '../../shared/operations/queue.ts';
import { lookAgainEvent, parseLabelEvent } from '../label-event.ts';

export type SyncDeps = ConvergeDeps & { readonly queue: DelayedQueue; readonly log: Logger };

/**
 * One pass for each message. A secret that has not converged yet is no failure: a fresh message, later, makes the next
 * pass. Only a fault hands the message back, and in the end to the dead-letter queue. Never throws.
 */
export async function syncBatch(event: SQSEvent, deps: SyncDeps, deadline: Deadline): Promise<SQSBatchResponse> {
  const batchItemFailures: SQSBatchItemFailure[] = [];
  for (const { messageId, body } of event.Records) {
    try {
      const look = parseLabelEvent(body, deps.clock.now());
      if (look !== undefined) await pass(look, deps, deadline);
    } catch (error) {
      deps.log.error('sync failed', { messageId, error });
      batchItemFailures.push({ itemIdentifier: messageId });
    }
  }
  return { batchItemFailures };
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
