import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createMysqlEngine } from '../../../shared/engines/mysql.ts';
import type { Credentials } from '../../../shared/engines/port.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { createAuthority, EXPIRED } from '../../sandbox/certificates.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, type MysqlServer, mysqlIsInstalled, startMysql } from '../../sandbox/mysql.ts';
import { ACCEPTED, account, type Bench, newName, occupy, secret, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

const engineFor = (ca: string) => createMysqlEngine({ ca, allowLoopback: true, clock: systemClock });

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('logging in to MySQL %s', (version) => {
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
      await bench.run(`ALTER USER ${account(user)} IDENTIFIED BY 'one'`);
      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    });

    test('an expired password, on a server that lets such users in to change it', async () => {
      const user = await newUser('PASSWORD EXPIRE');
      const server = await startMysql({ version, settings: { 'disconnect-on-expired-password': 'OFF' } });
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

    test('67: an account locked by too many wrong passwords', async () => {
      const user = await newUser('FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED');
      await bench.login(user, 'wrong');

      expect(await bench.login(user, 'one')).toEqual(refusedFor('locked'));
      await bench.run(`ALTER USER ${account(user)} ACCOUNT UNLOCK`); // as an error says
      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
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

    test('a plugin that the server has no more, after an upgrade, is named with what helps', async () => {
      const user = await newUser();
      await bench.run(
        `UPDATE mysql.user SET plugin = 'mysql_native_password' WHERE User = '${user}'`,
        'FLUSH PRIVILEGES',
      );

      await expect(bench.login(user, 'one')).rejects.toMatchObject({
        code: 'DATABASE_UNSUPPORTED',
        message: expect.stringContaining('plugin'),
        action: expect.stringContaining('caching_sha2_password'),
      });
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
    const server = await startMysql({ version });
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
    const server = await startMysql({ version, settings: { 'max-connections': '1' } });
    await server.run("CREATE USER app IDENTIFIED BY 'one'");
    const giveBack = await occupy(server, 1);
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

  test('72: a server in offline mode, as one is put whose disk is full, is busy', async () => {
    const user = await newUser();
    await bench.run('SET GLOBAL offline_mode = ON');
    try {
      await expect(bench.login(user, 'one')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await bench.run('SET GLOBAL offline_mode = OFF');
    }
    expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
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
    let server: MysqlServer;
    const at = (username: string, password: string): Credentials => bench.as(username, password, { port: server.port });
    const readOnly = { code: 'DATABASE_READ_ONLY', retryable: true };
    beforeAll(async () => {
      server = await startMysql({ version });
      await server.run("CREATE USER app IDENTIFIED BY 'one'; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO app");
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
        await expect(
          engine.dualPassword.addPassword({ ...change, present: at('app', 'one') }, async () => true, soon()),
        ).rejects.toMatchObject(readOnly);
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
    const servers: MysqlServer[] = [];
    afterEach(async () => {
      for (const server of servers.splice(0)) await server.stop();
    });
    async function attempt(tls: Parameters<typeof startMysql>[0]['tls'], settings: Record<string, string> = {}) {
      const server = await startMysql({ version, ...(tls && { tls }), settings });
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

    test('a server that takes encrypted connections only is told apart when a person asked for plaintext', async () => {
      const login = await attempt(undefined);
      expect(await login()).toEqual(ACCEPTED); // from now on the server need not see the password
      await expect(login({ transport: { kind: 'plaintext' } })).rejects.toMatchObject({ code: 'DATABASE_TLS' });
    });

    describe('71: plaintext, where a person asked for it', () => {
      const plaintext = { transport: { kind: 'plaintext' } } as const;

      test('lets the password go neither in clear nor under a key that came the same way', async () => {
        const login = await attempt('off');

        await expect(login(plaintext)).rejects.toMatchObject({ code: 'AUTHENTICATION_UNSAFE' });
      });

      test('does for a user that the server remembers, and changes no password', async () => {
        const server = await startMysql({ version, settings: { 'require-secure-transport': 'OFF' } });
        servers.push(server);
        const engine = engineFor(server.ca);
        const { username, password } = server.admin;
        const admin = bench.as(username, password, { port: server.port });
        expect(await engine.login(admin, soon())).toEqual(ACCEPTED); // over TLS; now the server has a digest to compare
        const inClear = { ...admin, ...plaintext };
        await server.run("CREATE USER app IDENTIFIED BY 'one'");

        expect(await engine.login(inClear, soon())).toEqual(ACCEPTED);
        expect((await engine.inspect(inClear, [], soon())).certificate).toBeUndefined();
        const unsafe = { code: 'AUTHENTICATION_UNSAFE' };
        const change = { acting: inClear, username: 'app', password: secret('hunter2') };
        const pair = { admin: inClear, current: 'app', alternate: 'app_clone', database: 'app' };
        await expect(engine.setPassword(change, soon())).rejects.toMatchObject(unsafe);
        await expect(
          engine.dualPassword.addPassword({ ...change, present: bench.as('app', 'one') }, async () => true, soon()),
        ).rejects.toMatchObject(unsafe);
        await expect(
          engine.alternatingUsers.prepareAlternate(pair, secret('hunter2'), async () => true, soon()),
        ).rejects.toMatchObject(unsafe);
      });
    });
  });
});

describe('a server that is none', () => {
  const listeners: ReturnType<typeof createServer>[] = [];
  const sockets = new Set<Socket>();
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    for (const listener of listeners.splice(0)) {
      listener.close();
      await once(listener, 'close');
    }
  });
  /** What it saw from the client goes into `seen`. */
  async function listening(onConnection: (socket: Socket) => void) {
    const seen: Buffer[] = [];
    const listener = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('data', (chunk) => seen.push(chunk));
      onConnection(socket);
    }).listen(0, '127.0.0.1');
    listeners.push(listener);
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    return { port, seen: () => Buffer.concat(seen) };
  }
  const engine = engineFor(createAuthority().certificate);
  const at = (port: number, more: Partial<Credentials> = {}): Credentials => ({
    host: 'localhost',
    port,
    database: '',
    username: 'app',
    password: secret('hunter2'),
    ...more,
  });

  /** The protocol's first packet, https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase_packets_protocol_handshake_v10.html */
  function greeting(plugin: string, withTls: boolean): Buffer {
    const capabilities = 0x00088200 | (withTls ? 0x800 : 0); // PLUGIN_AUTH, SECURE_CONNECTION, PROTOCOL_41, SSL
    const body = Buffer.concat([
      Buffer.from([10]),
      Buffer.from('9.7.0\0'),
      Buffer.from([1, 0, 0, 0]),
      Buffer.alloc(8, 'a'),
      Buffer.from([0, capabilities & 0xff, (capabilities >> 8) & 0xff, 45, 2, 0]),
      Buffer.from([(capabilities >> 16) & 0xff, (capabilities >> 24) & 0xff, 21]),
      Buffer.alloc(10),
      Buffer.alloc(12, 'b'),
      Buffer.from(`\0${plugin}\0`),
    ]);
    return Buffer.concat([Buffer.from([body.length, 0, 0, 0]), body]);
  }
  const packet = (sequence: number, body: Buffer) => Buffer.concat([Buffer.from([body.length, 0, 0, sequence]), body]);

  test.each<[string, (socket: Socket) => void]>([
    ['refuses the connection at once', (socket) => socket.resetAndDestroy()],
    ['ends it', (socket) => socket.end()],
    ['speaks HTTP', (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
    ['cuts the greeting', (socket) => socket.end(greeting('caching_sha2_password', true).subarray(0, 20))],
    [
      'breaks off during the handshake of TLS',
      (socket) => {
        socket.write(greeting('caching_sha2_password', true));
        socket.once('data', () => socket.resetAndDestroy());
      },
    ],
  ])('59: that %s cannot be reached', async (_, onConnection) => {
    const { port } = await listening(onConnection);

    await expect(engine.login(at(port), soon(5_000))).rejects.toMatchObject({
      code: 'DATABASE_UNREACHABLE',
      retryable: true,
    });
  });

  test.each<[string, (socket: Socket) => void]>([
    ['says nothing', () => {}],
    ['greets and says nothing more', (socket) => socket.write(greeting('caching_sha2_password', true))],
  ])('59: that %s is given up in time', async (_, onConnection) => {
    const { port } = await listening(onConnection);

    await expect(engine.login(at(port), soon(3_000))).rejects.toMatchObject({
      code: 'DATABASE_UNREACHABLE',
      retryable: true,
    });
  });

  const SSL_REQUEST_BYTES = 36;
  /** Greets as MySQL does, and hands over to a server of TLS with these options. */
  async function listeningWithTls(options: TlsOptions) {
    const secured = createTlsServer(options).listen(0, '127.0.0.1');
    secured.on('tlsClientError', () => {});
    listeners.push(secured);
    await once(secured, 'listening');
    return listening((socket) => {
      socket.write(greeting('caching_sha2_password', true));
      const onward = connect((secured.address() as AddressInfo).port, '127.0.0.1').on('error', () => {});
      sockets.add(onward);
      socket.once('data', (request: Buffer) => {
        onward.write(request.subarray(SSL_REQUEST_BYTES)); // the handshake may have come along with the request for it
        socket.pipe(onward).pipe(socket);
      });
    });
  }

  test('60: that knows no TLS since 1.2 is refused', async () => {
    const authority = createAuthority();
    const { certificate: cert, key } = authority.issue(['localhost']);
    const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const;
    const { port } = await listeningWithTls({ cert, key, ...old });

    await expect(engineFor(authority.certificate).login(at(port), soon(5_000))).rejects.toMatchObject({
      code: 'DATABASE_TLS',
      retryable: false,
      message: expect.stringContaining('no version of TLS'),
    });
  });

  test('59: where nothing listens cannot be reached', async () => {
    await expect(engine.login(at(1), soon())).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE' });
  });

  test('58: whose name is unknown cannot be reached', async () => {
    await expect(engine.login(at(3306, { host: 'no-such-host.invalid' }), soon())).rejects.toMatchObject({
      code: 'DATABASE_UNREACHABLE',
    });
  });

  test('70: that strips TLS from its greeting is told nothing', async () => {
    const { port, seen } = await listening((socket) => socket.write(greeting('caching_sha2_password', false)));

    await expect(engine.login(at(port), soon())).rejects.toMatchObject({ code: 'DATABASE_TLS' });

    expect(seen().length).toBe(0);
  });

  test.each([
    ['asks for the password in clear', () => Buffer.from('\xfemysql_clear_password\0', 'latin1')],
    ['asks for a method that nobody knows', () => Buffer.from('\xfeno_such_plugin\0xxxxxxxxxxxxxxxxxxxx\0', 'latin1')],
    [
      'asks to have the password under its own key',
      () => Buffer.from('\xfesha256_password\0xxxxxxxxxxxxxxxxxxxx\0', 'latin1'),
    ],
  ])('70: that %s is not given it, without TLS', async (_, ask) => {
    const { port, seen } = await listening((socket) => {
      socket.write(greeting('mysql_native_password', false));
      let packets = 0;
      socket.on('data', () => {
        packets += 1;
        if (packets === 1) socket.write(packet(2, ask()));
        // What a client that asks for a key is sent.
        else socket.write(packet(4, Buffer.from('\x01-----BEGIN PUBLIC KEY-----\n', 'latin1')));
      });
    });

    await expect(engine.login(at(port, { transport: { kind: 'plaintext' } }), soon(5_000))).rejects.toMatchObject({
      code: 'AUTHENTICATION_UNSAFE',
    });

    expect(seen().toString('latin1')).not.toContain('hunter2');
  });

  test('a file that a server asks for is not sent', async () => {
    const { port, seen } = await listening((socket) => {
      socket.write(greeting('mysql_native_password', false));
      let packets = 0;
      socket.on('data', () => {
        packets += 1;
        if (packets === 1) socket.write(packet(2, Buffer.from([0, 0, 0, 2, 0, 0, 0])));
        if (packets === 2) socket.write(packet(1, Buffer.from('\xfb/etc/passwd', 'latin1')));
        if (packets === 3) socket.write(packet(3, Buffer.from([0, 0, 0, 2, 0, 0, 0])));
      });
    });

    await expect(engine.login(at(port, { transport: { kind: 'plaintext' } }), soon(5_000))).rejects.toMatchObject({
      name: 'RekeyError',
    });

    expect(seen().toString('latin1')).not.toContain('root:');
  });
});
