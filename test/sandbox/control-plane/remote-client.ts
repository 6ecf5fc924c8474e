import { setTimeout as delay } from 'node:timers/promises';
import { systemClock } from '../../../shared/operations/clock.ts';
import { type Answer, type KubernetesClient, MERGE, Refused, type RequestOptions } from '../kubernetes/api-client.ts';
import type { ComponentChange, ComponentClient } from '../kubernetes/component-client.ts';
import { type Kinds, newEvent } from '../kubernetes/controllers/client.ts';
import {
  controllerOf,
  type KubernetesObject,
  type ObjectInput,
  type Pod,
  sameJson,
  timestamp,
} from '../kubernetes/objects.ts';

const CSI = 'secrets-store.csi.x-k8s.io/v1';
const EXTERNAL_SECRETS = 'external-secrets.io/v1';

/** What components read and write: plural → how the API server calls it. */
const TYPES = {
  pods: { apiVersion: 'v1', kind: 'Pod' },
  nodes: { apiVersion: 'v1', kind: 'Node' },
  namespaces: { apiVersion: 'v1', kind: 'Namespace' },
  events: { apiVersion: 'v1', kind: 'Event' },
  secrets: { apiVersion: 'v1', kind: 'Secret' },
  replicasets: { apiVersion: 'apps/v1', kind: 'ReplicaSet' },
  csidrivers: { apiVersion: 'storage.k8s.io/v1', kind: 'CSIDriver' },
  secretproviderclasses: { apiVersion: CSI, kind: 'SecretProviderClass' },
  secretproviderclasspodstatuses: { apiVersion: CSI, kind: 'SecretProviderClassPodStatus' },
  externalsecrets: { apiVersion: EXTERNAL_SECRETS, kind: 'ExternalSecret' },
  clusterexternalsecrets: { apiVersion: EXTERNAL_SECRETS, kind: 'ClusterExternalSecret' },
  secretstores: { apiVersion: EXTERNAL_SECRETS, kind: 'SecretStore' },
  clustersecretstores: { apiVersion: EXTERNAL_SECRETS, kind: 'ClusterSecretStore' },
  rollouts: { apiVersion: 'argoproj.io/v1alpha1', kind: 'Rollout' },
} as const;
type Plural = keyof typeof TYPES;

/** What components look up, and so is kept at hand. */
const WATCHED = (Object.keys(TYPES) as Plural[]).filter((plural) => plural !== 'events' && plural !== 'csidrivers');

interface Telling {
  readonly event: ObjectInput;
  count: number;
  /** The count that the server has. */
  written: number;
  isWriting: boolean;
}

/** Between two writes of one event: a pod that fails tells of it at every attempt. */
const EVENT_MS = 200;

/** Before what a server would not answer is asked once more. */
const AGAIN_MS = 100;

/**
 * The API of a real server as the simulated components use it: a copy of what they read, kept by watches, and writes in
 * the order in which they were asked for, object by object.
 */
export class RemoteClient implements ComponentClient {
  readonly clock = systemClock;
  readonly #api: KubernetesClient;
  readonly #component: string;
  readonly #failed: (error: unknown) => void;
  readonly #copies = new Map<Plural, Map<string, KubernetesObject>>(WATCHED.map((plural) => [plural, new Map()]));
  readonly #listeners = new Set<{ readonly plural: string; readonly tell: (change: ComponentChange) => void }>();
  /** Object → its last write. */
  readonly #writes = new Map<string, Promise<unknown>>();
  /** What happened to whom → the event that tells it, and how often. */
  readonly #told = new Map<string, Telling>();
  #closed = false;

  /** @param failed hears of what a component cannot handle: a defect of the tests */
  constructor(api: KubernetesClient, component: string, failed: (error: unknown) => void) {
    this.#api = api;
    this.#component = component;
    this.#failed = failed;
  }

  /** Reads what is there, and follows it from then on. */
  async open(): Promise<void> {
    await Promise.all(
      WATCHED.map(async (plural) => {
        const resourceVersion = await this.#list(plural);
        this.#follow(plural, resourceVersion).catch((error) => this.#closed || this.#failed(error));
      }),
    );
  }

  /** What was asked for is written before this resolves. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#writes.values());
  }

  now(): string {
    return timestamp(this.clock.now());
  }

  serves(plural: keyof Kinds): boolean {
    return plural in TYPES;
  }

  typeOf(plural: keyof Kinds): { readonly apiVersion: string; readonly kind: string } {
    return TYPES[plural as Plural];
  }

  get<K extends keyof Kinds>(plural: K, namespace: string | undefined, name: string): Kinds[K] | undefined {
    return this.#copies.get(plural as Plural)?.get(`${namespace ?? ''}/${name}`) as Kinds[K] | undefined;
  }

  list<K extends keyof Kinds>(plural: K, namespace?: string): Kinds[K][] {
    const all = [...(this.#copies.get(plural as Plural)?.values() ?? [])] as Kinds[K][];
    return namespace === undefined ? all : all.filter(({ metadata }) => metadata.namespace === namespace);
  }

  controlled<K extends keyof Kinds>(plural: K, owner: KubernetesObject): Kinds[K][] {
    return this.list(plural, owner.metadata.namespace)
      .filter((object) => controllerOf(object)?.uid === owner.metadata.uid)
      .sort((left, right) => left.metadata.creationTimestamp.localeCompare(right.metadata.creationTimestamp));
  }

  async read<K extends keyof Kinds>(
    plural: K,
    namespace: string | undefined,
    name: string,
  ): Promise<Kinds[K] | undefined> {
    const { code, body } = await this.#ask('GET', `${pathOf(plural as Plural, namespace)}/${name}`);
    if (code === 404) return undefined;
    if (code !== 200) throw new Error(`reading ${plural} ${namespace}/${name}: ${code} ${body.message}`);
    this.#keep(plural as Plural, body);
    return body;
  }

  async evict(pod: Pod): Promise<boolean> {
    const { namespace = '', name, uid } = pod.metadata;
    const { code, body } = await this.#api.create(`${pathOf('pods', namespace)}/${name}/eviction`, {
      apiVersion: 'policy/v1',
      kind: 'Eviction',
      metadata: { name, namespace },
      deleteOptions: { preconditions: { uid } },
    });
    if (code === 429) return false;
    // One that is gone, or was replaced, need not go.
    if (![200, 201, 404, 409].includes(code)) throw new Error(`evicting ${namespace}/${name}: ${code} ${body.message}`);
    return true;
  }

  async create<K extends keyof Kinds>(
    plural: K,
    namespace: string | undefined,
    input: ObjectInput,
  ): Promise<Kinds[K] | undefined> {
    const { code, body } = await this.#ask('POST', pathOf(plural as Plural, namespace), { body: input });
    if (code === 201) {
      this.#keep(plural as Plural, body);
      return body;
    }
    // It exists, or its namespace is going or gone.
    if ([403, 404, 409].includes(code)) return undefined;
    throw new Error(`creating ${input.kind} ${input.metadata?.name}: ${code} ${body.message}`);
  }

  edit<T extends KubernetesObject>(object: T, change: (draft: T) => void): Promise<void> {
    return this.#edit(object, change, '');
  }

  editStatus<T extends KubernetesObject>(object: T, change: (draft: T) => void): Promise<void> {
    return this.#edit(object, change, '/status');
  }

  delete(object: KubernetesObject, options: { readonly gracePeriodSeconds?: number } = {}): Promise<void> {
    return this.#inOrder(object, async (path) => {
      const { uid } = object.metadata;
      const { code, body } = await this.#ask('DELETE', path, { body: { ...options, preconditions: { uid } } });
      if (![200, 202, 404, 409].includes(code)) throw new Error(`deleting ${path}: ${code} ${body.message}`);
      if (code !== 202) this.#drop(pluralOf(object), object);
    });
  }

  watch(plural: keyof Kinds, tell: (change: ComponentChange) => void): () => void {
    const listener = { plural, tell };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  recordEvent(about: KubernetesObject, type: 'Normal' | 'Warning', reason: string, message: string): void {
    const key = `${about.metadata.uid}/${reason}/${message}`;
    const telling = this.#told.get(key) ?? {
      event: newEvent(about, type, reason, message, this.#component, this.now()),
      count: 0,
      written: 0,
      isWriting: false,
    };
    this.#told.set(key, telling);
    telling.count += 1;
    if (!telling.isWriting) this.#tellOf(telling).catch((error) => this.#closed || this.#failed(error));
  }

  /** One write at a time: what is told again meanwhile is counted, and written with the next. */
  async #tellOf(telling: Telling): Promise<void> {
    const { namespace, name } = telling.event.metadata ?? {};
    telling.isWriting = true;
    while (telling.written < telling.count && !this.#closed) {
      const { count } = telling;
      if (telling.written === 0) await this.create('events', namespace, { ...telling.event, count });
      else
        await this.#ask('PATCH', `${pathOf('events', namespace)}/${name}`, {
          contentType: MERGE,
          body: { count, lastTimestamp: this.now() },
        });
      telling.written = count;
      await delay(EVENT_MS, undefined, { ref: false });
    }
    telling.isWriting = false;
  }

  #edit<T extends KubernetesObject>(object: T, change: (draft: T) => void, subresource: string): Promise<void> {
    return this.#inOrder(object, async (path) => {
      const { name, namespace, uid } = object.metadata;
      let present: KubernetesObject | undefined = this.get(pluralOf(object), namespace, name);
      while (present?.metadata.uid === uid) {
        const draft = structuredClone(present) as T;
        change(draft);
        if (sameJson(draft, present)) return;
        const { code, body } = await this.#ask('PUT', `${path}${subresource}`, { body: draft });
        if (code === 200) {
          this.#keep(pluralOf(object), body);
          return;
        }
        if (code === 404) return;
        if (code !== 409) throw new Error(`changing ${path}${subresource}: ${code} ${body.message}`);
        const again = await this.#ask('GET', path);
        present = again.code === 200 ? again.body : undefined;
      }
    });
  }

  /** Again where the server is too busy to answer. */
  async #ask(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    for (;;) {
      const answer = await this.#api.send(method, path, options);
      if (!isBusy(answer.code) || this.#closed) return answer;
      await delay(AGAIN_MS);
    }
  }

  /** After what was asked for before of the same object. */
  #inOrder(object: KubernetesObject, write: (path: string) => Promise<void>): Promise<void> {
    const { namespace, name } = object.metadata;
    const path = `${pathOf(pluralOf(object), namespace)}/${name}`;
    const written = (this.#writes.get(path) ?? Promise.resolve())
      .then(() => write(path))
      .catch((error) => {
        if (!this.#closed) this.#failed(error);
      });
    this.#writes.set(path, written);
    return written.finally(() => {
      if (this.#writes.get(path) === written) this.#writes.delete(path);
    });
  }

  async #list(plural: Plural): Promise<string> {
    // A server that has just learned of a kind, or is busy, has no list for a moment.
    const body = await this.#api.until(pathOf(plural), ({ items }) => Array.isArray(items));
    for (const item of body.items) this.#keep(plural, { ...TYPES[plural], ...item });
    return body.metadata.resourceVersion;
  }

  async #follow(plural: Plural, from: string): Promise<void> {
    let resourceVersion = from;
    while (!this.#closed) {
      const path = `${pathOf(plural)}?watch=true&allowWatchBookmarks=true&resourceVersion=${resourceVersion}`;
      try {
        for await (const { type, object } of this.#api.events(path)) {
          if (type === 'ERROR') {
            // Its history is gone: what is there now comes from a list.
            resourceVersion = await this.#list(plural);
            break;
          }
          ({ resourceVersion } = object.metadata);
          if (type === 'DELETED') this.#drop(plural, object);
          else if (type !== 'BOOKMARK') this.#keep(plural, object);
        }
      } catch (error) {
        if (this.#closed) return;
        const isCut = ['ECONNRESET', 'ECONNREFUSED'].includes((error as NodeJS.ErrnoException).code ?? '');
        if (!isCut && !(error instanceof Refused && isBusy(error.code))) throw error;
        await delay(AGAIN_MS);
      }
    }
  }

  /** The later of what is known and what was heard. */
  #keep(plural: Plural, object: KubernetesObject): void {
    const copy = this.#copies.get(plural);
    const previous = copy?.get(keyOf(object));
    if (copy === undefined || (previous && !isLater(object, previous))) return;
    copy.set(keyOf(object), object);
    // One that took the other's place in a moment that was not watched.
    if (previous && previous.metadata.uid !== object.metadata.uid) this.#tell(plural, { object: undefined, previous });
    this.#tell(plural, { object, previous });
  }

  #drop(plural: Plural, object: KubernetesObject): void {
    const copy = this.#copies.get(plural);
    const previous = copy?.get(keyOf(object));
    if (previous?.metadata.uid !== object.metadata.uid) return;
    copy?.delete(keyOf(object));
    this.#tell(plural, { object: undefined, previous });
  }

  #tell(plural: Plural, change: ComponentChange): void {
    if (this.#closed) return;
    for (const listener of this.#listeners) if (listener.plural === plural) listener.tell(change);
  }
}

const isBusy = (code: number) => [429, 503, 504].includes(code);

const keyOf = ({ metadata: { namespace = '', name } }: KubernetesObject) => `${namespace}/${name}`;

/** etcd's revision: one count for all. */
function isLater(left: KubernetesObject, right: KubernetesObject): boolean {
  return BigInt(left.metadata.resourceVersion) > BigInt(right.metadata.resourceVersion);
}

function pluralOf({ kind }: KubernetesObject): Plural {
  const found = (Object.keys(TYPES) as Plural[]).find((plural) => TYPES[plural].kind === kind);
  if (found === undefined) throw new Error(`no component has anything to do with a ${kind}`);
  return found;
}

function pathOf(plural: Plural, namespace?: string): string {
  const { apiVersion } = TYPES[plural];
  const root = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  return namespace === undefined ? `${root}/${plural}` : `${root}/namespaces/${namespace}/${plural}`;
}
