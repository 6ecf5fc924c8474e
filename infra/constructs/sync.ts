import { Construct } from 'constructs';
import { KUBERNETES_GROUPS, SECRET_LABEL_UPDATED, SYNC, SYNC_QUEUE, VARIABLES } from '../wiring.ts';
import { allowClusters, clustersVariable } from './cluster-access.ts';
import type { Foundation } from './foundation.ts';
import { rotationFunctionsVariable } from './rotation.ts';
import { ServiceFunction } from './service-function.ts';
import { WorkQueue } from './work-queue.ts';

/** From "AWSCURRENT moved" to workloads that are proved to run on it. */
export class Sync extends Construct {
  readonly function: ServiceFunction;
  readonly work: WorkQueue;

  /** @param rotationFunctions ARNs of those that there will be in the end */
  constructor(scope: Construct, foundation: Foundation, rotationFunctions: () => readonly string[]) {
    super(scope, 'Sync');
    this.work = new WorkQueue(this, { foundation, spec: SYNC_QUEUE, pattern: SECRET_LABEL_UPDATED });
    this.function = new ServiceFunction(this, {
      foundation,
      spec: SYNC,
      apis: ['secretsmanager', 'events', 'sqs', 'eks'],
      environment: {
        [VARIABLES.queueUrl]: this.work.queue.queueUrl,
        [VARIABLES.clusters]: clustersVariable({ spec: SYNC }, foundation),
        ...rotationFunctionsVariable(rotationFunctions),
      },
    });
    this.work.handledBy(this.function, foundation.concurrencyOf(SYNC), true);
    this.function.allow('BringBackSooner', ['sqs:ChangeMessageVisibility'], [this.work.queue.queueArn]);
    allowClusters(this.function, foundation, KUBERNETES_GROUPS.sync);
  }
}
