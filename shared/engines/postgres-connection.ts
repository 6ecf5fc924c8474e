import type { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { Client, type QueryResult } from 'pg';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import { resolveHost } from './host-address.ts';
import type { Credentials } from './port.ts';
import { ServerRefusal, translate, UnsafeAuthentication } from './postgres-errors.ts';

export { escapeIdentifier as quoteIdentifier, escapeLiteral as quoteLiteral } from 'pg';

export interface Trust {
  /** PEM: the authorities that may vouch for a database. */
  readonly ca: string;
  /** For a sandbox on one machine only. */
  readonly allowLoopback: boolean;
}

/** One session. Failures are a {@link ServerRefusal} or a RekeyError, never the driver's error. */
export interface Connection {
  /** Runs one or more statements in one round trip. @returns the rows of the last one */
  query<Row>(sql: string): Promise<readonly Row[]>;
}

const CONNECT_MS = 5_000;
const GOODBYE_MS = 500;

/**
 * Names are looked up in the catalogue alone: whoever may create objects in this database could otherwise put a
 * function of the same name before it (CVE-2018-1058). And an application's `ALTER ROLE … SET role` must not decide
 * who acts.
 */
const START_OF_SESSION = 'SET ROLE NONE; SET search_path TO pg_catalog, pg_temp';

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
  const login = { proved: false, inClear: false };
  const client = new Client({
    // The address that was looked at, so that another answer of the resolver changes nothing; the name is for TLS.
    host: address,
    port: credentials.port,
    database: credentials.database,
    user: credentials.username,
    password: () => {
      if (login.inClear) throw new UnsafeAuthentication();
      login.proved = true;
      return credentials.password.expose();
    },
    ssl: {
      ca: trust.ca,
      minVersion: 'TLSv1.2',
      rejectUnauthorized: true,
      host: credentials.host,
      ...(address === credentials.host ? {} : { servername: credentials.host }),
    },
    stream: () => socket,
    connectionTimeoutMillis: Math.min(CONNECT_MS, deadline.remainingMs()),
    application_name: 'rekey',
  });
  // The driver hands the password to whoever holds a valid certificate and asks for it in clear. We do not.
  const { connection } = client as unknown as { connection: EventEmitter };
  connection.prependListener('authenticationCleartextPassword', () => {
    login.inClear = true;
  });
  client.on('error', () => {}); // told to the query that waits, or to nobody
  const timer = setTimeout(() => socket.destroy(), deadline.remainingMs());
  try {
    await client.connect().catch((error: unknown) => {
      throw translate(error, where);
    });
    if (!login.proved) throw new RekeyError('AUTHENTICATION_UNSAFE', `${where} lets this user in without a password`);
    let preamble = `${START_OF_SESSION};\n`; // sent with the first statement, to save a round trip
    return await work({
      async query<Row>(sql: string) {
        const text = preamble + sql;
        preamble = '';
        try {
          const result: QueryResult | QueryResult[] = await client.query(text);
          const last = Array.isArray(result) ? result.at(-1) : result;
          return (last?.rows ?? []) as Row[];
        } catch (error) {
          throw translate(error, where);
        }
      },
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
