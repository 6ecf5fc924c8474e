import { type ErrorCode, RekeyError } from '../operations/errors.ts';
import { isTlsFailure } from './tls.ts';

interface Meaning {
  /** The beginning of the server's text: it has no codes but these words, and they are the same in Redis and Valkey. */
  readonly text: RegExp;
  readonly code: ErrorCode;
  readonly what: string;
  readonly action?: string;
}

/**
 * What a server may refuse, by the beginning of its text (src/acl.c, server.c, networking.c of Redis 7, 8 and Valkey 9).
 * The rest quotes commands with their arguments, and HELLO has the password among them.
 */
const REFUSALS = {
  'wrong-password': { text: /^WRONGPASS /, code: 'LOGIN_REFUSED', what: 'refused the login' },
  'no-login': { text: /^NOAUTH /, code: 'LOGIN_REFUSED', what: 'wants a login first' },
  protected: {
    text: /^DENIED /,
    code: 'LOGIN_REFUSED',
    what: 'lets nobody in from another machine (protected mode)',
    action: 'Give the user "default" a password on the server, or switch protected-mode off there.',
  },
  'no-right': {
    text: /^(EXECABORT Transaction discarded because of: )?NOPERM /,
    code: 'PRIVILEGE_MISSING',
    what: 'says that the user may not do this',
  },
  'read-only': { text: /^READONLY /, code: 'DATABASE_READ_ONLY', what: 'is a replica' },
  'master-down': {
    text: /^MASTERDOWN /,
    code: 'DATABASE_READ_ONLY',
    what: 'is a replica that has lost its primary',
  },
  loading: { text: /^LOADING /, code: 'DATABASE_BUSY', what: 'is starting up' },
  'runs-script': { text: /^BUSY /, code: 'DATABASE_BUSY', what: 'is busy with a script' },
  'cluster-down': { text: /^CLUSTERDOWN /, code: 'DATABASE_BUSY', what: 'is part of a cluster that is down' },
  'try-again': { text: /^TRYAGAIN /, code: 'DATABASE_BUSY', what: 'is moving what was asked for' },
  'out-of-memory': { text: /^OOM /, code: 'DATABASE_BUSY', what: 'is out of memory' },
  'too-many-clients': {
    text: /^ERR max number of clients/,
    code: 'DATABASE_BUSY',
    what: 'has no connection left',
  },
  'no-such-database': {
    text: /^ERR (DB index is out of range|invalid DB index|SELECT is not allowed in cluster mode)/,
    code: 'DATABASE_MISSING',
    what: 'has no database of that number',
  },
  'no-such-command': {
    text: /^(ERR unknown (command|subcommand)|NOPROTO )/i,
    code: 'DATABASE_UNSUPPORTED',
    what: 'does not let its users be changed by commands',
    action:
      'Rekey needs Redis 7 or Valkey with the ACL commands. Services that manage the users themselves (ElastiCache, MemoryDB) change them through their own API.',
  },
  'no-acl-file': {
    text: /^ERR This .*\binstance is not configured to use an ACL file/,
    code: 'DATABASE_ERROR',
    what: 'has no ACL file',
  },
  'no-config-file': {
    text: /^ERR The server is running without a config file/,
    code: 'DATABASE_ERROR',
    what: 'has no configuration file',
  },
  'not-saved': {
    text: /^ERR (There was an error trying to save the ACLs|Rewriting config file)/,
    code: 'DATABASE_ERROR',
    what: 'cannot write the file that keeps its users, so that a restart would bring the old password back',
    action: 'Let the server write to its ACL file, or its configuration file, and to the folder it is in.',
  },
  'password-gone': {
    text: /^ERR Error in ACL SETUSER modifier '![0-9a-f]{64}'/,
    code: 'DATABASE_BUSY',
    what: 'met another change of the same user',
  },
  unknown: {
    text: /^/,
    code: 'DATABASE_ERROR',
    what: "answered with an error that is not in Rekey's list",
    action: "Look into the server's log.",
  },
} as const satisfies Record<string, Meaning>;

export type RefusalKind = keyof typeof REFUSALS;

/** What a server refused, reduced to what it means. */
export class ServerRefusal extends Error {
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind) {
    super(kind);
    this.kind = kind;
  }
}

/** @param text of the server's error reply */
export function refusalIn(text: string): ServerRefusal {
  const kinds = Object.keys(REFUSALS) as RefusalKind[];
  return new ServerRefusal(kinds.find((kind) => REFUSALS[kind].text.test(text)) ?? 'unknown');
}

/** The refusal as an error for people. */
export function refusalAsRekeyError({ kind }: ServerRefusal, where: string): RekeyError {
  const { code, what, action }: Meaning = REFUSALS[kind];
  return new RekeyError(code, `${where} ${what}`, action);
}

/** What Node threw about a connection, by allow-list: `code` alone. */
export function connectionFailure(thrown: unknown, where: string): RekeyError {
  if (thrown instanceof RekeyError) return thrown;
  const field: unknown = typeof thrown === 'object' && thrown !== null ? Reflect.get(thrown, 'code') : undefined;
  const code = typeof field === 'string' ? field : '';
  if (isTlsFailure(code)) return new RekeyError('DATABASE_TLS', `no trustworthy connection to ${where} (${code})`);
  const reason = /^E[A-Z]+$/.test(code) ? ` (${code})` : '';
  return new RekeyError('DATABASE_UNREACHABLE', `${where} cannot be reached or did not answer in time${reason}`);
}
