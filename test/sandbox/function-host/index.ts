import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** A rotation function in a process of its own, whatever language it is in. */
export interface FunctionHost {
  /** From the start of the process until the function could take its first event. */
  readonly initMs: number;
  /** Resident memory in MB, now and at its highest; undefined where the system does not say (it takes Linux). */
  memoryMb(): { readonly now: number; readonly peak: number } | undefined;
  /** One at a time. @returns how long the function itself ran @throws Error with the function's own message */
  invoke(event: object): Promise<number>;
  end(): Promise<void>;
}

export interface HostedFunction {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** All that the process sees of the environment, beside PATH. */
  readonly environment: Readonly<Record<string, string>>;
}

const NODE_HOST = fileURLToPath(new URL('./node.mjs', import.meta.url));
const PYTHON_HOST = fileURLToPath(new URL('./python.py', import.meta.url));

/** @param file an ES module that exports `handler` */
export function nodeFunction(file: string, environment: HostedFunction['environment']): HostedFunction {
  return { command: [process.execPath, NODE_HOST, file], environment };
}

/**
 * @param folder of one of AWS's functions: it holds lambda_function.py
 * @param python that has boto3 and the drivers
 * @param caFile PEM: the authorities that may vouch for a database
 */
export function awsFunction(
  folder: string,
  python: string,
  caFile: string,
  environment: HostedFunction['environment'],
): HostedFunction {
  return { command: [python, PYTHON_HOST, folder], environment: { ...environment, DATABASE_CA_FILE: caFile } };
}

type Answer = { readonly ready: true } | { readonly ok: boolean; readonly ms: number; readonly error?: string };

/** @throws Error with the end of what the process said, when it does not come up */
export async function startFunctionHost({ command, environment }: HostedFunction): Promise<FunctionHost> {
  const [program = '', ...args] = command;
  const startedAt = performance.now();
  const child = spawn(program, args, {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'],
  });
  const [stdin, , stderr, answers] = child.stdio as unknown as [Writable, null, Readable, Readable];
  let complaint = '';
  stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2_000);
  });
  stdin.on('error', () => {}); // the process is gone: told to whoever waits for its answer
  let waiting = Promise.withResolvers<Answer>();
  createInterface({ input: answers }).on('line', (line) => waiting.resolve(JSON.parse(line)));
  const ended = () => waiting.reject(new Error(`${command.join(' ')} ended:\n${complaint}`));
  child.once('error', ended);
  child.once('close', ended);

  await waiting.promise;
  const initMs = performance.now() - startedAt;
  return {
    initMs,
    memoryMb() {
      try {
        const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
        const megabytes = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1_024;
        return { now: megabytes('VmRSS'), peak: megabytes('VmHWM') };
      } catch {
        return undefined;
      }
    },
    async invoke(event) {
      waiting = Promise.withResolvers();
      stdin.write(`${JSON.stringify(event)}\n`);
      const answer = await waiting.promise;
      if ('ready' in answer) throw new Error(`${command.join(' ')} started twice`);
      if (!answer.ok) throw new Error(answer.error);
      return answer.ms;
    },
    async end() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      waiting.promise.catch(() => {}); // nobody waits for this end but us
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}
