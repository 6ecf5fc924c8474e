import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundle as build } from '../infra/bundling.ts';
import { STRATEGIES } from '../shared/rotation/strategy.ts';
import { isBuilt } from '../test/sandbox/control-plane/programs.ts';
import type { AwsFunctions } from './contenders.ts';
import { type BenchEngine, ENGINES, functionOf } from './engines.ts';
import { benchLogins } from './logins.ts';
import { type LoginsReport, loginsMarkdownOf } from './logins-report.ts';
import { machine } from './machine.ts';
import { plotOf } from './plot.ts';
import { markdownOf, type RotationReport } from './report.ts';
import { benchRotation } from './rotation.ts';
import { benchScale } from './scale/bench.ts';
import { type ScaleReport, scaleMarkdownOf } from './scale/report.ts';
import { benchSync } from './sync/bench.ts';
import { type SyncReport, syncMarkdownOf, syncPlotOf } from './sync/report.ts';

const USAGE = `npm run bench -- rotation [--aws DIR [--python PROGRAM]] [--rounds N] [--cold-rounds N]
npm run bench -- logins [--rotations N]
  both: [--engine NAME]… [--strategy NAME]…
npm run bench -- sync [--deployments N]… [--consumers N]… [--sync-rounds N]
npm run bench -- scale [--secrets N]… [--clusters N]…
  all: [--out DIR]

rotation and logins need the servers of npm run servers, sync the programs that npm run cluster builds.
bench/README.md says what is measured.`;

const RESULTS = fileURLToPath(new URL('./results/', import.meta.url));

const { values, positionals } = readArguments();
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}

const command = `npm run bench -- ${process.argv.slice(2).map(withoutPath).join(' ')}`;
const aws: AwsFunctions | undefined =
  values.aws === undefined ? undefined : { folder: values.aws, python: values.python };
const about = { command, date: new Date().toISOString(), machine: machine(aws) };

switch (positionals[0]) {
  case 'rotation': {
    const bench = { rounds: count('rounds'), coldRounds: count('cold-rounds'), aws, say: console.log };
    const results = await ofEachEngine((engine, bundle) => benchRotation(engine, { ...bench, bundle }));
    const report: RotationReport = { ...about, results };
    await write('rotation', report, markdownOf(report), plotOf(results));
    break;
  }
  case 'logins': {
    const bench = { rotations: count('rotations'), say: console.log };
    const results = await ofEachEngine((engine, bundle) => benchLogins(engine, { ...bench, bundle }));
    const report: LoginsReport = { ...about, results };
    await write('logins', report, loginsMarkdownOf(report));
    break;
  }
  case 'sync': {
    if (!isBuilt()) throw new Error('the control plane is not built: npm run cluster builds and starts it');
    const [deployments, consumers] = [counts('deployments'), counts('consumers')];
    const results = await benchSync({ deployments, consumers, rounds: count('sync-rounds'), say: console.log });
    const report: SyncReport = { ...about, results };
    await write('sync', report, syncMarkdownOf(report), syncPlotOf(results));
    break;
  }
  case 'scale': {
    const results = await benchScale({ secrets: counts('secrets'), clusters: counts('clusters'), say: console.log });
    const report: ScaleReport = { ...about, results };
    await write('scale', report, scaleMarkdownOf(report));
    break;
  }
  default:
    console.error(USAGE);
    process.exitCode = 2;
}

/** One engine after the other; one that cannot be built or started is named, and the others go on. */
async function ofEachEngine<Result>(
  measure: (engine: BenchEngine, bundle: string) => Promise<readonly Result[]>,
): Promise<Result[]> {
  const results: Result[] = [];
  // Not in dist/, where another build may take it away meanwhile.
  const folder = await mkdtemp(join(tmpdir(), 'rekey-bench-'));
  for (const engine of ENGINES.filter(({ name }) => values.engine.includes(name))) {
    const strategies = Object.entries(engine.strategies).filter(([name]) => values.strategy.includes(name));
    try {
      await build(functionOf(engine), join(folder, engine.name));
      const chosen = { ...engine, strategies: Object.fromEntries(strategies) };
      results.push(...(await measure(chosen, join(folder, engine.name, 'index.mjs'))));
    } catch (error) {
      console.error(`${engine.name} was not measured: ${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    }
  }
  await rm(folder, { recursive: true });
  return results;
}

async function write(name: string, report: object, markdown: string, plot?: string): Promise<void> {
  await mkdir(values.out, { recursive: true });
  const file = (ending: string) => join(values.out, `${name}.${ending}`);
  await writeFile(file('json'), `${JSON.stringify(report)}\n`);
  await writeFile(file('md'), markdown);
  if (plot !== undefined) await writeFile(file('svg'), plot);
  console.log(`\n${markdown}\n→ ${file('md')}`);
}

function count(option: 'rounds' | 'cold-rounds' | 'rotations' | 'sync-rounds'): number {
  return natural(option, values[option]);
}

/** In the order in which they are measured. */
function counts(option: 'deployments' | 'consumers' | 'secrets' | 'clusters'): readonly number[] {
  return values[option].map((value) => natural(option, value)).sort((one, two) => one - two);
}

function natural(option: string, value: string): number {
  const n = Number(value);
  if (!Number.isInteger(n) || n < 1) throw new Error(`--${option} must be a whole number from 1`);
  return n;
}

/** Where things lie on this machine is nobody's business. */
function withoutPath(argument: string): string {
  return argument.startsWith('/') ? 'DIR' : argument;
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        aws: { type: 'string' },
        python: { type: 'string', default: 'python3' },
        engine: { type: 'string', multiple: true, default: ENGINES.map(({ name }) => name) },
        strategy: { type: 'string', multiple: true, default: [...STRATEGIES] },
        rounds: { type: 'string', default: '40' },
        'cold-rounds': { type: 'string', default: '15' },
        rotations: { type: 'string', default: '1000' },
        deployments: { type: 'string', multiple: true, default: ['1000', '3000', '10000'] },
        consumers: { type: 'string', multiple: true, default: ['200', '1000'] },
        secrets: { type: 'string', multiple: true, default: ['1000', '10000'] },
        clusters: { type: 'string', multiple: true, default: ['1', '100'] },
        'sync-rounds': { type: 'string', default: '3' },
        out: { type: 'string', default: RESULTS },
        help: { type: 'boolean', default: false },
      },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${USAGE}`);
    process.exit(2);
  }
}
