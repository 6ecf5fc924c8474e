import { Construct } from 'constructs';
import { KUBERNETES_GROUPS, SECRET_LABEL_UPDATED, SYNC, SYNC_QUEUE, VARIABLES } from '../wiring.ts';
import { allowObserving, clustersVariable, letInto } from './cluster-access.ts';
import type { Foundation } from './foundation.ts';
import { ServiceFunction } from './service-function.ts';
import { WorkQueue } from './work-queue.ts';

/** From "AWSCURRENT moved" to workloads that are proved to run on it. */
export class Sync extends Construct {
  readonly work: WorkQueue;

  constructor(scope: Construct, foundation: Foundation) {
    super(scope, 'Sync');
    this.work = new WorkQueue(this, { foundation, spec: SYNC_QUEUE, pattern: SECRET_LABEL_UPDATED });
    const sync = new ServiceFunction(this, {
      foundation,
      spec: SYNC,
      announces: true,
      environment: {
        [VARIABLES.queueUrl]: this.work.queue.queueUrl,
        [VARIABLES.clusters]: clustersVariable(foundation.config.clusters),
      },
    });
    this.work.handledBy(sync, SYNC);
    allowObserving(sync, foundation.config.clusters);
    letInto(foundation.config.clusters, sync, KUBERNETES_GROUPS.sync);
  }
}
