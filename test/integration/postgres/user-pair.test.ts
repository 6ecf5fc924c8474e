import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import type { PostgresEngine } from '../../../shared/engines/postgres.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';
import { engineFor, loginAt, PASSWORD, runAs, soon } from './bench.ts';

/* M numbers: the measured failures of AWS's rotation functions, and what cures them. */

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('a user pair on PostgreSQL %s', (version) => {
  let server: PostgresServer;
  let engine: PostgresEngine;
  let count = 0;

  beforeAll(async () => {
    server = await startPostgres({ version });
    engine = engineFor(server);
    await server.run('GRANT CREATE ON DATABASE postgres TO rekey_admin WITH GRANT OPTION');
  });
  afterAll(() => server?.stop());

  const loginOf = (username: string, password = PASSWORD) => loginAt(server, username, password);

  interface Pair extends AdministeredPair {
    /** The same two with their parts exchanged. */
    readonly back: AdministeredPair;
    readonly owner: string;
  }

  /** A user that the administrator created, as on RDS; no other test uses the names. */
  async function newPair(make = asAdmin): Promise<Pair> {
    count += 1;
    const [current, alternate] = [`app${count}`, `app${count}_b`];
    await make(`CREATE ROLE ${current} LOGIN PASSWORD '${PASSWORD}'`);
    const pair = {
      admin: loginOf(server.admin.username, server.admin.password),
      current,
      alternate,
      database: 'postgres',
      acceptTakeOver: version < 16,
    };
    return { ...pair, back: { ...pair, current: alternate, alternate: current }, owner: `${current}_owner` };
  }

  const createPeer = (pair: AdministeredPair) => engine.userPair.createPeer(pair, new SecretValue(PASSWORD), soon());
  const bySuperuser = (pair: AdministeredPair): AdministeredPair => ({
    ...pair,
    admin: loginOf(server.superuser.username, server.superuser.password),
  });
  const differences = (pair: AdministeredPair) =>
    engine.userPair.peerDifferences(loginOf(pair.current), loginOf(pair.alternate), soon());
  const asAdmin = (sql: string, database?: string) => as(server.admin.username, sql, server.admin.password, database);

  const as = (username: string, sql: string, password = PASSWORD, database = 'postgres') =>
    runAs(server, username, sql, password, database);
  const NOT_PERMITTED = expect.objectContaining({ code: '42501' });
  /** Where the administrator needs ADMIN OPTION in whomever it changes. */
  const since16 = (name: string, fn: () => Promise<void>) => {
    if (version >= 16) test(name, fn);
  };

  describe('M12: two peers', () => {
    test('own together what either of them creates, at once', async () => {
      const pair = await newPair();
      await server.run(`GRANT CREATE ON DATABASE postgres TO ${pair.current}`);
      await createPeer(bySuperuser(pair));

      for (const [maker, other] of [
        [pair.current, pair.alternate],
        [pair.alternate, pair.current],
      ] as const) {
        const schema = `made_by_${maker}`;
        await as(
          maker,
          `CREATE SCHEMA ${schema}; CREATE TABLE ${schema}.t (id serial); CREATE SEQUENCE ${schema}.s;
           CREATE FUNCTION ${schema}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TYPE ${schema}.e AS ENUM ('a')`,
        );
        await as(
          other,
          `INSERT INTO ${schema}.t DEFAULT VALUES; SELECT nextval('${schema}.s'), ${schema}.f(), 'a'::${schema}.e;
           ALTER TABLE ${schema}.t ADD a int; ALTER TYPE ${schema}.e RENAME TO g; DROP SCHEMA ${schema} CASCADE`,
        );
      }
      expect(await differences(pair)).toEqual([]);
    });

    test('M3: cannot become one another, nor change the password of the other', async () => {
      const pair = await newPair();
      await createPeer(pair);

      for (const [thief, victim] of [
        [pair.current, pair.alternate],
        [pair.alternate, pair.current],
      ] as const)
        for (const start of ['', 'SET ROLE NONE; '])
          for (const attack of [
            `SET ROLE ${victim}`,
            `ALTER ROLE ${victim} PASSWORD 'evil'`,
            `GRANT ${victim} TO ${thief}`,
            `ALTER ROLE ${pair.owner} LOGIN PASSWORD 'evil'`,
          ])
            await expect(as(thief, start + attack)).rejects.toEqual(NOT_PERMITTED);
    });

    test('act as an owner who cannot log in', async () => {
      const pair = await newPair();
      await createPeer(pair);

      for (const user of [pair.current, pair.alternate])
        expect(await as(user, 'SELECT session_user::text AS who, current_user::text AS acting')).toEqual([
          { who: user, acting: pair.owner },
        ]);
      expect(await asAdmin(`SELECT rolcanlogin AS login FROM pg_roles WHERE rolname = '${pair.owner}'`)).toEqual([
        { login: false },
      ]);
    });

    test('change their own passwords all the same', async () => {
      const pair = await newPair();
      await createPeer(pair);

      await engine.setPassword(
        { acting: loginOf(pair.alternate), username: pair.alternate, password: new SecretValue('password-2') },
        soon(),
      );

      await as(pair.alternate, 'SELECT 1', 'password-2');
      expect(
        await engine.userPair.peerDifferences(loginOf(pair.current), loginOf(pair.alternate, 'password-2'), soon()),
      ).toEqual([]);
    });
  });

  describe('createPeer', () => {
    test('M2: hands over what the current user made, in every database, and both may alter it', async () => {
      const pair = await newPair();
      const other = `other_${pair.current}`;
      await asAdmin(`CREATE DATABASE ${other}`);
      await asAdmin(
        `GRANT CREATE ON DATABASE ${other} TO ${pair.current}; GRANT CREATE ON DATABASE postgres TO ${pair.current}`,
      );
      await as(pair.current, `CREATE SCHEMA old_${pair.current}; CREATE TABLE old_${pair.current}.t (id int)`);
      await as(pair.current, 'CREATE SCHEMA s; CREATE TABLE s.t (id int)', PASSWORD, other);

      await createPeer(pair);

      for (const user of [pair.current, pair.alternate]) {
        await as(user, `ALTER TABLE old_${pair.current}.t ADD ${user} int`);
        await as(user, `ALTER TABLE s.t ADD ${user} int`, PASSWORD, other);
      }
      expect(await differences(pair)).toEqual([]);
    });

    test('M7: hands over what the current user was granted, of every kind, GRANT OPTION and all', async () => {
      const pair = await newPair();
      const name = `kinds_${pair.current}`;
      await server.run(`
        CREATE SCHEMA ${name}; CREATE TABLE ${name}.t (id int, note text); CREATE SEQUENCE ${name}.s; CREATE DOMAIN ${name}.d AS int;
        CREATE FUNCTION ${name}.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE FOREIGN DATA WRAPPER ${name};
        CREATE SERVER ${name} FOREIGN DATA WRAPPER ${name}; SELECT lo_create(${1000 + count});
        REVOKE ALL ON FUNCTION ${name}.f FROM PUBLIC; REVOKE ALL ON TYPE ${name}.d FROM PUBLIC;
        GRANT CREATE ON DATABASE postgres TO ${pair.current}; GRANT USAGE ON SCHEMA ${name} TO ${pair.current};
        GRANT SELECT ON ${name}.t TO ${pair.current} WITH GRANT OPTION; GRANT UPDATE (note) ON ${name}.t TO ${pair.current};
        GRANT USAGE ON SEQUENCE ${name}.s TO ${pair.current}; GRANT USAGE ON TYPE ${name}.d TO ${pair.current};
        GRANT EXECUTE ON FUNCTION ${name}.f TO ${pair.current}; GRANT USAGE ON FOREIGN DATA WRAPPER ${name} TO ${pair.current};
        GRANT USAGE ON FOREIGN SERVER ${name} TO ${pair.current}; GRANT SELECT ON LARGE OBJECT ${1000 + count} TO ${pair.current};
        GRANT SET ON PARAMETER log_statement TO ${pair.current};
        ALTER DEFAULT PRIVILEGES IN SCHEMA ${name} GRANT SELECT ON TABLES TO ${pair.current}`);

      await createPeer(bySuperuser(pair));

      await server.run(`CREATE TABLE ${name}.later ()`);
      for (const user of [pair.current, pair.alternate]) {
        await as(
          user,
          `SELECT FROM ${name}.t; UPDATE ${name}.t SET note = ''; SELECT nextval('${name}.s'), 1::${name}.d, ${name}.f(1, ''),
           lo_get(${1000 + count}); SET log_statement = 'none'; CREATE TEMPORARY TABLE of_type (d ${name}.d); SELECT FROM ${name}.later`,
        );
        await asAdmin(`CREATE ROLE reader_of_${user}`);
        await as(user, `GRANT SELECT ON ${name}.t TO reader_of_${user}`);
        expect(await as(user, `SELECT has_table_privilege('reader_of_${user}', '${name}.t', 'SELECT') AS yes`)).toEqual(
          [{ yes: true }],
        );
      }
      expect(await differences(pair)).toEqual([]);
    });

    test.each(['current', 'alternate'] as const)(
      'M7: takes nothing from those that the %s user passed its rights on to',
      async (who) => {
        const pair = await newPair();
        const table = `m7_${pair.current}`;
        const [reader, further] = [`reader_${pair.current}`, `further_${pair.current}`];
        await asAdmin(`CREATE ROLE ${reader}; CREATE ROLE ${further}; ${who === 'alternate' ? `CREATE ROLE ${pair.alternate}` : ''};
          CREATE SCHEMA ${table}; CREATE TABLE ${table}.t (); GRANT ALL ON SCHEMA ${table} TO PUBLIC;
          GRANT SELECT ON ${table}.t TO ${pair[who]} WITH GRANT OPTION`);
        await server.run(`SET ROLE ${pair[who]}; GRANT SELECT ON ${table}.t TO ${reader} WITH GRANT OPTION;
          SET ROLE ${reader}; GRANT SELECT ON ${table}.t TO ${further}`);

        await createPeer(pair);

        for (const role of [reader, further])
          expect(await asAdmin(`SELECT has_table_privilege('${role}', '${table}.t', 'SELECT') AS yes`)).toEqual([
            { yes: true },
          ]);
        expect(await differences(pair)).toEqual([]);
      },
    );

    test('M8: leaves no copy of a right, so that a REVOKE is one for both', async () => {
      const pair = await newPair();
      const table = `m8_${pair.current}`;
      await asAdmin(`CREATE SCHEMA ${table}; CREATE TABLE ${table}.t (); GRANT USAGE ON SCHEMA ${table} TO ${pair.current};
        GRANT SELECT ON ${table}.t TO ${pair.current}`);
      await createPeer(pair);
      for (const user of [pair.current, pair.alternate]) await as(user, `SELECT FROM ${table}.t`);

      await asAdmin(`REVOKE SELECT ON ${table}.t FROM ${pair.owner}`);
      await createPeer(pair);

      for (const user of [pair.current, pair.alternate])
        await expect(as(user, `SELECT FROM ${table}.t`)).rejects.toEqual(NOT_PERMITTED);
    });

    test('M8: takes away what the alternate user alone had', async () => {
      const pair = await newPair();
      const table = `m8_${pair.current}`;
      await asAdmin(`CREATE SCHEMA ${table}; CREATE TABLE ${table}.t (); CREATE ROLE ${pair.alternate};
        GRANT USAGE ON SCHEMA ${table} TO ${pair.alternate}; GRANT SELECT ON ${table}.t TO ${pair.alternate}`);

      await createPeer(pair);

      for (const user of [pair.current, pair.alternate])
        await expect(as(user, `SELECT FROM ${table}.t`)).rejects.toEqual(NOT_PERMITTED);
      expect(await differences(pair)).toEqual([]);
    });

    test('hands over memberships, with what they allow', async () => {
      const pair = await newPair();
      const [readers, granted] = [`readers_${pair.current}`, `granted_${pair.current}`];
      await asAdmin(`CREATE ROLE ${readers}; CREATE ROLE ${granted}; GRANT ${readers} TO ${pair.current} WITH ADMIN OPTION;
        CREATE SCHEMA ${readers}; CREATE TABLE ${readers}.t (); GRANT USAGE ON SCHEMA ${readers} TO ${readers};
        GRANT SELECT ON ${readers}.t TO ${readers}`);

      await createPeer(pair);

      for (const user of [pair.current, pair.alternate])
        await as(user, `SELECT FROM ${readers}.t; GRANT ${readers} TO ${granted}; SET ROLE ${readers}`);
      expect(await differences(pair)).toEqual([]);
    });

    since16('hands over what a membership allows to the two of an alternating pair together', async () => {
      const pair = await newPair();
      const readers = `readers_${pair.current}`;
      await asAdmin(`CREATE ROLE ${readers}; CREATE ROLE ${pair.alternate}; CREATE SCHEMA ${readers}; CREATE TABLE ${readers}.t ();
        GRANT USAGE ON SCHEMA ${readers} TO ${readers}; GRANT SELECT ON ${readers}.t TO ${readers};
        GRANT ${readers} TO ${pair.alternate}; GRANT ${pair.alternate} TO ${pair.current} WITH INHERIT TRUE, SET FALSE;
        GRANT ${readers} TO ${pair.current} WITH INHERIT FALSE, SET TRUE`);
      await as(pair.current, `SELECT FROM ${readers}.t`);

      await createPeer(pair);

      for (const user of [pair.current, pair.alternate])
        await as(user, `SELECT FROM ${readers}.t; SET ROLE ${readers}`);
    });

    test('hands over roles that the current user made', async () => {
      const pair = await newPair();
      const made = `made_by_${pair.current}`;
      await server.run(`ALTER ROLE ${pair.current} CREATEROLE`);
      await as(pair.current, `CREATE ROLE ${made}`);
      await server.run(`ALTER ROLE ${pair.current} NOCREATEROLE`);

      await createPeer(pair);

      for (const user of [pair.current, pair.alternate])
        if (version >= 16) await as(user, `GRANT ${made} TO pg_monitor; REVOKE ${made} FROM pg_monitor`);
      expect(await differences(pair)).toEqual([]);
    });

    test('gives the owner and the peer the attributes and settings of the current user', async () => {
      const pair = await newPair();
      await server.run(`
        ALTER ROLE ${pair.current} CREATEDB CONNECTION LIMIT 7 VALID UNTIL '2100-01-01 00:00:00+00';
        ALTER ROLE ${pair.current} SET work_mem TO '12345kB'; ALTER ROLE ${pair.current} SET search_path TO "with, comma", public;
        ALTER ROLE ${pair.current} IN DATABASE postgres SET "my.setting" TO 'it''s'`);

      await createPeer(bySuperuser(pair));

      for (const user of [pair.current, pair.alternate]) {
        await as(user, `CREATE DATABASE of_${user}`);
        expect(
          await as(
            user,
            `SELECT current_setting('work_mem') AS mem, current_setting('search_path') AS path, current_setting('my.setting') AS mine`,
          ),
        ).toEqual([{ mem: '12345kB', path: '"with, comma", public', mine: "it's" }]);
      }
      expect(
        await asAdmin(`SELECT DISTINCT rolconnlimit AS "limit", rolvaliduntil AT TIME ZONE 'UTC' = '2100-01-01' AS "until"
          FROM pg_roles WHERE rolname IN ('${pair.current}', '${pair.alternate}')`),
      ).toEqual([{ limit: 7, until: true }]);
      expect(await differences(pair)).toEqual([]);
    });

    test('hands over what others may do with what is created', async () => {
      const pair = await newPair();
      const [schema, reporter] = [`s_${pair.current}`, `reporter_${pair.current}`];
      await asAdmin(
        `CREATE ROLE ${reporter} LOGIN PASSWORD '${PASSWORD}'; GRANT CREATE ON DATABASE postgres TO ${pair.current}`,
      );
      await as(
        pair.current,
        `CREATE SCHEMA ${schema}; GRANT USAGE ON SCHEMA ${schema} TO PUBLIC;
         ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT SELECT ON TABLES TO ${reporter};
         ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`,
      );

      await createPeer(pair);

      await as(
        pair.alternate,
        `CREATE TABLE ${schema}.t (); CREATE FUNCTION ${schema}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
      );
      await as(reporter, `SELECT FROM ${schema}.t`);
      await expect(as(reporter, `SELECT ${schema}.f()`)).rejects.toEqual(NOT_PERMITTED);
      expect(await differences(pair)).toEqual([]);

      // What is decided later is decided for the owner, and not brought back.
      await as(pair.current, `ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} REVOKE SELECT ON TABLES FROM ${reporter}`);
      await createPeer(pair);
      await as(pair.alternate, `CREATE TABLE ${schema}.later ()`);
      await expect(as(reporter, `SELECT FROM ${schema}.later`)).rejects.toEqual(NOT_PERMITTED);
    });

    test.each([false, true])(
      'makes peers of an alternating pair, its clone being current: %s',
      async (cloneIsCurrent) => {
        const pair = await newPair();
        await asAdmin(`GRANT CREATE ON DATABASE postgres TO ${pair.current}`);
        await as(pair.current, `CREATE SCHEMA s_${pair.current}; CREATE TABLE s_${pair.current}.first ()`);
        await engine.alternatingUsers.prepareAlternate(pair, new SecretValue(PASSWORD), async () => true, soon());
        await as(pair.alternate, `CREATE TABLE s_${pair.current}.second ()`);

        await createPeer(cloneIsCurrent ? pair.back : pair);

        for (const user of [pair.current, pair.alternate])
          for (const table of ['first', 'second'])
            await as(user, `ALTER TABLE s_${pair.current}.${table} ADD ${user} int`);
        for (const [thief, victim] of [
          [pair.current, pair.alternate],
          [pair.alternate, pair.current],
        ] as const)
          await expect(as(thief, `SET ROLE NONE; SET ROLE ${victim}`)).rejects.toEqual(NOT_PERMITTED);
        expect(await differences(pair)).toEqual([]);
      },
    );

    test('leaves an open session of the current user all its rights', async () => {
      const pair = await newPair();
      await asAdmin(`GRANT CREATE ON DATABASE postgres TO ${pair.current}`);
      const session = await server.connect({ username: pair.current, password: PASSWORD });
      try {
        await session.query(`CREATE SCHEMA s_${pair.current}; CREATE TABLE s_${pair.current}.t ()`);

        await createPeer(pair);

        await session.query(`SELECT FROM s_${pair.current}.t; ALTER TABLE s_${pair.current}.t ADD a int`);
      } finally {
        await session.end();
      }
    });

    test('that fails on the way leaves the current user all its rights, and goes on when it is repeated', async () => {
      const pair = await newPair();
      await asAdmin(`GRANT CREATE ON DATABASE postgres TO ${pair.current}`);
      await as(pair.current, `CREATE SCHEMA s_${pair.current}; CREATE TABLE s_${pair.current}.t ()`);
      const session = await server.connect({ username: pair.current, password: PASSWORD });
      try {
        await session.query(`BEGIN; SELECT FROM s_${pair.current}.t`);

        await expect(createPeer(pair)).rejects.toMatchObject({ code: 'DATABASE_BUSY', retryable: true });

        await as(pair.current, `SELECT FROM s_${pair.current}.t`);
        await session.query('COMMIT');
      } finally {
        await session.end();
      }
      await createPeer(pair);
      await as(pair.alternate, `ALTER TABLE s_${pair.current}.t ADD a int`);
      expect(await differences(pair)).toEqual([]);
    });

    test('leaves the administrator the memberships that it had', async () => {
      const pair = await newPair();
      await asAdmin(`GRANT CREATE ON DATABASE postgres TO ${pair.current}`);
      await as(pair.current, `CREATE SCHEMA s_${pair.current}`);
      const memberships = () =>
        asAdmin(`SELECT m.* FROM pg_auth_members m JOIN pg_roles r ON r.oid = roleid WHERE member = 'rekey_admin'::regrole
          AND r.rolname = '${pair.current}' ORDER BY grantor`);
      const before = await memberships();

      await createPeer(pair);

      expect(await memberships()).toEqual(before);
    });

    since16(
      'M1: names all statements to run where the administrator did not create the user, and goes on once they were run',
      async () => {
        const pair = await newPair((sql) => server.run(sql).then(() => []));
        await server.run(`GRANT CREATE ON DATABASE postgres TO ${pair.current}`);
        await as(pair.current, `CREATE SCHEMA s_${pair.current}`);

        const error = await createPeer(pair).catch((thrown) => thrown);
        expect(error).toMatchObject({ code: 'PRIVILEGE_MISSING' });
        const [, statements = ''] = error.action.split('run: ');
        expect(statements).toContain(`GRANT "${pair.current}" TO "rekey_admin" WITH ADMIN OPTION;`);
        expect(await as(pair.current, 'SELECT current_user::text AS name')).toEqual([{ name: pair.current }]);

        await server.run(statements);
        await createPeer(pair);
        for (const user of [pair.current, pair.alternate])
          await as(user, `CREATE TABLE s_${pair.current}.of_${user} ()`);
        expect(await differences(pair)).toEqual([]);
      },
    );

    describe('refuses, and leaves the current user as it was,', () => {
      async function expectRefused(pair: AdministeredPair, code: string, what: string): Promise<void> {
        await expect(createPeer(pair)).rejects.toMatchObject({ code });
        const error = await createPeer(pair).catch((thrown) => `${thrown.message} ${thrown.action}`);
        expect(error).toContain(what);
        expect(await as(pair.current, 'SELECT current_user::text AS name')).toEqual([{ name: pair.current }]);
      }

      test('a policy that names one of the two', async () => {
        const pair = await newPair();
        await server.run(
          `CREATE TABLE rows_${pair.current} (); CREATE POLICY mine ON rows_${pair.current} TO ${pair.current}`,
        );

        await expectRefused(
          pair,
          'RIGHTS_DIFFER',
          `ALTER POLICY mine ON public.rows_${pair.current} TO ${pair.current}, "${pair.owner}";`,
        );
      });

      test('a policy that compares with the current user', async () => {
        const pair = await newPair();
        const table = `rows_${pair.current}`;
        await server.run(`CREATE TABLE ${table} (who text); CREATE POLICY mine ON ${table} USING (who = current_user)`);
        try {
          await expectRefused(pair, 'RIGHTS_DIFFER', 'compares with the current user');
        } finally {
          await server.run(`DROP TABLE ${table}`);
        }
      });

      test('a user mapping, whose options nobody else may read', async () => {
        const pair = await newPair();
        await server.run(`CREATE FOREIGN DATA WRAPPER w_${pair.current}; CREATE SERVER s_${pair.current} FOREIGN DATA WRAPPER w_${pair.current};
          CREATE USER MAPPING FOR ${pair.current} SERVER s_${pair.current} OPTIONS (password 'hunter2')`);

        await expectRefused(
          pair,
          'RIGHTS_DIFFER',
          `CREATE USER MAPPING FOR "${pair.owner}" SERVER "s_${pair.current}" OPTIONS (…);`,
        );
      });

      test('"$user" in search_path where it finds a schema', async () => {
        const pair = await newPair();
        await server.run(`CREATE SCHEMA ${pair.current}`);

        await expectRefused(
          pair,
          'RIGHTS_DIFFER',
          `ALTER ROLE "${pair.current}" SET search_path TO "${pair.current}", public;`,
        );
      });

      test('a superuser', async () => {
        const pair = await newPair();
        await server.run(`ALTER ROLE ${pair.current} SUPERUSER`);

        await expectRefused(pair, 'RIGHTS_DIFFER', `${pair.current} is a superuser`);
      });

      test('another role of the name that the owner is to have', async () => {
        const pair = await newPair();
        await asAdmin(`CREATE ROLE ${pair.owner}`);

        await expectRefused(pair, 'USERNAME_INVALID', `GRANT "${pair.owner}" TO "${pair.current}";`);
      });

      test('a name that leaves no room for that of the owner', async () => {
        const long = 'n'.repeat(60);
        await asAdmin(`CREATE ROLE ${long} LOGIN PASSWORD '${PASSWORD}'`);

        await expectRefused({ ...(await newPair()), current: long }, 'USERNAME_INVALID', 'longer than 63 bytes');
      });
    });
  });

  describe('peerDifferences', () => {
    test.each<[string, (pair: Pair) => string, (pair: Pair) => string]>([
      [
        'an attribute',
        ({ current }) => `ALTER ROLE ${current} CREATEDB`,
        ({ current, alternate }) => `${current} has CREATEDB and ${alternate} has not`,
      ],
      [
        'a connection limit',
        ({ alternate }) => `ALTER ROLE ${alternate} CONNECTION LIMIT 3`,
        () => 'they have different CONNECTION LIMITs',
      ],
      [
        'a setting',
        ({ alternate }) => `ALTER ROLE ${alternate} SET work_mem TO '1MB'`,
        ({ current, alternate }) => `${alternate} has the setting work_mem = 1MB and ${current} has not`,
      ],
      [
        'a membership',
        ({ current }) => `GRANT pg_monitor TO ${current}`,
        ({ current, alternate }) => `${current} is a member of pg_monitor and ${alternate} is not`,
      ],
      [
        'a right',
        ({ current }) => `CREATE TABLE right_${current} (); GRANT SELECT ON right_${current} TO ${current}`,
        ({ current, alternate }) =>
          `${current} was granted SELECT on TABLE public.right_${current} and ${alternate} was not`,
      ],
      [
        'a right to come',
        ({ alternate }) => `ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO ${alternate}`,
        ({ current, alternate }) => `${alternate} will be granted SELECT on TABLES of postgres and ${current} will not`,
      ],
      [
        'what it gives to others',
        ({ alternate }) => `ALTER DEFAULT PRIVILEGES FOR ROLE ${alternate} GRANT SELECT ON TABLES TO PUBLIC`,
        ({ current, alternate }) =>
          `${alternate} gives PUBLIC SELECT on TABLES that it creates and ${current} does not`,
      ],
      [
        'an object of its own',
        ({ current }) => `CREATE TABLE own_${current} (); ALTER TABLE own_${current} OWNER TO ${current}`,
        ({ current }) => `${current} owns table public.own_${current} in database postgres by itself`,
      ],
      [
        'a policy',
        ({ current }) => `CREATE TABLE p_${current} (); CREATE POLICY p ON p_${current} TO ${current}`,
        ({ current, alternate }) => `policy p on public.p_${current} names ${current} and not ${alternate}`,
      ],
      [
        'a way to take the other one over',
        ({ current, alternate }) => `GRANT ${current} TO ${alternate}`,
        ({ current, alternate }) => `${alternate} may become ${current}, or change its password`,
      ],
      [
        'a security label',
        ({ current }) => `SET allow_system_table_mods = on; INSERT INTO pg_shseclabel
          VALUES ('${current}'::regrole, 'pg_authid'::regclass, 'anon', 'MASKED')`,
        ({ current, alternate }) => `${current} has the security label MASKED of anon and ${alternate} has not`,
      ],
      ['a superuser', ({ current }) => `ALTER ROLE ${current} SUPERUSER`, ({ current }) => `${current} is a superuser`],
    ])('names %s', async (_, change, sentence) => {
      const pair = await newPair();
      await createPeer(pair);
      await server.run(change(pair));

      expect(await differences(pair)).toContain(sentence(pair));
      expect(await differences(pair.back)).toContain(sentence(pair));
    });

    test.each(['pg_execute_server_program', 'pg_write_server_files'])(
      'M3: names %s, by which one can take the other over',
      async (role) => {
        const pair = await newPair();
        await createPeer(pair);
        await server.run(`GRANT ${role} TO ${pair.owner}`);

        expect(await differences(pair)).toEqual([
          `${pair.current} may become ${pair.alternate}, or change its password`,
          `${pair.alternate} may become ${pair.current}, or change its password`,
        ]);
      },
    );

    test('M3: whoever may write files of the server can take the other over indeed', async () => {
      const pair = await newPair();
      await createPeer(pair);
      await server.run(`GRANT pg_read_all_settings, pg_write_server_files TO ${pair.owner}`);
      const write = (rule: string, user: string, password = PASSWORD) =>
        as(
          user,
          `DO $$ BEGIN EXECUTE format('COPY (SELECT %L) TO %L', '${rule}', current_setting('hba_file')); END $$`,
          password,
        );
      const steal = () => as(pair.alternate, `SET ROLE NONE; ALTER ROLE ${pair.alternate} PASSWORD 'evil'`, 'unknown');
      await expect(steal()).rejects.toThrow('password authentication failed');

      await write('hostssl all all 127.0.0.1/32 trust', pair.current);
      await server.run('SELECT pg_reload_conf()'); // as somebody does one day
      await eventually('a login without the password', () =>
        steal().then(
          () => true,
          () => false,
        ),
      );

      const { username, password } = server.superuser;
      await write('hostssl all all 127.0.0.1/32 scram-sha-256', username, password);
      await server.run('SELECT pg_reload_conf()');
      await eventually('a refusal again', () =>
        steal().then(
          () => false,
          () => true,
        ),
      );
      await as(pair.alternate, 'SELECT 1', 'evil');
    });

    test('names what one of them has in another database', async () => {
      const pair = await newPair();
      await createPeer(pair);
      const other = `other_${pair.current}`;
      await server.run(`CREATE DATABASE ${other}`);
      await server.run(`CREATE TABLE t (); GRANT SELECT ON t TO ${pair.alternate}`, other);
      expect(await differences(pair)).toEqual([`${pair.alternate} has something of its own in database ${other}`]);

      await server.run(`GRANT SELECT ON t TO ${pair.current}`, other);

      expect(await differences(pair)).toEqual([]);
    });

    test('is empty for two users with a user mapping each, here and in another database', async () => {
      const pair = await newPair();
      await asAdmin(`CREATE ROLE ${pair.alternate} LOGIN PASSWORD '${PASSWORD}'`);
      const [name, other] = [`mapped_${pair.current}`, `other_mapped_${pair.current}`];
      await server.run(`CREATE DATABASE ${other}`);
      const map = async (user: string) => {
        for (const database of ['postgres', other])
          await server.run(`CREATE USER MAPPING FOR ${user} SERVER ${name}`, database);
      };
      for (const database of ['postgres', other])
        await server.run(
          `CREATE FOREIGN DATA WRAPPER ${name}; CREATE SERVER ${name} FOREIGN DATA WRAPPER ${name}`,
          database,
        );
      await map(pair.current);
      expect(await differences(pair)).toEqual([
        `${pair.current} has a user mapping for the foreign server ${name} and ${pair.alternate} has none`,
        `${pair.current} has something of its own in database ${other}`,
      ]);

      await map(pair.alternate);

      expect(await differences(pair)).toEqual([]);
    });

    test('is empty for two users that people made, with the same rights each', async () => {
      const pair = await newPair();
      await asAdmin(`CREATE ROLE ${pair.alternate} LOGIN PASSWORD '${PASSWORD}'`);
      await server.run(
        `CREATE TABLE two_${pair.current} (); GRANT SELECT ON two_${pair.current} TO ${pair.current}, ${pair.alternate}`,
      );

      expect(await differences(pair)).toEqual([]);
    });
  });

  if (version < 16)
    test('M3: CREATEROLE, which before 16 is power over every user, is a way to take the other one over', async () => {
      const pair = await newPair();
      await createPeer(pair);
      await server.run(`ALTER ROLE ${pair.current} CREATEROLE; ALTER ROLE ${pair.alternate} CREATEROLE`);

      expect(await differences(pair)).toEqual([
        expect.stringContaining('may become'),
        expect.stringContaining('may become'),
      ]);
    });
});
