import type { Clock } from '../../../../shared/operations/clock.ts';
import type { Kinds } from '../controllers/client.ts';
import type { KubernetesObject, ObjectInput } from '../objects.ts';

/** The API as a node needs it: what it reads is at hand, what it writes may take a while. */
export interface NodeClient {
  readonly clock: Clock;
  now(): string;
  serves(plural: keyof Kinds): boolean;
  typeOf(plural: keyof Kinds): { readonly apiVersion: string; readonly kind: string };
  get<K extends keyof Kinds>(plural: K, namespace: string | undefined, name: string): Kinds[K] | undefined;
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
  /** What comes, changes and goes from now on. @returns a function that ends it */
  watch(plural: keyof Kinds, listener: (change: NodeChange) => void): () => void;
  recordEvent(about: KubernetesObject, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export interface NodeChange {
  /** undefined: it is gone. */
  readonly object: KubernetesObject | undefined;
  readonly previous: KubernetesObject | undefined;
}
