import { RDSClient, type RDSClientConfig } from '@aws-sdk/client-rds';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { systemClock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { createRdsTopology } from '../../shared/topology/rds.ts';
import { type AwsServer, startAwsServer } from '../sandbox/aws/server.ts';
import { AwsError } from '../sandbox/aws/service.ts';
import { shownAs } from './shown-as.ts';

/** The adapter of RDS sends no secret value, but it signs with credentials, and its answers are somebody else's text. */

const CREDENTIALS = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'hunter2-key', sessionToken: 'hunter2-session' };

let server: AwsServer;
let code: string;
const clients: RDSClient[] = [];

beforeAll(async () => {
  server = await startAwsServer({
    accountId: '111122223333',
    region: 'eu-west-1',
    services: [
      {
        name: 'rds',
        protocols: [{ kind: 'query', xmlNamespace: 'http://rds.amazonaws.com/doc/2014-10-31/' }],
        handle: async () => {
          throw new AwsError(code, 'signed with hunter2-key, token hunter2-session');
        },
      },
    ],
  });
});
afterAll(async () => {
  for (const client of clients) client.destroy();
  await server.close();
});

async function failureAt(endpoint: string, credentials: NonNullable<RDSClientConfig['credentials']>) {
  const topology = createRdsTopology(() => {
    const client = new RDSClient({ endpoint, region: 'eu-west-1', maxAttempts: 1, credentials });
    clients.push(client);
    return client;
  });
  return await topology
    .describe({ kind: 'instance', id: 'orders' }, deadlineIn(20_000, systemClock))
    .catch((error: unknown) => error);
}

function expectSilence(error: unknown): void {
  expect(error).toMatchObject({ name: 'RekeyError', message: expect.stringContaining('instance orders') });
  expect(shownAs(error)).not.toContain('hunter2');
  expect((error as Error).cause).toBeUndefined();
}

test.each(['AccessDenied', 'Throttling', 'InvalidParameterValue', 'InternalFailure', 'SomethingNew'])(
  'a refusal by %s that quotes the request is not quoted',
  async (refusal) => {
    code = refusal;
    expectSilence(await failureAt(server.endpoint, CREDENTIALS));
  },
);

test('a connection that fails says nothing of the credentials', async () => {
  expectSilence(await failureAt('http://127.0.0.1:1', CREDENTIALS));
});

test('credentials that cannot be had are not told why', async () => {
  expectSilence(
    await failureAt(server.endpoint, async () => {
      throw new Error('the session hunter2-session is over');
    }),
  );
});
