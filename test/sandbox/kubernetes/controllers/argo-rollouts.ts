import type { ComponentClient } from '../component-client.ts';
import { condition, controllerOf, controllerReference, type ReplicaSet, type Rollout } from '../objects.ts';
import { isTerminating, resolve, templateHash } from './pods.ts';
import { type Activity, type Again, Reconciler } from './reconciler.ts';

const HASH = 'rollouts-pod-template-hash';

/** Before an eviction that a budget forbade is tried again. */
const RETRY_MS = 200;

/**
 * The controller of Argo Rollouts, simulated: keeps a ReplicaSet for the newest template, gives the older ones up once
 * its pods are available, and carries out `restartAt` by evicting the pods that were created before it. No steps, no
 * analysis, no traffic, no pauses; a blue-green Rollout is rolled like a canary.
 */
export function startArgoRollouts(client: ComponentClient, activity: Activity): Reconciler {
  const reconciler = new Reconciler(activity, async (namespace, name) => {
    const rollout = client.get('rollouts', namespace, name);
    return rollout && rollout.metadata.deletionTimestamp === undefined ? await reconcile(client, rollout) : undefined;
  });
  reconciler.source(
    client.watch('rollouts', ({ object }) => {
      if (object) reconciler.enqueue(object.metadata.namespace ?? '', object.metadata.name);
    }),
  );
  reconciler.source(
    client.watch('replicasets', ({ object, previous }) => {
      const set = object ?? previous;
      const owner = set && controllerOf(set);
      if (owner?.kind === 'Rollout') reconciler.enqueue(set?.metadata.namespace ?? '', owner.name);
    }),
  );
  return reconciler;
}

async function reconcile(client: ComponentClient, rollout: Rollout): Promise<Again> {
  const { replicas = 1 } = rollout.spec;
  const hash = templateHash(rollout.spec.template);
  const sets = client.controlled('replicasets', rollout);
  const newest =
    sets.find(({ metadata }) => metadata.labels?.[HASH] === hash) ?? (await createSet(client, rollout, hash));
  if (newest === undefined) return undefined;
  if (newest.spec.replicas !== replicas) await scale(client, newest, replicas);
  const older = sets.filter(({ metadata }) => metadata.uid !== newest.metadata.uid);
  const isUp = (newest.status.availableReplicas ?? 0) >= replicas;
  if (isUp) for (const set of older) if (set.spec.replicas > 0) await scale(client, set, 0);

  const all = [newest, ...older];
  const sum = (field: 'replicas' | 'readyReplicas' | 'availableReplicas') =>
    all.reduce((total, { status }) => total + (status[field] ?? 0), 0);
  const isDone = isUp && sum('replicas') === replicas;
  const restart = isDone ? await restartPods(client, rollout, newest) : { again: undefined, restartedAt: undefined };
  await client.editStatus(rollout, (draft) => {
    draft.status = {
      ...draft.status,
      observedGeneration: String(rollout.metadata.generation ?? 0),
      replicas: sum('replicas'),
      HPAReplicas: sum('replicas'),
      updatedReplicas: newest.status.replicas,
      readyReplicas: sum('readyReplicas'),
      availableReplicas: sum('availableReplicas'),
      currentPodHash: hash,
      selector: Object.entries(rollout.spec.selector.matchLabels ?? {})
        .map(([name, value]) => `${name}=${value}`)
        .join(','),
      phase: isDone ? 'Healthy' : 'Progressing',
      ...(isDone ? { stableRS: hash } : {}),
      ...(restart.restartedAt === undefined ? {} : { restartedAt: restart.restartedAt }),
    };
  });
  return restart.again;
}

/** As many at a time as may be missing, one at least; done once no pod is older (rollout/restart.go). */
async function restartPods(
  client: ComponentClient,
  rollout: Rollout,
  set: ReplicaSet,
): Promise<{ again: Again; restartedAt: string | undefined }> {
  const { restartAt, replicas = 1 } = rollout.spec;
  if (restartAt === undefined || rollout.status?.restartedAt === restartAt)
    return { again: undefined, restartedAt: undefined };
  const waitMs = Date.parse(restartAt) - client.clock.now();
  if (waitMs > 0) return { again: { afterMs: waitMs, expected: false }, restartedAt: undefined };
  const pods = client.controlled('pods', set);
  if (pods.some(isTerminating)) return { again: { afterMs: RETRY_MS, expected: true }, restartedAt: undefined };
  const old = pods.filter(({ metadata }) => Date.parse(metadata.creationTimestamp) < Date.parse(restartAt));
  if (old.length === 0) return { again: undefined, restartedAt: restartAt };
  const { maxUnavailable = '25%' } = rollout.spec.strategy?.canary ?? {};
  const available = pods.filter((pod) => condition(pod, 'Ready')?.status === 'True').length;
  const budget = Math.max(1, resolve(maxUnavailable, replicas, 'down')) - (replicas - available);
  for (const pod of old.slice(0, Math.max(0, budget))) {
    if (await client.evict(pod)) continue;
    // A budget forbids it, of which the controller tells its own log alone.
    return { again: { afterMs: RETRY_MS, expected: false }, restartedAt: undefined };
  }
  return { again: { afterMs: RETRY_MS, expected: true }, restartedAt: undefined };
}

async function createSet(client: ComponentClient, rollout: Rollout, hash: string): Promise<ReplicaSet | undefined> {
  const { namespace, name, labels } = rollout.metadata;
  const { template, selector, replicas = 1, minReadySeconds } = rollout.spec;
  const ofHash = { [HASH]: hash };
  return await client.create('replicasets', namespace, {
    ...client.typeOf('replicasets'),
    metadata: {
      name: `${name}-${hash}`,
      labels: { ...labels, ...template.metadata?.labels, ...ofHash },
      ownerReferences: [controllerReference(rollout)],
    },
    spec: {
      replicas,
      ...(minReadySeconds === undefined ? {} : { minReadySeconds }),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, ...ofHash } },
      template: {
        ...template,
        metadata: { ...template.metadata, labels: { ...template.metadata?.labels, ...ofHash } },
      },
    },
  });
}

async function scale(client: ComponentClient, set: ReplicaSet, replicas: number): Promise<void> {
  await client.edit(set, (draft) => {
    draft.spec.replicas = replicas;
  });
}
