import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';

import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { ACCEPTED, account, type Bench, secret, soon, startBench } from './bench.ts';

/* M numbers: the measured failures of AWS's rotation functions, and what cures them. */

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('a user pair on MySQL %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(
      'CREATE DATABASE orders',
      'CREATE TABLE app.ledger (id INT)',
      'CREATE ROLE mighty',
      'GRANT CREATE USER ON *.* TO mighty',
      `GRANT SUPER, SYSTEM_VARIABLES_ADMIN ON *.* TO ${account(bench.admin.username)} WITH GRANT OPTION`,
    );
  });
  afterAll(() => bench?.server.stop());

  /** The peer, with the password `two`, of a current user that was given this. `?` stands for its account. */
  async function prepared(...statements: string[]): Promise<AdministeredPair> {
    const pair = await bench.newPair();
    await bench.run(...statements.map((statement) => statement.replaceAll('?', account(pair.current))));
    await bench.engine.userPair.createPeer(pair, secret('two'), soon());
    return pair;
  }
  const compare = (pair: AdministeredPair) =>
    bench.engine.userPair.peerDifferences(bench.as(pair.current, 'one'), bench.as(pair.alternate, 'two'), soon());

  /** In a session of that user. */
  async function as(username: string, password: string, ...statements: string[]): Promise<void> {
    const connection = await bench.server.connect({ username, password });
    try {
      for (const statement of statements) await connection.query(statement);
    } finally {
      await connection.end();
    }
  }
  const bothOf = ({ current, alternate }: AdministeredPair) =>
    [
      { self: current, password: 'one', other: alternate },
      { self: alternate, password: 'two', other: current },
    ] as const;

  test('M12: neither of two peers can take the other over', async () => {
    const pair = await prepared(
      'GRANT ALL ON app.* TO ? WITH GRANT OPTION',
      'GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO ?',
    );

    for (const { self, password, other } of bothOf(pair))
      for (const attack of [
        `ALTER USER ${other} IDENTIFIED BY 'evil'`,
        `ALTER USER ${other} IDENTIFIED BY 'evil' RETAIN CURRENT PASSWORD`,
        `ALTER USER ${other} ACCOUNT LOCK`,
        `ALTER USER ${other} DISCARD OLD PASSWORD`,
        `SET PASSWORD FOR ${other} = 'evil'`,
        `RENAME USER ${other} TO gone`,
        `DROP USER ${other}`,
        `GRANT PROXY ON ${other} TO ${self}`,
        `GRANT ${other} TO ${self}`,
        `SET ROLE ${other}`,
        `CREATE DEFINER = ${other} PROCEDURE app.take_over() SELECT 1`,
        `UPDATE mysql.user SET authentication_string = '' WHERE User = '${other}'`,
      ])
        await expect(as(self, password, attack)).rejects.toMatchObject({ errno: expect.any(Number) });

    expect(await bench.accepted(pair.current, 'one', 'evil', '')).toEqual(['one']);
    expect(await bench.accepted(pair.alternate, 'two', 'evil', '')).toEqual(['two']);
  });

  test('each changes its own password, and needs nobody for it', async () => {
    const pair = await prepared();

    await bench.setPassword(pair.alternate, 'two', 'three');
    await bench.setPassword(pair.current, 'one', 'four');

    expect(await bench.accepted(pair.alternate, 'two', 'three')).toEqual(['three']);
    expect(await bench.accepted(pair.current, 'one', 'four')).toEqual(['four']);
  });

  test('what either of them creates, both may use, alter and drop', async () => {
    const pair = await prepared('GRANT ALL ON orders.* TO ?');

    for (const [maker, other] of [bothOf(pair), bothOf(pair).toReversed()]) {
      if (!maker || !other) throw new Error('a pair has two users');
      await as(
        maker.self,
        maker.password,
        'CREATE TABLE orders.t (id INT)',
        'CREATE VIEW orders.v AS SELECT * FROM orders.t',
        'CREATE PROCEDURE orders.p() SELECT * FROM orders.v',
      );
      await as(
        other.self,
        other.password,
        'INSERT INTO orders.t VALUES (1)',
        'CALL orders.p()',
        'ALTER TABLE orders.t ADD a INT',
        'DROP PROCEDURE orders.p',
        'DROP VIEW orders.v',
        'DROP TABLE orders.t',
      );
    }
    expect(await compare(pair)).toEqual([]);
  });

  test('a routine is its maker’s alone where neither may use all of them: that is told', async () => {
    const pair = await prepared('GRANT CREATE ROUTINE, EXECUTE ON orders.* TO ?');
    await as(pair.current, 'one', 'CREATE PROCEDURE orders.mine() SELECT 1'); // automatic_sp_privileges

    expect(await compare(pair)).toEqual([
      `${pair.alternate} lacks: GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE \`orders\`.\`mine\``,
    ]);
    await bench.engine.userPair.createPeer(pair, secret('two'), soon());
    expect(await compare(pair)).toEqual([]);
  });

  test('making the peer again changes nothing but its password', async () => {
    const pair = await prepared('GRANT SELECT ON app.* TO ?');
    const before = await bench.grants(pair.alternate);

    await bench.engine.userPair.createPeer(pair, secret('three'), soon());

    expect(await bench.grants(pair.alternate)).toEqual(before);
    expect(await bench.accepted(pair.alternate, 'two', 'three')).toEqual(['three']);
    expect(await bench.login(pair.current, 'one')).toEqual(ACCEPTED);
  });

  test('peers are the same with limits and without', async () => {
    const pair = await prepared('ALTER USER ? WITH MAX_USER_CONNECTIONS 50');

    expect(await compare(pair)).toEqual([]);
  });

  test('peers are the same with a right on a table that was dropped', async () => {
    const pair = await prepared(
      'CREATE TABLE app.dropped (id INT)',
      'GRANT SELECT ON app.dropped TO ?',
      'DROP TABLE app.dropped',
    );

    expect(await compare(pair)).toEqual([]);
  });

  test('peers that differ are told what in, over their own logins', async () => {
    const pair = await prepared('GRANT SELECT ON app.* TO ?');
    await bench.run(`GRANT INSERT ON orders.* TO ${pair.current}`, `ALTER USER ${pair.alternate} REQUIRE SSL`);

    expect(await compare(pair)).toEqual([
      `${pair.alternate} lacks: GRANT INSERT ON \`orders\`.*`,
      `${pair.current} and ${pair.alternate} have other settings: default roles, REQUIRE, limits, or the rules of their passwords`,
    ]);
  });

  test('peers that may read what the server stores of passwords are the same still', async () => {
    const pair = await prepared('GRANT SELECT ON mysql.* TO ?');

    expect(await compare(pair)).toEqual([]);
  });

  test('peers from other hosts are not the same', async () => {
    const pair = await bench.newPair('%');
    await bench.run(`CREATE USER ${account(pair.alternate, 'localhost')} IDENTIFIED BY 'two'`);

    expect(await compare(pair)).toEqual([
      `${pair.current} and ${pair.alternate} may log in from other hosts: % and localhost`,
    ]);
  });

  test.each([
    'GRANT CREATE USER ON *.* TO ?',
    'GRANT ROLE_ADMIN ON *.* TO ?',
    'GRANT SET_ANY_DEFINER ON *.* TO ?',
    'GRANT SUPER ON *.* TO ?',
    'GRANT SELECT, UPDATE ON *.* TO ?',
    'GRANT UPDATE ON mysql.* TO ?',
    'GRANT INSERT ON mysql.user TO ?',
    'GRANT ALL ON mysql.user TO ?',
    'GRANT INSERT ON mysql.role_edges TO ?',
    'GRANT UPDATE ON mysql.default_roles TO ?',
    'GRANT INSERT ON mysql.global_grants TO ?',
    'GRANT UPDATE ON mysql.db TO ?',
    'GRANT INSERT ON mysql.tables_priv TO ?',
    'GRANT UPDATE (Column_priv) ON mysql.columns_priv TO ?',
    'GRANT INSERT ON mysql.procs_priv TO ?',
    'GRANT INSERT ON mysql.proxies_priv TO ?',
    'GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO ?',
    'GRANT UPDATE (Host, authentication_string) ON mysql.user TO ?',
    'GRANT UPDATE ON `%`.* TO ?',
    'GRANT INSERT ON `my_ql`.* TO ?',
    'GRANT mighty TO ?', // not by default: what it could activate counts
  ])('peers of whom one could take the other over are no pair: %s', async (statement) => {
    const pair = await prepared(statement);

    expect(await compare(pair)).toEqual([
      expect.stringContaining(`${pair.current} could take any other user over`),
      expect.stringContaining(`${pair.alternate} could take any other user over`),
    ]);
  });

  test.each<[string, ...string[]]>([
    ['ROLE_ADMIN ON *.*', 'GRANT + TO ?', 'SET ROLE +', `ALTER USER - IDENTIFIED BY 'evil'`],
    [
      'SET_ANY_DEFINER ON *.*',
      `CREATE DEFINER = + PROCEDURE orders.take_over() ALTER USER - IDENTIFIED BY 'evil'`,
      'CALL orders.take_over()',
    ],
    ['SYSTEM_VARIABLES_ADMIN ON *.*', `SET GLOBAL init_connect = "SET PASSWORD = 'evil'"`],
  ])('what %s is good for: whoever has it can take the other over indeed', async (right, ...attack) => {
    const pair = await prepared('GRANT CREATE ROUTINE, EXECUTE ON orders.* TO ?', `GRANT ${right} TO ?`);
    const statements = attack.map((statement) =>
      statement
        .replace('+', account(bench.admin.username))
        .replace('?', account(pair.current))
        .replace('-', account(pair.alternate)),
    );

    await as(pair.current, 'one', ...statements);

    await bench.login(pair.alternate, 'two');
    await bench.run("SET GLOBAL init_connect = ''");
    expect(await bench.accepted(pair.alternate, 'two', 'evil')).toEqual(['evil']);
  });

  test.each<[string, string]>([
    ['role_edges (FROM_HOST, FROM_USER, TO_HOST, TO_USER)', `'%', 'rekey_admin', '%', ?`],
    ['global_grants (HOST, USER, PRIV)', `'%', ?, 'ROLE_ADMIN'`],
    ['db (Host, Db, User, Insert_priv, Update_priv)', `'%', 'mysql', ?, 'Y', 'Y'`],
    ['tables_priv (Host, Db, User, Table_name, Grantor, Table_priv)', `'%', 'mysql', ?, 'user', '', 'Update'`],
    ['proxies_priv (Host, User, Proxied_host, Proxied_user, Grantor)', `'%', ?, '%', 'rekey_admin', ''`],
  ])('what a write to mysql.%s is good for: once the server reads it, the right is there', async (table, row) => {
    const pair = await prepared(`GRANT INSERT ON mysql.${table.replace(/ .*/, '')} TO ?`);
    const before = await bench.grants(pair.current);

    await as(pair.current, 'one', `INSERT INTO mysql.${table} VALUES (${row.replace('?', `'${pair.current}'`)})`);
    await bench.run('FLUSH PRIVILEGES');

    expect(await bench.grants(pair.current)).not.toEqual(before);
  });

  test.each([
    'GRANT UPDATE ON `my\\_ql`.* TO ?',
    'GRANT SELECT ON mysql.* TO ?',
    'GRANT INSERT ON mysql.time_zone TO ?',
    'GRANT UPDATE ON app.* TO ?',
  ])('peers of whom neither could are one: %s', async (statement) => {
    expect(await compare(await prepared(statement))).toEqual([]);
  });

  test('what a partial revoke takes is no power', async () => {
    await bench.run('SET GLOBAL partial_revokes = ON');
    try {
      const pair = await prepared(
        'GRANT SELECT, INSERT, UPDATE ON *.* TO ?',
        'REVOKE INSERT, UPDATE ON mysql.* FROM ?',
      );
      expect(await compare(pair)).toEqual([]);
      await bench.run(...bothOf(pair).map(({ self }) => `GRANT INSERT ON mysql.* TO ${self}`));
      expect(await compare(pair)).toHaveLength(2);
    } finally {
      await bench.run(
        ...(await bench.texts(
          `SELECT CONCAT('DROP USER ', User) FROM mysql.user WHERE User_attributes ->> '$.Restrictions' IS NOT NULL`,
        )),
        'SET GLOBAL partial_revokes = OFF',
      );
    }
  });
});
