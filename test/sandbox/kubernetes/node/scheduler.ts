import type { Client } from '../controllers/client.ts';
import { type Activity, type Again, Reconciler } from '../controllers/reconciler.ts';
import type { Node, Pod, PodSpec } from '../objects.ts';

/** Gives each new pod the node that it must run on, or the one with the fewest pods. */
export function startScheduler(client: Client, activity: Activity): Reconciler {
  const reconciler = new Reconciler(activity, (namespace, name) => {
    const pod = client.get('pods', namespace, name);
    return pod && waitsForUs(pod) ? schedule(client, pod) : undefined;
  });
  const look = (pod: Pod | undefined) => {
    if (pod && waitsForUs(pod)) reconciler.enqueue(pod.metadata.namespace ?? '', pod.metadata.name);
  };
  return reconciler.source(client.watch('pods', ({ object }) => look(object as Pod | undefined))).source(
    client.watch('nodes', () => {
      for (const pod of client.list('pods')) look(pod);
    }),
  );
}

/** Pods may ask for another scheduler, of which there is none. */
function waitsForUs({ spec }: Pod): boolean {
  return spec.nodeName === undefined && spec.schedulerName === 'default-scheduler';
}

function schedule(client: Client, pod: Pod): Again {
  const nodes = client.list('nodes').filter((node) => fits(pod, node));
  const load = new Map(nodes.map((node) => [node.metadata.name, 0]));
  for (const { spec } of client.list('pods')) {
    const present = load.get(spec.nodeName ?? '');
    if (present !== undefined) load.set(spec.nodeName ?? '', present + 1);
  }
  const [chosen] = [...load].sort(([, left], [, right]) => left - right);
  if (chosen === undefined) {
    const message = `0/${client.list('nodes').length} nodes are available.`;
    client.editStatus(pod, (draft) => {
      draft.status.conditions = [
        { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime: client.now() },
      ];
    });
    client.recordEvent(pod, 'Warning', 'FailedScheduling', message);
    return undefined;
  }
  const [node] = chosen;
  client.edit(pod, (draft) => {
    draft.spec.nodeName = node;
  });
  client.editStatus(pod, (draft) => {
    draft.status.conditions = [{ type: 'PodScheduled', status: 'True', lastTransitionTime: client.now() }];
  });
  const { namespace, name } = pod.metadata;
  client.recordEvent(pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${node}`);
  return undefined;
}

function fits(pod: Pod, node: Node): boolean {
  const required = pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const names = required?.nodeSelectorTerms.flatMap((term) => term.matchFields ?? []).flatMap((field) => field.values);
  if (names !== undefined && names.length > 0) return names.includes(node.metadata.name);
  const labels = Object.entries(pod.spec.nodeSelector ?? {});
  return (
    node.spec.unschedulable !== true &&
    labels.every(([name, value]) => node.metadata.labels?.[name] === value) &&
    tolerates(pod.spec, node)
  );
}

/** Whether none of the node's taints keeps such a pod away. The operators Lt and Gt are not there. */
export function tolerates(
  { tolerations = [] }: Pick<PodSpec, 'tolerations'>,
  { spec: { taints = [] } }: Node,
): boolean {
  return taints
    .filter(({ effect }) => effect !== 'PreferNoSchedule')
    .every((taint) =>
      tolerations.some(
        ({ key, operator = 'Equal', value = '', effect = taint.effect }) =>
          (key ?? taint.key) === taint.key &&
          effect === taint.effect &&
          (operator === 'Exists' || value === (taint.value ?? '')),
      ),
    );
}
