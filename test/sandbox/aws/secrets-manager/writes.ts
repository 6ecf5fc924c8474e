import { randomInt } from 'node:crypto';
import { type Operation, operation } from '../operation.ts';
import { AwsError } from '../service.ts';
import { DAY_MS, INVALID, identityOf } from './answers.ts';
import { request } from './requests.ts';
import { isPublic, parsePolicy } from './resource-policy.ts';
import { checkRules } from './rotation-schedule.ts';
import {
  cancelRotation,
  holderOf,
  moveStage,
  newSecret,
  putValue,
  requireLive,
  requireUnowned,
  type Secret,
  startRotation,
  updateValue,
  type Value,
  withoutTags,
  withTags,
} from './secret.ts';
import type { View } from './store.ts';

/** The operations that change secrets, or start a rotation that does. */
export function writeOperations(context: {
  readonly present: View;
  readonly write: (before: Secret | undefined, after: Secret) => void;
  readonly remove: (secret: Secret) => void;
  /** Begins in the background what RotateSecret only sets in motion. */
  readonly begin: (run: 'rotation' | 'test', secretArn: string, token: string) => void;
  readonly accountId: string;
  readonly region: string;
  readonly now: () => number;
  readonly testVersionHolds: 'nothing' | 'current value';
}): Record<string, Operation> {
  const { present, write, begin, now, accountId, region } = context;

  /** Applies a transition to a secret that may be written to. */
  function change(secretId: string, transition: (secret: Secret) => Secret): Secret {
    const before = requireUnowned(requireLive(present.find(secretId)));
    const after = transition(before);
    write(before, after);
    return after;
  }

  function newArn(name: string): string {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    const suffix = Array.from({ length: 6 }, () => letters[randomInt(letters.length)]).join('');
    return `arn:aws:secretsmanager:${region}:${accountId}:secret:${name}-${suffix}`;
  }

  return {
    CreateSecret: operation(
      request.createSecret,
      (input) => {
        checkName(input.Name);
        const value = valueIn(input);
        const token = value && requireToken(input.ClientRequestToken);
        const existing = present.all().find(({ name }) => name === input.Name);
        if (existing) {
          if (existing.deletedAtMs !== undefined)
            throw new AwsError(
              'InvalidRequestException',
              "You can't create this secret because a secret with this name is already scheduled for deletion.",
            );
          const isRepeated = existing.versions.some(({ id }) => id === token);
          if (!value || !token || !isRepeated)
            throw new AwsError(
              'ResourceExistsException',
              `The operation failed because the secret ${input.Name} already exists.`,
            );
          putValue(existing, { token, value, stages: undefined }, now());
          return { ...identityOf(existing), VersionId: token };
        }
        const identity = { arn: newArn(input.Name), name: input.Name, description: input.Description };
        const empty = newSecret({ ...identity, kmsKeyId: input.KmsKeyId, tags: input.Tags }, now());
        const secret = value && token ? putValue(empty, { token, value, stages: undefined }, now()) : empty;
        write(undefined, secret);
        return { ...identityOf(secret), VersionId: token };
      },
      INVALID,
    ),

    PutSecretValue: operation(
      request.putSecretValue,
      (input) => {
        const token = requireToken(input.ClientRequestToken);
        const value = valueIn(input);
        if (!value)
          throw new AwsError('InvalidRequestException', 'You must provide either SecretString or SecretBinary.');
        const secret = change(input.SecretId, (before) =>
          putValue(before, { token, value, stages: input.VersionStages }, now()),
        );
        const stages = secret.versions.find(({ id }) => id === token)?.stages;
        return { ...identityOf(secret), VersionId: token, VersionStages: stages };
      },
      INVALID,
    ),

    UpdateSecret: operation(
      request.updateSecret,
      (input) => {
        const value = valueIn(input);
        const token = value && requireToken(input.ClientRequestToken);
        const secret = change(input.SecretId, (before) => {
          const described: Secret = {
            ...before,
            description: input.Description ?? before.description,
            kmsKeyId: input.KmsKeyId === undefined ? before.kmsKeyId : input.KmsKeyId || undefined,
            changedAtMs: now(),
          };
          return value && token ? updateValue(described, { token, value }, now()) : described;
        });
        return { ...identityOf(secret), VersionId: token };
      },
      INVALID,
    ),

    UpdateSecretVersionStage: operation(
      request.updateSecretVersionStage,
      ({ SecretId, VersionStage, RemoveFromVersionId, MoveToVersionId }) =>
        identityOf(
          change(SecretId, (before) =>
            moveStage(before, { stage: VersionStage, from: RemoveFromVersionId, to: MoveToVersionId }, now()),
          ),
        ),
      INVALID,
    ),

    RotateSecret: operation(
      request.rotateSecret,
      (input) => {
        const secret = requireUnowned(requireLive(present.find(input.SecretId)));
        const token = requireToken(input.ClientRequestToken);
        if (input.RotationRules) checkRules(input.RotationRules);
        const isTest = !input.RotateImmediately;
        const holdsCurrent = isTest && context.testVersionHolds === 'current value';
        const start = startRotation(
          secret,
          {
            token,
            functionArn: input.RotationLambdaARN,
            rules: input.RotationRules,
            testValue: holdsCurrent ? holderOf(secret, 'AWSCURRENT')?.value : undefined,
          },
          now(),
        );
        switch (start.kind) {
          case 'started':
            write(secret, start.secret);
            begin(isTest ? 'test' : 'rotation', secret.arn, token);
            break;
          case 'repeated':
            break;
          case 'incomplete':
            if (start.reattempt?.underWay !== undefined) {
              write(secret, start.reattempt);
              begin('rotation', secret.arn, start.reattempt.underWay);
            }
            throw new AwsError(
              'InvalidRequestException',
              "A previous rotation isn't complete. That rotation will be reattempted.",
            );
        }
        return { ...identityOf(secret), VersionId: isTest ? undefined : token };
      },
      INVALID,
    ),

    CancelRotateSecret: operation(
      request.ofSecret,
      ({ SecretId }) => {
        const pending = holderOf(present.find(SecretId), 'AWSPENDING')?.id;
        const secret = change(SecretId, (before) => cancelRotation(before, now()));
        return { ...identityOf(secret), VersionId: pending };
      },
      INVALID,
    ),

    TagResource: operation(
      request.tagResource,
      ({ SecretId, Tags }) => {
        const before = requireLive(present.find(SecretId));
        write(before, withTags(before, Tags, now()));
        return {};
      },
      INVALID,
    ),

    UntagResource: operation(
      request.untagResource,
      ({ SecretId, TagKeys }) => {
        const before = requireLive(present.find(SecretId));
        write(before, withoutTags(before, TagKeys, now()));
        return {};
      },
      INVALID,
    ),

    DeleteSecret: operation(
      request.deleteSecret,
      ({ SecretId, RecoveryWindowInDays, ForceDeleteWithoutRecovery: isForced = false }) => {
        if (isForced && RecoveryWindowInDays !== undefined)
          throw new AwsError(INVALID, "You can't use ForceDeleteWithoutRecovery with RecoveryWindowInDays.");
        if (isForced) {
          const before = present.lookUp(SecretId);
          if (before) context.remove(requireUnowned(before));
          return { ...(before ? identityOf(before) : { Name: SecretId }), DeletionDate: new Date(now()) };
        }
        const deletedAtMs = now() + (RecoveryWindowInDays ?? 30) * DAY_MS;
        const secret = change(SecretId, (before) => ({
          ...before,
          deletedAtMs,
          underWay: undefined,
          changedAtMs: now(),
        }));
        return { ...identityOf(secret), DeletionDate: new Date(deletedAtMs) };
      },
      INVALID,
    ),

    RestoreSecret: operation(
      request.ofSecret,
      ({ SecretId }) => {
        const before = present.find(SecretId);
        if (before.deletedAtMs !== undefined) write(before, { ...before, deletedAtMs: undefined, changedAtMs: now() });
        return identityOf(before);
      },
      INVALID,
    ),

    PutResourcePolicy: operation(
      request.putResourcePolicy,
      ({ SecretId, ResourcePolicy, BlockPublicPolicy }) => {
        if (isPublic(parsePolicy(ResourcePolicy)) && BlockPublicPolicy)
          throw new AwsError('PublicPolicyException', 'The resource policy grants broad access to the secret.');
        return identityOf(change(SecretId, (before) => ({ ...before, policy: ResourcePolicy, changedAtMs: now() })));
      },
      INVALID,
    ),

    DeleteResourcePolicy: operation(
      request.ofSecret,
      ({ SecretId }) =>
        identityOf(change(SecretId, (before) => ({ ...before, policy: undefined, changedAtMs: now() }))),
      INVALID,
    ),
  };
}

function valueIn({
  SecretString,
  SecretBinary,
}: {
  SecretString?: string | undefined;
  SecretBinary?: string | undefined;
}): Value | undefined {
  if (SecretString !== undefined && SecretBinary !== undefined)
    throw new AwsError(INVALID, "You can't specify both a binary secret value and a string secret value.");
  if (SecretString !== undefined) return { SecretString };
  return SecretBinary === undefined ? undefined : { SecretBinary };
}

/** SDKs and the CLI fill it in; a raw request must bring it. */
function requireToken(token: string | undefined): string {
  if (token !== undefined) return token;
  throw new AwsError(
    'InvalidRequestException',
    'You must provide a ClientRequestToken value. We recommend a UUID-type value.',
  );
}

function checkName(name: string): void {
  if (!/^[A-Za-z0-9/_+=.@!-]+$/.test(name))
    throw new AwsError(
      'ValidationException',
      'Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!',
    );
}
