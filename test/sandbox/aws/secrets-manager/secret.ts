import { AwsError } from '../service.ts';
import { nextRotationMs, type RotationRules } from './rotation-schedule.ts';

/**
 * The rules of one secret as pure transitions: state and request in, next state out, or an AwsError and nothing
 * changed. A request that changes nothing returns the very same object.
 * Sources: the Secrets Manager API reference, and its user guide where the reference is silent.
 */

const CURRENT = 'AWSCURRENT';
const PENDING = 'AWSPENDING';
const PREVIOUS = 'AWSPREVIOUS';

/** PutSecretValue, Description: 100 versions are kept, and all of the last 24 hours. */
const MAX_VERSIONS = 100;
const KEPT_MS = 24 * 60 * 60 * 1000;
/** SecretVersionStagesType. */
const MAX_STAGES = 20;
/** Tag quotas of the service. */
const MAX_TAGS = 50;

export type Value = { readonly SecretString: string } | { readonly SecretBinary: string };

export interface Version {
  readonly id: string;
  readonly createdAtMs: number;
  readonly stages: readonly string[];
  /** Missing while a rotation has made the version and its function has not filled it yet. */
  readonly value: Value | undefined;
}

export interface Tag {
  readonly Key: string;
  readonly Value: string;
}

export interface Rotation {
  readonly enabled: boolean;
  readonly functionArn: string;
  readonly rules: RotationRules | undefined;
  readonly lastRotatedAtMs: number | undefined;
  readonly nextRotationAtMs: number | undefined;
}

export interface Secret {
  readonly arn: string;
  readonly name: string;
  readonly description: string | undefined;
  readonly kmsKeyId: string | undefined;
  readonly tags: readonly Tag[];
  /** The oldest first. One without stages is deprecated. */
  readonly versions: readonly Version[];
  readonly rotation: Rotation | undefined;
  /** The version that the service is rotating to, or testing with, at this moment. */
  readonly underWay: string | undefined;
  readonly policy: string | undefined;
  readonly owningService: string | undefined;
  /** When the recovery window ends; set when the secret is scheduled for deletion. */
  readonly deletedAtMs: number | undefined;
  readonly createdAtMs: number;
  readonly changedAtMs: number;
}

export function newSecret(
  identity: Pick<Secret, 'arn' | 'name' | 'description' | 'kmsKeyId'> & { readonly tags: readonly Tag[] },
  nowMs: number,
): Secret {
  const untagged: Secret = {
    ...identity,
    tags: [],
    versions: [],
    rotation: undefined,
    underWay: undefined,
    policy: undefined,
    owningService: undefined,
    deletedAtMs: undefined,
    createdAtMs: nowMs,
    changedAtMs: nowMs,
  };
  return withTags(untagged, identity.tags, nowMs);
}

export function holderOf(secret: Secret, stage: string): Version | undefined {
  return secret.versions.find(({ stages }) => stages.includes(stage));
}

/**
 * PutSecretValue. The first version always becomes current; later ones when no stages are named.
 * A new current version that is not the pending one abandons the rotation (user guide, "RotationAbandoned").
 */
export function putValue(
  secret: Secret,
  request: { readonly token: string; readonly value: Value; readonly stages: readonly string[] | undefined },
  nowMs: number,
): Secret {
  const existing = secret.versions.find(({ id }) => id === request.token);
  if (existing?.value) {
    if (sameValue(existing.value, request.value)) return secret;
    throw new AwsError(
      'ResourceExistsException',
      `You can't use ClientRequestToken ${request.token} because that value is already in use for a version of secret ${secret.arn}.`,
    );
  }
  const stages = new Set(request.stages ?? [CURRENT]);
  if (secret.versions.length === 0) stages.add(CURRENT);
  const filled: readonly Version[] = existing
    ? secret.versions.map((version) => (version === existing ? { ...version, value: request.value } : version))
    : [...withRoom(secret.versions, nowMs), versionOf(request.token, request.value, nowMs)];
  // AWSCURRENT at the end, so that AWSPREVIOUS goes where it came from even when the request names both.
  const inOrder = [...stages].sort((left, right) => Number(left === CURRENT) - Number(right === CURRENT));
  const versions = inOrder.reduce((before, stage) => attach(before, stage, request.token), filled);
  const next = { ...secret, versions, changedAtMs: nowMs };
  return stages.has(CURRENT) ? manuallyRotated(next, request.token, nowMs) : next;
}

/** UpdateSecret with a value: unlike PutSecretValue, a token that is in use is refused even for the same value. */
export function updateValue(secret: Secret, request: { token: string; value: Value }, nowMs: number): Secret {
  if (secret.versions.some(({ id }) => id === request.token))
    throw new AwsError('ResourceExistsException', 'A resource with the ID you requested already exists.');
  return putValue(secret, { ...request, stages: undefined }, nowMs);
}

/** UpdateSecretVersionStage: a compare-and-swap on the label's present holder. */
export function moveStage(
  secret: Secret,
  request: { readonly stage: string; readonly from: string | undefined; readonly to: string | undefined },
  nowMs: number,
): Secret {
  const { stage, from, to } = request;
  const holder = holderOf(secret, stage);
  const target = secret.versions.find(({ id }) => id === to);
  if (to !== undefined && !target) throw versionNotFound(to);
  if (from !== undefined && !secret.versions.some(({ id }) => id === from)) throw versionNotFound(from);
  if (from === undefined && to === undefined)
    throw invalidParameter('You must specify MoveToVersionId, RemoveFromVersionId or both.');
  if (from === undefined && holder && holder.id !== to)
    throw invalidParameter(
      `The parameter RemoveFromVersionId can't be empty. Staging label ${stage} is currently attached to version ${holder.id}, so you must explicitly reference that version in RemoveFromVersionId.`,
    );
  if (from !== undefined && holder?.id !== from)
    throw invalidParameter(
      `If you specify RemoveFromVersionId, it must be set to the version that currently has the staging label ${stage}.`,
    );
  if (to === undefined && stage === CURRENT)
    throw invalidParameter(
      `You can only move staging label ${CURRENT} to a different secret version. It can't be completely removed.`,
    );
  // Not documented; refused here, so that nothing comes to rely on a current version that cannot be read.
  if (target && !target.value && stage === CURRENT)
    throw new AwsError('InvalidRequestException', `Version ${target.id} has no value yet.`);
  if (holder && holder.id === to) return secret;
  const versions = target ? attach(secret.versions, stage, target.id) : detach(secret.versions, stage);
  return { ...secret, versions, changedAtMs: nowMs };
}

/**
 * What RotateSecret does with a well-formed request.
 * `repeated`: the same token again, whose version exists: nothing is done twice.
 * `incomplete`: AWSPENDING is on another version than AWSCURRENT. An error is answered, and the rotation to
 * `reattempt` starts over, unless it is still running or rotation was cancelled.
 */
export type RotationStart =
  | { readonly kind: 'started'; readonly secret: Secret }
  | { readonly kind: 'repeated' }
  | { readonly kind: 'incomplete'; readonly reattempt: Secret | undefined };

/** RotateSecret. @param testValue what the version of a mere test (RotateImmediately=false) holds */
export function startRotation(
  secret: Secret,
  request: {
    readonly token: string;
    readonly functionArn: string | undefined;
    readonly rules: RotationRules | undefined;
    readonly testValue: Value | undefined;
  },
  nowMs: number,
): RotationStart {
  const functionArn = request.functionArn ?? secret.rotation?.functionArn;
  if (!functionArn)
    throw new AwsError('InvalidRequestException', 'No Lambda rotation function ARN is associated with this secret.');
  if (secret.versions.some(({ id }) => id === request.token)) {
    const isStuck = holderOf(secret, PENDING)?.id === request.token && secret.underWay === undefined;
    if (!isStuck || holderOf(secret, CURRENT)?.id === request.token) return { kind: 'repeated' };
  }
  const pending = holderOf(secret, PENDING);
  if (pending && !pending.stages.includes(CURRENT)) {
    const mayReattempt = secret.underWay === undefined && secret.rotation?.enabled;
    return { kind: 'incomplete', reattempt: mayReattempt ? { ...secret, underWay: pending.id } : undefined };
  }
  const rules = request.rules ?? secret.rotation?.rules;
  const made = versionOf(request.token, request.testValue, nowMs);
  return {
    kind: 'started',
    secret: {
      ...secret,
      versions: attach([...withRoom(secret.versions, nowMs), made], PENDING, request.token),
      rotation: {
        enabled: true,
        functionArn,
        rules,
        lastRotatedAtMs: secret.rotation?.lastRotatedAtMs,
        nextRotationAtMs: rules && nextRotationMs(rules, nowMs),
      },
      underWay: request.token,
      changedAtMs: nowMs,
    },
  };
}

/** After finishSecret: the service itself clears AWSPENDING. Undefined when the function did not move AWSCURRENT. */
export function completeRotation(secret: Secret, token: string, nowMs: number): Secret | undefined {
  if (holderOf(secret, CURRENT)?.id !== token) return undefined;
  const pending = holderOf(secret, PENDING);
  return {
    ...secret,
    versions: pending?.id === token ? detach(secret.versions, PENDING) : secret.versions,
    rotation: secret.rotation && {
      ...secret.rotation,
      lastRotatedAtMs: nowMs,
      nextRotationAtMs: secret.rotation.rules && nextRotationMs(secret.rotation.rules, nowMs),
    },
    underWay: undefined,
    changedAtMs: nowMs,
  };
}

/** All attempts failed: AWSPENDING stays where it is. */
export function giveUpRotation(secret: Secret): Secret {
  return { ...secret, underWay: undefined };
}

/** RotateSecret, RotateImmediately: the version that the test was made for is removed again. */
export function endRotationTest(secret: Secret, token: string): Secret {
  const underWay = secret.underWay === token ? undefined : secret.underWay;
  return { ...secret, versions: secret.versions.filter(({ id }) => id !== token), underWay };
}

/** CancelRotateSecret: AWSPENDING stays, and a rotation under way is not carried on. */
export function cancelRotation(secret: Secret, nowMs: number): Secret {
  if (!secret.rotation)
    throw new AwsError('InvalidRequestException', 'No Lambda rotation function ARN is associated with this secret.');
  return {
    ...secret,
    rotation: { ...secret.rotation, enabled: false, nextRotationAtMs: undefined },
    underWay: undefined,
    changedAtMs: nowMs,
  };
}

/** TagResource: appends, and replaces the value of a key that exists. */
export function withTags(secret: Secret, tags: readonly Tag[], nowMs: number): Secret {
  const reserved = tags.find(({ Key }) => Key.toLowerCase().startsWith('aws:'));
  if (reserved) throw invalidParameter(`The tag key ${reserved.Key} is reserved: it must not start with aws:.`);
  const merged = new Map([...secret.tags, ...tags].map(({ Key, Value }) => [Key, Value]));
  if (merged.size > MAX_TAGS) throw invalidParameter(`A secret can have at most ${MAX_TAGS} tags.`);
  return { ...secret, tags: [...merged].map(([Key, Value]) => ({ Key, Value })), changedAtMs: nowMs };
}

export function withoutTags(secret: Secret, keys: readonly string[], nowMs: number): Secret {
  return { ...secret, tags: secret.tags.filter(({ Key }) => !keys.includes(Key)), changedAtMs: nowMs };
}

/** @throws AwsError InvalidRequestException when the secret is scheduled for deletion */
export function requireLive(secret: Secret): Secret {
  if (secret.deletedAtMs === undefined) return secret;
  throw new AwsError(
    'InvalidRequestException',
    "You can't perform this operation on the secret because it was marked for deletion.",
  );
}

/** @throws AwsError InvalidRequestException when another service owns the secret */
export function requireUnowned(secret: Secret): Secret {
  if (secret.owningService === undefined) return secret;
  throw new AwsError(
    'InvalidRequestException',
    `The secret is managed by ${secret.owningService}, and you must use that service to update it.`,
  );
}

function sameValue(left: Value, right: Value): boolean {
  return 'SecretString' in left
    ? 'SecretString' in right && left.SecretString === right.SecretString
    : 'SecretBinary' in right && left.SecretBinary === right.SecretBinary;
}

/** RotationRulesType: a manual update counts as a rotation for the schedule. */
function manuallyRotated(secret: Secret, token: string, nowMs: number): Secret {
  const { rotation } = secret;
  if (!rotation?.enabled) return secret;
  const pending = holderOf(secret, PENDING);
  const abandons = pending !== undefined && pending.id !== token;
  return {
    ...secret,
    versions: abandons ? detach(secret.versions, PENDING) : secret.versions,
    underWay: abandons ? undefined : secret.underWay,
    rotation: { ...rotation, nextRotationAtMs: rotation.rules && nextRotationMs(rotation.rules, nowMs) },
  };
}

/** Each label is on one version at most, and AWSPREVIOUS follows where AWSCURRENT came from. */
function attach(versions: readonly Version[], stage: string, id: string): readonly Version[] {
  const holder = versions.find(({ stages }) => stages.includes(stage));
  if (holder?.id === id) return versions;
  const moved = detach(versions, stage).map((version) => {
    if (version.id !== id) return version;
    if (version.stages.length === MAX_STAGES)
      throw new AwsError('LimitExceededException', `A version can have at most ${MAX_STAGES} staging labels.`);
    return { ...version, stages: [...version.stages, stage] };
  });
  return stage === CURRENT && holder ? attach(moved, PREVIOUS, holder.id) : moved;
}

function detach(versions: readonly Version[], stage: string): readonly Version[] {
  return versions.map((version) =>
    version.stages.includes(stage) ? { ...version, stages: version.stages.filter((each) => each !== stage) } : version,
  );
}

function versionOf(id: string, value: Value | undefined, nowMs: number): Version {
  return { id, createdAtMs: nowMs, stages: [], value };
}

/** Drops the oldest deprecated version when there is no room for another. */
function withRoom(versions: readonly Version[], nowMs: number): readonly Version[] {
  if (versions.length < MAX_VERSIONS) return versions;
  const oldest = versions.find(({ stages, createdAtMs }) => stages.length === 0 && nowMs - createdAtMs >= KEPT_MS);
  if (!oldest)
    throw new AwsError(
      'LimitExceededException',
      `The secret already has ${MAX_VERSIONS} versions of the last 24 hours.`,
    );
  return versions.filter((version) => version !== oldest);
}

function invalidParameter(message: string): AwsError {
  return new AwsError('InvalidParameterException', message);
}

function versionNotFound(id: string): AwsError {
  return new AwsError('ResourceNotFoundException', `Secrets Manager can't find the specified secret version: ${id}`);
}
