import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { type Invocation, type Report, startRuntimeApi } from './runtime-api.ts';

const BOOTSTRAP = fileURLToPath(new URL('./bootstrap.mjs', import.meta.url));
/** Lambda Developer Guide, "Init phase": limited to 10 seconds, then tried once more within the function's time-out. */
const INIT_LIMIT_MS = 10_000;
const MEMORY_SAMPLE_MS = 20;

/** How an invocation ended: with the runtime's report, or without one. */
export type Outcome =
  | Report
  | { readonly kind: 'timed-out' }
  | { readonly kind: 'exited'; readonly how: string }
  | { readonly kind: 'out-of-memory' };

/** One execution environment: a process of its own that handles one invocation at a time. */
export interface Environment {
  /** False once the process has ended or must not be used again. */
  readonly usable: boolean;
  /** The highest memory use so far, in MB; 0 where the system does not say. */
  readonly maxMemoryMb: number;
  /** From the start of the process until it asked for its first event; 0 before. */
  readonly initMs: number;
  /** Starts counting the time-out when the runtime is ready, as Lambda does. All output has been logged at the end. */
  run(invocation: Invocation, log: (line: string) => void): Promise<Outcome>;
  kill(): void;
  /** Ends the process and waits for that. */
  end(): Promise<void>;
}

/**
 * Starts a process that sees nothing of this one's environment variables but PATH.
 * Memory is limited twice: V8's heap, and the resident set, which only Linux tells. A freeze between invocations is
 * not simulated: work that a handler leaves behind goes on.
 * @param logIdle gets the lines that are written while no invocation is under way
 */
export async function startEnvironment(options: {
  readonly folder: string;
  readonly memoryMb: number;
  readonly timeoutMs: number;
  readonly variables: Readonly<Record<string, string>>;
  readonly logIdle: (line: string) => void;
}): Promise<Environment> {
  const { memoryMb, timeoutMs } = options;
  const api = await startRuntimeApi();
  const spawnedAt = performance.now();
  const child = spawn(process.execPath, [`--max-old-space-size=${Math.floor(memoryMb * 0.9)}`, BOOTSTRAP], {
    cwd: options.folder,
    env: { PATH: process.env['PATH'], ...options.variables, AWS_LAMBDA_RUNTIME_API: api.address },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exited = new Promise<string>((resolve) => {
    child.once('error', () => resolve('could not be started'));
    // `close` comes after the last line of output.
    child.once('close', (code, signal) => resolve(describeExit(code, signal)));
  });
  let usable = true;
  let maxMemoryMb = 0;
  let initMs = 0;
  let outOfMemory = false;
  let log = options.logIdle;
  const ended = exited.then(async (how) => {
    usable = false;
    await api.close();
    return how;
  });

  const marks = [child.stdout, child.stderr].map((stream) => splitOutput(stream, (line) => log(line)));

  const sampler = setInterval(() => {
    const memory = residentMb(child);
    maxMemoryMb = Math.max(maxMemoryMb, memory);
    if (memory > memoryMb) {
      outOfMemory = true;
      child.kill('SIGKILL');
    }
  }, MEMORY_SAMPLE_MS);
  sampler.unref();
  void ended.finally(() => clearInterval(sampler));

  async function exit(): Promise<Outcome> {
    const how = await ended;
    return outOfMemory ? { kind: 'out-of-memory' } : { kind: 'exited', how };
  }

  async function attempt(invocation: Invocation): Promise<Outcome> {
    const started = await Promise.race([api.started, exit(), after(INIT_LIMIT_MS + timeoutMs)]);
    initMs ||= performance.now() - spawnedAt;
    if (started !== 'ready') return started;
    const report = api.run(invocation, Date.now() + timeoutMs);
    return Promise.race([report, exit(), after(timeoutMs)]);
  }

  return {
    get usable() {
      return usable;
    },
    get maxMemoryMb() {
      return maxMemoryMb;
    },
    get initMs() {
      return initMs;
    },
    async run(invocation, logLine) {
      log = logLine;
      const outcome = await attempt(invocation);
      if (outcome.kind === 'response' || outcome.kind === 'error') {
        await Promise.race([Promise.all(marks.map((mark) => mark(invocation.requestId))), ended]);
      } else {
        usable = false;
        child.kill('SIGKILL');
        await ended;
      }
      log = options.logIdle;
      return outcome;
    },
    kill() {
      usable = false;
      child.kill('SIGKILL');
    },
    async end() {
      usable = false;
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Hands on whole lines, and tells when the bootstrap's mark for the end of an invocation has been read. */
function splitOutput(stream: Readable, line: (text: string) => void): (requestId: string) => Promise<void> {
  const marks = new Map<string, PromiseWithResolvers<void>>();
  const mark = (requestId: string) => {
    const existing = marks.get(requestId) ?? Promise.withResolvers<void>();
    marks.set(requestId, existing);
    return existing;
  };
  createInterface({ input: stream, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (text) => {
    const [before = '', requestId] = text.split('\x1e');
    if (before !== '' || requestId === undefined) line(before);
    if (requestId !== undefined) mark(requestId).resolve();
  });
  return (requestId) => mark(requestId).promise.finally(() => marks.delete(requestId));
}

function after(milliseconds: number): Promise<Outcome> {
  return new Promise((resolve) => {
    setTimeout(() => resolve({ kind: 'timed-out' }), milliseconds).unref();
  });
}

function residentMb(child: ChildProcess): number {
  try {
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024;
  } catch {
    return 0;
  }
}

const SIGNAL_WORDS: Partial<Record<NodeJS.Signals, string>> = {
  SIGKILL: 'killed',
  SIGABRT: 'aborted',
  SIGTERM: 'terminated',
  SIGSEGV: 'segmentation fault',
};

function describeExit(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal) return `signal: ${SIGNAL_WORDS[signal] ?? signal}`;
  return `exit status ${code}`;
}
