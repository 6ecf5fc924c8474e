import * as z from 'zod/mini';
import type { EksCluster } from '../shared/cluster/eks.ts';
import { RekeyError } from '../shared/operations/errors.ts';
import { readRotationFunctions } from './rotation-functions.ts';

/** What sync and sweep are told by their environment. */
export interface SyncConfig {
  readonly clusters: readonly EksCluster[];
  readonly queueUrl: string;
  readonly eventBus: string;
  /** ARNs, separated by blanks in REKEY_ROTATION_FUNCTIONS; none where Rekey rotates nothing. */
  readonly rotationFunctions: readonly string[];
}

/** `[<account>/]<name>[=<name in EKS>]` */
const CLUSTER = /^(?:(\d{12})\/)?([A-Za-z0-9][A-Za-z0-9_-]{0,99})(?:=([A-Za-z0-9][A-Za-z0-9_-]{0,99}))?$/;

/** Clusters of one Region. Strict: a misspelt `role` would look for them in our own account. */
const group = z.strictObject({
  region: z.string().check(z.regex(/^[a-z]{2,}(-[a-z]+)+-\d+$/)),
  /** Separated by blanks. */
  names: z.string().check(z.refine((names) => names.split(' ').every((name) => CLUSTER.test(name)))),
  /** In the account that each name begins with: that stands for the `*`. */
  role: z.optional(
    z.strictObject({
      roleArn: z.string().check(z.regex(/^arn:aws[a-z-]*:iam::\*:role\/[\w+=,.@/-]{1,512}$/)),
      // STS, AssumeRole: ExternalId.
      externalId: z.optional(z.string().check(z.regex(/^[\w+=,.@:/-]{2,1224}$/))),
    }),
  ),
});

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
  const parsed = z.array(group).safeParse(json(text('REKEY_CLUSTERS')));
  const found = parsed.success ? parsed.data.flatMap(clustersOf) : [];
  if (!parsed.success)
    faults.push(
      `REKEY_CLUSTERS must read [{"region": "eu-west-1", "names": "prod shop"}], for clusters of other accounts with "role": {"roleArn": "arn:aws:iam::*:role/…"}: see ${parsed.error.issues[0]?.path.join('.') || 'the whole text'}`,
    );
  else if (found.includes(undefined))
    faults.push(
      'REKEY_CLUSTERS: names begin with an account, as 111122223333/prod, where there is a role, and only there',
    );
  // A mark is addressed to its cluster by name: of two, one would get the marks of both.
  else if (new Set(found.map((one) => one?.name)).size < found.length)
    faults.push('REKEY_CLUSTERS names two clusters alike');
  const rotationFunctions = readRotationFunctions(env, faults);
  if (faults.length > 0) throw new RekeyError('CONFIG_INVALID', faults.join('; '));
  return { clusters: found.filter((one) => one !== undefined), queueUrl, eventBus, rotationFunctions };
}

/** Undefined for one of another account without a role there, or with a role and no account. */
function clustersOf({ region, names, role }: z.infer<typeof group>): readonly (EksCluster | undefined)[] {
  return names.split(' ').map((text) => {
    const [, account, name = '', eksName] = CLUSTER.exec(text) ?? [];
    if ((account === undefined) !== (role === undefined)) return undefined;
    return {
      name,
      region,
      ...(eksName !== undefined && { eksName }),
      ...(role && { role: { ...role, roleArn: role.roleArn.replace('*', account ?? '') } }),
    };
  });
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
