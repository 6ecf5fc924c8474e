import { Lazy, Stack } from 'aws-cdk-lib';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { askedToMoveBack, type FunctionSpec, MOVES_BACK_AT_ONCE, moveBackQueueOf, VARIABLES } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import { SecretRights } from './secret-rights.ts';
import { ServiceFunction } from './service-function.ts';
import { WorkQueue } from './work-queue.ts';

/**
 * The function that Secrets Manager calls to rotate the secrets of one kind of database. Where there is sync, that asks
 * it to move AWSCURRENT back: no other function may move a label.
 */
export class Rotation extends Construct {
  readonly function: ServiceFunction;
  readonly permission: CfnPermission;
  readonly rights: SecretRights;
  readonly work: WorkQueue | undefined;

  constructor(scope: Construct, foundation: Foundation, spec: FunctionSpec, isAskedBySync: boolean) {
    super(scope, spec.name);
    this.function = new ServiceFunction(this, {
      foundation,
      spec,
      apis: ['secretsmanager', 'events'],
      certificates: 'all',
    });
    const own = foundation.functionArn(spec);
    this.rights = new SecretRights(this.function, foundation.place, () => [own], 'all');

    // CDK's own addRotationSchedule leaves SourceAccount out, and so lets a secret of any account call the function.
    this.permission = new CfnPermission(this, 'CalledBySecretsManager', {
      action: 'lambda:InvokeFunction',
      functionName: this.function.lambda.functionArn,
      principal: 'secretsmanager.amazonaws.com',
      sourceAccount: Stack.of(this).account,
    });

    this.work = isAskedBySync
      ? new WorkQueue(this, {
          foundation,
          spec: moveBackQueueOf(spec),
          pattern: askedToMoveBack(own),
          bus: foundation.eventBus,
        })
      : undefined;
    this.work?.handledBy(this.function, MOVES_BACK_AT_ONCE, false);
  }
}

/** @param arns of those that there will be in the end; the variable is left out where there is none */
export const rotationFunctionsVariable = (arns: () => readonly string[]) => ({
  [VARIABLES.rotationFunctions]: Lazy.string({ produce: () => arns().join(' ') || undefined }),
});
