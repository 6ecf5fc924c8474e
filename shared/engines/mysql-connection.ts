import { connect, isIP } from 'node:net';
import { TLSSocket } from 'node:tls';
import { authPlugins, createConnection, type SslOptions } from 'mysql2';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { SecretValue } from '../secrets/secret-value.ts';
import { CONNECT_MS, resolveHost } from './host-address.ts';
import { translate, UnsafeAuthentication } from './mysql-errors.ts';
import type { Credentials, ServerFacts } from './port.ts';
import { certificateFacts, type Trust } from './tls.ts';

/** A method of authentication that the driver lacks: the answer to the server's challenge. */
export type ChallengeResponse = (challenge: Buffer, password: SecretValue) => Buffer;

export interface ConnectionOptions extends Trust {
  /** By the name of the server's client plugin, e.g. `client_ed25519`. */
  readonly methods?: Readonly<Record<string, ChallengeResponse>>;
}

/**
 * One session. Failures are a ServerRefusal or a RekeyError, never the driver's error: that holds the statement.
 * Text in a statement is made with {@link quoteLiteral} and {@link quoteName} alone.
 */
export interface Connection {
  /** Runs statements in one round trip, up to the first one that is refused. @returns the rows of each */
  run(statements: readonly string[]): Promise<readonly (readonly unknown[])[]>;
  /** Runs one statement. */
  query<Row>(sql: string): Promise<readonly Row[]>;
  /** Of the certificate that the server showed; undefined on a plaintext connection. */
  readonly certificate: ServerFacts['certificate'];
}

/**
 * Sent with the first statements, to save a round trip, and before them: a statement that fails ends the row. What
 * quotes mean depends on sql_mode and on the character set, which a server may impose, and on MySQL a lock on a
 * user's record waits for a year by default.
 */
const START_OF_SESSION = "SET NAMES utf8mb4, SESSION sql_mode = '', SESSION lock_wait_timeout = 5";

/** A name of any object, or one half of an account, whatever the sql_mode. */
export const quoteName = (name: string): string => `\`${name.replaceAll('`', '``')}\``;

/**
 * A text, for the sql_mode that every session here has. Where a server would not know backslashes after all, it
 * would read another text, but never beyond its end.
 */
export const quoteLiteral = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`;

/**
 * Opens a session, does the work, and closes it whatever happens. TLS with the host's name verified, 1.2 at least,
 * and never a second attempt without it. In MySQL's protocol a server does not prove that it knows the password: one
 * that accepts any cannot be told from a real one but by its certificate.
 */
export async function withConnection<T>(
  credentials: Credentials,
  { methods = {}, ...trust }: ConnectionOptions,
  deadline: Deadline,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const { host, port, password, transport = { kind: 'verified' } } = credentials;
  const where = `the database at ${host}`;
  deadline.require(1_000, `a connection to ${where}`);
  const verified = transport.kind === 'verified' ? { name: transport.serverName ?? host, ...transport } : undefined;
  // The driver does not verify the name of a server that is known by its address alone.
  if (verified !== undefined && isIP(verified.name) !== 0)
    throw new RekeyError('HOST_NOT_ALLOWED', `a certificate cannot be verified for ${verified.name}`);
  const authority = verified && authorityOf(verified.ca ?? trust.ca);
  const address = await resolveHost(host, trust.allowLoopback, deadline);
  const socket = connect({ host: address, port, noDelay: true });
  const driver = createConnection({
    // The address that was looked at, so that another answer of the resolver changes nothing; the name is for TLS.
    stream: () => socket,
    host: verified?.name ?? host,
    port,
    user: credentials.username,
    password: password.expose(),
    ...(credentials.database !== '' && { database: credentials.database }),
    ...(authority && { ssl: authority.ssl }),
    // A server could otherwise ask for a file of ours.
    flags: ['-LOCAL_FILES'],
    authPlugins: {
      ...(verified === undefined && noKeyFromTheWire()),
      ...Object.fromEntries(
        Object.entries(methods).map(([name, respond]) => [
          name,
          () => (challenge: Buffer) => respond(challenge, password),
        ]),
      ),
    },
    connectTimeout: Math.min(CONNECT_MS, deadline.remainingMs()),
    connectAttributes: { program_name: 'rekey' },
    multipleStatements: true,
    charset: 'UTF8MB4_GENERAL_CI',
    dateStrings: true,
    disableEval: true,
  });
  const stream = () => (driver as unknown as { readonly stream: unknown }).stream;
  let failed: unknown;
  driver.on('error', (error: unknown) => {
    failed ??= error; // told to the statement that waits, or to nobody
  });
  const timer = setTimeout(() => socket.destroy(), deadline.remainingMs());
  try {
    await new Promise<void>((resolve, reject) => {
      driver.once('connect', () => resolve());
      driver.once('error', reject);
    }).catch((error: unknown) => {
      throw translate(error, where, { during: 'login', certificateFault: certificateFaultOf(stream()) });
    });
    let preamble = [START_OF_SESSION];
    const run: Connection['run'] = (statements) => {
      if (statements.length === 0) return Promise.resolve([]); // an empty text is an error
      const before = preamble;
      preamble = [];
      return new Promise((resolve, reject) => {
        let answered = 0;
        const command = driver.query({ sql: [...before, ...statements].join(';\n') }, (error, results, fields) => {
          if (error) reject(translate(error, where, { during: 'statement', completed: answered - before.length }));
          else resolve(rowsOfEach(results, fields).slice(before.length));
        });
        command.on('fields', () => {
          answered += 1; // comes once for each statement, whether it has rows or not
        });
      });
    };
    return await work({
      certificate: authority && certificateOf(stream(), authority, driver.config),
      run,
      async query<Row>(sql: string) {
        const [rows = []] = await run([sql]);
        return rows as readonly Row[];
      },
    });
  } finally {
    clearTimeout(timer);
    // The goodbye has no answer: it is handed to the kernel, and the socket with it.
    if (failed === undefined) driver.end(() => {});
    socket.destroySoon();
  }
}

/** Those who may vouch for a server, and what the driver keeps of them for as long as it is given the same object. */
interface Authority {
  /** Read once: RDS's are over a hundred certificates. A session that was verified is resumed. */
  readonly ssl: SslOptions;
  /** By server. One whose session is resumed shows its certificate no more. */
  readonly certificates: Map<string, ServerFacts['certificate']>;
}

const authorities = new Map<string, Authority>();

function authorityOf(ca: string): Authority {
  const ssl = { ca, minVersion: 'TLSv1.2', rejectUnauthorized: true, verifyIdentity: true };
  const known = authorities.get(ca) ?? { ssl, certificates: new Map() };
  authorities.set(ca, known);
  return known;
}

/**
 * Without TLS, caching_sha2_password and sha256_password encrypt the password with a key that the server sends, and
 * anyone in between could send another: then only the methods that answer a challenge are left.
 */
function noKeyFromTheWire() {
  const onServerPublicKey = () => {
    throw new UnsafeAuthentication();
  };
  return {
    caching_sha2_password: authPlugins.caching_sha2_password({ onServerPublicKey }),
    sha256_password: authPlugins.sha256_password({ onServerPublicKey }),
  };
}

/** The driver gives the rows of one statement as they are, and those of several as a list; a change has none. */
function rowsOfEach(results: unknown, fields: unknown): readonly (readonly unknown[])[] {
  const several = Array.isArray(fields) && (fields[0] === undefined || Array.isArray(fields[0]));
  const list: readonly unknown[] = several && Array.isArray(results) ? results : [results];
  return list.map((rows) => (Array.isArray(rows) ? rows : []));
}

function certificateFaultOf(stream: unknown): string | undefined {
  if (!(stream instanceof TLSSocket)) return undefined;
  const fault: unknown = stream.authorizationError; // Node's types say Error; it is the error's code
  return typeof fault === 'string' ? fault : undefined;
}

function certificateOf(
  stream: unknown,
  { certificates }: Authority,
  { host, port }: { readonly host?: string | undefined; readonly port?: number | undefined },
): ServerFacts['certificate'] {
  if (!(stream instanceof TLSSocket)) return undefined;
  const server = `${host}:${port}`;
  if (!stream.isSessionReused()) certificates.set(server, certificateFacts(stream.getPeerCertificate(true)));
  return certificates.get(server);
}
