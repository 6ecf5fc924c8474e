import { expect, test } from '@jest/globals';
import { durationMs } from '../../../../shared/cluster/go-duration.ts';

test.each([
  ['1h', 3_600_000],
  ['1h0m0s', 3_600_000],
  ['2m', 120_000],
  ['90s', 90_000],
  ['1.5h', 5_400_000],
  ['250ms', 250],
  ['0', 0],
  ['0s', 0],
  ['', undefined],
  ['1', undefined],
  ['1d', undefined],
  ['-1h', undefined],
  ['h', undefined],
])('%s is %s milliseconds', (text, expected) => {
  expect(durationMs(text)).toBe(expected);
});
