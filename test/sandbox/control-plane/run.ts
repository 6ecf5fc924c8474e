/** `npm run cluster`: a real Kubernetes until Ctrl-C. Every secret that a pod mounts is empty, at version v1. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRealKubernetes } from './index.ts';

const cluster = await startRealKubernetes({
  clusterName: 'rekey',
  readSecret: async () => ({ versionId: 'v1', value: '{}' }),
});
const folder = await mkdtemp(join(tmpdir(), 'rekey-cluster-'));
const path = join(folder, 'kubeconfig');
await writeFile(path, cluster.kubeconfig, { mode: 0o600 });
console.log(`Kubernetes is at ${cluster.endpoint}; its nodes are simulated. Ctrl-C ends it.`);
console.log(`export KUBECONFIG=${path} PATH=$PWD/.cache/control-plane:$PATH`);

let ending = false;
async function end(): Promise<void> {
  if (ending) return;
  ending = true;
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
  process.exit();
}
process.on('SIGINT', end).on('SIGTERM', end);
