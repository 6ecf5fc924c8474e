import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { POSTGRES_VERSIONS, type PostgresServer, postgresIsInstalled } from '../../sandbox/postgres.ts';
import { createApplication } from './real-database.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';
import { describeRotations } from './rotations.ts';

describeEachServer(POSTGRES_VERSIONS, postgresIsInstalled)('rotation on PostgreSQL %s', (version) => {
  let server: PostgresServer & RealServer;
  beforeAll(async () => {
    server = await startRealPostgres(version);
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

  describeRotations(() => server, ['single-user', 'alternating-users', 'user-pair'], {
    names: ['app', `a"b'c`, 'Grüße; --'],
    statement: 'ALTER ROLE',
  });

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
});
