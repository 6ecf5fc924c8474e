import {
  administers,
  BUILT_IN,
  type DefaultGrant,
  type Grant,
  kind,
  labelsOf,
  type Membership,
  membership,
  OBJECT,
  POLICY_TEXT,
  ROLE,
  type Role,
  readsUser,
  SETTING,
  type SecurityLabel,
  type Setting,
  type Snapshot,
} from './postgres-catalog.ts';

/** What PostgreSQL's catalogue says of two peers and of their owner; any user may read it. */
export interface PeerSnapshot
  extends PeerBelongings,
    Pick<Snapshot, 'membershipOptions' | 'database' | 'admin' | 'adminMemberships'> {
  /** The two, their owner, and a role that is in the way of one: those that exist. */
  readonly roles: readonly Role[];
  readonly memberships: readonly Membership[];
  readonly settings: readonly Setting[];
  readonly labels: readonly SecurityLabel[];
  /** Who of the two can become the other one, or change its password. */
  readonly takeOvers: readonly { readonly user: string; readonly victim: string }[];
  /** Of the two, those with a schema of their name. */
  readonly ownSchemas: readonly string[];
  /** Of the first of the two. */
  readonly searchPath: string;
}

/** What the two have of their own, and whatever else may name them or their owner. */
export interface PeerBelongings {
  /** Privileges granted to one of them itself, on objects that it does not own. */
  readonly grants: readonly (Grant & { readonly user: string })[];
  /** The same for objects that others will create. */
  readonly grantsToCome: readonly DefaultGrant[];
  /** What each of them grants on objects that it will create, to anyone but itself. */
  readonly defaultGrants: readonly DefaultGrant[];
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

/** What each of them would grant on objects by PostgreSQL's own defaults is left out: it is the same for all. */
export const NO_PEER_BELONGINGS: PeerBelongings = {
  grants: [],
  grantsToCome: [],
  defaultGrants: [],
  owns: [],
  elsewhere: [],
  policies: [],
  mappings: [],
};

/** The two, and with their owner; of a first one that acts as a role already that role is the owner. */
const pairAndFamily = (current: string, alternate: string, owner: string): string => `
  pair AS MATERIALIZED (SELECT oid, name FROM role WHERE name IN (${current}, ${alternate})),
  family AS MATERIALIZED (
    SELECT oid, name FROM role WHERE name IN (${current}, ${alternate}, ${owner}) OR name IN (
      SELECT value FROM setting JOIN pair ON pair.oid = setrole WHERE setting.name = 'role'))`;

/**
 * Everything but the belongings. Mostly there are none, and finding that out is half the work.
 * @param version of the server, the major one
 * @param current,alternate,owner as SQL literals; the owner as it would be named where there is none yet
 */
export const peerSnapshotSql = (version: number, current: string, alternate: string, owner: string): string => `
WITH ${ROLE}, ${membership(version)}, ${SETTING}, ${pairAndFamily(current, alternate, owner)}
SELECT json_build_object(
  'membershipOptions', ${version >= 16},
  'database', current_database(),
  'admin', (SELECT json_build_object('name', name, 'superuser', superuser, 'createRole', "createRole")
    FROM role WHERE name = current_user),
  'adminMemberships', (SELECT coalesce(json_agg(m), '[]') FROM membership m
    WHERE member = current_user${version < 16 ? '' : ' AND grantor = current_user'}),
  'roles', (SELECT coalesce(json_agg(r), '[]') FROM (
    SELECT role.*, ${administers(version, 'role.oid')} AS administered FROM role JOIN family USING (oid)) r),
  'memberships', (SELECT coalesce(json_agg(m), '[]') FROM (
    SELECT membership.*, ${administers(version, 'roleid')} AS administered
    FROM membership JOIN family f ON f.oid = memberid) m),
  'settings', (SELECT coalesce(json_agg(json_build_object(
      'role', f.name, 'database', datname, 'name', s.name, 'value', s.value)), '[]')
    FROM setting s JOIN family f ON f.oid = setrole),
  'labels', ${labelsOf('pair')},
  'takeOvers', (SELECT coalesce(json_agg(json_build_object('user', u.name, 'victim', v.name)), '[]')
    FROM pair u JOIN pair v ON u.oid <> v.oid
    WHERE pg_has_role(u.oid, v.oid, 'MEMBER') OR pg_has_role(u.oid, v.oid, 'MEMBER WITH ADMIN OPTION') OR EXISTS (
      SELECT FROM role r WHERE pg_has_role(u.oid, r.oid, 'MEMBER') AND ${
        version < 16 ? '(r.superuser OR r."createRole")' : 'r.superuser'
      })),
  'ownSchemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace WHERE nspname IN (${current}, ${alternate})),
  'searchPath', coalesce((SELECT s.value FROM setting s LEFT JOIN pair ON pair.oid = setrole
    WHERE s.name = 'search_path' AND (setrole = 0 OR pair.name = ${current})
      AND (setdatabase = 0 OR datname = current_database())
    ORDER BY setrole = 0, setdatabase = 0 LIMIT 1), '"$user", public')
) AS snapshot,
  EXISTS (SELECT FROM pg_policy) OR EXISTS (
    SELECT FROM family JOIN pg_shdepend ON refobjid = family.oid AND refclassid = 'pg_authid'::regclass
    WHERE classid <> 'pg_auth_members'::regclass AND (family.oid IN (SELECT oid FROM pair)
      OR classid IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass))) AS "mayHaveBelongings"`;

/** The parameters are those of {@link peerSnapshotSql}. */
export const peerBelongingsSql = (version: number, current: string, alternate: string, owner: string): string => `
WITH ${ROLE}, ${OBJECT}, ${kind(version)}, ${SETTING}, ${pairAndFamily(current, alternate, owner)},
  default_acl AS (
    SELECT owner, 0::oid AS schema, letter, kind, coalesce(
      (SELECT defaclacl FROM pg_default_acl
        WHERE defaclrole = owner AND defaclnamespace = 0 AND defaclobjtype::text = letter),
      ${BUILT_IN}) AS acl
    FROM kind, (SELECT oid FROM family) AS o (owner)
    UNION ALL SELECT defaclrole, defaclnamespace, letter, kind, defaclacl
      FROM family, kind, pg_default_acl
      WHERE defaclrole = family.oid AND defaclnamespace <> 0 AND defaclobjtype::text = letter),
  default_grant AS (
    SELECT o.name AS owner, quote_ident(nspname) AS schema, kind, coalesce(quote_ident(g.name), 'PUBLIC') AS grantee,
      privilege_type AS privilege, is_grantable AS grantable
    FROM default_acl CROSS JOIN aclexplode(acl) JOIN role o ON o.oid = owner
      LEFT JOIN role g ON g.oid = grantee LEFT JOIN pg_namespace n ON n.oid = schema
    WHERE grantee <> owner),
  grant_to_come AS (
    SELECT o.name AS owner, quote_ident(nspname) AS schema, kind, quote_ident(f.name) AS grantee,
      privilege_type AS privilege, is_grantable AS grantable
    FROM pg_default_acl CROSS JOIN aclexplode(defaclacl) JOIN family f ON f.oid = grantee
      JOIN kind ON letter = defaclobjtype::text JOIN role o ON o.oid = defaclrole
      LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
    WHERE defaclrole <> grantee),
  belonging AS (
    SELECT name AS "user", dbid, classid, objid, objsubid, deptype,
      dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AS here
    FROM pair JOIN pg_shdepend ON refobjid = pair.oid AND refclassid = 'pg_authid'::regclass
    WHERE classid NOT IN ('pg_default_acl'::regclass, 'pg_auth_members'::regclass)),
  granted AS (
    SELECT f.name AS "user", object, string_agg(privilege_type || part, ', ' ORDER BY privilege_type || part) AS privileges,
      is_grantable AS grantable, g.name AS grantor
    FROM object CROSS JOIN aclexplode(acl) JOIN pair f ON f.oid = grantee JOIN role g ON g.oid = aclexplode.grantor
    WHERE acl IS NOT NULL AND owner <> grantee
      AND EXISTS (SELECT FROM belonging WHERE here AND deptype = 'a') -- otherwise nothing is searched
    GROUP BY f.name, object, is_grantable, g.name),
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
      ARRAY(SELECT coalesce(name, 'public') FROM unnest(polroles) AS p LEFT JOIN role ON role.oid = p) AS roles,
      format('ALTER POLICY %I ON %s TO %s', polname, polrelid::regclass,
        (SELECT string_agg(coalesce(quote_ident(name), 'PUBLIC'), ', ')
          FROM unnest(polroles) AS p LEFT JOIN role ON role.oid = p)) AS statement,
      ${readsUser(POLICY_TEXT)}
        AS "readsUser"
    FROM pg_policy)
SELECT json_build_object(
  'grants', (SELECT coalesce(json_agg(g), '[]') FROM granted g),
  'grantsToCome', (SELECT coalesce(json_agg(g), '[]') FROM grant_to_come g),
  'defaultGrants', (SELECT coalesce(json_agg(g), '[]') FROM default_grant g),
  'owns', (SELECT coalesce(json_agg(o), '[]') FROM owned o),
  'elsewhere', (SELECT coalesce(json_agg(e), '[]') FROM elsewhere e),
  'policies', (SELECT coalesce(json_agg(p), '[]') FROM policy p),
  'mappings', (SELECT coalesce(json_agg(json_build_object('user', name, 'server', srvname)), '[]')
    FROM pg_user_mappings JOIN family f ON f.oid = umuser)
) AS belongings`;
