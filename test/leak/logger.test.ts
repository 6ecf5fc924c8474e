import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { RekeyError } from '../../shared/operations/errors.ts';
import { createLogger } from '../../shared/operations/logger.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';

const PASSWORD = 'hunter2-λ';

/** An error as drivers make them: the statement in a property, in the message, and in the cause. */
function driverError(): Error {
  const error = new Error(`syntax error at ${PASSWORD}`, { cause: new Error(`ALTER USER app PASSWORD '${PASSWORD}'`) });
  return Object.assign(error, { sql: `ALTER USER app PASSWORD '${PASSWORD}'`, body: { password: PASSWORD } });
}

describe('the logger', () => {
  let printed: string;

  beforeEach(() => {
    printed = '';
    for (const stream of [process.stdout, process.stderr])
      jest.spyOn(stream, 'write').mockImplementation((chunk) => {
        printed += chunk;
        return true;
      });
  });

  afterEach(() => {
    jest.restoreAllMocks();
  });

  test('prints nothing of a foreign error but its kind and where it arose', () => {
    createLogger('test').error('it failed', { error: driverError() });

    expect(printed).not.toContain('hunter2');
    expect(printed).toContain('an unexpected Error was thrown');
    expect(printed).toContain('logger.test.ts');
  });

  test('prints code, message and action of an error of its own', () => {
    createLogger('test').error('it failed', { error: new RekeyError('EVENT_INVALID', 'there is no "Step"') });

    const line = JSON.parse(printed) as { failure: Record<string, unknown> };
    expect(line.failure).toEqual({
      code: 'EVENT_INVALID',
      message: 'EVENT_INVALID: there is no "Step"',
      retryable: false,
      action: expect.stringContaining('Correct what the message names'),
    });
  });

  test('prints a secret value as a placeholder', () => {
    createLogger('test').info('read', { value: new SecretValue(PASSWORD) });

    expect(printed).not.toContain('hunter2');
    expect(printed).toContain('[secret]');
  });

  test('adds its fields to each line of a derived logger', () => {
    createLogger('test').with({ secretArn: 'arn:x' }).warn('late');

    expect(JSON.parse(printed)).toMatchObject({ level: 'WARN', message: 'late', service: 'test', secretArn: 'arn:x' });
  });
});
