import { X509Certificate } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, describe, expect, test } from '@jest/globals';
import { firstExpiry } from '../../../../functions/watch/authorities.ts';
import { readWatchConfig } from '../../../../functions/watch/config.ts';

const folder = mkdtempSync(join(tmpdir(), 'rekey-watch-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const [one = '', two = ''] = rootCertificates;
const FUNCTION = 'arn:aws:lambda:eu-west-1:111122223333:function:rekey-a-rotation-postgres';

describe('the configuration of watch', () => {
  test('reads the functions, the file and every file of the folder', () => {
    writeFileSync(join(folder, 'own.pem'), one);
    mkdirSync(join(folder, 'ca'));
    writeFileSync(join(folder, 'ca', 'corporate.pem'), two);

    expect(
      readWatchConfig({
        REKEY_ROTATION_FUNCTIONS: `${FUNCTION} ${FUNCTION}-2`,
        REKEY_DATABASE_CA_FILE: join(folder, 'own.pem'),
        REKEY_DATABASE_CA_FOLDER: join(folder, 'ca'),
      }),
    ).toEqual({ rotationFunctions: [FUNCTION, `${FUNCTION}-2`], authorities: [one, two] });
  });

  test('82: is refused with all its faults at once', () => {
    expect(() => readWatchConfig({ REKEY_DATABASE_CA_FILE: '/nowhere' })).toThrow(
      'CONFIG_INVALID: REKEY_ROTATION_FUNCTIONS is missing; REKEY_DATABASE_CA_FILE: /nowhere cannot be read',
    );
  });
});

describe('the first expiry', () => {
  test('is that of the authority that ends first', () => {
    const ends = [one, two].map((pem) => new X509Certificate(pem).validToDate.getTime());

    expect(firstExpiry(`${one}\n${two}`)).toBe(Math.min(...ends));
  });

  test('of no certificate is not known', () => {
    expect(firstExpiry('nothing')).toBeUndefined();
    expect(firstExpiry('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----')).toBeUndefined();
  });
});
