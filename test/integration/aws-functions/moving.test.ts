import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { systemClock as clock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { retire } from '../../../shared/rotation/retire.ts';
import { type RotationDeps, runStep } from '../../../shared/rotation/steps.ts';
import { createSecretsManagerStore } from '../../../shared/secrets/secrets-manager.ts';
import { createMemoryTopology } from '../../contract/fakes/topology.ts';
import { describeOnServer } from '../../sandbox/describe-server.ts';
import { awsFunction, type FunctionHost, startFunctionHost } from '../../sandbox/function-host/index.ts';
import { type RotationAccount, startRotationAccount } from '../../sandbox/rotation-account.ts';
import type { Account } from '../../sandbox/server-process.ts';
import { asDescribed } from './as-described.ts';
import { PRODUCTS, type Product, type ProductServer } from './products.ts';

/** A checkout of AWS's functions, and a Python that has boto3, PyGreSQL and PyMySQL; what they do stands for them otherwise. */
const { REKEY_AWS_FUNCTIONS: folder, REKEY_AWS_PYTHON: python = 'python3' } = process.env;

for (const product of PRODUCTS) {
  const told = product.shownVersion === undefined ? '' : `, told that it is ${product.shownVersion}`;
  const whose = folder === undefined ? "what AWS's functions do" : `AWS's own functions${told}`;
  describeOnServer(product.installed, `a secret that moves between Rekey and ${whose}, ${product.title}`, () =>
    describeMoving(product),
  );
}

function describeMoving(product: Product): void {
  let server: ProductServer;
  let account: RotationAccount;
  let deps: RotationDeps;
  let rekey: string;
  const aws = new Map<'single' | 'alternating', string>();
  const hosts: FunctionHost[] = [];
  beforeAll(async () => {
    server = await product.start();
    account = await startRotationAccount('rekey');
    deps = {
      ...server.rekey,
      store: createSecretsManagerStore(account.client),
      topology: createMemoryTopology(),
      hosts: { allowLoopback: true, allowedSuffixes: [], authorities: new Map() },
      announcer: { announce: async () => true },
      log: { info: () => {}, warn: () => {} },
      clock,
      changedAt: new Map(),
    };
    rekey = account.register('rekey', ({ Step: step, SecretId: secretArn, ClientRequestToken: versionId }) =>
      runStep({ step, secretArn, versionId, rotationToken: undefined }, deps, deadlineIn(30_000, clock)),
    );
    for (const users of ['single', 'alternating'] as const) {
      let run = asDescribed(users, account, server);
      if (folder !== undefined) {
        const name = `SecretsManagerRDS${product.awsName}Rotation${users === 'single' ? 'Single' : 'Multi'}User`;
        const host = await startFunctionHost(
          awsFunction(join(folder, name), python, server.caFile, {
            ...account.environment(),
            ...(product.shownVersion !== undefined && { SHOWN_MYSQL_VERSION: product.shownVersion }),
          }),
        );
        hosts.push(host);
        run = (request) => host.invoke(request);
      }
      aws.set(users, account.register(`aws-${users}`, run));
    }
  });
  afterAll(async () => {
    for (const host of hosts) await host.end();
    await account?.close();
    await server?.stop();
  });

  let users = 0;
  /** A user of its own, and its secret as a person makes it for AWS's functions. */
  async function createSecret(kind: 'single' | 'alternating') {
    users += 1;
    const first = { username: `app${users}`, password: randomBytes(12).toString('hex') };
    await server.createUser(first);
    const at = { ...server.secretKeys, host: server.host, port: server.port };
    const name = `app${users}/database`;
    const masterarn =
      kind === 'alternating'
        ? await account.createSecret(`app${users}/admin`, [{ ...at, ...server.admin }], { 'rekey:admin-for': name })
        : undefined;
    const secretArn = await account.createSecret(name, [{ ...at, ...first, ...(masterarn && { masterarn }) }]);
    const versionWith = (stage: string) =>
      account.inspect(secretArn).versions.find(({ stages }) => stages.includes(stage));
    const login = (stage: string): Account => {
      const value = versionWith(stage)?.value;
      return JSON.parse(value && 'SecretString' in value ? value.SecretString : '{}');
    };
    const canRead = (stage: string) => server.query(login(stage), 'SELECT count(*) FROM orders');
    return {
      name: first.username,
      login,
      canRead,
      versionId: (stage = 'AWSCURRENT') => versionWith(stage)?.id ?? '',
      secretArn,
      byAws: () => account.rotate(secretArn, aws.get(kind) ?? ''),
      byRekey: () => account.rotate(secretArn, rekey),
    };
  }

  /** Who rotates, one after the other, with whom each finds in use. */
  test.each([
    { before: 'no clone exists yet', turns: ['rekey', 'aws', 'rekey', 'aws'] },
    { before: 'the clone that AWS made is current', turns: ['aws', 'rekey', 'aws', 'rekey'] },
    { before: 'the first user is current and the clone exists', turns: ['aws', 'aws', 'rekey', 'rekey', 'aws'] },
  ] as const)('takes turns when $before: both logins work after each', async ({ turns }) => {
    const secret = await createSecret('alternating');
    let expected = secret.name;
    for (const turn of turns) {
      await (turn === 'aws' ? secret.byAws() : secret.byRekey());
      expected = expected === secret.name ? `${secret.name}_clone` : secret.name;
      expect(secret.login('AWSCURRENT').username).toBe(expected);
      await secret.canRead('AWSCURRENT');
      await secret.canRead('AWSPREVIOUS');
    }
  });

  test.each([{ turns: ['aws', 'rekey', 'aws'] }, { turns: ['rekey', 'aws', 'rekey'] }] as const)(
    'of a single user is rotated by $turns: the current login works',
    async ({ turns }) => {
      const secret = await createSecret('single');
      for (const turn of turns) {
        await (turn === 'aws' ? secret.byAws() : secret.byRekey());
        expect(secret.login('AWSCURRENT').username).toBe(secret.name);
        await secret.canRead('AWSCURRENT');
      }
    },
  );

  describe('after Rekey retired the previous user', () => {
    async function retired() {
      const secret = await createSecret('alternating');
      await secret.byRekey();
      const outcome = await retire(
        {
          secretArn: secret.secretArn,
          versionId: secret.versionId(),
          previousVersionId: secret.versionId('AWSPREVIOUS'),
          consumersProved: true,
          pinnedUses: false,
          convergedAtMs: 0,
        },
        { ...deps, databases: [server.rekey], rotationFunctions: [rekey] },
        deadlineIn(30_000, clock),
      );
      expect(outcome).toMatchObject({ kind: 'retired', user: secret.name });
      return secret;
    }

    test("AWS's function cannot bring it back, and leaves the current login as it was", async () => {
      const secret = await retired();
      const before = secret.versionId();
      await expect(secret.byAws()).rejects.toThrow(/testSecret/);
      expect(secret.versionId()).toBe(before);
      await secret.canRead('AWSCURRENT');
    });

    test("one more rotation by Rekey lets AWS's function go on", async () => {
      const secret = await retired();
      await secret.byRekey();
      await secret.byAws();
      await secret.canRead('AWSCURRENT');
      await secret.canRead('AWSPREVIOUS');
    });
  });
}
