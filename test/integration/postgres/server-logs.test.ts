import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createPostgresEngine } from '../../../shared/engines/postgres.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { describeEachServer, describeOnServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { filesUnder } from '../../sandbox/files-under.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled, startPostgres } from '../../sandbox/postgres.ts';
import { type Application, createApplication } from '../rotation/real-database.ts';
import { type RealServer, startRealPostgres } from '../rotation/real-server.ts';

/* docs/server-logs.md, "PostgreSQL". */

const VERIFIER = /SCRAM-SHA-256\$\d+:/;

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('PostgreSQL %s that logs all it can', (version) => {
  let server: PostgresServer & RealServer;
  beforeAll(async () => {
    server = await startRealPostgres(version); // log_statement = all, log_min_duration_statement = 0
    for (const setting of [
      'log_min_messages = debug1',
      'log_min_error_statement = debug1',
      'log_connections = on',
      'log_lock_waits = on',
      'debug_print_parse = on',
      'track_activity_query_size = 10000',
    ])
      await server.run(`ALTER SYSTEM SET ${setting}`);
    await server.run('SELECT pg_reload_conf()');
  });
  afterAll(() => server?.stop());

  /** Where any of these passwords is to be found. */
  async function placesOf(passwords: readonly string[]): Promise<string[]> {
    const found = new Set<string>();
    const look = (place: string, text: Buffer | string) => {
      if (passwords.some((password) => text.includes(password))) found.add(place);
    };
    look('log', server.log());
    for await (const [name, content] of filesUnder(dirname(server.caFile))) look(name, content);
    return [...found];
  }

  /** All but that of the beginning, which whoever set up the test told the server in clear. */
  const rotatedIn = (application: Application) =>
    application.passwords().filter((password) => !password.startsWith('first-'));

  /** What those see who may see the statements of others. */
  async function activity(): Promise<string> {
    const watcher = await server.connect(server.superuser);
    try {
      const { rows } = await watcher.query('SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()');
      return JSON.stringify(rows);
    } finally {
      await watcher.end();
    }
  }

  test.each(['single-user', 'alternating-users', 'user-pair'] as const)(
    '73: has no password of a rotation with %s in any file, errors included',
    async (strategy) => {
      const application = await createApplication(server, strategy);
      for (const _ of [1, 2]) {
        await application.rotate();
        await application.retire();
      }
      const current = await application.login(CURRENT);
      await server.canRead({ username: current?.username ?? '', password: `${current?.password}-wrong` });
      await server.run(`ALTER ROLE "${current?.username}" NOLOGIN`);
      expect(await application.works(CURRENT)).toBe(false);
      await application.rotate().catch(() => {}); // whether it is refused is another test's
      const passwords = rotatedIn(application);

      expect(new Set(passwords).size).toBeGreaterThan(1);
      expect(await placesOf(passwords)).toEqual([]);
    },
  );

  test('shows no password while a statement waits, nor when it is given up, but its verifier', async () => {
    const application = await createApplication(server, 'single-user');
    const token = application.beginRotation();
    await application.run('createSecret', token);
    const before = server.log().length;
    const holder = await server.connect(server.superuser);
    await holder.query(`BEGIN; ALTER ROLE "${application.username}" CONNECTION LIMIT 50`);
    const setting = application.run('setSecret', token).catch(() => application.run('setSecret', token));
    let seen: string;
    try {
      seen = await eventually('a statement that waits', async () => {
        const queries = await activity();
        return VERIFIER.test(queries) ? queries : undefined;
      });
      await eventually('that it is given up', () => server.log().includes('due to lock timeout', before));
    } finally {
      await holder.query('ROLLBACK').finally(() => holder.end());
    }
    expect((await setting).kind).toBe('set');

    const passwords = rotatedIn(application);
    expect(passwords.filter((password) => seen.includes(password))).toEqual([]);
    expect(await placesOf(passwords)).toEqual([]);
    expect(server.log().slice(before)).toMatch(VERIFIER);
  });

  test('would have been found out by this search', async () => {
    await server.run("CREATE TABLE canary AS SELECT 'hunter2-canary' AS text");
    await server.run('CHECKPOINT');

    const places = await placesOf(['hunter2-canary']);
    expect(places).toContain('log');
    expect(places.some((name) => /^\d+$/.test(name))).toBe(true); // the table
    expect(places.some((name) => /^[0-9A-F]{24}$/.test(name))).toBe(true); // the write-ahead log
  });
});

// The one with the extensions: the others are npm packages without them.
describeOnServer(postgresIsInstalled(15), 'pg_stat_statements of PostgreSQL 15', () => {
  test('keeps the verifier of a password, and no password', async () => {
    const server = await startPostgres({
      version: 15,
      settings: { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' },
    });
    try {
      await server.run('CREATE EXTENSION pg_stat_statements');
      await server.run('CREATE ROLE app LOGIN');
      const { host, port, admin } = server;
      const acting = { host, port, database: 'postgres', ...admin, password: new SecretValue(admin.password) };
      const engine = createPostgresEngine({ ca: server.ca, allowLoopback: true, clock: systemClock });
      const password = new SecretValue('hunter2-canary');
      const soon = deadlineIn(30_000, systemClock);
      await engine.setPassword({ acting, username: 'app', password }, soon);
      const pair = {
        admin: acting,
        current: 'app',
        alternate: 'app_clone',
        database: 'postgres',
        acceptTakeOver: true,
      };
      await engine.alternatingUsers.prepareAlternate(pair, password, async () => true, soon);

      const watcher = await server.connect(server.superuser);
      const { rows } = await watcher.query('SELECT query FROM pg_stat_statements').finally(() => watcher.end());
      const statements = JSON.stringify(rows);
      expect(statements).toMatch(VERIFIER);
      expect(statements).not.toContain('hunter2');
    } finally {
      await server.stop();
    }
  });
});
