import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAuthority } from '../certificates.ts';
import { eventually } from '../eventually.ts';
import { KubernetesClient } from '../kubernetes/api-client.ts';
import type { CustomResourceDefinition } from '../kubernetes/custom-resources/definition.ts';
import { CUSTOM_RESOURCES } from '../kubernetes/custom-resources/index.ts';
import { kubeconfig } from '../kubernetes/kubeconfig.ts';
import {
  removedOnFailure,
  type ServerProcess,
  type ServerProcessOptions,
  startServerProcess,
} from '../server-process.ts';
import { program } from './programs.ts';

export interface ControlPlaneOptions {
  readonly clusterName: string;
  /** Whom the API server asks of tokens that are not the admin's: the URL of a TokenReview webhook, and its authority. */
  readonly tokenReview?: { readonly url: string; readonly caPem: string };
  /** False: what is created stays as it was sent, for nothing acts on it. Default: true. */
  readonly controllers?: boolean;
}

export interface ControlPlane {
  readonly endpoint: string;
  readonly caPem: string;
  /** Of a member of system:masters. */
  readonly adminToken: string;
  readonly kubeconfig: string;
  /** etcd forgets its history, as it does every five minutes: lists that are under way answer 410 from now on. */
  compact(): Promise<void>;
  stop(): Promise<void>;
}

/** Kubernetes itself: etcd, API server, controller manager and scheduler as processes on 127.0.0.1. There is no node. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const running: ServerProcess[] = [];
  const stop = async () => {
    for (const server of running.splice(0).reverse()) await server.stop();
  };
  const start = async (name: string, files: Readonly<Record<string, string>>, server: Server) => {
    const folder = await mkdtemp(join(tmpdir(), `rekey-${name}-`));
    const started = await removedOnFailure(folder, async () => {
      for (const [file, content] of Object.entries(files))
        await writeFile(join(folder, file), content, { mode: 0o600 });
      return await startServerProcess({
        name,
        folder,
        ready: server.ready,
        gaveUp: /^(Error:|panic:|F\d{4} )|"level":"fatal"|"command failed"/m,
        signal: 'KILL',
        command: (port) => server.command((file) => join(folder, file), port),
      });
    });
    running.push(started);
    return started;
  };

  const authority = createAuthority(options.clusterName);
  const { certificate, key } = authority.issue(['localhost', '127.0.0.1', 'kubernetes.default.svc']);
  const serviceAccounts = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const adminToken = randomBytes(24).toString('base64url');
  try {
    const etcd = await start('etcd', {}, ETCD);
    const apiServer = await start(
      'kube-apiserver',
      {
        'server.crt': certificate,
        'server.key': key,
        'service-accounts.key': serviceAccounts.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
        'service-accounts.pub': serviceAccounts.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
        'tokens.csv': `${adminToken},admin,admin,"system:masters"\n`,
        ...(options.tokenReview ? { 'token-review.json': webhook(options.tokenReview) } : {}),
      },
      apiServerOf(etcd.port, options.tokenReview !== undefined),
    );
    const endpoint = `https://127.0.0.1:${apiServer.port}`;
    const admin = kubeconfig(options.clusterName, endpoint, authority.certificate, adminToken);
    const api = new KubernetesClient({ endpoint, ca: authority.certificate, token: adminToken });
    try {
      await eventually('an API server that is ready', async () => (await api.get('/readyz')).code === 200);
      const controllers = [
        () => start('kube-controller-manager', { kubeconfig: admin }, CONTROLLER_MANAGER),
        () => start('kube-scheduler', { kubeconfig: admin }, SCHEDULER),
      ];
      await Promise.all([
        ...(options.controllers === false ? [] : controllers.map((controller) => controller())),
        install(api),
      ]);
    } finally {
      api.close();
    }
    const compact = () => compactHistory(`http://127.0.0.1:${etcd.port}`);
    return { endpoint, caPem: authority.certificate, adminToken, kubeconfig: admin, compact, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** By etcd's JSON gateway. */
async function compactHistory(etcd: string): Promise<void> {
  const ask = async (method: string, body: object) => {
    const answer = await fetch(`${etcd}/v3/kv/${method}`, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd, ${method}: ${answer.status} ${await answer.text()}`);
    return (await answer.json()) as { readonly header: { readonly revision: string } };
  };
  const encode = (text: string) => Buffer.from(text).toString('base64');
  const { header } = await ask('put', { key: encode('/rekey-tests/compacted'), value: encode('now') });
  await ask('compaction', { revision: header.revision });
  // By this key API servers learn that one of them had etcd do so, and empty their own caches (apiserver, compact.go).
  await ask('put', { key: encode('compact_rev_key'), value: encode(header.revision) });
}

interface Server {
  readonly command: (path: (file: string) => string, port: number) => readonly string[];
  readonly ready: ServerProcessOptions['ready'];
}

const ETCD: Server = {
  command: (path, port) => [
    program('etcd'),
    `--data-dir=${path('data')}`,
    '--unsafe-no-fsync',
    `--listen-client-urls=http://127.0.0.1:${port}`,
    `--advertise-client-urls=http://127.0.0.1:${port}`,
    '--listen-peer-urls=http://127.0.0.1:0',
  ],
  ready: /ready to serve client requests/,
};

const apiServerOf = (etcdPort: number, asksForTokens: boolean): Server => ({
  command: (path, port) => [
    program('kube-apiserver'),
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    `--tls-cert-file=${path('server.crt')}`,
    `--tls-private-key-file=${path('server.key')}`,
    `--token-auth-file=${path('tokens.csv')}`,
    ...(asksForTokens
      ? [
          `--authentication-token-webhook-config-file=${path('token-review.json')}`,
          '--authentication-token-webhook-version=v1',
        ]
      : []),
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${path('service-accounts.pub')}`,
    `--service-account-signing-key-file=${path('service-accounts.key')}`,
    '--service-cluster-ip-range=10.96.0.0/16',
    '--endpoint-reconciler-type=none',
    // Pods need no service account here, and nobody heals the taints of nodes.
    '--disable-admission-plugins=ServiceAccount,TaintNodesByCondition',
  ],
  ready: /Serving securely/,
});

const CONTROLLER_MANAGER: Server = {
  command: (path) => [
    program('kube-controller-manager'),
    `--kubeconfig=${path('kubeconfig')}`,
    '--secure-port=0',
    '--leader-elect=false',
    // By default a controller writes 20 times a second, and sixty workloads take most of a minute.
    '--kube-api-qps=1000',
    '--kube-api-burst=1000',
    // Nodes are not watched over: simulated ones send no heartbeat.
    '--controllers=*,-node-lifecycle-controller,-serviceaccount-token-controller',
  ],
  ready: /Started controller|Caches are synced/,
};

const SCHEDULER: Server = {
  command: (path) => [
    program('kube-scheduler'),
    `--kubeconfig=${path('kubeconfig')}`,
    '--secure-port=0',
    '--leader-elect=false',
  ],
  ready: /Starting Kubernetes Scheduler/,
};

async function install(api: KubernetesClient): Promise<void> {
  const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
  const installOne = async (definition: CustomResourceDefinition) => {
    const { code, body } = await api.create(definitions, definition);
    if (code !== 201) throw new Error(`${definition.metadata.name}: ${code} ${body.message}`);
    const { group, names, versions } = definition.spec;
    const path = `/apis/${group}/${versions[0]?.name}/${names.plural}`;
    await eventually(`${names.plural} are served`, async () => (await api.get(path)).code === 200);
  };
  await Promise.all(CUSTOM_RESOURCES.map(installOne));
}

/** How an API server is told of a webhook: a kubeconfig whose cluster is the webhook. */
function webhook({ url, caPem }: { readonly url: string; readonly caPem: string }): string {
  return kubeconfig('token-review', url, caPem, 'none');
}
