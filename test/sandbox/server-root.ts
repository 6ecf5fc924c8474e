import { existsSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { UnixAccount } from './server-process.ts';

/** The Debian systems below .cache/servers that `npm run servers` makes; scripts/servers/install.sh says what is in each. */
export type ServerRoot = 'bookworm' | 'sid' | 'sid-mariadb';

const ROOTS = fileURLToPath(new URL('../../.cache/servers/', import.meta.url));

/** All that a server knows of our environment: a locale of this machine, say, is not there. */
const PATH = 'PATH=/usr/sbin:/usr/bin';

/** Where the script leaves an empty, initialised data directory of the SQL server in a root. */
export const DATA_TEMPLATE = 'srv/template';

/** Whether servers in this root can be started: it was made, and by chroot only root can enter it. */
export function rootIsInstalled(root: ServerRoot): boolean {
  return existsSync(join(ROOTS, root, '.complete')) && process.getuid?.() === 0;
}

export interface FolderInRoot {
  /** As we see it. */
  readonly path: string;
  /** As a server in the root sees it. */
  readonly inside: string;
  /** The same command, run in the root; by an account that it need not know by name, if not by root. */
  enter(command: readonly string[], account?: UnixAccount): readonly string[];
  /** A file of the root, as we see it. */
  outside(path: string): string;
}

/** A new folder for one server. */
export async function folderInRoot(root: ServerRoot, prefix: string): Promise<FolderInRoot> {
  const base = join(ROOTS, root);
  const path = await mkdtemp(join(base, 'srv', prefix));
  return {
    path,
    inside: path.slice(base.length),
    enter: (command, { uid, gid } = {}) => {
      const account = uid === undefined ? [] : [`--userspec=${uid}:${gid}`];
      return ['chroot', ...account, base, 'env', '-i', PATH, ...command];
    },
    outside: (file) => join(base, file),
  };
}
