import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import { redisIsInstalled } from '../../sandbox/redis.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres, startRealRedis } from './real-server.ts';

/* Numbers are entries of the catalogue of bad input. One server of each kind: nothing here depends on its version. */

type Watched = RealServer & { /** All users, as the server keeps them. */ users(): Promise<unknown> };

async function postgres(): Promise<Watched> {
  const server = await startRealPostgres(18);
  return {
    ...server,
    async users() {
      const client = await server.connect(server.superuser);
      try {
        const { rows } = await client.query(
          `SELECT (SELECT json_agg(a ORDER BY oid) FROM pg_authid a) AS roles,
                  (SELECT json_agg(m ORDER BY oid) FROM pg_auth_members m) AS members,
                  (SELECT json_agg(s ORDER BY setrole, setdatabase) FROM pg_db_role_setting s) AS settings`,
        );
        return rows;
      } finally {
        await client.end();
      }
    },
  };
}

async function redis(): Promise<Watched> {
  const server = await startRealRedis({ kind: 'redis', version: 8 });
  return { ...server, users: () => server.run('ACL', 'LIST') };
}

type Case = [what: string, patch: Record<string, unknown>, code: string];

const COMMON: readonly Case[] = [
  ['27: an empty password', { password: '' }, 'SECRET_VALUE_INVALID'],
  ['28: a name with a NUL', { username: 'app\0root' }, 'SECRET_VALUE_INVALID'],
  ['29: a present password with a NUL', { password: 'a\0b' }, 'SECRET_VALUE_INVALID'],
  ['30: no engine', { engine: undefined }, 'SECRET_VALUE_INVALID'],
  ['30: an engine in capitals', { engine: 'POSTGRES' }, 'SECRET_VALUE_INVALID'],
  ['30: another engine', { engine: 'mariadb' }, 'SECRET_VALUE_INVALID'],
  ['31: port 0', { port: 0 }, 'SECRET_VALUE_INVALID'],
  ['31: a port with more in it', { port: '5432; DROP' }, 'SECRET_VALUE_INVALID'],
  ['32: two hosts', { host: 'localhost,evil.example' }, 'HOST_NOT_ALLOWED'],
  ['32: a socket', { host: '/var/run/database.sock' }, 'HOST_NOT_ALLOWED'],
  ['33: ssl that is neither true nor false', { ssl: 'maybe' }, 'SECRET_VALUE_INVALID'],
  ['33: no TLS, and no word of a person', { ssl: false }, 'SECRET_VALUE_INVALID'],
  ['34: a database with a NUL', { dbname: 'app\0' }, 'SECRET_VALUE_INVALID'],
];

const SERVERS = [
  {
    name: 'PostgreSQL 18',
    isInstalled: postgresIsInstalled(18),
    start: postgres,
    strategies: ['single-user', 'alternating-users', 'user-pair'],
    own: [
      // The peer's login is for the other database: it is none of this one.
      ['34: a database that is not there', { dbname: 'nowhere' }, 'DATABASE_MISSING|STANDBY_MISSING'],
      ['41: the platform’s own user', { username: 'rdsadmin' }, 'SECRET_VALUE_INVALID'],
      ['41: a role of the server', { username: 'pg_monitor' }, 'SECRET_VALUE_INVALID'],
    ],
  },
  {
    name: 'Redis 8',
    isInstalled: redisIsInstalled({ kind: 'redis', version: 8 }),
    start: redis,
    strategies: ['single-user', 'dual-password'],
    own: [
      ['34: a database that is no number', { dbname: 'app' }, 'DATABASE_MISSING'],
      ['34: a database that it may not choose', { dbname: '1' }, 'DATABASE_MISSING'],
    ],
  },
] as const;

for (const { name, isInstalled, start, strategies, own } of SERVERS)
  describeOnServer(isInstalled, `bad input on ${name}`, () => {
    let server: Watched;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());

    const current = (application: Application) => application.login(CURRENT);

    describe.each<StrategyName>(strategies)('%s', (strategy) => {
      test.each<Case>([...COMMON, ...own.map(([...each]): Case => each)])(
        '%s: refused, and nothing is changed',
        async (_, patch, code) => {
          const application = await createApplication(server, strategy);
          const { rig, arn } = application;
          rig.secrets.put(arn, JSON.stringify({ ...(await current(application)), ...patch }));
          const before = await server.users();

          await expect(application.rotate()).rejects.toMatchObject({
            name: 'RekeyError',
            code: expect.stringMatching(`^(${code})$`),
          });

          expect(await server.users()).toEqual(before);
        },
      );

      test.each<[string, (pending: object, now: object) => string | undefined, string]>([
        ['37: another user', (pending) => JSON.stringify({ ...pending, username: 'root' }), 'PENDING_MISMATCH'],
        ['37: another host', (pending) => JSON.stringify({ ...pending, host: '127.0.0.1' }), 'PENDING_MISMATCH'],
        ['37: no JSON', () => 'hunter2', 'PENDING_MISMATCH'],
        ['38: nothing', () => undefined, 'STEP_OUT_OF_ORDER'],
        ['39: the current value', (_, now) => JSON.stringify(now), 'PENDING_MISMATCH'],
      ])('%s where the pending value should be: refused, and nothing is changed', async (_, replace, code) => {
        const application = await createApplication(server, strategy);
        const token = application.beginRotation();
        await application.run('createSecret', token);
        const version = application.rig.secrets.secret(application.arn).versions.get(token);
        const now = (await current(application)) ?? {};
        if (version) version.value = replace(JSON.parse(version.value ?? '{}'), now);
        const before = await server.users();

        await expect(application.run('setSecret', token)).rejects.toMatchObject({ name: 'RekeyError', code });

        expect(await server.users()).toEqual(before);
        expect(await application.works(CURRENT)).toBe(true);
      });
    });
  });
