import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import { createEksAccess } from '../../shared/cluster/eks.ts';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import { sparedCluster } from '../../shared/cluster/spared-cluster.ts';
import { type Explanation, explain } from '../../shared/consumers/explain.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import { createEventBridgeAnnouncer } from '../../shared/operations/event-bridge.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { measuredAnnouncer } from '../../shared/operations/measured-announcer.ts';
import { createSqsQueue } from '../../shared/operations/sqs.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { measureFor } from '../measure.ts';
import { readSyncConfig } from '../sync-config.ts';
import { type SyncDeps, syncBatch } from './batch.ts';
import { isBatch, parsePlanRequest } from './plan-request.ts';

const log = createLogger('sync');
const { clusters, queueUrl, eventBus, rotationFunctions } = readSyncConfig(process.env);
const deps: SyncDeps = {
  secrets: createSecretsManagerStore(),
  // Made once, so that a warm start finds the connections open.
  clusters: clusters.map((cluster) =>
    sparedCluster(createKubernetesCluster(createEksAccess(cluster, clock), clock), clock),
  ),
  announcer: measuredAnnouncer(createEventBridgeAnnouncer(eventBus, log), measureFor(process.env), clock),
  rotationFunctions,
  queue: createSqsQueue(queueUrl),
  clock,
  log,
};

/**
 * Messages of the sync queue: a label of a secret moved, or a pass asked for the next one. Or a person who invokes it
 * with `{"plan": "<secret>"}` and gets an explanation back.
 */
export async function handler(
  event: SQSEvent | { readonly plan: string },
  context: Context,
): Promise<SQSBatchResponse | Explanation> {
  const deadline = deadlineIn(context.getRemainingTimeInMillis(), clock);
  if (isBatch(event)) return await syncBatch(event, deps, deadline);
  try {
    return await explain(parsePlanRequest(event), deps, deadline);
  } catch (error) {
    log.error('plan failed', { error });
    // Lambda hands what is thrown to whoever asked: a foreign error may quote what was sent.
    throw asRekeyError(error);
  }
}
