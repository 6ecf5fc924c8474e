import type { ComponentClient } from '../component-client.ts';
import type { Activity } from '../controllers/reconciler.ts';
import { type OwnerReference, type Pod, type SecretObject, type SecretProviderClass, sameJson } from '../objects.ts';

const MANAGED = 'secrets-store.csi.k8s.io/managed';

export interface SyncedSecretsOptions {
  readonly client: ComponentClient;
  readonly activity: Activity;
  /** Whether a mount changes a Secret that exists: the driver's since 1.6. Before, its reconciler alone does. */
  readonly overwrites: boolean;
}

type Target = NonNullable<SecretProviderClass['spec']['secretObjects']>[number];

/** What the driver makes of `secretObjects`: Kubernetes Secrets from mounted files, some time after the mount. */
export class SyncedSecrets {
  readonly #options: SyncedSecretsOptions;
  #held: Promise<void> = Promise.resolve();

  constructor(options: SyncedSecretsOptions) {
    this.#options = options;
  }

  /** Nothing is written after a mount until the returned function is called. */
  hold(): () => void {
    let release = () => {};
    this.#held = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  /** After a mount; nobody waits for it, the pod least of all. */
  mounted(pod: Pod, { spec }: SecretProviderClass, files: ReadonlyMap<string, string>): void {
    const held = this.#held;
    const contents = new Map(files);
    const write = async () => {
      await held;
      const done = this.#options.activity.begin();
      try {
        for (const target of spec.secretObjects ?? []) await this.#afterMount(pod, target, contents);
      } finally {
        done();
      }
    };
    write().catch((error) => this.#options.activity.fail(error));
  }

  /** What the reconciler until 1.5 does after it fetched: brings Secrets that exist up to date, and says so. */
  async rotate(pod: Pod, { spec }: SecretProviderClass, files: ReadonlyMap<string, string>): Promise<void> {
    for (const target of spec.secretObjects ?? []) {
      const data = dataOf(target, files);
      const secret = await this.#read(pod, target);
      if (data === undefined || secret === undefined || sameJson(secret.data ?? {}, data)) continue;
      await this.#options.client.edit(secret, (draft) => {
        draft.data = data;
      });
      const message = `successfully rotated K8s secret ${target.secretName}`;
      this.#options.client.recordEvent(pod, 'Normal', 'SecretRotationComplete', message);
    }
  }

  async #afterMount(pod: Pod, target: Target, files: ReadonlyMap<string, string>): Promise<void> {
    const { client, overwrites } = this.#options;
    const { namespace = '' } = pod.metadata;
    const data = dataOf(target, files);
    if (data === undefined) {
      const message = `file matching objectName of secret ${target.secretName} not found in the pod`;
      client.recordEvent(pod, 'Warning', 'FailedToCreateSecret', message);
      return;
    }
    const owners = ownersOf(pod);
    const created = await client.create('secrets', namespace, {
      ...client.typeOf('secrets'),
      metadata: {
        name: target.secretName ?? '',
        labels: { ...target.labels, [MANAGED]: 'true' },
        ...(target.annotations ? { annotations: target.annotations } : {}),
        ownerReferences: owners,
      },
      type: target.type ?? 'Opaque',
      data,
    });
    const present = created ?? (await this.#read(pod, target));
    if (created !== undefined || present === undefined) return;
    await client.edit(present, (draft) => {
      const known = draft.metadata.ownerReferences ?? [];
      const more = owners.filter(({ uid }) => !known.some((one) => one.uid === uid));
      draft.metadata.ownerReferences = [...known, ...more];
      if (overwrites) draft.data = data;
    });
  }

  async #read(pod: Pod, { secretName = '' }: Target): Promise<SecretObject | undefined> {
    return await this.#options.client.read('secrets', pod.metadata.namespace, secretName);
  }
}

/** undefined: a file that it asks for is not mounted. */
function dataOf({ data = [] }: Target, files: ReadonlyMap<string, string>): Record<string, string> | undefined {
  const entries = data.map(({ objectName = '', key = '' }) => [key, files.get(objectName)] as const);
  if (entries.some(([, text]) => text === undefined)) return undefined;
  return Object.fromEntries(entries.map(([key, text = '']) => [key, Buffer.from(text).toString('base64')]));
}

/** Whoever owns the pod, so that the Secret outlives it; the pod itself, if nobody does. */
function ownersOf({ metadata: { name, uid, ownerReferences = [] } }: Pod): OwnerReference[] {
  if (ownerReferences.length === 0) return [{ apiVersion: 'v1', kind: 'Pod', name, uid }];
  return ownerReferences.map((owner) => ({
    apiVersion: owner.apiVersion,
    kind: owner.kind,
    name: owner.name,
    uid: owner.uid,
  }));
}
