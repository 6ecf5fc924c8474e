import { SAFE_CHARACTERS } from '../api/registry.ts';
import {
  condition,
  controllerReference,
  type IntOrPercent,
  type KubernetesObject,
  type ObjectInput,
  type Pod,
  type PodTemplate,
} from '../objects.ts';

export function isReady(pod: Pod): boolean {
  return condition(pod, 'Ready')?.status === 'True';
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: Pod, minReadySeconds: number, now: number): boolean {
  const ready = condition(pod, 'Ready');
  if (ready?.status !== 'True') return false;
  return minReadySeconds === 0 || Date.parse(ready.lastTransitionTime ?? '') + minReadySeconds * 1000 <= now;
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata.deletionTimestamp !== undefined;
}

/** Neither ended nor ending: what counts as a replica. */
export function isActive(pod: Pod): boolean {
  return pod.status.phase !== 'Succeeded' && pod.status.phase !== 'Failed' && !isTerminating(pod);
}

/** Which pods a controller gives up first: unscheduled, pending, unready, then the newest. */
export function deletionOrder(left: Pod, right: Pod): number {
  const rank = (pod: Pod) => [
    pod.spec.nodeName === undefined ? 0 : 1,
    pod.status.phase === 'Pending' ? 0 : 1,
    isReady(pod) ? 1 : 0,
    Number(pod.metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? 0),
    -Date.parse(pod.metadata.creationTimestamp),
  ];
  const [ofLeft, ofRight] = [rank(left), rank(right)];
  for (const [index, value] of ofLeft.entries()) {
    const difference = value - (ofRight[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return left.metadata.name < right.metadata.name ? -1 : 1;
}

/** A pod of a template, owned by its controller. @param more labels that the controller adds */
export function podOf(
  owner: KubernetesObject,
  template: PodTemplate,
  name: { readonly name: string } | { readonly generateName: string },
  more: Readonly<Record<string, string>> = {},
): ObjectInput {
  const { annotations, labels } = template.metadata ?? {};
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...name,
      labels: { ...labels, ...more },
      ...(annotations ? { annotations: { ...annotations } } : {}),
      ownerReferences: [controllerReference(owner)],
    },
    spec: structuredClone(template.spec),
  };
}

/** Of a desired number: percentages round up for what may come on top, down for what may be missing. */
export function resolve(value: IntOrPercent, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const exact = (Number.parseInt(value, 10) / 100) * total;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}

/** The hash in the names of replica sets and revisions: of the template alone, in the alphabet of generated names. */
export function templateHash(template: PodTemplate): string {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(canonical(template))) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return [...`${hash}`].map((digit) => SAFE_CHARACTERS[digit.charCodeAt(0) % SAFE_CHARACTERS.length]).join('');
}

/** JSON with sorted fields, so that equal templates have equal hashes. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_name, field: unknown) =>
    typeof field === 'object' && field !== null && !Array.isArray(field)
      ? Object.fromEntries(Object.entries(field).sort(([left], [right]) => (left < right ? -1 : 1)))
      : field,
  );
}
