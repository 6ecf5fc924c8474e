import { type Operation, operation } from '../operation.ts';
import { AwsError } from '../service.ts';
import { DAY_MS, dateOf, INVALID, identityOf, stagesOf } from './answers.ts';
import { matchesFilters, pageOf } from './listing.ts';
import { randomPassword } from './random-password.ts';
import { request } from './requests.ts';
import { isPublic, parsePolicy } from './resource-policy.ts';
import { requireLive, type Secret, type Version } from './secret.ts';
import type { View } from './store.ts';

/** Midnights of the days when values were read, by secret ARN, and by ARN and version id. No write: nothing gets stale. */
export type AccessDates = Map<string, number>;

/** The operations that change nothing. */
export function readOperations(context: {
  readonly view: View;
  readonly accessed: AccessDates;
  readonly region: string;
  readonly now: () => number;
}): Record<string, Operation> {
  const { view, accessed, region, now } = context;

  function readValue(secret: Secret, wanted: { VersionId?: string | undefined; VersionStage?: string | undefined }) {
    const version = versionWanted(secret, wanted);
    const today = Math.floor(now() / DAY_MS) * DAY_MS;
    accessed.set(secret.arn, today);
    accessed.set(`${secret.arn} ${version.id}`, today);
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
      LastAccessedDate: dateOf(accessed.get(secret.arn)),
      DeletedDate: dateOf(secret.deletedAtMs),
      Tags: secret.tags.length > 0 ? secret.tags : undefined,
      OwningService: secret.owningService,
      CreatedDate: new Date(secret.createdAtMs),
    };
  }

  return {
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
            'last-accessed-date': accessed.get(secret.arn) ?? 0,
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
            LastAccessedDate: dateOf(accessed.get(`${secret.arn} ${id}`)),
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
  };
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
