import { globSync, readFileSync } from 'node:fs';
import { dirname, posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from '@swc/core';

/**
 * The one-way rule, as CONTRIBUTING.md tells it: functions → shared; inside shared, rotation and consumers know the
 * ports, never the adapters; a vendor's package is imported in one file. `import type` counts too: a vendor's type in
 * a signature ties us to the vendor as much as its code does.
 */

/** Packages that are language rather than outside world. `aws-lambda` holds types alone: AWS's event shapes. */
const LIBRARIES = new Set(['zod', 'yaml', 'aws-lambda']);

/** These may know an adapter by its port alone, however many files lie between. */
const CORE = ['shared/rotation/', 'shared/consumers/'];

interface Import {
  readonly line: number;
  /** As written. */
  readonly specifier: string;
  readonly typeOnly: boolean;
  /** A file of the project, from its root; or a package's name; Node's own modules are left out. */
  readonly target:
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'package'; readonly name: string };
}

type Project = ReadonlyMap<string, readonly Import[]>;

export interface Violation {
  readonly file: string;
  readonly line: number;
  readonly rule: string;
}

/** @param root absolute path of the project */
export function violations(root: string): readonly Violation[] {
  const project: Project = new Map(
    globSync('{functions,shared,infra}/**/*.ts', { cwd: root })
      .sort()
      .map((file) => [file, importsOf(file, readFileSync(posix.join(root, file), 'utf8'))]),
  );
  const report: Violation[] = [];
  for (const [file, imports] of project)
    for (const imported of imports)
      for (const rule of rulesBroken(file, imported, project)) report.push({ file, line: imported.line, rule });
  return [...report, ...vendorsInSeveralFiles(project)];
}

function* rulesBroken(file: string, imported: Import, project: Project): Iterable<string> {
  const { target, specifier } = imported;

  if (target.kind === 'package') {
    if (file.startsWith('functions/') && isVendor(target.name))
      yield `functions call shared; the vendor package ${target.name} belongs in an adapter under shared/`;
    return;
  }

  const { path } = target;
  if (file.startsWith('shared/') && !path.startsWith('shared/'))
    yield `shared knows nothing above it, so it may not import ${path}`;
  if (file.startsWith('functions/')) {
    if (!/^(functions|shared)\//.test(path)) yield `functions import functions and shared only, not ${path}`;
    const owner = folderOfFunction(path);
    if (owner !== undefined && owner !== folderOfFunction(file))
      yield `${path} belongs to another function; what two functions share lies in functions/ itself or in shared/`;
  }
  if (file.startsWith('infra/') && !/^(infra|shared)\//.test(path))
    yield `infra names the functions by path and imports infra and shared only, not ${path}`;
  if (file.startsWith('infra/') && path.startsWith('shared/') && !imported.typeOnly && runsOtherFiles(path, project))
    yield `infra takes names and types from shared, never what runs: ${path} imports other files`;
  if (isCore(file) && !isCore(path)) {
    const chain = wayToAdapter(path, project);
    if (chain !== undefined)
      yield `rotation and consumers know the ports, never an adapter: ${specifier} leads to ${chain.join(' → ')}`;
  }
}

function vendorsInSeveralFiles(project: Project): readonly Violation[] {
  const firstFile = new Map<string, string>();
  const report: Violation[] = [];
  for (const [file, imports] of project) {
    if (!file.startsWith('shared/')) continue;
    for (const { target, line } of imports) {
      if (target.kind !== 'package' || !isVendor(target.name)) continue;
      const owner = firstFile.get(target.name) ?? file;
      firstFile.set(target.name, owner);
      if (owner !== file)
        report.push({ file, line, rule: `${target.name} is imported in ${owner} already: one vendor, one file` });
    }
  }
  return report;
}

const isCore = (path: string) => CORE.some((folder) => path.startsWith(folder));

const isVendor = (name: string) => !LIBRARIES.has(name);

/** `functions/sync/handler.ts` → `sync`; a file right in `functions/` belongs to all. */
const folderOfFunction = (path: string) => /^functions\/([^/]+)\//.exec(path)?.[1];

const runsOtherFiles = (path: string, project: Project) =>
  (project.get(path) ?? []).some((imported) => !imported.typeOnly);

/** The shortest chain of imports from a file to one that imports a vendor, itself included. */
function wayToAdapter(start: string, project: Project): readonly string[] | undefined {
  const queue: (readonly string[])[] = [[start]];
  const seen = new Set<string>([start]);
  for (const chain of queue) {
    const imports = project.get(chain.at(-1) ?? start) ?? [];
    const vendor = imports.find(({ target }) => target.kind === 'package' && isVendor(target.name));
    if (vendor !== undefined) return [...chain, vendor.specifier];
    for (const { target } of imports) {
      // A file of the core on the way answers for its own imports.
      if (target.kind !== 'file' || seen.has(target.path) || isCore(target.path)) continue;
      seen.add(target.path);
      queue.push([...chain, target.path]);
    }
  }
  return undefined;
}

/** Every way that TypeScript can name another module: import, export from, import(), import('…').Type, require. */
function importsOf(file: string, source: string): readonly Import[] {
  const lines = source.split('\n');
  const found: Import[] = [];

  const add = (specifier: string, typeOnly: boolean) => {
    if (specifier.startsWith('node:')) return;
    // The parser counts bytes over all files that it ever read, so the line is looked up in the text instead.
    const line = 1 + lines.findIndex((text) => text.includes(`'${specifier}'`) || text.includes(`"${specifier}"`));
    const target = specifier.startsWith('.')
      ? ({ kind: 'file', path: posix.join(dirname(file), specifier) } as const)
      : ({ kind: 'package', name: packageName(specifier) } as const);
    found.push({ line, specifier, typeOnly, target });
  };

  visit({ ...parseSync(source, { syntax: 'typescript', target: 'es2024' }) }, (node) => {
    switch (node['type']) {
      case 'ImportDeclaration':
      case 'ExportAllDeclaration':
      case 'ExportNamedDeclaration':
        if (isNode(node['source'])) add(String(node['source']['value']), isTypeOnly(node));
        return;
      case 'TsImportType':
        if (isNode(node['argument'])) add(String(node['argument']['value']), true);
        return;
      case 'TsExternalModuleReference':
        if (isNode(node['expression'])) add(String(node['expression']['value']), false);
        return;
      case 'CallExpression': {
        const { callee, arguments: given } = node;
        const loads = isNode(callee) && (callee['type'] === 'Import' || callee['value'] === 'require');
        const first = Array.isArray(given) ? given[0]?.expression : undefined;
        if (loads && isNode(first) && first['type'] === 'StringLiteral') add(String(first['value']), false);
      }
    }
  });
  return found;
}

/** `import type …`, or braces in which every name is marked `type`. */
function isTypeOnly(declaration: Node): boolean {
  const { typeOnly, specifiers } = declaration;
  if (typeOnly === true) return true;
  return Array.isArray(specifiers) && specifiers.length > 0 && specifiers.every((each) => each['isTypeOnly'] === true);
}

const packageName = (specifier: string) =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');

type Node = Readonly<Record<string, unknown>>;

const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null;

function visit(node: Node, see: (node: Node) => void): void {
  see(node);
  for (const child of Object.values(node)) if (isNode(child)) visit(child, see);
}

if (import.meta.main) {
  const root = process.argv[2] ?? fileURLToPath(new URL('..', import.meta.url));
  const found = violations(root);
  for (const { file, line, rule } of found) console.error(`${relative('.', posix.join(root, file))}:${line}: ${rule}`);
  if (found.length > 0) process.exitCode = 1;
}
