import type { Machine } from '../machine.ts';
import type { Run, Scale } from './bench.ts';

export interface ScaleReport {
  /** What to run to get such numbers again. */
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly results: readonly Scale[];
}

/** The table, for people. */
export function scaleMarkdownOf({ command, date, machine, results }: ScaleReport): string {
  const cells = ({ ms, peakMb, awsCalls, kubernetesRequests }: Run) => [
    (ms / 1_000).toFixed(1),
    peakMb,
    awsCalls,
    kubernetesRequests,
  ];
  return `${[
    '# Many secrets, many clusters',
    '',
    `\`${command}\`, ${date}`,
    '',
    `${machine.cores} × ${machine.cpu}, Node ${machine.node}; load at the start ${machine.loadAtStart}. The functions are the built bundles, in processes with their memory; AWS and every cluster are the sandbox’s, on the same cores: [../README.md](../README.md).`,
    '',
    '| clusters | secrets | | s | peak MB | calls of AWS | requests to clusters |',
    '|---:|---:|---|---:|---:|---:|---:|',
    ...results.flatMap(({ clusters, secrets, sweepCold, sweepWarm, sync }) =>
      Object.entries({ 'sweep, cold': sweepCold, 'sweep, warm': sweepWarm, 'sync, cold': sync }).map(
        ([what, run]) => `| ${[clusters, secrets, what, ...cells(run)].join(' | ')} |`,
      ),
    ),
  ].join('\n')}\n`;
}
