import { DescribeSecretCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { Client } from 'pg';
import type { ConsumerProof, ConsumerRef } from '../../../shared/operations/events.ts';
import type { Announcement } from '../environment.ts';
import { collectionOf } from '../kubernetes/create-objects.ts';
import { condition, type KubernetesObject, type Pod, type PodTemplate } from '../kubernetes/objects.ts';
import type { DemoCluster } from './cluster.ts';
import type { Estate } from './estate.ts';

type Credential = Readonly<Record<'host' | 'port' | 'username' | 'password' | 'dbname', string>>;

export async function readCredential({ installation }: Estate, secretArn: string): Promise<Credential> {
  const { SecretString = '{}' } = await installation.secretsManager.send(
    new GetSecretValueCommand({ SecretId: secretArn }),
  );
  return JSON.parse(SecretString) as Credential;
}

export async function versionOf({ installation }: Estate, secretArn: string): Promise<string> {
  const { VersionIdsToStages = {} } = await installation.secretsManager.send(
    new DescribeSecretCommand({ SecretId: secretArn }),
  );
  return Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT'))?.[0] ?? '';
}

/**
 * What the server answers to a login that it refuses, or undefined when it lets the user in.
 * @throws what is not the server's refusal: that nobody answers would prove nothing
 */
export async function refusal({ installation }: Estate, credential: Credential): Promise<string | undefined> {
  const { host, port, username, password, dbname } = credential;
  const ssl = { ca: installation.postgres.ca, rejectUnauthorized: true };
  const client = new Client({ host, port: Number(port), user: username, password, database: dbname, ssl });
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    // 28P01 and 28000: invalid_password and invalid_authorization_specification.
    if (error instanceof Error && 'code' in error && /^28/.test(String(error.code))) return error.message;
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** Everything about these workloads of "shop" that a patch could have changed: their templates and annotations. */
export async function specificationsOf({ cluster }: Estate, names: readonly string[]): Promise<string> {
  const kinds = ['Deployment', 'StatefulSet'];
  const asked = names.flatMap((name) => kinds.map((kind) => workload(cluster, kind, 'shop', name)));
  const found = (await Promise.all(asked)).filter((object) => object !== undefined);
  if (found.length !== names.length) throw new Error(`not all of ${names.join(', ')} are there`);
  return JSON.stringify(
    found.map(({ metadata, ...object }) => [metadata.generation, metadata.annotations, object['spec']]),
  );
}

/** The version that each consumer's pod template was marked with. */
export async function markedVersions({ cluster }: Estate, consumers: readonly ConsumerRef[]): Promise<string[]> {
  const marked = consumers.map(async ({ kind, namespace, name }) => {
    const object = await workload(cluster, kind, namespace, name);
    const { template } = (object?.['spec'] ?? {}) as { readonly template?: PodTemplate };
    const annotations = Object.entries(template?.metadata?.annotations ?? {});
    return annotations.find(([key]) => key.startsWith('rekey.dev/'))?.[1] ?? '';
  });
  return await Promise.all(marked);
}

async function workload(
  { api }: DemoCluster,
  kind: string,
  namespace: string,
  name: string,
): Promise<KubernetesObject | undefined> {
  const collection = collectionOf({ apiVersion: 'apps/v1', kind, metadata: { namespace } });
  const { code, body } = await api.get(`${collection}/${name}`);
  if (code === 404) return undefined;
  if (code !== 200) throw new Error(`reading ${kind} ${namespace}/${name}: ${code} ${body.message}`);
  return body;
}

/** Names of the ready pods with this label. */
export async function readyPods({ cluster }: Estate, app?: string): Promise<string[]> {
  const { body } = await cluster.api.get(`/api/v1/pods${app === undefined ? '' : `?labelSelector=app%3D${app}`}`);
  const pods: readonly Pod[] = body.items;
  return pods.filter((pod) => condition(pod, 'Ready')?.status === 'True').map(({ metadata }) => metadata.name);
}

/** One line for a person. */
export function summaryOf({ type, detail }: Announcement): string {
  switch (type) {
    case 'Rotation Succeeded':
      return `Rotation Succeeded   ${detail['strategy']}, AWSCURRENT is now ${detail['versionId']}`;
    case 'Sync Started':
      return `Sync Started         ${namesOf(detail['consumers'] as ConsumerRef[])}`;
    case 'Sync Halted':
      return `Sync Halted          ${namesOf(detail['failed'] as ConsumerRef[])}`;
    case 'Secret Converged':
      return `Secret Converged     ${(detail['consumers'] as ConsumerProof[]).map(proofOf).join(', ')}`;
    case 'Secret Retired':
      return `Secret Retired       "${detail['user']}" can no longer log in`;
    default:
      return `${type.padEnd(20)} ${detail['message'] ?? ''}`;
  }
}

function proofOf({ name, pods }: ConsumerProof): string {
  return `${name} ${pods.length}/${pods.length} pods proved`;
}

function namesOf(consumers: readonly ConsumerRef[]): string {
  return consumers.map(({ kind, name }) => `${kind.toLowerCase()}/${name}`).join(', ');
}

/** What a line of a function's log tells of its progress; undefined for a line that tells nothing new. */
export function progressOf(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  const { message, step = '', outcome, ms, failure, kind, name } = JSON.parse(line) as LogLine;
  switch (message) {
    case 'step finished':
      return `${step.padEnd(20)} ${outcome?.kind}, ${ms} ms`;
    case 'step failed':
      return `${step.padEnd(20)} failed: ${failure?.code}`;
    case 'marked':
      return `${'rolling'.padEnd(20)} ${kind?.toLowerCase()}/${name}`;
    default:
      return undefined;
  }
}

interface LogLine {
  readonly message: string;
  readonly step?: string;
  readonly outcome?: { readonly kind: string };
  readonly ms?: number;
  readonly failure?: { readonly code: string };
  readonly kind?: string;
  readonly name?: string;
}

/** One line for each pod: the proof. */
export function proofsOf({ type, detail }: Announcement): string[] {
  if (type !== 'Secret Converged') return [];
  return (detail['consumers'] as ConsumerProof[]).flatMap(({ pods }) =>
    pods.map(
      ({ pod, node, mountedVersion, startedAt }) =>
        `${'proved'.padEnd(20)} ${pod} on ${node} mounts ${mountedVersion.slice(0, 8)}…, started ${startedAt.slice(11, 19)}`,
    ),
  );
}
