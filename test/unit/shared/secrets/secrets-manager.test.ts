import { expect, test } from '@jest/globals';
import { createSecretsManagerStore } from '../../../../shared/secrets/secrets-manager.ts';

/** A secret as DescribeSecret shows it, in the shape that the SDK gives it. */
const describing = (answer: object) => createSecretsManagerStore({ send: async () => answer } as never);

test.each([
  ['3h', '2026-12-01T00:00:00Z'],
  [undefined, '2026-11-30T03:00:00Z'],
])('the next rotation may begin as early as its window opens: Duration %s', async (Duration, begins) => {
  const NextRotationDate = new Date('2026-12-01T03:00:00Z');
  const secret = await describing({ ARN: 'arn', NextRotationDate, RotationRules: { Duration } }).describe('app/db');
  expect(secret.nextRotationMs).toBe(Date.parse(begins));
});

test('a description says how each replica stands', async () => {
  const secret = await describing({
    ARN: 'arn',
    ReplicationStatus: [{ Region: 'us-east-1', Status: 'InSync' }, { Region: 'us-west-2' }],
  }).describe('shop/database');

  // Nothing is known of the second: it is taken for the one that has to be waited for.
  expect(secret.replicas).toEqual(
    new Map([
      ['us-east-1', 'InSync'],
      ['us-west-2', 'InProgress'],
    ]),
  );
});

test('a secret that never rotates and is in one Region has neither', async () => {
  const secret = await describing({ ARN: 'arn', ReplicationStatus: [] }).describe('shop/database');
  expect(secret).not.toHaveProperty('nextRotationMs');
  expect(secret).not.toHaveProperty('replicas');
});
