import { expect, test } from '@jest/globals';
import { createSecretsManagerStore } from '../../../../shared/secrets/secrets-manager.ts';

/** A secret as DescribeSecret shows it, in the shape that the SDK gives it. */
const describing = (answer: object) => createSecretsManagerStore({ send: async () => answer } as never);

test('a description says when the next rotation is due, and how each replica stands', async () => {
  const secret = await describing({
    ARN: 'arn',
    NextRotationDate: new Date('2026-12-01T03:00:00Z'),
    ReplicationStatus: [{ Region: 'us-east-1', Status: 'InSync' }, { Region: 'us-west-2' }],
  }).describe('shop/database');

  expect(secret.nextRotationMs).toBe(Date.parse('2026-12-01T03:00:00Z'));
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
