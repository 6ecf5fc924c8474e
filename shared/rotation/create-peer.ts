import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError, RekeyError } from '../operations/errors.ts';
import type { DatabaseSecret } from '../secrets/database-secret.ts';
import { CURRENT, PENDING, PREVIOUS, STANDBY, versionWithStage } from '../secrets/port.ts';
import { administratorOf, asAdministrator } from './administrator.ts';
import { administeredPair, alternateOf } from './alternating-users.ts';
import { rotationOf } from './rotation.ts';
import { readStaged } from './secret-reader.ts';
import { type Database, type Rotation, requireCurrentLogin, type Surroundings } from './strategy.ts';
import { isBeside, standbyVersionId, storeStandby } from './user-pair.ts';

export type PeerOutcome = { readonly kind: 'created' | 'alreadyCreated'; readonly user: string };

/**
 * Makes the second user of a pair, once, so that the strategy user-pair can rotate without an administrator from then
 * on: a peer of the current user, whose login waits under REKEYSTANDBY. It is named like AWS's alternate user. May be
 * repeated after a crash at any point.
 * @throws RekeyError SECRET_VALUE_INVALID without `masterarn`, STRATEGY_UNAVAILABLE, ROTATION_RUNNING, and as rotation
 */
export async function createPeer(
  secretArn: string,
  deps: Surroundings & Database,
  deadline: Deadline,
): Promise<PeerOutcome> {
  const { userPair, name } = deps.engine;
  if (!userPair) throw new RekeyError('STRATEGY_UNAVAILABLE', `${name} does not know the strategy user-pair`);
  const secret = await deps.store.describe(secretArn);
  const currentVersion = versionWithStage(secret, CURRENT);
  const stored = currentVersion === undefined ? undefined : await deps.store.read(secretArn, currentVersion);
  if (currentVersion === undefined || !stored)
    throw new RekeyError('CURRENT_MISSING', `no version of ${secretArn} is labelled ${CURRENT}`);
  const pending = versionWithStage(secret, PENDING);
  if (pending !== undefined && pending !== currentVersion)
    throw new RekeyError('ROTATION_RUNNING', `${secretArn} is being rotated to version ${pending}`);

  const rotation = await rotationOf(secret, { versionId: currentVersion, stored }, deps, deadline);
  const { current, rules } = rotation;
  const username = alternateOf(current, rules);
  const administrator = await administratorOf(rotation);
  administeredPair(rotation, administrator.login);
  // Whoever wrote this secret must know the password of the user whose rights the peer is about to get.
  await requireCurrentLogin(rotation, async () => administrator.login);

  const versionId = standbyVersionId('peer', rotation);
  const before = await storedLogin(rotation, username, versionId);
  const { password } = before ?? (await storeStandby(rotation, versionId, current, username));
  await asAdministrator(
    rotation,
    (admin) => userPair.createPeer(administeredPair(rotation, admin), password, deadline),
    administrator,
  );
  return { kind: before ? 'alreadyCreated' : 'created', user: username };
}

/**
 * The peer's login, where the secret has one: stored for these tags, and perhaps not set yet, or one that the server
 * takes. After a rotation that is the one under AWSPREVIOUS, on which consumers may still run.
 */
async function storedLogin(
  rotation: Rotation,
  username: string,
  versionId: string,
): Promise<DatabaseSecret | undefined> {
  for (const stage of [STANDBY, PREVIOUS]) {
    const login = await readStaged(rotation, stage).catch((error: unknown) => {
      if (asRekeyError(error).retryable) throw error;
      return undefined; // what cannot be read is nobody's login
    });
    if (login?.username !== username || !isBeside(rotation.current, login)) continue;
    if (versionWithStage(rotation, stage) === versionId) return login;
    // As when a policy refused it, and the tags were changed to suit.
    if ((await rotation.engine.login(login, rotation.deadline)).kind === 'accepted') return login;
  }
  return undefined;
}
