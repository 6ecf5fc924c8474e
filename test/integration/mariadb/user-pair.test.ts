import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { ACCEPTED, account, type Bench, secret, soon, startBench } from './bench.ts';

/* M numbers: the measured failures of AWS's rotation functions, and what cures them. */

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('a user pair on MariaDB %s', (version) => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await startBench({ version });
    await bench.run(
      'CREATE DATABASE orders',
      'CREATE TABLE app.ledger (id INT)',
      'CREATE ROLE mighty',
      'GRANT CREATE USER ON *.* TO mighty',
      'CREATE ROLE inheriting',
      'GRANT mighty TO inheriting',
      `GRANT inheriting TO ${account(bench.admin.username)} WITH ADMIN OPTION`,
      `GRANT mighty TO ${account(bench.admin.username)} WITH ADMIN OPTION`,
      `GRANT SELECT, INSERT, UPDATE, SET USER, SUPER ON *.* TO ${account(bench.admin.username)} WITH GRANT OPTION`,
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
    const pair = await prepared('GRANT SELECT, INSERT, CREATE ROUTINE ON app.* TO ? WITH GRANT OPTION');

    for (const { self, password, other } of bothOf(pair))
      for (const attack of [
        `ALTER USER ${other} IDENTIFIED BY 'evil'`,
        `ALTER USER ${other} ACCOUNT LOCK`,
        `SET PASSWORD FOR ${other} = PASSWORD('evil')`,
        `SET DEFAULT ROLE mighty FOR ${other}`,
        `RENAME USER ${other} TO gone`,
        `DROP USER ${other}`,
        `GRANT PROXY ON ${other} TO ${self}`,
        `SET ROLE ${other}`,
        `CREATE DEFINER = ${other} PROCEDURE app.take_over() SELECT 1`,
        `UPDATE mysql.global_priv SET Priv = '{}' WHERE User = '${other}'`,
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
    const pair = await prepared(
      'GRANT SELECT, INSERT, CREATE, ALTER, DROP, CREATE VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE ON orders.* TO ?',
    );

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
      expect.stringMatching(`^${pair.current} alone has: GRANT EXECUTE, ALTER ROUTINE ON PROCEDURE .orders.\\..mine.$`),
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

  test('peers that differ are told what in, over their own logins', async () => {
    const pair = await prepared('GRANT SELECT ON app.* TO ?');
    await bench.run(`GRANT INSERT ON orders.* TO ${pair.current}`, `ALTER USER ${pair.alternate} REQUIRE SSL`);

    expect(await compare(pair)).toEqual([
      `${pair.current} alone has: GRANT INSERT ON \`orders\`.*`,
      `${pair.current} alone has: the account is IDENTIFIED by password`,
      `${pair.alternate} alone has: the account is IDENTIFIED by password REQUIRE SSL`,
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
    'GRANT SET USER ON *.* TO ?',
    ...(version === '10.11' ? ['GRANT SUPER ON *.* TO ?'] : []),
    'GRANT SELECT, UPDATE ON *.* TO ?',
    'GRANT UPDATE ON mysql.* TO ?',
    'GRANT INSERT ON mysql.global_priv TO ?',
    'GRANT UPDATE (Priv) ON mysql.global_priv TO ?',
    'GRANT UPDATE ON `%`.* TO ?',
    'GRANT INSERT ON `my_ql`.* TO ?',
    'GRANT inheriting TO ?',
    'GRANT mighty TO ?', // not by default: what it could activate counts
  ])('peers of whom one could take the other over are no pair: %s', async (statement) => {
    const pair = await prepared(statement);

    expect(await compare(pair)).toEqual([
      expect.stringContaining(`${pair.current} could change the password of any user`),
      expect.stringContaining(`${pair.alternate} could change the password of any user`),
    ]);
  });

  test.each(version === '10.11' ? ['SET USER', 'SUPER'] : ['SET USER'])(
    'what %s is good for: whoever has it can take the other over indeed',
    async (privilege) => {
      const pair = await prepared('GRANT CREATE ROUTINE, EXECUTE ON orders.* TO ?', `GRANT ${privilege} ON *.* TO ?`);

      await as(
        pair.current,
        'one',
        `CREATE DEFINER = ${account(bench.admin.username)} PROCEDURE orders.take_over()
           ALTER USER ${pair.alternate} IDENTIFIED BY 'evil'`,
        'CALL orders.take_over()',
        'DROP PROCEDURE orders.take_over',
      );

      expect(await bench.accepted(pair.alternate, 'two', 'evil')).toEqual(['evil']);
    },
  );

  test.each(['GRANT UPDATE ON `my\\_ql`.* TO ?', 'GRANT SELECT ON mysql.* TO ?', 'GRANT UPDATE ON app.* TO ?'])(
    'peers of whom neither could are one: %s',
    async (statement) => {
      expect(await compare(await prepared(statement))).toEqual([]);
    },
  );
});
