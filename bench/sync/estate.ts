import { randomUUID } from 'node:crypto';
import type { ControlPlane } from '../../test/sandbox/control-plane/control-plane.ts';
import { type Answer, KubernetesClient, MERGE } from '../../test/sandbox/kubernetes/api-client.ts';
import { CANARY, consumerNamed, SECRET } from './secret.ts';

const NAMESPACES = 200;
const CLASSES = 300;
const EXTERNAL_SECRETS = 200;
/** Those that hold consumers of the secret. */
const HOMES = 5;
/** How many creations are on their way at a time. */
const PARALLEL = 24;

/**
 * What a platform team has in one cluster, made by the API of a real server on which no controller runs: what a
 * controller or a kubelet would write, this writes.
 */
export interface Estate {
  /** Makes Deployments until there are so many, spread over all namespaces. */
  growTo(deployments: number): Promise<void>;
  /** Makes consumers of the secret until there are so many, in {@link HOMES} namespaces. They count as Deployments. */
  consumersTo(consumers: number): Promise<void>;
  /**
   * A new version of the secret, which the canary has already: its pod mounted it and started after it, so that all
   * others may follow at once. @returns the versionId
   */
  rotate(): Promise<string>;
  close(): void;
}

interface Consumer {
  readonly namespace: string;
  readonly name: string;
  readonly pod: string;
  readonly podUid: string;
}

export async function createEstate({ endpoint, caPem, adminToken }: ControlPlane): Promise<Estate> {
  const api = new KubernetesClient({ endpoint, ca: caPem, token: adminToken });
  const consumers: Consumer[] = [];
  let deployments = 0;

  const create = async (path: string, body: object) => accepted(await api.create(path, body), path);

  await all(NAMESPACES, (n) =>
    create('/api/v1/namespaces', { ...head('v1', 'Namespace'), metadata: { name: home(n) } }),
  );
  await create('/apis/external-secrets.io/v1/clustersecretstores', {
    ...head('external-secrets.io/v1', 'ClusterSecretStore'),
    metadata: { name: 'aws' },
    spec: { provider: { aws: { service: 'SecretsManager', region: 'eu-west-1' } } },
  });
  await all(CLASSES, (n) =>
    create(`${CSI}/namespaces/${home(n)}/secretproviderclasses`, classOf(home(n), `other-${n}`, `team-${n}/database`)),
  );
  await all(HOMES, (n) =>
    create(`${CSI}/namespaces/${home(n)}/secretproviderclasses`, classOf(home(n), 'orders', SECRET.name)),
  );
  await all(EXTERNAL_SECRETS, (n) =>
    create(`/apis/external-secrets.io/v1/namespaces/${home(n)}/externalsecrets`, {
      ...head('external-secrets.io/v1', 'ExternalSecret'),
      metadata: { name: 'api', namespace: home(n) },
      spec: {
        secretStoreRef: { name: 'aws', kind: 'ClusterSecretStore' },
        refreshInterval: '1h0m0s',
        target: { name: 'api' },
        data: [{ secretKey: 'token', remoteRef: { key: `team-${n}/api`, property: 'token' } }],
      },
    }),
  );

  async function deploy(namespace: string, name: string, secretProviderClass: string): Promise<void> {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
    const template = templateOf(name, secretProviderClass);
    const { metadata } = await create(path, {
      ...head('apps/v1', 'Deployment'),
      metadata: {
        name,
        namespace,
        labels: { app: name, team: namespace },
        annotations: { 'example.com/owner': namespace },
      },
      spec: { replicas: 1, selector: { matchLabels: { app: name } }, template },
    });
    await status(`${path}/${name}`, {
      observedGeneration: 1,
      replicas: 1,
      updatedReplicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
    });
    if (Number(namespace.slice('team-'.length)) >= HOMES) return;
    const set = `${name}-7d9f8b6c5`;
    const { metadata: ofSet } = await create(`/apis/apps/v1/namespaces/${namespace}/replicasets`, {
      ...head('apps/v1', 'ReplicaSet'),
      metadata: {
        name: set,
        namespace,
        labels: { app: name },
        ownerReferences: [ownedBy('apps/v1', 'Deployment', metadata)],
      },
      spec: { replicas: 1, selector: { matchLabels: { app: name } }, template },
    });
    const pod = `${set}-x7k2p`;
    const { metadata: ofPod } = await create(`/api/v1/namespaces/${namespace}/pods`, {
      ...head('v1', 'Pod'),
      metadata: {
        name: pod,
        namespace,
        labels: { app: name },
        ownerReferences: [ownedBy('apps/v1', 'ReplicaSet', ofSet)],
      },
      spec: { ...template.spec, nodeName: `node-${deployments % 50}` },
    });
    await running(namespace, pod, Date.now());
    await create(`${CSI}/namespaces/${namespace}/secretproviderclasspodstatuses`, {
      ...head('secrets-store.csi.x-k8s.io/v1', 'SecretProviderClassPodStatus'),
      metadata: { name: recordOf(pod, secretProviderClass), namespace, ownerReferences: [ownedBy('v1', 'Pod', ofPod)] },
      status: {
        mounted: true,
        podName: pod,
        secretProviderClassName: secretProviderClass,
        objects: [{ id: secretProviderClass === 'orders' ? 'shop_orders' : 'database', version: randomUUID() }],
      },
    });
    if (secretProviderClass === 'orders') consumers.push({ namespace, name, pod, podUid: ofPod.uid });
  }

  async function status(path: string, patch: object): Promise<void> {
    accepted(await api.patch(`${path}/status`, MERGE, { status: patch }), path);
  }

  async function running(namespace: string, pod: string, sinceMs: number): Promise<void> {
    const startedAt = inSeconds(sinceMs);
    await status(`/api/v1/namespaces/${namespace}/pods/${pod}`, {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: startedAt }],
      containerStatuses: CONTAINERS.map((name) => ({
        name,
        image: IMAGE,
        imageID: IMAGE,
        ready: true,
        started: true,
        restartCount: 0,
        state: { running: { startedAt } },
      })),
    });
  }

  return {
    async growTo(wanted) {
      const from = deployments;
      await all(wanted - from, async (n) => {
        const namespace = home(from + n);
        await deploy(namespace, `service-${from + n}`, `other-${(from + n) % NAMESPACES}`);
      });
      deployments = Math.max(from, wanted);
    },

    async consumersTo(wanted) {
      const from = consumers.length;
      await all(wanted - from, (n) => deploy(home((from + n) % HOMES), consumerNamed(from + n), 'orders'));
      deployments += Math.max(0, wanted - from);
    },

    async rotate() {
      const versionId = randomUUID();
      const canary = consumers.find(({ name }) => name === CANARY);
      if (!canary) throw new Error('there is no consumer yet');
      const { namespace, pod } = canary;
      const path = `${CSI}/namespaces/${namespace}/secretproviderclasspodstatuses/${recordOf(pod, 'orders')}`;
      const objects = [{ id: 'shop_orders', version: versionId }];
      accepted(await api.patch(path, MERGE, { status: { objects } }), path);
      // Whole seconds, by the API server's clock: a start in the next one is certain to come after the mount.
      await running(namespace, pod, Date.now() + 1_000);
      return versionId;
    },

    close: () => api.close(),
  };
}

const CSI = '/apis/secrets-store.csi.x-k8s.io/v1';
const IMAGE =
  'registry.example.com/team/service@sha256:5a1f0e3c9b7d4a2e8f6c1b0d3e5f7a9c2b4d6f8e0a1c3e5b7d9f1a3c5e7b9d0f';
const CONTAINERS = ['app', 'proxy'] as const;

const head = (apiVersion: string, kind: string) => ({ apiVersion, kind });
const home = (n: number) => `team-${n % NAMESPACES}`;
const recordOf = (pod: string, secretProviderClass: string) => `${pod}-${secretProviderClass}`;
const inSeconds = (ms: number) => `${new Date(ms).toISOString().slice(0, 19)}Z`;

function ownedBy(apiVersion: string, kind: string, { name, uid }: { readonly name: string; readonly uid: string }) {
  return { apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true };
}

function classOf(namespace: string, name: string, objectName: string): object {
  const objects = [
    { objectName, objectType: 'secretsmanager', ...(name === 'orders' ? {} : { objectAlias: 'database' }) },
  ];
  return {
    ...head('secrets-store.csi.x-k8s.io/v1', 'SecretProviderClass'),
    metadata: { name, namespace },
    spec: { provider: 'aws', parameters: { region: 'eu-west-1', objects: JSON.stringify(objects) } },
  };
}

/** A pod as services have them: two containers with variables, probes and limits, and a volume of the CSI driver. */
function templateOf(app: string, secretProviderClass: string) {
  const probe = {
    httpGet: { path: '/healthz', port: 8080 },
    periodSeconds: 10,
    timeoutSeconds: 2,
    failureThreshold: 3,
  };
  return {
    metadata: { labels: { app }, annotations: { 'prometheus.io/scrape': 'true', 'prometheus.io/port': '9102' } },
    spec: {
      terminationGracePeriodSeconds: 30,
      containers: CONTAINERS.map((name) => ({
        name,
        image: IMAGE,
        env: Array.from({ length: 12 }, (_, n) => ({ name: `SETTING_${n}`, value: `value ${n} of ${app}` })),
        ports: [{ containerPort: name === 'app' ? 8080 : 9102, name: name === 'app' ? 'http' : 'metrics' }],
        resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
        livenessProbe: probe,
        readinessProbe: probe,
        volumeMounts: [{ name: 'secrets', mountPath: '/mnt/secrets', readOnly: true }],
      })),
      volumes: [
        {
          name: 'secrets',
          csi: { driver: 'secrets-store.csi.k8s.io', readOnly: true, volumeAttributes: { secretProviderClass } },
        },
      ],
    },
  };
}

function accepted({ code, body }: Answer, path: string): Answer['body'] {
  if (code >= 300) throw new Error(`${path}: ${code} ${body?.message ?? ''}`);
  return body;
}

/** Runs it for 0, 1, … with some of them at a time. */
async function all(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
