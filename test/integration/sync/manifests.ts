import type { ObjectInput } from '../../sandbox/kubernetes/objects.ts';

export const LABEL = 'app';

export interface WorkloadOptions {
  readonly annotations?: Readonly<Record<string, string>>;
  /** Over the whole spec. */
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly podAnnotations?: Readonly<Record<string, string>>;
  readonly podLabels?: Readonly<Record<string, string>>;
}

type PodSpec = Readonly<Record<string, unknown>>;

export function namespaced(namespace: string): ObjectInput {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } };
}

/** A class of one object. @param object more of its members @param spec more of the class's */
export function secretProviderClass(
  namespace: string,
  name: string,
  objectName: string,
  { object = {}, spec = {} }: { readonly object?: object; readonly spec?: object } = {},
): ObjectInput {
  const objects = JSON.stringify([{ objectName, objectType: 'secretsmanager', ...object }]);
  return {
    apiVersion: 'secrets-store.csi.x-k8s.io/v1',
    kind: 'SecretProviderClass',
    metadata: { name, namespace },
    spec: { provider: 'aws', parameters: { objects }, ...spec },
  };
}

export function workload(
  kind: 'Deployment' | 'StatefulSet' | 'DaemonSet' | 'Rollout',
  namespace: string,
  name: string,
  podSpec: PodSpec,
  { annotations = {}, spec = {}, podAnnotations = {}, podLabels = {} }: WorkloadOptions = {},
): ObjectInput {
  return {
    apiVersion: kind === 'Rollout' ? 'argoproj.io/v1alpha1' : 'apps/v1',
    kind,
    metadata: { name, namespace, annotations },
    spec: {
      ...(kind === 'DaemonSet' ? {} : { replicas: 2 }),
      ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
      ...(kind === 'Rollout' ? { strategy: { canary: {} } } : {}),
      selector: { matchLabels: { [LABEL]: name } },
      template: { metadata: { labels: { [LABEL]: name, ...podLabels }, annotations: podAnnotations }, spec: podSpec },
      ...spec,
    },
  };
}

/** One container. */
export function pod(container: object = {}, rest: PodSpec = {}): PodSpec {
  return { containers: [{ name: 'app', image: 'app:1', ...container }], ...rest };
}

/** What EKS does with a pod that a Fargate profile selects. */
export const FARGATE_PROFILE = { 'eks.amazonaws.com/fargate-profile': 'default' };
export const ON_FARGATE: PodSpec = {
  nodeSelector: { 'eks.amazonaws.com/compute-type': 'fargate' },
  tolerations: [{ key: 'eks.amazonaws.com/compute-type', operator: 'Equal', value: 'fargate', effect: 'NoSchedule' }],
};

const MOUNT = '/mnt/secret';

/** One container that mounts a class; the file is `secret`, where the class names it so by `objectAlias`. */
export function mounting(secretProviderClass: string, container: object = {}, rest: PodSpec = {}): PodSpec {
  return pod(
    { volumeMounts: [{ name: 'secret', mountPath: MOUNT }], ...container },
    { volumes: [csiVolume(secretProviderClass)], ...rest },
  );
}

export function csiVolume(secretProviderClass: string) {
  const csi = { driver: 'secrets-store.csi.k8s.io', readOnly: true, volumeAttributes: { secretProviderClass } };
  return { name: 'secret', csi };
}

export function secretStore(namespace: string, aws: object = {}): ObjectInput {
  return {
    apiVersion: 'external-secrets.io/v1',
    kind: 'SecretStore',
    metadata: { name: 'aws', namespace },
    spec: { provider: { aws: { service: 'SecretsManager', region: 'eu-west-1', ...aws } } },
  };
}

/** It writes the Secret of its own name. */
export function externalSecret(namespace: string, name: string, spec: object): ObjectInput {
  return {
    apiVersion: 'external-secrets.io/v1',
    kind: 'ExternalSecret',
    metadata: { name, namespace },
    spec: { secretStoreRef: { name: 'aws' }, ...spec },
  };
}

/** The DaemonSet by which Rekey knows the driver; what it does is the simulated nodes' work. */
export function driverDaemonSet(version: '1.5.6' | '1.6.0', rotates: boolean): ObjectInput {
  const args = [`--enable-secret-rotation=${rotates}`, '--rotation-poll-interval=2m'];
  const image = `registry.k8s.io/csi-secrets-store/driver:v${version}`;
  return workload('DaemonSet', 'kube-system', 'secrets-store-csi-driver', pod({ name: 'secrets-store', image, args }));
}
