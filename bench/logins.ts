import type { StrategyName } from '../shared/rotation/strategy.ts';
import { type RotationAccount, startRotationAccount } from '../test/sandbox/rotation-account.ts';
import { Application } from './application.ts';
import { createContender, EVENT_BUS, type Ground } from './contenders.ts';
import type { Account, BenchEngine, Course } from './engines.ts';

export interface LoginsBench {
  /** Rekey's function for this kind of database, built. */
  readonly bundle: string;
  readonly rotations: number;
  say(line: string): void;
}

export interface LoginsResult {
  /** Product and version. */
  readonly server: string;
  readonly strategy: StrategyName;
  /** Done. */
  readonly rotations: number;
  readonly seconds: number;
  readonly logins: number;
  readonly failed: number;
  /** The driver's error code → how many tries. */
  readonly failures: Readonly<Record<string, number>>;
  /** How long each log-in that failed took to get in. */
  readonly waitsMs: readonly number[];
  /** What Rekey reported of each rotation, where the strategy has a gap. */
  readonly reportedGapsMs: readonly number[];
  /** Why it ended early. */
  readonly failure?: string;
}

/** How often a gap is looked at, where there is one: nobody has to be convinced of it. */
const GAPS = 100;

/** Rotations back to back, each as soon as the pods of the one before were rolled, and log-ins all the while. */
export async function benchLogins(engine: BenchEngine, bench: LoginsBench): Promise<readonly LoginsResult[]> {
  const server = await engine.start();
  const account = await startRotationAccount(EVENT_BUS);
  const results: LoginsResult[] = [];
  try {
    for (const [strategy, course] of Object.entries(engine.strategies) as [StrategyName, Course][]) {
      bench.say(`${server.title}, ${strategy}`);
      const { endpoint } = account;
      const { bundle } = bench;
      const ground = { engine, strategy, course, server, account, bundle, databasePort: server.port, endpoint };
      results.push(await measure(ground, bench));
    }
    return results;
  } finally {
    await account.close();
    await server.stop();
  }
}

async function measure(ground: Ground, bench: LoginsBench): Promise<LoginsResult> {
  const { account, server, strategy } = ground;
  const contender = await createContender('rekey', ground);
  const application = new Application(server, () => currentIn(account, contender.secretArn));
  const callsBefore = account.calls.length;
  const startedAtMs = performance.now();
  let failure: string | undefined;
  let rotations = 0;
  try {
    await contender.prepare();
    await contender.start();
    const enough = strategy === 'single-user' ? Math.min(bench.rotations, GAPS) : bench.rotations;
    while (rotations < enough) {
      await contender.rotate();
      await application.roll();
      rotations += 1;
      if (rotations % 100 === 0) bench.say(`  ${rotations} rotations, ${application.failed} log-ins failed`);
    }
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    bench.say(`  failed: ${failure}`);
  } finally {
    await application.stop();
    await contender.end();
  }
  const { logins, failed, failures, waitsMs } = application;
  return {
    server: server.title,
    strategy,
    rotations,
    seconds: Math.round((performance.now() - startedAtMs) / 1_000),
    logins,
    failed,
    failures: Object.fromEntries(failures),
    waitsMs,
    reportedGapsMs: account.calls.slice(callsBefore).flatMap(({ operation, input }) => gapsIn(operation, input)),
    ...(failure === undefined ? {} : { failure }),
  };
}

function currentIn(account: RotationAccount, secretArn: string): Account {
  const current = account.inspect(secretArn).versions.find(({ stages }) => stages.includes('AWSCURRENT'));
  if (!current?.value || !('SecretString' in current.value)) throw new Error(`${secretArn} has no current value`);
  return JSON.parse(current.value.SecretString);
}

function gapsIn(operation: string, input: unknown): readonly number[] {
  if (operation !== 'PutEvents') return [];
  const { Entries } = input as { readonly Entries: readonly { readonly Detail: string }[] };
  return Entries.flatMap(({ Detail }) => JSON.parse(Detail).gap?.milliseconds ?? []);
}
