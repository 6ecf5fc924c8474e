import { beforeEach, expect, test } from '@jest/globals';
import type { SQSEvent } from 'aws-lambda';
import { parseLabelEvent } from '../../../../functions/label-event.ts';
import { syncBatch } from '../../../../functions/sync/batch.ts';
import { deadlineIn } from '../../../../shared/operations/deadline.ts';
import { RekeyError } from '../../../../shared/operations/errors.ts';
import { CURRENT, type SecretDescription } from '../../../../shared/secrets/port.ts';
import { createFakeCluster } from '../../shared/cluster/fake-cluster.ts';
import { DATABASE, mountOf, podOf, SECRET, silentLog, T0, workloadOf } from '../../shared/consumers/observations.ts';
import { labelUpdated, versionOf } from './messages.ts';

const secret = {
  ...SECRET,
  stages: new Map([[versionOf(2), [CURRENT]]]),
  tags: new Map(),
} as unknown as SecretDescription;
const clock = { now: () => T0 };

let sent: { body: string; delaySeconds: number }[];
let broughtBack: [receiptHandle: string, delaySeconds: number][];
let queueFailure: RekeyError | undefined;

beforeEach(() => {
  sent = [];
  broughtBack = [];
  queueFailure = undefined;
});

async function deliver(...bodies: string[]): Promise<string[]> {
  return await deliverTimes(1, ...bodies);
}

/** @param delivery how many times the messages were delivered, this time included */
async function deliverTimes(delivery: number, ...bodies: string[]): Promise<string[]> {
  const prod = createFakeCluster();
  const pod = podOf();
  prod.classes = [DATABASE];
  prod.workloads = [workloadOf()];
  prod.pods = [pod];
  prod.mounts = [mountOf(pod, 1)];
  const deps = {
    secrets: {
      async describe(id: string) {
        if (id !== SECRET.arn) throw new RekeyError('SECRETS_MANAGER_UNAVAILABLE', 'throttled');
        return secret;
      },
    },
    clusters: [prod.cluster],
    announcer: { announce: async () => true },
    rotationFunctions: [],
    queue: {
      async send(body: string, delaySeconds: number) {
        if (queueFailure !== undefined) throw queueFailure;
        sent.push({ body, delaySeconds });
      },
      async bringBack(receiptHandle: string, delaySeconds: number) {
        if (queueFailure !== undefined) throw queueFailure;
        broughtBack.push([receiptHandle, delaySeconds]);
      },
    },
    clock,
    log: silentLog,
  };
  const Records = bodies.map((body, index) => ({
    messageId: String(index),
    receiptHandle: `handle-${index}`,
    attributes: { ApproximateReceiveCount: String(delivery) },
    body,
  })) as SQSEvent['Records'];
  const { batchItemFailures } = await syncBatch({ Records }, deps, deadlineIn(60_000, clock));
  return batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
}

test('what has not converged yet is no failure: a fresh message makes the next pass', async () => {
  expect(await deliver(labelUpdated(secret))).toEqual([]);

  expect(sent).toEqual([{ body: expect.any(String), delaySeconds: 5 }]);
  expect(parseLabelEvent(sent[0]?.body ?? '', T0)).toMatchObject({ versionId: versionOf(2), told: ['Sync Started'] });
});

test('only the messages that failed come back; the others are done', async () => {
  const twin = { ...secret, arn: SECRET.arn.replace('AbCdEf', 'ZzZzZz') };

  expect(await deliver('not JSON', labelUpdated(secret), labelUpdated(twin))).toEqual(['0', '2']);

  expect(sent).toHaveLength(1);
});

test.each([
  [1, 15],
  [2, 30],
  [4, 120],
])('what may pass by itself is tried again soon: after delivery %d in %d s', async (delivery, seconds) => {
  const twin = { ...secret, arn: SECRET.arn.replace('AbCdEf', 'ZzZzZz') };

  await deliverTimes(delivery, 'not JSON', labelUpdated(twin));

  expect(broughtBack).toEqual([['handle-1', seconds]]);
});

test('a message comes back when the next pass could not be asked for', async () => {
  queueFailure = new RekeyError('QUEUE_UNAVAILABLE', 'throttled');

  expect(await deliver(labelUpdated(secret))).toEqual(['0']);
});
