import type { ComponentClient } from '../component-client.ts';
import type { Activity } from '../controllers/reconciler.ts';
import type { KubernetesObject, Pod } from '../objects.ts';
import type { ReadSecret } from './aws-provider.ts';
import { annotatedBehaviour, type PodBehaviour } from './behaviour.ts';
import { PodRun, type RunningContainer, type Timing } from './pod-run.ts';
import { DRIVER, type DriverOptions, SecretsStoreDriver } from './secrets-store-driver.ts';

export interface NodeAgentOptions {
  readonly client: ComponentClient;
  readonly driverClient: ComponentClient;
  readonly activity: Activity;
  readonly readSecret: ReadSecret;
  readonly timing: Timing;
  readonly driver: DriverOptions;
  readonly nodes: number;
  /** Nodes of AWS Fargate, beside the others. */
  readonly fargateNodes: number;
  readonly kubeletVersion: string;
}

type StartedListener = (container: RunningContainer) => void | Promise<void>;
type StoppedListener = (container: RunningContainer) => void;

/** How EKS keeps everything off its Fargate nodes that does not ask for them, DaemonSets too. */
const COMPUTE_TYPE = 'eks.amazonaws.com/compute-type';
const FARGATE = {
  labels: { [COMPUTE_TYPE]: 'fargate' },
  spec: { taints: [{ key: COMPUTE_TYPE, value: 'fargate', effect: 'NoSchedule' }] },
};

const CAPACITY = { cpu: '64', memory: '256Gi', 'ephemeral-storage': '1Ti', pods: '10000' };

/** What a kubelet and the CSI driver do on every node, without containers: pods become ready, or fail on request. */
export class NodeAgent {
  readonly #options: NodeAgentOptions;
  readonly #driver: SecretsStoreDriver;
  readonly #runs = new Map<string, PodRun>();
  readonly #started = new Set<StartedListener>();
  readonly #stopped = new Set<StoppedListener>();
  readonly #end: (() => void)[] = [];
  #behaviour: (pod: Pod) => PodBehaviour | undefined = () => undefined;
  #addresses = 0;

  constructor(options: NodeAgentOptions) {
    this.#options = options;
    const { driverClient: client, activity, readSecret, driver } = options;
    this.#driver = new SecretsStoreDriver({ ...driver, client, activity, readSecret });
  }

  async start(): Promise<void> {
    const { client, nodes, fargateNodes, driver } = this.#options;
    this.#end.push(client.watch('pods', ({ object, previous }) => this.#follow(object as Pod | undefined, previous)));
    this.#end.push(client.watch('secrets', ({ object }) => object && this.#secretChanged(object)));
    // What came or was to go while no node was there: nobody tells of it again.
    for (const pod of client.list('pods'))
      if (pod.status.phase === 'Pending' || pod.metadata.deletionTimestamp !== undefined) this.#follow(pod, undefined);
    for (let index = 1; index <= nodes; index++) await this.#registerNode(`node-${index}`, `10.0.0.${index}`);
    for (let index = 1; index <= fargateNodes; index++)
      await this.#registerNode(`fargate-ip-10-0-1-${index}`, `10.0.1.${index}`, FARGATE);
    if (client.serves('secretproviderclasses')) await this.#registerDriver();
    if (driver.rotation.enabled) {
      // The kubelet republishes every 60 to 90 s, which is more often than the default interval of 2 minutes.
      const timer = setInterval(() => void this.#round(), driver.rotation.pollMs / 2);
      timer.unref();
      this.#end.push(() => clearInterval(timer));
    }
  }

  stop(): void {
    for (const end of this.#end) end();
    for (const run of this.#runs.values()) run.stop();
    this.#runs.clear();
  }

  /** Asked for every pod at every attempt; undefined leaves it to the pod's annotation. */
  behave(behaviour: (pod: Pod) => PodBehaviour | undefined): void {
    this.#behaviour = behaviour;
  }

  onContainerStarted(listener: StartedListener): () => void {
    this.#started.add(listener);
    return () => this.#started.delete(listener);
  }

  onContainerStopped(listener: StoppedListener): () => void {
    this.#stopped.add(listener);
    return () => this.#stopped.delete(listener);
  }

  /** Time passes for the driver, and it does what is due by then. */
  async passDriverTime(milliseconds: number): Promise<void> {
    this.#driver.pass(milliseconds);
    await this.#round();
  }

  /** The driver does not run on this node until the returned function is called. */
  takeDriverDown(node: string): () => void {
    return this.#driver.takeDown(node);
  }

  /** No Secret is written from what is mounted until the returned function is called. */
  holdSyncedSecrets(): () => void {
    return this.#driver.holdSyncedSecrets();
  }

  #follow(pod: Pod | undefined, previous: { metadata: { uid: string } } | undefined): void {
    if (pod === undefined) {
      const uid = previous?.metadata.uid ?? '';
      this.#runs.get(uid)?.stop();
      this.#runs.delete(uid);
      return;
    }
    if (pod.spec.nodeName === undefined) return;
    let run = this.#runs.get(pod.metadata.uid);
    if (run === undefined) {
      const created = this.#createRun(pod);
      run = created;
      this.#runs.set(pod.metadata.uid, created);
      const done = this.#options.activity.begin();
      setImmediate(() => {
        void created.run();
        done();
      });
    }
    if (pod.metadata.deletionTimestamp !== undefined) void run.terminate();
  }

  #secretChanged({ metadata }: KubernetesObject): void {
    for (const run of this.#runs.values())
      if (run.namespace === metadata.namespace) void run.secretChanged(metadata.name);
  }

  #createRun(pod: Pod): PodRun {
    const { client, activity, timing } = this.#options;
    const node = client.get('nodes', undefined, pod.spec.nodeName ?? '');
    this.#addresses += 1;
    return new PodRun(pod, {
      client,
      driver: this.#driver,
      activity,
      timing,
      behaviour: (present) => this.#behaviour(present) ?? annotatedBehaviour(present),
      started: async (container) => {
        await Promise.all([...this.#started].map((listener) => listener(container)));
      },
      stopped: (container) => {
        for (const listener of this.#stopped) listener(container);
      },
      hostIp: node?.metadata.annotations?.['rekey-sandbox.dev/address'] ?? '10.0.0.1',
      podIp: `10.244.${this.#addresses >> 8}.${this.#addresses & 0xff}`,
    });
  }

  async #round(): Promise<void> {
    if (!this.#driver.isRoundDue()) return;
    for (const run of [...this.#runs.values()]) await run.fetchAgain();
  }

  async #registerDriver(): Promise<void> {
    const { driverClient, driver } = this.#options;
    await driverClient.create('csidrivers', undefined, {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIDriver',
      metadata: { name: DRIVER },
      spec: {
        attachRequired: false,
        podInfoOnMount: true,
        volumeLifecycleModes: ['Ephemeral'],
        requiresRepublish: driver.version !== '1.5' && driver.rotation.enabled,
      },
    });
  }

  async #registerNode(
    name: string,
    address: string,
    more: { readonly labels?: Readonly<Record<string, string>>; readonly spec?: object } = {},
  ): Promise<void> {
    const { client, kubeletVersion } = this.#options;
    const node = await client.create('nodes', undefined, {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: { 'kubernetes.io/hostname': name, 'kubernetes.io/os': 'linux', ...more.labels },
        annotations: { 'rekey-sandbox.dev/address': address },
      },
      spec: { ...more.spec },
    });
    if (node === undefined) return;
    await client.editStatus(node, (draft) => {
      draft['status'] = {
        addresses: [
          { type: 'InternalIP', address },
          { type: 'Hostname', address: name },
        ],
        // What a real scheduler asks for.
        capacity: CAPACITY,
        allocatable: CAPACITY,
        conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', lastTransitionTime: client.now() }],
        nodeInfo: { kubeletVersion, osImage: 'simulated', containerRuntimeVersion: 'none', operatingSystem: 'linux' },
      };
    });
  }
}
