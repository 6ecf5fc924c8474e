import { Stack } from 'aws-cdk-lib';
import { CfnPermission } from 'aws-cdk-lib/aws-lambda';
import { CfnRotationSchedule } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { RotatedSecret } from '../config.ts';
import type { FunctionSpec } from '../wiring.ts';
import type { Foundation } from './foundation.ts';
import { allowSecrets } from './secret-access.ts';
import { ServiceFunction } from './service-function.ts';

interface RotationProps {
  readonly foundation: Foundation;
  /** The function for the kind of database that all of `secrets` are for. */
  readonly spec: FunctionSpec;
  readonly secrets: readonly RotatedSecret[];
}

/** The function that Secrets Manager calls to rotate, and when it does. The secrets themselves are yours: none is made. */
export class Rotation extends Construct {
  constructor(scope: Construct, { foundation, spec, secrets }: RotationProps) {
    super(scope, spec.name);
    const rotation = new ServiceFunction(this, { foundation, spec, announces: true, reachesDatabases: true });
    allowSecrets(rotation, secrets, [foundation.functionArn(spec)], { writes: 'all' });

    // CDK's own addRotationSchedule leaves SourceAccount out, and so lets a secret of any account call the function.
    const permission = new CfnPermission(this, 'CalledBySecretsManager', {
      action: 'lambda:InvokeFunction',
      functionName: rotation.lambda.functionArn,
      principal: 'secretsmanager.amazonaws.com',
      sourceAccount: Stack.of(this).account,
    });

    for (const { arn, schedule, window } of secrets) {
      const rotated = new CfnRotationSchedule(this, `Schedule ${arn.split(':secret:')[1]}`, {
        secretId: arn,
        rotationLambdaArn: rotation.lambda.functionArn,
        rotationRules: { scheduleExpression: schedule, duration: window },
        // A deployment is no reason to change a password. Secrets Manager then runs testSecret alone, as a preflight.
        rotateImmediatelyOnUpdate: false,
      });
      // Secrets Manager calls the function at once, for that preflight, and needs every right in place.
      rotated.node.addDependency(permission, rotation.role);
    }
  }
}
