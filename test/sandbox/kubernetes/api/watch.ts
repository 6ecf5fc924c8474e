import type { KubernetesObject } from '../objects.ts';
import { parseResourceVersion, tooLarge } from './list-page.ts';
import type { Resource } from './resources.ts';
import type { Predicate } from './selectors.ts';
import { expired, type StatusError } from './status-error.ts';
import { type Change, Compacted, type Storage, storageName } from './storage.ts';

export interface WatchQuery {
  readonly namespace: string | undefined;
  readonly matches: Predicate<KubernetesObject> | undefined;
  readonly resourceVersion: string | undefined;
  readonly bookmarks: boolean;
  /** Send the present state first and mark its end with a bookmark, as a streaming list asks. */
  readonly sendInitialEvents: boolean;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: object;
}

export interface Watch {
  /** Tells the client how far it is. */
  bookmark(): void;
  stop(): void;
}

/**
 * Starts a watch. From nothing or "0" it begins with the present state; from a resourceVersion with what came
 * after; too old a one ends it with an ERROR event of status 410, as the real server's watch cache does.
 * @param end called when the watch is over by itself
 */
export function startWatch(
  storage: Storage,
  resource: Resource,
  query: WatchQuery,
  send: (event: WatchEvent) => void,
  end: () => void,
): Watch {
  const from = parseResourceVersion(query.resourceVersion);
  const fail = (error: StatusError): Watch => {
    send({ type: 'ERROR', object: error.status });
    end();
    return { bookmark() {}, stop() {} };
  };
  if (from !== undefined && from > storage.revision) return fail(tooLarge(from, storage.revision));

  const forward = (change: Change) => {
    const event = visible(change, resource, query);
    if (event !== undefined) send(event);
  };
  const bookmark = (annotations?: Record<string, string>) =>
    send({
      type: 'BOOKMARK',
      object: {
        kind: resource.kind,
        apiVersion: '',
        metadata: {
          resourceVersion: `${storage.revision}`,
          creationTimestamp: null,
          ...(annotations ? { annotations } : {}),
        },
      },
    });

  if (!from || query.sendInitialEvents) {
    for (const object of storage.list(resource, query.namespace)) {
      if (query.matches?.(object) ?? true) send({ type: 'ADDED', object });
    }
    if (query.sendInitialEvents) bookmark({ 'k8s.io/initial-events-end': 'true' });
  } else {
    try {
      for (const change of storage.since(from)) forward(change);
    } catch (thrown) {
      if (thrown instanceof Compacted) return fail(expired(`too old resource version: ${from} (${thrown.oldest})`));
      throw thrown;
    }
  }
  const stop = storage.watch(forward);
  return {
    stop,
    bookmark() {
      if (query.bookmarks) bookmark();
    },
  };
}

/** A change as this watch sees it: an object that comes to match is added, one that ceases to is deleted. */
function visible(change: Change, resource: Resource, query: WatchQuery): WatchEvent | undefined {
  if (storageName(change.resource) !== storageName(resource)) return undefined;
  const { object, previous } = change;
  const any = object ?? previous;
  if (any === undefined || (query.namespace !== undefined && any.metadata.namespace !== query.namespace)) {
    return undefined;
  }
  const matches = query.matches ?? (() => true);
  const before = previous !== undefined && matches(previous);
  const after = object !== undefined && matches(object);
  if (after) return { type: before ? 'MODIFIED' : 'ADDED', object };
  if (!before) return undefined;
  const resourceVersion = `${change.revision}`;
  return { type: 'DELETED', object: { ...previous, metadata: { ...previous.metadata, resourceVersion } } };
}
