import type { ComponentClient } from '../component-client.ts';
import { type KubernetesObject, type Pod, sameJson, type Volume } from '../objects.ts';
import { MountFailed, type ProvidedFile, provideFiles, type ReadSecret } from './aws-provider.ts';

export const DRIVER = 'secrets-store.csi.k8s.io';

/** A mounted volume. The files change in place when the driver rotates; they exist in memory only. */
export interface MountedVolume {
  readonly name: string;
  /** Relative path → contents. */
  readonly files: Map<string, string>;
}

/**
 * The Secrets Store CSI driver on one node: mounts what a SecretProviderClass asks for and reports in a
 * SecretProviderClassPodStatus which version of which object each pod has.
 */
export class SecretsStoreDriver {
  readonly #client: ComponentClient;
  readonly #readSecret: ReadSecret;

  constructor(client: ComponentClient, readSecret: ReadSecret) {
    this.#client = client;
    this.#readSecret = readSecret;
  }

  /** @throws MountFailed */
  async mount(pod: Pod, volume: Volume): Promise<MountedVolume> {
    const provided = await this.#provide(pod, volume);
    await this.#report(pod, volume, provided);
    return { name: volume.name, files: contents(provided) };
  }

  /** Fetches again, and replaces the files and the report where something changed. @throws MountFailed */
  async remount(pod: Pod, volume: Volume, mounted: MountedVolume): Promise<void> {
    const provided = await this.#provide(pod, volume);
    await this.#report(pod, volume, provided);
    mounted.files.clear();
    for (const [path, text] of contents(provided)) mounted.files.set(path, text);
  }

  async #provide(pod: Pod, volume: Volume): Promise<ProvidedFile[]> {
    const namespace = pod.metadata.namespace ?? '';
    const name = className(volume);
    if (name === undefined) throw new MountFailed('missing secretProviderClass in the volume attributes');
    const found = this.#client.serves('secretproviderclasses')
      ? this.#client.get('secretproviderclasses', namespace, name)
      : undefined;
    if (found === undefined) {
      throw new MountFailed(
        `failed to get secretproviderclass ${namespace}/${name}, error: SecretProviderClass.secrets-store.csi.x-k8s.io "${name}" not found`,
      );
    }
    if (found.spec.provider !== 'aws') {
      throw new MountFailed(`error connecting to provider "${found.spec.provider}": provider not found`);
    }
    return provideFiles(found, this.#readSecret);
  }

  async #report(pod: Pod, volume: Volume, provided: readonly ProvidedFile[]): Promise<void> {
    const { name: podName, namespace = '', uid } = pod.metadata;
    const secretProviderClassName = className(volume) ?? '';
    const name = `${podName}-${namespace}-${secretProviderClassName}`;
    const status = {
      mounted: true,
      objects: provided
        .map(({ id, version }) => ({ id, version }))
        .sort((left, right) => (left.id < right.id ? -1 : 1)),
      podName,
      secretProviderClassName,
      targetPath: `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~csi/${volume.name}/mount`,
    };
    const existing = this.#client.get('secretproviderclasspodstatuses', namespace, name);
    if (existing !== undefined && isOwnedBy(existing, uid)) {
      if (sameJson(existing['status'], status)) return;
      await this.#client.edit(existing, (draft) => {
        draft['status'] = status;
      });
      return;
    }
    // A stateful set's pod keeps its name: the report of its predecessor goes first.
    if (existing !== undefined) await this.#client.delete(existing);
    await this.#client.create('secretproviderclasspodstatuses', namespace, {
      ...this.#client.typeOf('secretproviderclasspodstatuses'),
      metadata: {
        name,
        labels: { 'internal.secrets-store.csi.k8s.io/node-name': pod.spec.nodeName ?? '' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: podName, uid }],
      },
      status,
    });
  }
}

export function isSecretsStoreVolume(volume: Volume): boolean {
  return volume.csi?.driver === DRIVER;
}

function className(volume: Volume): string | undefined {
  return volume.csi?.volumeAttributes?.['secretProviderClass'];
}

function contents(provided: readonly ProvidedFile[]): Map<string, string> {
  return new Map(provided.map((file) => [file.path, file.contents]));
}

function isOwnedBy(object: KubernetesObject, uid: string): boolean {
  return (object.metadata.ownerReferences ?? []).some((owner) => owner.uid === uid);
}
