import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { preflight } from '../../../shared/rotation/preflight.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { STRATEGIES } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { MYSQL_VERSIONS, type MysqlServer, mysqlIsInstalled } from '../../sandbox/mysql.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealMysql } from './real-server.ts';
import { describeRotations } from './rotations.ts';

/* Numbers are entries of the catalogue of bad input. */

describeEachServer(MYSQL_VERSIONS, mysqlIsInstalled)('rotation on MySQL %s', (version) => {
  let server: MysqlServer & RealServer;
  beforeAll(async () => {
    server = await startRealMysql({ version });
    await server.run('CREATE DATABASE other; CREATE TABLE other.t (id INT)');
  });
  afterAll(() => server?.stop());

  describeRotations(() => server, STRATEGIES, {
    names: ['app', `a"b'c`, 'a`b\\', 'Grüße; --'],
    statement: 'ALTER USER',
  });

  const versionOf = async ({ rig, arn }: Application, stage: string) =>
    (await rig.secrets.store.readStage(arn, stage))?.versionId;
  const tag = ({ rig, arn }: Application, name: string, value: string) =>
    rig.secrets.secret(arn).tags.set(`rekey:${name}`, value);
  const DONE = ['created', 'set', 'tested', 'promoted'];
  /** After a refusal: Secrets Manager tries the same version again. */
  const GONE_ON = ['alreadyCreated', 'set', 'tested', 'promoted'];

  /** What a preflight says of rights. */
  const rightsIn = async ({ rig, arn }: Application) =>
    (await preflight(arn, { ...rig.deps, ...server.rekey }, deadlineIn(30_000, systemClock))).checks.find(
      ({ what }) => what === 'rights',
    );

  /** The rotation fails with this, AWSCURRENT is where and what it was, and works. */
  async function expectRefused(application: Application, error: Record<string, unknown>): Promise<void> {
    const before = await versionOf(application, CURRENT);

    await expect(application.rotate()).rejects.toMatchObject(error);

    expect(await versionOf(application, CURRENT)).toBe(before);
    expect(await application.works(CURRENT)).toBe(true);
  }

  describe('67: a password that validate_password refuses', () => {
    beforeAll(() =>
      server.run("INSTALL COMPONENT 'file://component_validate_password'; SET GLOBAL validate_password.policy = LOW"),
    );
    afterAll(() => server?.run("UNINSTALL COMPONENT 'file://component_validate_password'"));
    /** Users are made as if the policy had come later. */
    async function created(strategy: StrategyName): Promise<Application> {
      await server.run('SET GLOBAL validate_password.length = 8');
      const application = await createApplication(server, strategy);
      await server.run('SET GLOBAL validate_password.length = 40');
      return application;
    }

    test.each(STRATEGIES)('is withdrawn with %s, and the next rotation takes another', async (strategy) => {
      const application = await created(strategy);

      await expectRefused(application, {
        code: 'PASSWORD_REJECTED',
        retryable: false,
        action: expect.stringContaining('rekey:password-length'),
      });
      expect(await versionOf(application, PENDING)).toBeUndefined();

      tag(application, 'password-length', '48');
      expect(await application.rotate()).toEqual(DONE);
      expect((await application.login(CURRENT))?.password).toHaveLength(48);
      expect(await application.works(CURRENT)).toBe(true);
      expect(new Set(application.passwords()).size).toBe(application.passwords().length);
    });

    test('does not stand in the way of making a peer, or of retiring one, once the tags suit', async () => {
      const application = await created('alternating-users');
      const refused = { code: 'PASSWORD_REJECTED', action: expect.stringContaining('rekey:password-length') };
      tag(application, 'strategy', 'user-pair');

      await expect(application.createPeer()).rejects.toMatchObject(refused);
      tag(application, 'password-length', '40');
      expect(await application.createPeer()).toMatchObject({ kind: 'created' });
      expect(await application.createPeer()).toMatchObject({ kind: 'alreadyCreated' });
      expect(await application.rotate()).toEqual(DONE);

      await server.run('SET GLOBAL validate_password.length = 44');
      await expect(application.retire()).rejects.toMatchObject(refused);
      expect(await application.works(PREVIOUS)).toBe(true);
      tag(application, 'password-length', '44');
      expect(await application.retire()).toMatchObject({ kind: 'retired' });
      expect(await application.works(PREVIOUS)).toBe(false);
      expect(await application.rotate()).toEqual(DONE);
    });

    test('is known of beforehand: a lone testSecret fails, and with what suits tells the policy', async () => {
      const application = await created('single-user');
      const token = application.beginRotation();
      await expect(application.run('testSecret', token)).rejects.toMatchObject({
        code: 'PASSWORD_REJECTED',
        message: expect.stringContaining('40 characters'),
        action: expect.stringContaining('rekey:password-length'),
      });

      tag(application, 'password-length', '40');
      const outcome = await application.run('testSecret', token);

      expect(JSON.stringify(outcome)).toContain('validate_password.length is 40');
    });
  });

  test('a step beside its twin leaves the secret its password, though a history of passwords refuses it the second time', async () => {
    const application = await createApplication(server, 'single-user');
    await server.run(`ALTER USER ${application.username} PASSWORD HISTORY 5`);
    const token = application.beginRotation();
    await application.run('createSecret', token);
    const superuser = await server.connect(server.superuser);
    // Whoever wants to change a user waits for its end, with a session that began before.
    await superuser.query('LOCK INSTANCE FOR BACKUP');
    const twins = [application.run('setSecret', token), application.run('setSecret', token)];
    await eventually('both wait', async () => {
      const [waiting] = await superuser.query(
        `SELECT id FROM performance_schema.processlist WHERE user = '${application.username}' AND state LIKE '%backup lock%'`,
      );
      return (waiting as unknown[]).length === twins.length;
    });
    await superuser.end();

    expect((await Promise.all(twins)).map(({ kind }) => kind).sort()).toEqual(['alreadySet', 'set']);

    for (const step of ['testSecret', 'finishSecret'] as const) await application.run(step, token);
    expect(await application.works(CURRENT)).toBe(true);
  });

  describe('what is not equal is not promoted', () => {
    test('alternating users: what no statement can settle is named', async () => {
      const application = await createApplication(server, 'alternating-users');
      const { username } = application;
      await server.run(`CREATE USER ${username}_clone ACCOUNT LOCK; GRANT ${username}_clone TO ${username}`);

      await expectRefused(application, { code: 'RIGHTS_DIFFER', message: expect.stringContaining('as a role') });
      expect(await rightsIn(application)).toMatchObject({ verdict: 'failed', code: 'RIGHTS_DIFFER' });

      await server.run(`REVOKE ${username}_clone FROM ${username}`);
      expect(await application.rotate()).toEqual(GONE_ON);
    });

    test('M6: alternating users: what the administrator may not grant is named at each try, until it may', async () => {
      const application = await createApplication(server, 'alternating-users');
      const { username } = application;
      const remedy = `GRANT REFERENCES ON \`secrets\`.* TO \`${server.admin.username}\`@\`%\` WITH GRANT OPTION;`;
      await server.run(
        `SET GLOBAL partial_revokes = ON; CREATE DATABASE secrets; GRANT REFERENCES ON secrets.* TO ${username};
         REVOKE REFERENCES ON secrets.* FROM rds_superuser_role`,
      );
      try {
        const missing = { code: 'PRIVILEGE_MISSING', action: expect.stringContaining(remedy) };
        await expectRefused(application, missing);
        await expectRefused(application, missing);

        await server.run(remedy);
        expect(await application.rotate()).toEqual(GONE_ON);
      } finally {
        await server.run(
          `GRANT REFERENCES ON secrets.* TO rds_superuser_role WITH GRANT OPTION; SET GLOBAL partial_revokes = OFF`,
        );
      }
    });

    test('alternating users: what was changed between setSecret and testSecret is seen', async () => {
      const application = await createApplication(server, 'alternating-users');
      await server.run(`GRANT INSERT ON app.orders TO ${application.username}`);
      const token = application.beginRotation();
      await application.run('createSecret', token);
      await application.run('setSecret', token);
      await server.run(`REVOKE SELECT ON app.orders FROM ${application.username}_clone`);

      await expect(application.run('testSecret', token)).rejects.toMatchObject({
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining('lacks SELECT on `app`.`orders`'),
      });

      await application.run('setSecret', token);
      expect((await application.run('testSecret', token)).kind).toBe('tested');
    });

    test('a pair: what a person has to settle is named', async () => {
      const application = await createApplication(server, 'user-pair');
      const { username } = application;
      await server.run(`GRANT SELECT ON other.t TO ${username}`);

      await expectRefused(application, {
        code: 'RIGHTS_DIFFER',
        message: expect.stringContaining(`${username}_clone lacks: GRANT SELECT ON \`other\`.\`t\``),
      });
      expect(await rightsIn(application)).toMatchObject({ verdict: 'failed', code: 'RIGHTS_DIFFER' });

      await server.run(`GRANT SELECT ON other.t TO ${username}_clone`);
      expect(await application.rotate()).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
    });
  });

  test('a pair rotates and retires without any administrator', async () => {
    const application = await createApplication(server, 'user-pair');
    await server.run(`ALTER USER ${server.admin.username} ACCOUNT LOCK`);
    try {
      for (const _ of [1, 2]) {
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.retire()).toMatchObject({ kind: 'retired' });
      }
    } finally {
      await server.run(`ALTER USER ${server.admin.username} ACCOUNT UNLOCK`);
    }
    expect(await application.works(CURRENT)).toBe(true);
  });

  describe('two passwords', () => {
    const grant = (username: string) => `GRANT APPLICATION_PASSWORD_ADMIN ON *.* TO \`${username}\`@\`%\`;`;

    test('an account of the user that has another password is named, and its administrator is not blamed', async () => {
      const application = await createApplication(server, 'dual-password', 'app', { masterarn: true });
      const { username } = application;
      await server.run(`CREATE USER ${username}@'10.%' IDENTIFIED BY 'other'`);

      await expectRefused(application, {
        code: 'USERNAME_INVALID',
        message: expect.stringContaining(`\`${username}\`@\`10.%\``),
      });

      await server.run(`DROP USER ${username}@'10.%'`);
      expect(await application.rotate()).toEqual(GONE_ON);
    });

    test('69: a user that may not have two is told the statement, and goes on with one', async () => {
      const application = await createApplication(server, 'dual-password');
      const { username } = application;
      await server.run(`REVOKE APPLICATION_PASSWORD_ADMIN ON *.* FROM ${username}`);

      await expect(application.run('testSecret', application.beginRotation())).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: expect.stringContaining(grant(username)),
      });
      await expectRefused(application, {
        code: 'PRIVILEGE_MISSING',
        action: expect.stringContaining(grant(username)),
      });

      await server.run(grant(username));
      expect(await application.rotate()).toEqual(GONE_ON);
    });

    test('are given by an administrator as well, who needs no right of the user', async () => {
      const application = await createApplication(server, 'single-user');
      const { rig, arn } = application;
      const at = { ...server.secretKeys, host: server.host, port: server.port };
      const admin = JSON.stringify({ ...at, ...server.admin });
      const masterarn = rig.secrets.create('its-admin', admin, { 'rekey:admin-for': 'app/db' });
      rig.secrets.put(arn, JSON.stringify({ ...at, ...(await application.login(CURRENT)), masterarn }));
      tag(application, 'strategy', 'dual-password');
      const before = (await application.login(CURRENT)) ?? { username: '', password: '' };

      expect(await application.rotate()).toEqual(DONE);

      expect(await server.canRead(before)).toBe(true);
      expect(await application.retire()).toMatchObject({ kind: 'retired', user: application.username });
      expect(await server.canRead(before)).toBe(false);
      expect(await application.works(CURRENT)).toBe(true);
    });

    test('of a rotation that was abandoned half-way: the one in use is never pushed out', async () => {
      const application = await createApplication(server, 'dual-password');
      const before = (await application.login(CURRENT)) ?? { username: '', password: '' };
      for (const _ of [1, 2, 3]) {
        const token = application.beginRotation();
        await application.run('createSecret', token);
        await application.run('setSecret', token);
        expect(await server.canRead(before)).toBe(true);
        await application.rig.secrets.store.withdrawLabel(application.arn, PENDING, token);
      }

      expect(await application.rotate()).toEqual(DONE);

      expect(await server.canRead(before)).toBe(true);
      expect(await application.works(CURRENT)).toBe(true);
      expect(await application.retire()).toMatchObject({ kind: 'retired' });
      expect(await server.canRead(before)).toBe(false);
    });
  });

  test.each([
    ['that may have two passwords', 'dual-password'],
    ['that may have one only', 'single-user'],
  ] as const)('where no tag says how, a user %s is rotated with %s', async (_, strategy) => {
    const application = await createApplication(server, strategy);
    tag(application, 'strategy', 'auto');

    expect(await application.rotate()).toEqual(DONE);

    expect(application.rig.events.at(-1)?.detail).toMatchObject({ strategy });
    expect(await application.works(PREVIOUS)).toBe(strategy === 'dual-password');
  });

  test('40: users that exist already with drifted rights are reconciled both ways', async () => {
    const application = await createApplication(server, 'alternating-users');
    const clone = `${application.username}_clone`;
    await server.run(`CREATE USER ${clone} IDENTIFIED BY 'old'; GRANT DELETE ON app.orders TO ${clone}`);

    expect(await application.rotate()).toEqual(DONE);

    expect(await application.works(CURRENT)).toBe(true);
    const connection = await server.connect((await application.login(CURRENT)) ?? { username: '', password: '' });
    await expect(connection.query('DELETE FROM app.orders').finally(() => connection.end())).rejects.toMatchObject({
      errno: 1142,
    });
  });

  test('41: a user with accounts for several hosts rotates with all of them', async () => {
    const application = await createApplication(server, 'alternating-users');
    const { username } = application;
    await server.run(
      `CREATE USER ${username}@'10.%' IDENTIFIED BY 'another'; GRANT SELECT ON other.t TO ${username}@'10.%'`,
    );

    expect(await application.rotate()).toEqual(DONE);
    expect(await application.retire()).toMatchObject({ kind: 'retired', user: username });
    expect(await application.rotate()).toEqual(DONE);

    expect(await application.works(CURRENT)).toBe(true);
    expect(await application.works(PREVIOUS)).toBe(true);
  });

  test('41: a user that is its own administrator is refused', async () => {
    const application = await createApplication(server, 'alternating-users');
    const { rig, arn } = application;
    const login = await application.login(CURRENT);
    const at = { ...server.secretKeys, host: server.host, port: server.port };
    const masterarn = rig.secrets.create('itself', JSON.stringify({ ...at, ...login }), {
      'rekey:admin-for': 'app/db',
    });
    rig.secrets.put(arn, JSON.stringify({ ...at, ...login, masterarn }));

    await expectRefused(application, { code: 'ADMIN_SECRET_INVALID' });
  });

  test('68: a user that was dropped is told, and changes nothing', async () => {
    const application = await createApplication(server, 'alternating-users');
    await server.run(`DROP USER ${application.username}`);

    await expect(application.rotate()).rejects.toMatchObject({
      code: 'LOGIN_REFUSED',
      message: expect.stringContaining('no-such-user'),
    });
  });
});
