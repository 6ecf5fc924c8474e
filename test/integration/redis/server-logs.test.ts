import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { filesUnder } from '../../sandbox/files-under.ts';
import { REDIS_SERVERS, type RedisServer, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { createApplication } from '../rotation/real-database.ts';
import { type RealServer, startRealRedis } from '../rotation/real-server.ts';

/* docs/server-logs.md, "Redis and Valkey": everything that a server can be told to write down is switched on. */

const hashOf = (password: string) => createHash('sha256').update(password).digest('hex');

describeEachServer(REDIS_SERVERS, redisIsInstalled)(
  (id) => `what the records of ${redisName(id)} hold of the passwords of whole rotations`,
  (id) => {
    let server: RedisServer & RealServer;
    beforeAll(async () => {
      server = await startRealRedis(id);
      for (const [name, value] of [
        ['slowlog-log-slower-than', '0'],
        ['slowlog-max-len', '10000'],
        ['latency-monitor-threshold', '1'],
        ['acllog-max-len', '1000'],
        ['appendonly', 'yes'],
      ] as const)
        await server.run('CONFIG', 'SET', name, value);
      // Its first file is written under another name, which is gone when it is done.
      await eventually('the append-only file', async () =>
        /^aof_rewrite_in_progress:0\r?\naof_rewrite_scheduled:0/m.test(String(await server.run('INFO', 'persistence'))),
      );
    });
    afterAll(() => server?.stop());

    test.each(['single-user', 'dual-password'] as const)('73: %s', async (strategy) => {
      const monitored: string[] = [];
      const monitor = await server.connect(server.superuser);
      await monitor.monitor((line) => monitored.push(String(line)));
      const application = await createApplication(server, strategy);
      await application.rotate();
      await application.rotate();
      await application.retire();
      // Refused logins, and a rotation that the server refuses half-way.
      await server.canRead({ username: application.username, password: `${application.passwords().at(-1)}-wrong` });
      await server.run('ACL', 'SETUSER', application.username, '-exec');
      await expect(application.rotate()).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
      expect(await application.works(CURRENT)).toBe(true);
      await server.run('SAVE');
      await server.run('PING');
      await eventually('the monitor to have seen all', () => monitored.some((line) => /"PING"/i.test(line)));
      monitor.destroy();

      const files: Record<string, string> = {};
      for await (const [name, content] of filesUnder(dirname(server.usersFile)))
        files[name] = content.toString('latin1');
      const records = {
        monitor: monitored.join('\n'),
        slowLog: JSON.stringify(await server.run('SLOWLOG', 'GET', '-1')),
        aclLog: JSON.stringify(await server.run('ACL', 'LOG', '1000')),
        latency: JSON.stringify(await server.run('LATENCY', 'LATEST')),
        clients: String(await server.run('CLIENT', 'LIST')),
        log: server.log(),
        ...files,
      };

      // They are written: empty ones would prove nothing.
      expect(records.monitor).toContain('"WHOAMI"');
      expect(records.slowLog).toContain('SETUSER');
      expect(records.aclLog).toContain(application.username);
      expect(Object.keys(records)).toEqual(expect.arrayContaining(['dump.rdb', 'users']));
      expect(Object.keys(records).some((name) => name.endsWith('.aof'))).toBe(true);

      const passwords = application.passwords();
      const holding = (texts: readonly string[]) =>
        Object.entries(records).flatMap(([name, record]) =>
          texts.some((text) => record.includes(text)) ? [name] : [],
        );
      expect(passwords.length).toBeGreaterThan(2);
      expect(holding(passwords)).toEqual([]);
      expect(holding(passwords.map(hashOf))).toEqual(['users']);
    });
  },
);
