import { Construct } from 'constructs';
import { RETIRE, RETIRE_QUEUE, SECRET_CONVERGED, VARIABLES } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import { rotationFunctionsVariable } from './rotation.ts';
import { SecretRights } from './secret-rights.ts';
import { ServiceFunction } from './service-function.ts';
import { WorkQueue } from './work-queue.ts';

/** From "Secret Converged" to a previous credential that no longer works. */
export class Retire extends Construct {
  readonly function: ServiceFunction;
  readonly work: WorkQueue;
  readonly rights: SecretRights;

  /** @param rotationFunctions ARNs of those that there will be in the end */
  constructor(scope: Construct, foundation: Foundation, rotationFunctions: () => readonly string[]) {
    super(scope, 'Retire');
    this.work = new WorkQueue(this, {
      foundation,
      spec: RETIRE_QUEUE,
      pattern: SECRET_CONVERGED,
      bus: foundation.eventBus,
    });
    this.function = new ServiceFunction(this, {
      foundation,
      spec: RETIRE,
      apis: ['secretsmanager', 'events', 'sqs'],
      certificates: 'all',
      environment: {
        [VARIABLES.queueUrl]: this.work.queue.queueUrl,
        ...rotationFunctionsVariable(rotationFunctions),
      },
    });
    this.work.handledBy(this.function, foundation.concurrencyOf(RETIRE), true);
    this.rights = new SecretRights(this.function, foundation.place, rotationFunctions, 'standby');
  }
}
