import { SEED } from '../counts.ts';
import { ESTATES } from './estates.ts';
import { createExploration, scenariosOf } from './explore.ts';

/**
 * Plays every two faults, or three that are drawn by lot, against each estate of a strategy, in a process without Jest,
 * where the same takes two thirds. Takes the strategy, and how many faults.
 */

/** Of two while it moves back: what comes after that was played already, and there are as many pairs again. */
const DRAWN_BACK = 5_000;
/** Of three, for each scenario. */
const DRAWN_TRIPLES = 500;

// Whoever breaks a promise is told by the case: nobody reads where an error was made, and finding that out takes time.
Error.stackTraceLimit = 0;
const [, , strategy, depth] = process.argv;
const exploration = createExploration(SEED);
for (const scenario of ESTATES.filter((estate) => estate.strategy === strategy).flatMap(scenariosOf))
  if (depth === '3') await exploration.sample(scenario, 3, DRAWN_TRIPLES);
  else if (scenario.acts.includes('move back')) await exploration.sample(scenario, 2, DRAWN_BACK);
  else await exploration.all(scenario, 2);
const { runs, broken } = exploration;
process.stdout.write(JSON.stringify({ runs: runs[Number(depth)] ?? 0, broken: broken.slice(0, 10) }));
