import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { moveBack } from '../../../shared/rotation/move-back.ts';
import { STEPS, type Step } from '../../../shared/rotation/plan.ts';
import { retire } from '../../../shared/rotation/retire.ts';
import { runStep } from '../../../shared/rotation/steps.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import { ROTATION_FUNCTION } from '../../contract/fakes/secret-store.ts';
import type { Conductor } from '../faulty-ports.ts';
import { faultyPorts, startProcess } from '../faulty-ports.ts';
import type { Estate } from '../model/estates.ts';
import { Broken, watch } from '../model/invariants.ts';
import { createWorld, currentVersion, loginIn, logsIn, stagedLogin, versionUnder } from '../model/world.ts';
import type { Stage } from './schedules.ts';

/** What some process, or a person, does beside others. */
export type Actor =
  | { readonly kind: 'steps'; readonly steps: readonly Step[] }
  /** The next rotation. */
  | { readonly kind: 'nextRotation' }
  /** The steps from setSecret, and then the next rotation. */
  | { readonly kind: 'restAndNext' }
  /** A person cancels the rotation: AWSPENDING is taken away, and the next one begins at once. */
  | { readonly kind: 'cancelAndNext' }
  /** The previous credential is retired while the next rotation begins. */
  | { readonly kind: 'retire' }
  /** The version that is current is moved back from. */
  | { readonly kind: 'moveBack' }
  /** A person puts a value that has the same login. */
  | { readonly kind: 'put' };

export interface Situation {
  readonly name: string;
  /** Whether it has rotated before. */
  readonly rotated: boolean;
  /** Steps of the rotation that were done before. */
  readonly done: readonly Step[];
  /** False: steps are of the rotation that it has been through, and no other one begins. */
  readonly again?: false;
  readonly actors: readonly Actor[];
}

const LAMBDA_MS = 30_000;
const upTo = (step: Step) => STEPS.slice(0, STEPS.indexOf(step));

const steps = (...each: Step[]): Actor => ({ kind: 'steps', steps: each });
const first = { rotated: false, done: [] };

/** A step beside each step that comes as late as a second delivery can; and beside the retirement before. */
export function situationsOfSteps({ strategy }: Estate): readonly Situation[] {
  const twice = STEPS.flatMap((late) =>
    STEPS.slice(STEPS.indexOf(late)).map((step) => ({
      name: `${late} beside ${step}`,
      rotated: false,
      done: upTo(step),
      actors: [steps(late), steps(step)],
    })),
  );
  if (strategy === 'single-user') return twice;
  const retiring = STEPS.map((step) => ({
    name: `retire beside ${step}`,
    rotated: true,
    done: upTo(step),
    actors: [{ kind: 'retire' } as const, steps(step)],
  }));
  const movingBack = STEPS.map((step) => ({
    name: `${step}, late, beside a move back`,
    rotated: true,
    again: false as const,
    done: [],
    actors: [{ kind: 'moveBack' } as const, steps(step)],
  }));
  return [...twice, ...retiring, ...movingBack];
}

/** What goes on for more than one step. docs/reliability.md says what is left out, and why. */
export function situationsOfRotations({ strategy, restored, powerless }: Estate): readonly Situation[] {
  const hasGap = strategy === 'single-user';
  return [
    { ...first, name: 'two deliveries of one rotation', actors: [steps(...STEPS), steps(...STEPS)] },
    ...(hasGap
      ? []
      : [
          {
            name: 'retire beside a rotation that begins',
            rotated: true,
            done: [],
            actors: [{ kind: 'retire' }, { kind: 'nextRotation' }] as const,
          },
          {
            name: 'two moves back',
            rotated: true,
            again: false as const,
            done: [],
            actors: [{ kind: 'moveBack' }, { kind: 'moveBack' }] as const,
          },
        ]),
    ...(restored || powerless
      ? []
      : [
          {
            name: 'a late delivery beside what is left of its rotation, and the next one',
            rotated: false,
            done: upTo('setSecret'),
            actors: [steps(...STEPS), { kind: 'restAndNext' }] as const,
          },
        ]),
    ...(restored || hasGap || strategy === 'user-pair'
      ? []
      : [
          {
            ...first,
            name: 'a value put by hand beside a rotation',
            actors: [steps(...STEPS), { kind: 'put' }] as const,
          },
          {
            name: 'a value put by hand beside a move back',
            rotated: true,
            again: false as const,
            done: [],
            actors: [{ kind: 'moveBack' }, { kind: 'put' }] as const,
          },
          {
            name: 'a setSecret that is late beside the next rotation, as its own was cancelled',
            rotated: false,
            done: upTo('setSecret'),
            actors: [steps('setSecret'), { kind: 'cancelAndNext' }] as const,
          },
        ]),
  ];
}

/** Plays a situation in one order; checks every promise after each call, and that the next rotation succeeds. */
export async function playSituation(
  estate: Estate,
  { rotated, done, again, actors }: Situation,
  play: (begin: (stage: Stage) => Promise<readonly Promise<void>[]>) => Promise<void>,
): Promise<void> {
  const world = createWorld(estate);
  const { secrets, arn, deps, clock } = world;
  const invariants = watch(world, Number.POSITIVE_INFINITY);
  const deadline = () => deadlineIn(LAMBDA_MS, clock);
  let calls = 0;
  let broken: unknown;

  const conductor: Conductor = {
    next(name, args) {
      calls += 1;
      return { call: { number: calls, name, args }, fault: undefined };
    },
    settled(call) {
      try {
        invariants.check(call);
      } catch (error) {
        broken ??= error;
      }
    },
    delay() {},
    stale: (_call, read) => read(),
    later() {},
  };
  const portsOf = (between: typeof deps) => ({
    ...between,
    ...faultyPorts(between, startProcess(), conductor, 'silence'),
    changedAt: new Map<string, number>(),
  });
  const quiet = portsOf(deps);

  const begin = () => {
    const known = secrets.secret(arn).versions.size;
    const versionId = secrets.beginRotation(arn);
    if (secrets.secret(arn).versions.size > known) invariants.expectVersion();
    return versionId;
  };
  const step = (step: Step, versionId: string, ports: typeof quiet) =>
    runStep({ step, secretArn: arn, versionId, rotationToken: undefined }, ports, deadline());
  async function converge(): Promise<void> {
    const versionId = begin();
    for (const each of STEPS) await step(each, versionId, quiet);
    if (currentVersion(world) !== versionId) throw new Broken('I4', 'all steps ran, and AWSCURRENT did not move');
  }

  if (rotated) await converge();
  const converged = {
    versionId: currentVersion(world),
    previousVersionId: versionUnder(world, PREVIOUS),
    atMs: clock.now(),
  };
  if (rotated) clock.advance(10 * 60_000);
  const startsLater = actors.some(({ kind }) => kind === 'nextRotation') && done.length === 0;
  const versionId = again === false ? converged.versionId : startsLater ? '' : begin();
  for (const each of done) await step(each, versionId, quiet);

  const exclusion = createExclusion();
  await play(async (stage) =>
    actors.map(async (actor, number) => {
      const ports = portsOf(inTurn(deps, number, stage, exclusion));
      await perform(actor, ports, () => stage.turn(number)).catch((error: unknown) => {
        if (!(error instanceof RekeyError)) throw error;
      });
    }),
  );
  if (broken) throw broken;
  await converge();
  if (broken) throw broken;
  if (!logsIn(world, stagedLogin(world, CURRENT))) throw new Broken('I1', 'AWSCURRENT does not log in at the end');

  async function perform(actor: Actor, ports: typeof quiet, turn: () => Promise<void>): Promise<void> {
    switch (actor.kind) {
      case 'steps':
        // One invocation after the other; after a failure a late one may still come.
        for (const each of actor.steps)
          await step(each, versionId, ports).catch((error: unknown) => {
            if (!(error instanceof RekeyError)) throw error;
          });
        return;
      case 'restAndNext':
        for (const each of STEPS.slice(1)) await step(each, versionId, ports);
        return perform({ kind: 'nextRotation' }, ports, turn);
      case 'cancelAndNext':
        await ports.store.withdrawLabel(arn, PENDING, versionId);
        return perform({ kind: 'nextRotation' }, ports, turn);
      case 'nextRotation': {
        await turn();
        const next = begin();
        for (const each of STEPS) await step(each, next, ports);
        return;
      }
      case 'retire': {
        if (estate.strategy === 'user-pair') invariants.expectVersion();
        const request = {
          secretArn: arn,
          versionId: converged.versionId,
          previousVersionId: converged.previousVersionId,
          consumersProved: true,
          pinnedUses: false,
          convergedAtMs: converged.atMs,
        };
        await retire(request, { ...ports, databases: [ports], rotationFunctions: [ROTATION_FUNCTION] }, deadline());
        return;
      }
      case 'moveBack': {
        const { versionId: failing, previousVersionId = '' } = converged;
        const request = { secretArn: arn, secretName: 'app/db', versionId: failing, previousVersionId, failed: [] };
        await moveBack(request, ports, deadline());
        return;
      }
      case 'put': {
        await turn();
        const { value } = secrets.secret(arn).versions.get(currentVersion(world)) ?? {};
        if (value === undefined) throw new Error('there is no current value');
        invariants.expectVersion();
        secrets.put(arn, JSON.stringify({ ...loginIn(value), note: 'by hand' }));
      }
    }
  }
}

/** Calls of one kind of which the port says that they exclude each other. */
const EXCLUSIVE = new Set(['prepareAlternate', 'disableAlternate', 'addPassword', 'discardOld']);

function createExclusion() {
  let last: Promise<unknown> = Promise.resolve();
  return <T>(work: () => Promise<T>): Promise<T> => {
    const mine = last.then(work, work);
    last = mine.catch(() => {});
    return mine;
  };
}

/** The ports, each call of which waits for its turn; exclusive ones for each other as well. */
function inTurn<Deps extends { store: object; engine: object }>(
  deps: Deps,
  actor: number,
  stage: Stage,
  exclude: ReturnType<typeof createExclusion>,
): Deps {
  function wrap<Port extends object>(port: Port): Port {
    const wrapped: Record<string, unknown> = {};
    for (const [member, value] of Object.entries(port)) {
      if (typeof value === 'function')
        wrapped[member] = async (...args: unknown[]) => {
          await stage.turn(actor);
          const run = () => value.apply(port, args);
          return EXCLUSIVE.has(member) ? exclude(run) : run();
        };
      else wrapped[member] = typeof value === 'object' && value !== null ? wrap(value) : value;
    }
    return wrapped as Port;
  }
  return { ...deps, store: wrap(deps.store), engine: wrap(deps.engine) };
}
