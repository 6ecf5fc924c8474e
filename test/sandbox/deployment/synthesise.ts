import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../../../infra/config.ts';

export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const PROGRAM = fileURLToPath(new URL('./synth.ts', import.meta.url));
const CACHE = join(ROOT, '.cache', 'synthesised');
/** Beyond that, the oldest go. */
const KEPT = 40;
/** All that a template depends on, beside the configuration and the bundles, of which it has only the keys. */
const SOURCES = ['cdk.json', 'infra/**/*.ts', 'shared/**/*.ts', 'test/sandbox/deployment/*.ts', 'package-lock.json'];

/** What `cdk synth` writes. */
export interface Synthesised {
  /** CloudFormation templates, in the order of their deployment. */
  readonly stacks: readonly { readonly name: string; readonly account: string; readonly template: unknown }[];
  /** Object key in the bucket of assets → the folder that it holds, from the project's root. */
  readonly folders: Readonly<Record<string, string>>;
}

/**
 * The templates of an environment, made once for each state of the infrastructure and its configuration.
 * @throws Error with what the synthesis says is wrong
 */
export async function synthesise(configuration: Environment): Promise<Synthesised> {
  const file = join(CACHE, `${keyOf(configuration)}.json`);
  if (!existsSync(file)) {
    mkdirSync(CACHE, { recursive: true });
    // Another process may be doing the same: whoever is last leaves the same file.
    const own = `${file}.${process.pid}`;
    writeFileSync(own, JSON.stringify(await run(configuration)));
    renameSync(own, file);
    forgetOldest();
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Synthesised;
}

async function run(configuration: Environment): Promise<unknown> {
  const child = spawn(process.execPath, [PROGRAM], { cwd: ROOT, stdio: ['pipe', 'pipe', 'pipe'] });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString();
  });
  child.stdin.end(JSON.stringify(configuration));
  const answer = json(child.stdout).catch(() => undefined);
  if ((await ended) !== 0) throw new Error(`the infrastructure was not synthesised:\n${complaint}`);
  return await answer;
}

function keyOf(configuration: Environment): string {
  const hash = createHash('sha256').update(JSON.stringify(configuration));
  for (const path of globSync(SOURCES, { cwd: ROOT }).sort()) hash.update(path).update(readFileSync(join(ROOT, path)));
  return hash.digest('hex').slice(0, 32);
}

function forgetOldest(): void {
  const files = readdirSync(CACHE).map((name) => join(CACHE, name));
  const byAge = files.toSorted((left, right) => ageOf(left) - ageOf(right));
  for (const file of byAge.slice(KEPT)) rmSync(file, { force: true });
}

function ageOf(file: string): number {
  return Date.now() - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0);
}
