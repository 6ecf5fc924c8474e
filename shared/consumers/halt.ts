import type { Unproved } from '../operations/events.ts';
import type { Refusals } from './carry-out.ts';
import { idOf, type Plan } from './plan.ts';

/**
 * For whom the roll is halted: who fails or is stopped by what is to be seen, and who may not be touched. A refusal counts
 * from the second on: a budget allows no eviction for a moment after each pod, and rights that were just given take theirs.
 * @param before consumers that passes before this one were not let touch
 */
export function haltedBy(plan: Plan, refusals: Refusals, before: readonly string[]): readonly Unproved[] {
  const waiting = waitingIn(plan);
  const refused = plan.unproved.filter((one) => {
    const id = idOf(one);
    return refusals.has(id) && before.includes(id) && waiting.has(id);
  });
  return [...plan.failed, ...refused.map((one) => withRefusal(one, refusals))];
}

/**
 * Consumers that no pass was let touch so far: one that is not tried now, for others are under way, is no less refused.
 * @param touched those that this pass was let touch
 */
export function stillRefused(
  plan: Plan,
  refusals: Refusals,
  before: readonly string[],
  touched: readonly string[],
): readonly string[] {
  const waiting = waitingIn(plan);
  return [...new Set([...before, ...refusals.keys()])].filter((id) => waiting.has(id) && !touched.includes(id));
}

/** Who keeps others waiting, and whose pods do not fail. */
function waitingIn({ standings, failed }: Plan): ReadonlySet<string> {
  const known = new Set(failed.map(idOf));
  const ids = standings
    .filter(({ state }) => state.kind !== 'proved' && state.kind !== 'left-alone')
    .map(({ consumer }) => idOf(consumer.ref));
  return new Set(ids.filter((id) => !known.has(id)));
}

export function withRefusal(unproved: Unproved, refusals: Refusals): Unproved {
  const refusal = refusals.get(idOf(unproved));
  if (refusal === undefined) return unproved;
  return { ...unproved, cause: refusal.cause, why: unproved.why + refusal.why };
}
