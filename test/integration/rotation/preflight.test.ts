import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { type PreflightReport, preflight } from '../../../shared/rotation/preflight.ts';
import type { RotationDeps } from '../../../shared/rotation/steps.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { startTcpProxy } from '../../sandbox/tcp-proxy.ts';
import { snapshotOf } from '../../unit/shared/rotation/rig.ts';
import { ONE_OF_EACH } from './one-of-each.ts';
import { type Application, type ApplicationOptions, createApplication } from './real-database.ts';
import type { RealServer } from './real-server.ts';

const verdicts = ({ checks }: PreflightReport) =>
  checks.map(({ what, verdict, code }) => [what, verdict, code].filter(Boolean).join(' '));

/** The certificates of the tests end tomorrow. */
const PASSED = (engine: string) => [
  'tags passed',
  'secret passed',
  'server passed',
  'certificate warning',
  // There it takes a right that users seldom have.
  ...(engine === 'redis' ? ['sessions unknown'] : []),
  'strategy passed',
  'rights passed',
];

for (const { name, isInstalled, strategies, start } of ONE_OF_EACH)
  describeOnServer(isInstalled, `a preflight on ${name}`, () => {
    let server: RealServer;
    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server?.stop());

    const application = (strategy: StrategyName = strategies[0] ?? 'single-user', options?: ApplicationOptions) =>
      createApplication(server, strategy, 'app', options);

    /** Looks; and finds that nothing was changed, in the secrets and on the server. */
    async function look(
      { rig, arn, adminArn, username, works }: Application,
      over: Partial<RotationDeps> = {},
    ): Promise<PreflightReport> {
      const state = async () => ({
        secrets: [arn, adminArn].map((each) => snapshotOf(rig.secrets, each)),
        users: await Promise.all([username, `${username}_clone`].map((user) => server.user(user))),
        current: await works(CURRENT),
      });
      const before = await state();
      const deps = { ...rig.deps, ...server.rekey, ...over };
      const report = await preflight(arn, deps, deadlineIn(30_000, systemClock));
      expect(await state()).toEqual(before);
      return report;
    }
    const retag = ({ rig, arn }: Application, key: string, value: string) =>
      rig.secrets.secret(arn).tags.set(key, value);
    /** What AWSCURRENT of a secret says, changed by hand in its place. */
    function patch({ rig }: Application, arn: string, keys: object): void {
      const { versions } = rig.secrets.secret(arn);
      for (const version of versions.values())
        if (version.value !== undefined && version.stages.has(CURRENT))
          version.value = JSON.stringify({ ...JSON.parse(version.value), ...keys });
    }

    describe.each(strategies)('with %s', (strategy) => {
      test('says that a rotation would work, of which server, and how long its certificate is good', async () => {
        const report = await look(await application(strategy));

        expect(verdicts(report)).toEqual(PASSED(server.rekey.engine.name));
        expect(report).toMatchObject({
          works: true,
          strategy,
          engine: server.rekey.engine.name,
          server: {
            version: expect.stringMatching(new RegExp(`^${name}`)),
            certificate: { issuer: 'Rekey test CA', daysLeft: 0 },
            passwordPolicy: expect.any(Array),
          },
        });
      });

      test('says who is connected now, as far as the user may see it', async () => {
        const subject = await application(strategy);
        const login = await subject.login(CURRENT);
        const end = login && (await server.open(login));
        try {
          await server.letSeeSessions?.(subject.username);
          const { sessions } = await look(subject);
          expect(sessions).toContainEqual(expect.objectContaining({ user: subject.username }));
        } finally {
          await end?.();
        }
      });

      test('does not take a list of sessions that it may not have for an empty one', async () => {
        const subject = await application(strategy);

        const { sessions, checks, works } = await look(subject);

        expect(works).toBe(true);
        if (!server.letSeeSessions) expect(sessions).toEqual([]);
        else {
          expect(sessions).toBeUndefined();
          expect(checks).toContainEqual({
            what: 'sessions',
            verdict: 'unknown',
            message: `Who is connected is not known: "${subject.username}" may not ask.`,
            action: expect.stringContaining(`ACL SETUSER ${subject.username} +client|list`),
          });
        }
      });

      test('after a rotation, says that the next one would work', async () => {
        const subject = await application(strategy);
        await subject.rotate();

        expect(await look(subject)).toMatchObject({ works: true, strategy, wouldReconcile: [] });
      });

      test('says that a password was changed behind its back', async () => {
        const subject = await application(strategy);
        patch(subject, subject.arn, { password: 'of-yesterday' });

        const report = await look(subject);

        expect(report.works).toBe(false);
        expect(verdicts(report)).toContain('server failed LOGIN_REFUSED');
        expect(verdicts(report)).toContain('rights unknown');
      });
    });

    test('of a single user names a strategy without a gap', async () => {
      const { userPair } = server.rekey.engine;

      expect(await look(await application('single-user'))).toMatchObject({
        works: true,
        betterStrategy: { strategy: userPair ? 'user-pair' : 'dual-password' },
      });
    });

    test('says that a strategy is not to be had', async () => {
      const { userPair, dualPassword } = server.rekey.engine;
      const subject = await application('single-user');
      retag(subject, 'rekey:strategy', userPair ? 'dual-password' : 'user-pair');

      const report = await look(subject);

      expect(report.works).toBe(false);
      // MySQL knows them all: there it is this user that has not the right.
      expect(verdicts(report)).toContain(
        userPair && dualPassword ? 'rights failed PRIVILEGE_MISSING' : 'strategy failed STRATEGY_UNAVAILABLE',
      );
    });

    if (strategies.includes('alternating-users')) {
      test('says what a rotation would make equal first', async () => {
        const subject = await application('alternating-users');

        expect((await look(subject)).wouldReconcile).not.toEqual([]);
      });

      test('names the statement that the administrator lacks', async () => {
        const subject = await application('alternating-users');
        const powerless = { username: `powerless_${subject.username}`, password: 'of-nobody-else-1' };
        await server.createUser(powerless, 'single-user');
        patch(subject, subject.adminArn, powerless);

        const report = await look(subject);

        expect(report.works).toBe(false);
        expect(report.checks.at(-1)).toMatchObject({ what: 'rights', verdict: 'failed', code: 'PRIVILEGE_MISSING' });
        expect(report.checks.at(-1)?.action).toMatch(/GRANT|ALTER ROLE|CREATE/);
      });
    }

    for (const strategy of strategies.filter((each) => each === 'alternating-users' || each === 'dual-password'))
      test(`says that the administrator is not let in, with ${strategy}`, async () => {
        const subject = await application(strategy, { masterarn: true });
        patch(subject, subject.adminArn, { password: 'of-yesterday' });

        const report = await look(subject);

        expect(report.works).toBe(false);
        expect(report.checks.at(-1)).toMatchObject({ what: 'rights', verdict: 'failed', code: 'LOGIN_REFUSED' });
      });

    test('says that the server cannot be reached, and what it could not look at', async () => {
      const subject = await application();
      const closed = await startTcpProxy(server.port);
      await closed.close();
      patch(subject, subject.arn, { port: closed.port });

      const report = await look(subject);

      expect(report.works).toBe(false);
      expect(verdicts(report).slice(2)).toEqual([
        'server failed DATABASE_UNREACHABLE',
        'certificate unknown',
        'strategy unknown',
        'rights unknown',
      ]);
    });

    test('says that the certificate is for another name', async () => {
      const subject = await application();
      retag(subject, 'rekey:server-name', 'other.example');

      expect(verdicts(await look(subject))).toContain('server failed DATABASE_TLS');
    });

    test('names a tag that does not parse, and connects to nothing', async () => {
      const way = await startTcpProxy(server.port);
      try {
        const subject = await application();
        patch(subject, subject.arn, { port: way.port });
        retag(subject, 'rekey:retier', 'converged');

        const report = await look(subject);

        expect(report.works).toBe(false);
        expect(report.checks).toContainEqual(
          expect.objectContaining({ code: 'TAG_INVALID', message: expect.stringContaining('rekey:retier') }),
        );
        expect(way.connections()).toBe(0);
      } finally {
        await way.close();
      }
    });
  });
