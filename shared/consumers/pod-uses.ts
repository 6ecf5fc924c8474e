import type { CsiDriver, ExternalSecret, Marker, Mount, Pod, References } from '../cluster/port.ts';
import type { Mode } from './annotations.ts';
import type { Use } from './class-objects.ts';
import { syncOf } from './external-secrets.ts';
import type { Found } from './manifests.ts';
import type { Claim, SecretClaim } from './proof.ts';
import { claimOnSynced, isRecorded, type WrittenSecret } from './synced-secrets.ts';
import { type Choice, choiceFor, type How, type Steering } from './uses.ts';

/** What is known of the time, apart from the cluster. */
export interface Times {
  readonly nowMs: number;
  /** When AWSCURRENT moved, as far as is known. Epoch milliseconds. */
  readonly movedAtMs?: number | undefined;
}

/** One cluster, as its workloads and pods are judged. */
export interface ClusterView {
  readonly marker: Marker;
  readonly found: Found;
  readonly times: Times;
  readonly driver: CsiDriver | undefined;
  readonly mountsOf: (pod: Pod) => readonly Mount[];
  readonly podsIn: (namespace: string) => readonly Pod[];
}

/** What a pod, or a template of pods, has of the secret. */
export interface Used {
  /** Class → how it uses the secret. */
  readonly classes: ReadonlyMap<string, readonly Use[]>;
  readonly unreadable: readonly { readonly name: string; readonly why: string }[];
  readonly synced: ReadonlyMap<string, WrittenSecret>;
  readonly external: ReadonlyMap<string, ExternalSecret>;
  readonly named: boolean;
  readonly pins: readonly (readonly [by: string, to: string])[];
  readonly secrets: References['secrets'];
}

/** @param named whether its owner says so by an annotation */
export function usedBy(
  { secretProviderClasses, secrets }: References,
  namespace: string,
  named: boolean,
  view: ClusterView,
): Used {
  const { uses, unreadable, synced, external, pinnedExternal } = view.found;
  const key = (name: string) => `${namespace}/${name}`;
  const names = [...new Set(secrets.map(({ name }) => name))];
  const pick = <T>(all: ReadonlyMap<string, T>, of: readonly string[]) =>
    new Map(of.flatMap((name) => (all.has(key(name)) ? [[name, all.get(key(name)) as T] as const] : [])));
  const classes = new Map([...pick(uses, secretProviderClasses)].map(([name, one]) => [name, one.uses]));
  const pinnedBy = [...pick(pinnedExternal, names).values()];
  return {
    classes,
    unreadable: [...pick(unreadable, secretProviderClasses)].map(([name, { why }]) => ({ name, why })),
    synced: pick(synced, names),
    external: pick(external, names),
    named,
    pins: [
      ...[...classes].flatMap(([spc, all]) =>
        all.flatMap((use) => (use.kind === 'pinned' ? [[spc, use.to] as const] : [])),
      ),
      ...pinnedBy.map(({ name, to }) => [`ExternalSecret ${name}`, to] as const),
    ],
    secrets,
  };
}

/** Whether some use is not pinned, or may not be. */
export function isUsed(used: Used): boolean {
  const { unreadable, synced, external } = used;
  return isFollowed(used) || unreadable.length > 0 || synced.size > 0 || external.size > 0;
}

/** Whether a new pod would get the version by something that can be read. */
export function isFollowed({ classes, external, named }: Used): boolean {
  return named || external.size > 0 || [...classes.values()].flat().some(({ kind }) => kind !== 'pinned');
}

/** Every use, with what follows from it. */
export function choicesOf(
  { classes, synced, external, named, secrets }: Used,
  steering: Steering,
  { driver }: ClusterView,
): ReadonlyMap<How, Choice> {
  const hows: How[] = [...classes.values()].flat().flatMap((use): How[] => {
    if (use.kind === 'pinned') return [];
    return [use.kind === 'follows' ? 'csi-file' : 'csi-unrecorded'];
  });
  if (named) hows.push('named');
  if (synced.size > 0) hows.push('csi-environment');
  for (const { name, as } of secrets)
    if (external.has(name)) hows.push(as === 'file' ? 'external-file' : 'external-environment');
  return new Map(hows.map((how) => [how, choiceFor(how, steering, driver)]));
}

/** What a pod has to show; undefined when it does not use the secret, or only a pinned version. */
export function claimOf(
  used: Used,
  namespace: string,
  steering: Steering,
  mode: Mode,
  pod: Pod,
  view: ClusterView,
): Claim | undefined {
  const { classes, external } = used;
  if (!isUsed(used)) return undefined;
  const choices = choicesOf(used, steering, view);
  const choice = choices.get('csi-environment');
  const isSure = choice !== undefined && choice.refused === undefined;
  const synced = isSure ? syncedClaims(used.synced, namespace, choice, view) : [];
  return {
    marker: view.marker,
    ids: new Map(
      [...classes].map(([spc, uses]) => [spc, uses.flatMap((use) => (use.kind === 'follows' ? use.ids : []))]),
    ),
    needsMarker: [...choices.values()].some(({ evidence }) => evidence === 'template'),
    rereads: mode === 'annotate',
    secrets: new Map([...synced, ...[...external].map(([name, one]) => [name, externalClaim(one, view)] as const)]),
    unprovable: untoldBy(used, steering, view),
    driver: driverNote(pod, view),
  };
}

/** For each Kubernetes Secret that the driver writes, and whose versions are on record: what proves a container that has it. */
export function syncedClaims(synced: Used['synced'], namespace: string, choice: Choice, view: ClusterView) {
  const { marker, driver, times } = view;
  const live = view.podsIn(namespace).map((pod) => ({ pod, mounts: view.mountsOf(pod) }));
  return [...synced].flatMap(([name, one]) =>
    isRecorded(one) ? [[name, claimOnSynced(one, marker, live, choice, driver, times.nowMs)] as const] : [],
  );
}

/** After a refresh that is due, a sync may still take a while. */
const LATE_SYNC_MS = 60_000;

function externalClaim(external: ExternalSecret, { marker, times: { movedAtMs } }: ClusterView): SecretClaim {
  const { name, refresh, refreshedAtMs, syncedResourceVersion } = external;
  const sync = syncOf(external, marker);
  const lateMs = refresh.kind === 'periodic' ? refresh.everyMs + LATE_SYNC_MS : Number.POSITIVE_INFINITY;
  return {
    kind: 'external',
    name,
    synced: sync.kind === 'synced' ? { askedAtMs: sync.askedAtMs, refreshedAtMs } : undefined,
    syncedResourceVersion,
    doubtfulUntilMs: movedAtMs === undefined ? undefined : movedAtMs + lateMs,
  };
}

/** Only what keeps a mount from coming is worth a word. */
function driverNote({ phase }: Pod, { driver }: ClusterView): string | undefined {
  if (driver === undefined) return undefined;
  const { wanted, ready } = driver.nodes;
  if (ready < wanted) return ` (the CSI driver is ready on ${ready} of ${wanted} nodes)`;
  return phase === 'Running' && driver.rotation === undefined ? ' (the rotation of the CSI driver is off)' : undefined;
}

const UNRECORDED =
  'no record tells with which version: name the secret itself in the class, not a parameter or a failover to another secret';

/** What a pod, or a template of pods, has of the secret that no record tells about, in words that follow its name. */
export function untoldBy(used: Used, steering: Steering, view: ClusterView): readonly string[] {
  const choice = choicesOf(used, steering, view).get('csi-environment');
  return [
    ...used.unreadable.map(({ name, why }) => `mounts ${name}, which names the secret and cannot be read: ${why}`),
    ...[...used.synced].flatMap(([name, one]) => {
      const refused = choice?.refused ?? (isRecorded(one) ? undefined : UNRECORDED);
      if (refused === undefined) return [];
      const isFile = used.secrets.every((reference) => reference.name !== name || reference.as === 'file');
      const what = isFile ? 'files' : 'its environment';
      return `has ${what} from Secret ${name}, which the CSI driver writes and Rekey may not read, and ${refused}`;
    }),
  ];
}

/** That a class is mounted by `subPath`, only its pods show. */
export function mountsBySubPath({ containers }: Pod, { classes }: Used): boolean {
  return containers.some(({ mounts }) =>
    mounts.some(({ secretProviderClass, subPath }) => subPath && classes.has(secretProviderClass)),
  );
}
