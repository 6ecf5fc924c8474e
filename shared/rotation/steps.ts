import type { DatabaseEngine } from '../engines/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError, RekeyError } from '../operations/errors.ts';
import type { Announcer } from '../operations/events.ts';
import type { HostPolicy } from '../secrets/database-host.ts';
import { type DatabaseSecret, parseDatabaseSecret, withLogin } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import { generatePassword } from '../secrets/password.ts';
import { CURRENT, PENDING, type SecretDescription, type SecretStore } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { parseTags, type SecretOptions } from '../secrets/tags.ts';
import type { DatabaseTopology } from '../topology/port.ts';
import { admit, plan, type Step } from './plan.ts';
import { type Rotation, requireLogin, type Strategy } from './strategy.ts';
import { strategyFor } from './strategy-choice.ts';

export interface RotationRequest {
  readonly step: Step;
  /** The whole ARN. */
  readonly secretArn: string;
  /** Secrets Manager's ClientRequestToken: the id of the version that is being made. */
  readonly versionId: string;
  /** Proves to Secrets Manager who writes; needed with an assumed role or across accounts. */
  readonly rotationToken: SecretValue | undefined;
}

export interface RotationDeps {
  readonly store: SecretStore;
  readonly engine: DatabaseEngine;
  readonly topology: DatabaseTopology;
  readonly rules: EngineRules;
  readonly hosts: HostPolicy;
  readonly announcer: Announcer;
  readonly clock: Clock;
}

/** What a step did. Those that begin with `already` found their own traces and changed nothing. */
export type StepOutcome =
  | { readonly kind: 'created' | 'alreadyCreated' | 'set' | 'alreadySet' | 'tested' | 'promoted' | 'alreadyCurrent' }
  /** A lone testSecret: the configuration works; a rotation would first reconcile `differences`. */
  | { readonly kind: 'preflight'; readonly differences: readonly string[] };

/** The least time that reading the secret and one round with the database take; below it nothing is begun. */
const STEP_MS = 3_000;

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
    if (secret.arn !== request.secretArn)
      throw new RekeyError('EVENT_INVALID', 'SecretId is not the whole ARN of the secret');
    const admission = admit(secret, request.versionId);
    if (admission.kind === 'refused') throw admission.error;
    if (admission.kind === 'alreadyCurrent') return { kind: 'alreadyCurrent' };

    const options = parseTags(secret.tags);
    const current = await readCurrent(request, admission.currentVersion, deps);
    strategy = strategyFor(current, options);
    const { store, engine, topology, rules, hosts } = deps;
    const rotation: Rotation = { secretArn: secret.arn, current, store, engine, topology, rules, hosts, deadline };
    const outcome = await act({ request, deps, secret, options, strategy, rotation }, admission.currentVersion);
    if (outcome.kind === 'promoted') await announceSuccess(secret, request, deps, strategy);
    return outcome;
  } catch (error) {
    await announceFailure(request, deps.announcer, error, strategy);
    throw error;
  }
}

interface Run {
  readonly request: RotationRequest;
  readonly deps: RotationDeps;
  readonly secret: SecretDescription;
  readonly options: SecretOptions;
  readonly strategy: Strategy;
  readonly rotation: Rotation;
}

async function act(run: Run, currentVersion: string): Promise<StepOutcome> {
  const { request, deps, options, strategy, rotation } = run;
  const { holdUntilMs } = options;
  const nextUsername = strategy.nextUsername(rotation.current, deps.rules);
  const pending = await readPending(request, deps);
  const state = {
    secretArn: request.secretArn,
    versionId: request.versionId,
    current: rotation.current,
    nextUsername,
    heldUntilMs: holdUntilMs !== undefined && holdUntilMs > deps.clock.now() ? holdUntilMs : undefined,
  };

  const action = plan(request.step, { ...state, pending });
  switch (action.kind) {
    case 'refuse':
      throw action.error;
    case 'create': {
      await strategy.check(rotation);
      const password = generatePassword(options, deps.rules);
      const value = withLogin(rotation.current, { username: nextUsername, password });
      const { secretArn: secretId, versionId, rotationToken } = request;
      if ((await deps.store.writePending({ secretId, versionId, value, rotationToken })) === 'stored')
        return { kind: 'created' };
      // A sibling attempt stored its value first: that one counts, if it follows from the current version.
      const theirs = plan(request.step, { ...state, pending: await readPending(request, deps, VALUE_DELAYS_MS) });
      if (theirs.kind === 'refuse') throw theirs.error;
      return { kind: 'alreadyCreated' };
    }
    case 'keep':
      return { kind: 'alreadyCreated' };
    case 'set':
      return { kind: await setOrWithdraw(run, action.pending) };
    case 'test':
      await strategy.test(rotation, action.pending);
      return { kind: 'tested' };
    case 'preflight':
      return { kind: 'preflight', differences: await strategy.preflight(rotation) };
    case 'promote':
      return await promote(run, action.pending, currentVersion);
  }
}

/**
 * A stored value can never be replaced under its version id, so one that the server rejects would be tried for ever.
 * Without its label, the next rotation begins with a new version and a new password.
 */
async function setOrWithdraw({ strategy, rotation, request, deps }: Run, pending: DatabaseSecret) {
  try {
    return await strategy.set(rotation, pending);
  } catch (error) {
    if (error instanceof RekeyError && error.code === 'PASSWORD_REJECTED')
      // Where the label stays, the next try withdraws it: what must be heard is why the rotation failed.
      await deps.store.withdrawPending(request.secretArn, request.versionId).catch(() => {});
    throw error;
  }
}

async function promote(
  { rotation, request, deps }: Run,
  pending: DatabaseSecret,
  currentVersion: string,
): Promise<StepOutcome> {
  const { secretArn, versionId } = request;
  // testSecret may have run hours ago: what is promoted has logged in just now.
  await requireLogin(rotation, pending);
  try {
    await deps.store.moveCurrent(secretArn, { from: currentVersion, to: versionId });
  } catch (error) {
    if (!(error instanceof RekeyError) || error.code !== 'CURRENT_MOVED') throw error;
    // Moved by an earlier try whose answer was lost, or by someone else?
    const now = admit(await deps.store.describe(secretArn), versionId);
    if (now.kind !== 'alreadyCurrent') throw error;
  }
  return { kind: 'promoted' };
}

async function readCurrent({ secretArn }: RotationRequest, versionId: string, deps: RotationDeps) {
  const value = await deps.store.read(secretArn, versionId);
  if (!value) throw new RekeyError('CURRENT_MISSING', `version ${versionId} of ${secretArn} has no value`);
  return parseDatabaseSecret(value, { what: `${CURRENT} of ${secretArn}`, rules: deps.rules, hosts: deps.hosts });
}

/** @param delaysMs waits between tries; in createSecret, "no value yet" is the normal state and nothing waits for it */
async function readPending(
  { step, secretArn, versionId }: RotationRequest,
  deps: RotationDeps,
  delaysMs = step === 'createSecret' ? [] : VALUE_DELAYS_MS,
): Promise<DatabaseSecret | undefined> {
  let value = await deps.store.read(secretArn, versionId);
  for (const delayMs of delaysMs) {
    if (value) break;
    await deps.clock.sleep(delayMs);
    value = await deps.store.read(secretArn, versionId);
  }
  if (!value) return undefined;
  try {
    return parseDatabaseSecret(value, { what: `${PENDING} of ${secretArn}`, rules: deps.rules, hosts: deps.hosts });
  } catch (error) {
    throw new RekeyError('PENDING_MISMATCH', asRekeyError(error).message);
  }
}

async function announceSuccess(
  { arn, name }: SecretDescription,
  { versionId }: RotationRequest,
  { announcer, engine }: RotationDeps,
  strategy: Strategy,
): Promise<void> {
  await announcer.announce({
    type: 'Rotation Succeeded',
    detail: { secretArn: arn, secretName: name, versionId, engine: engine.name, strategy: strategy.name },
  });
}

async function announceFailure(
  { step, secretArn, versionId }: RotationRequest,
  announcer: Announcer,
  thrown: unknown,
  strategy: Strategy | undefined,
): Promise<void> {
  const { code, message, retryable, action } = asRekeyError(thrown);
  const secretName = parseSecretArn(secretArn)?.name ?? secretArn;
  const stillWorks = whatStillWorks(step, versionId, strategy);
  await announcer.announce({
    type: 'Rotation Failed',
    detail: { secretArn, secretName, versionId, step, code, message, retryable, action, stillWorks },
  });
}

/** For the person who is woken by it: is this an outage? */
function whatStillWorks(step: Step, versionId: string, strategy: Strategy | undefined): string {
  if (step === 'createSecret') return `${CURRENT} works as before: the database was not touched.`;
  if (strategy?.name === 'alternating-users') return `${CURRENT} works as before: only the other user was touched.`;
  return `${CURRENT} works, unless a single user's password was already changed: then version ${versionId} (${PENDING}) has the one that works.`;
}
