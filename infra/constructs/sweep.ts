import { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import { KUBERNETES_GROUPS, SWEEP, SWEEP_EVERY_MINUTES, VARIABLES } from '../wiring.ts';
import { allowObserving, clustersVariable, letInto } from './cluster-access.ts';
import type { Foundation } from './foundation.ts';
import { ServiceFunction } from './service-function.ts';
import type { WorkQueue } from './work-queue.ts';

/** Looks at everything every few minutes, in case an event was lost, and asks sync to look again. It changes nothing. */
export class Sweep extends Construct {
  /** @param work sync's queue */
  constructor(scope: Construct, foundation: Foundation, work: WorkQueue) {
    super(scope, 'Sweep');
    const sweep = new ServiceFunction(this, {
      foundation,
      spec: SWEEP,
      announces: false,
      environment: {
        [VARIABLES.queueUrl]: work.queue.queueUrl,
        [VARIABLES.clusters]: clustersVariable(foundation.config.clusters),
      },
    });
    allowObserving(sweep, foundation.config.clusters);
    letInto(foundation.config.clusters, sweep, KUBERNETES_GROUPS.sweep);
    sweep.allow('AskSyncToLookAgain', ['sqs:SendMessage'], [work.queue.queueArn]);

    // The next sweep is the retry of this one.
    sweep.lambda.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: Duration.minutes(SWEEP_EVERY_MINUTES) });
    new Rule(this, 'Schedule', {
      ruleName: foundation.resourceName(SWEEP.name),
      schedule: Schedule.rate(Duration.minutes(SWEEP_EVERY_MINUTES)),
      targets: [new LambdaFunction(sweep.lambda, { retryAttempts: 0 })],
    });
  }
}
