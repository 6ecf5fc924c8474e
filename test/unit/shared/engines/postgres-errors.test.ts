import { describe, expect, test } from '@jest/globals';
import { refusalAsRekeyError, ServerRefusal, translate } from '../../../../shared/engines/postgres-errors.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';

/** An error as the driver makes it from the server's answer; `detail` and `where` quote whatever they like. */
const fromServer = (code: string, message = 'hunter2') =>
  Object.assign(new Error(message), { code, severity: 'ERROR', detail: 'hunter2', where: "ALTER ROLE … 'hunter2'" });

describe('what the driver throws', () => {
  test('from the server is reduced to its SQLSTATE', () => {
    const refusal = translate(fromServer('42501'), 'the database');

    expect(refusal).toBeInstanceOf(ServerRefusal);
    expect(JSON.stringify(refusal) + String(refusal)).not.toContain('hunter2');
  });

  test.each([
    ['a deadlock', '40P01', 'deadlock detected', true],
    ['a serialization failure', '40001', '', true],
    ['another ALTER ROLE', 'XX000', 'tuple concurrently updated', true],
    ['another internal error', 'XX000', 'cache lookup failed', false],
    ['a missing right', '42501', '', false],
  ])('about %s says whether to repeat it', (_, sqlState, message, transient) => {
    expect(translate(fromServer(sqlState, message), 'the database')).toHaveProperty('transient', transient);
  });

  test('of our own is left as it is', () => {
    const error = new RekeyError('DATABASE_TLS', 'x');

    expect(translate(error, 'the database')).toBe(error);
  });

  test.each([
    ['ECONNREFUSED', 'DATABASE_UNREACHABLE', true],
    ['ETIMEDOUT', 'DATABASE_UNREACHABLE', true],
    ['CERT_HAS_EXPIRED', 'DATABASE_TLS', false],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'DATABASE_TLS', false],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'DATABASE_TLS', false],
    ['EPROTO', 'DATABASE_TLS', false],
  ])('with code %s becomes %s', (code, expected, retryable) => {
    const error = translate(Object.assign(new Error('hunter2'), { code }), 'the database');

    expect(error).toMatchObject({ code: expected, retryable, message: expect.stringContaining(code) });
    expect(error.message).not.toContain('hunter2');
  });

  test('without any code loses its message', () => {
    expect(translate(new Error('hunter2'), 'the database').message).not.toContain('hunter2');
  });

  test('70: because the server did not know the password either is no refusal of ours', () => {
    const error = new Error('SASL: SCRAM-SERVER-FINAL-MESSAGE: server signature does not match');

    expect(translate(error, 'the database')).toMatchObject({ code: 'AUTHENTICATION_UNSAFE', retryable: false });
  });
});

describe('what a server refused', () => {
  test.each([
    ['25006', 'DATABASE_READ_ONLY'],
    ['28P01', 'LOGIN_REFUSED'],
    ['28000', 'LOGIN_REFUSED'],
    ['3D000', 'DATABASE_MISSING'],
    ['40P01', 'DATABASE_BUSY'],
    ['42501', 'PRIVILEGE_MISSING'],
    ['53300', 'DATABASE_BUSY'],
    ['53200', 'DATABASE_BUSY'],
    ['55P03', 'DATABASE_BUSY'],
    ['57P03', 'DATABASE_BUSY'],
    ['42601', 'DATABASE_ERROR'],
  ])('with %s is %s', (sqlState, code) => {
    const error = refusalAsRekeyError(new ServerRefusal(sqlState), 'the database');

    expect(error).toMatchObject({ code, message: expect.stringContaining(sqlState) });
  });

  test('as an internal error is busy only when another change of the same user was the reason', () => {
    expect(refusalAsRekeyError(new ServerRefusal('XX000', { transient: true }), 'x').code).toBe('DATABASE_BUSY');
    expect(refusalAsRekeyError(new ServerRefusal('XX000'), 'x').code).toBe('DATABASE_ERROR');
  });
});
