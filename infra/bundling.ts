import { readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import type { FunctionSpec } from './wiring.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** `24` */
export const NODE_MAJOR = readFileSync(join(ROOT, '.nvmrc'), 'utf8').trim();

/** The one place where bundles are written and deployed from. */
export const DIST = join(ROOT, 'dist');

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
 * Everything is bundled, the AWS SDK too: its version is then the one that was tested, and a bundled SDK starts in
 * about half the time of the one in Lambda's image (aws-sdk-js-v3#5516).
 */
const OPTIONS = {
  absWorkingDir: ROOT,
  bundle: true,
  platform: 'node',
  target: `node${NODE_MAJOR}`,
  format: 'esm',
  // The packages' ES modules can be tree-shaken, their CommonJS builds cannot.
  mainFields: ['module', 'main'],
  // pg and the Kubernetes client call require() for Node's own modules, which an ES module does not have (aws-cdk#29310).
  banner: { js: "import { createRequire } from 'node:module';const require = createRequire(import.meta.url);" },
  // pg asks for its native twin only when the program does; there is none to find.
  minify: true,
  legalComments: 'none',
  sourcemap: 'linked',
  sourcesContent: false,
  metafile: true,
  plugins: [REQUIRE_BUILTINS],
  logLevel: 'silent',
} as const satisfies BuildOptions;

export interface Bundle {
  /** Of `index.mjs`, without its source map. */
  readonly bytes: number;
  /** Every source file that went in, from the project's root. */
  readonly inputs: readonly string[];
}

/**
 * Writes `<folder>/index.mjs` and its source map; what was in the folder is gone.
 * @throws esbuild's BuildFailure, whose message names file and line
 */
export async function bundle(spec: Pick<FunctionSpec, 'entry'>, folder: string): Promise<Bundle> {
  rmSync(folder, { recursive: true, force: true });
  const { metafile } = await build({ ...OPTIONS, entryPoints: [spec.entry], outfile: join(folder, 'index.mjs') });
  const output = Object.entries(metafile.outputs).find(([path]) => path.endsWith('index.mjs'))?.[1];
  if (output === undefined) throw new Error(`esbuild wrote no bundle for ${spec.entry}`);
  return { bytes: output.bytes, inputs: Object.keys(metafile.inputs).filter((input) => !input.startsWith('builtin:')) };
}
