import { execFile, spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { awsCli } from '../contract/aws-cli.ts';
import { CLUSTER, type Environment, START_MS, startEnvironment } from '../sandbox/environment.ts';
import { Announcements } from './announcements.ts';
import { APPLICATIONS, createApplication, type Login } from './application.ts';
import { Team } from './team.ts';

/** What a person needs to follow `npm run demo -- --keep` with the real clients. */
const missing = [
  ['aws', '--version'],
  ['kubectl', 'version', '--client'],
].flatMap(([command = '', ...args]) => (spawnSync(command, args).status === 0 ? [] : [command]));

if (missing.length === 0) describeClients();
else {
  test('the AWS CLI and kubectl: skipped where one is not there, and never in CI', () => {
    if (process.env['CI'] === 'true') throw new Error(`CI must have ${missing.join(' and ')}`);
    console.warn(`SKIPPED a rotation by hand: there is no ${missing.join(' and no ')} on the PATH`);
  });
}

function describeClients(): void {
  describe('a person with the AWS CLI and kubectl', () => {
    let environment: Environment;
    let announcements: Announcements;
    let folder: string;
    let team: Team;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'rekey-clients-'));
      environment = await startEnvironment({ rotated: APPLICATIONS, queueSecondMs: 100 });
      announcements = new Announcements(environment);
      await environment.kubernetes.writeKubeconfig(join(folder, 'kubeconfig'));
      await createApplication(environment, 'shop', { tags: { 'rekey:retire': 'next-rotation' } });
      team = await new Team(environment.kubernetes.api, 'shop').mounts('shop/database').runs('orders').ready();
    }, START_MS);
    afterAll(async () => {
      await environment.close();
      await rm(folder, { recursive: true });
    });

    const aws = (...args: string[]) => awsCli(environment.aws.clientOptions)('secretsmanager', ...args);

    async function kubectl(...args: string[]): Promise<string> {
      const access = ['--kubeconfig', join(folder, 'kubeconfig'), '--context', CLUSTER, '--cache-dir', folder];
      const { stdout } = await promisify(execFile)('kubectl', [...access, '-n', 'shop', ...args], {
        env: { PATH: process.env['PATH'] },
      });
      return stdout;
    }

    async function valueAt(stage: string): Promise<{ version: unknown; login: Login }> {
      const answer = await aws('get-secret-value', '--secret-id', 'shop/database', '--version-stage', stage);
      return { version: answer['VersionId'], login: JSON.parse(String(answer['SecretString'])) };
    }

    /** Rotates and waits for the end. @returns the version that is current then */
    async function rotate(): Promise<string> {
      const answer = await aws(
        ...['rotate-secret', '--secret-id', 'shop/database'],
        ...['--rotation-lambda-arn', environment.rotationFunctionArn],
        ...['--rotation-rules', 'AutomaticallyAfterDays=30'],
      );
      const versionId = String(answer['VersionId']);
      await announcements.first('Secret Converged', String(answer['ARN']), versionId);
      return versionId;
    }

    test('creates a secret, rotates one, and reads it by label', async () => {
      const created = await aws('create-secret', '--name', 'by/hand', '--secret-string', '{"token":"first"}');
      expect(created).toMatchObject({ Name: 'by/hand', ARN: expect.stringMatching(/:secret:by\/hand-\w{6}$/) });

      const before = await valueAt('AWSCURRENT');
      const versionId = await rotate();
      const [current, previous] = [await valueAt('AWSCURRENT'), await valueAt('AWSPREVIOUS')];
      expect(current.version).toBe(versionId);
      expect(previous).toEqual(before);
      expect(current.login.username).not.toBe(previous.login.username);
    });

    test('sees the marker, the rollout and the proof name the version that is current', async () => {
      const versionId = await rotate();

      expect(await kubectl('rollout', 'status', 'deployment/orders', '--timeout=20s')).toMatch(
        'successfully rolled out',
      );
      const listed = await kubectl('get', 'deploy,pods,secretproviderclasspodstatuses');
      expect(listed).toMatch(/deployment\.apps\/orders\s+2\/2/);
      expect(listed.match(/^pod\/orders-.*Running/gm)).toHaveLength(2);
      const json = async (kind: string) => JSON.parse(await kubectl('get', kind, '-o', 'json')) as { items: unknown[] };
      const statuses = (await json('secretproviderclasspodstatuses')).items as {
        status: { podName: string; objects: { id: string; version: string }[] };
      }[];
      const alive = new Set((await team.pods()).map(({ metadata }) => metadata.name));
      const mounted = statuses.filter(({ status }) => alive.has(status.podName)).map(({ status }) => status.objects);
      expect(mounted).toHaveLength(2);
      expect(mounted.flat().map(({ version }) => version)).toEqual([versionId, versionId]);
      const template = await kubectl('get', 'deploy', 'orders', '-o', 'jsonpath={.spec.template.metadata.annotations}');
      expect(Object.values(JSON.parse(template))).toContain(versionId);
    });

    test('takes a workload out with an annotation', async () => {
      expect(await kubectl('annotate', 'deployment/orders', 'rekey.dev/mode=off')).toMatch('annotated');
      const { metadata } = await team.workload('orders');
      expect(metadata.annotations).toMatchObject({ 'rekey.dev/mode': 'off' });
    });
  });
}
