import { kill } from 'node:process';
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { ROTATION, VARIABLES } from '../../../infra/wiring.ts';
import { CURRENT, PENDING } from '../../../shared/secrets/port.ts';
import { type RealServer, startRealPostgres } from '../../integration/rotation/real-server.ts';
import { AwsError, type Fault } from '../../sandbox/aws/service.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { postgresIsInstalled } from '../../sandbox/postgres.ts';
import { startTcpProxy } from '../../sandbox/tcp-proxy.ts';
import { type DeployedApplication, type Functions, startFunctions } from './functions.ts';

/*
 * Numbers are entries of the catalogue of bad input: what Lambda and its surroundings do to the built function. Lambda
 * and AWS are simulated; the process and the database are real.
 */

const { name } = ROTATION.postgres;
/** Takes ever more memory. */
const LEAK = 'const%20kept=[];setInterval(()=>kept.push(Buffer.alloc(5e6,1)),1)';
const DENIED: Fault = { kind: 'refuse', error: new AwsError('AccessDeniedException', 'not authorized') };

describeOnServer(postgresIsInstalled(18), 'the built rotation function', () => {
  let server: RealServer & { readonly caFile: string };
  let functions: Functions;
  let asDeployed: ReturnType<Functions['aws']['functions']['list']>[number];
  beforeAll(async () => {
    server = await startRealPostgres(18);
    functions = await startFunctions('postgres', server);
    const found = functions.aws.functions.list().find((each) => each.name === name);
    if (!found) throw new Error(`${name} was not deployed`);
    asDeployed = found;
  });
  afterEach(() => {
    functions.aws.inject(undefined);
    deploy({});
  });
  afterAll(async () => {
    await functions?.close();
    await server?.stop();
  });

  function deploy({ environment = {}, ...over }: Partial<Parameters<Functions['aws']['functions']['deploy']>[0]>) {
    const { functions: lambda } = functions.aws;
    lambda.deploy({ ...asDeployed, ...over, environment: { ...asDeployed.environment, ...environment } });
  }
  const logged = () => functions.aws.functions.logs(name).join('\n');
  const currentWorks = ({ staged }: DeployedApplication) => {
    const account = staged(CURRENT);
    return account !== undefined && server.canRead(account);
  };

  /** A rotation that fails, twice, before anything came of it; and once nothing stands in its way, it goes on. */
  async function expectToFailAndGoOn(
    application: DeployedApplication,
    says: RegExp,
    mend: () => unknown,
  ): Promise<void> {
    const [before, lines] = [application.version(CURRENT), logged().length];
    const versionId = await application.rotate();
    expect(logged().slice(lines)).toMatch(says);
    expect(application.version(CURRENT)).toBe(before);
    expect(application.version(PENDING)).toBe(versionId);

    await mend();
    expect(await currentWorks(application)).toBe(true);
    // "A previous rotation isn't complete. That rotation will be reattempted."
    await application.rotate().catch(() => functions.aws.idle());
    expect(application.version(CURRENT)).toBe(versionId);
    expect(await currentWorks(application)).toBe(true);
  }

  test('76: that has less than two seconds left when it is called changes nothing, and says so', async () => {
    const application = await functions.createApplication('single-user');
    deploy({ timeoutSeconds: 3 }); // half of which is kept back

    await expectToFailAndGoOn(application, /DEADLINE_TOO_CLOSE/, () => deploy({}));
  });

  test('77: that Lambda ends because it is out of memory has changed nothing', async () => {
    const application = await functions.createApplication('single-user');
    deploy({ memoryMb: 128, environment: { NODE_OPTIONS: `--import=data:text/javascript,${LEAK}` } });

    await expectToFailAndGoOn(application, /Runtime\.(OutOfMemory|ExitError)/, () => deploy({}));
  });

  test('79: that was frozen while its connections ended and its database started again goes on', async () => {
    const way = await startTcpProxy(Number(new URL(functions.aws.endpoint).port));
    try {
      const application = await functions.createApplication('single-user');
      deploy({ environment: { AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${way.port}` } });
      expect(application.version(CURRENT)).not.toBe(await application.rotate());

      const old = way.connections();
      let cut = 0;
      way.onChunk(({ connection }) => {
        if (connection > old) return 'pass';
        cut += 1;
        return 'drop';
      });
      kill(server.pid, 'SIGINT');
      await server.startAgain();
      const versionId = await application.rotate();

      expect(cut).toBeGreaterThan(0);
      expect(application.version(CURRENT)).toBe(versionId);
      expect(await currentWorks(application)).toBe(true);
    } finally {
      await way.close();
    }
  });

  test('81: whose way to Secrets Manager is shut says so, and has changed nothing', async () => {
    const application = await functions.createApplication('single-user');
    const closed = await startTcpProxy(server.port);
    await closed.close();
    deploy({ environment: { AWS_ENDPOINT_URL_SECRETS_MANAGER: `http://127.0.0.1:${closed.port}` } });

    await expectToFailAndGoOn(application, /SECRETS_MANAGER_UNAVAILABLE/, () => deploy({}));
  });

  test.each([
    [VARIABLES.eventBus, ''],
    [VARIABLES.databaseCaFile, '/nowhere/ca.pem'],
    ['REKEY_ALLOW_LOOPBACK', 'ture'],
  ])('82: whose variable %s is "%s" names it, and has changed nothing', async (variable, value) => {
    const application = await functions.createApplication('single-user');
    deploy({ environment: { [variable]: value } });

    const says = new RegExp(`CONFIG_INVALID: .*(${variable}|${value || variable})`);
    await expectToFailAndGoOn(application, says, () => deploy({}));
  });

  test('83: that starts while the database fails over says so, and goes on when it is back', async () => {
    const application = await functions.createApplication('alternating-users');
    functions.aws.functions.recycle([name]);
    const nowhere = await startTcpProxy(server.port);
    await nowhere.close();
    functions.proxy.leadTo(nowhere.port);

    await expectToFailAndGoOn(application, /DATABASE_UNREACHABLE/, () => functions.proxy.leadTo(server.port));
  });

  test('84: that is told of authorities in a file that is not there does without them', async () => {
    const application = await functions.createApplication('single-user');
    deploy({ environment: { NODE_EXTRA_CA_CERTS: '/nowhere/ca-cert.pem' } });

    expect(await application.rotate()).toBe(application.version(CURRENT));

    expect(await currentWorks(application)).toBe(true);
  });

  test('85: that may tell nobody rotates all the same, and says in its log what was not told', async () => {
    const application = await functions.createApplication('single-user');
    functions.aws.inject(({ operation }) => (operation === 'PutEvents' ? DENIED : undefined));
    const lines = logged().length;

    expect(await application.rotate()).toBe(application.version(CURRENT));

    expect(logged().slice(lines)).toMatch(/EVENT_NOT_SENT/);
    expect(await currentWorks(application)).toBe(true);
  });
});
