import { randomInt, randomUUID } from 'node:crypto';
import type { Clock } from '../../../../shared/operations/clock.ts';
import { type Condition, isRecord, type KubernetesObject, type ObjectInput, sameJson, timestamp } from '../objects.ts';
import type { OwnershipRules } from '../patch/field-ownership.ts';
import { recordApply, recordUpdate, type Writer } from '../patch/managed-fields.ts';
import { applyConfiguration } from '../patch/server-side-apply.ts';
import { applyDefaults } from './defaults.ts';
import { apiVersionOf, type Resource, type Resources } from './resources.ts';
import { applySchema } from './schema.ts';
import {
  alreadyExists,
  badRequest,
  conflict,
  forbidden,
  invalid,
  notFound,
  StatusError,
  staleResourceVersion,
} from './status-error.ts';
import type { Storage } from './storage.ts';
import { validate } from './validation.ts';

/** Who writes and how. */
export interface WriteOptions {
  /** Recorded in managedFields. */
  readonly manager: string;
  /** The version of the path that the request came by. Default: the preferred one. */
  readonly version?: string;
  readonly subresource?: 'status';
  /** Goes through everything and stores nothing. */
  readonly dryRun?: boolean;
  /** For the sandbox's own kubelet and controllers, which do what the API forbids its clients (bind a pod). */
  readonly trusted?: true;
}

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Background' | 'Foreground' | 'Orphan';
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly dryRun?: boolean;
}

export type DeleteResult =
  | { readonly kind: 'deleted'; readonly object: KubernetesObject }
  /** Finalizers or a graceful termination hold it. */
  | { readonly kind: 'deleting'; readonly object: KubernetesObject };

/** What the API does with objects between the wire and the storage: defaults, rules, generation, ownership. */
export class Registry {
  readonly resources: Resources;
  readonly storage: Storage;
  readonly #clock: Clock;

  constructor(resources: Resources, storage: Storage, clock: Clock) {
    this.resources = resources;
    this.storage = storage;
    this.#clock = clock;
  }

  /** @throws StatusError 404 */
  get(resource: Resource, namespace: string | undefined, name: string): KubernetesObject {
    const object = this.storage.get(resource, namespace, name);
    if (object === undefined) throw notFound(resource, name);
    return object;
  }

  /** @throws StatusError 400, 403, 404, 409, 422 */
  create(
    resource: Resource,
    namespace: string | undefined,
    input: ObjectInput,
    options: WriteOptions,
  ): KubernetesObject {
    const metadata = input.metadata ?? {};
    if (resource.namespaced) this.#admitToNamespace(resource, namespace ?? '', metadata.name ?? '');
    if (metadata.resourceVersion) {
      throw new StatusError(500, '', 'resourceVersion should not be set on objects to be created');
    }
    const name = metadata.name || (metadata.generateName ? `${metadata.generateName}${randomSuffix()}` : '');
    const now = timestamp(this.#clock.now());
    const draft: KubernetesObject = {
      ...typed(resource, input),
      apiVersion: apiVersionOf(resource),
      kind: resource.kind,
      metadata: {
        ...structuredClone(metadata),
        name,
        ...(namespace === undefined ? {} : { namespace }),
        uid: randomUUID(),
        resourceVersion: '',
        creationTimestamp: now,
      },
    };
    delete draft.metadata.deletionTimestamp;
    delete draft.metadata.deletionGracePeriodSeconds;
    delete draft.metadata.managedFields;
    delete draft.metadata.generation;
    if (resource.generation !== undefined) draft.metadata.generation = 1;
    if (resource.status) setInitialStatus(draft, resource);
    if (resource.schema) applySchema(resource.schema, draft);
    applyDefaults(draft);
    dropEmpty(draft);
    validate(resource, draft, undefined);
    if (this.storage.get(resource, namespace, name) !== undefined) throw alreadyExists(resource, name);
    draft.metadata.managedFields = recordUpdate(
      [],
      {},
      draft,
      this.#writer(resource, options),
      rules(resource, options),
    );
    return options.dryRun ? draft : this.storage.put(resource, draft);
  }

  /** Replaces an object, or its status. @throws StatusError 400, 404, 409, 422 */
  update(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    input: ObjectInput,
    options: WriteOptions,
  ): KubernetesObject {
    const live = this.get(resource, namespace, name);
    if (input.metadata?.name !== name) {
      throw otherName(input.metadata?.name ?? '', name);
    }
    if (resource.custom && !input.metadata.resourceVersion) {
      throw invalid(resource, name, [
        {
          reason: 'FieldValueInvalid',
          message: 'Invalid value: 0: must be specified for an update',
          field: 'metadata.resourceVersion',
        },
      ]);
    }
    if (input.metadata.uid && input.metadata.uid !== live.metadata.uid) {
      throw conflict(
        resource,
        name,
        `Precondition failed: UID in precondition: ${input.metadata.uid}, UID in object meta: ${live.metadata.uid}`,
      );
    }
    return this.#write(resource, live, input, options);
  }

  /** Changes an object by a function of its present state. @throws StatusError 404, 409, 422, and what it throws */
  patch(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    change: (live: KubernetesObject) => unknown,
    options: WriteOptions,
  ): KubernetesObject {
    const live = this.get(resource, namespace, name);
    const changed = change(live);
    if (!isObjectInput(changed)) throw badRequest('the patched object is not an object of the API');
    return this.#write(resource, live, changed, options);
  }

  /** For the sandbox's own components: edits a copy in place; a vanished object is left alone. */
  edit<T extends KubernetesObject>(
    object: T,
    change: (draft: T) => void,
    options: Pick<WriteOptions, 'manager' | 'subresource'>,
  ): T | undefined {
    const resource = this.resources.byKind(object.apiVersion, object.kind);
    if (resource === undefined) return undefined;
    const { namespace, name, uid } = object.metadata;
    const live = this.storage.get(resource, namespace, name);
    if (live === undefined || live.metadata.uid !== uid) return undefined;
    const draft = structuredClone(live) as T;
    change(draft);
    return this.#write(resource, live, draft, { ...options, trusted: true }) as T;
  }

  /** Server-side apply: creates what is missing. @throws StatusError 400, 404, 409, 422 */
  apply(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    configuration: ObjectInput,
    options: WriteOptions & { readonly force: boolean },
  ): { created: boolean; object: KubernetesObject } {
    if (configuration.metadata?.managedFields?.length) throw badRequest('metadata.managedFields must be nil');
    const live = this.storage.get(resource, namespace, name);
    const writer: Writer = { ...this.#writer(resource, options), operation: 'Apply' };
    const base = live ?? { metadata: {} };
    const result = applyConfiguration(
      base,
      live?.metadata.managedFields ?? [],
      { ...configuration },
      writer,
      options.force,
      rules(resource, options),
    );
    if (result.kind === 'conflict') throw applyConflict(result.conflicts);
    const record = (after: KubernetesObject) =>
      recordApply(live?.metadata.managedFields ?? [], after, result.applied, result.taken, writer);
    if (live === undefined) {
      const metadata = { ...configuration.metadata, name };
      const created = this.create(resource, namespace, { ...configuration, metadata }, { ...options, dryRun: true });
      const object = { ...created, metadata: { ...created.metadata, managedFields: record(created) } };
      return { created: true, object: options.dryRun ? object : this.storage.put(resource, object) };
    }
    if (!isObjectInput(result.object)) throw badRequest('the applied configuration is not an object of the API');
    return { created: false, object: this.#write(resource, live, result.object, options, record) };
  }

  /** @throws StatusError 404, 409 */
  delete(resource: Resource, namespace: string | undefined, name: string, options: DeleteOptions = {}): DeleteResult {
    const live = this.get(resource, namespace, name);
    const { uid, resourceVersion } = options.preconditions ?? {};
    if (uid !== undefined && uid !== live.metadata.uid) {
      throw conflict(
        resource,
        name,
        `the UID in the precondition (${uid}) does not match the UID in record (${live.metadata.uid}). The object might have been deleted and then recreated`,
      );
    }
    if (resourceVersion !== undefined && resourceVersion !== live.metadata.resourceVersion) {
      throw conflict(
        resource,
        name,
        `Precondition failed: ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${live.metadata.resourceVersion}`,
      );
    }

    const draft = structuredClone(live);
    const finalizers = new Set(draft.metadata.finalizers ?? []);
    if (options.propagationPolicy === 'Foreground') finalizers.add('foregroundDeletion');
    if (options.propagationPolicy === 'Orphan') finalizers.add('orphan');
    if (finalizers.size > 0) draft.metadata.finalizers = [...finalizers];
    const graceSeconds = terminationGrace(live, options.gracePeriodSeconds);
    if (finalizers.size === 0 && graceSeconds === 0 && resource.kind !== 'Namespace') {
      return { kind: 'deleted', object: options.dryRun ? live : this.storage.delete(resource, live) };
    }

    if (resource.kind === 'Namespace') draft['status'] = { ...statusOf(draft), phase: 'Terminating' };
    const already = live.metadata.deletionGracePeriodSeconds;
    if (already === undefined || graceSeconds < already) {
      draft.metadata.deletionTimestamp = timestamp(this.#clock.now() + graceSeconds * 1000);
      draft.metadata.deletionGracePeriodSeconds = graceSeconds;
    }
    if (sameJson(draft, live)) return { kind: 'deleting', object: live };
    if (draft.metadata.generation !== undefined) draft.metadata.generation += 1;
    return { kind: 'deleting', object: options.dryRun ? draft : this.storage.put(resource, draft) };
  }

  #write(
    resource: Resource,
    live: KubernetesObject,
    input: ObjectInput,
    options: WriteOptions,
    owners?: (after: KubernetesObject) => NonNullable<KubernetesObject['metadata']['managedFields']>,
  ): KubernetesObject {
    const { name } = live.metadata;
    const given = input.metadata ?? {};
    if (given.uid && given.uid !== live.metadata.uid) throw immutableMetadata(resource, name, 'uid', given.uid);
    if (given.resourceVersion && given.resourceVersion !== live.metadata.resourceVersion) {
      throw staleResourceVersion(resource, name);
    }
    if (given.name !== undefined && given.name !== name) throw otherName(given.name, name);

    const next = this.#merge(resource, live, input, options);
    if (resource.schema) applySchema(resource.schema, next);
    if (options.subresource === undefined) {
      applyDefaults(next);
      validate(resource, next, live);
      if (resource.kind === 'Pod' && !options.trusted) checkPodUpdate(resource, live, next);
    }
    if (grows(resource, live, next)) next.metadata.generation = (live.metadata.generation ?? 0) + 1;

    const before = live.metadata.managedFields ?? [];
    next.metadata.managedFields = owners
      ? owners(next)
      : recordUpdate(before, live, next, this.#writer(resource, options), rules(resource, options));
    // The real server ignores a write whose only effect were new times in managedFields.
    const same = sameJson(
      { ...next, metadata: { ...next.metadata, managedFields: withoutTimes(next.metadata.managedFields) } },
      { ...live, metadata: { ...live.metadata, managedFields: withoutTimes(before) } },
    );
    if (same) return live;
    if (options.dryRun) return next;
    const finished =
      next.metadata.deletionTimestamp !== undefined &&
      !next.metadata.finalizers?.length &&
      (next.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
      !heldByNamespaceFinalizer(next);
    return finished ? this.storage.delete(resource, next) : this.storage.put(resource, next);
  }

  /** What of the input counts: the status or all else, never the server's own metadata. */
  #merge(resource: Resource, live: KubernetesObject, input: ObjectInput, options: WriteOptions): KubernetesObject {
    if (options.subresource === 'status') return { ...structuredClone(live), status: structuredClone(input['status']) };
    const metadata = structuredClone(input.metadata ?? {});
    const own = live.metadata;
    const next: KubernetesObject = {
      ...typed(resource, input),
      apiVersion: live.apiVersion,
      kind: live.kind,
      metadata: {
        ...metadata,
        name: own.name,
        ...(own.namespace === undefined ? {} : { namespace: own.namespace }),
        uid: own.uid,
        resourceVersion: own.resourceVersion,
        creationTimestamp: own.creationTimestamp,
      },
    };
    for (const field of ['generation', 'deletionTimestamp', 'deletionGracePeriodSeconds', 'generateName'] as const) {
      if (own[field] === undefined) delete next.metadata[field];
      else Object.assign(next.metadata, { [field]: own[field] });
    }
    dropEmpty(next);
    if (resource.status) {
      if (live['status'] === undefined) delete next['status'];
      else next['status'] = structuredClone(live['status']);
    }
    return next;
  }

  #writer(resource: Resource, options: WriteOptions): Writer {
    return {
      manager: options.manager,
      operation: 'Update',
      apiVersion: apiVersionOf(resource, options.version ?? resource.versions[0]),
      subresource: options.subresource,
      time: timestamp(this.#clock.now()),
    };
  }

  #admitToNamespace(resource: Resource, namespace: string, name: string): void {
    const namespaces = this.resources.named('namespaces');
    const found = this.get(namespaces, undefined, namespace);
    if (found.metadata.deletionTimestamp !== undefined) {
      throw forbidden(
        resource,
        name,
        `unable to create new content in namespace ${namespace} because it is being terminated`,
        [
          {
            reason: 'NamespaceTerminating',
            message: `namespace ${namespace} is being terminated`,
            field: 'metadata.namespace',
          },
        ],
      );
    }
  }
}

function rules(resource: Resource, options: WriteOptions): OwnershipRules {
  return {
    atomicLists: resource.custom === true,
    withoutStatus: resource.status === true && options.subresource === undefined,
  };
}

/** A copy as the built-in types decode it: a field that is null is a field that isn't there. */
function typed(resource: Resource, input: ObjectInput): ObjectInput {
  const copy = structuredClone(input);
  if (!resource.custom) dropNulls(copy);
  return copy;
}

/** Metadata that holds nothing is left out. */
function dropEmpty({ metadata }: KubernetesObject): void {
  for (const field of ['labels', 'annotations', 'finalizers', 'ownerReferences'] as const) {
    if (Object.keys(metadata[field] ?? {}).length === 0) delete metadata[field];
  }
}

function dropNulls(value: object): void {
  for (const [name, field] of Object.entries(value)) {
    if (field === null && !Array.isArray(value)) Reflect.deleteProperty(value, name);
    else if (typeof field === 'object' && field !== null) dropNulls(field);
  }
}

function isObjectInput(value: unknown): value is ObjectInput {
  return isRecord(value) && typeof value['kind'] === 'string' && typeof value['apiVersion'] === 'string';
}

function statusOf(object: KubernetesObject): Record<string, unknown> {
  return isRecord(object['status']) ? object['status'] : {};
}

/** A custom resource has none until somebody writes it. */
function setInitialStatus(draft: KubernetesObject, resource: Resource): void {
  if (resource.custom) delete draft['status'];
  else draft['status'] = initialStatus(draft);
}

function initialStatus(object: KubernetesObject): unknown {
  switch (object.kind) {
    case 'Pod':
      return { phase: 'Pending', qosClass: 'BestEffort' };
    case 'Namespace':
      return { phase: 'Active' };
    case 'Service':
      return { loadBalancer: {} };
    case 'ReplicaSet':
    case 'StatefulSet':
      return { replicas: 0 };
    case 'DaemonSet':
      return { currentNumberScheduled: 0, numberMisscheduled: 0, desiredNumberScheduled: 0, numberReady: 0 };
    default:
      return {};
  }
}

function grows(resource: Resource, live: KubernetesObject, next: KubernetesObject): boolean {
  switch (resource.generation) {
    case undefined:
      return false;
    case 'spec':
      return !sameJson(withoutNode(live['spec']), withoutNode(next['spec']));
    case 'spec-or-annotations':
      // The real server's Deployment does this; the other workloads do not.
      return !sameJson(live['spec'], next['spec']) || !sameJson(live.metadata.annotations, next.metadata.annotations);
    case 'anything': {
      const counted = (object: KubernetesObject) => ({
        ...object,
        metadata: undefined,
        ...(resource.status ? { status: undefined } : {}),
      });
      return !sameJson(counted(live), counted(next));
    }
  }
  return resource.generation satisfies never;
}

/** Binding a pod to a node is no change of what was asked for. */
function withoutNode(spec: unknown): unknown {
  return isRecord(spec) ? { ...spec, nodeName: undefined } : spec;
}

/** Only pods end gracefully: those that a kubelet has and that have not ended by themselves. */
function terminationGrace(live: KubernetesObject, asked: number | undefined): number {
  if (live.kind !== 'Pod') return 0;
  const spec = isRecord(live['spec']) ? live['spec'] : {};
  const phase = statusOf(live)['phase'];
  if (!spec['nodeName'] || phase === 'Succeeded' || phase === 'Failed') return 0;
  const own = spec['terminationGracePeriodSeconds'];
  return asked ?? (typeof own === 'number' ? own : 30);
}

function heldByNamespaceFinalizer(object: KubernetesObject): boolean {
  const spec = isRecord(object['spec']) ? object['spec'] : {};
  return object.kind === 'Namespace' && Array.isArray(spec['finalizers']) && spec['finalizers'].length > 0;
}

function withoutTimes(entries: readonly { time: string }[]): unknown[] {
  return entries.map(({ time: _time, ...entry }) => entry);
}

function otherName(given: string, name: string): StatusError {
  return badRequest(`the name of the object (${given}) does not match the name on the URL (${name})`);
}

function immutableMetadata(resource: Resource, name: string, field: string, value: string): StatusError {
  return invalid(resource, name, [
    {
      reason: 'FieldValueInvalid',
      message: `Invalid value: "${value}": field is immutable`,
      field: `metadata.${field}`,
    },
  ]);
}

function checkPodUpdate(resource: Resource, live: KubernetesObject, next: KubernetesObject): void {
  const fixed = (object: KubernetesObject) => {
    const {
      tolerations: _t,
      activeDeadlineSeconds: _a,
      terminationGracePeriodSeconds: _g,
      ...spec
    } = isRecord(object['spec']) ? object['spec'] : {};
    const withoutImages = (list: unknown) =>
      Array.isArray(list) ? list.map((one) => (isRecord(one) ? { ...one, image: '' } : one)) : undefined;
    return {
      ...spec,
      containers: withoutImages(spec['containers']),
      initContainers: withoutImages(spec['initContainers']),
    };
  };
  if (sameJson(fixed(live), fixed(next))) return;
  throw invalid(resource, live.metadata.name, [
    {
      reason: 'FieldValueForbidden',
      message:
        'Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)',
      field: 'spec',
    },
  ]);
}

function applyConflict(conflicts: readonly { manager: string; apiVersion: string; field: string }[]): StatusError {
  const [first] = conflicts;
  const list = conflicts.map((one) => `conflict with "${one.manager}" using ${one.apiVersion}: ${one.field}`);
  const message =
    conflicts.length === 1 && first !== undefined
      ? `Apply failed with 1 conflict: ${list[0]}`
      : `Apply failed with ${conflicts.length} conflicts: ${list.join('\n- ')}`;
  return new StatusError(409, 'Conflict', message, {
    causes: conflicts.map((one) => ({
      reason: 'FieldManagerConflict',
      message: `conflict with "${one.manager}" using ${one.apiVersion}`,
      field: one.field,
    })),
  });
}

/** The alphabet of generated names: no vowels, nothing that looks like something else. */
export const SAFE_CHARACTERS = 'bcdfghjklmnpqrstvwxz2456789';

function randomSuffix(): string {
  return Array.from({ length: 5 }, () => SAFE_CHARACTERS[randomInt(SAFE_CHARACTERS.length)]).join('');
}

/** Sets a condition as controllers do: the transition time moves only with the status. */
export function setCondition(conditions: readonly Condition[], next: Condition, now: string): Condition[] {
  const old = conditions.find((one) => one.type === next.type);
  const lastTransitionTime = old !== undefined && old.status === next.status ? old.lastTransitionTime : now;
  const updated = { ...next, lastTransitionTime: lastTransitionTime ?? now };
  return old === undefined
    ? [...conditions, updated]
    : conditions.map((one) => (one.type === next.type ? updated : one));
}
