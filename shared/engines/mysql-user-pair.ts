import type { Deadline } from '../operations/deadline.ts';
import { changeUnlessRefused } from './login-refused.ts';
import type { Connection } from './mysql-connection.ts';
import { sessionsOf } from './mysql-open-sessions.ts';
import { requirePassword } from './mysql-password.ts';
import { isLike } from './mysql-rights.ts';
import { requireEncrypted, type Session } from './mysql-session.ts';
import type {
  AlternatingUsersEngine,
  Credentials,
  PasswordChange,
  PeerChange,
  UserPairEngine,
  Witness,
} from './port.ts';

/** Two users are peers when the server tells both the same about themselves. */
export function userPair(
  session: Session,
  { prepareAlternate }: AlternatingUsersEngine,
  changeOwn: (connection: Connection, change: PasswordChange, deadline: Deadline) => Promise<void>,
): UserPairEngine {
  const seenBy = (credentials: Credentials, deadline: Deadline, witness?: Witness) =>
    session(credentials, deadline, (connection) => describeSelf(connection, credentials), witness);

  return {
    async createPeer(pair, password, deadline) {
      await prepareAlternate(pair, password, async () => true, deadline);
    },

    async peerDifferences(current, other, deadline, witness) {
      return differencesOf(await seenBy(current, deadline, witness), await seenBy(other, deadline, witness));
    },

    async changePeer({ current, other }, password, deadline, witness) {
      requirePassword(password);
      requireEncrypted(other);
      return changeUnlessRefused(seenBy(current, deadline, witness), (first) =>
        session<PeerChange>(other, deadline, async (connection) => {
          const differences = differencesOf(first, await describeSelf(connection, other));
          if (differences.length > 0) return { kind: 'differ', differences };
          await changeOwn(connection, { acting: other, username: other.username, password }, deadline);
          return { kind: 'changed' };
        }),
      );
    },

    async ownSessions(user, deadline) {
      const sessions = await session(user, deadline, (connection) => sessionsOf(connection, [user.username]));
      return sessions.map(({ user: _, ...open }) => open);
    },
  };
}

function differencesOf(first: Self, second: Self): readonly string[] {
  return [...lacks(second, first), ...lacks(first, second), ...apart(first, second), ...first.powers, ...second.powers];
}

/** What the server tells a user about itself. */
interface Self {
  readonly username: string;
  readonly host: string;
  /** Rows of SHOW GRANTS without the name of the user. */
  readonly grants: ReadonlySet<string>;
  /** Clauses of SHOW CREATE USER without name and password. */
  readonly settings: string;
  /** Rights that would let it take over any other user. */
  readonly powers: readonly string[];
}

async function describeSelf(connection: Connection, { username }: Credentials): Promise<Self> {
  // SHOW GRANTS tells the rights of active roles as one's own.
  const [account, , , own, settings, , effective] = await connection.run([
    'SELECT CURRENT_USER() AS account',
    'SET sql_quote_show_create = ON',
    'SET ROLE NONE',
    'SHOW GRANTS',
    'SHOW CREATE USER CURRENT_USER()',
    'SET ROLE ALL',
    'SHOW GRANTS',
  ]);
  const host = textsOf(account).join('').replace(/^.*@/s, '');
  return {
    username,
    host,
    grants: new Set(textsOf(own).map(withoutGrantee)),
    settings: textsOf(settings).map(withoutPassword).join(''),
    powers: powersIn(textsOf(effective), username),
  };
}

const textsOf = (rows: readonly unknown[] | undefined): readonly string[] =>
  (rows ?? []).map((row) => String(Object.values(row as object)[0]));

const ACCOUNT = '`(?:[^`]|``)*`@`(?:[^`]|``)*`';
/** The names of objects come before, and may look the same. */
const GRANTEE = new RegExp(`^(.*) (?:TO|FROM) ${ACCOUNT}( WITH (?:GRANT|ADMIN) OPTION)?$`, 's');

const withoutGrantee = (grant: string): string => grant.replace(GRANTEE, '$1$2');

const TEXT = "'(?:[^'\\\\]|''|\\\\.)*'";
const NAME_OF_USER = new RegExp(`^CREATE USER ${ACCOUNT}`, 's');
/** A user that may read the tables of users is shown what the server stores of its password. */
const STORED = new RegExp(`( IDENTIFIED WITH ${TEXT}) AS (?:<secret>|0x[0-9A-F]*|${TEXT})`, 'gs');

/** No limit, whether or not one was ever named. */
const UNLIMITED = / MAX_[A-Z_]+ 0(?= )/g;

const withoutPassword = (statement: string): string =>
  statement
    .replace(NAME_OF_USER, '')
    .replace(STORED, '$1')
    .replace(UNLIMITED, '')
    .replace(/ WITH(?= PASSWORD )/, '');

function lacks(one: Self, other: Self): readonly string[] {
  return [...other.grants].filter((grant) => !one.grants.has(grant)).map((grant) => `${one.username} lacks: ${grant}`);
}

function* apart(first: Self, second: Self): Iterable<string> {
  const both = `${first.username} and ${second.username}`;
  if (first.host !== second.host) yield `${both} may log in from other hosts: ${first.host} and ${second.host}`;
  if (first.settings !== second.settings)
    yield `${both} have other settings: default roles, REQUIRE, limits, or the rules of their passwords`;
}

/** What is power over any user: to change or be another one, or to write a table that says who may do what. */
function powersIn(grants: readonly string[], username: string): readonly string[] {
  const rights = grants.map((grant) => ON_TABLES.exec(grant)).filter((found) => found !== null);
  const taken = rights.filter(([, verb, , , database]) => verb === 'REVOKE' && unquoted(database) === 'mysql');
  const isTaken = (privilege: string) => taken.some(([, , privileges = '']) => listOf(privileges).includes(privilege));
  return rights.flatMap(([, verb, privileges = '', on = '', database, table]) => {
    if (verb === 'REVOKE') return [];
    const reachesUsers = table === undefined ? isLike('mysql', unquoted(database)) : GRANT_TABLES.includes(table);
    const found = listOf(privileges).filter((privilege) => {
      if (OVER_USERS.includes(privilege)) return true;
      if (privilege === 'ALL PRIVILEGES') return on === '*.*' || reachesUsers;
      if (privilege !== 'INSERT' && privilege !== 'UPDATE') return false;
      return on === '*.*' ? !isTaken(privilege) : reachesUsers;
    });
    return found.length === 0 ? [] : [`${username} could take any other user over: ${found.join(', ')} on ${on}`];
  });
}

/**
 * To change any user, to have any other one as a role, to make a routine that runs as another one, or to say what a
 * session of another one begins with (init_connect). They are for all databases alone.
 * https://dev.mysql.com/doc/refman/9.7/en/privileges-provided.html
 */
const OVER_USERS = ['CREATE USER', 'ROLE_ADMIN', 'SET_ANY_DEFINER', 'SET_USER_ID', 'SUPER', 'SYSTEM_VARIABLES_ADMIN'];

/** https://dev.mysql.com/doc/refman/9.7/en/grant-tables.html: what is written there holds once the server reads it again. */
const GRANT_TABLES = [
  'user',
  'global_grants',
  'db',
  'tables_priv',
  'columns_priv',
  'procs_priv',
  'proxies_priv',
  'default_roles',
  'role_edges',
];

/** A partial revoke is shown as a row that begins with REVOKE. */
const ON_TABLES = /^(GRANT|REVOKE) (.*) ON (\*\.\*|`((?:[^`]|``)*)`\.\*|`mysql`\.`(\w+)`) (?:TO|FROM) /s;

/** One on columns counts as one on the table. */
const listOf = (privileges: string): readonly string[] =>
  privileges.split(/, ?/).map((privilege) => privilege.replace(/ \(.*$/s, ''));

const unquoted = (name = ''): string => name.replaceAll('``', '`');
