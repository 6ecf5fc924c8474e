import { TagResourceCommand } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { RETIRE, SYNC } from '../../infra/wiring.ts';
import { START_MS } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
import { Announcements } from './announcements.ts';
import { type Application, createApplication, rotate } from './application.ts';
import { type Deployment, describeOnEachApi } from './each-api.ts';
import { Team } from './team.ts';

const AT_ONCE = { 'rekey:retire-after': '0s' };
const REFUSED = /password authentication failed/;

describeOnEachApi('retire', (start) => {
  let environment: Deployment;
  let announcements: Announcements;
  beforeAll(async () => {
    // A look at open sessions comes back after 15 minutes: nine seconds here.
    environment = await start({ queueSecondMs: 10 });
    announcements = new Announcements(environment);
  }, START_MS);
  afterAll(() => environment.close());

  async function deployed(application: Application): Promise<Team> {
    const team = new Team(environment.api, application.secretName.split('/')[0] ?? '').mounts(application.secretName);
    return await team.runs('web').ready();
  }

  /** The reason for which retire did nothing about this version. */
  const left = (versionId: string) =>
    eventually('a look of retire', () => {
      const line = environment.aws.functions
        .logs(environment.nameOf(RETIRE))
        .find((one) => one.includes(versionId) && one.includes('looked at the previous credential'));
      return line === undefined ? undefined : (JSON.parse(line).outcome as { kind: string; why: string });
    });

  test('shuts the previous user out once all pods are proved, and the next rotation lets it in again', async () => {
    const application = await createApplication(environment, 'paired', { tags: AT_ONCE });
    await deployed(application);
    for (const [current, previous] of [
      ['paired_clone', 'paired'],
      ['paired', 'paired_clone'],
    ]) {
      const versionId = await rotate(environment, application);
      const { detail } = await announcements.first('Secret Retired', application.secretArn, versionId);
      expect(detail).toMatchObject({ user: previous, engine: 'postgres' });
      expect(application.login('AWSCURRENT')?.username).toBe(current);
      expect(await application.refusal(application.login('AWSCURRENT'))).toBeUndefined();
      expect(await application.refusal(application.login('AWSPREVIOUS'))).toMatch(REFUSED);
    }
  });

  test('waits for the grace that the tag gives', async () => {
    // Longer than a busy machine takes to look at it for the first time.
    const application = await createApplication(environment, 'grace', { tags: { 'rekey:retire-after': '1m' } });
    await deployed(application);
    const versionId = await rotate(environment, application);
    const converged = await announcements.first('Secret Converged', application.secretArn, versionId);
    expect(await left(versionId)).toMatchObject({ kind: 'tooEarly' });
    await environment.secretsManager.send(
      new TagResourceCommand({ SecretId: application.secretArn, Tags: [{ Key: 'rekey:retire-after', Value: '2s' }] }),
    );
    const retired = await announcements.first('Secret Retired', application.secretArn, versionId);
    // Both times are cut to whole seconds.
    expect(Date.parse(retired.time) - Date.parse(converged.time)).toBeGreaterThanOrEqual(2_000);
  });

  test('names an open session of the previous user, and disables nothing until it is closed', async () => {
    const application = await createApplication(environment, 'session', { tags: AT_ONCE });
    await deployed(application);
    const forgotten = await application.session(application.login('AWSCURRENT'), 'nightly-report');
    try {
      const versionId = await rotate(environment, application);
      const { detail } = await announcements.first('Action Needed', application.secretArn, versionId);
      expect(detail).toMatchObject({ code: 'SESSIONS_OPEN', sessions: [{ applicationName: 'nightly-report' }] });
      const [session] = detail['sessions'] as { clientAddress: string; since: string }[];
      expect(session?.clientAddress).toMatch(/^127\.0\.0\.1/);
      expect(Math.abs(Date.now() - Date.parse(session?.since ?? ''))).toBeLessThan(60_000);
      await environment.aws.idle();
      expect(await application.refusal(application.login('AWSPREVIOUS'))).toBeUndefined();
      expect((await forgotten.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);

      await forgotten.end();
      await announcements.first('Secret Retired', application.secretArn, versionId);
      expect(await application.refusal(application.login('AWSPREVIOUS'))).toMatch(REFUSED);
      const heard = await announcements.of(application.secretArn, versionId);
      expect(heard.filter(({ type }) => type === 'Action Needed')).toHaveLength(1);
    } finally {
      await forgotten.end();
    }
  });

  test('leaves the previous user alive until the next rotation where the tag asks for it', async () => {
    const tags = { ...AT_ONCE, 'rekey:retire': 'next-rotation' };
    const application = await createApplication(environment, 'tagged', { tags });
    await deployed(application);
    const versionId = await rotate(environment, application);
    expect(await left(versionId)).toEqual({
      kind: 'leftAlone',
      why: expect.stringContaining('rekey:retire says next-rotation'),
    });
    expect(await application.refusal(application.login('AWSPREVIOUS'))).toBeUndefined();
  });

  test('is not even asked about a user that no workload is known to use, and so leaves the previous one alive', async () => {
    const application = await createApplication(environment, 'unknown', { tags: AT_ONCE });
    const versionId = await rotate(environment, application);
    const outcome = await eventually('the end of sync', () => {
      const line = environment.aws.functions
        .logs(environment.nameOf(SYNC))
        .find((one) => one.includes(versionId) && one.includes('sync finished'));
      return line === undefined ? undefined : JSON.parse(line).outcome;
    });
    expect(outcome).toBe('unused');
    await environment.aws.idle();
    expect(
      environment.aws.functions.logs(environment.nameOf(RETIRE)).filter((line) => line.includes(versionId)),
    ).toEqual([]);
    expect(await application.refusal(application.login('AWSPREVIOUS'))).toBeUndefined();
  });

  test('shuts the previous user of a secret without workloads out where the tag asks for it', async () => {
    const tags = { ...AT_ONCE, 'rekey:retire': 'converged' };
    const application = await createApplication(environment, 'alone', { tags });
    const versionId = await rotate(environment, application);
    await announcements.first('Secret Retired', application.secretArn, versionId);
    expect(await application.refusal(application.login('AWSPREVIOUS'))).toMatch(REFUSED);
  });

  test('leaves the previous user alive while a workload is pinned to a version', async () => {
    const application = await createApplication(environment, 'pinned', { tags: AT_ONCE });
    const objectVersion = application.version('AWSCURRENT');
    const team = new Team(environment.api, 'pinned').mounts(application.secretName);
    team.mounts(application.secretName, { name: 'fixed', object: { objectVersion } });
    await team.runs('web').runs('archive', { secretProviderClass: 'fixed' }).ready();
    const versionId = await rotate(environment, application);
    expect(await left(versionId)).toEqual({ kind: 'leftAlone', why: expect.stringContaining('pinned') });
    expect(await application.refusal(application.login('AWSPREVIOUS'))).toBeUndefined();
  });
});
