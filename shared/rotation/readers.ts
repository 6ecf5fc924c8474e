import type { Credentials, Login, Refusal } from '../engines/port.ts';
import { hasCode, RekeyError } from '../operations/errors.ts';
import type { DatabaseSecret } from '../secrets/database-secret.ts';
import { type Address, sameAddress } from '../topology/port.ts';
import { isCustomEndpoint, serverAt } from '../topology/server.ts';
import { administratorOf } from './administrator.ts';
import { addressOf, loginAt } from './secret-reader.ts';
import { pendingRefused, type Rotation } from './strategy.ts';

/**
 * Waits between logins at a server that only replicates, 30 s in all. A refusal there counts towards a lock-out like any
 * other, and each server counts for itself: so never two within 2 s, and five at most. Most replicas have caught up by
 * the second.
 */
const LAG_DELAYS_MS = [2_000, 4_000, 8_000, 16_000];
/** One more login after a wait. */
const LOGIN_MS = 3_000;

/**
 * Runs the strategy's test, and logs in at every reader that the tag names. Only what the strategy changed just now is
 * looked for, so a refusal may mean that a replica is behind; a network failure says nothing of that and is thrown.
 * @throws RekeyError as `test`; PENDING_REFUSED when a reader goes on refusing
 */
export async function testEverywhere(
  rotation: Rotation,
  pending: DatabaseSecret,
  test: () => Promise<void>,
): Promise<void> {
  try {
    await test();
  } catch (error) {
    const refused = hasCode(error, 'PENDING_REFUSED');
    if (!refused || !(await isReplica(rotation))) throw error;
    const refusal = await refusalOnceCaughtUp(rotation, pending, LAG_DELAYS_MS);
    if (refusal) throw stillRefused(pending, refusal);
    await test();
  }
  for (const reader of rotation.options.readers) {
    const login = loginAt(pending, addressOf(reader, pending));
    const refusal = await refusalOnceCaughtUp(rotation, login, [0, ...LAG_DELAYS_MS]);
    if (refusal) throw stillRefused(login, refusal);
  }
}

/** @param delaysMs before each login; the wait comes first where the server has just refused one */
async function refusalOnceCaughtUp(
  { engine, clock, deadline }: Rotation,
  login: Credentials,
  delaysMs: readonly number[],
): Promise<Refusal | undefined> {
  let answer: Login = { kind: 'refused', reason: 'password' };
  for (const delayMs of delaysMs) {
    if (deadline.remainingMs() < delayMs + LOGIN_MS) break;
    if (delayMs > 0) await clock.sleep(delayMs);
    answer = await engine.login(login, deadline);
    if (answer.kind === 'accepted') return undefined;
  }
  return answer;
}

function stillRefused(login: Credentials, refusal: Refusal): RekeyError {
  const { what } = pendingRefused(login, refusal);
  return new RekeyError(
    'PENDING_REFUSED',
    `at ${login.host}, which only replicates: ${what}`,
    'AWSCURRENT was not moved, and Secrets Manager runs all steps again by itself. If it repeats, look at the lag of the replica, or take it from the tag rekey:readers.',
  );
}

/** Whether the secret's own host gets its users from another server. Asked only once a login was refused there. */
async function isReplica(rotation: Rotation): Promise<boolean> {
  const { current, topology, deadline } = rotation;
  try {
    if (current.masterArn !== undefined) return !sameAddress((await administratorOf(rotation)).login, current);
    const server = await serverAt(current, topology, deadline);
    return server !== undefined && !sameAddress(server.writer, current);
  } catch {
    // What is reported is the refusal, not why nobody could say more of it.
    return false;
  }
}

/**
 * Why the server that is asked for open sessions would not list all of them, or undefined when it would: a server knows
 * its own sessions alone, and of those at a reader nobody could say that they have ended.
 * @param asked where the sessions are listed
 */
export async function unseenSessions(rotation: Rotation, asked: Address): Promise<string | undefined> {
  const { current, options, topology, deadline } = rotation;
  const { place } = current;
  if (!sameAddress(asked, current))
    return `the secret names ${current.host}, whose sessions ${asked.host} does not show`;
  if (options.readers.length > 0)
    return `the readers of the tag rekey:readers have sessions that ${asked.host} does not show`;
  // An alias, a proxy or a pooler opens its sessions at the server itself; a reader that RDS knows does not.
  if (place.kind !== 'address' || sameAddress(place, asked)) return undefined;
  if (isCustomEndpoint(place.host))
    return `the secret names ${place.host}, a custom endpoint: it may lead to readers, whose sessions ${asked.host} does not show`;
  const server = await serverAt(place, topology, deadline);
  if (server === undefined || sameAddress(server.writer, place)) return undefined;
  return `the secret names ${place.host}, a reader, whose sessions ${asked.host} does not show`;
}
