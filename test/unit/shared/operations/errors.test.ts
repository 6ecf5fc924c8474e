import { readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { asRekeyError, ERROR_CATALOGUE, RekeyError } from '../../../../shared/operations/errors.ts';

describe('an error of Rekey', () => {
  test('takes retryable and action from the catalogue', () => {
    expect(new RekeyError('QUEUE_UNAVAILABLE', 'it timed out')).toMatchObject({
      message: 'QUEUE_UNAVAILABLE: it timed out',
      retryable: true,
      action: ERROR_CATALOGUE.QUEUE_UNAVAILABLE.action,
    });
  });

  test('may say exactly what to run instead', () => {
    expect(new RekeyError('UNEXPECTED', 'x', 'GRANT a TO b;').action).toBe('GRANT a TO b;');
  });

  test('keeps nothing of a foreign error but its kind', () => {
    const error = asRekeyError(new TypeError('password hunter2'));

    expect(error).toMatchObject({ code: 'UNEXPECTED', message: 'UNEXPECTED: an unexpected TypeError was thrown' });
    expect(error.cause).toBeUndefined();
  });

  test('passes through unchanged', () => {
    const error = new RekeyError('EVENT_INVALID', 'x');

    expect(asRekeyError(error)).toBe(error);
  });
});

test('docs/errors.md says of exactly these codes what still works, whether they are tried again, and what to do', () => {
  const documented = [
    ...readFileSync('docs/errors.md', 'utf8').matchAll(
      /^### `([A-Z_]+)`\n\n.+\n\n- Still works: .+\n- Tried again: (yes|no)\n- What to do: (.+)$/gm,
    ),
  ].map(([, code, retryable, action]) => [code, { retryable: retryable === 'yes', action }]);

  expect(Object.fromEntries(documented)).toEqual(ERROR_CATALOGUE);
  expect(documented).toHaveLength(Object.keys(ERROR_CATALOGUE).length);
});
