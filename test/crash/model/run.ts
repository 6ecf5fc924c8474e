import type { AdministeredPair } from '../../../shared/engines/port.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { moveBack } from '../../../shared/rotation/move-back.ts';
import { STEPS } from '../../../shared/rotation/plan.ts';
import { retire } from '../../../shared/rotation/retire.ts';
import { type RotationDeps, runStep } from '../../../shared/rotation/steps.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import type { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { ROTATION_FUNCTION } from '../../contract/fakes/secret-store.ts';
import { describeFault, type Fault, faultsOf, impliesLogin } from '../faults.ts';
import { actingIn, type Call, type Conductor, faultyPorts, type Process, startProcess } from '../faulty-ports.ts';
import type { Estate } from './estates.ts';
import { Broken, mayChange, type Watch, watch } from './invariants.ts';
import {
  copyOf,
  createNames,
  createWorld,
  currentVersion,
  loginIn,
  logsIn,
  type Names,
  refill,
  stagedLogin,
  type Versions,
  versionUnder,
  type World,
} from './world.ts';

/** What happens to a secret, one after the other. */
export type Act = 'rotate' | 'move back' | 'retire';

export interface PlannedFault {
  /** Of the call that it strikes. */
  readonly at: number;
  readonly fault: Fault;
}

export interface Scenario {
  readonly estate: Estate;
  /** What happened before, without any fault. */
  readonly before: readonly Act[];
  readonly acts: readonly Act[];
}

/** One run of the model, in full: the same case runs the same way every time. */
export interface Case extends Scenario {
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
  /** From the invocation that makes the call: for whoever adds a fault here, since until then nothing would differ. */
  readonly play: Play;
}

export interface PlayOptions {
  /** Whether to return the points behind the last fault. */
  readonly collect?: boolean;
  /** Sees every call, to look at one case: it is played to its end then, even if it goes on as another one did. */
  readonly trace?: (call: Call, fault: Fault | undefined) => void;
  /** Sees the state at each moment between two invocations, once no fault is left; for {@link trace}. */
  readonly traceState?: (state: string) => void;
}

/**
 * Goes on from one moment between two invocations, with these faults, until it is over; or, once no fault is left, until
 * all is as it was in a case that kept every promise from there to its end. May be called as often as one likes, but once
 * at a time, and not while another play of the same scenario goes on.
 * @throws Broken
 */
export type Play = (faults: readonly PlannedFault[], options?: PlayOptions) => Promise<readonly Point[]>;

/** An invocation's time, and what a call to the outside takes of it. */
const LAMBDA_MS = 30_000;
const CALL_MS = 10;
/** Leaves less than an adapter wants to connect, and enough for a few calls to Secrets Manager. */
const DELAY_MS = 28_200;
/** A late statement is carried out before this many calls have ended. */
const LATE_CALLS = 2;
/** Moving back looks at the labels once more behind its login, and takes AWSPENDING away: so many calls, and the late ones. */
const LATE_CALLS_BACK = 6;
/** How often all steps may have to run once nothing fails any more. */
const MAX_CLEAN_DELIVERIES = 2;

/** What is done next; with what is in the world, all that outlives an invocation. */
interface Cursor {
  readonly act: number;
  /** How often all steps have run since nothing fails any more. */
  readonly clean: number;
  /** What of this act has begun. */
  readonly begun?: Rotation | 'move back' | 'retirement';
}

interface Rotation {
  readonly versionId: string;
  readonly step: number;
  readonly eventsBefore: number;
  readonly refusedBeforeMs: number;
}

/** Real steps, as Secrets Manager and the queue deliver them, until they have converged. @returns it from the start */
export function createPlay({ estate, before, acts }: Scenario): Play {
  const world = createWorld(estate);
  const invariants = acts.includes('move back') ? watch(world, LATE_CALLS_BACK) : watch(world);
  const past = createPast(world);
  // Whatever happened, the next rotation finds nothing that stops it.
  const plan: readonly Act[] = [...before, ...acts, 'rotate'];
  let cursor: Cursor = { act: 0, clean: 0 };
  let late: readonly { readonly due: number; readonly run: () => Promise<unknown> }[] = [];
  let calls = 0;
  let broken: unknown;

  // Of the play that goes on.
  let script: ReadonlyMap<number, Fault> = new Map();
  let lastAt = 0;
  let options: PlayOptions = {};
  let remembers = false;
  let points: Point[] = [];
  let moment: Play;
  /** States from which a case has come to its end. */
  const over = new Set<string>();

  /** No fault strikes what happened before, nor the rotation at the end. */
  const counting = () => cursor.act >= before.length && cursor.act < before.length + acts.length;

  const conductor: Conductor = {
    next(name, args) {
      world.clock.advance(CALL_MS);
      const counts = counting();
      if (counts) calls += 1;
      const call = { number: calls, name, args };
      const fault = counts ? script.get(calls) : undefined;
      if (options.collect && counts && calls > lastAt) {
        const faults = faultsOf(name).filter((each) => isPossible(each, call));
        points.push({ at: calls, name, faults, play: moment });
      }
      options.trace?.(call, fault);
      if (remembers && mayChange(call)) past.record();
      return { call, fault };
    },
    async settled(call) {
      if (remembers && mayChange(call)) past.record();
      check(call);
      const due = late.filter((each) => each.due <= calls);
      if (due.length === 0) return;
      late = late.filter((each) => each.due > calls);
      // Nobody waits for its answer any more.
      for (const each of due) await each.run().catch(() => {});
      if (remembers) past.record();
      check(call, true);
    },
    delay: () => world.clock.advance(DELAY_MS),
    stale: (call, read) => past.ask(call, read),
    half: ({ args }) => halfPrepared(world, args[0] as AdministeredPair, args[1] as SecretValue),
    later(run) {
      late = [...late, { due: calls + LATE_CALLS, run }];
    },
  };
  function isPossible(fault: Fault, call: Call): boolean {
    const acting = impliesLogin(fault) ? actingIn(call) : undefined;
    return past.allows(fault, call) && (!acting || logsIn(world, { ...acting, password: acting.password.expose() }));
  }
  function check(call: Call, changed?: boolean): void {
    try {
      invariants.check(call, changed);
    } catch (error) {
      // Inside a step it could be swallowed.
      broken ??= error;
    }
  }

  world.announced(({ type, detail }) => {
    if (type === 'Secret Moved Back' && currentVersion(world) !== detail.restoredVersionId)
      broken ??= new Broken('I11', 'AWSCURRENT is another version than the one that was said to be restored');
    const says = 'stillWorks' in detail && /^AWSCURRENT works as before/.test(detail.stillWorks);
    if (says && !estate.restored && !logsIn(world, stagedLogin(world, CURRENT)))
      broken ??= new Broken('I11', `AWSCURRENT is refused, and an event says "${detail.stillWorks}"`);
  });
  const delivery = createDelivery(
    world,
    invariants,
    conductor,
    () => calls <= lastAt,
    () => script.size > 0,
  );

  /**
   * All that the rest of the case depends on, once every fault has struck: equal states go on alike.
   * @returns undefined as long as something is still to strike
   */
  function stateOf(): string | undefined {
    if (calls < lastAt || script.size === 0 || late.length > 0) return undefined;
    const name = createNames();
    return JSON.stringify([
      world.state(name),
      invariants.state(name, calls),
      delivery.state(name, cursor),
      cursor.act,
      cursor.clean,
      calls > lastAt,
    ]);
  }

  function save(): Play {
    const restore = [world.save(), invariants.save(), past.save(), delivery.save()];
    const saved = { late, calls, cursor };
    return async (faults, chosen = {}) => {
      for (const each of restore) each();
      ({ late, calls } = saved);
      // The faults that are still to come are counted anew.
      cursor = { ...saved.cursor, clean: 0 };
      script = new Map(faults.map(({ at, fault }) => [at, fault]));
      lastAt = faults.at(-1)?.at ?? 0;
      options = chosen;
      // Most runs have no use for what was: it takes a tenth of their time.
      remembers = chosen.collect || faults.some(({ fault }) => fault.kind === 'stale');
      points = [];
      broken = undefined;
      const passed: string[] = [];
      for (let act = plan[cursor.act]; act !== undefined; act = plan[cursor.act]) {
        if (options.collect && counting()) moment = save();
        const state = options.collect ? undefined : stateOf();
        if (state !== undefined) {
          if (over.has(state) && !options.trace) break;
          options.traceState?.(state);
          passed.push(state);
        }
        cursor = await delivery.next(act, cursor);
        if (broken) throw broken;
      }
      delivery.checkSinks();
      if (plan[cursor.act] === undefined) delivery.checkEnd();
      for (const state of passed) over.add(state);
      return points;
    };
  }
  moment = save();
  return moment;
}

/** Delivers as Secrets Manager and the queue do: whole, again after a failure, in a new process after a death. */
function createDelivery(
  world: World,
  invariants: Watch,
  conductor: Conductor,
  faulty: () => boolean,
  faulted: () => boolean,
) {
  const { secrets, arn, deps, clock } = world;
  let thrown: readonly unknown[] = [];
  let process: Process;
  let ports: RotationDeps;
  let converged:
    | { readonly versionId: string; readonly previousVersionId: string | undefined; readonly atMs: number }
    | undefined;

  function start(changedAt: ReadonlyMap<string, number>): void {
    process = startProcess();
    ports = { ...deps, ...faultyPorts(deps, process, conductor, 'silence'), changedAt: new Map(changedAt) };
  }
  start(new Map());

  /** @returns `died`, or what the invocation came to */
  async function invoke<T>(work: () => Promise<T>): Promise<{ readonly answer: T } | 'failed' | 'died'> {
    if (process.isDead()) start(new Map());
    const outcome = work().then(
      (answer) => ({ answer }) as const,
      (error: unknown) => {
        thrown = [...thrown, error];
        if (!(error instanceof RekeyError)) throw error;
        return 'failed' as const;
      },
    );
    return await Promise.race([process.death, outcome]);
  }
  const deadline = () => deadlineIn(LAMBDA_MS, clock);

  /** One more delivery of all steps. */
  function count(clean: number, what: string): number {
    if (faulty()) return clean;
    if (clean === MAX_CLEAN_DELIVERIES) throw new Broken('I4', `${what} after ${last(thrown)}`);
    return clean + 1;
  }

  function begin(): string {
    const known = secrets.secret(arn).versions.size;
    const versionId = secrets.beginRotation(arn);
    if (secrets.secret(arn).versions.size > known) invariants.expectVersion();
    return versionId;
  }

  async function rotate(act: number, clean: number, rotation: Rotation): Promise<Cursor> {
    const { eventsBefore, refusedBeforeMs } = rotation;
    let { versionId, step } = rotation;
    if (step === 0) {
      clean = count(clean, 'no end');
      // The same token until its label is gone: then the next rotation is another one.
      const { stages } = secrets.secret(arn).versions.get(versionId) ?? {};
      if (!stages?.size) versionId = begin();
    }
    const name = STEPS[step] ?? 'finishSecret';
    const request = { step: name, secretArn: arn, versionId, rotationToken: undefined };
    const outcome = await invoke(() => runStep(request, ports, deadline()));
    step = outcome === 'failed' || outcome === 'died' ? 0 : step + 1;
    if (step < STEPS.length) return { act, clean, begun: { ...rotation, versionId, step } };

    if (currentVersion(world) !== versionId) throw new Broken('I4', 'all steps ran, and AWSCURRENT did not move');
    converged = { versionId, previousVersionId: versionUnder(world, PREVIOUS), atMs: clock.now() };
    if (!logsIn(world, stagedLogin(world, CURRENT))) throw new Broken('I1', 'AWSCURRENT does not log in at the end');
    checkGap(world.events.slice(eventsBefore), invariants.refusedMs() - refusedBeforeMs);
    return { act: act + 1, clean: 0 };
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

  async function retirePrevious(act: number, clean: number): Promise<Cursor> {
    if (!converged) throw new Error('there is nothing to retire before a rotation');
    const { versionId, previousVersionId, atMs } = converged;
    clean = count(clean, 'retire finds no end');
    const request = {
      secretArn: arn,
      versionId,
      previousVersionId,
      consumersProved: true,
      pinnedUses: false,
      convergedAtMs: atMs,
    };
    const outcome = await invoke(() =>
      retire(request, { ...ports, databases: [ports], rotationFunctions: [ROTATION_FUNCTION] }, deadline()),
    );
    if (outcome === 'failed' || outcome === 'died') return { act, clean, begun: 'retirement' };
    // A stale look may say that there is nothing to do: then the old one lives until the next rotation, which is safe.
    if (outcome.answer.kind === 'retired' && logsIn(world, stagedLogin(world, PREVIOUS)))
      throw new Broken('I12', 'AWSPREVIOUS logs in, and was said to be retired');
    return { act: act + 1, clean: 0 };
  }

  /** As sync asks when the new pods of the version fail, with which nothing has converged. */
  async function moveItBack(act: number, clean: number): Promise<Cursor> {
    if (converged?.previousVersionId === undefined) throw new Error('there is nothing to move back to');
    const { versionId, previousVersionId } = converged;
    clean = count(clean, 'move back finds no end');
    const request = { secretArn: arn, secretName: 'app/db', versionId, previousVersionId, failed: [] };
    const outcome = await invoke(() => moveBack(request, ports, deadline()));
    if (outcome === 'failed' || outcome === 'died') return { act, clean, begun: 'move back' };
    if (outcome.answer.kind === 'movedBack' && currentVersion(world) !== previousVersionId)
      throw new Broken('I11', 'AWSCURRENT was said to be moved back, and is not');
    if (!faulted() && !world.estate.restored && outcome.answer.kind !== 'movedBack')
      throw new Broken('I4', `nothing struck, and moving back came to ${outcome.answer.kind}`);
    converged = {
      versionId: currentVersion(world),
      previousVersionId: versionUnder(world, PREVIOUS),
      atMs: clock.now(),
    };
    return { act: act + 1, clean: 0 };
  }

  return {
    /** One invocation. */
    async next(what: Act, { act, clean, begun }: Cursor): Promise<Cursor> {
      if (what === 'rotate') {
        if (typeof begun === 'object') return rotate(act, clean, begun);
        const before = { eventsBefore: world.events.length, refusedBeforeMs: invariants.refusedMs() };
        return rotate(act, clean, { ...before, versionId: begin(), step: 0 });
      }
      if (what === 'move back') return moveItBack(act, clean);
      if (begun === undefined) {
        clock.advance(10 * 60_000);
        if (world.estate.strategy === 'user-pair') invariants.expectVersion();
      }
      return retirePrevious(act, clean);
    },

    save() {
      const saved = { thrown, converged, changedAt: new Map(process.isDead() ? [] : ports.changedAt) };
      return () => {
        ({ thrown, converged } = saved);
        start(saved.changedAt);
      };
    },

    /**
     * As that of the world. Of times, what a gap is measured by; a retirement begins so late that no other counts. Of
     * versions that a retirement may make there is one: a scenario has no two retirements.
     */
    state(name: Names, { begun }: Cursor): unknown {
      const rotation = typeof begun === 'object' ? begun : undefined;
      const labels = [name(converged?.versionId), name(converged?.previousVersionId)];
      if (!rotation) return [labels, begun];
      const { versionId, step, eventsBefore, refusedBeforeMs } = rotation;
      const refusedMs = invariants.refusedMs() - refusedBeforeMs;
      const sinceMs = invariants.refusedSinceMs() ?? clock.now();
      const { createdAtMs } = secrets.secret(arn).versions.get(versionId) ?? {};
      const wasRefused = refusedMs > 0 || invariants.refusedSinceMs() !== undefined;
      const known = process.isDead() ? undefined : ports.changedAt.get(versionId);
      const gap =
        wasRefused && !world.estate.restored
          ? [refusedMs, ...[known, createdAtMs].map((ms) => ms !== undefined && ms - sinceMs)]
          : undefined;
      const told = world.events
        .slice(eventsBefore)
        .flatMap(({ type, detail }) =>
          type === 'Rotation Succeeded' && !world.estate.restored ? [detail.gap?.milliseconds ?? 'no gap'] : [],
        );
      return [labels, name(versionId), step, gap, told];
    },

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
    },

    checkEnd(): void {
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
  const { versions } = secrets.secret(arn);
  const stateOf = (of: Versions) =>
    [...of].map(([id, { value, stages }]) => `${id}${value === undefined} ${[...stages]}`).join();
  let state = stateOf(versions);
  let history: readonly Versions[] = [copyOf(versions)];

  /** The answer as it was; the store answers from its versions before it first awaits anything. */
  function askAt<T>(then: Versions, read: () => Promise<T>): Promise<T> {
    const now = [...versions];
    refill(versions, then);
    const answer = read();
    refill(versions, now);
    return answer;
  }
  const before = () => history.at(-2) ?? history.at(-1) ?? versions;

  return {
    save() {
      const saved = { state, history };
      return () => {
        ({ state, history } = saved);
      };
    },
    record(): void {
      const now = stateOf(versions);
      if (now === state) return;
      state = now;
      history = [...history, copyOf(versions)];
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
