import { styleText } from 'node:util';

/** What a person reads while the demo runs: one line per thing that happened, with the seconds since the start. */
export class Narrator {
  readonly #startedAtMs = Date.now();
  readonly #print: (line: string) => void;

  constructor(print: (line: string) => void = console.log) {
    this.#print = print;
  }

  /** A new chapter. */
  chapter(title: string): void {
    this.#print(`\n${styleText('bold', title)}`);
  }

  say(line: string): void {
    this.#print(`${styleText('dim', `${this.seconds().padStart(6)}s`)}  ${line}`);
  }

  /** Lines to copy, as they are. */
  quote(lines: readonly string[]): void {
    this.#print(`\n${lines.join('\n')}\n`);
  }

  table(rows: readonly (readonly string[])[]): void {
    const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
    for (const [index, row] of rows.entries()) {
      const line = row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ');
      this.#print(`         ${index === 0 ? styleText('dim', line) : line}`.trimEnd());
    }
  }

  /** One claim of the demo. @returns whether it held */
  check(held: boolean, claim: string): boolean {
    this.#print(`  ${held ? styleText('green', 'ok  ') : styleText('red', 'NOT ')}  ${claim}`);
    return held;
  }

  seconds(): string {
    return ((Date.now() - this.#startedAtMs) / 1_000).toFixed(1);
  }
}
