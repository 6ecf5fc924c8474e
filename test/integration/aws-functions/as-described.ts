import { randomBytes } from 'node:crypto';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  ResourceNotFoundException,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import type { RotationAccount, RotationFunction } from '../../sandbox/rotation-account.ts';
import type { ProductServer } from './products.ts';

/**
 * What AWS's rotation functions do to a secret and to a database, step by step and statement by statement
 * (github.com/aws-samples/aws-secrets-manager-rotation-lambdas, SecretsManagerRDS…RotationSingleUser and …MultiUser,
 * as of 2025-02). It stands for them where the functions themselves are not at hand.
 */
export function asDescribed(
  users: 'single' | 'alternating',
  { client }: RotationAccount,
  server: ProductServer,
): RotationFunction {
  type Secret = { username: string; password: string; masterarn?: string };
  const read = async (SecretId: string, VersionStage: string, VersionId?: string): Promise<Secret> => {
    const { SecretString = '' } = await client.send(new GetSecretValueCommand({ SecretId, VersionStage, VersionId }));
    return JSON.parse(SecretString);
  };
  const works = (account: Secret) =>
    server.query(account).then(
      () => true,
      () => false,
    );

  return async ({ Step, SecretId, ClientRequestToken }) => {
    const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId }));
    const current = await read(SecretId, 'AWSCURRENT');
    const pending = () => read(SecretId, 'AWSPENDING', ClientRequestToken);
    switch (Step) {
      case 'createSecret':
        try {
          await pending();
        } catch (error) {
          if (!(error instanceof ResourceNotFoundException)) throw error;
          const username = users === 'single' ? current.username : alternateOf(current.username);
          const SecretString = JSON.stringify({ ...current, username, password: randomBytes(16).toString('hex') });
          const VersionStages = ['AWSPENDING'];
          await client.send(new PutSecretValueCommand({ SecretId, ClientRequestToken, SecretString, VersionStages }));
        }
        return;
      case 'setSecret': {
        const wanted = await pending();
        if (await works(wanted)) return;
        if (!(await works(current))) throw new Error('Unable to log into database using current credentials');
        if (users === 'single') {
          await server.query(current, server.changeOwn(wanted.username, wanted.password));
          return;
        }
        const admin = await read(current.masterarn ?? '', 'AWSCURRENT');
        const pair = { current: current.username, alternate: wanted.username, password: wanted.password };
        await server.makeAlternate(pair, (statement) => server.query(admin, statement));
        return;
      }
      case 'testSecret':
        await server.query(await pending(), 'SELECT NOW()');
        return;
      case 'finishSecret': {
        const [from] = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT')) ?? [];
        await client.send(
          new UpdateSecretVersionStageCommand({
            SecretId,
            VersionStage: 'AWSCURRENT',
            MoveToVersionId: ClientRequestToken,
            RemoveFromVersionId: from,
          }),
        );
      }
    }
  };
}

const alternateOf = (username: string) =>
  username.endsWith('_clone') ? username.slice(0, -'_clone'.length) : `${username}_clone`;
