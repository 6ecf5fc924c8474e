import { setImmediate as nextTurn } from 'node:timers/promises';
import { RekeyError } from '../operations/errors.ts';
import type { KubernetesObject } from './kubernetes-objects.ts';
import { type Requests, statusOf, translated } from './kubernetes-requests.ts';

/** Objects per page of a list. Little is kept of them: the pages are what takes memory. */
const PAGE = 100;
/** How often a list starts again because its pages have become too old (410). */
const LISTS = 3;

/** A kind of object to list. */
export interface Kind {
  readonly name: string;
  readonly plural: string;
  /** The group and version that the server may serve it by, newest first: the first one that it serves is asked. */
  readonly paths: readonly [string, ...string[]];
}

/** What can be listed. */
export interface Lists {
  readonly list: List;
  /** By which the server serves a kind; that of the newest version that Rekey knows until the kind was listed. */
  pathOf(kind: Kind): string;
}

/**
 * All objects of a kind, each read as its page arrives, so that no more than a page of them is held; none where the
 * kind is not installed.
 * @throws RekeyError
 */
type List = <O extends KubernetesObject, T>(
  kind: Kind,
  read: (object: O) => T,
  namespace?: string,
) => Promise<readonly T[]>;

interface Page<O> {
  readonly metadata?: { readonly continue?: string };
  readonly items?: readonly O[];
}

/** The lists of one invocation: what the server serves is learned as they go. */
export function createLists(cluster: string, get: Requests['get']): Lists {
  /** Kind → the path that the server serves it by; undefined where it serves none. */
  const served = new Map<Kind, string | undefined>();

  /** While one page is parsed, the server is at work on the next. */
  async function pages<O, T>(path: string, read: (object: O) => T): Promise<readonly T[]> {
    const found: T[] = [];
    const ask = (token?: string) => get(path, { limit: String(PAGE), ...(token && { continue: token }) });
    let text = await ask();
    for (;;) {
      const expected = continueIn(text);
      const ahead = expected === undefined ? undefined : await sent(ask(expected));
      const page: Page<O> = JSON.parse(text);
      for (const object of page.items ?? []) found.push(read(object));
      const token = page.metadata?.continue;
      if (!token) return found;
      text = await (ahead !== undefined && token === expected ? ahead.answer : ask(token));
    }
  }

  const list: List = async (kind, read, namespace) => {
    const where = namespace === undefined ? '' : `namespaces/${namespace}/`;
    for (const path of served.has(kind) ? [served.get(kind)] : kind.paths) {
      if (path === undefined) return [];
      for (let attempt = 1; ; attempt++) {
        try {
          const found = await pages(`${path}/${where}${kind.plural}`, read);
          served.set(kind, path);
          return found;
        } catch (error) {
          if (statusOf(error) === 404 && isCustom(path)) break;
          if (statusOf(error) === 404) throw noApiServer(cluster, kind);
          if (statusOf(error) === 410 && attempt < LISTS) continue;
          throw translated(cluster, `listing ${kind.name}s${namespace === undefined ? '' : ` in ${namespace}`}`, error);
        }
      }
    }
    served.set(kind, undefined);
    return [];
  };
  return { list, pathOf: (kind) => served.get(kind) ?? kind.paths[0] };
}

/** Groups of custom resources are domains. */
const isCustom = (path: string): boolean => path.includes('.');

/** Taken for an empty cluster, it would leave a secret without consumers. */
const noApiServer = (cluster: string, { name }: Kind): RekeyError =>
  new RekeyError(
    'CLUSTER_UNREACHABLE',
    `cluster "${cluster}", listing ${name}s: 404, but every API server has these: something else answers there`,
  );

/**
 * Where the list goes on, read before the page is parsed: its `metadata` is the first thing in it, or the last where the
 * kind is a custom resource. An expectation only: what counts is what the page says when it is parsed.
 */
function continueIn(page: string): string | undefined {
  return /"metadata":\{(?:"resourceVersion":"\d+",)?"continue":"([\w-]+)"/.exec(page)?.[1];
}

/** undici waits so many turns of the event loop before it writes to a connection that was used before. */
const TURNS_TO_SEND = 3;

/** @returns once the request is on the wire, with its answer to come; nobody has to wait for that */
async function sent<T>(answer: Promise<T>): Promise<{ readonly answer: Promise<T> }> {
  answer.catch(() => undefined);
  for (let turn = 0; turn < TURNS_TO_SEND; turn++) await nextTurn();
  return { answer };
}
