import {
  DescribeSecretCommand,
  GetSecretValueCommand,
  type GetSecretValueCommandOutput,
  ListSecretsCommand,
  type ListSecretsCommandOutput,
  PutSecretValueCommand,
  ResourceExistsException,
  SecretsManagerClient,
  UpdateSecretVersionStageCommand,
} from '@aws-sdk/client-secrets-manager';
import { AWS_CLIENT } from '../operations/aws-client.ts';
import { awsFailure, textField } from '../operations/aws-failure.ts';
import { RekeyError } from '../operations/errors.ts';
import { CURRENT, type SecretStore } from './port.ts';
import type { RotatedSecret, Rotations } from './rotations.ts';
import { SecretValue } from './secret-value.ts';

export function createSecretsManagerStore(
  client: Pick<SecretsManagerClient, 'send'> = new SecretsManagerClient(AWS_CLIENT),
): SecretStore {
  return {
    async describe(secretId) {
      const answer = await translated('DescribeSecret', secretId, () =>
        client.send(new DescribeSecretCommand({ SecretId: secretId })),
      );
      return {
        arn: answer.ARN ?? secretId,
        name: answer.Name ?? secretId,
        rotationEnabled: answer.RotationEnabled,
        rotationFunction: answer.RotationLambdaARN,
        stages: new Map(Object.entries(answer.VersionIdsToStages ?? {})),
        tags: new Map((answer.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
        owningService: answer.OwningService,
        deletedAtMs: answer.DeletedDate?.getTime(),
        ...((answer.LastRotatedDate ?? answer.CreatedDate) && {
          movedAtMs: (answer.LastRotatedDate ?? answer.CreatedDate)?.getTime() ?? 0,
        }),
        ...(answer.NextRotationDate && {
          nextRotationMs: answer.NextRotationDate.getTime() - hoursOf(answer.RotationRules?.Duration) * HOUR_MS,
        }),
        ...(answer.ReplicationStatus?.length && {
          replicas: new Map(answer.ReplicationStatus.map(({ Region = '', Status = 'InProgress' }) => [Region, Status])),
        }),
      };
    },

    async read(secretId, versionId) {
      const answer = await valueIfAny(secretId, () =>
        client.send(new GetSecretValueCommand({ SecretId: secretId, VersionId: versionId })),
      );
      return answer && { value: textOf(answer, secretId), createdAtMs: answer.CreatedDate?.getTime() ?? 0 };
    },

    async readStage(secretId, stage) {
      const answer = await valueIfAny(secretId, () =>
        client.send(new GetSecretValueCommand({ SecretId: secretId, VersionStage: stage })),
      );
      return (
        answer && {
          arn: answer.ARN ?? secretId,
          versionId: answer.VersionId ?? '',
          value: textOf(answer, secretId),
        }
      );
    },

    async writeVersion({ secretId, versionId, stage, value, rotationToken }) {
      return await translated('PutSecretValue', secretId, async () => {
        try {
          await client.send(
            new PutSecretValueCommand({
              SecretId: secretId,
              ClientRequestToken: versionId,
              SecretString: value.expose(),
              // Without it, PutSecretValue would move AWSCURRENT.
              VersionStages: [stage],
              ...(rotationToken && { RotationToken: rotationToken.expose() }),
            }),
          );
          return 'stored';
        } catch (error) {
          if (error instanceof ResourceExistsException) return 'taken';
          throw error;
        }
      });
    },

    async withdrawLabel(secretId, stage, versionId) {
      await translated('UpdateSecretVersionStage', secretId, async () => {
        try {
          await client.send(
            new UpdateSecretVersionStageCommand({
              SecretId: secretId,
              VersionStage: stage,
              RemoveFromVersionId: versionId,
            }),
          );
        } catch (error) {
          if (!namesAnotherHolder(error)) throw error;
        }
      });
    },

    async moveCurrent(secretId, { from, to }) {
      await translated('UpdateSecretVersionStage', secretId, async () => {
        try {
          await client.send(
            new UpdateSecretVersionStageCommand({
              SecretId: secretId,
              VersionStage: CURRENT,
              RemoveFromVersionId: from,
              MoveToVersionId: to,
            }),
          );
        } catch (error) {
          if (namesAnotherHolder(error))
            throw new RekeyError('CURRENT_MOVED', `version ${from} of ${secretId} is no longer AWSCURRENT`);
          throw error;
        }
      });
    },
  };
}

const HOUR_MS = 60 * 60_000;

/** The length of a rotation's window, such as `3h`; without one it is the rest of the day at most (RotationRulesType). */
function hoursOf(duration: string | undefined): number {
  return Number.parseInt(duration ?? '24', 10);
}

/** Of all secrets of the account and Region, because ListSecrets cannot ask by function. It shows no value. */
export function createSecretsManagerRotations(
  client: Pick<SecretsManagerClient, 'send'> = new SecretsManagerClient(AWS_CLIENT),
): Rotations {
  return {
    async rotatedBy(functionArns) {
      const rotated: RotatedSecret[] = [];
      let token: string | undefined;
      do {
        const page: ListSecretsCommandOutput = await translated('ListSecrets', 'this account', () =>
          client.send(new ListSecretsCommand({ MaxResults: 100, NextToken: token })),
        );
        for (const entry of page.SecretList ?? [])
          if (entry.RotationEnabled && functionArns.includes(entry.RotationLambdaARN ?? ''))
            rotated.push({
              arn: entry.ARN ?? '',
              createdAtMs: entry.CreatedDate?.getTime() ?? 0,
              changedAtMs: entry.LastChangedDate?.getTime() ?? 0,
              rotatedAtMs: entry.LastRotatedDate?.getTime(),
              dueAtMs: entry.NextRotationDate?.getTime(),
              stages: new Map(Object.entries(entry.SecretVersionsToStages ?? {})),
              tags: new Map((entry.Tags ?? []).map(({ Key = '', Value = '' }) => [Key, Value])),
            });
        token = page.NextToken;
      } while (token !== undefined);
      return rotated;
    },
  };
}

/** The answer, or undefined while the version or label exists without a value. */
async function valueIfAny(
  secretId: string,
  call: () => Promise<GetSecretValueCommandOutput>,
): Promise<GetSecretValueCommandOutput | undefined> {
  return await translated('GetSecretValue', secretId, async () => {
    try {
      return await call();
    } catch (error) {
      // "… can't find the specified secret value for …" is a version without a value; without "value", no such secret.
      if (awsFailure(error).name === 'ResourceNotFoundException' && /secret value/i.test(textField(error, 'message')))
        return undefined;
      throw error;
    }
  });
}

function textOf({ SecretString }: GetSecretValueCommandOutput, secretId: string): SecretValue {
  if (SecretString === undefined)
    throw new RekeyError('SECRET_VALUE_INVALID', `${secretId} holds binary data, not JSON text`);
  return new SecretValue(SecretString);
}

function namesAnotherHolder(error: unknown): boolean {
  const { name } = awsFailure(error);
  return /^Invalid(Parameter|Request)Exception$/.test(name) && /RemoveFromVersionId/.test(textField(error, 'message'));
}

/** A request that failed carries its input, and so the value: only the name, the status and the request id get out. */
async function translated<T>(operation: string, secretId: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw error instanceof RekeyError ? error : translate(error, `${operation} of ${secretId}`);
  }
}

const KEY = new Set(['DecryptionFailure', 'EncryptionFailure']);
/** KMS by name, its action or the ARN of a key: not a secret that is called after it. */
const OF_KMS = /\bKMS\b|\bkms:/;

function translate(error: unknown, call: string): RekeyError {
  const { name, kind, said: failure, action } = awsFailure(error);
  const text = textField(error, 'message');
  const said = `${call}: ${failure}`;

  const refused = kind === 'denied' || kind === 'rejected';
  if (KEY.has(name) || (refused && OF_KMS.test(text))) return new RekeyError('KEY_UNUSABLE', said);
  if (name === 'ResourceNotFoundException') return new RekeyError('SECRET_NOT_FOUND', said);
  if (kind === 'denied') return new RekeyError('ACCESS_DENIED', said, action);
  if (/marked (for deletion|deleted)|scheduled for deletion/i.test(text)) return new RekeyError('SECRET_DELETED', said);
  if (kind === 'unavailable') return new RekeyError('SECRETS_MANAGER_UNAVAILABLE', said, action);
  if (name === 'LimitExceededException') return new RekeyError('SECRETS_MANAGER_REJECTED', said, MAKE_ROOM);
  if (kind === 'rejected') return new RekeyError('SECRETS_MANAGER_REJECTED', said);
  return new RekeyError('UNEXPECTED', said);
}

/** Secrets Manager User Guide, "Quotas". */
const MAKE_ROOM =
  'The secret has as many versions or labels as Secrets Manager allows. Versions without a label go after a day: stop what writes it so often, or take labels from old versions (docs/errors.md), then rotate again.';
