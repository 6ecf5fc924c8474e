import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  type DatabaseSecret,
  parseBareLogin,
  parseDatabaseSecret,
  type SecretContext,
  withLogin,
} from '../../../../shared/secrets/database-secret.ts';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import { SecretValue } from '../../../../shared/secrets/secret-value.ts';
import { DEFAULT_OPTIONS } from '../../../../shared/secrets/tags.ts';
import { located } from './located.ts';

const CONTEXT: SecretContext = {
  what: 'AWSCURRENT of app/db',
  rules: POSTGRES,
  options: DEFAULT_OPTIONS,
  hosts: { allowLoopback: false, allowedSuffixes: [], authorities: new Map() },
};
const parse = (text: string): DatabaseSecret => located(parseDatabaseSecret(new SecretValue(text), CONTEXT));
const minimal = { engine: 'postgres', host: 'db.example', username: 'app', password: 'p' };

describe('the JSON of a database secret', () => {
  test('port and database have the defaults of the engine', () => {
    expect(parse(JSON.stringify(minimal))).toMatchObject({ port: 5432, database: 'postgres', masterArn: undefined });
  });

  test('a port may be written as a text, as AWS reads it', () => {
    expect(parse(JSON.stringify({ ...minimal, port: '5433' })).port).toBe(5433);
  });

  test('the password is not printable', () => {
    expect(JSON.stringify(parse(JSON.stringify({ ...minimal, password: 'hunter2' })))).not.toContain('hunter2');
  });

  test('the administrator may be one whose secret RDS made, which has a name like no other', () => {
    const masterarn = 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:rds!cluster-1a2b3c-AbCdEf';
    expect(parse(JSON.stringify({ ...minimal, masterarn })).masterArn).toBe(masterarn);
  });

  test('a user name and a password alone are a login without a place, and anything more is not', () => {
    const bare = (value: object) => parseBareLogin(new SecretValue(JSON.stringify(value)), CONTEXT);
    const login = bare({ password: 'hunter2', username: 'app' });
    expect({ username: login?.username, password: login?.password.expose() }).toEqual({
      username: 'app',
      password: 'hunter2',
    });
    expect(JSON.stringify(login)).not.toContain('hunter2');
    for (const other of [minimal, { username: 'app' }, { username: 'app', password: 'p', host: 'db.example' }, {}])
      expect(bare(other)).toBeUndefined();
  });

  test('a new login leaves every other character as it was', () => {
    const text = `{ "engine" : "postgres",\n\t"big": 12345678901234567890, "10": 1.0, "1": [ {"password": "inner"} ],
      "password":"a\\"}{,b", "host":"db.example","ключ":"\\u00e9", "username":"app" }`;
    const changed = withLogin(parse(text), { username: 'app"x', password: new SecretValue('n,{}"\\') });
    expect(changed.expose()).toBe(
      text.replace(String.raw`"a\"}{,b"`, String.raw`"n,{}\"\\"`).replace('"app"', String.raw`"app\"x"`),
    );
  });

  test('a new login is what is read back, whatever stands around it', () => {
    const login = fc.record({
      username: fc.constantFrom('app', 'a"b\'c', 'ä]b`c'),
      password: fc.string({ minLength: 1 }),
    });
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 4 })), login, (extra, { username, password }) => {
        const { masterarn, port, dbname, ssl, ['__proto__']: _1, constructor: _2, prototype: _3, ...rest } = extra;
        fc.pre(!password.includes('\0'));
        const text = JSON.stringify({ ...rest, ...minimal }, null, 1);
        const back = parse(withLogin(parse(text), { username, password: new SecretValue(password) }).expose());
        expect(back.username).toBe(username);
        expect(back.password.expose()).toBe(password);
        expect(JSON.parse(back.source.expose())).toEqual({ ...JSON.parse(text), username, password });
      }),
    );
  });

  test('any text is either read or refused with a code of its own', () => {
    const anyJson = fc.oneof(
      fc.string(),
      fc.json(),
      fc
        .record({
          ...Object.fromEntries(Object.keys(minimal).map((key) => [key, fc.jsonValue()])),
          port: fc.jsonValue(),
        })
        .map((value) => JSON.stringify({ ...minimal, ...value })),
    );
    fc.assert(
      fc.property(anyJson, (text) => {
        try {
          expect(parse(text).engine).toBe('postgres');
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^(SECRET_VALUE_INVALID|HOST_NOT_ALLOWED)$/) });
        }
      }),
    );
  });
});
