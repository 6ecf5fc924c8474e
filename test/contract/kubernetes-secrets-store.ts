import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type Answer,
  type KubernetesApi,
  KubernetesClient,
  MERGE,
  STRATEGIC,
} from '../sandbox/kubernetes/api-client.ts';
import type { ReadSecret } from '../sandbox/kubernetes/node/aws-provider.ts';
import type { NodeAgent } from '../sandbox/kubernetes/node/node-agent.ts';
import type { RunningContainer } from '../sandbox/kubernetes/node/pod-run.ts';
import type { DriverOptions } from '../sandbox/kubernetes/node/secrets-store-driver.ts';

type Body = Answer['body'];

export interface DrivenCluster extends KubernetesApi {
  readonly driver: Pick<NodeAgent, 'passDriverTime' | 'takeDriverDown' | 'holdSyncedSecrets'>;
  onContainerStarted(listener: (container: RunningContainer) => void): () => void;
  close(): Promise<void>;
}

type Start = (options: DriverOptions & { readonly readSecret: ReadSecret }) => Promise<DrivenCluster>;

const POLL_MS = 120_000;
const SECRET_OBJECTS = [
  { secretName: 'env', type: 'Opaque', data: [{ objectName: 'shop_database', key: 'DATABASE' }] },
];
const ENV_FROM = [{ secretRef: { name: 'env' } }];

/**
 * When the Secrets Store CSI driver fetches, and when it writes Secrets from what it mounted, until 1.5 and since 1.6: its
 * nodeserver.go, pkg/rotation (until 1.5) and controllers/secretproviderclasspodstatus_controller.go.
 */
export function describeSecretsStoreDriver(name: string, start: Start): void {
  describe(`the CSI driver on ${name}`, () => {
    let current: string;
    let refused: boolean;
    let cluster: DrivenCluster;
    let api: KubernetesClient;
    let ns: string;
    let started: RunningContainer[];

    const open = async (driver: DriverOptions) => {
      cluster = await start({
        ...driver,
        readSecret: async () => {
          if (refused) throw new Error('no');
          return { versionId: current, value: `value of ${current}` };
        },
      });
      api = new KubernetesClient(cluster);
      cluster.onContainerStarted((container) => {
        if (container.pod.namespace === ns) started.push(container);
      });
    };
    const close = async () => {
      await api.deleteNamespaces();
      api.close();
      await cluster.close();
    };
    beforeEach(async () => {
      current = 'v1';
      refused = false;
      started = [];
      ns = await api.createNamespace('driver');
    });

    const deployments = () => `/apis/apps/v1/namespaces/${ns}/deployments`;
    const secret = () => `/api/v1/namespaces/${ns}/secrets/env`;
    const pods = () => `/api/v1/namespaces/${ns}/pods`;
    const statuses = () => `/apis/secrets-store.csi.x-k8s.io/v1/namespaces/${ns}/secretproviderclasspodstatuses`;

    /** A Deployment of one pod, which mounts a class. */
    async function deploy({ spec = {}, container = {}, annotations = {} } = {}): Promise<void> {
      const classes = `/apis/secrets-store.csi.x-k8s.io/v1/namespaces/${ns}/secretproviderclasses`;
      const objects = '- objectName: shop/database\n  objectType: secretsmanager\n';
      expect(
        await api.create(classes, {
          apiVersion: 'secrets-store.csi.x-k8s.io/v1',
          kind: 'SecretProviderClass',
          metadata: { name: 'database' },
          spec: { provider: 'aws', parameters: { objects }, ...spec },
        }),
      ).toMatchObject({ code: 201 });
      const csi = {
        driver: 'secrets-store.csi.k8s.io',
        readOnly: true,
        volumeAttributes: { secretProviderClass: 'database' },
      };
      const volumeMounts = [{ name: 'secret', mountPath: '/mnt' }];
      expect(
        await api.create(deployments(), {
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'web' },
          spec: {
            selector: { matchLabels: { app: 'web' } },
            template: {
              metadata: { labels: { app: 'web' }, annotations },
              spec: {
                volumes: [{ name: 'secret', csi }],
                containers: [{ name: 'app', image: 'app:1', volumeMounts, ...container }],
              },
            },
          },
        }),
      ).toMatchObject({ code: 201 });
    }

    const isRolledOut = ({ metadata, status }: Body) =>
      status?.observedGeneration === metadata.generation &&
      status?.updatedReplicas === 1 &&
      status?.availableReplicas === 1 &&
      status?.replicas === 1;
    const rolledOut = () => api.until(`${deployments()}/web`, isRolledOut);
    const restart = async (at: string) => {
      await api.patch(`${deployments()}/web`, STRATEGIC, { spec: { template: { metadata: { annotations: { at } } } } });
      await rolledOut();
    };
    const synced = async () => {
      const { body } = await api.get(secret());
      return Buffer.from(body.data?.DATABASE ?? '', 'base64').toString();
    };
    const syncs = (value: string) =>
      api.until(secret(), ({ data }) => Buffer.from(data?.DATABASE ?? '', 'base64').toString() === value);
    const reported = async () => {
      const { body } = await api.get(statuses());
      return body.items.map(({ status }: Body) => status.objects.map(({ version }: Body) => version).join());
    };
    const reports = (version: string) =>
      api.until(statuses(), ({ items }) => items.some(({ status }: Body) => status.objects[0]?.version === version));
    const mounted = () => started.at(-1)?.readFile('/mnt/shop_database');
    const variable = () => started.at(-1)?.env.get('DATABASE');
    const eventReasons = async () => {
      const { body } = await api.get(`/api/v1/namespaces/${ns}/events`);
      return body.items.map(({ reason }: Body) => reason);
    };

    describe.each(['1.5', '1.6'] as const)('%s without rotation', (version) => {
      beforeAll(() => open({ version, rotation: { enabled: false, pollMs: POLL_MS } }));
      afterAll(close);

      test('fetches at the mount of a pod, and never again', async () => {
        await deploy();
        await rolledOut();
        current = 'v2';
        await cluster.driver.passDriverTime(10 * POLL_MS);

        expect(mounted()).toBe('value of v1');
        await restart('once');
        expect(mounted()).toBe('value of v2');
        await reports('v2');
      });

      test('writes a Secret from what a pod mounted, owned by what owns the pod, and the pod waits for it', async () => {
        const release = cluster.driver.holdSyncedSecrets();
        await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
        await api.until(
          pods(),
          ({ items }) => items[0]?.status.containerStatuses?.[0].state.waiting?.reason === 'CreateContainerConfigError',
        );
        release();
        await rolledOut();

        expect(variable()).toBe('value of v1');
        const { body } = await api.get(secret());
        expect(body.metadata).toMatchObject({
          labels: { 'secrets-store.csi.k8s.io/managed': 'true' },
          ownerReferences: [{ kind: 'ReplicaSet' }],
        });
        expect(await synced()).toBe('value of v1');
      });

      test('does not have a pod wait for a Secret that is there: it starts with the old value', async () => {
        await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
        await rolledOut();
        const release = cluster.driver.holdSyncedSecrets();
        current = 'v2';
        await restart('once');

        expect([mounted(), variable()]).toEqual(['value of v2', 'value of v1']);
        release();
      });

      test('deletes a Secret with the last of its owners', async () => {
        await deploy({ spec: { secretObjects: SECRET_OBJECTS } });
        await rolledOut();
        await syncs('value of v1');
        await api.send('DELETE', `${deployments()}/web`, { body: { propagationPolicy: 'Background' } });

        await api.until(secret(), ({ code }) => code === 404);
      });

      test('that ended in the middle of a first mount leaves the directory empty, for good, and reports nothing', async () => {
        await deploy({ annotations: { 'rekey-sandbox.dev/fail': 'interrupted-mount' } });
        await rolledOut();
        await cluster.driver.passDriverTime(10 * POLL_MS);

        expect(() => mounted()).toThrow(/ENOENT/);
        expect(await reported()).toEqual([]);
      });

      test('mounts nothing on a node where it does not run, until it does', async () => {
        const ups = ['node-1', 'node-2', 'node-3'].map((node) => cluster.driver.takeDriverDown(node));
        await deploy();
        await api.until(`/api/v1/namespaces/${ns}/events`, ({ items }) =>
          items.some(({ message }: Body) => message.includes('not found in the list of registered CSI drivers')),
        );
        for (const up of ups) up();

        await rolledOut();
      });

      if (version === '1.5') {
        test('never changes a Secret that it wrote, whatever is mounted by then', async () => {
          await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
          await rolledOut();
          current = 'v2';
          await restart('once');
          // It has looked at the Secret by then: the new ReplicaSet owns it, too.
          await api.until(secret(), ({ metadata }) => metadata.ownerReferences.length === 2);
          await restart('twice');

          expect([mounted(), variable()]).toEqual(['value of v2', 'value of v1']);
          expect(await synced()).toBe('value of v1');
        });

        test('writes a Secret anew that somebody deleted before the restart', async () => {
          await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
          await rolledOut();
          await syncs('value of v1');
          current = 'v2';
          await api.send('DELETE', secret());
          await restart('once');

          expect(variable()).toBe('value of v2');
        });
      } else {
        test('changes the Secret after the mount of a pod: later than the first of them may start', async () => {
          await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
          await rolledOut();
          await syncs('value of v1');
          current = 'v2';
          const release = cluster.driver.holdSyncedSecrets();
          await restart('once');
          release();
          await syncs('value of v2');

          expect(variable()).toBe('value of v1');
          await restart('twice');
          expect(variable()).toBe('value of v2');
        });
      }
    });

    describe('1.5 with rotation', () => {
      beforeAll(() => open({ version: '1.5', rotation: { enabled: true, pollMs: POLL_MS } }));
      afterAll(close);

      test('fetches what is mounted at its interval, brings the Secret up to date, and tells the pod', async () => {
        await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
        await rolledOut();
        await syncs('value of v1');
        current = 'v2';
        await cluster.driver.passDriverTime(POLL_MS - 60_000);
        expect(mounted()).toBe('value of v1');
        await cluster.driver.passDriverTime(60_000);

        expect(mounted()).toBe('value of v2');
        await reports('v2');
        await syncs('value of v2');
        expect(variable()).toBe('value of v1');
        await api.until(`/api/v1/namespaces/${ns}/events`, ({ items }) =>
          ['MountRotationComplete', 'SecretRotationComplete'].every((told) =>
            items.some(({ reason }: Body) => reason === told),
          ),
        );
        await restart('once');
        expect(variable()).toBe('value of v2');
      });

      test('leaves the old files where it may no longer read, and says so', async () => {
        await deploy();
        await rolledOut();
        current = 'v2';
        refused = true;
        await cluster.driver.passDriverTime(POLL_MS);

        expect(mounted()).toBe('value of v1');
        expect(await reported()).toEqual(['v1']);
        await api.until(`/api/v1/namespaces/${ns}/events`, ({ items }) =>
          items.some(({ reason }: Body) => reason === 'MountRotationFailed'),
        );
      });

      test('rotates nothing that it did not report: an interrupted first mount stays empty', async () => {
        await deploy({ annotations: { 'rekey-sandbox.dev/fail': 'interrupted-mount' } });
        await rolledOut();
        await cluster.driver.passDriverTime(POLL_MS);

        expect(() => mounted()).toThrow(/ENOENT/);
        expect(await reported()).toEqual([]);
      });
    });

    describe('1.6 with rotation', () => {
      beforeAll(() => open({ version: '1.6', rotation: { enabled: true, pollMs: POLL_MS } }));
      afterAll(close);

      test('fetches at a republish that finds the directory older than the interval, and tells the pod nothing', async () => {
        await deploy({ spec: { secretObjects: SECRET_OBJECTS }, container: { envFrom: ENV_FROM } });
        await rolledOut();
        await syncs('value of v1');
        current = 'v2';
        await cluster.driver.passDriverTime(POLL_MS - 60_000);
        expect(mounted()).toBe('value of v1');
        await cluster.driver.passDriverTime(60_000);

        expect(mounted()).toBe('value of v2');
        await reports('v2');
        await syncs('value of v2');
        expect(variable()).toBe('value of v1');
        const reasons = await eventReasons();
        expect(reasons.filter((reason: string) => reason.includes('Rotation'))).toEqual([]);
      });

      test('leaves the old files where it may no longer read, and nobody hears of it', async () => {
        await deploy();
        await rolledOut();
        current = 'v2';
        refused = true;
        await cluster.driver.passDriverTime(POLL_MS);

        expect(mounted()).toBe('value of v1');
        expect(await reported()).toEqual(['v1']);
        const reasons = await eventReasons();
        expect(reasons.filter((reason: string) => /Rotation|FailedMount/.test(reason))).toEqual([]);
      });

      test('is not hurried by an annotation on the pod', async () => {
        await deploy();
        await rolledOut();
        current = 'v2';
        const [pod] = (await api.get(pods())).body.items;
        await api.patch(`${pods()}/${pod.metadata.name}`, MERGE, { metadata: { annotations: { refresh: 'now' } } });
        await cluster.driver.passDriverTime(60_000);

        expect(mounted()).toBe('value of v1');
      });

      test('fills the directory of an interrupted first mount once that is older than the interval', async () => {
        await deploy({ annotations: { 'rekey-sandbox.dev/fail': 'interrupted-mount' } });
        await rolledOut();
        expect(() => mounted()).toThrow(/ENOENT/);
        expect(await reported()).toEqual([]);
        await cluster.driver.passDriverTime(POLL_MS);

        expect(mounted()).toBe('value of v1');
        await reports('v1');
      });
    });
  });
}
