import { networkInterfaces } from 'node:os';
import { afterEach, describe, expect, test } from '@jest/globals';
import type { Credentials } from '../../../shared/engines/port.ts';
import { createRedisEngine } from '../../../shared/engines/redis.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { createAuthority, EXPIRED } from '../../sandbox/certificates.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { REDIS_SERVERS, type RedisOptions, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { ACCEPTED, type Bench, secret, soon, startBench } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

/** One of this machine that is not loopback, where it has any. */
const ownAddresses = () =>
  Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
    .slice(0, 1);

describeEachServer(REDIS_SERVERS, redisIsInstalled)(
  (id) => `a ${redisName(id)} that is not as it should be`,
  (id) => {
    let bench: Bench | undefined;
    afterEach(async () => {
      await bench?.server.stop();
      bench = undefined;
    });

    async function start(options: Omit<RedisOptions, 'kind' | 'version'> = {}): Promise<Bench> {
      bench = await startBench({ ...id, users: ['user app on >one +ping'], ...options });
      return bench;
    }
    const login = ({ engine, as }: Bench, more?: Partial<Credentials>) => engine.login(as('app', 'one', more), soon());

    describe('60: TLS', () => {
      test('with a certificate for another host is refused', async () => {
        const there = await start({ tls: (authority) => authority.issue(['db.example.com']) });

        for (const host of ['localhost', '127.0.0.1'])
          await expect(login(there, { host })).rejects.toMatchObject({ code: 'DATABASE_TLS', retryable: false });
        expect(await login(there, { transport: { kind: 'verified', serverName: 'db.example.com' } })).toEqual(ACCEPTED);
      });

      test('with an expired certificate is refused', async () => {
        const there = await start({ tls: (authority) => authority.issue(['localhost'], EXPIRED) });

        await expect(login(there)).rejects.toMatchObject({
          code: 'DATABASE_TLS',
          message: expect.stringContaining('CERT_HAS_EXPIRED'),
        });
      });

      test('of an unknown authority is refused, unless the secret names it', async () => {
        const { server, as } = await start();
        const ca = createAuthority('another').certificate;
        const stranger = createRedisEngine({ ca, allowLoopback: true, clock: systemClock });

        await expect(stranger.login(as('app', 'one'), soon())).rejects.toMatchObject({ code: 'DATABASE_TLS' });
        const transport = { kind: 'verified', ca: server.ca } as const;
        expect(await stranger.login(as('app', 'one', { transport }), soon())).toEqual(ACCEPTED);
      });

      test('older than 1.2 is refused', async () => {
        const there = await start({ settings: { 'tls-protocols': 'TLSv1.1' } });

        await expect(login(there)).rejects.toMatchObject({ code: 'DATABASE_TLS' });
      });

      test('33: that the server does not have is refused, unless a person asked for that', async () => {
        const there = await start({ tls: 'off' });

        await expect(login(there, { transport: { kind: 'verified' } })).rejects.toMatchObject({
          code: 'DATABASE_TLS',
          message: expect.stringContaining('does not offer TLS'),
        });
        expect(await login(there)).toEqual(ACCEPTED);
      });
    });

    test('60: TLS that wants a certificate of its clients is told from a server that cannot be reached', async () => {
      const there = await start({ settings: { 'tls-auth-clients': 'yes' } });

      // TCP may drop the alert for the command that is on its way to it: then the next try is told.
      await eventually('the alert', () =>
        login(there).then(
          () => false,
          ({ code, message }) => code === 'DATABASE_TLS' && /ALERT_CERTIFICATE_REQUIRED/.test(message),
        ),
      );
    });

    test('58, 59: a host without a name, and a port where nobody listens, cannot be reached', async () => {
      const there = await start();

      for (const more of [{ host: 'no-such-host.invalid' }, { port: 1 }])
        await expect(login(there, more)).rejects.toMatchObject({ code: 'DATABASE_UNREACHABLE', retryable: true });
    });

    test('59: one that hangs is given up within the deadline', async () => {
      const { server, engine, as } = await start();
      process.kill(server.pid, 'SIGSTOP');
      try {
        await expect(engine.login(as('app', 'one'), soon(2_700))).rejects.toMatchObject({
          code: 'DATABASE_UNREACHABLE',
          retryable: true,
        });
      } finally {
        process.kill(server.pid, 'SIGCONT');
      }
    });

    test('59: one that hangs in the middle of a change is given up within the deadline', async () => {
      const { server, engine, as, admin } = await start();
      const change = { acting: admin, username: 'app', password: secret('two'), present: as('app', 'one') };
      const hangs = async () => process.kill(server.pid, 'SIGSTOP');
      try {
        await expect(engine.dualPassword.addPassword(change, hangs, soon(2_700))).rejects.toMatchObject({
          code: 'DATABASE_UNREACHABLE',
          retryable: true,
        });
      } finally {
        process.kill(server.pid, 'SIGCONT');
      }
    });

    test('63: a replica lets in, and says that it is read-only when something is to change', async () => {
      const { server, engine, admin, setPassword, accepted } = await start();
      await server.run('REPLICAOF', '127.0.0.1', '1');

      expect(await accepted('app', 'one')).toEqual(['one']);
      expect((await engine.inspect(admin, [], soon())).readOnly).toBe(true);
      await expect(setPassword('app', 'two')).rejects.toMatchObject({ code: 'DATABASE_READ_ONLY' });
      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });

    test('a node of a cluster is not changed alone', async () => {
      const { setPassword, accepted, as, admin } = await start({ settings: { 'cluster-enabled': 'yes' } });

      for (const acting of [admin, as('app', 'one')]) // and nobody is told to give "app" rights for it
        await expect(setPassword('app', 'two', acting)).rejects.toMatchObject({ code: 'DATABASE_UNSUPPORTED' });
      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });

    test('65: one with a replica is not changed alone, nor soon after the replica has gone', async () => {
      const { server, setPassword, accepted } = await start({ tls: 'off' });
      const { username, password } = server.superuser;
      const replica = await startBench({ ...id, tls: 'off', settings: { masteruser: username, masterauth: password } });
      const replicas = async () => /connected_slaves:(\d+)/.exec(String(await server.run('INFO', 'replication')))?.[1];
      const refused = { code: 'DATABASE_UNSUPPORTED', message: expect.stringContaining('replica') };
      try {
        await replica.server.run('REPLICAOF', '127.0.0.1', String(server.port));
        await eventually('the replica is there', async () => (await replicas()) === '1');
        await expect(setPassword('app', 'two')).rejects.toMatchObject(refused);
      } finally {
        await replica.server.stop();
      }
      await eventually('the replica is gone', async () => (await replicas()) === '0');

      await expect(setPassword('app', 'two')).rejects.toMatchObject(refused);

      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });

    test('64: one without a connection left is busy, whoever asks', async () => {
      const there = await start({ tls: 'off', settings: { maxclients: '1' } });
      const { engine, admin, server } = there;
      const client = await server.connect(server.superuser);
      const busy = { code: 'DATABASE_BUSY', retryable: true };
      try {
        await expect(login(there)).rejects.toMatchObject(busy);
        await expect(engine.login(admin, soon())).rejects.toMatchObject(busy);
      } finally {
        client.destroy();
      }
    });

    test('34: a database that the user may not choose is told with the right that is missing', async () => {
      const { engine, as, setPassword, accepted } = await start();
      const user = as('app', 'one', { database: '3' });
      const refused = { code: 'DATABASE_MISSING', action: expect.stringContaining('ACL SETUSER app +select') };

      await expect(engine.login(user, soon())).rejects.toMatchObject(refused);
      await expect(setPassword('app', 'two', user)).rejects.toMatchObject(refused);

      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });

    if (id.kind === 'valkey')
      test('34: a database that the rules of the user leave out is told so', async () => {
        const { engine, as } = await start({ users: ['user app on >one +select db=0,2'] });

        expect(await engine.login(as('app', 'one', { database: '2' }), soon())).toEqual(ACCEPTED);
        await expect(engine.login(as('app', 'one', { database: '3' }), soon())).rejects.toMatchObject({
          code: 'DATABASE_MISSING',
          action: expect.stringContaining('db='),
        });
      });

    test.each(['x', '01', '-1', '16'])('34: a database "%s" that is none is told so', async (database) => {
      const { engine, admin } = await start();

      await expect(engine.login({ ...admin, database }, soon())).rejects.toMatchObject({ code: 'DATABASE_MISSING' });
    });

    for (const host of ownAddresses())
      test(`in protected mode is told from one that refuses a password, asked from ${host}`, async () => {
        const there = await start({ settings: { bind: '0.0.0.0' } });
        await there.server.run('ACL', 'SETUSER', 'default', 'nopass');

        await expect(
          login(there, { host, transport: { kind: 'verified', serverName: 'localhost' } }),
        ).rejects.toMatchObject({ code: 'LOGIN_REFUSED', action: expect.stringContaining('protected-mode') });
      });

    test('70: that takes anybody for "default" proves nothing', async () => {
      const { server, engine, as } = await start();
      const { username, password } = server.superuser;
      await server.run('ACL', 'SETUSER', username, 'nopass');

      await expect(engine.login(as(username, password), soon())).rejects.toMatchObject({
        code: 'AUTHENTICATION_UNSAFE',
      });
    });

    test('72: one that still loads its data is starting up, and is not taken for one that had replicas', async () => {
      // For as long as a busy machine may need to look: it is told to hurry afterwards.
      const loadsSlowly = { 'key-load-delay': '2000', 'loading-process-events-interval-bytes': '1024' };
      const { server, setPassword, accepted } = await start({ settings: loadsSlowly });
      const client = await server.connect(server.superuser);
      for (let key = 0; key < 20_000; key += 1) void client.sendCommand(['SET', `key:${key}`, 'x'.repeat(50)]);
      await client.sendCommand(['SAVE']);
      client.destroy();
      process.kill(server.pid, 'SIGKILL');

      const up = server.startAgain();
      await eventually('the server loads', () =>
        server.run('INFO', 'persistence').then(
          (info) => /^loading:1/m.test(String(info)),
          () => false,
        ),
      );
      await expect(setPassword('app', 'two')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });

      await server.run('CONFIG', 'SET', 'key-load-delay', '0');
      await up;
      await setPassword('app', 'two');
      expect(await accepted('app', 'one', 'two')).toEqual(['two']);
    });

    test('72: one that is busy with a script changes nothing, and is worth another try', async () => {
      const { server, setPassword, accepted } = await start({ settings: { 'busy-reply-threshold': '20' } });
      const client = await server.connect(server.superuser);
      const script = client.sendCommand(['EVAL', 'while true do end', '0']).catch(() => {});
      try {
        await eventually('the server is busy', () =>
          server.run('PING').then(
            () => false,
            () => true,
          ),
        );
        await expect(setPassword('app', 'two')).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
      } finally {
        await server.run('SCRIPT', 'KILL');
        await script;
        client.destroy();
      }
      expect(await accepted('app', 'one', 'two')).toEqual(['one']);
    });
  },
);
