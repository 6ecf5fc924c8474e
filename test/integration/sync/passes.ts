import { setTimeout as delay } from 'node:timers/promises';
import type { SQSEvent } from 'aws-lambda';
import { syncBatch } from '../../../functions/sync/batch.ts';
import type { Cluster } from '../../../shared/cluster/port.ts';
import { systemClock as clock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import type { RekeyEvent } from '../../../shared/operations/events.ts';
import type { SecretDescription } from '../../../shared/secrets/port.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { labelUpdated } from '../../unit/functions/sync/messages.ts';
import { silentLog } from '../../unit/shared/consumers/observations.ts';
import type { MovingSecret } from './moving-secret.ts';

type Type = RekeyEvent['type'];
type EventOf<T extends Type> = Extract<RekeyEvent, { type: T }>;
type Converged = EventOf<'Secret Converged'>['detail'];

/** Seconds, in the queue: here a pod takes tens of milliseconds. */
const BETWEEN_PASSES_MS = 150;
/** On a busy machine, with many rolls at once. */
const WITHIN_MS = 90_000;

/** The passes of sync over one secret, as the queue delivers them, but that delays are not waited for. */
export class Passes {
  readonly events: RekeyEvent[] = [];
  /** What the queue holds back. */
  readonly queue: string[] = [];
  readonly #clusters: readonly Cluster[];
  readonly #secret: MovingSecret;
  readonly #others: readonly MovingSecret[];
  #laterMs = 0;

  /** @param others that Secrets Manager knows, of workloads which use several */
  constructor(clusters: readonly Cluster[], secret: MovingSecret, ...others: readonly MovingSecret[]) {
    this.#clusters = clusters;
    this.#secret = secret;
    this.#others = others;
  }

  /** Secrets Manager tells that AWSCURRENT has moved, and the first pass follows. */
  async begin(): Promise<void> {
    await this.deliver(labelUpdated(this.#secret.description, { time: new Date(clock.now()).toISOString() }));
  }

  #describe(secretId: string): SecretDescription {
    const found = [this.#secret, ...this.#others].find(({ arn, name }) => [arn, name].includes(secretId));
    if (found === undefined) throw new RekeyError('SECRET_NOT_FOUND', `there is no ${secretId}`);
    return found.description;
  }

  /** One delivery of one message. */
  async deliver(body: string): Promise<void> {
    const deps = {
      secrets: { describe: async (secretId: string) => this.#describe(secretId) },
      clusters: this.#clusters,
      announcer: { announce: async (event: RekeyEvent) => this.events.push(event) > 0 },
      rotationFunctions: [],
      queue: { send: async (message: string) => void this.queue.push(message), bringBack: async () => {} },
      clock: { now: () => clock.now() + this.#laterMs },
      log: silentLog,
    };
    const records = [{ messageId: '1', body }] as SQSEvent['Records'];
    const { batchItemFailures } = await syncBatch({ Records: records }, deps, deadlineIn(60_000, clock));
    if (batchItemFailures.length > 0) throw new Error('the pass failed');
  }

  async next(): Promise<void> {
    const message = this.queue.shift();
    if (message === undefined) throw new Error('no pass asked for another one');
    await this.deliver(message);
  }

  /** For Rekey alone, so much time has passed. */
  later(milliseconds: number): void {
    this.#laterMs += milliseconds;
  }

  /** Pass after pass until something has come about. */
  async until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
    const pass = async () => {
      if (await look()) return true;
      await delay(BETWEEN_PASSES_MS);
      if (this.queue.length > 0) await this.next();
      return false;
    };
    await eventually(what, pass, WITHIN_MS).catch((error: Error) => {
      throw new Error(`${error.message}; heard: ${JSON.stringify(this.events, undefined, 1)}`);
    });
  }

  /** Pass after pass until people hear so. */
  async hears<T extends Type>(type: T): Promise<EventOf<T>> {
    await this.until(type, () => this.of(type).length > 0);
    return this.last(type);
  }

  /** Until people have heard so, and that is recorded. */
  async converge(times = 1): Promise<Converged> {
    const isHeard = () => this.of('Secret Converged').length >= times;
    await this.until('the secret converges', () => isHeard() && this.queue.length === 0);
    return this.last('Secret Converged').detail;
  }

  last<T extends Type>(type: T): EventOf<T> {
    const last = this.of(type).at(-1);
    if (last === undefined) throw new Error(`nobody heard "${type}"`);
    return last;
  }

  of<T extends Type>(type: T): readonly EventOf<T>[] {
    return this.events.filter((event): event is EventOf<T> => event.type === type);
  }
}
