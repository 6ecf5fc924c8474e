import { isRecord, type KubernetesObject } from '../objects.ts';
import type { Resource } from './resources.ts';
import type { Predicate } from './selectors.ts';
import { badRequest, expired, StatusError } from './status-error.ts';
import { Compacted, key, type Storage } from './storage.ts';

export interface ListQuery {
  readonly namespace: string | undefined;
  readonly matches: Predicate<KubernetesObject> | undefined;
  /** 0 or undefined: everything at once. */
  readonly limit: number | undefined;
  readonly continueToken: string | undefined;
  readonly resourceVersion: string | undefined;
  readonly exact: boolean;
}

export interface ListPage {
  readonly items: readonly KubernetesObject[];
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
}

/** Continue from here; -1: whatever the present state is, after the snapshot was lost. */
interface Position {
  readonly revision: number;
  readonly after: string;
}

const INCONSISTENT = -1;

/**
 * One page. All pages of a list show the state of the first one, as long as the history reaches back that far;
 * after that the continue token is answered with 410 and a token that goes on with the present state.
 * @throws StatusError 400, 410, 504
 */
export function listPage(storage: Storage, resource: Resource, query: ListQuery): ListPage {
  const position = query.continueToken === undefined ? undefined : decode(query.continueToken);
  if (position !== undefined && query.resourceVersion && query.resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  const revision = revisionToRead(storage, query, position);
  const all = readAt(storage, resource, query, revision, position);
  const rest = position === undefined ? all : all.filter((object) => keyOf(object) > position.after);
  const matching = query.matches ? rest.filter(query.matches) : rest;
  if (!query.limit || matching.length <= query.limit) {
    return { items: matching, metadata: { resourceVersion: `${revision}` } };
  }
  const items = matching.slice(0, query.limit);
  const last = items.at(-1);
  return {
    items,
    metadata: {
      resourceVersion: `${revision}`,
      continue: encode({ revision, after: last === undefined ? '' : keyOf(last) }),
      // With a selector the server doesn't know how many there are.
      ...(query.matches ? {} : { remainingItemCount: matching.length - items.length }),
    },
  };
}

function revisionToRead(storage: Storage, query: ListQuery, position: Position | undefined): number {
  if (position !== undefined) return position.revision === INCONSISTENT ? storage.revision : position.revision;
  const wanted = parseResourceVersion(query.resourceVersion);
  if (wanted === undefined || wanted === 0) return storage.revision;
  if (wanted > storage.revision) throw tooLarge(wanted, storage.revision);
  return query.exact ? wanted : storage.revision;
}

function readAt(
  storage: Storage,
  resource: Resource,
  query: ListQuery,
  revision: number,
  position: Position | undefined,
): KubernetesObject[] {
  if (revision === storage.revision) return storage.list(resource, query.namespace);
  try {
    return storage.listAt(resource, query.namespace, revision);
  } catch (thrown) {
    if (!(thrown instanceof Compacted)) throw thrown;
    if (position === undefined) throw expired(`The resourceVersion for the provided list is too old.`);
    throw expired(
      'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.',
      encode({ revision: INCONSISTENT, after: position.after }),
    );
  }
}

/** @throws StatusError 400 */
export function parseResourceVersion(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d+$/.test(text))
    throw badRequest(
      `invalid resource version: resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`,
    );
  return Number(text);
}

export function tooLarge(wanted: number, current: number): StatusError {
  return new StatusError(504, 'Timeout', `Too large resource version: ${wanted}, current: ${current}`, {
    causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
    retryAfterSeconds: 1,
  });
}

function keyOf(object: KubernetesObject): string {
  return key(object.metadata.namespace, object.metadata.name);
}

function encode({ revision, after }: Position): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: revision, start: `${after}\u0000` })).toString(
    'base64url',
  );
}

function decode(token: string): Position {
  try {
    const parsed: unknown = JSON.parse(Buffer.from(token, 'base64url').toString());
    if (isRecord(parsed) && parsed['v'] === 'meta.k8s.io/v1') {
      const { rv, start } = parsed;
      if (typeof rv === 'number' && typeof start === 'string') return { revision: rv, after: start.replace(/\0$/, '') };
    }
  } catch {
    // Not JSON: the same answer as for JSON of another form.
  }
  throw badRequest('invalid continue token: continue key is not valid');
}
