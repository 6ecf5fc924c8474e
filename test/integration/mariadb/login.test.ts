import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createMariadbEngine } from '../../../shared/engines/mariadb.ts';
import type { Credentials } from '../../../shared/engines/port.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { createAuthority, EXPIRED } from '../../sandbox/certificates.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, type MariadbServer, mariadbIsInstalled, startMariadb } from '../../sandbox/mariadb.ts';
import { ACCEPTED, account, type Bench, newName, occupy, secret, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

const engineFor = (ca: string) => createMariadbEngine({ ca, allowLoopback: true, clock: systemClock });

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('logging in to MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
  });
  afterAll(() => bench?.server.stop());

  async function newUser(options = '', host = '%'): Promise<string> {
    const name = newName();
    await bench.run(`CREATE USER ${account(name, host)} IDENTIFIED BY 'one' ${options}`);
    return name;
  }
  const refusedFor = (reason: string) => ({ kind: 'refused', reason });

  describe('68: why a login was refused', () => {
    test('an expired password', async () => {
      const user = await newUser('PASSWORD EXPIRE');

      expect(await bench.login(user, 'one')).toEqual(refusedFor('expired'));
      expect(await bench.login(user, 'wrong', bench.admin)).toEqual(WRONG);

      // The cure that an error names.
      await bench.run(`SET PASSWORD FOR ${account(user)} = PASSWORD('one')`);
      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    });

    test('an expired password, on a server that lets such users in to change it', async () => {
      const user = await newUser('PASSWORD EXPIRE');
      const server = await startMariadb({ version, settings: { 'disconnect-on-expired-password': 'OFF' } });
      try {
        await server.run(`CREATE USER ${user} IDENTIFIED BY 'one' PASSWORD EXPIRE`);

        expect(await engineFor(server.ca).login(bench.as(user, 'one', { port: server.port }), soon())).toEqual(
          refusedFor('expired'),
        );
      } finally {
        await server.stop();
      }
    });

    test('a locked account', async () => {
      const user = await newUser('ACCOUNT LOCK');

      expect(await bench.login(user, 'one')).toEqual(refusedFor('locked'));
      expect(await bench.login(user, 'wrong', bench.admin)).toEqual(refusedFor('locked'));
    });

    test('67: an account blocked by too many wrong passwords', async () => {
      const user = await newUser();
      await bench.run('SET GLOBAL max_password_errors = 1');
      try {
        await bench.login(user, 'wrong');

        expect(await bench.login(user, 'one')).toEqual(refusedFor('locked'));
        await bench.run(`ALTER USER ${account(user)} ACCOUNT UNLOCK`); // as an error says
        expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
      } finally {
        await bench.run('SET GLOBAL max_password_errors = DEFAULT', 'FLUSH PRIVILEGES');
      }
    });

    test('an account for another host', async () => {
      const user = await newUser('', '10.%');

      expect(await bench.login(user, 'one')).toEqual(WRONG);
      await expect(bench.login(user, 'one', bench.admin)).resolves.toMatchObject({ kind: 'refused' });
    });

    test('a client certificate that is missing', async () => {
      const user = await newUser('REQUIRE X509');

      expect(await bench.login(user, 'one', bench.admin)).toEqual(refusedFor('not-permitted'));
    });

    test('a user that does not exist, and one whose name differs in case', async () => {
      const user = await newUser();

      expect(await bench.login('nobody', 'one', bench.admin)).toEqual(refusedFor('no-such-user'));
      expect(await bench.login(user.toUpperCase(), 'one', bench.admin)).toEqual(refusedFor('no-such-user'));
    });

    test('no right on the database', async () => {
      const user = await newUser();

      expect(await bench.engine.login(bench.as(user, 'one', { database: 'app' }), soon())).toEqual(
        refusedFor('not-permitted'),
      );
    });

    test('a database that does not exist is no refusal of the login', async () => {
      await expect(bench.engine.login({ ...bench.admin, database: 'no_such_database' }, soon())).rejects.toMatchObject({
        code: 'DATABASE_MISSING',
        retryable: false,
      });
    });

    test('an anonymous account is not this user', async () => {
      await bench.run("CREATE USER ''@'localhost' IDENTIFIED BY 'one'");
      try {
        await expect(bench.login('nobody', 'one')).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
      } finally {
        await bench.run("DROP USER ''@'localhost'");
      }
    });
  });

  test('a user that was dropped or renamed meanwhile is none that can be changed', async () => {
    await expect(
      bench.engine.setPassword({ acting: bench.admin, username: 'dropped', password: secret('two') }, soon()),
    ).rejects.toMatchObject({ code: 'USERNAME_INVALID', message: expect.stringContaining('dropped') });
  });

  test('59: a server that hangs is given up in time', async () => {
    const server = await startMariadb({ version });
    process.kill(server.pid, 'SIGSTOP');
    try {
      await expect(
        engineFor(server.ca).login(bench.as('app', 'one', { port: server.port }), soon(3_000)),
      ).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE', retryable: true });
    } finally {
      process.kill(server.pid, 'SIGCONT');
      await server.stop();
    }
  });

  test('a statement that takes too long ends with the deadline', async () => {
    const user = await newUser();
    const holder = await bench.server.connect(bench.server.superuser);
    await holder.query('FLUSH TABLES WITH READ LOCK');
    try {
      await expect(
        bench.engine.setPassword(
          { acting: bench.as(user, 'one'), username: user, password: secret('two') },
          soon(4_000),
        ),
      ).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE', retryable: true });
    } finally {
      await holder.end();
    }
  });

  test('64: a server without a connection to spare is busy', async () => {
    const server = await startMariadb({ version, settings: { 'max-connections': '10' } }); // its least
    await server.run("CREATE USER app IDENTIFIED BY 'one'");
    const giveBack = await occupy(server, 10);
    try {
      await expect(
        engineFor(server.ca).login(bench.as('app', 'one', { port: server.port }), soon()),
      ).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await giveBack();
      await server.stop();
    }
  });

  test('64: a user with no connection to spare is busy', async () => {
    const user = await newUser('WITH MAX_USER_CONNECTIONS 1');
    const held = await bench.server.connect({ username: user, password: 'one' });
    try {
      await expect(bench.login(user, 'one')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await held.end();
    }
  });

  test('72: another rotation of the same users is waited for, and no longer than it makes sense', async () => {
    const pair = await bench.newPair();
    let enter = () => {};
    const inside = new Promise<void>((resolve) => {
      enter = resolve;
    });
    let leave = () => {};
    const retiring = bench.engine.alternatingUsers.disableAlternate(
      pair,
      () => {
        enter();
        return new Promise((resolve) => {
          leave = () => resolve(false);
        });
      },
      soon(),
    );
    await inside;
    try {
      await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      leave();
      await retiring;
    }
    await bench.prepare(pair);
    expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
  });

  describe('63: a server that is read-only', () => {
    let server: MariadbServer;
    const at = (username: string, password: string): Credentials => bench.as(username, password, { port: server.port });
    const readOnly = { code: 'DATABASE_READ_ONLY', retryable: true };
    beforeAll(async () => {
      server = await startMariadb({ version });
      await server.run("CREATE USER app IDENTIFIED BY 'one'");
      await server.run('SET GLOBAL read_only = ON');
    });
    afterAll(() => server?.stop());

    test.each(['an administrator', 'a superuser, whom it would obey', 'the user itself'])(
      'is left as it is by %s',
      async (who) => {
        const engine = engineFor(server.ca);
        const { superuser, admin } = server;
        const root = at(superuser.username, superuser.password);
        const acting =
          who === 'the user itself'
            ? at('app', 'one')
            : who === 'an administrator'
              ? at(admin.username, admin.password)
              : root;
        const change = { acting, username: 'app', password: secret('two') };
        const pair = { admin: acting, current: 'app', alternate: 'app_clone', database: 'app' };

        await expect(engine.setPassword(change, soon())).rejects.toMatchObject(readOnly);
        if (who !== 'the user itself')
          await expect(
            engine.alternatingUsers.prepareAlternate(pair, secret('two'), async () => true, soon()),
          ).rejects.toMatchObject(readOnly);

        expect(await engine.login(at('app', 'one'), soon())).toEqual(ACCEPTED);
        expect(await engine.inspect(at('app', 'one'), [], soon())).toMatchObject({ readOnly: true });
      },
    );
  });

  describe('60: TLS', () => {
    const servers: MariadbServer[] = [];
    afterEach(async () => {
      for (const server of servers.splice(0)) await server.stop();
    });
    async function attempt(tls: Parameters<typeof startMariadb>[0]['tls'], settings: Record<string, string> = {}) {
      const server = await startMariadb({ version, ...(tls && { tls }), settings });
      servers.push(server);
      return (more: Partial<Credentials> = {}, ca = server.ca) =>
        engineFor(ca).login(
          bench.as(server.admin.username, server.admin.password, { port: server.port, ...more }),
          soon(),
        );
    }
    const untrustworthy = (what: string) => ({
      code: 'DATABASE_TLS',
      retryable: false,
      message: expect.stringContaining(what),
    });

    test('a certificate that has expired is refused', async () => {
      const login = await attempt((authority) => authority.issue(['localhost'], EXPIRED));
      await expect(login()).rejects.toMatchObject(untrustworthy('CERT_HAS_EXPIRED'));
    });

    test('a certificate for another host is refused, unless the secret names that host', async () => {
      const login = await attempt((authority) => authority.issue(['db.example']));

      await expect(login()).rejects.toMatchObject(untrustworthy('ERR_TLS_CERT_ALTNAME_INVALID'));
      expect(await login({ transport: { kind: 'verified', serverName: 'db.example' } })).toEqual(ACCEPTED);
      await expect(login({ transport: { kind: 'verified', serverName: '127.0.0.1' } })).rejects.toMatchObject({
        code: 'HOST_NOT_ALLOWED',
      });
    });

    test('an unknown authority is refused, unless the secret brings it', async () => {
      const own = createAuthority();
      const login = await attempt(() => own.issue(['localhost']));

      await expect(login({}, createAuthority().certificate)).rejects.toMatchObject(untrustworthy('CERT'));
      expect(await login({ transport: { kind: 'verified', ca: own.certificate } })).toEqual(ACCEPTED);
    });

    test('a server without TLS is refused', async () => {
      const login = await attempt('off');
      await expect(login()).rejects.toMatchObject(untrustworthy('does not offer TLS'));
    });

    test('71: plaintext, where a person asked for it, does for logins: MariaDB’s methods answer a challenge', async () => {
      const server = await startMariadb({ version, tls: 'off', settings: { 'plugin-load-add': 'auth_ed25519' } });
      servers.push(server);
      const engine = engineFor(server.ca);
      await server.run(
        `CREATE USER app IDENTIFIED BY 'one';
         CREATE USER curved IDENTIFIED VIA ed25519 USING PASSWORD('one')`,
      );
      const inClear = { port: server.port, transport: { kind: 'plaintext' } } as const;

      for (const user of ['app', 'curved']) {
        expect(await engine.login(bench.as(user, 'one', inClear), soon())).toEqual(ACCEPTED);
        expect(await engine.login(bench.as(user, 'wrong', inClear), soon())).toEqual(WRONG);
      }
    });

    test('71: a password goes in clear to no server without TLS, even where a policy wants to read it', async () => {
      const server = await startMariadb({
        version,
        tls: 'off',
        settings: {
          'plugin-load-add': 'simple_password_check',
          'simple-password-check-digits': '0',
          'simple-password-check-letters-same-case': '0',
          'simple-password-check-other-characters': '0',
        },
      });
      servers.push(server);
      const engine = engineFor(server.ca);
      await server.run("CREATE USER app IDENTIFIED BY 'Number-1'");
      const inClear = { port: server.port, transport: { kind: 'plaintext' } } as const;
      const admin = bench.as(server.admin.username, server.admin.password, inClear);
      const self = bench.as('app', 'Number-1', inClear);
      const pair = { admin, current: 'app', alternate: 'app_clone', database: 'app' };
      const unsafe = { code: 'AUTHENTICATION_UNSAFE' };

      for (const acting of [admin, self])
        await expect(
          engine.setPassword({ acting, username: 'app', password: secret('Hunter-2') }, soon()),
        ).rejects.toMatchObject(unsafe);
      await expect(
        engine.alternatingUsers.prepareAlternate(pair, secret('Hunter-2'), async () => true, soon()),
      ).rejects.toMatchObject(unsafe);

      expect(server.log()).not.toContain('Hunter-2');
      expect(await engine.login(self, soon())).toEqual(ACCEPTED);
    });
  });
});
