import type { Marker } from '../cluster/port.ts';
import type { SecretDescription } from '../secrets/port.ts';
import type { SecretOptions } from '../secrets/tags.ts';
import { type Consumers, consumersOf } from './consumers.ts';
import { regionsReadBy } from './manifests.ts';
import type { Observation, Outline } from './observe.ts';
import type { Situation } from './plan.ts';
import type { Times } from './pod-uses.ts';

/** What is known of one secret. */
export interface Known extends Observation, Times, Pick<Situation, 'rolled'> {
  readonly secret: SecretDescription;
  readonly options: SecretOptions;
  /** Of the version whose proof is asked for. */
  readonly marker: Marker;
}

/** What a plan is made from, and all else that was found in the clusters. */
export type SecretSituation = Situation & Consumers & { readonly behind: ReadonlyMap<string, string> };

/** How one secret stands in all clusters. */
export function situationOf(known: Known): SecretSituation {
  const { secret, options, marker, snapshots, unseen, rolled, nowMs } = known;
  const each = snapshots.map((snapshot) => consumersOf(secret, marker, snapshot, known));
  return {
    consumers: each.flatMap(({ consumers }) => consumers),
    syncs: each.flatMap(({ syncs }) => syncs),
    pinned: each.flatMap(({ pinned }) => pinned),
    faults: each.flatMap(({ faults }) => faults),
    marker,
    options,
    ...rollBy(secret, options),
    unseen,
    behind: regionsBehind(secret, snapshots),
    ...(rolled !== undefined && { rolled }),
    nowMs,
  };
}

/** Clusters that read a replica which does not have the current version yet, and why. */
function regionsBehind(secret: SecretDescription, snapshots: readonly Outline[]): ReadonlyMap<string, string> {
  const behind = [...(secret.replicas ?? [])].filter(([, status]) => status !== 'InSync');
  if (behind.length === 0) return new Map();
  return new Map(
    snapshots.flatMap((snapshot): (readonly [string, string])[] => {
      const regions = regionsReadBy(secret, snapshot);
      const [region, status] = behind.find(([one]) => regions.has(one)) ?? [];
      if (region === undefined) return [];
      const action = status === 'Failed' ? ': look at its status in Secrets Manager' : '';
      return [[snapshot.cluster.name, `the replica in ${region} is ${status}${action}`]];
    }),
  );
}

/**
 * From when on a window keeps no roll back. A single user's old password is refused already; with two users it lives
 * until the next rotation (Secrets Manager User Guide, "Rotation strategies"), and a roll takes its time.
 */
function rollBy(
  { rotationEnabled, nextRotationMs }: SecretDescription,
  { strategy, convergeWithinMs }: SecretOptions,
): Pick<Situation, 'rollByMs'> {
  if (strategy === 'single-user') return { rollByMs: 0 };
  if (rotationEnabled === false || nextRotationMs === undefined) return {};
  return { rollByMs: nextRotationMs - convergeWithinMs };
}
