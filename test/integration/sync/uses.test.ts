import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import type { Nodes } from '../../sandbox/control-plane/index.ts';
import type { RunningContainer } from '../../sandbox/kubernetes/node/pod-run.ts';
import type { ObjectInput } from '../../sandbox/kubernetes/objects.ts';
import { type Estate, startEstate } from './estate.ts';
import {
  csiVolume,
  driverDaemonSet,
  externalSecret,
  FARGATE_PROFILE,
  mounting,
  namespaced,
  ON_FARGATE,
  pod,
  secretProviderClass,
  secretStore,
  workload,
} from './manifests.ts';
import type { MovingSecret } from './moving-secret.ts';
import { Passes } from './passes.ts';

/** What a container has of the secret: its value tells the version. */
const FILE = '/mnt/secret/secret';
const inFile = (container: RunningContainer) => versionIn(container.files.get(FILE));
const inVariable = (container: RunningContainer) => versionIn(container.env.get('SECRET'));
const versionIn = (value: string | undefined) => (value?.startsWith('{') ? JSON.parse(value).version : value);

interface Use {
  readonly objects: (ns: string, secret: string) => readonly ObjectInput[];
  /** Of each pod. */
  readonly evidence: readonly string[];
  /** The version that a container started with; undefined where no container of the sandbox can tell. */
  readonly has: ((container: RunningContainer) => string | undefined) | undefined;
  readonly pods?: number;
}

const csi = (ns: string, secret: string, spec: object = {}) =>
  secretProviderClass(ns, 'csi', secret, { object: { objectAlias: 'secret' }, spec });
const FROM_SECRET = { env: [{ name: 'SECRET', valueFrom: { secretKeyRef: { name: 'external', key: 'SECRET' } } }] };
const ALL_FROM_SECRET = { envFrom: [{ secretRef: { name: 'external' } }] };
const byKey = (key: string) => ({ data: [{ secretKey: 'SECRET', remoteRef: { key } }] });
const ITEMS = [{ key: 'SECRET', path: 'deep/secret' }];
const EVICT = { 'rekey.dev/on-delete': 'evict' };
const ON_DELETE = { updateStrategy: { type: 'OnDelete' } };

const USES: Readonly<Record<string, Use>> = {
  'a file of the CSI driver': {
    objects: (ns, secret) => [csi(ns, secret), workload('Deployment', ns, 'web', mounting('csi'))],
    evidence: ['mount', 'template'],
    has: inFile,
  },
  'a subPath of what the CSI driver mounts': {
    objects: (ns, secret) => [
      csi(ns, secret),
      workload(
        'StatefulSet',
        ns,
        'web',
        mounting('csi', { volumeMounts: [{ name: 'secret', mountPath: FILE, subPath: 'secret' }] }),
      ),
    ],
    evidence: ['mount', 'template'],
    has: inFile,
  },
  'files in an init container and a sidecar': {
    objects: (ns, secret) => {
      const volumeMounts = [{ name: 'secret', mountPath: '/mnt/secret' }];
      const initContainers = [
        { name: 'migrate', image: 'app:1', volumeMounts },
        { name: 'proxy', image: 'proxy:1', restartPolicy: 'Always', volumeMounts },
      ];
      return [
        csi(ns, secret),
        workload('Deployment', ns, 'web', pod({}, { initContainers, volumes: [csiVolume('csi')] })),
      ];
    },
    evidence: ['mount', 'template'],
    has: undefined,
  },
  'a variable from an ExternalSecret': {
    objects: (ns, secret) => [
      secretStore(ns),
      externalSecret(ns, 'external', byKey(secret)),
      workload('Deployment', ns, 'web', pod(FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'all variables of an ExternalSecret that extracts, behind a prefix': {
    objects: (ns, secret) => [
      secretStore(ns, { prefix: `${secret.split('/')[0]}/` }),
      externalSecret(ns, 'external', {
        dataFrom: [
          {
            extract: { key: secret.split('/')[1] },
            rewrite: [{ regexp: { source: 'version', target: 'SECRET' } }],
          },
        ],
      }),
      workload('Deployment', ns, 'web', pod(ALL_FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'a volume and a projected volume of an ExternalSecret': {
    objects: (ns, secret) => [
      secretStore(ns),
      externalSecret(ns, 'external', byKey(secret)),
      workload(
        'StatefulSet',
        ns,
        'web',
        pod(
          {
            volumeMounts: [
              { name: 'all', mountPath: '/mnt/all' },
              { name: 'some', mountPath: '/mnt/some' },
            ],
          },
          {
            volumes: [
              { name: 'all', secret: { secretName: 'external' } },
              { name: 'some', projected: { sources: [{ secret: { name: 'external', items: ITEMS } }] } },
            ],
          },
        ),
      ),
    ],
    evidence: ['external-secret', 'template'],
    has: ({ files }) =>
      files.get('/mnt/all/SECRET') === files.get('/mnt/some/deep/secret')
        ? versionIn(files.get('/mnt/all/SECRET'))
        : undefined,
  },
  'one file of a volume of an ExternalSecret, by subPath': {
    objects: (ns, secret) => [
      secretStore(ns),
      externalSecret(ns, 'external', byKey(secret)),
      workload(
        'Deployment',
        ns,
        'web',
        pod(
          { volumeMounts: [{ name: 'all', mountPath: FILE, subPath: 'SECRET' }] },
          { volumes: [{ name: 'all', secret: { secretName: 'external' } }] },
        ),
      ),
    ],
    evidence: ['external-secret', 'template'],
    has: inFile,
  },
  'a variable from an ExternalSecret on Fargate': {
    objects: (ns, secret) => [
      secretStore(ns),
      externalSecret(ns, 'external', byKey(secret)),
      workload('Deployment', ns, 'web', pod(FROM_SECRET, ON_FARGATE), { podLabels: FARGATE_PROFILE }),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'an ExternalSecret that finds it by its name': {
    objects: (ns, secret) => [
      secretStore(ns),
      externalSecret(ns, 'external', {
        dataFrom: [
          {
            find: { name: { regexp: `^${secret}$` } },
            rewrite: [{ regexp: { source: '^.*$', target: 'SECRET' } }],
          },
        ],
      }),
      workload('Deployment', ns, 'web', pod(ALL_FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'an ExternalSecret that finds it by a tag, in a ClusterSecretStore': {
    objects: (ns) => [
      { ...secretStore(ns), kind: 'ClusterSecretStore', metadata: { name: ns } },
      externalSecret(ns, 'external', {
        secretStoreRef: { kind: 'ClusterSecretStore', name: ns },
        dataFrom: [{ find: { tags: { team: ns } }, rewrite: [{ regexp: { source: '^.*$', target: 'SECRET' } }] }],
      }),
      workload('Deployment', ns, 'web', pod(ALL_FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'an ExternalSecret with a template, and for its entry a store of its own': {
    objects: (ns, secret) => {
      const elsewhere = secretStore(ns, { prefix: 'elsewhere/' });
      const remoteRef = { key: secret };
      return [
        secretStore(ns),
        { ...elsewhere, metadata: { ...elsewhere.metadata, name: 'elsewhere' } },
        externalSecret(ns, 'external', {
          secretStoreRef: { name: 'elsewhere' },
          target: { template: { data: { SECRET: '{{ .LOGIN }}' } } },
          data: [{ secretKey: 'LOGIN', remoteRef, sourceRef: { storeRef: { kind: 'SecretStore', name: 'aws' } } }],
        }),
        workload('Deployment', ns, 'web', pod(FROM_SECRET)),
      ];
    },
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'an ExternalSecret that reads a parameter that points at it': {
    objects: (ns, secret) => [
      secretStore(ns, { service: 'ParameterStore' }),
      externalSecret(ns, 'external', byKey(`/aws/reference/secretsmanager/${secret}`)),
      workload('Deployment', ns, 'web', pod(FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'a ClusterExternalSecret': {
    objects: (ns, secret) => [
      secretStore(ns),
      {
        apiVersion: 'external-secrets.io/v1',
        kind: 'ClusterExternalSecret',
        metadata: { name: ns },
        spec: {
          externalSecretName: 'external',
          namespaceSelectors: [{ matchLabels: { 'kubernetes.io/metadata.name': ns } }],
          externalSecretSpec: { secretStoreRef: { name: 'aws' }, ...byKey(secret) },
        },
      },
      workload('Deployment', ns, 'web', pod(FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'a file in an Argo Rollout, by restartAt': {
    objects: (ns, secret) => [csi(ns, secret), workload('Rollout', ns, 'web', mounting('csi'))],
    evidence: ['mount', 'template'],
    has: inFile,
  },
  'a variable from an ExternalSecret in an Argo Rollout': {
    objects: (ns, secret) => [
      secretStore(ns),
      externalSecret(ns, 'external', byKey(secret)),
      workload('Rollout', ns, 'web', pod(FROM_SECRET)),
    ],
    evidence: ['external-secret', 'template'],
    has: inVariable,
  },
  'a StatefulSet with OnDelete, by evictions within its budget': {
    objects: (ns, secret) => [
      csi(ns, secret),
      budget(ns, { maxUnavailable: 1 }),
      workload('StatefulSet', ns, 'web', mounting('csi'), { annotations: EVICT, spec: ON_DELETE }),
    ],
    evidence: ['mount', 'template'],
    has: inFile,
  },
  'a DaemonSet with OnDelete, by evictions': {
    objects: (ns, secret) => [
      csi(ns, secret),
      workload('DaemonSet', ns, 'web', mounting('csi'), { annotations: EVICT, spec: ON_DELETE }),
    ],
    evidence: ['mount', 'template'],
    has: inFile,
    pods: 3,
  },
  'a use that no manifest shows': {
    objects: (ns, secret) => [
      workload('Deployment', ns, 'web', pod(), { annotations: { 'rekey.dev/secrets': secret } }),
    ],
    evidence: ['template'],
    has: undefined,
  },
};

onRealKubernetes('every use on a real control plane', () =>
  describe('on a real control plane, with the rights that are shipped', () => {
    let estate: Estate;
    let nodes: Nodes;
    let made = 0;

    beforeAll(async () => {
      estate = await startEstate();
      nodes = await estate.join({ fargateNodes: 1 });
    });
    afterAll(() => estate?.close());

    /** A namespace with a secret of its own, and what is in it, ready. */
    async function open(objects: (ns: string, secret: string) => readonly ObjectInput[]) {
      made += 1;
      const ns = `use-${made}`;
      const secret = estate.account.create(`${ns}/secret`);
      secret.tags = new Map([['team', ns]]);
      const passes = new Passes([estate.cluster], secret);
      const apps = (all: Iterable<RunningContainer>) =>
        [...all].filter(({ name, pod: { namespace } }) => name === 'app' && namespace === ns);
      await estate.create(namespaced(ns), ...objects(ns, secret.name));
      await estate.settled(ns);
      return { ns, secret, passes, apps };
    }

    describe('a new version comes, by one restart, to who has', () => {
      const outcomes = new Map<string, ReturnType<typeof roll>>();
      // All at once: each waits for its pods most of the time.
      beforeAll(async () => {
        for (const [use, { objects }] of Object.entries(USES)) outcomes.set(use, roll(objects));
        await Promise.allSettled(outcomes.values());
      }, 300_000);

      async function roll(objects: Use['objects']) {
        const { secret, passes, apps } = await open(objects);
        const before = apps(estate.started).length;
        secret.move();
        await passes.begin();
        const { consumers } = await passes.converge();
        return { before, after: apps(estate.started), version: secret.current, consumers, passes };
      }

      test.each(Object.entries(USES))('%s', async (use, { evidence, has, pods = 2 }) => {
        const { before, after, version, consumers, passes } = (await outcomes.get(use)) ?? {};

        expect(consumers).toEqual([expect.objectContaining({ name: 'web', mode: 'restart' })]);
        expect(consumers?.[0]?.pods.map((one) => [one.mountedVersion, one.evidence.map(({ kind }) => kind)])).toEqual(
          Array.from({ length: pods }, () => [version, evidence]),
        );
        // Each pod of before had one successor, and no more.
        expect([before, after?.length]).toEqual([pods, 2 * pods]);
        if (has) expect(after?.slice(-pods).map(has)).toEqual(Array(pods).fill(version));
        expect(passes?.of('Action Needed')).toEqual([]);
      });
    });

    test('a budget that forbids an eviction is kept, until it allows one', async () => {
      const tight = (ns: string) => budget(ns, { maxUnavailable: 0 });
      const { ns, secret, passes, apps } = await open((ns, secret) => [
        csi(ns, secret),
        tight(ns),
        workload('StatefulSet', ns, 'web', mounting('csi'), { annotations: EVICT, spec: ON_DELETE }),
      ]);
      await estate.api.until(estate.pathOf(tight(ns)), ({ status }) => status?.expectedPods === 2);
      secret.move();
      await passes.begin();
      for (let n = 0; n < 3; n += 1) await passes.next();
      expect(apps(estate.started)).toHaveLength(2);

      await estate.delete(tight(ns));

      const { consumers } = await passes.converge();
      expect(consumers).toEqual([expect.objectContaining({ pods: [PROVED(secret), PROVED(secret)] })]);
      expect(apps(estate.started)).toHaveLength(4);
    });

    describe('what Rekey does not restart is told, and left alone:', () => {
      const once = { restartPolicy: 'Never' };

      test('a CronJob, whose next run has the version', async () => {
        const template = { metadata: { labels: { app: 'web' } }, spec: mounting('csi', {}, once) };
        const cronJob = (ns: string): ObjectInput => ({
          apiVersion: 'batch/v1',
          kind: 'CronJob',
          metadata: { name: 'report', namespace: ns },
          spec: { schedule: '0 0 1 1 *', jobTemplate: { spec: { template } } },
        });
        const { ns, secret, passes, apps } = await open((ns, secret) => [csi(ns, secret), cronJob(ns)]);
        /** What its controller makes when the time has come. */
        const run = async (name: string) => {
          const { uid } = (await estate.get(cronJob(ns))).metadata;
          const owner = { apiVersion: 'batch/v1', kind: 'CronJob', name: 'report', uid, controller: true };
          const metadata = { name, namespace: ns, ownerReferences: [owner] };
          const job = { apiVersion: 'batch/v1', kind: 'Job', metadata, spec: { template } };
          await estate.create(job);
          await estate.api.until(estate.pathOf(job), ({ status }) => status?.ready === 1);
          return job;
        };
        const first = await run('report-1');

        secret.move();
        await passes.begin();
        passes.later(HALF_AN_HOUR_MS);
        const { detail } = await passes.hears('Secret Not Converged');
        expect(detail.unproved).toEqual([
          expect.objectContaining({
            kind: 'CronJob',
            name: 'report',
            why: expect.stringContaining('does not restart'),
          }),
        ]);
        expect([apps(estate.started), apps(estate.running)].map(({ length }) => length)).toEqual([1, 1]);

        await estate.delete(first);
        await run('report-2');
        await passes.begin();
        const { consumers } = await passes.converge();
        expect(consumers).toEqual([expect.objectContaining({ kind: 'CronJob', pods: [PROVED(secret)] })]);
        expect(apps(estate.started).map(inFile).at(-1)).toBe(secret.current);
      });

      test('a Job and a bare pod', async () => {
        const spec = mounting('csi', {}, once);
        const { ns, secret, passes, apps } = await open((ns, secret) => [
          csi(ns, secret),
          { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'shell', namespace: ns }, spec },
          {
            apiVersion: 'batch/v1',
            kind: 'Job',
            metadata: { name: 'import', namespace: ns },
            spec: { template: { metadata: { labels: { app: 'import' } }, spec } },
          },
        ]);
        await estate.api.until(`/api/v1/namespaces/${ns}/pods`, ({ items }) => items.length === 2);
        await estate.settled(ns);

        secret.move();
        await passes.begin();
        passes.later(HALF_AN_HOUR_MS);
        const { detail } = await passes.hears('Secret Not Converged');

        expect(detail.unproved.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(['Job import', 'Pod shell']);
        for (const { why } of detail.unproved) expect(why).toContain('Rekey does not restart a');
        expect(apps(estate.started)).toHaveLength(2);
      });
    });

    test('98: files of the CSI driver on Fargate, where it does not run, are named at once, and the others go on', async () => {
      const stranded = (ns: string) =>
        workload('Deployment', ns, 'stranded', mounting('csi', {}, ON_FARGATE), { podLabels: FARGATE_PROFILE });
      const { ns, secret, passes } = await open((ns, secret) => [
        csi(ns, secret),
        workload('Deployment', ns, 'web', mounting('csi')),
        workload('DaemonSet', ns, 'agent', mounting('csi')),
      ]);
      await estate.create(stranded(ns));
      await estate.api.until(`/api/v1/namespaces/${ns}/pods`, ({ items }) => {
        const there = items.filter(({ spec }: { readonly spec: { readonly nodeName?: string } }) =>
          spec.nodeName?.startsWith('fargate-'),
        );
        return there.length === 2;
      });
      await estate.api.until(`/api/v1/namespaces/${ns}/events`, ({ items }) =>
        items.some(({ message }: { readonly message: string }) =>
          message.includes('not found in the list of registered'),
        ),
      );

      secret.move();
      await passes.begin();
      await passes.until('the others are rolled', () =>
        ['web', 'agent'].every((name) =>
          estate.started.some(
            ({ pod: { namespace, labels }, files }) =>
              namespace === ns && labels['app'] === name && versionIn(files.get(FILE)) === secret.current,
          ),
        ),
      );
      passes.later(HALF_AN_HOUR_MS);
      const { detail } = await passes.hears('Secret Not Converged');

      const why = expect.stringMatching(/is on Fargate, where the CSI driver cannot run: .* ExternalSecret/);
      expect(detail.unproved).toContainEqual(expect.objectContaining({ name: 'stranded', why }));
      const { spec } = await estate.get(stranded(ns));
      expect(spec.template.metadata.annotations ?? {}).toEqual({});
    });

    describe.each(['1.5.6', '1.6.0'] as const)(
      'variables and files from a Secret that the CSI driver %s writes,',
      (version) => {
        /** @returns a workload that has them, on nodes with the driver of which Rekey knows by its DaemonSet */
        async function opened(rotates: boolean) {
          const driverVersion = version === '1.5.6' ? '1.5' : '1.6';
          nodes = await estate.join({ driverVersion, rotation: { enabled: rotates, pollMs: POLL_MS } });
          await estate.create(driverDaemonSet(version, rotates));
          await estate.settled('kube-system');
          const secretObjects = [
            { secretName: 'synced', type: 'Opaque', data: [{ objectName: 'secret', key: 'SECRET' }] },
          ];
          const env = [{ name: 'SECRET', valueFrom: { secretKeyRef: { name: 'synced', key: 'SECRET' } } }];
          const volumeMounts = [
            { name: 'secret', mountPath: '/mnt/secret' },
            { name: 'synced', mountPath: '/mnt/synced' },
          ];
          // Before what brings it: the kubelet waits for a Secret that is not there, and for no order.
          const volumes = [{ name: 'synced', secret: { secretName: 'synced' } }, csiVolume('csi')];
          return await open((ns, secret) => [
            csi(ns, secret, { secretObjects }),
            workload('Deployment', ns, 'web', mounting('csi', { env, volumeMounts }, { volumes })),
          ]);
        }
        /** What Rekey allows the driver minutes for, or a roll: here it has no more than milliseconds. */
        const isWritten = (ns: string, { current }: MovingSecret) =>
          estate.api.until(
            `/api/v1/namespaces/${ns}/secrets/synced`,
            ({ data }) => versionIn(atob(data.SECRET)) === current,
          );
        const inSyncedFile = ({ files }: RunningContainer) => versionIn(files.get('/mnt/synced/SECRET'));
        afterEach(() => estate.delete(driverDaemonSet(version, false)));

        test('with its rotation on: it is waited for, and one restart brings them', async () => {
          const { ns, secret, passes, apps } = await opened(true);

          secret.move();
          await passes.begin();
          for (let n = 0; n < 2; n += 1) await passes.next();
          expect(apps(estate.started)).toHaveLength(2);
          await nodes.driver.passDriverTime(POLL_MS);
          await isWritten(ns, secret);
          passes.later(POLL_MS + MINUTE_MS);
          const { consumers } = await passes.converge();

          expect(consumers[0]?.pods.map(({ evidence }) => evidence.map(({ kind }) => kind))).toEqual([SYNCED, SYNCED]);
          expect(apps(estate.started).slice(2).map(inVariable)).toEqual([secret.current, secret.current]);
          expect(apps(estate.started).slice(2).map(inSyncedFile)).toEqual([secret.current, secret.current]);
        });

        if (version === '1.6.0')
          test('with its rotation off: a second restart brings them', async () => {
            const { ns, secret, passes, apps } = await opened(false);

            secret.move();
            await passes.begin();
            await estate.settled(ns);
            await isWritten(ns, secret);
            await passes.next();
            expect(apps(estate.started)).toHaveLength(4);
            passes.later(MINUTE_MS);
            const { consumers } = await passes.converge();

            expect(consumers[0]?.pods.map(({ evidence }) => evidence.map(({ kind }) => kind))).toEqual([
              SYNCED,
              SYNCED,
            ]);
            expect(apps(estate.started)).toHaveLength(6);
            expect(apps(estate.started).slice(4).map(inVariable)).toEqual([secret.current, secret.current]);
            expect(apps(estate.started).slice(4).map(inSyncedFile)).toEqual([secret.current, secret.current]);
          });
        else
          test('with its rotation off: the file rolls once, and it is told that no restart brings the variables', async () => {
            const { ns, secret, passes, apps } = await opened(false);

            secret.move();
            await passes.begin();
            await estate.settled(ns);
            passes.later(HALF_AN_HOUR_MS);
            const { detail } = await passes.hears('Secret Not Converged');

            expect(detail.unproved).toEqual([
              expect.objectContaining({
                name: 'web',
                why: expect.stringContaining('the rotation of the CSI driver is off'),
              }),
            ]);
            expect(apps(estate.started)).toHaveLength(4);
          });
      },
    );
  }),
);

const MINUTE_MS = 60_000;
const POLL_MS = 2 * MINUTE_MS;
const SYNCED = ['mount', 'synced-secret', 'template'];

const HALF_AN_HOUR_MS = 30 * 60_000;

const PROVED = ({ current }: MovingSecret) => expect.objectContaining({ mountedVersion: current });

function budget(namespace: string, spec: object): ObjectInput {
  return {
    apiVersion: 'policy/v1',
    kind: 'PodDisruptionBudget',
    metadata: { name: 'web', namespace },
    spec: { selector: { matchLabels: { app: 'web' } }, ...spec },
  };
}
