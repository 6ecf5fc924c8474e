import { type ErrorCode, RekeyError } from '../operations/errors.ts';
import { isTlsFailure } from './tls.ts';

/**
 * What a server refused, reduced to the SQLSTATE: its words quote names, rows and statements, and a statement may
 * hold a verifier.
 */
export class ServerRefusal extends Error {
  readonly sqlState: string;
  /** The same statements may succeed a moment later. */
  readonly transient: boolean;
  /** The login was right and the role is NOLOGIN. */
  readonly roleLocked: boolean;

  constructor(sqlState: string, more: { readonly transient?: boolean; readonly roleLocked?: boolean } = {}) {
    super(`SQLSTATE ${sqlState}`);
    this.sqlState = sqlState;
    this.transient = more.transient ?? false;
    this.roleLocked = more.roleLocked ?? false;
  }
}

/** https://www.postgresql.org/docs/current/errcodes-appendix.html; where a class is named, all of it. */
const MEANING: Readonly<Record<string, { readonly code: ErrorCode; readonly what: string }>> = {
  '25006': { code: 'DATABASE_READ_ONLY', what: 'is read-only: a replica, or a writer that is failing over' },
  '28': { code: 'LOGIN_REFUSED', what: 'refused the login' },
  '3D000': { code: 'DATABASE_MISSING', what: 'has no database of that name' },
  '40': { code: 'DATABASE_BUSY', what: 'rolled the change back because of another one at the same time' },
  '42501': { code: 'PRIVILEGE_MISSING', what: 'says that the user may not do this' },
  '53300': { code: 'DATABASE_BUSY', what: 'has no connection left, for this user or at all' },
  '53': { code: 'DATABASE_BUSY', what: 'is out of a resource' },
  '55P03': { code: 'DATABASE_BUSY', what: 'had an object locked by someone else for too long' },
  '57014': { code: 'DATABASE_BUSY', what: 'took too long and cancelled the statement' },
  '57P01': { code: 'DATABASE_BUSY', what: 'ended the connection' },
  '57P02': { code: 'DATABASE_BUSY', what: 'ended the connection after a crash' },
  '57P03': { code: 'DATABASE_BUSY', what: 'is starting up or shutting down' },
  XX000: { code: 'DATABASE_BUSY', what: 'met another change of the same user' },
};

/** The refusal as an error for people, or as it is when nothing is known of it. */
export function refusalAsRekeyError(refusal: ServerRefusal, where: string): RekeyError {
  const { sqlState } = refusal;
  const known =
    sqlState === 'XX000' && !refusal.transient ? undefined : (MEANING[sqlState] ?? MEANING[sqlState.slice(0, 2)]);
  if (known === undefined) return new RekeyError('DATABASE_ERROR', `${where} answered with SQLSTATE ${sqlState}`);
  return new RekeyError(known.code, `${where} ${known.what} (SQLSTATE ${sqlState})`);
}

/**
 * What a statement that sets a password was refused for: passwordcheck answers with invalid_parameter_value, credcheck
 * and its like with invalid_authorization_specification or invalid_password. None of them sees more than a verifier:
 * the password itself is not sent even where one insists on it, as it would be in the server's log for good.
 */
export function passwordRefused(error: unknown, user: string): unknown {
  if (!(error instanceof ServerRefusal && /^(22023|28)/.test(error.sqlState))) return error;
  return new RekeyError(
    'PASSWORD_REJECTED',
    `a policy of the server refused the new password of ${user} (SQLSTATE ${error.sqlState})`,
    'Let the server take SCRAM verifiers, which is all that Rekey sends (credcheck.encrypted_password_allowed = on); else adjust rekey:password-length or rekey:exclude-characters to what it accepts. Then rotate again.',
  );
}

/** Thrown inside of the driver when a server asks for less than proof of the password. */
export class UnsafeAuthentication extends Error {}

/** The driver knows these by its message alone. */
const NO_TLS = /does not support SSL|establishing an SSL connection/;

/** What the driver threw, by allow-list: `code` and fixed phrases of the driver's own, never the server's text. */
export function translate(thrown: unknown, where: string): RekeyError | ServerRefusal {
  if (thrown instanceof RekeyError || thrown instanceof ServerRefusal) return thrown;
  const code = textOf(thrown, 'code');
  const message = textOf(thrown, 'message');
  // Messages of the server carry a severity; those of Node and of the driver do not.
  if (textOf(thrown, 'severity') !== '' && /^[0-9A-Z]{5}$/.test(code)) {
    const concurrent = code === 'XX000' && message === 'tuple concurrently updated';
    // 28000 has two causes. The server's function is named in no language but C: here it looks at the role's
    // attributes, after the password was found right; where pg_hba.conf refuses, it is another one.
    const roleLocked = code === '28000' && textOf(thrown, 'routine') === 'InitializeSessionUserId';
    return new ServerRefusal(code, { transient: concurrent || code.startsWith('40'), roleLocked });
  }
  if (thrown instanceof UnsafeAuthentication)
    return new RekeyError('AUTHENTICATION_UNSAFE', `${where} asked for the password itself`);
  if (message.startsWith('SASL:'))
    return new RekeyError('AUTHENTICATION_UNSAFE', `${where} could not prove that it knows the password`);
  if (isTlsFailure(code)) return new RekeyError('DATABASE_TLS', `no trustworthy connection to ${where} (${code})`);
  if (NO_TLS.test(message)) return new RekeyError('DATABASE_TLS', `${where} does not offer TLS`);
  const reason = /^E[A-Z_]+$/.test(code) ? ` (${code})` : '';
  return new RekeyError('DATABASE_UNREACHABLE', `${where} cannot be reached or did not answer in time${reason}`);
}

/** By shape rather than `instanceof`: an error of Node's own may come from another realm. */
function textOf(thrown: unknown, key: string): string {
  const value: unknown = typeof thrown === 'object' && thrown !== null ? Reflect.get(thrown, key) : undefined;
  return typeof value === 'string' ? value : '';
}
