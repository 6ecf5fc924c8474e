/** Lets several actors run beside each other, one call at a time, in an order that is chosen and can be replayed. */
export interface Stage {
  /** Ends when it is this actor's turn. */
  turn(actor: number): Promise<void>;
}

/** What was chosen at one moment, of what could have been. */
interface Choice {
  readonly actor: number;
  readonly others: readonly number[];
}

/** One order of calls, as the actors whose turn it is. */
export type Schedule = readonly number[];

/**
 * @param begin sets the stage up and starts the actors
 * @param schedule whose turn it is at first; after that everyone goes on for as long as it can
 * @returns every choice that was made
 */
async function play(begin: (stage: Stage) => Promise<readonly Promise<void>[]>, schedule: Schedule): Promise<Choice[]> {
  const waiting = new Map<number, (() => void)[]>();
  const stage: Stage = {
    turn: (actor) =>
      new Promise((resolve) => {
        waiting.set(actor, [...(waiting.get(actor) ?? []), resolve]);
      }),
  };
  const choices: Choice[] = [];
  const ends = Promise.all(await begin(stage));
  // Whoever fails is heard at the end.
  ends.catch(() => {});
  let last: number | undefined;
  while (true) {
    // Nothing here waits for the outside: once the microtasks are through, everyone waits for a turn or has ended.
    await new Promise(setImmediate);
    const ready = [...waiting].filter(([, turns]) => turns.length > 0).map(([actor]) => actor);
    const actor = schedule[choices.length] ?? (last !== undefined && ready.includes(last) ? last : ready[0]);
    if (actor === undefined) break;
    const next = waiting.get(actor)?.shift();
    if (!next) throw new Error(`actor ${actor} has nothing to do at ${choices.length}`);
    choices.push({ actor, others: ready.filter((each) => each !== actor) });
    last = actor;
    next();
  }
  await ends;
  return choices;
}

/** How many orders are tried. */
export interface Thoroughness {
  /** Every one, where there are no more than this. */
  readonly every: number;
  /** Else those in which somebody is held up in favour of another no more often than this. */
  readonly switches: number;
}

/**
 * The orders in which the actors' calls can come.
 * @param run plays one, and throws if what it came to is wrong
 * @returns how many orders there were
 */
export async function everySchedule(
  run: (play: (begin: (stage: Stage) => Promise<readonly Promise<void>[]>) => Promise<void>) => Promise<void>,
  { every, switches }: Thoroughness,
  wrong: (schedule: Schedule, error: unknown) => void,
): Promise<number> {
  let allowed = switches;
  let count = 0;
  const open: Schedule[] = [[]];
  for (let schedule = open.pop(); schedule; schedule = open.pop()) {
    const prefix = schedule;
    let choices: readonly Choice[] = [];
    count += 1;
    try {
      await run(async (begin) => {
        choices = await play(begin, prefix);
      });
    } catch (error) {
      wrong(
        choices.map(({ actor }) => actor),
        error,
      );
    }
    const actors = choices.map(({ actor }) => actor);
    if (count === 1 && ordersOf(actors) <= every) allowed = Number.POSITIVE_INFINITY;
    let switched = 0;
    for (const [at, { actor, others }] of choices.entries()) {
      const before = actors[at - 1];
      // Whoever went on could have been held up for another.
      if (at >= prefix.length)
        for (const other of others) {
          const heldUp = before !== undefined && before !== other && (actor === before || others.includes(before));
          if (switched + (heldUp ? 1 : 0) <= allowed) open.push([...actors.slice(0, at), other]);
        }
      if (before !== undefined && before !== actor && others.includes(before)) switched += 1;
    }
  }
  return count;
}

/** In how many orders two actors can make that many calls each. */
function ordersOf(actors: Schedule): number {
  const [first] = actors;
  const others = actors.filter((actor) => actor !== first).length;
  let orders = 1;
  for (let each = 1; each <= others; each += 1) orders *= (actors.length - others + each) / each;
  return orders;
}
