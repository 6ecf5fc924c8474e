import { describe, expect, test } from '@jest/globals';
import {
  askedToMoveBack,
  type EventPattern,
  FOR_PEOPLE,
  SECRET_CONVERGED,
  SECRET_LABEL_UPDATED,
} from '../../infra/wiring.ts';
import type { RekeyEvent } from '../../shared/operations/events.ts';
import { matchesPattern, parsePattern } from '../sandbox/aws/event-bridge/pattern.ts';

const takes = (pattern: EventPattern, event: object) => matchesPattern(parsePattern(JSON.stringify(pattern)), event);

/** As Secrets Manager sends it: User Guide, "Secret Label Updated". */
const labelUpdated = (difference: object = {}, detail: object = {}) => ({
  version: '0',
  id: '0b1e7d5c-6f0d-4b7c-9a53-2f6f0d1f9f10',
  'detail-type': 'Secret Label Updated',
  source: 'aws.secretsmanager',
  account: '111122223333',
  time: '2026-11-23T03:00:41Z',
  region: 'eu-west-1',
  resources: ['arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-AbCdEf'],
  detail: {
    name: 'orders/db',
    labelUpdated: 'AWSCURRENT',
    versionId: 'a1b2c3d4-5678-90ab-cdef-EXAMPLE11111',
    ...detail,
  },
  ...difference,
});

const ofRekey = (type: RekeyEvent['type']) => ({ source: 'rekey', 'detail-type': type, detail: {} });

describe('what falls into sync’s queue', () => {
  test('is AWSCURRENT on another version', () => {
    expect(takes(SECRET_LABEL_UPDATED, labelUpdated())).toBe(true);
  });

  test.each([
    ['another label', labelUpdated({}, { labelUpdated: 'blue' })],
    ['another event of Secrets Manager', labelUpdated({ 'detail-type': 'AWS Service Event via CloudTrail' })],
    ['somebody else’s event of that name', labelUpdated({ source: 'com.example' })],
  ])('is not %s', (_what, event) => {
    expect(takes(SECRET_LABEL_UPDATED, event)).toBe(false);
  });
});

describe('what falls into retire’s queue', () => {
  test('is a secret that has converged, and nothing before that', () => {
    expect(takes(SECRET_CONVERGED, ofRekey('Secret Converged'))).toBe(true);
    expect(takes(SECRET_CONVERGED, ofRekey('Secret Not Converged'))).toBe(false);
    expect(takes(SECRET_CONVERGED, ofRekey('Sync Started'))).toBe(false);
  });
});

describe('what falls into a rotation function’s queue', () => {
  const own = 'arn:aws:lambda:eu-west-1:111122223333:function:rekey-production-rotation-postgres';
  const halted = (detail: object) => ({ ...ofRekey('Sync Halted'), detail });
  const moveBack = { rotationFunction: own, previousVersionId: 'a1b2c3d4-5678-90ab-cdef-EXAMPLE11111' };

  test('is a halt that asks this function to move AWSCURRENT back', () => {
    expect(takes(askedToMoveBack(own), halted({ moveBack }))).toBe(true);
  });

  test.each([
    ['a halt that asks for nothing', halted({})],
    ['a halt that asks another function', halted({ moveBack: { ...moveBack, rotationFunction: `${own}-2` } })],
    ['anything else that asks', { ...ofRekey('Sync Started'), detail: { moveBack } }],
    ['somebody else’s event of that name', { ...halted({ moveBack }), source: 'com.example' }],
  ])('is not %s', (_what, event) => {
    expect(takes(askedToMoveBack(own), event)).toBe(false);
  });
});

describe('what people hear of', () => {
  test.each<[type: RekeyEvent['type'], heard: boolean]>([
    ['Rotation Succeeded', false],
    ['Rotation Failed', true],
    ['Sync Started', false],
    ['Sync Halted', true],
    ['Secret Moved Back', true],
    ['Secret Converged', true],
    ['Secret Not Converged', true],
    ['Secret Retired', true],
    ['Action Needed', true],
  ])('%s: %s', (type, heard) => {
    expect(takes(FOR_PEOPLE, ofRekey(type))).toBe(heard);
  });
});
