import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  PutSecretValueCommand,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import type { Step } from '../../shared/rotation/plan.ts';
import type { StrategyName } from '../../shared/rotation/strategy.ts';
import type { FloorDriver, FloorSession, Login } from './driver.ts';
import { type Acting, type Floor, type RightsSeenBy, scriptOf } from './scripts.ts';

/** The floor as a rotation function: the calls of its script, one after the other, with the SDK and the driver alone. */

const { FLOOR, STRATEGY, ACTING, RIGHTS_SEEN_BY, DRIVER, DATABASE_CA_FILE = '' } = process.env;
const script = scriptOf(FLOOR as Floor, STRATEGY as StrategyName, ACTING as Acting, RIGHTS_SEEN_BY as RightsSeenBy);
const { driver } = (await import(`./${DRIVER}.ts`)) as { driver: FloorDriver };
const ca = readFileSync(DATABASE_CA_FILE, 'utf8');
const client = new SecretsManagerClient();

type Secret = Login & { readonly masterarn?: string };

export async function handler(event: {
  readonly Step: Step;
  readonly SecretId: string;
  readonly ClientRequestToken: string;
}): Promise<void> {
  const { SecretId, ClientRequestToken } = event;
  const secrets = new Map<string, Secret>();
  let currentVersion: string | undefined;
  let session: FloorSession | undefined;

  const known = (name: string) => {
    const secret = secrets.get(name);
    if (!secret) throw new Error(`the script has not read ${name}`);
    return secret;
  };
  const open = () => {
    if (!session) throw new Error('the script has not logged in');
    return session;
  };
  const read = async (name: string, from: { SecretId: string; VersionId?: string; VersionStage?: string }) => {
    const { SecretString = '', VersionId } = await client.send(new GetSecretValueCommand(from));
    secrets.set(name, JSON.parse(SecretString));
    return VersionId;
  };

  for (const act of script[event.Step]) {
    switch (act) {
      case 'describe': {
        const { VersionIdsToStages = {} } = await client.send(new DescribeSecretCommand({ SecretId }));
        [currentVersion] = Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT')) ?? [];
        break;
      }
      case 'read current':
        currentVersion = await read('current', { SecretId, VersionStage: 'AWSCURRENT' });
        break;
      case 'read standby':
        await read('standby', { SecretId, VersionStage: 'AWSPREVIOUS' });
        break;
      case 'read pending':
        await read('pending', { SecretId, VersionId: ClientRequestToken });
        break;
      case 'read admin':
        await read('admin', { SecretId: known('current').masterarn ?? '', VersionStage: 'AWSCURRENT' });
        break;
      case 'write pending': {
        const current = known('current');
        const pending = { ...current, username: nextUsername(current.username), password: newPassword() };
        await client.send(
          new PutSecretValueCommand({
            SecretId,
            ClientRequestToken,
            SecretString: JSON.stringify(pending),
            VersionStages: ['AWSPENDING'],
          }),
        );
        break;
      }
      case 'move current':
        await client.send(
          new UpdateSecretVersionStageCommand({
            SecretId,
            VersionStage: 'AWSCURRENT',
            RemoveFromVersionId: currentVersion,
            MoveToVersionId: ClientRequestToken,
          }),
        );
        break;
      case 'change': {
        const { username, password } = known('pending');
        await open().run(driver.change(STRATEGY as StrategyName, username, password));
        break;
      }
      case 'look':
        await open().run(driver.look);
        break;
      default: {
        await session?.close();
        const name = act.slice('log in as '.length);
        // The administrator's secret names no database; a session of PostgreSQL needs one.
        const { dbname } = known(name === 'admin' ? 'current' : name);
        session = await driver.open({ ...known(name), ...(dbname === undefined ? {} : { dbname }) }, ca);
      }
    }
  }
  await session?.close();
}

const takesTurns = STRATEGY === 'alternating-users' || STRATEGY === 'user-pair';

function nextUsername(username: string): string {
  if (!takesTurns) return username;
  return username.endsWith('_clone') ? username.slice(0, -'_clone'.length) : `${username}_clone`;
}

const newPassword = () => randomBytes(24).toString('base64url');
