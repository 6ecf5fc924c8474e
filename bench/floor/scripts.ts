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
 * `promised`: the least with which each step keeps what Rekey promises of it: labels and tags are asked first, the
 * current login is tried before another user gets a password, labels are asked again where a late change could take the
 * place of a later one, rights are looked at in setSecret and testSecret wherever two users must be equal, and what is
 * promoted has logged in just then.
 */
export const FLOORS = ['bare', 'promised'] as const;
export type Floor = (typeof FLOORS)[number];

/** Who runs the statement that changes the password. */
export type Acting = 'current' | 'standby' | 'admin';

/** Whom the server tells what a user may do: anybody, or that user and an administrator alone. */
export type RightsSeenBy = 'anybody' | 'themselves';

export type Script = Readonly<Record<Step, readonly Act[]>>;

export function scriptOf(floor: Floor, strategy: StrategyName, acting: Acting, rightsSeenBy: RightsSeenBy): Script {
  const actor: readonly Act[] = acting === 'current' ? [] : [`read ${acting}`];
  if (floor === 'bare')
    return {
      createSecret: ['read current', 'write pending'],
      setSecret: ['read current', 'read pending', ...actor, `log in as ${acting}`, 'change'],
      testSecret: ['read pending', 'log in as pending', 'look'],
      finishSecret: ['describe', 'move current'],
    };
  const twoUsers = strategy === 'alternating-users' || strategy === 'user-pair';
  const rights: readonly Act[] = twoUsers ? ['look'] : [];
  const lookAsCurrent = strategy === 'user-pair' && rightsSeenBy === 'themselves';
  const current: readonly Act[] = acting === 'current' ? [] : ['log in as current', ...(lookAsCurrent ? rights : [])];
  // Of the others the login that changes is the old one, which a later rotation has made useless.
  const again: readonly Act[] = strategy === 'alternating-users' || strategy === 'dual-password' ? ['describe'] : [];
  // Who, beside the pending user, has to look for the two to be compared.
  const witness: readonly Act[] =
    !twoUsers || rightsSeenBy === 'anybody'
      ? []
      : lookAsCurrent
        ? ['read current', ...current]
        : ['read current', 'read admin', 'log in as admin', 'look'];
  return {
    createSecret: ['describe', 'read current', ...(acting === 'standby' ? actor : []), 'write pending'],
    setSecret: [
      'describe',
      'read current',
      'read pending',
      ...actor,
      ...current,
      `log in as ${acting}`,
      ...again,
      ...rights,
      'change',
    ],
    testSecret: ['describe', 'read pending', 'log in as pending', 'look', ...witness],
    finishSecret: ['describe', 'read pending', 'log in as pending', 'move current'],
  };
}
