import * as z from 'zod/mini';
import { RekeyError } from '../shared/operations/errors.ts';

/** What sync and sweep are told by their environment. */
export interface SyncConfig {
  readonly clusters: readonly { readonly name: string; readonly region: string }[];
  readonly queueUrl: string;
  readonly eventBus: string;
}

const clusters = z.array(
  z.object({
    name: z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/)),
    region: z.string().check(z.regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/)),
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
  if (!parsed.success) faults.push('REKEY_CLUSTERS must read [{"name": "…", "region": "eu-west-1"}]');
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
