import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Client } from 'pg';
import type { AdministeredPair, Credentials } from '../../../shared/engines/port.ts';
import { createPostgresEngine, type PostgresEngine } from '../../../shared/engines/postgres.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { createAuthority, EXPIRED } from '../../sandbox/certificates.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import {
  POSTGRES_VERSIONS,
  type PostgresOptions,
  type PostgresServer,
  postgresIsInstalled,
  startPostgres,
} from '../../sandbox/postgres.ts';
import { type ImpostorOptions, startImpostor } from '../../sandbox/postgres-impostor.ts';
import { engineFor, loginAt, soon } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

const loginOf = (username: string, password: string) => ({ username, password: new SecretValue(password) });

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('logging in to PostgreSQL %s', (version) => {
  let server: PostgresServer;
  let engine: PostgresEngine;
  let count = 0;

  beforeAll(async () => {
    server = await startPostgres({ version });
    engine = engineFor(server);
  });
  afterAll(() => server?.stop());

  /** Creates a user the way the server itself quotes. */
  async function addUser(username: string, password: string, options = 'LOGIN'): Promise<void> {
    const client = await server.connect(server.admin);
    try {
      const { rows } = await client.query('SELECT format($1, $2::text, $3::text) AS sql', [
        `CREATE ROLE %I PASSWORD %L ${options}`,
        username,
        password,
      ]);
      await client.query(rows[0].sql);
    } finally {
      await client.end();
    }
  }
  const newName = () => {
    count += 1;
    return `user_${count}`;
  };
  const login = (username: string, password: string, database = 'postgres') =>
    engine.login({ ...loginAt(server, username, password), database }, soon());
  const admin = () => loginAt(server, server.admin.username, server.admin.password);
  const pairOf = (current: string, alternate: string): AdministeredPair => ({
    admin: admin(),
    current,
    alternate,
    database: 'postgres',
    acceptTakeOver: version < 16,
  });
  const ACCEPTED = { kind: 'accepted' };

  describe('28: a user name', () => {
    test.each([
      ['with quotes', `a"b'c`],
      ['with a backtick', 'a`b'],
      ['that would end a statement', `x"; DROP TABLE sentinel;--`],
      ['with a bracket', 'a]b'],
      ['with a right-to-left mark', 'a\u200Fb'],
      ['with an emoji', 'app🔑'],
      ['with a space at its end', 'app '],
      ['in upper case', 'App'],
      ['with a backslash', 'a\\b'],
      ['with a dollar and a percent sign', '$1%s%I'],
      ['that is a keyword', 'select'],
    ])('%s is one user, in every statement', async (_, username) => {
      await addUser(username, 'one');
      await server.run('CREATE TABLE IF NOT EXISTS sentinel ()');
      const alternate = `${username}_clone`;

      await engine.setPassword(
        { acting: loginAt(server, username, 'one'), username, password: new SecretValue('two') },
        soon(),
      );
      await engine.alternatingUsers.prepareAlternate(
        pairOf(username, alternate),
        new SecretValue('three'),
        async () => true,
        soon(),
      );

      expect(await login(username, 'two')).toEqual(ACCEPTED);
      expect(await login(alternate, 'three')).toEqual(ACCEPTED);
      expect(await engine.alternatingUsers.differences(pairOf(username, alternate), admin(), soon())).toEqual([]);
      expect(
        await engine.alternatingUsers.disableAlternate(pairOf(username, alternate), async () => true, soon()),
      ).toEqual({
        kind: 'disabled',
      });
      await server.run('SELECT FROM sentinel');
    });

    const pieces = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 6 }),
      fc.constantFrom(
        '"',
        "'",
        '`',
        ';--',
        '\\',
        '$1',
        '%I',
        ' ',
        '.',
        '"; DROP TABLE sentinel;--',
        '_clone',
        '_owner',
      ),
    );
    const anyName = fc
      .array(pieces, { minLength: 1, maxLength: 5 })
      .map((parts) => parts.join(''))
      .filter((name) => name !== '' && !name.includes('\0') && Buffer.byteLength(name) < 45);

    test('of any characters is one user, in every statement, and nothing else is touched', async () => {
      await server.run('CREATE TABLE IF NOT EXISTS sentinel ()');
      await fc.assert(
        fc.asyncProperty(anyName, async (name) => {
          const username = `${newName()} ${name}`;
          const [alternate, peer] = [`${username}_clone`, `${username}_b`];
          await addUser(username, 'one');

          await engine.alternatingUsers.prepareAlternate(
            pairOf(username, alternate),
            new SecretValue('two'),
            async () => true,
            soon(),
          );
          await engine.userPair.createPeer(pairOf(username, peer), new SecretValue('three'), soon());
          await engine.setPassword(
            { acting: loginAt(server, username, 'one'), username, password: new SecretValue('four') },
            soon(),
          );

          expect(await login(username, 'four')).toEqual(ACCEPTED);
          expect(await login(alternate, 'two')).toEqual(ACCEPTED);
          expect(await login(peer, 'three')).toEqual(ACCEPTED);
          expect(
            await engine.userPair.peerDifferences(
              loginAt(server, username, 'four'),
              loginAt(server, peer, 'three'),
              soon(),
            ),
          ).toEqual([]);
        }),
        { numRuns: 10 },
      );
      await server.run('SELECT FROM sentinel');
    });

    test.each([
      ['with a NUL', 'app\0database\0template1'],
      ['of 200 bytes', 'ä'.repeat(100)],
      ['that is empty', ''],
    ])('%s is refused before anything is sent', async (_, username) => {
      await expect(login(username, 'x')).rejects.toMatchObject({ code: 'USERNAME_INVALID', retryable: false });
    });
  });

  test('40: a name that is too long with its suffix is refused, and no other user is touched', async () => {
    const current = 'n'.repeat(60);
    const cut = `${current}_cl`; // what the server would make of it
    await addUser(current, 'one');
    await addUser(cut, 'other');

    await expect(
      engine.alternatingUsers.prepareAlternate(
        pairOf(current, `${current}_clone`),
        new SecretValue('two'),
        async () => true,
        soon(),
      ),
    ).rejects.toMatchObject({ code: 'USERNAME_INVALID' });

    expect(await login(cut, 'other')).toEqual(ACCEPTED);
  });

  test('40: a user whose own name ends in _clone, without a partner, is rotated like any other', async () => {
    await addUser('real_clone', 'one');

    await engine.alternatingUsers.prepareAlternate(
      pairOf('real_clone', 'real'),
      new SecretValue('two'),
      async () => true,
      soon(),
    );

    expect(await login('real', 'two')).toEqual(ACCEPTED);
    expect(await engine.alternatingUsers.differences(pairOf('real_clone', 'real'), admin(), soon())).toEqual([]);
  });

  describe('the rehearsal of a change', () => {
    const rehearse = (username: string, acting: string) =>
      engine.rehearse({ acting: loginAt(server, acting, 'one'), username }, soon());

    test('by the user itself leaves everything as it was', async () => {
      const username = newName();
      await addUser(username, 'one');
      const superuser = await server.connect(server.superuser);
      try {
        const rows = async () =>
          (await superuser.query(`SELECT xmin, * FROM pg_authid WHERE rolname = '${username}'`)).rows;
        const before = await rows();

        await rehearse(username, username);

        expect(before).toHaveLength(1);
        expect(await rows()).toEqual(before);
      } finally {
        await superuser.end();
      }
      expect(await login(username, 'one')).toEqual(ACCEPTED);
    });

    test('of another user takes the statement that the refusal names', async () => {
      const [username, acting] = [newName(), newName()];
      await addUser(username, 'one');
      await addUser(acting, 'one');

      const refusal = await rehearse(username, acting).catch((error: unknown) => error);

      expect(refusal).toMatchObject({ code: 'PRIVILEGE_MISSING' });
      await server.run((refusal as { action: string }).action.replace(/^.*run: /, ''));
      await rehearse(username, acting);
      expect(await login(username, 'one')).toEqual(ACCEPTED);
    });

    test('of a user that does not exist is refused', async () => {
      const acting = newName();
      await addUser(acting, 'one');

      await expect(rehearse('nobody', acting)).rejects.toMatchObject({ code: 'USERNAME_INVALID' });
    });
  });

  describe('29: a password', () => {
    test.each([
      ['of punctuation', `' " \\ % $ { } @ : / ? # &`],
      ['that looks like a placeholder', '%s $1 $$ :name ?'],
      ['of 1000 characters', 'x'.repeat(1000)],
      ['that looks like an md5 hash', `md5${'0123456789abcdef'.repeat(2)}`],
      ['that looks like a verifier', `SCRAM-SHA-256$4096:${'A'.repeat(22)}==$${'B'.repeat(43)}=:${'C'.repeat(43)}=`],
      ['with a space at either end', ' a '],
    ])('%s is set and logs in', async (_, password) => {
      const username = newName();
      await addUser(username, 'one');

      await engine.setPassword(
        { acting: loginAt(server, username, 'one'), username, password: new SecretValue(password) },
        soon(),
      );

      expect(await login(username, password)).toEqual(ACCEPTED);
    });

    test.each([
      ['with a line break', 'a\nb'],
      ['with a NUL', 'a\0b'],
      ['with a letter beyond ASCII', 'pässword'],
      ['that is empty', ''],
    ])('%s is refused for a new one, and the present one goes on', async (_, password) => {
      const username = newName();
      await addUser(username, 'one');

      await expect(
        engine.setPassword(
          { acting: loginAt(server, username, 'one'), username, password: new SecretValue(password) },
          soon(),
        ),
      ).rejects.toMatchObject({ code: 'PASSWORD_REJECTED' });

      expect(await login(username, 'one')).toEqual(ACCEPTED);
    });

    test.each([
      ['composed', 'p\u00e4ss', 'p\u00e4ss'],
      ['decomposed where it was set composed', 'p\u00e4ss', 'pa\u0308ss'],
      ['with a soft hyphen, which SASLprep drops', 'I\u00adX', 'IX'],
      ['with a no-break space, which SASLprep makes a space', 'a\u00a0b', 'a b'],
      ['with a compatibility character', '\u2168', 'IX'],
      ['with a control character, which the server takes as it is', 'a\u0007b', 'a\u0007b'],
    ])('that someone else set, %s, logs in', async (_, stored, given) => {
      const username = newName();
      await addUser(username, stored);

      expect(await login(username, given)).toEqual(ACCEPTED);
    });

    /** What a server, a shell or a statement could take for something else, at any place of a password. */
    const pieces = fc.oneof(
      fc.string({ unit: 'grapheme-ascii', maxLength: 20 }),
      fc.constantFrom(
        'SCRAM-SHA-256$4096:',
        'md5',
        "'",
        '"',
        '\\',
        '$1',
        '%s',
        '$(x)',
        ' ',
        ';--',
        `'; DROP TABLE sentinel;--`,
      ),
    );
    const password = fc
      .array(pieces, { minLength: 1, maxLength: 6 })
      .map((parts) => parts.join(''))
      .filter((text) => text !== '');

    test('of any printable ASCII round-trips, its neighbour does not, and nothing else is touched', async () => {
      const username = newName();
      await addUser(username, 'start');
      await server.run('CREATE TABLE IF NOT EXISTS sentinel ()');
      let present = 'start';

      await fc.assert(
        fc.asyncProperty(password, fc.boolean(), async (password, byAdmin) => {
          await engine.setPassword(
            {
              acting: byAdmin ? admin() : loginAt(server, username, present),
              username,
              password: new SecretValue(password),
            },
            soon(),
          );
          present = password;

          expect(await login(username, password)).toEqual(ACCEPTED);
          expect((await login(username, `${password}x`)).kind).toBe('refused');
        }),
        { numRuns: 15 },
      );
      await server.run('SELECT FROM sentinel');
    });
  });

  describe('34: a database name', () => {
    test.each(['with "quotes"', 'replication=1', 'host=evil sslmode=disable', '?sslmode=disable'])(
      'like %s is a name and nothing more',
      async (database) => {
        const { username, password } = server.admin;

        await expect(login(username, password, database)).rejects.toMatchObject({ code: 'DATABASE_MISSING' });
      },
    );

    test('with a NUL is refused before anything is sent', async () => {
      const { username, password } = server.admin;

      await expect(login(username, password, 'postgres\0replication\0true')).rejects.toMatchObject({
        code: 'DATABASE_MISSING',
      });
    });
  });

  describe('68: a refusal', () => {
    test('of a NOLOGIN user is told from a wrong password', async () => {
      const username = newName();
      await addUser(username, 'one', 'NOLOGIN');

      expect(await login(username, 'one')).toEqual({ kind: 'refused', reason: 'locked' });
      expect(await login(username, 'two')).toEqual({ kind: 'refused', reason: 'password' });
    });

    test('of the database alone is told from a wrong password', async () => {
      const username = newName();
      await addUser(username, 'one');
      await server.run(`CREATE DATABASE private_${username}`);
      await server.run(`REVOKE CONNECT ON DATABASE private_${username} FROM PUBLIC`);

      expect(await login(username, 'one', `private_${username}`)).toEqual({ kind: 'refused', reason: 'not-permitted' });
    });
  });

  test('64: no connection left for the user is no refusal but busy', async () => {
    const username = newName();
    await addUser(username, 'one', 'LOGIN CONNECTION LIMIT 1');
    const session = await server.connect({ username, password: 'one' });
    try {
      await expect(login(username, 'one')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await session.end();
    }
  });

  test('72: a deadline that is nearly over refuses before the database is asked', async () => {
    const { username, password } = server.admin;

    await expect(
      engine.login(loginAt(server, username, password), deadlineIn(2_000, systemClock)),
    ).rejects.toMatchObject({ code: 'DEADLINE_TOO_CLOSE' });
  });

  test('69: a user who always runs as a group, read-only, changes its own password all the same', async () => {
    const username = newName();
    await addUser(username, 'one');
    await server.run(`CREATE ROLE group_${username}; GRANT group_${username} TO ${username};
      ALTER ROLE ${username} SET role TO group_${username};
      ALTER ROLE ${username} SET default_transaction_read_only TO on;
      ALTER ROLE ${username} SET search_path TO nowhere`);

    await engine.setPassword(
      { acting: loginAt(server, username, 'one'), username, password: new SecretValue('two') },
      soon(),
    );

    expect(await login(username, 'two')).toEqual(ACCEPTED);
  });

  test("a function of the application that hides the catalogue's is not run by the administrator", async () => {
    const username = newName();
    await addUser(username, 'one');
    await server.run(`
      CREATE TABLE trace (who text); GRANT INSERT ON trace TO PUBLIC;
      CREATE FUNCTION public.hashtextextended(varchar, int) RETURNS bigint LANGUAGE sql
        AS 'INSERT INTO public.trace VALUES (current_user) RETURNING 1::bigint';
      ALTER ROLE rekey_admin SET search_path TO public, pg_catalog`);
    try {
      await engine.alternatingUsers.prepareAlternate(
        pairOf(username, `${username}_clone`),
        new SecretValue('two'),
        async () => true,
        soon(),
      );

      const client = await server.connect(server.superuser);
      const { rows } = await client.query('SELECT * FROM trace').finally(() => client.end());
      expect(rows).toEqual([]);
    } finally {
      await server.run(
        'DROP TABLE trace; DROP FUNCTION public.hashtextextended(varchar, int); ALTER ROLE rekey_admin RESET search_path',
      );
    }
  });
});

describe('a PostgreSQL server that is not as it should be', () => {
  const stops: (() => Promise<void>)[] = [];
  let logBefore = '';
  afterEach(async () => {
    for (const stop of stops.splice(0)) await stop();
  });

  async function start(options: Partial<PostgresOptions>): Promise<PostgresServer> {
    const server = await startPostgres({ version: 18, settings: { log_connections: 'on' }, ...options });
    stops.push(() => server.stop());
    logBefore = server.log();
    return server;
  }
  const loginAsSuperuser = (server: PostgresServer, engine = engineFor(server), host = server.host) =>
    engine.login({ ...loginAt(server, server.superuser.username, server.superuser.password), host }, soon());
  /** No user got as far as being asked for a password. */
  const expectNothingSaid = (server: PostgresServer) =>
    expect(server.log().slice(logBefore.length)).not.toMatch(/user=|authenticat|for user/);

  describe('60: TLS', () => {
    test('with a certificate for another host is refused', async () => {
      const server = await start({ tls: (authority) => authority.issue(['db.example.com']) });

      for (const host of ['localhost', '127.0.0.1'])
        await expect(loginAsSuperuser(server, engineFor(server), host)).rejects.toMatchObject({
          code: 'DATABASE_TLS',
          retryable: false,
        });
      expectNothingSaid(server);
    });

    test('with an expired certificate is refused', async () => {
      const server = await start({ tls: (authority) => authority.issue(['localhost'], EXPIRED) });

      await expect(loginAsSuperuser(server)).rejects.toMatchObject({
        code: 'DATABASE_TLS',
        message: expect.stringContaining('CERT_HAS_EXPIRED'),
      });
      expectNothingSaid(server);
    });

    test('with a certificate of an unknown authority is refused', async () => {
      const server = await start({});

      await expect(
        loginAsSuperuser(server, engineFor(server, createAuthority('another').certificate)),
      ).rejects.toMatchObject({ code: 'DATABASE_TLS' });
      expectNothingSaid(server);
    });

    test('older than 1.2 is refused', async () => {
      const server = await start({
        settings: { ssl_min_protocol_version: 'TLSv1', ssl_max_protocol_version: 'TLSv1.1' },
      });

      await expect(loginAsSuperuser(server)).rejects.toMatchObject({ code: 'DATABASE_TLS' });
      expectNothingSaid(server);
    });

    test('33: that the server does not have is refused: nothing is ever sent in plaintext', async () => {
      const server = await start({ tls: 'off' });

      await expect(loginAsSuperuser(server)).rejects.toMatchObject({
        code: 'DATABASE_TLS',
        message: expect.stringContaining('does not offer TLS'),
      });
      expectNothingSaid(server);
    });

    test('is good for a server known by its address', async () => {
      const server = await start({});

      expect(await loginAsSuperuser(server, engineFor(server), '127.0.0.1')).toEqual({ kind: 'accepted' });
    });
  });

  describe('a transport of its own', () => {
    test('names the host that the certificate is for, where the host is an alias', async () => {
      const server = await start({ tls: (authority) => authority.issue(['db.example.com']) });
      const superuser = loginAt(server, server.superuser.username, server.superuser.password);
      const as = (serverName: string) => ({ ...superuser, transport: { kind: 'verified', serverName } as const });

      expect(await engineFor(server).login(as('db.example.com'), soon())).toEqual({ kind: 'accepted' });
      await expect(engineFor(server).login(as('other.example.com'), soon())).rejects.toMatchObject({
        code: 'DATABASE_TLS',
      });
    });

    test('names the authorities instead of those configured', async () => {
      const server = await start({});
      const superuser = loginAt(server, server.superuser.username, server.superuser.password);
      const configured = engineFor(server, createAuthority('another').certificate);

      expect(await configured.login({ ...superuser, transport: { kind: 'verified', ca: server.ca } }, soon())).toEqual({
        kind: 'accepted',
      });
      await expect(
        engineFor(server).login(
          { ...superuser, transport: { kind: 'verified', ca: createAuthority('another').certificate } },
          soon(),
        ),
      ).rejects.toMatchObject({ code: 'DATABASE_TLS' });
    });

    test.each([
      ['over the name that it is asked for', 'db.example.com'],
      ['by its address', '127.0.0.1'],
    ])('is told in inspect by its certificate, %s', async (_, serverName) => {
      const server = await start({ tls: (authority) => authority.issue(['db.example.com', '127.0.0.1']) });
      const superuser = loginAt(server, server.superuser.username, server.superuser.password);

      const { certificate } = await engineFor(server).inspect(
        { ...superuser, transport: { kind: 'verified', serverName } },
        [],
        soon(),
      );

      expect(certificate?.issuer).toMatch(/\S/);
      expect(certificate?.validUntilMs).toBeGreaterThan(Date.now());
    });

    describe('in plaintext, which a person asked for,', () => {
      const plaintext = (server: PostgresServer): Credentials => ({
        ...loginAt(server, server.superuser.username, server.superuser.password),
        transport: { kind: 'plaintext' },
      });

      test('works with SCRAM, which keeps the password to itself', async () => {
        const server = await start({ tls: 'off' });

        expect(await engineFor(server).login(plaintext(server), soon())).toEqual({ kind: 'accepted' });
        expect(await engineFor(server).inspect(plaintext(server), [], soon())).toHaveProperty('certificate', undefined);
      });

      test('gives no password to a server that asks for it in clear', async () => {
        const server = await start({ tls: 'off', authentication: 'password' });

        await expect(engineFor(server).login(plaintext(server), soon())).rejects.toMatchObject({
          code: 'AUTHENTICATION_UNSAFE',
        });
      });

      test('gives no md5 response, which could be used again', async () => {
        const server = await start({ tls: 'off', authentication: 'md5', settings: { password_encryption: 'md5' } });
        await server.run("CREATE ROLE app LOGIN PASSWORD 'one'");

        await expect(
          engineFor(server).login({ ...plaintext(server), ...loginOf('app', 'one') }, soon()),
        ).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
      });
    });
  });

  describe('70: someone in the place of the server', () => {
    const PASSWORD = 'hunter2-canary';
    const OURS = { user: 'app' };

    test.each<[string, ImpostorOptions['authentication'], boolean]>([
      ['lets anyone in', { kind: 'none' }, true],
      ['asks for the password in clear', { kind: 'cleartext' }, true],
      ['asks for the password in clear, and nothing is encrypted', { kind: 'cleartext' }, false],
      ['asks for an md5 response, and nothing is encrypted', { kind: 'md5' }, false],
      ['breaks SCRAM off with a welcome', { kind: 'scram-without-proof' }, true],
      ['breaks SCRAM off with a welcome, and nothing is encrypted', { kind: 'scram-without-proof' }, false],
      ['proves another password', { kind: 'scram-with-false-proof' }, true],
      ['lets anyone in, and nothing is encrypted', { kind: 'none' }, false],
    ])('who %s is not believed, and learns nothing', async (_, authentication, encrypted) => {
      const { impostor, login } = await impostorWith({ authentication, session: OURS }, encrypted);

      await expect(login(PASSWORD)).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE', retryable: false });

      expect(impostor.received()).not.toContain('hunter2');
      expect(impostor.received()).not.toContain('md5');
    });

    test('who knows the password is: the others were refused for what they did', async () => {
      const { login } = await impostorWith({ authentication: { kind: 'scram', password: PASSWORD }, session: OURS });

      expect(await login(PASSWORD)).toEqual({ kind: 'accepted' });
    });

    describe('66: a pooler', () => {
      test('that opens the session of another user is no proof of ours', async () => {
        const { login } = await impostorWith({
          authentication: { kind: 'scram', password: PASSWORD },
          session: { user: 'pool_user' },
        });

        await expect(login(PASSWORD)).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
      });

      test('that still knows the password before, and finds the server refusing it, does not let us in', async () => {
        const { login } = await impostorWith({
          authentication: { kind: 'scram', password: PASSWORD },
          session: { refusal: '28P01' },
        });

        expect(await login(PASSWORD)).toEqual({ kind: 'refused', reason: 'password' });
      });
    });

    async function impostorWith(options: Omit<ImpostorOptions, 'certificate'>, encrypted = true) {
      const authority = createAuthority();
      const impostor = await startImpostor({
        ...options,
        ...(encrypted ? { certificate: authority.issue(['localhost']) } : {}),
      });
      stops.push(() => impostor.stop());
      const engine = createPostgresEngine({ ca: authority.certificate, allowLoopback: true, clock: systemClock });
      const login = (password: string) =>
        engine.login(
          {
            host: 'localhost',
            port: impostor.port,
            database: 'postgres',
            ...loginOf('app', password),
            ...(encrypted ? {} : { transport: { kind: 'plaintext' } }),
          },
          soon(),
        );
      return { impostor, login };
    }
  });

  describe('70: a server', () => {
    test('that asks for the password in clear does not get it', async () => {
      const server = await start({ authentication: 'password' });

      await expect(
        engineFor(server).login(loginAt(server, 'postgres', server.superuser.password), soon()),
      ).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
    });

    test('that lets anyone in proves nothing', async () => {
      const server = await start({ authentication: 'trust' });

      await expect(engineFor(server).login(loginAt(server, 'postgres', 'wrong'), soon())).rejects.toMatchObject({
        code: 'AUTHENTICATION_UNSAFE',
      });
    });
  });

  test('71: that still stores md5 hashes lets in, and stores a SCRAM verifier from then on', async () => {
    const server = await start({ authentication: 'md5', settings: { password_encryption: 'md5' } });
    await server.run("CREATE ROLE app LOGIN PASSWORD 'one'");

    await engineFor(server).setPassword(
      { acting: loginAt(server, 'app', 'one'), username: 'app', password: new SecretValue('two') },
      soon(),
    );

    const client = await server.connect(server.superuser);
    const { rows } = await client
      .query("SELECT substr(rolpassword, 1, 14) AS kind FROM pg_authid WHERE rolname = 'app'")
      .finally(() => client.end());
    expect(rows).toEqual([{ kind: 'SCRAM-SHA-256$' }]);
    expect(await engineFor(server).login(loginAt(server, 'app', 'two'), soon())).toEqual({ kind: 'accepted' });
  });

  describe('67: a policy on passwords', () => {
    test('that refuses one is told from everything else, and the present password goes on', async () => {
      const server = await start({ settings: { shared_preload_libraries: 'passwordcheck' } });
      await server.run("CREATE ROLE application LOGIN PASSWORD 'present-password-1'");
      const present = loginAt(server, 'application', 'present-password-1');

      await expect(
        engineFor(server).setPassword(
          { acting: present, username: 'application', password: new SecretValue('application') },
          soon(),
        ),
      ).rejects.toMatchObject({
        code: 'PASSWORD_REJECTED',
        action: expect.stringMatching(/SCRAM verifiers.*rekey:password-length/),
      });

      expect(await engineFor(server).login(present, soon())).toEqual({ kind: 'accepted' });
    });

    test('that sees a verifier only asks nothing of the password, and inspect says so to those who may know', async () => {
      const server = await start({ settings: { shared_preload_libraries: 'passwordcheck' } });
      await server.run("CREATE ROLE application LOGIN PASSWORD 'present-password-1'");
      const present = loginAt(server, 'application', 'present-password-1');
      const superuser = loginAt(server, server.superuser.username, server.superuser.password);

      await engineFor(server).setPassword(
        { acting: present, username: 'application', password: new SecretValue('short') },
        soon(),
      );

      expect((await engineFor(server).inspect(superuser, [], soon())).passwordPolicy).toEqual([
        expect.stringContaining('passwordcheck is loaded'),
      ]);
    });

    test('of an md5 server is told, as it is about others', async () => {
      const server = await start({ settings: { password_encryption: 'md5' } });
      const superuser = loginAt(server, server.superuser.username, server.superuser.password);

      expect((await engineFor(server).inspect(superuser, [], soon())).passwordPolicy).toEqual([
        expect.stringContaining('password_encryption is md5'),
      ]);
    });
  });

  describe('63: a replica', () => {
    test('lets in, and says that it is read-only when something is to change', async () => {
      const server = await start({ standby: true });
      const superuser = loginAt(server, server.superuser.username, server.superuser.password);

      expect(await loginAsSuperuser(server)).toEqual({ kind: 'accepted' });
      expect(await engineFor(server).inspect(superuser, [], soon())).toMatchObject({ readOnly: true });
      await expect(
        engineFor(server).setPassword(
          { acting: superuser, username: superuser.username, password: new SecretValue('new') },
          soon(),
        ),
      ).rejects.toMatchObject({
        code: 'DATABASE_READ_ONLY',
        retryable: true,
      });
    });
  });

  test('64: with no connection left is busy', async () => {
    const server = await start({ settings: { max_connections: '5', superuser_reserved_connections: '3' } });
    const sessions: Client[] = [];
    try {
      for (let number = 0; number < 2; number += 1) sessions.push(await server.connect(server.admin));

      await expect(
        engineFor(server).login(loginAt(server, server.admin.username, server.admin.password), soon()),
      ).rejects.toMatchObject({ code: 'DATABASE_BUSY', message: expect.stringContaining('53300') });
    } finally {
      await Promise.all(sessions.map((session) => session.end()));
    }
  });

  test('72: that is shutting down is busy', async () => {
    const server = await start({});
    const session = await server.connect(server.superuser);
    try {
      const { rows } = await session.query("SELECT split_part(pg_read_file('postmaster.pid'), chr(10), 1)::int AS pid");
      process.kill(rows[0].pid, 'SIGTERM'); // a smart shutdown waits for our session
      const giveUpAt = Date.now() + 10_000;
      while (!server.log().includes('received smart shutdown request') && Date.now() < giveUpAt)
        await session.query('SELECT 1');

      await expect(loginAsSuperuser(server)).rejects.toMatchObject({
        code: 'DATABASE_BUSY',
        message: expect.stringContaining('57P03'),
      });
    } finally {
      await session.end();
    }
  });

  describe('59: a server', () => {
    const engine = createPostgresEngine({ ca: createAuthority().certificate, allowLoopback: true, clock: systemClock });
    const at = (port: number): Credentials => ({
      host: '127.0.0.1',
      port,
      database: 'postgres',
      username: 'app',
      password: new SecretValue('one'),
    });

    /** Listens and does that with each connection. */
    async function listen(onConnection: (socket: Socket) => void): Promise<number> {
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        sockets.add(socket.on('error', () => {}));
        onConnection(socket);
      }).listen(0, '127.0.0.1');
      await once(server, 'listening');
      stops.push(async () => {
        for (const socket of sockets) socket.destroy();
        server.close();
        await once(server, 'close');
      });
      return (server.address() as AddressInfo).port;
    }

    test('that refuses connections is unreachable', async () => {
      const port = await listen(() => {});
      for (const stop of stops.splice(0)) await stop();

      await expect(engine.login(at(port), soon())).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        message: expect.stringContaining('ECONNREFUSED'),
        retryable: true,
      });
    });

    test.each<[string, (socket: Socket) => void]>([
      ['resets the connection', (socket) => socket.resetAndDestroy()],
      ['closes at once', (socket) => socket.end()],
      ['closes in the middle of the TLS handshake', (socket) => socket.write('S', () => socket.end())],
    ])('that %s is unreachable', async (_, behave) => {
      const port = await listen(behave);

      await expect(engine.login(at(port), soon())).rejects.toMatchObject({
        code: expect.stringMatching(/DATABASE_UNREACHABLE|DATABASE_TLS/),
      });
    });

    test.each<[string, (socket: Socket) => void]>([
      ['never says anything', () => {}],
      ['stalls in the TLS handshake', (socket) => socket.once('data', () => socket.write('S'))],
    ])('that %s is given up within the deadline', async (_, behave) => {
      const port = await listen(behave);

      await expect(engine.login(at(port), deadlineIn(2_700, systemClock))).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
      });
    });

    test('that sends more than its answer before TLS begins is refused', async () => {
      const port = await listen((socket) => socket.once('data', () => socket.write('SR\0\0\0\x08\0\0\0\0')));

      await expect(engine.login(at(port), soon())).rejects.toMatchObject({ code: 'DATABASE_TLS' });
    });

    test('58: whose name does not resolve is unreachable', async () => {
      await expect(engine.login({ ...at(5432), host: 'no-such-host.invalid' }, soon())).rejects.toMatchObject({
        code: 'DATABASE_UNREACHABLE',
        message: expect.stringContaining('no-such-host.invalid'),
      });
    });
  });
});
