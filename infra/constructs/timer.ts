import type { Duration } from 'aws-cdk-lib';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { acknowledge } from './acknowledge.ts';
import type { Foundation } from './foundation.ts';
import type { ServiceFunction } from './service-function.ts';

/** Runs a function again and again. The next run is the retry of one that failed, so nothing is tried twice or kept. */
export function runEvery(interval: Duration, runner: ServiceFunction, foundation: Foundation): void {
  runner.lambda.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: interval });
  const timer = new Rule(runner, 'Timer', {
    ruleName: foundation.resourceName(runner.spec.name),
    schedule: Schedule.rate(interval),
    targets: [new LambdaFunction(runner.lambda, { retryAttempts: 0 })],
  });

  for (const [construct, rule] of [
    [runner, 'LambdaAsyncFailureDestination'],
    [timer, 'EventBusDLQ'],
  ] as const)
    acknowledge(
      construct,
      rule,
      'The event says nothing but "now". The next one does the same work, and alarms tell of runs that fail or do not happen.',
    );
}
