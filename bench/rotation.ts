import type { StrategyName } from '../shared/rotation/strategy.ts';
import { startRotationAccount } from '../test/sandbox/rotation-account.ts';
import {
  type AwsFunctions,
  type Contender,
  type ContenderName,
  createContender,
  EVENT_BUS,
  type Ground,
} from './contenders.ts';
import type { BenchEngine, Course } from './engines.ts';
import { FLOORS } from './floor/scripts.ts';
import { startRoundTripMeter, type Traffic } from './round-trips.ts';

export interface RotationBench {
  /** Rekey's function for this kind of database, built. */
  readonly bundle: string;
  /** Warm rotations of each contender. */
  readonly rounds: number;
  /** Rotations of each contender in a process of its own. */
  readonly coldRounds: number;
  readonly aws: AwsFunctions | undefined;
  say(line: string): void;
}

/** One rotation. */
export interface Sample {
  /** Milliseconds in the function, step by step. */
  readonly steps: Readonly<Record<string, number>>;
  readonly wallMs: number;
  /** Operation → how often, of Secrets Manager alone. */
  readonly secretsManager: Readonly<Record<string, number>>;
  /** To all of AWS, what Rekey announces included. */
  readonly aws: Traffic;
  readonly database: Traffic;
}

export interface ColdSample extends Sample {
  readonly initMs: number;
  /** MB, once it could take an event, and at its highest after the rotation; undefined where the system does not say. */
  readonly memoryMb: { readonly ready: number; readonly peak: number } | undefined;
}

export interface ContenderResult {
  readonly name: ContenderName;
  readonly warm: readonly Sample[];
  readonly cold: readonly ColdSample[];
  /** Why it could not go on. */
  readonly failure?: string;
}

export interface StrategyResult {
  readonly engine: string;
  /** Product and version. */
  readonly server: string;
  readonly strategy: StrategyName;
  readonly contenders: readonly ContenderResult[];
}

/** The first rotations make users, fill caches and are not counted. */
const WARM_UP = 3;

/** Every contender rotates a secret of its own, in turns, so that whatever else the machine does meets all of them. */
export async function benchRotation(engine: BenchEngine, bench: RotationBench): Promise<readonly StrategyResult[]> {
  const server = await engine.start();
  const database = await startRoundTripMeter(server.port);
  const account = await startRotationAccount(EVENT_BUS);
  const aws = await startRoundTripMeter(Number(new URL(account.endpoint).port));
  const results: StrategyResult[] = [];
  try {
    for (const [strategy, course] of Object.entries(engine.strategies) as [StrategyName, Course][]) {
      bench.say(`${server.title}, ${strategy}`);
      const endpoint = `http://127.0.0.1:${aws.port}`;
      const { bundle } = bench;
      const ground = { engine, strategy, course, server, account, bundle, databasePort: database.port, endpoint };
      const meters = { aws, database };
      results.push({
        engine: engine.name,
        server: server.title,
        strategy,
        contenders: await contest(ground, meters, bench),
      });
    }
    return results;
  } finally {
    await account.close();
    await aws.close();
    await database.close();
    await server.stop();
  }
}

interface Meters {
  readonly aws: { take(): Traffic };
  readonly database: { take(): Traffic };
}

interface Entrant {
  readonly contender: Contender;
  readonly warm: Sample[];
  readonly cold: ColdSample[];
  failure?: string;
}

/** AWS's function quotes the statement that failed. */
const withoutPassword = (message: string) => message.replace(/PASSWORD\(.*/s, 'PASSWORD(…)');

async function contest(ground: Ground, meters: Meters, bench: RotationBench): Promise<readonly ContenderResult[]> {
  const names: ContenderName[] = ['rekey', ...(bench.aws && ground.course.aws ? (['aws'] as const) : []), ...FLOORS];
  const entrants: Entrant[] = [];
  for (const name of names)
    entrants.push({ contender: await createContender(name, ground, bench.aws), warm: [], cold: [] });

  const each = async (round: number, work: (entrant: Entrant) => Promise<void>) => {
    const order = [...entrants.slice(round % entrants.length), ...entrants.slice(0, round % entrants.length)];
    for (const entrant of order) {
      if (entrant.failure !== undefined) continue;
      await work(entrant).catch((error: unknown) => {
        entrant.failure = withoutPassword(error instanceof Error ? error.message : String(error));
        bench.say(`  ${entrant.contender.name} failed: ${entrant.failure}`);
      });
    }
  };
  try {
    await each(0, async ({ contender }) => {
      await contender.prepare();
      await contender.start();
      for (let n = 0; n < WARM_UP; n += 1) await contender.rotate();
    });
    for (let round = 0; round < bench.rounds; round += 1)
      await each(round, async ({ contender, warm }) => {
        warm.push(await measure(contender, ground, meters));
      });
    await each(0, ({ contender }) => contender.end());
    for (let round = 0; round < bench.coldRounds; round += 1)
      await each(round, async ({ contender, cold }) => {
        const host = await contender.start();
        const ready = host.memoryMb()?.now;
        const sample = await measure(contender, ground, meters);
        const peak = host.memoryMb()?.peak;
        const memoryMb = ready === undefined || peak === undefined ? undefined : { ready, peak };
        cold.push({ ...sample, initMs: host.initMs, memoryMb });
        await contender.end();
      });
  } finally {
    for (const { contender } of entrants) await contender.end();
  }
  return entrants.map(({ contender, warm, cold, failure }) => ({
    name: contender.name,
    warm,
    cold,
    ...(failure === undefined ? {} : { failure }),
  }));
}

async function measure(contender: Contender, { account }: Ground, meters: Meters): Promise<Sample> {
  meters.aws.take();
  meters.database.take();
  const before = account.calls.length;
  const steps = await contender.rotate();
  const secretsManager: Record<string, number> = {};
  for (const { service, operation } of account.calls.slice(before))
    if (service === 'secretsmanager' && operation !== 'RotateSecret')
      secretsManager[operation] = (secretsManager[operation] ?? 0) + 1;
  return {
    steps,
    wallMs: Object.values(steps).reduce((sum, ms) => sum + ms, 0),
    secretsManager,
    aws: meters.aws.take(),
    database: meters.database.take(),
  };
}
