import type { Clock } from '../../../shared/operations/clock.ts';
import type { Kinds } from './controllers/client.ts';
import type { KubernetesObject, ObjectInput, Pod } from './objects.ts';

/**
 * The API as a simulated component of a cluster needs it (a node, an operator), of the sandbox's server or of a real one:
 * what it reads is at hand, what it writes may take a while.
 */
export interface ComponentClient {
  readonly clock: Clock;
  now(): string;
  serves(plural: keyof Kinds): boolean;
  typeOf(plural: keyof Kinds): { readonly apiVersion: string; readonly kind: string };
  get<K extends keyof Kinds>(plural: K, namespace: string | undefined, name: string): Kinds[K] | undefined;
  /** Of one namespace, or of all. */
  list<K extends keyof Kinds>(plural: K, namespace?: string): readonly Kinds[K][];
  /** What an object controls, oldest first. */
  controlled<K extends keyof Kinds>(plural: K, owner: KubernetesObject): readonly Kinds[K][];
  /** As the server has it at this moment, not as it was last heard of. */
  read<K extends keyof Kinds>(
    plural: K,
    namespace: string | undefined,
    name: string,
  ): Kinds[K] | undefined | Promise<Kinds[K] | undefined>;
  /** @returns undefined when it cannot be there: it exists, or its namespace is gone */
  create<K extends keyof Kinds>(
    plural: K,
    namespace: string | undefined,
    input: ObjectInput,
  ): Kinds[K] | undefined | Promise<Kinds[K] | undefined>;
  /** Changes the object as it is now; one that is gone or was replaced is left alone. */
  edit<T extends KubernetesObject>(object: T, change: (draft: T) => void): unknown;
  editStatus<T extends KubernetesObject>(object: T, change: (draft: T) => void): unknown;
  delete(object: KubernetesObject, options?: { readonly gracePeriodSeconds?: number }): unknown;
  /** By the eviction API. @returns false when a PodDisruptionBudget forbids it now */
  evict(pod: Pod): boolean | Promise<boolean>;
  /** What comes, changes and goes from now on. @returns a function that ends it */
  watch(plural: keyof Kinds, listener: (change: ComponentChange) => void): () => void;
  recordEvent(about: KubernetesObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export interface ComponentChange {
  /** undefined: it is gone. */
  readonly object: KubernetesObject | undefined;
  readonly previous: KubernetesObject | undefined;
}
