import { markerOf } from '../../../shared/consumers/marker.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import type { SecretDescription } from '../../../shared/secrets/port.ts';
import type { Estate as Kubernetes } from '../../integration/sync/estate.ts';
import {
  externalSecret,
  mounting,
  namespaced,
  pod,
  secretProviderClass,
  secretStore,
  workload,
} from '../../integration/sync/manifests.ts';
import type { MovingSecret } from '../../integration/sync/moving-secret.ts';
import type { Nodes } from '../../sandbox/control-plane/index.ts';
import type { RunningContainer } from '../../sandbox/kubernetes/node/pod-run.ts';
import type { ObjectInput } from '../../sandbox/kubernetes/objects.ts';
import type { Estate } from './run.ts';

export interface KubernetesEstate extends Estate {
  /** AWSCURRENT moves to the next version. */
  rotate(): void;
  /** What there is goes. */
  end(): Promise<void>;
}

/** One workload of one pod: each has a way to the version of its own. */
export const WORKLOADS = {
  'a Deployment': (ns: string, secret: string) => [
    secretProviderClass(ns, 'csi', secret, { object: { objectAlias: 'secret' } }),
    workload('Deployment', ns, 'web', mounting('csi'), SINGLE),
  ],
  'an ExternalSecret': (ns: string, secret: string) => [
    secretStore(ns),
    externalSecret(ns, 'external', { data: [{ secretKey: 'SECRET', remoteRef: { key: secret } }] }),
    workload('Deployment', ns, 'web', pod({ envFrom: [{ secretRef: { name: 'external' } }] }), SINGLE),
  ],
  'a StatefulSet by evictions': (ns: string, secret: string) => [
    secretProviderClass(ns, 'csi', secret, { object: { objectAlias: 'secret' } }),
    workload('StatefulSet', ns, 'web', mounting('csi'), {
      annotations: { 'rekey.dev/on-delete': 'evict' },
      spec: { replicas: 1, updateStrategy: { type: 'OnDelete' } },
    }),
  ],
} satisfies Readonly<Record<string, (ns: string, secret: string) => readonly ObjectInput[]>>;

const SINGLE = { spec: { replicas: 1, revisionHistoryLimit: 1 } };

export const RESTARTS: ReadonlyMap<string, number> = new Map([['web', 1]]);

/** In a namespace of its own on a real control plane. What is slow is said to be, not waited for. */
export async function createKubernetesEstate(
  { cluster, account, create, settled, clear, started, running }: Kubernetes,
  nodes: Nodes['nodes'],
  ns: string,
  objects: (typeof WORKLOADS)[keyof typeof WORKLOADS],
): Promise<KubernetesEstate> {
  const secret: MovingSecret = account.create(`${ns}/secret`);
  await create(namespaced(ns), ...objects(ns, secret.name));
  await settled(ns);
  let passedMs = 0;
  let before: SecretDescription = secret.description;
  let startedBefore = 0;
  let looks = 0;
  let isHeldUp = false;
  const own = (containers: Iterable<RunningContainer>) => [...containers].filter(({ pod }) => pod.namespace === ns);

  nodes.behave(({ metadata: { annotations } }) => {
    const { annotation, versionId } = markerOf(secret, secret.current);
    return isHeldUp && annotations?.[annotation] === versionId ? { kind: 'unready' } : undefined;
  });

  return {
    cluster,
    clock: { now: () => systemClock.now() + passedMs },
    advance(milliseconds) {
      passedMs += milliseconds;
    },
    get before() {
      return before;
    },
    get secret() {
      return secret.description;
    },
    rotate() {
      before = secret.description;
      secret.move();
      startedBefore = started.length;
      looks = 0;
    },
    async goOn() {
      // The cluster's own times are what they are.
      passedMs = 0;
      looks += 1;
      if (looks % 2 === 0) return;
      isHeldUp = false;
      await settled(ns);
      // Every second pass meets a roll that is under way, however quick controllers and nodes are.
      isHeldUp = true;
    },
    async restarts() {
      return new Map([['web', new Set(own(started.slice(startedBefore)).map(({ pod }) => pod.uid)).size]]);
    },
    async notOnVersion() {
      const isBehind = ({ files, env }: RunningContainer) =>
        ![...files.values(), ...env.values()].some((value) => value.includes(secret.current));
      return own(running)
        .filter(isBehind)
        .map(({ pod }) => pod.name);
    },
    end: () => clear(ns),
  };
}
