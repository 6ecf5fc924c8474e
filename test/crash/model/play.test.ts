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
/** Of the first faults of cases that are compared with others. */
const APART = ALL ? 10 : 40;

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

describe('a case of which no fault is left', () => {
  test.each(ESTATES)('with $name: goes on as another one did from the same state', async (estate) => {
    let met = 0;
    for (const scenario of scenariosOf(estate)) {
      const rests = new Map<string, readonly string[]>();
      const compare = async (play: Play, faults: readonly PlannedFault[]) => {
        const calls: string[] = [];
        const states: { readonly state: string; readonly from: number }[] = [];
        await play(faults, {
          trace: (call) => calls.push(described(call)),
          traceState: (state) => states.push({ state, from: calls.length }),
        });
        for (const { state, from } of states) {
          const rest = calls.slice(from);
          const known = rests.get(state);
          if (known) met += 1;
          expect(rest).toEqual(known ?? rest);
          rests.set(state, rest);
        }
      };
      const points = await createPlay(scenario)([], { collect: true });
      for (const [index, { at, faults, play }] of points.entries()) {
        for (const [which, fault] of faults.entries()) {
          if ((index + which) % APART !== 0) continue;
          await compare(play, [{ at, fault }]);
          const later = await play([{ at, fault }], { collect: true });
          const second = later[(7 * which) % later.length];
          if (!second) continue;
          for (const next of second.faults)
            await compare(second.play, [
              { at, fault },
              { at: second.at, fault: next },
            ]);
        }
      }
    }
    expect(met).toBeGreaterThan(50);
  });
});

const chosen = (faults: readonly Fault[], index: number): Fault => faults[index % faults.length] as Fault;

async function callsOf(play: Play, faults: readonly PlannedFault[]): Promise<readonly string[]> {
  const calls: string[] = [];
  await play(faults, {
    trace: (call, fault) => calls.push(`${call.number} ${described(call)} ${fault && describeFault(fault)}`),
  });
  return calls;
}

/** With who acts, and how much time is left, so that nothing of what was before is missing. */
const described = (call: Call) => `${call.name} ${actingIn(call)?.username} ${leftIn(call)}`;

const leftIn = ({ args }: Call): unknown =>
  args.find((arg): arg is Deadline => typeof arg === 'object' && arg !== null && 'remainingMs' in arg)?.remainingMs();
