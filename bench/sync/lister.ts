import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:https';
import { serve, type Target, type Work } from './process.ts';
import { CANARY, isConsumer } from './secret.ts';

/**
 * The least that anybody sends: one connection that stays open, JSON parsed, nothing kept.
 * `list <page size> <namespace> <namespace> …` asks for the lists that answer who uses a secret and how far its pods are;
 * a page size of 0 asks for whole lists. `patch <how many> <namespace> <namespace> …` writes an annotation on so many
 * consumers and on their templates, one after the other, and finds out which before its time begins.
 */

const EVERYWHERE = [
  '/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses',
  '/apis/apps/v1/deployments',
  '/apis/apps/v1/statefulsets',
  '/apis/apps/v1/daemonsets',
  '/apis/argoproj.io/v1alpha1/rollouts',
  '/apis/batch/v1/cronjobs',
  '/apis/external-secrets.io/v1/externalsecrets',
  '/apis/external-secrets.io/v1/secretstores',
  '/apis/external-secrets.io/v1/clustersecretstores',
];
const IN_NAMESPACES = (namespace: string) => [
  `/api/v1/namespaces/${namespace}/pods`,
  `/apis/apps/v1/namespaces/${namespace}/replicasets`,
  `/apis/secrets-store.csi.x-k8s.io/v1/namespaces/${namespace}/secretproviderclasspodstatuses`,
];

let agent: Agent | undefined;

serve(async (order, target) => {
  agent ??= new Agent({ keepAlive: true, maxSockets: 1, ca: target.caPem });
  const connection: Connection = { target, agent };
  const [what, count = '', ...namespaces] = order.split(' ');
  return what === 'patch' ? patch(Number(count), namespaces, connection) : list(count, namespaces, connection);
});

async function list(limit: string, namespaces: readonly string[], connection: Connection): Promise<Work> {
  const startedAt = performance.now();
  let requests = 0;
  for (const path of [...EVERYWHERE, ...namespaces.flatMap(IN_NAMESPACES)]) {
    let token = '';
    do {
      const query = limit === '0' ? '' : `?limit=${limit}${token && `&continue=${encodeURIComponent(token)}`}`;
      const page = await ask(connection, 'GET', `${path}${query}`);
      requests += 1;
      token = page.metadata?.continue ?? '';
    } while (token !== '');
  }
  return { ms: performance.now() - startedAt, requests, methods: { GET: requests } };
}

async function patch(count: number, namespaces: readonly string[], connection: Connection): Promise<Work> {
  const consumers: string[] = [];
  for (const namespace of namespaces) {
    const path = `/apis/apps/v1/namespaces/${namespace}/deployments`;
    const { items = [] } = await ask(connection, 'GET', path);
    for (const { metadata } of items)
      if (isConsumer(metadata.name) && metadata.name !== CANARY) consumers.push(`${path}/${metadata.name}`);
  }
  const annotations = { 'example.com/patched': randomUUID() };
  const change = JSON.stringify({ metadata: { annotations }, spec: { template: { metadata: { annotations } } } });
  const startedAt = performance.now();
  for (const path of consumers.slice(0, count)) await ask(connection, 'PATCH', `${path}?fieldManager=bench`, change);
  return { ms: performance.now() - startedAt, requests: count, methods: { PATCH: count } };
}

interface Connection {
  readonly target: Target;
  readonly agent: Agent;
}

interface List {
  readonly metadata?: { readonly continue?: string };
  readonly items?: readonly { readonly metadata: { readonly name: string } }[];
}

function ask({ target, agent }: Connection, method: 'GET' | 'PATCH', path: string, change?: string): Promise<List> {
  return new Promise((resolve, reject) => {
    const sent = request(`${target.endpoint}${path}`, {
      method,
      agent,
      headers: {
        authorization: `Bearer ${target.token}`,
        accept: 'application/json',
        ...(change !== undefined && {
          'content-type': 'application/strategic-merge-patch+json',
          'content-length': Buffer.byteLength(change),
        }),
      },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${method} ${path}: ${response.statusCode} ${text.slice(0, 200)}`));
      });
    });
    sent.end(change);
  });
}
