import type { Deadline } from '../operations/deadline.ts';
import { changeUnlessRefused } from './login-refused.ts';
import { type Account, accountName } from './mariadb-catalog.ts';
import { requirePair } from './mariadb-names.ts';
import { sessionsOf } from './mariadb-open-sessions.ts';
import { matches } from './mariadb-rights.ts';
import { type Connection, quoteName } from './mysql-connection.ts';
import { requirePassword } from './mysql-password.ts';
import type { Session } from './mysql-session.ts';
import type {
  AlternatingUsersEngine,
  Credentials,
  PasswordChange,
  PeerChange,
  UserPairEngine,
  Witness,
} from './port.ts';

/** A peer is what an alternate user is; only that each of the two is asked by itself, which needs no administrator. */
export function userPair(
  session: Session,
  { prepareAlternate }: AlternatingUsersEngine,
  changeOwn: (connection: Connection, change: PasswordChange) => Promise<void>,
): UserPairEngine {
  return {
    async peerDifferences(current, other, deadline, witness) {
      requirePair({ current: current.username, alternate: other.username });
      return differencesOf(await seenBy(current, deadline, witness), await seenBy(other, deadline, witness));
    },

    async changePeer({ current, other }, password, deadline, witness) {
      requirePair({ current: current.username, alternate: other.username });
      requirePassword(password);
      return changeUnlessRefused(seenBy(current, deadline, witness), (first) =>
        session<PeerChange>(other, deadline, async (connection) => {
          const differences = differencesOf(first, await view(connection, other.username));
          if (differences.length > 0) return { kind: 'differ', differences };
          await changeOwn(connection, { acting: other, username: other.username, password });
          return { kind: 'changed' };
        }),
      );
    },

    ownSessions: (user, deadline) =>
      session(user, deadline, async (connection) =>
        (await sessionsOf(connection, [user.username])).map(({ user: _, ...open }) => open),
      ),

    async createPeer(pair, password, deadline) {
      await prepareAlternate(pair, password, async () => true, deadline);
    },
  };

  async function seenBy(credentials: Credentials, deadline: Deadline, witness?: Witness): Promise<View> {
    return session(credentials, deadline, (connection) => view(connection, credentials.username), witness);
  }
}

function differencesOf(one: View, two: View): readonly string[] {
  return [
    ...only(one.user, one.abilities, two.abilities),
    ...only(two.user, two.abilities, one.abilities),
    ...(one.host === two.host
      ? []
      : [`${one.user} and ${two.user} may log in from other hosts: ${one.host} and ${two.host}`]),
    ...[one, two].flatMap(({ user, takesOver }) =>
      takesOver.map((right) => `${user} could change the password of any user: ${right}`),
    ),
  ];
}

interface View {
  readonly user: string;
  readonly host: string;
  /** What it may do and how it may log in, in the server's words, without its own name in them. */
  readonly abilities: ReadonlySet<string>;
  /** Rights that let it change other users, be it by a role. */
  readonly takesOver: readonly string[];
}

const only = (user: string, abilities: ReadonlySet<string>, others: ReadonlySet<string>): readonly string[] =>
  [...abilities].filter((ability) => !others.has(ability)).map((ability) => `${user} alone has: ${ability}`);

async function view(connection: Connection, user: string): Promise<View> {
  const [own = [], version = [], grants = [], account = [], roles = []] = await connection.run([
    'SELECT CURRENT_USER() AS account',
    'SELECT VERSION() AS version',
    'SHOW GRANTS FOR CURRENT_USER',
    'SHOW CREATE USER',
    'SELECT ROLE_NAME AS role FROM information_schema.APPLICABLE_ROLES WHERE GRANTEE = CURRENT_USER()',
  ]);
  const self = accountOf(firstOf(own[0]));
  const names = [accountName(self), `'${self.user}'@'${self.host}'`]; // MariaDB 10.11 quotes a proxy's so
  const rights = grants.map((row) => withoutGrantee(firstOf(row), names));
  // Of a role that is not enabled a user is not told what it may do; with it goes what it inherits from others.
  const enabled = roles.map((row) => quoteName(firstOf(row)));
  const ofRoles = await connection.run(enabled.flatMap((role) => [`SET ROLE ${role}`, `SHOW GRANTS FOR ${role}`]));
  const all = [...rights, ...ofRoles.flat().map((row) => firstOf(row).replace(/ TO `(?:[^`]|``)*`/s, ''))];
  return {
    user,
    host: self.host,
    abilities: new Set([...rights, optionsIn(firstOf(account[0]), names)]),
    takesOver: [...new Set(all)].filter((right) => mayTakeOver(right, Number.parseInt(firstOf(version[0]), 10))),
  };
}

/** The only column of a row; SHOW names it after the account. */
function firstOf(row: unknown): string {
  const [value] = Object.values((row ?? {}) as Record<string, unknown>);
  return typeof value === 'string' ? value : '';
}

function accountOf(text: string): Pick<Account, 'user' | 'host'> {
  const at = text.lastIndexOf('@');
  return { user: text.slice(0, at), host: text.slice(at + 1) };
}

/**
 * What a row of SHOW GRANTS grants. What follows the grantee there, a password's hash too, is left out but for the right
 * to grant on: it stands in SHOW CREATE USER as well.
 */
export function withoutGrantee(row: string, names: readonly string[]): string {
  for (const name of names)
    for (const link of [` TO ${name}`, ` FOR ${name}`]) {
      const at = row.indexOf(link);
      if (at < 0) continue;
      const rest = withoutTexts(row.slice(at + link.length));
      const [option = ''] = / WITH (ADMIN|.*GRANT) OPTION/.exec(rest) ?? [];
      return (
        row.slice(0, at) + (option === '' ? '' : option.includes('ADMIN') ? ' WITH ADMIN OPTION' : ' WITH GRANT OPTION')
      );
    }
  return row.replace(/ TO PUBLIC.*/s, ' TO PUBLIC');
}

/** How an account logs in and what limits it has, without what the server keeps of its password. */
function optionsIn(createUser: string, names: readonly string[]): string {
  const name = names.find((each) => createUser.startsWith(`CREATE USER ${each}`)) ?? '';
  const rest = createUser.slice(`CREATE USER ${name}`.length);
  return `the account is${rest.replaceAll(/ (?:BY PASSWORD|USING) '(?:[^'\\]|''|\\.)*'/gs, ' by password')}`;
}

const withoutTexts = (text: string): string => text.replaceAll(/'(?:[^'\\]|''|\\.)*'/gs, '');

/** Whether it may write the table that holds users, change them by statement, or make a routine that runs as one. */
function mayTakeOver(right: string, majorVersion: number): boolean {
  const [, privileges = '', pattern] = /^GRANT (.*?) ON (?:\*|`((?:[^`]|``)*)`)\./s.exec(right) ?? [];
  if (privileges === '') return false;
  const names = privileges.replaceAll(/ \([^)]*\)/g, '').split(', '); // of a right on columns, without them
  const everywhere = pattern === undefined;
  if (!everywhere && !matches(pattern.replaceAll('``', '`'), 'mysql')) return false;
  // https://mariadb.com/docs/server/reference/sql-statements/account-management-sql-statements/grant: SUPER was SET USER too
  const overUsers = ['CREATE USER', 'SET USER', ...(majorVersion < 11 ? ['SUPER'] : [])];
  return names.some((name) => DANGEROUS.includes(name) || (everywhere && overUsers.includes(name)));
}

const DANGEROUS = ['ALL PRIVILEGES', 'INSERT', 'UPDATE', 'DELETE'];
