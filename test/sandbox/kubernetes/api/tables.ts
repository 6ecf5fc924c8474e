import {
  type Container,
  type ContainerStatus,
  condition,
  type DaemonSet,
  type Deployment,
  isRecord,
  type KubernetesObject,
  type LabelSelector,
  type Node,
  type Pod,
  type ReplicaSet,
  type StatefulSet,
} from '../objects.ts';
import type { Resource } from './resources.ts';

/** What `kubectl get` shows: the server makes the table. */
export interface TableColumn {
  readonly name: string;
  readonly type: 'string' | 'integer';
  readonly format: string;
  readonly description: string;
  /** 0 is always shown, 1 with `-o wide`. */
  readonly priority: 0 | 1;
}

type Cell = string | number | boolean;

interface Column<T> {
  readonly name: string;
  readonly wide?: true;
  readonly cell: (object: T, now: number) => Cell;
}

const NAME: Column<KubernetesObject> = { name: 'Name', cell: (object) => object.metadata.name };
const AGE: Column<KubernetesObject> = {
  name: 'Age',
  cell: (object, now) => age(object.metadata.creationTimestamp, now),
};

/** For all kinds without a row of their own, the custom ones among them. */
const DEFAULT_COLUMNS: readonly Column<KubernetesObject>[] = [NAME, AGE];

const number = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** A column list of one kind, for the table of all kinds. */
function columns<T extends KubernetesObject>(...list: readonly Column<T>[]): readonly Column<KubernetesObject>[] {
  return list as readonly Column<KubernetesObject>[];
}

function workload<T extends Deployment | ReplicaSet | StatefulSet | DaemonSet>(): Column<T>[] {
  return [
    {
      name: 'Containers',
      wide: true,
      cell: ({ spec }) =>
        containersOf(spec)
          .map((one) => one.name)
          .join(','),
    },
    {
      name: 'Images',
      wide: true,
      cell: ({ spec }) =>
        containersOf(spec)
          .map((one) => one.image ?? '')
          .join(','),
    },
  ];
}

const containersOf = (spec: { template: { spec: { containers: Container[] } } }): Container[] =>
  spec.template.spec.containers;

const SELECTOR = {
  name: 'Selector',
  wide: true as const,
  cell: ({ spec }: { spec: { selector: LabelSelector } }) => pairs(spec.selector.matchLabels),
};

const COLUMNS: Readonly<Record<string, readonly Column<KubernetesObject>[]>> = {
  pods: columns<Pod>(
    NAME,
    { name: 'Ready', cell: (pod) => `${readyContainers(pod)}/${pod.spec.containers.length + sidecars(pod).length}` },
    { name: 'Status', cell: podStatus },
    { name: 'Restarts', cell: podRestarts },
    AGE,
    { name: 'IP', wide: true, cell: (pod) => pod.status.podIP ?? '<none>' },
    { name: 'Node', wide: true, cell: (pod) => pod.spec.nodeName ?? '<none>' },
    { name: 'Nominated Node', wide: true, cell: () => '<none>' },
    { name: 'Readiness Gates', wide: true, cell: () => '<none>' },
  ),
  deployments: columns<Deployment>(
    NAME,
    { name: 'Ready', cell: ({ spec, status }) => `${number(status['readyReplicas'])}/${spec.replicas}` },
    { name: 'Up-to-date', cell: ({ status }) => number(status['updatedReplicas']) },
    { name: 'Available', cell: ({ status }) => number(status['availableReplicas']) },
    AGE,
    ...workload<Deployment>(),
    SELECTOR,
  ),
  replicasets: columns<ReplicaSet>(
    NAME,
    { name: 'Desired', cell: ({ spec }) => spec.replicas },
    { name: 'Current', cell: ({ status }) => status.replicas },
    { name: 'Ready', cell: ({ status }) => status.readyReplicas ?? 0 },
    AGE,
    ...workload<ReplicaSet>(),
    SELECTOR,
  ),
  statefulsets: columns<StatefulSet>(
    NAME,
    { name: 'Ready', cell: ({ spec, status }) => `${number(status['readyReplicas'])}/${spec.replicas}` },
    AGE,
    ...workload<StatefulSet>(),
  ),
  daemonsets: columns<DaemonSet>(
    NAME,
    { name: 'Desired', cell: ({ status }) => number(status['desiredNumberScheduled']) },
    { name: 'Current', cell: ({ status }) => number(status['currentNumberScheduled']) },
    { name: 'Ready', cell: ({ status }) => number(status['numberReady']) },
    { name: 'Up-to-date', cell: ({ status }) => number(status['updatedNumberScheduled']) },
    { name: 'Available', cell: ({ status }) => number(status['numberAvailable']) },
    { name: 'Node Selector', cell: ({ spec }) => pairs(spec.template.spec.nodeSelector) },
    AGE,
    ...workload<DaemonSet>(),
    SELECTOR,
  ),
  namespaces: columns(
    NAME,
    { name: 'Status', cell: (object) => String(isRecord(object['status']) ? object['status']['phase'] : '') },
    AGE,
  ),
  nodes: columns<Node>(
    NAME,
    {
      name: 'Status',
      cell: (node) => {
        const ready = condition(node as { status?: object }, 'Ready')?.status === 'True' ? 'Ready' : 'NotReady';
        return node.spec.unschedulable ? `${ready},SchedulingDisabled` : ready;
      },
    },
    { name: 'Roles', cell: () => '<none>' },
    AGE,
    { name: 'Version', cell: (node) => nodeVersion(node) },
  ),
  secrets: columns(
    NAME,
    { name: 'Type', cell: (object) => String(object['type'] ?? '') },
    { name: 'Data', cell: (object) => Object.keys(object['data'] ?? {}).length },
    AGE,
  ),
  configmaps: columns(NAME, { name: 'Data', cell: (object) => Object.keys(object['data'] ?? {}).length }, AGE),
  events: columns(
    { name: 'Last Seen', cell: (event, now) => age(String(event['lastTimestamp'] ?? ''), now) },
    { name: 'Type', cell: (event) => String(event['type'] ?? '') },
    { name: 'Reason', cell: (event) => String(event['reason'] ?? '') },
    {
      name: 'Object',
      cell: ({ involvedObject }) =>
        isRecord(involvedObject) ? `${String(involvedObject['kind']).toLowerCase()}/${involvedObject['name']}` : '',
    },
    { name: 'Message', cell: (event) => String(event['message'] ?? '') },
  ),
};

/** `meta.k8s.io/v1` Table of some objects. @param include what of each object goes along with its row */
export function table(
  resource: Resource,
  objects: readonly KubernetesObject[],
  listMetadata: object,
  include: 'Metadata' | 'Object' | 'None',
  now: number,
): Record<string, unknown> {
  const shown = COLUMNS[resource.plural] ?? DEFAULT_COLUMNS;
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: listMetadata,
    columnDefinitions: shown.map(
      (column): TableColumn => ({
        name: column.name,
        type: 'string',
        format: column.name === 'Name' ? 'name' : '',
        description: '',
        priority: column.wide ? 1 : 0,
      }),
    ),
    rows: objects.map((object) => ({
      cells: shown.map((column) => column.cell(object, now)),
      ...(include === 'None' ? {} : { object: include === 'Object' ? object : partialObjectMetadata(object) }),
    })),
  };
}

export function partialObjectMetadata(object: KubernetesObject): Record<string, unknown> {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

function sidecars(pod: Pod): Container[] {
  return (pod.spec.initContainers ?? []).filter((container) => container.restartPolicy === 'Always');
}

function statuses(pod: Pod): readonly ContainerStatus[] {
  const names = sidecars(pod).map((container) => container.name);
  const ofSidecars = (pod.status.initContainerStatuses ?? []).filter((status) => names.includes(status.name));
  return [...ofSidecars, ...(pod.status.containerStatuses ?? [])];
}

function readyContainers(pod: Pod): number {
  return statuses(pod).filter((status) => status.ready && status.state.running !== undefined).length;
}

/** One word for a pod: what holds up its containers, else its phase. */
function podStatus(pod: Pod): string {
  const ended = pod.status.phase === 'Succeeded' || pod.status.phase === 'Failed';
  if (pod.metadata.deletionTimestamp !== undefined && !ended) return 'Terminating';
  const initial = pod.status.initContainerStatuses ?? [];
  const isSidecar = (name: string) => sidecars(pod).some((container) => container.name === name);
  for (const [index, { name, state, started }] of initial.entries()) {
    if (state.terminated?.exitCode === 0 || (isSidecar(name) && started)) continue;
    if (state.terminated !== undefined) return `Init:${state.terminated.reason}`;
    if (state.waiting !== undefined && state.waiting.reason !== 'PodInitializing')
      return `Init:${state.waiting.reason}`;
    return `Init:${index}/${initial.length}`;
  }
  for (const { state } of [...(pod.status.containerStatuses ?? [])]) {
    const reason = state.waiting?.reason ?? state.terminated?.reason;
    if (reason !== undefined) return reason;
  }
  return pod.status.reason ?? pod.status.phase;
}

function podRestarts(pod: Pod, now: number): Cell {
  const all = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])];
  const restarts = all.reduce((sum, status) => sum + status.restartCount, 0);
  const last = all
    .map((status) => status.lastState.terminated?.finishedAt)
    .filter((time) => time !== undefined)
    .sort()
    .at(-1);
  return restarts === 0 || last === undefined ? `${restarts}` : `${restarts} (${age(last, now)} ago)`;
}

function nodeVersion(node: Node): string {
  const status = isRecord(node['status']) ? node['status'] : {};
  return isRecord(status['nodeInfo']) ? String(status['nodeInfo']['kubeletVersion']) : '';
}

function pairs(labels: Readonly<Record<string, string>> | undefined): string {
  const list = Object.entries(labels ?? {});
  return list.length === 0 ? '<none>' : list.map(([name, value]) => `${name}=${value}`).join(',');
}

/** As kubectl shows ages: `45s`, `3m12s`, `17m`, `5h`, `3d`. */
function age(since: string, now: number): string {
  const seconds = Math.floor((now - Date.parse(since)) / 1000);
  if (Number.isNaN(seconds)) return '<unknown>';
  if (seconds < 0) return '0s';
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  return `${Math.floor(hours / 24)}d`;
}
