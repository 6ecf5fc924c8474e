import fc from 'fast-check';

/** What happens to the rights of two users before a rotation, and whether they exchange their parts after it. */
export interface Turn {
  readonly changes: readonly { readonly of: 'current' | 'alternate'; readonly statement: string }[];
  readonly exchange: boolean;
}

/** @param statement in which `?` stands for the user; one that a server refuses is as if it was not there */
export const anyTurns = (statement: fc.Arbitrary<string>): fc.Arbitrary<Turn[]> =>
  fc.array(
    fc.record({
      changes: fc.array(fc.record({ of: fc.constantFrom('current', 'alternate'), statement }), { maxLength: 5 }),
      exchange: fc.boolean(),
    }),
    { minLength: 1, maxLength: 4 },
  );

/** A text with one of several words in each place. */
export const drawn = (
  parts: TemplateStringsArray,
  ...choices: readonly (readonly [string, ...string[]])[]
): fc.Arbitrary<string> =>
  fc
    .tuple(...choices.map((words) => fc.constantFrom(...words)))
    .map((words) => parts.map((part, index) => part + (words[index] ?? '')).join(''));
