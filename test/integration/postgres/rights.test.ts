import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import type { PostgresEngine } from '../../../shared/engines/postgres.ts';
import { disableLogin } from '../../../shared/engines/postgres-alternating-users.ts';
import { withConnection } from '../../../shared/engines/postgres-connection.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';
import { engineFor, loginAt, PASSWORD, runAs, soon } from './bench.ts';

/*
 * M numbers: the measured failures of AWS's rotation functions. M9 (accounts per host) cannot happen in PostgreSQL;
 * M11, the password in a log, is in test/leak, and M12, the owner of two peers, in user-pair.test.ts.
 */

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('the rights of two users on PostgreSQL %s', (version) => {
  let server: PostgresServer;
  let engine: PostgresEngine;
  let count = 0;

  beforeAll(async () => {
    server = await startPostgres({ version });
    engine = engineFor(server);
    await server.run('GRANT CREATE ON SCHEMA public TO rekey_admin WITH GRANT OPTION');
  });
  afterAll(() => server?.stop());

  interface Users extends AdministeredPair {
    /** The same two with their parts exchanged. */
    readonly back: AdministeredPair;
    readonly app: string;
    readonly clone: string;
  }

  /** A user that the administrator created, as on RDS, in a schema of its own; the names are the test's alone. */
  async function newUsers(): Promise<Users> {
    count += 1;
    const [app, clone] = [`app${count}`, `app${count}_clone`];
    await asAdmin(`CREATE ROLE ${app} LOGIN PASSWORD '${PASSWORD}'`);
    return pairOf(app, clone);
  }

  function pairOf(app: string, clone: string): Users {
    const admin = { ...server.admin, host: server.host, port: server.port, database: 'postgres' };
    const rest = {
      admin: { ...admin, password: new SecretValue(admin.password) },
      database: 'postgres',
      acceptTakeOver: version < 16,
    };
    return {
      ...rest,
      app,
      clone,
      current: app,
      alternate: clone,
      back: { ...rest, current: clone, alternate: app },
    };
  }

  const bySuperuser = (pair: AdministeredPair): AdministeredPair => ({
    ...pair,
    admin: { ...pair.admin, ...server.superuser, password: new SecretValue(server.superuser.password) },
  });
  const prepare = (pair: AdministeredPair) =>
    engine.alternatingUsers.prepareAlternate(pair, new SecretValue(PASSWORD), async () => true, soon());
  /** As the current user sees them. */
  const differences = (pair: AdministeredPair) =>
    engine.alternatingUsers.differences(pair, loginOf(pair.current), soon());
  const missingFor = (pair: AdministeredPair) => engine.alternatingUsers.missingForAlternate(pair, soon());
  const loginOf = (username: string, password = PASSWORD) => loginAt(server, username, password);
  const asAdmin = (sql: string) => as(server.admin.username, sql, server.admin.password);

  const as = (username: string, sql: string, password = PASSWORD, database = 'postgres') =>
    runAs(server, username, sql, password, database);
  /** Where a membership has options, and the administrator needs one in whomever it changes; 15: rights-15.test.ts. */
  const since16 = (name: string, fn: () => Promise<void>) => {
    if (version >= 16) test(name, fn);
  };
  const refused = (sqlState: string) => expect.objectContaining({ code: sqlState });
  const NOT_PERMITTED = refused('42501');

  describe('M1: an application user that the administrator did not create', () => {
    since16('is refused with the statement to run, and nothing is changed', async () => {
      count += 1;
      const users = pairOf(`app${count}`, `app${count}_clone`);
      await server.run(`CREATE ROLE ${users.app} LOGIN PASSWORD '${PASSWORD}'`);
      const statement = `GRANT "${users.app}" TO "rekey_admin" WITH ADMIN OPTION;`;

      await expect(prepare(users)).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        retryable: false,
        action: expect.stringContaining(statement),
      });

      expect(await missingFor(users)).toEqual([statement]);
      expect(await differences(users)).toEqual([`${users.clone} does not exist`]);
    });

    test('works once that statement was run', async () => {
      count += 1;
      const users = pairOf(`app${count}`, `app${count}_clone`);
      await server.run(`CREATE ROLE ${users.app} LOGIN PASSWORD '${PASSWORD}'`);
      for (const statement of await missingFor(users)) await server.run(statement);

      await prepare(users);

      expect(await differences(users)).toEqual([]);
    });
  });

  describe('M2: what one of the two creates', () => {
    const CREATE = `
      CREATE SCHEMA mine_NAME; CREATE TABLE mine_NAME.t (id serial); CREATE SEQUENCE mine_NAME.s;
      CREATE FUNCTION mine_NAME.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE mine_NAME.e AS ENUM ('a')`;
    const USE = `
      INSERT INTO mine_NAME.t DEFAULT VALUES; SELECT nextval('mine_NAME.s'), mine_NAME.f(), 'a'::mine_NAME.e;
      TRUNCATE mine_NAME.t`;

    test('the clone creates can be used by the first user at once', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${users.app}`);
      await prepare(users);
      await as(users.clone, CREATE.replaceAll('NAME', users.app));

      await expect(as(users.app, USE.replaceAll('NAME', users.app))).resolves.toBeDefined();
    });

    test('the clone creates belongs to the first user after the secret rotated back, and both may alter it', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${users.app}`);
      await prepare(users);
      await as(users.clone, CREATE.replaceAll('NAME', users.app));

      await prepare(users.back);

      await as(users.app, `ALTER TABLE mine_${users.app}.t ADD a int; ${USE.replaceAll('NAME', users.app)}`);
      await as(users.clone, `ALTER TABLE mine_${users.app}.t ADD b int; DROP SCHEMA mine_${users.app} CASCADE`);
      expect(await differences(users.back)).toEqual([]);
    });

    test('the first user creates can be used, altered and dropped by the clone at once', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${users.app}`);
      await prepare(users);
      await as(users.app, CREATE.replaceAll('NAME', users.app));

      await as(users.clone, USE.replaceAll('NAME', users.app));
      await as(users.clone, `ALTER TABLE mine_${users.app}.t ADD b int; DROP SCHEMA mine_${users.app} CASCADE`);
    });

    test('in another database of the server is settled there too', async () => {
      const users = await newUsers();
      const other = `other_${users.app}`;
      await asAdmin(`CREATE DATABASE ${other}`);
      await asAdmin(`GRANT CREATE ON DATABASE ${other} TO ${users.app}`);
      await prepare(users);
      await as(users.clone, `CREATE SCHEMA s; CREATE TABLE s.t ()`, PASSWORD, other);
      expect(await differences(users.back)).toEqual([expect.stringContaining(other)]);

      await prepare(users.back);

      await as(users.app, 'ALTER TABLE s.t ADD a int', PASSWORD, other);
      expect(await differences(users.back)).toEqual([]);
    });

    test('in another database, where the administrator may not give it, is named beforehand', async () => {
      const users = await newUsers();
      const other = `forbidden_${users.app}`;
      await server.run(`CREATE DATABASE ${other}`);
      await prepare(users);
      const { username, password } = server.superuser;
      await as(username, `CREATE TABLE theirs (); GRANT SELECT ON theirs TO ${users.clone}`, password, other);

      const missing = await missingFor(users.back);

      expect(missing).toEqual([expect.stringMatching(/GRANT .*theirs/), expect.stringMatching(/REVOKE .*theirs/)]);
      await expect(prepare(users.back)).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: expect.stringContaining(missing.join(' ')),
      });
    });

    test('between set and test keeps no one from being promoted: the rights on it are there', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${users.app}`);
      await prepare(users);
      await prepare(users.back);
      await as(users.clone, CREATE.replaceAll('NAME', users.app));

      expect(await differences(users.back)).toEqual([]);
      await as(users.app, USE.replaceAll('NAME', users.app));
    });

    test('without any right of the other one on it keeps that one from being promoted', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${users.app}`);
      await prepare(users);
      await as(
        users.clone,
        `${CREATE.replaceAll('NAME', users.app)}; REVOKE INSERT ON mine_${users.app}.t FROM ${users.app}`,
      );

      expect(await differences(users.back)).toEqual([expect.stringContaining(`table mine_${users.app}.t`)]);
      await prepare(users.back);

      expect(await differences(users.back)).toEqual([]);
      await as(users.app, USE.replaceAll('NAME', users.app));
    });

    test('a large object of the clone belongs to the first user after the secret rotated back', async () => {
      const users = await newUsers();
      await prepare(users);
      const [object] = await as(users.clone, "SELECT lo_from_bytea(0, 'content') AS id");
      const { id } = object as { id: number };

      await prepare(users.back);

      await as(users.app, `SELECT lo_get(${id}), lo_unlink(${id})`);
      expect(await differences(users.back)).toEqual([]);
    });

    test('in another database, which both may use already, keeps no one from being promoted', async () => {
      const users = await newUsers();
      const other = `later_${users.app}`;
      await asAdmin(`CREATE DATABASE ${other}`);
      await asAdmin(`GRANT CREATE ON DATABASE ${other} TO ${users.app}`);
      await prepare(users);
      await as(users.clone, 'CREATE SCHEMA s; CREATE TABLE s.t ()', PASSWORD, other);
      await prepare(users.back);
      await as(users.clone, 'CREATE TABLE s.later ()', PASSWORD, other);

      expect(await differences(users.back)).toEqual([]);
      await as(users.app, 'SELECT FROM s.later', PASSWORD, other);
    });

    test('as a temporary table is left alone', async () => {
      const users = await newUsers();
      await prepare(users);
      const session = await server.connect({ username: users.clone, password: PASSWORD });
      try {
        await session.query('CREATE TEMPORARY TABLE t (id int)');
        await session.query('BEGIN; INSERT INTO t VALUES (1)');

        await prepare(users.back);

        expect(await differences(users.back)).toEqual([]);
        await session.query('COMMIT; INSERT INTO t VALUES (2)');
      } finally {
        await session.end();
      }
    });
  });

  describe('M3: whoever holds the previous password', () => {
    since16('cannot take the current user over, whichever of the two that is', async () => {
      const users = await newUsers();
      await prepare(users);

      await expect(as(users.clone, `SET ROLE ${users.app}`)).rejects.toEqual(NOT_PERMITTED);
      await expect(as(users.clone, `ALTER ROLE ${users.app} PASSWORD 'evil'`)).rejects.toEqual(NOT_PERMITTED);
      await expect(as(users.clone, `GRANT ${users.app} TO ${users.clone}`)).rejects.toEqual(NOT_PERMITTED);
      await expect(as(users.app, `SET ROLE ${users.clone}`)).rejects.toEqual(NOT_PERMITTED);
      await expect(as(users.app, `ALTER ROLE ${users.clone} PASSWORD 'evil'`)).rejects.toEqual(NOT_PERMITTED);
    });

    since16("loses that power in a pair that AWS's function made", async () => {
      const users = await newUsers();
      await asAdmin(`CREATE ROLE ${users.clone} LOGIN PASSWORD '${PASSWORD}'; GRANT ${users.app} TO ${users.clone}`);
      await as(users.clone, `SET ROLE ${users.app}`); // what M3 starts with
      expect(await differences(users)).toContain(`${users.clone} may become ${users.app}, and so change its password`);

      await prepare(users);

      await expect(as(users.clone, `SET ROLE ${users.app}`)).rejects.toEqual(NOT_PERMITTED);
      expect(await differences(users)).toEqual([]);
    });

    since16('is not helped by ALTER ROLE … SET role, the known way around M2', async () => {
      const users = await newUsers();
      await asAdmin(`CREATE ROLE ${users.clone} LOGIN PASSWORD '${PASSWORD}'; GRANT ${users.app} TO ${users.clone};
        ALTER ROLE ${users.clone} SET role TO ${users.app}`);

      await prepare(users.back);

      expect(await as(users.clone, 'SELECT current_user::text AS name')).toEqual([{ name: users.clone }]);
      await expect(as(users.clone, `SET ROLE ${users.app}`)).rejects.toEqual(NOT_PERMITTED);
    });

    since16('is not lent a role of superusers: that is for a person to settle', async () => {
      const users = await newUsers();
      const dba = `dba_${users.app}`;
      await server.run(`CREATE ROLE ${dba} SUPERUSER; GRANT ${dba} TO ${users.app}`);

      await expect(prepare(bySuperuser(users))).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`REVOKE "${dba}" FROM "${users.app}"`),
      });
    });

    since16('loses a way to it by a third role', async () => {
      const users = await newUsers();
      await prepare(users);
      const via = `via_${users.app}`;
      await asAdmin(`CREATE ROLE ${via}; GRANT ${users.app} TO ${via}; GRANT ${via} TO ${users.app}_clone`);
      await prepare(users);

      await expect(as(users.clone, `SET ROLE ${users.app}`)).rejects.toEqual(NOT_PERMITTED);
      expect(await differences(users)).toEqual([]);
    });
  });

  describe("a pair that AWS's function made, taken over while the clone is current", () => {
    test('goes on without a difference', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${users.app}`);
      await as(users.app, `CREATE SCHEMA ${users.app}_s; CREATE TABLE ${users.app}_s.old (id int)`);
      await asAdmin(`CREATE ROLE ${users.clone} LOGIN PASSWORD '${PASSWORD}'; GRANT ${users.app} TO ${users.clone}`);
      await as(users.clone, `CREATE TABLE ${users.app}_s.new (id int)`);
      await expect(as(users.app, `SELECT FROM ${users.app}_s.new`)).rejects.toEqual(NOT_PERMITTED); // M2

      await prepare(users.back);

      await as(users.app, `SELECT FROM ${users.app}_s.new; ALTER TABLE ${users.app}_s.new ADD a int`);
      await as(users.clone, `SELECT FROM ${users.app}_s.old; ALTER TABLE ${users.app}_s.new ADD b int`);
      expect(await differences(users.back)).toEqual([]);
    });

    since16('is refused with the statements when a superuser made it', async () => {
      const users = await newUsers();
      await server.run(`CREATE ROLE ${users.clone} LOGIN PASSWORD '${PASSWORD}' IN ROLE ${users.app}`);

      const missing = await missingFor(users);
      expect(missing).toContain(`GRANT "${users.clone}" TO "rekey_admin" WITH ADMIN OPTION;`);
      await expect(prepare(users)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
      for (const statement of missing) await server.run(statement);
      for (const statement of await missingFor(users)) await server.run(statement);
      await prepare(users);

      expect(await differences(users)).toEqual([]);
    });
  });

  test('M4: an expired user is told from a wrong password, and its alternate is prepared as expired', async () => {
    const users = await newUsers();
    await asAdmin(`ALTER ROLE ${users.app} VALID UNTIL '2001-01-01'`);
    const login = (username: string) => engine.login(loginOf(username), soon(), async () => users.admin);

    expect(await login(users.app)).toEqual({ kind: 'refused', reason: 'expired' });
    await prepare(users);
    expect(await login(users.clone)).toEqual({ kind: 'refused', reason: 'expired' });
  });

  describe('M5, M6: an administrator who cannot give all rights', () => {
    test('leaves no login behind that a second try could take for success', async () => {
      const users = await newUsers();
      await prepare(users);
      await server.run(`CREATE TABLE partly_${users.app} (); GRANT SELECT ON partly_${users.app} TO ${users.clone}`);
      await asAdmin(`ALTER ROLE ${users.app} NOLOGIN PASSWORD NULL`);

      await expect(prepare(users.back)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });
      await expect(prepare(users.back)).rejects.toMatchObject({ code: 'PRIVILEGE_MISSING' });

      expect(await engine.login(loginOf(users.app), soon())).toMatchObject({ kind: 'refused' });
      await as(users.clone, `SELECT FROM partly_${users.app}`);
    });
  });

  describe('M7: a grant', () => {
    /** A GRANT without the right to it is but a warning, so what it came to is looked at. */
    async function canPassOn(user: string, table: string): Promise<boolean> {
      const reader = `reader_of_${user}`;
      await asAdmin(`CREATE ROLE ${reader}`);
      await as(user, `GRANT SELECT ON ${table} TO ${reader}`);
      const [row] = await asAdmin(`SELECT has_table_privilege('${reader}', '${table}', 'SELECT') AS yes`);
      return (row as { yes: boolean }).yes;
    }

    test('WITH GRANT OPTION is one for the clone too', async () => {
      const users = await newUsers();
      const table = `m7_${users.app}`;
      await asAdmin(`CREATE TABLE ${table} (); GRANT SELECT ON ${table} TO ${users.app} WITH GRANT OPTION`);
      await prepare(users);

      expect(await canPassOn(users.clone, table)).toBe(true);
    });

    test('to the clone while it is current goes to the first user, GRANT OPTION and all', async () => {
      const users = await newUsers();
      const table = `m7_${users.app}`;
      await prepare(users);
      await asAdmin(`CREATE TABLE ${table} (id int, note text);
        GRANT SELECT ON ${table} TO ${users.clone} WITH GRANT OPTION; GRANT UPDATE (note) ON ${table} TO ${users.clone}`);

      await prepare(users.back);

      for (const user of [users.app, users.clone]) {
        expect(await canPassOn(user, table)).toBe(true);
        await as(user, `UPDATE ${table} SET note = ''`);
      }
      expect(await differences(users.back)).toEqual([]);
    });

    test.each(['the first user', 'its clone'] as const)(
      'stays with those that the clone passed it on to, when %s is current',
      async (who) => {
        const users = await newUsers();
        const table = `m7_${users.app}`;
        const [reader, further] = [`reader_${users.app}`, `further_${users.app}`];
        await prepare(users);
        await asAdmin(`CREATE TABLE ${table} (id int, note text); CREATE ROLE ${reader}; CREATE ROLE ${further};
          GRANT SELECT, UPDATE (note) ON ${table} TO ${users.clone} WITH GRANT OPTION`);
        await as(
          users.clone,
          `GRANT SELECT ON ${table} TO ${reader} WITH GRANT OPTION; GRANT UPDATE (note) ON ${table} TO PUBLIC`,
        );
        await server.run(`SET ROLE ${reader}; GRANT SELECT ON ${table} TO ${further}`);
        const grants = () =>
          asAdmin(`SELECT grantee::regrole::text, privilege_type, is_grantable FROM (
              SELECT relacl FROM pg_class WHERE oid = '${table}'::regclass
              UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = '${table}'::regclass
            ) AS acls (acl), aclexplode(acl) WHERE grantee NOT IN ('${users.app}'::regrole, '${users.clone}'::regrole)
            ORDER BY grantee, privilege_type`);
        const before = await grants();

        await prepare(who === 'its clone' ? users.back : users);

        expect(await grants()).toEqual(before);
        expect(await differences(users)).toEqual([]);
        if (who === 'its clone') expect(await canPassOn(users.app, table)).toBe(true);
        else await expect(canPassOn(users.app, table)).rejects.toEqual(NOT_PERMITTED);
      },
    );

    test('of every kind to the clone while it is current goes to the first user', async () => {
      const users = await newUsers();
      const name = `kinds_${users.app}`;
      await prepare(users);
      await server.run(`
        CREATE SCHEMA ${name}; CREATE TABLE ${name}.t (); CREATE SEQUENCE ${name}.s; CREATE DOMAIN ${name}.d AS int;
        CREATE FUNCTION ${name}.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FOREIGN DATA WRAPPER ${name};
        CREATE SERVER ${name} FOREIGN DATA WRAPPER ${name}; SELECT lo_create(${1000 + count});
        REVOKE ALL ON FUNCTION ${name}.f FROM PUBLIC; REVOKE ALL ON TYPE ${name}.d FROM PUBLIC;
        GRANT CREATE ON DATABASE postgres TO ${users.clone}; GRANT USAGE ON SCHEMA ${name} TO ${users.clone};
        GRANT SELECT ON ${name}.t TO ${users.clone}; GRANT USAGE ON SEQUENCE ${name}.s TO ${users.clone};
        GRANT USAGE ON TYPE ${name}.d TO ${users.clone}; GRANT EXECUTE ON FUNCTION ${name}.f TO ${users.clone};
        GRANT USAGE ON FOREIGN DATA WRAPPER ${name} TO ${users.clone}; GRANT USAGE ON FOREIGN SERVER ${name} TO ${users.clone};
        GRANT SELECT ON LARGE OBJECT ${1000 + count} TO ${users.clone}; GRANT SET ON PARAMETER log_statement TO ${users.clone};
        ALTER DEFAULT PRIVILEGES IN SCHEMA ${name} GRANT SELECT ON TABLES TO ${users.clone}`);
      expect((await differences(users.back)).length).toBeGreaterThanOrEqual(11);

      await prepare(bySuperuser(users.back));

      for (const user of [users.app, users.clone])
        await as(
          user,
          `SELECT FROM ${name}.t; SELECT nextval('${name}.s'), 1::${name}.d, ${name}.f(1, ''), lo_get(${1000 + count});
          SET log_statement = 'none'; CREATE TEMPORARY TABLE of_type (d ${name}.d)`,
        );
      await server.run(`CREATE TABLE ${name}.later ()`);
      await as(users.app, `SELECT FROM ${name}.later`);
      expect(await differences(users.back)).toEqual([]);
    });

    test('on a type of PostgreSQL itself goes to the first user', async () => {
      const users = await newUsers();
      await prepare(users);
      for (const type of ['int4', 'timestamptz', '"char"'])
        await server.run(`GRANT USAGE ON TYPE ${type} TO ${users.clone}`);

      await prepare(bySuperuser(users.back));

      expect(await differences(users.back)).toEqual([]);
    });

    test('of someone who owns the object, which the administrator may not change, is named with its statement', async () => {
      const users = await newUsers();
      await prepare(users);
      await server.run(`CREATE TABLE foreign_${users.app} (); GRANT SELECT ON foreign_${users.app} TO ${users.clone}`);

      expect(await missingFor(users.back)).toEqual([
        `GRANT SELECT ON TABLE public.foreign_${users.app} TO "${users.app}";`,
        `REVOKE SELECT ON TABLE public.foreign_${users.app} FROM "${users.clone}";`,
      ]);
    });
  });

  describe('M8: a revoked right', () => {
    test('stays revoked for both, whichever of them is current, and two rotations later', async () => {
      const users = await newUsers();
      const table = `m8_${users.app}`;
      await asAdmin(`CREATE TABLE ${table} (); GRANT SELECT ON ${table} TO ${users.app}`);
      await prepare(users);
      await as(users.clone, `SELECT FROM ${table}`);
      await asAdmin(`REVOKE SELECT ON ${table} FROM ${users.app}`);

      await prepare(users.back);
      await prepare(users);

      for (const user of [users.app, users.clone])
        await expect(as(user, `SELECT FROM ${table}`)).rejects.toEqual(NOT_PERMITTED);
    });

    test('that the alternate user alone was given is taken away', async () => {
      const users = await newUsers();
      const table = `m8_${users.app}`;
      await prepare(users);
      await asAdmin(`CREATE TABLE ${table} (); GRANT SELECT ON ${table} TO ${users.clone}`);
      expect(await differences(users)).toEqual([
        `${users.clone} was granted SELECT on TABLE public.${table} by itself`,
      ]);

      await prepare(users);

      await expect(as(users.clone, `SELECT FROM ${table}`)).rejects.toEqual(NOT_PERMITTED);
    });

    test('of any kind that the alternate user alone was given is taken away', async () => {
      const users = await newUsers();
      const name = `m8_kinds_${users.app}`;
      const blob = 5000 + count;
      await prepare(users);
      await server.run(`
        CREATE SCHEMA ${name}; CREATE TABLE ${name}.t (id int); CREATE SEQUENCE ${name}.s; CREATE DOMAIN ${name}.d AS int;
        CREATE FUNCTION ${name}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FOREIGN DATA WRAPPER ${name};
        CREATE SERVER ${name} FOREIGN DATA WRAPPER ${name}; SELECT lo_create(${blob});
        REVOKE ALL ON FUNCTION ${name}.f FROM PUBLIC; REVOKE ALL ON TYPE ${name}.d FROM PUBLIC;
        GRANT CREATE ON DATABASE postgres TO ${users.clone}; GRANT USAGE ON SCHEMA ${name} TO ${users.clone};
        GRANT SELECT (id) ON ${name}.t TO ${users.clone}; GRANT USAGE ON SEQUENCE ${name}.s TO ${users.clone};
        GRANT USAGE ON TYPE ${name}.d TO ${users.clone}; GRANT EXECUTE ON FUNCTION ${name}.f TO ${users.clone};
        GRANT USAGE ON FOREIGN DATA WRAPPER ${name} TO ${users.clone}; GRANT USAGE ON FOREIGN SERVER ${name} TO ${users.clone};
        GRANT SELECT ON LARGE OBJECT ${blob} TO ${users.clone}; GRANT SET ON PARAMETER log_statement TO ${users.clone};
        ALTER DEFAULT PRIVILEGES IN SCHEMA ${name} GRANT SELECT ON TABLES TO ${users.clone}`);
      expect((await differences(users)).length).toBeGreaterThanOrEqual(11);

      await prepare(bySuperuser(users));

      expect(await differences(users)).toEqual([]);
      // Past the schema, so that each is refused for itself.
      await server.run(`GRANT USAGE ON SCHEMA ${name} TO PUBLIC; CREATE TABLE ${name}.later ()`);
      for (const use of [
        `CREATE SCHEMA other_${name}`,
        `SELECT id FROM ${name}.t`,
        `SELECT nextval('${name}.s')`,
        `CREATE TEMPORARY TABLE of_type (d ${name}.d)`,
        `SELECT ${name}.f()`,
        `CREATE SERVER other_${name} FOREIGN DATA WRAPPER ${name}`,
        `CREATE USER MAPPING FOR CURRENT_USER SERVER ${name}`,
        `SELECT lo_get(${blob})`,
        "SET log_statement = 'none'",
        `SELECT FROM ${name}.later`,
      ])
        await expect(as(users.clone, use)).rejects.toEqual(NOT_PERMITTED);
    });
  });

  describe('attributes', () => {
    test.each([
      ['CREATEDB', 'rolcreatedb'],
      ['CREATEROLE', 'rolcreaterole'],
    ])('%s is given to the alternate user, and taken from it again', async (attribute, column) => {
      const users = await newUsers();
      const read = () =>
        asAdmin(`SELECT array_agg(DISTINCT ${column}) AS both FROM pg_roles WHERE rolname LIKE '${users.app}%'`);
      await asAdmin(`ALTER ROLE ${users.app} ${attribute}`);
      await prepare(users);
      expect(await read()).toEqual([{ both: [true] }]);
      await asAdmin(`ALTER ROLE ${users.app} NO${attribute}`);

      await prepare(users);

      expect(await read()).toEqual([{ both: [false] }]);
    });

    test.each(['BYPASSRLS', 'REPLICATION'])(
      '%s is refused with the statement to run when the administrator does not have it',
      async (attribute) => {
        const users = await newUsers();
        await server.run(`ALTER ROLE ${users.app} ${attribute}`);

        expect(await missingFor(users)).toEqual([`ALTER ROLE "${users.clone}" ${attribute};`]);
      },
    );

    test('CONNECTION LIMIT and VALID UNTIL are those of the current user', async () => {
      const users = await newUsers();
      await asAdmin(`ALTER ROLE ${users.app} CONNECTION LIMIT 7 VALID UNTIL '2100-01-01 00:00:00+00'`);

      await prepare(users);

      expect(
        await asAdmin(`SELECT rolconnlimit AS "limit", rolvaliduntil AT TIME ZONE 'UTC' = '2100-01-01' AS "until"
          FROM pg_roles WHERE rolname = '${users.clone}'`),
      ).toEqual([{ limit: 7, until: true }]);
    });

    test('a VALID UNTIL that the current user no longer has does not outlive it', async () => {
      const users = await newUsers();
      await prepare(users);
      await asAdmin(`ALTER ROLE ${users.clone} VALID UNTIL '2001-01-01'`);

      await prepare(users);

      await as(users.clone, 'SELECT 1');
    });

    test('SUPERUSER is refused: it is not lent', async () => {
      const users = await newUsers();
      await server.run(`GRANT ${users.app} TO rekey_admin WITH ADMIN OPTION; ALTER ROLE ${users.app} SUPERUSER`);

      await expect(prepare(users)).rejects.toHaveProperty(
        'code',
        expect.stringMatching(/RIGHTS_DIFFER|PRIVILEGE_MISSING/),
      );
    });
  });

  describe('settings of a role', () => {
    test('are given to the alternate user as they are, per database too, and taken from it again', async () => {
      const users = await newUsers();
      await server.run(`
        ALTER ROLE ${users.app} SET search_path TO public, "with, comma", "with ""quote""";
        ALTER ROLE ${users.app} SET work_mem TO '12345kB';
        ALTER ROLE ${users.app} SET "my.setting" TO 'it''s \\ $1';
        ALTER ROLE ${users.app} IN DATABASE postgres SET statement_timeout TO 4321`);
      const read = async (user: string) =>
        asAdmin(`SELECT setdatabase, unnest(setconfig) AS line FROM pg_db_role_setting
          WHERE setrole = '${user}'::regrole ORDER BY 1, 2`);

      await prepare(bySuperuser(users));

      expect(await read(users.clone)).toEqual(await read(users.app));
      expect(await read(users.clone)).toHaveLength(4);
      expect(
        await as(users.clone, `SELECT current_setting('search_path') AS path, current_setting('my.setting') AS mine`),
      ).toEqual([{ path: 'public, "with, comma", "with ""quote"""', mine: "it's \\ $1" }]);

      await server.run(`ALTER ROLE ${users.app} RESET ALL`);
      await prepare(bySuperuser(users));

      expect(await read(users.clone)).toHaveLength(1);
    });

    test('"$user" in search_path, where it finds a schema for one of the two only, is for a person to settle', async () => {
      const users = await newUsers();
      await server.run(`CREATE SCHEMA ${users.app}`);
      const statement = `ALTER ROLE "${users.app}" SET search_path TO "${users.app}", public;`;

      for (const attempt of [missingFor(users), prepare(users)])
        await expect(attempt).rejects.toMatchObject({
          code: 'RIGHTS_DIFFER',
          message: expect.stringContaining(statement),
        });

      await asAdmin(statement);
      await prepare(users);
      await server.run(`GRANT USAGE ON SCHEMA ${users.app} TO ${users.app}`);
      expect(await as(users.clone, 'SELECT current_schema() AS name')).toEqual([{ name: users.app }]);
    });
  });

  describe('memberships in other roles', () => {
    test('give their rights and SET ROLE to both users', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(`CREATE ROLE ${readers}; CREATE TABLE of_${readers} (); GRANT SELECT ON of_${readers} TO ${readers};
        GRANT ${readers} TO ${users.app}`);

      await prepare(users);

      await as(users.clone, `SELECT FROM of_${readers}; SET ROLE ${readers}`);
      expect(await differences(users)).toEqual([]);
    });

    since16('without INHERIT stay without it for both', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(`CREATE ROLE ${readers}; CREATE TABLE of_${readers} (); GRANT SELECT ON of_${readers} TO ${readers};
        GRANT ${readers} TO ${users.app} WITH INHERIT FALSE`);

      await prepare(users);

      for (const user of [users.app, users.clone]) {
        await expect(as(user, `SELECT FROM of_${readers}`)).rejects.toEqual(NOT_PERMITTED);
        await as(user, `SET ROLE ${readers}; SELECT FROM of_${readers}`);
      }
    });

    since16('without SET give their rights to both users, and let neither become the role', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(`CREATE ROLE ${readers}; CREATE TABLE of_${readers} (); GRANT SELECT ON of_${readers} TO ${readers};
        GRANT ${readers} TO ${users.app} WITH SET FALSE`);

      await prepare(users);

      for (const user of [users.app, users.clone]) {
        await as(user, `SELECT FROM of_${readers}`);
        await expect(as(user, `SET ROLE ${readers}`)).rejects.toEqual(NOT_PERMITTED);
      }
      expect(await differences(users)).toEqual([]);
    });

    test('WITH ADMIN OPTION let both pass them on', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(
        `CREATE ROLE ${readers}; CREATE ROLE other_${readers}; GRANT ${readers} TO ${users.app} WITH ADMIN OPTION`,
      );

      await prepare(users);

      await as(users.clone, `GRANT ${readers} TO other_${readers}`);
    });

    test('of the clone alone, made while it is current, go to the first user', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await prepare(users);
      await asAdmin(`CREATE ROLE ${readers}; GRANT ${readers} TO ${users.clone} WITH ADMIN OPTION`);

      await prepare(users.back);

      for (const user of [users.app, users.clone]) await as(user, `SET ROLE ${readers}`);
      expect(await differences(users.back)).toEqual([]);
    });

    since16('of both users keep their rights when one of the clone alone is changed while it is current', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(`CREATE ROLE ${readers}; CREATE ROLE other_${readers};
        CREATE TABLE of_${readers} (); GRANT SELECT ON of_${readers} TO ${readers}; GRANT ${readers} TO ${users.app}`);
      await prepare(users);
      await asAdmin(`GRANT ${readers} TO ${users.clone} WITH ADMIN OPTION`);

      await prepare(users.back);

      for (const user of [users.app, users.clone])
        await as(user, `SELECT FROM of_${readers}; GRANT ${readers} TO other_${readers}`);
      expect(await differences(users.back)).toEqual([]);
    });

    test('in a role that either of them made let both administer it', async () => {
      const users = await newUsers();
      await server.run(`ALTER ROLE ${users.app} CREATEROLE`);
      await prepare(users);
      for (const maker of [users.app, users.clone]) await as(maker, `CREATE ROLE made_by_${maker}`);
      expect(await differences(users)).toEqual(
        version < 16 ? [] : [`${users.app} is not the member of made_by_${users.clone} that ${users.clone} is`],
      );

      await prepare(users);
      await prepare(users.back);

      for (const pair of [users.back, users]) expect(await differences(pair)).toEqual([]);
      // From 16 on its maker is not in it by itself.
      for (const role of [`made_by_${users.app}`, `made_by_${users.clone}`]) {
        await as(users.app, `GRANT ${role} TO ${users.app}`);
        await prepare(users);
        await as(users.clone, `SET ROLE ${role}`);
        expect(await differences(users)).toEqual([]);
      }
      await as(users.clone, `ALTER ROLE made_by_${users.app} CONNECTION LIMIT 3; DROP ROLE made_by_${users.app}`);
      await as(users.app, `ALTER ROLE made_by_${users.clone} CONNECTION LIMIT 3; DROP ROLE made_by_${users.clone}`);
    });

    test('that were revoked are gone from the alternate user', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(`CREATE ROLE ${readers}; GRANT ${readers} TO ${users.app}`);
      await prepare(users);
      await asAdmin(`REVOKE ${readers} FROM ${users.app}`);

      await prepare(users);

      await expect(as(users.clone, `SET ROLE ${readers}`)).rejects.toEqual(NOT_PERMITTED);
    });

    since16('revoked from the first user while the clone is current are for a person to settle', async () => {
      const users = await newUsers();
      const readers = `readers_${users.app}`;
      await asAdmin(`CREATE ROLE ${readers}; GRANT ${readers} TO ${users.app}`);
      await prepare(users);
      await asAdmin(`REVOKE ${readers} FROM ${users.app}`);

      await expect(prepare(users.back)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`REVOKE "${readers}" FROM "${users.clone}";`),
      });
    });
  });

  describe('default privileges', () => {
    test('let others use what either user creates', async () => {
      const users = await newUsers();
      const [schema, reporter] = [`s_${users.app}`, `reporter_${users.app}`];
      await server.run(`CREATE SCHEMA ${schema}; GRANT USAGE ON SCHEMA ${schema} TO PUBLIC;
        GRANT CREATE ON SCHEMA ${schema} TO ${users.app}`);
      await asAdmin(`CREATE ROLE ${reporter} LOGIN PASSWORD '${PASSWORD}'`);
      await as(
        users.app,
        `ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT SELECT ON TABLES TO ${reporter};
        ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`,
      );

      await prepare(users);
      expect(await differences(users)).toEqual([]);

      await as(
        users.clone,
        `CREATE TABLE ${schema}.t ();
        CREATE FUNCTION ${schema}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
      );
      await as(reporter, `SELECT FROM ${schema}.t`);
      await expect(as(reporter, `SELECT ${schema}.f()`)).rejects.toEqual(NOT_PERMITTED);
    });

    test('given to the clone in another database, where nothing was made yet, go to the first user', async () => {
      const users = await newUsers();
      const other = `to_come_${users.app}`;
      await asAdmin(`CREATE DATABASE ${other}`);
      await prepare(users);
      const { username, password } = server.admin;
      await as(username, `ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${users.clone}`, password, other);
      expect(await differences(users.back)).toEqual([expect.stringContaining(`in database ${other}`)]);

      await prepare(users.back);

      await as(username, 'CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO PUBLIC; CREATE TABLE s.t ()', password, other);
      for (const user of [users.app, users.clone]) await as(user, 'SELECT FROM s.t', PASSWORD, other);
      expect(await differences(users.back)).toEqual([]);
    });

    test('that were taken back are taken back for both', async () => {
      const users = await newUsers();
      await as(users.app, 'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC');
      await prepare(users);
      await as(users.app, 'ALTER DEFAULT PRIVILEGES REVOKE SELECT ON TABLES FROM PUBLIC');

      await prepare(users);

      expect(
        await asAdmin(`SELECT FROM pg_default_acl, aclexplode(defaclacl)
          WHERE defaclrole = '${users.clone}'::regrole AND defaclobjtype = 'r' AND grantee = 0`),
      ).toEqual([]);
    });
  });

  describe('what no statement of ours can settle', () => {
    test('a row-level policy that names the clone alone is named', async () => {
      const users = await newUsers();
      await prepare(users);
      await server.run(`CREATE TABLE rows_${users.app} (); CREATE POLICY mine ON rows_${users.app} TO ${users.clone}`);

      expect(await differences(users.back)).toEqual([
        `policy mine on public.rows_${users.app} in database postgres names ${users.clone} and not ${users.app}: name ${users.app}, it holds for both`,
      ]);
    });

    describe('a row-level policy that goes by the name of the user,', () => {
      const withPolicy = async (users: Users, using: string): Promise<void> =>
        server.run(`CREATE TABLE mine_${users.app} (who) AS VALUES ('${users.app}');
          ALTER TABLE mine_${users.app} ENABLE ROW LEVEL SECURITY; GRANT SELECT ON mine_${users.app} TO ${users.app};
          CREATE POLICY mine ON mine_${users.app} USING (${using})`);

      test.each(['who = current_user', "who = lower('A') OR who = session_user"])(
        'as the clone would see other rows, is named: %s',
        async (using) => {
          const users = await newUsers();
          await withPolicy(users, using);
          const named = expect.stringContaining(
            `policy mine on public.mine_${users.app} in database postgres goes by the name of the user`,
          );

          await expect(prepare(users)).rejects.toMatchObject({ code: 'RIGHTS_DIFFER', message: named });

          expect(await as(users.app, `SELECT who FROM mine_${users.app}`)).toHaveLength(1);
        },
      );

      test('came later: the clone is promoted no more', async () => {
        const users = await newUsers();
        await prepare(users);
        await withPolicy(users, 'who = current_user');

        expect(await as(users.clone, `SELECT who FROM mine_${users.app}`)).toEqual([]);
        expect(await differences(users)).toEqual([expect.stringContaining('goes by the name of the user')]);
      });

      test.each<[string, string]>([
        ['for what is inherited', "pg_has_role(current_user, who::name, 'USAGE')"],
        ['for both by name', "current_user IN ('?', '?_clone')"],
        ['for something else', "who <> '' AND current_setting('search_path') <> 'CURRENT_USER'"],
      ])('asks %s, lets both see the same', async (_, using) => {
        const users = await newUsers();
        await withPolicy(users, using.replaceAll('?', users.app));

        await prepare(users);

        expect(await differences(users)).toEqual([]);
        for (const user of [users.app, users.clone])
          expect(await as(user, `SELECT who FROM mine_${users.app}`)).toHaveLength(1);
      });

      test('is on a table that neither may use, or is switched off, hinders nothing', async () => {
        const users = await newUsers();
        await withPolicy(users, 'who = current_user');
        await server.run(`REVOKE ALL ON mine_${users.app} FROM ${users.app}`);
        await prepare(users);
        expect(await differences(users)).toEqual([]);

        await server.run(`GRANT SELECT ON mine_${users.app} TO ${users.app};
          ALTER TABLE mine_${users.app} DISABLE ROW LEVEL SECURITY`);

        expect(await differences(users)).toEqual([]);
      });
    });

    test('a user mapping of the current user alone is named', async () => {
      const users = await newUsers();
      await server.run(`CREATE FOREIGN DATA WRAPPER w_${users.app}; CREATE SERVER s_${users.app} FOREIGN DATA WRAPPER w_${users.app};
        CREATE USER MAPPING FOR ${users.app} SERVER s_${users.app} OPTIONS (password 'hunter2')`);

      await expect(prepare(users)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`CREATE USER MAPPING FOR "${users.clone}" SERVER "s_${users.app}"`),
      });
    });

    test('a user mapping of the alternate user alone is named', async () => {
      const users = await newUsers();
      await prepare(users);
      await server.run(`CREATE FOREIGN DATA WRAPPER w_${users.app}; CREATE SERVER s_${users.app} FOREIGN DATA WRAPPER w_${users.app};
        CREATE USER MAPPING FOR ${users.clone} SERVER s_${users.app}`);

      await expect(prepare(users)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`DROP USER MAPPING FOR "${users.clone}" SERVER "s_${users.app}"`),
      });
    });

    test('a user mapping of one of the two in another database is named, and one for each is no difference', async () => {
      const users = await newUsers();
      const other = `mapped_${users.app}`;
      await asAdmin(`CREATE DATABASE ${other}`);
      await prepare(users);
      await server.run(
        `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE USER MAPPING FOR ${users.app} SERVER s`,
        other,
      );

      expect(await differences(users)).toEqual([expect.stringContaining(`in database ${other}`)]);
      await expect(prepare(users)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`CREATE USER MAPPING FOR "${users.clone}" SERVER "s"`),
      });

      await server.run(`CREATE USER MAPPING FOR ${users.clone} SERVER s`, other);
      for (const pair of [users, users.back]) {
        await prepare(pair);
        expect(await differences(pair)).toEqual([]);
      }
    });

    test('a policy in another database that names both is no difference', async () => {
      const users = await newUsers();
      const other = `policed_${users.app}`;
      await asAdmin(`CREATE DATABASE ${other}`);
      await prepare(users);
      await server.run(`CREATE TABLE t (); CREATE POLICY p ON t TO ${users.app}, ${users.clone}`, other);

      for (const pair of [users, users.back]) {
        await prepare(pair);
        expect(await differences(pair)).toEqual([]);
      }
    });

    test('a security label of one of the two is named: a module may go by it', async () => {
      const users = await newUsers();
      await prepare(users);
      await server.run(`SET allow_system_table_mods = on; INSERT INTO pg_shseclabel
        VALUES ('${users.app}'::regrole, 'pg_authid'::regclass, 'anon', 'MASKED')`);

      await expect(prepare(users)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`SECURITY LABEL FOR "anon" ON ROLE "${users.clone}" IS 'MASKED';`),
      });
      await expect(prepare(users.back)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`SECURITY LABEL FOR "anon" ON ROLE "${users.app}" IS NULL;`),
      });
      await server.run(`DELETE FROM pg_shseclabel WHERE objoid = '${users.app}'::regrole`);
    });

    test('so is one of the superuser that made the server, of which PostgreSQL records nothing', async () => {
      const { username, password } = server.superuser;
      await server.run(`CREATE ROLE boss_clone SUPERUSER; CREATE FOREIGN DATA WRAPPER w_boss;
        CREATE SERVER s_boss FOREIGN DATA WRAPPER w_boss; CREATE USER MAPPING FOR ${username} SERVER s_boss`);

      const observer = loginOf(username, password);
      const found = await engine.alternatingUsers.differences(pairOf(username, 'boss_clone'), observer, soon());

      expect(found).toContainEqual(expect.stringContaining('CREATE USER MAPPING FOR "boss_clone" SERVER "s_boss"'));
    });

    test('leaves AWSCURRENT as it is: the alternate user is not even created', async () => {
      const users = await newUsers();
      await server.run(`CREATE SCHEMA ${users.app}`);

      await expect(prepare(users)).rejects.toMatchObject({ code: 'RIGHTS_DIFFER' });

      expect(await differences(users)).toEqual([`${users.clone} does not exist`]);
      await as(users.app, 'SELECT 1');
    });
  });

  describe('the administrator', () => {
    since16('has the memberships afterwards that it had before', async () => {
      const users = await newUsers();
      const read = () =>
        asAdmin(`SELECT roleid::regrole::text AS role, grantor::regrole::text, admin_option, inherit_option, set_option
          FROM pg_auth_members WHERE member = 'rekey_admin'::regrole AND roleid IN (SELECT oid FROM pg_roles WHERE rolname LIKE '${users.app}%')
          ORDER BY 1, 2`);
      await asAdmin(`GRANT ${users.app} TO rekey_admin WITH INHERIT FALSE, SET TRUE`);
      await prepare(users);
      const before = await read();
      await server.run(`GRANT CREATE ON SCHEMA public TO ${users.app}`);
      await as(users.clone, `CREATE TABLE owned_${users.app} ()`);

      await prepare(users.back);

      expect(await read()).toEqual(before);
      expect(before).toHaveLength(3);
    });

    since16('keeps no membership that it borrowed, where it may do without another', async () => {
      const users = await newUsers();
      const deputy = `deputy_${users.app}`;
      const owner = `owner_${users.app}`;
      await server.run(
        `CREATE ROLE ${deputy} LOGIN CREATEROLE PASSWORD '${PASSWORD}';
         GRANT ${users.app} TO ${deputy} WITH ADMIN OPTION, INHERIT FALSE, SET FALSE;
         CREATE ROLE ${owner}; GRANT ${owner} TO ${deputy} WITH INHERIT TRUE, SET TRUE`,
      );
      const admin = { ...users.admin, username: deputy, password: new SecretValue(PASSWORD) };
      await prepare({ ...users, admin });
      await server.run(`CREATE TABLE of_${owner} (); ALTER TABLE of_${owner} OWNER TO ${owner}`);
      await as(deputy, `SET ROLE ${owner}; GRANT SELECT ON of_${owner} TO ${users.clone}`);
      await server.run(`GRANT CREATE ON SCHEMA public TO ${users.app}`);
      await as(users.clone, `CREATE TABLE made_${users.clone} ()`);
      const read = () => as(deputy, `SELECT * FROM pg_auth_members WHERE member = '${deputy}'::regrole ORDER BY oid`);
      const before = await read();

      await prepare({ ...users.back, admin });

      expect(await read()).toEqual(before);
      expect(await differences(users.back)).toEqual([]);
    });

    test('keeps no membership from a look at a session that ends at that moment', async () => {
      const users = await newUsers();
      await prepare(users);
      const memberships = () =>
        asAdmin(`SELECT * FROM pg_auth_members WHERE member = 'rekey_admin'::regrole ORDER BY roleid, grantor`);
      const before = await memberships();
      const session = await server.connect({ username: users.clone, password: PASSWORD });
      const sessions = () => asAdmin(`SELECT FROM pg_stat_activity WHERE usename = '${users.clone}'`);
      const trust = { ca: server.ca, allowLoopback: true };

      const seen = await withConnection(users.admin, trust, soon(), async (connection) => {
        await connection.query('BEGIN');
        const open = await disableLogin(
          {
            ...connection,
            async query<Row>(sql: string) {
              const rows = await connection.query<Row>(sql);
              if (sql.includes('pg_stat_activity') && rows.length > 0) {
                await session.end();
                for (const giveUpAtMs = Date.now() + 10_000; (await sessions()).length > 0; )
                  if (Date.now() > giveUpAtMs) throw new Error('the session does not end');
              }
              return rows;
            },
          },
          users,
        );
        await connection.query('COMMIT');
        return open;
      });

      expect(seen).toEqual([]);
      expect(await memberships()).toEqual(before);
    });

    test('without CREATEROLE is told so', async () => {
      const users = await newUsers();
      const weak = `weak_${users.app}`;
      await asAdmin(
        `CREATE ROLE ${weak} LOGIN PASSWORD '${PASSWORD}'; GRANT ${users.app} TO ${weak} WITH ADMIN OPTION`,
      );
      const admin = { ...users.admin, username: weak, password: new SecretValue(PASSWORD) };

      expect(await missingFor({ ...users, admin })).toEqual([`ALTER ROLE "${weak}" CREATEROLE;`]);
    });
  });

  describe('at the same time', () => {
    test('M10: another ALTER ROLE of the same user, "tuple concurrently updated", is repeated', async () => {
      const users = await newUsers();
      let pauses = 0;
      const clock = {
        ...systemClock,
        async sleep() {
          pauses += 1;
        },
      };
      const patient = engineFor(server, server.ca, clock);
      const other = await server.connect(server.admin);
      try {
        await other.query(`BEGIN; ALTER ROLE ${users.app} CONNECTION LIMIT 7`);
        const change = patient.setPassword(
          { acting: loginOf(users.app), username: users.app, password: new SecretValue('password-2') },
          soon(),
        );
        await waiterFor('transactionid');
        await other.query('COMMIT');
        await change;
      } finally {
        await other.end();
      }

      expect(pauses).toBe(1);
      await as(users.app, 'SELECT 1', 'password-2');
    });

    test('two rotations of the same pair follow one another', async () => {
      const users = await newUsers();

      await Promise.all([prepare(users), prepare(users), prepare(users)]);

      expect(await differences(users)).toEqual([]);
    });

    test('retiring keeps a rotation of the same pair waiting until it is decided', async () => {
      const users = await newUsers();
      await prepare(users);
      const order: string[] = [];
      let rotation: Promise<void> = Promise.resolve();

      await engine.alternatingUsers.disableAlternate(
        users,
        async () => {
          rotation = prepare(users).then(() => {
            order.push('rotated');
          });
          await waiterFor('advisory');
          order.push('decided');
          return true;
        },
        soon(),
      );
      await rotation;

      expect(order).toEqual(['decided', 'rotated']);
      await as(users.clone, 'SELECT 1');
    });

    async function waiterFor(lock: 'advisory' | 'transactionid'): Promise<void> {
      const giveUpAt = Date.now() + 10_000;
      while ((await asAdmin(`SELECT FROM pg_locks WHERE locktype = '${lock}' AND NOT granted`)).length === 0)
        if (Date.now() > giveUpAt) throw new Error('nobody waits for the lock');
    }

    test('an object that the application holds locked makes it busy, not stuck', async () => {
      const users = await newUsers();
      await server.run(`GRANT CREATE ON SCHEMA public TO ${users.app}`);
      await prepare(users);
      const session = await server.connect({ username: users.clone, password: PASSWORD });
      try {
        await session.query(`CREATE TABLE held_${users.app} ()`);
        await session.query(`BEGIN; SELECT FROM held_${users.app}`);

        await expect(prepare(users.back)).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });
      } finally {
        await session.end();
      }
    });
  });
});
