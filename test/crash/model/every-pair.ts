import { SEED } from '../counts.ts';
import { ESTATES } from './estates.ts';
import { createExploration, scenariosOf } from './explore.ts';

/** Plays every two faults against each estate of a strategy, in a process without Jest, where the same takes two thirds. */

/** Of the pairs while it moves back: what comes after that was played already, and there are as many pairs again. */
const DRAWN = 5_000;

// Whoever breaks a promise is told by the case: nobody reads where an error was made, and finding that out takes time.
Error.stackTraceLimit = 0;
const exploration = createExploration(SEED);
for (const estate of ESTATES.filter(({ strategy }) => strategy === process.argv[2]))
  for (const scenario of scenariosOf(estate))
    if (scenario.acts.includes('move back')) await exploration.sample(scenario, 2, DRAWN);
    else await exploration.all(scenario, 2);
const { runs, broken } = exploration;
process.stdout.write(JSON.stringify({ runs: runs[2] ?? 0, broken: broken.slice(0, 10) }));
