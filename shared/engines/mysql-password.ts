import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { type Account, ownAccount, permittedToLook, type Snapshot, snapshotOf } from './mysql-catalog.ts';
import { type Connection, quoteLiteral } from './mysql-connection.ts';
import { refusalAsRekeyError, ServerRefusal } from './mysql-errors.ts';
import { authorityOf } from './mysql-rights.ts';
import { lockUsers } from './mysql-session.ts';
import { isStored } from './mysql-verifier.ts';
import type { Login, PasswordChange } from './port.ts';

/** What REPLACE names is not the primary password. */
export const INCORRECT_CURRENT_PASSWORD = 3891;
/** password_history or password_reuse_interval; looked at before REPLACE is. */
export const REUSED = 3638;
const TOO_SIMPLE = 1819;
/** validate_password.changed_characters_percentage; looked at only once what REPLACE names was found right. */
export const TOO_ALIKE = 4165;
/** password_require_current, and the session began with the older of two passwords. */
const CURRENT_PASSWORD_REQUIRED = 3892;

/**
 * The server stores the bytes that it is sent. Drivers send text in the character set of their connection, and those
 * sets agree about this much; a NUL ends the text.
 */
const PRINTABLE_ASCII = /^[\x20-\x7e]{1,255}$/;

/** MariaDB's drivers do the same. @throws RekeyError PASSWORD_REJECTED */
export function requirePassword(password: SecretValue): void {
  if (!PRINTABLE_ASCII.test(password.expose()))
    throw new RekeyError(
      'PASSWORD_REJECTED',
      'a new password must be 1 to 255 characters of printable ASCII: drivers send anything else in different ways',
    );
}

const DISCARD_OWN = 'ALTER USER USER() DISCARD OLD PASSWORD';

/**
 * The user changes the account that the server matched it with. Of others with its name, for other hosts, it may know
 * nothing: where there are several, an administrator has to act.
 * @param logIn tells whether the password that this session began with is still taken
 */
export async function setOwnPassword(
  connection: Connection,
  { acting, username, password }: PasswordChange,
  logIn: () => Promise<Login>,
): Promise<void> {
  const [next, present] = [password, acting.password].map((value) => quoteLiteral(value.expose()));
  /** @returns why an older password beside the one that was replaced is still there, if it is */
  const change = async (replace: string): Promise<ServerRefusal | undefined> => {
    try {
      await connection.run([`ALTER USER USER() IDENTIFIED BY ${next}${replace}`, DISCARD_OWN]);
      return undefined;
    } catch (error) {
      if (error instanceof ServerRefusal && error.completed === 1) return error;
      throw error;
    }
  };
  const where = `the database, asked by ${username},`;
  try {
    // REPLACE shows that it is this user, whoever stands in between, and satisfies password_require_current.
    const kept = await change(` REPLACE ${present}`);
    // Who may not discard one has no second password, unless someone else gave it one.
    if (kept !== undefined && !kept.notPermitted) throw refusalAsRekeyError(kept, where);
  } catch (error) {
    if (!(error instanceof ServerRefusal && error.errno === INCORRECT_CURRENT_PASSWORD))
      throw passwordRefused(error, username);
    // The user has two passwords, and this session began with the older one.
    if ((await ownAccount(connection)).user !== username)
      throw new RekeyError('AUTHENTICATION_UNSAFE', `the session of ${username} is one of another user`);
    const kept = await change('').catch((refusal: unknown) => {
      throw passwordRefused(refusal, username);
    });
    // Or another try changed it since this session began, and there is no second one.
    if (kept !== undefined && (await logIn()).kind === 'accepted')
      throw await mayNotHaveTwo(kept, connection, username);
  }
}

/** An administrator changes all accounts of that name, or none. */
export async function setAnyPassword(
  connection: Connection,
  { acting, username, password }: PasswordChange,
): Promise<void> {
  const snapshot = await lockedAccounts(connection, username);
  const { accounts } = snapshot;
  const text = quoteLiteral(password.expose());
  const list = (clause: string) => `ALTER USER ${accounts.map(({ name }) => `${name} ${clause}`).join(', ')}`;
  const discard = accounts.some(({ secondPassword }) => secondPassword) ? [list('DISCARD OLD PASSWORD')] : [];
  try {
    await connection.run([list(`IDENTIFIED BY ${text}`), ...discard]);
  } catch (error) {
    if (error instanceof ServerRefusal && error.notPermitted)
      throw new RekeyError(
        'PRIVILEGE_MISSING',
        `${acting.username} may not change the password of ${username}`,
        `As a superuser run: ${authorityOf(snapshot).alter().remedy}`,
      );
    if (!isInUse(error, accounts, password)) throw passwordRefused(error, username);
    if (discard.length > 0) await connection.run(discard);
  }
}

/**
 * All accounts of a user, while nobody else changes them.
 * @throws RekeyError USERNAME_INVALID, DATABASE_READ_ONLY, PRIVILEGE_MISSING
 */
export async function lockedAccounts(connection: Connection, username: string): Promise<Snapshot> {
  const { statements, read } = snapshotOf([username]);
  const snapshot = read(await permittedToLook(connection, () => lockUsers(connection, [username], statements)));
  requireAccounts(snapshot, username);
  requireWritable(snapshot);
  return snapshot;
}

/** @throws RekeyError USERNAME_INVALID */
export function requireAccounts({ accounts }: Snapshot, username: string): void {
  if (accounts.length === 0) throw new RekeyError('USERNAME_INVALID', `the user ${username} does not exist`);
}

/**
 * A server that is read-only still obeys an administrator with SUPER, and would then differ from its source.
 * @throws RekeyError DATABASE_READ_ONLY
 */
export function requireWritable({ readOnly }: Snapshot): void {
  if (readOnly) throw new RekeyError('DATABASE_READ_ONLY', 'the database is read-only: a replica, or failing over');
}

/** Whether the history of passwords refused one because these accounts have it: an attempt before got so far. */
export function isInUse(error: unknown, accounts: readonly Account[], password: SecretValue): boolean {
  const reused = error instanceof ServerRefusal && error.errno === REUSED;
  return reused && accounts.every((account) => isStored(password, account.plugin, account.password));
}

/** The error for a password that the server does not take, with whose it was. */
export function passwordRefused(error: unknown, user: string): unknown {
  if (!(error instanceof ServerRefusal)) return error;
  switch (error.errno) {
    case TOO_SIMPLE:
      return new RekeyError('PASSWORD_REJECTED', `validate_password refused the new password of ${user}`);
    case TOO_ALIKE:
      return new RekeyError(
        'PASSWORD_REJECTED',
        `validate_password refused the new password of ${user}: too many of its characters are in the present one`,
        'Rotate again: the next password is another one. If that repeats, let validate_password.changed_characters_percentage of the server ask for less.',
      );
    case REUSED:
      return new RekeyError('PASSWORD_REJECTED', `the new password of ${user} is one of its earlier ones`);
    case CURRENT_PASSWORD_REQUIRED:
      return new RekeyError(
        'PASSWORD_REJECTED',
        `${user} logged in with the older of its two passwords, and may change them with the newer one only`,
        `As a superuser run, with the host of its account: ALTER USER ${quoteLiteral(user)}@'…' PASSWORD REQUIRE CURRENT OPTIONAL;`,
      );
    default:
      return error;
  }
}

/** The same for a refusal to give or take a second password. */
export async function mayNotHaveTwo(error: unknown, connection: Connection, username: string): Promise<unknown> {
  if (!(error instanceof ServerRefusal && error.notPermitted)) return error;
  const acting = await ownAccount(connection);
  const privilege = acting.user === username ? 'APPLICATION_PASSWORD_ADMIN' : 'CREATE USER';
  return new RekeyError(
    'PRIVILEGE_MISSING',
    `${acting.user} may not give ${username} a second password, or take one`,
    `As a superuser run: GRANT ${privilege} ON *.* TO ${acting.name};`,
  );
}
