import { expect, test } from '@jest/globals';
import { refersTo } from '../../../../shared/consumers/references.ts';
import { SECRET } from './observations.ts';

const REGION = 'eu-west-1';
const { arn: ARN } = SECRET;

test('an ARN without its last seven characters is compared whole: a name may end like a suffix', () => {
  const twin = { arn: `${ARN}-XyZ123`, name: 'shop/database-AbCdEf' };

  expect(refersTo(ARN.slice(0, -7), REGION, twin)).toBe(false);
  expect(refersTo('shop/database', REGION, twin)).toBe(false);
  expect(refersTo(twin.name, REGION, twin)).toBe(true);
});

test('in another Region the replica is meant, by its name and both forms of its ARN; where there is none, nothing', () => {
  const replicas = new Map([['us-east-1', 'InSync']]);
  const replicated = { arn: ARN, name: 'shop/database', replicas };
  const there = ARN.replace(REGION, 'us-east-1');
  for (const reference of ['shop/database', there, there.slice(0, -7), ARN])
    expect([reference, refersTo(reference, 'us-east-1', replicated)]).toEqual([reference, true]);
  expect(refersTo('shop/database', REGION, replicated)).toBe(true);
  expect(refersTo('shop/database', 'us-west-2', replicated)).toBe(false);
  expect(refersTo(ARN.replace(REGION, 'us-west-2'), 'us-west-2', replicated)).toBe(false);
});
