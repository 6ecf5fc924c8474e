import { inspect } from 'node:util';
import { describe, expect, test } from '@jest/globals';
import { SecretValue } from '../../shared/secrets/secret-value.ts';

describe('a secret value', () => {
  const secret = new SecretValue('hunter2-λ');

  test.each([
    ['a template string', () => `${secret}`],
    ['JSON', () => JSON.stringify({ secret })],
    ['util.inspect', () => inspect({ secret }, { depth: 20, showHidden: true })],
    ['concatenation', () => `x${String(secret)}`],
    ['its own keys', () => JSON.stringify([Object.keys(secret), Object.entries(secret)])],
    ['structured cloning', () => inspect(structuredClone({ ...secret }), { depth: 20 })],
  ])('does not come out through %s', (_, print) => {
    expect(print()).not.toContain('hunter2');
  });

  test('comes out through expose', () => {
    expect(secret.expose()).toBe('hunter2-λ');
  });
});
