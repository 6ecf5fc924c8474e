import type {
  Container,
  CsiDriver,
  ExternalSecret,
  ExternalStore,
  Mount,
  Pod,
  SecretProviderClass,
  Workload,
} from '../../../../shared/cluster/port.ts';
import type { Snapshot } from '../../../../shared/consumers/observe.ts';
import type { Logger } from '../../../../shared/operations/logger.ts';
import { versionOf } from '../../functions/sync/messages.ts';

/** What a look at a cluster sees, written down for tests: by default all is well and on version 1. */

export const SECRET = {
  arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf',
  name: 'shop/database',
};
export const MARKER = 'rekey.dev/shop-database-AbCdEf';

/** 2026-11-23T10:00:00Z */
export const T0 = 1_795_428_000_000;

export function spcOf(
  objects: unknown,
  over: Partial<SecretProviderClass> & { parameters?: never } = {},
  parameters: Record<string, string> = {},
): SecretProviderClass {
  return {
    namespace: 'shop',
    name: 'database',
    provider: 'aws',
    syncedSecrets: [],
    ...over,
    parameters: new Map(
      Object.entries({ objects: typeof objects === 'string' ? objects : JSON.stringify(objects), ...parameters }),
    ),
  };
}

export const DATABASE = spcOf([{ objectName: 'shop/database', objectType: 'secretsmanager' }]);
export const FILE = 'shop_database';

export function workloadOf(over: Partial<Workload> = {}): Workload {
  const replicas = over.replicas ?? 1;
  return {
    kind: 'Deployment',
    namespace: 'shop',
    name: 'orders',
    uid: `uid-of-${over.name ?? 'orders'}`,
    resourceVersion: '100',
    annotations: new Map(),
    templateAnnotations: new Map(),
    secretProviderClasses: ['database'],
    secrets: [],
    replicas,
    rollout: {
      observed: true,
      updated: replicas,
      outdated: 0,
      stopped: undefined,
      onDelete: false,
      failure: undefined,
    },
    deleting: false,
    restartedAtMs: undefined,
    csiDriver: undefined,
    markedAtMs: undefined,
    ...over,
  };
}

export function markedWith(version: number): Map<string, string> {
  return new Map([[MARKER, versionOf(version)]]);
}

export function containerOf(over: Partial<Container> = {}): Container {
  return {
    name: 'app',
    mounts: [{ secretProviderClass: 'database', subPath: false }],
    secrets: [],
    state: { kind: 'started', startedAtMs: T0 + 1_000 },
    restarts: 0,
    exitCode: undefined,
    ...over,
  };
}

export function podOf(over: Partial<Pod> = {}): Pod {
  const name = over.name ?? 'orders-1';
  return {
    namespace: 'shop',
    name,
    uid: `uid-${name}`,
    node: 'node-1',
    fargate: false,
    createdAtMs: T0,
    controller: { kind: 'Deployment', name: 'orders' },
    annotations: new Map(),
    phase: 'Running',
    ready: true,
    terminating: false,
    secretProviderClasses: ['database'],
    secrets: [],
    containers: [containerOf()],
    ...over,
  };
}

export function mountOf(pod: Pod, version: number, over: Partial<Mount> = {}): Mount {
  return {
    namespace: pod.namespace,
    pod: pod.name,
    podUid: pod.uid,
    secretProviderClass: 'database',
    mounted: true,
    firstMountedAtMs: T0,
    changedAtMs: T0,
    versions: new Map([[FILE, versionOf(version)]]),
    ...over,
  };
}

/** Reads shop/database into the Secret `database-env`, and did so an hour before. */
export function externalSecretOf(over: Partial<ExternalSecret> = {}): ExternalSecret {
  return {
    namespace: 'shop',
    name: 'database',
    target: 'database-env',
    sources: [{ kind: 'key', store: { kind: 'SecretStore', name: 'aws' }, key: 'shop/database', version: '' }],
    refresh: { kind: 'periodic', everyMs: 3_600_000 },
    immutable: false,
    steering: { kind: 'ExternalSecret', name: over.name ?? 'database', resourceVersion: '100', annotations: new Map() },
    ready: { is: true, reason: 'SecretSynced' },
    refreshedAtMs: T0 - 3_600_000,
    syncedResourceVersion: '1-before',
    ...over,
  };
}

/** The store that {@link externalSecretOf} reads from. */
export function externalStoreOf(
  over: Partial<ExternalStore> = {},
  aws: Partial<NonNullable<ExternalStore['aws']>> = {},
): ExternalStore {
  return {
    kind: 'SecretStore',
    namespace: 'shop',
    name: 'aws',
    aws: { service: 'SecretsManager', region: 'eu-west-1', role: '', prefix: '', ...aws },
    ...over,
  };
}

/** The DaemonSet of the CSI driver. */
export function driverOf(over: Partial<CsiDriver> = {}): Workload {
  return workloadOf({
    kind: 'DaemonSet',
    namespace: 'kube-system',
    name: 'csi-secrets-store',
    secretProviderClasses: [],
    csiDriver: {
      version: { major: 1, minor: 5 },
      rotation: { everyMs: 120_000 },
      nodes: { wanted: 3, ready: 3 },
      ...over,
    },
  });
}

export function snapshotOf(over: Partial<Snapshot> = {}): Snapshot {
  return {
    cluster: { name: 'prod', region: 'eu-west-1' },
    classes: [DATABASE],
    workloads: [],
    cronJobs: [],
    externalSecrets: [],
    externalStores: [],
    pods: [],
    mounts: [],
    ...over,
  };
}

export const silentLog: Logger = {
  info: () => {},
  warn: () => {},
  error: () => {},
  with: () => silentLog,
};
