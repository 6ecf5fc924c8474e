import { describe, expect, test } from '@jest/globals';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import type { HostPolicy } from '../../../../shared/secrets/database-host.ts';
import { type DatabaseSecret, parseDatabaseSecret } from '../../../../shared/secrets/database-secret.ts';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';
import { DEFAULT_OPTIONS } from '../../../../shared/secrets/tags.ts';
import { located } from './located.ts';

/**
 * The part of the catalogue of bad input that is about the text of a secret. What needs labels, a second secret or a
 * server stands in test/unit/shared/rotation/bad-input-35-41.test.ts.
 */

const anywhere: HostPolicy = { allowLoopback: false, allowedSuffixes: [], authorities: new Map() };
const parse = (text: string, hosts = anywhere): DatabaseSecret =>
  located(
    parseDatabaseSecret(new SecretValue(text), {
      what: 'AWSCURRENT of app/db',
      rules: POSTGRES,
      options: DEFAULT_OPTIONS,
      hosts,
    }),
  );

/** Stands in every secret here, so that no message may contain it. */
const CANARY = 'hunter2-canary';
const secret = (over: Record<string, unknown>) =>
  JSON.stringify({ engine: 'postgres', host: 'db.example', username: 'app', password: CANARY, ...over });

function refusal(text: string, hosts?: HostPolicy): RekeyError {
  try {
    parse(text, hosts);
  } catch (error) {
    if (error instanceof RekeyError) return error;
  }
  throw new Error('the secret was not refused');
}

interface Case {
  readonly entry: string;
  readonly text: string;
  readonly says: string | RegExp;
  readonly code?: string;
}

const bad = (entry: string, over: Record<string, unknown>, says: Case['says'], code?: string): Case => ({
  entry,
  text: secret(over),
  says,
  ...(code !== undefined && { code }),
});
const host = (entry: string, name: string, says: string) =>
  bad(`32: host ${entry}`, { host: name }, says, 'HOST_NOT_ALLOWED');

const deep = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`;

const CASES: readonly Case[] = [
  { entry: '22: not JSON', text: `password=${CANARY}`, says: 'not JSON' },
  { entry: '22: empty', text: '', says: 'not JSON' },
  { entry: '22: an array', text: `["${CANARY}"]`, says: 'not a JSON object' },
  { entry: '22: a number', text: '42', says: 'not a JSON object' },
  { entry: '22: a text', text: `"${CANARY}"`, says: 'not a JSON object' },
  { entry: '22: null', text: 'null', says: 'not a JSON object' },
  { entry: '23: byte order mark', text: `\uFEFF${secret({})}`, says: 'not JSON' },
  { entry: '23: trailing comma', text: secret({}).replace(/}$/, ',}'), says: 'not JSON' },
  { entry: '23: single quotes', text: secret({}).replaceAll('"', "'"), says: 'not JSON' },
  { entry: '24: the same key twice', text: secret({}).replace('{', '{"host":"evil.example",'), says: 'same key twice' },
  {
    entry: '24: the same key twice, once escaped',
    text: secret({}).replace('{', String.raw`{"\u0068ost":"evil.example",`),
    says: 'same key twice',
  },
  { entry: '25: __proto__', text: secret({}).replace('{', '{"__proto__":{"host":"evil.example"},'), says: '__proto__' },
  bad('25: constructor.prototype', { constructor: { prototype: { host: 'evil.example' } } }, 'constructor'),
  bad('25: prototype', { prototype: {} }, 'prototype'),
  bad('26: more than 64 KiB', { note: 'x'.repeat(65_536) }, 'larger than 65536 bytes'),
  bad(
    '26: 10,000 keys',
    Object.fromEntries(Array.from({ length: 5_000 }, (_, n) => [`k${n}`, 0])),
    'more than 1000 keys',
  ),
  { entry: '26: 5,000 levels', text: secret({}).replace('{', `{"deep":${deep(5_000)},`), says: 'deeper than 32' },
  bad('27: password null', { password: null }, '"password"'),
  bad('27: password empty', { password: '' }, '"password"'),
  bad('27: password a number', { password: 12345 }, '"password"'),
  bad('27: password an object', { password: { value: CANARY } }, '"password"'),
  bad('27: password missing', { password: undefined }, '"password"'),
  bad('28: username missing', { username: undefined }, '"username"'),
  bad('28: username with NUL', { username: 'app\0admin' }, 'invisible'),
  bad('28: username with a right-to-left mark', { username: 'app\u202enimda' }, 'invisible'),
  bad('28: username with a newline', { username: 'app\n' }, 'invisible'),
  bad('28: username of 200 bytes', { username: 'ü'.repeat(100) }, '63 bytes'),
  bad('28: username with a trailing space', { username: 'app ' }, 'space'),
  bad('28: username with half a character', { username: 'app\ud83d' }, 'Unicode'),
  bad('29: password with NUL', { password: `${CANARY}\0` }, 'NUL'),
  bad('30: engine missing', { engine: undefined }, '"engine"'),
  bad('30: engine in capitals', { engine: 'POSTGRES' }, '"engine" must be "postgres" or "aurora-postgresql"'),
  bad('30: engine unknown', { engine: 'sqlite' }, '"engine"'),
  bad('30: engine of another function', { engine: 'mysql' }, '"engine"'),
  ...[0, -1, 70_000, 1.5, '5432; drop', '', ' 5432', '0x1538', '054321', true, [5432]].map((port) =>
    bad(`31: port ${JSON.stringify(port)}`, { port }, '"port"'),
  ),
  host('an IP literal', '10.0.0.5', 'IP address'),
  host('an IPv6 literal', 'fd00:ec2::254', 'IP address'),
  host('the metadata service', '169.254.169.254', 'IP address'),
  host('the metadata service in IPv6 clothes', '::ffff:169.254.169.254', 'IP address'),
  host('the metadata service by name', 'instance-data.ec2.internal', 'metadata'),
  host('an address as one number', '2852039166', 'disguised'),
  host('an address in hexadecimal', '0xa9fea9fe', 'disguised'),
  host('a short address', '127.1', 'disguised'),
  host('localhost', 'localhost', 'loopback'),
  host('loopback', '127.0.0.1', 'loopback'),
  host('loopback in IPv6', '::1', 'loopback'),
  host('with user information', 'db@evil.example', 'user name'),
  host('with a fragment', 'evil.example#.rds.amazonaws.com', 'DNS name'),
  host('with a query', 'db.example?sslmode=disable', 'DNS name'),
  host('an internationalised look-alike', 'db.ехample', 'DNS name'),
  host('with a trailing dot', 'db.example.', 'dot'),
  host('of 300 characters', `${'a'.repeat(50)}.`.repeat(6).slice(0, 299), 'longer'),
  host('a Unix socket', '/var/run/postgresql', 'Unix socket'),
  host('a list, which libpq tries in turn', 'db.example,evil.example', 'list'),
  host('with a port', 'db.example:5432', 'DNS name'),
  host('with a blank', 'db.example evil', 'DNS name'),
  host('with an empty label', 'db..example', 'DNS name'),
  bad('32: host empty', { host: '' }, '"host"'),
  bad('32: host missing', { host: undefined }, '"host"'),
  bad('32: host an object', { host: { name: 'db' } }, '"host"'),
  bad('33: ssl: false', { ssl: false }, '"ssl"'),
  bad('33: ssl: "false"', { ssl: 'false' }, '"ssl"'),
  bad('33: ssl: "maybe"', { ssl: 'maybe' }, '"ssl"'),
  bad('33: sslmode in dbname', { dbname: 'app?sslmode=disable' }, '"dbname"'),
  bad('33: sslmode in dbname, as libpq writes it', { dbname: 'dbname=app sslmode=disable' }, '"dbname"'),
  bad('34: dbname with a space', { dbname: 'my app' }, '"dbname"'),
  bad('34: dbname with quotes', { dbname: `a"b'c` }, '"dbname"'),
  bad('34: dbname replication=1', { dbname: 'replication=1' }, '"dbname"'),
  bad('34: dbname empty', { dbname: '' }, '"dbname"'),
  bad('34: dbname of 64 bytes', { dbname: 'd'.repeat(64) }, '"dbname"'),
  bad('35: masterarn a name', { masterarn: 'admin' }, '"masterarn"'),
  bad(
    '35: masterarn without its suffix',
    { masterarn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:admin' },
    '"masterarn"',
  ),
  bad('35: masterarn of another service', { masterarn: 'arn:aws:iam::123456789012:role/admin-AbCdEf' }, '"masterarn"'),
  bad('35: masterarn null', { masterarn: null }, '"masterarn"'),
  bad('41: username that the platform keeps', { username: 'rds_superuser' }, '"username"'),
  bad('41: username that the platform keeps', { username: 'pg_monitor' }, '"username"'),
];

describe('bad input 21 to 41: the text of a secret', () => {
  test.each(CASES)('$entry is refused by name and not by value', ({ text, says, code = 'SECRET_VALUE_INVALID' }) => {
    const error = refusal(text);
    expect(error).toMatchObject({ code, retryable: false });
    expect(error.message).toMatch(says);
    expect(error.message).toContain('AWSCURRENT of app/db');
    expect(error.message + error.action + error.stack).not.toMatch(/hunter2|evil/);
    expect(error.cause).toBeUndefined();
  });

  test('32: a look-alike domain is refused where the configuration names the right ones', () => {
    const hosts = { allowLoopback: false, allowedSuffixes: ['.rds.amazonaws.com'], authorities: new Map() };
    const lookAlike = secret({ host: 'x.rds.amazonaws.com.evil.io' });
    expect(refusal(lookAlike, hosts)).toMatchObject({ code: 'HOST_NOT_ALLOWED' });
    expect(parse(secret({ host: 'X.rds.AmazonAWS.com' }), hosts).host).toBe('X.rds.AmazonAWS.com');
  });

  test('32: loopback is let through where the configuration allows it', () => {
    const hosts = { allowLoopback: true, allowedSuffixes: [], authorities: new Map() };
    expect(parse(secret({ host: '127.0.0.1' }), hosts).host).toBe('127.0.0.1');
    expect(refusal(secret({ host: '10.0.0.5' }), hosts)).toMatchObject({ code: 'HOST_NOT_ALLOWED' });
  });
});

describe('input of 21 to 41 that looks bad and is right', () => {
  test.each([`a"b'c`, 'a`b', 'app;--', 'a]b', 'App', 'app😀', 'x_clone'])(
    '28: the username %j is taken as it is',
    (username) => {
      expect(parse(secret({ username })).username).toBe(username);
    },
  );

  test.each([
    `' " \\ % $ { } @ : / ? # &`,
    '%s',
    '$1',
    '$$',
    'line\nbreak',
    'nfc é',
    'nfd e\u0301',
    'x'.repeat(200),
    'SCRAM-SHA-256$4096:',
    'md55f4dcc3b5aa765d61d8327deb882cf99',
    '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19',
  ])('29: the password %j is taken as it is', (password) => {
    expect(parse(secret({ password })).password.expose()).toBe(password);
  });

  test.each(['postgres', 'aurora-postgresql'])('30: the engine %s is PostgreSQL', (engine) => {
    expect(parse(secret({ engine })).engine).toBe(engine);
  });

  test.each([5432, '5432', 1, 65_535])('31: the port %j is a port', (port) => {
    expect(parse(secret({ port })).port).toBe(Number(port));
  });

  test('33: ssl: true is what Rekey does anyway', () => {
    expect(parse(secret({ ssl: true })).host).toBe('db.example');
    expect(parse(secret({ ssl: 'true' })).host).toBe('db.example');
  });

  test('26: exactly 64 KiB is read', () => {
    const room = 65_536 - secret({ note: '' }).length;
    expect(parse(secret({ note: 'x'.repeat(room) })).username).toBe('app');
  });
});
