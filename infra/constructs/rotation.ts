import { Stack } from 'aws-cdk-lib';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import type { FunctionSpec } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import { SecretRights } from './secret-rights.ts';
import { ServiceFunction } from './service-function.ts';

/** The function that Secrets Manager calls to rotate the secrets of one kind of database. */
export class Rotation extends Construct {
  readonly function: ServiceFunction;
  readonly permission: CfnPermission;
  readonly rights: SecretRights;

  constructor(scope: Construct, foundation: Foundation, spec: FunctionSpec) {
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
  }
}
