import type { AdministeredPair, AlternatingUsersEngine, Credentials, UserPair } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { type DatabaseSecret, nameFault } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import { PREVIOUS } from '../secrets/port.ts';
import { accepts } from '../secrets/tags.ts';
import {
  adminInvalid,
  administratorOf,
  asAdministrator,
  requireAdministratorNamed,
  requireOwnership,
} from './administrator.ts';
import { unseenSessions } from './readers.ts';
import { type Rotation, requireCurrentLogin, requireLogin, type Strategy } from './strategy.ts';
import { requireSame } from './user-pair.ts';

/**
 * Two users take turns, and an administrator prepares the one that is not in use. AWSCURRENT is never touched: it
 * logs in at every instant.
 */
export function alternatingUsers(engine: AlternatingUsersEngine): Strategy {
  return {
    name: 'alternating-users',
    hasGap: false,

    nextUsername: async ({ current, rules }) => alternateOf(current, rules),

    async check(rotation) {
      requireAdministratorNamed(rotation);
    },

    async set(rotation, pending, stillWanted) {
      const known = await administratorOf(rotation);
      administeredPair(rotation, known.login);
      await requireOwnership(rotation, async () => known.login);
      // Always whole: that pending logs in already does not show that its rights were finished, and reconciling what
      // is the same changes nothing.
      const prepare = (admin: Credentials) =>
        engine.prepareAlternate(administeredPair(rotation, admin), pending.password, stillWanted, rotation.deadline);
      return (await asAdministrator(rotation, prepare, known)) === 'prepared' ? 'set' : 'notWanted';
    },

    async test(rotation, pending) {
      const witness = async () => (await administratorOf(rotation)).login;
      if (engine.observer === 'either-user')
        // The look at the rights is the login as well.
        return requireSame(rotation, pending, () =>
          engine.differences(userPairOf(rotation), pending, rotation.deadline, witness),
        );
      await requireLogin(rotation, pending, witness);
      await requireSame(rotation, pending, () =>
        asAdministrator(rotation, (admin) =>
          engine.differences(administeredPair(rotation, admin), admin, rotation.deadline),
        ),
      );
    },

    async preflight(rotation) {
      const known = await administratorOf(rotation);
      administeredPair(rotation, known.login);
      await requireCurrentLogin(rotation, async () => known.login);
      const look = async (admin: Credentials) => {
        const pair = administeredPair(rotation, admin);
        const missing = await engine.missingForAlternate(pair, rotation.deadline);
        if (missing.length > 0)
          throw new RekeyError(
            'PRIVILEGE_MISSING',
            `the administrator "${admin.username}" cannot prepare "${pair.alternate}"`,
            `Run as a superuser or the owner, then rotate: ${missing.join('; ')}`,
          );
        return engine.differences(pair, admin, rotation.deadline);
      };
      return asAdministrator(rotation, look, known);
    },

    async retire(rotation, previous, stillWanted) {
      if (!previous) return { kind: 'nothingToRetire', why: `no version is labelled ${PREVIOUS}` };
      const { current, rules, deadline } = rotation;
      if (previous.username === current.username)
        return { kind: 'nothingToRetire', why: `${PREVIOUS} names the same user as the current version` };
      if (previous.username !== alternateOf(current, rules))
        return { kind: 'leftAlone', why: `${PREVIOUS} names a user that is not the alternate of the current one` };
      const admin = (await administratorOf(rotation)).login;
      const unseen = await unseenSessions(rotation, admin);
      if (unseen !== undefined) return { kind: 'leftAlone', why: unseen };
      const pair = administeredPair(rotation, admin);
      // If the current user were refused, the previous one might be all that still works.
      await requireCurrentLogin(rotation, async () => admin);
      const result = await engine.disableAlternate(pair, stillWanted, deadline);
      switch (result.kind) {
        case 'disabled':
          return { kind: 'retired', user: pair.alternate };
        case 'sessionsOpen':
          return { kind: 'sessionsOpen', user: pair.alternate, sessions: result.sessions };
        case 'notWanted':
          return { kind: 'superseded' };
      }
    },
  };
}

const SUFFIX = '_clone';

/** The naming of AWS's own functions, so that an existing pair of users moves over unchanged. */
export function alternateOf(current: Pick<DatabaseSecret, 'username'>, rules: EngineRules): string {
  const { username } = current;
  const alternate = username.endsWith(SUFFIX) ? username.slice(0, -SUFFIX.length) : username + SUFFIX;
  const fault = nameFault(alternate, rules);
  if (fault === undefined) return alternate;
  throw new RekeyError('SECRET_VALUE_INVALID', `the alternate of "username" (with or without "${SUFFIX}") ${fault}`);
}

/** @throws RekeyError ADMIN_SECRET_INVALID when the administrator is one of the two */
export function administeredPair(rotation: Rotation, admin: Credentials): AdministeredPair {
  const pair = userPairOf(rotation);
  // One user as its own administrator would lock itself out half-way.
  if ([pair.current, pair.alternate].includes(admin.username))
    throw adminInvalid(rotation, `its user "${admin.username}" is one of the two that take turns`);
  return { ...pair, admin, acceptTakeOver: accepts(rotation.options, 'take-over') };
}

const userPairOf = ({ current, rules }: Rotation): UserPair => ({
  current: current.username,
  alternate: alternateOf(current, rules),
  database: current.database,
});
