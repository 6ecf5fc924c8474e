import type { DatabaseEngine } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import type { DatabaseSecret } from '../secrets/database-secret.ts';
import { alternatingUsers } from './alternating-users.ts';
import { dualPassword } from './dual-password.ts';
import { singleUser } from './single-user.ts';
import type { Rotation, Strategy, StrategyName } from './strategy.ts';
import { userPair } from './user-pair.ts';

/**
 * The strategy of a secret. `auto` reads the JSON as AWS's own functions do, and gives a single user two passwords
 * where the server and its rights allow that.
 * @param login whose rights decide that, known to work; undefined where nothing depends on the answer yet: a single
 *   user and one with two passwords differ in setSecret alone
 * @throws RekeyError STRATEGY_UNAVAILABLE
 */
export async function strategyFor(rotation: Rotation, login: DatabaseSecret | undefined): Promise<Strategy> {
  const { engine, current, options } = rotation;
  if (options.strategy !== 'auto') return named(options.strategy, engine);
  if (current.masterArn !== undefined && engine.alternatingUsers) return alternatingUsers(engine.alternatingUsers);
  const dual = engine.dualPassword;
  if (!dual) return singleUser;
  if (current.masterArn !== undefined) return dualPassword(dual);
  // Not known yet: nobody may rely on there being no gap.
  if (login === undefined) return { ...dualPassword(dual), hasGap: true };
  return (await dual.mayKeepOld(login, rotation.deadline)) ? dualPassword(dual) : singleUser;
}

function named(name: StrategyName, engine: DatabaseEngine): Strategy {
  const found = {
    'single-user': () => singleUser,
    'alternating-users': () => engine.alternatingUsers && alternatingUsers(engine.alternatingUsers),
    'user-pair': () => engine.userPair && userPair(engine.userPair),
    'dual-password': () => engine.dualPassword && dualPassword(engine.dualPassword),
  }[name]();
  if (found) return found;
  throw new RekeyError('STRATEGY_UNAVAILABLE', `${engine.name} does not know the strategy ${name}`);
}
