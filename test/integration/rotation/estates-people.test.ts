import {
  CancelRotateSecretCommand,
  PutSecretValueCommand,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Step } from '../../../shared/rotation/plan.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PENDING, PREVIOUS, STANDBY } from '../../../shared/secrets/port.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../../sandbox/tcp-proxy.ts';
import { ONE_OF_EACH } from './one-of-each.ts';
import type { RealServer } from './real-server.ts';
import { startWiredAccount, type WiredAccount, type WiredApplication } from './wired-application.ts';

/*
 * What people do to a secret while it is rotated: Secrets Manager (simulated, over the wire) reacts as AWS does, the
 * database is a real one. Numbers are entries of the catalogue of bad input.
 */

/** What is not where the secret says. */
const ELSEWHERE: { readonly [strategy in StrategyName]?: string } = {
  'alternating-users': 'ADMIN_SECRET_INVALID',
  'user-pair': 'STANDBY_MISSING',
};

/** How a change ends that comes when its rotation is over: by the labels, or because its login is of that rotation too. */
const TOO_LATE: { readonly [strategy in StrategyName]: string } = {
  'single-user': 'LOGIN_REFUSED',
  'alternating-users': 'VERSION_NOT_PENDING',
  'user-pair': 'LOGIN_REFUSED',
  'dual-password': 'VERSION_NOT_PENDING',
};

const DONE = ['created', 'set', 'tested', 'promoted'];

for (const { name, isInstalled, strategies, start } of ONE_OF_EACH)
  describeOnServer(isInstalled, `a person at work during a rotation on ${name}`, () => {
    let server: RealServer;
    let account: WiredAccount;
    /** Another way to the same server. */
    let alias: TcpProxy;
    beforeAll(async () => {
      server = await start();
      alias = await startTcpProxy(server.port);
      account = await startWiredAccount();
    });
    afterAll(async () => {
      await alias?.close();
      await account?.close();
      await server?.stop();
    });

    /** The present value with an edit, as `put-secret-value` stores it. */
    const put = ({ arn, login }: WiredApplication, edit: object) =>
      account.client.send(
        new PutSecretValueCommand({ SecretId: arn, SecretString: JSON.stringify({ ...login(CURRENT), ...edit }) }),
      );
    const currentOf = ({ versions }: WiredApplication) => versions().find(({ stages }) => stages.includes(CURRENT))?.id;
    const cancel = ({ arn }: WiredApplication) => account.client.send(new CancelRotateSecretCommand({ SecretId: arn }));
    const move = (application: WiredApplication, stage: string, to: string | undefined) =>
      account.client.send(
        new UpdateSecretVersionStageCommand({
          SecretId: application.arn,
          VersionStage: stage,
          MoveToVersionId: to,
          RemoveFromVersionId: application.versions().find(({ stages }) => stages.includes(stage))?.id,
        }),
      );

    /** A rotation that somebody ends at this step. @returns the version that it made */
    async function interrupted(application: WiredApplication, step: Step, act: () => Promise<unknown>) {
      application.meanwhile('after', step, act);
      expect((await application.rotate()).at(-1)).not.toBe('promoted');
      application.meanwhile('after', step, undefined);
      return application.token();
    }

    /** Brings back what works, where the strategy lets the rotation change the very login that labels name. */
    async function useWhatTheRotationMade(application: WiredApplication, strategy: StrategyName, made: string) {
      if (strategy === 'single-user') await move(application, CURRENT, made);
      if (strategy === 'user-pair') await move(application, STANDBY, made);
    }

    /** What a late step of the rotation that is over comes to, and that it changes nothing. */
    async function expectLateStepsToEnd(application: WiredApplication, token: string, code: string) {
      const before = application.versions();
      for (const step of ['setSecret', 'testSecret', 'finishSecret'] as const)
        await expect(application.run(step, token)).rejects.toMatchObject({ code });
      expect(application.versions()).toEqual(before);
    }

    describe.each(strategies)('%s', (strategy) => {
      test('50: a value put by hand before setSecret ends the rotation, and the next one goes on from there', async () => {
        const application = await account.createApplication(server, strategy);
        const made = await interrupted(application, 'createSecret', () => put(application, { note: 'edited' }));

        await expectLateStepsToEnd(application, made, 'VERSION_NOT_PENDING');

        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
        expect(application.login(CURRENT)).toMatchObject({ note: 'edited' });
      });

      test('37: another address put by hand ends the rotation, and the next one wants all logins to be there', async () => {
        const application = await account.createApplication(server, strategy);
        const { port } = alias;
        const made = await interrupted(application, 'createSecret', () => put(application, { port }));

        await expectLateStepsToEnd(application, made, 'VERSION_NOT_PENDING');

        expect(await application.works(CURRENT)).toBe(true);
        const elsewhere = ELSEWHERE[strategy];
        if (elsewhere !== undefined) {
          expect((await application.rotate()).at(-1)).toBe(elsewhere);
          await move(application, PENDING, undefined);
          await application.moveAdministrator({ port });
          if (strategy === 'user-pair') await application.createPeer();
        }
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
        expect(application.login(CURRENT)).toMatchObject({ port });
      });

      test('50: a value put by hand after setSecret ends the rotation, whose version has what works', async () => {
        const application = await account.createApplication(server, strategy);
        const made = await interrupted(application, 'setSecret', () => put(application, { note: 'edited' }));

        await expectLateStepsToEnd(application, made, 'VERSION_NOT_PENDING');

        expect(await application.works(CURRENT)).toBe(strategy !== 'single-user');
        await useWhatTheRotationMade(application, strategy, made);
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
      });

      test.each<Step>(['createSecret', 'setSecret'])('51: cancelled after %s, it ends there', async (step) => {
        const application = await account.createApplication(server, strategy);
        const made = await interrupted(application, step, () => cancel(application));

        await expectLateStepsToEnd(application, made, 'ROTATION_DISABLED');

        const changed = step === 'setSecret' && strategy === 'single-user';
        expect(await application.works(CURRENT)).toBe(!changed);
        // As AWS says: AWSPENDING stays, and is to be taken away before the next rotation.
        await move(application, PENDING, undefined);
        if (step === 'setSecret') await useWhatTheRotationMade(application, strategy, made);
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
      });

      test('51: held up before it changes a password until it was cancelled and the next rotation done, it changes nothing', async () => {
        const application = await account.createApplication(server, strategy);
        const [held, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        let late: Promise<unknown> = Promise.resolve();
        await interrupted(application, 'createSecret', async () => {
          late = application.run('setSecret', application.token(), () => {
            held.resolve();
            return free.promise;
          });
          late.catch(() => {}); // looked at below
          await held.promise;
          await cancel(application);
        });
        await move(application, PENDING, undefined);
        expect(await application.rotate()).toEqual(DONE);

        free.resolve();

        await expect(late).rejects.toMatchObject({ code: TOO_LATE[strategy] });
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
      });

      test('49: AWSPENDING taken away after setSecret ends it, and put back lets it go on', async () => {
        const application = await account.createApplication(server, strategy);
        const made = await interrupted(application, 'setSecret', () => move(application, PENDING, undefined));

        await expectLateStepsToEnd(application, made, 'VERSION_NOT_PENDING');
        await move(application, PENDING, made);

        // "A previous rotation isn't complete. That rotation will be reattempted."
        expect(await application.rotate()).toEqual(['ended']);
        await eventually('the same version is current', () => currentOf(application) === made);
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.rotate()).toEqual(DONE);
      });

      test('49: AWSCURRENT moved ahead by hand after setSecret is what the rotation wanted', async () => {
        const application = await account.createApplication(server, strategy);
        application.meanwhile('after', 'setSecret', () => move(application, CURRENT, application.token()));

        expect(await application.rotate()).toEqual(['created', 'set', 'alreadyCurrent', 'alreadyCurrent']);

        application.meanwhile('after', 'setSecret', undefined);
        expect(await application.works(CURRENT)).toBe(true);
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
      });

      test('49: AWSCURRENT moved back by hand after a rotation is where the next one begins', async () => {
        const application = await account.createApplication(server, strategy);
        expect(await application.rotate()).toEqual(DONE);
        const before = application.versions().find(({ stages }) => stages.includes(PREVIOUS))?.id;
        await move(application, CURRENT, before);

        expect(await application.works(CURRENT)).toBe(strategy !== 'single-user');
        expect(await application.rotate()).toEqual(DONE);
        expect(await application.works(CURRENT)).toBe(true);
      });
    });
  });
