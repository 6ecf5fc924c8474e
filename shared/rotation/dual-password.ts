import type { Credentials, DualPasswordEngine } from '../engines/port.ts';
import { hasCode } from '../operations/errors.ts';
import type { DatabaseSecret } from '../secrets/database-secret.ts';
import { asAnotherThan, requireAdministratorNamed, resetByAdministrator } from './administrator.ts';
import { witnessOf } from './single-user.ts';
import { type Rotation, requireCurrentLogin, requireLogin, type Strategy } from './strategy.ts';

/**
 * One user with two passwords: the new one is added, and the old one goes on working until it is retired or the next
 * rotation takes its place. AWSCURRENT logs in at every instant.
 */
export function dualPassword(engine: DualPasswordEngine): Strategy {
  return {
    name: 'dual-password',
    hasGap: false,

    nextUsername: async ({ current }) => current.username,

    async check(rotation) {
      if (rotation.current.masterArn !== undefined) requireAdministratorNamed(rotation);
    },

    async set(rotation, pending, stillWanted) {
      const { current } = rotation;
      // An administrator acts: whoever wrote this secret must know the password of the user that is changed.
      const requireOwner = () => requireCurrentLogin(rotation, witnessOf(rotation));
      try {
        if (current.masterArn === undefined) return OUTCOMES[await addPassword(rotation, pending, stillWanted)];
        await requireOwner();
      } catch (error) {
        // Of the current login alone: that an administrator is refused says nothing of this user.
        if (!hasCode(error, 'LOGIN_REFUSED')) throw error;
        const login = await rotation.engine.login(pending, rotation.deadline, witnessOf(rotation));
        if (login.kind === 'accepted') return 'alreadySet';
        // The old password first: it is the one that clients have.
        const which = `user "${current.username}" with every password of the secret`;
        await resetByAdministrator(rotation, current, { which, refusal: login });
        await requireOwner();
      }
      return OUTCOMES[await addPassword(rotation, pending, stillWanted)];
    },

    test: (rotation, pending) => requireLogin(rotation, pending, witnessOf(rotation)),

    async preflight(rotation) {
      await requireCurrentLogin(rotation, witnessOf(rotation));
      const { current, deadline } = rotation;
      await changing(rotation, (acting) => engine.rehearse({ acting, username: current.username }, deadline));
      return [];
    },

    async retire(rotation, previous, stillWanted) {
      const { current, deadline } = rotation;
      if (!previous) return { kind: 'nothingToRetire', why: 'there is no previous version' };
      if (previous.username !== current.username)
        return { kind: 'leftAlone', why: 'the previous version names another user' };
      await requireCurrentLogin(rotation, witnessOf(rotation));
      // Sessions cannot be told apart by the password that they began with; they live on, whichever it was.
      const result = await changing(rotation, (acting) =>
        engine.discardOld({ acting, kept: current }, stillWanted, deadline),
      );
      return result === 'discarded' ? { kind: 'retired', user: current.username } : { kind: 'superseded' };
    },
  };

  async function addPassword(
    rotation: Rotation,
    { username, password }: DatabaseSecret,
    stillWanted: () => Promise<boolean>,
  ) {
    const { current, deadline } = rotation;
    return changing(rotation, (acting) =>
      engine.addPassword({ acting, username, password, present: current }, stillWanted, deadline),
    );
  }
}

/** Who changes the passwords: the user itself, unless the secret names an administrator. */
function changing<T>(rotation: Rotation, work: (acting: Credentials) => Promise<T>): Promise<T> {
  const { current } = rotation;
  return current.masterArn === undefined ? work(current) : asAnotherThan(current.username, rotation, work);
}

const OUTCOMES = { added: 'set', alreadyAdded: 'alreadySet', notWanted: 'notWanted' } as const;
