import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ROOT } from '../../../infra/dist.ts';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import { type Kubectl, openKubectl } from '../../sandbox/control-plane/kubectl.ts';
import { MERGE } from '../../sandbox/kubernetes/api-client.ts';
import { type Estate, startEstate } from './estate.ts';
import { mounting, namespaced, secretProviderClass, workload } from './manifests.ts';
import { Passes } from './passes.ts';

interface Told {
  readonly reason: string;
  readonly type: 'Normal' | 'Warning';
  /** SECRET stands for the secret and its version. */
  readonly says: RegExp;
  /** Of the workload. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Merged into the workload once it runs. */
  readonly change?: object;
  readonly newPodsCrash?: true;
}

const TOLD: readonly Told[] = [
  { reason: 'SecretRollout', type: 'Normal', says: /^Restarted for SECRET$/ },
  { reason: 'SecretProved', type: 'Normal', says: /^Proved to run on SECRET \(pods: 2\)$/ },
  {
    reason: 'SecretRemount',
    type: 'Normal',
    says: /^Waiting for the remount of SECRET$/,
    annotations: { 'rekey.dev/mode': 'annotate' },
  },
  {
    reason: 'WaitingForSecret',
    type: 'Warning',
    says: /^Waiting for SECRET: .*; its old pods stay because it is paused$/,
    change: { spec: { paused: true } },
  },
  {
    reason: 'SecretRolloutHalted',
    type: 'Warning',
    says: /^Halted the rollout of SECRET: pod web-.* cannot start: CrashLoopBackOff/,
    newPodsCrash: true,
  },
  {
    reason: 'SecretNotProved',
    type: 'Warning',
    says: /^Not proved to run on SECRET: .*rekey.dev\/mode is off$/,
    annotations: { 'rekey.dev/mode': 'off' },
  },
  {
    reason: 'RekeyAnnotationInvalid',
    type: 'Warning',
    says: /^rekey.dev\/wave is not a whole number/,
    annotations: { 'rekey.dev/wave': 'first' },
  },
];

onRealKubernetes('what kubectl describe says of a workload', () =>
  describe('on a real control plane, kubectl describe says of a workload', () => {
    let estate: Estate;
    let kubectl: Kubectl;

    beforeAll(async () => {
      estate = await startEstate();
      const { nodes } = await estate.join();
      const crashing = new Set(TOLD.filter(({ newPodsCrash }) => newPodsCrash).map(namespaceOf));
      nodes.behave(({ metadata: { namespace = '', annotations = {} } }) => {
        const isNew = Object.keys(annotations).some((name) => name.startsWith('rekey.dev/'));
        return isNew && crashing.has(namespace) ? { kind: 'crash' } : undefined;
      });
      kubectl = await openKubectl(estate.controlPlane.kubeconfig);
    });
    afterAll(async () => {
      await kubectl?.close();
      await estate?.close();
    });

    test.each(TOLD)('$reason', async ({ reason, type, says, annotations = {}, change }) => {
      const ns = namespaceOf({ reason });
      const secret = estate.account.create(`${ns}/secret`);
      const web = workload('Deployment', ns, 'web', mounting('csi'), { annotations });
      await estate.create(namespaced(ns), secretProviderClass(ns, 'csi', secret.name), web);
      await estate.settled(ns);
      if (change) await estate.patch(web, MERGE, change);
      await estate.settled(ns);
      const passes = new Passes([estate.cluster], secret);
      secret.move();
      await passes.begin();

      const what = `secret ${secret.name}, version ${secret.current}`;
      const events = async () => {
        const described = await kubectl.run('-n', ns, 'describe', 'deployment', 'web');
        return eventsIn(described.replaceAll(what, 'SECRET')).filter((event) => event.reason === reason);
      };
      await passes.until(reason, async () => (await events()).some(({ message }) => says.test(message)));
      // What a pass says again is not written again.
      for (let more = 0; more < 3 && passes.queue.length > 0; more += 1) await passes.next();
      const told = await events();
      expect(told).toContainEqual({ reason, type, times: 1, from: 'rekey', message: expect.stringMatching(says) });
      expect(told.filter(({ times }) => times > 1)).toEqual([]);
    });

    test('every reason that docs/events.md lists, and no other', async () => {
      const docs = await readFile(join(ROOT, 'docs/events.md'), 'utf8');
      const [, table = ''] = /^## On the workloads\n[\s\S]*?\n\|---[^\n]*\n((?:\|.*\n)+)/m.exec(docs) ?? [];
      const listed = table
        .trim()
        .split('\n')
        .flatMap((row) => {
          const [, reasons = '', type = ''] = row.split('|');
          return [...reasons.matchAll(/`(\w+)`/g)].map(([, reason = '']) => ({ reason, type: type.trim() }));
        });

      expect(listed.map(({ reason }) => reason).sort()).toEqual(TOLD.map(({ reason }) => reason).sort());
      for (const { reason, type } of TOLD) expect(listed.find((one) => one.reason === reason)?.type).toContain(type);
    });
  }),
);

function namespaceOf({ reason }: Pick<Told, 'reason'>): string {
  return reason.toLowerCase();
}

/** The table at the end: type, reason, age, from, message. An age of more than one is `1s (x2 over 3s)`. */
function eventsIn(described: string) {
  const [, table = ''] = described.split(/^Events:$/m);
  return table.split('\n').flatMap((line) => {
    const [, type, reason, times = '1', from, message = ''] =
      /^ +(Normal|Warning) +(\S+) +\S+(?: \(x(\d+) over \S+\))? +(\S+) +(.*)$/.exec(line) ?? [];
    return type === undefined ? [] : [{ type, reason, times: Number(times), from, message }];
  });
}
