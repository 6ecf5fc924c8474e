import { Stack, Tags } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Environment } from './config.ts';
import { Rekey } from './constructs/rekey.ts';
import { RotatedSecret } from './constructs/rotated-secret.ts';
import { nameOf } from './secret-reference.ts';

/** One environment's Rekey: sync for its clusters, and rotation for the secrets that it names. */
export class RekeyStack extends Stack {
  constructor(scope: Construct, { account, region, rotated, ...props }: Environment) {
    super(scope, `rekey-${props.name}`, {
      description: 'Rekey: rotates database credentials, rolls and proves the workloads that use them',
      env: { account, region },
    });
    const rekey = new Rekey(this, 'Rekey', props);
    for (const secret of rotated) {
      const what = secret.tag === undefined ? nameOf(secret) : `${secret.tag.key}=${secret.tag.value}`;
      new RotatedSecret(this, `Rotated ${what}`, { ...secret, rekey });
    }
    Tags.of(this).add('service', 'rekey');
  }
}
