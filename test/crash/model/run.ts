import type { AdministeredPair } from '../../../shared/engines/port.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { STEPS } from '../../../shared/rotation/plan.ts';
import { type RetireOutcome, retire } from '../../../shared/rotation/retire.ts';
import { runStep } from '../../../shared/rotation/steps.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import type { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { ROTATION_FUNCTION } from '../../contract/fakes/secret-store.ts';
import { describeFault, type Fault, faultsOf, impliesLogin } from '../faults.ts';
import { actingIn, type Call, type Conductor, faultyPorts, startProcess } from '../faulty-ports.ts';
import type { Estate } from './estates.ts';
import { Broken, type Watch, watch } from './invariants.ts';
import { createWorld, currentVersion, loginIn, logsIn, stagedLogin, versionUnder, type World } from './world.ts';

/** What happens to a secret, one after the other. */
export type Act = 'rotate' | 'retire';

export interface PlannedFault {
  /** Of the call that it strikes. */
  readonly at: number;
  readonly fault: Fault;
}

/** One run of the model, in full: the same case runs the same way every time. */
export interface Case {
  readonly estate: Estate;
  /** What happened before, without any fault. */
  readonly before: readonly Act[];
  readonly acts: readonly Act[];
  readonly faults: readonly PlannedFault[];
}

export const describeCase = ({ estate, before, acts, faults }: Case): string =>
  `${estate.name}: ${[...before, '|', ...acts].join(' ')} with ${faults
    .map(({ at, fault }) => `${describeFault(fault)} at call ${at}`)
    .join(', ')}`;

/** A call of a run that came to its end, and the faults that it could meet. */
export interface Point {
  readonly at: number;
  readonly name: string;
  readonly faults: readonly Fault[];
}

/** An invocation's time, and what a call to the outside takes of it. */
const LAMBDA_MS = 30_000;
const CALL_MS = 10;
/** Leaves less than an adapter wants to connect, and enough for a few calls to Secrets Manager. */
const DELAY_MS = 28_200;
/** A late statement is carried out before this many calls have ended. */
const LATE_CALLS = 2;
/** How often all steps may have to run once nothing fails any more. */
const MAX_CLEAN_DELIVERIES = 2;

/**
 * Runs a case with real steps, as Secrets Manager and the queue deliver them, until it has converged.
 * @param collect whether to return the points behind the last fault
 * @param trace sees every call, to look at one case
 * @throws Broken
 */
export async function run(
  { estate, before, acts, faults }: Case,
  collect = false,
  trace?: (call: Call, fault: Fault | undefined) => void,
): Promise<readonly Point[]> {
  const world = createWorld(estate);
  const invariants = watch(world);
  const points: Point[] = [];
  const script = new Map(faults.map(({ at, fault }) => [at, fault]));
  const lastAt = faults.at(-1)?.at ?? 0;
  const past = createPast(world);
  // Most runs have no use for what was: it takes a tenth of their time.
  const remembers = collect || faults.some(({ fault }) => fault.kind === 'stale');
  let late: { readonly due: number; readonly run: () => Promise<unknown> }[] = [];
  let calls = 0;
  let counting = false;
  let broken: unknown;

  const conductor: Conductor = {
    next(name, args) {
      world.clock.advance(CALL_MS);
      if (counting) calls += 1;
      const call = { number: calls, name, args };
      const fault = counting ? script.get(calls) : undefined;
      if (collect && counting && calls > lastAt)
        points.push({ at: calls, name, faults: faultsOf(name).filter((each) => isPossible(each, call)) });
      trace?.(call, fault);
      return { call, fault };
    },
    async settled(call) {
      if (remembers) past.record();
      check(call);
      const due = late.filter((each) => each.due <= calls);
      if (due.length === 0) return;
      late = late.filter((each) => each.due > calls);
      // Nobody waits for its answer any more.
      for (const each of due) await each.run().catch(() => {});
      if (remembers) past.record();
      check(call);
    },
    delay: () => world.clock.advance(DELAY_MS),
    stale: (call, read) => past.ask(call, read),
    half: ({ args }) => halfPrepared(world, args[0] as AdministeredPair, args[1] as SecretValue),
    later: (run) => void late.push({ due: calls + LATE_CALLS, run }),
  };
  function isPossible(fault: Fault, call: Call): boolean {
    const acting = impliesLogin(fault) ? actingIn(call) : undefined;
    return past.allows(fault, call) && (!acting || logsIn(world, { ...acting, password: acting.password.expose() }));
  }
  function check(call: Call): void {
    try {
      invariants.check(call);
    } catch (error) {
      // Inside a step it could be swallowed.
      broken ??= error;
    }
  }

  world.announced(({ detail }) => {
    const says = 'stillWorks' in detail && /^AWSCURRENT works as before/.test(detail.stillWorks);
    if (says && !estate.restored && !logsIn(world, stagedLogin(world, CURRENT)))
      broken ??= new Broken('I11', `AWSCURRENT is refused, and an event says "${detail.stillWorks}"`);
  });
  const delivery = createDelivery(world, invariants, conductor, () => calls <= lastAt);
  for (const act of before) await delivery.act(act);
  counting = true;
  for (const act of acts) {
    await delivery.act(act);
    if (broken) throw broken;
  }
  counting = false;
  // Whatever happened, the next rotation finds nothing that stops it.
  await delivery.act('rotate');
  if (broken) throw broken;
  delivery.checkSinks();
  return points;
}

/** Delivers as Secrets Manager and the queue do: whole, again after a failure, in a new process after a death. */
function createDelivery(world: World, invariants: Watch, conductor: Conductor, faulty: () => boolean) {
  const { secrets, arn, deps, clock } = world;
  const thrown: unknown[] = [];
  let process = startProcess();
  let ports = { ...deps, ...faultyPorts(deps, process, conductor, 'silence'), changedAt: new Map<string, number>() };
  let converged: { readonly versionId: string; readonly atMs: number } | undefined;

  /** @returns `died`, or what the invocation came to */
  async function invoke<T>(work: () => Promise<T>): Promise<{ readonly answer: T } | 'failed' | 'died'> {
    if (process.isDead()) {
      process = startProcess();
      ports = { ...deps, ...faultyPorts(deps, process, conductor, 'silence'), changedAt: new Map() };
    }
    const outcome = work().then(
      (answer) => ({ answer }) as const,
      (error: unknown) => {
        thrown.push(error);
        if (!(error instanceof RekeyError)) throw error;
        return 'failed' as const;
      },
    );
    return await Promise.race([process.death, outcome]);
  }
  const deadline = () => deadlineIn(LAMBDA_MS, clock);

  async function deliver(versionId: string): Promise<boolean> {
    for (const step of STEPS) {
      const request = { step, secretArn: arn, versionId, rotationToken: undefined };
      const outcome = await invoke(() => runStep(request, ports, deadline()));
      if (outcome === 'failed' || outcome === 'died') return false;
    }
    return true;
  }

  async function rotate(): Promise<void> {
    const eventsBefore = world.events.length;
    const refusedBefore = invariants.refusedMs();
    const begin = () => {
      const known = secrets.secret(arn).versions.size;
      const versionId = secrets.beginRotation(arn);
      if (secrets.secret(arn).versions.size > known) invariants.expectVersion();
      return versionId;
    };
    let versionId = begin();
    for (let clean = 0; ; ) {
      if (!faulty()) clean += 1;
      if (clean > MAX_CLEAN_DELIVERIES) throw new Broken('I4', `no end after ${last(thrown)}`);
      // The same token until its label is gone: then the next rotation is another one.
      const { stages } = secrets.secret(arn).versions.get(versionId) ?? {};
      if (!stages?.size) versionId = begin();
      if (!(await deliver(versionId))) continue;
      if (currentVersion(world) !== versionId) throw new Broken('I4', 'all steps ran, and AWSCURRENT did not move');
      break;
    }
    converged = { versionId: currentVersion(world), atMs: clock.now() };
    if (!logsIn(world, stagedLogin(world, CURRENT))) throw new Broken('I1', 'AWSCURRENT does not log in at the end');
    checkGap(world.events.slice(eventsBefore), invariants.refusedMs() - refusedBefore);
  }

  function checkGap(events: World['events'], refusedMs: number): void {
    for (const { type, detail } of events) {
      if (type !== 'Rotation Succeeded' || world.estate.restored) continue;
      const { gap } = detail;
      if (refusedMs > 0 && !gap)
        throw new Broken('I11', `clients were refused for ${refusedMs} ms, and no event says so`);
      if (gap && gap.milliseconds < refusedMs)
        throw new Broken('I11', `clients were refused for ${refusedMs} ms, the event says ${gap.milliseconds}`);
    }
  }

  async function retirePrevious(): Promise<void> {
    if (!converged) throw new Error('there is nothing to retire before a rotation');
    const { versionId, atMs } = converged;
    clock.advance(10 * 60_000);
    if (world.estate.strategy === 'user-pair') invariants.expectVersion();
    const request = { secretArn: arn, versionId, consumersProved: true, pinnedUses: false, convergedAtMs: atMs };
    let outcome: RetireOutcome | undefined;
    for (let clean = 0; outcome === undefined; ) {
      if (!faulty()) clean += 1;
      if (clean > MAX_CLEAN_DELIVERIES) throw new Broken('I4', `retire finds no end after ${last(thrown)}`);
      const invoked = await invoke(() =>
        retire(request, { ...ports, databases: [ports], rotationFunctions: [ROTATION_FUNCTION] }, deadline()),
      );
      if (invoked !== 'failed' && invoked !== 'died') outcome = invoked.answer;
    }
    // A stale look may say that there is nothing to do: then the old one lives until the next rotation, which is safe.
    if (outcome.kind === 'retired' && logsIn(world, stagedLogin(world, PREVIOUS)))
      throw new Broken('I12', 'AWSPREVIOUS logs in, and was said to be retired');
  }

  return {
    act: (act: Act) => (act === 'rotate' ? rotate() : retirePrevious()),

    /** I7: no password in anything that leaves. */
    checkSinks(): void {
      const said = JSON.stringify([
        world.events,
        world.lines,
        thrown.map((error) => error instanceof Error && { ...error, message: error.message, cause: error.cause }),
      ]);
      for (const { value } of secrets.secret(arn).versions.values())
        if (value !== undefined && said.includes(loginIn(value).password))
          throw new Broken('I7', `a password is in ${said}`);
      if (said.includes('admin-canary')) throw new Broken('I7', `the administrator's password is in ${said}`);
      if (versionUnder(world, PENDING) !== undefined && versionUnder(world, PENDING) !== currentVersion(world))
        throw new Broken('I4', 'AWSPENDING is left on another version than AWSCURRENT');
    },
  };
}

const last = (thrown: readonly unknown[]) => String(thrown.at(-1) ?? 'a death');

/** The alternate user logs in with its new password. A new one has one right too few: what is equal is not touched. */
function halfPrepared({ database, rights }: World, { alternate }: AdministeredPair, password: SecretValue): void {
  const { sessions, rights: had } = database.users.get(alternate) ?? { sessions: [], rights: [...rights].slice(1) };
  database.users.set(alternate, {
    passwords: [password.expose()],
    mayLogIn: true,
    expired: false,
    administers: false,
    rights: new Set(had),
    sessions,
  });
}

/** What Secrets Manager said before, for reads that are behind: it promises no more than to be right in the end. */
function createPast({ secrets, arn }: World) {
  type Versions = ReturnType<typeof secrets.secret>['versions'];
  const { versions } = secrets.secret(arn);
  const copy = (from: Versions): Versions =>
    new Map([...from].map(([id, version]) => [id, { ...version, stages: new Set(version.stages) }]));
  const stateOf = (of: Versions) =>
    [...of].map(([id, { value, stages }]) => `${id}${value === undefined} ${[...stages]}`).join();
  let state = stateOf(versions);
  const history: Versions[] = [copy(versions)];

  /** The answer as it was; the store answers from its versions before it first awaits anything. */
  function askAt<T>(then: Versions, read: () => Promise<T>): Promise<T> {
    const now = [...versions];
    versions.clear();
    for (const [id, version] of then) versions.set(id, version);
    const answer = read();
    versions.clear();
    for (const [id, version] of now) versions.set(id, version);
    return answer;
  }
  const before = () => history.at(-2) ?? history.at(-1) ?? versions;

  return {
    record(): void {
      const now = stateOf(versions);
      if (now === state) return;
      state = now;
      history.push(copy(versions));
    },
    /** Whether the fault could make a difference here: an answer that never changed cannot be stale. */
    allows({ kind }: Fault, { name, args }: Call): boolean {
      if (kind !== 'stale') return true;
      this.record();
      if (args[0] !== arn || history.length < 2) return false;
      if (name === 'store.describe') return true;
      const versionId = String(args[1]);
      return (before().get(versionId)?.value === undefined) !== (versions.get(versionId)?.value === undefined);
    },
    ask(_call: Call, read: () => Promise<unknown>): Promise<unknown> {
      this.record();
      return askAt(before(), read);
    },
  };
}
