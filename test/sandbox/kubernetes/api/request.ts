import type { Resource, Resources } from './resources.ts';

/** The verbs that RBAC knows. */
export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** What a request is about, read from its method and path alone. */
export type RequestTarget =
  | {
      readonly kind: 'resource';
      readonly verb: Verb;
      readonly resource: Resource;
      readonly version: string;
      readonly namespace: string | undefined;
      readonly name: string | undefined;
      readonly subresource: string | undefined;
    }
  | { readonly kind: 'other'; readonly verb: string; readonly path: string };

const VERB_OF_METHOD: Readonly<Record<string, Verb>> = {
  GET: 'get',
  HEAD: 'get',
  POST: 'create',
  PUT: 'update',
  PATCH: 'patch',
  DELETE: 'delete',
};

export function requestTarget(resources: Resources, method: string, url: URL): RequestTarget {
  const other = { kind: 'other', verb: method.toLowerCase(), path: url.pathname } as const;
  const match = /^\/(?:api|apis\/([^/]+))\/([^/]+)\/(.+?)\/?$/.exec(url.pathname);
  const verb = VERB_OF_METHOD[method];
  if (match === null || verb === undefined) return other;
  const [, group = '', version = '', rest = ''] = match;
  const segments = rest.split('/').map(decodeURIComponent);

  // `namespaces/NAME` is the object itself; anything but its subresources behind it is in that namespace.
  const inNamespace =
    segments[0] === 'namespaces' && segments.length > 2 && segments[2] !== 'status' && segments[2] !== 'finalize';
  const namespace = inNamespace ? segments[1] : undefined;
  const [plural = '', name, subresource] = inNamespace ? segments.slice(2) : segments;
  const resource = resources.byPath(group, version, plural);
  if (resource === undefined || segments.length > (inNamespace ? 5 : 3)) return other;
  if (inNamespace && !resource.namespaced) return other;
  // An object of a namespaced kind has no path outside its namespace.
  if (resource.namespaced && namespace === undefined && name !== undefined) return other;
  return {
    kind: 'resource',
    verb: collectionVerb(verb, name, url),
    resource,
    version,
    namespace,
    name,
    subresource,
  };
}

function collectionVerb(verb: Verb, name: string | undefined, url: URL): Verb {
  if (verb === 'get' && isWatch(url)) return 'watch';
  if (name !== undefined) return verb;
  if (verb === 'get') return 'list';
  return verb === 'delete' ? 'deletecollection' : verb;
}

function isWatch(url: URL): boolean {
  const watch = url.searchParams.get('watch');
  return watch === 'true' || watch === '1';
}
