import type { KubernetesObject } from '../objects.ts';
import type { Resource } from './resources.ts';

/** One write, as etcd would tell a watcher of it. */
export interface Change {
  readonly revision: number;
  readonly resource: Resource;
  /** Undefined: deleted. */
  readonly object: KubernetesObject | undefined;
  /** Undefined: created. */
  readonly previous: KubernetesObject | undefined;
}

/** The part of the history that was asked for is gone. */
export class Compacted extends Error {
  readonly oldest: number;

  constructor(oldest: number) {
    super(`the history starts at ${oldest}`);
    this.oldest = oldest;
  }
}

/**
 * What etcd is to an API server: objects by key, one counter for all writes, a bounded history that a watch can
 * start from and an old state can be read from. Objects are frozen; a write replaces one.
 */
export class Storage {
  #revision = 1;
  #compacted = 0;
  readonly #objects = new Map<string, Map<string, KubernetesObject>>();
  /** uid of an owner → its dependents by their own uid. */
  readonly #dependents = new Map<string, Map<string, { resource: Resource; object: KubernetesObject }>>();
  readonly #byUid = new Map<string, KubernetesObject>();
  #history: Change[] = [];
  readonly #historyLimit: number;
  readonly #watchers = new Set<(change: Change) => void>();

  constructor(historyLimit = 20_000) {
    this.#historyLimit = historyLimit;
  }

  get revision(): number {
    return this.#revision;
  }

  /** The oldest revision that a watch may still start from. */
  get oldest(): number {
    return this.#compacted;
  }

  get(resource: Resource, namespace: string | undefined, name: string): KubernetesObject | undefined {
    return this.#table(resource).get(key(namespace, name));
  }

  /** In the order of their keys, as etcd ranges over them. */
  list(resource: Resource, namespace?: string): KubernetesObject[] {
    return sorted(this.#table(resource), namespace);
  }

  /** What names an object as its owner. */
  dependents(ownerUid: string): { resource: Resource; object: KubernetesObject }[] {
    return [...(this.#dependents.get(ownerUid)?.values() ?? [])];
  }

  byUid(uid: string): KubernetesObject | undefined {
    return this.#byUid.get(uid);
  }

  /** The list as it was at a revision. @throws Compacted */
  listAt(resource: Resource, namespace: string | undefined, revision: number): KubernetesObject[] {
    if (revision < this.#compacted) throw new Compacted(this.#compacted);
    const table = new Map(this.#table(resource));
    for (let index = this.#history.length - 1; index >= 0; index--) {
      const change = this.#history[index];
      if (change === undefined || change.revision <= revision) break;
      if (storageName(change.resource) !== storageName(resource)) continue;
      const object = change.object ?? change.previous;
      if (object === undefined) continue;
      const at = key(object.metadata.namespace, object.metadata.name);
      if (change.previous === undefined) table.delete(at);
      else table.set(at, change.previous);
    }
    return sorted(table, namespace);
  }

  /** @returns the stored object, with its new resourceVersion */
  put(resource: Resource, object: KubernetesObject): KubernetesObject {
    const table = this.#table(resource);
    const at = key(object.metadata.namespace, object.metadata.name);
    const previous = table.get(at);
    const revision = ++this.#revision;
    const stored = freeze({ ...object, metadata: { ...object.metadata, resourceVersion: `${revision}` } });
    table.set(at, stored);
    if (previous !== undefined) this.#unlink(previous);
    this.#byUid.set(stored.metadata.uid, stored);
    for (const owner of stored.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid) ?? new Map();
      this.#dependents.set(owner.uid, dependents.set(stored.metadata.uid, { resource, object: stored }));
    }
    this.#record({ revision, resource, object: stored, previous });
    return stored;
  }

  delete(resource: Resource, object: KubernetesObject): KubernetesObject {
    const revision = ++this.#revision;
    const at = key(object.metadata.namespace, object.metadata.name);
    const previous = this.#table(resource).get(at);
    if (previous !== undefined) this.#unlink(previous);
    this.#table(resource).delete(at);
    const last = freeze({ ...object, metadata: { ...object.metadata, resourceVersion: `${revision}` } });
    this.#record({ revision, resource, object: undefined, previous: last });
    return last;
  }

  /** Changes after a revision. @throws Compacted */
  since(revision: number): readonly Change[] {
    if (revision < this.#compacted) throw new Compacted(this.#compacted);
    return this.#history.filter((change) => change.revision > revision);
  }

  /** Calls back for every write from now on, in order. @returns a function that ends it */
  watch(listener: (change: Change) => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /** Forgets the history, as etcd's compaction does every five minutes. */
  compact(): void {
    this.#history = [];
    this.#compacted = this.#revision;
  }

  #table(resource: Resource): Map<string, KubernetesObject> {
    const name = storageName(resource);
    let table = this.#objects.get(name);
    if (table === undefined) {
      table = new Map();
      this.#objects.set(name, table);
    }
    return table;
  }

  #unlink(object: KubernetesObject): void {
    this.#byUid.delete(object.metadata.uid);
    for (const owner of object.metadata.ownerReferences ?? []) {
      const dependents = this.#dependents.get(owner.uid);
      dependents?.delete(object.metadata.uid);
      if (dependents?.size === 0) this.#dependents.delete(owner.uid);
    }
  }

  #record(change: Change): void {
    this.#history.push(change);
    if (this.#history.length > this.#historyLimit) {
      const dropped = this.#history.splice(0, Math.ceil(this.#historyLimit / 10));
      this.#compacted = dropped.at(-1)?.revision ?? this.#compacted;
    }
    for (const watcher of this.#watchers) watcher(change);
  }
}

export function storageName(resource: Resource): string {
  return `${resource.group}/${resource.plural}`;
}

/** The key by which a list is ordered and a page continues. */
export function key(namespace: string | undefined, name: string): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function sorted(table: ReadonlyMap<string, KubernetesObject>, namespace: string | undefined): KubernetesObject[] {
  return [...table]
    .filter(([, object]) => namespace === undefined || object.metadata.namespace === namespace)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([, object]) => object);
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const field of Object.values(value)) freeze(field);
    Object.freeze(value);
  }
  return value;
}
