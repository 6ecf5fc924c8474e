import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { KUBERNETES_GROUPS } from '../../../infra/wiring.ts';
import { markerOf } from '../../../shared/consumers/marker.ts';
import type { Cause } from '../../../shared/operations/events.ts';
import { onRealKubernetes } from '../../sandbox/control-plane/describe-real.ts';
import type { Nodes } from '../../sandbox/control-plane/index.ts';
import { startWebhook, type Webhook } from '../../sandbox/control-plane/webhook.ts';
import { eventually } from '../../sandbox/eventually.ts';
import { type Answer, type KubernetesClient, MERGE } from '../../sandbox/kubernetes/api-client.ts';
import type { PodBehaviour } from '../../sandbox/kubernetes/node/behaviour.ts';
import type { ObjectInput } from '../../sandbox/kubernetes/objects.ts';
import { type Estate, startEstate } from './estate.ts';
import { mounting, namespaced, pod, secretProviderClass, type WorkloadOptions, workload } from './manifests.ts';
import type { MovingSecret } from './moving-secret.ts';
import { Passes } from './passes.ts';

interface Site {
  readonly estate: Estate;
  readonly ns: string;
  readonly secret: MovingSecret;
  /** A webhook that lets nothing pass. */
  readonly denying: Webhook;
  /** Of pods that are made for the version from now on. */
  newPods(behaviour: PodBehaviour['kind']): void;
}

interface Halt {
  readonly cause: Cause;
  /** It says nothing about the version: another workload of its wave goes on. */
  readonly blocked?: true;
  readonly why: RegExp;
  readonly workload?: WorkloadOptions & { readonly kind?: 'StatefulSet' | 'Rollout'; readonly container?: object };
  readonly objects?: (ns: string) => readonly ObjectInput[];
  /** Before the version moves. */
  readonly spoil: (site: Site) => Promise<void> | void;
  /** What a person does about it; nothing else is needed. */
  readonly mend: (site: Site) => Promise<void> | void;
}

const web = (ns: string) => workload('Deployment', ns, 'web', {});
const failing = (kind: PodBehaviour['kind']): Pick<Halt, 'spoil' | 'mend'> => ({
  spoil: ({ newPods }) => newPods(kind),
  mend: ({ newPods }) => newPods('normal'),
});
const SETTINGS = (ns: string): ObjectInput => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: { name: 'settings', namespace: ns },
  data: { COLOUR: 'Ymx1ZQ==' },
});
const quota = (ns: string): ObjectInput => ({
  apiVersion: 'v1',
  kind: 'ResourceQuota',
  metadata: { name: 'pods', namespace: ns },
  spec: { hard: { pods: '3' } },
});
const budget = (ns: string, maxUnavailable = 0, name = 'web'): ObjectInput => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: { name, namespace: ns },
  spec: { maxUnavailable, selector: { matchLabels: { app: 'web' } } },
});
const EVICTED: Halt['workload'] = {
  kind: 'StatefulSet',
  annotations: { 'rekey.dev/on-delete': 'evict' },
  spec: { updateStrategy: { type: 'OnDelete' } },
};

const HALTS: Readonly<Record<string, Halt>> = {
  'an image that is gone': {
    cause: 'image',
    why: /ImagePullBackOff|ErrImagePull/,
    ...failing('image'),
  },
  'new pods that crash': { cause: 'crash', why: /CrashLoopBackOff|crashes/, ...failing('crash') },
  'a Secret of theirs that somebody deleted': {
    cause: 'container',
    why: /CreateContainerConfigError/,
    workload: { container: { envFrom: [{ secretRef: { name: 'settings' } }] } },
    objects: (ns) => [SETTINGS(ns)],
    spoil: ({ estate, ns }) => estate.delete(SETTINGS(ns)),
    mend: ({ estate, ns }) => estate.create(SETTINGS(ns)),
  },
  'a progress deadline that is over': {
    cause: 'progress-deadline',
    why: /ProgressDeadlineExceeded/,
    workload: { spec: { progressDeadlineSeconds: 1 } },
    spoil: ({ newPods }) => newPods('unready'),
    // The next pod has its time as well, on a busy machine too.
    mend: async ({ estate, ns, newPods }) => {
      await estate.patch(web(ns), MERGE, { spec: { progressDeadlineSeconds: 600 } });
      await estate.api.until(
        estate.pathOf(web(ns)),
        ({ metadata, status }) => status.observedGeneration === metadata.generation,
      );
      newPods('normal');
    },
  },
  'a quota that is full': {
    cause: 'pods-refused',
    why: /FailedCreate/,
    spoil: async ({ estate, ns }) => {
      await estate.create(quota(ns));
      await estate.api.until(estate.pathOf(quota(ns)), ({ status }) => status?.used?.pods === '3');
    },
    mend: ({ estate, ns }) => estate.delete(quota(ns)),
  },
  'new pods that admission refuses': {
    cause: 'pods-refused',
    why: /FailedCreate/,
    spoil: ({ estate, ns }) =>
      refuse(estate, ns, {
        group: '',
        resource: 'pods',
        operation: 'CREATE',
        match: 'true',
        probe: (api) =>
          api.create(`/api/v1/namespaces/${ns}/pods?dryRun=All`, {
            apiVersion: 'v1',
            kind: 'Pod',
            metadata: { name: 'probe' },
            spec: pod(),
          }),
      }),
    mend: ({ estate, ns }) => allow(estate, ns),
  },
  'a patch that admission refuses': {
    cause: 'patch-refused',
    blocked: true,
    why: /may not be: CLUSTER_REJECTED.*422/,
    spoil: ({ estate, ns }) =>
      refuse(estate, ns, {
        group: 'apps',
        resource: 'deployments',
        operation: 'UPDATE',
        match: MARKED_BY_SYNC,
        probe: () => markWeb(estate, ns),
      }),
    mend: ({ estate, ns }) => allow(estate, ns),
  },
  'a patch that a webhook denies': {
    cause: 'patch-refused',
    blocked: true,
    why: /may not be: CLUSTER_REJECTED.*: admission webhook markers.example.com denies it$/,
    spoil: ({ estate, ns, denying: { url, caPem } }) => ask(estate, ns, url, caPem),
    mend: ({ estate, ns }) => estate.delete(askingOf(ns)),
  },
  'a webhook that cannot be asked about the patch': {
    cause: 'patch-refused',
    blocked: true,
    why: /may not be: CLUSTER_REJECTED.*: admission webhook markers.example.com cannot be asked$/,
    spoil: ({ estate, ns, denying: { caPem } }) => ask(estate, ns, 'https://127.0.0.1:1/', caPem),
    mend: ({ estate, ns }) => estate.delete(askingOf(ns)),
  },
  'that it is paused': {
    cause: 'stopped',
    blocked: true,
    why: /it is paused/,
    spoil: ({ estate, ns }) => estate.patch(web(ns), MERGE, { spec: { paused: true } }),
    mend: ({ estate, ns }) => estate.patch(web(ns), MERGE, { spec: { paused: false } }),
  },
  'a budget that allows no eviction': {
    cause: 'budget',
    blocked: true,
    why: /a PodDisruptionBudget does not allow to evict pod web-\d now/,
    workload: EVICTED,
    spoil: ({ estate, ns }) => protect(estate, budget(ns)),
    mend: ({ estate, ns }) => estate.delete(budget(ns)),
  },
  'two budgets for one pod': {
    cause: 'patch-refused',
    blocked: true,
    why: /may not be: CLUSTER_REJECTED.*: more than one PodDisruptionBudget selects it/,
    workload: EVICTED,
    // The one that is left allows both evictions: one at a time would be refused until the budget is reckoned anew.
    spoil: ({ estate, ns }) => protect(estate, budget(ns, 2), budget(ns, 1, 'another')),
    mend: ({ estate, ns }) => estate.delete(budget(ns, 1, 'another')),
  },
  'a budget that allows no eviction, of which Argo Rollouts tells nobody': {
    cause: 'budget',
    blocked: true,
    why: /a PodDisruptionBudget does not allow to evict pod web-\S+ now/,
    workload: { kind: 'Rollout' },
    spoil: ({ estate, ns }) => protect(estate, budget(ns)),
    mend: ({ estate, ns }) => estate.delete(budget(ns)),
  },
};

/** Once its pods are ready: of a pod's budgets, its controller reckons anew only one when that changes. */
async function protect(estate: Estate, ...budgets: readonly ObjectInput[]): Promise<void> {
  await estate.create(...budgets);
  for (const one of budgets) await estate.api.until(estate.pathOf(one), ({ status }) => status?.currentHealthy === 2);
}

onRealKubernetes('what halts a roll on a real control plane', () =>
  describe('92: on a real control plane, a roll is halted, with the old pods serving, and goes on by itself after', () => {
    let estate: Estate;
    let nodes: Nodes;
    let denying: Webhook;
    const outcomes = new Map<string, ReturnType<typeof roll>>();
    const behaviours = new Map<string, PodBehaviour['kind']>();

    // All at once: each waits for its controllers most of the time.
    beforeAll(async () => {
      estate = await startEstate();
      nodes = await estate.join();
      denying = await startWebhook(({ request: { uid } }) => ({
        response: { uid, allowed: false, status: { code: 403, message: 'not here' } },
      }));
      nodes.nodes.behave(({ metadata: { namespace = '', annotations = {} } }) => {
        const isNew = Object.keys(annotations).some((name) => name.startsWith('rekey.dev/'));
        return isNew ? ({ kind: behaviours.get(namespace) ?? 'normal' } as PodBehaviour) : undefined;
      });
      for (const [n, [name, halt]] of Object.entries(HALTS).entries()) outcomes.set(name, roll(`halt-${n}`, halt));
      await Promise.allSettled(outcomes.values());
    }, 300_000);
    afterAll(async () => {
      await estate?.close();
      await denying?.close();
    });

    async function roll(ns: string, { blocked, workload: options = {}, objects, spoil, mend }: Halt) {
      const secret = estate.account.create(`${ns}/secret`);
      const passes = new Passes([estate.cluster], secret);
      const { kind = 'Deployment', container, ...rest } = options;
      await estate.create(
        namespaced(ns),
        secretProviderClass(ns, 'csi', secret.name),
        ...(objects?.(ns) ?? []),
        workload(kind, ns, 'web', mounting('csi', container), rest),
        ...(blocked ? [workload('Deployment', ns, 'zoo', mounting('csi'), { spec: { replicas: 1 } })] : []),
        workload('Deployment', ns, 'later', mounting('csi'), {
          annotations: { 'rekey.dev/wave': '2' },
          spec: { replicas: 1 },
        }),
      );
      await estate.settled(ns);
      const site: Site = { estate, ns, secret, denying, newPods: (behaviour) => void behaviours.set(ns, behaviour) };
      const old = (await readyPods(ns)).map(({ metadata }) => metadata.name);

      await spoil(site);
      secret.move();
      const { annotation } = markerOf(secret, secret.current);
      const rolledTo = async (name: string) => {
        const { body } = await estate.api.get(`/apis/apps/v1/namespaces/${ns}/deployments/${name}`);
        return body.spec.template.metadata.annotations?.[annotation] as string | undefined;
      };
      await passes.begin();
      const { detail } = await passes.hears('Sync Halted');
      if (blocked)
        await passes.until('another of its wave is rolled', async () => (await rolledTo('zoo')) !== undefined);
      // Whatever its controllers do about it, they have done.
      for (let n = 0; n < 3; n += 1) await passes.next();
      const serving = (await readyPods(ns)).map(({ metadata }) => metadata.name);
      const later = await rolledTo('later');

      await mend(site);
      const { consumers } = await passes.converge();
      const versions = new Set(consumers.flatMap(({ pods }) => pods.map((one) => one.mountedVersion)));
      const made = new Set(estate.started.flatMap(({ pod }) => (pod.namespace === ns ? pod.uid : [])));
      return { old, serving, later, halted: detail.failed, consumers, versions, version: secret.current, made, passes };
    }

    async function readyPods(ns: string) {
      const { body } = await estate.api.get(`/api/v1/namespaces/${ns}/pods`);
      return (body.items as readonly Pod[]).filter(({ metadata, status }) => {
        const ready = status.conditions?.find(({ type }) => type === 'Ready');
        return ready?.status === 'True' && metadata.deletionTimestamp === undefined;
      });
    }

    test.each(Object.entries(HALTS))('%s', async (name, { cause, blocked, why }) => {
      const outcome = await outcomes.get(name);
      if (outcome === undefined) throw new Error('it was not rolled');
      const { old, serving, later, halted, consumers, versions, version, made, passes } = outcome;

      expect(halted).toEqual([expect.objectContaining({ name: 'web', cause, why: expect.stringMatching(why) })]);
      expect(later).toBeUndefined();
      expect(passes.of('Sync Halted')).toHaveLength(1);
      expect(passes.of('Secret Not Converged')).toEqual([]);
      const untouched = old.filter((pod) => !pod.startsWith('zoo'));
      expect(untouched).toHaveLength(3);
      expect(serving).toEqual(expect.arrayContaining(untouched));
      const proved = consumers.map((one) => [one.name, one.pods.length] as const);
      expect(new Map(proved)).toEqual(new Map([['web', 2], ['later', 1], ...(blocked ? [['zoo', 1] as const] : [])]));
      expect([...versions]).toEqual([version]);
      // Those of before, and one for each of them.
      expect(made.size).toBe(2 * old.length);
    });
  }),
);

interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly deletionTimestamp?: string;
  };
  readonly status: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** A CEL expression: sync writes to `web`. */
const MARKED_BY_SYNC = `'${KUBERNETES_GROUPS.sync}' in request.userInfo.groups && object.metadata.name == 'web'`;

/** What sync would do, without doing it. */
async function markWeb({ api, pathOf }: Estate, ns: string): Promise<Answer> {
  return await api.send('PATCH', `${pathOf(web(ns))}?dryRun=All`, {
    headers: { 'impersonate-user': 'somebody', 'impersonate-group': KUBERNETES_GROUPS.sync },
    contentType: MERGE,
    body: { metadata: { annotations: { 'rekey.dev/probe': 'x' } } },
  });
}

/** A webhook of the cluster's owner is asked whenever sync writes to `web`. */
async function ask(estate: Estate, ns: string, url: string, caPem: string): Promise<void> {
  await estate.create({
    ...askingOf(ns),
    webhooks: [
      {
        name: 'markers.example.com',
        admissionReviewVersions: ['v1'],
        sideEffects: 'None',
        clientConfig: { url, caBundle: Buffer.from(caPem).toString('base64') },
        namespaceSelector: selecting(ns),
        rules: [{ apiGroups: ['apps'], apiVersions: ['*'], operations: ['UPDATE'], resources: ['deployments'] }],
        matchConditions: [{ name: 'marked', expression: MARKED_BY_SYNC }],
      },
    ],
  });
  await eventually('the webhook is asked', async () => (await markWeb(estate, ns)).code !== 200);
}

interface Refused {
  readonly group: string;
  readonly resource: string;
  readonly operation: string;
  /** A CEL expression: when it is refused. */
  readonly match: string;
  /** A request that is refused once the policy is in force: the API server learns of it a moment after it was stored. */
  readonly probe: (api: KubernetesClient) => Promise<Answer>;
}

/** A policy of the cluster's owner, which refuses something in the namespace. */
async function refuse({ create, api }: Estate, ns: string, refused: Refused): Promise<void> {
  const { group, resource, operation, match, probe } = refused;
  const rules = [{ apiGroups: [group], apiVersions: ['*'], operations: [operation], resources: [resource] }];
  await create(
    {
      ...policyOf(ns),
      spec: {
        matchConstraints: { resourceRules: rules, namespaceSelector: selecting(ns) },
        matchConditions: [{ name: 'asked-for', expression: match }],
        validations: [{ expression: 'false', message: 'not here' }],
      },
    },
    { ...bindingOf(ns), spec: { policyName: ns, validationActions: ['Deny'] } },
  );
  await eventually('the policy is in force', async () => (await probe(api)).code === 422);
}

async function allow(estate: Estate, ns: string): Promise<void> {
  await estate.delete(bindingOf(ns));
  await estate.delete(policyOf(ns));
}

const policyOf = (name: string): ObjectInput => ({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingAdmissionPolicy',
  metadata: { name },
});
const bindingOf = (name: string): ObjectInput => ({ ...policyOf(name), kind: 'ValidatingAdmissionPolicyBinding' });
const askingOf = (name: string): ObjectInput => ({ ...policyOf(name), kind: 'ValidatingWebhookConfiguration' });
const selecting = (namespace: string) => ({ matchLabels: { 'kubernetes.io/metadata.name': namespace } });
