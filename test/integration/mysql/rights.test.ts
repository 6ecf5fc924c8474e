import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { ACCEPTED, account, type Bench, newName, secret, soon, startBench, WRONG } from './bench.ts';

/* M1 to M12 are what AWS's functions were measured to do wrong; M1, M2, M4 and M11 are PostgreSQL's alone. */

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('rights on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(
      'CREATE DATABASE orders',
      'CREATE TABLE app.ledger (id INT, amount INT, note TEXT)',
      'CREATE PROCEDURE app.settle() SELECT 1',
      'CREATE FUNCTION app.tax() RETURNS INT DETERMINISTIC RETURN 19',
      'CREATE ROLE auditor',
      "INSTALL PLUGIN auth_socket SONAME 'auth_socket.so'",
      `GRANT PROXY ON auditor TO ${account(bench.admin.username)} WITH GRANT OPTION`,
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
  async function expectEqual(pair: AdministeredPair): Promise<void> {
    expect(await bench.grants(pair.alternate)).toEqual(await bench.grants(pair.current));
    expect(await bench.differences(pair)).toEqual([]);
    expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
  }

  /** SHOW CREATE USER after the password. */
  const settings = async (user: string) => {
    const [text = ''] = await bench.texts(`SHOW CREATE USER ${account(user)}`);
    return text
      .replace(/^.*?( DEFAULT ROLE| REQUIRE)/s, '$1')
      .replace(/ MAX_[A-Z_]+ 0/g, '')
      .replace(' WITH ', ' ');
  };
  /** All that one account may do, and how. */
  const described = async (user: string) => [await bench.grants(user), await settings(user)];

  test('M3: whoever holds the login of one of the two cannot become the other', async () => {
    const pair = await prepared('GRANT SELECT ON app.* TO ? WITH GRANT OPTION');
    const connection = await bench.server.connect({ username: pair.alternate, password: 'two' });
    try {
      for (const statement of [
        `ALTER USER ${pair.current} IDENTIFIED BY 'evil'`,
        `SET PASSWORD FOR ${pair.current} = 'evil'`,
        `RENAME USER ${pair.current} TO gone`,
        `GRANT PROXY ON ${pair.current} TO ${pair.alternate}`,
        `GRANT ${pair.current} TO ${pair.alternate}`,
        `SET ROLE ${pair.current}`,
        `CREATE DEFINER = ${pair.current} PROCEDURE app.take_over() SELECT 1`,
      ])
        await expect(connection.query(statement)).rejects.toMatchObject({ errno: expect.any(Number) });
    } finally {
      await connection.end();
    }
    expect(await bench.accepted(pair.current, 'one', 'evil')).toEqual(['one']);
  });

  test('M5: a user with a default role has a clone with that role, by default too', async () => {
    const role = newName();
    const pair = await prepared(
      `CREATE ROLE ${role}`,
      `GRANT SELECT ON app.ledger TO ${role}`,
      `GRANT ${role} TO ?`,
      `SET DEFAULT ROLE ${role} TO ?`,
    );

    await expectEqual(pair);
    const connection = await bench.server.connect({ username: pair.alternate, password: 'two' });
    await connection.query('SELECT * FROM app.ledger').finally(() => connection.end());
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
      `GRANT SELECT, INSERT ON \`orders\`.* TO ${account(admin.username)} WITH GRANT OPTION;`;

    test('is told the statement to run, again and again, and no login works meanwhile', async () => {
      const pair = await withoutOrders();

      for (let attempt = 1; attempt <= 2; attempt += 1)
        await expect(bench.prepare(pair)).rejects.toMatchObject({
          code: 'PRIVILEGE_MISSING',
          action: expect.stringContaining(remedy(pair)),
        });

      expect((await bench.login(pair.alternate, 'two')).kind).toBe('refused');
      expect(await bench.login(pair.current, 'one')).toEqual(ACCEPTED);
      expect(await bench.differences(pair)).toContain(
        `${account(pair.alternate)} lacks SELECT, INSERT on \`orders\`.*`,
      );
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
      `SET DEFAULT ROLE ${role} TO ${account(pair.current)}`,
      `ALTER USER ${pair.current} WITH MAX_USER_CONNECTIONS 3`,
    );
    const refused = (statement: string) =>
      expect(bench.prepare(pair)).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: ${statement}`,
      });

    await refused(`GRANT CREATE USER ON *.* TO ${name};`);
    await bench.run(`GRANT CREATE USER ON *.* TO ${admin}`, `REVOKE ${role} FROM ${admin}`);
    await refused(`GRANT ${account(role)} TO ${name} WITH ADMIN OPTION;`);
  });

  test('M7: WITH GRANT OPTION that comes later, to act as another, is the clone’s too', async () => {
    const pair = await prepared('GRANT PROXY ON auditor TO ?');
    await bench.run(
      `REVOKE PROXY ON auditor FROM ${pair.current}`,
      `GRANT PROXY ON auditor TO ${pair.current} WITH GRANT OPTION`,
    );

    await bench.prepare(pair);

    await bench.run('FLUSH PRIVILEGES'); // what the server remembers is what its tables say
    await expectEqual(pair);
  });

  test('M7: WITH GRANT OPTION and WITH ADMIN OPTION are the clone’s too', async () => {
    const role = newName();
    const pair = await prepared(
      `CREATE ROLE ${role}`,
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

  test.each<[string, string, string]>([
    ['for all databases', 'GRANT SELECT, PROCESS ON *.* TO ?', 'REVOKE PROCESS ON *.* FROM ?'],
    ['that a component registered', 'GRANT XA_RECOVER_ADMIN ON *.* TO ?', 'REVOKE XA_RECOVER_ADMIN ON *.* FROM ?'],
    ['for a pattern of databases', 'GRANT SELECT ON `ord%`.* TO ?', 'REVOKE SELECT ON `ord%`.* FROM ?'],
    ['for a table', 'GRANT SELECT, INSERT ON app.ledger TO ?', 'REVOKE INSERT ON app.ledger FROM ?'],
    ['for a column', 'GRANT SELECT (id, note) ON app.ledger TO ?', 'REVOKE SELECT (note) ON app.ledger FROM ?'],
    ['for a procedure', 'GRANT EXECUTE ON PROCEDURE app.settle TO ?', 'REVOKE EXECUTE ON PROCEDURE app.settle FROM ?'],
    ['for a function', 'GRANT EXECUTE ON FUNCTION app.tax TO ?', 'REVOKE EXECUTE ON FUNCTION app.tax FROM ?'],
    ['to grant', 'GRANT SELECT ON app.* TO ? WITH GRANT OPTION', 'REVOKE GRANT OPTION ON app.* FROM ?'],
    ['of a role', 'GRANT auditor TO ?', 'REVOKE auditor FROM ?'],
    ['to act as another', 'GRANT PROXY ON auditor TO ?', 'REVOKE PROXY ON auditor FROM ?'],
    ['of a role by default', 'GRANT auditor TO ?; ALTER USER ? DEFAULT ROLE ALL', 'ALTER USER ? DEFAULT ROLE NONE'],
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
    const hosts = ['127.0.0.1', '10.%', 'db.example', '192.0.2.0/255.255.255.0'];

    test('has a clone with an account for each, of the rights that each has', async () => {
      const pair = await bench.newPair(...hosts, 'localhost');
      await bench.run(
        `GRANT SELECT ON app.* TO ${account(pair.current, '10.%')}`,
        `GRANT INSERT ON app.* TO ${account(pair.current, 'localhost')}`,
      );

      await bench.prepare(pair);

      expect(await bench.texts(`SELECT Host FROM mysql.user WHERE User = '${pair.alternate}' ORDER BY Host`)).toEqual(
        [...hosts, 'localhost'].sort(),
      );
      for (const host of [...hosts, 'localhost'])
        expect(await bench.grants(pair.alternate, host)).toEqual(await bench.grants(pair.current, host));
      expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });

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

    test('may not lose one of which the clone’s is the DEFINER of something: that is named, and all stays', async () => {
      const pair = await bench.newPair('%', '10.%');
      await bench.prepare(pair);
      const view = `app.of_${pair.alternate}`;
      await bench.run(
        `CREATE DEFINER = ${account(pair.alternate, '10.%')} VIEW ${view} AS SELECT 1 AS one`,
        `DROP USER ${account(pair.current, '10.%')}`,
      );

      await expect(bench.prepare(pair, 'three')).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`the DEFINER of view ${view}`),
      });

      expect(await bench.texts(`SELECT Host FROM mysql.user WHERE User = '${pair.alternate}' ORDER BY Host`)).toEqual([
        '%',
        '10.%',
      ]);
      expect(await bench.accepted(pair.alternate, 'two', 'three')).toEqual(['two']);
    });

    test('of which one is locked has a clone that is locked for the same host', async () => {
      const pair = await bench.newPair('%', 'localhost');
      await bench.run(`ALTER USER ${account(pair.current, 'localhost')} ACCOUNT LOCK`);

      await bench.prepare(pair);

      expect(await bench.differences(pair)).toEqual([]);
      expect(await bench.login(pair.current, 'one')).toEqual({ kind: 'refused', reason: 'locked' });
      expect(await bench.login(pair.alternate, 'two')).toEqual({ kind: 'refused', reason: 'locked' });
    });

    test('has one password for all of them, set by an administrator', async () => {
      const { current } = await bench.newPair('localhost', '10.%');

      await bench.engine.setPassword({ acting: bench.admin, username: current, password: secret('two') }, soon());
      await bench.run(`RENAME USER ${account(current, 'localhost')} TO ${account(current, '127.0.0.9')}`);
      await bench.run(`RENAME USER ${account(current, '10.%')} TO ${account(current, 'localhost')}`);

      expect(await bench.accepted(current, 'one', 'two')).toEqual(['two']);
    });
  });

  describe('the clone has what the current user has', () => {
    test.each<[string, string[]]>([
      ['for all databases', ['GRANT SELECT, PROCESS, SHOW DATABASES, CREATE USER ON *.* TO ?']],
      ['of what a component registered', ['GRANT XA_RECOVER_ADMIN, ROLE_ADMIN ON *.* TO ?']],
      ['for a database', ['GRANT SELECT, INSERT, CREATE TEMPORARY TABLES, LOCK TABLES, EVENT ON app.* TO ?']],
      ['for a pattern of databases', ['GRANT SELECT ON `app\\_%`.* TO ?', 'GRANT INSERT ON `ord%`.* TO ?']],
      ['for a table', ['GRANT SELECT, SHOW VIEW, TRIGGER, REFERENCES ON app.ledger TO ?']],
      ['for columns', ['GRANT SELECT (id, note), UPDATE (note) ON app.ledger TO ?']],
      ['for routines', ['GRANT EXECUTE ON PROCEDURE app.settle TO ?', 'GRANT ALTER ROUTINE ON FUNCTION app.tax TO ?']],
      ['to grant, and nothing else', ['GRANT USAGE ON app.* TO ? WITH GRANT OPTION']],
    ])('%s', async (_, statements) => {
      const pair = await prepared(...statements);

      await expectEqual(pair);
    });

    test('and no more, of each kind', async () => {
      const role = newName();
      const pair = await prepared(`CREATE ROLE ${role}`);
      await bench.run(
        ...[
          'GRANT SELECT, CREATE USER ON *.* TO ?',
          'GRANT XA_RECOVER_ADMIN ON *.* TO ? WITH GRANT OPTION',
          'GRANT INSERT ON app.* TO ? WITH GRANT OPTION',
          'GRANT SELECT (id), UPDATE ON app.ledger TO ?',
          'GRANT EXECUTE ON PROCEDURE app.settle TO ?',
          `GRANT ${role} TO ? WITH ADMIN OPTION`,
          `ALTER USER ? DEFAULT ROLE ${role}`,
        ].map((statement) => statement.replaceAll('?', account(pair.alternate))),
      );
      expect(await bench.differences(pair)).toHaveLength(7);

      await bench.prepare(pair);

      expect(await bench.grants(pair.alternate)).toEqual(['GRANT USAGE ON *.*']);
      await expectEqual(pair);
    });

    test('to act as another', async () => {
      const other = newName();
      const pair = await bench.newPair();
      await bench.run(
        `CREATE USER ${other}`,
        `GRANT PROXY ON ${other} TO ${pair.current}`,
        `GRANT PROXY ON ${other} TO ${account(bench.admin.username)} WITH GRANT OPTION`,
      );

      await bench.prepare(pair);

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
      const admin = newName();
      await bench.run(
        `CREATE USER ${admin} IDENTIFIED BY 'admin'`,
        `GRANT CREATE USER, PROCESS ON *.* TO ${admin}`,
        ...rights.map((statement) => statement.replaceAll('?', admin)),
      );
      const pair = { ...(await bench.newPair()), admin: bench.as(admin, 'admin') };
      await bench.run(
        `CREATE TABLE app.gone_${admin} (id INT)`,
        `GRANT SELECT, UPDATE (id) ON app.gone_${admin} TO ${pair.current}`,
        `GRANT SELECT ON app.ledger TO ${pair.current}`,
        `DROP TABLE app.gone_${admin}`,
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
      expect(await settings(pair.alternate)).toBe(await settings(pair.current));

      await bench.run(
        `ALTER USER ${pair.current} REQUIRE NONE WITH MAX_QUERIES_PER_HOUR 0 MAX_USER_CONNECTIONS 0
           PASSWORD EXPIRE DEFAULT PASSWORD REUSE INTERVAL DEFAULT PASSWORD HISTORY DEFAULT
           PASSWORD REQUIRE CURRENT DEFAULT FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0`,
      );
      expect(await bench.differences(pair)).toEqual([`${account(pair.alternate)} has other ${what}`]);

      await bench.prepare(pair, 'three');

      expect(await settings(pair.alternate)).toBe(await settings(pair.current));
      expect(await bench.differences(pair)).toEqual([]);
    });

    test('the attribute is the same, with nothing left of the one before', async () => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} ATTRIBUTE '{"team": "a''b", "nested": {"x": 1, "y": [2]}}'`);
      await bench.prepare(pair);
      await bench.run(`ALTER USER ${pair.current} ATTRIBUTE '{"nested": null}'`);
      await bench.run(`ALTER USER ${pair.current} ATTRIBUTE '{"nested": {"y": 3}, "more": 1}'`);

      await bench.prepare(pair);

      expect(await settings(pair.alternate)).toBe(await settings(pair.current));
    });

    test('the clone authenticates as the current user does', async () => {
      const pair = await bench.newPair();
      await bench.run(`ALTER USER ${pair.current} IDENTIFIED WITH sha256_password BY 'one'`);
      await bench.prepare(pair);

      expect(await settings(pair.alternate)).toBe(await settings(pair.current));
      expect(await bench.differences(pair)).toEqual([]);
      await bench.run(`ALTER USER ${pair.alternate} IDENTIFIED WITH caching_sha2_password BY 'two'`);
      expect(await bench.differences(pair)).toEqual([
        `${account(pair.alternate)} does not authenticate with sha256_password`,
      ]);
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

    test('one that expired is fresh again', async () => {
      const pair = await prepared();
      await bench.run(`ALTER USER ${pair.alternate} PASSWORD EXPIRE`);
      expect(await bench.differences(pair)).toEqual([`the password of ${account(pair.alternate)} has expired`]);

      await bench.prepare(pair);

      expect(await bench.login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });
  });

  test('views and routines whose DEFINER is the current user work for the clone as for it', async () => {
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

    test('grants and rotations of many users at once all come to an end', async () => {
      const six = () => Promise.all(Array.from({ length: 6 }, () => bench.newPair()));
      const [pairs, others] = [await six(), await six()];
      for (const { current } of pairs ?? []) await bench.run(`GRANT SELECT ON app.ledger TO ${current}`);
      const meanwhile = Promise.all(
        others.map(async ({ current }) => {
          for (let round = 0; round < 10; round += 1)
            await bench.run(`GRANT INSERT ON orders.* TO ${current}`, `REVOKE INSERT ON orders.* FROM ${current}`);
        }),
      );

      await Promise.all(pairs.map((pair) => bench.prepare(pair)));
      await meanwhile;

      for (const pair of pairs ?? []) await expectEqual(pair);
    });
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
        action: `As a superuser run: GRANT SELECT ON mysql.* TO ${account(admin)};`,
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

  test('a user that only a SYSTEM_USER may change is told so', async () => {
    const pair = await bench.newPair();
    await bench.run(`GRANT SYSTEM_USER ON *.* TO ${pair.current}`);
    const remedy = `GRANT SYSTEM_USER ON *.* TO ${account(bench.admin.username)} WITH GRANT OPTION;`;

    expect(await bench.engine.alternatingUsers.missingForAlternate(pair, soon())).toContain(remedy);
    await expect(bench.prepare(pair)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
    expect((await bench.login(pair.alternate, 'two')).kind).toBe('refused');
  });

  test('every beginning of a first preparation is harmless, and the next attempt completes it', async () => {
    const pair = await bench.newPair();
    await bench.run(`GRANT SELECT ON app.* TO ${pair.current}`);
    // What a crash leaves after the first statement: the account, locked, with its password and without rights.
    await bench.run(`CREATE USER ${pair.alternate} IDENTIFIED BY 'two' ACCOUNT LOCK`);
    expect(await bench.login(pair.alternate, 'two')).toEqual({ kind: 'refused', reason: 'locked' });

    await bench.prepare(pair);

    await expectEqual(pair);
    expect(await bench.login(pair.alternate, 'one')).toEqual(WRONG);
  });
});
