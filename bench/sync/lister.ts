import { Agent, request } from 'node:https';
import { serve, type Target } from './process.ts';

/**
 * The least lists that answer who uses a secret and how far its pods are: one connection that stays open, JSON parsed,
 * nothing kept. `<page size> <namespace> <namespace> …` is the order; a page size of 0 asks for whole lists.
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
  const [limit, ...namespaces] = order.split(' ');
  const startedAt = performance.now();
  let requests = 0;
  for (const path of [...EVERYWHERE, ...namespaces.flatMap(IN_NAMESPACES)]) {
    let token = '';
    do {
      const query = limit === '0' ? '' : `?limit=${limit}${token && `&continue=${encodeURIComponent(token)}`}`;
      const page = await get(`${path}${query}`, target, agent);
      requests += 1;
      token = page.metadata?.continue ?? '';
    } while (token !== '');
  }
  return { ms: performance.now() - startedAt, requests, methods: { GET: requests } };
});

function get(
  path: string,
  { endpoint, token }: Target,
  connection: Agent,
): Promise<{ readonly metadata?: { readonly continue?: string } }> {
  return new Promise((resolve, reject) => {
    const sent = request(`${endpoint}${path}`, {
      agent: connection,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json' },
    });
    sent.on('error', reject);
    sent.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString();
        if (response.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`${path}: ${response.statusCode} ${text.slice(0, 200)}`));
      });
    });
    sent.end();
  });
}
