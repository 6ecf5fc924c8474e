import { RekeyError } from '../operations/errors.ts';
import { pairNames } from './pair-names.ts';
import type { Credentials } from './port.ts';

/** The rules of MySQL, and of MariaDB, which has them with other figures. */
export function namesOf(product: string, maxLength: number, reserved?: Parameters<typeof pairNames>[1]) {
  /** @throws RekeyError USERNAME_INVALID before anything was asked of a server */
  function requireUserName(user: string): void {
    // A NUL would end the name early in the protocol, and what follows would be read as another field.
    if (user === '' || user.includes('\0'))
      throw new RekeyError('USERNAME_INVALID', 'a user name is empty or has a NUL');
    // The server makes another name of these without a word, and would then change another user.
    if (user.endsWith(' '))
      throw new RekeyError('USERNAME_INVALID', `${product} cuts the space at the end of a user name`);
    if (/[\u{10000}-\u{10ffff}]/u.test(user) || !user.isWellFormed())
      throw new RekeyError('USERNAME_INVALID', `${product} knows no character beyond U+FFFF in a user name`);
    if (user.length > maxLength)
      throw new RekeyError('USERNAME_INVALID', `the user name ${user} is longer than ${maxLength} characters`);
  }

  /** @throws RekeyError USERNAME_INVALID, DATABASE_MISSING */
  function requireNames({ username, database }: Pick<Credentials, 'username' | 'database'>): void {
    requireUserName(username);
    if (database.includes('\0')) throw new RekeyError('DATABASE_MISSING', 'the database name has a NUL');
  }

  return { requireUserName, requireNames, ...pairNames(requireUserName, reserved) };
}

/** https://dev.mysql.com/doc/refman/9.7/en/user-names.html */
const MAX_NAME_LENGTH = 32;

export const { requireUserName, requireNames, requirePair, requireAdministered } = namesOf('MySQL', MAX_NAME_LENGTH, {
  prefix: 'mysql.',
  why: 'MySQL keeps names with "mysql." to itself',
});
