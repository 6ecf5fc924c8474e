import {
  DeleteSecretCommand,
  RestoreSecretCommand,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { STEPS } from '../../../shared/rotation/plan.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import { AwsError, type Fault } from '../../sandbox/aws/service.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import { type RealServer, startRealPostgres } from './real-server.ts';
import { REKEY, startWiredAccount, type WiredAccount, type WiredApplication } from './wired-application.ts';

/*
 * Numbers are entries of the catalogue of bad input: what Secrets Manager and Lambda (simulated) may do to a rotation
 * from any of its steps on. The database is a real one.
 */

const DONE = ['created', 'set', 'tested', 'promoted'];

const refusing = (code: string, message: string, status = 400): Fault => ({
  kind: 'refuse',
  error: new AwsError(code, message, status),
});

/** What does not pass by itself. How each single call tells it: test/contract/secret-store-faults.test.ts. */
const FAULTS: readonly (readonly [what: string, fault: Fault, code: string])[] = [
  ['44: denies every call, as the role was edited', refusing('AccessDeniedException', 'Denied'), 'ACCESS_DENIED'],
  ['45: may no longer use the key', refusing('DecryptionFailure', 'cannot decrypt'), 'KEY_UNUSABLE'],
  [
    '56: finds the credentials expired',
    refusing('ExpiredTokenException', 'expired', 403),
    'SECRETS_MANAGER_UNAVAILABLE',
  ],
];

describeOnServer(postgresIsInstalled(18), 'a rotation of which Secrets Manager', () => {
  let server: RealServer;
  let account: WiredAccount;
  beforeAll(async () => {
    server = await startRealPostgres(18);
    account = await startWiredAccount();
  });
  afterEach(() => account.inject(undefined));
  afterAll(async () => {
    await account?.close();
    await server?.stop();
  });

  const idOf = ({ versions }: WiredApplication, stage: string) =>
    versions().find(({ stages }) => stages.includes(stage))?.id;
  /** The present rotation once more, as Secrets Manager repeats it. */
  async function repeat(application: WiredApplication): Promise<void> {
    for (const step of STEPS) await application.run(step, application.token());
  }

  describe.each<StrategyName>(['single-user', 'alternating-users'])('with %s', (strategy) => {
    describe.each(FAULTS)('%s', (_, fault, code) => {
      test.each(STEPS)('from %s on: what worked goes on working, and all steps again end well', async (step) => {
        const application = await account.createApplication(server, strategy);
        const before = { versions: application.versions().length, current: idOf(application, CURRENT) };
        const refuse = () => account.inject(({ caller }) => (caller.accessKeyId === REKEY ? fault : undefined));
        application.meanwhile('before', step, async () => refuse());

        expect(await application.rotate()).toEqual([...DONE.slice(0, STEPS.indexOf(step)), code]);

        application.meanwhile('before', step, undefined);
        account.inject(undefined);
        expect(idOf(application, CURRENT)).toBe(before.current);
        const changed = strategy === 'single-user' && STEPS.indexOf(step) > STEPS.indexOf('setSecret');
        expect(await application.works(changed ? PENDING : CURRENT)).toBe(true);
        expect(application.events.at(-1)).toMatchObject({ type: 'Rotation Failed', detail: { code, step } });
        await repeat(application);
        expect(idOf(application, CURRENT)).toBe(application.token());
        expect(await application.works(CURRENT)).toBe(true);
        expect(application.versions()).toHaveLength(before.versions + 1);
      });
    });

    test.each(STEPS)('80: is not let run the function before %s: it goes on from there', async (step) => {
      const application = await account.createApplication(server, strategy);
      application.meanwhile('before', step, async () => {
        throw new AwsError('TooManyRequestsException', 'Rate Exceeded.', 429);
      });

      expect((await application.rotate()).slice(0, -1)).toEqual(DONE.slice(0, STEPS.indexOf(step)));

      application.meanwhile('before', step, undefined);
      await repeat(application);
      expect(await application.works(CURRENT)).toBe(true);
    });

    test.each(STEPS)('46: has the secret marked for deletion since before %s', async (step) => {
      const application = await account.createApplication(server, strategy);
      const SecretId = application.arn;
      application.meanwhile('before', step, () => account.client.send(new DeleteSecretCommand({ SecretId })));

      expect(await application.rotate()).toEqual([...DONE.slice(0, STEPS.indexOf(step)), 'SECRET_DELETED']);

      application.meanwhile('before', step, undefined);
      await account.client.send(new RestoreSecretCommand({ SecretId }));
      const changed = strategy === 'single-user' && STEPS.indexOf(step) > STEPS.indexOf('setSecret');
      expect(await application.works(changed ? PENDING : CURRENT)).toBe(true);
      // A deletion ends the rotation, and AWSPENDING stays: the next one goes on with it.
      await repeat(application);
      expect(await application.works(CURRENT)).toBe(true);
    });

    test('48: keeps no more versions: nothing was set, and the next rotation goes on', async () => {
      const application = await account.createApplication(server, strategy);
      const [before, versions] = [await server.user(application.username), application.versions().length];
      account.inject(({ caller, operation }) =>
        caller.accessKeyId === REKEY && operation === 'PutSecretValue'
          ? refusing('LimitExceededException', 'You have reached the maximum number of versions')
          : undefined,
      );

      expect(await application.rotate()).toEqual(['SECRETS_MANAGER_REJECTED']);

      expect(await server.user(application.username)).toEqual(before);
      expect(await application.works(CURRENT)).toBe(true);
      expect(application.events.at(-1)).toMatchObject({
        type: 'Rotation Failed',
        detail: { code: 'SECRETS_MANAGER_REJECTED', message: expect.stringContaining('LimitExceededException') },
      });
      account.inject(undefined);
      await repeat(application);
      expect(await application.works(CURRENT)).toBe(true);
      expect(application.versions()).toHaveLength(versions + 1);
    });

    test('52: has no AWSPREVIOUS, as before the first rotation or when somebody took it away', async () => {
      const application = await account.createApplication(server, strategy);
      expect(idOf(application, PREVIOUS)).toBeUndefined();
      expect(await application.rotate()).toEqual(DONE);

      const taken = new UpdateSecretVersionStageCommand({
        SecretId: application.arn,
        VersionStage: PREVIOUS,
        RemoveFromVersionId: idOf(application, PREVIOUS),
      });
      await account.client.send(taken);

      expect(await application.rotate()).toEqual(DONE);
      expect(await application.works(CURRENT)).toBe(true);
    });
  });
});
