import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { builtinModules } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Bundle, bundle } from '../../infra/bundling.ts';
import { FUNCTIONS } from '../../infra/wiring.ts';

/** Bytes of the minified bundle; a start is dominated by what has to be parsed. */
const BUDGETS: Readonly<Record<string, number>> = {
  'rotation-postgres': 600_000,
  sync: 2_600_000,
  sweep: 2_600_000,
  retire: 700_000,
};

const built = new Map<string, Bundle>();
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'rekey-bundles-'));
  for (const spec of FUNCTIONS) built.set(spec.name, await bundle(spec, join(folder, spec.name)));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const inputsOf = (name: string) => built.get(name)?.inputs ?? [];

describe.each(FUNCTIONS)('the bundle of $name', (spec) => {
  test('keeps within its budget', () => {
    expect(built.get(spec.name)?.bytes).toBeLessThanOrEqual(BUDGETS[spec.name] ?? 0);
  });

  test('has the same bytes when it is built again, elsewhere', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'rekey-bundles-'));
    try {
      await bundle(spec, join(elsewhere, 'again'));

      expect(contents(join(elsewhere, 'again'))).toEqual(contents(join(folder, spec.name)));
    } finally {
      rmSync(elsewhere, { recursive: true, force: true });
    }
  });

  test('exports the handler, and loads without anything installed beside it', async () => {
    const loaded = await import(join(folder, spec.name, 'index.mjs'));

    expect(typeof loaded.handler).toBe('function');
  });

  test('imports nothing but Node’s own modules', () => {
    const text = readFileSync(join(folder, spec.name, 'index.mjs'), 'utf8');
    const imported = [...text.matchAll(/(?:^|[;}])(?:import|export)\b[^'"();]*?from\s*["']([^"']+)["']/g)].map(
      ([, specifier]) => specifier?.replace(/^node:/, ''),
    );

    expect(imported.length).toBeGreaterThan(0);
    expect(imported.filter((each) => each !== undefined && !builtinModules.includes(each))).toEqual([]);
  });

  test('carries no test code', () => {
    expect(inputsOf(spec.name).filter((path) => path.startsWith('test/'))).toEqual([]);
  });
});

describe('a function that talks to no cluster', () => {
  test.each(['rotation-postgres', 'retire'])('%s carries no Kubernetes client', (name) => {
    expect(inputsOf(name).filter((path) => /@kubernetes|client-eks/.test(path))).toEqual([]);
  });
});

describe('a function that talks to no database', () => {
  test.each(['sync', 'sweep'])('%s carries no driver', (name) => {
    expect(inputsOf(name).filter((path) => /node_modules\/pg\//.test(path))).toEqual([]);
  });
});

/** File name → SHA-256. */
const contents = (path: string) =>
  Object.fromEntries(
    readdirSync(path).map((file) => [
      file,
      createHash('sha256')
        .update(readFileSync(join(path, file)))
        .digest('hex'),
    ]),
  );
