import { RekeyError } from '../operations/errors.ts';
import type { AdministeredPair, UserPair } from './port.ts';

/**
 * What every kind of database asks of the users of a pair, before anything is asked of a server. Both throw RekeyError
 * USERNAME_INVALID.
 * @param requireUserName its own rules for one name
 * @param reserved how names begin that it keeps to itself
 */
export function pairNames(
  requireUserName: (user: string) => void,
  reserved?: { readonly prefix: string; readonly why: string },
) {
  function requirePair({ current, alternate }: Pick<UserPair, 'current' | 'alternate'>): void {
    for (const user of [current, alternate]) requireUserName(user);
    if (reserved !== undefined && alternate.startsWith(reserved.prefix))
      throw new RekeyError('USERNAME_INVALID', reserved.why);
    if (current === alternate) throw new RekeyError('USERNAME_INVALID', 'the two users must be two different users');
  }

  function requireAdministered(pair: AdministeredPair): void {
    requirePair(pair);
    requireUserName(pair.admin.username);
    if ([pair.current, pair.alternate].includes(pair.admin.username))
      throw new RekeyError('USERNAME_INVALID', 'the administrator and the two users must be three different users');
  }

  return { requirePair, requireAdministered };
}
