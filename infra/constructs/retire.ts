import { Construct } from 'constructs';
import { RETIRE, RETIRE_QUEUE, ROTATION, SECRET_CONVERGED, VARIABLES } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import { allowSecrets } from './secret-access.ts';
import { ServiceFunction } from './service-function.ts';
import { WorkQueue } from './work-queue.ts';

/** From "Secret Converged" to a previous credential that no longer works. */
export class Retire extends Construct {
  constructor(scope: Construct, foundation: Foundation) {
    super(scope, 'Retire');
    const work = new WorkQueue(this, {
      foundation,
      spec: RETIRE_QUEUE,
      pattern: SECRET_CONVERGED,
      bus: foundation.eventBus,
    });
    const { rotated } = foundation.config;
    const engines = [...new Set(rotated.map(({ engine }) => engine))];
    const rotationFunctions = engines.map((engine) => foundation.functionArn(ROTATION[engine]));
    const retire = new ServiceFunction(this, {
      foundation,
      spec: RETIRE,
      announces: true,
      reachesDatabases: true,
      environment: {
        [VARIABLES.queueUrl]: work.queue.queueUrl,
        [VARIABLES.rotationFunctions]: rotationFunctions.join(' '),
      },
    });
    work.handledBy(retire, RETIRE);
    allowSecrets(retire, rotated, rotationFunctions, { writes: 'standby' });
  }
}
