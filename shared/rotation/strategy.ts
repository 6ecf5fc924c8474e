import type { Credentials, DatabaseEngine, Refusal, Witness } from '../engines/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { Announcer, OpenSession } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import type { HostPolicy } from '../secrets/database-host.ts';
import type { DatabaseSecret } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import type { SecretStore } from '../secrets/port.ts';
import type { SecretOptions } from '../secrets/tags.ts';
import type { DatabaseTopology } from '../topology/port.ts';
import type { Step } from './plan.ts';

/** A kind of database: how it is spoken to, and what it asks of a secret. */
export interface Database {
  readonly engine: DatabaseEngine;
  readonly rules: EngineRules;
}

/** Where a rotation works. */
export interface Surroundings {
  readonly store: SecretStore;
  readonly topology: DatabaseTopology;
  readonly hosts: HostPolicy;
  readonly clock: Clock;
  readonly log: Log;
  readonly announcer: Announcer;
}

/** One secret that is being rotated, and what it takes. */
export interface Rotation extends Surroundings, Database {
  readonly secretArn: string;
  /** The secret's name, as people know it. */
  readonly secretName: string;
  readonly current: DatabaseSecret;
  readonly currentVersion: string;
  /** versionId → its staging labels, as the step found them. */
  readonly stages: ReadonlyMap<string, readonly string[]>;
  readonly options: SecretOptions;
  readonly deadline: Deadline;
}

/** What became of the previous credential. */
export type Retirement =
  | { readonly kind: 'retired'; readonly user: string }
  /** Someone still works as the previous user: the second witness does not agree. */
  | { readonly kind: 'sessionsOpen'; readonly user: string; readonly sessions: readonly OpenSession[] }
  | { readonly kind: 'nothingToRetire'; readonly why: string }
  /** Another version is current or on its way: its own convergence will ask again. */
  | { readonly kind: 'superseded' }
  /** The previous credential lives until the next rotation changes it. */
  | { readonly kind: 'leftAlone'; readonly why: string };

export const STRATEGIES = ['single-user', 'alternating-users', 'user-pair', 'dual-password'] as const;
export type StrategyName = (typeof STRATEGIES)[number];

/** How the credentials of one secret change. Each method may be repeated after a crash at any point. */
export interface Strategy {
  readonly name: StrategyName;

  /** Whether clients with AWSCURRENT are refused from setSecret to finishSecret. */
  readonly hasGap: boolean;

  /**
   * The user of the pending version. Connects to no database.
   * @param pending what is stored; the name that it must have was checked before setSecret changed anything
   * @throws RekeyError SECRET_VALUE_INVALID when it cannot be named, STANDBY_MISSING
   */
  nextUsername(rotation: Rotation, step: Step, pending: DatabaseSecret | undefined): Promise<string>;

  /** Refuses what could only fail later, before a pending value is stored. Connects to nothing. */
  check(rotation: Rotation): Promise<void>;

  /**
   * Makes the pending login work in the database.
   * @param stillWanted asked again when nothing else can intervene, where the server can be held to that; false leaves
   *   everything as it was
   */
  set(
    rotation: Rotation,
    pending: DatabaseSecret,
    stillWanted: () => Promise<boolean>,
  ): Promise<'set' | 'alreadySet' | 'notWanted'>;

  /**
   * Proves that the pending login works, and can do what the current one can.
   * @throws RekeyError PENDING_REFUSED, RIGHTS_DIFFER
   */
  test(rotation: Rotation, pending: DatabaseSecret): Promise<void>;

  /** Clears what the rotation leaves in the store, once AWSCURRENT moved. A crash may keep it from being called. */
  tidy?(rotation: Rotation): Promise<void>;

  /**
   * Whether a rotation would succeed, changing nothing.
   * @returns what a rotation would reconcile first, one sentence each
   */
  preflight(rotation: Rotation): Promise<readonly string[]>;

  /**
   * Makes the previous credential useless; AWSCURRENT has converged.
   * @param stillWanted asked again when nothing else can intervene; false leaves everything as it was
   */
  retire(
    rotation: Rotation,
    previous: DatabaseSecret | undefined,
    stillWanted: () => Promise<boolean>,
  ): Promise<Retirement>;
}

/**
 * @param witness an administrator who can tell why, where there is one
 * @throws RekeyError PENDING_REFUSED unless the server lets the pending login in, now
 */
export async function requireLogin(rotation: Rotation, pending: DatabaseSecret, witness?: Witness): Promise<void> {
  const login = await rotation.engine.login(pending, rotation.deadline, witness);
  if (login.kind === 'refused') throw pendingRefused(pending, login);
}

export const pendingRefused = ({ username }: Credentials, { reason }: Refusal) =>
  new RekeyError(
    'PENDING_REFUSED',
    `the database refuses the pending login "${username}": ${reason}`,
    // A user that is missing all steps make again, or setSecret says so.
    reason === 'no-such-user' ? undefined : WHAT_TO_DO[reason],
  );

/**
 * @param witness an administrator who can tell why, where there is one
 * @throws RekeyError LOGIN_REFUSED, or what the refusal is about, unless the server lets the current login in, now
 */
export async function requireCurrentLogin({ engine, current, deadline }: Rotation, witness?: Witness): Promise<void> {
  const login = await engine.login(current, deadline, witness);
  if (login.kind === 'refused') throw loginRefused(`the current login "${current.username}"`, login);
}

/**
 * A refused login with its reason: what a person has to do differs with it.
 * @param action where more is known than the reason
 */
export function loginRefused(which: string, { reason }: Refusal, action = WHAT_TO_DO[reason]): RekeyError {
  return new RekeyError('LOGIN_REFUSED', `the database refuses ${which}: ${reason}`, action);
}

const WHAT_TO_DO: Readonly<Record<Refusal['reason'], string | undefined>> = {
  password: undefined,
  expired: 'Prolong the user on the server (docs/errors.md), then rotate again.',
  locked: 'Unlock the user on the server (docs/errors.md), or wait until its lock-out ends, then rotate again.',
  'not-permitted':
    'Let the user connect from the function: CONNECT on the database, pg_hba.conf, the host part of the account.',
  'no-such-user': 'Create the user that the secret names, or correct "username" in the secret.',
};
