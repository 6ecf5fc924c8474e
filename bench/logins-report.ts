import type { LoginsResult } from './logins.ts';
import type { Machine } from './machine.ts';
import { median, quantile } from './statistics.ts';

export interface LoginsReport {
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly results: readonly LoginsResult[];
}

/** The table, for people. */
export function loginsMarkdownOf({ command, date, machine, results }: LoginsReport): string {
  const lines = [
    '# Who is refused while secrets rotate',
    '',
    `\`${command}\`, ${date}`,
    '',
    `${machine.cores} × ${machine.cpu}, Node ${machine.node}; load at the start ${machine.loadAtStart}. Fifty log-ins a second: [../README.md](../README.md).`,
    '',
    '| | strategy | rotations | log-ins (a second) | failed | | a failed one got in after ms, median / longest | gap that Rekey reported ms, median / longest |',
    '|---|---|---:|---:|---:|---|---:|---:|',
  ];
  for (const result of results) {
    const { server, strategy, rotations, seconds, logins, failed, failures, waitsMs, reportedGapsMs, failure } = result;
    const overlapping = strategy !== 'single-user';
    const verdict = failure ?? (overlapping ? (failed === 0 ? 'met: 0' : '**missed**: 0') : 'has a gap');
    const codes = Object.entries(failures).map(([code, n]) => `${n} × ${code}`);
    const cells = [
      server,
      strategy,
      rotations,
      `${logins} (${(logins / seconds).toFixed(0)})`,
      failed === 0 ? 0 : `${failed} (tries: ${codes.join(', ')})`,
      verdict,
      spread(waitsMs),
      spread(reportedGapsMs),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return `${lines.join('\n')}\n`;
}

const spread = (values: readonly number[]) =>
  values.length === 0 ? '–' : `${median(values).toFixed(0)} / ${quantile(values, 1).toFixed(0)}`;
