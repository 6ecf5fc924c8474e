import { readFile } from 'node:fs/promises';
import { startInstallation } from '../environment.ts';
import type { ClusterKind, DemoCluster, StartDemoCluster } from './cluster.ts';
import { createEstate } from './estate.ts';
import { keepOpen } from './keep-open.ts';
import { LoginClients } from './login-clients.ts';
import type { Narrator } from './narrator.ts';
import { startRealCluster } from './real-cluster.ts';
import { startSandboxCluster } from './sandbox-cluster.ts';
import { showBadRelease, showPlainSecret, showRotation } from './scenes.ts';

const CLUSTERS: Readonly<Record<ClusterKind, StartDemoCluster>> = {
  sandbox: startSandboxCluster,
  real: startRealCluster,
};

export interface Show {
  readonly cluster: ClusterKind;
  readonly badRelease: boolean;
  /** Called when all is shown, everything is left up until it resolves. */
  readonly keep: (() => Promise<unknown>) | undefined;
}

/** From nothing to nothing: whatever is started here ends with it. @returns whether all claims held */
export async function showDemo({ cluster: kind, badRelease, keep }: Show, narrator: Narrator): Promise<boolean> {
  const installation = await startInstallation();
  const { postgres } = installation;
  const clients = new LoginClients(postgres.ca);
  let cluster: DemoCluster | undefined;
  try {
    narrator.say(`PostgreSQL ${postgres.version} is up at ${postgres.host}, TLS only`);
    narrator.say(
      kind === 'real' ? 'starting etcd, API server, controllers and scheduler' : 'starting the sandbox of Kubernetes',
    );
    cluster = await CLUSTERS[kind](installation, { containerStartMs: 300, readyMs: 700, terminationMs: 500 });
    for (const part of cluster.real) narrator.say(part);
    const manifests = await readFile(new URL('./manifests.yaml', import.meta.url), 'utf8');
    const estate = await createEstate(installation, cluster, clients, manifests, narrator);

    const held = badRelease
      ? await showBadRelease(estate)
      : (await showRotation(estate)) && (await showPlainSecret(estate));
    await clients.stopAll();

    narrator.chapter('What was real and what was not');
    for (const part of [
      'PostgreSQL, its users, TLS and logins; the bundles, each in a process of its own; every wire protocol',
      ...cluster.real,
    ])
      narrator.say(`real: ${part}`);
    narrator.say('simulated: Secrets Manager, IAM, EventBridge, SQS, SNS, EKS, Lambda;');
    narrator.say(`${cluster.simulated}. docs/sandbox.md says how closely.`);
    if (keep) await keepOpen(estate, keep);
    return held;
  } finally {
    // Pods that are there now would start others.
    await cluster?.close();
    await clients.stopAll();
    await installation.close();
  }
}
