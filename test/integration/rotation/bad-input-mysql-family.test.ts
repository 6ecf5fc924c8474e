import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { STRATEGIES, type StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { MYSQL_VERSIONS, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import type { MysqlFamilyServer } from '../../sandbox/mysql-family.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealMariadb, startRealMysql } from './real-server.ts';

/* Numbers are entries of the catalogue of bad input: what people and other programs do to a secret and its users. */

interface Member {
  readonly name: string;
  readonly isInstalled: boolean;
  readonly strategies: readonly StrategyName[];
  /** Whose rows are users with their passwords and rights, as the server keeps them. */
  readonly tables: readonly string[];
  readonly own: readonly Case[];
  start(): Promise<MysqlFamilyServer & RealServer>;
}
type Case = [what: string, patch: Record<string, unknown>, code: string];

const MEMBERS: readonly Member[] = [
  ...MYSQL_VERSIONS.map(
    (version): Member => ({
      name: `MySQL ${version}`,
      isInstalled: mysqlIsInstalled(version),
      strategies: STRATEGIES,
      tables: ['user', 'db', 'tables_priv', 'columns_priv', 'role_edges', 'global_grants'],
      own: [
        ['28: a name of 33 characters', { username: 'n'.repeat(33) }, 'SECRET_VALUE_INVALID'],
        ['30: an engine in capitals', { engine: 'MySQL' }, 'SECRET_VALUE_INVALID'],
        ['30: another engine', { engine: 'mariadb' }, 'SECRET_VALUE_INVALID'],
        ['41: the server’s own user', { username: 'mysql.sys' }, 'SECRET_VALUE_INVALID'],
      ],
      start: () => startRealMysql({ version }),
    }),
  ),
  ...MARIADB_VERSIONS.map(
    (version): Member => ({
      name: `MariaDB ${version}`,
      isInstalled: mariadbIsInstalled(version),
      strategies: ['single-user', 'alternating-users', 'user-pair'],
      tables: ['global_priv', 'db', 'tables_priv', 'columns_priv', 'roles_mapping'],
      own: [
        ['28: a name of 81 characters', { username: 'n'.repeat(81) }, 'SECRET_VALUE_INVALID'],
        ['30: an engine in capitals', { engine: 'MariaDB' }, 'SECRET_VALUE_INVALID'],
        ['30: another engine', { engine: 'mysql' }, 'SECRET_VALUE_INVALID'],
        ['41: the server’s own user', { username: 'mariadb.sys' }, 'SECRET_VALUE_INVALID'],
        ['41: everybody', { username: 'PUBLIC' }, 'SECRET_VALUE_INVALID'],
      ],
      start: () => startRealMariadb({ version }),
    }),
  ),
];

for (const { name, isInstalled, strategies, tables, own, start } of MEMBERS)
  describeOnServer(isInstalled, `bad input on ${name}`, () => {
    let server: MysqlFamilyServer & RealServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());

    async function users(): Promise<string> {
      const watcher = await server.connect(server.superuser);
      try {
        const found = [];
        for (const table of tables)
          found.push((await watcher.query(`SELECT * FROM mysql.${table} ORDER BY 1, 2, 3`))[0]);
        return JSON.stringify(found);
      } finally {
        await watcher.end();
      }
    }

    async function edit(application: Application, patch: Record<string, unknown>): Promise<void> {
      const { rig, arn } = application;
      rig.secrets.put(arn, JSON.stringify({ ...(await application.login(CURRENT)), ...patch }));
    }
    /** One step after the other, until one is refused. */
    async function refusal(application: Application): Promise<unknown> {
      try {
        await application.rotate();
      } catch (error) {
        return error;
      }
      throw new Error('nothing was refused');
    }

    describe.each(strategies)('%s', (strategy) => {
      test.each<Case>([
        ...own,
        ['27: an empty password', { password: '' }, 'SECRET_VALUE_INVALID'],
        ['28: a name with a NUL', { username: 'app\0root' }, 'SECRET_VALUE_INVALID'],
        ['28: a name with a space at its end', { username: 'app ' }, 'SECRET_VALUE_INVALID'],
        ['28: a name with an emoji', { username: 'app🔑' }, 'USERNAME_INVALID'],
        ['29: a present password with a NUL', { password: 'a\0b' }, 'SECRET_VALUE_INVALID'],
        ['30: no engine', { engine: undefined }, 'SECRET_VALUE_INVALID'],
        ['31: port 0', { port: 0 }, 'SECRET_VALUE_INVALID'],
        ['31: a port with more in it', { port: '3306; DROP' }, 'SECRET_VALUE_INVALID'],
        ['32: two hosts', { host: 'localhost,evil.example' }, 'HOST_NOT_ALLOWED'],
        ['32: a socket', { host: '/var/run/mysqld/mysqld.sock' }, 'HOST_NOT_ALLOWED'],
        ['33: ssl that is neither true nor false', { ssl: 'maybe' }, 'SECRET_VALUE_INVALID'],
        ['33: no TLS', { ssl: false }, 'SECRET_VALUE_INVALID'],
        ['34: a database with a NUL', { dbname: 'app\0' }, 'SECRET_VALUE_INVALID'],
        ['34: options in the name of the database', { dbname: 'app?ssl-mode=DISABLED' }, 'SECRET_VALUE_INVALID'],
        // The peer's login is for the other database: it is none of this one.
        ['34: a database that is not there', { dbname: 'nowhere' }, 'LOGIN_REFUSED|STANDBY_MISSING'],
        ['34: a database that is not its own', { dbname: 'mysql' }, 'LOGIN_REFUSED|STANDBY_MISSING'],
        ['34: a database with a backtick', { dbname: '`; DROP DATABASE app; --' }, 'SECRET_VALUE_INVALID'],
        ['41: the platform’s own user', { username: 'rdsadmin' }, 'SECRET_VALUE_INVALID'],
      ])('%s: refused, and nothing is changed', async (_, patch, code) => {
        const application = await createApplication(server, strategy);
        await edit(application, patch);
        const before = await users();

        const error = await refusal(application);

        expect(error).toMatchObject({ name: 'RekeyError', code: expect.stringMatching(`^(${code})$`) });
        expect(await users()).toEqual(before);
      });

      test.each<[string, (pending: object, current: object) => string | undefined, string]>([
        ['37: another user', (pending) => JSON.stringify({ ...pending, username: 'root' }), 'PENDING_MISMATCH'],
        ['37: another host', (pending) => JSON.stringify({ ...pending, host: '127.0.0.1' }), 'PENDING_MISMATCH'],
        ['37: another database', (pending) => JSON.stringify({ ...pending, dbname: 'mysql' }), 'PENDING_MISMATCH'],
        ['37: no JSON', () => 'hunter2', 'PENDING_MISMATCH'],
        ['38: nothing', () => undefined, 'STEP_OUT_OF_ORDER'],
        ['39: the current value', (_, current) => JSON.stringify(current), 'PENDING_MISMATCH'],
      ])('%s where the pending value should be is refused', async (_, replace, code) => {
        const application = await createApplication(server, strategy);
        const token = application.beginRotation();
        await application.run('createSecret', token);
        const version = application.rig.secrets.secret(application.arn).versions.get(token);
        const current = (await application.login(CURRENT)) ?? {};
        if (version) version.value = replace(JSON.parse(version.value ?? '{}'), current);
        const before = await users();

        await expect(application.run('setSecret', token)).rejects.toMatchObject({ name: 'RekeyError', code });

        expect(await users()).toEqual(before);
        expect(await application.works(CURRENT)).toBe(true);
      });

      test('53: a database that was restored, with passwords that no version has, is told; a reset is asked for', async () => {
        const application = await createApplication(server, strategy);
        const { rig, arn, username } = application;
        const at = { ...server.secretKeys, host: server.host, port: server.port };
        const admin = JSON.stringify({ ...at, ...server.admin });
        const masterarn = rig.secrets.create('restorer', admin, { 'rekey:admin-for': 'app/db' });
        await edit(application, { masterarn });
        await application.rotate();
        await application.rotate();
        for (const user of [username, `${username}_clone`])
          await server.run(`ALTER USER IF EXISTS ${user} IDENTIFIED BY 'of-yesterday'`);
        const before = await users();

        await expect(application.rotate()).rejects.toMatchObject({ code: 'LOGIN_REFUSED' });
        expect(await users()).toEqual(before);

        rig.secrets.secret(arn).tags.set('rekey:accept', 'admin-reset');
        await application.rotate();
        expect(await application.works(CURRENT)).toBe(true);
      });
    });
  });
