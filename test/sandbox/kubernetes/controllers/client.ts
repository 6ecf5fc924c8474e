import { randomBytes } from 'node:crypto';
import type { Clock } from '../../../../shared/operations/clock.ts';
import { evict } from '../api/eviction.ts';
import type { DeleteOptions, Registry } from '../api/registry.ts';
import { apiVersionOf, type Resource } from '../api/resources.ts';
import { StatusError } from '../api/status-error.ts';
import type { Change } from '../api/storage.ts';
import type { ComponentClient } from '../component-client.ts';
import {
  type ClusterExternalSecret,
  type ControllerRevision,
  controllerOf,
  type DaemonSet,
  type Deployment,
  type ExternalSecret,
  type KubernetesObject,
  type Node,
  type ObjectInput,
  type Pod,
  type ReplicaSet,
  type Rollout,
  type SecretObject,
  type SecretProviderClass,
  type SecretStoreObject,
  type StatefulSet,
  timestamp,
} from '../objects.ts';

/** The kinds that the sandbox's own components work with, by their plural. */
export interface Kinds {
  pods: Pod;
  nodes: Node;
  namespaces: KubernetesObject;
  events: KubernetesObject;
  deployments: Deployment;
  replicasets: ReplicaSet;
  statefulsets: StatefulSet;
  daemonsets: DaemonSet;
  controllerrevisions: ControllerRevision;
  secretproviderclasses: SecretProviderClass;
  secretproviderclasspodstatuses: KubernetesObject;
  csidrivers: KubernetesObject;
  secrets: SecretObject;
  externalsecrets: ExternalSecret;
  clusterexternalsecrets: ClusterExternalSecret;
  secretstores: SecretStoreObject;
  clustersecretstores: SecretStoreObject;
  rollouts: Rollout;
  jobs: KubernetesObject;
}

/** The API as one component of the cluster uses it: in the same process, under its own field manager. */
export class Client implements ComponentClient {
  readonly registry: Registry;
  readonly clock: Clock;
  readonly #manager: string;
  /** What happened to whom → the event that tells it. */
  readonly #eventNames = new Map<string, string>();

  constructor(registry: Registry, clock: Clock, manager: string) {
    this.registry = registry;
    this.clock = clock;
    this.#manager = manager;
  }

  now(): string {
    return timestamp(this.clock.now());
  }

  serves(plural: keyof Kinds): boolean {
    return this.registry.resources.all.some((one) => one.plural === plural);
  }

  typeOf(plural: keyof Kinds): { readonly apiVersion: string; readonly kind: string } {
    const resource = this.#resource(plural);
    return { apiVersion: apiVersionOf(resource), kind: resource.kind };
  }

  get<K extends keyof Kinds>(plural: K, namespace: string | undefined, name: string): Kinds[K] | undefined {
    return this.registry.storage.get(this.#resource(plural), namespace, name) as Kinds[K] | undefined;
  }

  read<K extends keyof Kinds>(plural: K, namespace: string | undefined, name: string): Kinds[K] | undefined {
    return this.get(plural, namespace, name);
  }

  list<K extends keyof Kinds>(plural: K, namespace?: string): Kinds[K][] {
    return this.registry.storage.list(this.#resource(plural), namespace) as Kinds[K][];
  }

  /** What an object controls, oldest first. */
  controlled<K extends keyof Kinds>(plural: K, owner: KubernetesObject): Kinds[K][] {
    return this.registry.storage
      .dependents(owner.metadata.uid)
      .filter(({ resource, object }) => resource.plural === plural && controllerOf(object)?.uid === owner.metadata.uid)
      .map(({ object }) => object as Kinds[K])
      .sort((left, right) => order(left).localeCompare(order(right)));
  }

  create<K extends keyof Kinds>(plural: K, namespace: string | undefined, input: ObjectInput): Kinds[K] | undefined {
    try {
      const options = { manager: this.#manager, trusted: true } as const;
      return this.registry.create(this.#resource(plural), namespace, input, options) as Kinds[K];
    } catch (thrown) {
      if (thrown instanceof StatusError && [403, 404, 409].includes(thrown.status.code)) return undefined;
      throw thrown;
    }
  }

  edit<T extends KubernetesObject>(object: T, change: (draft: T) => void): T | undefined {
    return this.registry.edit(object, change, { manager: this.#manager });
  }

  editStatus<T extends KubernetesObject>(object: T, change: (draft: T) => void): T | undefined {
    return this.registry.edit(object, change, { manager: this.#manager, subresource: 'status' });
  }

  /** Deletes exactly this object; one that is gone or was replaced is left alone. */
  delete(object: KubernetesObject, options: DeleteOptions = {}): void {
    const resource = this.registry.resources.byKind(object.apiVersion, object.kind);
    const { namespace, name, uid } = object.metadata;
    if (resource === undefined || this.registry.storage.get(resource, namespace, name)?.metadata.uid !== uid) return;
    this.registry.delete(resource, namespace, name, options);
  }

  evict(pod: Pod): boolean {
    const { namespace = '', name, uid } = pod.metadata;
    try {
      evict(this.registry, namespace, name, { preconditions: { uid } });
      return true;
    } catch (thrown) {
      if (!(thrown instanceof StatusError)) throw thrown;
      // One that is gone, or was replaced, need not go.
      return thrown.status.code === 404 || thrown.status.code === 409;
    }
  }

  watch(plural: keyof Kinds, listener: (change: Change) => void): () => void {
    return this.registry.storage.watch((change) => {
      if (change.resource.plural === plural) listener(change);
    });
  }

  /** What `kubectl describe` shows of an object's life. The same message again is counted. */
  recordEvent(about: KubernetesObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { namespace = 'default', uid } = about.metadata;
    const key = `${uid}/${reason}/${message}`;
    const same = this.get('events', namespace, this.#eventNames.get(key) ?? '');
    if (same !== undefined) {
      this.edit(same, (draft) => {
        draft['count'] = Number(draft['count']) + 1;
        draft['lastTimestamp'] = this.now();
      });
      return;
    }
    const created = this.create('events', namespace, newEvent(about, type, reason, message, this.#manager, this.now()));
    if (created) this.#eventNames.set(key, created.metadata.name);
  }

  #resource(plural: string): Resource {
    return this.registry.resources.named(plural);
  }
}

function order(object: KubernetesObject): string {
  return `${object.metadata.creationTimestamp}/${object.metadata.resourceVersion.padStart(12, '0')}`;
}

export function newEvent(
  about: KubernetesObject,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
  component: string,
  now: string,
): ObjectInput {
  const { namespace = 'default', name, uid, resourceVersion } = about.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${randomBytes(8).toString('hex')}`, namespace },
    involvedObject: { apiVersion: about.apiVersion, kind: about.kind, name, namespace, uid, resourceVersion },
    type,
    reason,
    message,
    source: { component },
    reportingComponent: component,
    reportingInstance: '',
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}
