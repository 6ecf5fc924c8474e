import type { Step } from '../../shared/rotation/plan.ts';
import type { StrategyName } from '../../shared/rotation/strategy.ts';

/** Calls of Secrets Manager, and what is done with the database; a session ends with the next one or with its step. */
export type Act =
  | 'describe'
  | `read ${Reader}`
  | 'write pending'
  | 'move current'
  | `log in as ${Reader}`
  | 'change'
  | 'look';

type Reader = 'current' | 'standby' | 'pending' | 'admin';

/**
 * `bare`: the least with which the four steps can be run at all, each by itself, as Secrets Manager calls them.
 * `promised`: the least with which each step keeps what Rekey promises of it: labels and tags are asked first, whoever
 * wrote the secret has to know the current password where an administrator acts, rights are looked at wherever two
 * users must be equal, and what is promoted has logged in just then.
 */
export const FLOORS = ['bare', 'promised'] as const;
export type Floor = (typeof FLOORS)[number];

/** Who runs the statement that changes the password. */
export type Acting = 'current' | 'standby' | 'admin';

export type Script = Readonly<Record<Step, readonly Act[]>>;

export function scriptOf(floor: Floor, strategy: StrategyName, acting: Acting): Script {
  const actor: readonly Act[] = acting === 'current' ? [] : [`read ${acting}`];
  if (floor === 'bare')
    return {
      createSecret: ['read current', 'write pending'],
      setSecret: ['read current', 'read pending', ...actor, `log in as ${acting}`, 'change'],
      testSecret: ['read pending', 'log in as pending', 'look'],
      finishSecret: ['describe', 'move current'],
    };
  const twoUsers = strategy === 'alternating-users' || strategy === 'user-pair';
  const owner: readonly Act[] = acting === 'admin' ? ['log in as current'] : [];
  const rights: readonly Act[] = twoUsers ? ['look'] : [];
  return {
    createSecret: ['describe', 'read current', ...(acting === 'standby' ? actor : []), 'write pending'],
    setSecret: [
      'describe',
      'read current',
      'read pending',
      ...actor,
      ...owner,
      `log in as ${acting}`,
      ...rights,
      'change',
    ],
    testSecret: ['describe', 'read pending', 'log in as pending', 'look'],
    finishSecret: ['describe', 'read pending', 'log in as pending', 'move current'],
  };
}
