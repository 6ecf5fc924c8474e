import { describe, expect, test } from '@jest/globals';
import { lookAgainEvent, parseLabelEvent } from '../../../../functions/label-event.ts';
import { CURRENT } from '../../../../shared/secrets/port.ts';
import { SECRET, T0 } from '../../shared/consumers/observations.ts';
import { labelUpdated, versionOf } from './messages.ts';

const secret = { ...SECRET, stages: new Map([[versionOf(2), [CURRENT]]]) };
const EVENT = JSON.parse(labelUpdated(secret)) as Record<string, unknown> & { detail: Record<string, unknown> };
const withDetail = (detail: Record<string, unknown>) => ({ ...EVENT, detail: { ...EVENT.detail, ...detail } });

test("AWS's event is a look that starts now, about a label that moved when the event says", () => {
  expect(parseLabelEvent(JSON.stringify(EVENT), T0 + 60_000)).toEqual({
    secretArn: SECRET.arn,
    secretName: SECRET.name,
    versionId: versionOf(2),
    sinceMs: T0,
    lookingSinceMs: T0 + 60_000,
    told: [],
  });
});

test('a secret that RDS made is one like the others', () => {
  const name = 'rds!cluster-1a2b3c';
  const event = { ...withDetail({ name }), resources: [SECRET.arn.replace(SECRET.name, name)] };

  expect(parseLabelEvent(JSON.stringify(event), T0)).toMatchObject({ secretName: name });
});

test.each([{}, { passesLeft: 2 }, { rolled: ['a'], refused: ['b'] }])(
  'what a pass hands to the next one comes back whole, whenever it is read: %j',
  (more) => {
    const look = {
      secretArn: SECRET.arn,
      secretName: SECRET.name,
      versionId: versionOf(2),
      sinceMs: T0,
      lookingSinceMs: T0 + 60_000,
      told: ['Sync Started'] as const,
      ...more,
    };

    expect(parseLabelEvent(lookAgainEvent(look), T0 + 600_000)).toEqual(look);
  },
);

test.each(['AWSPREVIOUS', 'AWSPENDING', 'blue', 'awscurrent'])(
  '87: the label %s is none of our business',
  (labelUpdated) => {
    expect(parseLabelEvent(JSON.stringify(withDetail({ labelUpdated })), T0)).toBeUndefined();
  },
);

test('13: fields that are not known are ignored', () => {
  expect(parseLabelEvent(JSON.stringify({ ...withDetail({ more: {} }), more: 1 }), T0)).toBeDefined();
});

describe('what is no such event is refused, and not quoted', () => {
  const JUNK = 'hunter2';

  test.each<[string, unknown]>([
    ['1: {}', {}],
    ['2: null', null],
    ['2: an array', [EVENT]],
    ['2: a string', JUNK],
    ['2: a number', 7],
    ['another source', { ...EVENT, source: JUNK }],
    ['another detail-type', { ...EVENT, 'detail-type': JUNK }],
    ['an event of ours that is not ours to take', { ...EVENT, source: 'rekey', 'detail-type': 'Secret Converged' }],
    ['no resources', { ...EVENT, resources: [] }],
    ['7: a name in place of the ARN', { ...EVENT, resources: ['shop/database'] }],
    ['7: the ARN without its suffix', { ...EVENT, resources: [SECRET.arn.slice(0, -7)] }],
    ['the ARN of another secret', { ...EVENT, resources: [SECRET.arn.replace('shop', JUNK)] }],
    ['no versionId', withDetail({ versionId: undefined })],
    ['9: a versionId with a newline', withDetail({ versionId: `${versionOf(2)}\n` })],
    ['9: a versionId of 65 characters', withDetail({ versionId: 'x'.repeat(65) })],
    ['no time', { ...EVENT, time: JUNK }],
    ['5: a name that is no text', withDetail({ name: { __proto__: JUNK } })],
    ['a Look Again without its start', { ...EVENT, source: 'rekey', 'detail-type': 'Look Again' }],
  ])('%s', (_name, event) => {
    const parse = () => parseLabelEvent(JSON.stringify(event), T0);

    expect(parse).toThrow(
      expect.objectContaining({ code: 'EVENT_INVALID', message: expect.not.stringContaining(JUNK) }),
    );
  });

  test.each([0, 101, 1.5, '2', null, JUNK])('a Look Again with %j passes left', (passesLeft) => {
    const event = JSON.parse(
      lookAgainEvent({
        secretArn: SECRET.arn,
        secretName: SECRET.name,
        versionId: versionOf(2),
        sinceMs: T0,
        lookingSinceMs: T0,
        told: [],
      }),
    );
    event.detail.passesLeft = passesLeft;
    expect(() => parseLabelEvent(JSON.stringify(event), T0)).toThrow(
      expect.objectContaining({ code: 'EVENT_INVALID', message: expect.stringContaining('detail.passesLeft') }),
    );
  });

  test('2: text that is not JSON', () => {
    expect(() => parseLabelEvent(`{${JUNK}`, T0)).toThrow(
      expect.objectContaining({ code: 'EVENT_INVALID', message: expect.not.stringContaining(JUNK) }),
    );
  });

  test('18: 256 KB of it', () => {
    expect(() => parseLabelEvent(JSON.stringify({ ...EVENT, source: 'x'.repeat(262_144) }), T0)).toThrow(
      expect.objectContaining({ message: expect.stringMatching(/^.{1,200}$/) }),
    );
  });
});
