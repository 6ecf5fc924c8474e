import { type Container, isRecord, type KubernetesObject, type PodSpec, type PodTemplate } from '../objects.ts';

/**
 * Fills in what the API server fills in, so that what is stored reads as on a real cluster and a client that sends
 * the same manifest again changes nothing. Only fields that the served kinds commonly carry.
 */
export function applyDefaults(object: KubernetesObject): void {
  switch (object.kind) {
    case 'Pod':
      object['spec'] = podSpec(object['spec'], true);
      return;
    case 'Deployment': {
      const spec = workloadSpec(object);
      fill(spec, { replicas: 1, revisionHistoryLimit: 10, progressDeadlineSeconds: 600 });
      const strategy = rolling(spec, 'strategy');
      if (strategy) fill(strategy, { maxUnavailable: '25%', maxSurge: '25%' });
      return;
    }
    case 'ReplicaSet':
      fill(workloadSpec(object), { replicas: 1 });
      return;
    case 'StatefulSet': {
      const spec = workloadSpec(object);
      fill(spec, {
        replicas: 1,
        revisionHistoryLimit: 10,
        podManagementPolicy: 'OrderedReady',
        persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Retain', whenScaled: 'Retain' },
      });
      const strategy = rolling(spec, 'updateStrategy');
      if (strategy) fill(strategy, { partition: 0 });
      return;
    }
    case 'DaemonSet': {
      const spec = workloadSpec(object);
      fill(spec, { revisionHistoryLimit: 10 });
      const strategy = rolling(spec, 'updateStrategy');
      if (strategy) fill(strategy, { maxUnavailable: 1, maxSurge: 0 });
      return;
    }
    case 'Secret':
      fill(object, { type: 'Opaque' });
      encodeStringData(object);
      return;
    case 'Namespace': {
      fill(object, { spec: { finalizers: ['kubernetes'] } });
      fill(object.metadata, { labels: {} });
      fill(object.metadata.labels ?? {}, { 'kubernetes.io/metadata.name': object.metadata.name });
      return;
    }
  }
}

/** `stringData` is for writing only: it is stored as base64 in `data`. */
function encodeStringData(secret: KubernetesObject): void {
  if (!isRecord(secret['stringData'])) return;
  const encoded = Object.entries(secret['stringData']).map(([name, value]) => [
    name,
    Buffer.from(String(value)).toString('base64'),
  ]);
  secret['data'] = { ...(isRecord(secret['data']) ? secret['data'] : {}), ...Object.fromEntries(encoded) };
  delete secret['stringData'];
}

function fill(target: object, defaults: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(defaults)) {
    if (Reflect.get(target, name) === undefined) Reflect.set(target, name, value);
  }
}

function workloadSpec(object: KubernetesObject): Record<string, unknown> {
  const spec = isRecord(object['spec']) ? object['spec'] : {};
  object['spec'] = spec;
  const template = isRecord(spec['template']) ? spec['template'] : {};
  spec['template'] = podTemplate(template);
  return spec;
}

function podTemplate(template: Record<string, unknown>): PodTemplate {
  const metadata = isRecord(template['metadata']) ? template['metadata'] : {};
  return { ...template, metadata, spec: podSpec(template['spec'], false) };
}

/** The strategy's `rollingUpdate`, when that is the strategy. */
function rolling(spec: Record<string, unknown>, field: string): Record<string, unknown> | undefined {
  const strategy = isRecord(spec[field]) ? spec[field] : {};
  spec[field] = strategy;
  fill(strategy, { type: 'RollingUpdate' });
  if (strategy['type'] !== 'RollingUpdate') return undefined;
  const parameters = isRecord(strategy['rollingUpdate']) ? strategy['rollingUpdate'] : {};
  strategy['rollingUpdate'] = parameters;
  return parameters;
}

function podSpec(value: unknown, ofPod: boolean): PodSpec {
  const spec = isRecord(value) ? { ...value } : {};
  fill(spec, {
    restartPolicy: 'Always',
    dnsPolicy: 'ClusterFirst',
    schedulerName: 'default-scheduler',
    terminationGracePeriodSeconds: 30,
    securityContext: {},
  });
  // Admission, not defaulting, does this on a real server: pods have it, templates do not.
  if (ofPod)
    fill(spec, {
      serviceAccountName: 'default',
      enableServiceLinks: true,
      preemptionPolicy: 'PreemptLowerPriority',
      priority: 0,
    });
  const containers = Array.isArray(spec['containers']) ? spec['containers'].map(container) : [];
  return {
    ...spec,
    ...(Array.isArray(spec['initContainers']) ? { initContainers: spec['initContainers'].map(container) } : {}),
    ...(Array.isArray(spec['volumes']) ? { volumes: spec['volumes'].map(volume) } : {}),
    containers,
  };
}

function container(value: Container): Container {
  const filled = structuredClone(value);
  fill(filled, {
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: isLatest(filled.image ?? '') ? 'Always' : 'IfNotPresent',
    resources: {},
  });
  const ports = filled['ports'];
  if (Array.isArray(ports)) for (const port of ports) fill(port, { protocol: 'TCP' });
  const env = filled['env'];
  if (Array.isArray(env)) {
    for (const variable of env) {
      const reference: unknown = variable?.valueFrom?.['fieldRef'];
      if (isRecord(reference)) fill(reference, { apiVersion: 'v1' });
    }
  }
  return filled;
}

function isLatest(image: string): boolean {
  const name = image.slice(image.lastIndexOf('/') + 1);
  return !name.includes('@') && (!name.includes(':') || name.endsWith(':latest'));
}

function volume<T>(value: T): T {
  const filled = structuredClone(value);
  if (!isRecord(filled)) return filled;
  for (const source of ['secret', 'configMap', 'projected', 'downwardAPI']) {
    if (isRecord(filled[source])) fill(filled[source], { defaultMode: 420 });
  }
  if (isRecord(filled['emptyDir']) === false && Object.keys(filled).length === 1) fill(filled, { emptyDir: {} });
  return filled;
}
