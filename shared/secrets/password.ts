import { randomInt } from 'node:crypto';
import type { EngineRules } from './engine-rules.ts';
import { SecretValue } from './secret-value.ts';
import type { SecretOptions } from './tags.ts';

/** The four types of GetRandomPassword, which AWS's functions use; each included type must appear. */
const TYPES = {
  'lower case letters': 'abcdefghijklmnopqrstuvwxyz',
  'upper case letters': 'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  digits: '0123456789',
  'other characters': '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~',
} as const;

export type CharacterType = keyof typeof TYPES;

/** What a server wants of each password. */
export interface PasswordNeeds {
  /** Characters, at least. */
  readonly length: number;
  /** How many of a type, at least; a type that is not here may be missing. */
  readonly types: Readonly<Partial<Record<CharacterType, number>>>;
}

/** What MySQL and MariaDB count in a password: letters of each case alike, digits, and whatever is neither. */
export function countedNeeds(least: {
  readonly length: number;
  readonly eachCase: number;
  readonly digits: number;
  readonly others: number;
}): PasswordNeeds {
  const { length, eachCase, digits, others } = least;
  const letters = { 'lower case letters': eachCase, 'upper case letters': eachCase };
  return { length, types: { ...letters, digits, 'other characters': others } };
}

type PasswordOptions = Pick<SecretOptions, 'passwordLength' | 'excludeCharacters'>;
type PasswordRules = Pick<EngineRules, 'excludeCharacters'>;

/**
 * A new password by the policy of one secret. It is made here rather than by GetRandomPassword, which would need one
 * more permission on `*` and one more call.
 */
export function generatePassword(options: PasswordOptions, rules: PasswordRules): SecretValue {
  const included = includedTypes(options, rules).map(({ characters }) => characters);
  const alphabet = included.flat();
  // Drawing anew until each type is there keeps every allowed password equally likely; fixing up places would not.
  for (;;) {
    const drawn = Array.from({ length: options.passwordLength }, () => alphabet[randomInt(alphabet.length)]);
    if (included.every((type) => type.some((character) => drawn.includes(character))))
      return new SecretValue(drawn.join(''));
  }
}

/** The share of generated passwords, 0 to 1, that falls short of what a server needs. */
export function shareRefused(options: PasswordOptions, rules: PasswordRules, needs: PasswordNeeds): number {
  const included = includedTypes(options, rules);
  const wanted = Object.entries(needs.types).filter(([, count]) => count > 0);
  if (options.passwordLength < needs.length) return 1;
  if (wanted.some(([type]) => !included.some(({ name }) => name === type))) return 1;
  const size = included.reduce((sum, { characters }) => sum + characters.length, 0);
  /** The probability that drawing characters one by one gives at least so many of each type. */
  const probability = (atLeast: (type: CharacterType) => number): number => {
    // [n]: that n places hold the types so far, enough of each, and those alone.
    let held = [1, ...Array.from({ length: options.passwordLength }, () => 0)];
    for (const { name, characters } of included)
      held = held.map((_, places) => {
        let sum = 0;
        let term = 1; // C(places, count) × (share of the type) ^ count
        for (let count = 0; count <= places; count += 1) {
          if (count >= atLeast(name)) sum += term * (held[places - count] ?? 0);
          term *= ((places - count) / (count + 1)) * (characters.length / size);
        }
        return sum;
      });
    return held[options.passwordLength] ?? 0;
  };
  return 1 - probability((type) => Math.max(1, needs.types[type] ?? 0)) / probability(() => 1);
}

function includedTypes(options: PasswordOptions, rules: PasswordRules) {
  const excluded = new Set(rules.excludeCharacters + options.excludeCharacters);
  return (Object.entries(TYPES) as [CharacterType, string][])
    .map(([name, type]) => ({ name, characters: [...type].filter((character) => !excluded.has(character)) }))
    .filter(({ characters }) => characters.length > 0);
}
