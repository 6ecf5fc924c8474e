import type { ContenderName } from './contenders.ts';
import type { Machine } from './machine.ts';
import type { StrategyResult } from './rotation.ts';
import { summaryOf, verdictsOf } from './summary.ts';

export interface RotationReport {
  /** What to run to get such numbers again. */
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly results: readonly StrategyResult[];
}

const TITLES: Readonly<Record<ContenderName, string>> = {
  rekey: 'Rekey',
  aws: "AWS's function",
  promised: 'floor, promises kept',
  bare: 'floor, bare',
};

/** The tables, for people. */
export function markdownOf({ command, date, machine, results }: RotationReport): string {
  const lines = [
    '# What a rotation costs',
    '',
    `\`${command}\`, ${date}`,
    '',
    `${machine.cores} × ${machine.cpu}, Node ${machine.node}${machine.python ? `, ${machine.python}` : ''}; load at the start ${machine.loadAtStart}.`,
    'What each column and each floor means: [../README.md](../README.md). Medians; p95 where it says so.',
  ];
  for (const result of results) {
    lines.push(
      '',
      `## ${result.server}, ${result.strategy}`,
      '',
      '| | init ms | memory MB, ready / peak | cold rotation ms | warm rotation ms | p95 | Secrets Manager calls | database round trips (sessions) | waiting for AWS / database ms |',
      '|---|---:|---:|---:|---:|---:|---:|---:|---:|',
    );
    for (const contender of result.contenders) {
      const title = TITLES[contender.name];
      const s = summaryOf(contender);
      if (contender.failure !== undefined || !s) {
        lines.push(`| ${title} | failed: ${firstLine(contender.failure ?? 'not run')} | | | | | | | |`);
        continue;
      }
      const cells = [
        title,
        ms(s.initMs),
        `${ms(s.readyMb)} / ${ms(s.peakMb)}`,
        ms(s.coldMs),
        ms(s.warmMs),
        ms(s.warmP95Ms),
        s.secretsManagerCalls,
        `${s.databaseRoundTrips} (${s.databaseConnections})`,
        `${ms(s.awsMs)} / ${ms(s.databaseMs)}`,
      ];
      lines.push(`| ${cells.join(' | ')} |`);
    }
    const verdicts = verdictsOf(result);
    if (verdicts.length > 0)
      lines.push('', '| Rekey ÷ other | measured | the floor, promises kept | goal | |', '|---|---:|---:|---:|---|');
    for (const { goal, against, measured, ofFloor, limit, met } of verdicts)
      lines.push(
        `| ${goal} ÷ ${TITLES[against]} | ${measured.toFixed(2)} | ${ofFloor?.toFixed(2) ?? ''} | ≤ ${limit} | ${met ? 'met' : '**missed**'} |`,
      );
  }
  return `${lines.join('\n')}\n`;
}

const firstLine = (text: string) => text.replace(/\n.*/s, '').replaceAll('|', '\\|');

const ms = (value: number | undefined): string => (value === undefined ? '–' : value.toFixed(value < 10 ? 1 : 0));
