import { RekeyError } from '../operations/errors.ts';
import type { AdministeredPair, Credentials, UserPair } from './port.ts';

/** https://mariadb.com/docs/server/reference/sql-structure/sql-language-structure/identifier-names */
const MAX_NAME_LENGTH = 128;

/** @throws RekeyError USERNAME_INVALID before anything was asked of a server */
export function requireUserName(user: string): void {
  // A NUL would end the name early in the protocol, and what follows would be read as another field.
  if (user === '' || user.includes('\0')) throw new RekeyError('USERNAME_INVALID', 'a user name is empty or has a NUL');
  // MariaDB makes another name of these without a word, and would then change another user.
  if (user.endsWith(' ')) throw new RekeyError('USERNAME_INVALID', 'MariaDB cuts the space at the end of a user name');
  if (/[\u{10000}-\u{10ffff}]/u.test(user) || !user.isWellFormed())
    throw new RekeyError('USERNAME_INVALID', 'MariaDB knows no character beyond U+FFFF in a user name');
  if (user.length > MAX_NAME_LENGTH)
    throw new RekeyError('USERNAME_INVALID', `the user name ${user} is longer than ${MAX_NAME_LENGTH} characters`);
}

/** @throws RekeyError USERNAME_INVALID, DATABASE_MISSING */
export function requireNames({ username, database }: Pick<Credentials, 'username' | 'database'>): void {
  requireUserName(username);
  if (database.includes('\0')) throw new RekeyError('DATABASE_MISSING', 'the database name has a NUL');
}

/** @throws RekeyError USERNAME_INVALID */
export function requirePair({ current, alternate }: Pick<UserPair, 'current' | 'alternate'>): void {
  for (const user of [current, alternate]) requireUserName(user);
  if (current === alternate) throw new RekeyError('USERNAME_INVALID', 'the two users must be two different users');
}

/** @throws RekeyError USERNAME_INVALID */
export function requireAdministered(pair: AdministeredPair): void {
  requirePair(pair);
  requireUserName(pair.admin.username);
  if ([pair.current, pair.alternate].includes(pair.admin.username))
    throw new RekeyError('USERNAME_INVALID', 'the administrator and the two users must be three different users');
}
