import { RotateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ROTATION } from '../../infra/wiring.ts';
import { STEPS } from '../../shared/rotation/plan.ts';
import { AwsError } from '../sandbox/aws/service.ts';
import { type Environment, START_MS, startEnvironment } from '../sandbox/environment.ts';
import { Announcements } from './announcements.ts';
import { APPLICATIONS, type Application, createApplication, rotate } from './application.ts';

/** The built bundle in processes of its own, called by Secrets Manager, against a real server. */
describe.each([
  { start: 'cold', reuse: false },
  { start: 'warm', reuse: true },
])('a rotation by rotate-secret, with $start starts', ({ reuse }) => {
  let environment: Environment;
  let announcements: Announcements;
  beforeAll(async () => {
    environment = await startEnvironment({
      rotated: APPLICATIONS,
      reuse,
      queueSecondMs: 100,
      retry: { attempts: 1, delayMs: 10 },
    });
    announcements = new Announcements(environment);
  }, START_MS);
  afterAll(() => environment.close());
  afterEach(() => {
    environment.aws.inject(undefined);
    environment.aws.disturbEvents(undefined);
  });

  const logs = () => environment.aws.functions.logs(environment.nameOf(ROTATION.postgres));

  /** What the rotation function logged of one version, step by step. */
  function stepsOf(versionId: string): { step: string; message: string; outcome?: { kind: string } }[] {
    return logs()
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
      .filter((line) => line.versionId === versionId && /^step (finished|failed)$/.test(line.message));
  }

  async function expectBothLoginsWork(application: Application): Promise<void> {
    expect(await application.refusal(application.login('AWSCURRENT'))).toBeUndefined();
    expect(await application.refusal(application.login('AWSPREVIOUS'))).toBeUndefined();
  }

  test('runs the four steps and leaves two users that both log in', async () => {
    const application = await createApplication(environment, 'alternating');
    const first = application.login('AWSCURRENT');
    const startsBefore = logs().filter((line) => line.includes('Init Duration')).length;

    const versionId = await rotate(environment, application);
    await announcements.first('Rotation Succeeded', application.secretArn, versionId);
    await environment.aws.idle();

    expect(stepsOf(versionId).map(({ step, message }) => `${step}: ${message}`)).toEqual(
      STEPS.map((step) => `${step}: step finished`),
    );
    const starts = logs().filter((line) => line.includes('Init Duration')).length - startsBefore;
    expect(starts).toBe(reuse ? 1 : STEPS.length);
    expect(application.version('AWSCURRENT')).toBe(versionId);
    expect(application.login('AWSCURRENT')?.username).toBe('alternating_clone');
    expect(application.login('AWSPREVIOUS')).toEqual(first);
    await expectBothLoginsWork(application);
  });

  test('comes back to the first user with the next rotation', async () => {
    const application = await createApplication(environment, 'twice');
    for (const username of ['twice_clone', 'twice', 'twice_clone']) {
      await rotate(environment, application);
      await environment.aws.idle();
      expect(application.login('AWSCURRENT')?.username).toBe(username);
      await expectBothLoginsWork(application);
    }
  });

  test('replaces the password of a single user', async () => {
    const application = await createApplication(environment, 'single', { strategy: 'single-user' });
    const versionId = await rotate(environment, application);
    await environment.aws.idle();

    expect(application.version('AWSCURRENT')).toBe(versionId);
    expect(application.login('AWSCURRENT')?.username).toBe('single');
    expect(await application.refusal(application.login('AWSCURRENT'))).toBeUndefined();
    expect(await application.refusal(application.login('AWSPREVIOUS'))).toMatch('password authentication failed');
  });

  test('stores the new value with the RotationToken of its event', async () => {
    const application = await createApplication(environment, 'token');
    const versionId = await rotate(environment, application);
    await environment.aws.idle();

    const stored = environment.aws.calls
      .filter(({ operation }) => operation === 'PutSecretValue')
      .map(({ input }) => input as { ClientRequestToken: string; RotationToken?: string })
      .filter(({ ClientRequestToken }) => ClientRequestToken === versionId);
    expect(stored).toHaveLength(1);
    expect(stored[0]?.RotationToken).toMatch(/^[\w-]{36}$/);
    expect(stored[0]?.RotationToken).not.toBe(versionId);
  });

  test.each(['alternating-users', 'single-user'] as const)(
    'with RotateImmediately=false changes nothing, neither at the server nor in the secret: %s',
    async (strategy) => {
      const application = await createApplication(environment, `checked_${strategy.slice(0, 6)}`, { strategy });
      const [roles, labels] = [await rolesOf(environment), application.labels()];

      await environment.secretsManager.send(
        new RotateSecretCommand({
          SecretId: application.secretArn,
          RotationLambdaARN: environment.rotationFunctionArn,
          RotationRules: { AutomaticallyAfterDays: 30 },
          RotateImmediately: false,
        }),
      );
      await environment.aws.idle();

      const checks = logs().filter((line) => line.includes(application.secretArn) && line.includes('step finished'));
      expect(checks.map((line) => JSON.parse(line).outcome.kind)).toEqual(['preflight']);
      expect(await rolesOf(environment)).toEqual(roles);
      expect(application.labels()).toEqual(labels);
    },
  );

  test('that fails in one step is repeated as a whole, and ends well', async () => {
    const application = await createApplication(environment, 'repeated');
    let refused = 0;
    environment.aws.inject(({ service, operation }) => {
      if (service !== 'secretsmanager' || operation !== 'UpdateSecretVersionStage' || refused > 0) return undefined;
      refused += 1;
      return { kind: 'refuse', error: new AwsError('AccessDeniedException', 'not now') };
    });

    const versionId = await rotate(environment, application);
    await environment.aws.idle();

    expect(stepsOf(versionId).map(({ step, outcome }) => [step, outcome?.kind ?? 'failed'])).toEqual([
      ['createSecret', 'created'],
      ['setSecret', 'set'],
      ['testSecret', 'tested'],
      ['finishSecret', 'failed'],
      ['createSecret', 'alreadyCreated'],
      ['setSecret', 'set'],
      ['testSecret', 'tested'],
      ['finishSecret', 'promoted'],
    ]);
    expect(application.version('AWSCURRENT')).toBe(versionId);
    await expectBothLoginsWork(application);
  });

  test('that fails says so with a code, what still works and what to do', async () => {
    const application = await createApplication(environment, 'failing');
    await environment.postgres.run('ALTER ROLE failing NOLOGIN');

    const versionId = await rotate(environment, application);
    const { detail } = await announcements.first('Rotation Failed', application.secretArn, versionId);

    expect(detail).toMatchObject({
      secretName: application.secretName,
      step: 'setSecret',
      code: 'LOGIN_REFUSED',
      retryable: false,
      stillWorks: expect.stringMatching(/\w/),
      action: expect.stringMatching(/Unlock the user/),
    });
    await environment.aws.idle();
    expect(application.version('AWSCURRENT')).not.toBe(versionId);
    expect(await rolesOf(environment)).not.toContainEqual(expect.objectContaining({ rolname: 'failing_clone' }));
  });
});

/** Every role's row, its password's verifier included. */
async function rolesOf({ postgres }: Environment): Promise<unknown[]> {
  const client = await postgres.connect(postgres.superuser);
  const roles = 'SELECT * FROM pg_authid ORDER BY rolname';
  return (await client.query(roles).finally(() => client.end())).rows;
}
