import { RekeyError } from '../operations/errors.ts';
import { pairNames } from './pair-names.ts';
import type { Credentials } from './port.ts';

/** NAMEDATALEN - 1: the server cuts a longer name without a word, and would then change another user. */
const MAX_NAME_BYTES = 63;

/** @throws RekeyError USERNAME_INVALID before anything was asked of a server */
export function requireUserName(user: string): void {
  // A NUL would end the name early in the protocol, and what follows would be read as another parameter.
  if (user === '' || user.includes('\0')) throw new RekeyError('USERNAME_INVALID', 'a user name is empty or has a NUL');
  if (Buffer.byteLength(user) > MAX_NAME_BYTES)
    throw new RekeyError('USERNAME_INVALID', `the user name ${user} is longer than ${MAX_NAME_BYTES} bytes`);
}

/** @throws RekeyError USERNAME_INVALID, DATABASE_MISSING */
export function requireNames({ username, database }: Pick<Credentials, 'username' | 'database'>): void {
  requireUserName(username);
  if (database === '' || database.includes('\0'))
    throw new RekeyError('DATABASE_MISSING', 'the database name is empty or has a NUL');
}

export const { requirePair, requireAdministered } = pairNames(requireUserName, {
  prefix: 'pg_',
  why: 'PostgreSQL keeps names with pg_ to itself',
});
