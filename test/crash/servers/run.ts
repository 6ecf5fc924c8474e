import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { type MoveBackOutcome, moveBack } from '../../../shared/rotation/move-back.ts';
import { STEPS } from '../../../shared/rotation/plan.ts';
import { type RetireOutcome, retire } from '../../../shared/rotation/retire.ts';
import { type RotationDeps, runStep } from '../../../shared/rotation/steps.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { ROTATION_FUNCTION } from '../../contract/fakes/secret-store.ts';
import { type Application, createApplication } from '../../integration/rotation/real-database.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { type Fault, faultsOf } from '../faults.ts';
import { type Call, type Conductor, Death, faultyPorts, startProcess } from '../faulty-ports.ts';
import { type Course, sharing } from './course.ts';
import { type Watched, watch } from './watch.ts';

export interface PlannedFault {
  /** The number of the call that it strikes. */
  readonly at: number;
  readonly fault: Fault;
}

/** Lambda's, and what is left of it after an answer that took its time. */
const LAMBDA_MS = 30_000;
const LEFT_MS = 1_800;
/** A late statement is carried out when this many more calls have ended. */
const LATE_CALLS = 2;
/** How often all steps may have to run once nothing fails any more. */
const MAX_CLEAN_DELIVERIES = 2;

/** After these a login may be another one: the promises are judged anew. */
const LABELS = /^store\.(moveCurrent|withdrawLabel)/;
const PASSWORDS =
  /^(engine\.setPassword|alternatingUsers\.(prepare|disable)|userPair\.changePeer|dualPassword\.(add|discard))/;

/** Stale answers belong to Secrets Manager, which is in memory here; a connection cut half-way needs the real wire. */
const ELSEWHERE: readonly Fault['kind'][] = ['stale', 'half'];

/**
 * A rotation and the retirement after it, each time of a new user on a real server, delivered as Secrets Manager and the
 * queue do until they end; with one fault on the way, or none.
 */
export function rotations(server: RealServer, strategy: StrategyName): Course<PlannedFault, readonly PlannedFault[]> {
  return {
    async run(planned) {
      const secret = await attend(server, await createApplication(server, strategy), strategy);
      try {
        const possible = secret.expose(planned);
        await secret.rotate();
        await secret.retire();
        secret.checkSinks();
        return possible;
      } finally {
        await secret.drop();
      }
    },
    async close() {},
  };
}

/**
 * The move back after a rotation whose new pods fail, likewise. What failed is then retired, and the next rotation finds
 * nothing in its way: neither is struck, and that one is the next that is moved back from.
 */
export function movesBack(server: RealServer, strategy: StrategyName): Course<PlannedFault, readonly PlannedFault[]> {
  return sharing({
    async begin() {
      const tags = { 'rekey:on-failure': 'move-back' };
      const secret = await attend(server, await createApplication(server, strategy, 'app', { tags }), strategy);
      await secret.rotate();
      return secret;
    },
    async run(secret, planned: PlannedFault | undefined) {
      const possible = secret.expose(planned);
      await secret.moveBack();
      secret.shelter();
      await secret.retire();
      await secret.rotate();
      secret.checkSinks();
      return possible;
    },
    drop: (secret) => secret.drop(),
  });
}

/** A secret that Secrets Manager and the queue see to. Each of them goes on until it is done. */
interface Attended {
  /** From the next call on they are counted, and judged, and this strikes. @returns what can, added call by call */
  expose(planned: PlannedFault | undefined): readonly PlannedFault[];
  /** Nothing strikes any more, and calls are not judged: where they are struck, they are. */
  shelter(): void;
  rotate(): Promise<void>;
  retire(): Promise<void>;
  /** As sync asks when the new pods of AWSCURRENT fail. */
  moveBack(): Promise<void>;
  /** I7 */
  checkSinks(): void;
  drop(): Promise<void>;
}

async function attend(server: RealServer, application: Application, strategy: StrategyName): Promise<Attended> {
  const { rig, arn, works } = application;
  let planned: PlannedFault | undefined;
  let possible: PlannedFault[] = [];
  const thrown: unknown[] = [];
  let late: { readonly due: number; readonly run: () => Promise<unknown> }[] = [];
  let calls = 0;
  let counts = false;
  let lostMs = 0;
  const clock = {
    now: () => systemClock.now() + lostMs,
    async sleep(milliseconds: number) {
      lostMs += milliseconds;
    },
  };
  const deps: RotationDeps = { ...rig.deps, ...server.rekey, clock };

  const promises = await watch(server, watchedIn(application, strategy));
  let broken: unknown;
  const conductor: Conductor = {
    next(name, args) {
      if (!counts) return { call: { number: calls, name, args }, fault: undefined };
      calls += 1;
      possible.push(...faultsOf(name).flatMap((fault) => (ELSEWHERE.includes(fault.kind) ? [] : { at: calls, fault })));
      return { call: { number: calls, name, args }, fault: calls === planned?.at ? planned.fault : undefined };
    },
    async settled(call: Call) {
      if (!counts) return;
      const due = late.filter((each) => each.due <= calls);
      late = late.filter((each) => each.due > calls);
      for (const each of due) await each.run().catch(() => {}); // nobody waits for its answer any more
      const changed = PASSWORDS.test(call.name) || due.length > 0;
      if (changed || LABELS.test(call.name))
        await promises.check(`call ${call.number}, ${call.name}`, !changed).catch((error: unknown) => {
          broken ??= error; // inside a step it could be swallowed
        });
    },
    delay() {
      lostMs += LAMBDA_MS - LEFT_MS;
    },
    stale: (_, read) => read(),
    later: (work) => void late.push({ due: calls + LATE_CALLS, run: work }),
  };

  let process = startProcess();
  let ports = { ...deps, ...faultyPorts(deps, process, conductor, 'throw'), changedAt: new Map<string, number>() };
  /** @returns undefined when it failed or died */
  async function invoke<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (process.isDead()) {
      process = startProcess();
      ports = { ...deps, ...faultyPorts(deps, process, conductor, 'throw'), changedAt: new Map() };
    }
    try {
      const answer = await work();
      return process.isDead() ? undefined : answer;
    } catch (error) {
      if (!process.isDead() && !(error instanceof RekeyError)) throw error;
      if (!(error instanceof Death)) thrown.push(error);
      return undefined;
    }
  }

  /** Again until it is done; I4: and soon, once nothing fails any more. */
  async function untilDone<T>(deliver: () => Promise<T | undefined>): Promise<T> {
    for (let clean = 0; ; ) {
      if (calls >= (planned?.at ?? 0)) clean += 1;
      if (clean > MAX_CLEAN_DELIVERIES) throw new Error(`no end after ${thrown.at(-1) ?? 'a death'}`);
      const outcome = await deliver();
      if (broken) throw broken;
      if (outcome !== undefined) return outcome;
    }
  }

  const versionUnder = async (stage: string) => (await rig.secrets.store.readStage(arn, stage))?.versionId;
  const stagesOf = (id: string) => rig.secrets.secret(arn).versions.get(id)?.stages.size ?? 0;

  async function rotate(): Promise<void> {
    let versionId = application.beginRotation();
    await untilDone(async () => {
      // The same token until its label is gone: then the next rotation is another one.
      if (stagesOf(versionId) === 0) versionId = application.beginRotation();
      for (const step of STEPS) {
        const request = { step, secretArn: arn, versionId, rotationToken: undefined };
        if ((await invoke(() => runStep(request, ports, deadlineIn(LAMBDA_MS, clock)))) === undefined) return undefined;
      }
      return 'rotated';
    });
    if ((await versionUnder(CURRENT)) !== versionId) throw new Error('all steps ran, and AWSCURRENT did not move');
    await promises.check('the rotation', counts);
    if ((await works(PREVIOUS)) !== (strategy !== 'single-user'))
      throw new Error(
        `AWSPREVIOUS ${strategy === 'single-user' ? 'still logs in' : 'was cut off before it was retired'}`,
      );
  }

  async function retirePrevious(): Promise<void> {
    const request = {
      secretArn: arn,
      versionId: (await versionUnder(CURRENT)) ?? '',
      previousVersionId: await versionUnder(PREVIOUS),
      consumersProved: true,
      pinnedUses: false,
      convergedAtMs: 0,
    };
    const deliver = () =>
      invoke(() =>
        retire(
          request,
          { ...ports, databases: [ports], rotationFunctions: [ROTATION_FUNCTION] },
          deadlineIn(LAMBDA_MS, clock),
        ),
      );
    // It comes again while sessions are open, and the server may see for a moment one that is over.
    const outcome = await eventually('the retirement', async () => {
      const came = await untilDone<RetireOutcome>(deliver);
      return came.kind === 'sessionsOpen' ? undefined : came;
    });
    await catchUp();
    await promises.check('the retirement');
    if (strategy !== 'single-user' && outcome.kind !== 'retired' && !planned)
      throw new Error(`nothing struck, and the retirement came to ${outcome.kind}`);
    if (outcome.kind === 'retired' && (await works(PREVIOUS)))
      throw new Error('AWSPREVIOUS logs in, and was said to be retired');
  }

  async function moveItBack(): Promise<void> {
    const [versionId = '', previousVersionId = ''] = [await versionUnder(CURRENT), await versionUnder(PREVIOUS)];
    const before = values();
    const request = { secretArn: arn, secretName: 'app/db', versionId, previousVersionId, failed: [] };
    const outcome = await untilDone<MoveBackOutcome>(() =>
      invoke(() => moveBack(request, ports, deadlineIn(LAMBDA_MS, clock))),
    );
    await catchUp();
    await promises.check('the move back');
    if (outcome.kind !== 'movedBack' && !planned)
      throw new Error(`nothing struck, and moving back came to ${outcome.kind}`);
    const isMoved = (await versionUnder(CURRENT)) === previousVersionId;
    if (outcome.kind === 'movedBack' && !isMoved) throw new Error('AWSCURRENT was said to be moved back, and is not');
    if (!(await works(PREVIOUS))) throw new Error('AWSPREVIOUS was cut off before it was retired');
    if (values() !== before) throw new Error('I9, I10: a value was written');
    // By the try that moved it, or if that one died, by the next.
    const due = isMoved ? 'Secret Moved Back' : 'Action Needed';
    if (!rig.events.some(({ type, detail }) => type === due && detail.versionId === versionId))
      throw new Error(`I11: moving back came to ${outcome.kind}, and nobody was told "${due}"`);
  }

  /** Of the application's secret and of the administrator's. */
  const values = () =>
    JSON.stringify([arn, application.adminArn].map((each) => [...rig.secrets.secret(each).versions].map(valueIn)));

  async function catchUp(): Promise<void> {
    for (const each of late) await each.run().catch(() => {});
    late = [];
  }

  return {
    expose(chosen) {
      [planned, possible, calls, counts] = [chosen, [], 0, true];
      return possible;
    },
    shelter() {
      [planned, counts] = [undefined, false];
    },
    rotate,
    retire: retirePrevious,
    moveBack: moveItBack,
    checkSinks() {
      const said = JSON.stringify([
        rig.events,
        thrown.map((error) => error instanceof Error && { ...error, message: error.message, cause: error.cause }),
      ]);
      if ([...application.passwords(), server.admin.password].some((password) => said.includes(password)))
        throw new Error('a password is in an event or an error');
    },
    drop: () => server.dropUsers(application.username),
  };
}

const valueIn = ([versionId, { value }]: readonly [string, { readonly value: string | undefined }]) => [
  versionId,
  value,
];

/** The logins of a secret in memory. */
export function watchedIn({ rig, arn, username }: Application, strategy: StrategyName): Watched {
  const loginsUnder = (stage?: string) =>
    [...rig.secrets.secret(arn).versions.values()].flatMap(({ value, stages }) =>
      value === undefined || (stage !== undefined && !stages.has(stage)) ? [] : [JSON.parse(value)],
    );
  return { strategy, username, staged: (stage) => loginsUnder(stage)[0], stored: () => loginsUnder() };
}
