import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { retire } from '../../../shared/rotation/retire.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { ROTATION_FUNCTION } from '../../contract/fakes/secret-store.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled } from '../../sandbox/postgres.ts';
import { type Application, canRead, createApplication, startLoggingPostgres } from './real-database.ts';

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('rotation on PostgreSQL %s', (version) => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startLoggingPostgres(version);
  });
  afterAll(async () => {
    await server.stop();
  });

  /** Role attributes, passwords and memberships of all roles. */
  const roles = async () => {
    const client = await server.connect(server.superuser);
    try {
      const { rows } = await client.query(
        'SELECT a.*, ARRAY(SELECT m::text FROM pg_auth_members m WHERE m.member = a.oid ORDER BY 1) AS member_of FROM pg_authid a ORDER BY oid',
      );
      return rows;
    } finally {
      await client.end();
    }
  };

  function expectNothingInTheLog(application: Application): void {
    const log = server.log();
    // The log is written: without this, an empty one would prove nothing.
    expect(log.includes('ALTER ROLE')).toBe(true);
    expect(application.passwords().filter((password) => log.includes(password))).toEqual([]);
  }

  test.each(['app', `a"b'c`, 'Grüße; --'])(
    'single user %s: the new password works, the old one does not',
    async (name) => {
      const application = await createApplication(server, 'single-user', name);
      const old = await application.login(CURRENT);
      expect(await application.rotate()).toEqual(['created', 'set', 'tested', 'promoted']);
      expect(await application.works(CURRENT)).toBe(true);
      expect(await canRead(server, old ?? { username: '', password: '' })).toBe(false);
      expectNothingInTheLog(application);
    },
  );

  test.each(['app', `a"b'c`, 'Grüße; --'])(
    'alternating users of %s: both logins work, each with the same rights',
    async (name) => {
      const application = await createApplication(server, 'alternating-users', name);
      for (const expected of [`${application.username}_clone`, application.username]) {
        expect(await application.rotate()).toEqual(['created', 'set', 'tested', 'promoted']);
        expect((await application.login(CURRENT))?.username).toBe(expected);
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.works(PREVIOUS)).toBe(true);
      }
      expectNothingInTheLog(application);
    },
  );

  test.each(['single-user', 'alternating-users'] as const)(
    'bad input 15: %s with every step three times at once ends well',
    async (strategy) => {
      const application = await createApplication(server, strategy);
      const token = application.beginRotation();
      for (const step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)
        await Promise.all([1, 2, 3].map(() => application.run(step, token)));
      expect((await application.rig.secrets.store.readStage(application.arn, CURRENT))?.versionId).toBe(token);
      expect(await application.works(CURRENT)).toBe(true);
    },
  );

  test.each(['single-user', 'alternating-users'] as const)(
    'bad input 16: a lone testSecret with %s changes nothing in the database',
    async (strategy) => {
      const application = await createApplication(server, strategy);
      const before = await roles();
      expect(await application.run('testSecret', application.beginRotation())).toMatchObject({ kind: 'preflight' });
      expect(await roles()).toEqual(before);
    },
  );

  // Before 16, CREATEROLE alone lets an administrator change any role but a superuser.
  if (version >= 16)
    test('bad input 16: a lone testSecret names the statement that the administrator needs', async () => {
      const application = await createApplication(server, 'alternating-users');
      await server.run(
        `REVOKE ADMIN OPTION FOR "${application.username}" FROM ${server.admin.username} CASCADE; REVOKE "${application.username}" FROM ${server.admin.username} CASCADE`,
      );
      await expect(application.run('testSecret', application.beginRotation())).rejects.toMatchObject({
        code: 'PRIVILEGE_MISSING',
        action: expect.stringContaining('GRANT'),
      });
    });

  test('bad input 40: users that exist already with drifted rights are reconciled both ways', async () => {
    const application = await createApplication(server, 'alternating-users');
    const clone = `"${application.username}_clone"`;
    const admin = await server.connect(server.admin);
    await admin
      .query(`CREATE ROLE ${clone} LOGIN; GRANT INSERT, DELETE ON public.orders TO ${clone}`)
      .finally(() => admin.end());

    await application.rotate();

    expect(await application.works(CURRENT)).toBe(true);
    const client = await server.connect((await application.login(CURRENT)) ?? { username: '', password: '' });
    await expect(client.query('DELETE FROM public.orders').finally(() => client.end())).rejects.toMatchObject({
      code: '42501',
    });
  });

  test('a retired user is refused by the server until the next rotation', async () => {
    const application = await createApplication(server, 'alternating-users');
    await application.rotate();
    const { rig, arn } = application;
    const previous = (await application.login(PREVIOUS)) ?? { username: '', password: '' };
    const ask = async () =>
      await retire(
        {
          secretArn: arn,
          versionId: (await rig.secrets.store.readStage(arn, CURRENT))?.versionId ?? '',
          consumersProved: true,
          pinnedUses: false,
          convergedAtMs: 0,
        },
        { ...rig.deps, databases: [rig.deps], rotationFunctions: [ROTATION_FUNCTION] },
        deadlineIn(30_000, systemClock),
      );

    const open = await server.connect(previous);
    const outcome = await ask().finally(() => open.end());
    expect(outcome).toMatchObject({
      kind: 'sessionsOpen',
      user: application.username,
      sessions: [{ applicationName: 'test' }],
    });
    expect(await canRead(server, previous)).toBe(true);

    // The server forgets a session a moment after its client has gone.
    let second = await ask();
    for (const giveUpAtMs = Date.now() + 10_000; second.kind === 'sessionsOpen' && Date.now() < giveUpAtMs; )
      second = await ask();
    expect(second).toEqual({ kind: 'retired', user: application.username, engine: 'postgres' });
    expect(await canRead(server, previous)).toBe(false);
    expect(await application.works(CURRENT)).toBe(true);

    await application.rotate();
    expect((await application.login(CURRENT))?.username).toBe(application.username);
    expect(await application.works(CURRENT)).toBe(true);
    expectNothingInTheLog(application);
  });
});
