import fc from 'fast-check';

const PIECES = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 6 }),
  fc.constantFrom(
    '"',
    "'",
    '`',
    '``',
    ';--',
    '#',
    '\\',
    '$1',
    '?',
    '%',
    '_',
    '@',
    '@%',
    ' ',
    '_clone',
    '>x',
    '<x',
    '!',
  ),
);

/** Names of users, made of what statements, patterns and commands give a meaning to, and of any other characters. */
export const anyName = (maxLength: number) =>
  fc
    .array(PIECES, { minLength: 1, maxLength: 5 })
    .map((pieces) => pieces.join(''))
    .filter((name) => name.length <= maxLength);
