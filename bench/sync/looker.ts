import { subscribe } from 'node:diagnostics_channel';
import { createKubernetesCluster } from '../../shared/cluster/kubernetes.ts';
import type { Cluster } from '../../shared/cluster/port.ts';
import { converge } from '../../shared/consumers/converge.ts';
import { systemClock as clock } from '../../shared/operations/clock.ts';
import { deadlineIn } from '../../shared/operations/deadline.ts';
import type { SecretDescription } from '../../shared/secrets/port.ts';
import { SecretValue } from '../../shared/secrets/secret-value.ts';
import { serve, type Target } from './process.ts';
import { SECRET } from './secret.ts';

/** Rekey's pass over one secret: what sync runs for an event, from the label to the last patch. */

const LAMBDA_MS = 120_000;

let methods: Record<string, number> = {};
subscribe('undici:request:create', (message) => {
  const { method } = (message as { readonly request: { readonly method: string } }).request;
  methods[method] = (methods[method] ?? 0) + 1;
});

let cluster: Cluster | undefined;
let firstPatchMs: number | undefined;
let lastPatchMs: number | undefined;
let patches = 0;
let startedAt = 0;

function connect({ endpoint, caPem, token }: Target): Cluster {
  const access = {
    name: 'prod',
    region: 'eu-west-1',
    endpoint: async () => ({ url: endpoint, certificateAuthority: caPem }),
    bearerToken: async () => new SecretValue(token),
  };
  const real = createKubernetesCluster(access, clock);
  return {
    ...real,
    async mark(...args) {
      firstPatchMs ??= performance.now() - startedAt;
      const answer = await real.mark(...args);
      lastPatchMs = performance.now() - startedAt;
      if (answer === 'marked') patches += 1;
      return answer;
    },
  };
}

/** @param order the version that is current since this moment */
serve(async (order, target) => {
  cluster ??= connect(target);
  methods = {};
  patches = 0;
  firstPatchMs = undefined;
  lastPatchMs = undefined;
  const secret: SecretDescription = {
    ...SECRET,
    rotationEnabled: true,
    rotationFunction: undefined,
    stages: new Map([[order, ['AWSCURRENT']]]),
    tags: new Map([['rekey:max-parallel', '1000']]),
    owningService: undefined,
    deletedAtMs: undefined,
  };
  startedAt = performance.now();
  const outcome = await converge(
    {
      secretArn: SECRET.arn,
      secretName: SECRET.name,
      versionId: order,
      sinceMs: clock.now(),
      lookingSinceMs: clock.now(),
      told: [],
    },
    {
      secrets: { describe: async () => secret },
      clusters: [cluster],
      announcer: { announce: async () => true },
      rotationFunctions: [],
      clock,
      log: { info() {}, warn: (message, fields) => console.error(message, JSON.stringify(fields)) },
    },
    deadlineIn(LAMBDA_MS, clock),
  );
  if (outcome.kind !== 'look-again') throw new Error(`the pass ended with "${outcome.kind}"`);
  return {
    ms: performance.now() - startedAt,
    requests: Object.values(methods).reduce((sum, n) => sum + n, 0),
    methods,
    patches,
    ...(firstPatchMs === undefined ? {} : { firstPatchMs }),
    ...(lastPatchMs === undefined ? {} : { lastPatchMs }),
  };
});
