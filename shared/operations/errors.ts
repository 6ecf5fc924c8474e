/**
 * Every failure that Rekey reports has a code from this catalogue. The code is stable: alarms and runbooks may
 * rely on it. `docs/errors.md` lists the same codes, and a test holds the two together.
 */
interface Entry {
  /** Whether the same call may succeed later with nothing changed. */
  readonly retryable: boolean;
  /** What a person should do next. */
  readonly action: string;
}

export const ERROR_CATALOGUE = {
  EVENT_INVALID: {
    retryable: false,
    action: 'Correct what the message names, and who calls this function so.',
  },
  CONFIG_INVALID: { retryable: false, action: 'Correct the environment variables of the function and deploy again.' },
  DEADLINE_TOO_CLOSE: {
    retryable: true,
    action: 'It is tried again by itself. If it repeats, see in the log what took the time.',
  },
  EVENT_NOT_SENT: {
    retryable: true,
    action: 'The work itself was done. Check that the function may put events on the bus and that the bus exists.',
  },
  QUEUE_UNAVAILABLE: {
    retryable: true,
    action: "What started this comes back by itself. Check the queue and the function's right to send.",
  },
  TAG_INVALID: {
    retryable: false,
    action: 'Correct or remove the tag, then rotate again if a rotation failed over it.',
  },
  SECRET_NOT_FOUND: {
    retryable: false,
    action: 'Check the ARN, the account and the Region; the secret may have been deleted.',
  },
  SECRET_DELETED: {
    retryable: false,
    action: 'Restore the secret (aws secretsmanager restore-secret), or remove what still refers to it.',
  },
  SECRET_MANAGED: {
    retryable: false,
    action: 'Another AWS service owns this secret and rotates it: remove this rotation function from it.',
  },
  ACCESS_DENIED: {
    retryable: false,
    action:
      "Give the function's role the named permission on the named secret, by the secret's and the endpoint's policies too.",
  },
  KEY_UNUSABLE: {
    retryable: false,
    action:
      "Check that the secret's KMS key is enabled and lets the function's role use it: kms:Decrypt, kms:GenerateDataKey.",
  },
  SECRETS_MANAGER_UNAVAILABLE: {
    retryable: true,
    action: 'It is tried again by itself. If it repeats, check the VPC endpoint or NAT and its security group.',
  },
  SECRETS_MANAGER_REJECTED: {
    retryable: false,
    action: 'Secrets Manager refused the request for good: look the named error up in its API reference.',
  },
  CURRENT_MOVED: {
    retryable: false,
    action: 'AWSCURRENT was moved by someone else meanwhile: check who, then rotate again.',
  },
  NOT_MOVED_BACK: {
    retryable: false,
    action:
      'Mend the new pods that "Sync Halted" names, and Rekey goes on with them; or mend what the message says, and rotate.',
  },
  ROTATION_DISABLED: {
    retryable: false,
    action:
      'Leave it alone; or take AWSPENDING from the version that still has it (with a single user whose setSecret has run, move AWSCURRENT to it first), and rotate again (docs/errors.md).',
  },
  ROTATION_HELD: {
    retryable: false,
    action: 'Remove the tag rekey:hold, or wait for its date, and rotate again.',
  },
  VERSION_NOT_PENDING: {
    retryable: false,
    action:
      'Rotate again; with a single user whose setSecret has run, first move AWSCURRENT to this version (docs/errors.md).',
  },
  CURRENT_MISSING: {
    retryable: false,
    action: 'Put a first value into the secret, then rotate it.',
  },
  STEP_OUT_OF_ORDER: {
    retryable: true,
    action: 'Secrets Manager runs all steps again by itself, createSecret first.',
  },
  SECRET_VALUE_INVALID: {
    retryable: false,
    action: 'Correct the named key in the JSON of the named secret, then rotate again.',
  },
  HOST_NOT_ALLOWED: {
    retryable: false,
    action:
      'Name the database by the DNS name that its certificate carries; with an address, the tag rekey:server-name may say that name; a reader needs a name of its own.',
  },
  PENDING_MISMATCH: {
    retryable: false,
    action:
      'With a single user whose setSecret has run, the pending version has the only password that works: put it into AWSCURRENT. Then take AWSPENDING away, if it is still there, and rotate again (docs/errors.md).',
  },
  PENDING_REFUSED: {
    retryable: true,
    action: 'AWSCURRENT was not moved. Secrets Manager runs all steps again by itself.',
  },
  PASSWORD_RESET: {
    retryable: false,
    action:
      'Find out why no password was right (a restored snapshot?), and take "admin-reset" from the tag rekey:accept.',
  },
  STRATEGY_UNAVAILABLE: {
    retryable: false,
    action: 'Set the tag rekey:strategy to one that this kind of database knows (docs/engines.md), or remove it.',
  },
  ROTATION_RUNNING: {
    retryable: true,
    action:
      'Wait until the rotation that has begun is over; if it cannot go on and AWSCURRENT logs in, take AWSPENDING away (docs/errors.md). Then ask again.',
  },
  STANDBY_MISSING: {
    retryable: false,
    action:
      'Let Rekey make the second user (docs/strategies.md, "user-pair"), or store its login as a version labelled REKEYSTANDBY.',
  },
  ADMIN_SECRET_INVALID: {
    retryable: false,
    action:
      'Let masterarn name the secret of an administrator of the same database server, in the same account and Region.',
  },
  RDS_DATABASE_NOT_FOUND: {
    retryable: false,
    action: 'The database of this RDS-managed secret is gone: let masterarn name the administrator of one that exists.',
  },
  RDS_ACCESS_DENIED: {
    retryable: false,
    action: "Give the function's role the right to describe the named instance or cluster.",
  },
  RDS_UNAVAILABLE: {
    retryable: true,
    action: 'It is tried again by itself. If it repeats, check the way from the function to the API of RDS.',
  },
  RDS_REJECTED: {
    retryable: false,
    action: 'RDS refused the request for good: look the named error up in its API reference.',
  },
  DATABASE_UNREACHABLE: {
    retryable: true,
    action: 'Check the host name, the security groups and the route from the function to the database.',
  },
  DATABASE_TLS: {
    retryable: false,
    action:
      'The certificate must be valid for this host: check that the server has TLS switched on, the host name (tag rekey:server-name) and the CA bundle (tag rekey:ca).',
  },
  DATABASE_BUSY: {
    retryable: true,
    action:
      'The server refused for the moment. It is tried again by itself; if it repeats, the message says where to look.',
  },
  DATABASE_READ_ONLY: {
    retryable: true,
    action:
      'Name the writer endpoint in the secret or in its tag rekey:database-host, not a reader or a replica. During a fail-over, wait for it.',
  },
  DATABASE_MISSING: { retryable: false, action: 'Correct dbname in the secret, or create the database.' },
  DATABASE_UNSUPPORTED: {
    retryable: false,
    action: 'Use another strategy (tag rekey:strategy), or upgrade the server.',
  },
  LOGIN_REFUSED: {
    retryable: false,
    action:
      'Correct the login in the secret that the message names, else in the one that is rotated; or the user on the server.',
  },
  PRIVILEGE_MISSING: {
    retryable: false,
    action: "Give the user that the message names what it lacks, as the server's log says, then rotate again.",
  },
  PASSWORD_REJECTED: {
    retryable: false,
    action: 'Adjust rekey:password-length or rekey:exclude-characters to what the server accepts, then rotate again.',
  },
  USERNAME_INVALID: {
    retryable: false,
    action: 'Correct the user name in the secret or the user on the server: the message says what is wrong.',
  },
  RIGHTS_DIFFER: {
    retryable: false,
    action: 'AWSCURRENT was not touched. Settle the listed differences between the two users, then rotate again.',
  },
  AUTHENTICATION_UNSAFE: {
    retryable: false,
    action:
      'Let the server ask this user for a proof of the password (PostgreSQL: scram-sha-256 in pg_hba.conf), and check that it is your server that answers: no pooler, and no anonymous or proxy account.',
  },
  DATABASE_ERROR: { retryable: false, action: "Look the SQLSTATE or error number up in the server's log and manual." },
  CLUSTER_UNREACHABLE: {
    retryable: true,
    action:
      "Check the cluster's endpoint, its security group and the route from the function to it, and to the APIs of EKS and STS.",
  },
  CLUSTER_BUSY: { retryable: true, action: 'The API server refused for the moment. Rekey tries again by itself.' },
  CLUSTER_ACCESS_DENIED: {
    retryable: false,
    action:
      "Give the function's role an access entry of the cluster whose group is bound to Rekey's ClusterRole (docs/permissions.md).",
  },
  CLUSTER_NOT_FOUND: {
    retryable: false,
    action: 'Check the name and the Region of the cluster in REKEY_CLUSTERS.',
  },
  CLUSTER_REJECTED: {
    retryable: false,
    action: 'The API server refused the request for good: look at its admission webhooks and policies.',
  },
  MARKER_REVERTED: {
    retryable: false,
    action:
      'Have the tool that owns the manifest (Argo CD, Flux, …) leave annotations of rekey.dev alone, then restart the workload once. Rekey does not write the marker again.',
  },
  WINDOW_TOO_LATE: {
    retryable: false,
    action:
      'Widen rekey:window, or have the secret rotated later; rekey:hold keeps the workloads back as well. One that you restart yourself is not rolled again.',
  },
  SESSIONS_OPEN: {
    retryable: true,
    action:
      'Restart or stop the clients that the event lists: they still use the previous user. Rekey looks again every 15 minutes.',
  },
  UNEXPECTED: { retryable: false, action: 'This is a defect in Rekey: report it with the log of this invocation.' },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof ERROR_CATALOGUE;

/**
 * The one error type. `message` says what happened and never holds a secret value; the cause is never attached,
 * because drivers put statements, and with them passwords, into their errors.
 */
export class RekeyError extends Error {
  override readonly name = 'RekeyError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly action: string;

  /** @param action replaces the catalogue's advice where the exact statement or value to use is known */
  constructor(code: ErrorCode, what: string, action?: string) {
    super(`${code}: ${what}`);
    this.code = code;
    this.retryable = ERROR_CATALOGUE[code].retryable;
    this.action = action ?? ERROR_CATALOGUE[code].action;
  }

  /** The message without the code. */
  get what(): string {
    return this.message.slice(`${this.code}: `.length);
  }
}

export const hasCode = (thrown: unknown, code: ErrorCode): thrown is RekeyError =>
  thrown instanceof RekeyError && thrown.code === code;

/** Any thrown thing as a RekeyError. An unknown one loses its message: it may quote a statement or a value. */
export function asRekeyError(thrown: unknown): RekeyError {
  if (thrown instanceof RekeyError) return thrown;
  const kind = thrown instanceof Error ? thrown.constructor.name : typeof thrown;
  return new RekeyError('UNEXPECTED', `an unexpected ${kind} was thrown`);
}
