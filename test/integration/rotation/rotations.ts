import { describe, expect, test } from '@jest/globals';
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
