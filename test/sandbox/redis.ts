import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { RedisClient as DriverClient } from '@redis/client';
import { type Certificate, type CertificateAuthority, createAuthority } from './certificates.ts';
import { type Account, giveAway, removedOnFailure, startServerProcess } from './server-process.ts';
import { folderInRoot, rootIsInstalled, type ServerRoot } from './server-root.ts';

export const REDIS_SERVERS = [
  { kind: 'redis', version: 7 },
  { kind: 'redis', version: 8 },
  { kind: 'valkey', version: 9 },
] as const;
/** Which server: Valkey speaks the same protocol and has the same users. */
export type RedisServerId = (typeof REDIS_SERVERS)[number];

export type RedisOptions = RedisServerId & {
  /** What the server shows; its own certificate for `localhost` and 127.0.0.1 unless given; `off` for a server without TLS. */
  readonly tls?: ((authority: CertificateAuthority) => Certificate) | 'off';
  /** Directives of redis.conf, e.g. `{ maxclients: '5' }`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Users beside the two accounts, as lines of an ACL file. */
  readonly users?: readonly string[];
  /** Where a restart finds the users, `acl-file` unless given; `nowhere` brings those of the start back. */
  readonly keepsUsersIn?: 'acl-file' | 'config-file' | 'nowhere';
};

/** A real server on 127.0.0.1. It ends, and its files go, with `stop()` or with the process that started it. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** For SIGSTOP and SIGCONT: a server that hangs. */
  readonly pid: number;
  /** PEM of the authority that a client is to trust, and a file that holds it. */
  readonly ca: string;
  readonly caFile: string;
  /** The user `default`, who may do everything. */
  readonly superuser: Account;
  /** May manage users and connections, and say what the server is; cannot touch a key unless it grants itself that. */
  readonly admin: Account;
  /** The file that keeps the users, as it is now: what a restart would bring back. */
  readonly usersFile: string;
  /** All that the server logged so far. */
  log(): string;
  /** The caller closes the client. */
  connect(account: Account): Promise<RedisClient>;
  /** Runs one command as the superuser, over a connection of its own. */
  run(...command: readonly string[]): Promise<unknown>;
  /** After a test ended its process. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

export type RedisClient = ReturnType<typeof newClient>;

/** As in redis-connection.ts. */
const createClient = DriverClient.factory();

function newClient(port: number, account: Account, tls: boolean) {
  const address = { host: '127.0.0.1', port, reconnectStrategy: false } as const;
  return createClient({
    ...account,
    // TLS is what some tests are about; this way in must not depend on it.
    socket: tls ? { ...address, tls, rejectUnauthorized: false } : address,
  });
}

const USERS_FILE = 'users';

/** E.g. `Valkey 9`. */
export const redisName = ({ kind, version }: RedisServerId) => `${kind === 'valkey' ? 'Valkey' : 'Redis'} ${version}`;

const rootOf = ({ version }: RedisServerId): ServerRoot => (version === 7 ? 'bookworm' : 'sid');

/** Whether `npm run servers` brought this server, and it can be started here. */
export function redisIsInstalled(server: RedisServerId): boolean {
  return rootIsInstalled(rootOf(server));
}

/** @throws Error with the end of the server's log when it does not come up */
export async function startRedis(options: RedisOptions): Promise<RedisServer> {
  const authority = createAuthority();
  const superuser = { username: 'default', password: randomBytes(12).toString('hex') };
  const admin = { username: 'rekey_admin', password: randomBytes(12).toString('hex') };
  const { tls = () => authority.issue(['localhost', '127.0.0.1']), keepsUsersIn = 'acl-file' } = options;
  const folder = await folderInRoot(rootOf(options), 'rekey-');
  const { server, caFile } = await removedOnFailure(folder.path, async () => {
    const caFile = await giveAway(folder.path, 'ca.crt', authority.certificate);
    const give = async (name: string, content: string) => {
      await giveAway(folder.path, name, content);
      return `${folder.inside}/${name}`;
    };
    const users = [
      `user ${superuser.username} on >${superuser.password} ~* &* +@all`,
      `user ${admin.username} on >${admin.password} resetchannels -@all +@connection +acl +info`,
      ...(options.users ?? []),
    ];
    const text = `${users.join('\n')}\n`;
    const settings: Record<string, string> = {
      bind: '127.0.0.1',
      dir: folder.inside,
      save: '',
      appendonly: 'no',
    };
    if (keepsUsersIn === 'acl-file') settings['aclfile'] = await give(USERS_FILE, text);
    const configFile = keepsUsersIn === 'config-file' ? [await give(USERS_FILE, text)] : [];
    const userArguments = keepsUsersIn === 'nowhere' ? users.flatMap((user) => `--${user}`.split(' ')) : [];
    if (tls !== 'off') {
      const { certificate, key } = tls(authority);
      settings['tls-cert-file'] = await give('server.crt', certificate);
      settings['tls-key-file'] = await give('server.key', key);
      settings['tls-ca-cert-file'] = `${folder.inside}/ca.crt`;
      settings['tls-auth-clients'] = 'no';
    }
    const directives = Object.entries({ ...settings, ...options.settings }).flatMap(([name, value]) => [
      `--${name}`,
      value,
    ]);
    // A server with TLS has no port without it, so that a client which falls back is caught.
    const ports = (port: number) =>
      tls === 'off' ? ['--port', String(port)] : ['--port', '0', '--tls-port', String(port)];
    const server = await startServerProcess({
      name: redisName(options),
      folder: folder.path,
      command: (port) =>
        // By its whole path, which DEBUG RESTART looks for.
        folder.enter([
          `/usr/bin/${options.kind}-server`,
          ...configFile,
          ...directives,
          ...userArguments,
          ...ports(port),
        ]),
      ready: /Ready to accept connections/,
      gaveUp: /FATAL CONFIG|Failed|Aborting|aborting|exiting/,
      signal: 'KILL',
    });
    return { server, caFile };
  });

  async function connect(account: Account): Promise<RedisClient> {
    const client = newClient(server.port, account, tls !== 'off');
    client.on('error', () => {}); // the server may be stopped under it
    await client.connect();
    return client;
  }

  return {
    host: 'localhost',
    port: server.port,
    pid: server.pid,
    ca: authority.certificate,
    caFile,
    superuser,
    admin,
    usersFile: join(folder.path, USERS_FILE),
    log: server.log,
    connect,
    async run(...command) {
      const client = await connect(superuser);
      return client.sendCommand(command).finally(() => client.close());
    },
    startAgain: server.startAgain,
    stop: server.stop,
  };
}
