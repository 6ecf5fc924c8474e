import { describe } from '@jest/globals';
import { onRealKubernetes } from '../sandbox/control-plane/describe-real.ts';
import { startEksCluster } from '../sandbox/control-plane/eks-cluster.ts';
import type { Nodes } from '../sandbox/control-plane/index.ts';
import {
  describeClusters,
  type EnvironmentOptions,
  type Installation,
  startEnvironment,
  startInstallation,
} from '../sandbox/environment.ts';
import type { KubernetesClient } from '../sandbox/kubernetes/api-client.ts';
import { type ApiProxy, startApiProxy } from '../sandbox/kubernetes/api-proxy.ts';
import { APPLICATIONS } from './application.ts';

/** Rekey as it is deployed, and its cluster, whose nodes are simulated. */
export interface Deployment extends Installation {
  /** An administrator's. */
  readonly api: KubernetesClient;
  readonly nodes: Nodes['nodes'];
  /** Through which Rekey's functions, and nobody else, reach the cluster. */
  readonly proxy: ApiProxy;
}

export type StartDeployment = (options?: { readonly queueSecondMs?: number }) => Promise<Deployment>;

/** Declares tests on the sandbox's API and controllers, and on a real control plane: where they differ, the sandbox is wrong. */
export function describeOnEachApi(title: string, suite: (start: StartDeployment) => void): void {
  describe(`on the sandbox's API, ${title}`, () => suite(startOnSandbox));
  onRealKubernetes(`${title} on a real control plane`, () =>
    describe(`on a real control plane, ${title}`, () =>
      suite(async (options) => {
        const installation = await startInstallation({ rotated: APPLICATIONS, ...options });
        const cluster = await startEksCluster(installation).catch(afterwards(installation.close));
        return await behindProxy(installation, cluster, async () => {
          await cluster.stop();
          await installation.close();
        });
      })),
  );
}

export async function startOnSandbox(options: EnvironmentOptions = {}): Promise<Deployment> {
  const environment = await startEnvironment({ rotated: APPLICATIONS, ...options });
  const { kubernetes } = environment;
  return await behindProxy(environment, { ...kubernetes, nodes: kubernetes }, environment.close);
}

async function behindProxy(
  installation: Installation,
  cluster: Pick<Deployment, 'api' | 'nodes'> & { readonly endpoint: string; readonly caPem: string },
  close: () => Promise<void>,
): Promise<Deployment> {
  const { api, nodes } = cluster;
  const proxy = await startApiProxy(cluster).catch(afterwards(close));
  describeClusters(installation.aws, [proxy]);
  return {
    ...installation,
    ...{ api, nodes, proxy },
    async close() {
      await close();
      await proxy.close();
    },
  };
}

/** What was started before something that failed is ended, and the failure told. */
const afterwards = (close: () => Promise<void>) => async (error: unknown) => {
  await close();
  throw error;
};
