import { describe, expect, test } from '@jest/globals';
import { lookAtRotations, type RotatedSecret } from '../../../../shared/secrets/rotations.ts';

const NOW = Date.UTC(2026, 10, 23, 12);
const hoursAgo = (hours: number) => NOW - hours * 3_600_000;

const rotated = (difference: Partial<RotatedSecret> = {}): RotatedSecret => ({
  arn: 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders-AbCdEf',
  createdAtMs: hoursAgo(24 * 100),
  changedAtMs: hoursAgo(24),
  rotatedAtMs: hoursAgo(24),
  dueAtMs: hoursAgo(-24 * 6),
  stages: new Map([['new', ['AWSCURRENT']]]),
  tags: new Map(),
  ...difference,
});

describe('a look at rotations', () => {
  test('finds nothing where all are on time', () => {
    expect(lookAtRotations([rotated()], NOW)).toEqual({
      secrets: 1,
      daysWithoutRotation: 1,
      hoursOverdue: 0,
      hoursPending: 0,
      concerns: [],
    });
  });

  test('finds the rotation that should have happened, and how late it is', () => {
    const { hoursOverdue, concerns } = lookAtRotations(
      [rotated(), rotated({ arn: 'late', dueAtMs: hoursAgo(30) })],
      NOW,
    );

    expect(hoursOverdue).toBe(30);
    expect(concerns).toEqual([{ kind: 'overdue', secretArn: 'late', hours: 30 }]);
  });

  test('counts a secret that never rotated from the day it was made', () => {
    expect(lookAtRotations([rotated({ rotatedAtMs: undefined })], NOW).daysWithoutRotation).toBe(100);
  });

  test('finds the rotation that began and did not end', () => {
    const stages = new Map([
      ['old', ['AWSCURRENT']],
      ['new', ['AWSPENDING']],
    ]);
    const { hoursPending, concerns } = lookAtRotations(
      [rotated({ arn: 'stuck', stages, changedAtMs: hoursAgo(3) })],
      NOW,
    );

    expect(hoursPending).toBe(3);
    expect(concerns).toEqual([{ kind: 'pending', secretArn: 'stuck', hours: 3 }]);
  });

  test('gives a rotation that has just begun its time', () => {
    const stages = new Map([['new', ['AWSPENDING']]]);

    expect(lookAtRotations([rotated({ stages, changedAtMs: hoursAgo(0.5) })], NOW).concerns).toEqual([]);
  });

  test('takes AWSPENDING beside AWSCURRENT for a rotation that is over', () => {
    const stages = new Map([['new', ['AWSCURRENT', 'AWSPENDING']]]);

    expect(lookAtRotations([rotated({ stages })], NOW).hoursPending).toBe(0);
  });

  test('leaves out what a person froze, until the date is over', () => {
    const held = (date: string) => rotated({ dueAtMs: hoursAgo(30), tags: new Map([['rekey:hold', date]]) });

    expect(lookAtRotations([held('2026-12-01')], NOW).hoursOverdue).toBe(0);
    expect(lookAtRotations([held('2026-11-01')], NOW).hoursOverdue).toBe(30);
  });

  test('does not take a tag that it cannot read for a freeze', () => {
    expect(
      lookAtRotations([rotated({ dueAtMs: hoursAgo(30), tags: new Map([['rekey:hold', 'soon']]) })], NOW).hoursOverdue,
    ).toBe(30);
  });

  test('of no secret finds nothing', () => {
    expect(lookAtRotations([], NOW)).toMatchObject({ secrets: 0, daysWithoutRotation: 0, concerns: [] });
  });
});
