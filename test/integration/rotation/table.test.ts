import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { RekeyError } from '../../../shared/operations/errors.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { POSTGRES_VERSIONS, postgresIsInstalled } from '../../sandbox/postgres.ts';
import { REDIS_SERVERS, redisIsInstalled, redisName } from '../../sandbox/redis.ts';
import { createApplication } from './real-database.ts';
import { type RealServer, startRealMariadb, startRealMysql, startRealPostgres, startRealRedis } from './real-server.ts';

/* The table of docs/engines.md is what happens here. REKEY_WRITE_DOCS=1 writes it anew, row by row. */

const PAGE = new URL('../../../docs/engines.md', import.meta.url);
const STRATEGIES = ['single-user', 'alternating-users', 'user-pair', 'dual-password'] as const;

interface Candidate {
  readonly name: string;
  readonly isInstalled: boolean;
  start(): Promise<RealServer>;
}

const SERVERS: readonly Candidate[] = [
  ...POSTGRES_VERSIONS.map((version) => ({
    name: `PostgreSQL ${version}`,
    isInstalled: postgresIsInstalled(version),
    start: () => startRealPostgres(version),
  })),
  ...MYSQL_VERSIONS.map((version) => ({
    name: `MySQL ${version}`,
    isInstalled: mysqlIsInstalled(version),
    start: () => startRealMysql({ version }),
  })),
  ...MARIADB_VERSIONS.map((version) => ({
    name: `MariaDB ${version}`,
    isInstalled: mariadbIsInstalled(version),
    start: () => startRealMariadb({ version }),
  })),
  ...REDIS_SERVERS.map((id) => ({
    name: redisName(id),
    isInstalled: redisIsInstalled(id),
    start: () => startRealRedis(id),
  })),
];

const rowStart = (name: string) => `| ${name} |`;
const page = () => readFileSync(PAGE, 'utf8');

for (const { name, isInstalled, start } of SERVERS)
  describeOnServer(isInstalled, `the row of ${name} in docs/engines.md`, () => {
    let server: RealServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());

    test('says what each strategy comes to on the real server', async () => {
      const cells: string[] = [];
      for (const strategy of STRATEGIES) cells.push(await outcomeOf(server, strategy));
      const row = `${rowStart(name)} ${cells.join(' | ')} |`;

      if (process.env['REKEY_WRITE_DOCS'])
        writeFileSync(
          PAGE,
          page()
            .split('\n')
            .map((line) => (line.startsWith(rowStart(name)) ? row : line))
            .join('\n'),
        );
      expect(page().split('\n')).toContain(row);
    });
  });

test('docs/engines.md has a row of each server that the tests know, and of no other', () => {
  const rows = page().match(/^\| [A-Z]\w+ [\d.]+ \|/gm) ?? [];
  expect(rows).toEqual(SERVERS.map(({ name }) => rowStart(name)));
});

/** With no more tags than that of the strategy, or else with what a person may accept. */
async function outcomeOf(server: RealServer, strategy: StrategyName): Promise<string> {
  try {
    return `works, ${await rotateAndRetire({ ...server, tagsFor: () => ({}) }, strategy)}`;
  } catch (error) {
    if (!(error instanceof RekeyError)) throw error;
    const refused = `refused: \`${error.code}\``;
    const tags = Object.entries(server.tagsFor(strategy)).map(([tag, value]) => `\`${tag}\` = \`${value}\``);
    if (tags.length === 0) return refused;
    return `works with ${tags.join(', ')}, ${await rotateAndRetire(server, strategy)}; ${refused} without`;
  }
}

/** Twice, so that the login of the beginning is at work again, or its successor; what it left behind is then retired. */
async function rotateAndRetire(server: RealServer, strategy: StrategyName): Promise<'gap' | 'no gap'> {
  const known = strategy !== 'dual-password' || server.rekey.engine.dualPassword !== undefined;
  const createUser: RealServer['createUser'] = (account) =>
    server.createUser(account, known ? strategy : 'single-user');
  const application = await createApplication({ ...server, createUser }, strategy);

  const token = application.beginRotation();
  await application.run('createSecret', token);
  await application.run('setSecret', token);
  const hasGap = !(await application.works(CURRENT));
  await application.run('testSecret', token);
  await application.run('finishSecret', token);
  expect(await application.works(CURRENT)).toBe(true);
  await application.rotate();
  expect(await application.works(CURRENT)).toBe(true);
  expect(await application.works(PREVIOUS)).toBe(!hasGap);

  if (!hasGap) {
    // The server forgets a session a moment after its client has gone.
    const outcome = await eventually('the retirement', async () => {
      const now = await application.retire();
      return now.kind === 'sessionsOpen' ? undefined : now;
    });
    expect(outcome.kind).toBe('retired');
    expect(await application.works(PREVIOUS)).toBe(false);
    expect(await application.works(CURRENT)).toBe(true);
  }
  return hasGap ? 'gap' : 'no gap';
}
