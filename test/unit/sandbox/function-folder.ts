import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from '@jest/globals';

/**
 * A folder with a function's bundle, removed after the tests of the file.
 * @param body what `async (event, context) => { … }` does
 * @param head module code before the handler
 */
export function functionFolder(body: string, head = ''): string {
  return moduleFolder(`${head}\nexport const handler = async (event, context) => {\n${body}\n};\n`);
}

/** The same with the whole module given. */
export function moduleFolder(source: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'rekey-function-'));
  folders.push(folder);
  writeFileSync(join(folder, 'index.mjs'), source);
  return folder;
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});
