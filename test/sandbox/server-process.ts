import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { chown, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';

export interface Account {
  readonly username: string;
  readonly password: string;
}

/** Whom a server runs as, when not as ourselves. */
export interface UnixAccount {
  readonly uid?: number;
  readonly gid?: number;
}

export interface ServerProcessOptions {
  /** For messages, e.g. `MySQL 9.7`. */
  readonly name: string;
  /** Holds everything that the server writes, and goes when it ends. */
  readonly folder: string;
  readonly command: (port: number) => readonly string[];
  readonly account?: UnixAccount;
  /** What the server logs once it takes connections, and when it will never do so. */
  readonly ready: RegExp;
  readonly gaveUp: RegExp;
  /** Ends it; KILL is the quickest for a server of a single process, whose files are removed anyhow. */
  readonly signal: 'INT' | 'KILL';
  /** Names of files in the folder that count as its log, beside what it prints. */
  readonly logFiles?: readonly string[];
}

/** A server on 127.0.0.1 that ends, and whose folder goes, with `stop()` or with the process that started it. */
export interface ServerProcess {
  readonly port: number;
  readonly pid: number;
  /** All that the server logged so far. */
  log(): string;
  /** After a test ended the process: the same files, the same port, and another pid. */
  startAgain(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A shell stands between us and the server: `read` returns when our end of its pipe closes, on purpose or because
 * this process died, and then it ends the server and removes the files, unless it was told to keep them. Before that it
 * can be told to start the server again.
 */
const SUPERVISE = `
folder=$1 signal=$2
shift 2
run() {
  "$@" >>"$folder/log" 2>&1 </dev/null &
  server=$!
  echo $server >"$folder/pid"
}
run "$@"
while read -r order && [ "$order" = again ]; do
  wait $server # whoever ends it
  run "$@"
done
kill -"$signal" $server
kill -CONT $server # a test may have stopped it
wait $server
[ "$order" = keep ] || { cd / && rm -rf "$folder"; }
`;

/**
 * The folder is removed when this fails.
 * @throws Error with the end of the server's log when it does not come up
 */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { name, folder, account = {}, ready, gaveUp, signal, logFiles = [] } = options;
  const read = (file: string) => (existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8') : '');
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const supervisor = spawn('/bin/sh', ['-c', SUPERVISE, 'rekey-server', folder, signal, ...options.command(port)], {
      ...account,
      cwd: folder,
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const outcome = await outcomeOf(() => read('log'), ready, gaveUp);
    if (ready.test(outcome)) {
      let lastLog = '';
      const log = () => lastLog || ['log', ...logFiles].map(read).join('');
      return {
        port,
        pid: Number(read('pid')),
        log,
        async startAgain() {
          const before = read('log').length;
          supervisor.stdin?.write('again\n');
          // That it gave up is what it may say of its end before.
          const again = await outcomeOf(() => read('log').slice(before), ready, /(?!)/);
          if (!ready.test(again)) throw new Error(`${name} did not start again:\n${again.slice(-2000)}`);
        },
        async stop() {
          lastLog ||= log();
          await end(supervisor);
        },
      };
    }
    // Another process may have taken the port since it was found free.
    const again = /Address already in use/i.test(outcome) && attempt < 3;
    if (again) supervisor.stdin?.write('keep\n');
    await end(supervisor);
    if (!again) throw new Error(`${name} did not start:\n${outcome.slice(-2000)}`);
    await rm(join(folder, 'log'));
  }
}

async function end(supervisor: ChildProcess): Promise<void> {
  if (supervisor.exitCode !== null || supervisor.signalCode !== null) return;
  supervisor.stdin?.end();
  await once(supervisor, 'exit');
}

/** The server's log once it says that it is ready or that it gave up. */
async function outcomeOf(log: () => string, ready: RegExp, gaveUp: RegExp): Promise<string> {
  const giveUpAt = Date.now() + 60_000;
  for (;;) {
    const text = log();
    if (ready.test(text) || gaveUp.test(text) || Date.now() > giveUpAt) return text;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port');
  return address.port;
}

/** Writes a file that only the server's account may read, and says where it is. */
export async function giveAway(folder: string, name: string, content: string, account: UnixAccount = {}) {
  const path = join(folder, name);
  await writeFile(path, content, { mode: 0o600 });
  if (account.uid !== undefined && account.gid !== undefined) await chown(path, account.uid, account.gid);
  return path;
}

/** The folder goes when what is done with it fails. */
export async function removedOnFailure<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}
