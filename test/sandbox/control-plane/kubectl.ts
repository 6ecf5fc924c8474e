import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program } from './programs.ts';

/** The kubectl that is built with the control plane, for one cluster. */
export interface Kubectl {
  /** Its own: for what is applied, too. */
  readonly folder: string;
  /** @returns what it printed @throws Error with what it printed as an error, when it does not exit with 0 */
  run(...args: readonly string[]): Promise<string>;
  /** The folder goes. */
  close(): Promise<void>;
}

export async function openKubectl(kubeconfig: string): Promise<Kubectl> {
  const folder = await mkdtemp(join(tmpdir(), 'rekey-kubectl-'));
  const file = join(folder, 'kubeconfig');
  await writeFile(file, kubeconfig, { mode: 0o600 });
  return {
    folder,
    async run(...args) {
      const command = ['--kubeconfig', file, ...args];
      const { stdout } = await promisify(execFile)(program('kubectl'), command, { env: { HOME: folder } });
      return stdout.trim();
    },
    close: () => rm(folder, { recursive: true, force: true }),
  };
}
