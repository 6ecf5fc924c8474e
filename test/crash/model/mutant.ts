import { registerHooks } from 'node:module';
import type { Exploration } from './explore.ts';
import { MUTATIONS } from './mutations.ts';

/** Runs the model with one mistake in the rotation, and prints a case in which its promise breaks. */

const mutation = MUTATIONS.find(({ mistake }) => mistake === process.argv[2]);
if (!mutation) throw new Error(`no mutation is called "${process.argv[2]}"`);

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context);
    const edits = mutation.edits.filter(({ file }) => url.endsWith(`/shared/rotation/${file}`));
    if (edits.length === 0) return loaded;
    let source = String(loaded.source);
    for (const { from, to } of edits) {
      if (source.split(from).length !== 2) throw new Error(`"${from}" is not once in ${url}`);
      source = source.replace(from, () => to);
    }
    return { ...loaded, source };
  },
});

const { createExploration, scenariosOf } = await import('./explore.ts');
const { ESTATES } = await import('./estates.ts');
const exploration: Exploration = createExploration(1);
const seen = () => exploration.broken.find((each) => each.includes(`: ${mutation.breaks}: `));
for (const estate of ESTATES.filter(({ strategy }) => strategy === mutation.strategy))
  for (const scenario of scenariosOf(estate)) if (!seen()) await exploration.all(scenario, 1);
process.stdout.write(seen() ?? `unseen; seen was ${exploration.broken.join('\n')}`);
