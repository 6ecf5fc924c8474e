import { quoteIdentifier } from './postgres-connection.ts';

/*
 * What users grant on objects that they will create. A role's own defaults, where it has stored some for all schemas,
 * replace PostgreSQL's for that kind of object; those for one schema add to either.
 */

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

/** An entry of pg_default_acl. */
export interface StoredDefault {
  readonly owner: string;
  /** Quoted; null: in every schema. */
  readonly schema: string | null;
  readonly letter: Letter;
  /** Null for PUBLIC, and where nothing is granted: then `privilege` is null as well. */
  readonly user: string | null;
  /** The same as GRANT names it. */
  readonly grantee: string;
  readonly privilege: string | null;
  readonly grantable: boolean;
}

/** What PostgreSQL gives where nothing is stored, to the owner or to PUBLIC. */
export interface BuiltInDefault {
  readonly letter: Letter;
  readonly toOwner: boolean;
  readonly privilege: string;
}

/** By which pg_default_acl knows a kind of object. LARGE OBJECTS: since PostgreSQL 18. */
const KINDS = { r: 'TABLES', S: 'SEQUENCES', f: 'FUNCTIONS', T: 'TYPES', n: 'SCHEMAS', L: 'LARGE OBJECTS' } as const;
type Letter = keyof typeof KINDS;

export interface Defaults {
  readonly storedDefaults: readonly StoredDefault[];
  readonly builtInDefaults: readonly BuiltInDefault[];
}

/** @param oids a query for those of the roles concerned, as owners or as grantees */
export const defaultQuestions = (version: number, oids: string): { readonly [Fact in keyof Defaults]: string } => ({
  storedDefaults: `SELECT pg_get_userbyid(defaclrole) AS owner, quote_ident(nspname) AS schema, defaclobjtype AS letter,
      CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END AS "user",
      CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee,
      privilege_type AS privilege, is_grantable AS grantable
    FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace LEFT JOIN aclexplode(defaclacl) ON true
    WHERE defaclrole = ANY (${oids}) OR grantee = ANY (${oids})`,
  // acldefault() calls sequences by another letter; whose object it is makes no difference.
  builtInDefaults: `SELECT letter, grantee <> 0 AS "toOwner", privilege_type AS privilege
    FROM unnest('{r, S, f, T, n${version < 18 ? '' : ', L'}}'::"char"[]) AS letter
      CROSS JOIN aclexplode(acldefault(CASE letter WHEN 'S' THEN 's' ELSE letter END, 10))`,
});

/** What is granted to these users on objects that others will create. */
export function grantsToCome({ storedDefaults }: Defaults, users: readonly string[]): readonly DefaultGrant[] {
  return storedDefaults.flatMap((stored) =>
    stored.user !== null && users.includes(stored.user) && stored.user !== stored.owner ? grantOf(stored) : [],
  );
}

/** What a user grants on objects that it will create, to anyone but `among`. */
export function grantsByDefault(defaults: Defaults, owner: string, among: readonly string[]): readonly DefaultGrant[] {
  return defaultsOf(defaults, owner).flatMap((stored) =>
    stored.user !== null && among.includes(stored.user) ? [] : grantOf(stored),
  );
}

/** Kinds of object, e.g. TABLES, of which `user` would not get all rights that `owner` has when that creates one. */
export function kindsNotShared(defaults: Defaults, owner: string, user: string): readonly string[] {
  const everywhere = defaultsOf(defaults, owner).filter(({ schema }) => schema === null);
  const missing = defaults.builtInDefaults.filter(
    ({ letter, toOwner, privilege }) =>
      toOwner &&
      !everywhere.some((stored) => stored.letter === letter && stored.user === user && stored.privilege === privilege),
  );
  return [...new Set(missing.map(({ letter }) => KINDS[letter]))];
}

function defaultsOf({ storedDefaults, builtInDefaults }: Defaults, owner: string): readonly StoredDefault[] {
  const stored = storedDefaults.filter((entry) => entry.owner === owner);
  const replaced = new Set(stored.filter(({ schema }) => schema === null).map(({ letter }) => letter));
  const builtIn = builtInDefaults
    .filter(({ letter }) => !replaced.has(letter))
    .map(({ letter, toOwner, privilege }) => {
      const [user, grantee] = toOwner ? [owner, quoteIdentifier(owner)] : [null, 'PUBLIC'];
      return { owner, schema: null, letter, user, grantee, privilege, grantable: false };
    });
  return [...builtIn, ...stored];
}

const grantOf = ({ owner, schema, letter, grantee, privilege, grantable }: StoredDefault): DefaultGrant[] =>
  privilege === null ? [] : [{ owner, schema, kind: KINDS[letter], grantee, privilege, grantable }];
