import type { Deadline } from '../operations/deadline.ts';
import type { OpenSession } from '../operations/events.ts';
import type { SecretValue } from '../secrets/secret-value.ts';

/** One login at one database. */
export interface Credentials {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
  readonly password: SecretValue;
}

/**
 * Whether the server lets these credentials in. Only the server's own refusal is an answer; a network, DNS or TLS
 * failure is thrown, because another password could not help and would only bring a lockout closer.
 */
export type Login =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'refused'; readonly reason: 'password' | 'expired' | 'not-permitted' | 'no-such-user' };

/** The two logins of one application, and the administrator who may change them. */
export interface UserPair {
  readonly admin: Credentials;
  /** The user that AWSCURRENT names: never changed, only read. */
  readonly current: string;
  readonly alternate: string;
  /** The database whose objects the application uses. */
  readonly database: string;
}

/**
 * What rotation asks of a kind of database. One adapter file each; the contract suite runs on all of them.
 *
 * Every method may be repeated after a crash at any point. They throw RekeyError: DATABASE_UNREACHABLE,
 * DATABASE_TLS, DATABASE_BUSY (retryable: too many connections, starting up, deadlock, …), DATABASE_READ_ONLY,
 * LOGIN_REFUSED (the acting user, not the one asked about), PRIVILEGE_MISSING (with the statement to run),
 * PASSWORD_REJECTED (a policy of the server).
 */
export interface DatabaseEngine {
  readonly name: string;

  /**
   * One login attempt, and the proof that it is this user: a session that answers a query.
   * @param witness an administrator to ask where the server's answer alone does not tell a wrong password from an
   *   expired one or a missing user; without one, or if it cannot say, the reason is `password`
   */
  login(credentials: Credentials, deadline: Deadline, witness?: Credentials): Promise<Login>;

  /** The user changes its own password, over a connection with its present one. */
  setOwnPassword(present: Credentials, password: SecretValue, deadline: Deadline): Promise<void>;

  /**
   * Makes the alternate user able to do exactly what the current one can, then gives it `password`: in this order,
   * so that a login with that password implies that the rights were done. Creates the user when it is missing.
   * @throws RekeyError RIGHTS_DIFFER with the list, when something cannot be reconciled
   */
  prepareAlternate(pair: UserPair, password: SecretValue, deadline: Deadline): Promise<void>;

  /** What the two users differ in, one sentence each; empty when the alternate may be promoted. Changes nothing. */
  differences(pair: UserPair, deadline: Deadline): Promise<readonly string[]>;

  /** What the administrator lacks to prepare the alternate user, one statement to run each. Changes nothing. */
  missingForAlternate(pair: UserPair, deadline: Deadline): Promise<readonly string[]>;

  /**
   * Ends the alternate user's ability to log in, all or nothing, unless a session of that user is open.
   * Excludes `prepareAlternate` for the same pair meanwhile.
   * @param stillWanted asked again once the exclusion holds; false leaves everything as it was
   */
  disableAlternate(
    pair: UserPair,
    stillWanted: () => Promise<boolean>,
    deadline: Deadline,
  ): Promise<
    | { readonly kind: 'disabled' }
    | { readonly kind: 'sessions-open'; readonly sessions: readonly OpenSession[] }
    | { readonly kind: 'not-wanted' }
  >;
}
