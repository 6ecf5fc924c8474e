import { describe, expect, test } from '@jest/globals';
import { atMost, deadlineIn } from '../../../../shared/operations/deadline.ts';

function clockAt(startMs: number) {
  let nowMs = startMs;
  return { now: () => nowMs, pass: (milliseconds: number) => (nowMs += milliseconds) };
}

describe('a deadline', () => {
  test('keeps a reserve back from what Lambda says is left', () => {
    expect(deadlineIn(10_000, clockAt(0)).remainingMs()).toBe(8_500);
  });

  test('shrinks as time passes and never below zero', () => {
    const clock = clockAt(0);
    const deadline = deadlineIn(10_000, clock);

    clock.pass(3_000);
    expect(deadline.remainingMs()).toBe(5_500);
    clock.pass(60_000);
    expect(deadline.remainingMs()).toBe(0);
  });

  test('refuses work that would not fit, as an error to try again', () => {
    const deadline = deadlineIn(3_000, clockAt(0));

    expect(() => deadline.require(1_500, 'a login')).not.toThrow();
    expect(() => deadline.require(2_000, 'a login')).toThrow(
      expect.objectContaining({ code: 'DEADLINE_TOO_CLOSE', retryable: true }),
    );
  });
});

test('a share of a deadline ends when its time is over, and never after the whole', () => {
  const clock = clockAt(0);
  const whole = deadlineIn(11_500, clock);
  const share = atMost(4_000, whole, clock);
  expect([share.remainingMs(), atMost(60_000, whole, clock).remainingMs()]).toEqual([4_000, 10_000]);

  clock.pass(3_500);
  expect(() => share.require(1_000, 'a list')).toThrow(expect.objectContaining({ code: 'DEADLINE_TOO_CLOSE' }));
  expect(whole.remainingMs()).toBe(6_500);
  clock.pass(1_000);
  expect(share.remainingMs()).toBe(0);
});
