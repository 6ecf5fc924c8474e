import type { Context } from 'aws-lambda';
import { createEksAccess } from '../../shared/cluster/eks.ts';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import { sparedCluster } from '../../shared/cluster/spared-cluster.ts';
import { type SweepDeps, sweep } from '../../shared/consumers/sweep.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { asRekeyError } from '../../shared/operations/errors.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { createSqsQueue } from '../../shared/operations/sqs.ts';
import { createSecretsManagerStore } from '../../shared/secrets/secrets-manager.ts';
import { lookAgainEvent } from '../label-event.ts';
import { readSyncConfig } from '../sync-config.ts';

const log = createLogger('sweep');
const { clusters, queueUrl } = readSyncConfig(process.env);
const queue = createSqsQueue(queueUrl);
const deps: SweepDeps = {
  secrets: createSecretsManagerStore(),
  clusters: clusters.map((cluster) =>
    sparedCluster(createKubernetesCluster(createEksAccess(cluster, clock), clock), clock),
  ),
  lookAgain: (look, afterSeconds) => queue.send(lookAgainEvent(look), afterSeconds),
  clock,
  random: Math.random,
  log,
};

/** On a schedule: asks sync to look at every secret that has something left to do, whatever became of its event. */
export async function handler(_event: unknown, context: Context): Promise<void> {
  try {
    await sweep(deps, deadlineIn(context.getRemainingTimeInMillis(), clock));
  } catch (error) {
    log.error('sweep failed', { error });
    // Lambda logs what is thrown: a foreign error may quote what was sent.
    throw asRekeyError(error);
  }
}
