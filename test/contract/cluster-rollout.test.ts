import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { Cluster } from '../../shared/cluster/port.ts';
import type { Look } from '../../shared/consumers/converge.ts';
import { markerOf } from '../../shared/consumers/marker.ts';
import { sweep } from '../../shared/consumers/sweep.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import { RekeyError } from '../../shared/operations/errors.ts';
import { type Estate, startEstate, startSandboxEstate } from '../integration/sync/estate.ts';
import {
  csiVolume,
  mounting,
  namespaced,
  pod,
  secretProviderClass,
  type WorkloadOptions,
  workload,
} from '../integration/sync/manifests.ts';
import type { MovingSecret } from '../integration/sync/moving-secret.ts';
import { Passes } from '../integration/sync/passes.ts';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import type { Nodes } from '../sandbox/control-plane/index.ts';
import { type ApiProxy, startApiProxy } from '../sandbox/kubernetes/api-proxy.ts';
import type { ObjectInput } from '../sandbox/kubernetes/objects.ts';
import { labelUpdated, versionOf } from '../unit/functions/sync/messages.ts';
import { silentLog } from '../unit/shared/consumers/observations.ts';

/** sync and sweep over the real adapter: on the sandbox's API and controllers, and on a real control plane. */

const MINUTE_MS = 60_000;
/** The driver remounts when a test has it do so, and not by itself. */
const ROTATION = { enabled: true, pollMs: 60 * MINUTE_MS };

/** Workloads of one secret: as many as a minute allows on a busy machine. */
const MANY = 60;

describeRollout('the sandbox', () => startSandboxEstate({ rotation: ROTATION }));
onRealKubernetes('rollouts on a real control plane', () => describeRollout('a real control plane', startEstate));

function describeRollout(where: string, start: () => Promise<Estate>): void {
  describe(`on ${where}`, () => {
    let estate: Estate;
    let nodes: Nodes;
    let proxy: ApiProxy;
    let made = 0;
    let ns: string;
    let secret: MovingSecret;
    let cluster: Cluster;
    let passes: Passes;

    beforeAll(async () => {
      estate = await start();
      nodes = await estate.join({ rotation: ROTATION });
      proxy = await startApiProxy(estate.controlPlane);
    });
    afterAll(async () => {
      await estate?.close();
      await proxy?.close();
    });

    beforeEach(async () => {
      made += 1;
      ns = `rollout-${made}`;
      secret = estate.account.create(`${ns}/database`);
      proxy.reset();
      const endpoint = async () => ({ url: proxy.endpoint, certificateAuthority: proxy.caPem });
      cluster = estate.connect('of-sync', { endpoint });
      passes = new Passes([cluster], secret);
      await estate.create(namespaced(ns), secretProviderClass(ns, 'database', secret.name));
    });
    afterEach(async () => {
      nodes.nodes.behave(() => undefined);
      await estate.clear(ns);
    });

    describe('one secret, two Deployments, a StatefulSet and a DaemonSet', () => {
      beforeEach(async () => {
        await runs(
          mounts('Deployment', 'storefront', { annotations: { 'rekey.dev/wave': '0' } }),
          mounts('Deployment', 'orders'),
          mounts('StatefulSet', 'ledger'),
          mounts('DaemonSet', 'agent'),
          workload('Deployment', ns, 'docs', pod()),
        );
        secret.move();
      });

      test('all roll, the canary first, and every pod is proved on the new version', async () => {
        await passes.begin();
        expect(await marked()).toEqual(['storefront']);

        const detail = await passes.converge();

        expect(await marked()).toEqual(['agent', 'ledger', 'orders', 'storefront']);
        expect(detail.versionId).toBe(versionOf(2));
        expect(detail.consumers.map(({ name, pods }) => [name, pods.length]).sort()).toEqual([
          ['agent', 3],
          ['ledger', 2],
          ['orders', 2],
          ['storefront', 2],
        ]);
        for (const consumer of detail.consumers) {
          expect(consumer.rolledAt).toMatch(/^\d{4}-/);
          for (const one of consumer.pods)
            expect(one).toMatchObject({ mountedVersion: versionOf(2), node: expect.stringMatching(/./) });
        }
        expect(passes.of('Sync Started')).toHaveLength(1);
        expect(passes.queue).toEqual([]);
      });

      test('86: a second identical event changes no workload and replaces no pod', async () => {
        await passes.begin();
        await passes.converge();
        const before = await footprint();

        await passes.begin();

        expect(await footprint()).toEqual(before);
        expect(passes.queue).toEqual([]);
      });

      test('86: an event of an older version, however late, restarts nothing and rolls nothing back', async () => {
        await passes.begin();
        await passes.converge();
        const before = await footprint();

        await passes.deliver(
          labelUpdated({ ...secret.description, stages: new Map([[versionOf(1), ['AWSCURRENT']]]) }),
        );

        expect(await footprint()).toEqual(before);
        expect(passes.of('Secret Converged')).toHaveLength(1);
      });

      test('86: an event that arrives 24 hours late is acted upon, with the whole time to converge', async () => {
        const time = new Date(clock.now() - 24 * 60 * MINUTE_MS).toISOString();
        await passes.deliver(labelUpdated(secret.description, { time }));
        expect(await marked()).toEqual(['storefront']);

        await passes.converge();

        expect(passes.of('Secret Not Converged')).toEqual([]);
      });

      test('87: AWSCURRENT moved back rolls back who had the later version', async () => {
        await passes.begin();
        await passes.converge();
        secret.moveBack();

        await passes.begin();
        const { versionId } = await passes.converge(2);

        expect(versionId).toBe(versionOf(1));
        expect(await marked()).toEqual(['agent', 'ledger', 'orders', 'storefront']);
      });

      test('all passes together open one TLS connection', async () => {
        await passes.begin();
        await passes.converge();

        expect(proxy.tlsConnections()).toBe(1);
      });

      test('92: new pods that crash halt everything else, and the old ones keep running', async () => {
        const { annotation } = markerOf(secret, secret.current);
        nodes.nodes.behave(({ metadata: { annotations = {} } }) =>
          annotations[annotation] === versionOf(2) ? { kind: 'crash' } : undefined,
        );
        await passes.begin();
        const { detail } = await passes.hears('Sync Halted');

        expect(detail.failed).toEqual([
          expect.objectContaining({ name: 'storefront', why: expect.stringMatching(/CrashLoopBackOff|crashes/) }),
        ]);
        for (let again = 0; again < 3; again += 1) await passes.next();
        expect(await marked()).toEqual(['storefront']);
        expect(passes.of('Sync Halted')).toHaveLength(1);
        const { status } = await estate.get(mounts('Deployment', 'storefront'));
        expect(status.availableReplicas).toBeGreaterThanOrEqual(1);

        nodes.nodes.behave(() => undefined);
        await passes.converge();
      });

      test('93: an edit between look and patch goes first, and the next pass marks it', async () => {
        let edited = false;
        proxy.inject(({ method }) => {
          if (method !== 'PATCH' || edited) return undefined;
          edited = true;
          const annotations = { 'rekey.dev/wave': '0', team: 'web' };
          return { kind: 'run', action: () => estate.apply(mounts('Deployment', 'storefront', { annotations })) };
        });

        await passes.begin();
        expect(edited).toBe(true);
        expect(await marked()).toEqual([]);

        await passes.until('the next pass marks it', async () => (await marked()).length > 0);
        expect(await marked()).toEqual(['storefront']);
      });

      test('a lost event is found by the sweep, which patches nothing itself', async () => {
        const before = await footprint();

        const looks = await swept();

        expect(looks).toEqual([expect.objectContaining({ secretArn: secret.arn, versionId: versionOf(2), told: [] })]);
        expect(await footprint()).toEqual(before);
      });

      test('the sweep finds nothing to do once all is proved', async () => {
        await passes.begin();
        await passes.converge();

        expect(await swept()).toEqual([]);
      });
    });

    test('87: moved back while a StatefulSet’s new pod fails, which that would wait for: it goes back by itself', async () => {
      await runs(mounts('StatefulSet', 'ledger'));
      secret.move();
      const { annotation, versionId } = markerOf(secret, secret.current);
      nodes.nodes.behave(({ metadata: { annotations = {} } }) =>
        annotations[annotation] === versionId ? { kind: 'crash' } : undefined,
      );
      await passes.begin();
      await passes.hears('Sync Halted');

      secret.moveBack();
      await passes.begin();
      const { consumers } = await passes.converge();

      expect(consumers).toMatchObject([{ name: 'ledger', pods: [{}, {}] }]);
      expect(await marked()).toEqual(['ledger']);
    });

    test('a workload that somebody deletes between look and patch is gone, and no other one waits for it', async () => {
      await runs(mounts('Deployment', 'gone'), mounts('Deployment', 'orders'));
      secret.move();
      let deleted = false;
      proxy.inject(({ method, name }) => {
        if (method !== 'PATCH' || name !== 'gone' || deleted) return undefined;
        deleted = true;
        return { kind: 'run', action: () => estate.delete(mounts('Deployment', 'gone')) };
      });

      await passes.begin();
      const { consumers } = await passes.converge();

      expect(deleted).toBe(true);
      expect(consumers).toMatchObject([{ name: 'orders', pods: [{}, {}] }]);
      expect(passes.of('Sync Halted')).toEqual([]);
    });

    test('91: a paused Deployment is marked, halts with its name, and is proved once somebody resumes it', async () => {
      await runs(mounts('Deployment', 'orders'));
      await estate.apply(mounts('Deployment', 'orders', { spec: { paused: true } }));
      secret.move();

      await passes.begin();
      const { detail } = await passes.hears('Sync Halted');
      expect(detail.failed).toEqual([
        expect.objectContaining({ name: 'orders', cause: 'stopped', why: expect.stringContaining('it is paused') }),
      ]);
      for (let again = 0; again < 3; again += 1) await passes.next();

      await estate.apply(mounts('Deployment', 'orders', { spec: { paused: false } }));
      await passes.converge();
      expect(passes.of('Sync Halted')).toHaveLength(1);
    });

    test('92: a canary whose patch is refused halts the wave after it, with the words of the refusal, until it is allowed', async () => {
      await runs(
        mounts('Deployment', 'canary', { annotations: { 'rekey.dev/wave': '0' } }),
        mounts('Deployment', 'orders'),
      );
      secret.move();
      proxy.inject(({ method, name }) =>
        method === 'PATCH' && name === 'canary' ? { kind: 'refuse', code: 403 } : undefined,
      );

      await passes.begin();
      const { detail } = await passes.hears('Sync Halted');
      expect(detail.failed).toEqual([
        expect.objectContaining({
          name: 'canary',
          cause: 'patch-refused',
          why: expect.stringContaining('403 Forbidden'),
        }),
      ]);
      for (let again = 0; again < 3; again += 1) await passes.next();
      expect(await marked()).toEqual([]);

      proxy.inject(undefined);
      await passes.converge();
      expect(passes.of('Sync Halted')).toHaveLength(1);
    });

    test('91: a StatefulSet with OnDelete is marked, halts with its name, and is proved once its pods were deleted', async () => {
      const ledger = mounts('StatefulSet', 'ledger', { spec: { updateStrategy: { type: 'OnDelete' } } });
      await runs(ledger);
      secret.move();

      await passes.begin();
      const { detail } = await passes.hears('Sync Halted');
      expect(detail.failed).toEqual([
        expect.objectContaining({ name: 'ledger', cause: 'stopped', why: expect.stringContaining('OnDelete') }),
      ]);

      await estate.api.send('DELETE', `/api/v1/namespaces/${ns}/pods`);
      const { consumers } = await passes.converge();
      expect(consumers).toMatchObject([{ name: 'ledger', pods: [{}, {}] }]);
    });

    test('91: a StatefulSet with OnDelete that asks for it has its pods evicted, until all are proved', async () => {
      const annotations = { 'rekey.dev/on-delete': 'evict' };
      await runs(mounts('StatefulSet', 'ledger', { annotations, spec: { updateStrategy: { type: 'OnDelete' } } }));
      secret.move();

      await passes.begin();
      const { consumers } = await passes.converge();

      expect(consumers).toMatchObject([{ name: 'ledger', pods: [{}, {}] }]);
    });

    test('91: a Rollout is restarted from the next second on, so that no pod of before passes for a later one', async () => {
      await runs(workload('Rollout', ns, 'web', mounting('database')));
      const seen = (await cluster.workloads(deadlineIn(MINUTE_MS, clock))).find((one) => one.namespace === ns);
      if (seen === undefined) throw new Error('it was not listed');
      const { annotation, versionId } = markerOf(secret, secret.current);
      const beforeMs = Date.now();

      await cluster.mark(seen, { onTemplate: [{ annotation, versionId }], onObject: [] }, deadlineIn(MINUTE_MS, clock));

      const { spec } = await estate.get(workload('Rollout', ns, 'web', {}));
      expect(Date.parse(spec.restartAt)).toBeGreaterThan(beforeMs);
    });

    test('a workload that is deleted between the look and the mark holds up none of the others', async () => {
      await runs(mounts('Deployment', 'orders'), mounts('Deployment', 'storefront'));
      secret.move();
      const mark: Cluster['mark'] = async (one, ...rest) => {
        if (one.name === 'orders') await estate.delete(mounts('Deployment', 'orders'));
        return await cluster.mark(one, ...rest);
      };
      passes = new Passes([{ ...cluster, mark }], secret);

      await passes.begin();
      const { consumers } = await passes.converge();

      expect(consumers.map(({ name }) => name)).toEqual(['storefront']);
      expect(passes.of('Sync Halted')).toEqual([]);
    });

    test('several secrets of one workload come with one restart, by which each of them is proved', async () => {
      const other = estate.account.create(`${ns}/other`);
      const names = ['database', 'other'];
      const volumeMounts = names.map((name) => ({ name, mountPath: `/mnt/${name}` }));
      const volumes = names.map((name) => ({ ...csiVolume(name), name }));
      const orders = workload('Deployment', ns, 'orders', pod({ volumeMounts }, { volumes }));
      await runs(secretProviderClass(ns, 'other', other.name), orders);
      secret.move();
      other.move();

      for (const [one, sibling] of [
        [secret, other],
        [other, secret],
      ] as const) {
        passes = new Passes([cluster], one, sibling);
        await passes.begin();
        const pods = [{ mountedVersion: one.current }, { mountedVersion: one.current }];
        expect((await passes.converge()).consumers).toMatchObject([{ name: 'orders', pods }]);
      }

      const { body } = await estate.api.get(`/apis/apps/v1/namespaces/${ns}/replicasets?labelSelector=app=orders`);
      expect(body.items).toHaveLength(2);
    });

    test('91: a Deployment with no replicas has nothing to prove and is left as it is', async () => {
      await runs(mounts('Deployment', 'orders', { spec: { replicas: 0 } }));
      secret.move();
      const before = await footprint();

      await passes.begin();

      expect(passes.last('Secret Converged').detail.consumers).toMatchObject([{ name: 'orders', pods: [] }]);
      expect(await footprint()).toEqual(before);
    });

    test('91: a bare pod that mounts the secret is named and not touched', async () => {
      const shell = {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'shell', namespace: ns },
        spec: mounting('database'),
      };
      await runs(shell);
      secret.move();

      await passes.begin();
      passes.later(30 * MINUTE_MS);
      const { detail } = await passes.hears('Secret Not Converged');

      const why = expect.stringContaining('Rekey does not restart a Pod');
      expect(detail.unproved).toEqual([expect.objectContaining({ kind: 'Pod', name: 'shell', why })]);
      expect((await estate.get(shell)).metadata.deletionTimestamp).toBeUndefined();
    });

    test('90: an environment from a synced Secret is rolled with its mount once, and keeps the secret from converging', async () => {
      const envFrom = [{ secretRef: { name: 'database-env', optional: true } }];
      const data = [{ objectName: `${ns}_database`, key: 'DATABASE' }];
      const secretObjects = [{ secretName: 'database-env', type: 'Opaque', data }];
      await estate.apply(secretProviderClass(ns, 'database', secret.name, { spec: { secretObjects } }));
      await runs(
        workload('Deployment', ns, 'mounts-too', mounting('database', { envFrom })),
        workload('Deployment', ns, 'only-env', pod({ envFrom })),
      );
      secret.move();

      await passes.begin();
      for (let again = 0; again < 3; again += 1) {
        await estate.settled(ns);
        await passes.next();
      }
      expect(await marked()).toEqual(['mounts-too']);
      passes.later(30 * MINUTE_MS);
      const { detail } = await passes.hears('Secret Not Converged');

      expect(passes.of('Secret Converged')).toEqual([]);
      expect(detail.unproved.map(({ name, why }) => [name, why]).sort()).toEqual(
        ['mounts-too', 'only-env'].map((name) => [
          name,
          expect.stringContaining('has its environment from Secret database-env'),
        ]),
      );
    });

    test('88: a secret that no workload uses converges at once, and only a tag wants to hear of it', async () => {
      secret.move();
      await passes.begin();
      expect(passes.events).toEqual([]);

      secret.tags = new Map([['rekey:retire', 'converged']]);
      await passes.begin();
      expect(passes.last('Secret Converged').detail.consumers).toEqual([]);
      expect(passes.queue).toEqual([]);
    });

    test(`88: ${MANY} workloads roll at most as many at a time as allowed`, async () => {
      const names = Array.from({ length: MANY }, (_, index) => `app-${index}`);
      await runs(...names.map((name) => mounts('Deployment', name, { spec: { replicas: 1 } })));
      secret.move();
      secret.tags = new Map([['rekey:max-parallel', '20']]);

      await passes.begin();
      expect(await marked()).toHaveLength(1);
      await estate.settled(ns);
      await passes.next();
      expect(await marked()).toHaveLength(21);
      const { consumers } = await passes.converge();

      expect(consumers).toHaveLength(MANY);
    }, 300_000);

    test('mode annotate restarts nothing and is proved once the driver has remounted', async () => {
      await runs(mounts('Deployment', 'orders', { annotations: { 'rekey.dev/mode': 'annotate' } }));
      const before = await podsOf();
      secret.move();

      await passes.begin();
      await passes.next();
      expect(passes.of('Secret Converged')).toEqual([]);
      await nodes.driver.passDriverTime(ROTATION.pollMs);
      await passes.converge();

      expect(await podsOf()).toEqual(before);
      const { annotation } = markerOf(secret, secret.current);
      const { metadata } = await estate.get(mounts('Deployment', 'orders'));
      expect(metadata.annotations[annotation]).toBe(versionOf(2));
      expect(await marked()).toEqual([]);
    });

    test('96: a workload whose annotations are full is named with the refusal, and keeps no other one waiting', async () => {
      // No room for a marker. A Deployment's controller writes annotations of its own beside, a StatefulSet's none.
      const rest = 256 * 1024 - 'rekey.dev/modeannotate'.length - 'note'.length - 60;
      const annotations = { 'rekey.dev/mode': 'annotate', note: 'x'.repeat(rest) };
      await runs(mounts('StatefulSet', 'full', { annotations }), mounts('Deployment', 'orders'));
      secret.move();

      await passes.begin();
      await passes.until('the other one is marked', async () => (await marked()).includes('orders'));
      const { detail } = await passes.hears('Sync Halted');

      const why = expect.stringContaining('422');
      expect(detail.failed).toEqual([expect.objectContaining({ name: 'full', cause: 'patch-refused', why })]);
      const { annotation } = markerOf(secret, secret.current);
      expect((await estate.get(mounts('StatefulSet', 'full'))).metadata.annotations).not.toHaveProperty([annotation]);
    });

    function mounts(kind: 'Deployment' | 'StatefulSet' | 'DaemonSet', name: string, options: WorkloadOptions = {}) {
      return workload(kind, ns, name, mounting('database'), options);
    }

    /** They are there, and all of their pods are ready. */
    async function runs(...objects: readonly ObjectInput[]): Promise<void> {
      await estate.apply(...objects);
      await estate.settled(ns);
    }

    async function workloadsIn() {
      const lists = await Promise.all(
        ['deployments', 'statefulsets', 'daemonsets'].map((plural) =>
          estate.api.get(`/apis/apps/v1/namespaces/${ns}/${plural}`),
        ),
      );
      return lists.flatMap(({ body }) => body.items);
    }

    /** Whose template is marked for the current version. */
    async function marked(): Promise<string[]> {
      const { annotation, versionId } = markerOf(secret, secret.current);
      return (await workloadsIn())
        .filter(({ spec }) => spec.template.metadata?.annotations?.[annotation] === versionId)
        .map(({ metadata }) => metadata.name)
        .sort();
    }

    async function podsOf(): Promise<string[]> {
      const { body } = await estate.api.get(`/api/v1/namespaces/${ns}/pods`);
      return body.items
        .filter(({ metadata }: ObjectInput) => metadata?.['deletionTimestamp'] === undefined)
        .map(({ metadata }: ObjectInput) => metadata?.['uid'])
        .sort();
    }

    /** All that a pass might change: what the workloads are to be, and which pods they have. */
    async function footprint() {
      await estate.settled(ns);
      const workloads = (await workloadsIn()).map(({ kind, metadata: { name, generation, annotations }, spec }) => ({
        kind,
        name,
        generation,
        annotations,
        spec,
      }));
      return { workloads, pods: await podsOf() };
    }

    /** The looks that a sweep asks for. */
    async function swept(): Promise<Look[]> {
      const looks: Look[] = [];
      const deps = {
        secrets: {
          describe: async (name: string) => {
            if (name !== secret.name) throw new RekeyError('SECRET_NOT_FOUND', name);
            return secret.description;
          },
        },
        clusters: [estate.connect('of-sweep')],
        lookAgain: async (look: Look) => void looks.push(look),
        clock,
        random: Math.random,
        log: silentLog,
      };
      await sweep(deps, deadlineIn(60_000, clock));
      return looks;
    }
  });
}
