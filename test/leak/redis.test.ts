import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createRedisEngine } from '../../shared/engines/redis.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { type Bench, secret, soon, startBench } from '../integration/redis/bench.ts';
import { createAuthority } from '../sandbox/certificates.ts';
import { describeEachServer } from '../sandbox/describe-server.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../sandbox/redis.ts';
import { shownAs, thrownBy } from './shown-as.ts';

const CANARY = 'hunter2-canary';
/** What the server keeps of each password here. */
const STORED = [CANARY, `${CANARY}-2`, `${CANARY}-3`].map((password) =>
  createHash('sha256').update(password).digest('hex'),
);

describeEachServer(REDIS_SERVERS, redisIsInstalled)(
  (id) => `a password that ${redisName(id)} is told of`,
  (id) => {
    let bench: Bench;
    /** In clear: a server that is full hangs up on a handshake without a word. */
    let full: Bench;

    beforeAll(async () => {
      bench = await startBench({
        ...id,
        users: [
          `user app on >${CANARY} +ping +select`,
          `user off off >${CANARY} +ping`,
          'user anyone on nopass +ping',
          `user small on >${CANARY} +ping +multi +exec`,
        ],
      });
      full = await startBench({ ...id, tls: 'off', settings: { maxclients: '1' } });
    });
    afterAll(() => Promise.all([bench, full].map((each) => each?.server.stop())));

    test.each<[string, string, () => Promise<unknown>]>([
      ['a wrong password', 'LOGIN_REFUSED', () => bench.setPassword('app', CANARY, bench.as('app', `${CANARY}-2`))],
      ['a user that is not there', 'USERNAME_INVALID', () => bench.setPassword('nobody', CANARY)],
      ['a login that is no user', 'LOGIN_REFUSED', () => bench.setPassword('app', CANARY, bench.as('nobody', CANARY))],
      ['a locked user', 'LOGIN_REFUSED', () => bench.setPassword('off', CANARY, bench.as('off', CANARY))],
      ['a user who needs no password', 'AUTHENTICATION_UNSAFE', () => bench.setPassword('anyone', CANARY)],
      [
        'a user who may not change itself',
        'PRIVILEGE_MISSING',
        () => bench.setPassword('app', `${CANARY}-2`, bench.as('app', CANARY)),
      ],
      [
        'a user who may do half of it',
        'PRIVILEGE_MISSING',
        () => bench.setPassword('small', `${CANARY}-2`, bench.as('small', CANARY)),
      ],
      [
        'a present password that is none, when one is added',
        'LOGIN_REFUSED',
        () => bench.addPassword('app', `${CANARY}-2`, `${CANARY}-3`),
      ],
      [
        'a present password that is none, when the old one is to go',
        'LOGIN_REFUSED',
        () =>
          bench.engine.dualPassword.discardOld(
            { acting: bench.admin, kept: bench.as('app', `${CANARY}-3`) },
            async () => true,
            soon(),
          ),
      ],
      [
        'a database that is not there',
        'DATABASE_MISSING',
        () => bench.engine.login(bench.as('app', CANARY, { database: '99' }), soon()),
      ],
      [
        'a database that is no number',
        'DATABASE_MISSING',
        () => bench.engine.login(bench.as('app', CANARY, { database: 'x' }), soon()),
      ],
      [
        'a user name with a NUL',
        'USERNAME_INVALID',
        () => bench.engine.login(bench.as(`app\0${CANARY}`, CANARY), soon()),
      ],
      [
        'a port where nothing listens',
        'DATABASE_UNREACHABLE',
        () => bench.engine.login(bench.as('app', CANARY, { port: 1 }), soon()),
      ],
      [
        'a host that is not there',
        'DATABASE_UNREACHABLE',
        () => bench.engine.login(bench.as('app', CANARY, { host: 'no-such-host.invalid' }), soon()),
      ],
      [
        'an unknown authority',
        'DATABASE_TLS',
        () =>
          createRedisEngine({ ca: createAuthority().certificate, allowLoopback: true, clock: systemClock }).login(
            bench.as('app', CANARY),
            soon(),
          ),
      ],
      [
        'a server without a connection left',
        'DATABASE_BUSY',
        async () => {
          const client = await full.server.connect(full.server.superuser);
          try {
            await full.engine.login(full.as('app', CANARY), soon());
          } finally {
            client.destroy();
          }
        },
      ],
    ])('is in no view of the error about %s: %s', async (_, code, work) => {
      const error = await thrownBy(work());

      expect(error).toMatchObject({ name: 'RekeyError', code });
      expect(error).not.toHaveProperty('cause');
      const shown = shownAs(error);
      expect(shown).not.toMatch(/hunter2/);
      expect(STORED.filter((hash) => shown.includes(hash))).toEqual([]);
    });

    test('is in no view of what it is wrapped in', async () => {
      const credentials = bench.as('app', CANARY);

      expect(shownAs(credentials)).not.toMatch(/hunter2/);
      expect(shownAs({ acting: credentials, username: 'app', password: secret(CANARY) })).not.toMatch(/hunter2/);
    });
  },
);
