import type { ExternalSecret, ExternalSource, ExternalStore, Marker } from '../cluster/port.ts';
import { CURRENT } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import type { Use } from './class-objects.ts';
import { referencedSecret, refersTo, regionsOf, type SecretIdentity } from './references.ts';

/** What the sources of an ExternalSecret have to do with one secret, or whatever else a source may be. */
type ExternalUse = Exclude<Use, { readonly kind: 'follows' }>;

/** Stores by {@link storeKey}. */
export type Stores = ReadonlyMap<string, ExternalStore>;

export function storesByKey(stores: readonly ExternalStore[]): Stores {
  return new Map(stores.map((one) => [storeKey(one.kind, one.namespace, one.name), one]));
}

/** @param namespace of the ExternalSecret; a ClusterSecretStore has none */
export function storeKey(kind: ExternalStore['kind'], namespace: string, name: string): string {
  return kind === 'ClusterSecretStore' ? `${kind}/${name}` : `${kind}/${namespace}/${name}`;
}

/** How the sources of an ExternalSecret use the secret, and in which Region they read it. */
export function readsOf(
  { namespace, sources }: ExternalSecret,
  stores: Stores,
  secret: SecretIdentity,
  region: string,
): readonly { readonly use: ExternalUse; readonly region: string }[] {
  return sources.flatMap((source) => {
    const store = stores.get(storeKey(source.store.kind, namespace, source.store.name))?.aws;
    if (store === undefined) return [];
    const where = store.region || region;
    const use = useOf(source, store, secret, where);
    return use === undefined ? [] : { use, region: where };
  });
}

/** The names and ARNs that it asks for by key. What it looks up (`find`), nobody can name. */
export function secretsRead({ namespace, sources }: ExternalSecret, stores: Stores): readonly string[] {
  return sources.flatMap((source) => {
    const store = stores.get(storeKey(source.store.kind, namespace, source.store.name))?.aws;
    if (source.kind !== 'key' || store === undefined) return [];
    const key = store.prefix + source.key;
    if (store.service === 'SecretsManager') return key;
    return referencedSecret(key)?.name ?? [];
  });
}

type Aws = NonNullable<ExternalStore['aws']>;

function useOf(source: ExternalSource, store: Aws, secret: SecretIdentity, where: string): ExternalUse | undefined {
  // A role of another account reads that account's secrets, which may have the same names.
  const [, account] = /^arn:[^:]*:iam::(\d{12}):/.exec(store.role) ?? [];
  const isArn = source.kind === 'key' && source.key.startsWith('arn:');
  if (!isArn && account !== undefined && account !== parseSecretArn(secret.arn)?.accountId) return undefined;
  if (source.kind === 'find')
    return store.service === 'SecretsManager' && isFound(source, where, secret) ? { kind: 'unrecorded' } : undefined;

  const key = store.prefix + source.key;
  if (store.service === 'SecretsManager')
    return refersTo(key, where, secret) ? followsOrPinned(source.version) : undefined;
  if (store.service !== 'ParameterStore') return undefined;
  const reference = referencedSecret(key);
  if (reference === undefined || !refersTo(reference.name, where, secret)) return undefined;
  return followsOrPinned(source.version || reference.version);
}

/** Any version but `uuid/<versionId>` is a staging label (External Secrets, "AWS Secrets Manager"). */
function followsOrPinned(version: string): ExternalUse {
  if (version === '' || version === CURRENT) return { kind: 'unrecorded' };
  return { kind: 'pinned', to: version.startsWith('uuid/') ? `version ${version.slice(5)}` : `label ${version}` };
}

function isFound(
  { path, name, tags }: Extract<ExternalSource, { kind: 'find' }>,
  region: string,
  secret: SecretIdentity,
): boolean {
  if (!regionsOf(secret).includes(region) || !secret.name.startsWith(path)) return false;
  if (name !== undefined) return name.matches(secret.name);
  return tags.size > 0 && [...tags].every(([key, value]) => secret.tags?.get(key) === value);
}

/** What the operator looks for on a ClusterExternalSecret, to hand it on to what that made. */
const FORCE_SYNC = 'external-secrets.io/force-sync';

/** When and at which state a sync was asked for. */
interface Asked {
  readonly atMs: number;
  readonly syncedResourceVersion: string;
}

/**
 * Any change of its annotations has the operator read again, whatever the interval. The marker says for which version,
 * when, and how far it had come, so that the next pass can tell a sync that was carried out since from one before.
 */
export function syncRequest(
  { steering, syncedResourceVersion }: ExternalSecret,
  { annotation, versionId }: Marker,
  nowMs: number,
): ReadonlyMap<string, string> {
  const at = new Date(nowMs).toISOString();
  if (steering.kind === 'ExternalSecret') return new Map([[annotation, `${versionId}/${at}/${syncedResourceVersion}`]]);
  const value = `${versionId}/${at}/`;
  return new Map([
    [annotation, value],
    [FORCE_SYNC, value],
  ]);
}

function askedFor({ steering }: ExternalSecret, { annotation, versionId }: Marker): Asked | undefined {
  const [version, at = '', syncedResourceVersion = ''] = (steering.annotations.get(annotation) ?? '').split('/');
  const atMs = Date.parse(at);
  return version === versionId && !Number.isNaN(atMs) ? { atMs, syncedResourceVersion } : undefined;
}

/** Clocks of the function and of the operator's node are kept by Amazon's time service, but are two clocks. */
const SKEW_MS = 60_000;

/**
 * Whether the Kubernetes Secret of an ExternalSecret has the version. `synced`: it was read again, successfully, after
 * AWSCURRENT had moved. `asked`: it will be. `due`: it has to be asked. `never`: it does not read again.
 */
export type Sync =
  | { readonly kind: 'synced'; readonly askedAtMs: number }
  | { readonly kind: 'asked' | 'due' | 'never'; readonly why: string };

export function syncOf(external: ExternalSecret, marker: Marker): Sync {
  const { namespace, name, refresh, immutable, ready, steering } = external;
  const it = `ExternalSecret ${namespace}/${name}`;
  if (immutable)
    return { kind: 'never', why: `${it} writes an immutable Secret: delete that, so that it is made anew` };
  if (refresh.kind === 'created-once')
    return { kind: 'never', why: `${it} has refreshPolicy CreatedOnce: use Periodic, or delete its Secret` };
  if (refresh.kind === 'periodic' && refresh.everyMs <= 0)
    return { kind: 'never', why: `${it} has refreshInterval 0, so that it reads once: use an interval` };
  const asked = askedFor(external, marker);
  if (asked === undefined) return { kind: 'due', why: `${it} has not been asked to read again yet` };
  if (ready !== undefined && !ready.is)
    return { kind: 'asked', why: `${it} cannot be read: ${ready.reason || 'it is not Ready'}` };
  const own = steering.kind === 'ExternalSecret';
  const isLater = own
    ? external.syncedResourceVersion !== asked.syncedResourceVersion && external.refreshedAtMs >= asked.atMs - SKEW_MS
    : external.refreshedAtMs >= Math.floor(asked.atMs / 1_000) * 1_000;
  if (ready === undefined || !isLater) return { kind: 'asked', why: `${it} was asked to read again, and has not yet` };
  return { kind: 'synced', askedAtMs: asked.atMs };
}
