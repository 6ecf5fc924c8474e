import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import { generatePassword } from '../../../../shared/secrets/password.ts';

const LOWER = /[a-z]/;
const UPPER = /[A-Z]/;
const DIGIT = /[0-9]/;
const PUNCTUATION = /[!-/:-@[-`{-~]/;

const generate = (passwordLength = 32, excludeCharacters = '') =>
  generatePassword({ passwordLength, excludeCharacters }, POSTGRES).expose();

describe('a generated password', () => {
  const policy = fc.record({
    length: fc.integer({ min: 16, max: 128 }),
    // Letters and digits are left over by what the tag may say; punctuation may go altogether.
    excluded: fc.string({ unit: fc.constantFrom(...'bcdefBCDEF123456!#$%&()*+,-.;<=>?[]^_`{|}~') }),
  });

  test('has the length that was asked for', () => {
    fc.assert(fc.property(policy, ({ length, excluded }) => generate(length, excluded).length === length));
  });

  test('has no character that the tag or the engine excludes', () => {
    fc.assert(
      fc.property(policy, ({ length, excluded }) => {
        const forbidden = new Set(`${excluded}/@"'\\:`);
        return [...generate(length, excluded)].every((character) => !forbidden.has(character));
      }),
    );
  });

  test('has each type that is not wholly excluded', () => {
    fc.assert(
      fc.property(policy, ({ length, excluded }) => {
        const password = generate(length, excluded);
        expect(password).toMatch(LOWER);
        expect(password).toMatch(UPPER);
        expect(password).toMatch(DIGIT);
      }),
    );
    expect(generate()).toMatch(PUNCTUATION);
  });

  test('has no punctuation when all of it is excluded', () => {
    expect(generate(32, '!#$%&()*+,-.;<=>?[]^_`{|}~')).not.toMatch(PUNCTUATION);
  });

  test('never repeats', () => {
    expect(new Set(Array.from({ length: 1_000 }, () => generate(16))).size).toBe(1_000);
  });

  test('uses every allowed character about equally often', () => {
    const counts = new Map<string, number>();
    const drawn = 4_000 * 32;
    for (let n = 0; n < 4_000; n++)
      for (const character of generate()) counts.set(character, (counts.get(character) ?? 0) + 1);

    const alphabet = 26 + 26 + 10 + 32 - 6;
    expect(counts.size).toBe(alphabet);
    // Requiring each type lifts the digits by 2 % or so; six standard deviations around that leave no room for chance.
    const expected = drawn / alphabet;
    const tolerance = expected * 0.04 + 6 * Math.sqrt(expected);
    for (const count of counts.values()) expect(Math.abs(count - expected)).toBeLessThan(tolerance);
  });

  test('cannot be printed', () => {
    expect(String(generatePassword({ passwordLength: 32, excludeCharacters: '' }, POSTGRES))).toBe('[secret]');
  });
});
