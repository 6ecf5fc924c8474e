import { describe, expect, test } from '@jest/globals';
import { refusalAsRekeyError, ServerRefusal, translate } from '../../../../shared/engines/mysql-errors.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';

/** An error as the driver makes it from the server's answer, with the statement. */
const fromServer = (errno: number) =>
  Object.assign(new Error('hunter2'), { errno, code: 'ER_HUNTER2', sqlMessage: 'hunter2', sql: "… BY 'hunter2'" });
const where = 'the database';

describe('what the driver throws', () => {
  test('from the server is reduced to its number', () => {
    const refusal = translate(fromServer(1819), where, { during: 'statement', completed: 2 });

    expect(refusal).toMatchObject({ errno: 1819, during: 'statement', completed: 2 });
    expect(JSON.stringify(refusal) + String(refusal)).not.toMatch(/hunter2/i);
  });

  test.each([
    ['a lock that took too long', 1205, true],
    ['a deadlock', 1213, true],
    ['a row that another transaction changed', 1020, true],
    ['a missing right', 1227, false],
    ['a policy', 1819, false],
  ])('about %s says whether to repeat it', (_, errno, transient) => {
    expect(translate(fromServer(errno), where, { during: 'statement' })).toHaveProperty('transient', transient);
  });

  test.each([
    [1044, 'statement', true],
    [1045, 'statement', true],
    [1227, 'statement', true],
    [1698, 'statement', true],
    [1044, 'login', false],
    [1045, 'login', false],
    [1698, 'login', false],
    [1819, 'statement', false],
  ] as const)('number %i for a %s says whether a right was missing', (errno, during, notPermitted) => {
    expect(translate(fromServer(errno), where, { during })).toHaveProperty('notPermitted', notPermitted);
  });

  test('of our own is left as it is', () => {
    for (const error of [new RekeyError('DATABASE_TLS', 'x'), new ServerRefusal(1040)])
      expect(translate(error, where, { during: 'login' })).toBe(error);
  });

  test.each([
    [{ code: 'ECONNREFUSED', errno: -111 }, 'DATABASE_UNREACHABLE', true],
    [{ code: 'ETIMEDOUT' }, 'DATABASE_UNREACHABLE', true],
    [{ code: 'PROTOCOL_CONNECTION_LOST' }, 'DATABASE_UNREACHABLE', true],
    [{ code: 'HANDSHAKE_NO_SSL_SUPPORT' }, 'DATABASE_TLS', false],
    [{ code: 'HANDSHAKE_SSL_ERROR', library: 'SSL routines' }, 'DATABASE_TLS', false],
    [{ code: 'HANDSHAKE_SSL_ERROR' }, 'DATABASE_UNREACHABLE', true], // the network broke meanwhile
    [{ code: 'AUTH_SWITCH_PLUGIN_ERROR' }, 'AUTHENTICATION_UNSAFE', false],
    [{ code: 'MYSQL_CLEAR_PASSWORD_NOT_ENABLED' }, 'AUTHENTICATION_UNSAFE', false],
    [{ code: 'hunter2' }, 'DATABASE_UNREACHABLE', true],
    [{}, 'DATABASE_UNREACHABLE', true],
  ])('with %j becomes %s', (fields, code, retryable) => {
    const error = translate(Object.assign(new Error('hunter2'), fields), where, { during: 'login' });

    expect(error).toMatchObject({ code, retryable });
    expect(error.message).not.toContain('hunter2');
  });

  test.each(['CERT_HAS_EXPIRED', 'ERR_TLS_CERT_ALTNAME_INVALID', 'SELF_SIGNED_CERT_IN_CHAIN'])(
    'about a certificate that is %s names it',
    (certificateFault) => {
      const thrown = Object.assign(new Error('hunter2'), { code: 'HANDSHAKE_SSL_ERROR' });

      expect(translate(thrown, where, { during: 'login', certificateFault })).toMatchObject({
        code: 'DATABASE_TLS',
        message: expect.stringContaining(certificateFault),
      });
    },
  );

  test.each(['hunter2', undefined, null, 1045, new Error('hunter2')])(
    'that is no error of either loses its words: %p',
    (thrown) => {
      expect(translate(thrown, where, { during: 'login' })).toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        message: expect.not.stringContaining('hunter2'),
      });
    },
  );
});

describe('what a server refused', () => {
  test.each([
    [1040, 'login', 'DATABASE_BUSY', true],
    [1044, 'login', 'LOGIN_REFUSED', false],
    [1044, 'statement', 'PRIVILEGE_MISSING', false],
    [1045, 'login', 'LOGIN_REFUSED', false],
    [1045, 'statement', 'PRIVILEGE_MISSING', false],
    [1049, 'login', 'DATABASE_MISSING', false],
    [1053, 'statement', 'DATABASE_BUSY', true],
    [1064, 'statement', 'DATABASE_UNSUPPORTED', false],
    [1129, 'login', 'DATABASE_UNREACHABLE', true],
    [1130, 'login', 'LOGIN_REFUSED', false],
    [1203, 'login', 'DATABASE_BUSY', true],
    [1205, 'statement', 'DATABASE_BUSY', true],
    [1213, 'statement', 'DATABASE_BUSY', true],
    [1226, 'login', 'DATABASE_BUSY', true],
    [1227, 'statement', 'PRIVILEGE_MISSING', false],
    [1290, 'statement', 'DATABASE_READ_ONLY', true],
    [1819, 'statement', 'PASSWORD_REJECTED', false],
    [1836, 'statement', 'DATABASE_READ_ONLY', true],
    [1862, 'login', 'LOGIN_REFUSED', false],
    [3032, 'login', 'DATABASE_BUSY', true],
    [3118, 'login', 'LOGIN_REFUSED', false],
    [3159, 'login', 'DATABASE_TLS', false],
    [3638, 'statement', 'PASSWORD_REJECTED', false],
    [3955, 'login', 'LOGIN_REFUSED', false],
    [6400, 'login', 'DATABASE_BUSY', true],
    [9999, 'statement', 'DATABASE_ERROR', false],
  ] as const)('with number %i for a %s is %s', (errno, during, code, retryable) => {
    expect(refusalAsRekeyError(new ServerRefusal(errno, during), where)).toMatchObject({ code, retryable });
  });
});
