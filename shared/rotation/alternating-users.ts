import type { AdministeredPair, AlternatingUsersEngine, Credentials, UserPair } from '../engines/port.ts';
import { RekeyError } from '../operations/errors.ts';
import { type DatabaseSecret, nameFault } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import { PREVIOUS } from '../secrets/port.ts';
import { accepts } from '../secrets/tags.ts';
import { adminInvalid, administratorOf, asAdministrator, requireAdministratorNamed } from './administrator.ts';
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

    async set(rotation, pending) {
      await asAdministrator(rotation, async (admin) => {
        const pair = administeredPair(rotation, admin);
        await requireOwnership(rotation, admin);
        // Always whole: that pending logs in already does not show that its rights were finished, and reconciling what
        // is the same changes nothing.
        await engine.prepareAlternate(pair, pending.password, rotation.deadline);
      });
      return 'set';
    },

    async test(rotation, pending) {
      const witness = async () => (await administratorOf(rotation)).login;
      if (engine.observer === 'either-user')
        // The look at the rights is the login as well.
        return requireSame(
          rotation,
          pending,
          () => engine.differences(userPairOf(rotation), pending, rotation.deadline),
          witness,
        );
      await requireLogin(rotation, pending, witness);
      await requireSame(rotation, pending, () =>
        asAdministrator(rotation, (admin) =>
          engine.differences(administeredPair(rotation, admin), admin, rotation.deadline),
        ),
      );
    },

    preflight: (rotation) =>
      asAdministrator(rotation, async (admin) => {
        const pair = administeredPair(rotation, admin);
        await requireCurrentLogin(rotation, async () => admin);
        const missing = await engine.missingForAlternate(pair, rotation.deadline);
        if (missing.length > 0)
          throw new RekeyError(
            'PRIVILEGE_MISSING',
            `the administrator "${admin.username}" cannot prepare "${pair.alternate}"`,
            `Run as a superuser or the owner, then rotate: ${missing.join('; ')}`,
          );
        return engine.differences(pair, admin, rotation.deadline);
      }),

    async retire(rotation, previous, stillWanted) {
      if (!previous) return { kind: 'nothingToRetire', why: `no version is labelled ${PREVIOUS}` };
      const { current, rules, deadline } = rotation;
      if (previous.username === current.username)
        return { kind: 'nothingToRetire', why: `${PREVIOUS} names the same user as the current version` };
      if (previous.username !== alternateOf(current, rules))
        return { kind: 'leftAlone', why: `${PREVIOUS} names a user that is not the alternate of the current one` };
      const admin = (await administratorOf(rotation)).login;
      // A writer lists the sessions of its own server alone: of those at a reader nobody could say that they have ended.
      if (admin.host !== current.host || admin.port !== current.port)
        return {
          kind: 'leftAlone',
          why: `the secret names ${current.host}, whose sessions ${admin.host} does not show`,
        };
      const pair = administeredPair(rotation, admin);
      // If the current user were refused, the previous one might be all that still works.
      await requireCurrentLogin(rotation, async () => admin);
      const result = await engine.disableAlternate(pair, stillWanted, deadline);
      switch (result.kind) {
        case 'disabled':
          return { kind: 'retired', user: pair.alternate };
        case 'sessions-open':
          return { kind: 'sessionsOpen', user: pair.alternate, sessions: result.sessions };
        case 'not-wanted':
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

/**
 * Whoever wrote this secret must know the password of the user whose rights the other one is about to get. A database
 * that was restored does not know it any more: then it takes a person's word.
 */
async function requireOwnership(rotation: Rotation, admin: Credentials): Promise<void> {
  try {
    await requireCurrentLogin(rotation, async () => admin);
  } catch (error) {
    const refused = error instanceof RekeyError && error.code === 'LOGIN_REFUSED';
    if (!refused || !accepts(rotation.options, 'admin-reset')) throw error;
    rotation.log.warn('the current login is refused; the tag rekey:accept lets the administrator go on', {
      user: rotation.current.username,
    });
  }
}
