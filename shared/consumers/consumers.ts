import type {
  CronJob,
  ExternalSecret,
  ExternalStore,
  Marker,
  Mount,
  Pod,
  SecretProviderClass,
  Workload,
  WorkloadKind,
} from '../cluster/port.ts';
import { WORKLOAD_KINDS } from '../cluster/port.ts';
import type { ConsumerProof, ConsumerRef, Unproved } from '../operations/events.ts';
import { mayUse, objectsOf, refersTo, type SecretIdentity, type Use, useOf } from './matching.ts';
import type { ForceSync } from './plan.ts';
import { type Claim, judgePod, type Verdict } from './proof.ts';

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

const DEFAULT_WAVE = 1;

/** What is known before any pod is looked at: enough to say in which namespaces to look. */
export type Outline = Omit<Snapshot, 'pods' | 'mounts'>;

/** The namespaces whose pods have to be looked at. */
export function namespacesUsing(secret: SecretIdentity, { cluster, classes, workloads }: Outline): ReadonlySet<string> {
  const { uses, unreadable } = usesByClass(secret, classes, cluster.region);
  const byClass = [...[...uses.values()].map(({ spc }) => spc), ...unreadable.values()].map(
    ({ namespace }) => namespace,
  );
  const named = workloads.filter((one) => isNamed(secret, one, cluster.region)).map(({ namespace }) => namespace);
  return new Set([...byClass, ...named]);
}

/** Every reference to a secret that a cluster's classes and workloads hold: names and ARNs. */
export function secretsNamed({ cluster, classes, workloads }: Outline): ReadonlySet<string> {
  const names = new Set<string>();
  for (const spc of classes) {
    const parsed = objectsOf(spc, cluster.region);
    if (parsed.kind === 'malformed') continue;
    for (const { objectName, failover } of parsed.objects) {
      names.add(objectName);
      if (failover !== undefined) names.add(failover.objectName);
    }
  }
  for (const workload of workloads) for (const name of namesIn(workload)) names.add(name);
  return names;
}

/** Who uses the secret in one cluster, and what each of their live pods proves about the marker's version. */
export function consumersOf(secret: SecretIdentity, marker: Marker, snapshot: Snapshot): Consumers {
  const { cluster, classes, workloads } = snapshot;
  const { uses, unreadable, synced, faults } = usesByClass(secret, classes, cluster.region);
  const mounts = Map.groupBy(snapshot.mounts, ({ namespace, pod }) => `${namespace}/${pod}`);
  const live = snapshot.pods.filter(({ phase }) => phase !== 'Succeeded' && phase !== 'Failed');
  const podsByController = Map.groupBy(live, ({ namespace, name, controller }) =>
    idOf(controller?.kind ?? 'Pod', namespace, controller?.name ?? name),
  );

  const consumers: Consumer[] = [];
  const pinned: Unproved[] = [];
  const allFaults: Fault[] = [...faults];

  const usesIn = (namespace: string, names: readonly string[]) =>
    new Map(
      names.flatMap((name) => {
        const found = uses.get(`${namespace}/${name}`);
        return found ? [[name, found.uses] as const] : [];
      }),
    );
  /** What a pod, or a template of pods, has of the secret that no record tells about. */
  const unrecorded = (one: Pick<Pod, 'namespace' | 'secrets' | 'secretProviderClasses'>): readonly string[] => [
    ...one.secretProviderClasses.flatMap((name) => {
      const spc = unreadable.get(`${one.namespace}/${name}`);
      return spc === undefined ? [] : [`mounts ${name}, which names the secret and cannot be read: ${spc.why}`];
    }),
    ...[...new Set(one.secrets.map(({ name }) => name))]
      .filter((name) => synced.has(`${one.namespace}/${name}`))
      .map(
        (name) =>
          `has its environment from Secret ${name}, which the CSI driver updates on its own and no record tells about: restart it once that Secret is fresh, or mount files instead`,
      ),
  ];
  const judged = (pods: readonly Pod[], claimOf: (pod: Pod) => Claim | undefined): JudgedPod[] =>
    pods.flatMap((pod) => {
      const claim = claimOf(pod);
      return claim ? [{ pod, verdict: judgePod(pod, mounts.get(`${pod.namespace}/${pod.name}`) ?? [], claim) }] : [];
    });

  for (const workload of workloads) {
    const { kind, namespace, name } = workload;
    const ref = { cluster: cluster.name, kind, namespace, name };
    const named = isNamed(secret, workload, cluster.region);
    const used = usesIn(namespace, workload.secretProviderClasses);
    for (const [spc, to] of pinsOf(used)) pinned.push({ ...ref, why: `${spc} pins the secret to ${to}` });
    const untold = unrecorded(workload);
    if (!named && !follows(used) && untold.length === 0) continue;

    const steering = steeringOf(workload);
    for (const why of steering.faults)
      allFaults.push({ where: `${cluster.name}: ${kind} ${namespace}/${name}`, why, consumer: ref });
    const id = idOf(kind, namespace, name);
    const pods = judged(podsByController.get(id) ?? [], (pod) =>
      claim(marker, usesIn(namespace, pod.secretProviderClasses), named, steering.mode, unrecorded(pod)),
    );
    podsByController.delete(id);
    consumers.push({
      ref,
      workload,
      mode: steering.mode,
      wave: steering.wave,
      source: { kind: 'fresh' },
      pods,
      unprovable: unprovableOf(pods) ?? untold.map((why) => `it ${why}`)[0],
      leftAlone: leftAloneOf(used, named, steering.mode),
    });
  }

  for (const pods of podsByController.values()) {
    const [{ namespace, name, controller } = { namespace: '', name: '', controller: undefined }] = pods;
    const ref = { cluster: cluster.name, kind: controller?.kind ?? 'Pod', namespace, name: controller?.name ?? name };
    const used = usesIn(
      namespace,
      pods.flatMap((pod) => pod.secretProviderClasses),
    );
    const byWorkload = WORKLOAD_KINDS.includes(ref.kind as WorkloadKind);
    if (!byWorkload)
      for (const [spc, to] of pinsOf(used)) pinned.push({ ...ref, why: `${spc} pins the secret to ${to}` });
    const judgements = judged(pods, (pod) =>
      claim(marker, usesIn(namespace, pod.secretProviderClasses), false, 'off', unrecorded(pod)),
    );
    if (judgements.length === 0) continue;
    consumers.push({
      ref,
      workload: undefined,
      mode: 'off',
      wave: DEFAULT_WAVE,
      source: { kind: 'fresh' },
      pods: judgements,
      unprovable: unprovableOf(judgements),
      leftAlone: undefined,
    });
  }
  return { consumers, syncs: [], pinned, faults: allFaults };
}

type UsesByName = ReadonlyMap<string, readonly Use[]>;

function usesByClass(secret: SecretIdentity, classes: readonly SecretProviderClass[], region: string) {
  const uses = new Map<string, { readonly spc: SecretProviderClass; readonly uses: readonly Use[] }>();
  /** Classes that may use the secret, and why nobody can say. */
  const unreadable = new Map<string, { readonly namespace: string; readonly why: string }>();
  /** Namespace and name of each Kubernetes Secret that holds what follows the secret. */
  const synced = new Set<string>();
  const faults: { where: string; why: string }[] = [];
  for (const spc of classes) {
    const parsed = objectsOf(spc, region);
    const key = `${spc.namespace}/${spc.name}`;
    if (parsed.kind === 'malformed') {
      faults.push({ where: `SecretProviderClass ${key}`, why: parsed.why });
      if (!mayUse(spc, secret)) continue;
      unreadable.set(key, { namespace: spc.namespace, why: parsed.why });
      for (const { name } of spc.syncedSecrets) synced.add(`${spc.namespace}/${name}`);
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
    for (const one of spc.syncedSecrets)
      if (one.files.some((file) => files.has(file))) synced.add(`${spc.namespace}/${one.name}`);
  }
  return { uses, unreadable, synced, faults };
}

function unprovableOf(pods: readonly JudgedPod[]): string | undefined {
  return pods.flatMap(({ verdict }) => (verdict.kind === 'unprovable' ? [verdict.why] : []))[0];
}

/** What a pod with these uses has to show; undefined when it does not use the secret, or only a pinned version. */
function claim(
  marker: Marker,
  used: UsesByName,
  named: boolean,
  mode: Mode,
  unprovable: readonly string[],
): Claim | undefined {
  if (!named && !follows(used) && unprovable.length === 0) return undefined;
  return {
    marker,
    ids: new Map([...used].map(([spc, uses]) => [spc, uses.flatMap((use) => (use.kind === 'follows' ? use.ids : []))])),
    needsMarker: needsMarker(used, named),
    rereads: mode === 'annotate',
    unprovable,
  };
}

function leftAloneOf(used: UsesByName, named: boolean, mode: Mode): string | undefined {
  if (!named && !follows(used)) return 'it mounts no readable class with the secret, so Rekey does not roll it';
  // No new pod comes to carry the marker, and no record tells: it would wait for what cannot come.
  if (mode === 'annotate' && needsMarker(used, named))
    return 'rekey.dev/mode is annotate, where only a record of the driver can prove it: use restart';
  return undefined;
}

/** Whether some use is recorded nowhere, so that only a pod made from the marked template proves it. */
function needsMarker(used: UsesByName, named: boolean): boolean {
  return named || [...used.values()].flat().some(({ kind }) => kind === 'unrecorded');
}

function follows(used: UsesByName): boolean {
  return [...used.values()].flat().some(({ kind }) => kind !== 'pinned');
}

function* pinsOf(used: UsesByName): Iterable<readonly [spc: string, to: string]> {
  for (const [spc, uses] of used) for (const use of uses) if (use.kind === 'pinned') yield [spc, use.to];
}

/** `rekey.dev/secrets`: names and ARNs, set apart by commas or blanks. */
function namesIn(workload: Workload): readonly string[] {
  return (workload.annotations.get(SECRETS) ?? '').split(/[\s,]+/).filter((name) => name !== '');
}

function isNamed(secret: SecretIdentity, workload: Workload, region: string): boolean {
  return namesIn(workload).some((name) => refersTo(name, region, secret));
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
  return { mode: known ? mode : 'off', wave: counted ? Number(wave) : DEFAULT_WAVE, faults };
}

function idOf(kind: string, namespace: string, name: string): string {
  return `${kind}/${namespace}/${name}`;
}
