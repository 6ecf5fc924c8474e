import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { preflight } from '../../../shared/rotation/preflight.ts';
import { CURRENT, PENDING } from '../../../shared/secrets/port.ts';
import { describeEachServer } from '../../sandbox/describe-server.ts';
import { MARIADB_VERSIONS, type MariadbServer, mariadbIsInstalled } from '../../sandbox/mariadb.ts';
import { type Application, createApplication } from './real-database.ts';
import { type RealServer, startRealMariadb } from './real-server.ts';
import { describeRotations } from './rotations.ts';

/* Numbers are entries of the catalogue of bad input. */

const STRATEGIES = ['single-user', 'alternating-users', 'user-pair'] as const;

describeEachServer(MARIADB_VERSIONS, mariadbIsInstalled)('rotation on MariaDB %s', (version) => {
  let server: MariadbServer & RealServer;
  beforeAll(async () => {
    server = await startRealMariadb({ version });
  });
  afterAll(() => server?.stop());

  describeRotations(() => server, STRATEGIES, {
    names: ['app', `a"b'c`, 'a`b\\', 'Grüße; --'],
    statement: 'SET PASSWORD',
    seenAs: 'unnamed', // performance_schema, which would know its name, is off by default
  });

  const versionOf = async ({ rig, arn }: Application, stage: string) =>
    (await rig.secrets.store.readStage(arn, stage))?.versionId;
  const DONE = ['created', 'set', 'tested', 'promoted'];

  const preflightOf = ({ rig, arn }: Application) =>
    preflight(arn, { ...rig.deps, ...server.rekey }, deadlineIn(30_000, systemClock));

  /** The rotation fails with this, AWSCURRENT is where and what it was, and works. */
  async function expectRefused(application: Application, error: Record<string, unknown>): Promise<void> {
    const before = await versionOf(application, CURRENT);

    await expect(application.rotate()).rejects.toMatchObject(error);

    expect(await versionOf(application, CURRENT)).toBe(before);
    expect(await application.works(CURRENT)).toBe(true);
  }

  describe('67: a password that simple_password_check refuses', () => {
    beforeAll(() =>
      server.run(
        `INSTALL SONAME 'simple_password_check'; SET GLOBAL simple_password_check_digits = 0,
           GLOBAL simple_password_check_letters_same_case = 0, GLOBAL simple_password_check_other_characters = 0`,
      ),
    );
    afterAll(() => server?.run("UNINSTALL SONAME 'simple_password_check'"));

    test.each(STRATEGIES)('is withdrawn with %s, and the next rotation takes another', async (strategy) => {
      // The user is made as if the policy had come later.
      await server.run('SET GLOBAL simple_password_check_minimal_length = 8');
      const application = await createApplication(server, strategy);
      await server.run('SET GLOBAL simple_password_check_minimal_length = 40');

      expect((await preflightOf(application)).checks).toContainEqual(
        expect.objectContaining({ what: 'password', verdict: 'failed', code: 'PASSWORD_REJECTED' }),
      );
      await expectRefused(application, { code: 'PASSWORD_REJECTED', retryable: false });
      expect(await versionOf(application, PENDING)).toBeUndefined();

      application.rig.secrets.secret(application.arn).tags.set('rekey:password-length', '48');
      expect(await preflightOf(application)).toMatchObject({ works: true });
      expect(await application.rotate()).toEqual(DONE);
      expect((await application.login(CURRENT))?.password).toHaveLength(48);
      expect(await application.works(CURRENT)).toBe(true);
    });
  });

  test('what no statement can settle is named, and not promoted', async () => {
    const application = await createApplication(server, 'alternating-users');
    const clone = `${application.username}_clone`;
    await server.run(`CREATE USER ${clone}@'10.%'; CREATE DEFINER = ${clone}@'10.%' VIEW app.of_${clone} AS SELECT 1`);

    await expectRefused(application, {
      code: 'RIGHTS_DIFFER',
      message: expect.stringContaining(`view app.of_${clone}`),
    });
    expect((await preflightOf(application)).checks).toContainEqual(
      expect.objectContaining({ what: 'rights', verdict: 'failed', code: 'RIGHTS_DIFFER' }),
    );

    await server.run(`DROP VIEW app.of_${clone}`);
    expect(await application.rotate()).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
  });
});
