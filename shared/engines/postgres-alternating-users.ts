import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { SecretValue } from '../secrets/secret-value.ts';
import type { AdministeredPair, AlternatingUsersEngine } from './port.ts';
import { carryOut, isNotPermitted, permitted } from './postgres-carry-out.ts';
import { type Connection, quoteIdentifier } from './postgres-connection.ts';
import { passwordRefused } from './postgres-errors.ts';
import { requireAdministered, requirePair } from './postgres-names.ts';
import { sessionsInFull } from './postgres-open-sessions.ts';
import { differencesIn, observe, observeLocked, type Reconciled, reconcile } from './postgres-pair.ts';
import { giveLogin, type PairSnapshot } from './postgres-rights.ts';
import type { Sessions, Transaction } from './postgres-session.ts';
import { scramVerifier } from './scram.ts';
import { unequalRights } from './unequal-rights.ts';

/** How the two users are kept equal: postgres-rights.ts. */
export function alternatingUsers(sessions: Sessions): AlternatingUsersEngine {
  const asAdmin = <T>(pair: AdministeredPair, deadline: Deadline, work: (transaction: Transaction) => Promise<T>) => {
    requireAdministered(pair);
    return sessions.change({ ...pair.admin, database: pair.database }, deadline, work);
  };

  return {
    observer: 'either-user',

    async prepareAlternate(pair, password, stillWanted, deadline) {
      requireAdministered(pair);
      const verifier = scramVerifier(password);
      return asAdmin(pair, deadline, async (transaction) => {
        let seen = await observeLocked(transaction, pair);
        if (!(await stillWanted())) return 'notWanted';
        // Other databases of the server first, each in a transaction of its own: they may be done twice, like all here.
        for (const { database } of seen.elsewhere)
          await asAdmin({ ...pair, database }, deadline, async (other) => {
            requireEqual(pair, await reconcile(other, pair, await observeLocked(other, pair)), 'here');
            await other.commit();
          });
        if (seen.elsewhere.length > 0) seen = await observe(transaction, pair);
        const snapshot = requireEqual(pair, await reconcile(transaction, pair, seen), 'everywhere');
        const { sql, remedy } = giveLogin(snapshot, snapshot.alternate, verifier.expose());
        await transaction.commit(sql).catch((error: unknown) => {
          throw isNotPermitted(error) ? notPermitted(pair, [remedy]) : passwordRefused(error, pair.alternate);
        });
        return 'prepared';
      });
    },

    async differences(pair, observer, deadline, witness) {
      requirePair(pair);
      const look = async (connection: Connection) => differencesIn(await observe(connection, pair), pair);
      return sessions.as({ ...observer, database: pair.database }, deadline, look, witness);
    },

    async missingForAlternate(pair, deadline) {
      // The truest preflight is the thing itself, undone: a managed server may permit more, or less, than the rules say.
      const rehearseIn = (database: string) =>
        asAdmin({ ...pair, database }, deadline, async (transaction) => {
          const seen = await observeLocked(transaction, pair);
          const reconciled = await reconcile(transaction, pair, seen);
          if (reconciled.kind === 'not-permitted') return { ...seen, missing: reconciled.missing };
          const snapshot = requireEqual(pair, reconciled, 'here');
          const undone = scramVerifier(new SecretValue('undone'));
          const login = giveLogin(snapshot, snapshot.alternate, undone.expose());
          return { ...seen, missing: await carryOut(transaction, snapshot, [login]) };
        });
      const { missing, elsewhere } = await rehearseIn(pair.database);
      const all = new Set(missing);
      for (const { database } of elsewhere) for (const each of (await rehearseIn(database)).missing) all.add(each);
      return [...all];
    },

    async disableAlternate(pair, stillWanted, deadline) {
      return asAdmin(pair, deadline, async (transaction) => {
        const { alternate } = await observeLocked(transaction, pair);
        if (!(await stillWanted())) return { kind: 'notWanted' };
        if (alternate === null) return { kind: 'disabled' };
        const open = await disableLogin(transaction, pair);
        if (open.length > 0) return { kind: 'sessionsOpen', sessions: open };
        await transaction.commit();
        return { kind: 'disabled' };
      });
    },
  };
}

/**
 * The alternate user can no longer log in. The change comes before the look at the sessions, so that nothing but the
 * commit follows the look: a login in between is still let in, and is the last. When a session is found, the caller
 * does not commit.
 */
export async function disableLogin(connection: Connection, { admin, alternate }: AdministeredPair) {
  const user = quoteIdentifier(alternate);
  if (!(await permitted(connection, [`ALTER ROLE ${user} NOLOGIN PASSWORD NULL`])))
    throw new RekeyError(
      'PRIVILEGE_MISSING',
      `the administrator may not change ${alternate}`,
      `As a superuser run: GRANT ${user} TO ${quoteIdentifier(admin.username)} WITH ADMIN OPTION;`,
    );
  return sessionsInFull(connection, alternate);
}

/** @param where other databases are settled in their own transactions */
function requireEqual(pair: AdministeredPair, reconciled: Reconciled, where: 'here' | 'everywhere'): PairSnapshot {
  if (reconciled.kind === 'not-permitted') throw notPermitted(pair, reconciled.missing);
  const { snapshot } = reconciled;
  const left = differencesIn(where === 'here' ? { ...snapshot, elsewhere: [] } : snapshot, pair);
  if (left.length > 0) throw unequalRights(pair, left);
  return snapshot;
}

function notPermitted({ admin, current, alternate }: AdministeredPair, missing: readonly string[]): RekeyError {
  return new RekeyError(
    'PRIVILEGE_MISSING',
    `${admin.username} may not make ${alternate} equal to ${current}`,
    `As a superuser or the owner run: ${missing.join(' ')}`,
  );
}
