import type {
  CronJob,
  CsiDriver,
  ExternalSecret,
  ExternalStore,
  Marker,
  Mount,
  Pod,
  References,
  SecretProviderClass,
  Workload,
  WorkloadKind,
} from '../cluster/port.ts';
import { WORKLOAD_KINDS } from '../cluster/port.ts';
import type { ConsumerProof, ConsumerRef, Unproved } from '../operations/events.ts';
import { readsOf, type Stores, secretsRead, storesByKey, syncOf } from './external-secrets.ts';
import { has } from './marker.ts';
import { mayUse, objectsOf, refersTo, type SecretIdentity, type Use, useOf } from './matching.ts';
import type { ForceSync } from './plan.ts';
import { type Claim, judgePod, type SecretClaim, type Verdict } from './proof.ts';
import { claimOnSynced, isRecorded, type SyncedSecret } from './synced-secrets.ts';
import { type Choice, choiceFor, type How, type Steering } from './uses.ts';

/** What one look at one cluster saw. */
export interface Snapshot {
  readonly cluster: { readonly name: string; readonly region: string };
  readonly classes: readonly SecretProviderClass[];
  readonly workloads: readonly Workload[];
  readonly cronJobs: readonly CronJob[];
  readonly externalSecrets: readonly ExternalSecret[];
  readonly externalStores: readonly ExternalStore[];
  /** Of every namespace of {@link namespacesUsing}, at least. */
  readonly pods: readonly Pod[];
  readonly mounts: readonly Mount[];
}

export type Mode = ConsumerProof['mode'];

/** Something whose pods use the secret. */
export interface Consumer {
  readonly ref: ConsumerRef;
  /** Undefined for what Rekey never touches: a bare pod, a Job's pods, pods whose workload has dropped the secret. */
  readonly workload: Workload | undefined;
  readonly mode: Mode;
  readonly wave: number;
  /** The letters of its uses in docs/uses.md. */
  readonly letters: readonly Choice['use'][];
  /** Whether the version is where its pods take it from. */
  readonly source: Source;
  /** Its live pods that use the secret, and what they prove. */
  readonly pods: readonly JudgedPod[];
  /** Why it stays unproved when every record is right: part of what it has of the secret, no record tells about. */
  readonly unprovable: string | undefined;
  /** Why Rekey does not steer a workload that its owner left to Rekey. */
  readonly leftAlone: string | undefined;
}

/**
 * `awaited`: it will be there, by Rekey's doing or another's. `stale`: it will not, so that a restart would bring
 * nothing. `why` is a sentence for a person.
 */
export type Source =
  | { readonly kind: 'fresh' }
  | { readonly kind: 'awaited'; readonly why: string }
  | { readonly kind: 'stale'; readonly why: string };

export interface JudgedPod {
  readonly pod: Pod;
  readonly verdict: Verdict;
}

export interface Fault {
  /** The object, for a log. */
  readonly where: string;
  readonly why: string;
  /** Whose annotation it is. */
  readonly consumer?: ConsumerRef;
}

export interface Consumers {
  readonly consumers: readonly Consumer[];
  /** What has to be read again for the version to be where consumers take it from. */
  readonly syncs: readonly ForceSync[];
  /** Uses that never move. */
  readonly pinned: readonly Unproved[];
  /** Classes and annotations that cannot be read. */
  readonly faults: readonly Fault[];
}

const MODE = 'rekey.dev/mode';
const WAVE = 'rekey.dev/wave';
const SECRETS = 'rekey.dev/secrets';
/** On a workload with the update strategy OnDelete: {@link EVICT} has its pods of before replaced, one by one. */
export const ON_DELETE = 'rekey.dev/on-delete';
export const EVICT = 'evict';

const DEFAULT_WAVE = 1;

/** What is known of the time, apart from the cluster. */
export interface Times {
  readonly nowMs: number;
  /** When AWSCURRENT moved, as far as is known. Epoch milliseconds. */
  readonly movedAtMs?: number | undefined;
}

/** What is known before any pod is looked at: enough to say in which namespaces to look. */
export type Outline = Omit<Snapshot, 'pods' | 'mounts'>;

/** The namespaces whose pods have to be looked at. */
export function namespacesUsing(secret: SecretIdentity, outline: Outline): ReadonlySet<string> {
  const { cluster, workloads, cronJobs } = outline;
  const { uses, unreadable, external } = findUses(secret, outline);
  const found = [...[...uses.values()].map(({ spc }) => spc), ...unreadable.values(), ...external.values()];
  const named = [...workloads, ...cronJobs].filter((one) => isNamed(secret, one, cluster.region));
  return new Set([...found, ...named].map(({ namespace }) => namespace));
}

/** The Regions from which the cluster's pods get the secret: its own, and those that a class or a store names instead. */
export function regionsReadBy(secret: SecretIdentity, outline: Outline): ReadonlySet<string> {
  const { cluster, classes, externalSecrets, externalStores } = outline;
  const stores = storesByKey(externalStores);
  return new Set([
    cluster.region,
    ...classes.flatMap((spc) => {
      const parsed = objectsOf(spc, cluster.region);
      const objects = parsed.kind === 'malformed' ? [] : parsed.objects;
      return objects.flatMap((object) => (useOf(object, secret) === undefined ? [] : object.region));
    }),
    ...externalSecrets.flatMap((one) => readsOf(one, stores, secret, cluster.region).map(({ region }) => region)),
  ]);
}

/** Every reference to a secret that a cluster's manifests hold by name or ARN. */
export function secretsNamed(outline: Outline): ReadonlySet<string> {
  const { cluster, classes, workloads, cronJobs, externalSecrets, externalStores } = outline;
  const names = new Set<string>();
  for (const spc of classes) for (const name of secretsMounted(spc, cluster.region) ?? []) names.add(name);
  const stores = storesByKey(externalStores);
  for (const external of externalSecrets) for (const name of secretsRead(external, stores)) names.add(name);
  for (const one of [...workloads, ...cronJobs]) for (const name of namesIn(one)) names.add(name);
  return names;
}

/** The names and ARNs that a class has mounted; undefined when it cannot be read. */
export function secretsMounted(spc: SecretProviderClass, region: string): readonly string[] | undefined {
  const parsed = objectsOf(spc, region);
  if (parsed.kind === 'malformed') return undefined;
  return parsed.objects.flatMap(({ objectName, failover }) =>
    failover === undefined ? [objectName] : [objectName, failover.objectName],
  );
}

/**
 * Who uses the secret in one cluster, and what each of their live pods proves about the marker's version.
 * @param times absent: whatever has to pass has passed
 */
export function consumersOf(
  secret: SecretIdentity,
  marker: Marker,
  snapshot: Snapshot,
  times: Times = { nowMs: Number.POSITIVE_INFINITY },
): Consumers {
  const { cluster, workloads, cronJobs } = snapshot;
  const found = findUses(secret, snapshot);
  const mounts = Map.groupBy(snapshot.mounts, ({ namespace, pod }) => `${namespace}/${pod}`);
  const live = snapshot.pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed');
  const podsByController = Map.groupBy(live, ownerOf);
  const look: LookAt = {
    secret,
    marker,
    found,
    times,
    driver: workloads.find(({ csiDriver }) => csiDriver !== undefined)?.csiDriver,
    mountsOf: (pod) =>
      (mounts.get(`${pod.namespace}/${pod.name}`) ?? []).filter((one) => (one.podUid ?? pod.uid) === pod.uid),
    podsIn: (namespace) => live.filter((pod) => pod.namespace === namespace),
  };

  const consumers: Consumer[] = [];
  const pinned: Unproved[] = [];
  const faults: Fault[] = [...found.faults];
  const syncs = new Map<string, ForceSync>();

  const add = (
    ref: ConsumerRef,
    workload: Workload | undefined,
    { mode, wave }: Pick<Consumer, 'mode' | 'wave'>,
    steering: Steering,
    /** What new pods will get it by; undefined when only pods tell. */
    template: (References & { readonly named: boolean }) | undefined,
    pods: readonly Pod[],
  ) => {
    const { namespace } = ref;
    const judged = pods.flatMap((pod): JudgedPod[] => {
      const used = usedBy(pod, namespace, template?.named === true, look);
      const claim = claimOf(used, namespace, steering, mode, pod, look);
      return claim === undefined ? [] : [{ pod, verdict: judgePod(pod, look.mountsOf(pod), claim) }];
    });
    const used = usedBy(template ?? joined(pods), namespace, template?.named === true, look);
    if (template === undefined ? judged.length === 0 : !isUsed(used)) return;
    const source = sourceOf(used, namespace, steering, judged, look);
    // What nobody waits for is not asked for: a workload that is switched off, a pod that will not be replaced.
    if (steering !== 'left') askFor(used, ref, syncs, look);
    consumers.push({
      ref,
      workload,
      mode,
      wave,
      letters: lettersOf(used, steering, judged, look),
      source,
      pods: judged,
      unprovable: unprovableOf(judged) ?? untoldBy(used, steering, look).map((why) => `it ${why}`)[0],
      leftAlone: workload === undefined ? undefined : leftAloneOf(workload, used, steering, judged, look),
    });
  };

  for (const workload of workloads) {
    const { kind, namespace, name } = workload;
    const ref = { cluster: cluster.name, kind, namespace, name };
    const named = isNamed(secret, workload, cluster.region);
    const used = usedBy(workload, namespace, named, look);
    for (const [by, to] of used.pins) pinned.push({ ...ref, why: `${by} pins the secret to ${to}` });
    if (!isUsed(used)) continue;

    const steering = steeringOf(workload);
    for (const why of steering.faults)
      faults.push({ where: `${cluster.name}: ${kind} ${namespace}/${name}`, why, consumer: ref });
    const id = idOf(kind, namespace, name);
    const pods = (podsByController.get(id) ?? []).map((pod) => restartedPod(pod, workload));
    podsByController.delete(id);
    add(ref, workload, steering, steering.mode === 'off' ? 'left' : steering.mode, { ...workload, named }, pods);
  }

  const pinning = new Set<string>();
  for (const job of cronJobs) {
    const { namespace, name } = job;
    const id = idOf('CronJob', namespace, name);
    const ref = { cluster: cluster.name, kind: 'CronJob', namespace, name };
    const named = isNamed(secret, job, cluster.region);
    const used = usedBy(job, namespace, named, look);
    for (const [by, to] of used.pins) pinned.push({ ...ref, why: `${by} pins the secret to ${to}` });
    if (used.pins.length > 0) pinning.add(id);
    // Runs from before it dropped the secret go on with it, as pods of any other do.
    if (!isUsed(used)) continue;
    const pods = podsByController.get(id) ?? [];
    podsByController.delete(id);
    add(ref, undefined, UNTOUCHED, 'run', { ...job, named }, pods);
  }

  for (const [id, pods] of podsByController) {
    const [{ namespace, name, controller } = { namespace: '', name: '', controller: undefined }] = pods;
    const ref = { cluster: cluster.name, kind: controller?.kind ?? 'Pod', namespace, name: controller?.name ?? name };
    if (!WORKLOAD_KINDS.includes(ref.kind as WorkloadKind) && !pinning.has(id))
      for (const [by, to] of usedBy(joined(pods), namespace, false, look).pins)
        pinned.push({ ...ref, why: `${by} pins the secret to ${to}` });
    add(ref, undefined, UNTOUCHED, 'left', undefined, pods);
  }
  return { consumers, syncs: [...syncs.values()], pinned, faults };
}

const UNTOUCHED = { mode: 'off', wave: DEFAULT_WAVE } as const;

/** All that one look at one cluster is made with. */
interface LookAt {
  readonly secret: SecretIdentity;
  readonly marker: Marker;
  readonly found: Found;
  readonly times: Times;
  readonly driver: CsiDriver | undefined;
  readonly mountsOf: (pod: Pod) => readonly Mount[];
  readonly podsIn: (namespace: string) => readonly Pod[];
}

/** What a cluster's manifests have to do with the secret. Keys are namespace and name. */
interface Found {
  readonly cluster: string;
  readonly uses: ReadonlyMap<string, { readonly spc: SecretProviderClass; readonly uses: readonly Use[] }>;
  /** Classes that may use the secret, and why nobody can say. */
  readonly unreadable: ReadonlyMap<string, { readonly namespace: string; readonly why: string }>;
  /** Kubernetes Secrets that the driver writes what follows the secret into. */
  readonly synced: ReadonlyMap<string, SyncedSecret>;
  /** Kubernetes Secrets that an ExternalSecret writes what follows the secret into. */
  readonly external: ReadonlyMap<string, ExternalSecret>;
  /** Kubernetes Secrets that an ExternalSecret writes a pinned version into. */
  readonly pinnedExternal: ReadonlyMap<string, { readonly name: string; readonly to: string }>;
  readonly faults: Consumers['faults'];
}

export function findUses(
  secret: SecretIdentity,
  { cluster, classes, externalSecrets, externalStores }: Outline,
): Found {
  const uses = new Map<string, { readonly spc: SecretProviderClass; readonly uses: readonly Use[] }>();
  const unreadable = new Map<string, { readonly namespace: string; readonly why: string }>();
  const synced = new Map<string, SyncedSecret>();
  const faults: { where: string; why: string }[] = [];
  const writes = (spc: SecretProviderClass, name: string, ids: readonly string[]) => {
    const key = `${spc.namespace}/${name}`;
    synced.set(key, { writers: [...(synced.get(key)?.writers ?? []), { spc, ids }] });
  };
  for (const spc of classes) {
    const parsed = objectsOf(spc, cluster.region);
    const key = `${spc.namespace}/${spc.name}`;
    if (parsed.kind === 'malformed') {
      faults.push({ where: `SecretProviderClass ${key}`, why: parsed.why });
      if (!mayUse(spc, secret)) continue;
      unreadable.set(key, { namespace: spc.namespace, why: parsed.why });
      for (const { name } of spc.syncedSecrets) writes(spc, name, []);
      continue;
    }
    const found: Use[] = [];
    const files = new Set<string>();
    for (const object of parsed.objects) {
      const use = useOf(object, secret);
      if (use === undefined) continue;
      found.push(use);
      if (use.kind !== 'pinned') for (const id of object.ids) files.add(id);
    }
    if (found.length > 0) uses.set(key, { spc, uses: found });
    const recorded = found.flatMap((use) => (use.kind === 'follows' ? use.ids : []));
    for (const one of spc.syncedSecrets) if (one.files.some((file) => files.has(file))) writes(spc, one.name, recorded);
  }

  const external = new Map<string, ExternalSecret>();
  const pinnedExternal = new Map<string, { readonly name: string; readonly to: string }>();
  const stores: Stores = storesByKey(externalStores);
  for (const one of externalSecrets) {
    if (one.target === undefined) continue;
    const key = `${one.namespace}/${one.target}`;
    for (const { use } of readsOf(one, stores, secret, cluster.region)) {
      if (use.kind === 'unrecorded') external.set(key, one);
      else pinnedExternal.set(key, { name: one.name, to: use.to });
    }
  }
  return { cluster: cluster.name, uses, unreadable, synced, external, pinnedExternal, faults };
}

/** What a pod, or a template of pods, has of the secret. */
interface Used {
  /** Class → how it uses the secret. */
  readonly classes: ReadonlyMap<string, readonly Use[]>;
  readonly unreadable: readonly { readonly name: string; readonly why: string }[];
  readonly synced: ReadonlyMap<string, SyncedSecret>;
  readonly external: ReadonlyMap<string, ExternalSecret>;
  readonly named: boolean;
  readonly pins: readonly (readonly [by: string, to: string])[];
  readonly secrets: References['secrets'];
}

function usedBy({ secretProviderClasses, secrets }: References, namespace: string, named: boolean, look: LookAt): Used {
  const { uses, unreadable, synced, external, pinnedExternal } = look.found;
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
function isUsed(used: Used): boolean {
  const { unreadable, synced, external } = used;
  return isFollowed(used) || unreadable.length > 0 || synced.size > 0 || external.size > 0;
}

/** Whether a new pod would get the version by something that can be read. */
function isFollowed({ classes, external, named }: Used): boolean {
  return named || external.size > 0 || [...classes.values()].flat().some(({ kind }) => kind !== 'pinned');
}

/** Every use, with what follows from it. */
function choicesOf({ classes, synced, external, named, secrets }: Used, steering: Steering, { driver }: LookAt) {
  const hows: How[] = [...classes.values()].flat().flatMap((use): How[] => {
    if (use.kind === 'pinned') return [];
    return [use.kind === 'follows' ? 'csi-file' : 'csi-unrecorded'];
  });
  if (named) hows.push('named');
  if (synced.size > 0) hows.push('csi-environment');
  for (const { name, as } of secrets)
    if (external.has(name)) hows.push(as === 'file' ? 'external-file' : 'external-environment');
  return [...new Set(hows)].map((how): readonly [How, Choice] => [how, choiceFor(how, steering, driver)]);
}

/** What a pod has to show; undefined when it does not use the secret, or only a pinned version. */
function claimOf(
  used: Used,
  namespace: string,
  steering: Steering,
  mode: Mode,
  pod: Pod,
  look: LookAt,
): Claim | undefined {
  const { classes, external } = used;
  if (!isUsed(used)) return undefined;
  const choices = new Map(choicesOf(used, steering, look));
  const choice = choices.get('csi-environment');
  const isSure = choice !== undefined && choice.refused === undefined;
  const synced = isSure ? syncedClaims(used.synced, namespace, choice, look) : [];
  return {
    marker: look.marker,
    ids: new Map(
      [...classes].map(([spc, uses]) => [spc, uses.flatMap((use) => (use.kind === 'follows' ? use.ids : []))]),
    ),
    needsMarker: [...choices.values()].some(({ evidence }) => evidence === 'template'),
    rereads: mode === 'annotate',
    secrets: new Map([...synced, ...[...external].map(([name, one]) => [name, externalClaim(one, look)] as const)]),
    unprovable: untoldBy(used, steering, look),
    driver: driverNote(pod, look),
  };
}

function syncedClaims(synced: Used['synced'], namespace: string, choice: Choice, look: LookAt) {
  const { marker, driver, times } = look;
  const live = look.podsIn(namespace).map((pod) => ({ pod, mounts: look.mountsOf(pod) }));
  return [...synced].flatMap(([name, one]) =>
    isRecorded(one) ? [[name, claimOnSynced(one, marker.versionId, live, choice, driver, times.nowMs)] as const] : [],
  );
}

/** After a refresh that is due, a sync may still take a while. */
const LATE_SYNC_MS = 60_000;

function externalClaim(external: ExternalSecret, { marker, times: { movedAtMs } }: LookAt): SecretClaim {
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
function driverNote({ phase }: Pod, { driver }: LookAt): string | undefined {
  if (driver === undefined) return undefined;
  const { wanted, ready } = driver.nodes;
  if (ready < wanted) return ` (the CSI driver is ready on ${ready} of ${wanted} nodes)`;
  return phase === 'Running' && driver.rotation === undefined ? ' (the rotation of the CSI driver is off)' : undefined;
}

const UNRECORDED =
  'no record tells with which version: name the secret itself in the class, not a parameter or a failover to another secret';

/** What a pod, or a template of pods, has of the secret that no record tells about, in words that follow its name. */
function untoldBy(used: Used, steering: Steering, look: LookAt): readonly string[] {
  const choice = new Map(choicesOf(used, steering, look)).get('csi-environment');
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

/** Whether the version is where new pods take it from. */
function sourceOf(
  used: Used,
  namespace: string,
  steering: Steering,
  judged: readonly JudgedPod[],
  look: LookAt,
): Source {
  const states = [...used.external.values()].map((one) => syncOf(one, look.marker));
  const never = states.find(({ kind }) => kind === 'never');
  if (never !== undefined && never.kind !== 'synced') return { kind: 'stale', why: never.why };
  const open = states.find(({ kind }) => kind !== 'synced');
  if (open !== undefined && open.kind !== 'synced') return { kind: 'awaited', why: open.why };
  const choice = new Map(choicesOf(used, steering, look)).get('csi-environment');
  if (choice === undefined || choice.refused !== undefined) return { kind: 'fresh' };
  if (judged.every(({ verdict }) => verdict.kind === 'proved')) return { kind: 'fresh' };
  // The first of two restarts brings every mount to the version; only the second has to wait for that.
  const isFirst = choice.restarts === 2 && judged.some(({ pod }) => !has(pod.annotations, look.marker));
  if (isFirst) return { kind: 'fresh' };
  for (const [name, claim] of syncedClaims(used.synced, namespace, choice, look)) {
    const why = claim.kind === 'synced' ? (claim.behind ?? claim.early) : undefined;
    if (why !== undefined)
      return { kind: 'awaited', why: `Secret ${name} does not have the version for certain: ${why}` };
  }
  return { kind: 'fresh' };
}

function askFor(used: Used, ref: ConsumerRef, syncs: Map<string, ForceSync>, { marker }: LookAt): void {
  for (const external of used.external.values()) {
    if (syncOf(external, marker).kind !== 'due') continue;
    const { kind, name } = external.steering;
    const id = kind === 'ExternalSecret' ? `${external.namespace}/${name}` : name;
    const asked = syncs.get(`${kind} ${id}`);
    syncs.set(`${kind} ${id}`, {
      kind: 'force-sync',
      cluster: ref.cluster,
      externalSecret: asked?.externalSecret ?? external,
      marker,
      consumers: [...(asked?.consumers ?? []), ref],
    });
  }
}

function unprovableOf(pods: readonly JudgedPod[]): string | undefined {
  return pods.flatMap(({ verdict }) => (verdict.kind === 'unprovable' ? [verdict.why] : []))[0];
}

function leftAloneOf(
  { deleting }: Workload,
  used: Used,
  steering: Steering,
  judged: readonly JudgedPod[],
  look: LookAt,
): string | undefined {
  if (deleting) return 'it is being deleted, so that nothing replaces its pods';
  const synced = new Map(choicesOf(used, steering, look)).get('csi-environment');
  const renewed = synced !== undefined && synced.refused === undefined;
  if (!isFollowed(used) && !renewed) return 'it mounts no readable class with the secret, so Rekey does not roll it';
  // No new pod comes to carry the marker, and no record tells: it would wait for what cannot come.
  if (steering !== 'annotate') return undefined;
  const choices = choicesOf(used, steering, look).map(([, choice]) => choice);
  if (mountsBySubPath(used, judged)) choices.push(choiceFor('csi-sub-path', steering, look.driver));
  return choices.map(({ refused }) => refused).find((refused) => refused !== undefined);
}

/** That a class is mounted by `subPath`, only its pods show. */
function mountsBySubPath({ classes }: Used, judged: readonly JudgedPod[]): boolean {
  return judged.some(({ pod }) =>
    pod.containers.some(({ mounts }) =>
      mounts.some(({ secretProviderClass, subPath }) => subPath && classes.has(secretProviderClass)),
    ),
  );
}

function lettersOf(used: Used, steering: Steering, judged: readonly JudgedPod[], look: LookAt): Consumer['letters'] {
  const letters = choicesOf(used, steering, look).map(([, { use }]) => use);
  if (mountsBySubPath(used, judged)) letters.push(choiceFor('csi-sub-path', steering, look.driver).use);
  return [...new Set(letters)].sort();
}

/** What a Rollout's pods have from its last restart, which changes no template. */
function restartedPod(pod: Pod, { kind, restartedAtMs, templateAnnotations }: Workload): Pod {
  if (kind !== 'Rollout' || restartedAtMs === undefined || pod.createdAtMs < restartedAtMs) return pod;
  return { ...pod, annotations: new Map([...pod.annotations, ...templateAnnotations]) };
}

function joined(pods: readonly Pod[]): References {
  return {
    secretProviderClasses: [...new Set(pods.flatMap((pod) => pod.secretProviderClasses))],
    secrets: pods.flatMap(({ secrets }) => secrets),
  };
}

/** `rekey.dev/secrets`: names and ARNs, set apart by commas or blanks. */
export function namesIn({ annotations }: Pick<Workload, 'annotations'>): readonly string[] {
  return (annotations.get(SECRETS) ?? '').split(/[\s,]+/).filter((name) => name !== '');
}

function isNamed(secret: SecretIdentity, one: Pick<Workload, 'annotations'>, region: string): boolean {
  return namesIn(one).some((name) => refersTo(name, region, secret));
}

/** What the owner asks for. A word that is not understood leaves the workload alone: `of` may have meant `off`. */
function steeringOf({ annotations }: Workload): { mode: Mode; wave: number; faults: readonly string[] } {
  const faults: string[] = [];
  const mode = annotations.get(MODE) ?? 'restart';
  const known = mode === 'restart' || mode === 'annotate' || mode === 'off';
  if (!known) faults.push(`${MODE} is not restart, annotate or off: the workload is left alone`);
  const wave = annotations.get(WAVE) ?? String(DEFAULT_WAVE);
  const counted = /^\d{1,4}$/.test(wave);
  if (!counted) faults.push(`${WAVE} is not a whole number from 0 to 9999: taken as ${DEFAULT_WAVE}`);
  const onDelete = annotations.get(ON_DELETE) ?? EVICT;
  if (onDelete !== EVICT) faults.push(`${ON_DELETE} is not ${EVICT}: nothing is evicted`);
  return { mode: known ? mode : 'off', wave: counted ? Number(wave) : DEFAULT_WAVE, faults };
}

/** What made the pod, or the pod itself when nothing did, as {@link idOf} writes it. */
export function ownerOf({ namespace, name, controller }: Pod): string {
  return idOf(controller?.kind ?? 'Pod', namespace, controller?.name ?? name);
}

export function idOf(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}
