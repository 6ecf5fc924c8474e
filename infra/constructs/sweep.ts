import { Duration } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { KUBERNETES_GROUPS, SWEEP, SWEEP_EVERY_MINUTES, VARIABLES } from '../wiring.ts';
import { allowClusters, clustersVariable } from './cluster-access.ts';
import type { Foundation } from './foundation.ts';
import { ServiceFunction } from './service-function.ts';
import { runEvery } from './timer.ts';
import type { WorkQueue } from './work-queue.ts';

/** Looks at everything every few minutes, in case an event was lost, and asks sync to look again. It changes nothing. */
export class Sweep extends Construct {
  readonly function: ServiceFunction;

  /** @param work sync's queue */
  constructor(scope: Construct, foundation: Foundation, work: WorkQueue) {
    super(scope, 'Sweep');
    this.function = new ServiceFunction(this, {
      foundation,
      spec: SWEEP,
      apis: ['secretsmanager', 'sqs', 'eks'],
      environment: {
        [VARIABLES.queueUrl]: work.queue.queueUrl,
        [VARIABLES.clusters]: clustersVariable({ spec: SWEEP }, foundation),
      },
    });
    allowClusters(this.function, foundation, KUBERNETES_GROUPS.sweep);
    this.function.allow('AskSyncToLookAgain', ['sqs:SendMessage'], [work.queue.queueArn]);
    runEvery(Duration.minutes(SWEEP_EVERY_MINUTES), this.function, foundation);
  }
}
