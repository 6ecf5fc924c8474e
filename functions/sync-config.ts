import * as z from 'zod/mini';
import type { EksCluster } from '../shared/cluster/eks.ts';
import { RekeyError } from '../shared/operations/errors.ts';

/** What sync and sweep are told by their environment. */
export interface SyncConfig {
  readonly clusters: readonly EksCluster[];
  readonly queueUrl: string;
  readonly eventBus: string;
}

const clusterName = z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/));

/** Strict: a misspelt `roleArn` would look for the cluster in our own account. */
const clusters = z.array(
  z.strictObject({
    name: clusterName,
    region: z.string().check(z.regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/)),
    eksName: z.optional(clusterName),
    role: z.optional(
      z.strictObject({
        roleArn: z.string().check(z.regex(/^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]{1,512}$/)),
        // STS, AssumeRole: ExternalId.
        externalId: z.optional(z.string().check(z.regex(/^[\w+=,.@:/-]{2,1224}$/))),
      }),
    ),
  }),
);

/** @throws RekeyError CONFIG_INVALID that names everything that is wrong, at the cold start */
export function readSyncConfig(env: Readonly<Record<string, string | undefined>>): SyncConfig {
  const faults: string[] = [];
  const text = (name: string): string => {
    const value = env[name]?.trim() ?? '';
    if (value === '') faults.push(`${name} is missing`);
    return value;
  };
  const queueUrl = text('REKEY_QUEUE_URL');
  if (queueUrl !== '' && !URL.canParse(queueUrl)) faults.push('REKEY_QUEUE_URL is not a URL');
  const eventBus = text('REKEY_EVENT_BUS');
  const parsed = clusters.safeParse(json(text('REKEY_CLUSTERS')));
  if (!parsed.success)
    faults.push(
      `REKEY_CLUSTERS must read [{"name": "…", "region": "eu-west-1"}], for a cluster of another account with "role": {"roleArn": "…"}: see ${parsed.error.issues[0]?.path.join('.') || 'the whole text'}`,
    );
  // A mark is addressed to its cluster by name: of two, one would get the marks of both.
  else if (new Set(parsed.data.map(({ name }) => name)).size < parsed.data.length)
    faults.push('REKEY_CLUSTERS names two clusters alike');
  if (!parsed.success || faults.length > 0) throw new RekeyError('CONFIG_INVALID', faults.join('; '));
  return { clusters: parsed.data, queueUrl, eventBus };
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
