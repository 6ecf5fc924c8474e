import { spawn } from 'node:child_process';
import { chmod, chown, cp, mkdtemp, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { UnixAccount } from './server-process.ts';
import { folderInRoot, rootIsInstalled } from './server-root.ts';

/** 15 is Debian's and comes by `npm run servers`, the others are npm packages. */
export const POSTGRES_VERSIONS = [15, 16, 17, 18] as const;
export type PostgresVersion = (typeof POSTGRES_VERSIONS)[number];

/** PostgreSQL refuses to run as root, and a container's user is often just that. */
const NOBODY = 65534;
const ACCOUNT: UnixAccount = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};

/** A new folder that belongs to the account which PostgreSQL's programs run as, and how they are run. */
export interface PostgresFolder {
  /** As we see it, and as the programs see it. */
  readonly path: string;
  readonly inside: string;
  readonly owner: UnixAccount;
  /** Whom to start a command as; one that enters a root changes its account itself. */
  readonly startAs: UnixAccount;
  command(program: 'initdb' | 'postgres', args: readonly string[]): readonly string[];
}

/** Whether the binaries for this version were installed on this platform. */
export function postgresIsInstalled(version: PostgresVersion): boolean {
  return version === 15 ? rootIsInstalled('bookworm') : packageFolder(version) !== undefined;
}

export async function newPostgresFolder(version: PostgresVersion): Promise<PostgresFolder> {
  const folder = version === 15 ? await inRoot() : await fromPackage(version);
  const { uid, gid } = folder.owner;
  if (uid !== undefined && gid !== undefined) await chown(folder.path, uid, gid);
  return folder;
}

async function inRoot(): Promise<PostgresFolder> {
  const folder = await folderInRoot('bookworm', 'rekey-postgres-');
  return {
    path: folder.path,
    inside: folder.inside,
    owner: ACCOUNT,
    startAs: {},
    command: (program, args) => folder.enter([`/usr/lib/postgresql/15/bin/${program}`, ...args], ACCOUNT),
  };
}

async function fromPackage(version: PostgresVersion): Promise<PostgresFolder> {
  const binaries = await binariesOf(version);
  const path = await mkdtemp(join(tmpdir(), 'rekey-postgres-'));
  return {
    path,
    inside: path,
    owner: ACCOUNT,
    startAs: ACCOUNT,
    command: (program, args) => [join(binaries, 'bin', program), ...args],
  };
}

function packageFolder(version: PostgresVersion): string | undefined {
  try {
    const name = `postgres-${version}-${process.platform}-${process.arch}`;
    return dirname(dirname(new URL(import.meta.resolve(name)).pathname));
  } catch {
    return undefined;
  }
}

/** One copy per process of binaries that lie where `nobody` may not go, e.g. in a checkout below /root. */
const copies = new Map<PostgresVersion, Promise<string>>();

async function binariesOf(version: PostgresVersion): Promise<string> {
  const folder = packageFolder(version);
  if (folder === undefined)
    throw new Error(`PostgreSQL ${version} is not installed for this platform: run npm install`);
  const native = join(folder, 'native');
  if (ACCOUNT.uid === undefined || (await everyoneMayEnter(native))) return native;
  const known = copies.get(version);
  if (known !== undefined) return known;
  const copy = (async () => {
    const target = await mkdtemp(join(tmpdir(), 'rekey-postgres-binaries-'));
    process.once('exit', () => spawn('rm', ['-rf', target], { detached: true, stdio: 'ignore' }).unref());
    await cp(native, target, { recursive: true, verbatimSymlinks: true });
    await chmod(target, 0o755);
    return target;
  })();
  copies.set(version, copy);
  return copy;
}

async function everyoneMayEnter(folder: string): Promise<boolean> {
  const mayEnter = ((await stat(folder)).mode & 0o001) !== 0;
  return mayEnter && (folder === dirname(folder) || everyoneMayEnter(dirname(folder)));
}
