import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../../infra/bundling.ts';
import { startControlPlane } from '../../test/sandbox/control-plane/control-plane.ts';
import { startTcpProxy } from '../../test/sandbox/tcp-proxy.ts';
import { createEstate, type Estate } from './estate.ts';
import { startContender, type Target, type Work } from './process.ts';

export interface SyncBench {
  /** How many Deployments there are, one measurement after the other; each number at least the one before. */
  readonly deployments: readonly number[];
  /** How many consumers there are, once all Deployments are. */
  readonly consumers: readonly number[];
  /** Processes of each contender in each measurement. */
  readonly rounds: number;
  say(line: string): void;
}

/** Work, and what went over the wire for it. */
export interface Sample extends Work {
  readonly bytes: number;
  readonly handshakes: number;
}

export interface Round {
  /** From an event to the last patch, in a process that has just started. */
  readonly first: Sample;
  /** The pass after it, with nothing changed but what it patched itself. */
  readonly second: Sample;
  /** MB, at its highest in both passes. */
  readonly peakMb: number | undefined;
  /** The least lists, in pages as Rekey asks for them and whole, each in a process that has just started. */
  readonly pages: Sample;
  readonly whole: Sample;
  /** As many patches as Rekey made, by somebody who knows what to patch; in a process that has just started. */
  readonly bare: Sample;
}

export interface Measurement {
  readonly deployments: number;
  readonly consumers: number;
  readonly rounds: readonly Round[];
}

/** As in infra/wiring.ts: what sync's function has. */
const MEMORY_MB = 512;
/** Of Rekey's lists. */
const PAGE = 100;
const FEWEST_CONSUMERS = 20;
const NAMESPACES = ['team-0', 'team-1', 'team-2', 'team-3', 'team-4'];

export async function benchSync(bench: SyncBench): Promise<readonly Measurement[]> {
  const folder = await mkdtemp(join(tmpdir(), 'rekey-bench-sync-'));
  const files = { looker: join(folder, 'looker'), lister: join(folder, 'lister') };
  for (const [name, file] of Object.entries(files)) await bundle({ entry: `bench/sync/${name}.ts` }, file);
  const controlPlane = await startControlPlane({ clusterName: 'prod', controllers: false });
  const proxy = await startTcpProxy(Number(new URL(controlPlane.endpoint).port));
  let bytes = 0;
  let handshakes = 0;
  const seen = new Set<number>();
  proxy.onTraffic((traffic) => {
    bytes += traffic.bytes;
    if (!seen.has(traffic.connection)) handshakes += 1;
    seen.add(traffic.connection);
  });
  const target: Target = {
    endpoint: `https://127.0.0.1:${proxy.port}`,
    caPem: controlPlane.caPem,
    token: controlPlane.adminToken,
  };
  const metered = async (work: () => Promise<Work>): Promise<Sample> => {
    bytes = 0;
    handshakes = 0;
    return { ...(await work()), bytes, handshakes };
  };
  const raw = async (what: 'list' | 'patch', count: number): Promise<Sample> => {
    const lister = await startContender(join(files.lister, 'index.mjs'), target, 2_048);
    return await metered(() => lister.work([what, count, ...NAMESPACES].join(' '))).finally(() => lister.end());
  };
  const bare = (patches = 0) => raw('patch', patches);
  const passes = async (versionId: string) => {
    const looker = await startContender(join(files.looker, 'index.mjs'), target, MEMORY_MB);
    try {
      const first = await metered(() => looker.work(versionId));
      const second = await metered(() => looker.work(versionId));
      return { first, second, peakMb: looker.peakMb() };
    } finally {
      await looker.end();
    }
  };
  const round = async (estate: Estate, number: number): Promise<Round> => {
    const versionId = await estate.rotate();
    // In turns, so that whatever grows busier or idler meanwhile favours none.
    if (number % 2 === 0) {
      const pages = await raw('list', PAGE);
      const own = await passes(versionId);
      const whole = await raw('list', 0);
      return { ...own, pages, whole, bare: await bare(own.first.patches) };
    }
    const whole = await raw('list', 0);
    const own = await passes(versionId);
    return { ...own, whole, bare: await bare(own.first.patches), pages: await raw('list', PAGE) };
  };

  const measurements: Measurement[] = [];
  const measure = async (estate: Estate, deployments: number, consumers: number) => {
    await estate.consumersTo(consumers);
    await estate.growTo(deployments);
    bench.say(`${deployments} Deployments, ${consumers} consumers`);
    const rounds: Round[] = [];
    for (let n = 0; n < bench.rounds; n += 1) rounds.push(await round(estate, n));
    measurements.push({ deployments, consumers, rounds });
  };
  try {
    const estate = await createEstate(controlPlane);
    try {
      for (const deployments of bench.deployments) await measure(estate, deployments, FEWEST_CONSUMERS);
      const most = bench.deployments.at(-1) ?? 0;
      for (const consumers of bench.consumers) await measure(estate, most, consumers);
    } finally {
      estate.close();
    }
    return measurements;
  } finally {
    await proxy.close();
    await controlPlane.stop();
    await rm(folder, { recursive: true });
  }
}
