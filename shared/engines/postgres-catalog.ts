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
  /** Privileges granted to the heir itself, on objects that it does not own. */
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
  /** E.g. `INSERT, SELECT`, or `SELECT (id)` for a column. */
  readonly privileges: string;
  readonly grantable: boolean;
  readonly grantor: string;
}

export interface DefaultGrant {
  /** Whose future objects. */
  readonly owner: string;
  /** Quoted; null: in every schema. */
  readonly schema: string | null;
  /** E.g. TABLES. */
  readonly kind: string;
  /** Quoted, or PUBLIC. */
  readonly grantee: string;
  readonly privilege: string;
  readonly grantable: boolean;
}

/** Any user may read all of this: what a snapshot tells does not depend on who asks. */
export const ROLE = `
  role AS MATERIALIZED (
    SELECT oid, rolname AS name, rolcanlogin AS login, rolsuper AS superuser, rolcreatedb AS "createDb", rolcreaterole AS "createRole",
      rolreplication AS replication, rolbypassrls AS "bypassRls", rolinherit AS inherit,
      rolconnlimit AS "connectionLimit", coalesce(rolvaliduntil::text, 'infinity') AS "validUntil"
    FROM pg_roles)`;

/**
 * Whether who asks may grant a role and, with CREATEROLE, alter it. To be asked of few: PostgreSQL goes through all
 * memberships of an administrator for each, who has as many as roles were made.
 * @param role an expression of SQL for its OID
 */
export const administers = (version: number, role: string): string =>
  `pg_has_role(current_user, ${role}, 'MEMBER WITH ADMIN OPTION')${
    // Before 16, CREATEROLE is power over every role that is no superuser.
    version < 16
      ? ` OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = ${role})
        AND (SELECT rolcreaterole FROM pg_roles WHERE rolname = current_user)`
      : ''
  }`;

/** Before 16 a member may SET ROLE, and inherits as its attribute says; the grantor may be gone. */
export const membership = (version: number): string => `
  membership AS MATERIALIZED (
    SELECT m.roleid, m.member AS memberid, r.name AS role, u.name AS member, coalesce(g.name, '') AS grantor,
      m.admin_option AS admin, ${version < 16 ? 'true' : 'm.inherit_option'} AS inherit,
      ${version < 16 ? 'true' : 'm.set_option'} AS set
    FROM pg_auth_members m JOIN role r ON r.oid = m.roleid JOIN role u ON u.oid = m.member
      LEFT JOIN role g ON g.oid = m.grantor)`;

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

export const kind = (version: number): string => `
  kind (letter, kind) AS (
    VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'), ('n', 'SCHEMAS')
    ${version < 18 ? '' : "UNION ALL VALUES ('L', 'LARGE OBJECTS')"})`;

export const SETTING = `
  setting AS (
    SELECT setrole, setdatabase, datname, split_part(line, '=', 1) AS name, substr(line, strpos(line, '=') + 1) AS value
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS line LEFT JOIN pg_database d ON d.oid = setdatabase)`;

/** @param users a relation with the OIDs and names of roles */
export const labelsOf = (users: string): string => `
  (SELECT coalesce(json_agg(json_build_object('user', u.name, 'provider', provider, 'label', label)), '[]')
    FROM pg_shseclabel JOIN ${users} u ON u.oid = objoid AND classoid = 'pg_authid'::regclass)`;

/** acldefault() calls sequences by another letter than pg_default_acl does. */
export const BUILT_IN = `acldefault(CASE letter WHEN 'S' THEN 's' ELSE letter END::"char", owner)`;

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
 * What depends on the heir, in the whole server. Memberships and user mappings are looked at by themselves, and of
 * default privileges those that are for it count alone.
 */
const BELONGING = `
  belonging AS (
    SELECT dbid, classid, objid, objsubid, deptype,
      dbid IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) AS here
    FROM kin JOIN pg_shdepend ON refobjid = heir AND refclassid = 'pg_authid'::regclass
    WHERE classid NOT IN ('pg_auth_members'::regclass, 'pg_user_mapping'::regclass)
      AND (classid <> 'pg_default_acl'::regclass OR deptype = 'a')),
  mapped AS (
    SELECT dbid, refobjid AS owner, dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AS here
    FROM pair JOIN pg_shdepend ON refobjid IN (current, alternate) AND refclassid = 'pg_authid'::regclass
    WHERE classid = 'pg_user_mapping'::regclass)`;

/**
 * Everything but the belongings. There are none most of the time, and finding that out is a tenth of the work.
 * @param version of the server, the major one
 * @param current,alternate as SQL literals
 */
export const snapshotSql = (version: number, current: string, alternate: string): string => {
  const become = version < 16 ? "'MEMBER'" : "'SET'";
  return `
WITH ${ROLE}, ${membership(version)}, ${kind(version)}, ${SETTING}, ${pairAndKin(current, alternate)}, ${BELONGING},
  -- Of the two users. A row without a schema replaces the built-in default, one with a schema adds to it.
  default_acl AS (
    SELECT owner, 0::oid AS schema, letter, kind, coalesce(
      (SELECT defaclacl FROM pg_default_acl
        WHERE defaclrole = owner AND defaclnamespace = 0 AND defaclobjtype::text = letter),
      ${BUILT_IN}) AS acl
    FROM kind, kin, unnest(ARRAY[heir, holder]) AS owner WHERE owner IS NOT NULL
    UNION ALL SELECT defaclrole, defaclnamespace, letter, kind, defaclacl
      FROM kin, kind, pg_default_acl
      WHERE defaclrole IN (heir, holder) AND defaclnamespace <> 0 AND defaclobjtype::text = letter),
  default_grant AS (
    SELECT o.name AS owner, quote_ident(nspname) AS schema, kind, g.oid AS granteeid,
      coalesce(quote_ident(g.name), 'PUBLIC') AS grantee, privilege_type AS privilege, is_grantable AS grantable
    FROM default_acl CROSS JOIN aclexplode(acl) JOIN role o ON o.oid = owner
      LEFT JOIN role g ON g.oid = grantee LEFT JOIN pg_namespace n ON n.oid = schema),
  heir_default_grant AS (
    SELECT o.name AS owner, quote_ident(nspname) AS schema, kind, quote_ident(h.name) AS grantee,
      privilege_type AS privilege, is_grantable AS grantable
    FROM kin JOIN role h ON h.oid = heir CROSS JOIN pg_default_acl CROSS JOIN aclexplode(defaclacl)
      JOIN kind ON letter = defaclobjtype::text JOIN role o ON o.oid = defaclrole
      LEFT JOIN pg_namespace n ON n.oid = defaclnamespace
    WHERE grantee = heir AND defaclrole <> heir)
SELECT json_build_object(
  'membershipOptions', ${version >= 16},
  'database', current_database(),
  'admin', (SELECT json_build_object('name', name, 'superuser', superuser, 'createRole', "createRole")
    FROM role WHERE name = current_user),
  'current', (SELECT to_json(r) FROM (SELECT role.*, ${administers(version, 'role.oid')} AS administered
    FROM role, pair WHERE oid = current) r),
  'alternate', (SELECT to_json(r) FROM (SELECT role.*, ${administers(version, 'role.oid')} AS administered
    FROM role, pair WHERE oid = alternate) r),
  'heirIsCurrent', (SELECT "heirIsCurrent" FROM pair),
  'heirMayBecomeHolder', (SELECT coalesce(pg_has_role(heir, holder, ${become}), false) FROM kin),
  'superusersToBecome', (SELECT coalesce(json_agg(role.name), '[]') FROM role, pair
    WHERE superuser AND pg_has_role(current, role.oid, ${become})),
  'memberships', (SELECT coalesce(json_agg(m), '[]') FROM (
    SELECT membership.*, ${administers(version, 'roleid')} AS administered
    FROM membership, pair WHERE memberid IN (current, alternate)) m),
  'adminMemberships', (SELECT coalesce(json_agg(m), '[]') FROM membership m
    WHERE member = current_user${version < 16 ? '' : ' AND grantor = current_user'}),
  'settings', (SELECT coalesce(json_agg(json_build_object(
      'role', r.name, 'database', datname, 'name', s.name, 'value', s.value)), '[]')
    FROM setting s JOIN role r ON r.oid = setrole, pair WHERE setrole IN (current, alternate)),
  'labels', ${labelsOf('(SELECT role.oid, name FROM role, pair WHERE role.oid IN (current, alternate))')},
  'heirDefaultGrants', (SELECT coalesce(json_agg(g), '[]') FROM heir_default_grant g),
  'defaultGrants', (SELECT coalesce(json_agg(g), '[]') FROM default_grant g, kin
    WHERE granteeid IS NULL OR granteeid NOT IN (heir, holder)),
  'kindsNotShared', (SELECT coalesce(json_agg(kind), '[]')
    FROM kind, kin, LATERAL (SELECT heir AS owner) AS o WHERE EXISTS (
    SELECT privilege_type FROM aclexplode(${BUILT_IN}) WHERE grantee = heir
    EXCEPT SELECT privilege_type FROM default_acl d CROSS JOIN aclexplode(d.acl)
      WHERE d.owner = heir AND d.schema = 0 AND d.kind = kind.kind AND grantee = holder)),
  'ownSchemas', (SELECT coalesce(json_agg(nspname), '[]') FROM pg_namespace WHERE nspname IN (${current}, ${alternate})),
  'searchPath', coalesce((SELECT value FROM setting, pair WHERE name = 'search_path' AND setrole IN (0, current)
      AND (setdatabase = 0 OR datname = current_database())
    ORDER BY setrole = 0, setdatabase = 0 LIMIT 1), '"$user", public')
) AS snapshot, EXISTS (SELECT FROM belonging) OR EXISTS (SELECT FROM mapped)
  -- Nothing is recorded of the superuser that initdb made: it is pinned.
  OR EXISTS (SELECT FROM pair WHERE current = 10)
  -- Those for everybody depend on nobody.
  OR EXISTS (SELECT FROM pg_policy) AS "mayHaveBelongings"`;
};

/** Where the heir has any: see {@link Belongings}. The parameters are those of {@link snapshotSql}. */
export const belongingsSql = (current: string, alternate: string): string => `
WITH ${OBJECT}, ${pairAndKin(current, alternate)}, ${BELONGING},
  heir_grant AS (
    SELECT object, string_agg(privilege_type || part, ', ' ORDER BY privilege_type || part) AS privileges,
      is_grantable AS grantable, g.rolname AS grantor
    FROM object, kin, aclexplode(acl), pg_roles g
    WHERE acl IS NOT NULL AND grantee = heir AND owner <> heir AND g.oid = aclexplode.grantor
    GROUP BY object, is_grantable, g.rolname),
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
  'heirGrants', (SELECT coalesce(json_agg(g), '[]') FROM heir_grant g),
  'heirOwns', (SELECT coalesce(json_agg(o), '[]') FROM heir_owns o),
  'elsewhere', (SELECT coalesce(json_agg(e), '[]') FROM elsewhere e),
  'heirPolicies', (SELECT coalesce(json_agg(format('policy %I on %s', polname, polrelid::regclass)), '[]')
    FROM pg_policy, kin WHERE heir = ANY (polroles) AND NOT holder = ANY (polroles)),
  'policiesByUser', (SELECT coalesce(json_agg(policy), '[]') FROM policy_by_user),
  'mappings', (SELECT coalesce(json_agg(json_build_object('user', usename, 'server', srvname)), '[]')
    FROM pg_user_mappings m, pair WHERE umuser IN (current, alternate) AND NOT EXISTS (
      SELECT FROM pg_user_mappings o WHERE o.srvid = m.srvid AND o.umuser IN (current, alternate) AND o.umuser <> m.umuser))
) AS belongings`;
