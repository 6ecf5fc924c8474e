import type { UserPair } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { type DatabaseSecret, nameFault } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import { adminInvalid, administratorOf } from './administrator.ts';
import { type Rotation, requireCurrentLogin, requireLogin, type Strategy } from './strategy.ts';

/**
 * Two users take turns, and an administrator prepares the one that is not in use. AWSCURRENT is never touched: it
 * logs in at every instant.
 */
export const alternatingUsers: Strategy = {
  name: 'alternating-users',

  nextUsername: alternateOf,

  async check(rotation) {
    await userPair(rotation);
  },

  async set(rotation, pending) {
    const { engine, deadline } = rotation;
    const pair = await userPair(rotation);
    // Whoever wrote this secret must know the password of the user whose rights the other one is about to get.
    await requireCurrentLogin(rotation, pair.admin);
    // Always whole: that pending logs in already does not show that its rights were finished, and reconciling what is
    // the same changes nothing.
    await engine.prepareAlternate(pair, pending.password, deadline);
    return 'set';
  },

  async test(rotation, pending) {
    const { engine, deadline } = rotation;
    const pair = await userPair(rotation);
    await requireLogin(rotation, pending, pair.admin);
    const differences = await engine.differences(pair, deadline);
    if (differences.length > 0)
      throw new RekeyError(
        'RIGHTS_DIFFER',
        `"${pending.username}" is not yet what "${rotation.current.username}" is: ${differences.join('; ')}`,
      );
  },

  async preflight(rotation) {
    const { engine, deadline } = rotation;
    const pair = await userPair(rotation);
    await requireCurrentLogin(rotation, pair.admin);
    const missing = await engine.missingForAlternate(pair, deadline);
    if (missing.length > 0)
      throw new RekeyError(
        'PRIVILEGE_MISSING',
        `the administrator "${pair.admin.username}" cannot prepare "${pair.alternate}"`,
        `Run as a superuser or the owner, then rotate: ${missing.join('; ')}`,
      );
    return await engine.differences(pair, deadline);
  },
};

const SUFFIX = '_clone';

/** The naming of AWS's own functions, so that an existing pair of users moves over unchanged. */
export function alternateOf(current: DatabaseSecret, rules: EngineRules): string {
  const { username } = current;
  const alternate = username.endsWith(SUFFIX) ? username.slice(0, -SUFFIX.length) : username + SUFFIX;
  const fault = nameFault(alternate, rules);
  if (fault === undefined) return alternate;
  throw new RekeyError('SECRET_VALUE_INVALID', `the alternate of "username" (with or without "${SUFFIX}") ${fault}`);
}

/**
 * The two users and their administrator. Connects to no database.
 * @throws RekeyError SECRET_VALUE_INVALID, and as {@link administratorOf}
 */
export async function userPair(rotation: Rotation): Promise<UserPair> {
  const { current, rules } = rotation;
  const admin = await administratorOf(rotation);
  const alternate = alternateOf(current, rules);
  // One user as its own administrator would lock itself out half-way.
  if (admin.username === current.username || admin.username === alternate)
    throw adminInvalid(rotation, `its user "${admin.username}" is one of the two that take turns`);
  return {
    admin,
    current: current.username,
    alternate,
    database: current.database,
  };
}
