import { describe, expect, test } from '@jest/globals';
import type { ExternalSecret, ExternalSource, ExternalStore } from '../../../../shared/cluster/port.ts';
import {
  readsOf,
  secretsRead,
  storesByKey,
  syncOf,
  syncRequest,
} from '../../../../shared/consumers/external-secrets.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import { externalSecretOf, externalStoreOf, MARKER, SECRET, T0 } from './observations.ts';

const AT_2 = { annotation: MARKER, versionId: versionOf(2) };
const AWS = { kind: 'SecretStore', name: 'aws' } as const;
const ALL = { kind: 'ClusterSecretStore', name: 'all' } as const;

type Aws = NonNullable<ExternalStore['aws']>;
const FOLLOWS = [{ kind: 'unrecorded' }];
const pinnedTo = (to: string) => [{ kind: 'pinned', to }];

function uses(source: Partial<ExternalSource>, store: Partial<Aws> = {}, secret: object = {}) {
  const whole = { kind: 'key', store: AWS, key: 'shop/database', version: '', ...source } as ExternalSource;
  const stores = [externalStoreOf({}, store), externalStoreOf({ ...ALL, namespace: '' }, store)];
  return readsOf(
    externalSecretOf({ sources: [whole] }),
    storesByKey(stores),
    { ...SECRET, tags: new Map([['team', 'shop']]), ...secret },
    'eu-west-1',
  ).map(({ use }) => use);
}

describe('an ExternalSecret that reads the secret', () => {
  test.each<[string, Partial<ExternalSource>, Partial<Aws>]>([
    ['by its name', {}, {}],
    ['by its ARN', { key: SECRET.arn }, {}],
    ['by its ARN without the six characters', { key: SECRET.arn.slice(0, -7) }, {}],
    ["by a key behind the store's prefix", { key: 'database' }, { prefix: 'shop/' }],
    ['from a ClusterSecretStore', { store: ALL }, {}],
    ['by the label AWSCURRENT', { version: 'AWSCURRENT' }, {}],
    ['with a role of its account', {}, { role: 'arn:aws:iam::111122223333:role/reader' }],
    [
      'through the parameter that points at it',
      { key: '/aws/reference/secretsmanager/shop/database' },
      { service: 'ParameterStore' },
    ],
    [
      'through that parameter behind a prefix',
      { key: 'database' },
      { service: 'ParameterStore', prefix: '/aws/reference/secretsmanager/shop/' },
    ],
    ['found by name', { kind: 'find', path: '', name: startsWithShop(), tags: new Map() }, {}],
    ['found by path and name', { kind: 'find', path: 'shop/', name: startsWithShop(), tags: new Map() }, {}],
    ['found by tags', { kind: 'find', path: '', name: undefined, tags: new Map([['team', 'shop']]) }, {}],
  ])('follows it: %s', (_how, source, store) => {
    expect(uses(source, store)).toEqual(FOLLOWS);
  });

  test.each<[string, Partial<ExternalSource>, Partial<Aws>]>([
    ['version 7', { version: 'uuid/7' }, {}],
    ['label AWSPREVIOUS', { version: 'AWSPREVIOUS' }, {}],
    [
      'label AWSPREVIOUS',
      { key: '/aws/reference/secretsmanager/shop/database:AWSPREVIOUS' },
      { service: 'ParameterStore' },
    ],
  ])('is pinned to %s', (to, source, store) => {
    expect(uses(source, store)).toEqual(pinnedTo(to));
  });

  test.each<[string, Partial<ExternalSource>, Partial<Aws>]>([
    ['another name', { key: 'shop/databases' }, {}],
    ['the same name behind a prefix', {}, { prefix: 'prod/' }],
    ['the same name in another Region', {}, { region: 'us-east-1' }],
    ['the same name in another account', {}, { role: 'arn:aws:iam::999999999999:role/reader' }],
    ['a parameter of the same name', {}, { service: 'ParameterStore' }],
    ['a certificate', {}, { service: 'CertificateManager' }],
    ['a store that is not there', { store: { kind: 'SecretStore', name: 'gone' } }, {}],
    ['found by another name', { kind: 'find', path: '', name: never(), tags: new Map() }, {}],
    ['found on another path', { kind: 'find', path: 'bank/', name: startsWithShop(), tags: new Map() }, {}],
    ['found by other tags', { kind: 'find', path: '', name: undefined, tags: new Map([['team', 'bank']]) }, {}],
    [
      'found in another Region',
      { kind: 'find', name: startsWithShop(), path: '', tags: new Map() },
      { region: 'us-east-1' },
    ],
    ['found by nothing', { kind: 'find', path: '', name: undefined, tags: new Map() }, {}],
  ])('has nothing to do with it: %s', (_how, source, store) => {
    expect(uses(source, store)).toEqual([]);
  });

  test('in a Region with a replica follows that', () => {
    const replicas = new Map([['us-east-1', 'InSync']]);
    expect(uses({}, { region: 'us-east-1' }, { replicas })).toEqual(FOLLOWS);
  });

  test('in a store that is not of AWS has nothing to do with it', () => {
    const stores = storesByKey([{ kind: 'SecretStore', namespace: 'shop', name: 'aws', aws: undefined }]);
    expect(readsOf(externalSecretOf(), stores, SECRET, 'eu-west-1')).toEqual([]);
  });

  test('names what it asks for by key, with the prefix, and cannot name what it looks up', () => {
    const sources: ExternalSource[] = [
      { kind: 'key', store: AWS, key: 'database', version: '' },
      { kind: 'find', store: AWS, path: 'shop/', name: startsWithShop(), tags: new Map() },
    ];
    const stores = storesByKey([externalStoreOf({}, { prefix: 'shop/' })]);
    expect(secretsRead(externalSecretOf({ sources }), stores)).toEqual(['shop/database']);
  });
});

/** As it is once the operator has been asked to read again. */
function asked(over: Partial<ExternalSecret> = {}): ExternalSecret {
  const external = externalSecretOf();
  const annotations = syncRequest(external, AT_2, T0);
  return { ...external, steering: { ...external.steering, annotations }, ...over };
}

const READ_AGAIN = { refreshedAtMs: T0 + 1_000, syncedResourceVersion: '1-after' };

describe('the sync of an ExternalSecret', () => {
  test('is asked for once for each version: the request says when, and what was synced before', () => {
    expect([...syncRequest(externalSecretOf(), AT_2, T0)]).toEqual([
      [MARKER, `${versionOf(2)}/2026-11-23T10:00:00.000Z/1-before`],
    ]);
    expect(syncOf(externalSecretOf(), AT_2).kind).toBe('due');
    expect(syncOf(asked(), AT_2).kind).toBe('asked');
    expect(syncOf(asked(), { ...AT_2, versionId: versionOf(3) }).kind).toBe('due');
  });

  test('has happened once it is Ready, was read since, and at another state than before', () => {
    expect(syncOf(asked(READ_AGAIN), AT_2)).toEqual({ kind: 'synced', askedAtMs: T0 });
  });

  test.each<[string, Partial<ExternalSecret>]>([
    ['it still shows the state from before', { refreshedAtMs: T0 + 1_000 }],
    ['it was read before', { ...READ_AGAIN, refreshedAtMs: T0 - 3_600_000 }],
    ['it is not Ready', { ...READ_AGAIN, ready: { is: false, reason: 'SecretSyncedError' } }],
    ['nobody has looked at it', { ...READ_AGAIN, ready: undefined }],
  ])('has not happened while %s', (_why, over) => {
    expect(syncOf(asked(over), AT_2).kind).toBe('asked');
  });

  test('that fails says why', () => {
    const failing = asked({ ready: { is: false, reason: 'SecretSyncedError' } });
    expect(syncOf(failing, AT_2)).toMatchObject({
      why: expect.stringContaining('shop/database cannot be read: SecretSyncedError'),
    });
  });

  test.each<[string, Partial<ExternalSecret>]>([
    ['CreatedOnce', { refresh: { kind: 'created-once' } }],
    ['refreshInterval 0', { refresh: { kind: 'periodic', everyMs: 0 } }],
    ['immutable', { immutable: true }],
  ])('never happens, and says so: %s', (word, over) => {
    expect(syncOf(asked({ ...READ_AGAIN, ...over }), AT_2)).toEqual({
      kind: 'never',
      why: expect.stringContaining(word),
    });
  });

  test('is asked of the ClusterExternalSecret that made it, which hands the annotation on', () => {
    const steering = {
      kind: 'ClusterExternalSecret',
      name: 'all',
      resourceVersion: '7',
      annotations: new Map(),
    } as const;
    const request = syncRequest(externalSecretOf({ steering }), AT_2, T0);
    expect([...request.keys()]).toEqual([MARKER, 'external-secrets.io/force-sync']);

    const made = externalSecretOf({ steering: { ...steering, annotations: request } });
    expect(syncOf(made, AT_2).kind).toBe('asked');
    expect(syncOf({ ...made, refreshedAtMs: T0 }, AT_2).kind).toBe('synced');
  });

  test('for one secret leaves that for another one as it was', () => {
    const other = { annotation: 'rekey.dev/shop-mail-QwErTy', versionId: versionOf(9) };
    const first = asked(READ_AGAIN);
    const annotations = new Map([...first.steering.annotations, ...syncRequest(first, other, T0 + 60_000)]);
    const both = { ...first, steering: { ...first.steering, annotations } };
    expect(syncOf(both, AT_2).kind).toBe('synced');
    expect(syncOf(both, other).kind).toBe('asked');
  });
});

function startsWithShop() {
  return { text: '^shop/', matches: (name: string) => name.startsWith('shop/') };
}

function never() {
  return { text: 'x', matches: () => false };
}
