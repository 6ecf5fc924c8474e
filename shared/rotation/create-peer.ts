import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { withLogin } from '../secrets/database-secret.ts';
import { generatePassword } from '../secrets/password.ts';
import { CURRENT, PENDING, STANDBY, versionWithStage } from '../secrets/port.ts';
import { administratorOf, asAdministrator } from './administrator.ts';
import { administeredPair, alternateOf } from './alternating-users.ts';
import { rotationOf } from './rotation.ts';
import { readLogin, readStaged } from './secret-reader.ts';
import { type Database, requireCurrentLogin, type Surroundings } from './strategy.ts';
import { isBeside, standbyVersionId } from './user-pair.ts';

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
  const { current, options, rules, store } = rotation;
  const username = alternateOf(current, rules);
  const administrator = await administratorOf(rotation);
  administeredPair(rotation, administrator.login);
  // Whoever wrote this secret must know the password of the user whose rights the peer is about to get.
  await requireCurrentLogin(rotation, async () => administrator.login);

  const versionId = standbyVersionId('peer', rotation);
  const before = await readStaged(rotation, STANDBY);
  let standby = before?.username === username && isBeside(current, before) ? before : undefined;
  // Stored with other tags: as when a policy refused it, and the tags were changed to suit.
  if (standby && versionWithStage(secret, STANDBY) !== versionId)
    if ((await rotation.engine.login(standby, deadline)).kind === 'refused') standby = undefined;
  if (!standby) {
    // Stored before the database hears of it, under an id that a second try finds again.
    const value = withLogin(current, { username, password: generatePassword(options, rules) });
    const version = { secretId: secretArn, versionId, stage: STANDBY, value, rotationToken: undefined } as const;
    const written = await store.writeVersion(version);
    const theirs = written === 'taken' ? (await store.read(secretArn, versionId))?.value : undefined;
    standby = await readLogin(theirs ?? value, STANDBY, rotation);
  }
  const { password } = standby;
  await asAdministrator(
    rotation,
    (admin) => userPair.createPeer(administeredPair(rotation, admin), password, deadline),
    administrator,
  );
  return { kind: before === standby ? 'alreadyCreated' : 'created', user: username };
}
