import { randomInt } from 'node:crypto';
import { type BackgroundWork, createBackgroundWork } from '../background-work.ts';
import type { EventEnvelope } from '../event-bridge/event.ts';
import { handleWith, type Operation, operation } from '../operation.ts';
import { AwsError, type AwsService } from '../service.ts';
import { eventsOfChange, type Occurrence, rotationEvent } from './events.ts';
import { matchesFilters, pageOf } from './listing.ts';
import { randomPassword } from './random-password.ts';
import { request } from './requests.ts';
import { isPublic, parsePolicy } from './resource-policy.ts';
import {
  type InvokeRotation,
  type RotationPort,
  type RotationRetry,
  runRotation,
  runRotationTest,
} from './rotation.ts';
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
  type Version,
  withoutTags,
  withTags,
} from './secret.ts';
import { createStore, type View } from './store.ts';

export type { InvokeRotation, RotationRequest, RotationRetry } from './rotation.ts';
export type { Secret, Version } from './secret.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const INVALID = 'InvalidParameterException';

export interface SecretsManager extends AwsService {
  /** Resolves when no rotation is under way and none waits for its retry. */
  idle(): Promise<void>;
  /** Begins no further step of any rotation. */
  close(): void;
  /** A secret as it is, with deprecated versions and values. @throws AwsError ResourceNotFoundException */
  inspect(secretId: string): Secret;
  /** Makes the secret one that another service (`rds`) manages, or no longer. No API does that. */
  setOwningService(secretId: string, service: string | undefined): void;
}

/**
 * Simulated Secrets Manager, as strict as the documentation. Values are kept in memory in plain text. Not simulated:
 * encryption with KMS, IAM and the effect of resource policies, replicas, managed external secrets, and the schedule,
 * which is checked and reported but rotates nothing by itself.
 *
 * @param invokeRotation runs a step of a rotation function; rejects when the function failed
 * @param publish takes what Secrets Manager emits onto the default event bus, in order
 * @param testVersionHolds what the version made for RotateImmediately=false holds, which is not documented
 */
export function createSecretsManager(options: {
  readonly accountId: string;
  readonly region: string;
  readonly now: () => number;
  readonly invokeRotation: InvokeRotation;
  readonly publish: (event: EventEnvelope) => void;
  readonly retry?: RotationRetry;
  readonly testVersionHolds?: 'nothing' | 'current value';
  readonly background?: BackgroundWork;
}): SecretsManager {
  const { accountId, region, now, publish } = options;
  const retry = options.retry ?? { attempts: 2, delayMs: 100 };
  const background = options.background ?? createBackgroundWork();
  const closing = new AbortController();
  const store = createStore(now);
  const { present } = store;
  /** By secret ARN, and by ARN and version id. Reading is no write: it makes no earlier state stale. */
  const accessedAtMs = new Map<string, number>();

  const occurrence = (): Occurrence => ({ accountId, region, atMs: now() });

  function write(before: Secret | undefined, after: Secret): void {
    if (before === after) return;
    store.write(before, after);
    for (const event of eventsOfChange(before, after, occurrence())) publish(event);
  }

  /** Applies a transition to a secret that may be written to. */
  function change(secretId: string, transition: (secret: Secret) => Secret): Secret {
    const before = requireUnowned(requireLive(present.find(secretId)));
    const after = transition(before);
    write(before, after);
    return after;
  }

  const rotationPort: RotationPort = {
    now,
    write,
    read: (arn) => present.all().find((secret) => secret.arn === arn),
    announce: (name, arn, errorMessage) => publish(rotationEvent(name, arn, occurrence(), errorMessage)),
    invoke: options.invokeRotation,
  };

  /** The answer to RotateSecret goes out before the first step runs. */
  function inBackground(run: () => Promise<void>): void {
    background.run(async () => {
      await new Promise(setImmediate);
      if (!closing.signal.aborted) await run();
    });
  }

  function newArn(name: string): string {
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
    const suffix = Array.from({ length: 6 }, () => letters[randomInt(letters.length)]).join('');
    return `arn:aws:secretsmanager:${region}:${accountId}:secret:${name}-${suffix}`;
  }

  function readValue(secret: Secret, wanted: { VersionId?: string | undefined; VersionStage?: string | undefined }) {
    const version = versionWanted(secret, wanted);
    const today = Math.floor(now() / DAY_MS) * DAY_MS;
    accessedAtMs.set(secret.arn, today);
    accessedAtMs.set(`${secret.arn} ${version.id}`, today);
    return {
      ...identityOf(secret),
      VersionId: version.id,
      ...version.value,
      VersionStages: version.stages.length > 0 ? version.stages : undefined,
      CreatedDate: new Date(version.createdAtMs),
    };
  }

  function detailsOf(secret: Secret): object {
    const { rotation } = secret;
    return {
      ...identityOf(secret),
      Description: secret.description,
      KmsKeyId: secret.kmsKeyId,
      RotationEnabled: rotation?.enabled,
      RotationLambdaARN: rotation?.functionArn,
      RotationRules: rotation?.rules,
      LastRotatedDate: rotation?.enabled ? dateOf(rotation.lastRotatedAtMs) : undefined,
      NextRotationDate: dateOf(rotation?.nextRotationAtMs),
      LastChangedDate: new Date(secret.changedAtMs),
      LastAccessedDate: dateOf(accessedAtMs.get(secret.arn)),
      DeletedDate: dateOf(secret.deletedAtMs),
      Tags: secret.tags.length > 0 ? secret.tags : undefined,
      OwningService: secret.owningService,
      CreatedDate: new Date(secret.createdAtMs),
    };
  }

  const readsOf = (view: View): Record<string, Operation> => ({
    GetSecretValue: operation(
      request.getSecretValue,
      ({ SecretId, ...wanted }) => readValue(requireLive(view.find(SecretId)), wanted),
      INVALID,
    ),

    BatchGetSecretValue: operation(
      request.batchGetSecretValue,
      ({ SecretIdList, Filters, MaxResults, NextToken }) => {
        if ((SecretIdList === undefined) === (Filters === undefined))
          throw new AwsError(INVALID, 'You must include Filters or SecretIdList, but not both.');
        if (SecretIdList && MaxResults !== undefined)
          throw new AwsError(INVALID, 'To use MaxResults, you must also use the Filters parameter.');
        const filtered = view
          .all()
          .filter((secret) => secret.deletedAtMs === undefined && matchesFilters(secret, Filters ?? [], region))
          .map(({ arn }) => arn);
        const { items, NextToken: next } = pageOf(SecretIdList ?? filtered, MaxResults ?? 20, NextToken);
        const SecretValues: object[] = [];
        const Errors: object[] = [];
        for (const SecretId of items) {
          try {
            SecretValues.push(readValue(requireLive(view.find(SecretId)), {}));
          } catch (error) {
            if (!(error instanceof AwsError)) throw error;
            Errors.push({ SecretId, ErrorCode: error.code, Message: error.message });
          }
        }
        return { SecretValues, Errors, NextToken: next };
      },
      INVALID,
    ),

    DescribeSecret: operation(
      request.ofSecret,
      ({ SecretId }) => {
        const secret = view.find(SecretId);
        return { ...detailsOf(secret), VersionIdsToStages: stagesOf(secret) };
      },
      INVALID,
    ),

    ListSecrets: operation(
      request.listSecrets,
      ({ Filters, IncludePlannedDeletion, MaxResults, NextToken, SortBy, SortOrder }) => {
        const keyOf = (secret: Secret): string | number =>
          ({
            name: secret.name,
            'created-date': secret.createdAtMs,
            'last-changed-date': secret.changedAtMs,
            'last-accessed-date': accessedAtMs.get(secret.arn) ?? 0,
          })[SortBy];
        const listed = view
          .all()
          .filter((secret) => IncludePlannedDeletion || secret.deletedAtMs === undefined)
          .filter((secret) => matchesFilters(secret, Filters, region))
          .sort((left, right) => (keyOf(left) < keyOf(right) ? -1 : Number(keyOf(left) > keyOf(right))));
        if (SortOrder === 'desc') listed.reverse();
        const page = pageOf(listed, MaxResults, NextToken);
        return {
          SecretList: page.items.map((secret) => ({
            ...detailsOf(secret),
            SecretVersionsToStages: stagesOf(secret),
          })),
          NextToken: page.NextToken,
        };
      },
      INVALID,
    ),

    ListSecretVersionIds: operation(
      request.listSecretVersionIds,
      ({ SecretId, IncludeDeprecated, MaxResults, NextToken }) => {
        const secret = view.find(SecretId);
        const versions = secret.versions.filter(({ stages }) => IncludeDeprecated || stages.length > 0);
        const page = pageOf(versions, MaxResults, NextToken);
        return {
          ...identityOf(secret),
          Versions: page.items.map(({ id, stages, createdAtMs }) => ({
            VersionId: id,
            VersionStages: stages.length > 0 ? stages : undefined,
            CreatedDate: new Date(createdAtMs),
            LastAccessedDate: dateOf(accessedAtMs.get(`${secret.arn} ${id}`)),
          })),
          NextToken: page.NextToken,
        };
      },
      INVALID,
    ),

    GetResourcePolicy: operation(
      request.ofSecret,
      ({ SecretId }) => {
        const secret = requireLive(view.find(SecretId));
        return { ...identityOf(secret), ResourcePolicy: secret.policy };
      },
      INVALID,
    ),

    GetRandomPassword: operation(
      request.getRandomPassword,
      (wishes) => ({ RandomPassword: randomPassword(wishes) }),
      INVALID,
    ),

    ValidateResourcePolicy: operation(
      request.validateResourcePolicy,
      ({ ResourcePolicy }) => {
        const isBroad = isPublic(parsePolicy(ResourcePolicy));
        return {
          PolicyValidationPassed: !isBroad,
          ValidationErrors: isBroad
            ? [{ CheckName: 'PUBLIC_POLICY', ErrorMessage: 'The policy grants broad access to the secret.' }]
            : [],
        };
      },
      INVALID,
    ),
  });

  const writes: Record<string, Operation> = {
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
        const holdsCurrent = isTest && options.testVersionHolds === 'current value';
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
          case 'started': {
            write(secret, start.secret);
            const { arn } = secret;
            inBackground(() =>
              isTest
                ? runRotationTest(rotationPort, arn, token)
                : runRotation(rotationPort, arn, token, retry, closing.signal),
            );
            break;
          }
          case 'repeated':
            break;
          case 'incomplete': {
            const { reattempt } = start;
            const pending = reattempt?.underWay;
            if (reattempt && pending !== undefined) {
              write(secret, reattempt);
              inBackground(() => runRotation(rotationPort, reattempt.arn, pending, retry, closing.signal));
            }
            throw new AwsError(
              'InvalidRequestException',
              "A previous rotation isn't complete. That rotation will be reattempted.",
            );
          }
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
          if (before) store.write(requireUnowned(before), undefined);
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

  return {
    name: 'secretsmanager',
    protocols: [{ kind: 'json', version: '1.1', targetPrefix: 'secretsmanager' }],
    handle: handleWith({ ...readsOf(present), ...writes }),
    handleStale: handleWith({ ...readsOf(store.stale), ...writes }),
    idle: () => background.settled(),
    close: () => closing.abort(),
    inspect: (secretId) => present.find(secretId),
    setOwningService(secretId, service) {
      const before = present.find(secretId);
      write(before, { ...before, owningService: service });
    },
  };
}

function identityOf({ arn, name }: Secret): { ARN: string; Name: string } {
  return { ARN: arn, Name: name };
}

function stagesOf(secret: Secret): Record<string, readonly string[]> | undefined {
  const labelled = secret.versions.filter(({ stages }) => stages.length > 0);
  return labelled.length > 0 ? Object.fromEntries(labelled.map(({ id, stages }) => [id, stages])) : undefined;
}

function dateOf(epochMs: number | undefined): Date | undefined {
  return epochMs === undefined ? undefined : new Date(epochMs);
}

/** GetSecretValue: AWSCURRENT unless something else is asked for; if both are, they must agree. */
function versionWanted(
  secret: Secret,
  { VersionId, VersionStage }: { VersionId?: string | undefined; VersionStage?: string | undefined },
): Version {
  const stage = VersionStage ?? (VersionId === undefined ? 'AWSCURRENT' : undefined);
  const version = secret.versions.find(({ id, stages }) =>
    VersionId === undefined ? stages.includes(stage ?? '') : id === VersionId,
  );
  const what = VersionId === undefined ? `staging label: ${stage}` : `VersionId: ${VersionId}`;
  if (!version?.value)
    throw new AwsError(
      'ResourceNotFoundException',
      `Secrets Manager can't find the specified secret value for ${what}`,
    );
  if (stage !== undefined && !version.stages.includes(stage))
    throw new AwsError(
      'InvalidRequestException',
      'You provided a VersionStage that is not associated to the provided VersionId.',
    );
  return version;
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
