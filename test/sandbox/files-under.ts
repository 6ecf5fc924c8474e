import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * The name and the content of every file under a folder.
 * A server makes, renames and removes files of its own all the time: one that is gone before it is read is left out.
 */
export async function* filesUnder(folder: string): AsyncGenerator<readonly [name: string, content: Buffer]> {
  for (const entry of (await unlessGone(readdir(folder, { withFileTypes: true }))) ?? []) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) yield* filesUnder(path);
    const content = entry.isFile() ? await unlessGone(readFile(path)) : undefined;
    if (content) yield [entry.name, content];
  }
}

async function unlessGone<T>(reading: Promise<T>): Promise<T | undefined> {
  return reading.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
}
