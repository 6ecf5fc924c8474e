import { setTimeout as delay } from 'node:timers/promises';
import { PutSecretValueCommand, RotateSecretCommand } from '@aws-sdk/client-secrets-manager';
import { RETIRE, ROTATION, SYNC } from '../../../infra/wiring.ts';
import type { ConsumerProof } from '../../../shared/operations/events.ts';
import type { Announcement } from '../environment.ts';
import type { Estate } from './estate.ts';
import {
  markedVersions,
  progressOf,
  proofsOf,
  readCredential,
  readyPods,
  refusal,
  specificationsOf,
  summaryOf,
  versionOf,
} from './observations.ts';

/** Half of a minute is the rule; a machine that does ten other things takes several times as long. */
const PATIENCE_MS = 180_000;

/** The workloads of "shop". */
const SHOP = ['storefront', 'orders', 'ledger', 'docs'];

/** rotate-secret on the database's secret, to the end: the old user is refused. @returns whether all claims held */
export async function showRotation(estate: Estate): Promise<boolean> {
  const { installation, narrator, clients, database } = estate;
  const { secretsManager, rotationFunctionArn } = installation;

  narrator.chapter('A rotation of shop/database');
  const old = await readCredential(estate, database.secretArn);
  const before = await versionOf(estate, database.secretArn);
  const untouched = await specificationsOf(estate, ['docs']);
  await secretsManager.send(
    new RotateSecretCommand({
      SecretId: database.secretArn,
      RotationLambdaARN: rotationFunctionArn,
      RotationRules: { ScheduleExpression: 'cron(0 3 ? * SUN *)', Duration: '2h' },
    }),
  );
  const startedAtMs = Date.now();
  narrator.say('aws secretsmanager rotate-secret --secret-id shop/database');
  const heard = await follow(estate, database.secretArn, before, [
    'Secret Retired',
    'Rotation Failed',
    'Secret Not Converged',
  ]);
  await clients.settle();

  const converged = heard.find(({ type }) => type === 'Secret Converged');
  const consumers = (converged?.detail['consumers'] ?? []) as ConsumerProof[];
  narrator.chapter('What happened');
  narrator.table(rollouts(consumers, startedAtMs));
  const current = await versionOf(estate, database.secretArn);
  const { tally } = clients;
  const refused = await refusal(estate, old);
  narrator.say(`from rotate-secret to converged: ${after(startedAtMs, converged?.time)}`);
  return [
    narrator.check(
      tally.tried > 100 && tally.failed === 0,
      `${tally.tried} log-ins tried by the applications all along, ${tally.failed} failed${failuresOf(tally.failures)}`,
    ),
    narrator.check(tally.users.size === 2, `they logged in as ${[...tally.users].join(', then ')}`),
    narrator.check(
      consumers.length === 3 && consumers.every(({ pods }) => pods.length === 2) && isFirst(consumers, 'storefront'),
      '3 workloads with 2 pods each were rolled and proved, the canary alone and first',
    ),
    narrator.check(
      await nameTheSameVersion(estate, converged, current),
      `marker, proof and events name the same version ${current}`,
    ),
    narrator.check(refused !== undefined, `the server refuses the old user: ${refused}`),
    narrator.check(
      (await refusal(estate, await readCredential(estate, database.secretArn))) === undefined,
      'the server takes AWSCURRENT',
    ),
    narrator.check(
      (await specificationsOf(estate, ['docs'])) === untouched,
      'deployment/docs, which uses no secret, was not touched',
    ),
  ].every(Boolean);
}

/** put-secret-value on a secret that no database stands behind: the same for it, without a rotation. */
export async function showPlainSecret(estate: Estate): Promise<boolean> {
  const { installation, narrator, tutorial } = estate;
  narrator.chapter('A new value of MySecret, by hand');
  const untouched = await specificationsOf(estate, SHOP);
  const before = await versionOf(estate, tutorial.secretArn);
  const startedAtMs = Date.now();
  await installation.secretsManager.send(
    new PutSecretValueCommand({
      SecretId: tutorial.secretArn,
      SecretString: JSON.stringify({ username: 'memeuser', password: 'hunter3' }),
    }),
  );
  narrator.say('aws secretsmanager put-secret-value --secret-id MySecret');
  const heard = await follow(estate, tutorial.secretArn, before, ['Secret Converged', 'Secret Not Converged']);
  const converged = heard.find(({ type }) => type === 'Secret Converged');
  const consumers = (converged?.detail['consumers'] ?? []) as ConsumerProof[];
  const current = await versionOf(estate, tutorial.secretArn);

  narrator.chapter('What happened');
  narrator.table(rollouts(consumers, startedAtMs));
  narrator.say(`from put-secret-value to converged: ${after(startedAtMs, converged?.time)}`);
  return [
    narrator.check(
      consumers.length === 1 && consumers[0]?.name === 'nginx-deployment' && consumers[0].pods.length === 2,
      'both pods of nginx-deployment were rolled and proved',
    ),
    narrator.check(
      await nameTheSameVersion(estate, converged, current),
      `marker, proof and events name the same version ${current}`,
    ),
    narrator.check((await specificationsOf(estate, SHOP)) === untouched, 'no workload of "shop" was touched'),
  ].every(Boolean);
}

/** The canary's new pods crash: nothing else is touched and the old pods go on. */
export async function showBadRelease(estate: Estate): Promise<boolean> {
  const { installation, cluster, narrator, clients, database } = estate;
  const { secretsManager, rotationFunctionArn } = installation;
  narrator.chapter('A rotation of shop/database, while the new pods of storefront crash');
  const before = await versionOf(estate, database.secretArn);
  const old = new Set(await readyPods(estate, 'storefront'));
  cluster.nodes.behave(({ metadata: { name = '', labels } }) =>
    labels?.['app'] === 'storefront' && !old.has(name) ? { kind: 'crash' } : undefined,
  );
  const others = await specificationsOf(estate, ['orders', 'ledger']);
  await secretsManager.send(
    new RotateSecretCommand({
      SecretId: database.secretArn,
      RotationLambdaARN: rotationFunctionArn,
      RotationRules: { AutomaticallyAfterDays: 30 },
    }),
  );
  narrator.say('aws secretsmanager rotate-secret --secret-id shop/database');
  const heard = await follow(estate, database.secretArn, before, [
    'Sync Halted',
    'Secret Converged',
    'Rotation Failed',
  ]);
  const halted = heard.find(({ type }) => type === 'Sync Halted');
  for (const { why } of (halted?.detail['failed'] ?? []) as { why: string }[]) narrator.say(why);
  const triedBefore = clients.tally.tried;
  await clients.settle();

  narrator.chapter('What happened');
  return [
    narrator.check(halted !== undefined, 'Rekey halted at the canary and said why'),
    narrator.check((await specificationsOf(estate, ['orders', 'ledger'])) === others, 'no other workload was touched'),
    narrator.check((await readyPods(estate, 'storefront')).length === 2, 'both old pods of storefront keep serving'),
    narrator.check(
      clients.tally.tried > triedBefore && clients.tally.failed === 0,
      `${clients.tally.tried} log-ins tried, ${clients.tally.failed} failed: the old credential is left alive`,
    ),
  ].every(Boolean);
}

const FOLLOWED = [ROTATION.postgres, SYNC];

/**
 * Prints what people hear and how far the functions are, until one of `last` comes.
 * @param before the version that is being replaced: that it converged may be heard only now
 */
async function follow({ installation, narrator }: Estate, secretArn: string, before: string, last: readonly string[]) {
  const { logs } = installation.aws.functions;
  const seen = new Map(FOLLOWED.map(installation.nameOf).map((name) => [name, logs(name).length]));
  const heard: Announcement[] = [];
  const endsAtMs = Date.now() + PATIENCE_MS;
  while (Date.now() < endsAtMs) {
    for (const [name, count] of seen) {
      const lines = logs(name);
      for (const progress of lines.slice(count).map(progressOf)) if (progress) narrator.say(progress);
      seen.set(name, lines.length);
    }
    for (const announcement of await installation.hear(0)) {
      const { detail } = announcement;
      if (detail['secretArn'] !== secretArn || detail['versionId'] === before) continue;
      heard.push(announcement);
      for (const proof of proofsOf(announcement)) narrator.say(proof);
      narrator.say(summaryOf(announcement));
    }
    if (heard.some(({ type }) => last.includes(type))) return heard;
    await delay(100);
  }
  narrator.say(`nothing more within ${PATIENCE_MS / 1_000} s; the last lines of sync and retire:`);
  for (const spec of [SYNC, RETIRE]) for (const line of logs(installation.nameOf(spec)).slice(-8)) narrator.say(line);
  return heard;
}

/** The table of who was rolled when. */
function rollouts(consumers: readonly ConsumerProof[], startedAtMs: number): string[][] {
  const lastStart = ({ pods }: ConsumerProof) =>
    pods
      .map(({ startedAt }) => startedAt)
      .sort()
      .at(-1);
  return [
    ['workload', 'rolled', 'pods proved', 'last container started'],
    ...consumers
      .toSorted(byRollout)
      .map((consumer) => [
        `${consumer.kind.toLowerCase()}/${consumer.name}`,
        after(startedAtMs, consumer.rolledAt),
        consumer.pods.map(({ pod }) => pod.slice(consumer.name.length + 1)).join(' '),
        after(startedAtMs, lastStart(consumer)),
      ]),
  ];
}

async function nameTheSameVersion(
  estate: Estate,
  converged: Announcement | undefined,
  current: string,
): Promise<boolean> {
  const consumers = (converged?.detail['consumers'] ?? []) as ConsumerProof[];
  const named = [
    String(converged?.detail['versionId']),
    ...(await markedVersions(estate, consumers)),
    ...consumers.flatMap(({ pods }) => pods.map(({ mountedVersion }) => mountedVersion)),
  ];
  return consumers.length > 0 && named.every((version) => version === current);
}

function byRollout(left: ConsumerProof, right: ConsumerProof): number {
  return (left.rolledAt ?? '').localeCompare(right.rolledAt ?? '');
}

function isFirst(consumers: readonly ConsumerProof[], canary: string): boolean {
  const canaryAt = consumers.find(({ name }) => name === canary)?.rolledAt;
  return consumers.every(({ name, rolledAt }) => name === canary || (canaryAt ?? '~') < (rolledAt ?? ''));
}

/** `+1.2 s` from a point in time; `-` for what did not happen. */
function after(startedAtMs: number, time: string | undefined): string {
  if (time === undefined) return '-';
  // What Kubernetes records is cut to whole seconds.
  return `+${(Math.max(0, Date.parse(time) - startedAtMs) / 1_000).toFixed(1)} s`;
}

function failuresOf(failures: ReadonlyMap<string, number>): string {
  return [...failures].map(([code, count]) => ` (${count} × ${code})`).join('');
}
