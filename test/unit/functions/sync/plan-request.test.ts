import { expect, test } from '@jest/globals';
import { isBatch, parsePlanRequest } from '../../../../functions/sync/plan-request.ts';

test.each(['shop/database', 'arn:aws:secretsmanager:eu-west-1:111122223333:secret:shop/database-AbCdEf'])(
  'a plan is asked for by name or ARN: %s',
  (plan) => {
    expect(isBatch({ plan })).toBe(false);
    expect(parsePlanRequest({ plan })).toBe(plan);
  },
);

test('messages of the queue are no such request', () => {
  expect(isBatch({ Records: [] })).toBe(true);
});

test.each([
  [null],
  [undefined],
  ['shop/database'],
  [[]],
  [{}],
  [{ plan: '' }],
  [{ plan: 7 }],
  [{ plan: ['shop/database'] }],
  [{ plan: 'shop/database; rm -rf /' }],
  [{ plan: 'a\nb' }],
  [{ plan: 'x'.repeat(2_049) }],
  [{ plan: 'shop/database', apply: true }],
  [{ Records: null }],
  [{ Records: 'shop/database' }],
])('19: anything else is EVENT_INVALID: %j', (event) => {
  expect(isBatch(event)).toBe(false);
  expect(() => parsePlanRequest(event)).toThrow(expect.objectContaining({ code: 'EVENT_INVALID' }));
});
