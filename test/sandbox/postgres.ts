import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type Certificate, type CertificateAuthority, createAuthority } from './certificates.ts';
import { newPostgresFolder, type PostgresFolder, type PostgresVersion } from './postgres-programs.ts';
import { type Account, giveAway, removedOnFailure, startServerProcess } from './server-process.ts';

export { POSTGRES_VERSIONS, type PostgresVersion, postgresIsInstalled } from './postgres-programs.ts';

export interface PostgresOptions {
  readonly version: PostgresVersion;
  /** What the server shows; its own certificate for `localhost` and 127.0.0.1 unless given; `off` for a server without TLS. */
  readonly tls?: ((authority: CertificateAuthority) => Certificate) | 'off';
  /** The method that pg_hba.conf asks for, scram-sha-256 unless given. */
  readonly authentication?: 'scram-sha-256' | 'md5' | 'password' | 'trust';
  /** Never leaves recovery, like a replica: it can only be read, and has no user but the superuser. */
  readonly standby?: boolean;
  /** A copy that streams from a server which runs: read-only until `SELECT pg_promote()`, and the same users. */
  readonly replicaOf?: {
    readonly primary: PostgresServer;
    /** Where it finds the primary; a proxy in between can part the two. */
    readonly port: number;
  };
  /** Lines of postgresql.conf, e.g. `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A real server on 127.0.0.1. It ends, and its files go, with `stop()` or with the process that started it. */
export interface PostgresServer {
  readonly version: PostgresVersion;
  readonly host: string;
  readonly port: number;
  /** Of the postmaster, for SIGSTOP and SIGCONT: a server that takes connections and then says nothing. */
  readonly pid: number;
  /** PEM of the authority that a client is to trust, and a file that holds it. */
  readonly ca: string;
  readonly caFile: string;
  readonly authority: CertificateAuthority;
  /** Where its files lie. */
  readonly folder: string;
  readonly superuser: Account;
  /** CREATEROLE and CREATEDB but no superuser: like the master user of RDS. */
  readonly admin: Account;
  /** All that the server logged so far. */
  log(): string;
  /** The caller ends the client. */
  connect(account: Account, database?: string): Promise<Client>;
  /** Runs statements as the superuser, over a connection of its own. */
  run(sql: string, database?: string): Promise<void>;
  /** After a test ended its process. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { version, replicaOf } = options;
  const {
    authority = createAuthority(),
    superuser = { username: 'postgres', password: randomBytes(12).toString('hex') },
    admin = { username: 'rekey_admin', password: randomBytes(12).toString('hex') },
  } = replicaOf?.primary ?? {};
  const folder = await newPostgresFolder(version);
  const { server, caFile } = await removedOnFailure(folder.path, async () => {
    await (replicaOf ? copy(replicaOf.primary, folder) : initialise(folder, superuser));
    const caFile = await configure(folder, options, authority);
    const server = await startServerProcess({
      name: `PostgreSQL ${version}`,
      folder: folder.path,
      account: folder.startAs,
      command: (port) => folder.command('postgres', ['-D', `${folder.inside}/data`, '-p', String(port)]),
      ready: /ready to accept (read-only )?connections/,
      gaveUp: /database system is shut down|FATAL/,
      signal: 'INT',
    });
    return { server, caFile };
  });

  async function connect(account: Account, database = 'postgres'): Promise<Client> {
    const client = new Client({
      host: '127.0.0.1',
      port: server.port,
      database,
      user: account.username,
      password: account.password,
      // TLS is what some tests are about; this way in must not depend on it.
      ssl:
        options.tls === 'off'
          ? false
          : { rejectUnauthorized: false, minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' },
      application_name: 'test',
    });
    client.on('error', () => {}); // the server may be stopped under it
    await client.connect();
    return client;
  }

  async function run(sql: string, database?: string): Promise<void> {
    const client = await connect(superuser, database);
    await client.query(sql).finally(() => client.end());
  }

  try {
    if (!options.standby && !replicaOf)
      await run(`CREATE ROLE ${admin.username} LOGIN CREATEROLE CREATEDB PASSWORD '${admin.password}'`);
  } catch (error) {
    await server.stop();
    throw error;
  }
  return {
    version,
    host: 'localhost',
    port: server.port,
    pid: server.pid,
    ca: authority.certificate,
    caFile,
    authority,
    folder: folder.path,
    superuser,
    admin,
    log: server.log,
    connect,
    run,
    startAgain: server.startAgain,
    stop: server.stop,
  };
}

async function initialise(folder: PostgresFolder, superuser: Account): Promise<void> {
  const passwordFile = await giveAway(folder.path, 'password', superuser.password, folder.owner);
  const [program = '', ...args] = folder.command('initdb', [
    ...['--auth=scram-sha-256', '--no-sync', '--no-locale', '--encoding=UTF8'],
    `--pgdata=${folder.inside}/data`,
    `--username=${superuser.username}`,
    `--pwfile=${folder.inside}/password`,
  ]);
  try {
    await promisify(execFile)(program, args, { ...folder.startAs, cwd: folder.path });
  } finally {
    await rm(passwordFile);
  }
}

/** PostgreSQL, "Making a Base Backup Using the Low Level API"; what is not in the copy comes by streaming. */
async function copy(primary: PostgresServer, folder: PostgresFolder): Promise<void> {
  const client = await primary.connect(primary.superuser);
  try {
    await client.query(`SELECT pg_backup_start('replica', fast => true)`);
    await promisify(execFile)('cp', ['-a', `${primary.folder}/data`, folder.path]);
    const { rows } = await client.query('SELECT labelfile FROM pg_backup_stop(wait_for_archive => false)');
    await giveAway(folder.path, 'data/backup_label', rows[0].labelfile, folder.owner);
    await rm(`${folder.path}/data/postmaster.pid`);
  } finally {
    await client.end();
  }
}

/** @returns the path of the authority's certificate */
async function configure(
  folder: PostgresFolder,
  options: PostgresOptions,
  authority: CertificateAuthority,
): Promise<string> {
  const { tls = () => authority.issue(['localhost', '127.0.0.1']), authentication = 'scram-sha-256' } = options;
  const give = async (name: string, content: string) => {
    await giveAway(folder.path, name, content, folder.owner);
    return `${folder.inside}/${name}`;
  };
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    shared_buffers: '16MB',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    ...options.settings,
  };
  const { replicaOf } = options;
  if (replicaOf) {
    const { username, password } = replicaOf.primary.superuser;
    settings['primary_conninfo'] =
      `host=127.0.0.1 port=${replicaOf.port} user=${username} password=${password} sslmode=require sslcertmode=disable`;
  }
  if (tls !== 'off') {
    const { certificate, key } = tls(authority);
    settings['ssl'] = 'on';
    settings['ssl_cert_file'] = await give('server.crt', certificate);
    settings['ssl_key_file'] = await give('server.key', key);
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  await give('data/postgresql.auto.conf', lines.join(''));
  // A server with TLS takes no connection without it, so that a client which falls back is caught.
  const kind = tls === 'off' ? 'host' : 'hostssl';
  const rules = ['all', 'replication'].map((database) => `${kind} ${database} all 127.0.0.1/32 ${authentication}\n`);
  await give('data/pg_hba.conf', rules.join(''));
  if (options.standby || replicaOf) await give('data/standby.signal', '');
  return giveAway(folder.path, 'ca.crt', authority.certificate, folder.owner);
}
