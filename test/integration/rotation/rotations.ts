import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { STEPS } from '../../../shared/rotation/plan.ts';
import { preflight } from '../../../shared/rotation/preflight.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PREVIOUS } from '../../../shared/secrets/port.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { type Application, createApplication } from './real-database.ts';
import type { RealServer } from './real-server.ts';

/** Whether the user that is not in use may be the one whose session keeps retirement waiting. */
const HAS_TWO_USERS = ['alternating-users', 'user-pair'];
const DONE = ['created', 'set', 'tested', 'promoted'];

/** What whole rotations keep to on any server that logs every statement. */
export function describeRotations(
  running: () => RealServer,
  strategies: readonly StrategyName[],
  {
    names,
    statement,
    seenAs = 'test',
  }: {
    readonly names: readonly string[];
    /** Of which every rotation leaves one in the log. */
    readonly statement: string;
    /** How the server tells of a session that names itself `test`. */
    readonly seenAs?: string;
  },
): void {
  const expectNothingInTheLog = (application: Application) => {
    const log = running().log();
    // The log is written: without this, an empty one would prove nothing.
    expect(log.includes(statement)).toBe(true);
    expect(application.passwords().filter((password) => log.includes(password))).toEqual([]);
  };
  const accountOf = async (application: Application, stage: string) => {
    const account = await application.login(stage);
    if (account === undefined) throw new Error(`no version is labelled ${stage}`);
    return account;
  };
  /** The server forgets a session a moment after its client has gone. */
  const retireOnceAlone = (application: Application) =>
    eventually('the retirement', async () => {
      const outcome = await application.retire();
      return outcome.kind === 'sessionsOpen' ? undefined : outcome;
    });

  describe.each(strategies)('%s', (strategy) => {
    test.each(names)('of %s, there and back again', async (name) => {
      const application = await createApplication(running(), strategy, name);
      const users = HAS_TWO_USERS.includes(strategy) ? [`${application.username}_clone`, application.username] : [];
      for (const turn of [0, 1, 2]) {
        const before = await accountOf(application, CURRENT);
        expect(await application.rotate()).toEqual(DONE);
        expect((await accountOf(application, CURRENT)).username).toBe(users[turn % 2] ?? application.username);
        expect(await application.works(CURRENT)).toBe(true);
        // The old password of a single user is gone; with every other strategy it is what clients still have.
        expect(await running().canRead(before)).toBe(strategy !== 'single-user');
      }
      expectNothingInTheLog(application);
    });

    test('15, 74: with every step three times at once ends well', async () => {
      const application = await createApplication(running(), strategy);
      const before = await accountOf(application, CURRENT);
      const token = application.beginRotation();

      for (const step of ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const)
        await Promise.all([1, 2, 3].map(() => application.run(step, token)));

      expect((await application.rig.secrets.store.readStage(application.arn, CURRENT))?.versionId).toBe(token);
      expect(await application.works(CURRENT)).toBe(true);
      expect(await running().canRead(before)).toBe(strategy !== 'single-user');
    });

    test('16: a lone testSecret changes no login', async () => {
      const application = await createApplication(running(), strategy);

      expect(await application.run('testSecret', application.beginRotation())).toMatchObject({ kind: 'preflight' });

      expect(await application.works(CURRENT)).toBe(true);
      expect(await application.rotate()).toEqual(DONE);
    });

    test('52: that find another password than theirs, and no AWSPREVIOUS, change nothing until it is put right', async () => {
      const application = await createApplication(running(), strategy);
      const account = await accountOf(application, CURRENT);
      expect(await application.login(PREVIOUS)).toBeUndefined();
      await running().give({ ...account, password: 'of-somebody-else-1' });
      const before = await running().user(account.username);

      await expect(application.rotate()).rejects.toMatchObject({ code: 'LOGIN_REFUSED', retryable: false });

      expect(await running().user(account.username)).toEqual(before);
      expect(await running().canRead({ ...account, password: 'of-somebody-else-1' })).toBe(true);
      expect(await accountOf(application, CURRENT)).toEqual(account);

      await running().give(account);
      expect(await application.rotate()).toEqual(['alreadyCreated', 'set', 'tested', 'promoted']);
      expect(await application.works(CURRENT)).toBe(true);
    });

    if (strategy === 'single-user')
      test('100: end no session that began with the password before, and a preflight goes on showing it', async () => {
        const application = await createApplication(running(), strategy);
        const { username } = application;
        await running().letSeeSessions?.(username);
        const end = await running().open(await accountOf(application, CURRENT));
        try {
          await application.rotate();

          const { rig, arn } = application;
          const report = await preflight(arn, { ...rig.deps, ...running().rekey }, deadlineIn(30_000, systemClock));
          expect(report.sessions).toContainEqual(expect.objectContaining({ user: username }));
        } finally {
          await end();
        }
      });

    if (strategy === 'user-pair')
      test('createPeer, asked for again, leaves both logins as they are', async () => {
        const application = await createApplication(running(), strategy);
        expect(await application.rotate()).toEqual(DONE);

        expect(await application.createPeer()).toMatchObject({ kind: 'alreadyCreated' });

        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.works(PREVIOUS)).toBe(true);
        expect(await application.rotate()).toEqual(DONE);
      });

    // The second login of a pair is in one secret alone.
    if (strategy !== 'user-pair') {
      /** Another secret with the same login, as somebody copied it. */
      const twinOf = async ({ rig, arn, adminArn }: Application) => {
        rig.secrets.secret(adminArn).tags.set('rekey:admin-for', 'app/db app/twin');
        const { value } = (await rig.secrets.store.readStage(arn, CURRENT)) ?? {};
        return rig.secrets.create('app/twin', value?.expose() ?? '', Object.fromEntries(rig.secrets.secret(arn).tags));
      };
      const codeOf = (error: unknown) => (error instanceof RekeyError ? error.code : String(error));

      test('74: of two secrets of one user at once leave one of them with a login that works', async () => {
        const application = await createApplication(running(), strategy);
        const { rig, arn } = application;
        const twin = await twinOf(application);
        const racers = [arn, twin].map((secret) => ({ secret, token: rig.secrets.beginRotation(secret) }));

        const codes = new Set<string>();
        let left = racers;
        for (const step of STEPS) {
          const outcomes = await Promise.allSettled(
            left.map(({ secret, token }) => rig.run(step, secret, token, running().rekey)),
          );
          for (const outcome of outcomes) if (outcome.status === 'rejected') codes.add(codeOf(outcome.reason));
          left = left.filter((_, index) => outcomes[index]?.status === 'fulfilled');
        }

        expect(['PENDING_REFUSED', 'LOGIN_REFUSED', 'DATABASE_BUSY']).toEqual(expect.arrayContaining([...codes]));
        const works = [];
        for (const secret of [arn, twin]) {
          const staged = await rig.secrets.store.readStage(secret, CURRENT);
          works.push(await running().canRead(JSON.parse(staged?.value.expose() ?? '{}')));
        }
        expect(works).toContain(true);
      });

      if (strategy === 'single-user')
        test('75: of one of two secrets of a user are told when the other one’s turn comes', async () => {
          const application = await createApplication(running(), strategy);
          const { rig } = application;
          const twin = await twinOf(application);
          expect(await application.rotate()).toEqual(DONE);

          const token = rig.secrets.beginRotation(twin);
          await rig.run('createSecret', twin, token, running().rekey);
          await expect(rig.run('setSecret', twin, token, running().rekey)).rejects.toMatchObject({
            code: 'LOGIN_REFUSED',
          });

          expect(await application.works(CURRENT)).toBe(true);
        });
    }

    if (strategy !== 'single-user')
      test('what was retired is refused, and the next rotation goes on from there', async () => {
        const application = await createApplication(running(), strategy);
        await application.rotate();
        const previous = await accountOf(application, PREVIOUS);
        expect(await running().canRead(previous)).toBe(true);

        expect(await retireOnceAlone(application)).toMatchObject({ kind: 'retired', user: previous.username });
        expect(await running().canRead(previous)).toBe(false);
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.retire()).toMatchObject({ kind: 'retired', user: previous.username }); // once more

        expect(await application.rotate()).toEqual(DONE);
        expect((await accountOf(application, CURRENT)).username).toBe(previous.username);
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.works(PREVIOUS)).toBe(true);
        expectNothingInTheLog(application);
      });

    if (HAS_TWO_USERS.includes(strategy))
      test('100: whoever is still at work as the previous user keeps it from being retired', async () => {
        const application = await createApplication(running(), strategy);
        await application.rotate();
        const previous = await accountOf(application, PREVIOUS);
        const end = await running().open(previous);

        const outcome = await application.retire().finally(end);

        expect(outcome).toMatchObject({
          kind: 'sessionsOpen',
          user: previous.username,
          sessions: [{ applicationName: seenAs }],
        });
        expect(await running().canRead(previous)).toBe(true);
        expect(await retireOnceAlone(application)).toMatchObject({ kind: 'retired' });
      });
  });
}
