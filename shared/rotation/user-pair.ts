import { createHash } from 'node:crypto';
import { LoginRefused } from '../engines/login-refused.ts';
import type { Credentials, UserPairEngine } from '../engines/port.ts';
import { hasCode, RekeyError } from '../operations/errors.ts';
import { type DatabaseSecret, withLogin } from '../secrets/database-secret.ts';
import { generatePassword } from '../secrets/password.ts';
import { PREVIOUS, STANDBY, versionWithStage } from '../secrets/port.ts';
import { requireOwnership, resetByAdministrator, restoreOwnership } from './administrator.ts';
import { unseenSessions } from './readers.ts';
import { readLogin, readStaged } from './secret-reader.ts';
import { witnessOf } from './single-user.ts';
import { loginRefused, pendingRefused, type Rotation, requireCurrentLogin, type Strategy } from './strategy.ts';

/**
 * Two users made beforehand take turns, each changing its own password: no administrator is needed, and neither can
 * touch the other. AWSCURRENT logs in at every instant.
 *
 * The user that is not in use has its login under REKEYSTANDBY, where it was put when it was made or when the previous
 * credential was retired, else under AWSPREVIOUS.
 */
export function userPair(engine: UserPairEngine): Strategy {
  const compare = (rotation: Rotation, other: Credentials) =>
    engine.peerDifferences(rotation.current, other, rotation.deadline, witnessOf(rotation));

  return {
    name: 'user-pair',
    hasGap: false,

    async nextUsername(rotation, step, pending) {
      const vetted = step === 'testSecret' || step === 'finishSecret';
      if (vetted && pending && pending.username !== rotation.current.username) return pending.username;
      return (await standbyOf(rotation)).username;
    },

    async check() {},

    async set(rotation, pending) {
      for await (const standby of standbyLogins(rotation))
        if (standby.username === pending.username && (await changed(rotation, standby, pending))) return 'set';
      // The server knows none of them: an earlier try has set the pending password, or the database was restored.
      const outcome = await requirePending(rotation, pending);
      await requireOwnership(rotation, witnessOf(rotation));
      await requireSame(rotation, pending, () => compare(rotation, pending));
      return outcome;
    },

    test: (rotation, pending) => requireSame(rotation, pending, () => compare(rotation, pending)),

    async tidy({ store, secretArn, stages }) {
      // It named the user that is current now, with the password before.
      const versionId = versionWithStage({ stages }, STANDBY);
      if (versionId !== undefined) await store.withdrawLabel(secretArn, STANDBY, versionId);
    },

    async preflight(rotation) {
      await requireCurrentLogin(rotation, witnessOf(rotation));
      let refused: RekeyError | undefined;
      for await (const standby of standbyLogins(rotation)) {
        const login = await rotation.engine.login(standby, rotation.deadline, witnessOf(rotation));
        if (login.kind === 'accepted') {
          await rotation.engine.rehearse?.({ acting: standby, username: standby.username }, rotation.deadline);
          // A rotation makes nothing equal here: there is nobody to act but the two themselves.
          const differences = await compare(rotation, standby);
          if (differences.length > 0) throw rightsDiffer(rotation, standby, differences);
          return [];
        }
        refused = loginRefused(`the other login of the pair, "${standby.username}"`, login);
      }
      throw refused ?? standbyMissing(rotation);
    },

    async retire(rotation, previous, stillWanted) {
      const { current, deadline } = rotation;
      if (!previous) return { kind: 'nothingToRetire', why: `no version is labelled ${PREVIOUS}` };
      if (previous.username === current.username)
        return { kind: 'nothingToRetire', why: `${PREVIOUS} names the same user as the current version` };
      const unseen = await unseenSessions(rotation, previous);
      if (unseen !== undefined) return { kind: 'leftAlone', why: unseen };
      const user = previous.username;
      await requireCurrentLogin(rotation);
      let sessions: Awaited<ReturnType<UserPairEngine['ownSessions']>>;
      try {
        sessions = await engine.ownSessions(previous, deadline);
      } catch (error) {
        if (!hasCode(error, 'LOGIN_REFUSED')) throw error;
        // Refused is what it is meant to be, if that is our doing: it may be locked for the moment only.
        const standby = await readStaged(rotation, STANDBY);
        const ours = standby?.username === user && (await rotation.engine.login(standby, deadline)).kind === 'accepted';
        return ours
          ? { kind: 'retired', user }
          : { kind: 'leftAlone', why: `the server refuses "${user}" already, and not because of Rekey` };
      }
      if (sessions.length > 0) return { kind: 'sessionsOpen', user, sessions };
      if (!(await stillWanted())) return { kind: 'superseded' };

      const versionId = standbyVersionId('standby', rotation, versionWithStage(rotation, PREVIOUS));
      const { password } = await storeStandby(rotation, versionId, previous, user);
      await rotation.engine.setPassword({ acting: previous, username: user, password }, deadline);
      return { kind: 'retired', user };
    },
  };

  /** @returns false when the server refuses this login */
  async function changed(rotation: Rotation, standby: Credentials, pending: DatabaseSecret): Promise<boolean> {
    const { current, deadline } = rotation;
    const change = () =>
      engine.changePeer({ current, other: standby }, pending.password, deadline, witnessOf(rotation));
    let outcome = await change();
    if (outcome.kind === 'refused' && outcome.login === 'current') {
      await restoreOwnership(rotation, outcome.refusal);
      outcome = await change();
    }
    if (outcome.kind === 'differ') throw rightsDiffer(rotation, pending, outcome.differences);
    if (outcome.kind === 'refused' && outcome.login === 'current')
      throw loginRefused(`the current login "${current.username}"`, outcome.refusal);
    return outcome.kind === 'changed';
  }

  async function requirePending(rotation: Rotation, pending: DatabaseSecret): Promise<'set' | 'alreadySet'> {
    const login = await rotation.engine.login(pending, rotation.deadline, witnessOf(rotation));
    if (login.kind === 'accepted') return 'alreadySet';
    const which = `the other user of the pair, "${pending.username}", with every password of the secret`;
    await resetByAdministrator(rotation, pending, { which, refusal: login });
    return 'set';
  }
}

/**
 * Follows from the version that is current, so that a second try finds the password of the first; from the one whose
 * login is retired, because a version that was moved back to is current twice; and from what the tags ask of a password,
 * so that one which the server's policy refuses is not tried for ever.
 */
export function standbyVersionId(
  what: 'peer' | 'standby',
  { currentVersion, options }: Rotation,
  retired?: string,
): string {
  const { passwordLength, excludeCharacters } = options;
  const source = [what, currentVersion, ...(retired === undefined ? [] : [retired]), passwordLength, excludeCharacters];
  return createHash('sha256').update(source.join(' ')).digest('hex');
}

/**
 * A new password for the user that is not in use, stored before the database hears of it.
 * @param like a secret that is the same in all else
 * @returns what is stored: an earlier try may have been first
 * @throws RekeyError SECRETS_MANAGER_UNAVAILABLE
 */
export async function storeStandby(
  rotation: Rotation,
  versionId: string,
  like: DatabaseSecret,
  username: string,
): Promise<DatabaseSecret> {
  const { store, secretArn: secretId, options, rules } = rotation;
  const value = withLogin(like, { username, password: generatePassword(options, rules) });
  const version = { secretId, versionId, stage: STANDBY, value, rotationToken: undefined } as const;
  if ((await store.writeVersion(version)) === 'stored') return readLogin(value, STANDBY, rotation);
  const theirs = await store.read(secretId, versionId);
  if (!theirs)
    throw new RekeyError('SECRETS_MANAGER_UNAVAILABLE', `version ${versionId} of ${secretId} is not readable yet`);
  return readLogin(theirs.value, STANDBY, rotation);
}

/**
 * The login of the user that is not in use, as it most likely is.
 * @throws RekeyError STANDBY_MISSING
 */
async function standbyOf(rotation: Rotation): Promise<DatabaseSecret> {
  for await (const login of standbyLogins(rotation)) return login;
  throw standbyMissing(rotation);
}

const standbyMissing = ({ secretArn, current }: Rotation) =>
  new RekeyError('STANDBY_MISSING', `no version of ${secretArn} names the other user of "${current.username}"`);

/** Checked before any connection: a login is never tried at a server that the current version does not name. */
export const isBeside = (current: Credentials, { host, port, database }: Credentials): boolean =>
  host === current.host && port === current.port && database === current.database;

/** The logins that the user which is not in use may have, the likeliest first. */
async function* standbyLogins(rotation: Rotation): AsyncGenerator<DatabaseSecret> {
  const { current, secretArn } = rotation;
  for (const stage of [STANDBY, PREVIOUS]) {
    const login = await readStaged(rotation, stage);
    // After a rotation REKEYSTANDBY may name the user that came into use, if nothing took the label away.
    if (login === undefined || login.username === current.username) continue;
    if (!isBeside(current, login))
      throw new RekeyError('STANDBY_MISSING', `${stage} of ${secretArn} is for another host, port or dbname`);
    yield login;
  }
}

/**
 * @param compare what the two users differ in; it logs in as the pending user on the way
 * @throws RekeyError PENDING_REFUSED, RIGHTS_DIFFER
 */
export async function requireSame(
  rotation: Rotation,
  pending: DatabaseSecret,
  compare: () => Promise<readonly string[]>,
): Promise<void> {
  const differences = await compare().catch((error: unknown) => {
    const itsLogin = error instanceof LoginRefused && error.username === pending.username;
    throw itsLogin ? pendingRefused(pending, error.refusal) : error;
  });
  if (differences.length > 0) throw rightsDiffer(rotation, pending, differences);
}

const rightsDiffer = ({ current }: Rotation, { username }: Credentials, differences: readonly string[]) =>
  new RekeyError('RIGHTS_DIFFER', `"${username}" is not yet what "${current.username}" is: ${differences.join('; ')}`);
