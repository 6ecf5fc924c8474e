import { expect, test } from '@jest/globals';
import { namespacesUsing, secretsNamed } from '../../../../shared/consumers/manifests.ts';
import { DATABASE, SECRET, snapshotOf, spcOf, workloadOf } from './observations.ts';

test('pods are looked for where a class or a workload names the secret, and nowhere else', () => {
  const classes = [DATABASE, spcOf([{ objectName: 'bank/database' }], { namespace: 'bank' })];
  const workloads = [
    workloadOf({ namespace: 'tools', annotations: new Map([['rekey.dev/secrets', 'shop/database']]) }),
    workloadOf({ namespace: 'idle' }),
  ];

  expect([...namespacesUsing(SECRET, snapshotOf({ classes, workloads }))].sort()).toEqual(['shop', 'tools']);
});

test('the secrets that a cluster names are those of its classes and of the annotations', () => {
  const classes = [
    DATABASE,
    spcOf(
      [{ objectName: 'x', objectAlias: 'a', failoverObject: { objectName: 'y' } }],
      { name: 'two' },
      { failoverRegion: 'eu-central-1' },
    ),
    spcOf('{', { name: 'broken' }),
  ];
  const workloads = [workloadOf({ annotations: new Map([['rekey.dev/secrets', 'one two']]) })];

  expect([...secretsNamed(snapshotOf({ classes, workloads }))].sort()).toEqual([
    'one',
    'shop/database',
    'two',
    'x',
    'y',
  ]);
});
