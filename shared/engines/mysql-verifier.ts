import { createHash, hash } from 'node:crypto';
import type { SecretValue } from '../secrets/secret-value.ts';

/**
 * Whether a password is the one that an account stores, so that nothing has to log in to find out: a login that fails
 * counts towards a lockout, and one that succeeds does not say which of two passwords it was.
 * @param stored `authentication_string` of mysql.user
 * @returns undefined for a plugin whose way of storing is not known here
 */
export function isStored(password: SecretValue, plugin: string, stored: SecretValue): boolean | undefined {
  const key = Buffer.from(password.expose());
  const text = stored.expose();
  switch (plugin) {
    case 'caching_sha2_password': {
      // $A$<thousands of rounds, hexadecimal>$<salt of 20><digest>
      const [, rounds, salt = '', digest] = /^\$A\$([0-9A-F]{3})\$(.{20})([./0-9A-Za-z]{43})$/s.exec(text) ?? [];
      return rounds !== undefined && sha256Crypt(key, Buffer.from(salt), Number.parseInt(rounds, 16) * 1000) === digest;
    }
    case 'sha256_password': {
      const [, salt = '', digest] = /^\$5\$(.{20})\$([./0-9A-Za-z]{43})$/s.exec(text) ?? [];
      return digest !== undefined && sha256Crypt(key, Buffer.from(salt), 5000) === digest;
    }
    case 'mysql_native_password':
      return text.toUpperCase() === `*${hash('sha1', hash('sha1', key, 'buffer'), 'hex').toUpperCase()}`;
    default:
      return undefined;
  }
}

/** SHA-crypt, https://www.akkadia.org/drepper/SHA-crypt.txt, with MySQL's longer salt. @returns the digest alone */
function sha256Crypt(key: Buffer, salt: Buffer, rounds: number): string {
  const alternate = sha256(key, salt, key);
  const start = [key, salt, stretched(alternate, key.length)];
  for (let bits = key.length; bits > 0; bits >>= 1) start.push(bits & 1 ? alternate : key);
  let digest = sha256(...start);
  const p = stretched(sha256(...Array<Buffer>(key.length).fill(key)), key.length);
  const s = stretched(sha256(...Array<Buffer>(16 + (digest[0] ?? 0)).fill(salt)), salt.length);
  for (let round = 0; round < rounds; round += 1) {
    const odd = round % 2 === 1;
    const parts = [odd ? p : digest];
    if (round % 3 !== 0) parts.push(s);
    if (round % 7 !== 0) parts.push(p);
    parts.push(odd ? digest : p);
    digest = hash('sha256', Buffer.concat(parts), 'buffer');
  }
  return encoded(digest);
}

function sha256(...parts: readonly Buffer[]): Buffer {
  const digest = createHash('sha256');
  for (const part of parts) digest.update(part);
  return digest.digest();
}

const stretched = (block: Buffer, length: number): Buffer => Buffer.alloc(length, block);

const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** Base 64 of its own kind: each three bytes of the digest, ten apart, are four characters, the lowest bits first. */
function encoded(digest: Buffer): string {
  let text = '';
  for (let group = 0; group < 10; group += 1) {
    const first = (group * 21) % 30;
    text += characters(
      [first, (first + 10) % 30, (first + 20) % 30].map((index) => digest[index] ?? 0),
      4,
    );
  }
  return text + characters([0, digest[31] ?? 0, digest[30] ?? 0], 3);
}

function characters(bytes: readonly number[], count: number): string {
  let bits = bytes.reduce((sum, byte) => sum * 256 + byte, 0);
  let text = '';
  for (let index = 0; index < count; index += 1, bits >>= 6) text += ALPHABET[bits & 63] ?? '';
  return text;
}
