import { expect, test } from '@jest/globals';
import { readSyncConfig } from '../../../functions/sync-config.ts';

const ENV = {
  REKEY_CLUSTERS: '[{"name":"prod","region":"eu-west-1"}]',
  REKEY_QUEUE_URL: 'https://sqs.eu-west-1.amazonaws.com/111122223333/sync',
  REKEY_EVENT_BUS: 'rekey',
};

test('the environment says which clusters, queue and bus', () => {
  expect(readSyncConfig(ENV)).toEqual({
    clusters: [{ name: 'prod', region: 'eu-west-1' }],
    queueUrl: ENV.REKEY_QUEUE_URL,
    eventBus: 'rekey',
  });
});

test('a cluster of another account is entered by a role there; two of one name in EKS are told apart', () => {
  const there = {
    name: 'prod-us',
    eksName: 'prod',
    region: 'us-east-1',
    role: { roleArn: 'arn:aws:iam::444455556666:role/rekey/sync', externalId: 'team:42' },
  };
  const here = { name: 'prod', region: 'eu-west-1' };
  expect(readSyncConfig({ ...ENV, REKEY_CLUSTERS: JSON.stringify([here, there]) }).clusters).toEqual([here, there]);
});

test('82: everything that is missing is told at once', () => {
  expect(() => readSyncConfig({ REKEY_EVENT_BUS: ' ' })).toThrow(
    expect.objectContaining({
      code: 'CONFIG_INVALID',
      message: expect.stringMatching(/REKEY_QUEUE_URL is missing.*REKEY_EVENT_BUS is missing.*REKEY_CLUSTERS/),
    }),
  );
});

test.each([
  ['REKEY_QUEUE_URL', 'sync'],
  ['REKEY_CLUSTERS', 'prod'],
  ['REKEY_CLUSTERS', '{"name":"prod","region":"eu-west-1"}'],
  ['REKEY_CLUSTERS', '[{"name":"prod"}]'],
  ['REKEY_CLUSTERS', '[{"name":"../prod","region":"eu-west-1"}]'],
  ['REKEY_CLUSTERS', '[{"name":"prod","region":"evil.example/"}]'],
  ['REKEY_CLUSTERS', '[{"name":"prod","region":"eu-west-1"},{"name":"prod","region":"us-east-1"}]'],
  ['REKEY_CLUSTERS', '[{"name":"prod","region":"eu-west-1","roleARN":"arn:aws:iam::444455556666:role/sync"}]'],
  ['REKEY_CLUSTERS', '[{"name":"prod","region":"eu-west-1","role":{"roleArn":"arn:aws:iam::4444:role/sync"}}]'],
  ['REKEY_CLUSTERS', '[{"name":"prod","region":"eu-west-1","role":{"roleArn":"arn:aws:iam::444455556666:user/eve"}}]'],
])('82: %s=%s is refused', (name, value) => {
  expect(() => readSyncConfig({ ...ENV, [name]: value })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(name) }),
  );
});
