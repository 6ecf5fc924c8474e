import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Certificate } from './certificates.ts';

/** How the impostor finds out who logs in. */
export type Authentication =
  /** Knows the password. */
  | { readonly kind: 'scram'; readonly password: string }
  /** Does not know it, and lets everyone in all the same. */
  /** Knows some users' passwords, and refuses whoever does not. */
  | { readonly kind: 'scram-checked'; readonly passwordOf: (user: string) => string | undefined }
  | { readonly kind: 'scram-without-proof' }
  | { readonly kind: 'scram-with-false-proof' }
  | { readonly kind: 'cleartext' }
  | { readonly kind: 'md5' }
  | { readonly kind: 'none' };

export interface ImpostorOptions {
  readonly authentication: Authentication;
  /** Undefined: it has no TLS. */
  readonly certificate?: Certificate;
  /** What a query finds: the user of the session, or an SQLSTATE that ends it. */
  readonly session: { readonly user: string } | { readonly refusal: string };
}

export interface Impostor {
  readonly port: number;
  /** Everything that clients sent, decrypted. */
  received(): string;
  stop(): Promise<void>;
}

/** Something that speaks PostgreSQL's protocol without being one: a pooler, or an attacker. Simulated. */
export async function startImpostor(options: ImpostorOptions): Promise<Impostor> {
  const sockets = new Set<Socket>();
  let received = '';
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    serve(socket, options, (bytes) => {
      received += bytes.toString('latin1');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    received: () => received,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

function serve(socket: Socket, options: ImpostorOptions, heard: (bytes: Buffer) => void): void {
  const { certificate } = options;
  if (certificate === undefined) {
    converse(socket, options, heard);
    return;
  }
  socket.once('data', () => {
    socket.write('S');
    const { certificate: cert, key } = certificate;
    converse(new TLSSocket(socket, { isServer: true, cert, key }), options, heard);
  });
}

function converse(socket: Socket, options: ImpostorOptions, heard: (bytes: Buffer) => void): void {
  const talk = conversation(options);
  talk.next();
  let buffer = Buffer.alloc(0);
  let started = false;
  socket.on('error', () => {});
  socket.on('data', (chunk: Buffer) => {
    heard(chunk);
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      // The first message has no type.
      const head = started ? 1 : 0;
      if (buffer.length < head + 4) return;
      const end = head + buffer.readInt32BE(head);
      if (buffer.length < end) return;
      const body = buffer.subarray(head + 4, end);
      buffer = buffer.subarray(end);
      started = true;
      const { value, done } = talk.next(Buffer.from(body));
      if (value instanceof Buffer) socket.write(value);
      if (done) {
        socket.end();
        return;
      }
    }
  });
}

const message = (type: string, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);
const authentication = (code: number, ...parts: Buffer[]): Buffer => message('R', int32(code), ...parts);
const refusal = (sqlState: string): Buffer =>
  message('E', text('SFATAL'), text('VFATAL'), text(`C${sqlState}`), text('Mrefused'), Buffer.alloc(1));
const WELCOME = Buffer.concat([
  authentication(0),
  message('S', text('server_version'), text('18.0')),
  message('Z', Buffer.from('I')),
]);

/** What is answered to each message of the client; it ends where the impostor hangs up. */
function* conversation({
  authentication: how,
  session,
}: ImpostorOptions): Generator<Buffer | undefined, Buffer, Buffer> {
  const startup = yield undefined; // until the startup message
  let reply = WELCOME;
  switch (how.kind) {
    case 'none':
      break;
    case 'cleartext':
      yield authentication(3);
      break;
    case 'md5':
      yield authentication(5, randomBytes(4));
      break;
    case 'scram-checked': {
      const [, user = ''] = /\0user\0([^\0]*)\0/.exec(startup.toString('latin1')) ?? [];
      const password = how.passwordOf(user);
      if (password === undefined) return refusal('28000');
      const { answer, isRight } = yield* scram({ kind: 'scram', password });
      if (!isRight) return refusal('28P01');
      reply = Buffer.concat([answer, WELCOME]);
      break;
    }
    default:
      reply = Buffer.concat([(yield* scram(how)).answer, WELCOME]);
  }
  for (;;) {
    yield reply;
    if ('refusal' in session) return refusal(session.refusal);
    const column = Buffer.concat([text('name'), int32(0), Buffer.alloc(2), int32(25), Buffer.alloc(8)]);
    const name = Buffer.from(session.user);
    reply = Buffer.concat([
      message('T', Buffer.from([0, 1]), column),
      message('D', Buffer.from([0, 1]), int32(name.length), name),
      message('C', text('SELECT 1')),
      message('Z', Buffer.from('I')),
    ]);
  }
}

type Scram = Extract<Authentication, { kind: 'scram' | 'scram-without-proof' | 'scram-with-false-proof' }>;

/** The server's part of RFC 5802 as far as the client can tell the difference. */
function* scram(how: Scram): Generator<Buffer, { readonly answer: Buffer; readonly isRight: boolean }, Buffer> {
  const first = yield authentication(10, text('SCRAM-SHA-256'), Buffer.alloc(1));
  const [, clientFirst = ''] = /(n=.*)$/s.exec(first.toString()) ?? [];
  const [, clientNonce = ''] = /r=(.*)$/s.exec(clientFirst) ?? [];
  const salt = randomBytes(16);
  const nonce = clientNonce + randomBytes(12).toString('base64');
  const serverFirst = `r=${nonce},s=${salt.toString('base64')},i=4096`;
  const final = yield authentication(11, Buffer.from(serverFirst));
  if (how.kind === 'scram-without-proof') return { answer: Buffer.alloc(0), isRight: true };
  const password = how.kind === 'scram' ? how.password : 'another';
  const signed = [clientFirst, serverFirst, final.toString().replace(/,p=.*$/s, '')].join(',');
  const hmac = (key: Buffer, data: string) => createHmac('sha256', key).update(data).digest();
  const salted = pbkdf2Sync(password, salt, 4096, 32, 'sha256');
  const signature = hmac(hmac(salted, 'Server Key'), signed);
  const clientKey = hmac(salted, 'Client Key');
  const clientSignature = hmac(createHash('sha256').update(clientKey).digest(), signed);
  const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (clientSignature[index] ?? 0)));
  return {
    answer: authentication(12, Buffer.from(`v=${signature.toString('base64')}`)),
    isRight: final.toString().endsWith(`,p=${proof.toString('base64')}`),
  };
}
