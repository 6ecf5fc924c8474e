import { createHash, randomBytes } from 'node:crypto';
import { posix } from 'node:path';
import type { ComponentClient } from '../component-client.ts';
import type { Activity } from '../controllers/reconciler.ts';
import {
  type Condition,
  type Container,
  type ContainerStatus,
  condition,
  type Pod,
  timestamp,
  type Volume,
} from '../objects.ts';
import { MountFailed } from './aws-provider.ts';
import type { PodBehaviour } from './behaviour.ts';
import { resolveEnvironment, SecretMissing } from './container-environment.ts';
import { secretFiles, secretSourcesOf } from './secret-volumes.ts';
import { isSecretsStoreVolume, type MountedVolume, type SecretsStoreDriver } from './secrets-store-driver.ts';

/** How long things take, in milliseconds. */
export interface Timing {
  /** From the mounted volumes to the running container. */
  readonly containerStartMs: number;
  /** From the running container to the ready one. */
  readonly readyMs: number;
  /** From the wish to end a pod to its end. */
  readonly terminationMs: number;
  /** Until a failed mount or image pull is tried again, and between two looks at a pod that isn't ready. */
  readonly retryMs: number;
  /** From a Secret that has changed to the files of its volumes: with a real kubelet, a minute and more. */
  readonly secretVolumeMs: number;
  /** Before the first restart of a crashed container; doubles up to sixteen times that. */
  readonly crashBackoffMs: number;
}

export const FAST: Timing = {
  containerStartMs: 10,
  readyMs: 10,
  terminationMs: 20,
  retryMs: 50,
  secretVolumeMs: 50,
  crashBackoffMs: 100,
};

/** A container that runs, as somebody inside it would see it. */
export interface RunningContainer {
  readonly pod: {
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    readonly ip: string;
    readonly nodeName: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly name: string;
  /** As it was when the container started, for good: plain variables and those from Secrets. */
  readonly env: ReadonlyMap<string, string>;
  /** What was mounted when the container started: absolute path → contents. */
  readonly files: ReadonlyMap<string, string>;
  /** What is mounted now; a subPath mount stays as it was at the start. @throws Error ENOENT */
  readFile(path: string): string;
}

export interface PodRunOptions {
  readonly client: ComponentClient;
  readonly driver: SecretsStoreDriver;
  readonly activity: Activity;
  readonly timing: Timing;
  readonly behaviour: (pod: Pod) => PodBehaviour;
  /** Called when a container runs. It is ready once this resolves; if it rejects, the container has crashed. */
  readonly started: (container: RunningContainer) => Promise<void>;
  readonly stopped: (container: RunningContainer) => void;
  readonly hostIp: string;
  readonly podIp: string;
}

/** The pod is no longer wanted: every wait ends with this. */
class Stopped extends Error {}

interface ContainerState {
  readonly spec: Container;
  readonly initial: boolean;
  status: ContainerStatus;
  running: RunningContainer | undefined;
}

/** One pod on its node, from the mount to the end: a kubelet's work without containers. */
export class PodRun {
  readonly #options: PodRunOptions;
  readonly #pod: Pod;
  readonly #containers: readonly ContainerState[];
  readonly #mounted = new Map<string, MountedVolume>();
  readonly #cancel = new AbortController();
  #initialized: boolean;
  #terminating = false;

  constructor(pod: Pod, options: PodRunOptions) {
    this.#pod = pod;
    this.#options = options;
    const { initContainers = [], containers } = pod.spec;
    this.#initialized = initContainers.length === 0;
    const waiting = this.#initialized ? 'ContainerCreating' : 'PodInitializing';
    this.#containers = [
      ...initContainers.map((spec) => waitingContainer(spec, true, 'PodInitializing')),
      ...containers.map((spec) => waitingContainer(spec, false, waiting)),
    ];
  }

  get uid(): string {
    return this.#pod.metadata.uid;
  }

  get namespace(): string | undefined {
    return this.#pod.metadata.namespace;
  }

  /** Runs the pod until it is stopped. */
  async run(): Promise<void> {
    const done = this.#options.activity.begin();
    try {
      this.#publish();
      await this.#mount(done);
      // What follows counts itself as work, or as waiting.
      done();
      for (const container of this.#containers.filter((one) => one.initial)) {
        if (container.spec.restartPolicy === 'Always') this.#keep(container);
        else await this.#runToCompletion(container);
      }
      this.#initialized = true;
      this.#publish();
      await Promise.all(this.#containers.filter((one) => !one.initial).map((one) => this.#runForever(one)));
    } catch (thrown) {
      if (!(thrown instanceof Stopped)) this.#options.activity.fail(thrown);
    } finally {
      done();
    }
  }

  /** Ends the pod gracefully and takes it from the API. */
  async terminate(): Promise<void> {
    if (this.#terminating) return;
    this.#terminating = true;
    const done = this.#options.activity.begin();
    this.#cancel.abort();
    const { client, timing } = this.#options;
    client.recordEvent(this.#pod, 'Normal', 'Killing', `Stopping container ${this.#pod.spec.containers[0]?.name}`);
    const seconds = this.#pod.spec.terminationGracePeriodSeconds ?? 30;
    await new Promise((resolve) => setTimeout(resolve, Math.min(timing.terminationMs, seconds * 1000)));
    this.stop();
    await client.delete(this.#pod, { gracePeriodSeconds: 0 });
    done();
  }

  /** The pod is gone from the API, or the node goes down: what runs ends now. */
  stop(): void {
    this.#cancel.abort();
    for (const container of this.#containers) this.#halt(container);
    for (const volume of this.#driverVolumes()) this.#options.driver.unpublish(this.#pod, volume);
    this.#mounted.clear();
  }

  /** This pod's part of a round of the driver. */
  async fetchAgain(): Promise<void> {
    for (const volume of this.#driverVolumes())
      if (this.#mounted.has(volume.name)) await this.#options.driver.fetchAgain(this.#pod, volume);
  }

  /** A Secret has changed: the files of its volumes follow, but for those that are mounted by subPath. */
  async secretChanged(name: string): Promise<void> {
    const changed = this.#volumes().filter((one) => secretSourcesOf(one).some((source) => source.name === name));
    try {
      for (const volume of changed) {
        if (!this.#mounted.has(volume.name)) continue;
        await this.#work(this.#options.timing.secretVolumeMs);
        this.#mounted.set(volume.name, await this.#secretVolume(volume));
      }
    } catch (thrown) {
      // What has become of the Secret leaves the files as they were.
      if (!(thrown instanceof Stopped) && !(thrown instanceof SecretMissing)) this.#options.activity.fail(thrown);
    }
  }

  #volumes(): Volume[] {
    return this.#pod.spec.volumes ?? [];
  }

  #driverVolumes(): Volume[] {
    return this.#volumes().filter(isSecretsStoreVolume);
  }

  /** All at once: a Secret may only come to be by what another volume mounts. */
  async #mount(idle: () => void): Promise<void> {
    await Promise.all(this.#volumes().map((volume) => this.#mountOne(volume, idle)));
    this.#checkStopped();
  }

  async #mountOne(volume: Volume, idle: () => void): Promise<void> {
    const { client, driver, timing } = this.#options;
    for (;;) {
      this.#checkStopped();
      try {
        if (secretSourcesOf(volume).length > 0) this.#mounted.set(volume.name, await this.#secretVolume(volume));
        if (!isSecretsStoreVolume(volume)) return;
        const { kind } = this.#behaviour();
        if (kind === 'mount') throw new MountFailed('the sandbox was asked to fail this mount');
        this.#mounted.set(volume.name, await driver.publish(this.#pod, volume, kind === 'interrupted-mount'));
        return;
      } catch (thrown) {
        const isDrivers = thrown instanceof MountFailed;
        if (!isDrivers && !(thrown instanceof SecretMissing)) throw thrown;
        const why = `${isDrivers ? 'rpc error: code = Unknown desc = ' : ''}${thrown.message}`;
        const message = `MountVolume.SetUp failed for volume "${volume.name}" : ${why}`;
        client.recordEvent(this.#pod, 'Warning', 'FailedMount', message);
        // From here on it waits for somebody to mend it.
        idle();
        await this.#sleep(timing.retryMs);
      }
    }
  }

  async #secretVolume(volume: Volume): Promise<MountedVolume> {
    const { namespace } = this.#pod.metadata;
    const read = async (name: string) => await this.#options.client.read('secrets', namespace, name);
    return { name: volume.name, files: new Map(await secretFiles(volume, read)) };
  }

  async #runToCompletion(container: ContainerState): Promise<void> {
    await this.#work(this.#options.timing.containerStartMs);
    await this.#environment(container);
    const startedAt = this.#now();
    this.#set(container, { state: { running: { startedAt } }, started: true });
    await this.#work(this.#options.timing.readyMs);
    const terminated = { exitCode: 0, reason: 'Completed', startedAt, finishedAt: this.#now() };
    this.#set(container, { state: { terminated }, ready: true, started: false });
  }

  /** A sidecar: runs from now on, next to what follows. */
  #keep(container: ContainerState): void {
    this.#runForever(container).catch((thrown) => {
      if (!(thrown instanceof Stopped)) this.#options.activity.fail(thrown);
    });
  }

  async #runForever(container: ContainerState): Promise<void> {
    for (;;) {
      await this.#pull(container);
      const outcome = await this.#start(container);
      if (outcome === 'ready') return;
      await this.#crash(container);
      if (this.#pod.spec.restartPolicy === 'Never') return;
      await this.#backOff(container);
    }
  }

  async #pull(container: ContainerState): Promise<void> {
    const { client, timing } = this.#options;
    const image = container.spec.image ?? '';
    for (let reason = 'ErrImagePull'; this.#behaviour().kind === 'image'; reason = 'ImagePullBackOff') {
      this.#set(container, { state: { waiting: { reason, message: `Back-off pulling image "${image}"` } } });
      client.recordEvent(this.#pod, 'Warning', 'Failed', `Failed to pull image "${image}": not found`);
      await this.#sleep(timing.retryMs);
    }
  }

  async #start(container: ContainerState): Promise<'ready' | 'crashed'> {
    const { client, timing, started } = this.#options;
    const behaviour = this.#behaviour();
    await this.#work(timing.containerStartMs + (behaviour.kind === 'slow' ? behaviour.milliseconds : 0));
    const running = this.#runningContainer(container, await this.#environment(container));
    container.running = running;
    this.#set(container, {
      state: { running: { startedAt: this.#now() } },
      started: true,
      containerID: `containerd://${randomBytes(32).toString('hex')}`,
    });
    client.recordEvent(this.#pod, 'Normal', 'Started', `Started container ${container.spec.name}`);
    // Whoever runs in it is expected to make up its mind: until then the cluster is not idle.
    const alive = await this.#expected(
      started(running).then(
        () => true,
        () => false,
      ),
    );
    await this.#work(timing.readyMs);
    if (!alive || this.#behaviour().kind === 'crash') return 'crashed';
    while (this.#behaviour().kind === 'unready') {
      client.recordEvent(this.#pod, 'Warning', 'Unhealthy', 'Readiness probe failed');
      await this.#sleep(timing.retryMs);
    }
    this.#set(container, { ready: true });
    return 'ready';
  }

  /** The variables of a container that is about to start; one whose Secret is missing waits for it. */
  async #environment(container: ContainerState): Promise<ReadonlyMap<string, string>> {
    const { client, timing } = this.#options;
    for (;;) {
      try {
        const { namespace } = this.#pod.metadata;
        return await resolveEnvironment(container.spec, async (name) => await client.read('secrets', namespace, name));
      } catch (thrown) {
        if (!(thrown instanceof SecretMissing)) throw thrown;
        const { message } = thrown;
        this.#set(container, { state: { waiting: { reason: 'CreateContainerConfigError', message } } });
        client.recordEvent(this.#pod, 'Warning', 'Failed', `Error: ${message}`);
        await this.#sleep(timing.retryMs);
      }
      this.#checkStopped();
    }
  }

  async #crash(container: ContainerState): Promise<void> {
    const startedAt = container.status.state.running?.startedAt ?? this.#now();
    this.#halt(container);
    const terminated = { exitCode: 1, reason: 'Error', startedAt, finishedAt: this.#now() };
    this.#set(container, { state: { terminated }, ready: false, started: false });
  }

  async #backOff(container: ContainerState): Promise<void> {
    const { client, timing } = this.#options;
    const { restartCount, state } = container.status;
    const message = `back-off restarting failed container=${container.spec.name} pod=${this.#pod.metadata.name}`;
    this.#set(container, { state: { waiting: { reason: 'CrashLoopBackOff', message } }, lastState: { ...state } });
    client.recordEvent(this.#pod, 'Warning', 'BackOff', message);
    await this.#sleep(timing.crashBackoffMs * 2 ** Math.min(restartCount, 4));
    this.#set(container, { restartCount: restartCount + 1 });
  }

  #halt(container: ContainerState): void {
    const { running } = container;
    container.running = undefined;
    if (running !== undefined) this.#options.stopped(running);
  }

  #runningContainer({ spec }: ContainerState, env: ReadonlyMap<string, string>): RunningContainer {
    const { namespace = '', name, uid, labels = {} } = this.#pod.metadata;
    const mounts = (spec.volumeMounts ?? []).filter(({ name: volume }) => this.#mounted.has(volume));
    const present = ({ name: volume, subPath, mountPath }: (typeof mounts)[number]): [string, string][] => {
      const contents = this.#mounted.get(volume)?.files ?? new Map<string, string>();
      if (subPath === undefined) return [...contents].map(([path, text]) => [posix.join(mountPath, path), text]);
      const single = contents.get(subPath);
      return single === undefined ? [] : [[mountPath, single]];
    };
    const files = new Map(mounts.flatMap(present));
    return {
      pod: { namespace, name, uid, labels, ip: this.#options.podIp, nodeName: this.#pod.spec.nodeName ?? '' },
      name: spec.name,
      env,
      files,
      readFile(path) {
        const live = new Map(mounts.filter((mount) => mount.subPath === undefined).flatMap(present));
        const text = live.get(path) ?? files.get(path);
        if (text === undefined) throw new Error(`ENOENT: no such file or directory, open '${path}'`);
        return text;
      },
    };
  }

  /** Asked of the pod as it is now: an annotation may have come or gone. */
  #behaviour(): PodBehaviour {
    this.#checkStopped();
    const { namespace, name } = this.#pod.metadata;
    return this.#options.behaviour(this.#options.client.get('pods', namespace, name) ?? this.#pod);
  }

  #set(container: ContainerState, change: Partial<ContainerStatus>): void {
    container.status = { ...container.status, ...change };
    this.#publish();
  }

  #publish(): void {
    if (this.#cancel.signal.aborted) return;
    const now = this.#now();
    const main = this.#containers.filter((one) => !one.initial).map((one) => one.status);
    const initial = this.#containers.filter((one) => one.initial).map((one) => one.status);
    const ready = this.#initialized && main.every((status) => status.ready);
    const unready = main.filter((status) => !status.ready).map((status) => status.name);
    const failed = this.#pod.spec.restartPolicy === 'Never' && main.every((one) => one.state.terminated !== undefined);
    const started = main.some((one) => one.started || one.restartCount > 0 || one.lastState.terminated !== undefined);
    this.#options.client.editStatus(this.#pod, (draft) => {
      const set = (type: string, isTrue: boolean, reason?: string, message?: string): Condition => {
        const status = isTrue ? 'True' : 'False';
        const old = condition(draft, type);
        return {
          type,
          status,
          lastTransitionTime: old?.status === status ? (old.lastTransitionTime ?? now) : now,
          ...(isTrue || reason === undefined ? {} : { reason, message: message ?? '' }),
        };
      };
      const why = `containers with unready status: [${unready.join(' ')}]`;
      const wanted = [
        set('Initialized', this.#initialized, 'ContainersNotInitialized', 'containers with incomplete status'),
        set('Ready', ready, 'ContainersNotReady', why),
        set('ContainersReady', ready, 'ContainersNotReady', why),
      ];
      const kept = (draft.status.conditions ?? []).filter((one) => !wanted.some(({ type }) => type === one.type));
      draft.status = {
        ...draft.status,
        phase: failed ? 'Failed' : started ? 'Running' : 'Pending',
        conditions: [...wanted, ...kept],
        hostIP: this.#options.hostIp,
        hostIPs: [{ ip: this.#options.hostIp }],
        podIP: this.#options.podIp,
        podIPs: [{ ip: this.#options.podIp }],
        startTime: draft.status.startTime ?? now,
        containerStatuses: structuredClone(main),
        ...(initial.length > 0 ? { initContainerStatuses: structuredClone(initial) } : {}),
      };
    });
  }

  #now(): string {
    return timestamp(this.#options.client.clock.now());
  }

  #checkStopped(): void {
    if (this.#cancel.signal.aborted) throw new Stopped();
  }

  /** Waits for something that will happen: the cluster isn't idle meanwhile. */
  async #work(milliseconds: number): Promise<void> {
    await this.#expected(this.#sleep(milliseconds));
  }

  async #expected<T>(work: Promise<T>): Promise<T> {
    const done = this.#options.activity.begin();
    return await this.#during(work).finally(done);
  }

  /** Waits, for as long as the pod is wanted. @throws Stopped */
  async #sleep(milliseconds: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await this.#during(
      new Promise<void>((resolve) => {
        timer = setTimeout(resolve, milliseconds);
      }),
    ).finally(() => clearTimeout(timer));
  }

  /** Something that may take long, unless the pod is stopped before. @throws Stopped */
  async #during<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#cancel;
    let abort = () => {};
    const stopped = new Promise<never>((_resolve, reject) => {
      abort = () => reject(new Stopped());
      signal.addEventListener('abort', abort, { once: true });
      if (signal.aborted) abort();
    });
    // Both are waited for, or the failure of the other would be nobody's.
    return await Promise.race([stopped, work]).finally(() => signal.removeEventListener('abort', abort));
  }
}

function waitingContainer(spec: Container, initial: boolean, reason: string): ContainerState {
  const image = spec.image ?? '';
  const digest = createHash('sha256').update(image).digest('hex');
  return {
    spec,
    initial,
    running: undefined,
    status: {
      name: spec.name,
      image,
      imageID: `${image.split(':')[0]}@sha256:${digest}`,
      ready: false,
      started: false,
      restartCount: 0,
      state: { waiting: { reason } },
      lastState: {},
    },
  };
}
