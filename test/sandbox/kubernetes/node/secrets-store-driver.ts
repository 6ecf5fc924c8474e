import type { ComponentClient } from '../component-client.ts';
import type { Activity } from '../controllers/reconciler.ts';
import { type KubernetesObject, type Pod, type SecretProviderClass, sameJson, type Volume } from '../objects.ts';
import { MountFailed, type ProvidedFile, provideFiles, type ReadSecret } from './aws-provider.ts';
import { SyncedSecrets } from './synced-secrets.ts';

export const DRIVER = 'secrets-store.csi.k8s.io';

/** A mounted volume. The files change in place when the driver rotates; they exist in memory only. */
export interface MountedVolume {
  readonly name: string;
  /** Relative path → contents. */
  readonly files: Map<string, string>;
}

export interface DriverOptions {
  /** 1.5 fetches again by a reconciler of its own; since 1.6 the kubelet republishes volumes. Default: 1.6. */
  readonly version?: '1.5' | '1.6';
  /** Whether it fetches again what is mounted, and how often, as `--rotation-poll-interval` says. */
  readonly rotation: { readonly enabled: boolean; readonly pollMs: number };
}

interface SecretsStoreDriverOptions extends DriverOptions {
  readonly client: ComponentClient;
  readonly activity: Activity;
  readonly readSecret: ReadSecret;
}

interface Target {
  readonly volume: MountedVolume;
  /** The mtime of the directory. */
  writtenAtMs: number;
}

/**
 * The Secrets Store CSI driver on every node: mounts what a SecretProviderClass asks for, reports in a
 * SecretProviderClassPodStatus which version of which object each pod has, and writes Secrets from what is mounted.
 * It is always run with `syncSecret.enabled`.
 */
export class SecretsStoreDriver {
  readonly #options: SecretsStoreDriverOptions;
  readonly #synced: SyncedSecrets;
  /** The directories on the nodes, by the uid of their pod and the name of the volume. */
  readonly #targets = new Map<string, Target>();
  readonly #down = new Set<string>();
  #passedMs = 0;
  #lastRoundMs: number;

  constructor(options: SecretsStoreDriverOptions) {
    this.#options = options;
    this.#synced = new SyncedSecrets({ ...options, overwrites: options.version !== '1.5' });
    this.#lastRoundMs = this.#now();
  }

  /** For the driver alone, so much time has passed. */
  pass(milliseconds: number): void {
    this.#passedMs += milliseconds;
  }

  /** It does not run on this node until the returned function is called. */
  takeDown(node: string): () => void {
    this.#down.add(node);
    return () => this.#down.delete(node);
  }

  /** Secrets are not written from what is mounted until the returned function is called. */
  holdSyncedSecrets(): () => void {
    return this.#synced.hold();
  }

  /** Whether a round over all that is mounted is due: of its reconciler, or of the kubelet's republishing. */
  isRoundDue(): boolean {
    const { rotation, version } = this.#options;
    if (!rotation.enabled) return false;
    if (version !== '1.5') return true;
    if (this.#now() - this.#lastRoundMs < rotation.pollMs) return false;
    this.#lastRoundMs = this.#now();
    return true;
  }

  /**
   * NodePublishVolume. A directory that is mounted already is left as it is, unless (since 1.6, with rotation) it was
   * written longer ago than the poll interval.
   * @param interrupted the driver ends between the mount of the directory and the first file
   * @throws MountFailed
   */
  async publish(pod: Pod, volume: Volume, interrupted = false): Promise<MountedVolume> {
    this.#checkRuns(pod);
    const key = keyOf(pod, volume);
    const present = this.#targets.get(key);
    if (present !== undefined && !this.#isStale(present)) return present.volume;
    const target = present ?? { volume: { name: volume.name, files: new Map() }, writtenAtMs: this.#now() };
    this.#targets.set(key, target);
    if (interrupted && present === undefined) throw new MountFailed('error reading from server: EOF');
    try {
      await this.#fill(pod, volume, target);
    } catch (error) {
      // What could not be filled is unmounted, but for what has been in use.
      if (present === undefined) this.#targets.delete(key);
      throw error;
    }
    return target.volume;
  }

  unpublish(pod: Pod, volume: Volume): void {
    this.#targets.delete(keyOf(pod, volume));
  }

  /** One volume's part of a round. What fails leaves the old files. */
  async fetchAgain(pod: Pod, volume: Volume): Promise<void> {
    if (this.#options.version === '1.5') await this.#rotate(pod, volume);
    // The kubelet hides what a driver answers to a republish, of a volume that is mounted (Kubernetes issue 121271).
    else await this.publish(pod, volume).catch(unlessBug);
  }

  /** The reconciler until 1.5: goes by what was reported, and tells the pod of what it did. */
  async #rotate(pod: Pod, volume: Volume): Promise<void> {
    const { client } = this.#options;
    const target = this.#targets.get(keyOf(pod, volume));
    const reported = this.#reported(pod, volume);
    const current = client.get('pods', pod.metadata.namespace, pod.metadata.name);
    if (target === undefined || reported === undefined || this.#down.has(pod.spec.nodeName ?? '')) return;
    if (current?.metadata.deletionTimestamp !== undefined) return;
    if (['Succeeded', 'Failed'].includes(current?.status?.phase ?? '')) return;
    try {
      const provided = await this.#provide(pod, volume);
      if (!sameJson(reportOf(reported), objectsOf(provided))) {
        replaceFiles(target.volume.files, provided);
        await this.#report(pod, volume, provided);
        client.recordEvent(pod, 'Normal', 'MountRotationComplete', 'successfully rotated mounted contents');
      }
      await this.#synced.rotate(pod, this.#classOf(pod, volume), target.volume.files);
    } catch (error) {
      unlessBug(error);
      client.recordEvent(pod, 'Warning', 'MountRotationFailed', 'failed to rotate mounted contents');
    }
  }

  async #fill(pod: Pod, volume: Volume, target: Target): Promise<void> {
    const provided = await this.#provide(pod, volume);
    replaceFiles(target.volume.files, provided);
    // The provider writes each file anew, and renames it into its place.
    target.writtenAtMs = this.#now();
    await this.#report(pod, volume, provided);
    this.#synced.mounted(pod, this.#classOf(pod, volume), target.volume.files);
  }

  #isStale({ writtenAtMs }: Target): boolean {
    const { rotation, version } = this.#options;
    return version !== '1.5' && rotation.enabled && this.#now() - writtenAtMs >= rotation.pollMs;
  }

  /** It is a DaemonSet, so it is on no node of Fargate's. */
  #checkRuns(pod: Pod): void {
    const name = pod.spec.nodeName ?? '';
    const labels = this.#options.client.get('nodes', undefined, name)?.metadata.labels;
    if (this.#down.has(name) || labels?.['eks.amazonaws.com/compute-type'] === 'fargate')
      throw new MountFailed(`driver name ${DRIVER} not found in the list of registered CSI drivers`);
  }

  #now(): number {
    return this.#options.client.clock.now() + this.#passedMs;
  }

  async #provide(pod: Pod, volume: Volume): Promise<ProvidedFile[]> {
    const found = this.#classOf(pod, volume);
    if (found.spec.provider !== 'aws')
      throw new MountFailed(`error connecting to provider "${found.spec.provider}": provider not found`);
    return await provideFiles(found, this.#options.readSecret);
  }

  #classOf(pod: Pod, volume: Volume): SecretProviderClass {
    const { client } = this.#options;
    const namespace = pod.metadata.namespace ?? '';
    const name = className(volume);
    if (name === undefined) throw new MountFailed('missing secretProviderClass in the volume attributes');
    const found = client.serves('secretproviderclasses')
      ? client.get('secretproviderclasses', namespace, name)
      : undefined;
    if (found === undefined) {
      throw new MountFailed(
        `failed to get secretproviderclass ${namespace}/${name}, error: SecretProviderClass.secrets-store.csi.x-k8s.io "${name}" not found`,
      );
    }
    return found;
  }

  async #report(pod: Pod, volume: Volume, provided: readonly ProvidedFile[]): Promise<void> {
    const { client } = this.#options;
    const { name: podName, namespace = '', uid } = pod.metadata;
    const secretProviderClassName = className(volume) ?? '';
    const name = reportName(pod, volume);
    const status = {
      mounted: true,
      objects: objectsOf(provided),
      podName,
      secretProviderClassName,
      targetPath: `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~csi/${volume.name}/mount`,
    };
    const existing = client.get('secretproviderclasspodstatuses', namespace, name);
    if (existing !== undefined && isOwnedBy(existing, uid)) {
      if (sameJson(existing['status'], status)) return;
      await client.edit(existing, (draft) => {
        draft['status'] = status;
      });
      return;
    }
    // A stateful set's pod keeps its name: the report of its predecessor goes first.
    if (existing !== undefined) await client.delete(existing);
    await client.create('secretproviderclasspodstatuses', namespace, {
      ...client.typeOf('secretproviderclasspodstatuses'),
      metadata: {
        name,
        labels: { 'internal.secrets-store.csi.k8s.io/node-name': pod.spec.nodeName ?? '' },
        ownerReferences: [{ apiVersion: 'v1', kind: 'Pod', name: podName, uid }],
      },
      status,
    });
  }

  #reported(pod: Pod, volume: Volume): KubernetesObject | undefined {
    const { namespace, uid } = pod.metadata;
    const found = this.#options.client.get('secretproviderclasspodstatuses', namespace, reportName(pod, volume));
    return found !== undefined && isOwnedBy(found, uid) ? found : undefined;
  }
}

export function isSecretsStoreVolume(volume: Volume): boolean {
  return volume.csi?.driver === DRIVER;
}

const keyOf = (pod: Pod, volume: Volume) => `${pod.metadata.uid}/${volume.name}`;

function className(volume: Volume): string | undefined {
  return volume.csi?.volumeAttributes?.['secretProviderClass'];
}

function reportName({ metadata: { name, namespace = '' } }: Pod, volume: Volume): string {
  return `${name}-${namespace}-${className(volume) ?? ''}`;
}

function reportOf(report: KubernetesObject): unknown {
  return (report['status'] as { objects?: unknown } | undefined)?.objects;
}

function objectsOf(provided: readonly ProvidedFile[]): { id: string; version: string }[] {
  return provided.map(({ id, version }) => ({ id, version })).sort((left, right) => (left.id < right.id ? -1 : 1));
}

function replaceFiles(files: Map<string, string>, provided: readonly ProvidedFile[]): void {
  files.clear();
  for (const { path, contents } of provided) files.set(path, contents);
}

function isOwnedBy(object: KubernetesObject, uid: string): boolean {
  return (object.metadata.ownerReferences ?? []).some((owner) => owner.uid === uid);
}

function unlessBug(error: unknown): void {
  if (!(error instanceof MountFailed)) throw error;
}
