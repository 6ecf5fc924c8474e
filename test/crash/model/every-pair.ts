import { ESTATES } from './estates.ts';
import { createExploration, scenariosOf } from './explore.ts';

/** Plays every two faults against each estate of a strategy, in a process without Jest, where the same takes two thirds. */

// Whoever breaks a promise is told by the case: nobody reads where an error was made, and finding that out takes time.
Error.stackTraceLimit = 0;
const exploration = createExploration(1);
for (const estate of ESTATES.filter(({ strategy }) => strategy === process.argv[2]))
  for (const scenario of scenariosOf(estate)) await exploration.all(scenario, 2);
const { runs, broken } = exploration;
process.stdout.write(JSON.stringify({ runs: runs[2] ?? 0, broken: broken.slice(0, 10) }));
