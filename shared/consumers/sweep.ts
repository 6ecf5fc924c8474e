import type { Cluster } from '../cluster/port.ts';
import type { Clock } from '../operations/clock.ts';
import type { Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { Log } from '../operations/log.ts';
import { CURRENT, type SecretDescription, type SecretStore, versionWithStage } from '../secrets/port.ts';
import { parseSecretArn } from '../secrets/secret-arn.ts';
import { parseTags } from '../secrets/tags.ts';
import { isTold, type Look, SWEEP_SECONDS } from './converge.ts';
import { secretsNamed } from './manifests.ts';
import { markerOf } from './marker.ts';
import { narrowing } from './narrow.ts';
import { observe, type Snapshot } from './observe.ts';
import { isMarked, planSync } from './plan.ts';
import { situationOf } from './situation.ts';

export interface SweepDeps {
  readonly secrets: Pick<SecretStore, 'describe'>;
  readonly clusters: readonly Cluster[];
  /** Asks sync for a look. @throws RekeyError QUEUE_UNAVAILABLE */
  readonly lookAgain: (look: Look, afterSeconds: number) => Promise<void>;
  readonly clock: Pick<Clock, 'now'>;
  /** From 0 to below 1, as `Math.random`. */
  readonly random: () => number;
  readonly log: Log;
}

/** How many secrets are described at the same time: well below what Secrets Manager allows an account in a second. */
const CONCURRENCY = 8;

/** To describe one secret and to ask for its look, each with all attempts of its client. */
const NEEDED_MS = 20_000;

/** The next sweep, or the one after it when that is late or fails, has looked before the last of them. */
const PASSES = 2;

/**
 * Looks at every secret that some cluster names, without an event, and asks sync to look again where something is not
 * proved. It patches nothing itself. One secret or cluster that fails does not keep the others waiting.
 * @throws RekeyError of {@link SweepDeps.lookAgain}
 */
export async function sweep(deps: SweepDeps, deadline: Deadline): Promise<void> {
  const { snapshots, unseen } = await observe(
    deps.clusters,
    ({ classes, workloads, cronJobs, externalSecrets }) =>
      new Set([...classes, ...workloads, ...cronJobs, ...externalSecrets].map(({ namespace }) => namespace)),
    deadline,
    deps.log,
  );
  const parts = snapshots.map(narrowing);
  const names = startingAnywhere([...new Set(snapshots.flatMap((one) => [...secretsNamed(one)]))], deps.random());
  const seen = new Set<string>();
  let [asked, leftOut] = [0, 0];
  let failure: unknown;
  const upcoming = names.values();
  const work = async () => {
    for (const name of upcoming) {
      if (failure !== undefined || deadline.remainingMs() < NEEDED_MS) {
        leftOut += 1;
        continue;
      }
      try {
        const secret = await describe(name, deps);
        // One secret may be named in several ways.
        if (secret === undefined || seen.has(secret.arn)) continue;
        seen.add(secret.arn);
        const next = nextLook(
          secret,
          parts.map((partFor) => partFor(secret)),
          deps,
        );
        if (next === undefined) continue;
        await deps.lookAgain(next.look, next.afterSeconds);
        asked += 1;
      } catch (thrown) {
        failure ??= thrown;
      }
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));

  deps.log.info('swept', { clusters: snapshots.length, unseen: unseen.length, asked });
  if (leftOut > 0) deps.log.warn('secrets are left to the next sweep', { leftOut });
  if (failure !== undefined) throw failure;
}

/** The same list from another start, so that a sweep which comes to its end early does not always leave the same out. */
function startingAnywhere(names: readonly string[], random: number): readonly string[] {
  const start = Math.floor(random * names.length);
  return [...names.slice(start), ...names.slice(0, start)];
}

/** Undefined when it is deleted or cannot be described. */
async function describe(reference: string, deps: SweepDeps): Promise<SecretDescription | undefined> {
  // A cluster elsewhere may name the replica of its Region: the secret itself has the same name in ours.
  const name = parseSecretArn(reference)?.name ?? reference;
  try {
    const secret = await deps.secrets.describe(name);
    return secret.deletedAtMs === undefined ? secret : undefined;
  } catch (thrown) {
    deps.log.warn('a secret could not be described', { secret: name, error: thrown });
    return undefined;
  }
}

/** What has to be marked is not kept waiting; of what only waits, this sweep has just seen all that there is. */
function nextLook(
  secret: SecretDescription,
  /** What each of them has to do with the secret. */
  snapshots: readonly Snapshot[],
  deps: SweepDeps,
): { readonly look: Look; readonly afterSeconds: number } | undefined {
  const versionId = versionWithStage(secret, CURRENT);
  if (versionId === undefined) return undefined;
  const nowMs = deps.clock.now();
  const marker = markerOf(secret, versionId);
  try {
    const situation = situationOf({
      secret,
      options: parseTags(secret.tags),
      marker,
      snapshots,
      unseen: [],
      nowMs,
      movedAtMs: secret.movedAtMs,
    });
    const plan = planSync(situation);
    const started = situation.consumers.some(({ workload }) => workload !== undefined && isMarked(workload, marker));
    const isUntold = started && !isTold(situation, marker);
    if (plan.verdict === 'held' || (plan.verdict === 'converged' && !isUntold)) return undefined;
    const look: Look = {
      secretArn: secret.arn,
      secretName: secret.name,
      versionId,
      sinceMs: secret.movedAtMs ?? nowMs,
      lookingSinceMs: nowMs,
      told: started ? ['Sync Started'] : [],
      passesLeft: PASSES,
    };
    const atOnce = plan.marks.length + plan.actions.length > 0 || plan.verdict === 'converged';
    return { look, afterSeconds: atOnce ? 0 : SWEEP_SECONDS };
  } catch (thrown) {
    if (!(thrown instanceof RekeyError)) throw thrown;
    // sync told people about the tag when the secret's own event came.
    deps.log.warn('a secret is left alone', { secret: secret.arn, error: thrown });
    return undefined;
  }
}
