import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { SecretProviderClass } from '../../../../shared/cluster/port.ts';
import { consumersOf } from '../../../../shared/consumers/consumers.ts';
import { markerOf } from '../../../../shared/consumers/marker.ts';
import { narrowing } from '../../../../shared/consumers/narrow.ts';
import type { Snapshot } from '../../../../shared/consumers/observe.ts';
import { referencesTo, type SecretIdentity } from '../../../../shared/consumers/references.ts';
import { inRegion } from '../../../../shared/secrets/secret-arn.ts';
import { versionOf } from '../../functions/sync/messages.ts';
import {
  containerOf,
  driverOf,
  externalSecretOf,
  externalStoreOf,
  mountOf,
  podOf,
  snapshotOf,
  spcOf,
  T0,
  workloadOf,
} from './observations.ts';

const arnOf = (name: string, suffix: string) =>
  `arn:aws:secretsmanager:eu-west-1:111122223333:secret:${name}-${suffix}`;

/** One in two Regions, one with a tag, and one whose name looks like the ARN of the first. */
const SECRETS: readonly SecretIdentity[] = [
  { name: 'shop', arn: arnOf('shop', 'AbCdEf'), replicas: new Map([['eu-central-1', 'InSync']]) },
  { name: 'bank', arn: arnOf('bank', 'QwErTy'), tags: new Map([['team', 'bank']]) },
  { name: 'shop-AbCdEf', arn: arnOf('shop-AbCdEf', 'ZzZzZz') },
];

const references = fc.constantFrom(
  'nobody',
  inRegion(arnOf('bank', 'QwErTy'), 'eu-central-1'),
  ...SECRETS.flatMap(referencesTo),
);
const namespaces = fc.constantFrom('one', 'other');
const few = <T>(one: fc.Arbitrary<T>, maxLength = 3) => fc.array(one, { maxLength });
/** As an API server has them: no two of one name. */
const objects = <T extends { readonly namespace: string; readonly name: string }>(one: fc.Arbitrary<T>) =>
  fc.uniqueArray(one, { selector: ({ namespace, name }) => `${namespace}/${name}`, maxLength: 5 });

const entries = fc.record(
  {
    objectName: fc.oneof(
      references,
      references.map((name) => `/aws/reference/secretsmanager/${name}`),
    ),
    objectType: fc.constantFrom('secretsmanager', 'ssmparameter'),
    objectAlias: fc.constantFrom('file', 'other-file'),
    objectVersionLabel: fc.constantFrom('AWSCURRENT', 'AWSPREVIOUS'),
    failoverObject: fc.record({ objectName: references }),
  },
  { requiredKeys: ['objectName'] },
);
const classes = fc
  .record({
    namespace: namespaces,
    name: fc.constantFrom('a', 'b', 'c'),
    objects: fc.oneof(
      { weight: 5, arbitrary: few(entries) },
      { weight: 1, arbitrary: references.map((name) => `- objectName: "${name}`) },
    ),
    parameters: fc.constantFrom({}, { region: 'eu-central-1' }, { failoverRegion: 'eu-central-1' }),
    syncedSecrets: few(
      fc.record({
        name: fc.constantFrom('s', 't'),
        files: few(fc.constantFrom('file', 'other-file', 'shop', 'bank')),
      }),
      2,
    ),
  })
  .map(
    ({ namespace, name, objects: all, parameters, syncedSecrets }): SecretProviderClass =>
      spcOf(all, { namespace, name, syncedSecrets }, parameters as Record<string, string>),
  );

const storeRefs = fc.record({
  kind: fc.constantFrom('SecretStore' as const, 'ClusterSecretStore' as const),
  name: fc.constantFrom('aws', 'parameters'),
});
const stores = fc
  .record({ ref: storeRefs, namespace: namespaces, prefix: fc.constantFrom('', '', 'sh') })
  .map(({ ref, namespace, prefix }) =>
    externalStoreOf(
      { ...ref, namespace: ref.kind === 'SecretStore' ? namespace : '' },
      { prefix, service: ref.name === 'aws' ? 'SecretsManager' : 'ParameterStore' },
    ),
  );
const sources = fc.oneof(
  fc.record({
    kind: fc.constant('key' as const),
    store: storeRefs,
    key: fc.oneof(
      references,
      fc.constant('op'),
      references.map((name) => `/aws/reference/secretsmanager/${name}`),
    ),
    version: fc.constantFrom('', 'AWSPREVIOUS'),
  }),
  fc.record({
    kind: fc.constant('find' as const),
    store: storeRefs,
    path: fc.constantFrom('', 'sh'),
    name: fc.constantFrom(undefined, { text: 'bank', matches: (name: string) => name === 'bank' }),
    tags: fc.constantFrom(new Map(), new Map([['team', 'bank']])),
  }),
);
const externalSecrets = fc
  .record({
    namespace: namespaces,
    name: fc.constantFrom('x', 'y'),
    target: fc.constantFrom('s', 't', undefined),
    sources: few(sources, 2),
  })
  .map(externalSecretOf);

const referring = {
  secretProviderClasses: fc.uniqueArray(fc.constantFrom('a', 'b', 'c'), { maxLength: 2 }),
  secrets: few(
    fc.record({ name: fc.constantFrom('s', 't'), as: fc.constantFrom('variable' as const, 'file' as const) }),
    2,
  ),
};
const annotations = fc.oneof(
  fc.constant(new Map<string, string>()),
  references.map((name) => new Map([['rekey.dev/secrets', `nobody, ${name}`]])),
);
const owned = fc.constantFrom('app', 'api');
const workloads = fc
  .record({
    kind: fc.constantFrom('Deployment' as const, 'StatefulSet' as const),
    namespace: namespaces,
    name: owned,
    annotations,
    ...referring,
  })
  .map(workloadOf);
const cronJobs = fc.record({ namespace: namespaces, name: owned, annotations, ...referring });
const pods = fc
  .record({
    namespace: namespaces,
    name: fc.constantFrom('p', 'q', 'r', 's'),
    controller: fc.oneof(
      fc.constant(undefined),
      fc.record({ kind: fc.constantFrom('Deployment', 'StatefulSet', 'CronJob', 'Job'), name: owned }),
    ),
    phase: fc.constantFrom('Running', 'Running', 'Succeeded'),
    ...referring,
  })
  .map((pod) =>
    podOf({
      ...pod,
      containers: [
        containerOf({
          mounts: pod.secretProviderClasses.map((name) => ({ secretProviderClass: name, subPath: false })),
          secrets: pod.secrets,
        }),
      ],
    }),
  );

const snapshots = fc
  .record({
    classes: objects(classes),
    externalStores: few(stores),
    externalSecrets: objects(externalSecrets),
    workloads: objects(workloads),
    driver: fc.constantFrom([], [driverOf()], [driverOf({ version: { major: 1, minor: 6 } })]),
    cronJobs: objects(cronJobs),
    pods: objects(pods),
    version: fc.constantFrom(1, 2),
  })
  .map(({ driver, version, ...seen }): Snapshot => {
    const mounts = seen.pods.flatMap((pod) =>
      pod.secretProviderClasses.map((secretProviderClass) =>
        mountOf(pod, version, {
          secretProviderClass,
          versions: new Map(['file', 'shop', 'bank'].map((id) => [id, versionOf(version)])),
        }),
      ),
    );
    return snapshotOf({ ...seen, workloads: [...seen.workloads, ...driver], mounts });
  });

test('of a part, the same consumers are found, and the same is said of them, as of the whole', () => {
  const seen = new Set<string>();
  fc.assert(
    fc.property(snapshots, (snapshot) => {
      const partFor = narrowing(snapshot);
      for (const secret of SECRETS) {
        const marker = markerOf(secret, versionOf(2));
        const whole = consumersOf(secret, marker, snapshot, { nowMs: T0 + 90_000, movedAtMs: T0 });
        expect(consumersOf(secret, marker, partFor(secret), { nowMs: T0 + 90_000, movedAtMs: T0 })).toEqual(whole);
        for (const { letters, ref } of whole.consumers) for (const letter of letters) seen.add(`${ref.kind} ${letter}`);
        if (whole.pinned.length > 0) seen.add('pinned');
        if (whole.syncs.length > 0) seen.add('to be read again');
      }
    }),
    { numRuns: 1_000 },
  );
  // Nothing is the same as nothing, too.
  const kinds = ['Deployment', 'StatefulSet', 'CronJob', 'Job', 'Pod'];
  expect([...new Set([...seen].map((one) => one.split(' ')[0]))]).toEqual(expect.arrayContaining([...kinds, 'pinned']));
  expect([...seen]).toEqual(expect.arrayContaining(['Deployment B', 'Deployment D', 'Deployment E', 'Deployment F']));
});

test('a part holds nothing of other secrets', () => {
  const names = ['orders', 'billing'];
  const all = names.map((name) =>
    podOf({ name, controller: { kind: 'Deployment', name }, secretProviderClasses: [name] }),
  );
  const snapshot = snapshotOf({
    classes: names.map((name) => spcOf([{ objectName: name }], { name })),
    workloads: [...names.map((name) => workloadOf({ name, secretProviderClasses: [name] })), driverOf()],
    cronJobs: names.map((name) => ({
      namespace: 'shop',
      name,
      annotations: new Map(),
      secretProviderClasses: [name],
      secrets: [],
    })),
    pods: [...all, podOf({ name: 'driver', namespace: 'kube-system', controller: { kind: 'DaemonSet', name: 'csi' } })],
    mounts: all.map((pod) => mountOf(pod, 1, { secretProviderClass: pod.name })),
  });

  const part = narrowing(snapshot)({ name: 'billing', arn: arnOf('billing', 'AbCdEf') });
  expect(part.workloads.map(({ name }) => name)).toEqual(['billing', 'csi-secrets-store']);
  for (const one of [part.classes, part.cronJobs, part.pods]) expect(one.map(({ name }) => name)).toEqual(['billing']);
  expect(part.mounts.map(({ pod }) => pod)).toEqual(['billing']);
});
