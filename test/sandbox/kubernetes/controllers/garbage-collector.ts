import type { Change, Storage } from '../api/storage.ts';
import type { KubernetesObject } from '../objects.ts';
import type { Client } from './client.ts';
import { type Activity, Reconciler } from './reconciler.ts';

/**
 * Deletes what lost its last owner, waits for dependents where an owner is deleted in the foreground, sets them
 * free where it is orphaning, and empties namespaces that are going.
 */
export function startGarbageCollector(client: Client, storage: Storage, activity: Activity): Reconciler {
  const changed = new Map<string, Change>();
  const reconciler = new Reconciler(activity, (_namespace, uid) => {
    const change = changed.get(uid);
    changed.delete(uid);
    if (change === undefined) return undefined;
    if (change.object === undefined) {
      if (change.previous) afterDeletion(client, storage, change.previous);
    } else if (change.object.metadata.deletionTimestamp !== undefined) finalize(client, storage, change.object);
    else collect(client, storage, change.object);
    return undefined;
  });
  const look = (change: Change) => {
    const object = change.object ?? change.previous;
    if (object === undefined) return;
    const { uid, ownerReferences = [], deletionTimestamp } = object.metadata;
    const concerned = change.object === undefined || deletionTimestamp !== undefined || ownerReferences.length > 0;
    if (!concerned) return;
    changed.set(uid, change);
    reconciler.enqueue('', uid);
  };
  return reconciler.source(storage.watch(look));
}

/** Its dependents may have to go, and whoever waited for it may now go too. */
function afterDeletion(client: Client, storage: Storage, gone: KubernetesObject): void {
  for (const { object } of storage.dependents(gone.metadata.uid)) collect(client, storage, object);
  const owners = (gone.metadata.ownerReferences ?? []).map((owner) => storage.byUid(owner.uid));
  const namespace = gone.metadata.namespace && client.get('namespaces', undefined, gone.metadata.namespace);
  for (const waiting of [...owners, ...(namespace ? [namespace] : [])]) {
    if (waiting?.metadata.deletionTimestamp !== undefined) finalize(client, storage, waiting);
  }
}

/** An object all of whose owners are gone goes too. */
function collect(client: Client, storage: Storage, object: KubernetesObject): void {
  const owners = object.metadata.ownerReferences ?? [];
  if (owners.length === 0 || object.metadata.deletionTimestamp !== undefined) return;
  if (owners.some((owner) => storage.byUid(owner.uid) !== undefined)) return;
  client.delete(object, { propagationPolicy: 'Background' });
}

function finalize(client: Client, storage: Storage, object: KubernetesObject): void {
  const live = storage.byUid(object.metadata.uid);
  if (live === undefined) return;
  if (live.kind === 'Namespace') {
    emptyNamespace(client, storage, live);
    return;
  }
  const finalizers = live.metadata.finalizers ?? [];
  const dependents = storage.dependents(live.metadata.uid).map(({ object: dependent }) => dependent);
  if (finalizers.includes('orphan')) {
    for (const dependent of dependents) {
      client.edit(dependent, (draft) => {
        const kept = draft.metadata.ownerReferences?.filter((owner) => owner.uid !== live.metadata.uid);
        draft.metadata.ownerReferences = kept ?? [];
      });
    }
    removeFinalizer(client, live, 'orphan');
  } else if (finalizers.includes('foregroundDeletion')) {
    for (const dependent of dependents) {
      if (dependent.metadata.deletionTimestamp === undefined)
        client.delete(dependent, { propagationPolicy: 'Foreground' });
    }
    const blocking = storage
      .dependents(live.metadata.uid)
      .some(({ object: dependent }) =>
        dependent.metadata.ownerReferences?.some(
          (owner) => owner.uid === live.metadata.uid && owner.blockOwnerDeletion === true,
        ),
      );
    if (!blocking) removeFinalizer(client, live, 'foregroundDeletion');
  }
}

function removeFinalizer(client: Client, object: KubernetesObject, name: string): void {
  client.edit(object, (draft) => {
    draft.metadata.finalizers = (draft.metadata.finalizers ?? []).filter((one) => one !== name);
  });
}

function emptyNamespace(client: Client, storage: Storage, namespace: KubernetesObject): void {
  const contents = () =>
    client.registry.resources.all
      .filter((resource) => resource.namespaced)
      .flatMap((resource) => storage.list(resource, namespace.metadata.name));
  for (const object of contents()) {
    if (object.metadata.deletionTimestamp === undefined) client.delete(object, { propagationPolicy: 'Background' });
  }
  if (contents().length > 0) return;
  client.edit(namespace, (draft) => {
    draft['spec'] = {};
  });
}
