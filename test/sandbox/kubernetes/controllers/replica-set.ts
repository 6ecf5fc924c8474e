import { controllerOf, type Pod, type ReplicaSet } from '../objects.ts';
import type { Client } from './client.ts';
import { deletionOrder, isActive, isAvailable, isReady, isTerminating, podOf } from './pods.ts';
import { type Activity, type Again, Reconciler } from './reconciler.ts';

/** Keeps the number of pods of each ReplicaSet. */
export function startReplicaSetController(client: Client, activity: Activity): Reconciler {
  const reconciler = new Reconciler(activity, (namespace, name) => {
    const set = client.get('replicasets', namespace, name);
    return set && reconcile(client, set);
  });
  return reconciler
    .source(
      client.watch('replicasets', ({ object }) => {
        if (object) reconciler.enqueue(object.metadata.namespace ?? '', object.metadata.name);
      }),
    )
    .source(
      client.watch('pods', ({ object, previous }) => {
        const pod = object ?? previous;
        const owner = pod && controllerOf(pod);
        if (owner?.kind === 'ReplicaSet') reconciler.enqueue(pod?.metadata.namespace ?? '', owner.name);
      }),
    );
}

function reconcile(client: Client, set: ReplicaSet): Again {
  const pods = client.controlled('pods', set).filter(isActive);
  if (set.metadata.deletionTimestamp === undefined) {
    const missing = set.spec.replicas - pods.length;
    for (let count = 0; count < missing; count++) createPod(client, set);
    for (const pod of [...pods].sort(deletionOrder).slice(0, Math.max(0, -missing))) {
      client.delete(pod);
      client.recordEvent(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
    }
  }
  return updateStatus(client, set);
}

function createPod(client: Client, set: ReplicaSet): void {
  const pod = client.create(
    'pods',
    set.metadata.namespace,
    podOf(set, set.spec.template, { generateName: `${set.metadata.name}-` }),
  );
  if (pod) client.recordEvent(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
}

function updateStatus(client: Client, set: ReplicaSet): Again {
  const minReadySeconds = set.spec.minReadySeconds ?? 0;
  const now = client.clock.now();
  const all = client.controlled('pods', set);
  const pods = all.filter(isActive);
  const ready = pods.filter(isReady);
  const available = pods.filter((pod: Pod) => isAvailable(pod, minReadySeconds, now));
  client.editStatus(set, (draft) => {
    // A count of zero is left out, as the API's types do.
    draft.status = {
      replicas: pods.length,
      ...(pods.length > 0 ? { fullyLabeledReplicas: pods.length } : {}),
      ...(ready.length > 0 ? { readyReplicas: ready.length } : {}),
      ...(available.length > 0 ? { availableReplicas: available.length } : {}),
      terminatingReplicas: all.filter(isTerminating).length,
      observedGeneration: set.metadata.generation ?? 0,
    };
  });
  return ready.length > available.length ? { afterMs: 1000, expected: true } : undefined;
}
