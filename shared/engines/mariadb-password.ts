import { createHash } from 'node:crypto';
import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { ed25519PublicKey, ed25519Sign } from './mariadb-ed25519.ts';
import { type ChallengeResponse, quoteLiteral } from './mysql-connection.ts';
import { ServerRefusal } from './mysql-errors.ts';

/*
 * MariaDB writes statements into its general log as they are, passwords included. So it is told what it would make of
 * a password rather than the password itself, except where it insists on judging the password.
 */

/** One way in which an account may log in; MariaDB knows several for one account, any of which is enough. */
export interface LoginMethod {
  readonly plugin: string;
  /** What the server keeps of the password, or a name in another system; empty when there is none. */
  readonly kept: SecretValue;
}

/** What the server keeps of a password. */
const VERIFIERS = new Map<string, (password: Buffer) => string>([
  ['mysql_native_password', (password) => `*${sha1(sha1(password)).toString('hex').toUpperCase()}`],
  ['ed25519', (password) => ed25519PublicKey(password).toString('base64').replace(/=+$/, '')],
]);

/** Methods for which someone else answers: they go on beside the password. */
const EXTERNAL = ['unix_socket', 'named_pipe', 'gssapi', 'pam'];

/** Methods of MariaDB's that the driver lacks. An account that does not exist is answered as if it used any of them. */
export const CLIENT_METHODS: Readonly<Record<string, ChallengeResponse>> = {
  client_ed25519: (challenge, password) => ed25519Sign(bytesOf(password), challenge.subarray(0, 32)),
};

/** Whether the server lets the password in by this method, as far as Rekey knows it. */
export const takesPassword = (plugin: string): boolean => VERIFIERS.has(plugin);

/** @throws RekeyError DATABASE_UNSUPPORTED, when this password could not become the only one that lets `account` in */
export function requirePasswordMethods(account: string, plugins: readonly string[]): void {
  const unknown = plugins.find((plugin) => !takesPassword(plugin) && !EXTERNAL.includes(plugin));
  if (unknown === undefined && plugins.some(takesPassword)) return;
  throw new RekeyError(
    'DATABASE_UNSUPPORTED',
    `${account} logs in by ${unknown ?? plugins.join(' or ')}, which Rekey cannot give a password`,
    `Let it have a password: ALTER USER ${account} IDENTIFIED BY '…'; (or, once that plugin is loaded: IDENTIFIED VIA ed25519 USING PASSWORD('…'))`,
  );
}

function verifierOf(plugin: string, password: SecretValue): string {
  const verifier = VERIFIERS.get(plugin)?.(bytesOf(password));
  if (verifier === undefined) throw new RekeyError('DATABASE_UNSUPPORTED', `no password can be made for ${plugin}`);
  return verifier;
}

/**
 * `IDENTIFIED VIA …` with the same methods and this password.
 * @param inClear the server has a policy for passwords, and refuses what it cannot read
 */
export function identifiedBy(methods: readonly LoginMethod[], password: SecretValue, inClear: boolean): string {
  const alternatives = methods.map(({ plugin, kept }) => {
    const name = `\`${plugin}\``;
    if (takesPassword(plugin)) return `${name} USING ${passwordLiteral(plugin, password, inClear)}`;
    return kept.expose() === '' ? name : `${name} USING ${quoteLiteral(kept.expose())}`;
  });
  return `IDENTIFIED VIA ${alternatives.join(' OR ')}`;
}

/** What stands for the password in a statement. */
export const passwordLiteral = (plugin: string, password: SecretValue, inClear: boolean): string =>
  inClear ? `PASSWORD(${quoteLiteral(password.expose())})` : quoteLiteral(verifierOf(plugin, password));

/** Whether these methods let this password in, and no other. */
export const holdsPassword = (methods: readonly LoginMethod[], password: SecretValue): boolean =>
  methods.every(({ plugin, kept }) => !takesPassword(plugin) || kept.expose() === verifierOf(plugin, password));

/** Whether the same password, whatever it is, lets in by both, as far as what the server keeps tells. */
export const mayHoldTheSame = (one: readonly LoginMethod[], other: readonly LoginMethod[]): boolean =>
  one.every(({ plugin, kept }) => {
    const same = other.find((method) => method.plugin === plugin);
    return same === undefined || !takesPassword(plugin) || same.kept.expose() === kept.expose();
  });

/**
 * The plugins of an account, from `SHOW CREATE USER`, which any user may ask about itself. What the server keeps of the
 * password stands there too, and is dropped at once.
 */
export function pluginsIn(createUser: string): readonly string[] {
  const bare = createUser.replaceAll(/'(?:[^'\\]|''|\\.)*'|`(?:[^`]|``)*`/gs, '?');
  const [, via] = /IDENTIFIED VIA (.*?)(?: REQUIRE | WITH | PASSWORD EXPIRE| ACCOUNT |$)/s.exec(bare) ?? [];
  if (via === undefined) return ['mysql_native_password'];
  return via.split(' OR ').map((method) => method.split(' ')[0] ?? '');
}

/** A policy's refusal says what to do about it; any other is as it was. */
export function passwordRefused(error: unknown, user: string): unknown {
  if (!(error instanceof ServerRefusal)) return error;
  if (error.errno !== 1819) return error; // ER_NOT_VALID_PASSWORD: simple_password_check, password_reuse_check, …
  return new RekeyError('PASSWORD_REJECTED', `a policy of the server refused the new password of ${user}`);
}

const sha1 = (data: Buffer): Buffer => createHash('sha1').update(data).digest();
const bytesOf = (password: SecretValue): Buffer => Buffer.from(password.expose());
