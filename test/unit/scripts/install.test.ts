import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

/** A project of its own, with one dependency that needs no registry: a package `node` with this very Node in it. */
let project: string;

const write = (path: string, content: unknown) => writeFileSync(join(project, path), JSON.stringify(content));

function lock(version: string, dependencies: Record<string, string> = { node: 'file:own-node' }) {
  write('package-lock.json', {
    name: 'fixture',
    version: '1.0.0',
    lockfileVersion: 3,
    packages: {
      '': { name: 'fixture', version: '1.0.0', dependencies },
      'node_modules/node': { resolved: 'own-node', link: true },
      'own-node': { name: 'node', version },
    },
  });
}

function install() {
  const run = spawnSync(process.execPath, ['scripts/install.mjs'], {
    cwd: project,
    encoding: 'utf8',
    env: { ...process.env, npm_config_offline: 'true', npm_config_cache: join(project, 'cache') },
  });
  return { status: run.status, stdout: run.stdout, stderr: run.stderr };
}

beforeEach(() => {
  project = mkdtempSync(join(tmpdir(), 'rekey-install-'));
  mkdirSync(join(project, 'scripts'));
  mkdirSync(join(project, 'own-node/bin'), { recursive: true });
  copyFileSync('scripts/install.mjs', join(project, 'scripts/install.mjs'));
  copyFileSync('.nvmrc', join(project, '.nvmrc'));
  symlinkSync(process.execPath, join(project, 'own-node/bin/node'));
  write('own-node/package.json', { name: 'node', version: '1.0.0' });
  write('package.json', { name: 'fixture', version: '1.0.0', dependencies: { node: 'file:own-node' } });
  lock('1.0.0');
});

afterEach(() => rmSync(project, { recursive: true, force: true }));

describe('install', () => {
  test('installs when node_modules is not there, and says so', () => {
    const { status, stderr, stdout } = install();

    expect(stderr).toContain('Installing what package-lock.json asks for (node_modules is not there)');
    expect(stderr).toContain(`with Node v${process.versions.node}.`);
    expect(stdout).toBe('');
    expect(status).toBe(0);
    expect(existsSync(join(project, 'node_modules/node/bin/node'))).toBe(true);
  });

  test('says nothing when nothing is missing', () => {
    install();

    expect(install()).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('installs again when the lock file asks for another version', () => {
    install();
    write('own-node/package.json', { name: 'node', version: '1.0.1' });
    lock('1.0.1');

    expect(install().stderr).toContain('own-node is another version');
    expect(install()).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('does not miss an optional package for another platform', () => {
    install();
    const elsewhere = { version: '1.0.0', optional: true, os: ['plan9'], cpu: ['mips'] };
    write('package-lock.json', {
      lockfileVersion: 3,
      packages: {
        'node_modules/elsewhere': elsewhere,
        'node_modules/node': { resolved: 'own-node', link: true },
        'own-node': { version: '1.0.0' },
      },
    });

    expect(install()).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('ends with what to do when npm fails', () => {
    write('package.json', {
      name: 'fixture',
      version: '1.0.0',
      dependencies: { node: 'file:own-node', absent: '1.0.0' },
    });

    const { status, stderr } = install();

    expect(status).toBe(1);
    expect(stderr).toContain('npm ci failed (exit code 1).');
    expect(stderr).toContain('→ Read its message above.');
  });

  test('ends with what to do when the own Node is another than .nvmrc names', () => {
    writeFileSync(join(project, '.nvmrc'), '1\n');

    const { status, stderr } = install();

    expect(status).toBe(1);
    expect(stderr).toContain("The project's own Node is not 1");
    expect(stderr).toContain('→ Allow the install script of the package `node`');
  });
});
