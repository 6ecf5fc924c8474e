import { registerHooks } from 'node:module';
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

const { ESTATES } = await import('./estates.ts');
const { createExploration, scenariosOf } = await import('./explore.ts');
const { everySchedule } = await import('../interleavings/schedules.ts');
const { playSituation, situationsOfRotations } = await import('../interleavings/situations.ts');

const broken: string[] = [];
const seen = () => broken.find((each) => each.includes(`: ${mutation.breaks}: `));
for (const estate of ESTATES.filter(({ strategy }) => strategy === mutation.strategy)) {
  for (const scenario of mutation.interleaved ? [] : scenariosOf(estate)) {
    if (seen()) break;
    const exploration = createExploration(1);
    await exploration.all(scenario, 1);
    broken.push(...exploration.broken);
  }
  for (const situation of mutation.interleaved ? situationsOfRotations(estate) : []) {
    if (seen()) break;
    await everySchedule(
      (play) => playSituation(estate, situation, play),
      { every: 0, switches: 1 },
      (schedule, error) => broken.push(`${estate.name}, ${situation.name}, in the order ${schedule}: ${error}`),
    );
  }
}
process.stdout.write(seen() ?? `unseen; seen was ${broken.join('\n')}`);
