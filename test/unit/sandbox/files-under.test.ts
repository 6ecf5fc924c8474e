import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { filesUnder } from '../../sandbox/files-under.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rekey-'));
  await mkdir(join(folder, 'inner'));
  for (const path of ['first', 'second', 'inner/third']) await writeFile(join(folder, path), `of ${path}`);
});
afterEach(() => rm(folder, { recursive: true }));

test('reads every file, those of inner folders too', async () => {
  const seen: string[] = [];
  for await (const [name, content] of filesUnder(folder)) seen.push(`${name}: ${content}`);

  expect(seen.sort()).toEqual(['first: of first', 'second: of second', 'third: of inner/third']);
});

test('leaves out what is gone before it is read', async () => {
  const seen: string[] = [];
  for await (const [name] of filesUnder(folder)) {
    seen.push(name);
    for (const path of ['first', 'second', 'inner']) await rm(join(folder, path), { recursive: true, force: true });
  }

  expect(seen).toHaveLength(1);
});

test('throws for what is there and cannot be read', async () => {
  await expect(filesUnder(join(folder, 'first')).next()).rejects.toThrow('ENOTDIR');
});
