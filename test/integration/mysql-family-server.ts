import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createConnection } from 'mysql2/promise';
import { createAuthority } from '../sandbox/certificates.ts';
import type { MysqlFamilyOptions, MysqlFamilyServer } from '../sandbox/mysql-family.ts';

/** How a server refuses a client that comes without TLS; MariaDB before 11 says no more than that it denies access. */
export const SECURE_TRANSPORT_REQUIRED = 3159;
export const ACCESS_DENIED = 1045;

export interface MysqlFamilyMember {
  readonly start: (options?: MysqlFamilyOptions) => Promise<MysqlFamilyServer>;
  readonly version: string;
  readonly refusesPlain: typeof SECURE_TRANSPORT_REQUIRED | typeof ACCESS_DENIED;
}

/** What both MySQL and MariaDB of the sandbox keep to. */
export function testMysqlFamilyServer({ start, version, refusesPlain }: MysqlFamilyMember): void {
  let server: MysqlFamilyServer;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(() => server?.stop());

  const logIn = async (ca: string | undefined) => {
    const { host, port, admin, database } = server;
    const { username: user, password } = admin;
    const ssl = ca === undefined ? {} : { ssl: { ca, verifyIdentity: true } };
    return createConnection({ host, port, user, password, database, ...ssl });
  };

  test('is a real server of that version, over TLS with a certificate of its own authority', async () => {
    const connection = await logIn(server.ca);
    const [rows] = await connection.query(`SELECT VERSION() LIKE '${version}.%' AS sameVersion, DATABASE() AS name`);
    const [tls] = await connection.query("SHOW STATUS LIKE 'Ssl_version'");
    await connection.end();

    expect(rows).toEqual([{ sameVersion: 1, name: 'app' }]);
    expect(tls).toEqual([{ Variable_name: 'Ssl_version', Value: 'TLSv1.3' }]);
  });

  test('is refused by a client that trusts another authority', async () => {
    await expect(logIn(createAuthority().certificate)).rejects.toThrow(/certificate/);
  });

  test('takes no connection without TLS', async () => {
    await expect(logIn(undefined)).rejects.toMatchObject({ errno: refusesPlain });
  });

  test('has an administrator who makes users and grants them a schema, but is no superuser', async () => {
    const connection = await server.connect(server.admin);
    await connection.query("CREATE USER app_user IDENTIFIED BY 'first'; GRANT SELECT, INSERT ON app.* TO app_user");
    const forbidden = connection.query('SET GLOBAL max_connections = 10');
    await expect(forbidden).rejects.toMatchObject({ errno: 1227 }); // ER_SPECIFIC_ACCESS_DENIED_ERROR
    await connection.end();
    const user = await server.connect({ username: 'app_user', password: 'first' }, 'app');
    await user.end();
  });

  test('can do without TLS, and be told settings', async () => {
    const plain = await start({ tls: 'off', settings: { 'max-connections': '17' } });
    try {
      const connection = await plain.connect(plain.admin);
      const [rows] = await connection.query('SELECT @@max_connections AS most');
      await connection.end();

      expect(rows).toEqual([{ most: 17 }]);
    } finally {
      await plain.stop();
    }
  });

  test('takes no write when it is read-only', async () => {
    const replica = await start({ readOnly: true });
    try {
      const connection = await replica.connect(replica.admin);
      const write = connection.query("CREATE USER app_user IDENTIFIED BY 'first'");
      await expect(write).rejects.toMatchObject({ errno: 1290 }); // ER_OPTION_PREVENTS_STATEMENT
      await connection.end();
    } finally {
      await replica.stop();
    }
  });

  test('logs every statement, and keeps its log, but neither files nor a port, once it stopped', async () => {
    const brief = await start();
    await brief.run('SELECT 1 AS remembered', 'app');
    await brief.stop();

    expect(brief.log()).toContain('SELECT 1 AS remembered');
    expect(existsSync(dirname(brief.caFile))).toBe(false);
    await expect(brief.connect(brief.admin)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
}
