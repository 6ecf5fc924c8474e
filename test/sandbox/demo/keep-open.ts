import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CLUSTER, type Environment } from '../environment.ts';
import type { Narrator } from './narrator.ts';

/** Leaves everything up until Ctrl-C, and says how to look around. */
export async function keepOpen({ aws, kubernetes, postgres }: Environment, narrator: Narrator): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'rekey-demo-'));
  const kubeconfig = join(folder, 'kubeconfig');
  await kubernetes.writeKubeconfig(kubeconfig);
  const { accessKeyId, secretAccessKey, sessionToken } = aws.clientOptions.credentials;

  narrator.chapter('Still up, until Ctrl-C');
  console.log(`
export AWS_ACCESS_KEY_ID=${accessKeyId} AWS_SECRET_ACCESS_KEY=${secretAccessKey}
export AWS_SESSION_TOKEN=${sessionToken} AWS_REGION=${aws.region} AWS_DEFAULT_REGION=${aws.region}
aws --endpoint-url ${aws.endpoint} secretsmanager list-secrets
aws --endpoint-url ${aws.endpoint} secretsmanager describe-secret --secret-id shop/database
aws --endpoint-url ${aws.endpoint} secretsmanager rotate-secret --secret-id shop/database
kubectl --kubeconfig ${kubeconfig} --context ${CLUSTER} get deployments,statefulsets,pods -A
kubectl --kubeconfig ${kubeconfig} -n shop get secretproviderclasspodstatuses
kubectl --kubeconfig ${kubeconfig} -n shop rollout status deployment/orders
kubectl --kubeconfig ${kubeconfig} -n shop annotate deployment/docs looked-at=yes
PostgreSQL listens on ${postgres.host}:${postgres.port}, its CA is ${postgres.caFile}
`);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  await rm(folder, { recursive: true, force: true });
}
