import type { CsiDriver, Marker, Mount, Pod, SecretProviderClass } from '../cluster/port.ts';
import { againOf, has } from './marker.ts';
import type { SecretClaim } from './proof.ts';
import type { Choice } from './uses.ts';

/** A Kubernetes Secret that the CSI driver writes, and the ids of what it holds of the secret, by class. */
export interface WrittenSecret {
  readonly writers: readonly { readonly spc: SecretProviderClass; readonly ids: readonly string[] }[];
}

/** Whether each mount that it is written from has its version on record: without that, nothing tells what it holds. */
export function isRecorded({ writers }: WrittenSecret): boolean {
  return writers.every(({ ids }) => ids.length > 0);
}

/** From a record of the driver to the Secret that it writes then: many times what it takes. */
const WRITTEN_WITHIN_MS = 60_000;

/**
 * Since when a Secret that the driver writes holds the version for certain. Each pod that mounts one of its classes makes
 * the driver write what that pod has mounted, so all of them must have the version.
 * @param live pods of the namespace, those on their way out too, with what was recorded for them
 */
export function claimOnSynced(
  { writers }: WrittenSecret,
  marker: Marker,
  live: readonly { readonly pod: Pod; readonly mounts: readonly Mount[] }[],
  { first, restarts }: Choice,
  driver: CsiDriver | undefined,
  nowMs: number,
): SecretClaim {
  const twice = restarts === 2;
  /** A restart, or the second of two, comes once the driver has written it. */
  const waitsForDriver = first === 'driver' || twice;
  const records = writers.flatMap(({ spc, ids }) =>
    live
      .filter(({ pod }) => pod.secretProviderClasses.includes(spc.name))
      .map(({ pod, mounts }) => ({ pod, ids, mount: mounts.find((one) => one.secretProviderClass === spc.name) })),
  );
  const behind = records.find(({ ids, mount }) => ids.some((id) => mount?.versions.get(id) !== marker.versionId));
  if (behind !== undefined && waitsForDriver)
    return {
      kind: 'synced',
      behind: `pod ${behind.pod.name} has not mounted it, and the CSI driver writes the Secret from each mount`,
      early: undefined,
      sinceMs: undefined,
      twice,
    };
  // The second restart begins when it has been written; mounts of that restart bring nothing new.
  const writing = records.filter(({ pod }) => !twice || !has(pod.annotations, againOf(marker)));
  const mounts = writing.flatMap(({ mount }) => mount ?? []);
  const remounted = mounts.filter(({ changedAtMs, firstMountedAtMs }) => changedAtMs - firstMountedAtMs > 1_000);
  // Pods that had it from the start say nothing of those before them: then the driver's next look has to be waited for.
  const sinceMs =
    remounted.length > 0
      ? Math.max(...remounted.map(({ changedAtMs }) => changedAtMs)) + WRITTEN_WITHIN_MS
      : Math.max(0, ...mounts.map(({ firstMountedAtMs }) => firstMountedAtMs)) +
        (driver?.rotation?.everyMs ?? 0) +
        WRITTEN_WITHIN_MS;
  const isEarly = waitsForDriver && nowMs < sinceMs;
  return {
    kind: 'synced',
    behind: undefined,
    early: isEarly ? 'the CSI driver is about to write it' : undefined,
    sinceMs: remounted.length > 0 ? sinceMs : undefined,
    twice,
  };
}
