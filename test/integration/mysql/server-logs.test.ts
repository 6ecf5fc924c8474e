import { dirname } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { STRATEGIES } from '../../../shared/rotation/strategy.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { filesUnder } from '../../sandbox/files-under.ts';
import { MYSQL_VERSIONS, type MysqlServer, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { type Application, createApplication } from '../rotation/real-database.ts';
import { type RealServer, startRealMysql } from '../rotation/real-server.ts';

/** What an administrator may read of statements, beside files. */
const RECORDS = [
  ['argument', 'mysql.general_log'],
  ['sql_text', 'mysql.slow_log'],
  ['sql_text', 'performance_schema.events_statements_current'],
  ['sql_text', 'performance_schema.events_statements_history'],
  ['sql_text', 'performance_schema.events_statements_history_long'],
  ['query_sample_text', 'performance_schema.events_statements_summary_by_digest'],
  ['digest_text', 'performance_schema.events_statements_summary_by_digest'],
  ['sql_text', 'performance_schema.prepared_statements_instances'],
  ['processlist_info', 'performance_schema.threads'],
] as const;

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('MySQL %s that logs all it can', (version) => {
  let server: MysqlServer & RealServer;
  beforeAll(async () => {
    server = await startRealMysql({
      version,
      settings: {
        'log-output': 'FILE,TABLE',
        'slow-query-log': 'ON',
        'long-query-time': '0',
        'log-slow-admin-statements': 'ON',
        'log-slow-extra': 'ON',
        'log-error-verbosity': '3',
        'log-bin': 'binlog',
        'binlog-rows-query-log-events': 'ON',
        'innodb-print-all-deadlocks': 'ON',
      },
    });
    await server.run("UPDATE performance_schema.setup_consumers SET ENABLED = 'YES'");
  });
  afterAll(() => server?.stop());

  /** Where any of these passwords is to be found. */
  async function placesOf(passwords: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    const look = (place: string, text: Buffer | string) => {
      if (passwords.some((password) => text.includes(password))) found.push(place);
    };
    look('what the server said', server.log());
    for await (const [name, content] of filesUnder(dirname(server.caFile))) look(name, content);
    const watcher = await server.connect(server.superuser);
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

  test.each(STRATEGIES)('73: has no password of a rotation with %s in any file or record', async (strategy) => {
    const application: Application = await createApplication(server, strategy);
    for (const _ of [1, 2]) {
      await application.rotate();
      await application.retire();
    }
    const passwords = application.passwords();

    expect(new Set(passwords).size).toBeGreaterThan(2);
    expect(await application.works(CURRENT)).toBe(true);
    expect(await placesOf(passwords)).toEqual([]);
  });

  test('shows none while a statement waits, to nobody who watches', async () => {
    const application = await createApplication(server, 'single-user');
    const token = application.beginRotation();
    await application.run('createSecret', token);
    const holder = await server.connect(server.superuser);
    await holder.query(
      `START TRANSACTION; UPDATE mysql.user SET max_updates = 1 WHERE User = '${application.username}'`,
    );
    const setting = application.run('setSecret', token);
    const watcher = await server.connect(server.superuser);
    try {
      await eventually('a statement that waits', async () => {
        const [rows] = await watcher.query(
          "SELECT 1 FROM performance_schema.threads WHERE processlist_info LIKE 'ALTER USER%'",
        );
        return Array.isArray(rows) && rows.length > 0;
      });
      const [status] = await watcher.query('SHOW ENGINE INNODB STATUS');
      expect(application.passwords().filter((password) => JSON.stringify(status).includes(password))).toEqual([]);
      expect(await placesOf(application.passwords())).toEqual([]);
    } finally {
      await watcher.end();
      await holder.query('ROLLBACK').finally(() => holder.end());
    }
    expect((await setting).kind).toBe('set');
  });

  test('with log_raw writes what it is told into its general log: its own switch, and no client’s', async () => {
    const raw = await startRealMysql({ version, settings: { 'log-raw': 'ON' } });
    try {
      const application = await createApplication(raw, 'single-user');
      await application.rotate();

      const log = raw.log();
      expect(application.passwords().filter((password) => log.includes(password))).not.toEqual([]);
    } finally {
      await raw.stop();
    }
  });

  test('would have been found out by this search', async () => {
    const watcher = await server.connect(server.superuser);
    await watcher.query("CREATE TABLE IF NOT EXISTS app.canary AS SELECT 'hunter2-canary' AS text");
    await watcher.end();

    expect(await placesOf(['hunter2-canary'])).toEqual(
      expect.arrayContaining([
        'what the server said',
        'general.log',
        'binlog.000001',
        'mysql.general_log',
        'mysql.slow_log',
        'performance_schema.events_statements_history_long',
      ]),
    );
  });
});
