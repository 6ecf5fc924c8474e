import type { Credentials, DatabaseEngine } from '../engines/port.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { HostPolicy } from '../secrets/database-host.ts';
import type { DatabaseSecret } from '../secrets/database-secret.ts';
import type { EngineRules } from '../secrets/engine-rules.ts';
import type { SecretStore } from '../secrets/port.ts';
import type { DatabaseTopology } from '../topology/port.ts';

/** One secret that is being rotated, and what it takes. */
export interface Rotation {
  readonly secretArn: string;
  readonly current: DatabaseSecret;
  readonly store: SecretStore;
  readonly engine: DatabaseEngine;
  readonly topology: DatabaseTopology;
  readonly rules: EngineRules;
  readonly hosts: HostPolicy;
  readonly deadline: Deadline;
}

/** How the credentials of one secret change. Each method may be repeated after a crash at any point. */
export interface Strategy {
  readonly name: 'single-user' | 'alternating-users';

  /**
   * The user of the pending version.
   * @throws RekeyError SECRET_VALUE_INVALID when it cannot be named
   */
  nextUsername(current: DatabaseSecret, rules: EngineRules): string;

  /** Refuses what could only fail later, before a pending value is stored. Connects to nothing. */
  check(rotation: Rotation): Promise<void>;

  /** Makes the pending login work in the database. */
  set(rotation: Rotation, pending: DatabaseSecret): Promise<'set' | 'alreadySet'>;

  /**
   * Proves that the pending login works, and can do what the current one can.
   * @throws RekeyError PENDING_REFUSED, RIGHTS_DIFFER
   */
  test(rotation: Rotation, pending: DatabaseSecret): Promise<void>;

  /**
   * Whether a rotation would succeed, changing nothing.
   * @returns what a rotation would reconcile first, one sentence each
   */
  preflight(rotation: Rotation): Promise<readonly string[]>;
}

/**
 * @param witness an administrator who can tell why, where there is one
 * @throws RekeyError PENDING_REFUSED unless the server lets the pending login in, now
 */
export async function requireLogin(rotation: Rotation, pending: DatabaseSecret, witness?: Credentials): Promise<void> {
  const login = await rotation.engine.login(pending, rotation.deadline, witness);
  if (login.kind === 'refused')
    throw new RekeyError(
      'PENDING_REFUSED',
      `the database refuses the pending login "${pending.username}": ${login.reason}`,
    );
}

/**
 * @param witness an administrator who can tell why, where there is one
 * @throws RekeyError LOGIN_REFUSED unless the server lets the current login in, now
 */
export async function requireCurrentLogin(
  { engine, current, deadline }: Rotation,
  witness?: Credentials,
): Promise<void> {
  const login = await engine.login(current, deadline, witness);
  if (login.kind === 'refused')
    throw new RekeyError(
      'LOGIN_REFUSED',
      `the database refuses the current login "${current.username}": ${login.reason}`,
    );
}
