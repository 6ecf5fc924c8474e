import { createHash, createHmac } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { scramVerifier } from '../../../../shared/engines/scram.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';

/** The parts of `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`. */
function partsOf(verifier: SecretValue) {
  const [, iterations, salt, storedKey, serverKey] =
    /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)$/.exec(verifier.expose()) ?? [];
  return {
    iterations,
    salt,
    storedKey: Buffer.from(storedKey ?? '', 'base64'),
    serverKey: Buffer.from(serverKey ?? '', 'base64'),
  };
}

describe('the SCRAM verifier', () => {
  // The exchange of RFC 7677 §3: user "user", password "pencil".
  const SALT = 'W22ZaJ0SNY7soEsUEjb6gQ==';
  const NONCE = 'rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0';
  const AUTH_MESSAGE = `n=user,r=rOprNGfwEbeRWgbNEkqO,r=${NONCE},s=${SALT},i=4096,c=biws,r=${NONCE}`;
  const CLIENT_PROOF = 'dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';
  const SERVER_SIGNATURE = '6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=';
  const ofRfc = () => partsOf(scramVerifier(new SecretValue('pencil'), Buffer.from(SALT, 'base64')));

  test('signs as the server of RFC 7677 does', () => {
    const signature = createHmac('sha256', ofRfc().serverKey).update(AUTH_MESSAGE).digest('base64');

    expect(signature).toBe(SERVER_SIGNATURE);
  });

  test('accepts the proof of the client of RFC 7677', () => {
    const { storedKey } = ofRfc();
    const signature = createHmac('sha256', storedKey).update(AUTH_MESSAGE).digest();
    const clientKey = Buffer.from(CLIENT_PROOF, 'base64').map((byte, index) => byte ^ (signature[index] ?? 0));

    expect(createHash('sha256').update(clientKey).digest()).toEqual(storedKey);
  });

  test('has a new salt of 16 bytes each time', () => {
    const salts = [1, 2].map(() => partsOf(scramVerifier(new SecretValue('pencil'))).salt ?? '');

    expect(new Set(salts).size).toBe(2);
    expect(salts.map((salt) => Buffer.from(salt, 'base64').length)).toEqual([16, 16]);
  });

  test('cannot be printed', () => {
    expect(`${scramVerifier(new SecretValue('pencil'))}`).toBe('[secret]');
  });

  test.each([
    ['empty', ''],
    ['with a line break', 'a\n'],
    ['with a NUL', 'a\0'],
    ['with DEL', 'a\x7f'],
    ['beyond ASCII', 'hunter2-λ'],
  ])('29: refuses a password that is %s, without quoting it', (_, password) => {
    expect(() => scramVerifier(new SecretValue(password))).toThrow(
      expect.objectContaining({ code: 'PASSWORD_REJECTED', message: expect.not.stringContaining('hunter2') }),
    );
  });
});
