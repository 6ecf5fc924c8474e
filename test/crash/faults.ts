import type { ErrorCode } from '../../shared/operations/errors.ts';

/** What can become of one call to the outside. */
export type Fault =
  /** The process is gone before the call, or once it took effect and before its answer arrived. */
  | { readonly kind: 'die'; readonly when: 'before' | 'after' }
  /** A typed error instead of the answer; `after`: the call took effect all the same, and its answer was lost. */
  | { readonly kind: 'fail'; readonly when: 'before' | 'after'; readonly code: ErrorCode }
  /** The server refuses a login that is right: locked out, or asked at the wrong moment. */
  | { readonly kind: 'refuse' }
  /** The answer that was true before the last change. */
  | { readonly kind: 'stale' }
  /** The answer comes when next to nothing is left of the deadline. */
  | { readonly kind: 'slow' }
  /** The connection is cut when some of the statements were carried out. */
  | { readonly kind: 'half' }
  /** The connection is cut, and what was on its way is carried out a little later. */
  | { readonly kind: 'late' };

export function describeFault(fault: Fault): string {
  if (fault.kind === 'die') return `die ${fault.when}`;
  if (fault.kind === 'fail') return `${fault.code} ${fault.when}`;
  return fault.kind;
}

/** Of a call that only reads: who dies behind it leaves what it leaves before it. */
const DIE_ASKING: Fault = { kind: 'die', when: 'before' };
const DIE: readonly Fault[] = [
  { kind: 'die', when: 'before' },
  { kind: 'die', when: 'after' },
];
const before = (...codes: ErrorCode[]): Fault[] => codes.map((code) => ({ kind: 'fail', when: 'before', code }));
const after = (...codes: ErrorCode[]): Fault[] => codes.map((code) => ({ kind: 'fail', when: 'after', code }));
const SLOW: Fault = { kind: 'slow' };
const STALE: Fault = { kind: 'stale' };
const LATE: Fault = { kind: 'late' };

/** What every call to Secrets Manager may answer; its port says what else. */
const STORE = [SLOW, ...before('SECRETS_MANAGER_UNAVAILABLE', 'ACCESS_DENIED')];
const STORE_READ = [DIE_ASKING, ...STORE, STALE];
const STORE_READ_VALUE = [...STORE_READ, ...before('KEY_UNUSABLE')];
/** An SDK that tries again by itself meets its own effect: the answer is then another one than success. */
const STORE_WRITE = [...DIE, ...STORE, LATE, ...after('SECRETS_MANAGER_UNAVAILABLE')];

const DATABASE = [SLOW, ...before('DATABASE_UNREACHABLE', 'DATABASE_BUSY', 'DATABASE_TLS', 'LOGIN_REFUSED')];
const DATABASE_READ = [DIE_ASKING, ...DATABASE];
const DATABASE_WRITE = [
  ...DIE,
  ...DATABASE,
  ...before('DATABASE_READ_ONLY', 'PRIVILEGE_MISSING'),
  // What a server reports as busy, it rolled back.
  ...after('DATABASE_UNREACHABLE'),
];
const PASSWORD = [...DATABASE_WRITE, LATE, ...before('PASSWORD_REJECTED', 'USERNAME_INVALID')];

/** `CLUSTER_BUSY`: throttled, or the server is overloaded. */
const CLUSTER = [SLOW, ...before('CLUSTER_UNREACHABLE', 'CLUSTER_BUSY', 'CLUSTER_ACCESS_DENIED')];
const CLUSTER_READ = [DIE_ASKING, ...CLUSTER, STALE];
const CLUSTER_WRITE = [
  ...DIE,
  ...CLUSTER,
  LATE,
  ...before('CLUSTER_REJECTED'),
  ...after('CLUSTER_UNREACHABLE', 'CLUSTER_BUSY'),
];
const QUEUE = [...DIE, SLOW, LATE, ...before('QUEUE_UNAVAILABLE'), ...after('QUEUE_UNAVAILABLE')];

/** Port and method → the faults that this call can meet. A method without an entry is a mistake in this table. */
const FAULTS: Readonly<Record<string, readonly Fault[]>> = {
  'store.describe': [...STORE_READ, ...before('SECRET_NOT_FOUND')],
  'store.read': STORE_READ_VALUE,
  'store.readStage': STORE_READ_VALUE,
  'store.writeVersion': [...STORE_WRITE, ...before('KEY_UNUSABLE', 'SECRETS_MANAGER_REJECTED')],
  'store.withdrawLabel': STORE_WRITE,
  'store.moveCurrent': [...STORE_WRITE, ...before('CURRENT_MOVED'), ...after('CURRENT_MOVED')],

  // A refusal is an answer of `login`, and never thrown.
  'engine.login': [
    DIE_ASKING,
    SLOW,
    { kind: 'refuse' },
    ...before('DATABASE_UNREACHABLE', 'DATABASE_BUSY', 'DATABASE_TLS'),
  ],
  'engine.setPassword': PASSWORD,
  'engine.rehearse': DATABASE_READ,
  'engine.inspect': DATABASE_READ,
  'alternatingUsers.prepareAlternate': [...PASSWORD, { kind: 'half' }, ...before('RIGHTS_DIFFER')],
  'alternatingUsers.differences': DATABASE_READ,
  'alternatingUsers.missingForAlternate': DATABASE_READ,
  'alternatingUsers.disableAlternate': DATABASE_WRITE,
  'userPair.peerDifferences': DATABASE_READ,
  // A refusal is an answer, as of `login`.
  'userPair.changePeer': PASSWORD.filter((fault) => fault.kind !== 'fail' || fault.code !== 'LOGIN_REFUSED'),
  'userPair.ownSessions': DATABASE_READ,
  'dualPassword.mayKeepOld': DATABASE_READ,
  'dualPassword.rehearse': [...DATABASE_READ, ...before('DATABASE_UNSUPPORTED')],
  'dualPassword.addPassword': [...PASSWORD, ...before('DATABASE_UNSUPPORTED')],
  'dualPassword.discardOld': DATABASE_WRITE,

  'cluster.secretProviderClasses': CLUSTER_READ,
  'cluster.workloads': CLUSTER_READ,
  'cluster.cronJobs': CLUSTER_READ,
  'cluster.externalSecrets': CLUSTER_READ,
  'cluster.externalStores': CLUSTER_READ,
  'cluster.pods': CLUSTER_READ,
  'cluster.mounts': CLUSTER_READ,
  'cluster.mark': CLUSTER_WRITE,
  'cluster.forceSync': CLUSTER_WRITE,
  'cluster.evict': CLUSTER_WRITE,
  'cluster.mayEvict': CLUSTER_READ,
  'cluster.note': CLUSTER_WRITE,
  'queue.send': QUEUE,
  'queue.bringBack': QUEUE,

  'topology.describe': [DIE_ASKING, SLOW, ...before('RDS_UNAVAILABLE', 'RDS_ACCESS_DENIED', 'RDS_REJECTED')],
  // It answers false instead of throwing: what happened is lost to whoever listens, and to nobody else.
  'announcer.announce': [...DIE, SLOW],
  'clock.sleep': [DIE_ASKING, SLOW],
};

/** What a server answers only once it let the acting user in. */
const AFTER_LOGIN: readonly ErrorCode[] = [
  'PASSWORD_REJECTED',
  'PRIVILEGE_MISSING',
  'USERNAME_INVALID',
  'RIGHTS_DIFFER',
  'DATABASE_READ_ONLY',
  'DATABASE_UNSUPPORTED',
];
export const impliesLogin = (fault: Fault): boolean => fault.kind === 'fail' && AFTER_LOGIN.includes(fault.code);

export function faultsOf(call: string): readonly Fault[] {
  const faults = FAULTS[call];
  if (!faults) throw new Error(`no faults are known for ${call}`);
  return faults;
}
