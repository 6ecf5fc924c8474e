import { Stack, Tags } from 'aws-cdk-lib';
import type { Construct } from 'constructs';
import type { Environment } from './config.ts';
import { Foundation } from './constructs/foundation.ts';
import { Notifications } from './constructs/notifications.ts';
import { Retire } from './constructs/retire.ts';
import { Rotation } from './constructs/rotation.ts';
import { Sweep } from './constructs/sweep.ts';
import { Sync } from './constructs/sync.ts';
import { type EngineName, ROTATION } from './wiring.ts';

/** One environment's Rekey: rotation for the secrets that it names, sync for its clusters, retire where there are both. */
export class RekeyStack extends Stack {
  constructor(scope: Construct, config: Environment) {
    super(scope, `rekey-${config.name}`, {
      description: 'Rekey: rotates database credentials, rolls and proves the workloads that use them',
      env: { account: config.account, region: config.region },
    });
    const foundation = new Foundation(this, config);
    new Notifications(this, foundation);

    for (const engine of Object.keys(ROTATION) as EngineName[]) {
      const secrets = config.rotated.filter((secret) => secret.engine === engine);
      if (secrets.length > 0) new Rotation(this, { foundation, spec: ROTATION[engine], secrets });
    }
    if (config.clusters.length > 0) {
      const sync = new Sync(this, foundation);
      new Sweep(this, foundation, sync.work);
    }
    // Only what sync has proved may be retired, and only what Rekey rotates has a previous user to retire.
    if (config.rotated.length > 0 && config.clusters.length > 0) new Retire(this, foundation);

    Tags.of(this).add('service', 'rekey');
  }
}
