import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError, hasCode, RekeyError } from '../operations/errors.ts';
import { type Announcer, failureDetail } from '../operations/events.ts';
import { type DatabaseSecret, withLogin } from '../secrets/database-secret.ts';
import { generatePassword } from '../secrets/password.ts';
import { CURRENT, PENDING, type StoredValue } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { type Admission, admit, plan, type Step } from './plan.ts';
import { type PreflightReport, preflightOf, requirePassed } from './preflight.ts';
import { testEverywhere } from './readers.ts';
import { rotationOf } from './rotation.ts';
import { readLogin } from './secret-reader.ts';
import { singleUser } from './single-user.ts';
import { type Database, type Rotation, requireLogin, type Strategy, type Surroundings } from './strategy.ts';
import { strategyFor } from './strategy-choice.ts';

/** One step of one rotation, as Secrets Manager asks for it. */
export interface RotationRequest {
  readonly step: Step;
  /** The whole ARN. */
  readonly secretArn: string;
  /** Secrets Manager's ClientRequestToken: the id of the version that is being made. */
  readonly versionId: string;
  /** Proves to Secrets Manager who writes; needed with an assumed role or across accounts. */
  readonly rotationToken: SecretValue | undefined;
}

/** What the steps are run with. */
export interface RotationDeps extends Surroundings, Database {
  /**
   * When this process changed the password of a version, in epoch milliseconds. A hint only: it makes the reported gap
   * exact where the same process runs setSecret and finishSecret, as Lambda mostly arranges it.
   */
  readonly changedAt: Map<string, number>;
}

/** What a step did. Those that begin with `already` found their own traces and changed nothing. */
export type StepOutcome =
  | { readonly kind: 'created' | 'alreadyCreated' | 'set' | 'alreadySet' | 'tested' | 'promoted' | 'alreadyCurrent' }
  /** A lone testSecret: a rotation would work. */
  | { readonly kind: 'preflight'; readonly report: PreflightReport };

/** The least time that reading the secret and one round with the database take; below it nothing is begun. */
const STEP_MS = 3_000;

/**
 * So soon after they were seen, labels cannot have moved to this version and back, which takes a roll-out that fails; nor
 * can a person have cancelled the rotation and begun another.
 */
const LABELS_FRESH_MS = 5_000;

/** How long a version's value may stay invisible after it was stored (aws/aws-sdk-js-v3#7701). */
const VALUE_DELAYS_MS = [100, 300, 900];

/**
 * Runs one of the four steps. It may come twice, late, after a crash at any point, or beside itself.
 *
 * ```
 * created    pending is stored         died here: the next attempt finds it and goes on
 * set        pending works             the value is stored first, so no password exists in the database alone
 * tested     pending can do as much    changes nothing
 * promoted   AWSCURRENT is pending     compare-and-swap, right after one more login
 * ```
 * @throws RekeyError
 */
export async function runStep(request: RotationRequest, deps: RotationDeps, deadline: Deadline): Promise<StepOutcome> {
  let strategy: Strategy | undefined;
  try {
    deadline.require(STEP_MS, request.step);
    const secret = await deps.store.describe(request.secretArn);
    const seenAtMs = deps.clock.now();
    if (secret.arn !== request.secretArn)
      throw new RekeyError('EVENT_INVALID', 'SecretId is not the whole ARN of the secret');
    const admission = admit(secret, request.versionId);
    if (admission.kind === 'refused') throw admission.error;
    if (admission.kind === 'alreadyCurrent') return { kind: 'alreadyCurrent' };

    const versionId = admission.currentVersion;
    const stored = await deps.store.read(secret.arn, versionId);
    if (!stored) throw new RekeyError('CURRENT_MISSING', `version ${versionId} of ${secret.arn} has no value`);
    const rotation = await rotationOf(secret, { versionId, stored }, deps, deadline);
    strategy = request.step === 'setSecret' ? await strategyToSet(rotation) : await strategyFor(rotation, undefined);
    return await act({ request, deps, strategy, rotation, seenAtMs });
  } catch (error) {
    await announceFailure(request, deps.announcer, error, strategy);
    throw error;
  }
}

/** In setSecret a single user and one with two passwords part ways: there it must be known which it is. */
async function strategyToSet(rotation: Rotation): Promise<Strategy> {
  try {
    return await strategyFor(rotation, rotation.current);
  } catch (error) {
    if (!hasCode(error, 'LOGIN_REFUSED')) throw error;
    // `auto` asked over the current login. Refused: an earlier try has changed the password of a single user, which
    // the pending login shows; or for the moment only, and then what works must not be replaced. Once is enough.
    const { engine } = rotation;
    const dualPassword = engine.dualPassword && { ...engine.dualPassword, addPassword: () => Promise.reject(error) };
    return strategyFor({ ...rotation, engine: { ...engine, ...(dualPassword && { dualPassword }) } }, undefined);
  }
}

interface Run {
  readonly request: RotationRequest;
  readonly deps: RotationDeps;
  readonly strategy: Strategy;
  readonly rotation: Rotation;
  /** When its labels were read, in epoch milliseconds. */
  readonly seenAtMs: number;
}

interface Pending {
  readonly login: DatabaseSecret;
  readonly createdAtMs: number;
}

async function act(run: Run): Promise<StepOutcome> {
  const { request, deps, strategy, rotation } = run;
  const { options, current } = rotation;
  const { holdUntilMs } = options;
  const held = holdUntilMs !== undefined && holdUntilMs > deps.clock.now();
  // Whether there is a value already, createSecret learns from the answer to its write; a hold ends only what has none.
  const pending = request.step === 'createSecret' && !held ? undefined : await readPending(run);
  const nextUsername = await strategy.nextUsername(rotation, request.step, pending?.login);
  const state = {
    secretArn: request.secretArn,
    versionId: request.versionId,
    current,
    nextUsername,
    heldUntilMs: held ? holdUntilMs : undefined,
  };

  const action = plan(request.step, { ...state, pending: pending?.login });
  switch (action.kind) {
    case 'refuse':
      throw action.error;
    case 'create': {
      await strategy.check(rotation);
      // The label comes with the value: it would be taken from a rotation that has begun since.
      const ended = await endedMeanwhile(run);
      if (ended) return endedAs(ended);
      const password = generatePassword(options, deps.rules);
      const value = withLogin(current, { username: nextUsername, password });
      const { secretArn: secretId, versionId, rotationToken } = request;
      const version = { secretId, versionId, stage: PENDING, value, rotationToken } as const;
      if ((await deps.store.writeVersion(version)) === 'stored') return { kind: 'created' };
      // A sibling attempt stored its value first: that one counts, if it follows from the current version.
      const theirs = plan(request.step, { ...state, pending: (await readPending(run, VALUE_DELAYS_MS))?.login });
      if (theirs.kind === 'refuse') throw theirs.error;
      return { kind: 'alreadyCreated' };
    }
    case 'keep':
      return { kind: 'alreadyCreated' };
    case 'set': {
      const outcome = await setOrWithdraw(run, action.pending);
      if (outcome.kind === 'set') deps.changedAt.set(request.versionId, deps.clock.now());
      return outcome;
    }
    case 'test':
      await testEverywhere(rotation, action.pending, () => strategy.test(rotation, action.pending));
      return { kind: 'tested' };
    case 'preflight': {
      const report = await preflightOf(rotation);
      requirePassed(report);
      return { kind: 'preflight', report };
    }
    case 'promote':
      return await promote(run, action.pending, pending?.createdAtMs ?? deps.clock.now());
  }
}

/**
 * A stored value can never be replaced under its version id, so one that the server rejects would be tried for ever.
 * Without its label, the next rotation begins with a new version and a new password.
 */
async function setOrWithdraw(run: Run, pending: DatabaseSecret): Promise<StepOutcome> {
  const { strategy, rotation, request, deps } = run;
  const asked: { ended?: Ended | undefined } = {};
  const stillWanted = async () => {
    asked.ended = await askAgain(run);
    return asked.ended === undefined;
  };
  try {
    const kind = await strategy.set(rotation, pending, stillWanted);
    return kind === 'notWanted' ? endedAs(asked.ended) : { kind };
  } catch (error) {
    if (!hasCode(error, 'PASSWORD_REJECTED')) throw error;
    // A server with a history rejects what an earlier try or a twin has set, too: that must not lose its label.
    const login = await rotation.engine.login(pending, rotation.deadline).catch(() => undefined);
    if (login?.kind === 'accepted') return { kind: 'alreadySet' };
    // Where the label stays, the next try withdraws it: what must be heard is why the rotation failed.
    if (login) await deps.store.withdrawLabel(request.secretArn, PENDING, request.versionId).catch(() => {});
    throw error;
  }
}

/** How a rotation ended while one of its steps was held up: somebody cancelled it, or a later delivery did the rest. */
type Ended = Exclude<Admission, { kind: 'admitted' }>;

/** @returns undefined while the labels are as the step found them */
async function askAgain({ request, deps, rotation }: Run): Promise<Ended | undefined> {
  const { secretArn, versionId } = request;
  const now = admit(await deps.store.describe(secretArn), versionId);
  if (now.kind !== 'admitted') return now;
  if (now.currentVersion === rotation.currentVersion) return undefined;
  return { kind: 'refused', error: new RekeyError('CURRENT_MOVED', `${CURRENT} of ${secretArn} moved meanwhile`) };
}

/** Of a step that was held up; labels that were seen just now are not asked for again. */
async function endedMeanwhile(run: Run): Promise<Ended | undefined> {
  return run.deps.clock.now() - run.seenAtMs > LABELS_FRESH_MS ? askAgain(run) : undefined;
}

function endedAs(ended: Ended | undefined): StepOutcome {
  if (ended?.kind === 'refused') throw ended.error;
  return { kind: 'alreadyCurrent' };
}

async function promote(run: Run, pending: DatabaseSecret, createdAtMs: number): Promise<StepOutcome> {
  const { rotation, request, deps, strategy } = run;
  const { secretArn, versionId } = request;
  // testSecret may have run hours ago: what is promoted has logged in just now.
  await requireLogin(rotation, pending);
  // A server that kept the login waiting may have outlasted a twin of this step, a roll-out that failed and the move back:
  // then AWSCURRENT is where it was.
  const ended = await endedMeanwhile(run);
  if (ended) return endedAs(ended);
  try {
    await deps.store.moveCurrent(secretArn, { from: rotation.currentVersion, to: versionId });
  } catch (error) {
    if (!hasCode(error, 'CURRENT_MOVED')) throw error;
    // Moved by an earlier try whose answer was lost, or by someone else?
    const now = admit(await deps.store.describe(secretArn), versionId);
    if (now.kind !== 'alreadyCurrent') throw error;
  }
  const movedAtMs = deps.clock.now();
  const changedAtMs = deps.changedAt.get(versionId);
  deps.changedAt.delete(versionId);
  // The rotation is done: what is left can be left for the next one.
  await strategy.tidy?.(rotation).catch((error: unknown) => deps.log.warn('could not tidy up', { secretArn, error }));
  await announceSuccess(run, pending, {
    milliseconds: movedAtMs - (changedAtMs ?? createdAtMs),
    measured: changedAtMs === undefined ? 'at-most' : 'exactly',
  });
  return { kind: 'promoted' };
}

/** @param delaysMs waits between tries; in createSecret, "no value yet" is the normal state and nothing waits for it */
async function readPending(
  { request: { step, secretArn, versionId }, deps, rotation }: Run,
  delaysMs = step === 'createSecret' ? [] : VALUE_DELAYS_MS,
): Promise<Pending | undefined> {
  let stored: StoredValue | undefined = await deps.store.read(secretArn, versionId);
  for (const delayMs of delaysMs) {
    if (stored) break;
    await deps.clock.sleep(delayMs);
    stored = await deps.store.read(secretArn, versionId);
  }
  if (!stored) return undefined;
  try {
    return { login: await readLogin(stored.value, PENDING, rotation), createdAtMs: stored.createdAtMs };
  } catch (error) {
    const { code, message } = asRekeyError(error);
    // Of the value itself; a server that cannot be asked about it says nothing of the value.
    if (code !== 'SECRET_VALUE_INVALID' && code !== 'HOST_NOT_ALLOWED') throw error;
    throw new RekeyError('PENDING_MISMATCH', message);
  }
}

async function announceSuccess(
  { rotation, request, deps }: Run,
  pending: DatabaseSecret,
  gap: { readonly milliseconds: number; readonly measured: 'exactly' | 'at-most' },
): Promise<void> {
  // What `auto` came down to in setSecret. Where that cannot be asked, a gap that was none is the lesser untruth.
  const strategy = await strategyFor(rotation, pending).catch(() => singleUser);
  const { secretArn, secretName, engine } = rotation;
  const { versionId } = request;
  await deps.announcer.announce({
    type: 'Rotation Succeeded',
    detail: {
      secretArn,
      secretName,
      versionId,
      engine: engine.name,
      strategy: strategy.name,
      ...(strategy.hasGap && { gap }),
    },
  });
}

async function announceFailure(
  { step, secretArn, versionId }: RotationRequest,
  announcer: Announcer,
  thrown: unknown,
  strategy: Strategy | undefined,
): Promise<void> {
  const secretName = parseSecretArn(secretArn)?.name ?? secretArn;
  const error = asRekeyError(thrown);
  const failure = failureDetail(error, whatStillWorks(error, versionId, strategy));
  await announcer.announce({ type: 'Rotation Failed', detail: { secretArn, secretName, versionId, step, ...failure } });
}

/** For the person who is woken by it: is this an outage? */
function whatStillWorks({ code }: RekeyError, versionId: string, strategy: Strategy | undefined): string {
  // It may be the login of AWSCURRENT itself.
  if (code === 'LOGIN_REFUSED')
    return 'What worked before works: no password was changed. The login that the message names does not.';
  // Not even createSecret can say more of a single user: it may come again after setSecret.
  if (strategy?.hasGap === false) return `${CURRENT} works as before: its password was not touched.`;
  if (code === 'PENDING_REFUSED')
    return `A single user has the password of version ${versionId} (${PENDING}); where a server lacks it, or has lost it again, ${CURRENT} works.`;
  return `${CURRENT} works, unless a single user's password was already changed: then version ${versionId} (${PENDING}) has the one that works.`;
}
