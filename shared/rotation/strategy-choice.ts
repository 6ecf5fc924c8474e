import type { DatabaseSecret } from '../secrets/database-secret.ts';
import type { SecretOptions } from '../secrets/tags.ts';
import { alternatingUsers } from './alternating-users.ts';
import { singleUser } from './single-user.ts';
import type { Strategy } from './strategy.ts';

/** The strategy of a secret. `auto` reads the JSON as AWS's own functions do. */
export function strategyFor(current: DatabaseSecret, { strategy }: Pick<SecretOptions, 'strategy'>): Strategy {
  switch (strategy) {
    case 'single-user':
      return singleUser;
    case 'alternating-users':
      return alternatingUsers;
    case 'auto':
      return current.masterArn === undefined ? singleUser : alternatingUsers;
  }
}
