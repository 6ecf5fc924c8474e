import { RekeyError } from '../operations/errors.ts';
import { type DatabaseSecret, parseDatabaseSecret } from '../secrets/database-secret.ts';
import { PREVIOUS } from '../secrets/port.ts';
import { type Rotation, requireCurrentLogin, requireLogin, type Strategy } from './strategy.ts';

/**
 * One user changes its own password. From setSecret on, the old password is refused while AWSCURRENT still names it:
 * clients that connect in those seconds must retry. Use alternating users where that is too much.
 */
export const singleUser: Strategy = {
  name: 'single-user',

  nextUsername: (current) => current.username,

  async check() {},

  async set(rotation, pending) {
    if (await changedBy(rotation.current, rotation, pending)) return 'set';
    // Refused: an earlier attempt, or a sibling at this moment, has already changed the password. This order keeps
    // the normal case free of failed logins, which count towards a lockout.
    const login = await rotation.engine.login(pending, rotation.deadline);
    if (login.kind === 'accepted') return 'alreadySet';
    // AWS's functions try this as well: it helps when a wrong value was put into AWSCURRENT by hand.
    const previous = await previousOf(rotation);
    if (previous && (await changedBy(previous, rotation, pending))) return 'set';
    throw new RekeyError(
      'LOGIN_REFUSED',
      `the database refuses user "${pending.username}" with the current, the pending and the previous password`,
    );
  },

  test: (rotation, pending) => requireLogin(rotation, pending),

  async preflight(rotation) {
    await requireCurrentLogin(rotation);
    return [];
  },
};

/** Whether the user could change its password over this login; false when the server refused the login itself. */
async function changedBy(present: DatabaseSecret, { engine, deadline }: Rotation, pending: DatabaseSecret) {
  try {
    await engine.setOwnPassword(present, pending.password, deadline);
    return true;
  } catch (error) {
    if (error instanceof RekeyError && error.code === 'LOGIN_REFUSED') return false;
    throw error;
  }
}

/** The previous login, where it is one of the same user at the same server: checked before any connection. */
async function previousOf({ store, secretArn, current, rules, hosts }: Rotation): Promise<DatabaseSecret | undefined> {
  const staged = await store.readStage(secretArn, PREVIOUS);
  if (!staged) return undefined;
  let previous: DatabaseSecret;
  try {
    previous = parseDatabaseSecret(staged.value, { what: `${PREVIOUS} of ${secretArn}`, rules, hosts });
  } catch {
    return undefined; // It is a last resort only: that it cannot be read is not why this rotation fails.
  }
  const sameUser = previous.username === current.username;
  const sameServer = previous.host === current.host && previous.port === current.port;
  return sameUser && sameServer ? previous : undefined;
}
