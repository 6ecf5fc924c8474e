import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** `npm run test:crash` runs all that there is; without it each suite runs a sample. */
export const ALL = process.env['REKEY_CRASH'] === 'all';

/** Of everything that is drawn by lot. The same seed draws the same cases. */
export const SEED = Number(process.env['REKEY_CRASH_SEED'] ?? 1);

/**
 * Prints how many runs a suite made, and holds docs/reliability.md to it: the suite has a row there that says no more.
 * @param name the first cell of the row; the others are the runs of `npm test` and of `npm run test:crash`
 */
export function recordCount(name: string, runs = 0): void {
  process.stdout.write(`${name}: ${runs.toLocaleString('en')} runs${ALL ? '' : ', a sample'}\n`);
  const document = readFileSync(join(import.meta.dirname, '../../docs/reliability.md'), 'utf8');
  const row = document
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .find((cells) => cells[1] === name);
  const promised = Number(row?.[ALL ? 3 : 2]?.replaceAll(',', ''));
  if (!(runs >= promised)) throw new Error(`docs/reliability.md promises ${promised} runs of "${name}", not ${runs}`);
}
