import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { expect, test } from '@jest/globals';
import { createClient } from '@redis/client';
import { createAuthority } from '../../sandbox/certificates.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { REDIS_SERVERS, type RedisServer, redisIsInstalled, redisName, startRedis } from '../../sandbox/redis.ts';

describeEachServer(REDIS_SERVERS, redisIsInstalled)(
  (id) => `the ${redisName(id)} of the tests`,
  (id) => {
    const logIn = async (server: RedisServer, ca: string) => {
      const { host, port, admin } = server;
      const client = createClient({ ...admin, socket: { host, port, tls: true, ca, reconnectStrategy: false } });
      client.on('error', () => {}); // connect() rejects with it, too
      return client.connect();
    };

    test('is a real server of that version, over TLS with a certificate of its own authority', async () => {
      const server = await startRedis(id);
      try {
        const client = await logIn(server, server.ca);
        const facts = String(await client.sendCommand(['INFO', 'server']));
        client.destroy();

        expect(facts).toMatch(new RegExp(`^${id.kind}_version:${id.version}\\.`, 'm'));
      } finally {
        await server.stop();
      }
    });

    test('is refused by a client that trusts another authority', async () => {
      const server = await startRedis(id);
      try {
        await expect(logIn(server, createAuthority().certificate)).rejects.toThrow(/certificate/);
      } finally {
        await server.stop();
      }
    });

    test('has an administrator who manages users, writes them to the ACL file, and reads no key', async () => {
      const server = await startRedis(id);
      try {
        const client = await server.connect(server.admin);
        await client.sendCommand(['ACL', 'SETUSER', 'app_user', 'on', '>first', '~app:*', '+@read', '+@connection']);
        await client.sendCommand(['ACL', 'SAVE']);
        await expect(client.sendCommand(['GET', 'app:1'])).rejects.toThrow(/NOPERM/);
        client.destroy();
        const user = await server.connect({ username: 'app_user', password: 'first' });
        expect(await user.sendCommand(['GET', 'app:1'])).toBeNull();
        user.destroy();
      } finally {
        await server.stop();
      }
    });

    test('can do without TLS, and be told directives and users', async () => {
      const server = await startRedis({
        ...id,
        tls: 'off',
        settings: { maxclients: '17' },
        users: ['user app_user off'],
      });
      try {
        expect(await server.run('CONFIG', 'GET', 'maxclients')).toMatchObject({ maxclients: '17' });
        expect(await server.run('ACL', 'USERS')).toContain('app_user');
      } finally {
        await server.stop();
      }
    });

    test('leaves nothing on disk and nothing listening once it stopped', async () => {
      const server = await startRedis(id);
      await server.stop();

      expect(server.log()).toContain('Ready to accept connections');
      expect(existsSync(dirname(server.caFile))).toBe(false);
      await expect(server.connect(server.admin)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    });

    test('ends with the process that started it, even one that is killed', async () => {
      const module = JSON.stringify(new URL('../../sandbox/redis.ts', import.meta.url));
      const script = `
        const { startRedis } = await import(${module});
        const { pid, caFile } = await startRedis(${JSON.stringify(id)});
        process.stdout.write(JSON.stringify({ pid, caFile }));`;
      const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [output] = await once(child.stdout, 'data');
      const { pid, caFile } = JSON.parse(String(output));
      expect(existsSync(caFile)).toBe(true);

      child.kill('SIGKILL');

      await eventually('the end of its files', () => !existsSync(dirname(caFile)));
      expect(() => process.kill(pid, 0)).toThrow('ESRCH');
    });
  },
);
