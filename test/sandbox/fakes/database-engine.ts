import type { Credentials, DatabaseEngine, Login, UserPair } from '../../../shared/engines/port.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import type { OpenSession } from '../../../shared/operations/events.ts';

export interface FakeUser {
  /** Undefined: no password, so no login. */
  password: string | undefined;
  mayLogIn: boolean;
  expired: boolean;
  readonly rights: Set<string>;
  readonly sessions: OpenSession[];
}

/** A database of users, passwords and rights in memory, simulated: it fulfils the contract suite of the real ones. */
export interface FakeDatabase {
  readonly engine: DatabaseEngine;
  readonly users: Map<string, FakeUser>;
  /** Adds a user that may log in, or replaces one. */
  addUser(name: string, user: { readonly password: string; readonly rights?: readonly string[] }): FakeUser;
  /** Rights that nothing can copy, so that the two users of a pair go on differing in them. */
  readonly irreconcilable: Set<string>;
  /** What the administrator lacks; while not empty, prepareAlternate refuses. */
  readonly missing: string[];
  /** Throws from every method but the catalogue of users while set, e.g. for a database that is down. */
  failure: RekeyError | undefined;
  /** Method names in the order they were called. */
  readonly calls: string[];
}

export function createFakeDatabase(name = 'fake'): FakeDatabase {
  const users = new Map<string, FakeUser>();
  const irreconcilable = new Set<string>();
  const missing: string[] = [];
  const calls: string[] = [];

  function begin(method: string): void {
    calls.push(method);
    if (database.failure !== undefined) throw database.failure;
  }

  function answer({ username, password }: Credentials, seesReason: boolean): Login {
    const user = users.get(username);
    if (user === undefined) return { kind: 'refused', reason: seesReason ? 'no-such-user' : 'password' };
    if (user.expired) return { kind: 'refused', reason: seesReason ? 'expired' : 'password' };
    if (user.password !== password.expose()) return { kind: 'refused', reason: 'password' };
    return user.mayLogIn ? { kind: 'accepted' } : { kind: 'refused', reason: 'not-permitted' };
  }

  function actingAs(credentials: Credentials): FakeUser {
    const user = users.get(credentials.username);
    if (user === undefined || answer(credentials, false).kind === 'refused')
      throw new RekeyError('LOGIN_REFUSED', `the database at ${credentials.host} refused ${credentials.username}`);
    return user;
  }

  function compare({ current, alternate }: UserPair): readonly string[] {
    const other = users.get(alternate);
    if (other === undefined) return [`${alternate} does not exist`];
    const wanted = users.get(current)?.rights ?? new Set();
    return [
      ...[...wanted].filter((right) => !other.rights.has(right)).map((right) => `${alternate} lacks ${right}`),
      ...[...other.rights].filter((right) => !wanted.has(right)).map((right) => `${alternate} has ${right} too many`),
    ];
  }

  function requireDistinct({ admin, current, alternate }: UserPair): void {
    if (new Set([admin.username, current, alternate]).size < 3)
      throw new RekeyError('USERNAME_INVALID', 'the administrator and the two users must be three different users');
    if (!users.has(current)) throw new RekeyError('USERNAME_INVALID', `${current} does not exist`);
  }

  const engine: DatabaseEngine = {
    name,

    async login(credentials, _deadline, witness) {
      begin('login');
      return answer(credentials, witness !== undefined && answer(witness, false).kind === 'accepted');
    },

    async setOwnPassword(present, password) {
      begin('setOwnPassword');
      actingAs(present).password = password.expose();
    },

    async prepareAlternate(pair, password) {
      begin('prepareAlternate');
      requireDistinct(pair);
      actingAs(pair.admin);
      if (missing.length > 0) throw new RekeyError('PRIVILEGE_MISSING', 'not permitted', missing.join(' '));
      const wanted = [...(users.get(pair.current)?.rights ?? [])];
      const differing = wanted.filter((right) => irreconcilable.has(right));
      if (differing.length > 0) throw new RekeyError('RIGHTS_DIFFER', differing.join('; '));
      const { sessions } = users.get(pair.alternate) ?? { sessions: [] };
      users.set(pair.alternate, {
        password: password.expose(),
        mayLogIn: true,
        expired: false,
        rights: new Set(wanted),
        sessions,
      });
    },

    async differences(pair) {
      begin('differences');
      requireDistinct(pair);
      actingAs(pair.admin);
      return compare(pair);
    },

    async missingForAlternate(pair) {
      begin('missingForAlternate');
      requireDistinct(pair);
      actingAs(pair.admin);
      return [...missing];
    },

    async disableAlternate(pair, stillWanted) {
      begin('disableAlternate');
      requireDistinct(pair);
      actingAs(pair.admin);
      if (!(await stillWanted())) return { kind: 'not-wanted' };
      const user = users.get(pair.alternate);
      if (user === undefined) return { kind: 'disabled' };
      if (user.sessions.length > 0) return { kind: 'sessions-open', sessions: [...user.sessions] };
      user.mayLogIn = false;
      user.password = undefined;
      return { kind: 'disabled' };
    },
  };

  const database: FakeDatabase = {
    engine,
    users,
    addUser(username, { password, rights = [] }) {
      const user: FakeUser = { password, mayLogIn: true, expired: false, rights: new Set(rights), sessions: [] };
      users.set(username, user);
      return user;
    },
    irreconcilable,
    missing,
    failure: undefined,
    calls,
  };
  return database;
}
