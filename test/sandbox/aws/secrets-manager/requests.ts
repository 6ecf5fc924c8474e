import { z } from 'zod';

/** The field rules of the Secrets Manager API model (2017-10-17). Members that are not listed are ignored. */

const SecretId = z.string().min(1).max(2048);
const ClientRequestToken = z.string().min(32).max(64);
const VersionId = z.string().min(32).max(64);
const VersionStage = z.string().min(1).max(256);
const MAX_VALUE_BYTES = 65_536;
const SecretString = z
  .string()
  .min(1)
  .refine((text) => Buffer.byteLength(text) <= MAX_VALUE_BYTES, `must be at most ${MAX_VALUE_BYTES} bytes`);
const SecretBinary = z
  .base64()
  .min(1)
  .refine((text) => Buffer.from(text, 'base64').length <= MAX_VALUE_BYTES, `must be at most ${MAX_VALUE_BYTES} bytes`);
const value = { SecretString: SecretString.optional(), SecretBinary: SecretBinary.optional() };
const metadata = { Description: z.string().max(2048).optional(), KmsKeyId: z.string().max(2048).optional() };
const Tags = z
  .array(z.object({ Key: z.string().min(1).max(128), Value: z.string().max(256) }))
  .refine((tags) => new Set(tags.map(({ Key }) => Key)).size === tags.length, 'names a tag key twice');
const ResourcePolicy = z.string().min(1).max(20_480);
const NextToken = z.string().min(1).max(4096).optional();
const MaxResults = z.int().min(1).max(100).default(100);
const Filters = z
  .array(
    z.object({
      Key: z.enum(['description', 'name', 'tag-key', 'tag-value', 'primary-region', 'owning-service', 'all']),
      Values: z
        .array(
          z
            .string()
            .max(512)
            .regex(/^!?[a-zA-Z0-9 :_@/+=.\-!]*$/),
        )
        .min(1)
        .max(10),
    }),
  )
  .max(10);

export const request = {
  createSecret: z.object({
    Name: z.string().min(1).max(512),
    ClientRequestToken: ClientRequestToken.optional(),
    ...metadata,
    ...value,
    Tags: Tags.default([]),
    AddReplicaRegions: z.never('replicas are not simulated').optional(),
  }),
  putSecretValue: z.object({
    SecretId,
    ClientRequestToken: ClientRequestToken.optional(),
    ...value,
    VersionStages: z.array(VersionStage).min(1).max(20).optional(),
    RotationToken: z
      .string()
      .min(36)
      .max(256)
      .regex(/^[a-zA-Z0-9-]+$/)
      .optional(),
  }),
  updateSecret: z.object({ SecretId, ClientRequestToken: ClientRequestToken.optional(), ...metadata, ...value }),
  getSecretValue: z.object({ SecretId, VersionId: VersionId.optional(), VersionStage: VersionStage.optional() }),
  batchGetSecretValue: z.object({
    SecretIdList: z.array(SecretId).min(1).max(20).optional(),
    Filters: Filters.optional(),
    MaxResults: z.int().min(1).max(20).optional(),
    NextToken,
  }),
  ofSecret: z.object({ SecretId }),
  listSecrets: z.object({
    Filters: Filters.default([]),
    IncludePlannedDeletion: z.boolean().default(false),
    MaxResults,
    NextToken,
    SortOrder: z.enum(['asc', 'desc']).default('desc'),
    SortBy: z.enum(['created-date', 'last-accessed-date', 'last-changed-date', 'name']).default('created-date'),
  }),
  listSecretVersionIds: z.object({ SecretId, IncludeDeprecated: z.boolean().default(false), MaxResults, NextToken }),
  tagResource: z.object({ SecretId, Tags }),
  untagResource: z.object({ SecretId, TagKeys: z.array(z.string().min(1).max(128)) }),
  updateSecretVersionStage: z.object({
    SecretId,
    VersionStage,
    RemoveFromVersionId: VersionId.optional(),
    MoveToVersionId: VersionId.optional(),
  }),
  rotateSecret: z.object({
    SecretId,
    ClientRequestToken: ClientRequestToken.optional(),
    RotationLambdaARN: z
      .string()
      .max(2048)
      .regex(/^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[\w-]+(:[\w$-]+)?$/)
      .optional(),
    RotationRules: z
      .object({
        AutomaticallyAfterDays: z.int().min(1).max(1000).optional(),
        ScheduleExpression: z
          .string()
          .min(1)
          .max(256)
          .regex(/^[0-9A-Za-z()#?*\-/, ]+$/)
          .optional(),
        Duration: z
          .string()
          .min(2)
          .max(3)
          .regex(/^[1-9][0-9]?h$/)
          .optional(),
      })
      .optional(),
    RotateImmediately: z.boolean().default(true),
  }),
  deleteSecret: z.object({
    SecretId,
    RecoveryWindowInDays: z.int().min(7).max(30).optional(),
    ForceDeleteWithoutRecovery: z.boolean().optional(),
  }),
  getRandomPassword: z.object({
    PasswordLength: z.int().min(1).max(4096).default(32),
    ExcludeCharacters: z.string().max(4096).default(''),
    ExcludeNumbers: z.boolean().default(false),
    ExcludePunctuation: z.boolean().default(false),
    ExcludeUppercase: z.boolean().default(false),
    ExcludeLowercase: z.boolean().default(false),
    IncludeSpace: z.boolean().default(false),
    RequireEachIncludedType: z.boolean().default(true),
  }),
  putResourcePolicy: z.object({ SecretId, ResourcePolicy, BlockPublicPolicy: z.boolean().default(false) }),
  validateResourcePolicy: z.object({ SecretId: SecretId.optional(), ResourcePolicy }),
} as const;
