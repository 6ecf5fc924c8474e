import { describe, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../shared/engines/port.ts';
import { ACCEPTED, account, type MysqlFamilyBench, newName, soon, WRONG } from './mysql-family-bench.ts';

/** What the statements below speak of. */
export const RIGHTS_SETUP = (admin: string): readonly string[] => [
  'CREATE DATABASE orders',
  'CREATE TABLE app.ledger (id INT, amount INT, note TEXT)',
  'CREATE PROCEDURE app.settle() SELECT 1',
  'CREATE FUNCTION app.tax() RETURNS INT DETERMINISTIC RETURN 19',
  'CREATE ROLE auditor',
  'CREATE USER other',
  `GRANT PROXY ON other TO ${admin} WITH GRANT OPTION`,
];

/** Short ways to say what a test of rights does. In statements `?` stands for the user. */
export function rightsOn(bench: () => MysqlFamilyBench) {
  const of = (user: string, statements: readonly string[]) =>
    statements.map((statement) => statement.replaceAll('?', account(user)));
  return {
    /** Statements of the superuser. */
    to: (user: string, ...statements: string[]) => bench().run(...of(user, statements)),
    /** The alternate user of a current one that was given this. */
    async prepared(...statements: string[]): Promise<AdministeredPair> {
      const pair = await bench().newPair();
      await bench().run(...of(pair.current, statements));
      await bench().prepare(pair);
      return pair;
    },
    /** A pair whose administrator was given this, and nothing else. */
    async pairUnder(...statements: string[]): Promise<AdministeredPair> {
      const admin = newName();
      await bench().run(`CREATE USER ${admin} IDENTIFIED BY 'admin'`, ...of(admin, statements));
      return { ...(await bench().newPair()), admin: bench().as(admin, 'admin') };
    },
    async expectEqual(pair: AdministeredPair): Promise<void> {
      expect(await bench().grants(pair.alternate)).toEqual(await bench().grants(pair.current));
      expect(await bench().differences(pair)).toEqual([]);
      expect(await bench().login(pair.alternate, 'two')).toEqual(ACCEPTED);
    },
    /** All that one account may do, and how. */
    described: async (user: string) => [await bench().grants(user), await bench().settings(user)],
  };
}

/** What one of the two servers says in its own way, and what it alone knows. */
export interface RightsDialect {
  /** The word of SET DEFAULT ROLE before the user. */
  readonly defaultRole: 'TO' | 'FOR';
  /** A password, as SET PASSWORD takes it. */
  readonly passwordValue: (text: string) => string;
  /** An account for every host, in a sentence about two users. */
  readonly inSentence: (user: string) => string;
  /** What is said of a clone to which SELECT and UPDATE on orders could not be given. */
  readonly halfMade: (clone: string) => readonly string[];
  /** In a statement, a role, or a user whose hosts are not known. */
  readonly withoutHost: (name: string) => string;
  /** More rights that one may have, each by a few statements. */
  readonly given: readonly (readonly [what: string, statements: readonly string[]])[];
  /** More rights that may be revoked, each by what gives it and what revokes it. */
  readonly revoked: readonly (readonly [what: string, give: string, revoke: string])[];
}

/** What both MySQL and MariaDB keep to when two users take turns, after RIGHTS_SETUP. */
export function testMysqlFamilyRights(bench: () => MysqlFamilyBench, dialect: RightsDialect): void {
  const { defaultRole, passwordValue, inSentence, halfMade, withoutHost, given, revoked } = dialect;
  const { to, prepared, pairUnder, expectEqual, described } = rightsOn(bench);
  const hostsOf = (user: string) => bench().texts(`SELECT Host FROM mysql.user WHERE User = '${user}' ORDER BY Host`);

  test('M3: whoever holds the login of one of the two cannot become the other', async () => {
    const pair = await prepared('GRANT SELECT ON app.* TO ? WITH GRANT OPTION');
    const connection = await bench().server.connect({ username: pair.alternate, password: 'two' });
    try {
      for (const statement of [
        `ALTER USER ${pair.current} IDENTIFIED BY 'evil'`,
        `SET PASSWORD FOR ${pair.current} = ${passwordValue('evil')}`,
        `RENAME USER ${pair.current} TO gone`,
        `DROP USER ${pair.current}`,
        `GRANT PROXY ON ${pair.current} TO ${pair.alternate}`,
        `GRANT ${pair.current} TO ${pair.alternate}`,
        `SET ROLE ${pair.current}`,
        `CREATE DEFINER = ${pair.current} PROCEDURE app.take_over() SELECT 1`,
      ])
        await expect(connection.query(statement)).rejects.toMatchObject({ errno: expect.any(Number) });
    } finally {
      await connection.end();
    }
    expect(await bench().accepted(pair.current, 'one', 'evil')).toEqual(['one']);
  });

  test('M5: a user with a default role has a clone with that role, by default too', async () => {
    const role = await bench().newRole();
    const pair = await prepared(
      `GRANT SELECT ON app.ledger TO ${role}`,
      `GRANT ${role} TO ?`,
      `SET DEFAULT ROLE ${role} ${defaultRole} ?`,
    );

    await expectEqual(pair);
    const connection = await bench().server.connect({ username: pair.alternate, password: 'two' });
    await connection.query('SELECT * FROM app.ledger').finally(() => connection.end());
  });

  describe('M6: an administrator without the grant option on one of two databases', () => {
    const withoutOrders = async (): Promise<AdministeredPair> => {
      const pair = await pairUnder(
        'GRANT CREATE USER, PROCESS ON *.* TO ?',
        'GRANT SELECT ON mysql.* TO ?',
        'GRANT SELECT ON app.* TO ? WITH GRANT OPTION',
        'GRANT SELECT ON orders.* TO ?',
      );
      await to(pair.current, 'GRANT SELECT ON app.* TO ?', 'GRANT SELECT, UPDATE ON orders.* TO ?');
      return pair;
    };
    const remedy = ({ admin }: AdministeredPair) =>
      `GRANT SELECT, UPDATE ON \`orders\`.* TO ${account(admin.username)} WITH GRANT OPTION;`;

    test('is told the statement to run, again and again, and no login works meanwhile', async () => {
      const pair = await withoutOrders();

      for (let attempt = 1; attempt <= 2; attempt += 1)
        await expect(bench().prepare(pair)).rejects.toMatchObject({
          code: 'PRIVILEGE_MISSING',
          action: expect.stringContaining(remedy(pair)),
        });

      expect((await bench().login(pair.alternate, 'two')).kind).toBe('refused');
      expect(await bench().login(pair.current, 'one')).toEqual(ACCEPTED);
      expect(await bench().differences(pair)).toEqual(halfMade(pair.alternate));
    });

    test('is told the same beforehand, with nothing changed', async () => {
      const pair = await withoutOrders();

      expect(await bench().engine.alternatingUsers.missingForAlternate(pair, soon())).toEqual([remedy(pair)]);

      expect(await bench().differences(pair)).toEqual([`${pair.alternate} does not exist`]);
    });

    test('goes on where it stopped once the statement was run', async () => {
      const pair = await withoutOrders();
      await expect(bench().prepare(pair)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
      await bench().run(remedy(pair));

      await bench().prepare(pair);

      await expectEqual(pair);
    });
  });

  test('M6: an administrator who may make no user, or not give its default role, is told that and no more', async () => {
    const role = newName();
    const pair = await pairUnder(
      'GRANT PROCESS ON *.* TO ?',
      'GRANT SELECT, UPDATE ON mysql.* TO ?',
      'GRANT SELECT ON app.* TO ? WITH GRANT OPTION',
      `CREATE ROLE ${role}`,
      `GRANT ${role} TO ? WITH ADMIN OPTION`,
    );
    const admin = account(pair.admin.username);
    await to(
      pair.current,
      'GRANT SELECT ON app.* TO ?',
      `GRANT ${role} TO ?`,
      `SET DEFAULT ROLE ${role} ${defaultRole} ?`,
      'ALTER USER ? WITH MAX_USER_CONNECTIONS 3',
    );
    const refused = (statement: string) =>
      expect(bench().prepare(pair)).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: ${statement}`,
      });

    await refused(`GRANT CREATE USER ON *.* TO ${admin};`);
    await bench().run(`GRANT CREATE USER ON *.* TO ${admin}`, `REVOKE ${role} FROM ${admin}`);
    await refused(`GRANT ${withoutHost(role)} TO ${admin} WITH ADMIN OPTION;`);
  });

  test('M8: all rights at *.* that the clone alone has go, to grant them too, and below them none that both have', async () => {
    const all = 'GRANT ALL ON *.* TO ? WITH GRANT OPTION';
    const pair = await pairUnder(all);
    await to(pair.current, 'GRANT SELECT ON app.* TO ?');
    await bench().prepare(pair);
    await to(pair.alternate, all, 'GRANT ALL ON orders.* TO ? WITH GRANT OPTION');
    const before = bench().server.log().length;

    await bench().prepare(pair);

    expect(bench().server.log().slice(before)).not.toMatch(/GRANT SELECT ON `app`/);
    await expectEqual(pair);
  });

  test('M7: WITH GRANT OPTION that comes later, to act as another, is the clone’s too', async () => {
    const pair = await prepared('GRANT PROXY ON other TO ?');
    await to(pair.current, 'REVOKE PROXY ON other FROM ?', 'GRANT PROXY ON other TO ? WITH GRANT OPTION');

    await bench().prepare(pair);

    await bench().run('FLUSH PRIVILEGES'); // what the server remembers is what its tables say
    await expectEqual(pair);
  });

  test.each<readonly [string, string, string]>([
    ['for all databases', 'GRANT SELECT, PROCESS ON *.* TO ?', 'REVOKE PROCESS ON *.* FROM ?'],
    ['for a pattern of databases', 'GRANT SELECT ON `ord%`.* TO ?', 'REVOKE SELECT ON `ord%`.* FROM ?'],
    ['for a table', 'GRANT SELECT, INSERT ON app.ledger TO ?', 'REVOKE INSERT ON app.ledger FROM ?'],
    ['for a column', 'GRANT SELECT (id, note) ON app.ledger TO ?', 'REVOKE SELECT (note) ON app.ledger FROM ?'],
    ['for a procedure', 'GRANT EXECUTE ON PROCEDURE app.settle TO ?', 'REVOKE EXECUTE ON PROCEDURE app.settle FROM ?'],
    ['for a function', 'GRANT EXECUTE ON FUNCTION app.tax TO ?', 'REVOKE EXECUTE ON FUNCTION app.tax FROM ?'],
    ['to grant', 'GRANT SELECT ON app.* TO ? WITH GRANT OPTION', 'REVOKE GRANT OPTION ON app.* FROM ?'],
    ['of a role', 'GRANT auditor TO ?', 'REVOKE auditor FROM ?'],
    [
      'of a role by default',
      `GRANT auditor TO ?; SET DEFAULT ROLE auditor ${defaultRole} ?`,
      `SET DEFAULT ROLE NONE ${defaultRole} ?`,
    ],
    ['to act as another', 'GRANT PROXY ON other TO ?', 'REVOKE PROXY ON other FROM ?'],
    ['to come without TLS', 'GRANT USAGE ON *.* TO ?', 'ALTER USER ? REQUIRE SSL'],
    ['to as many sessions', 'GRANT USAGE ON *.* TO ?', 'ALTER USER ? WITH MAX_USER_CONNECTIONS 5'],
    ...revoked,
  ])('M8: a right %s that was revoked stays revoked when the users take turns', async (_, give, revoke) => {
    const pair = await prepared(...give.split('; '));
    const back = { ...pair, current: pair.alternate, alternate: pair.current };
    await expectEqual(pair);
    const before = await described(pair.current);
    expect(await described(pair.alternate)).toEqual(before);
    await to(pair.current, revoke);
    const after = await described(pair.current);
    expect(after).not.toEqual(before);

    await bench().prepare(pair);
    await bench().prepare(back, 'one');

    expect(await described(pair.alternate)).toEqual(after);
    expect(await described(pair.current)).toEqual(after);
  });

  describe('M9: a user with accounts for several hosts', () => {
    test('has a clone with an account for each, of the rights that each has', async () => {
      const hosts = ['127.0.0.1', '10.%', 'db.example', '192.0.2.0/255.255.255.0', 'localhost'];
      const pair = await bench().newPair(...hosts);
      await bench().run(
        `GRANT SELECT ON app.* TO ${account(pair.current, '10.%')}`,
        `GRANT INSERT ON app.* TO ${account(pair.current, 'localhost')}`,
      );

      await bench().prepare(pair);

      expect(await hostsOf(pair.alternate)).toEqual([...hosts].sort());
      for (const host of hosts)
        expect(await bench().grants(pair.alternate, host)).toEqual(await bench().grants(pair.current, host));
      expect(await bench().differences(pair)).toEqual([]);
      expect(await bench().login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });

    test('may not lose one of which the clone’s is the DEFINER of something: that is named, and all stays', async () => {
      const pair = await bench().newPair('%', '10.%');
      await bench().prepare(pair);
      const view = `app.of_${pair.alternate}`;
      await bench().run(
        `CREATE DEFINER = ${account(pair.alternate, '10.%')} VIEW ${view} AS SELECT 1 AS one`,
        `DROP USER ${account(pair.current, '10.%')}`,
      );

      await expect(bench().prepare(pair, 'three')).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`the DEFINER of view ${view}`),
      });

      expect(await hostsOf(pair.alternate)).toEqual(['%', '10.%']);
      expect(await bench().accepted(pair.alternate, 'two', 'three')).toEqual(['two']);
      expect(await bench().login(pair.current, 'one')).toEqual(ACCEPTED);
    });

    test('has one password for all of them, set by an administrator', async () => {
      const { current } = await bench().newPair('localhost', '10.%');

      await bench().setByAdmin(current, 'two');
      await bench().run(`RENAME USER ${account(current, 'localhost')} TO ${account(current, '127.0.0.9')}`);
      await bench().run(`RENAME USER ${account(current, '10.%')} TO ${account(current, 'localhost')}`);

      expect(await bench().accepted(current, 'one', 'two')).toEqual(['two']);
    });
  });

  describe('the clone has what the current user has', () => {
    test.each<readonly [string, readonly string[]]>([
      ['for all databases', ['GRANT SELECT, PROCESS, SHOW DATABASES, CREATE USER ON *.* TO ?']],
      ['for a database', ['GRANT SELECT, INSERT, CREATE TEMPORARY TABLES, LOCK TABLES, EVENT ON app.* TO ?']],
      ['for a pattern of databases', ['GRANT SELECT ON `app\\_%`.* TO ?', 'GRANT INSERT ON `ord%`.* TO ?']],
      ['for a table', ['GRANT SELECT, SHOW VIEW, TRIGGER, REFERENCES ON app.ledger TO ?']],
      ['for columns', ['GRANT SELECT (id, note), UPDATE (note) ON app.ledger TO ?']],
      ['for routines', ['GRANT EXECUTE ON PROCEDURE app.settle TO ?', 'GRANT ALTER ROUTINE ON FUNCTION app.tax TO ?']],
      ['to grant, and nothing else', ['GRANT USAGE ON app.* TO ? WITH GRANT OPTION']],
      ['to act as another', ['GRANT PROXY ON other TO ?']],
      ...given,
    ])('%s', async (_, statements) => {
      await expectEqual(await prepared(...statements));
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
  });

  describe('what the clone was before does not matter', () => {
    test('a clone that AWS’s function made is taken over', async () => {
      const pair = await bench().newPair();
      await bench().run(
        `GRANT SELECT ON app.* TO ${pair.current} WITH GRANT OPTION`,
        `CREATE USER ${pair.alternate} IDENTIFIED BY 'by-aws'`,
        `GRANT SELECT ON app.* TO ${pair.alternate}`,
      );

      await bench().prepare(pair);

      await expectEqual(pair);
    });

    test('one that expired is fresh again', async () => {
      const pair = await prepared();
      await bench().run(`ALTER USER ${pair.alternate} PASSWORD EXPIRE`);
      expect(await bench().differences(pair)).toEqual([`the password of ${inSentence(pair.alternate)} has expired`]);

      await bench().prepare(pair);

      expect(await bench().login(pair.alternate, 'two')).toEqual(ACCEPTED);
    });
  });

  test('an administrator who may not read the tables of users is told what it lacks', async () => {
    const pair = await pairUnder('GRANT CREATE USER ON *.* TO ?');

    for (const work of [
      () => bench().prepare(pair),
      () => bench().differences(pair),
      () => bench().engine.alternatingUsers.missingForAlternate(pair, soon()),
    ])
      await expect(work()).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: `As a superuser run: GRANT SELECT ON mysql.* TO ${withoutHost(pair.admin.username)};`,
      });
  });

  test('an administrator who sees no session but its own may not disable anybody', async () => {
    const { admin } = await pairUnder('GRANT CREATE USER ON *.* TO ?', 'GRANT SELECT ON mysql.* TO ?');
    const pair = { ...(await prepared()), admin };

    const disabling = bench().engine.alternatingUsers.disableAlternate(pair, async () => true, soon());

    await expect(disabling).rejects.toMatchObject({
      code: 'PRIVILEGE_MISSING',
      action: `As a superuser run: GRANT PROCESS ON *.* TO ${account(admin.username)};`,
    });
    expect(await bench().login(pair.alternate, 'two')).toEqual(ACCEPTED);
  });
}

/* The same on both, but each suite has its own name for it. */

export async function expectManyAtOnceToEnd(bench: MysqlFamilyBench): Promise<void> {
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

  for (const pair of pairs) await rightsOn(() => bench).expectEqual(pair);
}

export async function expectFirstBeginningHarmless(bench: MysqlFamilyBench): Promise<void> {
  const pair = await bench.newPair();
  await bench.run(`GRANT SELECT ON app.* TO ${pair.current}`);
  // What a crash leaves after the first statement: the account, locked, with its password and without rights.
  await bench.run(`CREATE USER ${pair.alternate} IDENTIFIED BY 'two' ACCOUNT LOCK`);
  expect(await bench.login(pair.alternate, 'two')).toEqual({ kind: 'refused', reason: 'locked' });

  await bench.prepare(pair);

  await rightsOn(() => bench).expectEqual(pair);
  expect(await bench.login(pair.alternate, 'one')).toEqual(WRONG);
}

export async function expectViewsOfCurrentToWork(bench: MysqlFamilyBench): Promise<void> {
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
}
