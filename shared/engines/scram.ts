import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { RekeyError } from '../operations/errors.ts';
import { SecretValue } from '../secrets/secret-value.ts';

/** What PostgreSQL itself uses by default (`scram_iterations`). Against a random password more would buy nothing. */
const ITERATIONS = 4096;

/**
 * SASLprep (RFC 4013) maps these to themselves, in every driver and every version of Unicode. Beyond them the
 * implementations part ways: PostgreSQL takes a password with a control character or a code point unassigned in
 * Unicode 3.2 as raw bytes, drivers leave out some of the checks, and a verifier made here could then fail for one.
 */
const PRINTABLE_ASCII = /^[\x20-\x7e]+$/;

/**
 * The SCRAM-SHA-256 verifier that PostgreSQL stores for a password (RFC 5802 §3, RFC 7677), so that the password
 * itself reaches neither the server nor its log. A password that looks like a verifier or an md5 hash is safe too:
 * PostgreSQL would take that for a finished hash, but what it gets is always made here.
 * @param salt 16 random bytes unless given
 * @throws RekeyError PASSWORD_REJECTED for anything but printable ASCII
 */
export function scramVerifier(password: SecretValue, salt: Buffer = randomBytes(16)): SecretValue {
  const text = password.expose();
  if (!PRINTABLE_ASCII.test(text))
    throw new RekeyError(
      'PASSWORD_REJECTED',
      'a new PostgreSQL password must be printable ASCII: drivers disagree on how to prepare anything else (RFC 4013)',
    );
  const salted = pbkdf2Sync(text, salt, ITERATIONS, 32, 'sha256');
  const storedKey = createHash('sha256').update(hmac(salted, 'Client Key')).digest();
  const serverKey = hmac(salted, 'Server Key');
  const base64 = (bytes: Buffer) => bytes.toString('base64');
  return new SecretValue(`SCRAM-SHA-256$${ITERATIONS}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`);
}

const hmac = (key: Buffer, message: string): Buffer => createHmac('sha256', key).update(message).digest();
