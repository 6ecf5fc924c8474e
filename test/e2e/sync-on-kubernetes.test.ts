import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { KUBERNETES_GROUPS } from '../../infra/wiring.ts';
import type { ConsumerProof } from '../../shared/operations/events.ts';
import {
  externalSecret,
  mounting,
  namespaced,
  pod,
  secretProviderClass,
  secretStore,
  workload,
} from '../integration/sync/manifests.ts';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { startEksCluster } from '../sandbox/control-plane/eks-cluster.ts';
import type { RealKubernetes } from '../sandbox/control-plane/index.ts';
import { type Kubectl, openKubectl } from '../sandbox/control-plane/kubectl.ts';
import { type Installation, START_MS, startInstallation } from '../sandbox/environment.ts';
import { eventually } from '../sandbox/eventually.ts';
import { KubernetesClient } from '../sandbox/kubernetes/api-client.ts';
import type { ObjectInput } from '../sandbox/kubernetes/objects.ts';
import { proofCommand } from '../sandbox/proof-by-hand.ts';
import { Announcements } from './announcements.ts';
import { APPLICATIONS } from './application.ts';
import { createPlainSecret } from './team.ts';

onRealKubernetes('sync on a real control plane', () =>
  describe('on a real control plane, entered as EKS is entered, sync', () => {
    const stops: (() => Promise<unknown>)[] = [];
    let environment: Installation;
    let announcements: Announcements;
    let cluster: RealKubernetes;
    let kubectl: Kubectl;

    beforeAll(async () => {
      environment = await startInstallation({ rotated: APPLICATIONS, queueSecondMs: 100 });
      stops.push(() => environment.close());
      announcements = new Announcements(environment);
      cluster = await startEksCluster(environment);
      stops.push(() => cluster.stop());
      kubectl = await openKubectl(cluster.kubeconfig);
      stops.push(() => kubectl.close());
    }, START_MS);

    afterAll(async () => {
      for (const stop of stops.reverse()) await stop();
    });

    /** A namespace, and what runs in it, ready. */
    async function runs(namespace: string, ...manifests: readonly ObjectInput[]): Promise<void> {
      const items = [namespaced(namespace), ...manifests];
      await writeFile(join(kubectl.folder, 'list.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
      await kubectl.run('apply', '-f', join(kubectl.folder, 'list.json'));
      const rolled = ['Deployment', 'StatefulSet', 'DaemonSet'];
      for (const { kind, metadata } of manifests.filter((one) => rolled.includes(one.kind)))
        await kubectl.run('-n', namespace, 'rollout', 'status', `${kind}/${metadata?.name}`, '--timeout=60s');
    }

    /** The command that docs/events.md gives, and what it says of each pod. */
    async function proofByHand(arn: string, namespace: string): Promise<readonly object[]> {
      const words = (await proofCommand({ arn, name: namespace }, namespace)).replaceAll("'", '').split(' ');
      const [, ...lines] = (await kubectl.run(...words.slice(1))).split('\n');
      const rows = lines.map((line) => line.split(/\s+/));
      const records = new Map(
        rows
          .filter(([kind]) => kind !== 'Pod')
          .map(([, , pod, , version, mounted]) => [pod, { version, mountedAt: mounted?.split(',').sort().at(-1) }]),
      );
      return rows
        .filter(([kind]) => kind === 'Pod')
        .map(([, pod = '', , node, , , startedAt, marker]) => {
          const { version: mountedVersion = marker, mountedAt } = records.get(pod) ?? {};
          return { pod, node, mountedVersion, mountedAt, startedAt };
        })
        .sort((left, right) => left.pod.localeCompare(right.pod));
    }

    test('proves pods by their mount and by their ExternalSecret, and kubectl shows the same, by one command and by Events', async () => {
      const secret = await createPlainSecret(environment, 'shop');
      const external = { data: [{ secretKey: 'LOGIN', remoteRef: { key: secret.name } }] };
      await runs(
        'shop',
        secretProviderClass('shop', 'secret', secret.name),
        workload('Deployment', 'shop', 'storefront', mounting('secret')),
        workload('DaemonSet', 'shop', 'agent', mounting('secret')),
        secretStore('shop'),
        externalSecret('shop', 'login', external),
        workload('Deployment', 'shop', 'worker', pod({ envFrom: [{ secretRef: { name: 'login' } }] })),
      );

      const versionId = await secret.put();
      const { detail } = await announcements.first('Secret Converged', secret.arn, versionId);

      const consumers = detail['consumers'] as readonly ConsumerProof[];
      const evidence = consumers.map(
        ({ name, pods }) => [name, pods.map((one) => one.evidence.map(({ kind }) => kind).join())] as const,
      );
      expect(new Map(evidence)).toEqual(
        new Map([
          ['agent', Array(3).fill('mount,template')],
          ['storefront', Array(2).fill('mount,template')],
          ['worker', Array(2).fill('external-secret,template')],
        ]),
      );
      await eventually('what kubectl describe says', async () => {
        const told = await kubectl.run('-n', 'shop', 'describe', 'deployment', 'storefront');
        const what = `secret ${secret.name}, version ${versionId}`;
        return told.includes(`Restarted for ${what}`) && told.includes(`Proved to run on ${what} (pods: 2)`);
      });
      expect(await proofByHand(secret.arn, 'shop')).toEqual(
        consumers
          .flatMap(({ pods }) => pods)
          .map(({ pod, node, mountedVersion, startedAt, evidence }) => ({
            pod,
            node,
            mountedVersion,
            mountedAt: evidence.flatMap((one) => (one.kind === 'mount' ? one.mountedAt : []))[0],
            startedAt: whole(startedAt),
          }))
          .sort((left, right) => left.pod.localeCompare(right.pod)),
      );
    });

    test.each(Object.values(KUBERNETES_GROUPS))('the group %s may read workloads, and no Secret', async (group) => {
      const may = async (verb: string, resource: string) => {
        const asked = kubectl.run('auth', 'can-i', verb, resource, '-A', '--as=somebody', `--as-group=${group}`);
        // It exits with 1 to say no.
        return await asked.catch(({ stdout }: { readonly stdout: string }) => stdout.trim());
      };

      expect(await may('list', 'deployments.apps')).toBe('yes');
      for (const verb of ['get', 'list', 'watch']) expect(await may(verb, 'secrets')).toBe('no');
    });

    test('is the only one whom the way in lets through: a token that AWS did not sign is refused', async () => {
      const { endpoint, caPem: ca } = cluster;
      const url = `https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15`;
      const token = `k8s-aws-v1.${Buffer.from(url).toString('base64url')}`;
      const api = new KubernetesClient({ endpoint, ca, token });

      expect((await api.get('/apis/apps/v1/deployments')).code).toBe(401);
      api.close();
    });
  }),
);

/** As Kubernetes writes it. */
const whole = (time: string) => `${time.slice(0, 19)}Z`;
