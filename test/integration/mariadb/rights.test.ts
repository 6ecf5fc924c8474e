import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import {
  expectFirstBeginningHarmless,
  expectManyAtOnceToEnd,
  expectViewsOfCurrentToWork,
  RIGHTS_SETUP,
  rightsOn,
  testMysqlFamilyRights,
} from '../mysql-family-rights.ts';
import { ACCEPTED, account, type Bench, secret, soon, startBench } from './bench.ts';

/* M1 to M12 are what AWS's functions were measured to do wrong; M5, M6 and M9 were measured on MariaDB. */

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('rights on MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    const admin = account(bench.admin.username);
    await bench.run(
      ...RIGHTS_SETUP(admin),
      "SET SESSION sql_mode = 'ORACLE'",
      'CREATE PACKAGE app.kit AS FUNCTION f RETURN INT; END',
      'CREATE PACKAGE BODY app.kit AS FUNCTION f RETURN INT AS BEGIN RETURN 1; END; END',
      'SET SESSION sql_mode = DEFAULT',
      'CREATE SEQUENCE app.numbers',
      `GRANT auditor TO ${admin} WITH ADMIN OPTION`,
      "INSTALL SONAME 'auth_ed25519'",
      `GRANT UPDATE ON mysql.* TO ${admin} WITH GRANT OPTION`,
    );
  });
  afterAll(() => bench?.server.stop());

  const { to, prepared, pairUnder, expectEqual, described } = rightsOn(() => bench);

  testMysqlFamilyRights(() => bench, {
    defaultRole: 'FOR',
    passwordValue: (text) => `PASSWORD('${text}')`,
    inSentence: (user) => user,
    halfMade: (clone) => [`${clone} lacks SELECT, UPDATE ON \`orders\`.*`],
    withoutHost: (name) => `\`${name}\``,
    given: [['for a sequence', ['GRANT SELECT, INSERT, ALTER ON app.numbers TO ?']]],
    revoked: [
      ['for a database', 'GRANT SELECT, INSERT ON app.* TO ?', 'REVOKE INSERT ON app.* FROM ?'],
      ['for a whole database', 'GRANT SELECT ON orders.* TO ?', 'REVOKE SELECT ON orders.* FROM ?'],
      ['for a sequence', 'GRANT SELECT, INSERT ON app.numbers TO ?', 'REVOKE INSERT ON app.numbers FROM ?'],
      ['to grant a role', 'GRANT auditor TO ? WITH ADMIN OPTION', 'REVOKE ADMIN OPTION FOR auditor FROM ?'],
    ],
  });

  describe('M5: a user with a default role', () => {
    test('is no way to a clone without it: an administrator who may not set it is told so at each attempt', async () => {
      const role = await bench.newRole();
      const pair = await pairUnder(
        'GRANT CREATE USER, PROCESS ON *.* TO ?',
        'GRANT SELECT ON mysql.* TO ?',
        `GRANT ${role} TO ? WITH ADMIN OPTION`,
      );
      await to(pair.current, `GRANT ${role} TO ?`, `SET DEFAULT ROLE ${role} FOR ?`);
      const remedy = `GRANT UPDATE ON \`mysql\`.* TO ${account(pair.admin.username)};`;
      expect(await bench.engine.alternatingUsers.missingForAlternate(pair, soon())).toEqual([remedy]);

      for (let attempt = 1; attempt <= 2; attempt += 1) {
        const refused = bench.prepare(pair, 'hunter2-canary');
        await expect(refused).rejects.toMatchObject({
          code: 'PRIVILEGE_MISSING',
          action: expect.stringContaining(remedy),
        });
        await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('hunter2') });
        expect((await bench.login(pair.alternate, 'hunter2-canary')).kind).toBe('refused');
      }
      await bench.run(remedy);
      await bench.prepare(pair);

      await expectEqual(pair);
    });

    test('that it lost since does not hinder its clone', async () => {
      const role = await bench.newRole();
      const pair = await prepared(`GRANT ${role} TO ?`, `SET DEFAULT ROLE ${role} FOR ?`);
      await bench.run(`REVOKE ${role} FROM ${pair.current}`);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect((await bench.grants(pair.alternate)).filter((row) => row.includes(role))).toEqual([]);
    });
  });

  test('M7: WITH GRANT OPTION and WITH ADMIN OPTION are the clone’s too', async () => {
    const role = await bench.newRole();
    const pair = await prepared(
      'GRANT SELECT ON app.* TO ? WITH GRANT OPTION',
      'GRANT UPDATE (amount) ON app.ledger TO ? WITH GRANT OPTION',
      'GRANT EXECUTE ON PROCEDURE app.settle TO ? WITH GRANT OPTION',
      'GRANT PROXY ON other TO ? WITH GRANT OPTION',
      `GRANT ${role} TO ? WITH ADMIN OPTION`,
    );

    await expectEqual(pair);
    const grants = await bench.grants(pair.alternate);
    // MariaDB makes one more of the option to grant PROXY: that to grant on *.*, where there is nothing to grant.
    expect(grants.filter((row) => /WITH (GRANT|ADMIN) OPTION/.test(row))).toHaveLength(6);
  });

  describe('M9: a user with accounts for several hosts', () => {
    test('may lose one: the clone’s goes with the next rotation', async () => {
      const pair = await bench.newPair('127.0.0.1', 'localhost', '10.%');
      await bench.prepare(pair);
      await bench.run(`DROP USER ${account(pair.current, '10.%')}`);
      expect(await bench.differences(pair)).toEqual([
        `${pair.alternate}@10.% exists, and the current user has no account for that host`,
      ]);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.texts(`SELECT Host FROM mysql.user WHERE User = '${pair.alternate}' ORDER BY Host`)).toEqual([
        '127.0.0.1',
        'localhost',
      ]);
    });
  });

  describe('the clone has what the current user has', () => {
    test('for packages', async () => {
      const pair = await bench.newPair();
      const connection = await bench.server.connect(bench.server.superuser);
      await connection
        .query(
          `SET SESSION sql_mode = 'ORACLE'; GRANT EXECUTE ON PACKAGE app.kit TO ${pair.current};
           GRANT EXECUTE ON PACKAGE BODY app.kit TO ${pair.current}`,
        )
        .finally(() => connection.end());

      await bench.prepare(pair);

      await expectEqual(pair);
      expect((await bench.grants(pair.alternate)).filter((row) => row.includes('PACKAGE'))).toHaveLength(2);
    });

    test('and no more, of each kind', async () => {
      const role = await bench.newRole();
      const pair = await prepared();
      await to(
        pair.alternate,
        'GRANT SELECT, CREATE USER ON *.* TO ?',
        'GRANT INSERT ON app.* TO ? WITH GRANT OPTION',
        'GRANT SELECT (id), UPDATE ON app.ledger TO ?',
        'GRANT EXECUTE ON PROCEDURE app.settle TO ?',
        'GRANT PROXY ON other TO ?',
        `GRANT ${role} TO ? WITH ADMIN OPTION`,
        `SET DEFAULT ROLE ${role} FOR ?`,
      );
      expect(await bench.differences(pair)).toHaveLength(8);

      await bench.prepare(pair);

      expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*']);
      await expectEqual(pair);
    });

    test('in tables that are no more, and hinders nothing', async () => {
      const pair = await bench.newPair();
      await bench.run(
        'CREATE TABLE app.short_lived (id INT, gone INT)',
        `GRANT SELECT, UPDATE (gone) ON app.short_lived TO ${pair.current}`,
        `GRANT INSERT (note) ON app.ledger TO ${pair.current}`,
        'DROP TABLE app.short_lived',
      );

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });
  });

  describe('settings', () => {
    test.each<[string, string]>([
      ['REQUIRE SSL', 'REQUIRE SSL'],
      ['REQUIRE', "REQUIRE ISSUER '/O=a\\\\b' AND SUBJECT '/CN=it''s'"],
      ['MAX_USER_CONNECTIONS', 'WITH MAX_QUERIES_PER_HOUR 1000 MAX_USER_CONNECTIONS 50 MAX_STATEMENT_TIME 2.5'],
      ['PASSWORD EXPIRE', 'PASSWORD EXPIRE INTERVAL 90 DAY'],
      ['PASSWORD EXPIRE', 'PASSWORD EXPIRE NEVER'],
    ])('%s of a new clone and of an old one: %s', async (what, clause) => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} ${clause}`);
      await bench.prepare(pair);
      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));

      await bench.run(
        `ALTER USER ${pair.current} REQUIRE NONE
           WITH MAX_QUERIES_PER_HOUR 0 MAX_USER_CONNECTIONS 0 MAX_STATEMENT_TIME 0 PASSWORD EXPIRE DEFAULT`,
      );
      expect(await bench.differences(pair)).toEqual([
        expect.stringMatching(new RegExp(`^${pair.alternate} differs in .*${what.split(' ')[0]}`)),
      ]);

      await bench.prepare(pair, 'three');

      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));
      expect(await bench.differences(pair)).toEqual([]);
    });

    test.each([
      'mysql_native_password USING PASSWORD("one")',
      'ed25519 USING PASSWORD("one")',
      'ed25519 USING PASSWORD("one") OR mysql_native_password USING PASSWORD("one")',
      'unix_socket OR ed25519 USING PASSWORD("one")',
      "mysql_native_password USING PASSWORD('one') OR unix_socket USING 'postgres'",
    ])('the clone logs in as the current user does: %s', async (methods) => {
      const pair = await prepared(`ALTER USER ? IDENTIFIED VIA ${methods}`);

      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));
      await expectEqual(pair);
      await bench.run(`ALTER USER ${pair.current} IDENTIFIED VIA mysql_native_password USING PASSWORD('one')`);
      if (!methods.startsWith('mysql_native_password USING PASSWORD("'))
        expect(await bench.differences(pair)).toEqual([`${pair.alternate} does not log in by mysql_native_password`]);

      await bench.prepare(pair, 'three');

      expect(await bench.settings(pair.alternate)).toBe(await bench.settings(pair.current));
      expect(await bench.accepted(pair.alternate, 'one', 'two', 'three')).toEqual(['three']);
    });
  });

  describe('what the clone was before does not matter', () => {
    test('every beginning of a first preparation is harmless, and the next attempt completes it', () =>
      expectFirstBeginningHarmless(bench));
  });

  test('views whose DEFINER is the current user work for the clone as for it', () => expectViewsOfCurrentToWork(bench));

  test('a user whom Rekey could give no password is named as such, and nothing is changed', async () => {
    const pair = await bench.newPair();
    await bench.run(`ALTER USER ${pair.current} IDENTIFIED VIA unix_socket`);

    await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'DATABASE_UNSUPPORTED' });
    const refusal = await bench.setByAdmin(pair.current, 'two').catch((error: unknown) => error);
    expect(refusal).toMatchObject({ code: 'DATABASE_UNSUPPORTED' });

    expect(await bench.texts(`SELECT 1 FROM mysql.user WHERE User = '${pair.alternate}'`)).toEqual([]);
    const [, statement = ''] = /: (ALTER USER [^;]+);/.exec((refusal as { action: string }).action) ?? [];
    await bench.run(statement.replace('…', 'one'));
    await bench.prepare(pair);
  });

  test('what PUBLIC may do is everybody’s, and no difference', async () => {
    await bench.run('GRANT SELECT ON orders.* TO PUBLIC');
    try {
      const pair = await prepared('GRANT SELECT ON app.* TO ?');
      expect(await bench.differences(pair)).toEqual([]);
    } finally {
      await bench.run('REVOKE SELECT ON orders.* FROM PUBLIC');
    }
  });

  test('M10: a lock that lasts too long for one try is waited for by another', async () => {
    const pair = await bench.newPair();
    await bench.run(`GRANT SELECT ON app.* TO ${pair.current}`);
    const waiting = async () =>
      await bench.texts(
        `SELECT QUERY_ID FROM information_schema.PROCESSLIST
         WHERE USER = '${bench.admin.username}' AND STATE LIKE 'Waiting for%lock'`,
      );
    const [before = ''] = await bench.texts('SELECT @@global.lock_wait_timeout');
    const holder = await bench.server.connect(bench.server.superuser);
    await holder.query('SET GLOBAL lock_wait_timeout = 1; LOCK TABLES mysql.roles_mapping WRITE');
    const preparing = bench.prepare(pair);

    try {
      const seen = new Set<string>();
      await eventually('a wait for the lock that was too long, and another one', async () => {
        for (const query of await waiting()) seen.add(query);
        return seen.size > 1;
      });
    } finally {
      await holder.query(`UNLOCK TABLES; SET GLOBAL lock_wait_timeout = ${before}`).finally(() => holder.end());
    }

    await preparing;
    await expectEqual(pair);
  });

  test('M10: grants and rotations of many users at once all come to an end', () => expectManyAtOnceToEnd(bench));

  test('a password that the administrator sets for a user with a role changes nothing else of it', async () => {
    const role = await bench.newRole();
    const user = await bench.newUser('REQUIRE SSL');
    await bench.run(`GRANT ${role} TO ${user}`, `SET DEFAULT ROLE ${role} FOR ${user}`);
    const before = await described(user);

    await bench.engine.setPassword({ acting: bench.admin, username: user, password: secret('two') }, soon());

    expect(await described(user)).toEqual(before);
    expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
  });
});
