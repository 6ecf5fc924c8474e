import { describe, expect, test } from '@jest/globals';
import { goRegexp } from '../../../../shared/cluster/go-regexp.ts';

const matches = async (pattern: string, name: string) => (await goRegexp(pattern)).matches(name);

describe('a regular expression of Go', () => {
  test.each([
    ['^shop/', 'shop/database', true],
    ['^shop/', 'bank/shop/', false],
    ['database', 'shop/database-1', true],
    ['(?i)DATABASE$', 'shop/database', true],
    [String.raw`\Ashop/\w+\z`, 'shop/database', true],
    [String.raw`^\pL+$`, 'größe', true],
    ['', 'anything', true],
  ])('%s on %s: %s', async (pattern, name, expected) => {
    expect(await matches(pattern, name)).toBe(expected);
  });

  test.each(['(?=shop)', String.raw`(a)\1`, '(', 'a{1001}', '((a{100}){100}){100}', 'x'.repeat(1_001)])(
    'that Go refuses matches nothing: %s',
    async (pattern) => {
      expect(await matches(pattern, pattern)).toBe(false);
    },
  );

  test('that a backtracking engine would never finish is answered all the same', async () => {
    expect(await matches('^(a+)+$', `${'a'.repeat(500)}!`)).toBe(false);
    expect(await matches('(a|aa)+$', `${'a'.repeat(500)}!`)).toBe(false);
  });
});
