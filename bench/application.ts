import { setTimeout as delay } from 'node:timers/promises';
import type { Account, BenchServer } from './engines.ts';

const LOGINS_A_SECOND = 50;
const PODS = 10;
/** How long after AWSCURRENT moved the first and the last pod read it: their roll-out. */
const REREAD_MS = { first: 10, last: 100 };
const RETRY_MS = 5;

interface Pod {
  readonly rereadMs: number;
  account: Account;
}

/**
 * An application without a pool: fifty log-ins a second, by pods that keep what they read until they are rolled, some
 * time after AWSCURRENT moved. A log-in that is refused reads AWSCURRENT again and retries until it is let in.
 */
export class Application {
  logins = 0;
  /** Log-ins whose first try was refused. */
  failed = 0;
  /** The driver's error code → how many tries, first or not. */
  readonly failures = new Map<string, number>();
  /** How long each of the failed ones took to get in. */
  readonly waitsMs: number[] = [];
  readonly #server: BenchServer;
  readonly #current: () => Account;
  readonly #pods: readonly Pod[];
  readonly #underWay = new Set<Promise<void>>();
  readonly #timer: NodeJS.Timeout;
  #stopped = false;

  /** @param current what AWSCURRENT says now */
  constructor(server: BenchServer, current: () => Account) {
    this.#server = server;
    this.#current = current;
    this.#pods = Array.from({ length: PODS }, (_, n) => ({
      rereadMs: REREAD_MS.first + ((REREAD_MS.last - REREAD_MS.first) * n) / (PODS - 1),
      account: current(),
    }));
    let next = 0;
    this.#timer = setInterval(() => {
      const pod = this.#pods[next % PODS];
      next += 1;
      if (pod) this.#begin(pod);
    }, 1_000 / LOGINS_A_SECOND);
  }

  /** AWSCURRENT has moved: resolves when every pod has read it, and no log-in with an earlier value is under way. */
  async roll(): Promise<void> {
    await Promise.all(
      this.#pods.map(async (pod) => {
        await delay(pod.rereadMs);
        pod.account = this.#current();
      }),
    );
    await Promise.all(this.#underWay);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.all(this.#underWay);
  }

  #begin(pod: Pod): void {
    const login = this.#logIn(pod).finally(() => this.#underWay.delete(login));
    this.#underWay.add(login);
  }

  async #logIn(pod: Pod): Promise<void> {
    this.logins += 1;
    let refusedAtMs: number | undefined;
    while (!this.#stopped || refusedAtMs === undefined) {
      try {
        await this.#server.logIn(pod.account);
        if (refusedAtMs !== undefined) this.waitsMs.push(performance.now() - refusedAtMs);
        return;
      } catch (error) {
        const code = (error as { code?: unknown }).code ?? (error as Error).name;
        this.failures.set(String(code), (this.failures.get(String(code)) ?? 0) + 1);
        if (refusedAtMs === undefined) this.failed += 1;
        refusedAtMs ??= performance.now();
        await delay(RETRY_MS);
        pod.account = this.#current();
      }
    }
  }
}
