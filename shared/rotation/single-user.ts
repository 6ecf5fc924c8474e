import type { Credentials } from '../engines/port.ts';
import { hasCode } from '../operations/errors.ts';
import { type DatabaseSecret, sameServer } from '../secrets/database-secret.ts';
import { PREVIOUS } from '../secrets/port.ts';
import { administratorOf, asAdministrator, resetByAdministrator } from './administrator.ts';
import { readStaged } from './secret-reader.ts';
import { type Rotation, requireCurrentLogin, requireLogin, type Strategy } from './strategy.ts';

/**
 * One user changes its own password. From setSecret on, the old password is refused while AWSCURRENT still names it:
 * clients that connect in those seconds must retry. Use another strategy where that is too much.
 */
export const singleUser: Strategy = {
  name: 'single-user',
  hasGap: true,

  nextUsername: async ({ current }) => current.username,

  async check() {},

  async set(rotation, pending) {
    if (await changedBy(rotation.current, rotation, pending)) return 'set';
    // Refused: an earlier attempt, or a sibling at this moment, has already changed the password. This order keeps
    // the normal case free of failed logins, which count towards a lockout.
    const login = await rotation.engine.login(pending, rotation.deadline, witnessOf(rotation));
    if (login.kind === 'accepted') return 'alreadySet';
    // AWS's functions try this as well: it helps when a wrong value was put into AWSCURRENT by hand.
    const previous = await previousOf(rotation);
    if (previous && (await changedBy(previous, rotation, pending))) return 'set';
    const which = `user "${pending.username}" with every password of the secret`;
    await resetByAdministrator(rotation, pending, { which, refusal: login });
    return 'set';
  },

  test: (rotation, pending) => requireLogin(rotation, pending, witnessOf(rotation)),

  async preflight(rotation) {
    await requireCurrentLogin(rotation, witnessOf(rotation));
    const { engine, current, deadline } = rotation;
    await byItselfOrAdministrator(rotation, current, async (acting) =>
      engine.rehearse?.({ acting, username: current.username }, deadline),
    );
    return [];
  },

  async retire() {
    return { kind: 'nothingToRetire', why: 'a single user: the previous password was replaced in setSecret' };
  },
};

/** The administrator that the secret names, if any: a single user needs none. */
export const witnessOf = (rotation: Rotation) => async () =>
  rotation.current.masterArn === undefined ? undefined : (await administratorOf(rotation)).login;

/** Whether the password could be changed over this login; false when the server refused the login itself. */
async function changedBy(present: DatabaseSecret, rotation: Rotation, pending: DatabaseSecret) {
  const { engine, deadline } = rotation;
  const { username, password } = pending;
  return byItselfOrAdministrator(rotation, present, async (acting) => {
    try {
      await engine.setPassword({ acting, username, password }, deadline);
      return true;
    } catch (error) {
      if (acting === present && hasCode(error, 'LOGIN_REFUSED')) return false;
      throw error;
    }
  });
}

/** A login may be right and not allowed to change itself (Redis; RDS with rds.restrict_password_commands). */
async function byItselfOrAdministrator<T>(
  rotation: Rotation,
  itself: DatabaseSecret,
  work: (acting: Credentials) => Promise<T>,
): Promise<T> {
  try {
    return await work(itself);
  } catch (error) {
    const powerless = hasCode(error, 'PRIVILEGE_MISSING');
    if (!powerless || rotation.current.masterArn === undefined) throw error;
    return await asAdministrator(rotation, work);
  }
}

/** The previous login, where it is one of the same user at the same database: checked before any connection. */
async function previousOf(rotation: Rotation): Promise<DatabaseSecret | undefined> {
  const { current } = rotation;
  // It is a last resort only: that it cannot be read is not why this rotation fails.
  const previous = await readStaged(rotation, PREVIOUS).catch(() => undefined);
  if (previous === undefined) return undefined;
  const same = previous.username === current.username && previous.database === current.database;
  return same && sameServer(previous, current) ? previous : undefined;
}
