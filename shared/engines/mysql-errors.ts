import { type ErrorCode, RekeyError } from '../operations/errors.ts';

/**
 * What a server refused, reduced to the error number: its words quote names, grants and statements, and a statement
 * holds a password.
 */
export class ServerRefusal extends Error {
  readonly errno: number;
  /** Whether it was the login or a statement: the same number means different things. */
  readonly during: 'login' | 'statement';
  /** How many statements of the same round trip were carried out before. */
  readonly completed: number;
  /** The same statement may succeed a moment later. */
  readonly transient: boolean;

  constructor(errno: number, during: 'login' | 'statement' = 'statement', completed = 0) {
    super(`error ${errno}`);
    this.errno = errno;
    this.during = during;
    this.completed = completed;
    this.transient = MOMENTARY.includes(errno);
  }

  /** The user lacks a right for the statement. 1045: a global one; 1698, on MariaDB: to grant a role or proxy. */
  get notPermitted(): boolean {
    return this.during === 'statement' && ([1045, 1698].includes(this.errno) || MEANING[this.errno] === NOT_ALLOWED);
  }

  /** It can come of a statement that was refused before, as when there is no such user or role (1410: of GRANT). */
  get mayFollow(): boolean {
    return !this.transient && (!this.notPermitted || this.errno === 1410);
  }
}

/** Lock wait time-out, deadlock, a row changed by another transaction (MariaDB 11 with snapshot isolation). */
const MOMENTARY = [1205, 1213, 1020];

interface Meaning {
  readonly code: ErrorCode;
  readonly what: string;
  readonly action?: string;
}

const BUSY = 'DATABASE_BUSY';
const NOT_ALLOWED: Meaning = { code: 'PRIVILEGE_MISSING', what: 'says that the user may not do this' };
const NOT_ITS_DATABASE: Meaning = { code: 'LOGIN_REFUSED', what: 'gives this user no right on the database' };
const FULL: Meaning = { code: BUSY, what: 'has no connection left, for this user or at all' };
const READ_ONLY: Meaning = {
  code: 'DATABASE_READ_ONLY',
  what: 'is read-only: a replica, or a writer that is failing over',
};
const ENDED: Meaning = { code: BUSY, what: 'is shutting down or ended the connection' };
const OFFLINE: Meaning = { code: BUSY, what: 'is in offline mode, as for maintenance or when its disk is full' };
const POLICY: Meaning = { code: 'PASSWORD_REJECTED', what: 'refused the password by a policy of its own' };
const NOT_THIS_WAY: Meaning = {
  code: 'AUTHENTICATION_UNSAFE',
  what: 'and Rekey share no safe way to authenticate this user',
  action:
    'Let the server authenticate this user with caching_sha2_password (MariaDB: ed25519 or mysql_native_password).',
};

/**
 * https://dev.mysql.com/doc/mysql-errors/9.7/en/server-error-reference.html and
 * https://mariadb.com/docs/server/reference/error-codes: below 1900 and where not said otherwise, both mean the same.
 */
const MEANING: Readonly<Record<number, Meaning>> = {
  1020: { code: BUSY, what: 'met another change at the same time' },
  1040: FULL,
  1041: { code: BUSY, what: 'is out of memory' },
  1044: NOT_ALLOWED,
  1045: { code: 'LOGIN_REFUSED', what: 'refused the login' }, // for a statement: see notPermitted
  1049: { code: 'DATABASE_MISSING', what: 'has no database of that name' },
  1053: ENDED,
  1064: { code: 'DATABASE_UNSUPPORTED', what: 'does not know a statement that MySQL has since 8.0.14' },
  1077: ENDED,
  1079: ENDED,
  1129: {
    code: 'DATABASE_UNREACHABLE',
    what: 'has blocked the address of this function after too many broken connections (max_connect_errors)',
    action: 'Run: FLUSH HOSTS; (MySQL 8 and later: TRUNCATE TABLE performance_schema.host_cache;)',
  },
  1130: { code: 'LOGIN_REFUSED', what: 'lets nobody in from the address of this function' },
  1142: NOT_ALLOWED,
  1143: NOT_ALLOWED,
  1152: ENDED,
  1184: ENDED,
  1203: FULL,
  1205: { code: BUSY, what: 'had an object locked by someone else for too long' },
  1213: { code: BUSY, what: 'undid the change because of another one at the same time' },
  1223: { code: BUSY, what: 'is locked for reading, as for a backup' },
  1226: FULL,
  1227: NOT_ALLOWED,
  1251: NOT_THIS_WAY,
  1275: NOT_THIS_WAY,
  1290: READ_ONLY,
  1317: { code: BUSY, what: 'cancelled the statement' },
  1370: NOT_ALLOWED,
  1410: NOT_ALLOWED,
  1524: {
    code: 'DATABASE_UNSUPPORTED',
    what: 'has not loaded the plugin that this user authenticates with, as after an upgrade',
    action:
      'As a superuser give the user a plugin that the server has, with the password of AWSCURRENT: on MySQL 8.4 and later ALTER USER … IDENTIFIED WITH caching_sha2_password BY …; or load the old one again.',
  },
  1698: { code: 'LOGIN_REFUSED', what: 'does not let this user in with a password' },
  1792: READ_ONLY,
  1819: POLICY,
  1820: { code: 'LOGIN_REFUSED', what: 'wants this user to change an expired password first' },
  1827: POLICY,
  1836: READ_ONLY,
  1862: { code: 'LOGIN_REFUSED', what: 'says that the password of this user has expired' },
  1874: READ_ONLY,
  1927: ENDED, // MariaDB: the connection was killed
  3024: { code: BUSY, what: 'took too long and cancelled the statement' },
  3032: OFFLINE,
  3118: { code: 'LOGIN_REFUSED', what: 'says that this account is locked' },
  3159: { code: 'DATABASE_TLS', what: 'takes encrypted connections only' },
  3168: { code: BUSY, what: 'is not available yet' },
  3169: ENDED,
  3572: { code: BUSY, what: 'had an object locked by someone else' },
  3638: POLICY,
  3955: { code: 'LOGIN_REFUSED', what: 'has locked this account after too many wrong passwords' },
  4031: ENDED,
  4150: { code: 'LOGIN_REFUSED', what: 'has blocked this account after too many wrong passwords' }, // MariaDB
  4151: { code: 'LOGIN_REFUSED', what: 'says that this account is locked' }, // MariaDB
  6400: OFFLINE, // with a reason that somebody gave
};

/** The refusal as an error for people. */
export function refusalAsRekeyError(refusal: ServerRefusal, where: string): RekeyError {
  const { errno, during, notPermitted } = refusal;
  const meaning = notPermitted ? NOT_ALLOWED : during === 'login' && errno === 1044 ? NOT_ITS_DATABASE : MEANING[errno];
  if (meaning === undefined)
    return new RekeyError(
      'DATABASE_ERROR',
      `${where} answered with error ${errno}`,
      "Look the error number up in the server's log and manual.",
    );
  return new RekeyError(meaning.code, `${where} ${meaning.what} (error ${errno})`, meaning.action);
}

/** Thrown inside of the driver when a server asks for less than proof of the password. */
export class UnsafeAuthentication extends Error {}

/** What was going on, where the error itself does not say. */
interface Circumstances {
  readonly during: 'login' | 'statement';
  readonly completed?: number;
  /** Node's code for what is wrong with the server's certificate, e.g. CERT_HAS_EXPIRED. */
  readonly certificateFault?: string | undefined;
}

/** What the driver threw, by allow-list: numbers and codes, never a text of the server's or a statement. */
export function translate(
  thrown: unknown,
  where: string,
  { during, completed, certificateFault }: Circumstances,
): RekeyError | ServerRefusal {
  if (thrown instanceof RekeyError || thrown instanceof ServerRefusal) return thrown;
  const field = (key: string): unknown =>
    typeof thrown === 'object' && thrown !== null ? Reflect.get(thrown, key) : undefined;
  const errno = field('errno');
  // Node's errors have a number too, a negative one; only those of the server have its message.
  if (typeof errno === 'number' && errno > 0 && typeof field('sqlMessage') === 'string')
    return new ServerRefusal(errno, during, completed);
  const code = field('code');
  switch (code) {
    case 'HANDSHAKE_NO_SSL_SUPPORT':
      return new RekeyError('DATABASE_TLS', `${where} does not offer TLS`);
    case 'HANDSHAKE_SSL_ERROR': // also when the network broke meanwhile: then nothing speaks of TLS
      if (certificateFault !== undefined && /^[A-Z_]+$/.test(certificateFault))
        return new RekeyError('DATABASE_TLS', `no trustworthy connection to ${where} (${certificateFault})`);
      if (field('library') === 'SSL routines')
        return new RekeyError('DATABASE_TLS', `${where} and Rekey share no version of TLS that is still safe`);
      break;
    case 'MYSQL_CLEAR_PASSWORD_NOT_ENABLED':
      return new RekeyError('AUTHENTICATION_UNSAFE', `${where} asked for the password itself`, NOT_THIS_WAY.action);
    case 'AUTH_SWITCH_PLUGIN_ERROR':
      return new RekeyError('AUTHENTICATION_UNSAFE', `${where} ${NOT_THIS_WAY.what}`, NOT_THIS_WAY.action);
  }
  const reason = typeof code === 'string' && /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
  return new RekeyError('DATABASE_UNREACHABLE', `${where} cannot be reached or did not answer in time${reason}`);
}
