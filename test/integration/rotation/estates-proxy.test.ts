import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { CURRENT, PENDING, PREVIOUS } from '../../../shared/secrets/port.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import { type Impostor, startImpostor } from '../../sandbox/postgres-impostor.ts';
import type { Account } from '../../sandbox/server-process.ts';
import { type Application, createApplication } from './real-database.ts';
import { startRealPostgres } from './real-server.ts';

/*
 * An application that connects through RDS Proxy, which is simulated: it speaks PostgreSQL's protocol, and lets in by
 * the user and password of AWSCURRENT alone, as RDS Proxy does (aws/aws-cdk#25568, aws/aws-secretsmanager-jdbc#222). The
 * database behind it is a real one. Numbers are entries of the catalogue of bad input.
 */

const DONE = ['created', 'set', 'tested', 'promoted'];

describeOnServer(postgresIsInstalled(18), 'behind RDS Proxy (simulated)', () => {
  let server: Awaited<ReturnType<typeof startRealPostgres>>;
  let proxy: Impostor;
  /** What the proxy reads. */
  let current: () => Account | undefined;
  beforeAll(async () => {
    server = await startRealPostgres(18);
    const passwordOf = (user: string) => {
      const account = current();
      return account?.username === user ? account.password : undefined;
    };
    proxy = await startImpostor({
      authentication: { kind: 'scram-checked', passwordOf },
      certificate: server.authority.issue(['localhost']),
      session: {
        get user() {
          return current()?.username ?? '';
        },
      },
    });
  });
  afterAll(async () => {
    await proxy?.stop();
    await server?.stop();
  });

  /** Its secret names the proxy; that of its administrator, the database. */
  async function createApp(strategy: 'single-user' | 'alternating-users', tags: Record<string, string>) {
    const application = await createApplication({ ...server, port: proxy.port }, strategy, 'proxied', { tags });
    const { rig, arn, adminArn } = application;
    const at = { ...server.secretKeys, host: server.host, port: server.port };
    rig.secrets.put(adminArn, JSON.stringify({ ...at, ...server.admin }));
    current = () => {
      const versions = [...rig.secrets.secret(arn).versions.values()];
      const value = versions.find(({ stages }) => stages.has(CURRENT))?.value;
      return value === undefined ? undefined : JSON.parse(value);
    };
    return application;
  }
  /** As a client of the application logs in. */
  async function throughProxy({ login }: Application, stage: string): Promise<string> {
    const { username = '', password = '' } = (await login(stage)) ?? {};
    const at = { host: 'localhost', port: proxy.port, database: 'postgres' };
    const credentials = { ...at, username, password: new SecretValue(password) };
    return (await server.rekey.engine.login(credentials, deadlineIn(10_000, systemClock))).kind;
  }

  describe.each(['single-user', 'alternating-users'] as const)('%s', (strategy) => {
    test('66: Rekey works at the database that the tag rekey:database-host names, and never logs in to the proxy', async () => {
      const application = await createApp(strategy, { 'rekey:database-host': `localhost:${server.port}` });
      const heard = proxy.received().length;
      const token = application.beginRotation();
      await application.run('createSecret', token);
      await application.run('setSecret', token);
      expect(proxy.received()).toHaveLength(heard);

      // Which is why: the proxy does not know the pending login.
      expect(await throughProxy(application, PENDING)).toBe('refused');
      expect(await application.run('testSecret', token)).toEqual({ kind: 'tested' });
      expect(await application.run('finishSecret', token)).toEqual({ kind: 'promoted' });

      expect(await throughProxy(application, CURRENT)).toBe('accepted');
      expect(await application.works(CURRENT)).toBe(true);
      expect(await application.login(CURRENT)).toMatchObject({ port: proxy.port });
      expect(await application.rotate()).toEqual(DONE);
    });
  });

  test('66: the proxy refuses the previous user as soon as AWSCURRENT has moved, though the database lets it in', async () => {
    const application = await createApp('alternating-users', { 'rekey:database-host': `localhost:${server.port}` });
    await application.rotate();

    expect(await throughProxy(application, PREVIOUS)).toBe('refused');
    expect(await application.works(PREVIOUS)).toBe(true);
  });

  test('66: without the tag, alternating users change nothing: their administrator is at another address', async () => {
    const application = await createApp('alternating-users', {});

    await expect(application.rotate()).rejects.toMatchObject({ code: 'ADMIN_SECRET_INVALID' });

    expect(await throughProxy(application, CURRENT)).toBe('accepted');
    expect(await application.works(CURRENT)).toBe(true);
  });
});
