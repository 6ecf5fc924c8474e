import { once } from 'node:events';
import { join } from 'node:path';
import { bundle } from '../../../infra/bundling.ts';
import { DIST } from '../../../infra/dist.ts';
import { FUNCTIONS } from '../../../infra/wiring.ts';
import { isBuilt } from '../control-plane/programs.ts';
import { Narrator } from './narrator.ts';
import { HELP, type Options, readOptions } from './options.ts';
import { showDemo } from './show.ts';

process.exitCode = await answer(readOptions(process.argv.slice(2), isBuilt));

/** @returns the exit code */
async function answer(options: Options): Promise<number> {
  switch (options.kind) {
    case 'help':
      console.log(HELP);
      return 0;
    case 'refused':
      console.error(options.why);
      return 2;
    case 'show':
      return (await show(options)) ? 0 : 1;
  }
}

async function show({ cluster, badRelease, keep }: Options & { readonly kind: 'show' }): Promise<boolean> {
  const narrator = new Narrator();
  narrator.chapter('Setting up');
  for (const spec of FUNCTIONS) await bundle(spec, join(DIST, spec.name));
  narrator.say(`built ${FUNCTIONS.map(({ name }) => name).join(', ')} as Lambda would run them`);
  try {
    return await showDemo({ cluster, badRelease, keep: keep ? interrupted : undefined }, narrator);
  } catch (error) {
    console.error(error);
    return false;
  }
}

async function interrupted(): Promise<void> {
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
}
