import { randomInt } from 'node:crypto';
import type { EngineRules } from './engine-rules.ts';
import { SecretValue } from './secret-value.ts';
import type { SecretOptions } from './tags.ts';

/** The four types of GetRandomPassword, which AWS's functions use; each included type must appear. */
const TYPES = [
  'abcdefghijklmnopqrstuvwxyz',
  'ABCDEFGHIJKLMNOPQRSTUVWXYZ',
  '0123456789',
  '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~',
];

/**
 * A new password by the policy of one secret. It is made here rather than by GetRandomPassword, which would need one
 * more permission on `*` and one more call.
 */
export function generatePassword(
  options: Pick<SecretOptions, 'passwordLength' | 'excludeCharacters'>,
  rules: Pick<EngineRules, 'excludeCharacters'>,
): SecretValue {
  const excluded = new Set(rules.excludeCharacters + options.excludeCharacters);
  const types = TYPES.map((type) => [...type].filter((character) => !excluded.has(character)));
  const included = types.filter((type) => type.length > 0);
  const alphabet = included.flat();
  // Drawing anew until each type is there keeps every allowed password equally likely; fixing up places would not.
  for (;;) {
    const drawn = Array.from({ length: options.passwordLength }, () => alphabet[randomInt(alphabet.length)]);
    if (included.every((type) => type.some((character) => drawn.includes(character))))
      return new SecretValue(drawn.join(''));
  }
}
