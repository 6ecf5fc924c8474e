import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { type Violation, violations } from '../../../scripts/check-layers.ts';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'rekey-layers-'));
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

function check(files: Record<string, string>): readonly Violation[] {
  for (const [path, source] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), source);
  }
  return violations(root);
}

/** The adapter and the port that most cases need; both keep the rules. */
const ENGINE = {
  'shared/engines/port.ts': 'export interface Engine { name: string }',
  'shared/engines/postgres.ts':
    "import pg from 'pg';\nimport type { Engine } from './port.ts';\nexport const client = pg.Client;",
};

describe('the layers of this project', () => {
  test('are kept', () => {
    expect(violations(resolve('.'))).toEqual([]);
  });
});

describe('the layering check', () => {
  test('finds nothing where functions build adapters and the core knows ports', () => {
    const found = check({
      ...ENGINE,
      'shared/rotation/steps.ts':
        "import type { Engine } from '../engines/port.ts';\nimport { z } from 'zod';\nimport { createHash } from 'node:crypto';",
      'functions/rotation/postgres.ts':
        "import { client } from '../../shared/engines/postgres.ts';\nimport { read } from '../environment.ts';\nimport type { SQSEvent } from 'aws-lambda';",
      'functions/environment.ts': 'export const read = 1;',
      'infra/wiring.ts':
        "import type { Engine } from '../shared/engines/port.ts';\nimport { Stack } from 'aws-cdk-lib';",
    });

    expect(found).toEqual([]);
  });

  test.each(['functions/sync/handler.ts', 'infra/app.ts', 'test/sandbox/aws.ts'])(
    'keeps shared from importing %s',
    (above) => {
      const found = check({ [above]: 'export const x = 1;', 'shared/a.ts': `\nimport { x } from '../${above}';` });

      expect(found).toEqual([
        { file: 'shared/a.ts', line: 2, rule: `shared knows nothing above it, so it may not import ${above}` },
      ]);
    },
  );

  test.each(['rotation', 'consumers'])('keeps %s from importing an adapter', (core) => {
    const found = check({ ...ENGINE, [`shared/${core}/plan.ts`]: "import { client } from '../engines/postgres.ts';" });

    expect(found).toEqual([
      {
        file: `shared/${core}/plan.ts`,
        line: 1,
        rule: 'rotation and consumers know the ports, never an adapter: ../engines/postgres.ts leads to shared/engines/postgres.ts → pg',
      },
    ]);
  });

  test('follows files that lie between the core and an adapter', () => {
    const found = check({
      ...ENGINE,
      'shared/engines/all.ts': "export { client } from './postgres.ts';",
      'shared/rotation/plan.ts': "import * as engines from '../engines/all.ts';",
    });

    expect(found.map(({ rule }) => rule)).toEqual([
      expect.stringContaining('shared/engines/all.ts → shared/engines/postgres.ts → pg'),
    ]);
  });

  test('names the file of the core that begins the way, not those that import it', () => {
    const found = check({
      ...ENGINE,
      'shared/rotation/steps.ts': "import { client } from '../engines/postgres.ts';",
      'shared/rotation/retire.ts': "import './steps.ts';",
    });

    expect(found.map(({ file }) => file)).toEqual(['shared/rotation/steps.ts']);
  });

  test('does not loop where files import each other', () => {
    const found = check({
      'shared/rotation/a.ts': "import './b.ts';",
      'shared/rotation/b.ts': "import './a.ts';",
    });

    expect(found).toEqual([]);
  });

  test('lets one file import a vendor, not two', () => {
    const found = check({
      'shared/secrets/a.ts': "import { X } from '@aws-sdk/client-sqs';",
      'shared/secrets/b.ts': "import { Y } from '@aws-sdk/client-sqs/deep/path';",
      'shared/secrets/c.ts': "import { Z } from '@aws-sdk/client-eks';",
    });

    expect(found).toEqual([
      {
        file: 'shared/secrets/b.ts',
        line: 1,
        rule: '@aws-sdk/client-sqs is imported in shared/secrets/a.ts already: one vendor, one file',
      },
    ]);
  });

  test('keeps vendors out of functions', () => {
    const found = check({ 'functions/sync/handler.ts': "import { EKSClient } from '@aws-sdk/client-eks';" });

    expect(found.map(({ rule }) => rule)).toEqual([
      'functions call shared; the vendor package @aws-sdk/client-eks belongs in an adapter under shared/',
    ]);
  });

  test('keeps functions out of each other', () => {
    const found = check({
      'functions/sync/handler.ts': 'export const x = 1;',
      'functions/sweep/handler.ts': "import { x } from '../sync/handler.ts';",
      'functions/event.ts': "import { x } from './sync/handler.ts';",
    });

    expect(found.map(({ file }) => file)).toEqual(['functions/event.ts', 'functions/sweep/handler.ts']);
    expect(found[0]?.rule).toContain('functions/sync/handler.ts belongs to another function');
  });

  test('keeps functions from importing infra or test', () => {
    const found = check({
      'infra/wiring.ts': 'export const x = 1;',
      'functions/sync/handler.ts': "import { x } from '../../infra/wiring.ts';",
    });

    expect(found.map(({ rule }) => rule)).toEqual(['functions import functions and shared only, not infra/wiring.ts']);
  });

  test('keeps infra from importing functions or test', () => {
    const found = check({ 'infra/app.ts': "import { handler } from '../functions/sync/handler.ts';" });

    expect(found.map(({ rule }) => rule)).toEqual([
      'infra names the functions by path and imports infra and shared only, not functions/sync/handler.ts',
    ]);
  });

  test('lets infra take types and names from shared, nothing that runs', () => {
    const found = check({
      'shared/names.ts': "import type { Engine } from './engines/port.ts';\nexport const NAME = 'x';",
      'shared/service.ts': "import { NAME } from './names.ts';\nexport const run = () => NAME;",
      'infra/a.ts': "import { NAME } from '../shared/names.ts';\nimport type { run } from '../shared/service.ts';",
      'infra/b.ts': "import { run } from '../shared/service.ts';",
    });

    expect(found).toEqual([
      {
        file: 'infra/b.ts',
        line: 1,
        rule: 'infra takes names and types from shared, never what runs: shared/service.ts imports other files',
      },
    ]);
  });

  test.each([
    ['import type', "import type { Client } from 'pg';"],
    ['a type in braces', "import { type Client } from 'pg';"],
    ['export from', "export { Client } from 'pg';"],
    ['export all', "export * from 'pg';"],
    ['import for effect', "import 'pg';"],
    ['dynamic import', "const load = async () => (await import('pg')).Client;"],
    ['a type by import()', "export type Client = import('pg').Client;"],
    ['require', "const pg = require('pg');"],
    ['import = require', "import pg = require('pg');"],
  ])('sees %s', (_form, source) => {
    const found = check({ 'functions/sync/handler.ts': `// a comment\n${source}` });

    expect(found).toEqual([
      expect.objectContaining({ line: 2, rule: expect.stringContaining('the vendor package pg') }),
    ]);
  });

  test('sees no import in a comment or a string', () => {
    const found = check({
      'functions/sync/handler.ts': '// import "pg";\nexport const text = "import pg from \'pg\'";',
    });

    expect(found).toEqual([]);
  });

  test('prints file:line and fails, as a command', () => {
    check({ 'shared/a.ts': "import '../infra/app.ts';" });

    const run = spawnSync(process.execPath, ['scripts/check-layers.ts', root], { encoding: 'utf8' });

    expect(run.stderr).toMatch(/shared\/a\.ts:1: shared knows nothing above it/);
    expect(run.status).toBe(1);
  });
});
