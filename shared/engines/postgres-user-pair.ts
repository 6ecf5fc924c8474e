import { RekeyError } from '../operations/errors.ts';
import { changeUnlessRefused } from './login-refused.ts';
import type { AdministeredPair, Credentials, PasswordChange, PeerChange, UserPairEngine } from './port.ts';
import { carryOut, isNotPermitted } from './postgres-carry-out.ts';
import { ask, askForBelongings, type Role } from './postgres-catalog.ts';
import { type Connection, quoteLiteral } from './postgres-connection.ts';
import { passwordRefused } from './postgres-errors.ts';
import { requireAdministered, requirePair, requireUserName } from './postgres-names.ts';
import { sessionsOf } from './postgres-open-sessions.ts';
import { lockSql } from './postgres-pair.ts';
import {
  NO_PEER_BELONGINGS,
  type PeerBelongings,
  type PeerSnapshot,
  peerBelongingsSql,
  peerQuestions,
  peerSnapshot,
} from './postgres-peer-catalog.ts';
import {
  foundation,
  obstacles,
  ownerNameFor,
  ownerOf,
  ownership,
  type Peers,
  peerDifferencesIn,
  rightsEverywhere,
  rightsHere,
} from './postgres-peers.ts';
import { giveLogin, type Step } from './postgres-rights.ts';
import type { Sessions, Transaction } from './postgres-session.ts';
import { scramVerifier } from './scram.ts';

/** How the two come to be peers: postgres-peers.ts. */
export function userPair(
  sessions: Sessions,
  passwordChange: (change: PasswordChange) => (transaction: Transaction) => Promise<void>,
): UserPairEngine {
  return {
    // The catalogue tells either of them everything.
    async peerDifferences(current, other, deadline, witness) {
      const peers = peersOf(current, other);
      const seen = await sessions.as(other, deadline, (connection) => observePeers(connection, peers), witness);
      return peerDifferencesIn(seen, peers);
    },

    async changePeer({ current, other }, password, deadline, witness) {
      const peers = peersOf(current, other);
      const change = passwordChange({ acting: other, username: other.username, password });
      const alive = sessions.as(current, deadline, async () => {}, witness);
      return changeUnlessRefused(alive, () =>
        sessions.change<PeerChange>(other, deadline, async (transaction) => {
          const differences = peerDifferencesIn(await observePeers(transaction, peers), peers);
          if (differences.length > 0) return { kind: 'differ', differences };
          await change(transaction);
          return { kind: 'changed' };
        }),
      );
    },

    ownSessions: (user, deadline) =>
      sessions.as(user, deadline, async (connection) =>
        (await sessionsOf(connection, [user.username])).map(({ user: _, ...session }) => session),
      ),

    async createPeer(pair, password, deadline) {
      requireAdministered(pair);
      requireUserName(ownerNameFor(pair.current));
      const verifier = scramVerifier(password);
      const admin = { ...pair.admin, database: pair.database };

      // In an order in which whatever comes to its end leaves the current user all its rights, and can be repeated.
      const { owner, databases } = await sessions.change(admin, deadline, async (transaction) => {
        const seen = await observePeers(transaction, pair, lockSql(pair));
        const found = {
          owner: ownerOf(seen, pair),
          databases: new Set(seen.elsewhere.map(({ database }) => database)),
        };
        requireNone(obstacles(seen, pair, found.owner), pair);
        await take(transaction, seen, foundation(seen, pair, found.owner), pair);
        await transaction.commit();
        return found;
      });
      for (const database of databases)
        await sessions.change({ ...admin, database }, deadline, async (transaction) => {
          const { seen, missing } = await moveObjects(transaction, pair, owner);
          await take(transaction, seen, rightsHere(seen, pair, owner), pair, missing);
          await transaction.commit();
        });
      await sessions.change(admin, deadline, async (transaction) => {
        const { seen, missing } = await moveObjects(transaction, pair, owner);
        const steps = [...rightsHere(seen, pair, owner), ...rightsEverywhere(seen, pair, owner)];
        await take(transaction, seen, steps, pair, missing);
        const after = await observePeers(transaction, pair);
        requireNone(peerDifferencesIn(after, pair), pair);
        const { sql, remedy } = giveLogin(after, roleIn(after, pair.alternate), verifier.expose());
        await transaction.commit(sql).catch((error: unknown) => {
          throw isNotPermitted(error) ? notPermitted(pair, [remedy]) : passwordRefused(error, pair.alternate);
        });
      });
    },
  };
}

/** @throws RekeyError USERNAME_INVALID */
function peersOf(current: Credentials, other: Credentials): Peers {
  const peers = { current: current.username, alternate: other.username };
  requirePair(peers);
  return peers;
}

/**
 * What the users own in this database becomes the owner's: first, as it decides who grants what else there is.
 * @returns what the administrator may not do besides, to be told together with all else that it may not
 */
async function moveObjects(
  transaction: Transaction,
  pair: AdministeredPair,
  owner: string,
): Promise<{ seen: PeerSnapshot; missing: readonly string[] }> {
  const seen = await observePeers(transaction, pair, lockSql(pair));
  requireNone(obstacles(seen, pair, owner), pair);
  const steps = [...ownership(seen, pair, owner)];
  if (steps.length === 0) return { seen, missing: [] };
  const missing = await carryOut(transaction, seen, steps);
  return { seen: await observePeers(transaction, pair), missing };
}

/** @throws RekeyError PRIVILEGE_MISSING */
async function take(
  connection: Connection,
  seen: PeerSnapshot,
  steps: Iterable<Step>,
  pair: AdministeredPair,
  missingBefore: readonly string[] = [],
) {
  const missing = new Set([...missingBefore, ...(await carryOut(connection, seen, [...steps]))]);
  if (missing.size > 0) throw notPermitted(pair, [...missing]);
}

/** @throws RekeyError RIGHTS_DIFFER */
function requireNone(faults: Iterable<string>, { current, alternate }: Peers): void {
  const list = [...faults];
  if (list.length > 0)
    throw new RekeyError('RIGHTS_DIFFER', `${alternate} cannot be a peer of ${current}: ${list.join('; ')}`);
}

function notPermitted({ admin, current, alternate }: AdministeredPair, missing: readonly string[]): RekeyError {
  return new RekeyError(
    'PRIVILEGE_MISSING',
    `${admin.username} may not make ${alternate} a peer of ${current}`,
    `As a superuser or the owner run: ${missing.join(' ')}`,
  );
}

/** @throws RekeyError USERNAME_INVALID */
function roleIn({ roles }: Pick<PeerSnapshot, 'roles'>, wanted: string): Role {
  const found = roles.find((role) => role.name === wanted);
  if (found === undefined) throw new RekeyError('USERNAME_INVALID', `the user ${wanted} does not exist`);
  return found;
}

/** @throws RekeyError USERNAME_INVALID */
async function observePeers(
  connection: Connection,
  { current, alternate }: Peers,
  ...first: string[]
): Promise<PeerSnapshot> {
  const { version } = connection;
  const names = [quoteLiteral(current), quoteLiteral(alternate), quoteLiteral(ownerNameFor(current))] as const;
  const facts = await ask(connection, peerQuestions(version, ...names), ...first);
  const snapshot = peerSnapshot(facts, version, { current, alternate });
  roleIn(snapshot, current);
  if (!facts.belongings.some(({ possible }) => possible)) return { ...snapshot, ...NO_PEER_BELONGINGS };
  return { ...snapshot, ...(await askForBelongings<PeerBelongings>(connection, peerBelongingsSql(...names))) };
}
