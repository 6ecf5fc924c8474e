import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { POSTGRES } from '../../../../shared/secrets/engine-rules.ts';
import { generatePassword, type PasswordNeeds, shareRefused } from '../../../../shared/secrets/password.ts';

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

describe('the share of passwords that a server would refuse', () => {
  const ALL = Array.from({ length: 95 }, (_, offset) => String.fromCharCode(32 + offset));
  const leaving = (alphabet: string) => ALL.filter((character) => !alphabet.includes(character)).join('');
  const count = (password: string, type: RegExp) => [...password].filter((character) => type.test(character)).length;
  const falls = (password: string, { length, types }: PasswordNeeds) =>
    password.length < length ||
    count(password, LOWER) < (types['lower case letters'] ?? 0) ||
    count(password, UPPER) < (types['upper case letters'] ?? 0) ||
    count(password, DIGIT) < (types.digits ?? 0) ||
    count(password, PUNCTUATION) < (types['other characters'] ?? 0);

  test('is that of all passwords that could be made', () => {
    const upTo = (max: number) => fc.integer({ min: 0, max });
    const types = fc.record(
      { 'lower case letters': upTo(3), 'upper case letters': upTo(3), digits: upTo(3), 'other characters': upTo(2) },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(
        fc.constantFrom('abA1', 'aAB1', 'aA1!', 'aA12'),
        fc.integer({ min: 4, max: 6 }),
        fc.record({ length: upTo(7), types }),
        (alphabet, passwordLength, needs) => {
          let all = [''];
          for (let n = 0; n < passwordLength; n++)
            all = all.flatMap((text) => [...alphabet].map((next) => text + next));
          const types = [LOWER, UPPER, DIGIT, PUNCTUATION].filter((type) => type.test(alphabet));
          const possible = all.filter((password) => types.every((type) => type.test(password)));
          const refused = possible.filter((password) => falls(password, needs)).length / possible.length;
          const options = { passwordLength, excludeCharacters: leaving(alphabet) };
          expect(shareRefused(options, POSTGRES, needs)).toBeCloseTo(refused, 10);
        },
      ),
    );
  });

  test('is exactly none or all where chance has no say', () => {
    const options = { passwordLength: 128, excludeCharacters: '' };
    expect(shareRefused(options, POSTGRES, { length: 128, types: { digits: 1, 'other characters': 1 } })).toBe(0);
    expect(shareRefused(options, POSTGRES, { length: 129, types: {} })).toBe(1);
    expect(shareRefused(options, POSTGRES, { length: 8, types: { digits: 126 } })).toBe(1);
  });
});
