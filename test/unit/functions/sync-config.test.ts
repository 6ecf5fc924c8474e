import { expect, test } from '@jest/globals';
import { readSyncConfig } from '../../../functions/sync-config.ts';

const ENV = {
  REKEY_CLUSTERS: '[{"region":"eu-west-1","names":"prod shop"}]',
  REKEY_QUEUE_URL: 'https://sqs.eu-west-1.amazonaws.com/111122223333/sync',
  REKEY_EVENT_BUS: 'rekey',
};

test('the environment says which clusters, queue and bus', () => {
  expect(readSyncConfig(ENV)).toEqual({
    clusters: [
      { name: 'prod', region: 'eu-west-1' },
      { name: 'shop', region: 'eu-west-1' },
    ],
    queueUrl: ENV.REKEY_QUEUE_URL,
    eventBus: 'rekey',
    rotationFunctions: [],
  });
});

test('and which functions rotate for Rekey, if any do', () => {
  const functions = ['postgres', 'mysql'].map((engine) => `arn:aws:lambda:eu-west-1:111122223333:function:${engine}`);
  const told = (text: string) => readSyncConfig({ ...ENV, REKEY_ROTATION_FUNCTIONS: text }).rotationFunctions;
  expect(told(functions.join(' '))).toEqual(functions);
  expect(() => told('postgres')).toThrow(/REKEY_ROTATION_FUNCTIONS is not a list of function ARNs/);
});

test('a cluster of another account is entered by a role there; two of one name in EKS are told apart', () => {
  const role = { roleArn: 'arn:aws:iam::*:role/rekey/sync', externalId: 'team:42' };
  const groups = [
    { region: 'us-east-1', names: 'old=prod' },
    { region: 'us-east-1', names: '444455556666/prod-us=prod 777788889999/shop', role },
  ];
  const roleIn = (account: string) => ({ ...role, roleArn: `arn:aws:iam::${account}:role/rekey/sync` });

  expect(readSyncConfig({ ...ENV, REKEY_CLUSTERS: JSON.stringify(groups) }).clusters).toEqual([
    { name: 'old', eksName: 'prod', region: 'us-east-1' },
    { name: 'prod-us', eksName: 'prod', region: 'us-east-1', role: roleIn('444455556666') },
    { name: 'shop', region: 'us-east-1', role: roleIn('777788889999') },
  ]);
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
  ['REKEY_CLUSTERS', '{"region":"eu-west-1","names":"prod"}'],
  ['REKEY_CLUSTERS', '[{"names":"prod"}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":""}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":["prod"]}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"../prod"}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"prod  shop"}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"prod=a=b"}]'],
  ['REKEY_CLUSTERS', '[{"region":"evil.example/","names":"prod"}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"prod"},{"region":"us-east-1","names":"prod"}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"444455556666/prod"}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"4444/prod","role":{"roleArn":"arn:aws:iam::*:role/sync"}}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"prod","role":{"roleArn":"arn:aws:iam::*:role/sync"}}]'],
  ['REKEY_CLUSTERS', '[{"region":"eu-west-1","names":"prod","roleARN":"arn:aws:iam::*:role/sync"}]'],
  ...['arn:aws:iam::444455556666:role/sync', 'arn:aws:iam::*:user/eve'].map((roleArn) => [
    'REKEY_CLUSTERS',
    JSON.stringify([{ region: 'eu-west-1', names: '444455556666/prod', role: { roleArn } }]),
  ]),
])('82: %s=%s is refused', (name, value) => {
  expect(() => readSyncConfig({ ...ENV, [name]: value })).toThrow(
    expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(name) }),
  );
});
