import type { Deadline } from '../operations/deadline.ts';
import type { OpenSession } from '../operations/events.ts';
import type { PasswordNeeds } from '../secrets/password.ts';
import type { SecretValue } from '../secrets/secret-value.ts';

/** How a connection is protected; nothing said means `verified` with the host's own name and the authorities configured. */
export type Transport =
  | {
      readonly kind: 'verified';
      /** The name that the certificate must carry, where the host is an alias or an address. */
      readonly serverName?: string;
      /** PEM: the authorities for this server instead of those configured. */
      readonly ca?: string;
    }
  /** Only where a person asked for it by a tag. */
  | { readonly kind: 'plaintext' };

/** One login at one database. */
export interface Credentials {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly username: string;
  readonly password: SecretValue;
  readonly transport?: Transport;
}

export type RefusalReason = 'password' | 'expired' | 'locked' | 'not-permitted' | 'no-such-user';

/**
 * Whether the server lets these credentials in. Only the server's own refusal is an answer; a network, DNS or TLS
 * failure is thrown, because another password could not help and would only bring a lockout closer.
 */
export type Login = { readonly kind: 'accepted' } | Refusal;

export interface Refusal {
  readonly kind: 'refused';
  readonly reason: RefusalReason;
}

/** An administrator who can tell why a login was refused, where there is one. */
export type Witness = () => Promise<Credentials | undefined>;

/** A new password for one user. */
export interface PasswordChange {
  /** Who runs the statement: the user itself with its present password, or an administrator. */
  readonly acting: Credentials;
  readonly username: string;
  readonly password: SecretValue;
}

/** The two logins of one application. */
export interface UserPair {
  /** The user that AWSCURRENT names: never changed, only read. */
  readonly current: string;
  readonly alternate: string;
  /** The database whose objects the application uses. */
  readonly database: string;
}

/** The two logins of one application, and the administrator who may change them. */
export interface AdministeredPair extends UserPair {
  readonly admin: Credentials;
  /**
   * Whether a person has accepted that the alternate user could take the current one over, where the server knows no
   * way to prevent that. Without it the methods throw DATABASE_UNSUPPORTED there.
   */
  readonly acceptTakeOver?: boolean;
}

/** What a server says of itself and of some users, without being changed. */
export interface ServerFacts {
  /** Product and version, e.g. `PostgreSQL 18.1`. */
  readonly version: string;
  /** Of the certificate that the server showed; undefined on a plaintext connection. */
  readonly certificate: { readonly issuer: string; readonly validUntilMs: number } | undefined;
  readonly readOnly: boolean;
  /**
   * Of the users asked about, as far as the observer may see them; the observer's own is left out. Where the observer may
   * see none at all: the statement that would let it.
   */
  readonly sessions: readonly (OpenSession & { readonly user: string })[] | { readonly needs: string };
  /** What the server asks of a password, or that it asks nothing, one sentence each; empty where nothing is known. */
  readonly passwordPolicy: readonly string[];
  /** What of that can be counted, where the server says so. */
  readonly passwordNeeds?: PasswordNeeds;
}

/** Two users take turns; an administrator makes them equal. */
export interface AlternatingUsersEngine {
  /** Whose login `differences` needs: on some servers a user sees only its own rights. */
  readonly observer: 'either-user' | 'administrator';

  /**
   * Makes the alternate user able to do exactly what the current one can, then gives it `password`: in this order,
   * so that a login with that password implies that the rights were done. Creates the user when it is missing.
   * Excludes itself and `disableAlternate` for the same pair meanwhile.
   * @param stillWanted asked again once the exclusion holds; false leaves everything as it was
   * @throws RekeyError RIGHTS_DIFFER with the list, when something cannot be reconciled
   */
  prepareAlternate(
    pair: AdministeredPair,
    password: SecretValue,
    stillWanted: () => Promise<boolean>,
    deadline: Deadline,
  ): Promise<'prepared' | 'notWanted'>;

  /**
   * What the two users differ in, one sentence each; empty when the alternate may be promoted. Changes nothing.
   * @param witness as with `login`, for a refusal of the observer
   * @throws LoginRefused of the observer
   */
  differences(pair: UserPair, observer: Credentials, deadline: Deadline, witness?: Witness): Promise<readonly string[]>;

  /**
   * What the administrator lacks to prepare the alternate user, one statement to run each. Changes nothing.
   * @throws RekeyError RIGHTS_DIFFER when no statement could make the two users equal
   */
  missingForAlternate(pair: AdministeredPair, deadline: Deadline): Promise<readonly string[]>;

  /**
   * Ends the alternate user's ability to log in, all or nothing, unless a session of that user is open.
   * Excludes `prepareAlternate` for the same pair meanwhile.
   * @param stillWanted asked again once the exclusion holds; false leaves everything as it was
   */
  disableAlternate(
    pair: AdministeredPair,
    stillWanted: () => Promise<boolean>,
    deadline: Deadline,
  ): Promise<
    | { readonly kind: 'disabled' }
    | { readonly kind: 'sessionsOpen'; readonly sessions: readonly OpenSession[] }
    | { readonly kind: 'notWanted' }
  >;
}

/** What came of changing one of two peers; but for `changed`, nothing was. */
export type PeerChange =
  | { readonly kind: 'changed' }
  /** What the two users differ in, one sentence each. */
  | { readonly kind: 'differ'; readonly differences: readonly string[] }
  | { readonly kind: 'refused'; readonly login: 'current' | 'other'; readonly refusal: Refusal };

/** Two users made beforehand, each of which changes its own password only. */
export interface UserPairEngine {
  /**
   * What the two users differ in, one sentence each, asked over the other's login, and over the current one too where a
   * server shows users only their own rights; and whether one could take the other over. Changes nothing.
   * @param witness as with `login`, for a refusal of either
   * @throws LoginRefused of the user that the server refuses
   */
  peerDifferences(
    current: Credentials,
    other: Credentials,
    deadline: Deadline,
    witness?: Witness,
  ): Promise<readonly string[]>;

  /**
   * The other user gives itself the password, once the server has let both in and they do not differ, all of it in one
   * session of each.
   * @param witness as with `login`, for a refusal of the current user
   */
  changePeer(
    pair: { readonly current: Credentials; readonly other: Credentials },
    password: SecretValue,
    deadline: Deadline,
    witness?: Witness,
  ): Promise<PeerChange>;

  /** Sessions of this user besides the one that asks. @throws RekeyError LOGIN_REFUSED */
  ownSessions(user: Credentials, deadline: Deadline): Promise<readonly OpenSession[]>;

  /**
   * Makes `pair.alternate` a peer of `pair.current` with this password: able to do the same, neither able to take the
   * other over, and what either of them creates is the other's as well (PostgreSQL: by a NOLOGIN owner of both).
   * May be repeated. The one method here that needs an administrator.
   */
  createPeer(pair: AdministeredPair, password: SecretValue, deadline: Deadline): Promise<void>;
}

/** Whose password, and who would change it. */
export type Rehearsal = Pick<PasswordChange, 'acting' | 'username'>;

/** One user with two passwords at a time. */
export interface DualPasswordEngine {
  /**
   * Whether the server's version and this user's rights allow a second password. Logs in where that is what it takes.
   * @throws RekeyError LOGIN_REFUSED
   */
  mayKeepOld(user: Credentials, deadline: Deadline): Promise<boolean>;

  /** Changes nothing. @throws RekeyError as `addPassword` would, as far as that can be known without a change */
  rehearse(change: Rehearsal, deadline: Deadline): Promise<void>;

  /**
   * Makes `password` valid beside `present`, and no other. Where `password` is valid already, nothing changes: it must
   * never push `present` out, whoever else does the same at the same moment.
   * @param stillWanted asked once no other password can come in between unseen; false leaves everything as it was
   * @throws RekeyError DATABASE_UNSUPPORTED, PRIVILEGE_MISSING with nothing changed
   */
  addPassword(
    change: PasswordChange & { readonly present: Credentials },
    stillWanted: () => Promise<boolean>,
    deadline: Deadline,
  ): Promise<'added' | 'alreadyAdded' | 'notWanted'>;

  /**
   * Leaves `kept` as the only valid password. May be repeated. Excludes `addPassword` for the same user meanwhile.
   * @param stillWanted asked again once the exclusion holds; false leaves everything as it was
   */
  discardOld(
    request: { readonly acting: Credentials; readonly kept: Credentials },
    stillWanted: () => Promise<boolean>,
    deadline: Deadline,
  ): Promise<'discarded' | 'notWanted'>;
}

/**
 * What rotation asks of a kind of database. One adapter file each; the contract suite runs on all of them.
 *
 * Every method may be repeated after a crash at any point. They throw RekeyError: DATABASE_UNREACHABLE,
 * DATABASE_TLS, DATABASE_BUSY (retryable: too many connections, starting up, deadlock, …), DATABASE_READ_ONLY,
 * LOGIN_REFUSED (the acting user, not the one asked about; a `LoginRefused` where two users take turns), PRIVILEGE_MISSING (with the statement to run),
 * PASSWORD_REJECTED (a policy of the server), USERNAME_INVALID (no such user, or one that must not be touched).
 */
export interface DatabaseEngine {
  readonly name: string;

  /**
   * One login attempt, and the proof that it is this user: a session that answers a query.
   * @param witness an administrator to ask where the server's answer alone does not tell a wrong password from an
   *   expired one or a missing user; asked for only then. Without one, or if it cannot say, the reason is `password`
   */
  login(credentials: Credentials, deadline: Deadline, witness?: Witness): Promise<Login>;

  /** Replaces the password of one user: the one before is refused from now on. All accounts of that name, where there are several. */
  setPassword(change: PasswordChange, deadline: Deadline): Promise<void>;

  /**
   * Leaves everything as it was. Absent where the server lets every user change its own password.
   * @throws RekeyError as `setPassword` would, as far as that can be known without a change
   */
  rehearse?(change: Rehearsal, deadline: Deadline): Promise<void>;

  /** Looks at the server as `observer`. @throws RekeyError LOGIN_REFUSED */
  inspect(observer: Credentials, users: readonly string[], deadline: Deadline): Promise<ServerFacts>;

  /** Which strategies this kind of database knows, besides single-user. */
  readonly alternatingUsers?: AlternatingUsersEngine;
  readonly userPair?: UserPairEngine;
  readonly dualPassword?: DualPasswordEngine;
}
