import { randomBytes } from 'node:crypto';
import { CreateSecretCommand, RotateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { Client } from 'pg';
import type { Value } from '../sandbox/aws/secrets-manager/secret.ts';
import { type Installation, secretsOf } from '../sandbox/environment.ts';

/** Of all the tests here: one configuration of Rekey, whose infrastructure is then synthesised once. */
export const APPLICATIONS = [
  'alone',
  'alternating',
  'checked_altern',
  'checked_single',
  'failing',
  'grace',
  'moved',
  'paired',
  'pinned',
  'repeated',
  'session',
  'shop',
  'single',
  'spent',
  'tagged',
  'token',
  'twice',
  'unknown',
].map(secretsOf);

export interface Login {
  readonly username: string;
  readonly password: string;
}

/** An application of an environment: a user of its own, a table that it may read, and a secret that Rekey rotates. */
export interface Application {
  readonly secretName: string;
  readonly secretArn: string;
  /** Of the version with this label. Read past the API, so that no call of a test is counted; undefined: none has it. */
  login(stage: string): Login | undefined;
  /** The version with this label. */
  version(stage: string): string | undefined;
  /** Version → labels, of all versions that have one. */
  labels(): Readonly<Record<string, readonly string[]>>;
  /** The server's refusal of this login, over a connection of its own; undefined when it may read the table. */
  refusal(login: Login | undefined): Promise<string | undefined>;
  /** A session of this login that stays open until the caller ends it. */
  session(login: Login | undefined, applicationName?: string): Promise<Client>;
  /** Every password that the secret, its administrator's included, has ever held. */
  passwords(): readonly string[];
}

/** Rotates at once. @returns the id of the version that is being made */
export async function rotate(
  { secretsManager, rotationFunctionArn }: Installation,
  { secretArn }: Application,
): Promise<string> {
  const { VersionId = '' } = await secretsManager.send(
    new RotateSecretCommand({
      SecretId: secretArn,
      RotationLambdaARN: rotationFunctionArn,
      RotationRules: { AutomaticallyAfterDays: 30 },
    }),
  );
  return VersionId;
}

export interface ApplicationOptions {
  /** @default alternating-users */
  readonly strategy?: 'single-user' | 'alternating-users';
  readonly tags?: Readonly<Record<string, string>>;
  /** What the secret names as the server's address, e.g. a proxy's. @default the server's own */
  readonly host?: string;
  readonly port?: number;
  /** @default the name and `/database` */
  readonly secretName?: string;
  /** ARN of an administrator's secret that is there already. @default one of its own, the name and `/admin` */
  readonly administrator?: string;
  /** @default the account's own key */
  readonly kmsKeyId?: string;
}

/** @param name also of the user: letters, digits and underscores */
export async function createApplication(
  environment: Installation,
  name: string,
  options: ApplicationOptions = {},
): Promise<Application> {
  const { strategy = 'alternating-users', tags = {}, secretName = `${name}/database`, kmsKeyId } = options;
  const { host = environment.postgres.host, port = environment.postgres.port } = options;
  const { aws, postgres, secretsManager } = environment;
  const password = `first-${randomBytes(9).toString('hex')}`;
  await postgres.run(
    `CREATE TABLE IF NOT EXISTS orders (id int);
     ALTER TABLE orders OWNER TO ${postgres.admin.username};
     SET ROLE ${postgres.admin.username};
     CREATE ROLE ${name} LOGIN PASSWORD '${password}';
     GRANT SELECT ON orders TO ${name};`,
  );
  const create = async (secretName: string, value: object, of: Record<string, string> = tags) => {
    const { ARN = '' } = await secretsManager.send(
      new CreateSecretCommand({
        Name: secretName,
        SecretString: JSON.stringify({ engine: 'postgres', host, port, dbname: 'postgres', ...value }),
        KmsKeyId: kmsKeyId,
        Tags: Object.entries(of).map(([Key, Value]) => ({ Key, Value })),
      }),
    );
    return ARN;
  };
  const first = { username: name, password };
  const secretArn =
    strategy === 'single-user'
      ? await create(secretName, first)
      : await create(secretName, {
          ...first,
          masterarn:
            options.administrator ?? (await create(`${name}/admin`, postgres.admin, { 'rekey:admin-for': secretName })),
        });

  const versions = () => aws.secretsManager.inspect(secretArn).versions;
  const withStage = (stage: string) => versions().find(({ stages }) => stages.includes(stage));
  const ssl = { ca: postgres.ca, rejectUnauthorized: true };
  const session: Application['session'] = async (login, applicationName = 'application') => {
    if (login === undefined) throw new Error('no version has this label');
    const { username: user, password: secret } = login;
    const client = new Client({
      host: postgres.host,
      port: postgres.port,
      database: 'postgres',
      user,
      password: secret,
      ssl,
      application_name: applicationName,
    });
    client.on('error', () => {}); // the server may be stopped under it
    await client.connect();
    return client;
  };
  return {
    secretName,
    secretArn,
    login: (stage) => loginOf(withStage(stage)?.value),
    version: (stage) => withStage(stage)?.id,
    labels: () =>
      Object.fromEntries(
        versions().flatMap(({ id, stages }) => (stages.length > 0 ? [[id, [...stages].sort()] as const] : [])),
      ),
    session,
    async refusal(login) {
      let client: Client;
      try {
        client = await session(login);
      } catch (error) {
        return error instanceof Error ? error.message : 'no answer';
      }
      try {
        await client.query('SELECT count(*) FROM orders');
        return undefined;
      } catch (error) {
        return error instanceof Error ? error.message : 'no answer';
      } finally {
        await client.end();
      }
    },
    passwords: () => [postgres.admin.password, ...versions().flatMap(({ value }) => loginOf(value)?.password ?? [])],
  };
}

function loginOf(value: Value | undefined): Login | undefined {
  return value && 'SecretString' in value ? (JSON.parse(value.SecretString) as Login) : undefined;
}
