import { randomBytes } from 'node:crypto';
import { cp } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { type Connection, createConnection } from 'mysql2/promise';
import { type Certificate, type CertificateAuthority, createAuthority } from './certificates.ts';
import { type Account, giveAway, removedOnFailure, startServerProcess } from './server-process.ts';
import { DATA_TEMPLATE, folderInRoot, type ServerRoot } from './server-root.ts';

export interface MysqlFamilyOptions {
  /** What the server shows; its own certificate for `localhost` and 127.0.0.1 unless given; `off` for a server without TLS. */
  readonly tls?: ((authority: CertificateAuthority) => Certificate) | 'off';
  /** System variables, as the server's options name them, e.g. `{ 'max-connections': '5' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Like a replica, or a primary during a failover: nobody's write is taken, the superuser's excepted on MariaDB. */
  readonly readOnly?: boolean;
}

/** A real server on 127.0.0.1. It ends, and its files go, with `stop()` or with the process that started it. */
export interface MysqlFamilyServer {
  readonly host: string;
  readonly port: number;
  /** For SIGSTOP and SIGCONT: a server that hangs. */
  readonly pid: number;
  /** PEM of the authority that a client is to trust, and a file that holds it. */
  readonly ca: string;
  readonly caFile: string;
  /** root@localhost, or @127.0.0.1 with skip-name-resolve. */
  readonly superuser: Account;
  /** Like the master user of RDS, at every host. */
  readonly admin: Account;
  /** A database without tables. */
  readonly database: string;
  /** All that the server logged so far: its errors, then the general log with every statement. */
  log(): string;
  /** The caller ends the connection. @param programName the connection attribute by which clients name themselves */
  connect(account: Account, database?: string, programName?: string): Promise<Connection>;
  /** Runs statements, separated by semicolons, as the superuser over a connection of its own. */
  run(sql: string, database?: string): Promise<void>;
  /** After a test ended its process. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

/** What one member of the family does in its own way. */
export interface MysqlFlavour {
  /** For messages, e.g. `MySQL 9.7`. */
  readonly name: string;
  readonly root: ServerRoot;
  /** The program, and options that only it knows. */
  readonly command: readonly string[];
  readonly withoutTls: string;
  readonly readOnly: string;
  /** Accounts of the data template that nobody is to have, as `DROP USER` takes them. */
  readonly strays?: string;
  /** Statements that make the administrator, and whatever else a new server is to have. */
  accounts(admin: Account): readonly string[];
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startMysqlFamily(flavour: MysqlFlavour, options: MysqlFamilyOptions): Promise<MysqlFamilyServer> {
  const authority = createAuthority();
  const superuser = { username: 'root', password: randomBytes(12).toString('hex') };
  const admin = { username: 'rekey_admin', password: randomBytes(12).toString('hex') };
  const { tls = () => authority.issue(['localhost', '127.0.0.1']) } = options;
  const folder = await folderInRoot(flavour.root, 'rekey-');
  const { server, caFile } = await removedOnFailure(folder.path, async () => {
    const caFile = await giveAway(folder.path, 'ca.crt', authority.certificate);
    await cp(folder.outside(DATA_TEMPLATE), `${folder.path}/data`, { recursive: true });
    const give = async (name: string, content: string) => {
      await giveAway(folder.path, name, content);
      return `${folder.inside}/${name}`;
    };
    // Run before the first connection is taken: the server is never there with the template's empty password.
    const statements = [
      ...(flavour.strays ? [`DROP USER ${flavour.strays}`] : []),
      `ALTER USER 'root'@'localhost' IDENTIFIED BY '${superuser.password}'`,
      // Then the server knows a client by its address alone.
      ...(options.settings?.['skip-name-resolve'] ? ["RENAME USER 'root'@'localhost' TO 'root'@'127.0.0.1'"] : []),
      'CREATE DATABASE app',
      ...flavour.accounts(admin),
      ...(options.readOnly ? [flavour.readOnly] : []),
    ];
    const settings: Record<string, string> = {
      user: 'root',
      'bind-address': '127.0.0.1',
      datadir: `${folder.inside}/data`,
      socket: `${folder.inside}/socket`,
      'pid-file': `${folder.inside}/data/pid`,
      tmpdir: folder.inside,
      'init-file': await give('init.sql', statements.map((statement) => `${statement};\n`).join('')),
      'general-log': 'ON',
      'general-log-file': `${folder.inside}/general.log`,
      'innodb-buffer-pool-size': '32M',
      'innodb-flush-log-at-trx-commit': '0',
      'innodb-doublewrite': 'OFF',
    };
    if (tls !== 'off') {
      const { certificate, key } = tls(authority);
      settings['ssl-cert'] = await give('server.crt', certificate);
      settings['ssl-key'] = await give('server.key', key);
      settings['ssl-ca'] = `${folder.inside}/ca.crt`;
      // A server with TLS takes no connection without it, so that a client which falls back is caught.
      settings['require-secure-transport'] = 'ON';
    }
    const [program = '', ...own] = flavour.command;
    const variables = Object.entries({ ...settings, ...options.settings }).map(([name, value]) => `--${name}=${value}`);
    const server = await startServerProcess({
      name: flavour.name,
      folder: folder.path,
      command: (port) =>
        folder.enter([
          ...[program, '--no-defaults', ...own, ...variables],
          ...(tls === 'off' ? [flavour.withoutTls] : []),
          `--port=${port}`,
        ]),
      ready: /(mysqld|mariadbd): ready for connections/,
      gaveUp: /\[ERROR\].*Aborting/,
      signal: 'KILL',
      logFiles: ['general.log'],
    });
    return { server, caFile };
  });

  async function connect(account: Account, database?: string, programName?: string): Promise<Connection> {
    const connection = await createConnection({
      host: '127.0.0.1',
      port: server.port,
      user: account.username,
      password: account.password,
      ...(database === undefined ? {} : { database }),
      ...(programName === undefined ? {} : { connectAttributes: { program_name: programName } }),
      // TLS is what some tests are about; this way in must not depend on it.
      ...(tls === 'off' ? {} : { ssl: { rejectUnauthorized: false } }),
      multipleStatements: true,
    });
    connection.on('error', () => {}); // the server may be stopped under it
    // The driver's goodbye ends as it is sent, and the server goes on showing the session to others: one in ten was seen
    // by whoever looked next. Once it has hung up, it was one in a thousand.
    const { stream } = (connection as unknown as { readonly connection: { readonly stream: Duplex } }).connection;
    const hungUp = new Promise((resolve) => stream.once('close', resolve));
    const sayGoodbye = connection.end.bind(connection);
    connection.end = async () => {
      await sayGoodbye();
      await hungUp;
    };
    return connection;
  }

  return {
    host: 'localhost',
    port: server.port,
    pid: server.pid,
    ca: authority.certificate,
    caFile,
    superuser,
    admin,
    database: 'app',
    log: server.log,
    connect,
    async run(sql, database) {
      const connection = await connect(superuser, database);
      await connection.query(sql).finally(() => connection.end());
    },
    startAgain: server.startAgain,
    stop: server.stop,
  };
}
