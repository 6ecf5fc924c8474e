import { inspect } from 'node:util';
import { EKSClient } from '@aws-sdk/client-eks';
import { expect, test } from '@jest/globals';
import { createEksAccess } from '../../shared/cluster/eks.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { shownAs } from './shown-as.ts';

const SECRET_KEY = 'hunter2-key';
const SESSION_TOKEN = 'hunter2-session';

function accessWith(
  credentials: () => Promise<{ accessKeyId: string; secretAccessKey: string; sessionToken: string }>,
) {
  // Nobody listens there.
  const client = new EKSClient({ region: 'eu-west-1', endpoint: 'http://127.0.0.1:9', maxAttempts: 1, credentials });
  return createEksAccess({ name: 'prod', region: 'eu-west-1' }, clock, client);
}

const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: SECRET_KEY, sessionToken: SESSION_TOKEN };

test('a token prints as a placeholder', async () => {
  const token = await accessWith(async () => CREDENTIALS).bearerToken(false);

  expect(token.expose()).toMatch(/^k8s-aws-v1\./);
  expect([String(token), inspect(token, { depth: 20 }), JSON.stringify(token)]).toEqual([
    '[secret]',
    '[secret]',
    '"[secret]"',
  ]);
});

test('a DescribeCluster that fails says nothing of the credentials that signed it', async () => {
  const error: unknown = await accessWith(async () => CREDENTIALS)
    .endpoint(deadlineIn(20_000, clock))
    .catch((thrown: unknown) => thrown);

  expect(error).toMatchObject({ code: 'CLUSTER_UNREACHABLE' });
  expect(shownAs(error)).not.toContain('hunter2');
});

test('credentials that cannot be had are named as that alone', async () => {
  const access = accessWith(async () => {
    throw new Error(`the session ${SESSION_TOKEN} is over`);
  });

  const error: unknown = await access.bearerToken(false).catch((thrown: unknown) => thrown);

  expect(error).toMatchObject({ code: 'CLUSTER_ACCESS_DENIED' });
  expect(shownAs(error)).not.toContain('hunter2');
});
