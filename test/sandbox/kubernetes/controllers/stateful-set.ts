import { type ControllerRevision, controllerOf, type Pod, type StatefulSet } from '../objects.ts';
import type { Client } from './client.ts';
import { isAvailable, isReady, isTerminating, podOf } from './pods.ts';
import { type Activity, type Again, Reconciler } from './reconciler.ts';
import { REVISION_LABEL, syncRevisions, templateOf, truncateRevisions } from './revisions.ts';

/**
 * Rolls stateful sets as the real controller does: pods with fixed names, created in order, replaced from the
 * highest ordinal down to the partition, one at a time, and standing still at a pod that is not healthy.
 */
export function startStatefulSetController(client: Client, activity: Activity): Reconciler {
  const reconciler = new Reconciler(activity, (namespace, name) => {
    const set = client.get('statefulsets', namespace, name);
    return set && reconcile(client, set);
  });
  return reconciler
    .source(
      client.watch('statefulsets', ({ object }) => {
        if (object) reconciler.enqueue(object.metadata.namespace ?? '', object.metadata.name);
      }),
    )
    .source(
      client.watch('pods', ({ object, previous }) => {
        const pod = object ?? previous;
        const owner = pod && controllerOf(pod);
        if (owner?.kind === 'StatefulSet') reconciler.enqueue(pod?.metadata.namespace ?? '', owner.name);
      }),
    );
}

interface Revisions {
  readonly current: ControllerRevision;
  readonly update: ControllerRevision;
}

function reconcile(client: Client, set: StatefulSet): Again {
  const all = syncRevisions(client, set);
  const update = all.at(-1);
  if (update === undefined) return undefined;
  const current = all.find((one) => one.metadata.name === set.status.currentRevision) ?? update;
  if (set.metadata.deletionTimestamp === undefined) advance(client, set, { current, update });
  const again = updateStatus(client, set, { current, update });
  const live = new Set([
    current.metadata.name,
    update.metadata.name,
    ...client.controlled('pods', set).map((pod) => revisionOf(pod)),
  ]);
  truncateRevisions(client, set, all, live);
  return again;
}

/** Does the next thing, and the ones after it only where order does not matter. */
function advance(client: Client, set: StatefulSet, revisions: Revisions): void {
  const { replicas, podManagementPolicy, updateStrategy } = set.spec;
  const inOrder = podManagementPolicy === 'OrderedReady';
  const pods = new Map(client.controlled('pods', set).map((pod) => [ordinalOf(set, pod), pod]));
  const healthy = (pod: Pod | undefined) => pod !== undefined && isHealthy(client, set, pod);

  for (let ordinal = 0; ordinal < replicas; ordinal++) {
    let pod = pods.get(ordinal);
    if (pod && (pod.status.phase === 'Failed' || pod.status.phase === 'Succeeded')) {
      if (!isTerminating(pod)) client.delete(pod);
      return;
    }
    if (pod === undefined) {
      pod = createPod(client, set, ordinal, revisions);
      if (inOrder) return;
      continue;
    }
    if (inOrder && !healthy(pod)) return;
  }

  const condemned = [...pods].filter(([ordinal]) => ordinal >= replicas).sort(([left], [right]) => right - left);
  for (const [, pod] of condemned) {
    if (!isTerminating(pod)) client.delete(pod);
    if (inOrder) return;
  }

  if (updateStrategy.type === 'OnDelete') return;
  const partition = updateStrategy.rollingUpdate?.partition ?? 0;
  for (let ordinal = replicas - 1; ordinal >= partition; ordinal--) {
    const pod = pods.get(ordinal);
    if (pod && revisionOf(pod) !== revisions.update.metadata.name && !isTerminating(pod)) {
      client.delete(pod);
      client.recordEvent(
        set,
        'Normal',
        'SuccessfulDelete',
        `delete Pod ${pod.metadata.name} in StatefulSet ${set.metadata.name} successful`,
      );
      return;
    }
    if (!healthy(pod)) return;
  }
}

function createPod(client: Client, set: StatefulSet, ordinal: number, revisions: Revisions): Pod | undefined {
  const { updateStrategy, serviceName } = set.spec;
  // Below the partition a pod comes back as it was.
  const below = updateStrategy.type === 'RollingUpdate' && ordinal < (updateStrategy.rollingUpdate?.partition ?? 0);
  const revision = below ? revisions.current : revisions.update;
  const name = `${set.metadata.name}-${ordinal}`;
  const input = podOf(
    set,
    templateOf(revision),
    { name },
    {
      [REVISION_LABEL]: revision.metadata.name,
      'statefulset.kubernetes.io/pod-name': name,
      'apps.kubernetes.io/pod-index': `${ordinal}`,
    },
  );
  const existing = client.get('pods', set.metadata.namespace, name);
  if (existing !== undefined) return existing;
  const spec = { ...templateOf(revision).spec, hostname: name, ...(serviceName ? { subdomain: serviceName } : {}) };
  const pod = client.create('pods', set.metadata.namespace, { ...input, spec: structuredClone(spec) });
  if (pod) {
    client.recordEvent(
      set,
      'Normal',
      'SuccessfulCreate',
      `create Pod ${name} in StatefulSet ${set.metadata.name} successful`,
    );
  }
  return pod;
}

function updateStatus(client: Client, set: StatefulSet, { current, update }: Revisions): Again {
  const minReadySeconds = set.spec.minReadySeconds ?? 0;
  const now = client.clock.now();
  const pods = client.controlled('pods', set);
  const ready = pods.filter((pod) => isReady(pod) && pod.status.phase === 'Running');
  const available = ready.filter((pod) => isAvailable(pod, minReadySeconds, now));
  const on = (revision: ControllerRevision) =>
    pods.filter((pod) => !isTerminating(pod) && revisionOf(pod) === revision.metadata.name).length;
  const updated = on(update);
  const finished =
    set.spec.updateStrategy.type === 'RollingUpdate' && updated === pods.length && ready.length === pods.length;
  const settled = finished && pods.length === set.spec.replicas ? update : current;
  const remaining = on(settled);
  client.editStatus(set, (draft) => {
    draft.status = {
      observedGeneration: set.metadata.generation,
      replicas: pods.length,
      ...(ready.length > 0 ? { readyReplicas: ready.length } : {}),
      availableReplicas: available.length,
      ...(remaining > 0 ? { currentReplicas: remaining } : {}),
      ...(updated > 0 ? { updatedReplicas: updated } : {}),
      currentRevision: settled.metadata.name,
      updateRevision: update.metadata.name,
      collisionCount: 0,
    };
  });
  return ready.length > available.length ? { afterMs: 1000, expected: true } : undefined;
}

function isHealthy(client: Client, set: StatefulSet, pod: Pod): boolean {
  return (
    pod.status.phase === 'Running' &&
    !isTerminating(pod) &&
    isAvailable(pod, set.spec.minReadySeconds ?? 0, client.clock.now())
  );
}

function ordinalOf(set: StatefulSet, pod: Pod): number {
  return Number(pod.metadata.name.slice(set.metadata.name.length + 1));
}

function revisionOf(pod: Pod): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? '';
}
