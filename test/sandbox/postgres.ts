import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { chmod, chown, cp, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { type Certificate, type CertificateAuthority, createAuthority } from './certificates.ts';

export const POSTGRES_VERSIONS = [16, 17, 18] as const;
export type PostgresVersion = (typeof POSTGRES_VERSIONS)[number];

export interface PostgresOptions {
  readonly version: PostgresVersion;
  /** What the server shows; its own certificate for `localhost` and 127.0.0.1 unless given; `off` for a server without TLS. */
  readonly tls?: ((authority: CertificateAuthority) => Certificate) | 'off';
  /** The method that pg_hba.conf asks for, scram-sha-256 unless given. */
  readonly authentication?: 'scram-sha-256' | 'md5' | 'password' | 'trust';
  /** Never leaves recovery, like a replica: it can only be read, and has no user but the superuser. */
  readonly standby?: boolean;
  /** Lines of postgresql.conf, e.g. `{ log_statement: 'all' }`. */
  readonly settings?: Readonly<Record<string, string>>;
}

interface Account {
  readonly username: string;
  readonly password: string;
}

/** A real server on 127.0.0.1. It ends, and its files go, with `stop()` or with the process that started it. */
export interface PostgresServer {
  readonly version: PostgresVersion;
  readonly host: string;
  readonly port: number;
  /** PEM of the authority that a client is to trust, and a file that holds it. */
  readonly ca: string;
  readonly caFile: string;
  readonly superuser: Account;
  /** CREATEROLE and CREATEDB but no superuser: like the master user of RDS. */
  readonly admin: Account;
  /** All that the server logged so far. */
  log(): string;
  /** The caller ends the client. */
  connect(account: Account, database?: string): Promise<Client>;
  /** Runs statements as the superuser, over a connection of its own. */
  run(sql: string, database?: string): Promise<void>;
  stop(): Promise<void>;
}

/** PostgreSQL refuses to run as root, and a container's user is often just that. */
const NOBODY = 65534;
const ACCOUNT = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** Whether the binaries for this version were installed on this platform. */
export function postgresIsInstalled(version: PostgresVersion): boolean {
  return packageFolder(version) !== undefined;
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startPostgres(options: PostgresOptions): Promise<PostgresServer> {
  const { version } = options;
  const authority = createAuthority();
  const binaries = await binariesOf(version);
  const folder = await mkdtemp(join(tmpdir(), 'rekey-postgres-'));
  let supervisor: ChildProcess | undefined;
  const superuser = { username: 'postgres', password: randomBytes(12).toString('hex') };
  const admin = { username: 'rekey_admin', password: randomBytes(12).toString('hex') };
  try {
    await initialise(binaries, folder, superuser);
    const caFile = await configure(folder, options, authority);
    const launched = await launch(binaries, folder);
    const { port } = launched;
    supervisor = launched.supervisor;
    const log = () => readFileSync(join(folder, 'log'), 'utf8');
    let lastLog = '';

    async function connect(account: Account, database = 'postgres'): Promise<Client> {
      const client = new Client({
        host: '127.0.0.1',
        port,
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

    if (!options.standby)
      await run(`CREATE ROLE ${admin.username} LOGIN CREATEROLE CREATEDB PASSWORD '${admin.password}'`);
    return {
      version,
      host: 'localhost',
      port,
      ca: authority.certificate,
      caFile,
      superuser,
      admin,
      log: () => lastLog || log(),
      connect,
      run,
      async stop() {
        lastLog ||= log();
        await end(launched.supervisor);
      },
    };
  } catch (error) {
    if (supervisor !== undefined) await end(supervisor);
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

async function end(supervisor: ChildProcess): Promise<void> {
  if (supervisor.exitCode !== null || supervisor.signalCode !== null) return;
  supervisor.stdin?.end();
  await once(supervisor, 'exit');
}

function packageFolder(version: PostgresVersion): string | undefined {
  try {
    const name = `postgres-${version}-${process.platform}-${process.arch}`;
    return dirname(dirname(new URL(import.meta.resolve(name)).pathname));
  } catch {
    return undefined;
  }
}

/** One copy per process of binaries that lie where `nobody` may not go, e.g. in a checkout below /root. */
const copies = new Map<PostgresVersion, Promise<string>>();

async function binariesOf(version: PostgresVersion): Promise<string> {
  const folder = packageFolder(version);
  if (folder === undefined)
    throw new Error(`PostgreSQL ${version} is not installed for this platform: run npm install`);
  const native = join(folder, 'native');
  if (ACCOUNT.uid === undefined || (await everyoneMayEnter(native))) return native;
  const known = copies.get(version);
  if (known !== undefined) return known;
  const copy = (async () => {
    const target = await mkdtemp(join(tmpdir(), 'rekey-postgres-binaries-'));
    process.once('exit', () => spawn('rm', ['-rf', target], { detached: true, stdio: 'ignore' }).unref());
    await cp(native, target, { recursive: true, verbatimSymlinks: true });
    await chmod(target, 0o755);
    return target;
  })();
  copies.set(version, copy);
  return copy;
}

async function everyoneMayEnter(folder: string): Promise<boolean> {
  const mayEnter = ((await stat(folder)).mode & 0o001) !== 0;
  return mayEnter && (folder === dirname(folder) || everyoneMayEnter(dirname(folder)));
}

async function initialise(binaries: string, folder: string, superuser: Account): Promise<void> {
  const passwordFile = await giveAway(folder, 'password', superuser.password);
  if (ACCOUNT.uid !== undefined) await chown(folder, ACCOUNT.uid, ACCOUNT.gid);
  const options = ['--auth=scram-sha-256', '--no-sync', '--no-locale', '--encoding=UTF8'];
  try {
    await promisify(execFile)(
      join(binaries, 'bin', 'initdb'),
      [...options, `--pgdata=${join(folder, 'data')}`, `--username=${superuser.username}`, `--pwfile=${passwordFile}`],
      { ...ACCOUNT, cwd: folder },
    );
  } finally {
    await rm(passwordFile);
  }
}

/** @returns the path of the authority's certificate */
async function configure(folder: string, options: PostgresOptions, authority: CertificateAuthority): Promise<string> {
  const { tls = () => authority.issue(['localhost', '127.0.0.1']), authentication = 'scram-sha-256' } = options;
  const settings: Record<string, string> = {
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    shared_buffers: '16MB',
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    ...options.settings,
  };
  if (tls !== 'off') {
    const { certificate, key } = tls(authority);
    settings['ssl'] = 'on';
    settings['ssl_cert_file'] = await giveAway(folder, 'server.crt', certificate);
    settings['ssl_key_file'] = await giveAway(folder, 'server.key', key);
  }
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  await giveAway(folder, 'data/postgresql.auto.conf', lines.join(''));
  // A server with TLS takes no connection without it, so that a client which falls back is caught.
  const kind = tls === 'off' ? 'host' : 'hostssl';
  await giveAway(folder, 'data/pg_hba.conf', `${kind} all all 127.0.0.1/32 ${authentication}\n`);
  if (options.standby) await giveAway(folder, 'data/standby.signal', '');
  return giveAway(folder, 'ca.crt', authority.certificate);
}

/** Writes a file that only the server's account may read, and says where it is. */
async function giveAway(folder: string, name: string, content: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content, { mode: 0o600 });
  if (ACCOUNT.uid !== undefined) await chown(path, ACCOUNT.uid, ACCOUNT.gid);
  return path;
}

/**
 * A shell stands between us and the server: `read` returns when our end of its pipe closes, on purpose or because
 * this process died, and then it ends the server and removes the files. Arguments: postgres, folder, port.
 */
const SUPERVISE = `
"$1" -D "$2/data" -p "$3" >"$2/log" 2>&1 </dev/null &
read -r ended
kill -INT $!
wait $!
cd / && rm -rf "$2"
`;

async function launch(binaries: string, folder: string): Promise<{ port: number; supervisor: ChildProcess }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const supervisor = spawn(
      '/bin/sh',
      ['-c', SUPERVISE, 'rekey-postgres', join(binaries, 'bin', 'postgres'), folder, String(port)],
      { ...ACCOUNT, cwd: folder, detached: true, stdio: ['pipe', 'ignore', 'ignore'] },
    );
    const log = await outcomeOf(folder);
    if (READY.test(log)) return { port, supervisor };
    const exit = once(supervisor, 'exit');
    supervisor.kill('SIGKILL'); // not the way out that removes the files: they are wanted again
    await exit;
    // Another process may have taken the port since it was found free.
    if (!log.includes('Address already in use') || attempt === 3)
      throw new Error(`PostgreSQL did not start:\n${log.slice(-2000)}`);
  }
}

const READY = /ready to accept (read-only )?connections/;

/** The server's log once it says that it is ready or that it gave up. */
async function outcomeOf(folder: string): Promise<string> {
  const giveUpAt = Date.now() + 30_000;
  for (;;) {
    let log = '';
    try {
      log = readFileSync(join(folder, 'log'), 'utf8');
    } catch {
      // the shell has not created it yet
    }
    if (READY.test(log) || /database system is shut down|FATAL/.test(log) || Date.now() > giveUpAt) return log;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}
