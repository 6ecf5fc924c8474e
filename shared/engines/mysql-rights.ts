import {
  type Account,
  accountName,
  type Delegable,
  type Grant,
  type Rights,
  type Settings,
  type Snapshot,
} from './mysql-catalog.ts';
import { quoteLiteral as literal, quoteName } from './mysql-connection.ts';

/*
 * How two MySQL users come to be able to do the same.
 *
 * A user is one account or several, one for each host or pattern of hosts that it may come from. Each account of the
 * current user has its like among those of the alternate one, with the same rights, roles and settings, or locked as
 * that is; an account that only the alternate user has goes, as the server would take it, locked or not, for clients
 * that another one is meant for. For all of it the current user is right: what it lost, the alternate one loses too,
 * so that a REVOKE sticks (M8 in test/catalogue.md).
 *
 * Rights are given one by one, not inherited. That `app` is the DEFINER of a view or routine changes nothing: those
 * run with the rights of `app`, whoever calls them.
 *
 * A statement about users takes effect at once and cannot be undone with others, so their order must make each
 * beginning harmless: a new account is locked until all is done, and its password comes last of all.
 */

/** One statement that makes a difference go away. */
export interface Step {
  /** The difference, as a sentence. */
  readonly why: string;
  readonly sql: string;
  /** Whether the administrator may run it, as far as its own rights tell. */
  readonly allowed: boolean;
  /** What a superuser is to run when the administrator may not. */
  readonly remedy: string;
  /** An account that goes, and what it is the DEFINER of would no longer work. */
  readonly drops?: Account;
}

export interface Plan {
  /** Accounts to make, each with the account that is to be its like. */
  readonly create: readonly (Step & { readonly model: Account; readonly name: string })[];
  readonly steps: readonly Step[];
  /** Differences that go away with the new password, the last statement of all. */
  readonly last: readonly string[];
  /** Differences that a person has to settle. */
  readonly unsettled: readonly string[];
}

/** What to do so that the alternate user can do exactly what the current one can; nothing, when it can. */
export function planRights(snapshot: Snapshot, current: string, alternate: string): Plan {
  const authority = authorityOf(snapshot);
  const plan = { create: [] as Plan['create'][number][], steps: [] as Step[], last: [] as string[] };
  const unsettled: string[] = [];
  const accountsOf = (name: string) => snapshot.accounts.filter(({ user }) => user === name);
  const [models, found] = [accountsOf(current), accountsOf(alternate)];
  for (const model of models) {
    const name = accountName(alternate, model.host);
    const account = found.find(({ host }) => host === model.host);
    if (account === undefined)
      plan.create.push({
        why: `${name} does not exist`,
        sql: `CREATE USER ${name}`,
        model,
        name,
        ...authority.alter(),
      });
    else if (model.locked && !account.locked)
      plan.steps.push({
        why: `${name} is not locked, as ${model.name} is`,
        sql: `ALTER USER ${name} ACCOUNT LOCK`,
        ...authority.alter(),
      });
    // Nobody gets in by it.
    if (model.locked) continue;
    if (account !== undefined) {
      if (account.locked) plan.last.push(`${name} is locked`);
      if (account.expired) plan.last.push(`the password of ${name} has expired`);
      if (account.plugin !== model.plugin) plan.last.push(`${name} does not authenticate with ${model.plugin}`);
    }
    // CREATE USER gives a new account the settings as well.
    const present = account ?? { ...NO_RIGHTS, name, settings: model.settings };
    plan.steps.push(...rights(model, present, authority), ...settings(model, present, authority));

    if (model.secondFactor !== (account?.secondFactor ?? false))
      unsettled.push(`only one of ${model.name} and ${name} has a second factor of authentication`);
    if (model.roles.some((role) => role.name === name)) unsettled.push(`${model.name} has ${name} as a role`);
  }
  for (const account of found)
    if (!models.some(({ host }) => host === account.host))
      plan.steps.push({
        why: `${account.name} exists, and ${current} has no account for that host`,
        sql: `DROP USER ${account.name}`,
        ...authority.alter(),
        drops: account,
      });
  return { ...plan, unsettled };
}

/** Those that can be logged in with. */
export const openAccounts = (snapshot: Snapshot, of: string): readonly Account[] =>
  snapshot.accounts.filter(({ user, locked }) => user === of && !locked);

/** Locked, so that nobody gets in before its rights are done. */
export function createAccount({ model, name }: Plan['create'][number], password: string): string {
  const { plugin, locked, settings: wanted } = model;
  const attribute = attributeOf(wanted);
  // An account that stays locked needs no password, and its plugin may know none.
  const method = locked ? 'IDENTIFIED' : `IDENTIFIED WITH ${literal(plugin)}`;
  return [
    `CREATE USER ${name} ${method} BY ${literal(password)}`,
    ...clauses(wanted, DEFAULT_SETTINGS).map(({ clause }) => clause),
    'ACCOUNT LOCK',
    ...(attribute === '{}' ? [] : [`ATTRIBUTE ${literal(attribute)}`]),
  ].join(' ');
}

/** Last of all, so that a login with this password implies that the rights were done. */
export function enableAccounts(models: readonly Account[], alternate: string, password: string): string {
  const accounts = models.map(
    ({ plugin, host }) => `${accountName(alternate, host)} IDENTIFIED WITH ${literal(plugin)} BY ${literal(password)}`,
  );
  return `ALTER USER ${accounts.join(', ')} ACCOUNT UNLOCK`;
}

type Present = Rights & Pick<Account, 'name' | 'settings'>;

const NO_RIGHTS: Rights = { grants: [], dynamic: [], roles: [], proxies: [], defaultRoles: [], restrictions: [] };

/**
 * What is too much goes first: a partial revoke cannot stand beside a grant for the same database. And registered
 * privileges before the grant option at `*.*`: MySQL 9.7 takes theirs with it, but in its tables alone, and then
 * neither takes nor gives them as it is told.
 */
function rights(model: Account, present: Present, authority: Authority): readonly Step[] {
  const levels = [...new Set([...model.grants, ...present.grants].map(({ on }) => on))];
  const differences = levels.map((on) => {
    const [wanted, had] = [model, present].map(({ grants }) => grants.find((grant) => grant.on === on));
    const { database, gone = false } = wanted ?? had ?? {};
    return {
      level: { on, database },
      gone,
      add: except(wanted?.privileges ?? [], had?.privileges ?? []),
      remove: except(had?.privileges ?? [], wanted?.privileges ?? []),
    };
  });
  const [dynamic, roles, proxies] = (['dynamic', 'roles', 'proxies'] as const).map((kind) =>
    delegables(kind, model, present, authority),
  );
  const restrictions = partialRevokes(model, present, authority);
  return [
    ...[dynamic, roles, proxies].flatMap((kind) => kind?.take ?? []),
    ...differences.flatMap(({ level, gone, remove }) => mayWait(gone, revoke(present.name, level, remove, authority))),
    ...restrictions.lift,
    ...differences.flatMap(({ level, gone, add }) =>
      mayWait(gone, (gone ? grantOfMissing : grant)(present.name, level, add, authority)),
    ),
    ...[dynamic, roles, proxies].flatMap((kind) => kind?.give ?? []),
    ...restrictions.restrict,
    ...defaultRoles(model, present, authority),
  ];
}

/** Nobody can use a right on a table that is gone, so that it hinders nothing where the administrator may not change it. */
const mayWait = (gone: boolean, steps: readonly Step[]): readonly Step[] =>
  gone && steps.some(({ allowed }) => !allowed) ? [] : steps;

function grant(to: string, level: Level, privileges: readonly string[], authority: Authority): readonly Step[] {
  if (privileges.length === 0) return [];
  const named = except(privileges, [GRANT_OPTION]);
  const option = named.length < privileges.length ? ' WITH GRANT OPTION' : '';
  return [
    {
      why: `${to} lacks ${privileges.join(', ')} on ${level.on}`,
      sql: `GRANT ${named.join(', ') || 'USAGE'} ON ${level.on} TO ${to}${option}`,
      ...authority.grant(level, privileges),
    },
  ];
}

/** A right on a table that does not exist is given together with CREATE alone, and that is taken back. */
function grantOfMissing(
  to: string,
  level: Level,
  privileges: readonly string[],
  authority: Authority,
): readonly Step[] {
  if (privileges.length === 0 || privileges.includes('CREATE')) return grant(to, level, privileges, authority);
  return [...grant(to, level, [...privileges, 'CREATE'], authority), ...revoke(to, level, ['CREATE'], authority)].map(
    (step) => ({ ...step, why: `${to} lacks ${privileges.join(', ')} on ${level.on}` }),
  );
}

function revoke(from: string, level: Level, privileges: readonly string[], authority: Authority): readonly Step[] {
  // MySQL 9.7 takes a list of all that there are at `*.*` for REVOKE ALL PRIVILEGES, GRANT OPTION, which reaches every
  // database, table and routine as well.
  const apart = level.on === '*.*' ? privileges.filter((privilege) => privilege === GRANT_OPTION) : [];
  return [except(privileges, apart), apart]
    .filter((each) => each.length > 0)
    .map((each) => ({
      why: `${from} has ${each.join(', ')} on ${level.on}`,
      sql: `REVOKE ${each.join(', ')} ON ${level.on} FROM ${from}`,
      ...authority.grant(level, each),
    }));
}

type DelegableKind = 'dynamic' | 'roles' | 'proxies';

/** An option cannot be taken alone: the whole goes, and comes again without it. */
function delegables(kind: DelegableKind, model: Account, { name, ...present }: Present, authority: Authority) {
  const statement = (what: string) => {
    if (kind === 'roles') return what;
    return kind === 'dynamic' ? `${what} ON *.*` : `PROXY ON ${what}`;
  };
  const option = kind === 'roles' ? 'ADMIN OPTION' : 'GRANT OPTION';
  const wanted = model[kind].filter((one) => one.name !== name);
  const find = (list: readonly Delegable[], one: Delegable) => list.find((other) => other.name === one.name);
  const take = present[kind].flatMap((had): readonly Step[] => {
    const want = find(wanted, had);
    if (want && (want.delegable || !had.delegable)) return [];
    const sql = `REVOKE ${statement(had.name)} FROM ${name}`;
    const why = `${name} has ${statement(had.name)}${want ? ` with ${option}` : ''}`;
    return [{ why, sql, ...authority.delegate(kind, had.name) }];
  });
  const give = wanted.flatMap((want): readonly Step[] => {
    const had = find(present[kind], want);
    if (had && had.delegable === want.delegable) return [];
    const suffix = want.delegable ? ` WITH ${option}` : '';
    const sql = `GRANT ${statement(want.name)} TO ${name}${suffix}`;
    const why = `${name} lacks ${statement(want.name)}${suffix.toLowerCase()}`;
    return [{ why, sql, ...authority.delegate(kind, want.name) }];
  });
  return { take, give };
}

/** Between a privilege for all databases and one of them, MySQL's `partial_revokes`. */
function partialRevokes(model: Account, present: Present, authority: Authority) {
  const key = ({ database, privilege }: Rights['restrictions'][number]) => JSON.stringify([database, privilege]);
  const missing = (from: Rights, than: Rights) =>
    from.restrictions.filter((one) => !than.restrictions.some((other) => key(other) === key(one)));
  const globally = (privilege: string) =>
    model.grants.some(({ on, privileges }) => on === '*.*' && privileges.includes(privilege));
  const step = (verb: string, { database, privilege }: Rights['restrictions'][number], why: string): Step => {
    const level = { on: `${quoteName(database)}.*`, database };
    return {
      why,
      sql: `${verb.replace('…', `${privilege} ON ${level.on}`)} ${present.name}`,
      ...authority.grant(level, [privilege]),
    };
  };
  return {
    // It goes with the privilege itself, and this would then be a new grant.
    lift: missing(present, model)
      .filter(({ privilege }) => globally(privilege))
      .map((one) => step('GRANT … TO', one, `${present.name} lacks ${one.privilege} on ${one.database}`)),
    restrict: missing(model, present).map((one) =>
      step('REVOKE … FROM', one, `${present.name} has ${one.privilege} on ${one.database}`),
    ),
  };
}

function defaultRoles(model: Account, present: Present, authority: Authority): readonly Step[] {
  const wanted = model.defaultRoles.filter((role) => role !== present.name).sort();
  if (wanted.join() === [...present.defaultRoles].sort().join()) return [];
  return [
    {
      why: `${present.name} has other default roles`,
      sql: `ALTER USER ${present.name} DEFAULT ROLE ${wanted.join(', ') || 'NONE'}`,
      ...authority.alter(),
    },
  ];
}

function* settings(model: Account, { name, settings: present }: Present, authority: Authority): Iterable<Step> {
  const differing = clauses(model.settings, present);
  if (differing.length > 0)
    yield {
      why: `${name} has other ${differing.map(({ what }) => what).join(', ')}`,
      sql: `ALTER USER ${name} ${differing.map(({ clause }) => clause).join(' ')}`,
      ...authority.alter(),
    };
  const [wanted, had] = [attributeOf(model.settings), attributeOf(present)];
  if (wanted === had) return;
  // The statement merges: what is to go is named with null.
  const none = JSON.stringify(Object.fromEntries(Object.keys(present.attribute ?? {}).map((key) => [key, null])));
  for (const attribute of [none, wanted])
    if (attribute !== '{}')
      yield {
        why: `${name} has another attribute or comment`,
        sql: `ALTER USER ${name} ATTRIBUTE ${literal(attribute)}`,
        ...authority.alter(),
      };
}

const attributeOf = ({ attribute }: Settings): string => JSON.stringify(attribute ?? {});

const DEFAULT_SETTINGS: Settings = {
  tls: { type: '', cipher: '', issuer: '', subject: '' },
  limits: { queries: 0, updates: 0, connections: 0, sessions: 0 },
  lifetimeDays: null,
  history: null,
  reuseDays: null,
  requireCurrent: null,
  lockout: null,
  attribute: null,
};

/** Those of CREATE USER and ALTER USER in which two accounts differ, in the order that these want. */
function clauses(wanted: Settings, present: Settings): readonly { readonly what: string; readonly clause: string }[] {
  const all = ALL_CLAUSES.map(([what, clauseOf]) => ({ what, clause: clauseOf(wanted), present: clauseOf(present) }));
  return all.filter(({ clause, present: had }) => clause !== had);
}

const ALL_CLAUSES: readonly (readonly [string, (settings: Settings) => string])[] = [
  ['REQUIRE', ({ tls }) => `REQUIRE ${requirement(tls)}`],
  [
    'limits',
    ({ limits: { queries, updates, connections, sessions } }) =>
      `WITH MAX_QUERIES_PER_HOUR ${queries} MAX_UPDATES_PER_HOUR ${updates} MAX_CONNECTIONS_PER_HOUR ${connections} MAX_USER_CONNECTIONS ${sessions}`,
  ],
  [
    'PASSWORD EXPIRE',
    ({ lifetimeDays: days }) =>
      `PASSWORD EXPIRE ${days === 0 ? 'NEVER' : days === null ? 'DEFAULT' : `INTERVAL ${days} DAY`}`,
  ],
  ['PASSWORD HISTORY', ({ history }) => `PASSWORD HISTORY ${history ?? 'DEFAULT'}`],
  [
    'PASSWORD REUSE INTERVAL',
    ({ reuseDays: days }) => `PASSWORD REUSE INTERVAL ${days === null ? 'DEFAULT' : `${days} DAY`}`,
  ],
  [
    'PASSWORD REQUIRE CURRENT',
    ({ requireCurrent }) =>
      `PASSWORD REQUIRE CURRENT${requireCurrent === null ? ' DEFAULT' : requireCurrent === 'N' ? ' OPTIONAL' : ''}`,
  ],
  [
    'FAILED_LOGIN_ATTEMPTS',
    ({ lockout }) => {
      const { failed_login_attempts: attempts = 0, password_lock_time_days: days = 0 } = lockout ?? {};
      return `FAILED_LOGIN_ATTEMPTS ${attempts} PASSWORD_LOCK_TIME ${days < 0 ? 'UNBOUNDED' : days}`;
    },
  ],
];

function requirement({ type, subject, issuer, cipher }: Settings['tls']): string {
  if (type === '') return 'NONE';
  if (type === 'ANY') return 'SSL';
  if (type === 'X509') return 'X509';
  const parts = Object.entries({ SUBJECT: subject, ISSUER: issuer, CIPHER: cipher }).filter(([, text]) => text !== '');
  return parts.map(([word, text]) => `${word} ${literal(text)}`).join(' AND ');
}

/** Where a privilege is given. */
export type Level = Pick<Grant, 'on' | 'database'>;

type Permission = Pick<Step, 'allowed' | 'remedy'>;

/** What the administrator may do to users, by its own rights and those of the roles that it has. */
export interface Authority {
  /** To give or take privileges, one must have them and the grant option. */
  grant(level: Level, privileges: readonly string[]): Permission;
  delegate(kind: DelegableKind, what: string): Permission;
  /** To make a user, or change its settings. */
  alter(): Permission;
  /** To see the sessions of others. */
  process(): Permission;
}

const GRANT_OPTION = 'GRANT OPTION';

export function authorityOf({ admin: { account, holders }, accounts, partialRevokes: literally }: Snapshot): Authority {
  const everywhere: Level = { on: '*.*', database: undefined };
  const isOf = (database: string | undefined, pattern: string | undefined) =>
    database !== undefined &&
    pattern !== undefined &&
    (database === pattern || (!literally && isLike(database, pattern)));
  const has = ({ on, database }: Level, privilege: string): boolean =>
    holders.some(({ grants, restrictions }) =>
      grants.some(({ on: where, database: pattern, privileges }) => {
        if (!privileges.includes(privilege)) return false;
        if (where === on) return true;
        if (where === '*.*')
          return !restrictions.some((one) => one.privilege === privilege && one.database === database);
        return where.endsWith('.*') && isOf(database, pattern);
      }),
    );
  const global = (privilege: string): Permission => ({
    allowed: has(everywhere, privilege),
    remedy: `GRANT ${privilege} ON *.* TO ${account};`,
  });
  const dynamic = (name: string, mustDelegate: boolean) =>
    holders.some((holder) => holder.dynamic.some((one) => one.name === name && (one.delegable || !mustDelegate)));
  return {
    grant(level, privileges) {
      const named = except(privileges, [GRANT_OPTION]);
      return {
        allowed: [...named, GRANT_OPTION].every(
          (privilege) => has(level, privilege) || has(level, privilege.replace(/ \(.*$/s, '')),
        ),
        remedy: `GRANT ${named.join(', ') || 'USAGE'} ON ${level.on} TO ${account} WITH GRANT OPTION;`,
      };
    },
    delegate(kind, what) {
      const own = (name: string) =>
        holders.some((holder) => holder[kind].some((one) => one.name === name && one.delegable));
      switch (kind) {
        case 'dynamic':
          return { allowed: dynamic(what, true), remedy: `GRANT ${what} ON *.* TO ${account} WITH GRANT OPTION;` };
        case 'roles':
          return {
            allowed: dynamic('ROLE_ADMIN', false) || own(what),
            remedy: `GRANT ${what} TO ${account} WITH ADMIN OPTION;`,
          };
        case 'proxies':
          return {
            allowed: own(what) || own(accountName('', '')),
            remedy: `GRANT PROXY ON ${what} TO ${account} WITH GRANT OPTION;`,
          };
      }
    },
    alter() {
      const protectedUser = accounts.some((one) => one.dynamic.some(({ name }) => name === 'SYSTEM_USER'));
      if (protectedUser && !dynamic('SYSTEM_USER', false))
        return { allowed: false, remedy: `GRANT SYSTEM_USER ON *.* TO ${account};` };
      return global('CREATE USER');
    },
    process: () => global('PROCESS'),
  };
}

/** As MySQL reads a pattern of databases: `_` is any character, `%` any number of them, `\` takes that from the next. */
export function isLike(name: string, pattern: string): boolean {
  const source = pattern.replaceAll(/\\?(.)/gsu, (part, character: string) => {
    if (part === '%') return '.*';
    if (part === '_') return '.';
    return /[\w\s]/.test(character) ? character : `\\u{${character.codePointAt(0)?.toString(16)}}`;
  });
  return new RegExp(`^${source}$`, 'su').test(name);
}

const except = (all: readonly string[], some: readonly string[]): readonly string[] =>
  all.filter((one) => !some.includes(one));
