import { CreateSecretCommand, PutSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import type { Environment, Installation } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
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
  readonly #environment: Environment;
  readonly namespace: string;

  constructor(environment: Environment, namespace: string) {
    this.#environment = environment;
    this.namespace = namespace;
    environment.kubernetes.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  }

  /** A SecretProviderClass. @param object further members of its one object, e.g. `objectVersion` */
  mounts(secretName: string, { name = 'secret', version = 'v1', object = {} } = {}): this {
    const objects = JSON.stringify([{ objectName: secretName, objectType: 'secretsmanager', ...object }]);
    this.#environment.kubernetes.apply({
      apiVersion: `secrets-store.csi.x-k8s.io/${version}`,
      kind: 'SecretProviderClass',
      metadata: { name, namespace: this.namespace },
      spec: { provider: 'aws', parameters: { objects } },
    });
    return this;
  }

  runs(name: string, options: WorkloadOptions = {}): this {
    this.#environment.kubernetes.apply(this.#manifest(name, options));
    return this;
  }

  /** All pods of all workloads are there and ready. */
  async ready(): Promise<this> {
    await eventually(`the pods of ${this.namespace}`, () => {
      const pods = this.pods();
      return pods.length >= REPLICAS * this.workloads().length && pods.every(isReady);
    });
    return this;
  }

  workloads(): readonly KubernetesObject[] {
    return PLURALS.flatMap((plural) => this.#environment.kubernetes.list(plural, this.namespace));
  }

  workload(name: string): KubernetesObject {
    const found = this.workloads().find(({ metadata }) => metadata.name === name);
    if (!found) throw new Error(`no workload ${name}`);
    return found;
  }

  pods(app?: string): readonly Pod[] {
    const pods = this.#environment.kubernetes.list('pods', this.namespace) as unknown as readonly Pod[];
    return pods.filter(({ metadata }) => app === undefined || metadata.labels?.['app'] === app);
  }

  /** What a change of any kind would change. */
  resourceVersions(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.workloads().map(({ metadata }) => [metadata.name, metadata.resourceVersion]));
  }

  /** The marker on the pod template. */
  marker(name: string): string | undefined {
    const spec = this.workload(name)['spec'] as { template: { metadata?: Annotated } };
    return markerIn(spec.template.metadata);
  }

  /** The marker on the object itself. */
  ownMarker(name: string): string | undefined {
    return markerIn(this.workload(name).metadata);
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
