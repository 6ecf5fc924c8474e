import type { AdministeredPair, Credentials, DatabaseEngine } from '../../shared/engines/port.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { eventually } from '../sandbox/eventually.ts';
import type { MysqlFamilyServer } from '../sandbox/mysql-family.ts';

export const soon = (milliseconds = 30_000) => deadlineIn(milliseconds, systemClock);
export const secret = (text: string) => new SecretValue(text);
export const ACCEPTED = { kind: 'accepted' };
export const WRONG = { kind: 'refused', reason: 'password' };

type Engine = DatabaseEngine & Required<Pick<DatabaseEngine, 'alternatingUsers'>>;

/** A real server, the adapter in front of it, and short ways to say what a test does. */
export interface MysqlFamilyBench<Server extends MysqlFamilyServer = MysqlFamilyServer, E extends Engine = Engine> {
  readonly server: Server;
  readonly engine: E;
  /** Like the master user of RDS. */
  readonly admin: Credentials;
  as(username: string, password: string, more?: Partial<Credentials>): Credentials;
  login(username: string, password: string, witness?: Credentials): ReturnType<Engine['login']>;
  /** Statements of the superuser, in which the text of an account may be anything. */
  run(...statements: string[]): Promise<void>;
  /** First columns of what the superuser asks. */
  texts(sql: string): Promise<string[]>;
  /** A user with the password `one`. */
  newUser(options?: string, name?: string): Promise<string>;
  /** A role that the administrator may give. */
  newRole(): Promise<string>;
  setPassword(username: string, present: string, password: string): Promise<void>;
  setByAdmin(username: string, password: string): Promise<void>;
  /** Of these two the current user exists, with the password `one`. */
  newPair(...hosts: string[]): Promise<AdministeredPair>;
  prepare(pair: AdministeredPair, password?: string): Promise<'prepared' | 'notWanted'>;
  /** What the two differ in, as the administrator sees it. */
  differences(pair: AdministeredPair): Promise<readonly string[]>;
  /** SHOW GRANTS of an account, without its own name and what the server keeps of its password. */
  grants(user: string, host?: string): Promise<string[]>;
  /** SHOW CREATE USER, likewise. */
  settings(user: string): Promise<string>;
  /** Those of these passwords that the server accepts for the user. */
  accepted(username: string, ...passwords: string[]): Promise<string[]>;
}

/** As both servers quote it, whatever it is. */
export const account = (user: string, host = '%') =>
  [user, host].map((part) => `\`${part.replaceAll('`', '``')}\``).join('@');

/** ER_CON_COUNT_ERROR */
const TOO_MANY_CONNECTIONS = 1040;

/** Takes so many connections, though a session that is over is counted for a moment. @returns gives them back */
export async function occupy(server: MysqlFamilyServer, connections: number): Promise<() => Promise<void>> {
  const held: Awaited<ReturnType<MysqlFamilyServer['connect']>>[] = [];
  const takeOne = () =>
    server.connect(server.admin).catch((error: unknown) => {
      if ((error as { errno?: unknown }).errno === TOO_MANY_CONNECTIONS) return undefined;
      throw error;
    });
  while (held.length < connections) held.push(await eventually('a connection to spare', takeOne));
  return async () => {
    for (const connection of held) await connection.end();
  };
}

let count = 0;
export const newName = () => {
  count += 1;
  return `user_${count}`;
};

/** @param settings leaves them of what SHOW CREATE USER says */
export function benchOf<Server extends MysqlFamilyServer, E extends Engine>(
  server: Server,
  engine: E,
  settings: (shown: string) => string,
): MysqlFamilyBench<Server, E> {
  const { host, port } = server;
  const as: MysqlFamilyBench<Server, E>['as'] = (username, password, more) => ({
    host,
    port,
    database: '',
    username,
    password: secret(password),
    ...more,
  });
  const admin = as(server.admin.username, server.admin.password);
  const login = (username: string, password: string, witness?: Credentials) =>
    engine.login(as(username, password), soon(), witness && (async () => witness));
  const superuser = async <T>(work: (connection: Awaited<ReturnType<Server['connect']>>) => Promise<T>) => {
    const connection = (await server.connect(server.superuser)) as Awaited<ReturnType<Server['connect']>>;
    return work(connection).finally(() => connection.end());
  };
  const texts = (sql: string) =>
    superuser(async (connection) => {
      const [rows] = await connection.query({ sql, rowsAsArray: true });
      return (rows as unknown[][]).map(([first]) => String(first));
    });
  const run = (...statements: string[]) =>
    superuser(async (connection) => {
      for (const statement of statements) await connection.query(statement);
    });
  return {
    server,
    engine,
    admin,
    as,
    login,
    texts,
    run,
    async newUser(options = '', name = newName()) {
      await run(`CREATE USER ${account(name)} IDENTIFIED BY 'one' ${options}`);
      return name;
    },
    async newRole() {
      const role = newName();
      await run(`CREATE ROLE ${role}`);
      return role;
    },
    setPassword: (username, present, password) =>
      engine.setPassword({ acting: as(username, present), username, password: secret(password) }, soon()),
    setByAdmin: (username, password) =>
      engine.setPassword({ acting: admin, username, password: secret(password) }, soon()),
    async newPair(...hosts) {
      const current = newName();
      for (const from of hosts.length > 0 ? hosts : ['%'])
        await server.run(`CREATE USER ${account(current, from)} IDENTIFIED BY 'one'`);
      return { admin, current, alternate: `${current}_clone`, database: server.database };
    },
    prepare: (pair, password = 'two') =>
      engine.alternatingUsers.prepareAlternate(pair, secret(password), async () => true, soon()),
    differences: (pair) => engine.alternatingUsers.differences(pair, pair.admin, soon()),
    async grants(user, from = '%') {
      const rows = await texts(`SHOW GRANTS FOR ${account(user, from)}`);
      return rows.map((row) => row.replace(GRANTEE, '').replaceAll(KEPT, '').replaceAll(COLUMNS, inOrder));
    },
    async settings(user) {
      const [shown = ''] = await texts(`SHOW CREATE USER ${account(user)}`);
      return settings(shown);
    },
    async accepted(username, ...passwords) {
      const found = [];
      for (const password of passwords) if ((await login(username, password)).kind === 'accepted') found.push(password);
      return found;
    },
  };
}

/** MariaDB quotes the grantee of a proxy like a text, names that of a default role too, and tells the hash. */
const GRANTEE = / (?:TO|FROM|FOR) [`'][^`']*[`']@[`'][^`']*[`'](?=$| (?:WITH|IDENTIFIED|REQUIRE) )/;
const KEPT = / (?:IDENTIFIED BY PASSWORD|USING) '[^']*'/g;
/** MariaDB lists columns in no order. */
const COLUMNS = /(?<= \()`[^)]*`(?=\))/g;
const inOrder = (columns: string): string => columns.split(', ').sort().join(', ');
