import { ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { RETIRE, ROTATION, SWEEP, SYNC } from '../../infra/wiring.ts';
import { AwsError } from '../sandbox/aws/service.ts';
import { type Environment, START_MS, startEnvironment } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
import { startTcpProxy, type TcpProxy } from '../sandbox/tcp-proxy.ts';
import { Announcements } from './announcements.ts';
import { APPLICATIONS, type Application, createApplication, rotate } from './application.ts';
import { Team } from './team.ts';

/** Every way in which a password could stand in a text. */
function spellings(password: string): string[] {
  const base64 = Buffer.from(password).toString('base64').replace(/=+$/, '');
  return [
    password,
    encodeURIComponent(password),
    JSON.stringify(password).slice(1, -1),
    base64,
    Buffer.from(password).toString('base64url'),
    Buffer.from(password).toString('hex'),
  ];
}

describe('after rotations in which everything failed once, no password is', () => {
  let environment: Environment;
  let announcements: Announcements;
  let proxy: TcpProxy;
  let applications: readonly Application[];
  let secrets: readonly string[];
  beforeAll(async () => {
    environment = await startEnvironment({
      rotated: APPLICATIONS,
      queueSecondMs: 10,
      retry: { attempts: 4, delayMs: 0 },
    });
    announcements = new Announcements(environment);
    proxy = await startTcpProxy(environment.postgres.port);
    const options = { port: proxy.port, tags: { 'rekey:retire-after': '0s' } };
    applications = [
      await createApplication(environment, 'paired', options),
      await createApplication(environment, 'single', { ...options, strategy: 'single-user' }),
    ];
    for (const { secretName } of applications) {
      const namespace = secretName.split('/')[0] ?? '';
      await new Team(environment.kubernetes.api, namespace).mounts(secretName).runs('web').ready();
    }
    await failEverywhere();
    const passwords = applications.flatMap((application) => application.passwords());
    secrets = [...new Set(passwords.flatMap(spellings))];
  }, START_MS);
  afterAll(async () => {
    await proxy.close();
    await environment.close();
  });

  /** Rotations in which calls to AWS are refused or lost, the database cuts off, processes die and a value is rejected. */
  async function failEverywhere(): Promise<void> {
    for (const application of applications) {
      const due = new Set([
        'PutSecretValue',
        'UpdateSecretVersionStage',
        'PutEvents',
        'SendMessage',
        'DescribeCluster',
      ]);
      environment.aws.inject(({ operation }) => {
        if (!due.delete(operation)) return undefined;
        if (operation === 'PutSecretValue') return { kind: 'lose-answer' };
        return { kind: 'refuse', error: new AwsError('AccessDeniedException', 'not allowed, on purpose') };
      });
      let answers = 0;
      proxy.onChunk(({ from }) => {
        if (from === 'client') return 'pass';
        answers += 1;
        if (answers === 12) environment.aws.functions.kill(environment.nameOf(ROTATION.postgres));
        return answers === 6 || answers === 12 ? 'drop' : 'pass';
      });
      const versionId = await rotate(environment, application);
      await announcements.first('Secret Converged', application.secretArn, versionId);
      await environment.aws.idle();
    }
    environment.aws.inject(undefined);
    proxy.onChunk(undefined);

    // Refused by the server with an error that quotes what was sent: the user is gone.
    const [paired, single] = applications as readonly [Application, Application];
    await announcements.first('Secret Retired', paired.secretArn);
    await environment.postgres.run('ALTER ROLE single RENAME TO gone; ALTER ROLE paired_clone RENAME TO gone_too');
    for (const application of [paired, single]) {
      const versionId = await rotate(environment, application);
      await announcements.first('Rotation Failed', application.secretArn, versionId);
    }
    await environment.aws.idle();
  }

  const expectNoSecretIn = (texts: readonly string[]) => {
    expect(texts.length).toBeGreaterThan(0);
    expect(secrets.filter((secret) => texts.some((text) => text.includes(secret))).length).toBe(0);
  };

  test('missed by the search where one must be found', () => {
    expect(secrets.length).toBeGreaterThanOrEqual(4 * 3);
    const [paired] = applications;
    const stored = environment.aws.calls.filter(({ operation }) => operation === 'PutSecretValue');
    expect(secrets.some((secret) => JSON.stringify(stored).includes(secret))).toBe(true);
    expect(paired?.passwords().length).toBeGreaterThan(2);
  });

  test.each([ROTATION.postgres, SYNC, RETIRE])('in the logs of $name', (spec) => {
    expectNoSecretIn(environment.aws.functions.logs(environment.nameOf(spec)));
  });

  test('in the logs of a sweep', async () => {
    const sweep = environment.nameOf(SWEEP);
    await environment.aws.functions.invoke(sweep, {});
    expectNoSecretIn(environment.aws.functions.logs(sweep));
  });

  test('in an announcement', async () => {
    await announcements.of('');
    expect(announcements.all.map(({ type }) => type)).toContain('Rotation Failed');
    expectNoSecretIn(announcements.all.map((announcement) => JSON.stringify(announcement)));
  });

  test('in an annotation, or anywhere else in an object of the cluster', () => {
    const kinds = ['deployments', 'replicasets', 'pods', 'secretproviderclasspodstatuses', 'events'];
    for (const kind of kinds)
      expectNoSecretIn(environment.kubernetes.list(kind).map((object) => JSON.stringify(object)));
  });

  test('in a call to AWS other than those that store or read a value, or in a message of a queue', async () => {
    const carriers = ['CreateSecret', 'PutSecretValue'];
    const calls = environment.aws.calls.filter(({ operation }) => !carriers.includes(operation));
    expect(calls.map(({ operation }) => operation)).toEqual(expect.arrayContaining(['SendMessage', 'PutEvents']));
    expectNoSecretIn(calls.map(({ input }) => JSON.stringify(input)));

    const sqs = new SQSClient(environment.aws.clientOptions);
    await announcements.of('');
    const left: string[] = [];
    for (const url of [SYNC, RETIRE].map(environment.queueUrlOf))
      for (const QueueUrl of [url, `${url}-dead-letters`]) {
        const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
        left.push(...Messages.map(({ Body = '' }) => Body));
      }
    expect(secrets.some((secret) => left.some((body) => body.includes(secret)))).toBe(false);
  });

  test('in the log of the database', async () => {
    await eventually('a log', () => environment.postgres.log().length > 0);
    expectNoSecretIn(environment.postgres.log().split('\n'));
  });
});
