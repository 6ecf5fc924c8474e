import type { Machine } from '../machine.ts';
import { median } from '../statistics.ts';
import type { Measurement, Round, Sample } from './bench.ts';

export interface SyncReport {
  /** What to run to get such numbers again. */
  readonly command: string;
  readonly date: string;
  readonly machine: Machine;
  readonly results: readonly Measurement[];
}

/** Medians of one measurement. */
interface Summary {
  readonly deployments: number;
  readonly consumers: number;
  readonly lastPatchMs: number;
  /** Of it, from the first patch on. */
  readonly patchingMs: number;
  readonly bareMs: number;
  readonly secondMs: number;
  readonly rawMs: number;
  readonly pagesMs: number;
  /** In times of the raw lists of the same round. */
  readonly lastPatchOfRaw: number;
  readonly secondOfRaw: number;
  /** Until the first patch, in times of the raw lists. */
  readonly firstPatchOfRaw: number;
  /** Raw lists and bare patches together, in times of the raw lists. */
  readonly leastOfRaw: number;
  readonly lastPatchOfLeast: number;
  readonly requests: number;
  readonly patches: number;
  readonly secondWrites: number;
  readonly mb: number;
  readonly rawMb: number;
  readonly handshakes: number;
  readonly peakMb: number | undefined;
}

function summaryOf({ deployments, consumers, rounds }: Measurement): Summary {
  const of = (value: (round: Round) => number) => median(rounds.map(value));
  const raw = ({ pages, whole }: Round) => Math.min(pages.ms, whole.ms);
  const least = (round: Round) => raw(round) + round.bare.ms;
  const firstPatchMs = ({ first }: Round) => first.firstPatchMs ?? Number.NaN;
  const lastPatchMs = ({ first }: Round) => first.lastPatchMs ?? Number.NaN;
  const writes = ({ requests, methods }: Sample) => requests - (methods['GET'] ?? 0);
  return {
    deployments,
    consumers,
    lastPatchMs: of(lastPatchMs),
    patchingMs: of((round) => lastPatchMs(round) - firstPatchMs(round)),
    bareMs: of(({ bare }) => bare.ms),
    secondMs: of(({ second }) => second.ms),
    rawMs: of(raw),
    pagesMs: of(({ pages }) => pages.ms),
    lastPatchOfRaw: of((round) => lastPatchMs(round) / raw(round)),
    secondOfRaw: of((round) => round.second.ms / raw(round)),
    firstPatchOfRaw: of((round) => firstPatchMs(round) / raw(round)),
    leastOfRaw: of((round) => least(round) / raw(round)),
    lastPatchOfLeast: of((round) => lastPatchMs(round) / least(round)),
    requests: of(({ first }) => first.requests),
    patches: of(({ first }) => first.patches ?? 0),
    secondWrites: Math.max(...rounds.map(({ second }) => writes(second))),
    mb: of(({ first }) => first.bytes) / 1e6,
    rawMb: of(({ pages }) => pages.bytes) / 1e6,
    handshakes: Math.max(...rounds.map(({ first, second }) => first.handshakes + second.handshakes)),
    peakMb: rounds.every(({ peakMb }) => peakMb !== undefined) ? of(({ peakMb }) => peakMb ?? Number.NaN) : undefined,
  };
}

/** Of the project: in times of the raw lists, MB, TLS handshakes, and requests of a second pass that are no reads. */
const GOALS = { raw: 1.3, peakMb: 256, handshakes: 1, secondWrites: 0 };

/** The tables, for people. */
export function syncMarkdownOf({ command, date, machine, results }: SyncReport): string {
  const summaries = results.map(summaryOf);
  const lines = [
    '# What a look at a cluster costs',
    '',
    `\`${command}\`, ${date}`,
    '',
    `${machine.cores} × ${machine.cpu}, Node ${machine.node}; load at the start ${machine.loadAtStart}. A real API server and etcd on the same machine.`,
    'What each column means: [../README.md](../README.md). Medians.',
    '',
    '| Deployments | consumers | event → last patch ms | of it patching ms | bare patches ms | raw lists ms, the faster / in pages | second pass ms | requests (patches) | MB read and sent, Rekey / raw | peak memory MB | TLS handshakes |',
    '|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|',
    ...summaries.map(
      (s) =>
        `| ${n(s.deployments)} | ${n(s.consumers)} | ${n(s.lastPatchMs)} | ${n(s.patchingMs)} | ${n(s.bareMs)} | ${n(s.rawMs)} / ${n(s.pagesMs)} | ${n(s.secondMs)} | ${n(s.requests)} (${n(s.patches)}) | ${s.mb.toFixed(1)} / ${s.rawMb.toFixed(1)} | ${s.peakMb === undefined ? '–' : n(s.peakMb)} | ${s.handshakes} |`,
    ),
  ];
  const most = Math.max(...summaries.map(({ deployments }) => deployments));
  for (const judged of summaries.filter(({ deployments }) => deployments === most))
    lines.push(
      '',
      `With ${n(judged.deployments)} Deployments and ${n(judged.consumers)} consumers:`,
      '',
      '| | measured | goal | |',
      '|---|---:|---:|---|',
      verdict('event → last patch ÷ raw lists', judged.lastPatchOfRaw, GOALS.raw),
      shown('event → first patch ÷ raw lists', judged.firstPatchOfRaw),
      shown('raw lists and bare patches ÷ raw lists', judged.leastOfRaw),
      shown('event → last patch ÷ raw lists and bare patches', judged.lastPatchOfLeast),
      verdict('second pass ÷ raw lists', judged.secondOfRaw, GOALS.raw),
      verdict('peak memory, MB', judged.peakMb ?? Number.NaN, GOALS.peakMb),
      verdict('TLS handshakes of two passes', judged.handshakes, GOALS.handshakes),
      verdict('requests of the second pass that are no reads', judged.secondWrites, GOALS.secondWrites),
    );
  return `${lines.join('\n')}\n`;
}

function verdict(what: string, measured: number, limit: number): string {
  return `| ${what} | ${figure(measured)} | ≤ ${limit} | ${measured <= limit ? 'met' : '**missed**'} |`;
}

/** Without a goal of its own: why one is met or missed. */
const shown = (what: string, measured: number): string => `| ${what} | ${figure(measured)} | | |`;

const figure = (value: number): string => (Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 0));

const n = (value: number): string => Math.round(value).toLocaleString('en');

const WIDTH = 420;
const HEIGHT = 220;
const LEFT = 70;
const TOP = 60;

/** Time and memory over the number of Deployments. SVG. */
export function syncPlotOf(results: readonly Measurement[]): string {
  const all = results.map(summaryOf);
  const growth = all.filter(({ consumers }) => consumers === all[0]?.consumers);
  const charts = [
    {
      title: 'milliseconds',
      lines: [
        { label: 'event → last patch', colour: '#1f6f54', value: (s: Summary) => s.lastPatchMs },
        { label: 'second pass', colour: '#6fb598', value: (s: Summary) => s.secondMs },
        { label: 'raw lists', colour: '#7a8b99', value: (s: Summary) => s.rawMs },
      ],
    },
    {
      title: 'MB, peak',
      lines: [{ label: 'Rekey', colour: '#1f6f54', value: (s: Summary) => s.peakMb ?? 0 }],
    },
  ];
  const shapes = charts.flatMap(({ title, lines }, chart) => {
    const left = LEFT + chart * (WIDTH + 2 * LEFT);
    const most = Math.max(...growth.flatMap((s) => lines.map(({ value }) => value(s))));
    const widest = Math.max(...growth.map(({ deployments }) => deployments));
    const x = (s: Summary) => (left + (s.deployments / widest) * WIDTH).toFixed(1);
    const y = (value: number) => (TOP + HEIGHT - (value / most) * HEIGHT).toFixed(1);
    return [
      `<text x="${left}" y="${TOP - 26}">${title}, over Deployments</text>`,
      `<path d="M${left} ${TOP}V${TOP + HEIGHT}H${left + WIDTH}" fill="none" stroke="#888"/>`,
      ...growth.map(
        (s) => `<text x="${x(s)}" y="${TOP + HEIGHT + 16}" text-anchor="middle">${n(s.deployments)}</text>`,
      ),
      ...lines.flatMap(({ label, colour, value }, line) => [
        `<text x="${left + line * 140}" y="${TOP - 8}" fill="${colour}">${label}</text>`,
        `<polyline points="${growth.map((s) => `${x(s)},${y(value(s))}`).join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
        ...growth.map(
          (s) =>
            `<text x="${x(s)}" y="${Number(y(value(s))) - 5}" text-anchor="end" fill="${colour}">${n(value(s))}</text>`,
        ),
      ]),
    ];
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${2 * (WIDTH + 2 * LEFT)}" height="${TOP + HEIGHT + 40}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/>
${shapes.join('\n')}
</svg>
`;
}
