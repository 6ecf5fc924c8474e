import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

const TESTS = join(import.meta.dirname, '..');
/** How the name of a test, or of a row of its table, begins: with the number of its entry, or of several. */
const NAMED = /(?<=[\s([{]['"`])\d{1,3}(?:, \d{1,3})*(?=: )/g;

const entries = [...readFileSync(join(TESTS, 'catalogue.md'), 'utf8').matchAll(/^\| (\d+) \|/gm)].map(([, entry]) =>
  Number(entry),
);

function entriesNamed(): ReadonlySet<number> {
  const files = readdirSync(TESTS, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const named = files.flatMap((file) => readFileSync(join(TESTS, file), 'utf8').match(NAMED) ?? []);
  return new Set(named.flatMap((numbers) => numbers.split(', ').map(Number)));
}

test('every entry of the catalogue of bad input has a test that is named by its number', () => {
  expect(entries).toEqual(Array.from({ length: 100 }, (_, index) => index + 1));
  const named = entriesNamed();
  expect(entries.filter((entry) => !named.has(entry))).toEqual([]);
});
