import { durationMs } from './go-duration.ts';
import { type Condition, type KubernetesObject, mapOf, msOf, type ObjectMeta } from './kubernetes-objects.ts';
import type { ExternalRefresh, ExternalSecret, ExternalSource, ExternalStore, NamePattern, StoreRef } from './port.ts';

/** Kinds of the External Secrets Operator, by the fields of its API (external-secrets, apis/externalsecrets/v1). */

export interface ExternalSecretObject extends KubernetesObject {
  readonly spec?: {
    readonly secretStoreRef?: StoreRefObject;
    readonly target?: {
      readonly name?: string;
      readonly creationPolicy?: string;
      readonly immutable?: boolean;
      /** It writes an object of another kind than Secret. */
      readonly manifest?: object;
    };
    readonly refreshPolicy?: string;
    readonly refreshInterval?: string;
    readonly data?: readonly {
      readonly remoteRef?: RemoteRefObject;
      readonly sourceRef?: { readonly storeRef?: StoreRefObject };
    }[];
    readonly dataFrom?: readonly {
      readonly extract?: RemoteRefObject;
      readonly find?: {
        readonly path?: string;
        readonly name?: { readonly regexp?: string };
        readonly tags?: Readonly<Record<string, string>>;
      };
      readonly sourceRef?: { readonly storeRef?: StoreRefObject };
    }[];
  };
  readonly status?: {
    readonly refreshTime?: string;
    readonly syncedResourceVersion?: string;
    readonly conditions?: readonly Condition[];
    readonly binding?: { readonly name?: string };
  };
}

interface StoreRefObject {
  readonly kind?: string;
  readonly name?: string;
}

interface RemoteRefObject {
  readonly key?: string;
  readonly version?: string;
}

export interface ExternalStoreObject extends KubernetesObject {
  readonly spec?: {
    readonly provider?: {
      readonly aws?: {
        readonly service?: string;
        readonly region?: string;
        readonly role?: string;
        readonly additionalRoles?: readonly string[];
        readonly prefix?: string;
      };
    };
  };
}

/** The ClusterExternalSecret that made an ExternalSecret, by name. */
export function makerOf({ metadata }: KubernetesObject): string | undefined {
  return metadata?.ownerReferences?.find(({ kind }) => kind === 'ClusterExternalSecret')?.name;
}

/** The regular expressions by which it looks secrets up. */
export function patternsOf({ spec }: ExternalSecretObject): readonly string[] {
  return (spec?.dataFrom ?? []).flatMap(({ find }) => find?.name?.regexp ?? []);
}

/** @param patterns of {@link patternsOf}, by their text */
export function externalSecretOf(
  object: ExternalSecretObject,
  patterns: ReadonlyMap<string, NamePattern>,
): ExternalSecret {
  const { metadata, spec, status } = object;
  const ready = status?.conditions?.find(({ type }) => type === 'Ready');
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    target: targetOf(object),
    sources: sourcesOf(spec, patterns),
    refresh: refreshOf(spec),
    immutable: spec?.target?.immutable === true,
    steering: steeringOf('ExternalSecret', metadata),
    ready: ready && { is: ready.status === 'True', reason: ready.reason ?? '' },
    refreshedAtMs: msOf(status?.refreshTime),
    syncedResourceVersion: status?.syncedResourceVersion ?? '',
  };
}

/** A ClusterExternalSecret writes over the annotations of what it made, so it has to be asked itself. */
export function steeredBy(secret: ExternalSecret, maker: ObjectMeta | undefined): ExternalSecret {
  return maker === undefined ? secret : { ...secret, steering: steeringOf('ClusterExternalSecret', maker) };
}

function steeringOf(kind: ExternalSecret['steering']['kind'], metadata: ObjectMeta | undefined) {
  const { name = '', resourceVersion = '', annotations } = metadata ?? {};
  return { kind, name, resourceVersion, annotations: mapOf(annotations) };
}

function targetOf({ metadata, spec, status }: ExternalSecretObject): string | undefined {
  const { name, creationPolicy, manifest } = spec?.target ?? {};
  if (creationPolicy === 'None' || manifest !== undefined) return undefined;
  return status?.binding?.name || name || metadata?.name;
}

function sourcesOf(
  spec: ExternalSecretObject['spec'],
  patterns: ReadonlyMap<string, NamePattern>,
): readonly ExternalSource[] {
  const store = (own: StoreRefObject | undefined): StoreRef => {
    const { kind, name = '' } = own ?? spec?.secretStoreRef ?? {};
    return { kind: kind === 'ClusterSecretStore' ? kind : 'SecretStore', name };
  };
  const keyed = (ref: RemoteRefObject | undefined, own: StoreRefObject | undefined): ExternalSource[] =>
    ref?.key === undefined ? [] : [{ kind: 'key', store: store(own), key: ref.key, version: ref.version ?? '' }];
  return [
    ...(spec?.data ?? []).flatMap(({ remoteRef, sourceRef }) => keyed(remoteRef, sourceRef?.storeRef)),
    ...(spec?.dataFrom ?? []).flatMap(({ extract, find, sourceRef }): ExternalSource[] => {
      if (find === undefined) return keyed(extract, sourceRef?.storeRef);
      const { path = '', tags } = find;
      const name = patterns.get(find.name?.regexp ?? '');
      return [{ kind: 'find', store: store(sourceRef?.storeRef), path, name, tags: mapOf(tags) }];
    }),
  ];
}

const HOUR_MS = 3_600_000;

function refreshOf(spec: ExternalSecretObject['spec']): ExternalRefresh {
  if (spec?.refreshPolicy === 'CreatedOnce') return { kind: 'created-once' };
  if (spec?.refreshPolicy === 'OnChange') return { kind: 'on-change' };
  const { refreshInterval } = spec ?? {};
  return { kind: 'periodic', everyMs: refreshInterval === undefined ? HOUR_MS : (durationMs(refreshInterval) ?? 0) };
}

export function externalStoreOf({ metadata, spec }: ExternalStoreObject, kind: StoreRef['kind']): ExternalStore {
  const aws = spec?.provider?.aws;
  return {
    kind,
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    aws: aws && {
      service: aws.service ?? '',
      region: aws.region ?? '',
      role: aws.role ?? '',
      prefix: aws.prefix ?? '',
    },
  };
}
