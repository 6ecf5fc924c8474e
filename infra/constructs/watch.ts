import { Duration } from 'aws-cdk-lib';
import { Construct } from 'constructs';
import { WATCH, WATCH_EVERY_MINUTES } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import { rotationFunctionsVariable } from './rotation.ts';
import { ServiceFunction } from './service-function.ts';
import { runEvery } from './timer.ts';

/** Measures every hour what no event tells; the alarms stand on it. It reads dates and labels, never a value. */
export class Watch extends Construct {
  readonly function: ServiceFunction;

  /** @param rotationFunctions ARNs of those that there will be in the end */
  constructor(scope: Construct, foundation: Foundation, rotationFunctions: () => readonly string[]) {
    super(scope, 'Watch');
    this.function = new ServiceFunction(this, {
      foundation,
      spec: WATCH,
      apis: ['secretsmanager'],
      certificates: 'deployed',
      environment: {
        ...rotationFunctionsVariable(rotationFunctions),
      },
    });
    this.function.allowOnAll(
      'SeeWhenSecretsRotate',
      ['secretsmanager:ListSecrets'],
      'Secrets Manager knows no resource for SeeWhenSecretsRotate (Service Authorization Reference); it shows dates, labels and tags, never a value.',
    );
    runEvery(Duration.minutes(WATCH_EVERY_MINUTES), this.function, foundation);
  }
}
