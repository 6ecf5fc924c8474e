import { RekeyError } from '../operations/errors.ts';
import type { UserPair } from './port.ts';
import type { Connection } from './postgres-connection.ts';
import {
  type BuiltInDefault,
  type DefaultGrant,
  defaultQuestions,
  grantsByDefault,
  grantsToCome,
  kindsNotShared,
  type StoredDefault,
} from './postgres-default-privileges.ts';

/**
 * What PostgreSQL's catalogue says of two users and of what the second has of its own: everything that
 * postgres-rights.ts needs to decide. Names are as stored; `object` is quoted, ready for a statement.
 */
export interface Snapshot extends Belongings {
  /** Whether a membership has INHERIT and SET options of its own: since PostgreSQL 16. */
  readonly membershipOptions: boolean;
  readonly database: string;
  readonly admin: { readonly name: string; readonly superuser: boolean; readonly createRole: boolean };
  readonly current: Role | null;
  readonly alternate: Role | null;
  /** Of the two, the one that inherits from the other: the alternate, unless the current user is a member of it. */
  readonly heirIsCurrent: boolean;
  /** The heir may become the holder, by whatever chain of memberships. */
  readonly heirMayBecomeHolder: boolean;
  /** Superusers that the current user may become, by whatever chain of memberships. */
  readonly superusersToBecome: readonly string[];
  /** The memberships of either user, those in each other included. */
  readonly memberships: readonly Membership[];
  /** Memberships that the administrator granted to itself: to be put back as they were. */
  readonly adminMemberships: readonly Pick<Membership, 'role' | 'inherit' | 'set'>[];
  readonly settings: readonly Setting[];
  readonly labels: readonly SecurityLabel[];
  /** Privileges granted to the heir itself on objects that others will create. */
  readonly heirDefaultGrants: readonly DefaultGrant[];
  /** What either user grants on objects that it will create, to anyone but the two. */
  readonly defaultGrants: readonly DefaultGrant[];
  /** Kinds of object, e.g. TABLES, that the holder could not use if the heir created one. */
  readonly kindsNotShared: readonly string[];
  /** Schemas named like one of the two, where `"$user"` in the current user's search_path finds one. */
  readonly ownSchemas: readonly string[];
  readonly searchPath: string;
}

/**
 * What the heir has of its own, and user mappings of either. `shared`: the holder has all rights on it that default
 * privileges give.
 */
export interface Belongings {
  /** Privileges granted to the heir itself on objects that it does not own, and what it granted to others with them. */
  readonly heirGrants: readonly Grant[];
  /** Objects of this database that the heir owns; temporary ones left out, they end with their session. */
  readonly heirOwns: readonly { readonly object: string; readonly shared: boolean }[];
  /** Other databases where the heir has something of its own, or either of the two a user mapping. */
  readonly elsewhere: readonly { readonly database: string; readonly shared: boolean }[];
  /** Row-level policies that name the heir and not the holder, e.g. `policy p on public.t`. */
  readonly heirPolicies: readonly string[];
  /** Row-level policies on what the two may use that go by the name of the user, and not by the names of both. */
  readonly policiesByUser: readonly string[];
  /** Foreign servers of this database that one of the two has a mapping for and the other has not. */
  readonly mappings: readonly { readonly user: string; readonly server: string }[];
}

export const NO_BELONGINGS: Belongings = {
  heirGrants: [],
  heirOwns: [],
  elsewhere: [],
  heirPolicies: [],
  policiesByUser: [],
  mappings: [],
};

export interface Role {
  readonly name: string;
  readonly login: boolean;
  /** The administrator may grant it and, with CREATEROLE, alter it. */
  readonly administered: boolean;
  readonly superuser: boolean;
  readonly createDb: boolean;
  readonly createRole: boolean;
  readonly replication: boolean;
  readonly bypassRls: boolean;
  readonly inherit: boolean;
  /** -1: unlimited */
  readonly connectionLimit: number;
  /** As PostgreSQL writes it; `infinity` when there is none. */
  readonly validUntil: string;
}

export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly grantor: string;
  readonly admin: boolean;
  readonly inherit: boolean;
  readonly set: boolean;
  /** The member made the role: PostgreSQL gives it ADMIN OPTION in the name of a superuser, who alone may take it back. */
  readonly ofMaker: boolean;
  /** The administrator may grant the role to others. */
  readonly administered: boolean;
}

export interface Setting {
  readonly role: string;
  /** Null: in every database. */
  readonly database: string | null;
  readonly name: string;
  readonly value: string;
}

/** What a module goes by that was loaded for it, e.g. to mask what a user may see. */
export interface SecurityLabel {
  readonly user: string;
  readonly provider: string;
  readonly label: string;
}

export interface Grant {
  /** As GRANT names it, e.g. `TABLE public.t`. */
  readonly object: string;
  readonly owner: string;
  /** E.g. `INSERT, SELECT`, or `SELECT (id)` for a column. */
  readonly privileges: string;
  readonly grantable: boolean;
  readonly grantor: string;
  /** Null: everybody. */
  readonly grantee: string | null;
}

/*
 * Any user may read all of this: what a snapshot tells does not depend on who asks.
 *
 * It is asked in small statements, all sent at once: PostgreSQL plans them in half the time that it takes to plan
 * a single one. Each sees the catalogue as it is by then, as pg_has_role() and its like do in any statement.
 *
 * `version` is that of the server, the major one.
 */

/** Some roles, as arrays in SQL. Their OIDs are had without pg_roles, a view that costs more. */
export interface RolesInSql {
  readonly names: string;
  readonly oids: string;
}

const oidOf = (name: string): string => `to_regrole(quote_ident(${name}))`;

/** @param names as SQL literals */
export const rolesNamed = (names: readonly string[]): RolesInSql => ({
  names: `ARRAY[${names.join(', ')}]::name[]`,
  oids: `ARRAY[${names.map(oidOf).join(', ')}]::oid[]`,
});

/** @param query for names, in a column `name` */
export const rolesFrom = (query: string): RolesInSql => ({
  names: `ARRAY(SELECT name::name FROM (${query}) AS named)`,
  oids: `ARRAY(SELECT ${oidOf('name')}::oid FROM (${query}) AS named)`,
});

/** What the catalogue is asked of some roles, whether they alternate or are peers: the rows of each answer. */
export interface RoleFacts {
  readonly asker: readonly (Snapshot['admin'] & Pick<Snapshot, 'database'>)[];
  readonly roles: readonly Role[];
  readonly memberships: readonly Membership[];
  readonly askerMemberships: Snapshot['adminMemberships'];
  /** Those of the roles, and with `role` null of everybody. */
  readonly settings: readonly (Omit<Setting, 'role'> & { readonly role: string | null })[];
  readonly labels: readonly SecurityLabel[];
  readonly storedDefaults: readonly StoredDefault[];
  readonly builtInDefaults: readonly BuiltInDefault[];
  readonly schemas: readonly { readonly schema: string }[];
}

/** A statement for each fact. */
export type Questions<Facts> = { readonly [Fact in keyof Facts]: string };

export const roleQuestions = (version: number, { names, oids }: RolesInSql): Questions<RoleFacts> => ({
  asker: `SELECT rolname AS name, rolsuper AS superuser, rolcreaterole AS "createRole", current_database() AS database
    FROM pg_roles WHERE rolname = current_user`,
  roles: `SELECT rolname AS name, rolcanlogin AS login, rolsuper AS superuser, rolcreatedb AS "createDb", rolcreaterole AS "createRole",
      rolreplication AS replication, rolbypassrls AS "bypassRls", rolinherit AS inherit,
      rolconnlimit AS "connectionLimit", coalesce(rolvaliduntil::text, 'infinity') AS "validUntil",
      ${administers(version, 'r.oid')} AS administered
    FROM pg_roles r WHERE rolname = ANY (${names})`,
  memberships: `SELECT pg_get_userbyid(roleid) AS role, pg_get_userbyid(member) AS member, pg_get_userbyid(grantor) AS grantor,
      admin_option AS admin, ${membershipOptions(version)}, ${ofMaker(version)} AS "ofMaker", ${mayGive('m.roleid')} AS administered
    FROM pg_auth_members m WHERE member = ANY (${oids})`,
  askerMemberships: `SELECT pg_get_userbyid(roleid) AS role, ${membershipOptions(version)}
    FROM pg_auth_members WHERE member = ${oidOf('current_user')}${version < 16 ? '' : ' AND grantor = member'}`,
  settings: `SELECT CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole) END AS role, datname AS database,
      split_part(line, '=', 1) AS name, substr(line, strpos(line, '=') + 1) AS value
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS line LEFT JOIN pg_database d ON d.oid = setdatabase
    WHERE setrole = 0 OR setrole = ANY (${oids})`,
  labels: `SELECT pg_get_userbyid(objoid) AS "user", provider, label
    FROM pg_shseclabel WHERE classoid = 'pg_authid'::regclass AND objoid = ANY (${oids})`,
  ...defaultQuestions(version, oids),
  schemas: `SELECT nspname AS schema FROM pg_namespace WHERE nspname = ANY (${names})`,
});

/** Before 16 a member may SET ROLE, and inherits as its attribute says. */
const membershipOptions = (version: number): string =>
  version < 16 ? 'true AS inherit, true AS set' : 'inherit_option AS inherit, set_option AS set';

/** By what CREATE ROLE gives its maker, in the name of the superuser that initdb made. */
const ofMaker = (version: number): string =>
  version < 16 ? 'false' : 'grantor = 10 AND admin_option AND NOT inherit_option AND NOT set_option';

/**
 * Whether who asks may give others a role, which takes ADMIN OPTION among the rights that it has: to be a member of who
 * has it is not enough.
 * @param role an expression of SQL for its OID
 */
const mayGive = (role: string): string =>
  `((SELECT rolsuper FROM pg_roles WHERE rolname = current_user) OR EXISTS (SELECT FROM pg_auth_members a
    WHERE a.roleid = ${role} AND a.admin_option AND pg_has_role(current_user, a.member, 'USAGE')))`;

/**
 * Whether who asks may grant a role and, with CREATEROLE, alter it. To be asked of few: PostgreSQL goes through all
 * memberships of an administrator for each, who has as many as roles were made.
 * @param role an expression of SQL for its OID
 */
const administers = (version: number, role: string): string =>
  `(pg_has_role(current_user, ${role}, 'MEMBER WITH ADMIN OPTION')${
    // Before 16, CREATEROLE is power over every role that is no superuser.
    version < 16
      ? ` OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = ${role})
        AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)`
      : ''
  })`;

/**
 * All in one round trip.
 * @param first statements to run before
 */
export async function ask<Facts extends object>(
  connection: Connection,
  questions: Questions<Facts>,
  ...first: readonly string[]
): Promise<Facts> {
  const answers = await connection.queryEach([...first, ...Object.values<string>(questions)]);
  return Object.fromEntries(Object.keys(questions).map((fact, at) => [fact, answers[first.length + at]])) as Facts;
}

/** What users have of their own, which takes longer to find: asked only where there may be something. */
export async function askForBelongings<Found>(connection: Connection, sql: string): Promise<Found> {
  const [found] = await connection.query<{ belongings: Found }>(sql);
  if (found === undefined) throw noAnswer();
  return found.belongings;
}

const noAnswer = () => new RekeyError('DATABASE_ERROR', 'the catalogue gave no answer');

/** What answers say of who asked and of the two users, the same for users that alternate and for peers. */
export function commonFacts(
  { asker, memberships, askerMemberships, settings, labels, schemas }: RoleFacts,
  version: number,
  { current, alternate }: Pick<UserPair, 'current' | 'alternate'>,
) {
  const [found] = asker;
  if (found === undefined) throw noAnswer();
  const { database, ...admin } = found;
  const searchPaths = settings
    .filter(({ name, role }) => name === 'search_path' && (role === null || role === current))
    .filter((setting) => setting.database === null || setting.database === database)
    // A role's goes before everybody's, and what holds in one database before what holds in all.
    .sort((one, other) => rank(other) - rank(one));
  const ofEither = (name: string | null): name is string => name === current || name === alternate;
  return {
    membershipOptions: version >= 16,
    database,
    admin,
    memberships,
    adminMemberships: askerMemberships,
    settings: settings.filter((setting): setting is Setting => setting.role !== null),
    labels: labels.filter(({ user }) => ofEither(user)),
    ownSchemas: schemas.map(({ schema }) => schema).filter(ofEither),
    searchPath: searchPaths[0]?.value ?? '"$user", public',
  };
}

const rank = ({ role, database }: { readonly role: string | null; readonly database: string | null }): number =>
  (role === null ? 0 : 2) + (database === null ? 0 : 1);

/** Everything that a right may be granted on, in this database. */
export const OBJECT = `
  object (object, owner, acl, part) AS (
    SELECT 'DATABASE ' || quote_ident(datname), datdba, datacl, '' FROM pg_database
    UNION ALL SELECT 'SCHEMA ' || quote_ident(nspname), nspowner, nspacl, '' FROM pg_namespace
      WHERE NOT pg_is_other_temp_schema(oid) AND oid <> pg_my_temp_schema()
    UNION ALL SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || oid::regclass, relowner, relacl, ''
      FROM pg_class WHERE relacl IS NOT NULL AND relpersistence <> 't'
    UNION ALL SELECT 'TABLE ' || c.oid::regclass, relowner, attacl, ' (' || quote_ident(attname) || ')'
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
      WHERE attacl IS NOT NULL AND NOT attisdropped AND relpersistence <> 't'
    UNION ALL SELECT 'ROUTINE ' || oid::regprocedure, proowner, proacl, '' FROM pg_proc
    -- regtype would write what GRANT does not read, e.g. double precision.
    UNION ALL SELECT format('TYPE %s.%I', typnamespace::regnamespace, typname), typowner, typacl, '' FROM pg_type
    UNION ALL SELECT 'LANGUAGE ' || quote_ident(lanname), lanowner, lanacl, '' FROM pg_language
    UNION ALL SELECT 'FOREIGN DATA WRAPPER ' || quote_ident(fdwname), fdwowner, fdwacl, '' FROM pg_foreign_data_wrapper
    UNION ALL SELECT 'FOREIGN SERVER ' || quote_ident(srvname), srvowner, srvacl, '' FROM pg_foreign_server
    UNION ALL SELECT 'TABLESPACE ' || quote_ident(spcname), spcowner, spcacl, '' FROM pg_tablespace
    UNION ALL SELECT 'LARGE OBJECT ' || oid, lomowner, lomacl, '' FROM pg_largeobject_metadata
    UNION ALL SELECT 'PARAMETER ' || quote_ident(parname), 10, paracl, '' FROM pg_parameter_acl)`;

/**
 * What roles were granted on objects of others, and what they granted to others with that. Beside {@link OBJECT} it
 * stands on what belongs to them, without which nothing is searched.
 * @param roles a query for their OIDs
 */
export const grantsOf = (roles: string): string => `
  granted AS MATERIALIZED (
    SELECT object, owner, part, privilege_type, is_grantable, grantor, grantee FROM object CROSS JOIN aclexplode(acl)
    WHERE acl IS NOT NULL AND EXISTS (SELECT FROM belonging WHERE here AND deptype = 'a')
      AND (grantee IN (${roles}) OR grantor IN (${roles}))),
  own_grant AS (
    SELECT object, pg_get_userbyid(owner) AS owner,
      string_agg(privilege_type || part, ', ' ORDER BY privilege_type || part) AS privileges, is_grantable AS grantable,
      pg_get_userbyid(grantor) AS grantor, CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END AS grantee
    FROM granted g
    -- What somebody granted stays when the right to do so was on the whole table, and is gone, and this on a column.
    WHERE owner <> grantor AND grantor IN (${roles}) AND EXISTS (
        SELECT FROM granted o WHERE is_grantable AND (o.object, o.privilege_type, o.grantee) = (g.object, g.privilege_type, g.grantor))
      OR owner <> grantee AND grantee IN (${roles})
    GROUP BY object, owner, is_grantable, grantor, grantee)`;

/** acldefault() calls sequences by another letter than pg_default_acl does. */
const BUILT_IN = `acldefault(CASE letter WHEN 'S' THEN 's' ELSE letter END::"char", owner)`;

/** What a row of pg_policy compares, as text. */
export const POLICY_TEXT = `concat(pg_get_expr(polqual, polrelid), ' ', pg_get_expr(polwithcheck, polrelid))`;

/** Whether that has the name of who asks in it. */
export const readsUser = (text: string): string =>
  `${text} ~ '(?<![''"])\\m(CURRENT_USER|CURRENT_ROLE|SESSION_USER|USER)\\M'`;

/** The two users, and which of them inherits from the other. */
const pairAndKin = (current: string, alternate: string): string => `
  pair AS MATERIALIZED (
    SELECT c.oid AS current, a.oid AS alternate,
      EXISTS (SELECT FROM pg_auth_members WHERE roleid = a.oid AND member = c.oid) AS "heirIsCurrent"
    FROM (VALUES (0)) AS one LEFT JOIN pg_roles c ON c.rolname = ${current} LEFT JOIN pg_roles a ON a.rolname = ${alternate}),
  kin AS MATERIALIZED (
    SELECT CASE WHEN "heirIsCurrent" THEN current ELSE alternate END AS heir,
      CASE WHEN "heirIsCurrent" THEN alternate ELSE current END AS holder
    FROM pair)`;

/**
 * Of what depends on a user, in the whole server, what is its own. Memberships and user mappings are looked at by
 * themselves, and of default privileges those that are for it count alone.
 */
const ITS_OWN = `refclassid = 'pg_authid'::regclass
      AND classid NOT IN ('pg_auth_members'::regclass, 'pg_user_mapping'::regclass)
      AND (classid <> 'pg_default_acl'::regclass OR deptype = 'a')`;

const BELONGING = `
  belonging AS (
    SELECT dbid, classid, objid, objsubid, deptype,
      dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AS here
    FROM kin JOIN pg_shdepend ON refobjid = heir AND ${ITS_OWN}),
  mapped AS (
    SELECT dbid, refobjid AS owner, dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS here
    FROM pair JOIN pg_shdepend ON refobjid IN (current, alternate) AND refclassid = 'pg_authid'::regclass
    WHERE classid = 'pg_user_mapping'::regclass)`;

/** What the catalogue is asked of two users that alternate: everything but what they have of their own. */
export interface PairFacts extends RoleFacts {
  /** Of the two, who may become the other, by whatever chain of memberships. */
  readonly successors: readonly { readonly user: string }[];
  /** Superusers that the current user may become in the same way. */
  readonly superusers: readonly { readonly name: string }[];
  /** Whose belongings there may be. */
  readonly belongings: readonly {
    readonly ofCurrent: boolean;
    readonly ofAlternate: boolean;
    readonly ofEither: boolean;
  }[];
}

/** @param current,alternate as SQL literals */
export function pairQuestions(version: number, current: string, alternate: string): Questions<PairFacts> {
  const pair = rolesNamed([current, alternate]);
  const [one, other] = [oidOf(current), oidOf(alternate)];
  const become = version < 16 ? "'MEMBER'" : "'SET'";
  return {
    ...roleQuestions(version, pair),
    successors: `SELECT ${current} AS "user" WHERE pg_has_role(${one}, ${other}, ${become})
      UNION ALL SELECT ${alternate} WHERE pg_has_role(${other}, ${one}, ${become})`,
    superusers: `SELECT rolname AS name FROM pg_roles WHERE rolsuper AND pg_has_role(${one}, oid, ${become})`,
    belongings: `SELECT EXISTS (SELECT FROM pg_shdepend WHERE refobjid = ${one} AND ${ITS_OWN}) AS "ofCurrent",
      EXISTS (SELECT FROM pg_shdepend WHERE refobjid = ${other} AND ${ITS_OWN}) AS "ofAlternate",
      EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (${pair.oids})
        AND classid = 'pg_user_mapping'::regclass)
      -- Nothing is recorded of the superuser that initdb made: it is pinned.
      OR ${one} = 10
      -- Those for everybody depend on nobody.
      OR EXISTS (SELECT FROM pg_policy) AS "ofEither"`,
  };
}

/**
 * What the answers to {@link pairQuestions} come to, and whether to ask for {@link belongingsSql}. Mostly there are none,
 * and finding that out is a tenth of the work.
 */
export function pairSnapshot(
  facts: PairFacts,
  version: number,
  { current, alternate }: Pick<UserPair, 'current' | 'alternate'>,
): Omit<Snapshot, keyof Belongings> & { readonly mayHaveBelongings: boolean } {
  const common = commonFacts(facts, version, { current, alternate });
  const find = (user: string) => facts.roles.find(({ name }) => name === user) ?? null;
  const heirIsCurrent = common.memberships.some(({ role, member }) => role === alternate && member === current);
  const [heir, holder] = heirIsCurrent ? [current, alternate] : [alternate, current];
  const existing = [heir, holder].filter((user) => find(user) !== null);
  return {
    ...common,
    current: find(current),
    alternate: find(alternate),
    heirIsCurrent,
    heirMayBecomeHolder: facts.successors.some(({ user }) => user === heir),
    superusersToBecome: facts.superusers.map(({ name }) => name),
    heirDefaultGrants: grantsToCome(facts, [heir]),
    defaultGrants: existing.flatMap((owner) => grantsByDefault(facts, owner, existing)),
    kindsNotShared: find(heir) === null ? [] : kindsNotShared(facts, heir, holder),
    mayHaveBelongings: facts.belongings.some((of) => of.ofEither || (heirIsCurrent ? of.ofCurrent : of.ofAlternate)),
  };
}

/** Where the heir has any: see {@link Belongings}. The parameters are those of {@link pairQuestions}. */
export const belongingsSql = (current: string, alternate: string): string => `
WITH ${OBJECT}, ${pairAndKin(current, alternate)}, ${BELONGING},
  ${grantsOf('SELECT heir FROM kin')},
  -- Kinds without rights of their own, an operator for example, can be used by anyone.
  owned_acl AS (
    SELECT classid, objid, letter, acl FROM belonging, LATERAL (
      SELECT CASE relkind WHEN 'S' THEN 'S' ELSE 'r' END, relacl FROM pg_class
        WHERE classid = 'pg_class'::regclass AND oid = objid AND relkind IN ('r', 'S', 'v', 'm', 'f', 'p')
      UNION ALL SELECT 'f', proacl FROM pg_proc WHERE classid = 'pg_proc'::regclass AND oid = objid
      UNION ALL SELECT 'T', typacl FROM pg_type WHERE classid = 'pg_type'::regclass AND oid = objid
      UNION ALL SELECT 'n', nspacl FROM pg_namespace WHERE classid = 'pg_namespace'::regclass AND oid = objid
      UNION ALL SELECT 'd', datacl FROM pg_database WHERE classid = 'pg_database'::regclass AND oid = objid
      UNION ALL SELECT 'L', lomacl FROM pg_largeobject_metadata WHERE classid = 'pg_largeobject'::regclass AND oid = objid
      UNION ALL SELECT 'F', fdwacl FROM pg_foreign_data_wrapper
        WHERE classid = 'pg_foreign_data_wrapper'::regclass AND oid = objid
      -- a foreign server, whose letter SEQUENCES have here: the same rights as a wrapper
      UNION ALL SELECT 'F', srvacl FROM pg_foreign_server WHERE classid = 'pg_foreign_server'::regclass AND oid = objid
    ) AS thing (letter, acl) WHERE here AND deptype = 'o'),
  heir_owns AS (
    SELECT pg_describe_object(classid, objid, objsubid) AS object, NOT EXISTS (
      SELECT privilege_type FROM owned_acl a, kin, LATERAL (SELECT heir AS owner) AS o, aclexplode(${BUILT_IN})
        WHERE (a.classid, a.objid) = (b.classid, b.objid) AND grantee = heir
      EXCEPT SELECT privilege_type FROM owned_acl a, kin, LATERAL (SELECT heir AS owner) AS o,
          aclexplode(coalesce(acl, ${BUILT_IN}))
        WHERE (a.classid, a.objid) = (b.classid, b.objid) AND grantee IN (holder, 0)) AS shared
    FROM belonging b
    WHERE here AND deptype = 'o' AND coalesce((pg_identify_object(classid, objid, objsubid)).schema, '') !~ '^pg_(toast_)?temp'
    ORDER BY 2 LIMIT 20),
  -- Either user inherits what the other one may do, but not its name; pg_has_role() asks for what is inherited.
  policy_by_user AS (
    SELECT format('policy %I on %s', polname, polrelid::regclass) AS policy
    FROM pg_policy JOIN pg_class t ON t.oid = polrelid AND relrowsecurity, pair JOIN pg_roles u ON u.oid = current,
      LATERAL (SELECT regexp_replace(${POLICY_TEXT}, 'pg_has_role\\((CURRENT_USER|CURRENT_ROLE|SESSION_USER|USER),', '', 'g') AS text) AS p
    WHERE ${readsUser('p.text')}
      AND NOT (strpos(p.text, quote_literal(${current})) > 0 AND strpos(p.text, quote_literal(${alternate})) > 0)
      AND EXISTS (SELECT FROM unnest(polroles) AS r WHERE r = 0 OR pg_has_role(current, r, 'USAGE'))
      AND (has_any_column_privilege(current, polrelid, 'SELECT, INSERT, UPDATE')
        OR has_table_privilege(current, polrelid, 'DELETE'))
      AND NOT (rolbypassrls OR rolsuper OR NOT relforcerowsecurity AND pg_has_role(current, relowner, 'USAGE'))),
  -- Rights on objects of another database cannot be read from here, but that there are some is known.
  elsewhere AS (
    SELECT datname AS database, bool_and(shared) AS shared FROM (
      SELECT dbid, deptype <> 'a' AND EXISTS (
        SELECT FROM pg_shdepend s, kin WHERE (s.dbid, s.classid, s.objid) = (b.dbid, b.classid, b.objid)
          AND s.deptype = CASE b.deptype WHEN 'o' THEN 'a' ELSE b.deptype END
          AND s.refclassid = 'pg_authid'::regclass AND s.refobjid = holder)
        FROM belonging b WHERE NOT here
      UNION ALL SELECT dbid, count(*) FILTER (WHERE mapped.owner = current) = count(*) FILTER (WHERE mapped.owner = alternate)
        FROM mapped, pair WHERE NOT here GROUP BY dbid
    ) AS thing (dbid, shared) JOIN pg_database d ON d.oid = dbid GROUP BY datname)
SELECT json_build_object(
  'heirGrants', (SELECT coalesce(json_agg(g), '[]') FROM own_grant g),
  'heirOwns', (SELECT coalesce(json_agg(o), '[]') FROM heir_owns o),
  'elsewhere', (SELECT coalesce(json_agg(e), '[]') FROM elsewhere e),
  'heirPolicies', (SELECT coalesce(json_agg(format('policy %I on %s', polname, polrelid::regclass)), '[]')
    FROM pg_policy, kin WHERE heir = ANY (polroles) AND NOT holder = ANY (polroles)),
  'policiesByUser', (SELECT coalesce(json_agg(policy), '[]') FROM policy_by_user),
  'mappings', (SELECT coalesce(json_agg(json_build_object('user', usename, 'server', srvname)), '[]')
    FROM pg_user_mappings m, pair WHERE umuser IN (current, alternate) AND NOT EXISTS (
      SELECT FROM pg_user_mappings o WHERE o.srvid = m.srvid AND o.umuser IN (current, alternate) AND o.umuser <> m.umuser))
) AS belongings`;
