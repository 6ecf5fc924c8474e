import { CfnRotationSchedule } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import type { RotatedSecretProps as Props } from '../config.ts';
import { checkedSecret } from '../config-check.ts';
import { isTagged } from '../secret-reference.ts';
import { ENGINE_RULES } from '../wiring.ts';
import type { Rekey } from './rekey.ts';

export type RotatedSecretProps = Props & {
  /** In the same stack. */
  readonly rekey: Rekey;
};

/**
 * Has Rekey rotate a secret that is there already, or every secret with a tag: the rights, the way to its database, and
 * when. The secrets themselves are yours: none is made, and none is deleted with this.
 */
export class RotatedSecret extends Construct {
  /** @throws Error that lists everything that is wrong with `props` */
  constructor(scope: Construct, id: string, { rekey, ...props }: RotatedSecretProps) {
    super(scope, id);
    const { foundation } = rekey;
    const secret = checkedSecret(props as Props, {
      place: foundation.place,
      hasNetwork: foundation.network !== undefined,
    });
    const rotation = rekey.rotationOf(secret.engine);
    for (const { function: visitor, rights } of [rotation, ...(rekey.retire ? [rekey.retire] : [])]) {
      rights.add(secret);
      const { id: group, port = ENGINE_RULES[secret.engine].defaultPort } = secret.hostSecurityGroup ?? {};
      if (group !== undefined) visitor.reach(group, port, 'Rekey to the database');
    }

    if (isTagged(secret)) return;
    const schedule = new CfnRotationSchedule(this, 'Schedule', {
      secretId: secret.arn ?? secret.name,
      rotationLambdaArn: rotation.function.lambda.functionArn,
      rotationRules: { scheduleExpression: secret.schedule, duration: secret.window },
      // A deployment is no reason to change a password, and applications that do not follow yet would break. Secrets
      // Manager then runs testSecret alone, which is a preflight.
      rotateImmediatelyOnUpdate: false,
    });
    // Secrets Manager calls the function at once, for that preflight, and needs every right in place.
    schedule.node.addDependency(rotation.permission, rotation.function.role);
  }
}
