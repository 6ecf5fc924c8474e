import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import type { MysqlFamilyOptions } from '../../sandbox/mysql-family.ts';
import { refusedFor, testMysqlFamilyLogin, untilEndOfTest } from '../mysql-family-login.ts';
import { ACCEPTED, account, type Bench, secret, soon, startBench, WRONG } from './bench.ts';

/* Numbers are entries of the catalogue of bad input. */

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('logging in to MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
  });
  afterAll(() => bench?.server.stop());

  const start = (options: MysqlFamilyOptions = {}) => startBench({ version, ...options });
  const another = untilEndOfTest(start);

  testMysqlFamilyLogin(() => bench, {
    start,
    renewal: (account) => `SET PASSWORD FOR ${account} = PASSWORD('one')`,
    leastConnections: 10,
  });

  describe('68: why a login was refused', () => {
    test('67: an account blocked by too many wrong passwords', async () => {
      const user = await bench.newUser();
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
  });

  describe('60: TLS', () => {
    const plaintext = { transport: { kind: 'plaintext' } } as const;

    test('71: plaintext, where a person asked for it, does for logins: MariaDB’s methods answer a challenge', async () => {
      const { engine, as, newUser, run } = await another({
        tls: 'off',
        settings: { 'plugin-load-add': 'auth_ed25519' },
      });
      const [user, curved] = [await newUser(), await newUser()];
      await run(`ALTER USER ${curved} IDENTIFIED VIA ed25519 USING PASSWORD('one')`);

      for (const username of [user, curved]) {
        expect(await engine.login(as(username, 'one', plaintext), soon())).toEqual(ACCEPTED);
        expect(await engine.login(as(username, 'wrong', plaintext), soon())).toEqual(WRONG);
      }
    });

    test('71: a password goes in clear to no server without TLS, even where a policy wants to read it', async () => {
      const { server, engine, as, run, admin, prepare } = await another({
        tls: 'off',
        settings: {
          'plugin-load-add': 'simple_password_check',
          'simple-password-check-digits': '0',
          'simple-password-check-letters-same-case': '0',
          'simple-password-check-other-characters': '0',
        },
      });
      await run("CREATE USER app IDENTIFIED BY 'Number-1'");
      const self = as('app', 'Number-1', plaintext);
      const adminInClear = { ...admin, ...plaintext };
      const pair = { admin: adminInClear, current: 'app', alternate: 'app_clone', database: 'app' };
      const unsafe = { code: 'AUTHENTICATION_UNSAFE' };

      for (const acting of [adminInClear, self])
        await expect(
          engine.setPassword({ acting, username: 'app', password: secret('Hunter-2') }, soon()),
        ).rejects.toMatchObject(unsafe);
      await expect(prepare(pair, 'Hunter-2')).rejects.toMatchObject(unsafe);

      expect(server.log()).not.toContain('Hunter-2');
      expect(await engine.login(self, soon())).toEqual(ACCEPTED);
    });
  });
});
