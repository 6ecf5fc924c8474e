import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { AdministeredPair } from '../../../shared/engines/port.ts';
import type { PostgresEngine } from '../../../shared/engines/postgres.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { type PostgresServer, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';
import { engineFor, loginAt, PASSWORD, runAs, soon } from './bench.ts';

/* What is special to 15, which has no GRANT … WITH INHERIT, SET. M numbers: the measured failures of AWS's functions. */

describeOnServer(postgresIsInstalled(15), 'alternating users on PostgreSQL 15', () => {
  let server: PostgresServer;
  let engine: PostgresEngine;
  let count = 0;

  beforeAll(async () => {
    server = await startPostgres({ version: 15 });
    engine = engineFor(server);
  });
  afterAll(() => server?.stop());

  const loginOf = (username: string, password = PASSWORD) => loginAt(server, username, password);

  async function newPair(acceptTakeOver = true): Promise<AdministeredPair> {
    count += 1;
    const current = `app${count}`;
    await as(server.admin.username, `CREATE ROLE ${current} LOGIN PASSWORD '${PASSWORD}'`, server.admin.password);
    return {
      admin: loginOf(server.admin.username, server.admin.password),
      current,
      alternate: `${current}_clone`,
      database: 'postgres',
      acceptTakeOver,
    };
  }

  const prepare = (pair: AdministeredPair) =>
    engine.alternatingUsers.prepareAlternate(pair, new SecretValue(PASSWORD), async () => true, soon());
  const differences = (pair: AdministeredPair) =>
    engine.alternatingUsers.differences(pair, loginOf(pair.current), soon());
  const back = (pair: AdministeredPair) => ({ ...pair, current: pair.alternate, alternate: pair.current });

  const as = (username: string, sql: string, password = PASSWORD, database = 'postgres') =>
    runAs(server, username, sql, password, database);

  test('M3: are refused to those who have not accepted the take-over, with what to do, and nothing is changed', async () => {
    const pair = await newPair(false);

    for (const attempt of [
      prepare(pair),
      engine.alternatingUsers.missingForAlternate(pair, soon()),
      engine.alternatingUsers.disableAlternate(pair, async () => true, soon()),
    ])
      await expect(attempt).rejects.toMatchObject({
        code: 'DATABASE_UNSUPPORTED',
        action: expect.stringMatching(/PostgreSQL 16.*user-pair.*rekey:accept = take-over/),
      });

    expect(await differences(pair)).toEqual([`${pair.alternate} does not exist`]);
  });

  test('M3: are what was accepted: the clone can become the first user, and never the other way round', async () => {
    const pair = await newPair();
    await prepare(pair);

    await as(pair.alternate, `SET ROLE ${pair.current}`);
    await expect(as(pair.current, `SET ROLE ${pair.alternate}`)).rejects.toMatchObject({ code: '42501' });
  });

  test('M1: work on users that the administrator did not create', async () => {
    const pair = await newPair();
    await server.run(`CREATE ROLE by_root LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE by_root_clone IN ROLE by_root`);
    const made = { ...pair, current: 'by_root', alternate: 'by_root_clone' };

    expect(await engine.alternatingUsers.missingForAlternate(made, soon())).toEqual([]);
    await prepare(made);

    expect(await differences(made)).toEqual([]);
  });

  test("take a pair over that AWS's function made, and need to change nothing of how the two are related", async () => {
    const pair = await newPair();
    await as(
      server.admin.username,
      `CREATE ROLE ${pair.alternate} LOGIN PASSWORD '${PASSWORD}'; GRANT ${pair.current} TO ${pair.alternate};
       ALTER ROLE ${pair.alternate} SET role TO ${pair.current}`,
      server.admin.password,
    );
    const memberships = () =>
      as(pair.current, `SELECT roleid, member, admin_option FROM pg_auth_members ORDER BY 1, 2`);
    const before = await memberships();

    await prepare(pair);

    expect(await memberships()).toEqual(before);
    expect(await differences(pair)).toEqual([]);
    // The known way around M2 is no further risk here.
    expect(await as(pair.alternate, 'SELECT current_user::text AS name')).toEqual([{ name: pair.current }]);
  });

  test('give a clone with NOINHERIT its rights back', async () => {
    const pair = await newPair();
    await server.run(`CREATE TABLE t_${pair.current} (); GRANT SELECT ON t_${pair.current} TO ${pair.current}`);
    await prepare(pair);
    await server.run(`ALTER ROLE ${pair.alternate} NOINHERIT`);
    expect(await differences(pair)).toEqual([expect.stringContaining('NOINHERIT')]);

    await prepare(pair);

    await as(pair.alternate, `SELECT FROM t_${pair.current}`);
    expect(await differences(pair)).toEqual([]);
  });

  test('let the clone pass on no membership in the first user', async () => {
    const pair = await newPair();
    await prepare(pair);
    await server.run(`GRANT ${pair.current} TO ${pair.alternate} WITH ADMIN OPTION`);
    expect(await differences(pair)).toEqual([`${pair.alternate} may give ${pair.current} to others`]);

    await prepare(pair);

    expect(await differences(pair)).toEqual([]);
  });

  test('give both the memberships of either, and take them from both', async () => {
    const pair = await newPair();
    const readers = `readers_${pair.current}`;
    await prepare(pair);
    await server.run(`CREATE ROLE ${readers}; GRANT ${readers} TO ${pair.alternate} WITH ADMIN OPTION`);

    await prepare(back(pair));

    for (const user of [pair.current, pair.alternate]) await as(user, `SET ROLE ${readers}`);
    expect(await differences(back(pair))).toEqual([]);

    await server.run(`REVOKE ${readers} FROM ${pair.current}`);
    for (const user of [pair.current, pair.alternate])
      await expect(as(user, `SET ROLE ${readers}`)).rejects.toMatchObject({ code: '42501' });
  });

  test('leave the administrator with the memberships that it had', async () => {
    const pair = await newPair();
    await server.run(`GRANT CREATE ON SCHEMA public TO ${pair.current}; GRANT ${pair.current} TO rekey_admin`);
    await prepare(pair);
    await as(pair.alternate, `CREATE TABLE made_${pair.current} ()`);
    const memberships = () =>
      as(
        pair.current,
        `SELECT roleid::regrole::text AS role, admin_option FROM pg_auth_members WHERE member = 'rekey_admin'::regrole`,
      );
    const before = await memberships();

    await prepare(back(pair));

    expect(await memberships()).toEqual(before);
    await as(pair.current, `ALTER TABLE made_${pair.current} ADD a int`);
  });
});
