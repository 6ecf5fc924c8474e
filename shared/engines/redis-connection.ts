import { connect } from 'node:net';
import { ConnectionTimeoutError, ErrorReply, RedisClient } from '@redis/client';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { resolveHost } from './host-address.ts';
import type { Credentials, ServerFacts } from './port.ts';
import { connectionFailure, refusalIn, ServerRefusal } from './redis-errors.ts';
import { certificateFacts, type Trust, tlsOptions } from './tls.ts';

export type Command = readonly [name: string, ...args: string[]];
/** In RESP2 a map is a list of keys and values in turn. A list may have refusals in it: that of a transaction has. */
export type Reply = string | number | null | ServerRefusal | readonly Reply[];

/** What the server said of itself in its answer to HELLO. */
export interface Greeting {
  /** `redis`, `valkey` or what it calls itself. */
  readonly product: string;
  readonly version: string;
  readonly mode: string;
  readonly role: string;
  /** Of this connection, as in CLIENT LIST. */
  readonly connectionId: number;
}

/** One session. Failures are a {@link ServerRefusal} or a RekeyError, never the driver's error: that has the text. */
export interface Connection {
  readonly greeting: Greeting;
  /** Of the certificate that the server showed; undefined on a plaintext connection. */
  readonly certificate: ServerFacts['certificate'];
  /** The answers to the commands that were sent with the greeting. */
  readonly opening: readonly Reply[];
  /** Sends the commands together, in one write. @returns an answer each; what the server refuses is not thrown */
  send(...commands: Command[]): Promise<readonly Reply[]>;
}

const CONNECT_MS = 5_000;

/**
 * Opens a session, does the work, and closes it whatever happens. TLS with the host's name verified, 1.2 at least,
 * and never a second attempt without it. The protocol sends the password itself, so the certificate is all that keeps
 * it from a stranger.
 * @param opening commands that only read: where the login fails, they run as whom an open server takes everybody for
 */
export async function withConnection<T>(
  credentials: Credentials,
  trust: Trust,
  deadline: Deadline,
  opening: readonly Command[],
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { host, port } = credentials;
  const where = `the database at ${host}`;
  deadline.require(1_000, `a connection to ${where}`);
  // The address that was looked at, so that another answer of the resolver changes nothing; the name is for TLS.
  const address = await resolveHost(host, trust.allowLoopback, deadline);
  let certificate: ServerFacts['certificate'];
  const tls = tlsOptions(credentials, trust, (shown) => {
    certificate = certificateFacts(shown);
  });
  const timeUp = new AbortController();
  const socket = {
    host: address,
    port,
    signal: timeUp.signal,
    connectTimeout: Math.min(CONNECT_MS, deadline.remainingMs()),
    reconnectStrategy: false,
  } as const;
  // Not by `createClient`, which makes a class with a method for every command: tens of milliseconds of a start.
  const client = new RedisClient({
    socket: tls === undefined ? socket : { ...socket, ...tls, tls: true },
    // No greeting of the driver's own: it hides whether the server asked for a password at all.
    RESP: 2,
    disableClientInfo: true,
    disableOfflineQueue: true,
    maintNotifications: 'disabled',
  });
  // Why the session ended: the command that waits hears no more than that it did. An alert of TLS 1.3 comes here.
  let end: unknown;
  client.on('error', (error: unknown) => {
    end ??= error;
    client.destroy(); // tells the command that waits; also where an answer cannot be read
  });
  const timer = setTimeout(() => timeUp.abort(), deadline.remainingMs());
  const send: Connection['send'] = async (...commands) => {
    const settled = await Promise.allSettled(commands.map((command) => client.sendCommand([...command])));
    const answers: Reply[] = [];
    for (const each of settled) {
      if (each.status === 'fulfilled') answers.push(replyIn(each.value));
      else if (each.reason instanceof ErrorReply) answers.push(replyIn(each.reason));
      else throw lastWord(answers) ?? connectionFailure(end ?? each.reason, where);
    }
    return answers;
  };
  try {
    await client.connect().catch(async (error: unknown) => {
      if (
        tls !== undefined &&
        error instanceof ConnectionTimeoutError &&
        (await speaksInClear(address, port, deadline))
      )
        throw new RekeyError('DATABASE_TLS', `${where} does not offer TLS`);
      throw connectionFailure(error, where);
    });
    const [greeting, answers] = await greet(credentials, send, opening);
    return await work({ greeting, opening: answers, send, certificate });
  } finally {
    clearTimeout(timer);
    client.destroy();
  }
}

/** What the driver made of an answer, with nothing of a refusal but its meaning. */
function replyIn(value: unknown): Reply {
  if (value instanceof ErrorReply) return refusalIn(value.message);
  if (Array.isArray(value)) return value.map(replyIn);
  return typeof value === 'string' || typeof value === 'number' ? value : null;
}

/** A server that turns a client away says why in one answer, and hangs up on the commands after it. */
function lastWord(answers: readonly Reply[]): ServerRefusal | undefined {
  const last = answers.at(-1);
  return last instanceof ServerRefusal ? last : undefined;
}

/** Logs in, and proves that the session is this user's: in the one round trip of the first commands, but for "default". */
async function greet(
  { host, username, password }: Credentials,
  send: Connection['send'],
  opening: readonly Command[],
): Promise<[Greeting, readonly Reply[]]> {
  const where = `the database at ${host}`;
  if (username === 'default' && !(await asksForPassword(send)))
    throw new RekeyError('AUTHENTICATION_UNSAFE', `${where} lets this user in without a password`, SET_ONE);
  // HELLO comes first: Redis 8 swallows a refused password behind another answer (addAuthErrReply in acl.c).
  const [hello = null, whoAmI, ...answers] = await send(
    ['HELLO', '2', 'AUTH', username, password.expose(), 'SETNAME', 'rekey'],
    ['ACL', 'WHOAMI'],
    ...opening,
  );
  if (hello instanceof ServerRefusal) throw hello;
  // Many users may not ask who they are: then the answer to HELLO stands alone. A server that is busy tells nobody.
  if (whoAmI instanceof ServerRefusal) {
    if (whoAmI.kind !== 'no-right') throw whoAmI;
  } else if (whoAmI !== username)
    throw new RekeyError('AUTHENTICATION_UNSAFE', `${where} opened the session of another user`);
  return [greetingIn(hello), answers];
}

/** Whoever has not logged in is "default". Where that user needs no password, HELLO takes any for it. */
async function asksForPassword(send: Connection['send']): Promise<boolean> {
  const [uninvited] = await send(['PING']);
  if (!(uninvited instanceof ServerRefusal)) return false;
  if (uninvited.kind === 'too-many-clients') throw uninvited; // said to whoever comes
  return uninvited.kind === 'no-login';
}

export const SET_ONE =
  'Give the user a password on the server (ACL SETUSER … resetpass >…), put it into the secret, and check who came in without.';

function greetingIn(reply: Reply): Greeting {
  const fields = fieldsIn(reply);
  const text = (name: string) => {
    const value = fields.get(name);
    return typeof value === 'string' ? value : '';
  };
  return {
    product: text('server'),
    version: text('version'),
    mode: text('mode'),
    role: text('role'),
    connectionId: Number(fields.get('id')),
  };
}

/** A map, which RESP2 gives as keys and values in turn. */
export function fieldsIn(reply: Reply): ReadonlyMap<string, Reply> {
  const fields = new Map<string, Reply>();
  if (!Array.isArray(reply)) return fields;
  for (let at = 0; at + 1 < reply.length; at += 2) fields.set(String(reply[at]), reply[at + 1]);
  return fields;
}

const CLEAR_MS = 1_000;

/**
 * Redis without TLS, which is how it comes, takes the beginning of a handshake for half a command and waits for the
 * rest. So it is asked for a sign of life, and nothing else.
 */
async function speaksInClear(host: string, port: number, deadline: Deadline): Promise<boolean> {
  const timeout = Math.min(CLEAR_MS, deadline.remainingMs());
  if (timeout === 0) return false;
  const socket = connect({ host, port, timeout });
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once('data', (chunk) => resolve(/^[+-]/.test(chunk.toString('latin1'))));
      for (const end of ['timeout', 'error', 'close']) socket.once(end, () => resolve(false));
      socket.write('PING\r\n');
    });
  } finally {
    socket.destroy();
  }
}
