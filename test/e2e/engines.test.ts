import { randomBytes } from 'node:crypto';
import { CreateSecretCommand, RotateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { type EngineName, ROTATION, STRATEGIES } from '../../infra/wiring.ts';
import { ONE_OF_EACH } from '../integration/rotation/one-of-each.ts';
import type { RealServer } from '../integration/rotation/real-server.ts';
import { type AwsSandbox, startAws } from '../sandbox/aws/index.ts';
import { configurationOf } from '../sandbox/deployment/configuration.ts';
import { synthesise } from '../sandbox/deployment/synthesise.ts';
import { describeOnServer } from '../sandbox/describe-server.ts';
import { deployAll, START_MS } from '../sandbox/environment.ts';
import type { Account } from '../sandbox/server-process.ts';

/** PostgreSQL's are in rotation.test.ts and least-privilege/. */
const ENGINES: Readonly<Record<string, EngineName>> = { MySQL: 'mysql', MariaDB: 'mariadb', Redis: 'redis' };

const administratorOf = (engine: EngineName) => `${engine}/admin`;

/** Every kind of database, each with its function; no cluster. */
const CONFIGURATION = {
  ...configurationOf([]),
  clusters: [],
  rotated: Object.values(ENGINES).map((engine) => ({
    tag: { key: 'engine', value: engine },
    engine,
    hostSecurityGroup: { id: 'sg-0123456789abcdef0' },
    ...(STRATEGIES[engine].includes('alternating-users') && { admin: { name: administratorOf(engine) } }),
  })),
};

for (const { name: server, isInstalled, strategies, start } of ONE_OF_EACH) {
  const engine = ENGINES[server.split(' ')[0] ?? ''];
  if (engine === undefined) continue;
  /** A pair has to be made first: least-privilege/ does it. */
  const rotatable = strategies.filter((strategy) => strategy !== 'user-pair');

  describeOnServer(isInstalled, `the function that is deployed for ${server}, with the rights of its role,`, () => {
    let database: RealServer;
    let aws: AwsSandbox;
    let client: SecretsManagerClient;
    let functionArn: string;
    beforeAll(async () => {
      database = await start();
      aws = await startAws({ access: 'enforced', retry: { attempts: 0, delayMs: 0 } });
      await deployAll(aws, await synthesise(CONFIGURATION), database, true);
      functionArn = aws.functions.arnOf(`rekey-sandbox-${ROTATION[engine].name}`);
      client = new SecretsManagerClient(aws.clientOptions);
    }, START_MS);
    afterAll(async () => {
      client?.destroy();
      await aws?.close();
      await database?.stop();
    });

    const createSecret = async (Name: string, value: object, tags: Readonly<Record<string, string>>) => {
      const { ARN = '' } = await client.send(
        new CreateSecretCommand({
          Name,
          SecretString: JSON.stringify({
            ...database.secretKeys,
            host: database.host,
            port: database.port,
            ssl: true,
            ...value,
          }),
          Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
        }),
      );
      return ARN;
    };

    test.each(rotatable)('rotates with %s', async (strategy) => {
      const first = { username: `app_${strategy.slice(0, 4)}`, password: randomBytes(12).toString('hex') };
      await database.createUser(first, strategy);
      const name = `${engine}/${strategy}`;
      const masterarn =
        strategy === 'alternating-users' &&
        (await createSecret(administratorOf(engine), database.admin, { 'rekey:admin-for': name }));
      const secretArn = await createSecret(
        name,
        { ...first, ...(masterarn && { masterarn }) },
        { engine, 'rekey:strategy': strategy, ...database.tagsFor(strategy) },
      );
      const { VersionId } = await client.send(
        new RotateSecretCommand({
          SecretId: secretArn,
          RotationLambdaARN: functionArn,
          RotationRules: { AutomaticallyAfterDays: 30 },
        }),
      );
      await aws.idle();

      const current = aws.secretsManager
        .inspect(secretArn)
        .versions.find(({ stages }) => stages.includes('AWSCURRENT'));
      expect(current?.id).toBe(VersionId);
      const { username, password }: Account = JSON.parse(
        current?.value && 'SecretString' in current.value ? current.value.SecretString : '{}',
      );
      expect(password).not.toBe(first.password);
      expect(await database.canRead({ username, password })).toBe(true);
      expect(aws.iam.refusals).toEqual([]);
    });

    test('has used each right that it has, when it was deployed and since', () => {
      const policy = new RegExp(`rotation${engine}FunctionRole`, 'i');
      const unused = aws.iam.rights().filter(({ source, uses }) => policy.test(source) && uses === 0);
      expect(aws.iam.rights().some(({ source }) => policy.test(source))).toBe(true);
      expect(unused).toEqual([]);
    });
  });
}
