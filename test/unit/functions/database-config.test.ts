import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { readDatabaseConfig } from '../../../functions/database-config.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

let folder: string;
let caFile: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-config-'));
  caFile = join(folder, 'ca.pem');
  writeFileSync(caFile, PEM);
  writeFileSync(join(folder, 'empty.pem'), '');
});
afterAll(() => rmSync(folder, { recursive: true }));

const read = (over: NodeJS.ProcessEnv) =>
  readDatabaseConfig({ REKEY_EVENT_BUS: 'rekey', REKEY_DATABASE_CA_FILE: caFile, ...over });
const refusal = (over: NodeJS.ProcessEnv) => {
  try {
    read(over);
  } catch (error) {
    return error;
  }
  return undefined;
};

describe('the configuration of a function that talks to databases', () => {
  test('without more, any host but loopback is allowed', () => {
    expect(read({})).toEqual({
      eventBus: 'rekey',
      ca: PEM,
      hosts: { allowLoopback: false, allowedSuffixes: [], authorities: new Map() },
    });
  });

  test('hosts can be limited to suffixes, in any letters', () => {
    const { hosts } = read({ REKEY_ALLOWED_HOSTS: ' .RDS.amazonaws.com  .db.corp ', REKEY_ALLOW_LOOPBACK: 'true' });
    expect(hosts).toEqual({
      allowLoopback: true,
      allowedSuffixes: ['.rds.amazonaws.com', '.db.corp'],
      authorities: new Map(),
    });
  });

  test('82: all that is missing is named at once', () => {
    expect(refusal({ REKEY_EVENT_BUS: '', REKEY_DATABASE_CA_FILE: undefined })).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/REKEY_EVENT_BUS is missing; REKEY_DATABASE_CA_FILE is missing/),
    });
  });

  test.each([
    [{ REKEY_ALLOW_LOOPBACK: 'yes' }, 'REKEY_ALLOW_LOOPBACK'],
    [{ REKEY_ALLOW_LOOPBACK: '' }, 'REKEY_ALLOW_LOOPBACK'],
    [{ REKEY_ALLOWED_HOSTS: 'amazonaws.com' }, 'REKEY_ALLOWED_HOSTS'],
    [{ REKEY_ALLOWED_HOSTS: '.a.example,.b.example;rm' }, 'REKEY_ALLOWED_HOSTS'],
    [{ REKEY_DATABASE_CA_FILE: '/nowhere/ca.pem' }, 'cannot be read'],
  ])('82: %j is refused', (env, says) => {
    expect(refusal(env)).toMatchObject({ code: 'CONFIG_INVALID', message: expect.stringContaining(says) });
  });

  test('82: a CA file without a certificate is refused', () => {
    expect(refusal({ REKEY_DATABASE_CA_FILE: join(folder, 'empty.pem') })).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('no certificate'),
    });
  });
});
