import { describe, expect, test } from '@jest/globals';
import type { Deadline } from '../../../shared/operations/deadline.ts';
import { ALL } from '../counts.ts';
import { describeFault, type Fault } from '../faults.ts';
import { actingIn, type Call } from '../faulty-ports.ts';
import { ESTATES } from './estates.ts';
import { scenariosOf } from './explore.ts';
import { createPlay, type PlannedFault, type Play } from './run.ts';

/** Of the calls that the first fault strikes. */
const EVERY = ALL ? 1 : 8;

describe('a play from the invocation in which a fault strikes', () => {
  test.each(ESTATES)('with $name: makes the calls that one from the start makes', async (estate) => {
    for (const scenario of scenariosOf(estate)) {
      const points = await createPlay(scenario)([], { collect: true });
      for (const [index, first] of points.entries()) {
        if (index % EVERY !== 0) continue;
        const fault = chosen(first.faults, index);
        const later = await first.play([{ at: first.at, fault }], { collect: true });
        const second = later[index % later.length];
        if (!second) continue;
        const faults = [
          { at: first.at, fault },
          { at: second.at, fault: chosen(second.faults, index) },
        ];
        const whole = await callsOf(createPlay(scenario), faults);
        const rest = await callsOf(second.play, faults);
        expect(rest.length).toBeGreaterThan(0);
        expect(whole.slice(-rest.length)).toEqual(rest);
      }
    }
  });
});

const chosen = (faults: readonly Fault[], index: number): Fault => faults[index % faults.length] as Fault;

/** Each with who acts, and how much time is left, so that nothing of what was before is missing. */
async function callsOf(play: Play, faults: readonly PlannedFault[]): Promise<readonly string[]> {
  const calls: string[] = [];
  await play(faults, {
    trace(call, fault) {
      calls.push(
        `${call.number} ${call.name} ${actingIn(call)?.username} ${leftIn(call)} ${fault && describeFault(fault)}`,
      );
    },
  });
  return calls;
}

const leftIn = ({ args }: Call): unknown =>
  args.find((arg): arg is Deadline => typeof arg === 'object' && arg !== null && 'remainingMs' in arg)?.remainingMs();
