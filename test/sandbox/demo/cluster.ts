import type { Installation } from '../environment.ts';
import type { KubernetesClient } from '../kubernetes/api-client.ts';
import type { NodeAgent } from '../kubernetes/node/node-agent.ts';
import type { Timing } from '../kubernetes/node/pod-run.ts';

export const CLUSTER_KINDS = ['sandbox', 'real'] as const;
export type ClusterKind = (typeof CLUSTER_KINDS)[number];

/** The cluster of the demo: read and written over its API alone, whatever stands behind that. */
export interface DemoCluster {
  /** An administrator's way in. */
  readonly api: KubernetesClient;
  readonly kubeconfig: string;
  /** The folder of a kubectl of its own version, if there is one. */
  readonly kubectlFolder: string | undefined;
  /** Simulated on either. */
  readonly nodes: Pick<NodeAgent, 'behave' | 'onContainerStarted' | 'onContainerStopped'>;
  /** In words, for a list. */
  readonly real: readonly string[];
  readonly simulated: string;
  close(): Promise<void>;
}

/** The account's cluster, with the rights that Rekey ships. @param timing of its pods */
export type StartDemoCluster = (installation: Installation, timing: Partial<Timing>) => Promise<DemoCluster>;
