import type { Grant, Membership, Role, Setting, Snapshot } from './postgres-catalog.ts';
import { quoteLiteral as literal, quoteIdentifier as name } from './postgres-connection.ts';
import type { DefaultGrant } from './postgres-default-privileges.ts';

/*
 * How two PostgreSQL users come to be able to do the same.
 *
 * One of them, the holder, has all rights; the other, the heir, has nothing of its own and inherits from it:
 * `GRANT holder TO heir WITH INHERIT TRUE, SET FALSE`. The first user is the holder and its clone the heir, as with
 * the clones that AWS's function makes, and they stay so whichever of them is current. Therefore
 *  - a grant, its GRANT OPTION, ownership and what is granted later hold for both at once (M7 in test/catalogue.md),
 *    and a REVOKE does too: there is no copy that could bring it back (M8);
 *  - without SET the heir cannot become the holder, and so cannot change its password (M3). That option exists since
 *    PostgreSQL 16, hence the version asked for. The holder is no member of the heir at all;
 *  - what the heir was given directly moves to the holder when the heir is current, and is taken away when it is not;
 *    those that the heir passed it on to keep it;
 *  - what the heir creates belongs to the heir: the holder gets all rights on it at once, by default privileges, and
 *    becomes its owner with the next rotation (M2).
 * Three things are not inherited and are kept equal instead: the attributes of a role, its settings, and the roles
 * it may SET ROLE to. For those the current user is right.
 *
 * PostgreSQL 15 knows no SET FALSE. There the heir is a plain member, as AWS's function makes it, and can become the
 * holder: for those who accept that. In return it may SET ROLE to whatever the holder may.
 */

/** One statement that makes a difference go away. */
export interface Step {
  /** The difference, as a sentence. */
  readonly why: string;
  readonly sql: string;
  /** Who has to run it, when not the administrator as itself: the grantor of what it changes. */
  readonly as?: string;
  /** Roles that the administrator must have the rights of, meanwhile. */
  readonly owners?: readonly string[];
  /** What a superuser should run instead when the administrator may not. */
  readonly remedy: string;
  /** Takes no right from either user, so that nobody has to wait for it. */
  readonly mayWait?: boolean;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Differences that a person has to settle, with the statement where there is one. */
  readonly unsettled: readonly string[];
}

/** A snapshot in which both users exist. */
export type PairSnapshot = Snapshot & { readonly current: Role; readonly alternate: Role };

/** What to do so that the alternate user can do exactly what the current one can; nothing, when it can. */
export function planRights(snapshot: PairSnapshot): Plan {
  const { current, alternate, heirIsCurrent } = snapshot;
  const [heir, holder] = heirIsCurrent ? [current, alternate] : [alternate, current];
  const family: Family = { ...snapshot, heir, holder };
  return {
    steps: [
      ...attributes(family),
      ...inheritance(family),
      ...otherMemberships(family),
      ...directGrants(family),
      ...ownership(family),
      ...defaultGrants(family),
      ...settings(family),
    ],
    unsettled: [...unsettled(family)],
  };
}

/** Who carries steps out, and by which rules. */
type Acting = Pick<Snapshot, 'admin' | 'membershipOptions'>;

export const createRole = (snapshot: Acting, role: string): Step => ({
  why: `${role} does not exist`,
  sql: `CREATE ROLE ${name(role)} NOLOGIN`,
  remedy: mayCreateRoles(snapshot),
});

/** Last of all, so that a login with this password implies that the rights were done. */
export const giveLogin = (snapshot: Acting, role: Role, verifier: string): Step => ({
  why: 'the pending password is not in use',
  sql: `ALTER ROLE ${name(role.name)} LOGIN PASSWORD ${literal(verifier)}`,
  remedy: mayAlter(snapshot, role),
});

interface Family extends PairSnapshot {
  readonly heir: Role;
  readonly holder: Role;
}

const mayCreateRoles = ({ admin }: Acting): string => `ALTER ROLE ${name(admin.name)} CREATEROLE;`;

/** Since PostgreSQL 16: CREATEROLE, and ADMIN OPTION on each role that the administrator did not create (M1). */
export function mayAlter(snapshot: Acting, role: Role, orElse = ''): string {
  if (!role.administered && snapshot.membershipOptions)
    return `GRANT ${name(role.name)} TO ${name(snapshot.admin.name)} WITH ADMIN OPTION;`;
  return snapshot.admin.createRole ? orElse : mayCreateRoles(snapshot);
}

/** Attributes that a role has or has not. */
export const FLAGS = [
  ['createDb', 'CREATEDB'],
  ['createRole', 'CREATEROLE'],
  ['replication', 'REPLICATION'],
  ['bypassRls', 'BYPASSRLS'],
  ['inherit', 'INHERIT'],
] as const;

function* attributes(family: Family): Iterable<Step> {
  const { current, alternate } = family;
  const alter = (why: string, clause: string): Step => {
    const sql = `ALTER ROLE ${name(alternate.name)} ${clause}`;
    return { why, sql, remedy: mayAlter(family, alternate, `${sql};`) };
  };
  for (const [flag, word] of FLAGS)
    if (current[flag] !== alternate[flag] && (flag !== 'inherit' || family.membershipOptions))
      yield alter(`${alternate.name} ${current[flag] ? 'lacks' : 'has'} ${word}`, current[flag] ? word : `NO${word}`);
  if (current.connectionLimit !== alternate.connectionLimit)
    yield alter(`${alternate.name} has another CONNECTION LIMIT`, `CONNECTION LIMIT ${current.connectionLimit}`);
  if (current.validUntil !== alternate.validUntil)
    yield alter(`${alternate.name} has another VALID UNTIL`, `VALID UNTIL ${literal(current.validUntil)}`);
}

/** The heir has the holder's rights, and has them only that way. */
function* inheritance(family: Family): Iterable<Step> {
  const { heir, holder, memberships, membershipOptions } = family;
  const links = memberships.filter(({ role, member }) => role === holder.name && member === heir.name);
  const link = grantMembership(family, { role: holder.name, admin: false, inherit: true, set: false }, heir);
  if (!links.some(({ inherit }) => inherit))
    yield {
      why: `${heir.name} does not have the rights of ${holder.name}`,
      sql: link,
      remedy: mayAlter(family, holder, `${link};`),
    };
  if (!membershipOptions) yield* plainInheritance(family, links);
  else
    for (const { grantor, set, admin } of links)
      if (set || admin)
        yield {
          why: `${heir.name} may become ${holder.name}, and so change its password`,
          sql: link,
          ...acting(family, grantor),
          remedy: `${link} GRANTED BY ${name(grantor)};`,
        };
}

/** The attribute INHERIT is about all memberships of a role, and the heir has no other. */
function* plainInheritance(family: Family, links: readonly Membership[]): Iterable<Step> {
  const { heir, holder } = family;
  const inherit = `ALTER ROLE ${name(heir.name)} INHERIT`;
  if (!heir.inherit)
    yield {
      why: `${heir.name} has NOINHERIT, and so not the rights of ${holder.name}`,
      sql: inherit,
      remedy: `${inherit};`,
    };
  const revoke = `REVOKE ADMIN OPTION FOR ${name(holder.name)} FROM ${name(heir.name)}`;
  if (links.some(({ admin }) => admin))
    yield { why: `${heir.name} may give ${holder.name} to others`, sql: revoke, remedy: `${revoke};` };
}

/**
 * Memberships in further roles. To SET ROLE one needs SET all along the way, and the way by the holder has none: so
 * where the holder may SET ROLE, the heir gets a membership that lets it do that and nothing else. By this shape,
 * SET without INHERIT, such a mirror is told from what a person granted.
 */
function* otherMemberships(family: Family): Iterable<Step> {
  const { heir, holder, heirIsCurrent, memberships, membershipOptions } = family;
  const elsewhere = memberships.filter(({ role }) => role !== heir.name && role !== holder.name);
  const ofHeir = elsewhere.filter(({ member }) => member === heir.name);
  const ofHolder = elsewhere.filter(({ member }) => member === holder.name);

  for (const membership of ofHeir) {
    const { role, grantor } = membership;
    const shared = membershipOptions && ofHolder.some((other) => other.role === role && other.set);
    if (isMirror(family, membership) && (shared || heirIsCurrent)) continue; // the latter is for a person: see unsettled()
    // A role that the heir made is the holder's as well, like an object; what its maker has no administrator could take.
    const stays = membership.ofMaker;
    const change = (why: string, sql: string): Step => ({
      why,
      sql,
      ...(stays ? { as: heir.name } : actingOnMembership(family, grantor)),
      remedy: `${sql};`,
    });
    const why = `${heir.name} is a member of ${role} by itself`;
    if ((heirIsCurrent || stays) && !ofHolder.some((other) => covers(other, membership)))
      yield change(
        `${holder.name} is not the member of ${role} that ${heir.name} is`,
        grantMembership(family, together(membership, ofHolder), holder),
      );
    if (stays) continue;
    const mirrored = shared || (membershipOptions && heirIsCurrent && membership.set);
    yield change(why, mirrored ? mirror(role, heir) : `REVOKE ${name(role)} FROM ${name(heir.name)}`);
  }
  if (!membershipOptions) return;

  for (const { role, set, grantor, administered } of ofHolder) {
    const had = ofHeir.filter((other) => other.role === role);
    if (!set || had.some(({ ofMaker }) => !ofMaker)) continue;
    // What the maker has is of a superuser, who as administrator would change it instead of granting anew.
    const giver = had[0] ?? (administered ? undefined : ofHolder.find((other) => other.role === role && other.admin));
    yield {
      why: `${heir.name} may not SET ROLE ${role}`,
      sql: mirror(role, heir),
      ...(giver ? { as: giver.member } : administered ? {} : acting(family, grantor)),
      remedy: `${mirror(role, heir)};`,
    };
  }
}

const isMirror = ({ membershipOptions }: Snapshot, { admin, inherit, set }: Membership): boolean =>
  membershipOptions && set && !inherit && !admin;

const mirror = (role: string, heir: Role): string =>
  `GRANT ${name(role)} TO ${name(heir.name)} WITH ADMIN FALSE, INHERIT FALSE, SET TRUE`;

export const covers = (one: Membership, other: Membership): boolean =>
  one.role === other.role && one.admin >= other.admin && one.inherit >= other.inherit && one.set >= other.set;

/** A membership with what others in the same role allow: a grantor has one for each member, and GRANT sets all its options anew. */
export function together(membership: Membership, others: readonly Membership[]) {
  const { role } = membership;
  const all = [membership, ...others.filter((other) => other.role === role)];
  return {
    role,
    admin: all.some(({ admin }) => admin),
    inherit: all.some(({ inherit }) => inherit),
    set: all.some(({ set }) => set),
  };
}

export function grantMembership(
  { membershipOptions }: Pick<Snapshot, 'membershipOptions'>,
  { role, admin, inherit, set }: Pick<Membership, 'role' | 'admin' | 'inherit' | 'set'>,
  member: { readonly name: string },
): string {
  const grant = `GRANT ${name(role)} TO ${name(member.name)}`;
  if (membershipOptions) return `${grant} WITH ADMIN ${admin}, INHERIT ${inherit}, SET ${set}`;
  return admin ? `${grant} WITH ADMIN OPTION` : grant;
}

function directGrants(family: Family): Iterable<Step> {
  const { heir, holder, heirIsCurrent, heirGrants } = family;
  return moveGrants(family, heirGrants, new Map([[heir.name, heirIsCurrent ? holder.name : undefined]]));
}

/**
 * What roles were granted by themselves goes to others. Whoever they passed it on to keeps it: from those others, or
 * else from the owner of the object. CASCADE would take that, and what was passed on after this was read.
 * @param heads role → who gets what it has; undefined: nobody
 */
export function* moveGrants(
  snapshot: Acting,
  grants: readonly Grant[],
  heads: ReadonlyMap<string, string | undefined>,
): Iterable<Step> {
  const isHead = (role: string | null): role is string => role !== null && heads.has(role);
  const giverOf = ({ grantor, owner }: Grant) => (isHead(grantor) ? (heads.get(grantor) ?? owner) : grantor);
  const receiverOf = ({ grantee }: Grant) => (isHead(grantee) ? heads.get(grantee) : grantee);
  const change = (grant: Grant, as: string, sql: string): Step => ({
    why: isHead(grant.grantee)
      ? `${grant.grantee} was granted ${grant.privileges} on ${grant.object} by itself`
      : `${grant.grantor} passed ${grant.privileges} on ${grant.object} on to ${grant.grantee ?? 'PUBLIC'}`,
    sql,
    ...acting(snapshot, as),
    // A superuser's GRANT and REVOKE are those of the owner.
    remedy: as === grant.owner ? `${sql};` : `SET ROLE ${name(as)}; ${sql}; RESET ROLE;`,
  });
  const spelled = (role: string | null) => (role === null ? 'PUBLIC' : name(role));
  // Who passes something on has it before, and is left with it after.
  const distance = ({ grantor, grantee }: Grant) => (isHead(grantor) ? 1 : 0) + (isHead(grantee) ? 0 : 1);
  const nearestFirst = grants.toSorted((one, other) => distance(one) - distance(other));

  for (const grant of nearestFirst) {
    const [giver, receiver] = [giverOf(grant), receiverOf(grant)];
    const option = grant.grantable ? ' WITH GRANT OPTION' : '';
    if (receiver !== undefined && receiver !== giver)
      yield change(grant, giver, `GRANT ${grant.privileges} ON ${grant.object} TO ${spelled(receiver)}${option}`);
  }
  for (const grant of nearestFirst.toReversed())
    yield change(grant, grant.grantor, `REVOKE ${grant.privileges} ON ${grant.object} FROM ${spelled(grant.grantee)}`);
}

function* ownership(family: Family): Iterable<Step> {
  const { heir, holder, heirOwns, database } = family;
  if (heirOwns.length === 0) return;
  const sql = `REASSIGN OWNED BY ${name(heir.name)} TO ${name(holder.name)}`;
  yield {
    why: `${heir.name} owns ${heirOwns.map(({ object }) => object).join(', ')} in database ${database}`,
    // The holder can use what it has all rights on; only to alter it, it must be the owner.
    mayWait: heirOwns.every(({ shared }) => shared),
    sql,
    owners: [heir.name, holder.name],
    remedy: holder.administered ? mayAlter(family, heir, `${sql};`) : mayAlter(family, holder, `${sql};`),
  };
}

function* defaultGrants(family: Family): Iterable<Step> {
  const { heir, holder, current, alternate, heirIsCurrent, heirDefaultGrants, kindsNotShared } = family;
  const alter = (grant: DefaultGrant, change: string, why: string, remedy?: string): Step => {
    const sql = changeDefault(grant, change);
    return { why, sql, ...acting(family, grant.owner), remedy: remedy ?? `${sql};` };
  };

  for (const grant of heirDefaultGrants) {
    const why = `${heir.name} would be granted ${grant.privilege} on ${grant.kind} of ${grant.owner} by itself`;
    if (heirIsCurrent) yield alter(grant, giveDefault({ ...grant, grantee: name(holder.name) }), why);
    yield alter(grant, takeDefault(grant), why);
  }

  // What others may do with a new object must not depend on which of the two created it.
  const ofCurrent = family.defaultGrants.filter(({ owner }) => owner === current.name);
  const ofAlternate = family.defaultGrants.filter(({ owner }) => owner === alternate.name);
  const remedy = mayAlter(family, alternate) || undefined;
  for (const grant of ofAlternate)
    if (!ofCurrent.some((other) => sameDefault(other, grant)))
      yield alter(
        grant,
        takeDefault(grant),
        `${grant.grantee} gets ${grant.privilege} on ${grant.kind} of ${alternate.name} alone`,
        remedy,
      );
  for (const grant of ofCurrent)
    if (!ofAlternate.some((other) => sameDefault(other, grant)))
      yield alter(
        { ...grant, owner: alternate.name },
        giveDefault(grant),
        `${grant.grantee} gets ${grant.privilege} on ${grant.kind} of ${current.name} alone`,
        remedy,
      );

  for (const kind of kindsNotShared) {
    const sql = `ALTER DEFAULT PRIVILEGES FOR ROLE ${name(heir.name)} GRANT ALL ON ${kind} TO ${name(holder.name)}`;
    yield {
      why: `${holder.name} could not use ${kind} that ${heir.name} creates`,
      sql,
      as: heir.name,
      remedy: mayAlter(family, heir, `${sql};`),
    };
  }
}

export function changeDefault({ owner, schema }: DefaultGrant, change: string): string {
  const where = schema === null ? '' : ` IN SCHEMA ${schema}`;
  return `ALTER DEFAULT PRIVILEGES FOR ROLE ${name(owner)}${where} ${change}`;
}

export const giveDefault = ({ privilege, kind, grantee, grantable }: DefaultGrant): string =>
  `GRANT ${privilege} ON ${kind} TO ${grantee}${grantable ? ' WITH GRANT OPTION' : ''}`;

export const takeDefault = ({ privilege, kind, grantee }: DefaultGrant): string =>
  `REVOKE ${privilege} ON ${kind} FROM ${grantee}`;

export const sameDefault = (one: DefaultGrant, other: DefaultGrant): boolean =>
  one.schema === other.schema &&
  one.kind === other.kind &&
  one.grantee === other.grantee &&
  one.privilege === other.privilege &&
  one.grantable === other.grantable;

function* settings(family: Family): Iterable<Step> {
  const { current, alternate, heir, holder } = family;
  // A known way around M2 is ALTER ROLE … SET role; it needs the SET that lets one user take the other over.
  const isTakeOver = ({ name: setting, value }: Setting) =>
    setting === 'role' && (value === heir.name || value === holder.name);
  const alter = (role: Role, setting: Setting, change: string, why: string): Step => {
    const where = setting.database === null ? '' : ` IN DATABASE ${name(setting.database)}`;
    const sql = `ALTER ROLE ${name(role.name)}${where} ${change}`;
    return { why, sql, remedy: mayAlter(family, role, `${sql};`) };
  };
  const reset = (role: Role, setting: Setting, why: string) =>
    alter(role, setting, `RESET ${settingName(setting.name)}`, why);

  for (const role of family.membershipOptions ? [heir, holder] : [])
    for (const setting of family.settings)
      if (setting.role === role.name && isTakeOver(setting))
        yield reset(role, setting, `${role.name} always acts as ${setting.value}`);

  const kept = family.settings.filter((setting) => !isTakeOver(setting));
  const find = (role: Role, { database, name: setting }: Setting) =>
    kept.find((other) => other.role === role.name && other.database === database && other.name === setting);
  for (const setting of kept) {
    const why = `the setting ${setting.name} differs`;
    if (setting.role === alternate.name && find(current, setting) === undefined) yield reset(alternate, setting, why);
    if (setting.role === current.name && find(alternate, setting)?.value !== setting.value)
      yield alter(alternate, setting, `SET ${settingName(setting.name)} TO ${settingValue(setting)}`, why);
  }
}

/** An extension's setting has a dot between two identifiers. */
export const settingName = (setting: string): string => setting.split('.').map(name).join('.');

/** PostgreSQL stores these as a list of identifiers and wants each of them quoted; all others are one literal. */
const LISTS = new Set([
  'local_preload_libraries',
  'search_path',
  'session_preload_libraries',
  'shared_preload_libraries',
  'temp_tablespaces',
  'unix_socket_directories',
]);

export function settingValue({ name: setting, value }: Pick<Setting, 'name' | 'value'>): string {
  if (!LISTS.has(setting)) return literal(value);
  const items = value.match(/"(?:[^"]|"")*"|[^,\s]+/g) ?? [''];
  return items
    .map((item) => (item.startsWith('"') ? item.slice(1, -1).replaceAll('""', '"') : item))
    .map(literal)
    .join(', ');
}

function* unsettled(family: Family): Iterable<string> {
  const { current, alternate, heir, holder, heirIsCurrent, memberships, database } = family;
  if (current.superuser || alternate.superuser)
    yield `${(current.superuser ? current : alternate).name} is a superuser: take that away, or use the strategy single-user`;

  for (const role of family.membershipOptions && !current.superuser ? family.superusersToBecome : [])
    yield `${current.name} may SET ROLE ${role}, a superuser, and take any user over: REVOKE ${name(role)} FROM ${name(current.name)}; or use the strategy single-user`;

  const links = memberships.filter(({ role, member }) => role === holder.name && member === heir.name);
  if (family.membershipOptions && family.heirMayBecomeHolder && !heir.superuser && !links.some(({ set }) => set))
    yield `${heir.name} may become ${holder.name} by way of another role: revoke that membership, or its SET option`;

  for (const membership of memberships) {
    const { role, member } = membership;
    if (!heirIsCurrent || member !== heir.name || role === holder.name || !isMirror(family, membership)) continue;
    if (memberships.some((other) => other.member === holder.name && other.role === role && other.set)) continue;
    yield `${heir.name} may SET ROLE ${role} and ${holder.name} may not: GRANT ${name(role)} TO ${name(holder.name)}; or REVOKE ${name(role)} FROM ${name(heir.name)};`;
  }

  for (const policy of family.heirPolicies)
    yield `${policy} in database ${database} names ${heir.name} and not ${holder.name}: name ${holder.name}, it holds for both`;
  for (const policy of family.policiesByUser)
    yield `${policy} in database ${database} goes by the name of the user, and ${alternate.name} would see other rows: ask pg_has_role(current_user, …, 'USAGE') instead, which is true for both, name both, or use user-pair`;
  for (const { user, server } of family.mappings)
    yield user === current.name
      ? `${alternate.name} has no user mapping for the foreign server ${server}: CREATE USER MAPPING FOR ${name(alternate.name)} SERVER ${name(server)} OPTIONS (…);`
      : `${alternate.name} alone has a user mapping for the foreign server ${server}: DROP USER MAPPING FOR ${name(alternate.name)} SERVER ${name(server)};`;
  yield* labels(family);

  if (family.ownSchemas.length > 0 && family.searchPath.includes('"$user"'))
    yield `"$user" in search_path means schema ${family.ownSchemas.join(' or ')} for one of the users only: ALTER ROLE ${name(current.name)} SET search_path TO ${family.searchPath.replace('"$user"', name(family.ownSchemas[0] ?? ''))};`;
}

/** Only with its provider loaded could one be set, and that has its own idea of who may. */
function* labels({ labels: all, current, alternate }: Family): Iterable<string> {
  const [wanted, present] = [current, alternate].map(({ name: user }) => all.filter((label) => label.user === user));
  for (const provider of new Set(all.map((label) => label.provider))) {
    const [one, other] = [wanted, present].map((labels) => labels?.find((label) => label.provider === provider)?.label);
    if (one !== other)
      yield `the security label of ${provider} differs: SECURITY LABEL FOR ${name(provider)} ON ROLE ${name(alternate.name)} IS ${one === undefined ? 'NULL' : literal(one)};`;
  }
}

/** Only the grantor of something may change it; the administrator then acts as that role. */
export const acting = ({ admin }: Pick<Snapshot, 'admin'>, grantor: string): { as?: string } =>
  grantor === admin.name ? {} : { as: grantor };

/** Before PostgreSQL 16 whoever may give a role may take it back as well. */
export const actingOnMembership = (snapshot: Acting, grantor: string): { as?: string } =>
  snapshot.membershipOptions ? acting(snapshot, grantor) : {};
