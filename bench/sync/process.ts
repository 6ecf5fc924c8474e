import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

/** Where a contender finds the API server, and what it looks for. Sent to it as an environment. */
export interface Target {
  readonly endpoint: string;
  readonly caPem: string;
  readonly token: string;
}

/** What one piece of work came to, as the process itself saw it. */
export interface Work {
  readonly ms: number;
  readonly requests: number;
  /** Method → how many requests. */
  readonly methods: Readonly<Record<string, number>>;
  /** Milliseconds until the first patch was sent and the last one answered; undefined when nothing was patched. */
  readonly firstPatchMs?: number;
  readonly lastPatchMs?: number;
  readonly patches?: number;
}

/** A contender in a process of its own, with the memory that Lambda gives the function. */
export interface Contender {
  work(order: string): Promise<Work>;
  /** Resident, in MB, at its highest; undefined where the system does not say (it takes Linux). */
  peakMb(): number | undefined;
  end(): Promise<void>;
}

/** @param file a bundle that calls {@link serve} */
export async function startContender(file: string, target: Target, memoryMb: number): Promise<Contender> {
  const child = fork(file, [], {
    // Lambda leaves the heap nine tenths of what the function has.
    execArgv: [`--max-old-space-size=${Math.floor(memoryMb * 0.9)}`],
    env: { PATH: process.env['PATH'], TARGET: JSON.stringify(target), AWS_REGION: 'eu-west-1' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const answer = async () => {
    const [message] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(([code]) => {
        throw new Error(`${file} ended with ${code}`);
      }),
    ]);
    if ('error' in message) throw new Error(message.error);
    return message;
  };
  await answer();
  return {
    async work(order) {
      child.send(order);
      return await answer();
    },
    peakMb() {
      try {
        return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1_024;
      } catch {
        return undefined;
      }
    },
    async end() {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    },
  };
}

/** In the contender's process: one order after the other. */
export function serve(work: (order: string, target: Target) => Promise<Work>): void {
  const target: Target = JSON.parse(process.env['TARGET'] ?? '{}');
  process.on('message', (order: string) => {
    work(order, target).then(
      (done) => process.send?.(done),
      (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.send?.({ ready: true });
}
