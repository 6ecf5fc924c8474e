import { parse as parseYaml } from 'yaml';
import type { Clock } from '../../../../shared/operations/clock.ts';
import { isRecord, type KubernetesObject, type ObjectInput } from '../objects.ts';
import { applyJsonPatch, type JsonPatchOperation, PatchFailed } from '../patch/json-patch.ts';
import { applyMergePatch } from '../patch/merge-patch.ts';
import { applyStrategicMergePatch } from '../patch/strategic-merge-patch.ts';
import { type Attributes, type Authorizer, accessDenied, attributesOf, type User } from './authorization.ts';
import { discoveryDocument, REVIEWS } from './discovery.ts';
import { evict } from './eviction.ts';
import { listPage } from './list-page.ts';
import { decodeReview, PROTOBUF } from './protobuf.ts';
import type { DeleteOptions, Registry, WriteOptions } from './registry.ts';
import { type RequestTarget, requestTarget } from './request.ts';
import { apiVersionOf, type Resource } from './resources.ts';
import { type Predicate, parseFieldSelector, parseLabelSelector } from './selectors.ts';
import { badRequest, methodNotAllowed, noSuchPath, StatusError, unsupportedMediaType } from './status-error.ts';
import { partialObjectMetadata, table } from './tables.ts';
import { startWatch, type Watch, type WatchEvent } from './watch.ts';

export interface ApiRequest {
  readonly method: string;
  readonly url: URL;
  readonly accept: string;
  readonly contentType: string;
  readonly userAgent: string;
  readonly body: Buffer;
  readonly user: User;
  /** Whom the sender wants to act as. */
  readonly impersonate: User | undefined;
}

export type ApiResponse =
  | { readonly kind: 'answer'; readonly code: number; readonly body: object | string }
  | {
      readonly kind: 'watch';
      readonly timeoutSeconds: number | undefined;
      start(send: (event: WatchEvent) => void, end: () => void): Watch;
    };

type ResourceTarget = RequestTarget & { kind: 'resource' };

const JSON_PATCH = 'application/json-patch+json';
const MERGE_PATCH = 'application/merge-patch+json';
const STRATEGIC_MERGE_PATCH = 'application/strategic-merge-patch+json';
const APPLY_PATCH = 'application/apply-patch+yaml';

/** From a request that is read and whose sender is known, to the answer. */
export class ApiHandler {
  readonly #registry: Registry;
  readonly #authorizer: Authorizer;
  readonly #clock: Clock;
  readonly #endpoint: () => string;

  constructor(registry: Registry, authorizer: Authorizer, clock: Clock, endpoint: () => string) {
    this.#registry = registry;
    this.#authorizer = authorizer;
    this.#clock = clock;
    this.#endpoint = endpoint;
  }

  target(method: string, url: URL): RequestTarget {
    return requestTarget(this.#registry.resources, method, url);
  }

  /** @throws StatusError */
  handle(received: ApiRequest): ApiResponse {
    const request = { ...received, user: this.#actor(received) };
    const review = REVIEWS.find((one) => request.url.pathname === `/apis/${one.group}/${one.version}/${one.plural}`);
    if (review !== undefined) {
      this.#authorize(request.user, {
        kind: 'resource',
        verb: 'create',
        group: review.group,
        resource: review.plural,
        namespace: undefined,
        name: undefined,
      });
      if (request.method !== 'POST') throw methodNotAllowed();
      return { kind: 'answer', code: 201, body: this.#review(review.kind, request) };
    }
    const target = this.target(request.method, request.url);
    this.#authorize(request.user, attributesOf(target));
    return target.kind === 'other' ? this.#other(target.path, request) : this.#resource(target, request);
  }

  #actor({ user, impersonate }: ApiRequest): User {
    if (impersonate === undefined) return user;
    const wanted = { kind: 'resource', verb: 'impersonate', group: '', namespace: undefined } as const;
    this.#authorize(user, { ...wanted, resource: 'users', name: impersonate.username });
    for (const name of impersonate.groups) this.#authorize(user, { ...wanted, resource: 'groups', name });
    return { ...impersonate, groups: [...new Set([...impersonate.groups, 'system:authenticated'])] };
  }

  #authorize(user: User, wanted: Attributes): void {
    if (!this.#authorizer.allows(user, wanted)) throw accessDenied(user, wanted);
  }

  #other(path: string, request: ApiRequest): ApiResponse {
    if (path === '/healthz' || path === '/livez' || path === '/readyz')
      return { kind: 'answer', code: 200, body: 'ok' };
    const document = discoveryDocument(this.#registry.resources, path, this.#endpoint());
    if (document === undefined) throw noSuchPath();
    if (request.method !== 'GET') throw methodNotAllowed();
    return { kind: 'answer', code: 200, body: document };
  }

  #resource(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const { resource, subresource, name } = target;
    if (resource.plural === 'pods' && subresource === 'eviction') return this.#evict(target, request);
    if (subresource !== undefined && !(subresource === 'status' && resource.status)) throw noSuchPath();
    if (subresource !== undefined && !['get', 'update', 'patch'].includes(target.verb)) throw methodNotAllowed();
    switch (target.verb) {
      case 'get':
        return this.#one(target, request, 200, this.#registry.get(resource, target.namespace, name ?? ''));
      case 'list':
        return this.#list(target, request);
      case 'watch':
        return this.#watch(target, request);
      case 'create':
        return this.#create(target, request);
      case 'update': {
        if (name === undefined) throw methodNotAllowed();
        const input = objectInput(target, request);
        const object = this.#registry.update(resource, target.namespace, name, input, writeOptions(target, request));
        return this.#one(target, request, 200, object);
      }
      case 'patch':
        return this.#patch(target, request);
      case 'delete':
        return this.#delete(target, request);
      case 'deletecollection':
        return this.#deleteCollection(target, request);
    }
    return target.verb satisfies never;
  }

  #create(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const { resource, namespace, name } = target;
    if (name !== undefined || (resource.namespaced && namespace === undefined)) throw methodNotAllowed();
    const input = objectInput(target, request);
    const object = this.#registry.create(resource, namespace, input, writeOptions(target, request));
    return this.#one(target, request, 201, object);
  }

  #patch(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const { resource, namespace, name } = target;
    if (name === undefined) throw methodNotAllowed();
    const options = writeOptions(target, request);
    const change = (live: (object: KubernetesObject) => unknown) =>
      this.#one(target, request, 200, this.#registry.patch(resource, namespace, name, live, options));
    switch (request.contentType) {
      case JSON_PATCH: {
        const operations = parseJson(request.body);
        if (!Array.isArray(operations)) {
          throw badRequest('error decoding patch: json: cannot unmarshal object into Go value of type jsonpatch.Patch');
        }
        return change((live) => patched(JSON_PATCH, () => applyJsonPatch(live, operations as JsonPatchOperation[])));
      }
      case MERGE_PATCH: {
        const patch = parseObject(request.body);
        return change((live) => applyMergePatch(live, patch));
      }
      case STRATEGIC_MERGE_PATCH: {
        if (resource.custom) throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH, APPLY_PATCH]);
        const patch = parseObject(request.body);
        return change((live) => patched(STRATEGIC_MERGE_PATCH, () => applyStrategicMergePatch(live, patch)));
      }
      case APPLY_PATCH: {
        if (!request.url.searchParams.get('fieldManager')) {
          throw invalidOption('fieldManager', 'FieldValueRequired', 'Required value: is required for apply patch');
        }
        const configuration = objectInput(target, request);
        const force = request.url.searchParams.get('force') === 'true';
        const result = this.#registry.apply(resource, namespace, name, configuration, { ...options, force });
        return this.#one(target, request, result.created ? 201 : 200, result.object);
      }
      default:
        throw unsupportedMediaType([JSON_PATCH, MERGE_PATCH, STRATEGIC_MERGE_PATCH, APPLY_PATCH]);
    }
  }

  #delete(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const { resource, namespace, name = '' } = target;
    const result = this.#registry.delete(resource, namespace, name, deleteOptions(request));
    // A real server answers with the object while something still holds it, and for pods always.
    if (result.kind === 'deleting' || resource.kind === 'Pod') return this.#one(target, request, 200, result.object);
    return {
      kind: 'answer',
      code: 200,
      body: {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Success',
        details: {
          name,
          ...(resource.group === '' ? {} : { group: resource.group }),
          kind: resource.plural,
          uid: result.object.metadata.uid,
        },
      },
    };
  }

  #evict(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const { verb, namespace = '', name = '' } = target;
    if (verb !== 'create') throw methodNotAllowed();
    const { metadata, deleteOptions: options } = parseObject(request.body);
    if (isRecord(metadata) && metadata['name'] !== name)
      throw badRequest('name in URL does not match name in Eviction object');
    const { dryRun = false } = writeOptions(target, request);
    evict(this.#registry, namespace, name, { ...(isRecord(options) && options), dryRun });
    return {
      kind: 'answer',
      code: 201,
      body: { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', code: 201 },
    };
  }

  #deleteCollection(target: ResourceTarget, request: ApiRequest): ApiResponse {
    if (target.resource.namespaced && target.namespace === undefined) throw methodNotAllowed();
    const options = deleteOptions(request);
    const page = listPage(this.#registry.storage, target.resource, listQuery(target, request));
    for (const { metadata } of page.items) {
      this.#registry.delete(target.resource, metadata.namespace, metadata.name, options);
    }
    return { kind: 'answer', code: 200, body: this.#listBody(target, request, page.items, page.metadata) };
  }

  #list(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const page = listPage(this.#registry.storage, target.resource, listQuery(target, request));
    return { kind: 'answer', code: 200, body: this.#listBody(target, request, page.items, page.metadata) };
  }

  #listBody(
    target: ResourceTarget,
    request: ApiRequest,
    items: readonly KubernetesObject[],
    metadata: object,
  ): Record<string, unknown> {
    const { resource, version } = target;
    const shown = items.map((object) => inVersion(object, resource, version));
    switch (representation(request.accept)) {
      case 'Table':
        return table(resource, shown, metadata, includeObject(request), this.#clock.now());
      case 'PartialObjectMetadata':
        return {
          kind: 'PartialObjectMetadataList',
          apiVersion: 'meta.k8s.io/v1',
          metadata,
          items: shown.map(partialObjectMetadata),
        };
      case 'object':
        return {
          kind: `${resource.kind}List`,
          apiVersion: apiVersionOf(resource, version),
          metadata,
          // Typed lists leave the type of their items out; those of custom resources carry it.
          items: resource.custom ? shown : shown.map(({ apiVersion: _apiVersion, kind: _kind, ...object }) => object),
        };
    }
  }

  #watch(target: ResourceTarget, request: ApiRequest): ApiResponse {
    const { resource, version } = target;
    const query = request.url.searchParams;
    const seconds = Number(query.get('timeoutSeconds') ?? Number.NaN);
    const shown = (event: WatchEvent): WatchEvent => {
      if (event.type === 'ERROR') return event;
      const object = inVersion(event.object as KubernetesObject, resource, version);
      return { type: event.type, object: event.type === 'BOOKMARK' ? object : this.#body(target, request, object) };
    };
    const watch = {
      namespace: target.namespace,
      matches: selection(target, request),
      resourceVersion: query.get('resourceVersion') ?? undefined,
      bookmarks: query.get('allowWatchBookmarks') === 'true',
      sendInitialEvents: query.get('sendInitialEvents') === 'true',
    };
    return {
      kind: 'watch',
      timeoutSeconds: Number.isNaN(seconds) ? undefined : seconds,
      start: (send, end) => startWatch(this.#registry.storage, resource, watch, (event) => send(shown(event)), end),
    };
  }

  #one(target: ResourceTarget, request: ApiRequest, code: number, object: KubernetesObject): ApiResponse {
    const shown = inVersion(object, target.resource, target.version);
    return { kind: 'answer', code, body: this.#body(target, request, shown) };
  }

  #body(target: ResourceTarget, request: ApiRequest, object: KubernetesObject): object {
    const { resourceVersion } = object.metadata;
    switch (representation(request.accept)) {
      case 'Table':
        return table(target.resource, [object], { resourceVersion }, includeObject(request), this.#clock.now());
      case 'PartialObjectMetadata':
        return partialObjectMetadata(object);
      case 'object':
        return object;
    }
  }

  #review(kind: (typeof REVIEWS)[number]['kind'], request: ApiRequest): object {
    const review = request.contentType === PROTOBUF ? decodeReview(request.body) : parseObject(request.body);
    const spec = isRecord(review['spec']) ? review['spec'] : {};
    const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
    switch (kind) {
      case 'SelfSubjectAccessReview': {
        const wanted = isRecord(spec['resourceAttributes']) ? spec['resourceAttributes'] : undefined;
        const path = isRecord(spec['nonResourceAttributes']) ? spec['nonResourceAttributes'] : {};
        const subresource = text(wanted?.['subresource']);
        const resource = `${wanted?.['resource']}${subresource === undefined ? '' : `/${subresource}`}`;
        const allowed = this.#authorizer.allows(
          request.user,
          wanted === undefined
            ? { kind: 'path', verb: String(path['verb']), path: String(path['path']) }
            : {
                kind: 'resource',
                verb: String(wanted['verb']),
                group: text(wanted['group']) ?? '',
                resource,
                namespace: text(wanted['namespace']),
                name: text(wanted['name']),
              },
        );
        return { ...review, status: { allowed } };
      }
      case 'SelfSubjectRulesReview': {
        const rules = this.#authorizer.rulesFor(request.user, text(spec['namespace']));
        return {
          ...review,
          status: {
            resourceRules: rules.filter((rule) => rule.resources !== undefined),
            nonResourceRules: rules.filter((rule) => rule.nonResourceURLs !== undefined),
            incomplete: false,
          },
        };
      }
      case 'SelfSubjectReview':
        return { ...review, status: { userInfo: request.user } };
    }
  }
}

function invalidOption(field: string, reason: string, message: string): StatusError {
  return new StatusError(422, 'Invalid', `PatchOptions.meta.k8s.io "" is invalid: ${field}: ${message}`, {
    group: 'meta.k8s.io',
    kind: 'PatchOptions',
    causes: [{ reason, message, field }],
  });
}

function writeOptions(target: ResourceTarget, request: ApiRequest): WriteOptions {
  const query = request.url.searchParams;
  const dryRun = query.getAll('dryRun');
  if (dryRun.some((value) => value !== 'All')) {
    const message = `Unsupported value: ${JSON.stringify(dryRun)}: supported values: "All"`;
    throw invalidOption('dryRun', 'FieldValueNotSupported', message);
  }
  return {
    // As the real server names a writer that doesn't name itself: the first word of its User-Agent.
    manager: query.get('fieldManager') || request.userAgent.split('/')[0] || 'unknown',
    version: target.version,
    dryRun: dryRun.length > 0,
    ...(target.subresource === 'status' ? { subresource: 'status' as const } : {}),
  };
}

function deleteOptions(request: ApiRequest): DeleteOptions {
  const body = request.body.length === 0 ? {} : parseObject(request.body);
  const query = request.url.searchParams;
  const grace = body['gracePeriodSeconds'] ?? query.get('gracePeriodSeconds') ?? undefined;
  const orphan = body['orphanDependents'] === true || query.get('orphanDependents') === 'true';
  const propagation = body['propagationPolicy'] ?? query.get('propagationPolicy') ?? (orphan ? 'Orphan' : undefined);
  const preconditions = isRecord(body['preconditions']) ? body['preconditions'] : {};
  const { uid, resourceVersion } = preconditions;
  const dryRun = Array.isArray(body['dryRun']) ? body['dryRun'] : query.getAll('dryRun');
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: Number(grace) }),
    ...(propagation === 'Foreground' || propagation === 'Orphan' || propagation === 'Background'
      ? { propagationPolicy: propagation }
      : {}),
    preconditions: {
      ...(typeof uid === 'string' ? { uid } : {}),
      ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
    },
    dryRun: dryRun.includes('All'),
  };
}

function listQuery(target: ResourceTarget, request: ApiRequest) {
  const query = request.url.searchParams;
  return {
    namespace: target.namespace,
    matches: selection(target, request),
    limit: Number(query.get('limit') ?? 0),
    continueToken: query.get('continue') || undefined,
    resourceVersion: query.get('resourceVersion') ?? undefined,
    exact: query.get('resourceVersionMatch') === 'Exact',
  };
}

function selection(target: ResourceTarget, request: ApiRequest): Predicate<KubernetesObject> | undefined {
  const labels = request.url.searchParams.get('labelSelector');
  const fields = request.url.searchParams.get('fieldSelector');
  const byLabel = labels ? parseLabelSelector(labels) : undefined;
  const byField = fields ? parseFieldSelector(fields, target.resource.kind) : undefined;
  // `watch` on the path of one object watches that one.
  const { name } = target;
  if (!byLabel && !byField && name === undefined) return undefined;
  return (object) =>
    (name === undefined || object.metadata.name === name) &&
    (byLabel?.(object.metadata.labels ?? {}) ?? true) &&
    (byField?.(object) ?? true);
}

/** The object in the body, checked against the path. @throws StatusError 400, 415 */
function objectInput(target: ResourceTarget, request: ApiRequest): ObjectInput {
  const yaml = /yaml$/.test(request.contentType);
  if (!yaml && request.contentType !== 'application/json') {
    throw unsupportedMediaType(['application/json', 'application/yaml']);
  }
  const body = yaml ? parseYamlObject(request.body) : parseObject(request.body);
  const { resource, version, namespace } = target;
  const expected = apiVersionOf(resource, version);
  const apiVersion = body['apiVersion'] ?? expected;
  const kind = body['kind'] ?? resource.kind;
  if (apiVersion !== expected) {
    throw badRequest(
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    );
  }
  if (kind !== resource.kind) {
    throw badRequest(`the kind in the data (${kind}) does not match the expected kind (${resource.kind})`);
  }
  const metadata = isRecord(body['metadata']) ? body['metadata'] : {};
  if (resource.namespaced && metadata['namespace'] && metadata['namespace'] !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request');
  }
  return { ...body, apiVersion: expected, kind: resource.kind, metadata };
}

/** A JSON patch that fails is the client's fault; the real server answers 500 for a strategic one that it can't read. */
function patched(kind: string, apply: () => unknown): unknown {
  try {
    return apply();
  } catch (thrown) {
    if (!(thrown instanceof PatchFailed)) throw thrown;
    throw kind === JSON_PATCH
      ? new StatusError(422, 'Invalid', 'the server rejected our request due to an error in our request', {})
      : new StatusError(500, '', thrown.message);
  }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    throw badRequest("the object provided is unrecognized (must be of type JSON): couldn't be parsed");
  }
}

function parseObject(body: Buffer): Record<string, unknown> {
  const value = parseJson(body);
  if (!isRecord(value)) throw badRequest('the body of the request is not an object');
  return value;
}

function parseYamlObject(body: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseYaml(body.toString());
  } catch {
    throw badRequest('error decoding YAML');
  }
  if (!isRecord(value)) throw badRequest('the body of the request is not an object');
  return value;
}

/** The form that the client prefers among those it accepts. @throws StatusError 406 */
function representation(accept: string): 'Table' | 'PartialObjectMetadata' | 'object' {
  const offers = accept === '' ? ['*/*'] : accept.split(',').map((offer) => offer.trim());
  for (const offer of offers) {
    const [type = '', ...parameters] = offer.split(';').map((part) => part.trim());
    const as = parameters.find((parameter) => parameter.startsWith('as='))?.slice('as='.length);
    if (!['application/json', 'application/*', '*/*'].includes(type)) continue;
    if (as === undefined) return 'object';
    if (!parameters.includes('v=v1')) continue;
    if (as === 'Table') return 'Table';
    if (as.startsWith('PartialObjectMetadata')) return 'PartialObjectMetadata';
  }
  throw new StatusError(406, 'NotAcceptable', 'only the following media types are accepted: application/json');
}

function includeObject(request: ApiRequest): 'Metadata' | 'Object' | 'None' {
  const wanted = request.url.searchParams.get('includeObject');
  return wanted === 'Object' || wanted === 'None' ? wanted : 'Metadata';
}

function inVersion(object: KubernetesObject, resource: Resource, version: string): KubernetesObject {
  const apiVersion = apiVersionOf(resource, version);
  return object.apiVersion === apiVersion ? object : { ...object, apiVersion };
}
