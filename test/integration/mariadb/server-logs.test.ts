import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { filesUnder } from '../../sandbox/files-under.ts';
import { MARIADB_VERSIONS, type MariadbServer, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { type Application, createApplication } from '../rotation/real-database.ts';
import { type RealServer, startRealMariadb } from '../rotation/real-server.ts';

const STRATEGIES = ['single-user', 'alternating-users', 'user-pair'] as const;

/** What an administrator may read of statements, beside files. */
const RECORDS = [
  ['argument', 'mysql.general_log'],
  ['sql_text', 'mysql.slow_log'],
  ['sql_text', 'performance_schema.events_statements_current'],
  ['sql_text', 'performance_schema.events_statements_history'],
  ['sql_text', 'performance_schema.events_statements_history_long'],
  ['digest_text', 'performance_schema.events_statements_summary_by_digest'],
  ['sql_text', 'performance_schema.prepared_statements_instances'],
  ['processlist_info', 'performance_schema.threads'],
] as const;

const LOGS_ALL = {
  'log-output': 'FILE,TABLE',
  'slow-query-log': 'ON',
  'long-query-time': '0',
  'log-slow-admin-statements': 'ON',
  'log-warnings': '9',
  'log-bin': 'binlog',
  'binlog-format': 'STATEMENT',
  'binlog-annotate-row-events': 'ON',
  'performance-schema': 'ON',
  'plugin-maturity': 'unknown',
  'plugin-load-add': 'server_audit;sql_errlog;auth_ed25519',
  'server-audit-logging': 'ON',
};

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('MariaDB %s that logs all it can', (version) => {
  let server: MariadbServer & RealServer;
  beforeAll(async () => {
    server = await startRealMariadb({ version, settings: LOGS_ALL });
    await server.run("UPDATE performance_schema.setup_consumers SET ENABLED = 'YES'");
  });
  afterAll(() => server?.stop());

  /** Where any of these passwords is to be found. */
  async function placesOf(passwords: readonly string[], where = server): Promise<string[]> {
    const found: string[] = [];
    const look = (place: string, text: Buffer | string) => {
      if (passwords.some((password) => text.includes(password))) found.push(place);
    };
    look('what the server said', where.log());
    for await (const [name, content] of filesUnder(dirname(where.caFile))) look(name, content);
    const watcher = await where.connect(where.superuser);
    try {
      for (const [column, table] of RECORDS) {
        const [rows] = await watcher.query(`SELECT CONVERT(${column} USING utf8mb4) AS text FROM ${table}`);
        for (const { text } of rows as { text: string | null }[]) look(table, text ?? '');
      }
    } finally {
      await watcher.end();
    }
    return [...new Set(found)];
  }
  async function rotateTwice(application: Application): Promise<void> {
    for (const _ of [1, 2]) {
      expect(await application.rotate()).toEqual(['created', 'set', 'tested', 'promoted']);
      await application.retire();
    }
  }
  /** Those that Rekey made: that of the user's first day was another's to write down. */
  const rekeys = (application: Application) => {
    const passwords = application.passwords().filter((password) => !password.startsWith('first-'));
    expect(passwords).not.toEqual([]);
    return passwords;
  };

  test.each(STRATEGIES)('73: has no password of a rotation with %s in any file or record', async (strategy) => {
    const application = await createApplication(server, strategy);

    await rotateTwice(application);

    expect(await placesOf(rekeys(application))).toEqual([]);
  });

  test('has none of a rotation of a user that logs in by ed25519', async () => {
    const application = await createApplication(server, 'single-user');
    const account = await application.login(CURRENT);
    await server.run(
      `SET SESSION sql_log_off = ON;
       ALTER USER ${account?.username} IDENTIFIED VIA ed25519 USING PASSWORD('${account?.password}')`,
    );

    await rotateTwice(application);

    expect(await placesOf(rekeys(application))).toEqual([]);
  });

  test('shows none while a statement waits, to nobody who watches', async () => {
    const application = await createApplication(server, 'single-user');
    const token = application.beginRotation();
    await application.run('createSecret', token);
    const holder = await server.connect(server.superuser);
    await holder.query('LOCK TABLES mysql.global_priv WRITE');
    const setting = application.run('setSecret', token);
    const watcher = await server.connect(server.superuser);
    try {
      await eventually('a statement that waits', async () => {
        const [rows] = await watcher.query(
          "SELECT INFO FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SET PASSWORD =%' AND ID <> CONNECTION_ID()",
        );
        return Array.isArray(rows) && rows.length > 0;
      });
      expect(await placesOf(rekeys(application))).toEqual([]);
    } finally {
      await watcher.end();
      await holder.query('UNLOCK TABLES').finally(() => holder.end());
    }
    expect((await setting).kind).toBe('set');
  });

  test('would have been found out by this search', async () => {
    await server.run("CREATE TABLE IF NOT EXISTS app.canary AS SELECT 'hunter2-canary' AS text");

    expect(await placesOf(['hunter2-canary'])).toEqual(
      expect.arrayContaining([
        'what the server said',
        'general.log',
        'binlog.000001',
        'server_audit.log',
        'mysql.general_log',
        'mysql.slow_log',
        'performance_schema.events_statements_history_long',
      ]),
    );
  });

  describe('with a policy for passwords that refuses what it cannot read', () => {
    let judging: MariadbServer & RealServer;
    beforeAll(async () => {
      judging = await startRealMariadb({
        version,
        settings: {
          ...LOGS_ALL,
          'plugin-load-add': 'server_audit;simple_password_check',
          'simple-password-check-digits': '0',
          'simple-password-check-letters-same-case': '0',
          'simple-password-check-other-characters': '0',
        },
      });
    });
    afterAll(() => judging?.stop());

    test.each([
      ['single-user', []],
      // An administrator's ALTER USER is written there as it came, SET PASSWORD with the hash.
      ['alternating-users', ['binlog.000001']],
      ['user-pair', ['binlog.000001']],
    ] as const)(
      'the password is where the server writes what it is told, and in no audit: %s',
      async (strategy, binaryLog) => {
        const application = await createApplication(judging, strategy);
        await rotateTwice(application);

        const places = await placesOf(rekeys(application), judging);
        const logs = ['general.log', 'mysql.general_log', 'mysql.slow_log', ...binaryLog];
        expect(places).toEqual(expect.arrayContaining(logs));
        expect(places).not.toContain('server_audit.log');
        expect(places.filter((place) => place.startsWith('binlog'))).toEqual(binaryLog);
      },
    );

    test('and not without strict_password_validation: then it is a hash that is sent', async () => {
      await judging.run('SET GLOBAL strict_password_validation = OFF');
      try {
        const application = await createApplication(judging, 'alternating-users');
        await rotateTwice(application);

        expect(await placesOf(rekeys(application), judging)).toEqual([]);
      } finally {
        await judging.run('SET GLOBAL strict_password_validation = ON');
      }
    });
  });
});
