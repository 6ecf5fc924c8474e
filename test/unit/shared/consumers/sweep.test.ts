import { beforeEach, expect, test } from '@jest/globals';
import type { CronJob } from '../../../../shared/cluster/port.ts';
import { type SweepDeps, sweep } from '../../../../shared/consumers/sweep.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import type { LogFields } from '../../../../shared/operations/log.ts';
import { CURRENT, type SecretDescription } from '../../../../shared/secrets/port.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import { createFakeCluster, type FakeCluster } from '../cluster/fake-cluster.ts';
import {
  containerOf,
  externalSecretOf,
  externalStoreOf,
  MARKER,
  mountOf,
  podOf,
  SECRET,
  spcOf,
  T0,
  workloadOf,
} from './observations.ts';

/** How a sweep gets through many secrets. What it asks for about one is in converge.test.ts. */

const MANY = 100;

let prod: FakeCluster;
let nowMs: number;
let asked: string[];
let warnings: (readonly [string, LogFields])[];

/** As many secrets, each with one pod that mounts an older version. */
beforeEach(() => {
  prod = createFakeCluster();
  nowMs = T0;
  asked = [];
  warnings = [];
  for (let number = 0; number < MANY; number++) {
    const name = `app-${number}`;
    const pod = podOf({ name, controller: { kind: 'Deployment', name }, secretProviderClasses: [name] });
    prod.classes.push(spcOf([{ objectName: name }], { name }));
    prod.workloads.push(workloadOf({ name, secretProviderClasses: [name] }));
    prod.pods.push(pod);
    prod.mounts.push(mountOf(pod, 1, { secretProviderClass: name, versions: new Map([[name, versionOf(1)]]) }));
  }
});

test('asks for a look at each of many secrets, of which it describes a few at a time', async () => {
  let [open, most] = [0, 0];
  await swept({
    describe: async (name) => {
      most = Math.max(most, ++open);
      await new Promise(setImmediate);
      open -= 1;
      return secretOf(name);
    },
  });

  expect(new Set(asked)).toEqual(new Set(prod.workloads.map(({ name }) => name)));
  expect(asked).toHaveLength(MANY);
  expect(most).toBe(8);
  expect(warnings).toEqual([]);
});

test('asks as soon as it finds, and is not kept from it by a secret that takes its time', async () => {
  let arrive = () => {};
  const slow = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const done = swept({
    describe: async (name) => {
      if (name === 'app-0') await slow;
      return secretOf(name);
    },
    lookAgain: async ({ secretName }) => {
      asked.push(secretName);
      if (asked.length === MANY - 1) arrive();
    },
  });

  await done;
  expect(asked.at(-1)).toBe('app-0');
});

test('ends before its time is over, and says how many secrets it left to the next sweep', async () => {
  await swept({
    describe: async (name) => {
      nowMs += 2_000;
      return secretOf(name);
    },
  });

  const [[message, fields] = []] = warnings;
  expect(message).toBe('secrets are left to the next sweep');
  expect(asked.length).toBeGreaterThan(0);
  expect(asked.length + Number(fields?.['leftOut'])).toBe(MANY);
  expect(nowMs).toBeLessThan(T0 + 60_000);
});

test('starts at another place each time, so that it does not always leave the same secrets out', async () => {
  const inTurn = async (random: number) => {
    asked = [];
    await swept({ random: () => random });
    return asked[0];
  };
  expect([await inTurn(0), await inTurn(0.5), await inTurn(0.999)]).toEqual(['app-0', 'app-50', 'app-99']);
});

test.each<[string, () => void]>([
  [
    'a CronJob has the secret from an ExternalSecret',
    () => {
      prod.externalStores.push(externalStoreOf({ namespace: 'night' }));
      // Read again already, so that its pods alone are left to look at.
      const steering = {
        ...externalSecretOf().steering,
        annotations: new Map([[MARKER, `${versionOf(2)}/${new Date(T0 + 30_000).toISOString()}/1-before`]]),
      };
      const read = { refreshedAtMs: T0 + 60_000, syncedResourceVersion: '2-after' };
      prod.externalSecrets.push(externalSecretOf({ namespace: 'night', steering, ...read }));
      prod.cronJobs.push(cronJobOf({ secrets: [{ name: 'database-env', as: 'variable' }] }));
    },
  ],
  [
    'a CronJob says so itself',
    () => prod.cronJobs.push(cronJobOf({ annotations: new Map([['rekey.dev/secrets', SECRET.name]]) })),
  ],
])('looks at the pods of a namespace where nothing but %s', async (_what, arrange) => {
  prod = createFakeCluster();
  arrange();
  const [{ secretProviderClasses, secrets } = cronJobOf({})] = prod.cronJobs;
  const controller = { kind: 'CronJob', name: 'report' };
  const containers = [containerOf({ mounts: [], secrets })];
  prod.pods.push(podOf({ namespace: 'night', controller, secretProviderClasses, secrets, containers }));

  await swept();

  expect(asked).toEqual([SECRET.name]);
});

test('stops when sync cannot be asked, and fails, so that somebody is woken', async () => {
  let described = 0;
  const failed = swept({
    describe: async (name) => {
      described += 1;
      return secretOf(name);
    },
    lookAgain: async () => {
      throw new RekeyError('QUEUE_UNAVAILABLE', 'throttled');
    },
  });

  await expect(failed).rejects.toMatchObject({ code: 'QUEUE_UNAVAILABLE' });
  expect(described).toBeLessThan(MANY);
});

async function swept({
  describe = async (name) => secretOf(name),
  ...over
}: Partial<SweepDeps> & Partial<SweepDeps['secrets']> = {}): Promise<void> {
  const clock = { now: () => nowMs };
  const deps: SweepDeps = {
    secrets: { describe },
    clusters: [prod.cluster],
    lookAgain: async ({ secretName }) => void asked.push(secretName),
    clock,
    random: () => 0,
    log: { info: () => {}, warn: (message, fields = {}) => void warnings.push([message, fields]) },
    ...over,
  };
  await sweep(deps, deadlineIn(60_000, clock));
}

function secretOf(name: string): SecretDescription {
  return {
    arn: SECRET.arn.replace(SECRET.name, name),
    name,
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([[versionOf(2), [CURRENT]]]),
    tags: new Map(),
    owningService: undefined,
    deletedAtMs: undefined,
  };
}

function cronJobOf(over: Partial<CronJob>): CronJob {
  return {
    namespace: 'night',
    name: 'report',
    annotations: new Map(),
    secretProviderClasses: [],
    secrets: [],
    ...over,
  };
}
