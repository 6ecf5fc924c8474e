import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { createEventBridgeAnnouncer } from '../../../../shared/operations/event-bridge.ts';
import type { Logger } from '../../../../shared/operations/logger.ts';
import { createSqsQueue } from '../../../../shared/operations/sqs.ts';
import { createSecretsManagerStore } from '../../../../shared/secrets/secrets-manager.ts';

/** The clients that the adapters make for themselves, towards an endpoint that takes connections and says nothing. */

const SECRET = {
  secretArn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:app/db-AbCdEf',
  secretName: 'app/db',
  versionId: 'b5b8bd4e-9a3f-4d8e-8b0b-111111111111',
};
/** Well within the minute that a function has. */
const IN_TIME_MS = 15_000;

const environment = process.env;
let deaf: Server;

beforeEach(async () => {
  deaf = createServer((socket) => socket.resume().on('error', () => {}));
  await new Promise<void>((resolve) => deaf.listen(0, '127.0.0.1', resolve));
  const address = deaf.address();
  process.env = {
    ...environment,
    AWS_ENDPOINT_URL: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'test',
    AWS_SECRET_ACCESS_KEY: 'test',
  };
});
afterEach(() => {
  process.env = environment;
  deaf.close();
});

test('81: no service of AWS that never answers holds a function up until Lambda ends it', async () => {
  const lines: unknown[] = [];
  const write: Logger['info'] = (_message, fields) => void lines.push(fields?.error);
  const log: Logger = { info: write, warn: write, error: write, with: () => log };
  const startedAtMs = Date.now();

  await Promise.all([
    createEventBridgeAnnouncer('rekey', log).announce({
      type: 'Secret Retired',
      detail: { ...SECRET, user: 'app', engine: 'postgres' },
    }),
    expect(createSqsQueue(process.env['AWS_ENDPOINT_URL'] ?? '').send('look', 0)).rejects.toMatchObject({
      code: 'QUEUE_UNAVAILABLE',
    }),
    expect(createSecretsManagerStore().describe(SECRET.secretArn)).rejects.toMatchObject({
      code: 'SECRETS_MANAGER_UNAVAILABLE',
    }),
  ]);

  expect(lines).toEqual([expect.objectContaining({ code: 'EVENT_NOT_SENT' })]);
  expect(Date.now() - startedAtMs).toBeLessThan(IN_TIME_MS);
}, 60_000);
