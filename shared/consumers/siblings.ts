import type { Marker } from '../cluster/port.ts';
import { hasCode } from '../operations/errors.ts';
import { CURRENT, PENDING, type SecretDescription, type SecretStore, versionWithStage } from '../secrets/port.ts';
import { secretsNamed } from './manifests.ts';
import { markerOf } from './marker.ts';
import type { Snapshot } from './observe.ts';
import type { Mark } from './plan.ts';
import { refersTo } from './references.ts';

/** The other secrets of a workload: new pods get their current versions as well. */
export interface Siblings {
  readonly markers: readonly Marker[];
  /** One whose AWSCURRENT is about to move. */
  readonly rotating: string | undefined;
}

const ALONE: Siblings = { markers: [], rotating: undefined };

/** How long a workload waits for a sibling: no longer than the four steps of a rotation usually take. */
export const SIBLING_WAIT_MS = 30_000;

/**
 * Secrets of one workload are often rotated at the same hour. Its one restart then serves them all: it is marked for each,
 * and one that is being rotated at this moment is waited for.
 * @param mayWait whether there is time for that
 */
export function siblingsAmong(
  { secret, snapshots }: { readonly secret: SecretDescription; readonly snapshots: readonly Snapshot[] },
  secrets: Pick<SecretStore, 'describe'>,
  mayWait: boolean,
): (mark: Mark) => Promise<Siblings> {
  const known = new Map<string, Promise<SecretDescription | undefined>>();
  const describeOnce = (name: string) => {
    const description = known.get(name) ?? describeLive(name, secrets).catch(() => undefined);
    known.set(name, description);
    return description;
  };
  return async ({ cluster, workload, where, again }) => {
    const snapshot = snapshots.find((one) => one.cluster.name === cluster);
    if (snapshot === undefined || where === 'object') return ALONE;
    const named = secretsNamed({
      ...snapshot,
      cronJobs: [],
      // Not those that come by a Kubernetes Secret: it may not have their current versions yet.
      externalSecrets: [],
      classes: snapshot.classes.filter(
        ({ namespace, name, syncedSecrets }) =>
          namespace === workload.namespace &&
          workload.secretProviderClasses.includes(name) &&
          !syncedSecrets.some((synced) => workload.secrets.some((one) => one.name === synced.name)),
      ),
      workloads: [workload],
    });
    const others = [...named].filter((name) => !refersTo(name, snapshot.cluster.region, secret));
    const described = (await Promise.all(others.map(describeOnce))).filter((one) => one !== undefined);
    return {
      markers: described.flatMap((one) => {
        const versionId = versionWithStage(one, CURRENT);
        return versionId === undefined ? [] : [markerOf(one, versionId)];
      }),
      rotating: mayWait && !again ? described.find(isRotating)?.name : undefined,
    };
  };
}

function isRotating(secret: SecretDescription): boolean {
  const pending = versionWithStage(secret, PENDING);
  return pending !== undefined && pending !== versionWithStage(secret, CURRENT);
}

/** Undefined when it does not exist, or is about to be deleted. */
export async function describeLive(
  secretId: string,
  secrets: Pick<SecretStore, 'describe'>,
): Promise<SecretDescription | undefined> {
  try {
    const secret = await secrets.describe(secretId);
    return secret.deletedAtMs === undefined ? secret : undefined;
  } catch (thrown) {
    if (hasCode(thrown, 'SECRET_NOT_FOUND')) return undefined;
    throw thrown;
  }
}
