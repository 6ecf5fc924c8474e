import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createMysqlEngine, type MysqlEngine } from '../../shared/engines/mysql.ts';
import type { AdministeredPair, Credentials, PasswordChange } from '../../shared/engines/port.ts';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { createAuthority } from '../sandbox/certificates.ts';
import { describeEachServer } from '../sandbox/describe-server.ts';
import { MYSQL_VERSIONS, type MysqlServer, mysqlIsInstalled, startMysql } from '../sandbox/mysql.ts';
import { shownAs, thrownBy } from './shown-as.ts';

const CANARY = 'hunter2-canary';
/** What a server stores of a password. */
const STORED = /\$A\$00/;
const soon = () => deadlineIn(30_000, systemClock);

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('a password that MySQL %s is told of', (version) => {
  let server: MysqlServer;
  let engine: MysqlEngine;

  beforeAll(async () => {
    server = await startMysql({
      version,
      settings: { 'log-output': 'FILE,TABLE', 'slow-query-log': 'ON', 'long-query-time': '0' },
    });
    engine = createMysqlEngine({ ca: server.ca, allowLoopback: true, clock: systemClock });
    await server.run(
      `UPDATE performance_schema.setup_consumers SET ENABLED = 'YES';
       CREATE USER rekeyed IDENTIFIED BY 'one'; GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO rekeyed`,
    );
  });
  afterAll(() => server?.stop());

  const as = (username: string, password: string, more: Partial<Credentials> = {}): Credentials => ({
    host: server.host,
    port: server.port,
    database: '',
    username,
    password: new SecretValue(password),
    ...more,
  });
  const admin = () => as(server.admin.username, server.admin.password);
  const pair = (current: string, more: Partial<AdministeredPair> = {}): AdministeredPair => ({
    admin: admin(),
    current,
    alternate: `${current}_clone`,
    database: '',
    ...more,
  });
  const change = (username: string, password: string): PasswordChange => ({
    acting: as(username, CANARY),
    username,
    password: new SecretValue(password),
  });
  const canary = new SecretValue(CANARY);

  test("is in no line of the server's logs, and in no record of its statements", async () => {
    const { alternatingUsers, dualPassword, userPair } = engine;
    const next = (count: number) => new SecretValue(`${CANARY}-${count}`);
    await alternatingUsers.prepareAlternate(pair('rekeyed'), canary, async () => true, soon());
    await engine.setPassword(change('rekeyed_clone', `${CANARY}-2`), soon());
    await engine.setPassword({ acting: admin(), username: 'rekeyed', password: canary }, soon());
    const present = as('rekeyed', CANARY);
    await dualPassword.addPassword(
      { acting: present, username: 'rekeyed', password: next(3), present },
      async () => true,
      soon(),
    );
    await dualPassword.addPassword(
      { acting: present, username: 'rekeyed', password: next(4), present },
      async () => true,
      soon(),
    );
    await dualPassword.addPassword(
      { acting: admin(), username: 'rekeyed', password: next(5), present },
      async () => true,
      soon(),
    );
    await dualPassword.discardOld({ acting: present, kept: present }, async () => true, soon());
    await engine.login(as('rekeyed', `${CANARY}-wrong`), soon());
    await thrownBy(engine.setPassword(change('rekeyed_clone', CANARY), soon()));
    await thrownBy(userPair.peerDifferences(present, as('rekeyed_clone', CANARY), soon()));

    await server.run(`CREATE USER plain IDENTIFIED BY 'one' PASSWORD HISTORY 5`);
    const plain = as('plain', 'one');
    await thrownBy(
      dualPassword.addPassword({ ...change('plain', CANARY), acting: plain, present: plain }, async () => true, soon()),
    );
    await engine.setPassword({ ...change('plain', CANARY), acting: plain }, soon());
    await engine.setPassword(change('plain', `${CANARY}-6`), soon());
    await thrownBy(engine.setPassword({ ...change('plain', CANARY), acting: as('plain', `${CANARY}-6`) }, soon()));

    const log = server.log();
    expect(log).toContain('ALTER USER');
    expect(log).not.toContain('hunter2');
    const watcher = await server.connect(server.superuser);
    try {
      for (const [column, table] of [
        ['argument', 'mysql.general_log'],
        ['sql_text', 'mysql.slow_log'],
        ['sql_text', 'performance_schema.events_statements_current'],
        ['sql_text', 'performance_schema.events_statements_history'],
        ['sql_text', 'performance_schema.events_statements_history_long'],
        ['query_sample_text', 'performance_schema.events_statements_summary_by_digest'],
      ]) {
        const [rows] = await watcher.query(`SELECT CONVERT(${column} USING utf8mb4) AS text FROM ${table}`);
        const texts = (rows as { text: string | null }[]).map(({ text }) => text ?? '');
        expect(texts).not.toHaveLength(0);
        expect(texts.filter((text) => text.includes('hunter2'))).toEqual([]);
      }
    } finally {
      await watcher.end();
    }
  });

  test.each<[string, () => Promise<unknown>]>([
    ['a wrong password', () => engine.setPassword(change('nobody', CANARY), soon())],
    ['a missing database', () => engine.login({ ...admin(), database: 'no' }, soon())],
    [
      'a user that is not there',
      () => engine.alternatingUsers.prepareAlternate(pair('nobody'), canary, async () => true, soon()),
    ],
    [
      'an administrator who is refused',
      () =>
        engine.alternatingUsers.prepareAlternate(
          pair('nobody', { admin: as('rekey_admin', CANARY) }),
          canary,
          async () => true,
          soon(),
        ),
    ],
    [
      'a right that the administrator lacks',
      async () => {
        await server.run("CREATE USER IF NOT EXISTS mighty IDENTIFIED BY 'one'; GRANT FILE ON *.* TO mighty");
        await engine.alternatingUsers.prepareAlternate(pair('mighty'), canary, async () => true, soon());
      },
    ],
    [
      'a password of another user',
      async () => {
        await server.run(`CREATE USER IF NOT EXISTS small IDENTIFIED BY '${CANARY}'`);
        await engine.setPassword({ ...change('small', `${CANARY}-2`), username: 'mighty' }, soon());
      },
    ],
    [
      'a second password that a user may not have',
      () =>
        engine.dualPassword.addPassword(
          { ...change('small', `${CANARY}-2`), present: as('small', CANARY) },
          async () => true,
          soon(),
        ),
    ],
    [
      'a present password that is none',
      () =>
        engine.dualPassword.discardOld({ acting: admin(), kept: as('small', `${CANARY}-3`) }, async () => true, soon()),
    ],
    ['a port where nothing listens', () => engine.login(as('app', CANARY, { port: 1 }), soon())],
    ['a host that is not there', () => engine.login(as('app', CANARY, { host: 'no-such-host.invalid' }), soon())],
    [
      'an unknown authority',
      () =>
        createMysqlEngine({ ca: createAuthority().certificate, allowLoopback: true, clock: systemClock }).login(
          as('app', CANARY),
          soon(),
        ),
    ],
    ['a password that drivers disagree about', () => engine.setPassword(change('app', `${CANARY}-λ`), soon())],
    ['a user name with a NUL', () => engine.login(as('app\0', CANARY), soon())],
    ['a connection without TLS', () => engine.login(as('app', CANARY, { transport: { kind: 'plaintext' } }), soon())],
  ])('is in no view of the error about %s', async (_, work) => {
    const error = await thrownBy(work());

    expect(error).toHaveProperty('name', 'RekeyError');
    expect(error).not.toHaveProperty('cause');
    expect(shownAs(error)).not.toMatch(/hunter2/);
    expect(shownAs(error)).not.toMatch(STORED);
  });
});
