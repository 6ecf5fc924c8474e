import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { lookAgainEvent } from '../../../functions/label-event.ts';
import type { ClusterAccess } from '../../../shared/cluster/port.ts';
import { markerOf } from '../../../shared/consumers/marker.ts';
import { sweep } from '../../../shared/consumers/sweep.ts';
import { systemClock } from '../../../shared/operations/clock.ts';
import { deadlineIn } from '../../../shared/operations/deadline.ts';
import { SecretValue } from '../../../shared/secrets/secret-value.ts';
import { createAuthority } from '../../sandbox/certificates.ts';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import type { Nodes } from '../../sandbox/control-plane/index.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { type Answer, MERGE, STRATEGIC } from '../../sandbox/kubernetes/api-client.ts';
import type { ObjectInput } from '../../sandbox/kubernetes/objects.ts';
import { labelUpdated } from '../../unit/functions/sync/messages.ts';
import { silentLog } from '../../unit/shared/consumers/observations.ts';
import { type Estate, startEstate } from './estate.ts';
import { driverDaemonSet, mounting, namespaced, pod, secretProviderClass, workload } from './manifests.ts';
import type { MovingSecret } from './moving-secret.ts';
import { Passes } from './passes.ts';

const HALF_AN_HOUR_MS = 30 * 60_000;
const DAY_MS = 24 * 60 * 60_000;

/** The catalogue of bad input, by number, where a real API server can produce it. */
onRealKubernetes('bad input on a real control plane', () =>
  describe('on a real control plane', () => {
    let estate: Estate;
    let nodes: Nodes;
    let ns: string;
    let secret: MovingSecret;
    let passes: Passes;
    let made = 0;

    beforeAll(async () => {
      estate = await startEstate();
      nodes = await estate.join();
    });
    afterAll(() => estate?.close());
    beforeEach(async () => {
      made += 1;
      ns = `bad-${made}`;
      secret = estate.account.create(`${ns}/database`);
      passes = new Passes([estate.cluster], secret);
      await estate.create(namespaced(ns));
    });
    afterEach(() => estate.clear(ns));

    const csi = (name = 'csi', objectName = secret.name, object = {}) =>
      secretProviderClass(ns, name, objectName, { object });
    const web = (name = 'web', spc = 'csi', options = {}) => workload('Deployment', ns, name, mounting(spc), options);
    const applied = async (...objects: readonly ObjectInput[]) => {
      await estate.create(...objects);
      await estate.settled(ns);
    };
    const rolled = async () => {
      secret.move();
      await passes.begin();
      return await passes.converge();
    };
    const giveUp = async () => {
      await estate.settled(ns);
      passes.later(HALF_AN_HOUR_MS);
      return (await passes.hears('Secret Not Converged')).detail.unproved;
    };
    const markerOn = async (object: ObjectInput) =>
      (await estate.get(object)).spec.template.metadata.annotations?.[markerOf(secret, '').annotation];
    const versions = async () => {
      // What a controller has yet to say of the last change is no change of its own.
      await estate.settled(ns);
      const kinds = ['deployments', 'statefulsets', 'replicasets'].map(
        (kind) => `/apis/apps/v1/namespaces/${ns}/${kind}`,
      );
      const lists = await Promise.all([...kinds, `/api/v1/namespaces/${ns}/pods`].map((path) => estate.api.get(path)));
      return lists.flatMap(({ body }) =>
        body.items.map(({ metadata }: Answer['body']) => `${metadata.name}@${metadata.resourceVersion}`),
      );
    };
    /** How many templates a Deployment has ever had: one more than it was rolled, whoever did. */
    const templates = async (name = 'web') => {
      const { body } = await estate.api.get(`/apis/apps/v1/namespaces/${ns}/replicasets?labelSelector=app=${name}`);
      return body.items.length as number;
    };
    const names = (refs: readonly { readonly name: string }[]) => refs.map(({ name }) => name).sort();

    describe('86: an event that comes', () => {
      test('twice, or again of an older version, changes nothing once all is proved', async () => {
        await applied(csi(), web());
        const older = labelUpdated(secret.description);
        await rolled();
        const before = await versions();

        for (const body of [labelUpdated(secret.description), older, older]) await passes.deliver(body);

        expect(await versions()).toEqual(before);
        expect(new Set(passes.of('Secret Converged').map(({ detail }) => detail.versionId))).toEqual(
          new Set([secret.current]),
        );
      });

      test('24 hours late has its whole time', async () => {
        await applied(csi(), web());
        secret.move();
        const time = new Date(Date.now() - DAY_MS).toISOString();

        await passes.deliver(labelUpdated(secret.description, { time }));
        await passes.converge();

        expect(passes.of('Secret Not Converged')).toEqual([]);
      });

      test('never is made up for by the sweep, which has no right to patch anything', async () => {
        await applied(csi(), web());
        secret.move();
        const looks: string[] = [];
        const swept = () =>
          sweep(
            {
              secrets: { describe: async () => secret.description },
              clusters: [estate.connect('of-sweep')],
              lookAgain: async (look) => void looks.push(lookAgainEvent(look)),
              clock: systemClock,
              random: () => 0,
              log: silentLog,
            },
            deadlineIn(60_000, systemClock),
          );
        await swept();
        expect(await markerOn(web())).toBeUndefined();

        passes.queue.push(...looks.splice(0));
        await passes.converge();

        expect(await markerOn(web())).toBe(secret.current);
        await swept();
        expect(looks).toEqual([]);
      });
    });

    test('87: AWSCURRENT moved back rolls back who had the later version', async () => {
      await applied(csi(), web());
      await rolled();

      secret.moveBack();
      await passes.begin();
      await passes.converge(2);

      expect(await markerOn(web())).toBe(secret.current);
      expect(passes.last('Secret Converged').detail.versionId).toBe(secret.current);
    });

    test('88: a secret that no workload uses is nobody’s business', async () => {
      await applied(workload('Deployment', ns, 'docs', pod()));
      const before = await versions();
      secret.move();

      await passes.begin();

      expect([passes.events, passes.queue, await versions()]).toEqual([[], [], before]);
    });

    describe('89: a name', () => {
      test.each([
        ['with every sign that AWS allows', (it: string) => `${it}/a+b=c.d@e-f_G`],
        ['of 512 characters', (it: string) => `${it}/${'x'.repeat(511 - it.length)}`],
        ['that ends as an ARN does', (it: string) => `${it}/db-AbCdEf`],
      ])('%s makes a marker that the API server takes', async (_what, nameIn) => {
        secret = estate.account.create(nameIn(ns));
        passes = new Passes([estate.cluster], secret);
        await applied(csi(), web());

        expect(names((await rolled()).consumers)).toEqual(['web']);
      });

      test('that another one begins with is another secret', async () => {
        const other = estate.account.create(`${secret.name}-2`);
        await applied(csi(), csi('second', other.name), web(), web('other', 'second'));

        expect(names((await rolled()).consumers)).toEqual(['web']);
        expect(await markerOn(web('other'))).toBeUndefined();
      });
    });

    test('90: it is found by ARN, by alias and field, in a second class; not by a class of the same name elsewhere', async () => {
      const elsewhere = `${ns}-else`;
      const jmesPath = [{ path: 'version', objectAlias: 'version' }];
      const two = {
        volumes: ['first', 'second'].map((name) => ({
          name,
          csi: { driver: 'secrets-store.csi.k8s.io', readOnly: true, volumeAttributes: { secretProviderClass: name } },
        })),
        containers: [
          {
            name: 'app',
            image: 'app:1',
            volumeMounts: ['first', 'second'].map((name) => ({ name, mountPath: `/mnt/${name}` })),
          },
        ],
      };
      const other = estate.account.create(`${ns}/other`);
      await applied(
        csi('by-arn', secret.arn),
        csi('by-field', secret.name, { objectAlias: 'all', jmesPath }),
        csi('first', other.name),
        csi('second'),
        web('by-arn', 'by-arn'),
        web('by-field', 'by-field'),
        workload('Deployment', ns, 'by-second', two),
        namespaced(elsewhere),
        secretProviderClass(elsewhere, 'second', other.name),
        workload('Deployment', elsewhere, 'elsewhere', mounting('second')),
      );
      await estate.settled(elsewhere);

      expect(names((await rolled()).consumers)).toEqual(['by-arn', 'by-field', 'by-second']);
      await estate.clear(elsewhere);
    });

    describe('91: a workload', () => {
      test('with no replicas has nothing to prove, and stays as it is', async () => {
        await applied(csi(), web('web', 'csi', { spec: { replicas: 0 } }));
        const before = await versions();

        const { consumers } = await rolled();

        expect(consumers).toEqual([expect.objectContaining({ name: 'web', pods: [] })]);
        expect(await versions()).toEqual(before);
      });

      test('that something scales in the middle of its roll is rolled once, and every pod proved', async () => {
        await applied(csi(), web());
        secret.move();
        await passes.begin();

        await estate.api.patch(`${estate.pathOf(web())}/scale`, MERGE, { spec: { replicas: 4 } });
        const { consumers } = await passes.converge();

        // One of the older template is proved too, where the scaling started it after the version was there.
        expect(new Set(consumers[0]?.pods.map((one) => one.mountedVersion))).toEqual(new Set([secret.current]));
        await estate.settled(ns);
        expect(await templates()).toBe(2);
      });

      test('of whose pods one is below the partition is told, and proved once that is lowered', async () => {
        const partition = (at: number) => ({ updateStrategy: { rollingUpdate: { partition: at } } });
        const ledger = workload('StatefulSet', ns, 'ledger', mounting('csi'), { spec: partition(1) });
        await applied(csi(), ledger);
        secret.move();
        await passes.begin();
        await estate.api.until(
          `/api/v1/namespaces/${ns}/pods/ledger-1`,
          ({ metadata }) => metadata.annotations?.[markerOf(secret, '').annotation] === secret.current,
        );

        expect(await giveUp()).toEqual([
          expect.objectContaining({ name: 'ledger', cause: 'stopped', why: expect.stringContaining('partition is 1') }),
        ]);

        await estate.patch(ledger, MERGE, { spec: partition(0) });
        await passes.begin();
        const { consumers } = await passes.converge();
        expect(consumers[0]?.pods.map((one) => one.mountedVersion)).toEqual([secret.current, secret.current]);
      });
    });

    describe('93: another hand', () => {
      test.each([1, 2])(
        'that rolls %d pods already is waited for; then they are rolled once for the version',
        async (replicas) => {
          await applied(csi(), web('web', 'csi', { spec: { replicas } }));
          nodes.nodes.behave(({ metadata: { namespace, annotations } }) =>
            namespace === ns && annotations?.['release'] ? { kind: 'unready' } : undefined,
          );
          const release = { metadata: { annotations: { release: '2' } } };
          await estate.patch(web(), STRATEGIC, { spec: { template: release } });
          // The new one has mounted the version of before.
          await estate.api.until(
            `/api/v1/namespaces/${ns}/pods`,
            ({ items }) =>
              items.length === replicas + 1 && items.every(({ status }: Answer['body']) => status.phase === 'Running'),
          );
          secret.move();
          await passes.begin();
          await passes.next();
          expect(await markerOn(web())).toBeUndefined();

          nodes.nodes.behave(() => undefined);

          await passes.converge();
          expect(await templates()).toBe(3);
        },
      );

      test('that writes between look and patch goes first, and nothing of it is lost', async () => {
        await applied(csi(), web());
        let edits = 0;
        const mark: Estate['cluster']['mark'] = async (...args) => {
          edits += 1;
          if (edits <= 2) await estate.patch(web(), MERGE, { metadata: { labels: { edit: String(edits) } } });
          return await estate.cluster.mark(...args);
        };
        passes = new Passes([{ ...estate.cluster, mark }], secret);

        await rolled();

        expect((await estate.get(web())).metadata.labels.edit).toBe('2');
        expect(await templates()).toBe(2);
      });

      test('that takes the marker back, as GitOps does, is told once and not fought', async () => {
        await applied(csi(), web());
        // The roll is still under way by then.
        nodes.nodes.behave(({ metadata: { namespace, annotations } }) =>
          namespace === ns && annotations?.[markerOf(secret, '').annotation] ? { kind: 'unready' } : undefined,
        );
        secret.move();
        await passes.begin();
        // Of a template that came and went before its controller looked, there is no ReplicaSet.
        await eventually('the controller has seen the marker', async () => (await templates()) === 2);
        const { metadata, ...live } = await estate.get(web());
        const { [markerOf(secret, '').annotation]: _marker, ...annotations } = live.spec.template.metadata.annotations;
        const template = { ...live.spec.template, metadata: { ...live.spec.template.metadata, annotations } };
        const put = {
          ...live,
          metadata: { ...metadata, resourceVersion: undefined },
          spec: { ...live.spec, template },
        };
        expect((await estate.api.send('PUT', estate.pathOf(web()), { body: put })).code).toBe(200);

        await passes.until('that is told', () => passes.of('Action Needed').length > 0);
        for (let n = 0; n < 3; n += 1) await passes.next();

        expect(passes.of('Action Needed').map(({ detail }) => detail.code)).toEqual(['MARKER_REVERTED']);
        expect(await markerOn(web())).toBeUndefined();
        expect(await templates()).toBe(2);
        nodes.nodes.behave(() => undefined);
      });
    });

    describe('94: an API server that', () => {
      const reach = (token: string, over: Partial<ClusterAccess> = {}) =>
        estate.connect(token, over).workloads(deadlineIn(30_000, systemClock));

      test('does not know the token: denied, after one fresh one', async () => {
        const asked: boolean[] = [];
        const bearerToken = async (renew: boolean) => {
          asked.push(renew);
          return new SecretValue('of-nobody');
        };

        await expect(reach('', { bearerToken })).rejects.toMatchObject({
          code: 'CLUSTER_ACCESS_DENIED',
          message: expect.stringContaining('401'),
        });
        expect(asked).toEqual([false, true]);
      });

      test('knows the token once it is renewed: goes on', async () => {
        const bearerToken = async (renew: boolean) => new SecretValue(renew ? 'of-sync' : 'of-nobody');

        expect(await reach('', { bearerToken })).toEqual(expect.any(Array));
      });

      test('grants nothing: denied, with what was asked for', async () => {
        await expect(reach('of-a-stranger')).rejects.toMatchObject({
          code: 'CLUSTER_ACCESS_DENIED',
          message: expect.stringMatching(/listing \w+: 403 Forbidden/),
        });
      });

      test('has a certificate of another authority: unreachable, and no token goes out', async () => {
        const url = estate.controlPlane.endpoint;
        const certificateAuthority = createAuthority('kubernetes').certificate;

        await expect(reach('of-sync', { endpoint: async () => ({ url, certificateAuthority }) })).rejects.toMatchObject(
          {
            code: 'CLUSTER_UNREACHABLE',
            message: expect.stringContaining('certificate refused'),
          },
        );
      });
    });

    test('95: a list whose pages have become too old (410) starts again, and misses nothing', async () => {
      const count = 101;
      const classes = Array.from({ length: count }, (_, n) => csi(`class-${n}`));
      while (classes.length > 0) await Promise.all(classes.splice(0, 50).map((one) => estate.create(one)));
      const path = '/apis/secrets-store.csi.x-k8s.io/v1/secretproviderclasses';
      const forgetPages = async () => {
        const { body } = await estate.api.get(`${path}?limit=1`);
        await estate.controlPlane.compact();
        const next = `${path}?limit=1&continue=${body.metadata.continue}`;
        await eventually('the pages are forgotten', async () => (await estate.api.get(next)).code === 410);
      };
      let pages = 0;
      const bearerToken = async () => {
        pages += 1;
        // After the first page, before the second.
        if (pages === 2) await forgetPages();
        return new SecretValue('of-sync');
      };

      const found = await estate.connect('', { bearerToken }).secretProviderClasses(deadlineIn(60_000, systemClock));

      expect(new Set(found.filter(({ namespace }) => namespace === ns).map(({ name }) => name)).size).toBe(count);
      // Two pages, begun once more: the second one of the first time was refused.
      expect(pages).toBe(4);
    });

    test('96: a workload whose annotations are at the limit of 256 KiB is told, and the next one takes its place', async () => {
      // Of all keys and values together (Kubernetes, "Annotations"); what Rekey remembers on an object takes more.
      const annotations = { notes: 'x'.repeat(256 * 1024 - 'notes'.length - 40) };
      const full = workload('StatefulSet', ns, 'full', mounting('csi'), { annotations, spec: { replicas: 1 } });
      await applied(csi(), full, web());
      secret.move();
      await passes.begin();
      await passes.until('the other one is rolled', async () => (await markerOn(web())) === secret.current);

      expect(await giveUp()).toEqual([
        expect.objectContaining({
          name: 'full',
          cause: 'patch-refused',
          why: expect.stringMatching(/may not be: CLUSTER_REJECTED.*422 Invalid/),
        }),
      ]);
      expect(await markerOn(full)).toBeUndefined();
    });

    test('97: pods that start before the version is to be read are caught, and replaced once more', async () => {
      await applied(csi(), web());
      secret.move();
      secret.isStale = true;
      await passes.begin();
      await passes.until('it is rolled', async () => (await markerOn(web())) === secret.current);
      await estate.settled(ns);
      secret.isStale = false;

      const { consumers } = await passes.converge();

      expect(consumers[0]?.pods.map((one) => one.mountedVersion)).toEqual([secret.current, secret.current]);
      expect(await templates()).toBe(3);
    });

    describe('98:', () => {
      test('a pod on a node where the driver is down waits; the old ones serve; it goes on when the driver is back', async () => {
        await estate.create(driverDaemonSet('1.6.0', false));
        await applied(csi(), web());
        const back = ['node-1', 'node-2', 'node-3'].map((node) => nodes.driver.takeDriverDown(node));
        secret.move();
        await passes.begin();
        for (let n = 0; n < 3; n += 1) await passes.next();
        expect(passes.of('Secret Converged')).toEqual([]);
        expect((await estate.get(web())).status.availableReplicas).toBe(2);

        for (const start of back) start();

        expect((await passes.converge()).consumers[0]?.pods).toHaveLength(2);
        await estate.delete(driverDaemonSet('1.6.0', false));
      });

      test('a pod on Fargate is told what proves it there', async () => {
        const template = {
          metadata: { labels: { app: 'web', 'eks.amazonaws.com/fargate-profile': 'default' } },
          spec: mounting('csi'),
        };
        await applied(csi(), web('web', 'csi', { spec: { template } }));
        secret.move();
        await passes.begin();

        expect(await giveUp()).toEqual([
          expect.objectContaining({ name: 'web', why: expect.stringMatching(/is on Fargate.*ExternalSecret/) }),
        ]);
      });
    });

    test('99: of two clusters one does not answer: the other one is rolled and proved, and which is missing is told', async () => {
      const url = 'https://127.0.0.1:1';
      const certificateAuthority = estate.controlPlane.caPem;
      const away = estate.connect('of-sync', { name: 'away', endpoint: async () => ({ url, certificateAuthority }) });
      passes = new Passes([away, estate.cluster], secret);
      await applied(csi(), web());
      secret.move();
      await passes.begin();
      await passes.until('it is rolled', async () => (await markerOn(web())) === secret.current);
      await estate.settled(ns);
      await passes.next();
      passes.later(HALF_AN_HOUR_MS);
      const { detail } = await passes.hears('Secret Not Converged');

      expect(detail.unproved).toEqual([expect.objectContaining({ kind: 'Cluster', name: 'away' })]);
      expect(detail.clusters).toEqual([
        expect.objectContaining({ cluster: 'away', seen: false }),
        expect.objectContaining({ cluster: 'prod', seen: true, proved: 1, pods: 2, unproved: 0 }),
      ]);
    });

    describe('manifests as people write them:', () => {
      test.each([
        ['no YAML', (name: string) => `- objectName: "${name}\n  objectType: [`],
        ['a list of strings', (name: string) => `- ${name}\n`],
        ['tabs', (name: string) => `-\tobjectName: ${name}\n\tobjectType: secretsmanager\n`],
      ])('objects that are %s leave who mounts them unproved, and no other', async (_what, objectsOf) => {
        const broken = { spec: { parameters: { objects: objectsOf(secret.name) } } };
        // Its pods never start, as with the real driver.
        await estate.create(
          secretProviderClass(ns, 'broken', '', broken),
          csi(),
          web(),
          workload('DaemonSet', ns, 'lost', mounting('broken')),
        );
        await estate.settled(ns, 'web');
        secret.move();
        await passes.begin();
        await passes.until('the other one is rolled', async () => (await markerOn(web())) === secret.current);
        await estate.settled(ns, 'web');
        passes.later(HALF_AN_HOUR_MS);
        const { detail } = await passes.hears('Secret Not Converged');

        expect(names(detail.unproved)).toEqual(['lost']);
      });

      test('a provider that is not AWS’s is passed over', async () => {
        const vault = { spec: { provider: 'vault' } };
        await estate.create(secretProviderClass(ns, 'vault', secret.name, vault), csi(), web());
        await estate.create(workload('DaemonSet', ns, 'elsewhere', mounting('vault')));
        await estate.api.until(estate.pathOf(web()), ({ status }) => status?.availableReplicas === 2);

        expect(names((await rolled()).consumers)).toEqual(['web']);
      });

      test('annotations that are not understood are told on the workload, and the others go on', async () => {
        await applied(
          csi(),
          web('wrong', 'csi', { annotations: { 'rekey.dev/mode': 'of', 'rekey.dev/wave': 'first' } }),
          web(),
        );
        secret.move();
        await passes.begin();
        await passes.until('the other one is rolled', async () => (await markerOn(web())) === secret.current);

        expect(names(await giveUp())).toEqual(['wrong']);
        const { body } = await estate.api.get(
          `/api/v1/namespaces/${ns}/events?fieldSelector=involvedObject.name=wrong`,
        );
        const told = body.items.filter(({ reason }: Answer['body']) => reason === 'RekeyAnnotationInvalid');
        expect(told.map(({ message }: Answer['body']) => message.split(' ')[0]).sort()).toEqual([
          'rekey.dev/mode',
          'rekey.dev/wave',
        ]);
      });

      test('a selector by matchExpressions, beside a pod of nobody and a ReplicaSet of nobody with the same labels', async () => {
        const labels = { app: 'web', tier: 'front' };
        const template = { metadata: { labels }, spec: mounting('csi') };
        const matchExpressions = [
          { key: 'app', operator: 'In', values: ['web', 'www'] },
          { key: 'tier', operator: 'Exists' },
        ];
        const replicas = { replicas: 1, selector: { matchLabels: { app: 'web', alone: 'yes' } } };
        const alone = { ...template, metadata: { labels: { ...labels, alone: 'yes' } } };
        await applied(
          csi(),
          web('web', 'csi', { spec: { selector: { matchExpressions }, template } }),
          { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'shell', namespace: ns, labels }, spec: mounting('csi') },
          {
            apiVersion: 'apps/v1',
            kind: 'ReplicaSet',
            metadata: { name: 'alone', namespace: ns },
            spec: { ...replicas, template: alone },
          },
        );
        secret.move();
        await passes.begin();
        await passes.until('it is rolled', async () => (await markerOn(web())) === secret.current);

        const unproved = await giveUp();

        expect(unproved.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(['Pod shell', 'ReplicaSet alone']);
        for (const { why } of unproved) expect(why).toMatch(/Rekey does not restart a (Pod|ReplicaSet)$/);
      });

      test('of a namespace that is being deleted, and a workload that is: they keep no other one waiting', async () => {
        const going = `${ns}-going`;
        const finalizers = ['example.com/held'];
        const wrong = { annotations: { 'rekey.dev/wave': 'first' } };
        const held = (namespace: string) => {
          const one = workload('Deployment', namespace, 'held', mounting('csi'), wrong);
          return { ...one, metadata: { ...one.metadata, finalizers } };
        };
        await applied(csi(), web(), held(ns));
        await applied(namespaced(going), secretProviderClass(going, 'csi', secret.name), held(going));
        await estate.settled(going);
        await estate.delete(held(ns));
        await estate.clear(going);
        const pods = (namespace: string) => `/api/v1/namespaces/${namespace}/pods`;
        await estate.api.until(pods(going), ({ items }) => items.length === 0);
        await estate.api.until(estate.pathOf(held(going)), ({ metadata }) => metadata.deletionTimestamp !== undefined);
        secret.move();
        await passes.begin();
        await passes.until('the other one is rolled', async () => (await markerOn(web())) === secret.current);

        const told = [expect.objectContaining({ name: 'held', why: expect.stringContaining('it is being deleted') })];
        expect(await giveUp()).toEqual(told);
        expect([await markerOn(held(ns)), await markerOn(held(going))]).toEqual([undefined, undefined]);
        // The namespace that is going takes none, which keeps none back from the other one.
        const { body } = await estate.api.get(`/api/v1/namespaces/${ns}/events?fieldSelector=reason=SecretRollout`);
        expect(names(body.items.map(({ involvedObject }: Answer['body']) => involvedObject))).toEqual(['web']);

        for (const namespace of [ns, going])
          await estate.patch(held(namespace), MERGE, { metadata: { finalizers: null } });
        await estate.api.until(pods(ns), ({ items }) => items.length === 2);
        await passes.begin();
        expect(names((await passes.converge()).consumers)).toEqual(['web']);
      });

      test('a workload whose name is as long as a name may be', async () => {
        // The name of its ReplicaSet has eleven more.
        const labels = { app: 'long' };
        const template = { metadata: { labels }, spec: mounting('csi') };
        const spec = { selector: { matchLabels: labels }, template };
        await applied(csi(), web('w'.repeat(253 - 11), 'csi', { spec }));

        expect((await rolled()).consumers[0]?.pods).toHaveLength(2);
      });
    });
  }),
);
