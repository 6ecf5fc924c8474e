import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { proofCommand } from '../proof-by-hand.ts';
import type { Estate } from './estate.ts';

/** Leaves everything up until `enough`, and says how to look around. */
export async function keepOpen(estate: Estate, enough: () => Promise<unknown>): Promise<void> {
  const { installation, cluster, database, narrator } = estate;
  const { aws, postgres } = installation;
  const { accessKeyId, secretAccessKey, sessionToken } = aws.clientOptions.credentials;
  const folder = await mkdtemp(join(tmpdir(), 'rekey-demo-'));
  try {
    const kubeconfig = join(folder, 'kubeconfig');
    await writeFile(kubeconfig, cluster.kubeconfig, { mode: 0o600 });
    const proof = await proofCommand({ arn: database.secretArn, name: 'shop/database' }, 'shop');

    narrator.chapter('Still up, until Ctrl-C');
    narrator.quote([
      `export AWS_ACCESS_KEY_ID=${accessKeyId} AWS_SECRET_ACCESS_KEY=${secretAccessKey}`,
      `export AWS_SESSION_TOKEN=${sessionToken} AWS_REGION=${aws.region} AWS_DEFAULT_REGION=${aws.region}`,
      `aws --endpoint-url ${aws.endpoint} secretsmanager list-secrets`,
      `aws --endpoint-url ${aws.endpoint} secretsmanager describe-secret --secret-id shop/database`,
      `aws --endpoint-url ${aws.endpoint} secretsmanager rotate-secret --secret-id shop/database`,
    ]);
    narrator.quote([
      `export KUBECONFIG=${kubeconfig}${cluster.kubectlFolder === undefined ? '' : ` PATH=${cluster.kubectlFolder}:$PATH`}`,
      'kubectl get deployments,statefulsets,pods -A',
      'kubectl -n shop rollout status deployment/orders',
      'kubectl -n shop annotate deployment/docs looked-at=yes',
      '# what Rekey did with a workload, as Events',
      'kubectl -n shop describe deployment/storefront',
      '# the proof: of each pod what it mounts, and since when it runs',
      proof,
    ]);
    narrator.say(`PostgreSQL listens on ${postgres.host}:${postgres.port}, its CA is ${postgres.caFile}`);
    await enough();
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
