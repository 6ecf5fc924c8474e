import { LoginRefused } from '../../../shared/engines/login-refused.ts';
import type {
  AdministeredPair,
  Credentials,
  DatabaseEngine,
  Login,
  RefusalReason,
  UserPair,
  Witness,
} from '../../../shared/engines/port.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import type { OpenSession } from '../../../shared/operations/events.ts';

export interface FakeUser {
  /** The valid passwords, the newest first; none: no login. */
  passwords: readonly string[];
  mayLogIn: boolean;
  expired: boolean;
  /** May change the passwords of other users. */
  administers: boolean;
  readonly rights: Set<string>;
  readonly sessions: OpenSession[];
}

/** A database of users, passwords and rights in memory, simulated: it fulfils the contract suite of the real ones. */
export interface FakeDatabase {
  /** Knows every strategy. */
  readonly engine: Required<DatabaseEngine>;
  readonly users: Map<string, FakeUser>;
  /** Adds a user that may log in, or replaces one. */
  addUser(
    name: string,
    user: { readonly password: string; readonly rights?: readonly string[]; readonly administers?: boolean },
  ): FakeUser;
  /** Rights that nothing can copy, so that the two users of a pair go on differing in them. */
  readonly irreconcilable: Set<string>;
  /** What the administrator lacks; while not empty, prepareAlternate refuses. */
  readonly missing: string[];
  /** Users that may not have a second password, nor change their own. */
  readonly powerless: Set<string>;
  /** Throws from every method but the catalogue of users while set, e.g. for a database that is down. */
  failure: RekeyError | undefined;
  /** Method names in the order they were called. */
  readonly calls: string[];
}

export function createFakeDatabase(name = 'fake'): FakeDatabase {
  const users = new Map<string, FakeUser>();
  const irreconcilable = new Set<string>();
  const missing: string[] = [];
  const powerless = new Set<string>();
  const calls: string[] = [];

  function begin(method: string): void {
    calls.push(method);
    if (database.failure !== undefined) throw database.failure;
  }

  function refusalOf({ username, password }: Credentials): RefusalReason | undefined {
    const user = users.get(username);
    if (user === undefined) return 'no-such-user';
    if (user.expired) return 'expired';
    if (!user.mayLogIn) return 'locked';
    return user.passwords.includes(password.expose()) ? undefined : 'password';
  }

  function actingAs(credentials: Credentials, reason: RefusalReason = 'password'): FakeUser {
    const { host, username } = credentials;
    const user = users.get(username);
    if (user === undefined || refusalOf(credentials) !== undefined)
      throw new LoginRefused(username, reason, `the database at ${host} refused ${username}`);
    return user;
  }

  /** Why it is refused, as far as the witness can tell. */
  async function reasonSeen(credentials: Credentials, witness?: Witness): Promise<RefusalReason | undefined> {
    const reason = refusalOf(credentials);
    if (reason === undefined) return undefined;
    const witnessed = await witness?.().catch(() => undefined);
    return witnessed !== undefined && refusalOf(witnessed) === undefined ? reason : 'password';
  }

  function userNamed(username: string): FakeUser {
    const user = users.get(username);
    if (user === undefined) throw new RekeyError('USERNAME_INVALID', `${username} does not exist`);
    return user;
  }

  function compare({ current, alternate }: Pick<UserPair, 'current' | 'alternate'>): readonly string[] {
    const other = users.get(alternate);
    if (other === undefined) return [`${alternate} does not exist`];
    const wanted = users.get(current)?.rights ?? new Set();
    return [
      ...[...wanted].filter((right) => !other.rights.has(right)).map((right) => `${alternate} lacks ${right}`),
      ...[...other.rights].filter((right) => !wanted.has(right)).map((right) => `${alternate} has ${right} too many`),
    ];
  }

  function requireDistinct({ admin, current, alternate }: AdministeredPair): void {
    if (new Set([admin.username, current, alternate]).size < 3)
      throw new RekeyError('USERNAME_INVALID', 'the administrator and the two users must be three different users');
    userNamed(current);
  }

  function requirePower({ username }: Credentials, target: string): void {
    const others = target !== username && !users.get(username)?.administers;
    if (others || powerless.has(username))
      throw new RekeyError('PRIVILEGE_MISSING', `${username} may not`, `GRANT it TO ${username}`);
  }

  /** @throws RekeyError RIGHTS_DIFFER */
  function makeEqual({ current, alternate }: AdministeredPair, password: string): void {
    const wanted = [...userNamed(current).rights];
    const differing = wanted.filter((right) => irreconcilable.has(right));
    if (differing.length > 0) throw new RekeyError('RIGHTS_DIFFER', differing.join('; '));
    const { sessions } = users.get(alternate) ?? { sessions: [] };
    users.set(alternate, {
      passwords: [password],
      mayLogIn: true,
      expired: false,
      administers: false,
      rights: new Set(wanted),
      sessions,
    });
  }

  function prepare(pair: AdministeredPair, password: string): void {
    requireDistinct(pair);
    actingAs(pair.admin);
    if (missing.length > 0) throw new RekeyError('PRIVILEGE_MISSING', 'not permitted', missing.join(' '));
    makeEqual(pair, password);
  }

  const engine: Required<DatabaseEngine> = {
    name,

    async login(credentials, _deadline, witness): Promise<Login> {
      begin('login');
      const reason = await reasonSeen(credentials, witness);
      return reason === undefined ? { kind: 'accepted' } : { kind: 'refused', reason };
    },

    async setPassword({ acting, username, password }) {
      begin('setPassword');
      actingAs(acting);
      requirePower(acting, username);
      userNamed(username).passwords = [password.expose()];
    },

    async rehearse({ acting, username }) {
      begin('rehearse');
      actingAs(acting);
      requirePower(acting, username);
      userNamed(username);
    },

    async inspect(observer, names) {
      begin('inspect');
      actingAs(observer);
      return {
        version: 'Fake 1.0',
        certificate: { issuer: 'Fake CA', validUntilMs: Date.UTC(2099, 0, 1) },
        readOnly: false,
        sessions: names.flatMap((user) => (users.get(user)?.sessions ?? []).map((session) => ({ ...session, user }))),
        passwordPolicy: [],
      };
    },

    alternatingUsers: {
      observer: 'either-user',

      async prepareAlternate(pair, password, stillWanted) {
        begin('prepareAlternate');
        requireDistinct(pair);
        actingAs(pair.admin);
        if (!(await stillWanted())) return 'notWanted';
        prepare(pair, password.expose());
        return 'prepared';
      },

      async differences(pair, observer, _deadline, witness) {
        begin('differences');
        userNamed(pair.current);
        actingAs(observer, await reasonSeen(observer, witness));
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
        if (!(await stillWanted())) return { kind: 'notWanted' };
        const user = users.get(pair.alternate);
        if (user === undefined) return { kind: 'disabled' };
        if (user.sessions.length > 0) return { kind: 'sessionsOpen', sessions: [...user.sessions] };
        user.mayLogIn = false;
        user.passwords = [];
        return { kind: 'disabled' };
      },
    },

    userPair: {
      async peerDifferences(current, other, _deadline, witness) {
        begin('peerDifferences');
        for (const user of [current, other]) actingAs(user, await reasonSeen(user, witness));
        return compare({ current: current.username, alternate: other.username });
      },

      async changePeer({ current, other }, password, _deadline, witness) {
        begin('changePeer');
        const reason = await reasonSeen(current, witness);
        if (reason !== undefined) return { kind: 'refused', login: 'current', refusal: { kind: 'refused', reason } };
        const otherReason = await reasonSeen(other);
        if (otherReason !== undefined)
          return { kind: 'refused', login: 'other', refusal: { kind: 'refused', reason: otherReason } };
        const differences = compare({ current: current.username, alternate: other.username });
        if (differences.length > 0) return { kind: 'differ', differences };
        requirePower(other, other.username);
        userNamed(other.username).passwords = [password.expose()];
        return { kind: 'changed' };
      },

      async ownSessions(user) {
        begin('ownSessions');
        return [...actingAs(user).sessions];
      },

      async createPeer(pair, password) {
        begin('createPeer');
        prepare(pair, password.expose());
      },
    },

    dualPassword: {
      async mayKeepOld(user) {
        begin('mayKeepOld');
        actingAs(user);
        return !powerless.has(user.username);
      },

      async rehearse({ acting, username }) {
        begin('dualPassword.rehearse');
        actingAs(acting);
        requirePower(acting, username);
        userNamed(username);
      },

      async addPassword({ acting, username, present, password }, stillWanted) {
        begin('addPassword');
        actingAs(acting);
        const user = userNamed(username);
        const isAdded = () => user.passwords.includes(password.expose());
        if (!isAdded() && !(await stillWanted())) return 'notWanted';
        // Somebody else may have meanwhile.
        if (isAdded()) return 'alreadyAdded';
        requirePower(acting, username);
        user.passwords = [password.expose(), present.password.expose()];
        return 'added';
      },

      async discardOld({ acting, kept }, stillWanted) {
        begin('discardOld');
        actingAs(acting);
        if (!(await stillWanted())) return 'notWanted';
        userNamed(kept.username).passwords = [kept.password.expose()];
        return 'discarded';
      },
    },
  };

  const database: FakeDatabase = {
    engine,
    users,
    addUser(username, { password, rights = [], administers = false }) {
      const user: FakeUser = {
        passwords: [password],
        mayLogIn: true,
        expired: false,
        administers,
        rights: new Set(rights),
        sessions: [],
      };
      users.set(username, user);
      return user;
    },
    irreconcilable,
    missing,
    powerless,
    failure: undefined,
    calls,
  };
  return database;
}
