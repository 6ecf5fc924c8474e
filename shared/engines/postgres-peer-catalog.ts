import type { UserPair } from './port.ts';
import {
  commonFacts,
  type Grant,
  grantsOf,
  type Membership,
  OBJECT,
  POLICY_TEXT,
  type Questions,
  type Role,
  type RoleFacts,
  type RolesInSql,
  readsUser,
  roleQuestions,
  rolesFrom,
  rolesNamed,
  type SecurityLabel,
  type Setting,
  type Snapshot,
} from './postgres-catalog.ts';
import { type DefaultGrant, grantsByDefault, grantsToCome } from './postgres-default-privileges.ts';

/** What PostgreSQL's catalogue says of two peers and of their owner; any user may read it. */
export interface PeerSnapshot
  extends PeerBelongings,
    Pick<Snapshot, 'membershipOptions' | 'database' | 'admin' | 'adminMemberships'> {
  /** The two, their owner, and a role that is in the way of one: those that exist. */
  readonly roles: readonly Role[];
  readonly memberships: readonly Membership[];
  readonly settings: readonly Setting[];
  readonly labels: readonly SecurityLabel[];
  /** Privileges granted to one of them itself on objects that others will create. */
  readonly grantsToCome: readonly DefaultGrant[];
  /** What each of them grants on objects that it will create, to anyone but itself. */
  readonly defaultGrants: readonly DefaultGrant[];
  /** Who of the two can become the other one, or change its password. */
  readonly takeOvers: readonly { readonly user: string; readonly victim: string }[];
  /** Of the two, those with a schema of their name. */
  readonly ownSchemas: readonly string[];
  /** Of the first of the two. */
  readonly searchPath: string;
}

/** What the two have of their own, and whatever else may name them or their owner. */
export interface PeerBelongings {
  /** Privileges granted to one of them itself on objects that it does not own, and what it granted to others with them. */
  readonly grants: readonly Grant[];
  /** Objects of this database that a user owns itself, temporary ones left out. */
  readonly owns: readonly { readonly user: string; readonly object: string }[];
  /** Other databases where something belongs to one user. */
  readonly elsewhere: readonly {
    readonly user: string;
    readonly database: string;
    /** The other user has the same there. */
    readonly even: boolean;
  }[];
  /** Row-level policies, with the roles that they name. */
  readonly policies: readonly {
    readonly policy: string;
    readonly roles: readonly string[];
    /** `ALTER POLICY … TO` with these roles, to be gone on with. */
    readonly statement: string;
    /** It compares with the name of the current user. */
    readonly readsUser: boolean;
  }[];
  readonly mappings: readonly { readonly user: string; readonly server: string }[];
}

export const NO_PEER_BELONGINGS: PeerBelongings = {
  grants: [],
  owns: [],
  elsewhere: [],
  policies: [],
  mappings: [],
};

/** What the catalogue is asked of two peers and their owner: everything but what the two have of their own. */
export interface PeerFacts extends RoleFacts {
  readonly takeOvers: PeerSnapshot['takeOvers'];
  /** Whether to ask for {@link peerBelongingsSql}: mostly there are none, and finding that out is half the work. */
  readonly belongings: readonly { readonly possible: boolean }[];
}

/** By them one writes pg_hba.conf, for one. https://www.postgresql.org/docs/18/predefined-roles.html */
const AS_GOOD_AS_SUPERUSERS = `'{pg_execute_server_program, pg_write_server_files}'::name[]`;

/** The two, and their owner; of a first one that acts as a role already that role is the owner. */
const familyOf = (pair: readonly string[], owner: string): RolesInSql =>
  rolesFrom(`SELECT unnest(ARRAY[${[...pair, owner].join(', ')}]) AS name
    UNION ALL SELECT substr(line, 6) FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS line
      WHERE line LIKE 'role=%' AND setrole = ANY (${rolesNamed(pair).oids})`);

/** @param current,alternate,owner as SQL literals; the owner as it would be named where there is none yet */
export function peerQuestions(
  version: number,
  current: string,
  alternate: string,
  owner: string,
): Questions<PeerFacts> {
  const pair = rolesNamed([current, alternate]);
  const family = familyOf([current, alternate], owner);
  return {
    ...roleQuestions(version, family),
    takeOvers: `SELECT u.rolname AS "user", v.rolname AS victim FROM pg_roles u CROSS JOIN pg_roles v
      WHERE u.rolname = ANY (${pair.names}) AND v.rolname = ANY (${pair.names}) AND u.oid <> v.oid AND (
        pg_has_role(u.oid, v.oid, 'MEMBER') OR pg_has_role(u.oid, v.oid, 'MEMBER WITH ADMIN OPTION') OR EXISTS (
          SELECT FROM pg_roles r WHERE pg_has_role(u.oid, r.oid, 'MEMBER')
            AND (r.rolsuper ${version < 16 ? 'OR r.rolcreaterole' : ''} OR r.rolname = ANY (${AS_GOOD_AS_SUPERUSERS}))))`,
    belongings: `SELECT EXISTS (SELECT FROM pg_policy)
      OR EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (${pair.oids})
        AND classid NOT IN ('pg_auth_members'::regclass, 'pg_default_acl'::regclass))
      OR EXISTS (SELECT FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = ANY (${family.oids})
        AND classid = 'pg_user_mapping'::regclass) AS possible`,
  };
}

/** What the answers to {@link peerQuestions} come to. */
export function peerSnapshot(
  facts: PeerFacts,
  version: number,
  peers: Pick<UserPair, 'current' | 'alternate'>,
): Omit<PeerSnapshot, keyof PeerBelongings> {
  const { roles, takeOvers } = facts;
  return {
    ...commonFacts(facts, version, peers),
    roles,
    takeOvers,
    grantsToCome: grantsToCome(
      facts,
      roles.map(({ name }) => name),
    ),
    defaultGrants: roles.flatMap(({ name }) => grantsByDefault(facts, name, [name])),
  };
}

/** The parameters are those of {@link peerQuestions}. */
export const peerBelongingsSql = (current: string, alternate: string, owner: string): string => `
WITH ${OBJECT},
  pair AS MATERIALIZED (SELECT oid, rolname AS name FROM pg_roles WHERE rolname IN (${current}, ${alternate})),
  belonging AS (
    SELECT name AS "user", dbid, classid, objid, objsubid, deptype,
      dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AS here
    FROM pair JOIN pg_shdepend ON refobjid = pair.oid AND refclassid = 'pg_authid'::regclass
    WHERE classid NOT IN ('pg_default_acl'::regclass, 'pg_auth_members'::regclass)),
  ${grantsOf('SELECT oid FROM pair')},
  owned AS (
    SELECT "user", pg_describe_object(classid, objid, objsubid) AS object FROM belonging
    WHERE here AND deptype = 'o' AND classid <> 'pg_user_mapping'::regclass AND coalesce((pg_identify_object(classid, objid, objsubid)).schema, '') !~ '^pg_(toast_)?temp'
    LIMIT 20),
  -- Rights on objects of another database cannot be read from here, but who has some is known.
  elsewhere AS (
    SELECT "user", datname AS database, bool_and(CASE WHEN b.classid = 'pg_user_mapping'::regclass THEN (
        SELECT 2 * count(*) FILTER (WHERE o."user" = b."user") = count(*) FROM belonging o
        WHERE (o.dbid, o.classid) = (b.dbid, b.classid))
      ELSE b.deptype <> 'o' AND EXISTS (
        SELECT FROM belonging o WHERE o."user" <> b."user" AND (o.dbid, o.classid, o.objid, o.objsubid, o.deptype)
          = (b.dbid, b.classid, b.objid, b.objsubid, b.deptype)) END) AS even
    FROM belonging b JOIN pg_database d ON d.oid = dbid WHERE NOT here GROUP BY "user", datname),
  policy AS (
    SELECT format('policy %I on %s', polname, polrelid::regclass) AS policy,
      ARRAY(SELECT CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role) END FROM unnest(polroles) AS role) AS roles,
      format('ALTER POLICY %I ON %s TO %s', polname, polrelid::regclass,
        (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ')
          FROM unnest(polroles) AS role)) AS statement,
      ${readsUser(POLICY_TEXT)}
        AS "readsUser"
    FROM pg_policy)
SELECT json_build_object(
  'grants', (SELECT coalesce(json_agg(g), '[]') FROM own_grant g),
  'owns', (SELECT coalesce(json_agg(o), '[]') FROM owned o),
  'elsewhere', (SELECT coalesce(json_agg(e), '[]') FROM elsewhere e),
  'policies', (SELECT coalesce(json_agg(p), '[]') FROM policy p),
  'mappings', (SELECT coalesce(json_agg(json_build_object('user', usename, 'server', srvname)), '[]')
    FROM pg_user_mappings WHERE umuser = ANY (${familyOf([current, alternate], owner).oids}))
) AS belongings`;
