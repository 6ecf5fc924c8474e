import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundle } from '../../infra/bundling.ts';
import { type FunctionSpec, SWEEP, SYNC } from '../../infra/wiring.ts';
import { type AwsSandbox, startAws } from '../../test/sandbox/aws/index.ts';
import { readSecretAs } from '../../test/sandbox/environment.ts';
import { eventually } from '../../test/sandbox/eventually.ts';
import { type KubernetesSandbox, startKubernetes } from '../../test/sandbox/kubernetes/index.ts';

export interface ScaleBench {
  /** One measurement after the other; each number at least the one before. */
  readonly secrets: readonly number[];
  readonly clusters: readonly number[];
  say(line: string): void;
}

/** One invocation of a built bundle, in a process with the memory that the function has. */
export interface Run {
  readonly ms: number;
  /** Resident, at its highest so far. */
  readonly peakMb: number;
  /** Of Secrets Manager and EKS, answered. */
  readonly awsCalls: number;
  readonly kubernetesRequests: number;
}

export interface Scale {
  readonly clusters: number;
  readonly secrets: number;
  readonly sweepCold: Run;
  readonly sweepWarm: Run;
  /** Of a secret that a Deployment in each cluster uses: the pass that marks the first of them. */
  readonly sync: Run;
}

/** Used everywhere; all others in one cluster each. */
const SHARED = 'shared';
const QUEUE = 'sync';

/**
 * Sweep and sync as they are deployed, over as many secrets and clusters as a Rekey may have. AWS and the clusters are
 * the sandbox's, which share the machine with the functions.
 */
export async function benchScale({ secrets, clusters, say }: ScaleBench): Promise<readonly Scale[]> {
  const folder = await mkdtemp(join(tmpdir(), 'rekey-bench-scale-'));
  await Promise.all([SYNC, SWEEP].map((spec) => bundle(spec, join(folder, spec.name))));
  const results: Scale[] = [];
  try {
    for (const number of clusters) {
      const estate = await startEstate(number);
      try {
        for (const wanted of secrets) {
          await estate.grow(wanted);
          results.push(await measure(estate, folder, wanted));
          say(`${number} clusters, ${wanted} secrets: sweep ${results.at(-1)?.sweepCold.ms.toFixed(0)} ms`);
        }
      } finally {
        await estate.close();
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
  return results;
}

interface Estate {
  readonly aws: AwsSandbox;
  readonly clusters: readonly KubernetesSandbox[];
  /** Until there are as many secrets, each named by a SecretProviderClass. */
  grow(secrets: number): Promise<void>;
  close(): Promise<void>;
}

async function startEstate(number: number): Promise<Estate> {
  const aws = await startAws();
  await aws.act('sqs', 'CreateQueue', { QueueName: QUEUE });
  await createSecret(aws, SHARED);
  const clusters: KubernetesSandbox[] = [];
  for (let at = 0; at < number; at += 1) {
    const cluster = await startKubernetes({
      clusterName: `c${at}`,
      readSecret: readSecretAs(aws),
      authenticate: () => ({ username: 'rekey', groups: ['system:masters'] }),
    });
    cluster.apply([classOf(SHARED), deploymentOf(SHARED)]);
    clusters.push(cluster);
  }
  await eventually('all pods to be ready', () => clusters.every(isReady), 300_000);
  aws.setClusters(
    clusters.map(({ endpoint, caPem }, at) => ({
      name: `c${at}`,
      status: 'ACTIVE',
      endpoint,
      certificateAuthority: { data: Buffer.from(caPem).toString('base64') },
    })),
  );
  let there = 1;
  return {
    aws,
    clusters,
    async grow(secrets) {
      for (; there < secrets; there += 1) {
        await createSecret(aws, `app-${there}`);
        clusters[there % number]?.apply(classOf(`app-${there}`));
      }
    },
    async close() {
      await Promise.all(clusters.map((cluster) => cluster.close()));
      await aws.close();
    },
  };
}

async function measure({ aws, clusters }: Estate, folder: string, secrets: number): Promise<Scale> {
  const deploy = (spec: FunctionSpec) =>
    aws.functions.deploy({
      name: spec.name,
      folder: join(folder, spec.name),
      memoryMb: spec.memoryMb,
      timeoutSeconds: spec.timeoutSeconds,
      environment: {
        REKEY_CLUSTERS: JSON.stringify([
          { region: aws.region, names: clusters.map(({ clusterName }) => clusterName).join(' ') },
        ]),
        REKEY_QUEUE_URL: `${aws.endpoint}/${aws.accountId}/${QUEUE}`,
        REKEY_EVENT_BUS: 'default',
        REKEY_ALLOW_LOOPBACK: 'true',
        POWERTOOLS_LOG_LEVEL: 'INFO',
      },
    });
  const run = async (spec: FunctionSpec, event: unknown, says: readonly string[]): Promise<Run> => {
    const [calls, requests] = [aws.calls.length, requestsOf(clusters)];
    const { ok, logs, payload } = await aws.functions.invoke(spec.name, event);
    const report = /Duration: ([\d.]+) ms.*Max Memory Used: (\d+) MB/.exec(logs.at(-1) ?? '');
    if (!ok || report === null || !says.every((text) => logs.some((line) => line.includes(text))))
      throw new Error(`${spec.name} did not do its work: ${JSON.stringify(payload)}\n${logs.join('\n')}`);
    return {
      ms: Number(report[1]),
      peakMb: Number(report[2]),
      awsCalls: aws.calls.length - calls,
      kubernetesRequests: requestsOf(clusters) - requests,
    };
  };

  for (const spec of [SWEEP, SYNC]) deploy(spec);
  const saw = [`"clusters":${clusters.length}`, '"unseen":0'];
  const sweepCold = await run(SWEEP, {}, saw);
  const sweepWarm = await run(SWEEP, {}, saw);
  const versionId = crypto.randomUUID();
  const { ARN } = await aws.act('secretsmanager', 'PutSecretValue', {
    SecretId: SHARED,
    SecretString: '{}',
    ClientRequestToken: versionId,
  });
  const sync = await run(SYNC, { Records: [messageOf(String(ARN), versionId)] }, ['"outcome":"look-again"']);
  return { clusters: clusters.length, secrets, sweepCold, sweepWarm, sync };
}

const requestsOf = (clusters: readonly KubernetesSandbox[]) =>
  clusters.reduce((sum, { requests }) => sum + requests.calls.length, 0);

const createSecret = (aws: AwsSandbox, Name: string) =>
  aws.act('secretsmanager', 'CreateSecret', { Name, SecretString: '{}', ClientRequestToken: crypto.randomUUID() });

const isReady = (cluster: KubernetesSandbox) =>
  cluster.list('deployments').every(({ status }) => (status as { readyReplicas?: number }).readyReplicas === 1);

const classOf = (name: string) => ({
  apiVersion: 'secrets-store.csi.x-k8s.io/v1',
  kind: 'SecretProviderClass',
  metadata: { name, namespace: 'default' },
  spec: { provider: 'aws', parameters: { objects: `- objectName: ${name}\n  objectType: secretsmanager\n` } },
});

const deploymentOf = (name: string) => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name, namespace: 'default' },
  spec: {
    replicas: 1,
    selector: { matchLabels: { app: name } },
    template: {
      metadata: { labels: { app: name } },
      spec: {
        containers: [{ name: 'app', image: 'app', volumeMounts: [{ name: 'secrets', mountPath: '/secrets' }] }],
        volumes: [
          {
            name: 'secrets',
            csi: {
              driver: 'secrets-store.csi.k8s.io',
              readOnly: true,
              volumeAttributes: { secretProviderClass: name },
            },
          },
        ],
      },
    },
  },
});

/** The event as it falls into sync's queue. */
const messageOf = (arn: string, versionId: string) => ({
  messageId: crypto.randomUUID(),
  receiptHandle: 'none',
  attributes: { ApproximateReceiveCount: '1' },
  body: JSON.stringify({
    source: 'aws.secretsmanager',
    'detail-type': 'Secret Label Updated',
    time: new Date().toISOString(),
    resources: [arn],
    detail: { name: SHARED, labelUpdated: 'AWSCURRENT', versionId },
  }),
});
