import type { SQSEvent } from 'aws-lambda';
import { lookAgainEvent } from '../../../functions/label-event.ts';
import { type SyncDeps, syncBatch } from '../../../functions/sync/batch.ts';
import type { Cluster } from '../../../shared/cluster/port.ts';
import { sweep } from '../../../shared/consumers/sweep.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import type { RekeyEvent } from '../../../shared/operations/events.ts';
import type { SecretDescription } from '../../../shared/secrets/port.ts';
import { labelUpdated } from '../../unit/functions/sync/messages.ts';
import { silentLog } from '../../unit/shared/consumers/observations.ts';
import { type Fault, faultsOf } from '../faults.ts';
import { type Conductor, faultyIn, startProcess } from '../faulty-ports.ts';

/** Workloads that use a secret, and a clock for all. */
export interface Estate {
  readonly cluster: Cluster;
  readonly clock: { now(): number };
  /** Time passes. */
  advance(milliseconds: number): void;
  /** The secret before its version moved, and as it is. */
  readonly before: SecretDescription;
  readonly secret: SecretDescription;
  /** Controllers and nodes do some of what there is to do. */
  goOn(): Promise<void>;
  /** How often the pods of each workload were replaced since the version moved. */
  restarts(): Promise<ReadonlyMap<string, number>>;
  /** Workloads of which a live pod is not on the version. */
  notOnVersion(): Promise<readonly string[]>;
}

export interface PlannedFault {
  /** The number of the call that it strikes. */
  readonly at: number;
  /** Port and method. */
  readonly call: string;
  readonly fault: Fault;
}

/** How people hear of the version: `event`: Secrets Manager tells; `sweep`: its event was lost. */
export type Start = 'event' | 'sweep';

const LAMBDA_MS = 60_000;
/** What is left of it after an answer that took its time: too little for another call. */
const LEFT_MS = 1_800;
const VISIBILITY_MS = 6 * 60_000;
const SWEEP_MS = 15 * 60_000;
/** A late write is carried out when this many more calls have ended. */
const LATE_CALLS = 2;
/** How often Rekey sweeps once nothing fails any more. */
const MAX_SWEEPS = 2;
/** Far more than a convergence takes: a pass that comes back without end is a broken promise. */
const MAX_PASSES = 100;

/**
 * A version that moved, until all that use it are proved: passes of the real sync function as the queue delivers them, and
 * sweeps; with the faults on the way.
 * @returns every fault that the calls of this run could have met
 * @throws Error when it does not converge, or a workload does not restart exactly as often as it should
 */
export async function run(
  estate: Estate,
  expected: ReadonlyMap<string, number>,
  planned: readonly PlannedFault[],
  start: Start = 'event',
): Promise<readonly PlannedFault[]> {
  const { clock, secret } = estate;
  const events: RekeyEvent[] = [];
  const possible: PlannedFault[] = [];
  const answers = new Map<string, unknown>([['store.describe', estate.before]]);
  let late: { readonly due: number; readonly work: () => Promise<unknown> }[] = [];
  let calls = 0;
  let beganMs = clock.now();
  const queue: { body: string; dueMs: number }[] = [];
  const broken: string[] = [];

  const conductor: Conductor = {
    next(name, args) {
      calls += 1;
      for (const fault of faultsOf(name))
        if (fault.kind !== 'stale' || answers.has(name)) possible.push({ at: calls, call: name, fault });
      return { call: { number: calls, name, args }, fault: planned.find(({ at }) => at === calls)?.fault };
    },
    async settled() {
      const due = late.filter((each) => each.due <= calls);
      late = late.filter((each) => each.due > calls);
      for (const { work } of due) await work().catch(() => {}); // nobody waits for its answer any more
    },
    delay: () => estate.advance(beganMs + LAMBDA_MS - LEFT_MS - clock.now()),
    // What it answered the time before.
    stale: async ({ name }, read) => answers.get(name) ?? (await read()),
    later: (work) => void late.push({ due: calls + LATE_CALLS, work }),
  };

  const announcer = {
    async announce(event: RekeyEvent) {
      if (event.type === 'Secret Converged')
        for (const name of await estate.notOnVersion()) broken.push(`said to have converged, and ${name} has not`);
      events.push(event);
      return true;
    },
  };
  const send = async (body: string, seconds: number) => void queue.push({ body, dueMs: clock.now() + seconds * 1_000 });
  const cluster = remembering(estate.cluster, 'cluster', answers);
  const secrets = remembering({ describe: async () => secret }, 'store', answers);

  let process = startProcess();
  /** @returns undefined when it died or threw */
  async function invoke<T>(bringBack: (seconds: number) => void, work: (deps: SyncDeps) => Promise<T>) {
    if (process.isDead()) process = startProcess();
    beganMs = clock.now();
    const wrap = faultyIn(process, conductor, 'silence');
    const deps: SyncDeps = {
      secrets: wrap(secrets, 'store'),
      clusters: [wrap(cluster, 'cluster')],
      announcer: wrap(announcer, 'announcer'),
      rotationFunctions: [],
      queue: wrap({ send, bringBack: async (_: string, seconds: number) => bringBack(seconds) }, 'queue'),
      clock,
      log: silentLog,
    };
    try {
      const answer = await Promise.race([work(deps), process.death]);
      return answer === 'died' ? undefined : answer;
    } catch (error) {
      if (!(error instanceof RekeyError)) throw error;
      return undefined;
    }
  }

  async function deliver(): Promise<void> {
    queue.sort((left, right) => left.dueMs - right.dueMs);
    const message = queue.shift();
    if (message === undefined) return;
    estate.advance(Math.max(0, message.dueMs - clock.now()));
    await estate.goOn();
    let backMs = VISIBILITY_MS;
    const records = [
      { messageId: '1', receiptHandle: '1', body: message.body, attributes: { ApproximateReceiveCount: '1' } },
    ] as SQSEvent['Records'];
    const answer = await invoke(
      (seconds) => {
        backMs = seconds * 1_000;
      },
      (deps) => syncBatch({ Records: records }, deps, deadlineIn(LAMBDA_MS, clock)),
    );
    if (answer === undefined || answer.batchItemFailures.length > 0)
      queue.push({ ...message, dueMs: clock.now() + backMs });
  }

  async function sweepOnce(): Promise<void> {
    estate.advance(SWEEP_MS);
    await estate.goOn();
    await invoke(
      () => {},
      ({ secrets, clusters, queue: to }) => {
        const lookAgain: Parameters<typeof sweep>[0]['lookAgain'] = (look, seconds) =>
          to.send(lookAgainEvent(look), seconds);
        return sweep(
          { secrets, clusters, lookAgain, clock, random: () => 0, log: silentLog },
          deadlineIn(LAMBDA_MS, clock),
        );
      },
    );
  }

  if (start === 'event') await send(labelUpdated(secret, { time: new Date(clock.now()).toISOString() }), 0);
  for (let [passes, sweeps] = [0, 0]; ; ) {
    for (; queue.length > 0; passes += 1) {
      if (passes > MAX_PASSES) throw new Error('it comes back without end');
      await deliver();
    }
    if (calls > Math.max(0, ...planned.map(({ at }) => at))) sweeps += 1;
    if (sweeps > MAX_SWEEPS) break;
    await sweepOnce();
  }
  for (const { work } of late) await work().catch(() => {});

  if (broken[0] !== undefined) throw new Error(broken[0]);
  if (!events.some(({ type }) => type === 'Secret Converged')) throw new Error('nobody heard that it has converged');
  for (const name of await estate.notOnVersion()) throw new Error(`${name} is not on the version`);
  for (const [name, count] of await estate.restarts())
    if (count !== expected.get(name)) throw new Error(`${name} restarted ${count} times`);
  return possible;
}

/** Keeps the last answer of each read, for the time when a stale one is asked for. */
function remembering<Port extends object>(port: Port, name: string, answers: Map<string, unknown>): Port {
  const kept: Record<string, unknown> = {};
  for (const [member, value] of Object.entries(port))
    kept[member] =
      typeof value !== 'function'
        ? value
        : async (...args: unknown[]) => {
            const answer = await value.apply(port, args);
            answers.set(`${name}.${member}`, answer);
            return answer;
          };
  return kept as Port;
}
