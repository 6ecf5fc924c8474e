import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PENDING } from '../../../shared/secrets/port.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import type { Account } from '../../sandbox/server-process.ts';

/** A secret with its user on a real server, wherever the secret is kept. */
export interface Watched {
  readonly strategy: StrategyName;
  /** Of the first user; another one is named after it. */
  readonly username: string;
  staged(stage: string): Account | undefined;
  /** Every login that was ever stored. */
  stored(): readonly Account[];
}

/** Tries the promises of docs/reliability.md at the server. */
export interface Watch {
  /**
   * I1, I5: there is a way in. I6: who is current may do what the application needs, and no more. I3: whoever may log in
   * has a stored password.
   * @param unchanged nothing was done to the database since the last check: who was let in then is let in now
   * @throws Error
   */
  check(after: string, unchanged?: boolean): Promise<void>;
}

/** To be called while nothing has rotated yet: what the user may do then is what the application needs. */
export async function watch(server: RealServer, { strategy, username, staged, stored }: Watched): Promise<Watch> {
  const hasTwo = strategy === 'alternating-users' || strategy === 'user-pair';
  const users = hasTwo ? [username, `${username}_clone`] : [username];
  const tried = new Map<string, boolean>();
  const needed = JSON.stringify((await server.user(username))?.rights);

  return {
    async check(after, unchanged = false) {
      if (!unchanged) tried.clear();
      const logsIn = async (account: Account | undefined): Promise<boolean> => {
        if (account === undefined) return false;
        const known = tried.get(account.password);
        const works = known ?? (await server.canRead(account));
        tried.set(account.password, works);
        return works;
      };
      const current = staged(CURRENT);
      if (!(await logsIn(current)) && !(strategy === 'single-user' && (await logsIn(staged(PENDING)))))
        throw new Error(`I5: no way in after ${after}`);
      for (const name of users) {
        const user = await server.user(name);
        const rights = JSON.stringify(user?.rights);
        if (name === current?.username && rights !== needed)
          throw new Error(`I6: after ${after} "${name}" is current and may ${rights} instead of ${needed}`);
        if (!user?.open) continue;
        const logins = stored().filter((account) => account.username === name);
        if (logins.some(({ password }) => tried.get(password))) continue;
        let found = false;
        // The latest is the likeliest.
        for (const login of logins.reverse()) found ||= await logsIn(login);
        if (!found) throw new Error(`I3: after ${after} "${name}" has a password that is not stored`);
      }
    },
  };
}
