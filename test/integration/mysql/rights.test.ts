import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import {
  expectFirstBeginningHarmless,
  expectManyAtOnceToEnd,
  expectViewsOfCurrentToWork,
  RIGHTS_SETUP,
  rightsOn,
  testMysqlFamilyRights,
} from '../mysql-family-rights.ts';
import { ACCEPTED, account, type Bench, newName, soon, startBench } from './bench.ts';

/* M1 to M12 are what AWS's functions were measured to do wrong; M1, M2, M4 and M11 are PostgreSQL's alone. */

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('rights on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(
      ...RIGHTS_SETUP(account(bench.admin.username)),
      "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'",
    );
  });
  afterAll(() => bench?.server.stop());

  const { to, prepared, pairUnder, expectEqual, described } = rightsOn(() => bench);

  testMysqlFamilyRights(() => bench, {
    defaultRole: 'TO',
    passwordValue: (text) => `'${text}'`,
    inSentence: account,
    halfMade: (clone) => [`${account(clone)} lacks SELECT, UPDATE on \`orders\`.*`, `${account(clone)} is locked`],
    withoutHost: account,
    given: [['of what a component registered', ['GRANT XA_RECOVER_ADMIN, ROLE_ADMIN ON *.* TO ?']]],
    revoked: [
      ['that a component registered', 'GRANT XA_RECOVER_ADMIN ON *.* TO ?', 'REVOKE XA_RECOVER_ADMIN ON *.* FROM ?'],
    ],
  });

  test('M7: WITH GRANT OPTION and WITH ADMIN OPTION are the clone’s too', async () => {
    const role = await bench.newRole();
    const pair = await prepared(
      'GRANT SELECT ON app.* TO ? WITH GRANT OPTION',
      'GRANT UPDATE (amount) ON app.ledger TO ? WITH GRANT OPTION',
      `GRANT ${role} TO ? WITH ADMIN OPTION`,
      'GRANT XA_RECOVER_ADMIN ON *.* TO ? WITH GRANT OPTION',
    );

    await expectEqual(pair);
  });

  test('M8: what was revoked from one of the two does not come back from the other', async () => {
    const pair = await prepared('GRANT SELECT, INSERT ON app.* TO ?', 'GRANT SELECT ON orders.* TO ?');
    await bench.run(`REVOKE INSERT ON app.* FROM ${pair.current}`, `REVOKE SELECT ON orders.* FROM ${pair.current}`);
    const back = { ...pair, current: pair.alternate, alternate: pair.current };

    await bench.prepare(pair);
    await bench.prepare(back, 'one');

    expect(await bench.grants(pair.current)).toEqual(['GRANT USAGE ON *.*', 'GRANT SELECT ON `app`.*']);
    expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*', 'GRANT SELECT ON `app`.*']);
  });

  test('M8: a grant option at *.* that goes takes that of registered privileges along, and those stay', async () => {
    const all = 'SELECT, XA_RECOVER_ADMIN, APPLICATION_PASSWORD_ADMIN';
    const pair = await prepared(`GRANT ${all} ON *.* TO ? WITH GRANT OPTION`);
    await bench.run(`REVOKE GRANT OPTION ON *.* FROM ${pair.current}`);

    await bench.prepare(pair);

    expect(await bench.differences(pair)).toEqual([]);
    const before = await bench.grants(pair.alternate);
    await bench.run('FLUSH PRIVILEGES'); // what the server remembers is what its tables say
    expect(await bench.grants(pair.alternate)).toEqual(before);
    await expectEqual(pair);
  });

  describe('M9: a user with accounts for several hosts', () => {
    test('may lose one: the clone’s goes with the next rotation, and clients from there come in by another', async () => {
      const pair = await bench.newPair('%', 'localhost');
      await bench.prepare(pair);
      await bench.run(`DROP USER ${account(pair.current, 'localhost')}`);
      expect(await bench.differences(pair)).toEqual([
        `${account(pair.alternate, 'localhost')} exists, and ${pair.current} has no account for that host`,
      ]);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.texts(`SELECT Host FROM mysql.user WHERE User = '${pair.alternate}'`)).toEqual(['%']);
      expect(await bench.login(pair.current, 'one')).toEqual(ACCEPTED);
      expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });

    test('of which one is locked has a clone that is locked for the same host', async () => {
      const pair = await bench.newPair('%', 'localhost');
      await bench.run(`ALTER USER ${account(pair.current, 'localhost')} ACCOUNT LOCK`);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.login(pair.current, 'one')).toEqual({ kind: 'refused', reason: 'locked' });
      expect(await bench.login(pair.alternate, 'two')).toEqual({ kind: 'refused', reason: 'locked' });
    });
  });

  describe('the clone has what the current user has', () => {
    test('and no more, of each kind', async () => {
      const role = await bench.newRole();
      const pair = await prepared();
      await to(
        pair.alternate,
        'GRANT SELECT, CREATE USER ON *.* TO ?',
        'GRANT XA_RECOVER_ADMIN ON *.* TO ? WITH GRANT OPTION',
        'GRANT INSERT ON app.* TO ? WITH GRANT OPTION',
        'GRANT SELECT (id), UPDATE ON app.ledger TO ?',
        'GRANT EXECUTE ON PROCEDURE app.settle TO ?',
        `GRANT ${role} TO ? WITH ADMIN OPTION`,
        `ALTER USER ? DEFAULT ROLE ${role}`,
      );
      expect(await bench.differences(pair)).toHaveLength(7);

      await bench.prepare(pair);

      expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*']);
      await expectEqual(pair);
    });

    test('in columns that are no more: they are no difference, and hinder nothing', async () => {
      const pair = await bench.newPair();
      await bench.run(
        'CREATE TABLE app.short_lived (id INT, gone INT)',
        `GRANT SELECT, UPDATE (gone) ON app.short_lived TO ${pair.current}`,
        `GRANT INSERT (note) ON app.ledger TO ${pair.current}`,
        'DROP TABLE app.short_lived',
      );

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.grants(pair.alternate)).toContain('GRANT INSERT (`note`) ON `app`.`ledger`');
    });

    test('in tables that are dropped and made anew: it is the same while there is none', async () => {
      await bench.run('CREATE TABLE app.swapped (id INT)');
      const pair = await prepared('GRANT SELECT, CREATE ON app.swapped TO ?');
      await bench.run(
        `GRANT INSERT ON app.swapped TO ${pair.current} WITH GRANT OPTION`,
        `REVOKE CREATE ON app.swapped FROM ${pair.current}`,
        `GRANT DELETE ON app.swapped TO ${pair.alternate}`,
        'DROP TABLE app.swapped',
      );
      expect(await bench.differences(pair)).not.toEqual([]);

      await bench.prepare(pair);

      expect(await bench.grants(pair.alternate)).toContain('GRANT SELECT, INSERT ON `app`.`swapped` WITH GRANT OPTION');
      await expectEqual(pair);
      await bench.run('CREATE TABLE app.swapped (id INT)');
      await expectEqual(pair);
    });
  });

  describe('an administrator that may see every table', () => {
    const goneFor = async (...rights: string[]): Promise<AdministeredPair> => {
      const pair = await pairUnder('GRANT CREATE USER, PROCESS ON *.* TO ?', ...rights);
      const table = `app.gone_${pair.current}`;
      await bench.run(
        `CREATE TABLE ${table} (id INT)`,
        `GRANT SELECT, UPDATE (id) ON ${table} TO ${pair.current}`,
        `GRANT SELECT ON app.ledger TO ${pair.current}`,
        `DROP TABLE ${table}`,
      );
      return pair;
    };

    test('but for what a partial revoke takes, as on Aurora, is not hindered by tables that are no more', async () => {
      await bench.run('SET GLOBAL partial_revokes = ON');
      try {
        const pair = await goneFor(
          'GRANT SELECT, INSERT, UPDATE ON *.* TO ? WITH GRANT OPTION',
          'REVOKE INSERT, UPDATE ON mysql.* FROM ?',
        );

        await bench.prepare(pair);

        expect(await bench.differences(pair)).toEqual([]);
        expect(await bench.grants(pair.alternate)).toContain('GRANT SELECT ON `app`.`ledger`');
      } finally {
        await bench.run(
          ...(await bench.texts(
            `SELECT CONCAT('DROP USER ', User) FROM mysql.user WHERE User_attributes ->> '$.Restrictions' IS NOT NULL`,
          )),
          'SET GLOBAL partial_revokes = OFF',
        );
      }
    });

    test('of the database, and no other, is not hindered by tables that are no more', async () => {
      const pair = await goneFor(
        'GRANT SELECT ON mysql.* TO ?',
        'GRANT SELECT, UPDATE ON `ap_`.* TO ? WITH GRANT OPTION',
      );

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.grants(pair.alternate)).toContain('GRANT SELECT ON `app`.`ledger`');
    });

    test('by a role alone, which is not on by itself, copies what there is', async () => {
      const role = newName();
      const pair = await goneFor(
        'GRANT SELECT ON mysql.* TO ?',
        `CREATE ROLE ${role}`,
        `GRANT SELECT, UPDATE ON *.* TO ${role} WITH GRANT OPTION`,
        `GRANT ${role} TO ?`,
      );

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.grants(pair.alternate)).toContain('GRANT SELECT ON `app`.`ledger`');
    });
  });

  test('rights on routines and libraries that were dropped with their database hinder nothing', async () => {
    const pair = await bench.newPair();
    await bench.run(
      'CREATE DATABASE short_lived',
      'CREATE PROCEDURE short_lived.p() SELECT 1',
      "CREATE LIBRARY short_lived.l LANGUAGE JAVASCRIPT AS ''",
      "CREATE LIBRARY app.l LANGUAGE JAVASCRIPT AS ''",
      `GRANT EXECUTE ON PROCEDURE short_lived.p TO ${pair.current}`,
      `GRANT EXECUTE ON LIBRARY short_lived.l TO ${pair.current}`,
      `GRANT EXECUTE ON LIBRARY app.l TO ${pair.current}`,
      'DROP DATABASE short_lived',
    );

    await bench.prepare(pair);

    expect(await bench.differences(pair)).toEqual([]);
    expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*', 'GRANT EXECUTE ON LIBRARY `app`.`l`']);
    expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
  });

  describe('with partial revokes', () => {
    beforeAll(() => bench.run('SET GLOBAL partial_revokes = ON'));
    afterAll(() => bench?.run('SET GLOBAL partial_revokes = OFF').catch(() => {}));

    test('what was taken for one database is taken from the clone', async () => {
      const pair = await prepared('GRANT SELECT, INSERT ON *.* TO ?', 'REVOKE INSERT ON orders.* FROM ?');

      expect(await bench.grants(pair.alternate)).toContain('REVOKE INSERT ON `orders`.*');
      await expectEqual(pair);
    });

    test('what was taken from the clone alone is given back', async () => {
      const pair = await prepared('GRANT SELECT ON *.* TO ?');
      await bench.run(`REVOKE SELECT ON orders.* FROM ${pair.alternate}`);
      expect(await bench.differences(pair)).toEqual([`${account(pair.alternate)} lacks SELECT on orders`]);

      await bench.prepare(pair);

      await expectEqual(pair);
    });

    test('a restriction of a right that goes altogether does not become a right', async () => {
      const pair = await prepared();
      await bench.run(`GRANT SELECT ON *.* TO ${pair.alternate}`, `REVOKE SELECT ON orders.* FROM ${pair.alternate}`);

      await bench.prepare(pair);

      expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*']);
    });
  });

  describe('settings', () => {
    test.each<[string, string]>([
      ['REQUIRE', 'REQUIRE SSL'],
      ['REQUIRE', "REQUIRE SUBJECT '/CN=it''s' AND ISSUER '/O=a\\\\b'"],
      ['limits', 'WITH MAX_QUERIES_PER_HOUR 1000 MAX_USER_CONNECTIONS 50'],
      ['PASSWORD EXPIRE', 'PASSWORD EXPIRE INTERVAL 90 DAY'],
      ['PASSWORD EXPIRE', 'PASSWORD EXPIRE NEVER'],
      ['PASSWORD REUSE INTERVAL', 'PASSWORD REUSE INTERVAL 7 DAY'],
      ['PASSWORD HISTORY', 'PASSWORD HISTORY 3'],
      ['PASSWORD REQUIRE CURRENT', 'PASSWORD REQUIRE CURRENT OPTIONAL'],
      ['FAILED_LOGIN_ATTEMPTS', 'FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME UNBOUNDED'],
    ])('%s of a new clone and of an old one: %s', async (what, clause) => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} ${clause}`);
      await bench.prepare(pair);
      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));

      await bench.run(
        `ALTER USER ${pair.current} REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_USER_CONNECTIONS 0
           PASSWORD EXPIRE DEFAULT PASSWORD REUSE INTERVAL DEFAULT PASSWORD HISTORY DEFAULT
           PASSWORD REQUIRE CURRENT DEFAULT FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0`,
      );
      expect(await bench.differences(pair)).toEqual([`${account(pair.alternate)} has other ${what}`]);

      await bench.prepare(pair, 'three');

      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));
      expect(await bench.differences(pair)).toEqual([]);
    });

    test('the attribute is the same, with nothing left of the one before', async () => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} ATTRIBUTE '{"team": "a''b", "nested": {"x": 1, "y": [2]}}'`);
      await bench.prepare(pair);
      await bench.run(`ALTER USER ${pair.current} ATTRIBUTE '{"nested": null}'`);
      await bench.run(`ALTER USER ${pair.current} ATTRIBUTE '{"nested": {"y": 3}, "more": 1}'`);

      await bench.prepare(pair);

      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));
    });

    test('the clone authenticates as the current user does', async () => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} IDENTIFIED WITH sha256_password BY 'one'`);
      await bench.prepare(pair);

      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));
      expect(await bench.differences(pair)).toEqual([]);
      await bench.run(`ALTER USER ${pair.alternate} IDENTIFIED WITH caching_sha2_password BY 'two'`);
      expect(await bench.differences(pair)).toEqual([
        `${account(pair.alternate)} does not authenticate with sha256_password`,
      ]);
    });
  });

  describe('what the clone was before does not matter', () => {
    test('a second password of it is no way in', async () => {
      const pair = await prepared();
      await bench.run(`ALTER USER ${pair.alternate} IDENTIFIED BY 'x' RETAIN CURRENT PASSWORD`);

      await bench.prepare(pair, 'three');

      expect(await bench.accepted(pair.alternate, 'two', 'x', 'three')).toEqual(['three']);
    });

    test('one that was disabled with two passwords comes back with the new one alone', async () => {
      const pair = await prepared();
      await bench.run(`ALTER USER ${pair.alternate} IDENTIFIED BY 'x' RETAIN CURRENT PASSWORD`);
      await bench.engine.alternatingUsers.disableAlternate(pair, async () => true, soon());

      await bench.prepare(pair, 'three');

      expect(await bench.accepted(pair.alternate, 'two', 'x', 'three')).toEqual(['three']);
    });
  });

  test('views and routines whose DEFINER is the current user work for the clone as for it', () =>
    expectViewsOfCurrentToWork(bench));

  describe('what cannot be settled is named, and nothing is changed', () => {
    test.each<[string, string, string]>([
      [
        'a second factor',
        'ALTER USER ? ADD 2 FACTOR IDENTIFIED WITH auth_socket',
        'has a second factor of authentication',
      ],
      ['a role that is the clone', 'GRANT + TO ?', 'as a role'],
    ])('%s', async (_, statement, why) => {
      const pair = await bench.newPair();
      await bench.run(`CREATE USER ${pair.alternate} ACCOUNT LOCK`);
      await bench.run(statement.replace('?', account(pair.current)).replace('+', account(pair.alternate)));
      const before = await described(pair.alternate);

      await expect(bench.prepare(pair)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(why),
      });

      expect(await bench.differences(pair)).toContainEqual(expect.stringContaining(why));
      expect(await described(pair.alternate)).toEqual(before);
    });
  });

  test('mandatory roles are everybody’s, and no difference', async () => {
    await bench.run("SET GLOBAL mandatory_roles = 'auditor'");
    try {
      const pair = await prepared('GRANT SELECT ON app.* TO ?');
      expect(await bench.differences(pair)).toEqual([]);
    } finally {
      await bench.run("SET GLOBAL mandatory_roles = ''");
    }
  });

  describe('M10: what others do to users at the same moment', () => {
    test('a lock that lasts too long for one try is waited for by another', async () => {
      const pair = await bench.newPair();
      await bench.run(`GRANT SELECT ON app.* TO ${pair.current}`);
      const waits = async () => {
        const [count] = await bench.texts(
          `SELECT SUM_ERROR_RAISED FROM performance_schema.events_errors_summary_global_by_error
           WHERE ERROR_NAME = 'ER_LOCK_WAIT_TIMEOUT'`,
        );
        return Number(count);
      };
      const before = await waits();
      const holder = await bench.server.connect(bench.server.superuser);
      await holder.query(`START TRANSACTION; UPDATE mysql.user SET max_updates = 1 WHERE User = '${pair.current}'`);
      const preparing = bench.prepare(pair);

      try {
        await eventually('a wait for the lock that was too long', async () => (await waits()) > before);
      } finally {
        await holder.query('ROLLBACK').finally(() => holder.end());
      }

      await preparing;
      await expectEqual(pair);
    });

    test('grants and rotations of many users at once all come to an end', () => expectManyAtOnceToEnd(bench));
  });

  test('a user that only a SYSTEM_USER may change is told so', async () => {
    const pair = await bench.newPair();
    await bench.run(`GRANT SYSTEM_USER ON *.* TO ${pair.current}`);
    const remedy = `GRANT SYSTEM_USER ON *.* TO ${account(bench.admin.username)} WITH GRANT OPTION;`;

    expect(await bench.engine.alternatingUsers.missingForAlternate(pair, soon())).toContain(remedy);
    await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    expect((await bench.login(pair.alternate, 'two')).kind).toBe('refused');
  });

  test('every beginning of a first preparation is harmless, and the next attempt completes it', () =>
    expectFirstBeginningHarmless(bench));
});
