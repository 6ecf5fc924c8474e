import { DescribeSecretCommand, GetSecretValueCommand } from '@aws-sdk/client-secrets-manager';
import { Client } from 'pg';
import type { ConsumerProof, ConsumerRef } from '../../../shared/operations/events.ts';
import type { Announcement } from '../environment.ts';
import type { Estate } from './estate.ts';

type Credential = Readonly<Record<'host' | 'port' | 'username' | 'password' | 'dbname', string>>;

export async function readCredential({ environment }: Estate, secretArn: string): Promise<Credential> {
  const { SecretString = '{}' } = await environment.secretsManager.send(
    new GetSecretValueCommand({ SecretId: secretArn }),
  );
  return JSON.parse(SecretString) as Credential;
}

export async function versionOf({ environment }: Estate, secretArn: string): Promise<string> {
  const { VersionIdsToStages = {} } = await environment.secretsManager.send(
    new DescribeSecretCommand({ SecretId: secretArn }),
  );
  return Object.entries(VersionIdsToStages).find(([, stages]) => stages.includes('AWSCURRENT'))?.[0] ?? '';
}

/**
 * What the server answers to a login that it refuses, or undefined when it lets the user in.
 * @throws what is not the server's refusal: that nobody answers would prove nothing
 */
export async function refusal({ environment }: Estate, credential: Credential): Promise<string | undefined> {
  const { host, port, username, password, dbname } = credential;
  const ssl = { ca: environment.postgres.ca, rejectUnauthorized: true };
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

/** Everything about a workload's template and annotations that a patch could have changed. */
export function specificationOf({ environment }: Estate, name: string): string {
  return JSON.stringify(
    ['deployments', 'statefulsets']
      .map((plural) => environment.kubernetes.get(plural, 'shop', name))
      .filter((object) => object !== undefined)
      .map(({ metadata, ...object }) => [metadata.generation, metadata.annotations, object['spec']]),
  );
}

/** The version that each consumer's pod template was marked with. */
export function markedVersions({ environment }: Estate, consumers: readonly ConsumerRef[]): string[] {
  return consumers.map(({ kind, namespace, name }) => {
    const object = environment.kubernetes.get(`${kind.toLowerCase()}s`, namespace, name);
    const template = object?.['spec'] as { template?: { metadata?: { annotations?: Record<string, string> } } };
    const annotations = Object.entries(template?.template?.metadata?.annotations ?? {});
    return annotations.find(([key]) => key.startsWith('rekey.dev/'))?.[1] ?? '';
  });
}

/** Names of the ready pods with this label. */
export function readyPods({ environment }: Estate, app?: string): string[] {
  return environment.kubernetes
    .list('pods')
    .filter(({ metadata }) => app === undefined || metadata.labels?.['app'] === app)
    .filter((pod) => {
      const { conditions = [] } = (pod['status'] ?? {}) as { conditions?: { type: string; status: string }[] };
      return conditions.some(({ type, status }) => type === 'Ready' && status === 'True');
    })
    .map(({ metadata }) => metadata.name ?? '');
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
