import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { ACCEPTED, account, type Bench, newName, secret, soon, startBench, WRONG } from './bench.ts';

/* M1 to M12 are what AWS's functions were measured to do wrong; M5, M6 and M9 were measured on MariaDB. */

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('rights on MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(
      'CREATE DATABASE orders',
      'CREATE TABLE app.ledger (id INT, amount INT, note TEXT)',
      'CREATE PROCEDURE app.settle() SELECT 1',
      'CREATE FUNCTION app.tax() RETURNS INT DETERMINISTIC RETURN 19',
      "SET SESSION sql_mode = 'ORACLE'",
      'CREATE PACKAGE app.kit AS FUNCTION f RETURN INT; END',
      'CREATE PACKAGE BODY app.kit AS FUNCTION f RETURN INT AS BEGIN RETURN 1; END; END',
      'SET SESSION sql_mode = DEFAULT',
      'CREATE SEQUENCE app.numbers',
      'CREATE ROLE auditor',
      `GRANT auditor TO ${account(bench.admin.username)} WITH ADMIN OPTION`,
      "INSTALL SONAME 'auth_ed25519'",
      'CREATE USER other',
      `GRANT PROXY ON other TO ${account(bench.admin.username)} WITH GRANT OPTION`,
      `GRANT UPDATE ON mysql.* TO ${account(bench.admin.username)} WITH GRANT OPTION`,
    );
  });
  afterAll(() => bench?.server.stop());

  /** The alternate user of a current one that was given this. `?` stands for its account. */
  async function prepared(...statements: string[]): Promise<AdministeredPair> {
    const pair = await bench.newPair();
    await bench.run(...statements.map((statement) => statement.replaceAll('?', account(pair.current))));
    await bench.prepare(pair);
    return pair;
  }
  async function newRole(): Promise<string> {
    const role = newName();
    await bench.run(`CREATE ROLE ${role}`, `GRANT ${role} TO ${account(bench.admin.username)} WITH ADMIN OPTION`);
    return role;
  }
  const sorted = async (user: string, host?: string) => (await bench.grants(user, host)).sort();
  async function expectEqual(pair: AdministeredPair): Promise<void> {
    expect(await sorted(pair.alternate)).toEqual(await sorted(pair.current));
    expect(await bench.differences(pair)).toEqual([]);
    expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
  }
  /** SHOW CREATE USER without the name and what the server keeps of the password. */
  const settings = async (user: string) => {
    const [text = ''] = await bench.texts(`SHOW CREATE USER ${account(user)}`);
    return text.replace(/^CREATE USER `[^`]*`@`[^`]*`/, '').replaceAll(/ (?:BY PASSWORD|USING) '[^']*'/g, '');
  };
  /** All that one account may do, and how. */
  const described = async (user: string) => [await sorted(user), await settings(user)];

  test('M3: whoever holds the login of one of the two cannot become the other', async () => {
    const pair = await prepared('GRANT SELECT ON app.* TO ? WITH GRANT OPTION');
    const connection = await bench.server.connect({ username: pair.alternate, password: 'two' });
    try {
      for (const statement of [
        `ALTER USER ${pair.current} IDENTIFIED BY 'evil'`,
        `SET PASSWORD FOR ${pair.current} = PASSWORD('evil')`,
        `RENAME USER ${pair.current} TO gone`,
        `DROP USER ${pair.current}`,
        `GRANT PROXY ON ${pair.current} TO ${pair.alternate}`,
        `SET ROLE ${pair.current}`,
        `CREATE DEFINER = ${pair.current} PROCEDURE app.take_over() SELECT 1`,
      ])
        await expect(connection.query(statement)).rejects.toMatchObject({ errno: expect.any(Number) });
    } finally {
      await connection.end();
    }
    expect(await bench.accepted(pair.current, 'one', 'evil')).toEqual(['one']);
  });

  describe('M5: a user with a default role', () => {
    test('has a clone with that role, by default too', async () => {
      const role = await newRole();
      const pair = await prepared(
        `GRANT SELECT ON app.ledger TO ${role}`,
        `GRANT ${role} TO ?`,
        `SET DEFAULT ROLE ${role} FOR ?`,
      );

      await expectEqual(pair);
      const connection = await bench.server.connect({ username: pair.alternate, password: 'two' });
      await connection.query('SELECT * FROM app.ledger').finally(() => connection.end());
    });

    test('is no way to a clone without it: an administrator who may not set it is told so at each attempt', async () => {
      const role = await newRole();
      const admin = newName();
      await bench.run(
        `CREATE USER ${admin} IDENTIFIED BY 'admin'`,
        `GRANT CREATE USER, PROCESS ON *.* TO ${admin}`,
        `GRANT SELECT ON mysql.* TO ${admin}`,
        `GRANT ${role} TO ${admin} WITH ADMIN OPTION`,
      );
      const pair = { ...(await bench.newPair()), admin: bench.as(admin, 'admin') };
      await bench.run(`GRANT ${role} TO ${pair.current}`, `SET DEFAULT ROLE ${role} FOR ${pair.current}`);
      const remedy = `GRANT UPDATE ON \`mysql\`.* TO ${account(admin)};`;
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
      const role = await newRole();
      const pair = await prepared(`GRANT ${role} TO ?`, `SET DEFAULT ROLE ${role} FOR ?`);
      await bench.run(`REVOKE ${role} FROM ${pair.current}`);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect((await bench.grants(pair.alternate)).filter((row) => row.includes(role))).toEqual([]);
    });
  });

  describe('M6: an administrator without the grant option on one of two databases', () => {
    const withoutOrders = async (): Promise<AdministeredPair> => {
      const admin = newName();
      await bench.run(
        `CREATE USER ${admin} IDENTIFIED BY 'admin'`,
        `GRANT CREATE USER, PROCESS ON *.* TO ${admin}`,
        `GRANT SELECT ON mysql.* TO ${admin}`,
        `GRANT SELECT ON app.* TO ${admin} WITH GRANT OPTION`,
        `GRANT SELECT ON orders.* TO ${admin}`,
      );
      const pair = { ...(await bench.newPair()), admin: bench.as(admin, 'admin') };
      await bench.run(
        `GRANT SELECT ON app.* TO ${pair.current}`,
        `GRANT SELECT, INSERT ON orders.* TO ${pair.current}`,
      );
      return pair;
    };
    const remedy = ({ admin }: AdministeredPair) =>
      `GRANT INSERT, SELECT ON \`orders\`.* TO ${account(admin.username)} WITH GRANT OPTION;`;

    test('is told the statement to run, again and again, and no login works meanwhile', async () => {
      const pair = await withoutOrders();

      for (let attempt = 1; attempt <= 2; attempt += 1)
        await expect(bench.prepare(pair)).rejects.toMatchObject({
          code: 'PRIVILEGE_MISSING',
          action: expect.stringContaining(remedy(pair)),
        });

      expect((await bench.login(pair.alternate, 'two')).kind).toBe('refused');
      expect(await bench.login(pair.current, 'one')).toEqual(ACCEPTED);
      expect(await bench.differences(pair)).toEqual([`${pair.alternate} lacks INSERT, SELECT ON \`orders\`.*`]);
    });

    test('is told the same beforehand, with nothing changed', async () => {
      const pair = await withoutOrders();

      expect(await bench.engine.alternatingUsers.missingForAlternate(pair, soon())).toEqual([remedy(pair)]);

      expect(await bench.differences(pair)).toEqual([`${pair.alternate} does not exist`]);
    });

    test('goes on where it stopped once the statement was run', async () => {
      const pair = await withoutOrders();
      await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
      await bench.run(remedy(pair));

      await bench.prepare(pair);

      await expectEqual(pair);
    });
  });

  test('M6: an administrator who may make no user, or not give its default role, is told that and no more', async () => {
    const [admin, role] = [newName(), newName()];
    const name = account(admin);
    await bench.run(
      `CREATE USER ${admin} IDENTIFIED BY 'admin'`,
      `GRANT PROCESS ON *.* TO ${admin}`,
      `GRANT SELECT, UPDATE ON mysql.* TO ${admin}`,
      `GRANT SELECT ON app.* TO ${admin} WITH GRANT OPTION`,
      `CREATE ROLE ${role}`,
      `GRANT ${role} TO ${admin} WITH ADMIN OPTION`,
    );
    const pair = { ...(await bench.newPair()), admin: bench.as(admin, 'admin') };
    await bench.run(
      `GRANT SELECT ON app.* TO ${pair.current}`,
      `GRANT ${role} TO ${pair.current}`,
      `SET DEFAULT ROLE ${role} FOR ${account(pair.current)}`,
      `ALTER USER ${pair.current} WITH MAX_USER_CONNECTIONS 3`,
    );
    const refused = (statement: string) =>
      expect(bench.prepare(pair)).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: ${statement}`,
      });

    await refused(`GRANT CREATE USER ON *.* TO ${name};`);
    await bench.run(`GRANT CREATE USER ON *.* TO ${admin}`, `REVOKE ${role} FROM ${admin}`);
    await refused(`GRANT \`${role}\` TO ${name} WITH ADMIN OPTION;`);
  });

  test('M7: WITH GRANT OPTION that comes later, to act as another, is the clone’s too', async () => {
    const pair = await prepared('GRANT PROXY ON other TO ?');
    await bench.run(
      `REVOKE PROXY ON other FROM ${pair.current}`,
      `GRANT PROXY ON other TO ${pair.current} WITH GRANT OPTION`,
    );

    await bench.prepare(pair);

    await bench.run('FLUSH PRIVILEGES'); // what the server remembers is what its tables say
    await expectEqual(pair);
  });

  test('M7: WITH GRANT OPTION and WITH ADMIN OPTION are the clone’s too', async () => {
    const role = await newRole();
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

  test.each<[string, string, string]>([
    ['for all databases', 'GRANT SELECT, PROCESS ON *.* TO ?', 'REVOKE PROCESS ON *.* FROM ?'],
    ['for a database', 'GRANT SELECT, INSERT ON app.* TO ?', 'REVOKE INSERT ON app.* FROM ?'],
    ['for a whole database', 'GRANT SELECT ON orders.* TO ?', 'REVOKE SELECT ON orders.* FROM ?'],
    ['for a pattern of databases', 'GRANT SELECT ON `ord%`.* TO ?', 'REVOKE SELECT ON `ord%`.* FROM ?'],
    ['for a table', 'GRANT SELECT, INSERT ON app.ledger TO ?', 'REVOKE INSERT ON app.ledger FROM ?'],
    ['for a column', 'GRANT SELECT (id, note) ON app.ledger TO ?', 'REVOKE SELECT (note) ON app.ledger FROM ?'],
    ['for a sequence', 'GRANT SELECT, INSERT ON app.numbers TO ?', 'REVOKE INSERT ON app.numbers FROM ?'],
    ['for a procedure', 'GRANT EXECUTE ON PROCEDURE app.settle TO ?', 'REVOKE EXECUTE ON PROCEDURE app.settle FROM ?'],
    ['for a function', 'GRANT EXECUTE ON FUNCTION app.tax TO ?', 'REVOKE EXECUTE ON FUNCTION app.tax FROM ?'],
    ['to grant', 'GRANT SELECT ON app.* TO ? WITH GRANT OPTION', 'REVOKE GRANT OPTION ON app.* FROM ?'],
    ['of a role', 'GRANT auditor TO ?', 'REVOKE auditor FROM ?'],
    ['to grant a role', 'GRANT auditor TO ? WITH ADMIN OPTION', 'REVOKE ADMIN OPTION FOR auditor FROM ?'],
    ['of a role by default', 'GRANT auditor TO ?; SET DEFAULT ROLE auditor FOR ?', 'SET DEFAULT ROLE NONE FOR ?'],
    ['to act as another', 'GRANT PROXY ON other TO ?', 'REVOKE PROXY ON other FROM ?'],
    ['to come without TLS', 'GRANT USAGE ON *.* TO ?', 'ALTER USER ? REQUIRE SSL'],
    ['to as many sessions', 'GRANT USAGE ON *.* TO ?', 'ALTER USER ? WITH MAX_USER_CONNECTIONS 5'],
  ])('M8: a right %s that was revoked stays revoked when the users take turns', async (_, grant, revoke) => {
    const pair = await prepared(...grant.split('; '));
    const back = { ...pair, current: pair.alternate, alternate: pair.current };
    await expectEqual(pair);
    const before = await described(pair.current);
    await bench.run(revoke.replaceAll('?', account(pair.current)));
    const revoked = await described(pair.current);
    expect(revoked).not.toEqual(before);

    await bench.prepare(pair);
    await bench.prepare(back, 'one');

    expect(await described(pair.alternate)).toEqual(revoked);
    expect(await described(pair.current)).toEqual(revoked);
  });

  describe('M9: a user with accounts for several hosts', () => {
    const hosts = ['127.0.0.1', '10.%', 'db.example', '192.0.2.0/255.255.255.0', 'localhost'];
    const hostsOf = (user: string) => bench.texts(`SELECT Host FROM mysql.user WHERE User = '${user}' ORDER BY Host`);

    test('has a clone with an account for each, of the rights that each has', async () => {
      const pair = await bench.newPair(...hosts);
      await bench.run(
        `GRANT SELECT ON app.* TO ${account(pair.current, '10.%')}`,
        `GRANT INSERT ON app.* TO ${account(pair.current, 'localhost')}`,
      );

      await bench.prepare(pair);

      expect(await hostsOf(pair.alternate)).toEqual([...hosts].sort());
      for (const host of hosts) expect(await sorted(pair.alternate, host)).toEqual(await sorted(pair.current, host));
      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });

    test('may lose one: the clone’s goes with the next rotation', async () => {
      const pair = await bench.newPair('127.0.0.1', 'localhost', '10.%');
      await bench.prepare(pair);
      await bench.run(`DROP USER ${account(pair.current, '10.%')}`);
      expect(await bench.differences(pair)).toEqual([
        `${pair.alternate}@10.% exists, and the current user has no account for that host`,
      ]);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await hostsOf(pair.alternate)).toEqual(['127.0.0.1', 'localhost']);
    });

    test('may not lose one of which the clone’s is the DEFINER of something: that is named, and all stays', async () => {
      const pair = await bench.newPair('localhost', '10.%');
      await bench.prepare(pair);
      const view = `app.of_${pair.alternate}`;
      await bench.run(
        `CREATE DEFINER = ${account(pair.alternate, '10.%')} VIEW ${view} AS SELECT 1`,
        `DROP USER ${account(pair.current, '10.%')}`,
      );

      await expect(bench.prepare(pair, 'three')).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`the DEFINER of view ${view}`),
      });

      expect(await hostsOf(pair.alternate)).toEqual(['10.%', 'localhost']);
      expect(await bench.accepted(pair.alternate, 'two', 'three')).toEqual(['two']);
      expect(await bench.login(pair.current, 'one')).toEqual(ACCEPTED);
    });

    test('has one password for all of them, set by an administrator', async () => {
      const { current } = await bench.newPair('localhost', '10.%');

      await bench.setByAdmin(current, 'two');
      await bench.run(`RENAME USER ${account(current, 'localhost')} TO ${account(current, '127.0.0.9')}`);
      await bench.run(`RENAME USER ${account(current, '10.%')} TO ${account(current, 'localhost')}`);

      expect(await bench.accepted(current, 'one', 'two')).toEqual(['two']);
    });
  });

  describe('the clone has what the current user has', () => {
    test.each<[string, string[]]>([
      ['for all databases', ['GRANT SELECT, PROCESS, SHOW DATABASES, CREATE USER ON *.* TO ?']],
      ['for a database', ['GRANT SELECT, INSERT, CREATE TEMPORARY TABLES, LOCK TABLES, EVENT ON app.* TO ?']],
      ['for a pattern of databases', ['GRANT SELECT ON `app\\_%`.* TO ?', 'GRANT INSERT ON `ord%`.* TO ?']],
      ['for a table', ['GRANT SELECT, SHOW VIEW, TRIGGER, REFERENCES ON app.ledger TO ?']],
      ['for columns', ['GRANT SELECT (id, note), UPDATE (note) ON app.ledger TO ?']],
      ['for a sequence', ['GRANT SELECT, INSERT, ALTER ON app.numbers TO ?']],
      ['for routines', ['GRANT EXECUTE ON PROCEDURE app.settle TO ?', 'GRANT ALTER ROUTINE ON FUNCTION app.tax TO ?']],
      ['to grant, and nothing else', ['GRANT USAGE ON app.* TO ? WITH GRANT OPTION']],
      ['to act as another', ['GRANT PROXY ON other TO ?']],
    ])('%s', async (_, statements) => {
      await expectEqual(await prepared(...statements));
    });

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
      const role = await newRole();
      const pair = await prepared();
      await bench.run(
        ...[
          'GRANT SELECT, CREATE USER ON *.* TO ?',
          'GRANT INSERT ON app.* TO ? WITH GRANT OPTION',
          'GRANT SELECT (id), UPDATE ON app.ledger TO ?',
          'GRANT EXECUTE ON PROCEDURE app.settle TO ?',
          'GRANT PROXY ON other TO ?',
          `GRANT ${role} TO ? WITH ADMIN OPTION`,
          `SET DEFAULT ROLE ${role} FOR ?`,
        ].map((statement) => statement.replaceAll('?', account(pair.alternate))),
      );
      expect(await bench.differences(pair)).toHaveLength(8);

      await bench.prepare(pair);

      expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*']);
      await expectEqual(pair);
    });

    test('in objects whatever they are called', async () => {
      const names = [
        "it's",
        'a`b',
        'x` TO `root`@`%',
        'GRANT ALL ON *.* TO me',
        'ünïcode',
        'a"b',
        'back\\slash',
        '% _',
      ];
      const statements = names.flatMap((name) => {
        const quoted = `\`${name.replaceAll('`', '``')}\``;
        return [`CREATE TABLE app.${quoted} (${quoted} INT)`, `GRANT SELECT (${quoted}), INSERT ON app.${quoted} TO ?`];
      });

      await expectEqual(await prepared(...statements));
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
      expect(await settings(pair.alternate)).toBe(await settings(pair.current));

      await bench.run(
        `ALTER USER ${pair.current} REQUIRE NONE
           WITH MAX_QUERIES_PER_HOUR 0 MAX_USER_CONNECTIONS 0 MAX_STATEMENT_TIME 0 PASSWORD EXPIRE DEFAULT`,
      );
      expect(await bench.differences(pair)).toEqual([
        expect.stringMatching(new RegExp(`^${pair.alternate} differs in .*${what.split(' ')[0]}`)),
      ]);

      await bench.prepare(pair, 'three');

      expect(await settings(pair.alternate)).toBe(await settings(pair.current));
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

      expect(await settings(pair.alternate)).toBe(await settings(pair.current));
      await expectEqual(pair);
      await bench.run(`ALTER USER ${pair.current} IDENTIFIED VIA mysql_native_password USING PASSWORD('one')`);
      if (!methods.startsWith('mysql_native_password USING PASSWORD("'))
        expect(await bench.differences(pair)).toEqual([`${pair.alternate} does not log in by mysql_native_password`]);

      await bench.prepare(pair, 'three');

      expect(await settings(pair.alternate)).toBe(await settings(pair.current));
      expect(await bench.accepted(pair.alternate, 'one', 'two', 'three')).toEqual(['three']);
    });
  });

  describe('what the clone was before does not matter', () => {
    test('a clone that AWS’s function made is taken over', async () => {
      const pair = await bench.newPair();
      await bench.run(
        `GRANT SELECT ON app.* TO ${pair.current} WITH GRANT OPTION`,
        `CREATE USER ${pair.alternate} IDENTIFIED BY 'by-aws'`,
        `GRANT SELECT ON app.* TO ${pair.alternate}`,
      );

      await bench.prepare(pair);

      await expectEqual(pair);
    });

    test('one that expired is fresh again', async () => {
      const pair = await prepared();
      await bench.run(`ALTER USER ${pair.alternate} PASSWORD EXPIRE`);
      expect(await bench.differences(pair)).toEqual([`the password of ${pair.alternate} has expired`]);

      await bench.prepare(pair);

      expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });

    test('every beginning of a first preparation is harmless, and the next attempt completes it', async () => {
      const pair = await bench.newPair();
      await bench.run(`GRANT SELECT ON app.* TO ${pair.current}`);
      // What a crash leaves after the first statement: the account, locked, with its password and without rights.
      await bench.run(`CREATE USER ${pair.alternate} IDENTIFIED BY 'two' ACCOUNT LOCK`);
      expect((await bench.login(pair.alternate, 'two')).kind).toBe('refused');

      await bench.prepare(pair);

      await expectEqual(pair);
      expect(await bench.login(pair.alternate, 'one')).toEqual(WRONG);
    });
  });

  test('views whose DEFINER is the current user work for the clone as for it', async () => {
    const pair = await bench.newPair();
    await bench.run(
      `GRANT SELECT ON app.ledger TO ${pair.current}`,
      `CREATE DEFINER = ${pair.current} VIEW app.of_${pair.current} AS SELECT id FROM app.ledger`,
      `GRANT SELECT ON app.of_${pair.current} TO ${pair.current}`,
    );

    await bench.prepare(pair);
    await bench.engine.alternatingUsers.disableAlternate(
      { ...pair, current: pair.alternate, alternate: pair.current },
      async () => true,
      soon(),
    );

    const connection = await bench.server.connect({ username: pair.alternate, password: 'two' });
    await connection.query(`SELECT * FROM app.of_${pair.current}`).finally(() => connection.end());
  });

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

  test('M10: grants and rotations of many users at once all come to an end', async () => {
    const six = () => Promise.all(Array.from({ length: 6 }, () => bench.newPair()));
    const [pairs, others] = [await six(), await six()];
    for (const { current } of pairs) await bench.run(`GRANT SELECT ON app.ledger TO ${current}`);
    const meanwhile = Promise.all(
      others.map(async ({ current }) => {
        for (let round = 0; round < 10; round += 1)
          await bench.run(`GRANT INSERT ON orders.* TO ${current}`, `REVOKE INSERT ON orders.* FROM ${current}`);
      }),
    );

    await Promise.all(pairs.map((pair) => bench.prepare(pair)));
    await meanwhile;

    for (const pair of pairs) await expectEqual(pair);
  });

  test('an administrator who may not read the tables of users is told what it lacks', async () => {
    const admin = newName();
    await bench.run(`CREATE USER ${admin} IDENTIFIED BY 'admin'`, `GRANT CREATE USER ON *.* TO ${admin}`);
    const pair = { ...(await bench.newPair()), admin: bench.as(admin, 'admin') };

    for (const work of [
      () => bench.prepare(pair),
      () => bench.differences(pair),
      () => bench.engine.alternatingUsers.missingForAlternate(pair, soon()),
    ])
      await expect(work()).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: GRANT SELECT ON mysql.* TO \`${admin}\`;`,
      });
  });

  test('an administrator who sees no session but its own may not disable anybody', async () => {
    const admin = newName();
    await bench.run(
      `CREATE USER ${admin} IDENTIFIED BY 'admin'`,
      `GRANT CREATE USER ON *.* TO ${admin}`,
      `GRANT SELECT ON mysql.* TO ${admin}`,
    );
    const pair = { ...(await prepared()), admin: bench.as(admin, 'admin') };

    await expect(bench.engine.alternatingUsers.disableAlternate(pair, async () => true, soon())).rejects.toMatchObject({
      code: 'PRIVILEGE_MISSING',
      action: `As a superuser run: GRANT PROCESS ON *.* TO ${account(admin)};`,
    });
    expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
  });

  test('a password that the administrator sets for a user with a role changes nothing else of it', async () => {
    const role = await newRole();
    const user = await bench.newUser('REQUIRE SSL');
    await bench.run(`GRANT ${role} TO ${user}`, `SET DEFAULT ROLE ${role} FOR ${user}`);
    const before = await described(user);

    await bench.engine.setPassword({ acting: bench.admin, username: user, password: secret('two') }, soon());

    expect(await described(user)).toEqual(before);
    expect(await bench.accepted(user, 'one', 'two')).toEqual(['two']);
  });
});
