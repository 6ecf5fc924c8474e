import type { SecretValue } from '../secrets/secret-value.ts';
import {
  type Account,
  type Administrator,
  accountName,
  type Rights,
  type Snapshot,
  type Target,
  targetSql,
} from './mariadb-catalog.ts';
import { holdsPassword, mayHoldTheSame, requirePasswordMethods } from './mariadb-password.ts';
import { quoteName } from './mysql-connection.ts';

/*
 * How two MariaDB users come to be able to do the same.
 *
 * MariaDB knows no user that inherits from another, so rights are copied, both ways: what the current user has is
 * granted, with its GRANT OPTION (M7 in test/catalogue.md), and what it has not is revoked (M8). A user is several
 * accounts where its clients come from several hosts (M9): the alternate user gets one for each host of the current one,
 * and loses any other, which would take its place for some clients. What is compared are the system tables: the text of
 * SHOW GRANTS has a password's hash in it, and rows that are no grants (M5).
 *
 * What a view, a routine, a trigger or an event may do depends on its DEFINER, and that stays who it is.
 */

/** What makes a difference go away. */
export interface Step {
  /** The difference, as a sentence. */
  readonly why: string;
  /** May hold a password, or what the server keeps of it. */
  readonly statements: readonly string[];
  readonly needs: Need;
  /** A right on a table that does not exist is given together with CREATE alone, and that is taken back. */
  readonly ofMissingTable?: readonly string[] | undefined;
  /** Asks for a column that may no longer exist: then there is nothing to give. */
  readonly column?: Target & { readonly level: 'column' };
  readonly creates?: true;
  /** An account that goes, and what it is the DEFINER of would no longer work. */
  readonly drops?: Account;
}

export interface StepForHost extends Step {
  /** Of the account that it changes. */
  readonly host: string;
}

/** What the administrator must have for a step. */
export type Need =
  | { readonly kind: 'right'; readonly privilege: string; readonly target: Target }
  | { readonly kind: 'grantable'; readonly privileges: readonly string[]; readonly target: Target }
  | { readonly kind: 'role'; readonly role: string };

export const CREATE_USER: Need = { kind: 'right', privilege: 'CREATE USER', target: { level: 'server' } };
/** For SET DEFAULT ROLE … FOR someone else. */
const CHANGE_USERS: Need = { kind: 'right', privilege: 'UPDATE', target: { level: 'database', database: 'mysql' } };

/**
 * What to do so that the alternate user can do exactly what the current one can; nothing, when it can.
 * @param identified the pending password for a new account, as `IDENTIFIED VIA …`; a new account is locked
 * @throws RekeyError DATABASE_UNSUPPORTED
 */
export function planRights(
  { current, alternate }: Pick<Snapshot, 'current' | 'alternate'>,
  user: string,
  identified: (account: Account) => string,
): readonly StepForHost[] {
  const steps: StepForHost[] = [];
  for (const model of current) {
    const { host } = model;
    const add = (...more: readonly Step[]) => steps.push(...more.map((step) => ({ ...step, host })));
    requirePasswordMethods(
      accountName(model),
      model.methods.map(({ plugin }) => plugin),
    );
    const found = alternate.find((account) => account.host === host);
    const account = found ?? { ...BLANK, user, host };
    if (found === undefined)
      add({
        creates: true,
        why: `${label(account)} does not exist`,
        statements: [`CREATE USER ${accountName(account)} ${identified(model)} ACCOUNT LOCK`],
        needs: CREATE_USER,
      });
    else if (model.locked && !found.locked)
      add({
        why: `${label(account)} is not locked, as ${label(model)} is`,
        statements: [`ALTER USER ${accountName(account)} ACCOUNT LOCK`],
        needs: CREATE_USER,
      });
    add(
      ...rights(model, account),
      ...roles(model, account),
      ...defaultRole(model, account),
      ...options(model, account),
    );
  }
  for (const account of alternate)
    if (!current.some(({ host }) => host === account.host))
      steps.push({
        why: `${label(account)} exists, and the current user has no account for that host`,
        statements: [`DROP USER ${accountName(account)}`],
        needs: CREATE_USER,
        drops: account,
        host: account.host,
      });
  return steps;
}

/** A new account before anything was granted to it. */
const BLANK: Omit<Account, 'user' | 'host'> = {
  methods: [],
  options: {
    require: 'REQUIRE NONE',
    limits:
      'MAX_QUERIES_PER_HOUR 0 MAX_UPDATES_PER_HOUR 0 MAX_CONNECTIONS_PER_HOUR 0 MAX_USER_CONNECTIONS 0 MAX_STATEMENT_TIME 0',
    expiry: 'PASSWORD EXPIRE DEFAULT',
  },
  locked: true,
  expired: false,
  defaultRole: null,
  rights: new Map(),
  roles: new Map(),
};

/** For people. */
const label = ({ user, host }: Pick<Account, 'user' | 'host'>): string => (host === '%' ? user : `${user}@${host}`);

const NONE: ReadonlySet<string> = new Set();

function* rights(model: Account, account: Account): Iterable<Step> {
  const taken = new Set<string>();
  for (const { target, privileges } of account.rights.values()) {
    const surplus = without(privileges, model.rights.get(targetSql(target))?.privileges);
    if (surplus.length === 0) continue;
    yield {
      why: `${label(account)} has ${inWords(surplus, target)}`,
      statements: revoke(surplus, target, account),
      needs: { kind: 'grantable', privileges: surplus, target },
    };
    if (target.level === 'proxy') taken.add(targetSql(target));
    // Taken from a table, a privilege is taken from its columns as well.
    if (target.level === 'table') for (const privilege of surplus) taken.add(`${privilege} ${targetSql(target)}`);
  }
  for (const { target, privileges, exists } of model.rights.values()) {
    const had = account.rights.get(targetSql(target))?.privileges ?? NONE;
    const kept = [...had].filter((privilege) => !isTaken(privilege, target, taken));
    const lacking = without(privileges, new Set(kept));
    if (lacking.length === 0 || !exists) continue;
    yield {
      why: `${label(account)} lacks ${inWords(lacking, target)}`,
      statements: grant(lacking, target, account),
      needs: { kind: 'grantable', privileges: lacking, target },
      ...(target.level === 'column' && { column: target }),
      ...(target.level === 'table' && {
        ofMissingTable: [
          ...grant([...lacking, 'CREATE'], target, account),
          ...(privileges.has('CREATE') ? [] : revoke(['CREATE'], target, account)),
        ],
      }),
    };
  }
}

function isTaken(privilege: string, target: Target, taken: ReadonlySet<string>): boolean {
  if (target.level === 'proxy') return taken.has(targetSql(target));
  return target.level === 'column' && taken.has(`${privilege} ${targetSql({ ...target, level: 'table' })}`);
}

const without = (privileges: ReadonlySet<string>, others: ReadonlySet<string> = NONE): readonly string[] =>
  [...privileges].filter((privilege) => !others.has(privilege)).sort();

const inWords = (privileges: readonly string[], target: Target): string =>
  `${privileges.join(', ')} ON ${targetSql(target)}`;

function grant(privileges: readonly string[], target: Target, to: Pick<Account, 'user' | 'host'>): readonly string[] {
  const granted = privileges.filter((privilege) => privilege !== 'GRANT OPTION');
  const option = granted.length < privileges.length ? ' WITH GRANT OPTION' : '';
  const given = packaged(target, `GRANT ${onTarget(granted, target, 'USAGE')} TO ${accountName(to)}${option}`);
  if (target.level !== 'proxy' || granted.length > 0) return given;
  // A proxy right has nothing but itself, and MariaDB keeps the option of a new one only, until it reads its tables again.
  return [...revoke(privileges, target, to), `GRANT PROXY ON ${targetSql(target)} TO ${accountName(to)}${option}`];
}

function revoke(
  privileges: readonly string[],
  target: Target,
  from: Pick<Account, 'user' | 'host'>,
): readonly string[] {
  const revoked = target.level === 'proxy' ? ['PROXY'] : privileges;
  return packaged(target, `REVOKE ${onTarget(revoked, target, 'USAGE')} FROM ${accountName(from)}`);
}

function onTarget(privileges: readonly string[], target: Target, nothing: string): string {
  if (target.level !== 'column') return `${privileges.join(', ') || nothing} ON ${targetSql(target)}`;
  const columns = privileges.map((privilege) => `${privilege} (${quoteName(target.column)})`);
  return `${columns.join(', ')} ON ${targetSql({ ...target, level: 'table' })}`;
}

/** MariaDB 10.11 knows the word PACKAGE in this mode only. */
const packaged = (target: Target, sql: string): readonly string[] =>
  target.level === 'routine' && target.kind.startsWith('PACKAGE')
    ? ["SET SESSION sql_mode = 'ORACLE'", sql, "SET SESSION sql_mode = ''"]
    : [sql];

function* roles(model: Account, account: Account): Iterable<Step> {
  const name = accountName(account);
  const step = (why: string, sql: string, role: string): Step => ({
    why: `${label(account)} ${why}`,
    statements: [sql],
    needs: { kind: 'role', role },
  });
  for (const [role, admin] of account.roles) {
    const wanted = model.roles.get(role);
    if (wanted === undefined) yield step(`is in the role ${role}`, `REVOKE ${quoteName(role)} FROM ${name}`, role);
    else if (admin && !wanted)
      yield step(`may grant the role ${role}`, `REVOKE ADMIN OPTION FOR ${quoteName(role)} FROM ${name}`, role);
  }
  for (const [role, admin] of model.roles) {
    const has = account.roles.get(role);
    if (has === undefined || (admin && !has))
      yield step(
        has === undefined ? `is not in the role ${role}` : `may not grant the role ${role}`,
        `GRANT ${quoteName(role)} TO ${name}${admin ? ' WITH ADMIN OPTION' : ''}`,
        role,
      );
  }
}

function* defaultRole(model: Account, account: Account): Iterable<Step> {
  if (model.defaultRole === account.defaultRole) return;
  const role = model.defaultRole === null ? 'NONE' : quoteName(model.defaultRole);
  yield {
    why: `${label(account)} has the default role ${account.defaultRole ?? 'NONE'} instead of ${model.defaultRole ?? 'NONE'}`,
    statements: [`SET DEFAULT ROLE ${role} FOR ${accountName(account)}`],
    needs: CHANGE_USERS,
  };
}

function* options(model: Account, account: Account): Iterable<Step> {
  const { require, limits, expiry } = model.options;
  const wanted = [
    [require !== account.options.require, require],
    [limits !== account.options.limits, `WITH ${limits}`],
    [expiry !== account.options.expiry, expiry],
  ] as const;
  const clauses = wanted.flatMap(([differs, clause]) => (differs ? [clause] : []));
  if (clauses.length === 0) return;
  yield {
    why: `${label(account)} differs in ${clauses.join(' ')}`,
    statements: [`ALTER USER ${accountName(account)} ${clauses.join(' ')}`],
    needs: CREATE_USER,
  };
}

/**
 * Last of all, so that a login with this password implies that the rights were done. An account that has it already is
 * left alone: a server that remembers passwords would refuse it as used before.
 */
export function giveLogin(
  { current, alternate }: Pick<Snapshot, 'current' | 'alternate'>,
  password: SecretValue,
  identified: (account: Account) => string,
): readonly Step[] {
  const pairs = pairsOf(current, alternate);
  const has = ([model, account]: Pair) =>
    !account.expired && samePlugins(model, account) && holdsPassword(account.methods, password);
  const given = pairs
    .filter((pair) => !has(pair))
    .map(([model, account]) => `${accountName(account)} ${identified(model)}`);
  const unlocked = pairs.filter((pair) => has(pair) && pair[1].locked).map(([, account]) => accountName(account));
  const why = 'the pending password is not in use';
  return [given, unlocked]
    .filter((accounts) => accounts.length > 0)
    .map((accounts) => ({
      why,
      statements: [`ALTER USER ${accounts.join(', ')} ACCOUNT UNLOCK`],
      needs: CREATE_USER,
    }));
}

/** What the next password will make right, one sentence each. */
export function loginDifferences({ current, alternate }: Pick<Snapshot, 'current' | 'alternate'>): readonly string[] {
  const pairs = pairsOf(current, alternate);
  const [first, ...others] = pairs.map(([, account]) => account);
  const found: string[] = [];
  for (const [model, account] of pairs) {
    if (!samePlugins(model, account))
      found.push(`${label(account)} does not log in by ${model.methods.map(({ plugin }) => plugin).join(' or ')}`);
    if (account.expired) found.push(`the password of ${label(account)} has expired`);
  }
  if (first !== undefined && others.some(({ locked }) => locked !== first.locked))
    found.push(`some accounts of ${first.user} are locked and others are not`);
  if (first !== undefined && others.some(({ methods }) => !mayHoldTheSame(first.methods, methods)))
    found.push(`the accounts of ${first.user} do not all have the same password`);
  return found;
}

type Pair = readonly [model: Account, account: Account];

/** The accounts that are to be logged in with, each with that of the current user. */
const pairsOf = (current: readonly Account[], alternate: readonly Account[]): readonly Pair[] =>
  current.flatMap((model) => {
    const account = alternate.find(({ host }) => host === model.host);
    return model.locked || account === undefined ? [] : [[model, account] as const];
  });

const samePlugins = (one: Account, other: Account): boolean =>
  one.methods.map(({ plugin }) => plugin).join() === other.methods.map(({ plugin }) => plugin).join();

/** What the two differ in, one sentence each. That an account which is not there lacks rights goes without saying. */
export function differencesIn(steps: readonly StepForHost[]): readonly string[] {
  const absent = new Set(steps.filter(({ creates }) => creates).map(({ host }) => host));
  return steps.filter(({ creates, host }) => creates || !absent.has(host)).map(({ why }) => why);
}

/** The statement after which the administrator may take the step. */
export function remedyFor({ name }: Administrator, need: Need): string {
  switch (need.kind) {
    case 'right':
      return `GRANT ${need.privilege} ON ${targetSql(need.target)} TO ${name};`;
    case 'role':
      return `GRANT ${quoteName(need.role)} TO ${name} WITH ADMIN OPTION;`;
    case 'grantable': {
      const privileges = need.privileges.filter((privilege) => privilege !== 'GRANT OPTION');
      const nothing = need.target.level === 'proxy' ? 'PROXY' : 'USAGE';
      return `GRANT ${onTarget(privileges, need.target, nothing)} TO ${name} WITH GRANT OPTION;`;
    }
  }
}

/** Whether the administrator's rights are enough, as far as they tell: the server has the last word. */
export function isMet(admin: Administrator, need: Need): boolean {
  const has = (privilege: string, target: Target) =>
    admin.rights.some((rights) => rights.privileges.has(privilege) && covers(rights, target));
  switch (need.kind) {
    case 'right':
      return has(need.privilege, need.target);
    case 'role':
      return admin.roles.has(need.role);
    case 'grantable':
      return [...need.privileges, 'GRANT OPTION'].every((privilege) => has(privilege, need.target));
  }
}

/** Whether a right on the one reaches the other. */
function covers({ target: wide }: Rights, target: Target): boolean {
  if (target.level === 'proxy')
    return wide.level === 'proxy' && ['', target.user].includes(wide.user) && ['%', target.host].includes(wide.host);
  if (wide.level === 'server') return true;
  if (wide.level === 'proxy' || target.level === 'server') return false;
  if (wide.level === 'database')
    return target.level === 'database' && isPattern(target.database)
      ? wide.database === target.database
      : matches(wide.database, target.database);
  if (wide.level === 'table' && target.level === 'column')
    return wide.database === target.database && wide.name === target.name;
  return targetSql(wide) === targetSql(target);
}

const isPattern = (database: string): boolean => /(?<!\\)[%_]/.test(database);

/** `_` and `%` of a database's name in GRANT; a backslash takes their meaning away. */
export function matches(pattern: string, database: string): boolean {
  const source = pattern.replaceAll(/\\(.)|[\s\S]/g, (part, escaped: string | undefined) => {
    if (escaped === undefined && part === '%') return '[\\s\\S]*';
    if (escaped === undefined && part === '_') return '[\\s\\S]';
    return (escaped ?? part).replaceAll(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 'i').test(database.replaceAll(/\\([%_])/g, '$1'));
}
