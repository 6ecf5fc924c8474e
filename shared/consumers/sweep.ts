import type { Cluster } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { RekeyEvent } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import { CURRENT, type SecretDescription, type SecretStore, versionWithStage } from '../secrets/port.ts';
import { parseTags } from '../secrets/tags.ts';
import { type Snapshot, secretsNamed } from './consumers.ts';
import { allConsumers, type Look } from './converge.ts';
import { markerOf } from './marker.ts';
import { observe } from './observe.ts';
import { planSync } from './plan.ts';

export interface SweepDeps {
  readonly secrets: Pick<SecretStore, 'describe'>;
  readonly clusters: readonly Cluster[];
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
}

/** What people were told when the roll was under way: again on every sweep it would be noise. */
const HEARD: readonly RekeyEvent['type'][] = ['Sync Started', 'Sync Halted', 'Secret Not Converged'];

/**
 * Looks at every secret that some cluster names, without an event, and says at which of them sync should look again.
 * It patches nothing itself. One secret or cluster that fails does not keep the others waiting.
 */
export async function sweep(deps: SweepDeps, deadline: Deadline): Promise<readonly Look[]> {
  const { snapshots, unseen } = await observe(
    deps.clusters,
    ({ classes, workloads }) => new Set([...classes, ...workloads].map(({ namespace }) => namespace)),
    deadline,
    deps.log,
  );
  const looks: Look[] = [];
  for (const secret of await secretsOf(snapshots, deps)) {
    const look = lookAt(secret, snapshots, deps);
    if (look !== undefined) looks.push(look);
  }
  deps.log.info('swept', { clusters: snapshots.length, unseen: unseen.length, toLookAt: looks.length });
  return looks;
}

/** By ARN: one secret may be named in several ways. */
async function secretsOf(snapshots: readonly Snapshot[], deps: SweepDeps): Promise<Iterable<SecretDescription>> {
  const names = new Set(snapshots.flatMap((snapshot) => [...secretsNamed(snapshot)]));
  const secrets = new Map<string, SecretDescription>();
  for (const name of names) {
    try {
      const secret = await deps.secrets.describe(name);
      if (secret.deletedAtMs === undefined) secrets.set(secret.arn, secret);
    } catch (thrown) {
      deps.log.warn('a secret could not be described', { secret: name, error: thrown });
    }
  }
  return secrets.values();
}

function lookAt(secret: SecretDescription, snapshots: readonly Snapshot[], deps: SweepDeps): Look | undefined {
  const versionId = versionWithStage(secret, CURRENT);
  if (versionId === undefined) return undefined;
  const nowMs = deps.clock.now();
  const marker = markerOf(secret, versionId);
  try {
    const { consumers } = allConsumers(secret, marker, snapshots);
    const plan = planSync({ consumers, marker, options: parseTags(secret.tags), unseen: [], nowMs });
    if (plan.verdict === 'converged' || plan.verdict === 'held') return undefined;
    const told = plan.marks.length > 0 ? [] : HEARD;
    return { secretArn: secret.arn, secretName: secret.name, versionId, sinceMs: nowMs, lookingSinceMs: nowMs, told };
  } catch (thrown) {
    if (!(thrown instanceof RekeyError)) throw thrown;
    // sync told people about the tag when the secret's own event came.
    deps.log.warn('a secret is left alone', { secret: secret.arn, error: thrown });
    return undefined;
  }
}
