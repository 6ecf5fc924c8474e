import type { ServerFacts } from '../engines/port.ts';
import type { Deadline } from '../operations/deadline.ts';
import { asRekeyError, type ErrorCode, RekeyError } from '../operations/errors.ts';
import type { OpenSession } from '../operations/events.ts';
import { type PasswordNeeds, shareRefused } from '../secrets/password.ts';
import { CURRENT, PENDING, type SecretDescription, versionWithStage } from '../secrets/port.ts';
import { MAX_PASSWORD_LENGTH, parseTags, type SecretOptions } from '../secrets/tags.ts';
import type { Address } from '../topology/port.ts';
import { rotationOf } from './rotation.ts';
import { addressOf, loginAt } from './secret-reader.ts';
import {
  type Database,
  loginRefused,
  type Rotation,
  type Strategy,
  type StrategyName,
  type Surroundings,
} from './strategy.ts';
import { strategyFor } from './strategy-choice.ts';

/** One thing that a rotation needs, and how it stands. */
export interface Check {
  readonly what:
    | 'secret'
    | 'tags'
    | 'server'
    | 'readers'
    | 'certificate'
    | 'sessions'
    | 'password'
    | 'strategy'
    | 'rights'
    | 'pending';
  /** `unknown`: this could not be looked at, as a check before it failed or the user may not. */
  readonly verdict: 'passed' | 'warning' | 'failed' | 'unknown';
  /** One sentence. */
  readonly message: string;
  readonly code?: ErrorCode;
  /** What a person should do. */
  readonly action?: string;
}

/** Whether a rotation of a secret would work, and what is missing. */
export interface PreflightReport {
  readonly secretArn: string;
  /** Whether no check failed. */
  readonly works: boolean;
  readonly checks: readonly Check[];
  readonly engine: string;
  readonly strategy?: StrategyName;
  /** One that spares this secret what the present one costs, with the reason. */
  readonly betterStrategy?: { readonly strategy: StrategyName; readonly why: string };
  readonly server?: {
    readonly version: string;
    readonly certificate?: { readonly issuer: string; readonly daysLeft: number };
    readonly passwordPolicy: readonly string[];
  };
  /** Who is connected now, as far as the user of the secret may see it; undefined where that is not known. */
  readonly sessions: readonly (OpenSession & { readonly user: string })[] | undefined;
  /** What a rotation would make equal between its two users first. */
  readonly wouldReconcile: readonly string[];
}

const DAY_MS = 24 * 60 * 60 * 1_000;
/** Time enough to renew it, with a rotation or two in between. */
const CERTIFICATE_DAYS = 30;

/**
 * Looks at everything that a rotation needs, and changes nothing. A finding is a check of the report, never thrown.
 * @throws RekeyError only when Secrets Manager cannot even describe the secret
 */
export async function preflight(
  secretArn: string,
  deps: Surroundings & Database,
  deadline: Deadline,
): Promise<PreflightReport> {
  const secret = await deps.store.describe(secretArn);
  const checks: Check[] = [...secretChecks(secret)];
  const versionId = versionWithStage(secret, CURRENT);
  const tags = await check('tags', 'All tags of Rekey are understood.', async () => parseTags(secret.tags));
  checks.push(tags.check, ...holdChecks(tags.found, deps.clock.now()));
  // Nobody may read the value of a secret that is to be deleted.
  if (versionId === undefined || secret.deletedAtMs !== undefined || !tags.found)
    return reportOf(secretArn, deps, [...checks, ...unknown('secret', 'server', 'strategy')]);
  const parsed = await check('secret', 'The value is one that can be rotated.', async () => {
    const stored = await deps.store.read(secretArn, versionId);
    if (!stored) throw new RekeyError('CURRENT_MISSING', `the version that is labelled ${CURRENT} has no value`);
    return rotationOf(secret, { versionId, stored }, deps, deadline);
  });
  if (!parsed.found) return reportOf(secretArn, deps, [...checks, parsed.check, ...unknown('server', 'strategy')]);
  const report = await preflightOf(parsed.found);
  return reportOf(secretArn, deps, [...checks, parsed.check, ...report.checks], report);
}

/** The part of a preflight that begins with a secret that could be read. */
export async function preflightOf(rotation: Rotation): Promise<PreflightReport> {
  const checks: Check[] = [];
  const strategy = await check('strategy', '', () => strategyFor(rotation, undefined));
  const users = await usersOf(rotation, strategy.found);
  const { engine, current, deadline, secretArn, clock } = rotation;
  const server = await check('server', `The server lets "${current.username}" in.`, () =>
    engine.inspect(current, users, deadline),
  );
  checks.push(server.check);
  if (!server.found) return reportOf(secretArn, rotation, [...checks, ...unknown('certificate', 'strategy', 'rights')]);

  const { certificate, readOnly, sessions, version, passwordPolicy } = server.found;
  const daysLeft = certificate && Math.floor((certificate.validUntilMs - clock.now()) / DAY_MS);
  checks.push(certificateCheck(daysLeft));
  for (const reader of rotation.options.readers) checks.push(await readerCheck(rotation, addressOf(reader, current)));
  if ('needs' in sessions) checks.push(sessionsUnseen(current.username, sessions.needs));
  const facts = {
    server: {
      version,
      passwordPolicy,
      ...(certificate && { certificate: { issuer: certificate.issuer, daysLeft: daysLeft ?? 0 } }),
    },
    sessions: 'needs' in sessions ? undefined : sessions,
  };

  // Known to log in by now: so `auto` may ask what this login's rights allow.
  const chosen = strategy.found && (await check('strategy', '', () => strategyFor(rotation, current)));
  if (!chosen?.found)
    return reportOf(secretArn, rotation, [...checks, (chosen ?? strategy).check, ...unknown('rights')], facts);
  const { name } = chosen.found;
  checks.push({ what: 'strategy', verdict: 'passed', message: `The strategy is ${name}.` });
  checks.push(...passwordChecks(rotation, server.found));
  // Where the administrator alone writes, it does so at the writer, and looks there itself.
  const asAdministrator = name === 'alternating-users' || (name === 'dual-password' && current.masterArn !== undefined);
  if (readOnly && !asAdministrator)
    checks.push(failed('server', new RekeyError('DATABASE_READ_ONLY', `${current.host} takes no writes`)));
  const rights = await check(
    'rights',
    'Everything that a rotation does is permitted.',
    () => chosen.found?.preflight(rotation) ?? Promise.resolve([]),
  );
  checks.push(rights.check);
  const better = await betterThan(chosen.found, rotation);
  return reportOf(secretArn, rotation, checks, {
    ...facts,
    strategy: name,
    wouldReconcile: rights.found ?? [],
    ...(better && { betterStrategy: better }),
  });
}

/** @throws RekeyError of the first check that failed */
export function requirePassed({ checks }: PreflightReport): void {
  const first = checks.find(({ verdict }) => verdict === 'failed');
  if (first) throw new RekeyError(first.code ?? 'UNEXPECTED', first.message, first.action);
}

function reportOf(
  secretArn: string,
  { engine }: Database,
  checks: readonly Check[],
  facts: Partial<PreflightReport> = {},
): PreflightReport {
  return {
    sessions: undefined,
    wouldReconcile: [],
    ...facts,
    secretArn,
    engine: engine.name,
    checks,
    works: !checks.some(({ verdict }) => verdict === 'failed'),
  };
}

async function check<T>(
  what: Check['what'],
  message: string,
  look: () => Promise<T>,
): Promise<{ readonly check: Check; readonly found?: T }> {
  try {
    return { found: await look(), check: { what, verdict: 'passed', message } };
  } catch (error) {
    return { check: failed(what, error) };
  }
}

function failed(what: Check['what'], thrown: unknown): Check {
  const { code, what: message, action } = asRekeyError(thrown);
  return { what, verdict: 'failed', code, message, action };
}

const unknown = (...whats: Check['what'][]): Check[] =>
  whats.map((what) => ({ what, verdict: 'unknown', message: 'Not looked at: an earlier check failed.' }));

function* secretChecks(secret: SecretDescription): Iterable<Check> {
  const { arn, deletedAtMs, owningService, rotationFunction, rotationEnabled } = secret;
  const current = versionWithStage(secret, CURRENT);
  const pending = versionWithStage(secret, PENDING);
  if (deletedAtMs !== undefined)
    yield failed('secret', new RekeyError('SECRET_DELETED', `${arn} is scheduled for deletion`));
  if (owningService !== undefined)
    yield failed('secret', new RekeyError('SECRET_MANAGED', `${arn} is owned and rotated by ${owningService}`));
  if (current === undefined)
    yield failed('secret', new RekeyError('CURRENT_MISSING', `no version is labelled ${CURRENT}`));
  if (rotationFunction === undefined || rotationEnabled !== true)
    yield {
      what: 'secret',
      verdict: 'warning',
      message: 'No rotation is switched on for this secret.',
      action: 'Switch it on once the other checks pass: aws secretsmanager rotate-secret with --rotation-lambda-arn.',
    };
  if (pending !== undefined && pending !== current)
    yield {
      what: 'pending',
      verdict: 'warning',
      message: `A rotation to version ${pending} has begun and not ended: the next one goes on with that version.`,
      action: 'Look for its "Rotation Failed" event. It needs nothing if a rotation runs right now.',
    };
}

/** A secret that is held could be rotated, but is not. */
function* holdChecks(options: SecretOptions | undefined, nowMs: number): Iterable<Check> {
  const { holdUntilMs } = options ?? {};
  if (holdUntilMs === undefined || holdUntilMs <= nowMs) return;
  yield {
    what: 'tags',
    verdict: 'warning',
    code: 'ROTATION_HELD',
    message: `The tag rekey:hold keeps rotations from beginning until ${new Date(holdUntilMs).toISOString()}.`,
    action: 'Wait for that date, or remove the tag once nothing speaks against a rotation.',
  };
}

function certificateCheck(daysLeft: number | undefined): Check {
  if (daysLeft === undefined)
    return {
      what: 'certificate',
      verdict: 'warning',
      message: 'The connection is not encrypted, as the tag rekey:accept allows.',
      action: 'Switch TLS on at the server, then take "plaintext" from the tag.',
    };
  const message = `The certificate of the server is valid for ${daysLeft} more days.`;
  if (daysLeft >= CERTIFICATE_DAYS) return { what: 'certificate', verdict: 'passed', message };
  return {
    what: 'certificate',
    verdict: 'warning',
    message,
    action: 'Renew it: connections fail from the day it ends.',
  };
}

/** A rotation ends where one of these refuses it, and a single user's password is changed by then. */
async function readerCheck({ engine, current, deadline }: Rotation, reader: Address): Promise<Check> {
  const passed = `The reader ${reader.host} lets "${current.username}" in.`;
  const looked = await check('readers', passed, async () => {
    const login = await engine.login(loginAt(current, reader), deadline);
    if (login.kind === 'refused') throw loginRefused(`"${current.username}" at the reader ${reader.host}`, login);
  });
  return looked.check;
}

/** A refused password costs a rotation, which then has to begin again: more often than this is worth a person's time. */
const REFUSALS_TO_BEAR = 0.01;

/** Whether the server would take the passwords that the secret's tags ask for, as far as it says what it wants. */
function* passwordChecks({ options, rules }: Rotation, { passwordNeeds: needs }: ServerFacts): Iterable<Check> {
  if (!needs) return;
  const { passwordLength } = options;
  const refusedOf = (length: number) => shareRefused({ ...options, passwordLength: length }, rules, needs);
  const refused = refusedOf(passwordLength);
  if (refused <= REFUSALS_TO_BEAR) return;
  const wants = `the server takes no password without ${inWords(needs)}`;
  let enough = Math.max(passwordLength, needs.length);
  while (enough <= MAX_PASSWORD_LENGTH && refusedOf(enough) > REFUSALS_TO_BEAR) enough += 1;
  const action =
    enough > MAX_PASSWORD_LENGTH
      ? 'Let the tag rekey:exclude-characters of the secret leave more of these, or let the server ask for less.'
      : `Set the tag rekey:password-length of the secret to ${enough} or more.`;
  if (refused === 1)
    return yield failed(
      'password',
      new RekeyError('PASSWORD_REJECTED', `${wants}: the secret's tags rule that out`, action),
    );
  yield {
    what: 'password',
    verdict: 'warning',
    code: 'PASSWORD_REJECTED',
    message: `${wants}: of those that the secret's tags ask for, ${(refused * 100).toFixed(0)} % fall short.`,
    action: `${action} Until then, a rotation whose password is refused changes nothing, and another one begins with a new one.`,
  };
}

const inWords = ({ length, types }: PasswordNeeds): string =>
  Object.entries({ characters: length, ...types })
    .filter(([, count]) => count > 0)
    .map(([what, count]) => `${count} ${what}`)
    .join(', ');

const sessionsUnseen = (username: string, statement: string): Check => ({
  what: 'sessions',
  verdict: 'unknown',
  message: `Who is connected is not known: "${username}" may not ask.`,
  action: `A rotation does not need it. To see it here, run: ${statement}`,
});

/** The user of the secret, and the one that the next rotation would bring into use. */
async function usersOf(rotation: Rotation, strategy: Strategy | undefined): Promise<readonly string[]> {
  const { username } = rotation.current;
  const next = await strategy?.nextUsername(rotation, 'createSecret', undefined).catch(() => username);
  return [...new Set([username, next ?? username])];
}

async function betterThan(
  { hasGap }: Strategy,
  { engine, current, deadline }: Rotation,
): Promise<PreflightReport['betterStrategy']> {
  if (!hasGap) return undefined;
  const gap = 'with a single user, clients are refused from the change of the password until they have the new one';
  const mayKeepOld = await engine.dualPassword?.mayKeepOld(current, deadline).catch(() => false);
  if (mayKeepOld) return { strategy: 'dual-password', why: gap };
  return engine.userPair && { strategy: 'user-pair', why: gap };
}
