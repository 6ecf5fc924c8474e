import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CreateEventBusCommand, EventBridgeClient } from '@aws-sdk/client-eventbridge';
import { CreateSecretCommand, RotateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { CreateQueueCommand, SQSClient } from '@aws-sdk/client-sqs';
import {
  type EngineName,
  EVENT_BUS,
  type FunctionSpec,
  RETIRE,
  RETIRE_QUEUE,
  ROTATION,
  VARIABLES,
} from '../../../infra/wiring.ts';
import { EVENT_SOURCE } from '../../../shared/operations/events.ts';
import type { StrategyName } from '../../../shared/rotation/strategy.ts';
import type { RealServer } from '../../integration/rotation/real-server.ts';
import { type AwsSandbox, startAws } from '../../sandbox/aws/index.ts';
import type { Call } from '../../sandbox/aws/service.ts';
import type { Account } from '../../sandbox/server-process.ts';
import { startTcpProxy, type TcpProxy } from '../../sandbox/tcp-proxy.ts';
import type { Watched } from './watch.ts';

const DIST = fileURLToPath(new URL('../../../dist', import.meta.url));

/** The built bundles that touch a database, each in a process of its own, between a real server and a simulated AWS. */
export interface Functions {
  readonly aws: AwsSandbox;
  /** Between the functions and the server. */
  readonly proxy: TcpProxy;
  /** Whether one of the functions made this call. */
  made(call: Call): boolean;
  /** SIGKILL to whichever runs. @returns whether one did */
  kill(): boolean;
  /** A new user with a secret; with what its strategy needs beforehand. @param tags beside those that it needs */
  createApplication(strategy: StrategyName, tags?: Readonly<Record<string, string>>): Promise<DeployedApplication>;
  close(): Promise<void>;
}

export interface DeployedApplication extends Watched {
  readonly secretArn: string;
  /** Versions with a value. */
  versions(): number;
  /** The values and labels of the administrator's secret, undefined without one. */
  administrator(): string | undefined;
  version(stage: string): string | undefined;
  /** Begins a rotation, and waits until Secrets Manager has nothing more to do. @returns the version that it makes */
  rotate(): Promise<string>;
  /**
   * A message that all consumers are proved to run on this version.
   * @param previousVersionId that was current before
   * @returns whether the function ended by itself
   */
  retire(versionId: string, previousVersionId: string | undefined): Promise<boolean>;
  /**
   * The message that new pods of this version fail, which asks to move back.
   * @param previousVersionId that was current before
   * @returns whether the function ended by itself
   */
  moveBack(versionId: string, previousVersionId: string | undefined): Promise<boolean>;
  passwords(): readonly string[];
}

let applications = 0;

export async function startFunctions(
  engine: EngineName,
  server: RealServer & { readonly caFile: string },
): Promise<Functions> {
  // Once more after a failure, at once.
  const aws = await startAws({ retry: { attempts: 1, delayMs: 0 } });
  const proxy = await startTcpProxy(server.port);
  const secretsManager = new SecretsManagerClient(aws.clientOptions);
  await new EventBridgeClient(aws.clientOptions).send(new CreateEventBusCommand({ Name: EVENT_BUS }));
  const queue = new CreateQueueCommand({ QueueName: RETIRE_QUEUE.name });
  const { QueueUrl = '' } = await new SQSClient(aws.clientOptions).send(queue);
  const deploy = ({ name, memoryMb, timeoutSeconds }: FunctionSpec, environment: Record<string, string>) =>
    aws.functions.deploy({
      ...{ name, memoryMb, timeoutSeconds, folder: join(DIST, name) },
      environment: {
        [VARIABLES.eventBus]: EVENT_BUS,
        [VARIABLES.databaseCaFile]: server.caFile,
        REKEY_ALLOW_LOOPBACK: 'true',
        ...environment,
      },
    });
  const rotation = ROTATION[engine];
  const RotationLambdaARN = deploy(rotation, {});
  deploy(RETIRE, { [VARIABLES.queueUrl]: QueueUrl, [VARIABLES.rotationFunctions]: RotationLambdaARN });
  const names = [rotation.name, RETIRE.name];

  async function createSecret(name: string, value: object, tags: Readonly<Record<string, string>>): Promise<string> {
    const at = { ...server.secretKeys, host: server.host, port: proxy.port };
    const { ARN = '' } = await secretsManager.send(
      new CreateSecretCommand({
        Name: name,
        SecretString: JSON.stringify({ ...at, ...value }),
        Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
      }),
    );
    return ARN;
  }

  return {
    aws,
    proxy,
    made: ({ caller }) => names.some((name) => aws.sessionOf(caller.accessKeyId)?.roleName === `${name}-role`),
    kill: () => names.map((name) => aws.functions.kill(name)).some((killed) => killed > 0),

    async createApplication(strategy, tags = {}) {
      applications += 1;
      const first = { username: `deployed${applications}`, password: `first-${randomBytes(8).toString('hex')}` };
      await server.createUser(first, strategy);
      const secretName = `${first.username}/database`;
      const administered = strategy === 'alternating-users' || strategy === 'user-pair';
      const masterarn = administered
        ? await createSecret(`${first.username}/admin`, server.admin, { 'rekey:admin-for': secretName })
        : undefined;
      const secretArn = await createSecret(
        secretName,
        { ...first, ...(masterarn && { masterarn }) },
        { 'rekey:strategy': strategy, ...server.tagsFor(strategy), ...tags },
      );
      if (strategy === 'user-pair') {
        // By an order to the function itself, as a person does it.
        const { ok, payload } = await aws.functions.invoke(rotation.name, { createPeer: secretArn });
        if (!ok) throw new Error(`there is no second user: ${JSON.stringify(payload)}`);
      }
      const versions = () => aws.secretsManager.inspect(secretArn).versions;
      const under = (stage: string) => versions().find(({ stages }) => stages.includes(stage));
      const loginOf = ({ value }: ReturnType<typeof versions>[number]): Account[] =>
        value && 'SecretString' in value ? [JSON.parse(value.SecretString)] : [];
      return {
        strategy,
        username: first.username,
        secretArn,
        staged(stage) {
          const version = under(stage);
          return version && loginOf(version)[0];
        },
        stored: () => versions().flatMap(loginOf),
        versions: () => versions().filter(({ value }) => value !== undefined).length,
        administrator: () => masterarn && JSON.stringify(aws.secretsManager.inspect(masterarn).versions),
        version: (stage) => under(stage)?.id,
        passwords: () => [
          server.admin.password,
          ...versions()
            .flatMap(loginOf)
            .map(({ password }) => password),
        ],
        async rotate() {
          const { VersionId = '' } = await secretsManager.send(
            new RotateSecretCommand({
              SecretId: secretArn,
              RotationLambdaARN,
              RotationRules: { AutomaticallyAfterDays: 30 },
            }),
          );
          await aws.idle();
          return VersionId;
        },
        async retire(versionId, previousVersionId) {
          const body = {
            source: EVENT_SOURCE,
            'detail-type': 'Secret Converged',
            time: new Date(0).toISOString(),
            detail: { secretArn, secretName, versionId, previousVersionId, consumers: [{ pods: [{}] }], pinned: [] },
          };
          const { ok, payload } = await aws.functions.invoke(RETIRE.name, {
            Records: [{ messageId: 'converged', body: JSON.stringify(body) }],
          });
          return ok && (payload as { batchItemFailures: unknown[] }).batchItemFailures.length === 0;
        },
        async moveBack(versionId, previousVersionId) {
          const detail = { secretArn, secretName, versionId, failed: [], moveBack: { previousVersionId } };
          const body = { source: EVENT_SOURCE, 'detail-type': 'Sync Halted', detail };
          const { ok } = await aws.functions.invoke(rotation.name, {
            Records: [{ messageId: 'halted', body: JSON.stringify(body) }],
          });
          return ok;
        },
      };
    },

    async close() {
      await proxy.close();
      await aws.close();
    },
  };
}
