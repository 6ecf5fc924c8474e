import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { Client, type QueryResult } from 'pg';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { CONNECT_MS, resolveHost } from './host-address.ts';
import type { Credentials, ServerFacts } from './port.ts';
import { ServerRefusal, translate, UnsafeAuthentication } from './postgres-errors.ts';
import { certificateFacts, type Trust, tlsOptions } from './tls.ts';

export { escapeIdentifier as quoteIdentifier, escapeLiteral as quoteLiteral } from 'pg';

/** One session. Failures are a {@link ServerRefusal} or a RekeyError, never the driver's error. */
export interface Connection {
  /** Runs one or more statements in one round trip. @returns the rows of the last one */
  query<Row>(sql: string): Promise<readonly Row[]>;
  /** Runs statements in one round trip. @returns the rows of each */
  queryEach(statements: readonly string[]): Promise<readonly (readonly unknown[])[]>;
  /** Of the server, the major one, as it said when it let us in. */
  readonly version: number;
  /** That the server showed; undefined on a plaintext connection. */
  readonly certificate: ServerFacts['certificate'];
}

const GOODBYE_MS = 500;

/**
 * Names are looked up in the catalogue alone: whoever may create objects in this database could otherwise put a
 * function of the same name before it (CVE-2018-1058). And an application's `ALTER ROLE … SET role` must not decide
 * who acts. To be said again after a transaction that was rolled back: it may have been the first statement's.
 * Our queries name their joins in a good order: to look for a better one takes the planner longer than to run them.
 */
export const START_OF_SESSION = [
  'SET ROLE NONE',
  'SET search_path TO pg_catalog, pg_temp',
  'SET join_collapse_limit = 1',
  'SET from_collapse_limit = 1',
].join('; ');

/**
 * Opens a session, does the work, and closes it whatever happens. TLS with the host's name verified, 1.2 at least,
 * and never a second attempt without it.
 */
export async function withConnection<T>(
  credentials: Credentials,
  trust: Trust,
  deadline: Deadline,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const where = `the database at ${credentials.host}`;
  deadline.require(1_000, `a connection to ${where}`);
  const address = await resolveHost(credentials.host, trust.allowLoopback, deadline);
  const socket = new Socket();
  let certificate: ServerFacts['certificate'];
  const proof = new Proof(credentials.transport?.kind !== 'plaintext');
  const client = new Client({
    // The address that was looked at, so that another answer of the resolver changes nothing; the name is for TLS.
    host: address,
    port: credentials.port,
    database: credentials.database,
    user: credentials.username,
    password: () => {
      proof.requireSafe();
      return credentials.password.expose();
    },
    ssl:
      tlsOptions(credentials, trust, (shown) => {
        certificate = certificateFacts(shown);
      }) ?? false,
    stream: () => socket,
    connectionTimeoutMillis: Math.min(CONNECT_MS, deadline.remainingMs()),
    application_name: 'rekey',
  });
  const { connection } = client as unknown as { connection: EventEmitter };
  proof.watch(connection);
  let version = 0;
  connection.on('parameterStatus', ({ parameterName, parameterValue }: Record<string, string>) => {
    if (parameterName === 'server_version') version = Number.parseInt(parameterValue ?? '', 10);
  });
  client.on('error', () => {}); // told to the query that waits, or to nobody
  const timer = setTimeout(() => socket.destroy(), deadline.remainingMs());
  try {
    await client.connect().catch((error: unknown) => {
      throw translate(error, where);
    });
    proof.require(where);
    let preamble = `${START_OF_SESSION};\n`; // sent with the first statement, to save a round trip
    const run = async (sql: string) => {
      const text = preamble + sql;
      preamble = '';
      try {
        const result: QueryResult | QueryResult[] = await client.query(text);
        return [result].flat().map(({ rows }) => rows);
      } catch (error) {
        throw translate(error, where);
      }
    };
    return await work({
      query: async <Row>(sql: string) => ((await run(sql)).at(-1) ?? []) as Row[],
      queryEach: async (statements) => (await run(statements.join(';\n'))).slice(-statements.length),
      version,
      certificate,
    });
  } finally {
    clearTimeout(timer);
    // A peer that fell silent would never answer the goodbye.
    const goodbye = setTimeout(() => socket.destroy(), GOODBYE_MS);
    await client.end().catch(() => {});
    clearTimeout(goodbye);
    socket.destroy();
  }
}

/**
 * What the server did to find out who we are, and whether it had to know the password itself. The driver hands the
 * password to whoever asks for it in clear, and takes AuthenticationOk for an answer at any point. We do neither.
 */
class Proof {
  readonly #encrypted: boolean;
  #asked: 'nothing' | 'clear' | 'md5' | 'scram' = 'nothing';
  #complete = false;

  constructor(encrypted: boolean) {
    this.#encrypted = encrypted;
  }

  watch(connection: EventEmitter): void {
    const asks = (what: 'clear' | 'md5' | 'scram') => () => {
      this.#asked = what;
    };
    connection.prependListener('authenticationCleartextPassword', asks('clear'));
    connection.prependListener('authenticationMD5Password', asks('md5'));
    connection.prependListener('authenticationSASL', asks('scram'));
    // The driver has checked the server's signature, or fails the connection before anyone looks at this.
    connection.on('authenticationSASLFinal', () => {
      this.#complete = true;
    });
  }

  /** An md5 response proves nothing of the server: only its certificate could. */
  requireSafe(): void {
    if (this.#asked === 'clear' || (this.#asked === 'md5' && !this.#encrypted)) throw new UnsafeAuthentication();
  }

  /** @throws RekeyError AUTHENTICATION_UNSAFE when the session says nothing about the password */
  require(where: string): void {
    if (this.#asked === 'nothing')
      throw new RekeyError('AUTHENTICATION_UNSAFE', `${where} lets this user in without a password`);
    if (this.#asked === 'scram' && !this.#complete)
      throw new RekeyError('AUTHENTICATION_UNSAFE', `${where} did not prove that it knows the password`);
  }
}
