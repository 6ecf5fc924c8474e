import { randomUUID } from 'node:crypto';
import { RekeyError } from '../../../shared/operations/errors.ts';
import { CURRENT, PENDING, PREVIOUS, type SecretStore } from '../../../shared/secrets/port.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';

interface Version {
  value: string | undefined;
  createdAtMs: number;
  stages: Set<string>;
}

interface Secret {
  readonly arn: string;
  readonly name: string;
  readonly tags: Map<string, string>;
  readonly versions: Map<string, Version>;
  rotationEnabled: boolean | undefined;
  rotationFunction: string | undefined;
  owningService: string | undefined;
  deletedAtMs: number | undefined;
}

/** Secrets in memory, with the label rules of Secrets Manager, and what people do to them behind Rekey's back. */
export interface MemorySecrets {
  readonly store: SecretStore;
  /** @returns the ARN */
  create(name: string, value: string, tags?: Record<string, string>): string;
  /** What RotateSecret does before it calls the function: a version with the label and without a value. */
  beginRotation(arn: string): string;
  /** A person's put-secret-value: AWSCURRENT moves to the new version. */
  put(arn: string, value: string): string;
  /** A version under a label of its own. */
  label(arn: string, stage: string, value: string): string;
  /** Direct access, to build states that no sequence of calls leads to. */
  secret(arn: string): Secret;
}

export const ROTATION_FUNCTION = 'arn:aws:lambda:eu-central-1:123456789012:function:rekey-rotation-postgres';

export function createMemorySecrets(now: () => number = Date.now): MemorySecrets {
  const secrets = new Map<string, Secret>();

  const secret = (arn: string): Secret => {
    const found = secrets.get(arn);
    if (!found) throw new RekeyError('SECRET_NOT_FOUND', arn);
    return found;
  };
  const usable = (arn: string): Secret => {
    const found = secret(arn);
    if (found.deletedAtMs !== undefined) throw new RekeyError('SECRET_DELETED', arn);
    return found;
  };
  const holderOf = ({ versions }: Secret, stage: string): string | undefined =>
    [...versions].find(([, { stages }]) => stages.has(stage))?.[0];
  const move = (of: Secret, stage: string, to: string): void => {
    const from = holderOf(of, stage);
    if (from === to) return;
    if (from !== undefined) of.versions.get(from)?.stages.delete(stage);
    of.versions.get(to)?.stages.add(stage);
    // Moving AWSCURRENT takes AWSPREVIOUS along by itself.
    if (stage === CURRENT && from !== undefined) move(of, PREVIOUS, from);
  };

  const store: SecretStore = {
    async describe(arn) {
      const { name, tags, versions, rotationEnabled, rotationFunction, owningService, deletedAtMs } = secret(arn);
      const stages = new Map<string, readonly string[]>();
      for (const [versionId, version] of versions)
        if (version.stages.size > 0) stages.set(versionId, [...version.stages]);
      return { arn, name, tags: new Map(tags), stages, rotationEnabled, rotationFunction, owningService, deletedAtMs };
    },

    async read(arn, versionId) {
      const { value, createdAtMs } = usable(arn).versions.get(versionId) ?? { value: undefined, createdAtMs: 0 };
      return value === undefined ? undefined : { value: new SecretValue(value), createdAtMs };
    },

    async readStage(arn, stage) {
      const versionId = holderOf(usable(arn), stage);
      const value = versionId === undefined ? undefined : secret(arn).versions.get(versionId)?.value;
      return versionId === undefined || value === undefined
        ? undefined
        : { arn, versionId, value: new SecretValue(value) };
    },

    async writeVersion({ secretId, versionId, stage, value }) {
      const of = usable(secretId);
      const version = of.versions.get(versionId) ?? { value: undefined, createdAtMs: 0, stages: new Set() };
      if (version.value !== undefined && version.value !== value.expose()) return 'taken';
      if (version.value === undefined) version.createdAtMs = now();
      version.value = value.expose();
      of.versions.set(versionId, version);
      move(of, stage, versionId);
      return 'stored';
    },

    async withdrawLabel(arn, stage, versionId) {
      usable(arn).versions.get(versionId)?.stages.delete(stage);
    },

    async moveCurrent(arn, { from, to }) {
      const of = usable(arn);
      if (holderOf(of, CURRENT) !== from) throw new RekeyError('CURRENT_MOVED', arn);
      if (!of.versions.has(to)) throw new RekeyError('SECRET_NOT_FOUND', `${arn} ${to}`);
      move(of, CURRENT, to);
    },
  };

  return {
    store,
    secret,
    create(name, value, tags = {}) {
      const suffix = randomUUID().replaceAll('-', '').slice(0, 6);
      const arn = `arn:aws:secretsmanager:eu-central-1:123456789012:secret:${name}-${suffix}`;
      secrets.set(arn, {
        arn,
        name,
        tags: new Map(Object.entries(tags)),
        versions: new Map([[randomUUID(), { value, createdAtMs: now(), stages: new Set([CURRENT]) }]]),
        rotationEnabled: true,
        rotationFunction: ROTATION_FUNCTION,
        owningService: undefined,
        deletedAtMs: undefined,
      });
      return arn;
    },
    beginRotation(arn) {
      const of = secret(arn);
      const pending = holderOf(of, PENDING);
      // An unfinished rotation is taken up again under its own token.
      if (pending !== undefined && pending !== holderOf(of, CURRENT)) return pending;
      const versionId = randomUUID();
      of.versions.set(versionId, { value: undefined, createdAtMs: now(), stages: new Set() });
      move(of, PENDING, versionId);
      return versionId;
    },
    put(arn, value) {
      const of = secret(arn);
      const versionId = randomUUID();
      // A value put by hand while a rotation runs abandons that rotation.
      const pending = holderOf(of, PENDING);
      if (pending !== undefined) of.versions.get(pending)?.stages.delete(PENDING);
      of.versions.set(versionId, { value, createdAtMs: now(), stages: new Set() });
      move(of, CURRENT, versionId);
      return versionId;
    },
    label(arn, stage, value) {
      const of = secret(arn);
      const versionId = randomUUID();
      of.versions.set(versionId, { value, createdAtMs: now(), stages: new Set() });
      move(of, stage, versionId);
      return versionId;
    },
  };
}
