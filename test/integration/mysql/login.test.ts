import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { createMysqlEngine } from '../../../shared/engines/mysql.ts';
import type { Credentials } from '../../../shared/engines/port.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { createAuthority } from '../../sandbox/certificates.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import type { MysqlFamilyOptions } from '../../sandbox/mysql-family.ts';
import { refusedFor, testMysqlFamilyLogin, untilEndOfTest } from '../mysql-family-login.ts';
import { ACCEPTED, account, type Bench, secret, soon, startBench } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('logging in to MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
  });
  afterAll(() => bench?.server.stop());

  const start = (options: MysqlFamilyOptions = {}) => startBench({ version, ...options });
  const another = untilEndOfTest(start);

  testMysqlFamilyLogin(() => bench, {
    start,
    renewal: (account) => `ALTER USER ${account} IDENTIFIED BY 'one'`,
    leastConnections: 1,
    async ownChange({ mayHaveTwo, add }, acting) {
      await mayHaveTwo('app');
      return add('app', 'one', 'two', acting);
    },
  });

  describe('68: why a login was refused', () => {
    test('67: an account locked by too many wrong passwords', async () => {
      const user = await bench.newUser('FAILED_LOGIN_ATTEMPTS 1 PASSWORD_LOCK_TIME UNBOUNDED');
      await bench.login(user, 'wrong');

      expect(await bench.login(user, 'one')).toEqual(refusedFor('locked'));
      await bench.run(`ALTER USER ${account(user)} ACCOUNT UNLOCK`); // as an error says
      expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
    });

    test('a plugin that the server has no more, after an upgrade, is named with what helps', async () => {
      const user = await bench.newUser();
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
  });

  test('72: a server in offline mode, as one is put whose disk is full, is busy', async () => {
    const user = await bench.newUser();
    await bench.run('SET GLOBAL offline_mode = ON');
    try {
      await expect(bench.login(user, 'one')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
    } finally {
      await bench.run('SET GLOBAL offline_mode = OFF');
    }
    expect(await bench.login(user, 'one')).toEqual(ACCEPTED);
  });

  describe('60: TLS', () => {
    const plaintext = { transport: { kind: 'plaintext' } } as const;

    test('a server that takes encrypted connections only is told apart when a person asked for plaintext', async () => {
      const { engine, admin } = await another();
      expect(await engine.login(admin, soon())).toEqual(ACCEPTED); // from now on the server need not see the password
      await expect(engine.login({ ...admin, ...plaintext }, soon())).rejects.toMatchObject({ code: 'DATABASE_TLS' });
    });

    describe('71: plaintext, where a person asked for it', () => {
      const unsafe = { code: 'AUTHENTICATION_UNSAFE' };

      test('lets the password go neither in clear nor under a key that came the same way', async () => {
        const { engine, admin } = await another({ tls: 'off' });

        await expect(engine.login({ ...admin, ...plaintext }, soon())).rejects.toMatchObject(unsafe);
      });

      test('does for a user that the server remembers, and changes no password', async () => {
        const { engine, admin, newPair, prepare, add } = await another({
          settings: { 'require-secure-transport': 'OFF' },
        });
        expect(await engine.login(admin, soon())).toEqual(ACCEPTED); // over TLS; now the server has a digest to compare
        const inClear = { ...admin, ...plaintext };
        const pair = { ...(await newPair()), admin: inClear };
        const change = { acting: inClear, username: pair.current, password: secret('hunter2') };

        expect(await engine.login(inClear, soon())).toEqual(ACCEPTED);
        expect((await engine.inspect(inClear, [], soon())).certificate).toBeUndefined();
        await expect(engine.setPassword(change, soon())).rejects.toMatchObject(unsafe);
        await expect(add(pair.current, 'one', 'hunter2', inClear)).rejects.toMatchObject(unsafe);
        await expect(prepare(pair, 'hunter2')).rejects.toMatchObject(unsafe);
      });
    });
  });
});

describe('a server that is none', () => {
  const engineFor = (ca: string) => createMysqlEngine({ ca, allowLoopback: true, clock: systemClock });
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
