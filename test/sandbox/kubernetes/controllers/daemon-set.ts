import { tolerates } from '../node/scheduler.ts';
import { type ControllerRevision, controllerOf, type DaemonSet, type Node, type Pod } from '../objects.ts';
import type { Client } from './client.ts';
import { isAvailable, isReady, isTerminating, podOf, resolve } from './pods.ts';
import { type Activity, type Again, Reconciler } from './reconciler.ts';
import { REVISION_LABEL, syncRevisions, truncateRevisions } from './revisions.ts';

/** Keeps one pod of each daemon set on every node, and replaces them within maxUnavailable or maxSurge. */
export function startDaemonSetController(client: Client, activity: Activity): Reconciler {
  const reconciler = new Reconciler(activity, (namespace, name) => {
    const set = client.get('daemonsets', namespace, name);
    return set && reconcile(client, set);
  });
  return reconciler
    .source(
      client.watch('daemonsets', ({ object }) => {
        if (object) reconciler.enqueue(object.metadata.namespace ?? '', object.metadata.name);
      }),
    )
    .source(
      client.watch('pods', ({ object, previous }) => {
        const pod = object ?? previous;
        const owner = pod && controllerOf(pod);
        if (owner?.kind === 'DaemonSet') reconciler.enqueue(pod?.metadata.namespace ?? '', owner.name);
      }),
    )
    .source(
      client.watch('nodes', ({ object, previous }) => {
        // Heartbeats don't change where pods belong.
        if (object && previous) return;
        for (const { metadata } of client.list('daemonsets'))
          reconciler.enqueue(metadata.namespace ?? '', metadata.name);
      }),
    );
}

/** The pods of one node. */
interface Placement {
  readonly node: string;
  readonly old: Pod | undefined;
  readonly updated: Pod | undefined;
}

function reconcile(client: Client, set: DaemonSet): Again {
  const revisions = syncRevisions(client, set);
  const update = revisions.at(-1);
  if (update === undefined) return undefined;
  if (set.metadata.deletionTimestamp === undefined) {
    place(client, set, update);
    if (set.spec.updateStrategy.type === 'RollingUpdate') roll(client, set, update);
  }
  const again = updateStatus(client, set, update);
  const live = client.controlled('pods', set).map((pod) => `${set.metadata.name}-${revisionOf(pod)}`);
  truncateRevisions(client, set, revisions, new Set([update.metadata.name, ...live]));
  return again;
}

/** A pod for every node that has none; away with those on nodes that are gone. */
function place(client: Client, set: DaemonSet, update: ControllerRevision): void {
  const nodes = eligibleNodes(client, set);
  const pods = client.controlled('pods', set);
  for (const pod of pods) {
    const ended = pod.status.phase === 'Failed' || pod.status.phase === 'Succeeded';
    if ((ended || !nodes.includes(nodeOf(pod))) && !isTerminating(pod)) client.delete(pod);
  }
  for (const node of nodes) if (!pods.some((pod) => nodeOf(pod) === node)) createPod(client, set, node, update);
}

function roll(client: Client, set: DaemonSet, update: ControllerRevision): void {
  const nodes = eligibleNodes(client, set);
  const pods = client.controlled('pods', set);
  const placements = nodes.map((node): Placement => {
    const here = pods.filter((pod) => nodeOf(pod) === node);
    return {
      node,
      updated: here.find((pod) => revisionOf(pod) === hashOf(update)),
      old: here.find((pod) => revisionOf(pod) !== hashOf(update)),
    };
  });
  const ready = (pod: Pod) => isAvailable(pod, set.spec.minReadySeconds ?? 0, client.clock.now());
  const { maxSurge = 0, maxUnavailable = 1 } = set.spec.updateStrategy.rollingUpdate ?? {};
  const surge = resolve(maxSurge, nodes.length, 'up');
  if (surge > 0) rollWithSurge(client, set, update, placements, surge, ready);
  else rollInPlace(client, placements, resolve(maxUnavailable, nodes.length, 'up'), ready);
}

/** Deletes old pods as long as few enough nodes are without a working one. */
function rollInPlace(
  client: Client,
  placements: readonly Placement[],
  maxUnavailable: number,
  ready: (pod: Pod) => boolean,
): void {
  let unavailable = 0;
  const broken: Pod[] = [];
  const candidates: Pod[] = [];
  for (const { old, updated } of placements) {
    if (updated !== undefined) {
      if (!ready(updated)) unavailable += 1;
    } else if (old === undefined) unavailable += 1;
    else if (ready(old) && !isTerminating(old)) candidates.push(old);
    else {
      unavailable += 1;
      // It serves nobody: replacing it costs nothing.
      if (!isTerminating(old)) broken.push(old);
    }
  }
  for (const pod of [...broken, ...candidates.slice(0, Math.max(0, maxUnavailable - unavailable))]) client.delete(pod);
}

/** Starts the new pod next to the old one, which goes when the new one works. */
function rollWithSurge(
  client: Client,
  set: DaemonSet,
  update: ControllerRevision,
  placements: readonly Placement[],
  maxSurge: number,
  ready: (pod: Pod) => boolean,
): void {
  let surging = placements.filter(({ old, updated }) => old && updated).length;
  for (const { node, old, updated } of placements) {
    if (old === undefined || isTerminating(old)) continue;
    if (updated !== undefined) {
      if (ready(updated)) client.delete(old);
    } else if (surging < maxSurge || !ready(old)) {
      createPod(client, set, node, update);
      surging += 1;
    }
  }
}

function createPod(client: Client, set: DaemonSet, node: string, update: ControllerRevision): void {
  const input = podOf(
    set,
    set.spec.template,
    { generateName: `${set.metadata.name}-` },
    { [REVISION_LABEL]: hashOf(update), 'pod-template-generation': `${update.revision}` },
  );
  const onNode = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [node] }] }] };
  const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: onNode } };
  const spec = { ...structuredClone(set.spec.template.spec), affinity };
  const pod = client.create('pods', set.metadata.namespace, { ...input, spec });
  if (pod) client.recordEvent(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
}

function updateStatus(client: Client, set: DaemonSet, update: ControllerRevision): Again {
  const minReadySeconds = set.spec.minReadySeconds ?? 0;
  const now = client.clock.now();
  const nodes = eligibleNodes(client, set);
  const pods = client.controlled('pods', set);
  // One pod counts for a node: the oldest one, while a surge has two.
  const counted = nodes.map((node) => pods.find((pod) => nodeOf(pod) === node)).filter((pod) => pod !== undefined);
  const onNode = (condition: (pod: Pod) => boolean) => counted.filter(condition).length;
  const ready = onNode(isReady);
  const available = onNode((pod) => isAvailable(pod, minReadySeconds, now));
  const updated = onNode((pod) => revisionOf(pod) === hashOf(update));
  const unavailable = nodes.length - available;
  client.editStatus(set, (draft) => {
    draft.status = {
      currentNumberScheduled: counted.length,
      numberMisscheduled: pods.filter((pod) => !nodes.includes(nodeOf(pod))).length,
      desiredNumberScheduled: nodes.length,
      numberReady: ready,
      observedGeneration: set.metadata.generation,
      ...(updated > 0 ? { updatedNumberScheduled: updated } : {}),
      ...(available > 0 ? { numberAvailable: available } : {}),
      ...(unavailable > 0 ? { numberUnavailable: unavailable } : {}),
    };
  });
  return ready > available ? { afterMs: 1000, expected: true } : undefined;
}

function eligibleNodes(client: Client, set: DaemonSet): string[] {
  const wanted = Object.entries(set.spec.template.spec.nodeSelector ?? {});
  return client
    .list('nodes')
    .filter((node: Node) => wanted.every(([name, value]) => node.metadata.labels?.[name] === value))
    .filter((node) => tolerates(set.spec.template.spec, node))
    .map((node) => node.metadata.name);
}

/** Where a pod runs, or is meant to before it is scheduled. */
function nodeOf(pod: Pod): string {
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return pod.spec.nodeName ?? required?.nodeSelectorTerms[0]?.matchFields?.[0]?.values[0] ?? '';
}

function hashOf(revision: ControllerRevision): string {
  return revision.metadata.labels?.[REVISION_LABEL] ?? '';
}

function revisionOf(pod: Pod): string {
  return pod.metadata.labels?.[REVISION_LABEL] ?? '';
}
