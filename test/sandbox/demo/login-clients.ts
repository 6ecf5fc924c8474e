import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { eventually } from '../eventually.ts';

/** How often each pod's process opens a new session, as an application without a pool would. */
const EVERY_MS = 200;

export interface Tally {
  tried: number;
  failed: number;
  /** Users that a login succeeded as, in the order in which they were first seen. */
  readonly users: Set<string>;
  /** The server's error codes, never its messages. */
  readonly failures: Map<string, number>;
}

/**
 * The applications: one process per pod. It reads the mounted file when it starts, keeps what it read, and logs in
 * with that until it ends: exactly what makes a rotation hard.
 */
export class LoginClients {
  readonly tally: Tally = { tried: 0, failed: 0, users: new Set(), failures: new Map() };
  readonly #running = new Map<string, { ended: boolean; done: Promise<void> }>();
  readonly #ca: string;

  /** @param ca PEM that the server's certificate is verified against */
  constructor(ca: string) {
    this.#ca = ca;
  }

  start(pod: string, mounted: string): void {
    const process = { ended: false, done: Promise.resolve() };
    process.done = this.#run(JSON.parse(mounted) as Record<string, string>, process);
    this.#running.set(pod, process);
  }

  stop(pod: string): void {
    const process = this.#running.get(pod);
    if (process) process.ended = true;
  }

  /** Waits until every application has logged in a few times more: long enough to notice what just changed. */
  async settle(): Promise<void> {
    const enough = this.tally.tried + 3 * [...this.#running.values()].filter(({ ended }) => !ended).length;
    await eventually('more log-ins', () => this.tally.tried >= enough);
  }

  async stopAll(): Promise<void> {
    for (const pod of this.#running.keys()) this.stop(pod);
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #run(credential: Record<string, string>, process: { readonly ended: boolean }): Promise<void> {
    while (!process.ended) {
      await this.#logIn(credential);
      await delay(EVERY_MS);
    }
  }

  async #logIn({ host, port, username, password, dbname }: Record<string, string>): Promise<void> {
    const ssl = { ca: this.#ca, rejectUnauthorized: true };
    const client = new Client({ host, port: Number(port), user: username, password, database: dbname, ssl });
    this.tally.tried += 1;
    try {
      await client.connect();
      const { rows } = await client.query<{ orders: string }>('SELECT count(*) AS orders FROM orders');
      if (rows[0] === undefined) throw new Error('no row');
      this.tally.users.add(username ?? '');
    } catch (error) {
      this.tally.failed += 1;
      const code = (error as { code?: string }).code ?? 'no answer';
      this.tally.failures.set(code, (this.tally.failures.get(code) ?? 0) + 1);
    } finally {
      await client.end().catch(() => undefined);
    }
  }
}
