import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { type Clock, systemClock } from '../../../shared/operations/clock.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import type { Account } from '../../sandbox/server-process.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealMariadb, startRealMysql, startRealPostgres } from './real-server.ts';

/** The administrator's own secret is rotated, by Rekey as well, while one that it is for is being rotated. */

type Server = RealServer & { run(sql: string): Promise<void> };

const SERVERS: readonly {
  readonly name: string;
  readonly isInstalled: boolean;
  readonly strategies: readonly StrategyName[];
  start(): Promise<Server>;
  /** The statement by which the superuser gives somebody a password. */
  give(account: Account): string;
}[] = [
  {
    name: 'PostgreSQL 18',
    isInstalled: postgresIsInstalled(18),
    strategies: ['alternating-users'],
    start: () => startRealPostgres(18),
    give: ({ username, password }) => `ALTER ROLE ${username} PASSWORD '${password}'`,
  },
  {
    name: 'MySQL 9.7',
    isInstalled: mysqlIsInstalled('9.7'),
    strategies: ['alternating-users', 'dual-password'],
    start: () => startRealMysql({ version: '9.7' }),
    give: ({ username, password }) => `ALTER USER ${username} IDENTIFIED BY '${password}'`,
  },
  {
    name: 'MariaDB 11.8',
    isInstalled: mariadbIsInstalled('11.8'),
    strategies: ['alternating-users'],
    start: () => startRealMariadb({ version: '11.8' }),
    give: ({ username, password }) => `ALTER USER ${username} IDENTIFIED BY '${password}'`,
  },
];

/** How each server tells in its log that it refused this user. */
const refusalOf = (username: string) =>
  new RegExp(`password authentication failed for user "${username}"|Access denied for user '${username}'@`, 'g');

for (const { name, isInstalled, strategies, start, give } of SERVERS)
  describeOnServer(isInstalled, `the administrator’s secret on ${name}`, () => {
    let server: Server;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());
    afterEach(() => server.run(give(server.admin)));

    const refusals = (from: number) => server.log().slice(from).match(refusalOf(server.admin.username))?.length ?? 0;

    /** Its password is changed in the database, and AWSCURRENT of its secret is not yet the new one. */
    async function midway({ rig, adminArn }: Application) {
      rig.secrets.secret(adminArn).tags.set('rekey:strategy', 'single-user');
      const token = rig.secrets.beginRotation(adminArn);
      for (const step of ['createSecret', 'setSecret'] as const) await rig.run(step, adminArn, token, server.rekey);
      return {
        async end() {
          for (const step of ['testSecret', 'finishSecret'] as const)
            await rig.run(step, adminArn, token, server.rekey);
        },
      };
    }

    test.each(strategies)('%s: that is rotated at this moment is waited for', async (strategy) => {
      const application = await createApplication(server, strategy, 'app', { masterarn: true });
      const token = application.beginRotation();
      await application.run('createSecret', token);
      const administrator = await midway(application);
      const from = server.log().length;
      const waits: number[] = [];
      const sleep: Clock['sleep'] = async (milliseconds) => {
        waits.push(milliseconds);
        if (waits.length === 3) await administrator.end();
      };

      expect(await application.run('setSecret', token, { clock: { ...systemClock, sleep } })).toEqual({ kind: 'set' });

      expect(waits).toEqual([500, 1_000, 2_000]);
      // Once: a password that was refused is not tried again, whatever the wait.
      expect(refusals(from)).toBe(1);
      await application.run('testSecret', token);
      await application.run('finishSecret', token);
      expect(await application.works(CURRENT)).toBe(true);
    });

    test.each(strategies)('%s: whose rotation is stuck stops this one, and loses nothing', async (strategy) => {
      const application = await createApplication(server, strategy, 'app', { masterarn: true });
      const token = application.beginRotation();
      await application.run('createSecret', token);
      const administrator = await midway(application);
      const from = server.log().length;

      await expect(application.run('setSecret', token)).rejects.toMatchObject({
        code: 'LOGIN_REFUSED',
        message: expect.stringContaining(server.admin.username),
      });

      expect(refusals(from)).toBe(1);
      expect(await application.works(CURRENT)).toBe(true);
      await administrator.end();
      for (const step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)
        await application.run(step, token);
      expect(await application.works(CURRENT)).toBe(true);
    });
  });
