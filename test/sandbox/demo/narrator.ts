import { styleText } from 'node:util';

/** What a person reads while the demo runs: one line per thing that happened, with the seconds since the start. */
export class Narrator {
  readonly #startedAtMs = Date.now();

  /** A new chapter. */
  chapter(title: string): void {
    console.log(`\n${styleText('bold', title)}`);
  }

  say(line: string): void {
    console.log(`${styleText('dim', `${this.seconds().padStart(6)}s`)}  ${line}`);
  }

  table(rows: readonly (readonly string[])[]): void {
    const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
    for (const [index, row] of rows.entries()) {
      const line = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
      console.log(`         ${index === 0 ? styleText('dim', line) : line}`.trimEnd());
    }
  }

  /** One claim of the demo. @returns whether it held */
  check(held: boolean, claim: string): boolean {
    console.log(`  ${held ? styleText('green', 'ok  ') : styleText('red', 'NOT ')}  ${claim}`);
    return held;
  }

  seconds(): string {
    return ((Date.now() - this.#startedAtMs) / 1_000).toFixed(1);
  }
}
