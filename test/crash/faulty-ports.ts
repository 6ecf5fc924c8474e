import type { Credentials } from '../../shared/engines/port.ts';
import type { Clock } from '../../shared/operations/clock.ts';
import type { Deadline } from '../../shared/operations/deadline.ts';
import { type ErrorCode, RekeyError } from '../../shared/operations/errors.ts';
import type { RotationDeps } from '../../shared/rotation/steps.ts';
import type { Fault } from './faults.ts';

/** One call to the outside. */
export interface Call {
  /** Counted from 1 over the whole run, whichever process makes it. */
  readonly number: number;
  /** Port and method, e.g. `store.read`. */
  readonly name: string;
  readonly args: readonly unknown[];
}

/** Who decides what becomes of each call, and sees what came of it. */
export interface Conductor {
  /** Called as a call begins. */
  next(name: string, args: readonly unknown[]): { readonly call: Call; readonly fault: Fault | undefined };
  /** The outside is as it is once the call took effect or failed; nothing of the caller has run since. */
  settled(call: Call): void | Promise<void>;
  /** Lets the time run out but for a moment. */
  delay(): void;
  /** What this read would have answered before the last change. */
  stale(call: Call, read: () => Promise<unknown>): Promise<unknown>;
  /** Carries some of it out. */
  half?(call: Call): void;
  /** Carries it out, but only a few calls later. */
  later(run: () => Promise<unknown>): void;
}

/** A process of Lambda: once it is dead, nothing of it reaches the outside any more. */
export interface Process {
  /** Resolves when it dies. */
  readonly death: Promise<'died'>;
  isDead(): boolean;
  die(): void;
}

export function startProcess(): Process {
  let dead = false;
  let died: (value: 'died') => void = () => {};
  const death = new Promise<'died'>((resolve) => {
    died = resolve;
  });
  return {
    death,
    isDead: () => dead,
    die() {
      dead = true;
      died('died');
    },
  };
}

/** Thrown where a dead process has to let go of a real connection. No code of a dead process can reach the outside. */
export class Death extends Error {}

/**
 * How a dead process falls silent. `silence`: its calls are never answered, so that not even a `finally` runs, as after
 * SIGKILL. `throw`: for adapters that hold a connection, which the kernel would close.
 */
export type AfterDeath = 'silence' | 'throw';

type Ports = Pick<RotationDeps, 'store' | 'engine' | 'topology' | 'announcer' | 'clock'>;

/** The least time that an adapter wants left before it connects. */
const CONNECT_MS = 1_000;

/** Makes ports those of one process, each call of which the conductor sees. @returns how one is made so */
export function faultyIn(process: Process, conductor: Conductor, afterDeath: AfterDeath) {
  const never = (): Promise<never> => {
    if (afterDeath === 'throw') throw new Death('this process is dead');
    return new Promise(() => {});
  };

  async function invoke(name: string, args: readonly unknown[], work: Work): Promise<unknown> {
    if (process.isDead()) return never();
    const { call, fault } = conductor.next(name, args);
    const outcome = await suffer(call, fault, work).then(
      (answer) => ({ answer }),
      (thrown: unknown) => ({ thrown }),
    );
    // A call that waited for another call of its process may be answered after that one was its death.
    if (process.isDead() && fault?.kind !== 'die') return never();
    await conductor.settled(call);
    if (fault?.kind === 'die') {
      process.die();
      return never();
    }
    if ('thrown' in outcome) throw outcome.thrown;
    return outcome.answer;
  }

  async function suffer(call: Call, fault: Fault | undefined, work: Work): Promise<unknown> {
    const run = () => work(call.args);
    const late = call.args.some((arg) => isDeadline(arg) && arg.remainingMs() < CONNECT_MS);
    if (late) throw new RekeyError('DEADLINE_TOO_CLOSE', `${call.name} has no time left`);
    switch (fault?.kind) {
      case undefined:
        return run();
      case 'die':
        return fault.when === 'after' ? run() : undefined;
      case 'fail':
        if (fault.when === 'after') await run();
        throw new RekeyError(fault.code, `${call.name} was made to fail for "${actingIn(call)?.username}"`);
      case 'refuse':
        return { kind: 'refused', reason: 'password' };
      case 'stale':
        return conductor.stale(call, run);
      case 'slow': {
        const answer = await run();
        conductor.delay();
        return answer;
      }
      case 'half':
        conductor.half?.(call);
        throw unreachable(call);
      case 'late': {
        // What it asks its caller before, it asks in time: late is what is on its way to the server.
        const args = await Promise.all(call.args.map(async (arg) => (isQuestion(arg) ? answering(await arg()) : arg)));
        conductor.later(() => work(args));
        throw unreachable(call);
      }
    }
  }

  /** Every method of a port, and those of the ports that it holds. */
  function wrap<Port extends object>(port: Port, name: string): Port {
    const wrapped: Record<string, unknown> = {};
    for (const [member, value] of Object.entries(port)) {
      if (typeof value === 'function')
        wrapped[member] = (...args: unknown[]) =>
          invoke(`${name}.${member}`, args, (given) => value.apply(port, given));
      else if (typeof value === 'object' && value !== null) wrapped[member] = wrap(value, member);
      else wrapped[member] = value;
    }
    return wrapped as Port;
  }

  return wrap;
}

/** The ports of one process of the rotation function. */
export function faultyPorts(ports: Ports, process: Process, conductor: Conductor, afterDeath: AfterDeath): Ports {
  const wrap = faultyIn(process, conductor, afterDeath);
  const { store, engine, announcer, clock, topology } = ports;
  return {
    store: wrap(store, 'store'),
    engine: wrap(engine, 'engine'),
    announcer: wrap(announcer, 'announcer'),
    topology: wrap({ describe: topology.describe.bind(topology) }, 'topology'),
    clock: { now: () => clock.now(), sleep: wrap<Pick<Clock, 'sleep'>>({ sleep: clock.sleep }, 'clock').sleep },
  };
}

type Work = (args: readonly unknown[]) => Promise<unknown>;
type Question = () => Promise<unknown>;

const isQuestion = (arg: unknown): arg is Question => typeof arg === 'function';
const answering =
  (answer: unknown): Question =>
  async () =>
    answer;

const UNREACHABLE: Readonly<Record<string, ErrorCode>> = {
  store: 'SECRETS_MANAGER_UNAVAILABLE',
  cluster: 'CLUSTER_UNREACHABLE',
  queue: 'QUEUE_UNAVAILABLE',
};

const unreachable = ({ name }: Call) => {
  const [port = ''] = name.split('.');
  return new RekeyError(UNREACHABLE[port] ?? 'DATABASE_UNREACHABLE', `the connection of ${name} was cut`);
};

const isDeadline = (arg: unknown): arg is Deadline => typeof arg === 'object' && arg !== null && 'remainingMs' in arg;

/** Whose login a call to a database is made with, if its arguments say so. */
export function actingIn({ args }: Pick<Call, 'args'>): Credentials | undefined {
  for (const arg of args) {
    if (typeof arg !== 'object' || arg === null) continue;
    if ('acting' in arg) return arg.acting as Credentials;
    if ('admin' in arg) return arg.admin as Credentials;
    if ('other' in arg) return arg.other as Credentials;
    if ('username' in arg && 'host' in arg) return arg as Credentials;
  }
  return undefined;
}
