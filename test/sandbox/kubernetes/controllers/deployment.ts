import { setCondition } from '../api/registry.ts';
import {
  type Condition,
  condition,
  controllerOf,
  controllerReference,
  type Deployment,
  type PodTemplate,
  type ReplicaSet,
  sameJson,
} from '../objects.ts';
import type { Client } from './client.ts';
import { resolve, templateHash } from './pods.ts';
import { type Activity, type Again, Reconciler } from './reconciler.ts';

const REVISION = 'deployment.kubernetes.io/revision';
const DESIRED = 'deployment.kubernetes.io/desired-replicas';
const MAXIMUM = 'deployment.kubernetes.io/max-replicas';
const HASH_LABEL = 'pod-template-hash';
/** Annotations of the deployment that its replica sets do not get. */
const NOT_COPIED = new Set(['kubectl.kubernetes.io/last-applied-configuration', REVISION, DESIRED, MAXIMUM]);

/**
 * Rolls deployments as the real controller does: a replica set per template, scaled against each other within
 * maxSurge and maxUnavailable; the conditions and counts that `kubectl rollout status` reads.
 */
export function startDeploymentController(client: Client, activity: Activity): Reconciler {
  const reconciler = new Reconciler(activity, (namespace, name) => {
    const deployment = client.get('deployments', namespace, name);
    return deployment && reconcile(client, deployment);
  });
  const enqueueOwner = (set: ReplicaSet | undefined) => {
    const owner = set && controllerOf(set);
    if (owner?.kind === 'Deployment') reconciler.enqueue(set?.metadata.namespace ?? '', owner.name);
  };
  return reconciler
    .source(
      client.watch('deployments', ({ object }) => {
        if (object) reconciler.enqueue(object.metadata.namespace ?? '', object.metadata.name);
      }),
    )
    .source(
      client.watch('replicasets', ({ object, previous }) =>
        enqueueOwner((object ?? previous) as ReplicaSet | undefined),
      ),
    )
    .source(
      // Recreate waits for the last old pod to be gone.
      client.watch('pods', ({ object, previous }) => {
        const owner = object === undefined && previous ? controllerOf(previous) : undefined;
        if (owner?.kind !== 'ReplicaSet') return;
        enqueueOwner(client.get('replicasets', previous?.metadata.namespace, owner.name));
      }),
    );
}

function reconcile(client: Client, found: Deployment): Again {
  let deployment = found;
  let { current, old } = replicaSets(client, deployment);
  if (deployment.metadata.deletionTimestamp !== undefined) return updateStatus(client, deployment, current, old);

  deployment = notePause(client, deployment);
  if (deployment.spec.paused || isScaled(deployment, [...old, ...(current ? [current] : [])])) {
    scale(client, deployment, current, old);
  } else if (deployment.spec.strategy.type === 'Recreate') {
    for (const set of old) setReplicas(client, deployment, set, 0);
    const running = old.some((set) =>
      client.controlled('pods', set).some((pod) => pod.status.phase !== 'Succeeded' && pod.status.phase !== 'Failed'),
    );
    if (!running) {
      current = ensureCurrent(client, deployment, current, old);
      if (current) setReplicas(client, deployment, current, deployment.spec.replicas);
    }
  } else {
    current = ensureCurrent(client, deployment, current, old);
    if (current) rollingUpdate(client, deployment, current, old);
  }

  ({ current, old } = replicaSets(client, deployment));
  const again = updateStatus(client, deployment, current, old);
  if (isComplete(deployment, counts(current, old))) cleanUp(client, deployment, old);
  return again;
}

/** The replica set of the present template, and the others, oldest first. */
function replicaSets(client: Client, deployment: Deployment): { current: ReplicaSet | undefined; old: ReplicaSet[] } {
  const all = client.controlled('replicasets', deployment);
  const wanted = withoutHash(deployment.spec.template);
  const current = all.find((set) => sameJson(withoutHash(set.spec.template), wanted));
  return { current, old: all.filter((set) => set !== current) };
}

function withoutHash(template: PodTemplate): PodTemplate {
  const { [HASH_LABEL]: _hash, ...labels } = template.metadata?.labels ?? {};
  const { labels: _labels, ...metadata } = template.metadata ?? {};
  return { ...template, metadata: { ...metadata, labels } };
}

/** Creates the replica set of the template if it is missing, and numbers it as the newest revision. */
function ensureCurrent(
  client: Client,
  deployment: Deployment,
  existing: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): ReplicaSet | undefined {
  const newest = Math.max(0, ...old.map(revision)) + 1;
  const current = existing ?? createReplicaSet(client, deployment, newest, old);
  if (current === undefined) return undefined;
  const number = `${Math.max(newest, revision(current))}`;
  const annotations = copiedAnnotations(deployment);
  const updated = client.edit(current, (draft) => {
    draft.metadata.annotations = { ...draft.metadata.annotations, ...annotations, [REVISION]: number };
    draft.spec.minReadySeconds = deployment.spec.minReadySeconds ?? 0;
    if (draft.spec.minReadySeconds === 0) delete draft.spec.minReadySeconds;
  });
  if (deployment.metadata.annotations?.[REVISION] !== number) {
    client.edit(deployment, (draft) => {
      draft.metadata.annotations = { ...draft.metadata.annotations, [REVISION]: number };
    });
  }
  if (existing !== undefined && condition(deployment, 'Progressing') === undefined) {
    setProgress(client, deployment, 'True', 'FoundNewReplicaSet', `Found new replica set "${current.metadata.name}"`);
  }
  return updated;
}

function createReplicaSet(
  client: Client,
  deployment: Deployment,
  number: number,
  old: readonly ReplicaSet[],
): ReplicaSet | undefined {
  const { template, selector, replicas, minReadySeconds } = deployment.spec;
  const hash = templateHash(template);
  const name = `${deployment.metadata.name}-${hash}`;
  if (client.get('replicasets', deployment.metadata.namespace, name) !== undefined) return undefined;
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  const surge = maxSurge(deployment);
  const created = client.create('replicasets', deployment.metadata.namespace, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name,
      labels,
      annotations: {
        ...copiedAnnotations(deployment),
        [REVISION]: `${number}`,
        [DESIRED]: `${replicas}`,
        [MAXIMUM]: `${replicas + surge}`,
      },
      ownerReferences: [controllerReference(deployment)],
    },
    spec: {
      replicas: room(deployment, old, 0),
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
      ...(minReadySeconds ? { minReadySeconds } : {}),
    },
  });
  if (created === undefined) return undefined;
  setProgress(client, deployment, 'True', 'NewReplicaSetCreated', `Created new replica set "${name}"`);
  if (created.spec.replicas > 0) noteScaling(client, deployment, created, 'up', 0, created.spec.replicas);
  return created;
}

/** How many replicas the current set may have, next to what the others still have. */
function room(deployment: Deployment, others: readonly ReplicaSet[], present: number): number {
  const { replicas, strategy } = deployment.spec;
  if (strategy.type === 'Recreate') return replicas;
  const free = replicas + maxSurge(deployment) - sum(others, (set) => set.spec.replicas) - present;
  return free <= 0 ? present : present + Math.min(free, replicas - present);
}

function rollingUpdate(client: Client, deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): void {
  const { replicas } = deployment.spec;
  const now = current.spec.replicas;
  if (now !== replicas) {
    const target = now > replicas ? replicas : room(deployment, old, now);
    if (target !== now) {
      setReplicas(client, deployment, current, target);
      return;
    }
  }
  scaleDownOld(client, deployment, current, old);
}

function scaleDownOld(client: Client, deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): void {
  const oldPods = sum(old, (set) => set.spec.replicas);
  if (oldPods === 0) return;
  const minAvailable = deployment.spec.replicas - maxUnavailable(deployment);
  const unavailableNew = current.spec.replicas - available(current);
  let allowed = oldPods + current.spec.replicas - minAvailable - unavailableNew;
  if (allowed <= 0) return;

  // Broken old pods first: they serve nobody.
  let sets = [...old];
  for (const set of sets) {
    const broken = Math.min(allowed, set.spec.replicas - available(set));
    if (broken <= 0) continue;
    setReplicas(client, deployment, set, set.spec.replicas - broken);
    allowed -= broken;
  }
  sets = sets.map((set) => client.get('replicasets', set.metadata.namespace, set.metadata.name) ?? set);
  let spare = sum(sets, available) + available(current) - minAvailable;
  for (const set of sets) {
    const fewer = Math.min(set.spec.replicas, spare);
    if (fewer <= 0) continue;
    setReplicas(client, deployment, set, set.spec.replicas - fewer);
    spare -= fewer;
  }
}

/** Whether spec.replicas was changed since the sets were scaled last. */
function isScaled(deployment: Deployment, sets: readonly ReplicaSet[]): boolean {
  return sets.some(
    (set) => set.spec.replicas > 0 && set.metadata.annotations?.[DESIRED] !== `${deployment.spec.replicas}`,
  );
}

/** Follows spec.replicas without moving the rollout: one set gets all, several get their proportion. */
function scale(
  client: Client,
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): void {
  const all = [...old, ...(current ? [current] : [])];
  const active = all.filter((set) => set.spec.replicas > 0);
  const only = active.length === 1 ? active[0] : active.length === 0 ? (current ?? all.at(-1)) : undefined;
  if (only !== undefined) {
    setReplicas(client, deployment, only, deployment.spec.replicas);
    return;
  }
  const total = deployment.spec.replicas === 0 ? 0 : deployment.spec.replicas + maxSurge(deployment);
  const present = sum(active, (set) => set.spec.replicas);
  let left = total;
  const shares = [...active]
    .sort((one, other) => other.spec.replicas - one.spec.replicas)
    .map((set) => {
      const share = Math.min(left, Math.round((set.spec.replicas / present) * total));
      left -= share;
      return { set, share };
    });
  for (const [index, { set, share }] of shares.entries()) {
    setReplicas(client, deployment, set, index === 0 ? share + left : share);
  }
}

function setReplicas(client: Client, deployment: Deployment, set: ReplicaSet, replicas: number): void {
  const desired = `${deployment.spec.replicas}`;
  const maximum = `${deployment.spec.replicas + maxSurge(deployment)}`;
  client.edit(set, (draft) => {
    draft.spec.replicas = replicas;
    draft.metadata.annotations = { ...draft.metadata.annotations, [DESIRED]: desired, [MAXIMUM]: maximum };
  });
  const before = set.spec.replicas;
  if (before !== replicas) {
    noteScaling(client, deployment, set, replicas > before ? 'up' : 'down', before, replicas);
  }
}

function noteScaling(
  client: Client,
  deployment: Deployment,
  set: ReplicaSet,
  direction: 'up' | 'down',
  from: number,
  to: number,
): void {
  client.recordEvent(
    deployment,
    'Normal',
    'ScalingReplicaSet',
    `Scaled ${direction} replica set ${set.metadata.name} from ${from} to ${to}`,
  );
}

interface Counts {
  readonly replicas: number;
  readonly updated: number;
  readonly ready: number;
  readonly available: number;
  readonly terminating: number;
}

function counts(current: ReplicaSet | undefined, old: readonly ReplicaSet[]): Counts {
  const all = [...old, ...(current ? [current] : [])];
  return {
    replicas: sum(all, (set) => set.status.replicas),
    updated: current?.status.replicas ?? 0,
    ready: sum(all, (set) => set.status.readyReplicas ?? 0),
    available: sum(all, available),
    terminating: sum(all, (set) => set.status.terminatingReplicas ?? 0),
  };
}

function isComplete({ spec }: Deployment, { replicas, updated, available: ready }: Counts): boolean {
  return updated === spec.replicas && replicas === spec.replicas && ready === spec.replicas;
}

function updateStatus(
  client: Client,
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
): Again {
  const found = counts(current, old);
  const live = client.get('deployments', deployment.metadata.namespace, deployment.metadata.name);
  if (live === undefined) return undefined;
  const enough = found.available >= deployment.spec.replicas - maxUnavailable(deployment);
  const conditions = setCondition(
    progressed(client, live, found, current),
    {
      type: 'Available',
      status: enough ? 'True' : 'False',
      reason: enough ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: enough ? 'Deployment has minimum availability.' : 'Deployment does not have minimum availability.',
      lastUpdateTime: lastUpdate(live, 'Available', enough ? 'True' : 'False', client.now()),
    },
    client.now(),
  );
  const unavailable = Math.max(0, found.replicas - found.available);
  client.editStatus(live, (draft) => {
    draft.status = {
      observedGeneration: deployment.metadata.generation,
      ...(found.replicas > 0 ? { replicas: found.replicas } : {}),
      ...(found.updated > 0 ? { updatedReplicas: found.updated } : {}),
      ...(found.ready > 0 ? { readyReplicas: found.ready } : {}),
      ...(found.available > 0 ? { availableReplicas: found.available } : {}),
      ...(unavailable > 0 ? { unavailableReplicas: unavailable } : {}),
      terminatingReplicas: found.terminating,
      conditions,
    };
  });
  return untilDeadline(client, deployment, conditions);
}

/** The conditions with `Progressing` brought up to date: done, moving, or out of time. */
function progressed(client: Client, live: Deployment, found: Counts, current: ReplicaSet | undefined): Condition[] {
  const conditions = live.status.conditions ?? [];
  const progress = condition(live, 'Progressing');
  const { progressDeadlineSeconds: seconds } = live.spec;
  if (seconds === undefined || live.spec.paused || current === undefined) return conditions;
  const settled = found.replicas === found.updated && progress?.reason === 'NewReplicaSetAvailable';
  if (settled) return conditions;

  const name = `ReplicaSet "${current.metadata.name}"`;
  const next = (status: 'True' | 'False', reason: string, message: string): Condition[] =>
    setCondition(
      conditions,
      { type: 'Progressing', status, reason, message, lastUpdateTime: client.now() },
      client.now(),
    );
  if (isComplete(live, found)) return next('True', 'NewReplicaSetAvailable', `${name} has successfully progressed.`);
  const before = (field: string): number => Number(live.status[field] ?? 0);
  const moved =
    found.updated > before('updatedReplicas') ||
    found.replicas - found.updated < before('replicas') - before('updatedReplicas') ||
    found.ready > before('readyReplicas') ||
    found.available > before('availableReplicas');
  if (moved) return next('True', 'ReplicaSetUpdated', `${name} is progressing.`);
  const deadline = Date.parse(progress?.lastUpdateTime ?? '') + seconds * 1000;
  if (progress?.status === 'True' && progress.reason !== 'NewReplicaSetAvailable' && client.clock.now() >= deadline) {
    return next('False', 'ProgressDeadlineExceeded', `${name} has timed out progressing.`);
  }
  return conditions;
}

/** Looks again when the deadline of a rollout that stands still is over. */
function untilDeadline(client: Client, deployment: Deployment, conditions: readonly Condition[]): Again {
  const progress = conditions.find((one) => one.type === 'Progressing');
  const { progressDeadlineSeconds: seconds } = deployment.spec;
  if (seconds === undefined || progress?.status !== 'True' || progress.reason === 'NewReplicaSetAvailable') {
    return undefined;
  }
  const deadline = Date.parse(progress.lastUpdateTime ?? '') + seconds * 1000;
  return { afterMs: Math.max(0, deadline - client.clock.now()) + 1, expected: false };
}

function notePause(client: Client, deployment: Deployment): Deployment {
  const reason = condition(deployment, 'Progressing')?.reason;
  if (deployment.spec.paused && reason !== 'DeploymentPaused') {
    return setProgress(client, deployment, 'Unknown', 'DeploymentPaused', 'Deployment is paused');
  }
  if (!deployment.spec.paused && reason === 'DeploymentPaused') {
    return setProgress(client, deployment, 'Unknown', 'DeploymentResumed', 'Deployment is resumed');
  }
  return deployment;
}

function setProgress(
  client: Client,
  deployment: Deployment,
  status: Condition['status'],
  reason: string,
  message: string,
): Deployment {
  const now = client.now();
  const updated = client.editStatus(deployment, (draft) => {
    draft.status.conditions = setCondition(
      draft.status.conditions ?? [],
      { type: 'Progressing', status, reason, message, lastUpdateTime: now },
      now,
    );
  });
  return updated ?? deployment;
}

function lastUpdate(deployment: Deployment, type: string, status: string, now: string): string {
  const old = condition(deployment, type);
  return old?.status === status ? (old.lastUpdateTime ?? now) : now;
}

/** Drops the oldest replica sets that nobody would roll back to. */
function cleanUp(client: Client, deployment: Deployment, old: readonly ReplicaSet[]): void {
  const limit = deployment.spec.revisionHistoryLimit ?? 10;
  const unused = old.filter((set) => set.spec.replicas === 0 && set.status.replicas === 0);
  const sorted = unused.sort((left, right) => revision(left) - revision(right));
  for (const set of sorted.slice(0, Math.max(0, sorted.length - limit))) client.delete(set);
}

function copiedAnnotations(deployment: Deployment): Record<string, string> {
  const entries = Object.entries(deployment.metadata.annotations ?? {});
  return Object.fromEntries(entries.filter(([name]) => !NOT_COPIED.has(name)));
}

function revision(set: ReplicaSet): number {
  return Number(set.metadata.annotations?.[REVISION] ?? 0);
}

function available(set: ReplicaSet): number {
  return set.status.availableReplicas ?? 0;
}

function maxSurge({ spec }: Deployment): number {
  return spec.strategy.rollingUpdate ? resolve(spec.strategy.rollingUpdate.maxSurge, spec.replicas, 'up') : 0;
}

function maxUnavailable(deployment: Deployment): number {
  const { strategy, replicas } = deployment.spec;
  if (!strategy.rollingUpdate || replicas === 0) return 0;
  const number = Math.min(replicas, resolve(strategy.rollingUpdate.maxUnavailable, replicas, 'down'));
  // With both at zero nothing could ever move.
  return number === 0 && maxSurge(deployment) === 0 ? 1 : number;
}

function sum(sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number {
  return sets.reduce((total, set) => total + of(set), 0);
}
