import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DIST, ROOT } from './dist.ts';
import { FUNCTIONS } from './wiring.ts';

/**
 * Writes what an npm package for CDK apps of your own holds beside the compiled constructs, which tsc puts there next
 * (tsconfig.library.json): the built bundles, the manifests for Kubernetes, and a package.json without dependencies. A
 * bundle carries its own, and the CDK has to be the one that your app has.
 */
const FOLDER = join(DIST, 'library');
const own = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER, { recursive: true });
for (const { name } of FUNCTIONS) cpSync(join(DIST, name), join(FOLDER, 'dist', name), { recursive: true });
cpSync(join(ROOT, 'infra', 'kubernetes'), join(FOLDER, 'kubernetes'), { recursive: true });
cpSync(join(ROOT, 'LICENSE'), join(FOLDER, 'LICENSE'));

const { name, version, description, license, type, engines } = own;
const library = {
  name,
  version,
  description,
  license,
  type,
  engines,
  exports: { './infra': { types: './infra/index.d.ts', default: './infra/index.js' } },
  peerDependencies: {
    'aws-cdk-lib': `^${own.devDependencies['aws-cdk-lib']}`,
    constructs: `^${own.devDependencies.constructs}`,
  },
};
writeFileSync(join(FOLDER, 'package.json'), `${JSON.stringify(library, null, 2)}\n`);
