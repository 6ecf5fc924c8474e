import type { Clock } from '../operations/clock.ts';
import { atMost, type Deadline } from '../operations/deadline.ts';
import { RekeyError } from '../operations/errors.ts';
import type { Cause, ConsumerRef, Unproved } from '../operations/events.ts';
import type { Log } from '../operations/log.ts';
import { CURRENT, versionWithStage } from '../secrets/port.ts';
import { parseTags, type SecretOptions } from '../secrets/tags.ts';
import { type Mode, SECRETS } from './annotations.ts';
import type { Consumer } from './consumers.ts';
import type { ConvergeDeps } from './converge.ts';
import { namespacesUsing } from './manifests.ts';
import { markerOf } from './marker.ts';
import { LOOK_MS, observe, type Snapshot } from './observe.ts';
import { idOf, opensAt, planSync, type Standing, stagesOf } from './plan.ts';
import { describeLive } from './siblings.ts';
import { situationOf } from './situation.ts';

/** Who uses a secret and how, where each stands, and what a next version would bring. Nothing is changed for it. */
export interface Explanation {
  readonly secretArn: string;
  readonly secretName: string;
  /** Of AWSCURRENT. */
  readonly versionId: string;
  /** How it stands with the current version. */
  readonly verdict: 'converged' | 'halted' | 'held' | 'waiting';
  readonly clusters: readonly ExplainedCluster[];
  readonly consumers: readonly ExplainedConsumer[];
  /** In which order a next version would be rolled: each stage at once, the next one when it is proved. */
  readonly stages: readonly (readonly ConsumerRef[])[];
  /** Uses of another version or label, on purpose: they never move. */
  readonly pinned: readonly Unproved[];
  /** Classes and annotations that cannot be read. */
  readonly faults: readonly { readonly where: string; readonly why: string }[];
  /** What keeps rolls back, if anything does. */
  readonly timing: {
    /** ISO 8601. */
    readonly holdUntil?: string;
    /** When `rekey:window` opens next, ISO 8601. */
    readonly windowOpens?: string;
    /** From when on the window keeps nothing back, ISO 8601; absent: it always does. */
    readonly rollBy?: string;
  };
}

export interface ExplainedCluster {
  readonly cluster: string;
  readonly region: string;
  readonly seen: boolean;
  /** Why it was not seen, or is not rolled yet. */
  readonly why?: string;
}

export interface ExplainedConsumer extends ConsumerRef {
  /** How it gets the secret, one sentence for each way. */
  readonly uses: readonly string[];
  /** Their letters in docs/uses.md, from A to G. */
  readonly letters: Consumer['letters'];
  readonly mode: Mode;
  readonly wave: number;
  readonly pods: number;
  readonly state: Standing['state']['kind'];
  /** What keeps it from being proved, or would keep it. */
  readonly why?: string;
  readonly cause?: Cause;
  /** Whether Rekey rolls it at the next version; `false` with `why`: a person, or nobody, does. */
  readonly rolled: boolean;
  readonly fix?: string;
}

export type ExplainDeps = Pick<ConvergeDeps, 'secrets' | 'clusters'> & {
  readonly clock: Pick<Clock, 'now'>;
  readonly log: Log;
};

/**
 * What a pass over the secret would see and do, without doing it.
 * @param secretId name or ARN
 * @throws RekeyError SECRET_NOT_FOUND, TAG_INVALID, and those of SecretStore.describe
 */
export async function explain(secretId: string, deps: ExplainDeps, deadline: Deadline): Promise<Explanation> {
  const { clusters, clock, log } = deps;
  const secret = await describeLive(secretId, deps.secrets);
  const versionId = secret && versionWithStage(secret, CURRENT);
  if (secret === undefined || versionId === undefined)
    throw new RekeyError('SECRET_NOT_FOUND', `there is no secret "${secretId}" with a current version`);
  const options = parseTags(secret.tags);
  const marker = markerOf(secret, versionId);
  const observation = await observe(
    clusters,
    (outline) => namespacesUsing(secret, outline),
    atMost(Math.min(LOOK_MS, deadline.remainingMs()), deadline, clock),
    log,
  );
  const { snapshots, unseen } = observation;
  const nowMs = clock.now();
  const situation = situationOf({ secret, options, marker, ...observation, nowMs, movedAtMs: secret.movedAtMs });
  const { consumers, pinned, faults, behind, rollByMs } = situation;
  const plan = planSync(situation);
  const stages = stagesOf(consumers, options.maxParallel);
  const rolled = new Set(stages.flat().map(idOf));
  return {
    secretArn: secret.arn,
    secretName: secret.name,
    versionId,
    verdict: plan.verdict,
    clusters: clusters.map(({ name, region }) => {
      const why = unseen.find(({ cluster }) => cluster === name)?.why ?? behind.get(name);
      const seen = snapshots.some(({ cluster }) => cluster.name === name);
      return { cluster: name, region, seen, ...(why !== undefined && { why }) };
    }),
    consumers: plan.standings.map((standing) =>
      explained(standing, rolled.has(idOf(standing.consumer.ref)), snapshots),
    ),
    stages,
    pinned,
    faults: faults.map(({ where, why }) => ({ where, why })),
    timing: timingOf(options, rollByMs, nowMs),
  };
}

function explained({ consumer, state }: Standing, rolled: boolean, snapshots: readonly Snapshot[]): ExplainedConsumer {
  const { ref, mode, wave, letters, pods, unprovable, leftAlone } = consumer;
  const cause = 'cause' in state ? state.cause : undefined;
  const why = (state.kind === 'proved' ? undefined : state.why) ?? unprovable ?? leftAlone;
  const fix = fixOf(consumer, cause);
  return {
    ...ref,
    uses: usesOf(consumer, snapshots),
    letters,
    mode,
    wave,
    pods: pods.length,
    state: state.kind,
    ...(why !== undefined && { why }),
    ...(cause !== undefined && { cause }),
    rolled,
    ...(fix !== undefined && { fix }),
  };
}

/** The ways by which its template, or its pods, refer to something that may hold the secret. */
function usesOf({ ref, workload, pods }: Consumer, snapshots: readonly Snapshot[]): readonly string[] {
  const of = workload ?? pods[0]?.pod;
  const snapshot = snapshots.find(({ cluster }) => cluster.name === ref.cluster);
  const named = workload?.annotations.get(SECRETS);
  const isSubPath = (spc: string) =>
    pods.some(({ pod }) =>
      pod.containers.some(({ mounts }) => mounts.some((one) => one.secretProviderClass === spc && one.subPath)),
    );
  return [
    ...(of?.secretProviderClasses ?? []).map(
      (spc) => `mounts SecretProviderClass ${spc}${isSubPath(spc) ? ' by subPath' : ''}`,
    ),
    ...(of?.secrets ?? []).map(({ name, as }) => {
      const by = snapshot?.externalSecrets.find((one) => one.namespace === ref.namespace && one.target === name);
      return `has Secret ${name} as ${as}${by === undefined ? '' : `, which ExternalSecret ${by.name} writes`}`;
    }),
    ...(named === undefined ? [] : [`says so in ${SECRETS}: ${named}`]),
  ];
}

const FIXES: Readonly<Record<Cause, string>> = {
  crash: 'Read the logs of the new pods; the old ones keep running. Rekey goes on once the new ones are ready.',
  image: 'Correct the image, or the credentials to pull it. Rekey goes on once the new pods are ready.',
  container: 'Correct what kubectl describe says of the container: a missing Secret, ConfigMap or key.',
  'progress-deadline': 'See why the new pods are not ready (kubectl describe); Rekey goes on once they are.',
  'pods-refused': 'Raise the quota, or correct what the admission webhook refuses (kubectl describe replicaset).',
  'patch-refused': 'Give the group rekey the right to patch it, or restart it yourself.',
  budget: 'Have more of its pods ready, or loosen its PodDisruptionBudget: its old pods go once that allows it.',
  stopped: 'Resume it, lower its partition, or delete its old pods: Rekey has marked it, and waits.',
  reverted: 'Have GitOps leave annotations of rekey.dev alone, then restart it once.',
};

/** What a person can do for it to be rolled and proved. */
function fixOf({ workload, mode, unprovable, leftAlone, source }: Consumer, cause: Cause | undefined) {
  if (cause !== undefined) return FIXES[cause];
  if (workload === undefined) return 'Start its pods anew when the secret has moved: Rekey does not.';
  if (workload.deleting) return 'Remove the finalizers that keep it, if it should be gone by now.';
  if (mode === 'off') return 'Restart it when the secret has moved, or set rekey.dev/mode to restart.';
  if (source.kind === 'stale') return 'Put right what keeps the Secret from being fresh; Rekey rolls it then.';
  if (leftAlone !== undefined) return 'Put right what why says, and Rekey rolls it.';
  if (unprovable !== undefined) return 'Mount the secret as files, and Rekey can prove it.';
  return undefined;
}

function timingOf({ holdUntilMs, window }: SecretOptions, rollByMs: number | undefined, nowMs: number) {
  const iso = (epochMs: number) => new Date(epochMs).toISOString();
  return {
    ...(holdUntilMs !== undefined && holdUntilMs > nowMs && { holdUntil: iso(holdUntilMs) }),
    ...(window !== undefined && { windowOpens: iso(opensAt(window, nowMs)) }),
    ...(window !== undefined && rollByMs !== undefined && { rollBy: iso(rollByMs) }),
  };
}
