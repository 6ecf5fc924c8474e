import { RekeyError } from '../operations/errors.ts';
import type { Membership, Role, Setting } from './postgres-catalog.ts';
import { quoteLiteral as literal, quoteIdentifier as name } from './postgres-connection.ts';
import type { DefaultGrant } from './postgres-default-privileges.ts';
import type { PeerSnapshot } from './postgres-peer-catalog.ts';
import {
  acting,
  actingOnMembership,
  changeDefault,
  covers,
  createRole,
  FLAGS,
  giveDefault,
  grantMembership,
  mayAlter,
  moveGrants,
  type Step,
  sameDefault,
  settingName,
  settingValue,
  takeDefault,
  together,
} from './postgres-rights.ts';

/*
 * How two PostgreSQL users become peers (M12 in test/catalogue.md).
 *
 * A third role, which cannot log in, has all rights and owns everything. Both users are members of it and act as it
 * from the start of a session (`ALTER ROLE … SET role`), so that
 *  - what either creates is at once the other's as well (M2), and a grant or a REVOKE is one for both (M7, M8);
 *  - neither is a member of the other, so neither can become the other or change its password (M3);
 *  - each changes its own password after SET ROLE NONE, and no administrator is needed for that.
 * What a role does not inherit is the same for both: attributes, settings, memberships, of which they have no other.
 */

export interface Peers {
  readonly current: string;
  readonly alternate: string;
}

const roleNamed = ({ roles }: PeerSnapshot, wanted: string): Role | undefined =>
  roles.find((role) => role.name === wanted);

/** The role that a user acts as from the start of its sessions. */
const actsAs = ({ settings }: PeerSnapshot, user: string): string | undefined =>
  settings.find(({ role, database, name: setting }) => role === user && database === null && setting === 'role')?.value;

/** What the two differ in within this database, one sentence each; the same whichever of them is named first. */
export function peerDifferencesIn(snapshot: PeerSnapshot, { current, alternate }: Peers): readonly string[] {
  const [first = current, second = alternate] = [current, alternate].sort();
  const [one, two] = [roleNamed(snapshot, first), roleNamed(snapshot, second)];
  if (one === undefined || two === undefined) return [`${one === undefined ? first : second} does not exist`];
  return [...new Set(differences(snapshot, one, two))];
}

function* differences(snapshot: PeerSnapshot, one: Role, two: Role): Iterable<string> {
  for (const { name: user, superuser } of [one, two]) if (superuser) yield `${user} is a superuser`;
  for (const { user, victim } of snapshot.takeOvers) yield `${user} may become ${victim}, or change its password`;

  for (const [flag, word] of FLAGS)
    if (one[flag] !== two[flag])
      yield `${one[flag] ? one.name : two.name} has ${word} and ${one[flag] ? two.name : one.name} has not`;
  if (one.connectionLimit !== two.connectionLimit) yield 'they have different CONNECTION LIMITs';
  if (one.validUntil !== two.validUntil) yield 'their passwords are VALID UNTIL different times';

  const ofEither = new Set([one.name, two.name]);
  const [owner, other] = [one, two].map(({ name: user }) => actsAs(snapshot, user));
  const shared = owner === other ? owner : undefined;
  const memberships = snapshot.memberships
    .filter(({ role }) => !ofEither.has(role)) // those: see takeOvers
    .filter((membership) => !(membership.ofMaker && isCovered(snapshot, membership, shared)));
  yield* oneSided(
    memberships,
    ({ member }) => member,
    ({ role, admin, inherit, set }) =>
      [`a member of ${role}`, admin && 'WITH ADMIN OPTION', !inherit && 'without INHERIT', !set && 'without SET']
        .filter(Boolean)
        .join(' '),
    (user, what, other) => `${user} is ${what} and ${other} is not`,
  );
  yield* oneSided(
    snapshot.settings,
    ({ role }) => role,
    ({ name: setting, value, database }) => `${setting} = ${value}${database === null ? '' : ` in ${database}`}`,
    (user, what, other) => `${user} has the setting ${what} and ${other} has not`,
  );
  yield* oneSided(
    snapshot.labels,
    ({ user }) => user,
    ({ provider, label }) => `the security label ${label} of ${provider}`,
    (user, what, other) => `${user} has ${what} and ${other} has not`,
  );
  yield* oneSided(
    snapshot.grants,
    ({ grantee }) => grantee,
    ({ privileges, object, grantable }) => `${privileges} on ${object}${grantable ? ' WITH GRANT OPTION' : ''}`,
    (user, what, other) => `${user} was granted ${what} and ${other} was not`,
  );
  yield* oneSided(
    snapshot.grantsToCome,
    ({ grantee }) => spelled(grantee),
    ({ privilege, kind, owner, schema, grantable }) =>
      `${privilege} on ${kind} of ${owner}${schema === null ? '' : ` in ${schema}`}${grantable ? ' WITH GRANT OPTION' : ''}`,
    (user, what, other) => `${user} will be granted ${what} and ${other} will not`,
    name,
  );
  yield* oneSided(
    snapshot.defaultGrants,
    ({ owner }) => owner,
    ({ grantee, privilege, kind, schema, grantable }) =>
      `${grantee} ${privilege} on ${kind}${schema === null ? '' : ` in ${schema}`}${grantable ? ' WITH GRANT OPTION' : ''}`,
    (user, what, other) => `${user} gives ${what} that it creates and ${other} does not`,
  );
  yield* oneSided(
    snapshot.mappings,
    ({ user }) => user,
    ({ server }) => `the foreign server ${server}`,
    (user, what, other) => `${user} has a user mapping for ${what} and ${other} has none`,
  );

  for (const { user, object } of snapshot.owns)
    if (ofEither.has(user)) yield `${user} owns ${object} in database ${snapshot.database} by itself`;
  for (const { user, database, even } of snapshot.elsewhere)
    if (!even) yield `${user} has something of its own in database ${database}`;
  for (const { policy, roles } of snapshot.policies)
    for (const [user, other] of pairsOf(one.name, two.name))
      if (roles.includes(user) && !roles.includes(other)) yield `${policy} names ${user} and not ${other}`;

  const together = actsAs(snapshot, one.name) !== undefined; // as the same role, or it is a difference already
  if (!together && snapshot.ownSchemas.length > 0 && snapshot.searchPath.includes('"$user"'))
    yield `"$user" in search_path means schema ${snapshot.ownSchemas.join(' or ')} for one of the users only`;

  function* oneSided<Item>(
    items: readonly Item[],
    userOf: (item: Item) => string | null,
    describe: (item: Item) => string,
    sentence: (user: string, what: string, other: string) => string,
    spelled: (user: string) => string = (user) => user,
  ): Iterable<string> {
    for (const [user, other] of pairsOf(one.name, two.name)) {
      const theirs = new Set(items.filter((item) => userOf(item) === spelled(other)).map(describe));
      for (const item of items)
        if (userOf(item) === spelled(user) && !theirs.has(describe(item))) yield sentence(user, describe(item), other);
    }
  }
}

const pairsOf = (one: string, two: string) =>
  [
    [one, two],
    [two, one],
  ] as const;

/** Before there is any: the role that will own what the two create. */
export const ownerNameFor = (user: string): string => `${user}_owner`;

/**
 * The owner of the two: whom the first of them acts as already, or the role of that name.
 * @throws RekeyError USERNAME_INVALID when a role is in the way
 */
export function ownerOf(snapshot: PeerSnapshot, { current, alternate }: Peers): string {
  const acted = actsAs(snapshot, current);
  const owner = acted ?? ownerNameFor(current);
  if (owner === alternate || owner === current)
    throw new RekeyError('USERNAME_INVALID', `${owner} cannot be one of the users and their owner`);
  const role = roleNamed(snapshot, owner);
  if (role === undefined) return owner;
  const isMember = snapshot.memberships.some(({ role, member }) => role === owner && member === current);
  if (role.login || !isMember)
    throw new RekeyError(
      'USERNAME_INVALID',
      `there is a role ${owner} already, which is not the owner of what ${current} uses`,
      `Rename that role, or, if it is meant to own what both users create: ALTER ROLE ${name(owner)} NOLOGIN; GRANT ${name(owner)} TO ${name(current)};`,
    );
  return owner;
}

/** What a person has to settle before the two can act as their owner. */
export function* obstacles(snapshot: PeerSnapshot, { current, alternate }: Peers, owner: string): Iterable<string> {
  for (const { name: user, superuser } of snapshot.roles)
    if (superuser) yield `${user} is a superuser: take that away, or use the strategy single-user`;
  for (const { policy, roles, statement, readsUser } of snapshot.policies) {
    const named = [current, alternate].find((user) => roles.includes(user));
    if (named !== undefined && !roles.includes(owner))
      yield `${policy} in database ${snapshot.database} names ${named}, and the session will be that of ${owner}: ${statement}, ${name(owner)};`;
    if (readsUser && actsAs(snapshot, current) === undefined && (named !== undefined || roles.includes('public')))
      yield `${policy} in database ${snapshot.database} compares with the current user, which will be ${owner}: let it compare with something else`;
  }
  const mapped = (user: string) => snapshot.mappings.filter((mapping) => mapping.user === user);
  for (const { server } of mapped(current))
    if (!mapped(owner).some((other) => other.server === server))
      yield `${owner} will need the user mapping that ${current} has: CREATE USER MAPPING FOR ${name(owner)} SERVER ${name(server)} OPTIONS (…);`;
  if (snapshot.ownSchemas.length > 0 && snapshot.searchPath.includes('"$user"'))
    yield `"$user" in search_path will mean ${owner}: ALTER ROLE ${name(current)} SET search_path TO ${snapshot.searchPath.replace('"$user"', name(snapshot.ownSchemas[0] ?? ''))};`;
}

/** The roles, and that both users have the rights of the owner: nothing is taken from anyone. */
export function* foundation(snapshot: PeerSnapshot, { current, alternate }: Peers, owner: string): Iterable<Step> {
  for (const missing of [owner, alternate])
    if (roleNamed(snapshot, missing) === undefined) yield createRole(snapshot, missing);
  for (const user of [current, alternate]) {
    const link = { role: owner, admin: false, inherit: true, set: true };
    const links = snapshot.memberships.filter(({ role, member }) => role === owner && member === user);
    if (!links.some(({ admin, inherit, set }) => !admin && inherit && set))
      yield step(snapshot, `${user} is no member of ${owner}`, grantMembership(snapshot, link, { name: user }), owner);
  }
}

/** Whose rights the current user has: its own, and in an alternating pair those of the user it inherits from. */
function sourcesOf({ memberships }: PeerSnapshot, { current, alternate }: Peers): readonly string[] {
  return memberships.some(({ role, member }) => role === alternate && member === current)
    ? [current, alternate]
    : [current];
}

/** What the two own in this database becomes their owner's. */
export function* ownership(snapshot: PeerSnapshot, { current, alternate }: Peers, owner: string): Iterable<Step> {
  for (const user of [current, alternate])
    if (snapshot.owns.some((owned) => owned.user === user)) {
      const sql = `REASSIGN OWNED BY ${name(user)} TO ${name(owner)}`;
      yield { ...step(snapshot, `${user} owns something by itself`, sql, user, owner), owners: [user, owner] };
    }
}

/** Rights in this database: the owner gets what the current user was given, and the two keep nothing by themselves. */
export function* rightsHere(snapshot: PeerSnapshot, peers: Peers, owner: string): Iterable<Step> {
  const { current, alternate } = peers;
  const sources = sourcesOf(snapshot, peers);
  const getsRightsOf = (user: string) => [user, sources.includes(user) ? owner : undefined] as const;
  yield* moveGrants(snapshot, snapshot.grants, new Map([current, alternate].map(getsRightsOf)));

  for (const grant of snapshot.grantsToCome) {
    const user = [current, alternate].find((candidate) => name(candidate) === spelled(grant.grantee));
    if (user === undefined || grant.owner === current || grant.owner === alternate) continue;
    const why = `${user} would be granted ${grant.privilege} on ${grant.kind} of ${grant.owner} by itself`;
    const change = (sql: string) => ({
      ...step(snapshot, why, changeDefault(grant, sql)),
      ...acting(snapshot, grant.owner),
    });
    if (sources.includes(user)) yield change(giveDefault({ ...grant, grantee: name(owner) }));
    yield change(takeDefault(grant));
  }
  yield* defaultsOf(snapshot, peers, owner);
}

/** What PostgreSQL gives to PUBLIC without being told. */
const BUILT_IN_GRANTS = [
  { privilege: 'EXECUTE', kind: 'FUNCTIONS' },
  { privilege: 'USAGE', kind: 'TYPES' },
].map((grant) => ({ ...grant, schema: null, grantee: 'PUBLIC', grantable: false }));

/** Default privileges are those of who creates: from now on the owner. The two go back to what is built in. */
function* defaultsOf(snapshot: PeerSnapshot, { current, alternate }: Peers, owner: string): Iterable<Step> {
  const among = [current, alternate, owner].map(name);
  const of = (user: string) =>
    snapshot.defaultGrants.filter((grant) => grant.owner === user && !among.includes(spelled(grant.grantee)));
  const builtIn = (user: string) => BUILT_IN_GRANTS.map((grant): DefaultGrant => ({ ...grant, owner: user }));
  const alter = (grant: DefaultGrant, sql: string): Step => ({
    ...step(snapshot, `${grant.owner} has default privileges of its own`, changeDefault(grant, sql), grant.owner),
    ...acting(snapshot, grant.owner),
  });
  const missingFrom = (grants: readonly DefaultGrant[], others: readonly DefaultGrant[]) =>
    grants.filter((grant) => !others.some((other) => sameDefault(other, grant)));

  for (const grant of missingFrom(of(current), [...builtIn(current), ...of(owner)]))
    yield alter({ ...grant, owner }, giveDefault(grant));
  for (const grant of missingFrom(builtIn(current), of(current)))
    if (of(owner).some((other) => sameDefault(other, grant))) yield alter({ ...grant, owner }, takeDefault(grant));
  for (const user of [current, alternate]) {
    for (const grant of missingFrom(
      snapshot.defaultGrants.filter((other) => other.owner === user),
      builtIn(user),
    ))
      yield alter(grant, takeDefault(grant));
    for (const grant of missingFrom(builtIn(user), of(user))) yield alter(grant, giveDefault(grant));
  }
}

/** What is not of one database: memberships, attributes, settings. */
export function* rightsEverywhere(snapshot: PeerSnapshot, peers: Peers, owner: string): Iterable<Step> {
  const { current, alternate } = peers;
  const [first, second, third] = [current, alternate, owner].map((wanted) => roleNamed(snapshot, wanted));
  if (first === undefined || second === undefined || third === undefined) return;

  yield* memberships(snapshot, peers, owner);

  // The session is the owner's: what it may create is an attribute of the owner.
  for (const [flag, word] of FLAGS) {
    if (first[flag] && !third[flag]) yield alter(third, `lacks ${word}`, word);
    if (first[flag] !== second[flag]) yield alter(second, `differs in ${word}`, first[flag] ? word : `NO${word}`);
  }
  if (first.connectionLimit !== second.connectionLimit)
    yield alter(second, 'has another CONNECTION LIMIT', `CONNECTION LIMIT ${first.connectionLimit}`);
  if (first.validUntil !== second.validUntil)
    yield alter(second, 'has another VALID UNTIL', `VALID UNTIL ${literal(first.validUntil)}`);

  const of = (user: string) => snapshot.settings.filter(({ role }) => role === user);
  const same = (one: Setting, other: Setting) => one.name === other.name && one.database === other.database;
  const set = (role: Role, { database, name: setting, value }: Setting, sql?: string) =>
    alter(
      role,
      `has another setting of ${setting}`,
      `${database === null ? '' : `IN DATABASE ${name(database)} `}${sql ?? `SET ${settingName(setting)} TO ${settingValue({ name: setting, value })}`}`,
    );
  const asOwner: Setting = { role: current, database: null, name: 'role', value: owner };
  const wanted = [...of(current).filter((setting) => !same(setting, asOwner)), asOwner];
  for (const role of [first, second])
    for (const setting of wanted)
      if (of(role.name).find((other) => same(other, setting))?.value !== setting.value) yield set(role, setting);
  for (const setting of of(alternate))
    if (!wanted.some((other) => same(other, setting))) yield set(second, setting, `RESET ${settingName(setting.name)}`);

  function alter(role: Role, why: string, clause: string): Step {
    return step(snapshot, `${role.name} ${why}`, `ALTER ROLE ${name(role.name)} ${clause}`, role.name);
  }
}

function* memberships(snapshot: PeerSnapshot, peers: Peers, owner: string): Iterable<Step> {
  const users = [peers.current, peers.alternate];
  const sources = sourcesOf(snapshot, peers);
  const covered = (wanted: Membership) => isCovered(snapshot, wanted, owner);
  const theirs = snapshot.memberships.filter(({ member }) => member === owner || sources.includes(member));
  for (const membership of snapshot.memberships) {
    const { role, member, grantor, admin } = membership;
    if (!users.includes(member)) continue;
    const why = `${member} is a member of ${role} by itself`;
    const asGrantor = actingOnMembership(snapshot, grantor);
    if (role === owner) {
      const revoke = `REVOKE ADMIN OPTION FOR ${name(owner)} FROM ${name(member)}`;
      if (admin) yield { ...step(snapshot, `${member} may give ${owner} to others`, revoke), ...asGrantor };
      continue;
    }
    // What the maker of a role has of it no administrator could take; it is the owner's to give all the same.
    const giver = membership.ofMaker ? { as: member } : asGrantor;
    if (!users.includes(role) && (sources.includes(member) || membership.ofMaker) && !covered(membership)) {
      const grant = grantMembership(snapshot, together(membership, theirs), { name: owner });
      yield { ...step(snapshot, why, grant), ...giver };
    }
    if (membership.ofMaker && !users.includes(role)) continue;
    yield { ...step(snapshot, why, `REVOKE ${name(role)} FROM ${name(member)}`), ...asGrantor };
  }
}

const isCovered = ({ memberships: all }: PeerSnapshot, wanted: Membership, owner: string | undefined): boolean =>
  all.some((membership) => membership.member === owner && covers(membership, wanted));

/** @param altered roles that the administrator must have power over */
function step(snapshot: PeerSnapshot, why: string, sql: string, ...altered: readonly string[]): Step {
  const lacking = altered
    .map((wanted) => roleNamed(snapshot, wanted))
    .map((role) => (role === undefined ? '' : mayAlter(snapshot, role)))
    .find((remedy) => remedy !== '');
  return { why, sql, remedy: lacking ?? `${sql};` };
}

/** The catalogue quotes a name only where it has to; here all names are quoted. */
const spelled = (identifier: string): string =>
  identifier.startsWith('"') || identifier === 'PUBLIC' ? identifier : `"${identifier}"`;
