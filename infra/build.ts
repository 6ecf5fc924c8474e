import { join } from 'node:path';
import { bundle } from './bundling.ts';
import { DIST } from './dist.ts';
import { FUNCTIONS } from './wiring.ts';

let failed = false;
for (const spec of FUNCTIONS) {
  try {
    const { startBytes } = await bundle(spec, join(DIST, spec.name));
    console.log(`dist/${spec.name}/index.mjs ${(startBytes / 1000).toFixed(0).padStart(6)} KB at a start`);
  } catch (failure) {
    failed = true;
    console.error(`${spec.name} was not built: ${failure instanceof Error ? failure.message : failure}`);
  }
}
if (failed) process.exitCode = 1;
