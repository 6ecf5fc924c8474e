import { controllerOf, type IntOrPercent, isRecord, type KubernetesObject, type LabelSelector } from '../objects.ts';
import type { DeleteOptions, Registry } from './registry.ts';
import { matchesSelector } from './selectors.ts';
import { StatusError } from './status-error.ts';

/**
 * The eviction API (policy/v1): deletes a pod where no PodDisruptionBudget forbids it. How many may go is counted at
 * this moment; there is no controller that writes it into a budget's status.
 * @throws StatusError 404, 409, 429, 500
 */
export function evict(registry: Registry, namespace: string, name: string, options: DeleteOptions): void {
  const pods = registry.resources.named('pods');
  const pod = registry.get(pods, namespace, name);
  const budgets = registry.storage
    .list(registry.resources.named('poddisruptionbudgets'), namespace)
    .filter((budget) => matchesSelector(specOf(budget)['selector'] as LabelSelector, pod.metadata.labels));
  const [budget] = budgets;
  if (budgets.length > 1)
    throw new StatusError(
      500,
      'InternalError',
      'This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.',
    );
  if (budget !== undefined && countsForBudgets(pod)) {
    const { healthy, wanted } = countOf(registry, namespace, budget);
    // One that is not healthy takes nothing away, as long as the budget is kept without it.
    const allowed = isReady(pod) ? healthy > wanted : healthy >= wanted && wanted > 0;
    if (!allowed) throw refusal(budget, healthy, wanted);
  }
  registry.delete(pods, namespace, name, options);
}

function countOf(registry: Registry, namespace: string, budget: KubernetesObject): { healthy: number; wanted: number } {
  const spec = specOf(budget);
  const all = registry.storage
    .list(registry.resources.named('pods'), namespace)
    .filter((pod) => matchesSelector(spec['selector'] as LabelSelector, pod.metadata.labels));
  const expected = expectedOf(registry, all);
  const share = (value: unknown) =>
    typeof value === 'string' ? Math.ceil((Number.parseInt(value, 10) / 100) * expected) : Number(value);
  const minAvailable = spec['minAvailable'] as IntOrPercent | undefined;
  const wanted =
    minAvailable === undefined ? Math.max(0, expected - share(spec['maxUnavailable'] ?? 0)) : share(minAvailable);
  return { healthy: all.filter((pod) => countsForBudgets(pod) && isReady(pod)).length, wanted };
}

/** How many pods their controllers want; a pod without one counts for itself. */
function expectedOf(registry: Registry, pods: readonly KubernetesObject[]): number {
  const owners = new Map(pods.map((pod) => [controllerOf(pod)?.uid ?? pod.metadata.uid, pod]));
  return [...owners.keys()].reduce((sum, uid) => {
    const replicas = specOf(registry.storage.byUid(uid))['replicas'];
    return sum + (typeof replicas === 'number' ? replicas : 1);
  }, 0);
}

function countsForBudgets({ metadata, ...pod }: KubernetesObject): boolean {
  const status = isRecord(pod['status']) ? pod['status'] : {};
  return metadata.deletionTimestamp === undefined && status['phase'] === 'Running';
}

function isReady(pod: KubernetesObject): boolean {
  const conditions = isRecord(pod['status']) ? pod['status']['conditions'] : [];
  return Array.isArray(conditions) && conditions.some((one) => one.type === 'Ready' && one.status === 'True');
}

function specOf(object: KubernetesObject | undefined): Record<string, unknown> {
  return isRecord(object?.['spec']) ? object['spec'] : {};
}

function refusal({ metadata }: KubernetesObject, healthy: number, wanted: number): StatusError {
  const message = `The disruption budget ${metadata.name} needs ${wanted} healthy pods and has ${healthy} currently`;
  return new StatusError(429, 'TooManyRequests', `Cannot evict pod as it would violate the pod's disruption budget.`, {
    causes: [{ reason: 'DisruptionBudget', message }],
  });
}
