/**
 * A real Kubernetes for the tests: its own control plane, and the sandbox's nodes. A node is simulated: pods become
 * ready, or fail on request, and mount secrets as the Secrets Store CSI driver does; no container runs.
 */
import { KubernetesClient } from '../kubernetes/api-client.ts';
import type { AwsSecrets } from '../kubernetes/controllers/external-secrets/provider.ts';
import { startOperators } from '../kubernetes/controllers/operators.ts';
import { Activity } from '../kubernetes/controllers/reconciler.ts';
import type { ReadSecret } from '../kubernetes/node/aws-provider.ts';
import { NodeAgent } from '../kubernetes/node/node-agent.ts';
import { FAST, type Timing } from '../kubernetes/node/pod-run.ts';
import type { DriverOptions } from '../kubernetes/node/secrets-store-driver.ts';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from './control-plane.ts';
import { RemoteClient } from './remote-client.ts';

export { isBuilt } from './programs.ts';

export interface NodesOptions {
  /** Where the AWS provider of the CSI driver reads secrets. */
  readonly readSecret: ReadSecret;
  /** All secrets of the account, for those who look for them by name or tags. Default: none. */
  readonly listSecrets?: AwsSecrets['list'];
  /** How many nodes. Default: 3. */
  readonly nodes?: number;
  /** How many nodes of AWS Fargate beside them. Default: 0. */
  readonly fargateNodes?: number;
  /** How long pods take. Default: tens of milliseconds. */
  readonly timing?: Partial<Timing>;
  /** The CSI driver's own rotation in place. Default: off, as the driver's. */
  readonly rotation?: DriverOptions['rotation'];
  /** Of the Secrets Store CSI driver. Default: 1.6. */
  readonly driverVersion?: DriverOptions['version'];
}

export interface RealKubernetesOptions extends ControlPlaneOptions, NodesOptions {}

export interface Nodes {
  readonly nodes: Pick<NodeAgent, 'behave' | 'onContainerStarted' | 'onContainerStopped'>;
  /** What a test decides of the CSI driver: its time, its absence, and when it writes Secrets. */
  readonly driver: Pick<NodeAgent, 'passDriverTime' | 'takeDriverDown' | 'holdSyncedSecrets'>;
  /** The External Secrets Operator does nothing until the returned function is called. */
  holdExternalSecrets(): () => void;
}

export interface RealKubernetes extends ControlPlane, Nodes {}

export async function startRealKubernetes(options: RealKubernetesOptions): Promise<RealKubernetes> {
  const controlPlane = await startControlPlane(options);
  try {
    const { leave, ...nodes } = await joinNodes(controlPlane, options);
    const stop = async () => {
      await leave();
      await controlPlane.stop();
    };
    return { ...controlPlane, ...nodes, stop };
  } catch (error) {
    await controlPlane.stop();
    throw error;
  }
}

/** Others may join, with another driver for one, once these have left; pods should not be there meanwhile. */
export async function joinNodes(
  { endpoint, caPem, adminToken }: ControlPlane,
  options: NodesOptions,
): Promise<Nodes & { leave(): Promise<void> }> {
  const api = new KubernetesClient({ endpoint, ca: caPem, token: adminToken });
  const activity = new Activity();
  const failed = (error: unknown) => activity.fail(error);
  const client = new RemoteClient(api, 'kubelet', failed);
  const nodes = new NodeAgent({
    client,
    driverClient: client,
    activity,
    readSecret: options.readSecret,
    timing: { ...FAST, ...options.timing },
    driver: {
      rotation: options.rotation ?? { enabled: false, pollMs: 120_000 },
      ...(options.driverVersion && { version: options.driverVersion }),
    },
    nodes: options.nodes ?? 3,
    fargateNodes: options.fargateNodes ?? 0,
    kubeletVersion: 'v1.36.3',
  });
  const operators = startOperators({
    client,
    activity,
    aws: { read: options.readSecret, list: options.listSecrets ?? (async () => []) },
  });
  const leave = async () => {
    for (const reconciler of operators.reconcilers) reconciler.stop();
    nodes.stop();
    await client.close();
    api.close();
  };
  try {
    await client.open();
    await nodes.start();
  } catch (error) {
    await leave();
    throw error;
  }
  return { nodes, driver: nodes, holdExternalSecrets: () => operators.holdExternalSecrets(), leave };
}
