import { CreateSecretCommand, PutSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import type { Installation } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
import type { KubernetesClient } from '../sandbox/kubernetes/api-client.ts';
import { applyObjects } from '../sandbox/kubernetes/create-objects.ts';
import type { KubernetesObject, ObjectInput, Pod } from '../sandbox/kubernetes/objects.ts';

export interface WorkloadOptions {
  /** @default Deployment */
  readonly kind?: 'Deployment' | 'StatefulSet' | 'DaemonSet';
  readonly annotations?: Readonly<Record<string, string>>;
  readonly templateAnnotations?: Readonly<Record<string, string>>;
  /** The SecretProviderClass that its pods mount. @default secret */
  readonly secretProviderClass?: string;
}

const PLURALS = ['deployments', 'statefulsets', 'daemonsets'];
const REPLICAS = 2;

/** A namespace of the cluster and the workloads in it, which mount a secret through the CSI driver. */
export class Team {
  readonly #api: KubernetesClient;
  readonly #declared: ObjectInput[];
  readonly namespace: string;

  /** @param api an administrator's */
  constructor(api: KubernetesClient, namespace: string) {
    this.#api = api;
    this.namespace = namespace;
    this.#declared = [{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }];
  }

  /** A SecretProviderClass. @param object further members of its one object, e.g. `objectVersion` */
  mounts(secretName: string, { name = 'secret', version = 'v1', object = {} } = {}): this {
    const objects = JSON.stringify([{ objectName: secretName, objectType: 'secretsmanager', ...object }]);
    this.#declared.push({
      apiVersion: `secrets-store.csi.x-k8s.io/${version}`,
      kind: 'SecretProviderClass',
      metadata: { name, namespace: this.namespace },
      spec: { provider: 'aws', parameters: { objects } },
    });
    return this;
  }

  runs(name: string, options: WorkloadOptions = {}): this {
    this.#declared.push(this.#manifest(name, options));
    return this;
  }

  /** What was declared since is there. */
  async applied(): Promise<this> {
    await applyObjects(this.#api, this.#declared.splice(0));
    return this;
  }

  /** All pods of all workloads are there and ready, and their controllers have seen it. */
  async ready(): Promise<this> {
    await this.applied();
    await eventually(`the pods of ${this.namespace}`, async () => {
      const [pods, workloads] = [await this.pods(), await this.workloads()];
      return pods.length >= REPLICAS * workloads.length && pods.every(isReady) && workloads.every(isSettled);
    });
    return this;
  }

  async workloads(): Promise<readonly KubernetesObject[]> {
    const lists = await Promise.all(PLURALS.map((plural) => this.#list(`/apis/apps/v1/${this.#path}/${plural}`)));
    return lists.flat();
  }

  async workload(name: string): Promise<KubernetesObject> {
    const found = (await this.workloads()).find(({ metadata }) => metadata.name === name);
    if (!found) throw new Error(`no workload ${name}`);
    return found;
  }

  async pods(app?: string): Promise<readonly Pod[]> {
    const pods = (await this.#list(`/api/v1/${this.#path}/pods`)) as unknown as readonly Pod[];
    return pods.filter(({ metadata }) => app === undefined || metadata.labels?.['app'] === app);
  }

  /** One for each template that a Deployment had. */
  async replicaSets(): Promise<readonly KubernetesObject[]> {
    return await this.#list(`/apis/apps/v1/${this.#path}/replicasets`);
  }

  /** All that Rekey could write on the workloads, or on one of them. */
  async written(name?: string): Promise<object> {
    const workloads = name === undefined ? await this.workloads() : [await this.workload(name)];
    return Object.fromEntries(
      workloads.map(({ metadata, ...rest }) => [metadata.name, [metadata.annotations, rest['spec']]]),
    );
  }

  /** The marker on the pod template. */
  async marker(name: string): Promise<string | undefined> {
    const spec = (await this.workload(name))['spec'] as { template: { metadata?: Annotated } };
    return markerIn(spec.template.metadata);
  }

  /** The marker on the object itself. */
  async ownMarker(name: string): Promise<string | undefined> {
    return markerIn((await this.workload(name)).metadata);
  }

  get #path(): string {
    return `namespaces/${this.namespace}`;
  }

  async #list(path: string): Promise<readonly KubernetesObject[]> {
    return (await this.#api.get(path)).body.items;
  }

  #manifest(
    name: string,
    {
      kind = 'Deployment',
      annotations = {},
      templateAnnotations = {},
      secretProviderClass = 'secret',
    }: WorkloadOptions,
  ) {
    const labels = { app: name };
    const volume = { driver: 'secrets-store.csi.k8s.io', readOnly: true, volumeAttributes: { secretProviderClass } };
    const manifest: ObjectInput = {
      apiVersion: 'apps/v1',
      kind,
      metadata: { name, namespace: this.namespace, annotations },
      spec: {
        ...(kind === 'DaemonSet' ? {} : { replicas: REPLICAS }),
        ...(kind === 'StatefulSet' ? { serviceName: name } : {}),
        selector: { matchLabels: labels },
        template: {
          metadata: { labels, annotations: templateAnnotations },
          spec: {
            volumes: [{ name: 'secret', csi: volume }],
            containers: [{ name: 'app', image: 'app:1', volumeMounts: [{ name: 'secret', mountPath: '/mnt/secret' }] }],
          },
        },
      },
    };
    return manifest;
  }
}

type Annotated = { readonly annotations?: Readonly<Record<string, string>> };

const STEERING = ['rekey.dev/mode', 'rekey.dev/wave', 'rekey.dev/secrets'];

function markerIn(metadata: Annotated | undefined): string | undefined {
  const annotations = Object.entries(metadata?.annotations ?? {});
  return annotations.find(([key]) => key.startsWith('rekey.dev/') && !STEERING.includes(key))?.[1];
}

export function isReady({ status }: Pod): boolean {
  return (status?.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True');
}

/** Until then Rekey says that a rollout of it is under way. */
function isSettled({ metadata, status }: KubernetesObject): boolean {
  const { observedGeneration, updatedReplicas, updatedNumberScheduled } = (status ?? {}) as Readonly<
    Record<string, number | undefined>
  >;
  return observedGeneration === metadata.generation && (updatedReplicas ?? updatedNumberScheduled ?? 0) >= REPLICAS;
}

/** A secret that no database stands behind. */
export interface PlainSecret {
  readonly name: string;
  readonly arn: string;
  /** A new value by hand. @returns its versionId */
  put(): Promise<string>;
}

export async function createPlainSecret(
  { secretsManager }: Installation,
  name: string,
  tags: Readonly<Record<string, string>> = {},
): Promise<PlainSecret> {
  const value = (n: number) => JSON.stringify({ apiKey: `${name}-${n}` });
  let n = 1;
  const { ARN: arn = '' } = await secretsManager.send(
    new CreateSecretCommand({
      Name: name,
      SecretString: value(n),
      Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })),
    }),
  );
  return {
    name,
    arn,
    async put() {
      n += 1;
      const { VersionId = '' } = await secretsManager.send(
        new PutSecretValueCommand({ SecretId: arn, SecretString: value(n) }),
      );
      return VersionId;
    },
  };
}
