import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { ROTATION } from '../../infra/wiring.ts';
import type { ConsumerProof, Unproved } from '../../shared/operations/events.ts';
import { LoginClients } from '../sandbox/demo/login-clients.ts';
import { START_MS } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
import { Announcements } from './announcements.ts';
import { type Application, createApplication, rotate } from './application.ts';
import { type Deployment, describeOnEachApi } from './each-api.ts';
import { Team } from './team.ts';

const MOVE_BACK = { 'rekey:on-failure': 'move-back', 'rekey:retire-after': '0s' };
const REFUSED = /password authentication failed/;
const SCENARIO_MS = 180_000;

describeOnEachApi(
  'a rotation whose new pods crash, of a secret with the tag rekey:on-failure = move-back,',
  (start) => {
    let environment: Deployment;
    let announcements: Announcements;
    let clients: LoginClients;
    /** Pods that are made for these versions crash. */
    const bad = new Set<string>();
    beforeAll(async () => {
      environment = await start();
      announcements = new Announcements(environment);
      clients = new LoginClients(environment.postgres.ca);
      const { nodes } = environment;
      nodes.behave(({ metadata: { annotations = {} } }) =>
        Object.values(annotations).some((value) => bad.has(value)) ? { kind: 'crash' } : undefined,
      );
      // Each pod's process logs in again and again with what it mounted when it started.
      nodes.onContainerStarted(({ pod, files }) => {
        for (const [path, mounted] of files) if (path.startsWith('/mnt/')) clients.start(pod.uid, mounted);
      });
      nodes.onContainerStopped(({ pod }) => clients.stop(pod.uid));
    }, START_MS);
    afterAll(async () => {
      await clients?.stopAll();
      await environment?.close();
    });

    /** A canary and another workload that mount its secret. */
    async function deployed({ secretName }: Application): Promise<Team> {
      const team = new Team(environment.api, secretName.split('/')[0] ?? '').mounts(secretName);
      team.runs('canary', { annotations: { 'rekey.dev/wave': '0' } });
      return await team.runs('other').ready();
    }

    /** Rotates to a version with which new pods crash. */
    async function rotateBadly(application: Application): Promise<string> {
      const versionId = await rotate(environment, application);
      bad.add(versionId);
      return versionId;
    }

    /** In no order: EventBridge promises none, and the rotation may tell of its end when sync has begun. */
    const heardOf = async ({ secretArn }: Application, versionId: string) =>
      (await announcements.of(secretArn, versionId)).map(({ type }) => type).sort();

    test(
      'ends with AWSCURRENT moved back, every pod on the old value, no log-in refused, and one event that says it',
      async () => {
        const application = await createApplication(environment, 'moved', { tags: MOVE_BACK });
        const { secretArn } = application;
        const first = application.version('AWSCURRENT') ?? '';
        const team = await deployed(application);
        await environment.aws.idle();
        const untouched = await team.written('other');

        const second = await rotateBadly(application);
        const { time, detail } = await announcements.first('Secret Moved Back', secretArn, second);
        expect(detail).toMatchObject({ restoredVersionId: first, user: 'moved', engine: 'postgres' });
        expect((detail['failed'] as Unproved[]).map(({ name, cause }) => [name, cause])).toEqual([['canary', 'crash']]);
        expect([application.version('AWSCURRENT'), application.version('AWSPREVIOUS')]).toEqual([first, second]);

        // All are proved on the old value, and then the login that failed is the one that is retired.
        const again = await eventually('Secret Converged on the version before', async () =>
          (await announcements.of(secretArn, first)).find((one) => one.type === 'Secret Converged' && one.time >= time),
        );
        const proofs = again.detail['consumers'] as ConsumerProof[];
        expect(proofs.map(({ name, pods }) => [name, pods.map(({ mountedVersion }) => mountedVersion)])).toEqual([
          ['canary', [first, first]],
          ['other', [first, first]],
        ]);
        expect(await team.written('other')).toEqual(untouched);
        const { detail: retired } = await announcements.first('Secret Retired', secretArn, first);
        expect(retired).toMatchObject({ user: 'moved_clone' });
        expect(await application.refusal(application.login('AWSPREVIOUS'))).toMatch(REFUSED);

        await environment.aws.idle();
        await clients.settle();
        expect(application.version('AWSCURRENT')).toBe(first);
        expect(await heardOf(application, second)).toEqual([
          'Rotation Succeeded',
          'Secret Moved Back',
          'Sync Halted',
          'Sync Started',
        ]);

        // The next rotation makes another version, which is as good as any.
        const third = await rotate(environment, application);
        await announcements.first('Secret Retired', secretArn, third);
        expect(application.version('AWSCURRENT')).toBe(third);
        expect(await application.refusal(application.login('AWSCURRENT'))).toBeUndefined();
        await clients.settle();
        expect([...clients.tally.failures]).toEqual([]);
        expect(clients.tally.tried).toBeGreaterThan(20);
      },
      SCENARIO_MS,
    );

    test(
      'halts with single-user, whose old password is gone, and says why nothing is moved',
      async () => {
        const application = await createApplication(environment, 'spent', { strategy: 'single-user', tags: MOVE_BACK });
        await deployed(application);
        const second = await rotateBadly(application);

        const { detail } = await announcements.first('Action Needed', application.secretArn, second);
        expect(detail).toMatchObject({ code: 'NOT_MOVED_BACK', message: expect.stringContaining('single-user') });
        expect(application.version('AWSCURRENT')).toBe(second);
        expect(await heardOf(application, second)).toContain('Sync Halted');
        expect(environment.aws.functions.logs(environment.nameOf(ROTATION.postgres)).join('\n')).toContain(
          'moveBack finished',
        );
        bad.delete(second);
      },
      SCENARIO_MS,
    );
  },
);
